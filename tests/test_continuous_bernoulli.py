"""The continuous Bernoulli against torch's own, against integrals, and near its singularity."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import ContinuousBernoulli as Torchs

import aevb_lib as aevb
from aevb_lib.continuous_bernoulli import ContinuousBernoulli

# Torch's formulas lose digits near zero, where it cuts in with a series of its own.
FAR = torch.cat([torch.linspace(-12, -0.2, 60), torch.linspace(0.2, 12, 60)]).double()
EVERYWHERE = [0.0, 1e-30, 1e-8, 1e-3, 0.00999, 0.01, 0.0999, 0.1, 0.499, 0.5, 1.0, 17.0, 90.0, 1e30]
QUANTITIES = {
    "mean": lambda p: p.mean,
    "variance": lambda p: p.variance,
    "log_prob": lambda p: p.log_prob(torch.tensor(0.3, dtype=p.logits.dtype)),
    "quantile": lambda p: p.icdf(torch.tensor(0.3, dtype=p.logits.dtype)),
    "log_normalizer": lambda p: aevb.continuous_bernoulli_log_normalizer(p.logits),
}
each_quantity = pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)

logits = st.floats(-50, 50)
levels = st.floats(0, 1)


def far(quantity):
    """Torch's value of a quantity where torch can be trusted."""
    theirs = Torchs(logits=FAR, lims=(0.4999, 0.5001))
    return {
        "mean": lambda: theirs.mean,
        "variance": lambda: theirs.variance,
        "log_prob": lambda: theirs.log_prob(torch.full_like(FAR, 0.3)),
        "quantile": lambda: theirs.icdf(torch.full_like(FAR, 0.3)),
        "log_normalizer": lambda: theirs.log_prob(FAR * 0) + torch.nn.functional.softplus(FAR),
    }[quantity]()


@pytest.mark.parametrize("name", QUANTITIES)
def test_it_is_torchs(name):
    ours = QUANTITIES[name](ContinuousBernoulli(FAR))
    torch.testing.assert_close(ours, far(name), rtol=1e-9, atol=1e-10)


@given(logits)
def test_it_integrates_to_one_and_its_moments_are_those_of_the_density(logit):
    nodes, weights = (torch.tensor(v) for v in _gauss_legendre())
    p = ContinuousBernoulli(torch.tensor(logit, dtype=torch.float64))
    density = p.log_prob(nodes).exp() * weights
    assert density.sum().item() == pytest.approx(1, abs=1e-9)
    assert (density * nodes).sum().item() == pytest.approx(p.mean.item(), abs=1e-9)
    spread = (density * (nodes - p.mean) ** 2).sum().item()
    assert spread == pytest.approx(p.variance.item(), abs=1e-8)


def _gauss_legendre():
    from numpy.polynomial.legendre import leggauss

    nodes, weights = leggauss(100)
    return (nodes + 1) / 2, weights / 2


@given(logits, levels)
def test_quantiles_invert_the_distribution_function(logit, level):
    p = ContinuousBernoulli(torch.tensor(logit, dtype=torch.float64))
    x = p.icdf(torch.tensor(level, dtype=torch.float64)).item()
    assert 0 <= x <= 1
    truth = x if logit == 0 else math.expm1(logit * x) / math.expm1(logit)
    if abs(logit) > 1e-5:  # nearer to zero this quotient has lost its own digits
        assert truth == pytest.approx(level, abs=1e-8)


@given(logits)
def test_it_is_the_mirror_image_of_its_opposite(logit):
    a = torch.tensor(logit, dtype=torch.float64)
    p, opposite = ContinuousBernoulli(a), ContinuousBernoulli(-a)
    torch.testing.assert_close(p.mean, 1 - opposite.mean, rtol=1e-12, atol=1e-14)
    x = torch.linspace(0, 1, 5, dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(x), opposite.log_prob(1 - x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(p.icdf(x), 1 - opposite.icdf(1 - x), rtol=1e-9, atol=1e-9)


@given(st.floats(-100, 100, width=32))
def test_the_normalizer_is_what_a_bernoulli_lacks(logit):
    a, x = torch.full((3,), logit), torch.tensor([0.0, 0.3, 1.0])
    extra = aevb.continuous_bernoulli_log_normalizer(a).sum()
    assert extra >= 3 * math.log(2) - 1e-5
    whole = aevb.continuous_bernoulli(a).log_prob(x)
    torch.testing.assert_close(whole, aevb.bernoulli(a).log_prob(x) + extra, rtol=1e-5, atol=1e-4)


@each_quantity
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_finite_everywhere(quantity, dtype):
    a = torch.tensor([*EVERYWHERE, *(-v for v in EVERYWHERE)], dtype=dtype, requires_grad=True)
    values = quantity(ContinuousBernoulli(a))
    (slopes,) = torch.autograd.grad(values.sum(), a, create_graph=True)
    assert values.isfinite().all()
    assert slopes.isfinite().all()


@each_quantity
@pytest.mark.parametrize("limit", [0.01, 0.1, 0.5])
def test_series_and_formula_meet(quantity, limit):
    """On both sides of the place where one takes over, value and slope are the same."""
    a = torch.tensor([limit - 1e-9, limit + 1e-9], dtype=torch.float64, requires_grad=True)
    values = quantity(ContinuousBernoulli(a))
    (slopes,) = torch.autograd.grad(values.sum(), a)
    assert values.diff().abs() < 2e-9
    assert slopes.diff().abs() < 2e-8


@each_quantity
def test_gradients_are_those_of_the_formula(quantity):
    a = torch.tensor([-7.0, -0.3, -0.05, -0.004, 0.0, 0.004, 0.05, 0.3, 7.0], dtype=torch.float64)
    torch.autograd.gradcheck(lambda b: quantity(ContinuousBernoulli(b)), a.requires_grad_())


def test_the_derivative_of_the_log_partition_is_the_mean():
    a = torch.linspace(-9, 9, 181, dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(-ContinuousBernoulli(a).log_prob(0 * a.detach()).sum(), a)
    torch.testing.assert_close(slopes, ContinuousBernoulli(a).mean, rtol=1e-9, atol=1e-9)


def test_draws_have_the_mean_and_carry_gradients():
    torch.manual_seed(0)
    a = torch.tensor([-20.0, -1.0, 0.0, 0.001, 3.0], dtype=torch.float64, requires_grad=True)
    p = aevb.continuous_bernoulli(a)
    draws = p.rsample((40_000,))
    error = draws.std(0) / 200
    assert ((draws.mean(0) - p.mean).abs() < 5 * error).all()
    slopes = torch.autograd.grad(draws.mean(0).sum(), a)[0]
    torch.testing.assert_close(slopes, p.base_dist.variance, rtol=0.05, atol=0)
    assert not p.sample().requires_grad


def test_it_spreads_like_other_distributions():
    p = aevb.continuous_bernoulli(torch.zeros(4, 1, 3))
    assert (p.batch_shape, p.event_shape) == ((4, 1), (3,))
    wide = p.expand((4, 5))
    assert wide.sample((2,)).shape == (2, 4, 5, 3)
    with pytest.raises(ValueError, match="over \\[3\\] numbers"):
        p.log_prob(torch.rand(4, 1, 1))
    with pytest.raises(TypeError):
        aevb.continuous_bernoulli([0.0])
    with pytest.raises(TypeError):
        aevb.continuous_bernoulli_log_normalizer(0.0)
