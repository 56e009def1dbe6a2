"""Every formula against one written in another way."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_same_mean
from scipy import stats
from torch.distributions import Laplace, MultivariateNormal
from torch.nn.functional import binary_cross_entropy_with_logits

import aevb_lib as aevb
from aevb_lib import distributions, log_mean_exp

SHAPES = [(3,), (4, 3), (2, 4, 3)]
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "make",
    [lambda t: aevb.diagonal_normal(t, t.abs() + 1), aevb.bernoulli, aevb.continuous_bernoulli],
    ids=["diagonal_normal", "bernoulli", "continuous_bernoulli"],
)
def test_the_last_axis_is_the_event(make, shape):
    distribution = make(torch.randn(shape))
    assert distribution.batch_shape == shape[:-1]
    assert distribution.event_shape == shape[-1:]
    draws = distribution.sample((5,))
    assert draws.shape == (5, *shape)
    assert distribution.log_prob(draws).shape == (5, *shape[:-1])


def test_the_second_argument_is_a_standard_deviation():
    loc, scale = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([0.1, 1.0, 5.0])
    x = torch.tensor([0.4, 0.0, -3.0])
    truth = stats.norm(loc, scale).logpdf(x).sum()
    assert aevb.diagonal_normal(loc, scale).log_prob(x).item() == pytest.approx(truth, rel=1e-5)


@given(
    st.lists(st.floats(-20, 20), min_size=1, max_size=5),
    st.lists(st.floats(0, 1), min_size=5, max_size=5),
)
def test_bernoulli_is_the_cross_entropy_for_grey_pixels_too(logits, pixels):
    a = torch.tensor(logits, dtype=torch.float64)
    x = torch.tensor(pixels[: len(logits)], dtype=torch.float64)
    truth = (x * torch.sigmoid(a).log() + (1 - x) * torch.sigmoid(-a).log()).sum()
    torch.testing.assert_close(aevb.bernoulli(a).log_prob(x), truth, rtol=1e-9, atol=1e-9)


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(-100, 100, width=32)), min_size=4, max_size=4),
    st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
)
def test_bernoulli_in_float32_is_as_exact_as_torchs_own_formula(logits, pixels):
    a = torch.tensor(logits, requires_grad=True)
    x = torch.tensor(pixels)
    ours = aevb.bernoulli(a).log_prob(x)
    truth = -binary_cross_entropy_with_logits(a.double(), x.double(), reduction="sum")
    torch.testing.assert_close(
        ours.double(), truth, rtol=3e-7, atol=2e-6 + 1e-7 * sum(map(abs, logits))
    )
    (gradient,) = torch.autograd.grad(ours, a)
    torch.testing.assert_close(gradient, x - a.sigmoid(), rtol=1e-5, atol=1e-6)


def test_bernoulli_sums_to_one_over_all_binary_images():
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    total = aevb.bernoulli(torch.tensor([-2.0, 0.0, 1.0, 5.0])).log_prob(every).exp().sum()
    torch.testing.assert_close(total, torch.tensor(1.0))


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_stay_finite(logit):
    logits = torch.full((3,), logit, requires_grad=True)
    value = aevb.bernoulli(logits).log_prob(torch.tensor([0.0, 0.3, 1.0]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.05, 5)), min_size=1, max_size=6))
@settings(deadline=None)
def test_kl_is_appendix_b(parameters):
    loc, scale = torch.tensor(parameters, dtype=torch.float64).T
    zeros = torch.zeros_like(loc)
    kl = aevb.kl_divergence(
        aevb.diagonal_normal(loc, scale), aevb.diagonal_normal(zeros, zeros + 1)
    )
    paper = -0.5 * (1 + scale.square().log() - loc.square() - scale.square()).sum()
    torch.testing.assert_close(kl, paper, rtol=1e-9, atol=1e-9)
    full = torch.distributions.kl_divergence(
        MultivariateNormal(loc, torch.diag(scale**2)),
        MultivariateNormal(zeros, torch.eye(len(zeros), dtype=torch.float64)),
    )
    torch.testing.assert_close(kl, full, rtol=1e-7, atol=1e-7)
    assert kl >= -1e-12


def test_kl_is_the_expected_log_ratio():
    torch.manual_seed(0)
    q = aevb.diagonal_normal(torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0]))
    p = aevb.diagonal_normal(torch.zeros(2), torch.ones(2))
    z = q.sample((100_000,))
    assert_same_mean(q.log_prob(z) - p.log_prob(z), aevb.kl_divergence(q, p))


def test_torchs_own_function_knows_the_closed_form_for_the_prior():
    q = aevb.diagonal_normal(torch.randn(4, 3).double(), torch.rand(4, 3).double() + 0.1)
    prior = aevb.standard_normal(torch.zeros(3).double())
    general = aevb.diagonal_normal(torch.zeros(3).double(), torch.ones(3).double())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns if two rules fit
        special = torch.distributions.kl_divergence(q, prior)
    assert special.shape == (4,)
    torch.testing.assert_close(special, torch.distributions.kl_divergence(q, general))
    assert torch.equal(special, aevb.kl_divergence(q, prior))


def test_a_sample_is_an_rsample_without_a_gradient(monkeypatch):
    loc = torch.randn(4, 3, requires_grad=True)
    q = aevb.diagonal_normal(loc, loc.abs() + 1)
    # torch.normal looks at the scale, and a GPU waits for that.
    monkeypatch.setattr(torch, "normal", lambda *_: pytest.fail("torch.normal was called"))
    torch.manual_seed(0)
    draws = q.sample((5,))
    torch.manual_seed(0)
    assert torch.equal(draws, q.rsample((5,)))
    assert not draws.requires_grad


def test_pixels_are_drawn_as_torch_draws_them():
    """On a CPU number by number, for the sake of the records."""
    logits = torch.randn(4, 3, requires_grad=True)
    torch.manual_seed(0)
    draws = aevb.bernoulli(logits).sample((5,))
    torch.manual_seed(0)
    assert torch.equal(draws, torch.bernoulli(logits.sigmoid().expand(5, 4, 3)))
    assert not draws.requires_grad
    with pytest.raises(RuntimeError):
        aevb.bernoulli(logits.detach() * math.nan).sample()


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=GPU)], ids=["as on a GPU", "on a GPU"]
)
def test_pixels_of_a_gpu_have_their_probabilities_and_survive_a_nan(device, monkeypatch):
    """There torch.bernoulli would end the process, with all other runs of a study."""
    if device == "cpu":
        monkeypatch.setattr(torch, "bernoulli", distributions._compared_with_noise)
    torch.manual_seed(0)
    logits = torch.tensor([-100.0, -2.0, 0.5, 100.0], device=device)
    draws = aevb.bernoulli(logits).sample((20_000,)).cpu().double()
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert_same_mean(draws[:, 1:3], logits.cpu().double().sigmoid()[1:3])
    assert draws[:, 0].max() == 0
    assert draws[:, 3].min() == 1
    lost = aevb.bernoulli(torch.full((4,), math.nan, device=device)).sample((5,))
    assert lost.eq(0).all()
    drawn = torch.func.vmap(lambda a: aevb.bernoulli(a).sample((9,)), randomness="different")
    alike = drawn(torch.zeros(2, 20, device=device))
    assert alike.shape == (2, 9, 20)
    assert not torch.equal(alike[0], alike[1]), "every model of a stack has its own noise"


def test_off_the_processor_torchs_own_draws_are_not_used(monkeypatch):
    monkeypatch.setattr(torch, "bernoulli", lambda *_: pytest.fail("torch.bernoulli was called"))
    draws = aevb.bernoulli(torch.zeros(4, 3, device="meta")).sample((5,))
    assert (draws.shape, draws.device.type) == ((5, 4, 3), "meta")


def test_no_closed_form_is_said():
    q = torch.distributions.Independent(Laplace(torch.zeros(2), torch.ones(2)), 1)
    p = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    with pytest.raises(NotImplementedError):
        aevb.kl_divergence(q, p)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20), st.floats(-1e6, 1e6))
def test_log_mean_exp(values, shift):
    v = torch.tensor(values, dtype=torch.float64)
    truth = math.log(math.fsum(math.exp(x) for x in values) / len(values))
    assert log_mean_exp(v).item() == pytest.approx(truth, abs=1e-9)
    # Shifting the logarithms shifts the result, where exp alone would overflow or vanish.
    assert log_mean_exp(v + shift).item() == pytest.approx(truth + shift, abs=1e-6)


def test_log_mean_exp_takes_any_axis_and_impossible_samples():
    v = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(log_mean_exp(v, 1), v.exp().mean(1).log())
    impossible = torch.tensor([0.0, -math.inf])
    assert log_mean_exp(impossible).item() == pytest.approx(-math.log(2))


@pytest.mark.parametrize(
    "distribution",
    [aevb.bernoulli(torch.zeros(4, 1)), aevb.diagonal_normal(torch.zeros(4, 1), torch.ones(4, 1))],
    ids=["bernoulli", "diagonal_normal"],
)
def test_one_pixel_is_not_spread_over_an_image(distribution):
    """Broadcast, a decoder of one pixel would give images of 784 a positive bound."""
    with pytest.raises(ValueError, match=r"over \[1\] numbers.*shape \[4, 784\]"):
        distribution.log_prob(torch.rand(4, 784))
