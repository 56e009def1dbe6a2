"""The kernel against what is known: energy, time's arrow, and the moments of normal densities."""

import math

import pytest
import torch
from oracles import assert_same_mean, brute_force_posterior, images, linear_gaussian
from torch import Tensor

import aevb_lib as aevb
from aevb_lib import hmc


def quartic(z):
    """No normal density: its trajectories are no ellipses."""
    return -(z.square().square().sum(-1) / 4 + z.prod(-1).sin())


def normal(z):
    return -0.5 * z.square().sum(-1)


def moved(log_density, position, *, moves, **settings):
    state = hmc.init(log_density, position)
    for _ in range(moves):
        state, info = hmc.step(state, log_density, **settings)
    return state, info


def a_start(seed=0, chains=(50,)):
    generator = torch.Generator().manual_seed(seed)
    noise = {"generator": generator, "dtype": torch.float64}
    return hmc.init(quartic, torch.randn(*chains, 3, **noise)), torch.randn(*chains, 3, **noise)


def energy_error(step_size, length=1.0):
    state, momentum = a_start()
    end, last = hmc.leapfrog(
        state, momentum, quartic, step_size=step_size, num_leapfrog=round(length / step_size)
    )
    before = 0.5 * momentum.square().sum(-1) - state.log_density
    return (0.5 * last.square().sum(-1) - end.log_density - before).abs().mean()


@pytest.mark.parametrize("step_size", [0.05, 0.025, 0.0125])
def test_the_energy_error_is_of_second_order(step_size):
    assert energy_error(step_size) / energy_error(step_size / 2) == pytest.approx(4, rel=0.1)


def test_a_trajectory_is_reversible():
    state, momentum = a_start()
    settings = {"step_size": 0.1, "num_leapfrog": 10}
    end, last = hmc.leapfrog(state, momentum, quartic, **settings)
    assert (end.position - state.position).norm(dim=-1).min() > 0.1
    back, again = hmc.leapfrog(end, -last, quartic, **settings)
    torch.testing.assert_close(back.position, state.position, rtol=0, atol=1e-10)
    torch.testing.assert_close(again, -momentum, rtol=0, atol=1e-10)


def test_a_trajectory_keeps_volume():
    state, momentum = a_start(chains=())

    def flow(both):
        start = hmc.init(quartic, both[:3])
        end, last = hmc.leapfrog(start, both[3:], quartic, step_size=0.3, num_leapfrog=3)
        return torch.cat([end.position, last])

    both, width = torch.cat([state.position, momentum]), 1e-5
    shifts = width * torch.eye(6, dtype=torch.float64)
    columns = [(flow(both + shift) - flow(both - shift)) / (2 * width) for shift in shifts]
    assert float(torch.linalg.det(torch.stack(columns, 1))) == pytest.approx(1, abs=1e-6)


def test_the_gradient_is_that_of_the_density():
    state, _ = a_start(chains=(2, 5))
    assert state.log_density.shape == (2, 5)
    for axis in range(3):
        shift = 1e-6 * torch.eye(3, dtype=torch.float64)[axis]
        difference = quartic(state.position + shift) - quartic(state.position - shift)
        torch.testing.assert_close(state.gradient[..., axis], difference / 2e-6, rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_leapfrog", [1, 4])
@pytest.mark.parametrize("step_size", [0.6, 0.9])
def test_moves_leave_the_posterior_invariant(num_leapfrog, step_size):
    """Thousands of chains from somewhere else: all moments of the exact posterior, nothing lost."""
    torch.manual_seed(1)
    decoder = linear_gaussian()
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 1)
    weight, bias, covariance = brute_force_posterior(decoder)
    scale = covariance.diagonal().sqrt().min()
    state, info = moved(
        lambda z: model.log_joint(x, z),
        torch.zeros(4000, 3, dtype=torch.float64),
        moves=300 // num_leapfrog,
        step_size=float(step_size * scale),
        num_leapfrog=num_leapfrog,
    )
    assert info.acceptance.mean() < 1, "the Metropolis test must have had its say"
    z = state.position - (weight @ x[0] + bias)
    assert_same_mean(z, 0.0)
    assert_same_mean(z.unsqueeze(-1) * z.unsqueeze(-2), covariance)
    assert_same_mean(z**4, 3 * covariance.diagonal() ** 2)


def test_without_its_metropolis_test_the_step_would_be_wrong():
    """So the moments above are the acceptance's work: a long step is biased without it."""
    torch.manual_seed(0)
    position = torch.zeros(20_000, 1)
    accepted, info = moved(normal, position, moves=30, step_size=1.8, num_leapfrog=3)
    assert_same_mean(accepted.position.square(), 1.0)
    assert info.acceptance.mean() < 0.9
    state = hmc.init(normal, position)
    for _ in range(30):
        state, _ = hmc.leapfrog(
            state, torch.randn_like(position), normal, step_size=1.8, num_leapfrog=3
        )
    assert state.position.var() > 1.5


