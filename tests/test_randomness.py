"""Seeds, and that what draws for itself disturbs nobody."""

import inspect

import numpy as np
import pytest
import torch

import aevb_lib as aevb
from aevb_lib.randomness import own_randomness


def test_seeding():
    first = aevb.seed_everything(5)
    a, b = torch.rand(2), torch.rand(2, generator=first)
    second = aevb.seed_everything(5)
    assert torch.equal(torch.rand(2), a)
    assert torch.equal(torch.rand(2, generator=second), b)
    assert first.device.type == "cpu"


def test_any_integer_is_a_seed_and_nothing_else_seeds():
    plain = inspect.unwrap(aevb.seed_everything)  # readers have no check of annotations
    assert plain(np.int64(3)).initial_seed() == 3
    before = torch.get_rng_state()
    with pytest.raises(TypeError, match="float"):
        plain(0.5)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("device", ["cpu", "meta", torch.device("cpu")])
def test_a_block_draws_as_if_seeded_and_leaves_no_trace(device):
    torch.manual_seed(7)
    truth = torch.randn(3), torch.rand(2)
    torch.manual_seed(1)
    torch.randn(1)  # one of two numbers: the other waits in the generator
    before = torch.get_rng_state()
    with own_randomness(device, seed=7):
        assert torch.equal(torch.randn(3), truth[0])
        assert torch.equal(torch.rand(2), truth[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_seed_a_block_goes_on_from_where_it_was():
    torch.manual_seed(1)
    truth = torch.rand(2)
    torch.manual_seed(1)
    for _ in range(2):
        with own_randomness("cpu"):
            assert torch.equal(torch.rand(2), truth)


def test_an_error_leaves_no_trace_either():
    before = torch.get_rng_state()

    def draw_and_fail():
        with own_randomness("cpu", seed=3):
            torch.rand(2)
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        draw_and_fail()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_computation_on_the_cpu_seeds_no_other_device(monkeypatch):
    def refuse(*_):
        raise AssertionError("all devices were seeded")

    monkeypatch.setattr(torch, "manual_seed", refuse)
    for module in (torch.cuda, torch.mps, torch.xpu):
        monkeypatch.setattr(module, "manual_seed", refuse)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    model = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
    aevb.mean_elbo(model, aevb.ImageSet(torch.rand(5, 16)))
    aevb.importance_log_likelihood(model, torch.rand(5, 16), num_samples=3)


@pytest.mark.parametrize("kind", ["cuda", "mps", "xpu"])
def test_the_generator_of_the_device_that_computes_is_restored(kind, monkeypatch):
    """Also where an error passes, and with the CPU's; played by a number, since there is none."""
    module, state = torch.get_device_module(kind), [torch.tensor(1)]
    # Of Apple's there is one, which takes no device.
    devices = [] if kind == "mps" else [torch.device(kind, 0)]

    def get_rng_state(*where):
        assert list(where) == devices
        return state[-1]

    def set_rng_state(new, *where):
        assert list(where) == devices
        state.append(new)

    monkeypatch.setattr(module, "get_rng_state", get_rng_state)
    monkeypatch.setattr(module, "set_rng_state", set_rng_state)
    on_cpu = torch.get_rng_state()

    def draw_and_fail():
        with own_randomness(torch.device(kind, 0)):
            torch.rand(2)
            state.append(torch.tensor(2))  # as a draw does
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        draw_and_fail()
    assert state[-1] == 1
    assert torch.equal(torch.get_rng_state(), on_cpu)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpus_generator_is_left_alone_too():
    before = torch.cuda.get_rng_state()
    with own_randomness("cuda", seed=7):
        first = torch.rand(2, device="cuda")
    with own_randomness("cuda", seed=7):
        assert torch.equal(torch.rand(2, device="cuda"), first)
    assert torch.equal(torch.cuda.get_rng_state(), before)