def test_what_a_move_says_about_itself():
    torch.manual_seed(0)
    start = hmc.init(normal, torch.randn(1000, 2))
    state, info = hmc.step(start, normal, step_size=1.2, num_leapfrog=2)
    torch.testing.assert_close(info.acceptance, (-info.energy_error).exp().clamp(max=1))
    same = (state.position == start.position).all(-1)
    assert torch.equal(same, ~info.is_accepted)
    assert 0 < same.sum() < 1000
    torch.testing.assert_close(state.log_density, normal(state.position))
    torch.testing.assert_close(state.gradient, -state.position)
    assert_same_mean(info.is_accepted.double() - info.acceptance.double(), 0.0)


def test_chains_are_independent():
    """A chain's move depends on its own position, step and noise: not on its neighbors."""

    def first(neighbor):
        generator = torch.Generator().manual_seed(3)
        position = torch.tensor([[0.5, 0.1], [neighbor, 0.0]])
        steps = torch.tensor([0.3, 0.2])
        state = hmc.init(normal, position)
        state, _ = hmc.step(state, normal, step_size=steps, num_leapfrog=3, generator=generator)
        return state.position[0]

    assert torch.equal(first(0.0), first(100.0))


def test_one_step_size_for_all_or_one_for_each():
    def position(step_size):
        generator = torch.Generator().manual_seed(3)
        state = hmc.init(normal, torch.ones(5, 2))
        settings = {"num_leapfrog": 3, "generator": generator}
        return hmc.step(state, normal, step_size=step_size, **settings)[0].position

    torch.testing.assert_close(position(0.25), position(torch.tensor(0.25)))
    torch.testing.assert_close(position(0.25), position(torch.full((5,), 0.25)))


def test_same_seed_same_chain_and_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    chains = [
        moved(
            normal,
            torch.zeros(4, 2),
            moves=5,
            step_size=0.5,
            num_leapfrog=2,
            generator=torch.Generator().manual_seed(seed),
        )[0].position
        for seed in (0, 0, 1)
    ]
    assert torch.equal(chains[0], chains[1])
    assert not torch.equal(chains[0], chains[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_trajectory_that_leaves_the_numbers_is_rejected():
    def cliff(z):
        return torch.where(z.abs() < 1, -0.5 * z.square(), math.nan).sum(-1)

    state, info = moved(cliff, torch.zeros(100, 1), moves=1, step_size=50.0, num_leapfrog=2)
    assert torch.equal(state.position, torch.zeros(100, 1))
    assert torch.isinf(info.energy_error).all()
    assert not info.acceptance.any()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("start", [0.01, 10.0])
def test_the_step_size_finds_its_acceptance(start, shared):
    torch.manual_seed(0)
    state = hmc.init(normal, torch.randn(200, 5))
    step_size, seen = torch.full(() if shared else (200,), start), []
    for move in range(250):
        state, info = hmc.step(state, normal, step_size=step_size, num_leapfrog=10)
        acceptance = info.acceptance.mean() if shared else info.acceptance
        step_size = hmc.adapt_step_size(step_size, acceptance)
        if move >= 100:
            seen.append(info.acceptance.mean())
    assert torch.stack(seen).mean().item() == pytest.approx(0.9, abs=0.015)


def test_adapting_by_hand():
    step_size, acceptance = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([1.0, 0.5, 0.0])
    adapted = hmc.adapt_step_size(step_size, acceptance, target=0.5, rate=2.0)
    torch.testing.assert_close(adapted, torch.tensor([math.e, 1.0, 1 / math.e]))


def test_a_move_reads_nothing_back_and_keeps_the_models_gradients(monkeypatch):
    model, x = aevb.LatentVariableModel(aevb.BernoulliMLP(2, 16)), torch.rand(4, 16)
    step_size = torch.tensor(0.1)

    def refuse(*_, **__):
        raise AssertionError("a move read a value back from its device")

    for reader in ("item", "tolist", "cpu", "numpy", "__float__", "__int__", "__bool__"):
        monkeypatch.setattr(Tensor, reader, refuse)
    with torch.no_grad():
        state = hmc.init(lambda z: model.log_joint(x, z), torch.zeros(4, 2))
        state, info = hmc.step(
            state, lambda z: model.log_joint(x, z), step_size=step_size, num_leapfrog=3
        )
        hmc.adapt_step_size(step_size, info.acceptance.mean())
    monkeypatch.undo()
    assert not any(tensor.requires_grad for tensor in (*state, *info))
    assert all(p.grad is None for p in model.parameters())


def test_bad_input():
    state = hmc.init(normal, torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"one value per chain.*\[4\], but returned \[4, 2\]"):
        hmc.init(lambda z: -z.square(), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="num_leapfrog must be at least 1, got 0"):
        hmc.step(state, normal, step_size=0.1, num_leapfrog=0)
    for step_size in (0.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="step_size must be positive"):
            hmc.step(state, normal, step_size=step_size, num_leapfrog=1)
    for target in (0.0, 1.0, 90.0):
        with pytest.raises(ValueError, match="acceptance probability between 0 and 1"):
            hmc.adapt_step_size(torch.tensor(0.1), torch.tensor(0.5), target=target)
    with pytest.raises(ValueError, match="rate must be positive"):
        hmc.adapt_step_size(torch.tensor(0.1), torch.tensor(0.5), rate=0.0)
