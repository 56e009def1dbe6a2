"""Quadrature: the truth in few dimensions, wherever and however narrow a posterior is, or a no."""

import math

import pytest
import torch
from oracles import brute_force_evidence, generative, small_images
from torch import nn

import aevb_lib as aevb
from aevb_lib.evidence import quadrature
from aevb_lib.pretrained import load_pretrained


def two_modes(width):
    """p(x | z) with one peak at 3 and one at -3.2, of this width each, whatever the image."""

    class Peaks(nn.Module):
        in_dim = 1

        def forward(self, z):
            parts = torch.distributions.Normal(torch.tensor([3.0, -3.2]), width).log_prob(z)
            log_peaks = parts.logsumexp(-1, keepdim=True)
            return aevb.diagonal_normal(log_peaks, torch.ones_like(log_peaks))

    class Model(aevb.LatentVariableModel):
        def log_joint(self, x, z):
            return self.prior().log_prob(z) + self.likelihood(z).mean.squeeze(-1) + 0 * x[..., 0]

    return Model(Peaks())


@pytest.mark.parametrize("width", [0.5, 0.05, 0.01])
def test_quadrature_sees_every_mode_however_narrow(width):
    """A normal prior times a normal peak integrates to N(peak; 0, 1 + width^2)."""
    spread = math.sqrt(1 + width**2)
    truth = torch.distributions.Normal(0, spread).log_prob(torch.tensor([3.0, -3.2])).logsumexp(0)
    value = aevb.quadrature_log_likelihood(two_modes(width), torch.zeros(2, 3))
    torch.testing.assert_close(value, truth.expand(2), rtol=0, atol=1e-3)


@pytest.mark.parametrize("far", [0.0, 5.0, 10.0, 30.0])
def test_quadrature_follows_a_posterior_out_of_the_prior(far):
    decoder = aevb.LinearGaussian(torch.tensor([[1.0], [1.0]]), torch.zeros(2), scale=0.3)
    x = torch.full((1, 2), far)
    value = aevb.quadrature_log_likelihood(aevb.LatentVariableModel(decoder), x)
    truth = brute_force_evidence(decoder).log_prob(x)
    torch.testing.assert_close(value, truth, rtol=1e-6, atol=1e-3)


def test_a_posterior_beyond_every_grid_is_said_to_be():
    decoder = aevb.LinearGaussian(torch.tensor([[1.0], [1.0]]), torch.zeros(2), scale=0.3)
    with pytest.raises(ArithmeticError, match=r"1 images reach more than 48.*ais_log_likelihood"):
        aevb.quadrature_log_likelihood(aevb.LatentVariableModel(decoder), torch.full((1, 2), 90.0))


def test_blank_images_under_the_shipped_model():
    """A black one's posterior is cut off at |z| = 6, a white one's lies far outside."""
    model = load_pretrained("vae", 2)
    black = aevb.quadrature_log_likelihood(model, torch.zeros(1, 784))
    assert black.item() == pytest.approx(-35.508, abs=2e-3)
    white = aevb.quadrature_log_likelihood(model, torch.ones(1, 784))
    assert white.item() == pytest.approx(-1428.55, abs=0.05)


@pytest.mark.parametrize("far", [0.0, 8.0, 20.0])
@pytest.mark.parametrize(("latent_dim", "scale"), [(1, 0.03), (2, 0.1), (2, 0.03), (3, 0.1)])
def test_quadrature_follows_narrow_ridges(latent_dim, scale, far):
    """Across the axes, where wide cells have their centers far down the sides of the ridge."""
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        weight, z, noise = (
            torch.randn(*shape, generator=generator, dtype=torch.float64)
            for shape in ((6, latent_dim), (1, latent_dim), (1, 6))
        )
        decoder = aevb.LinearGaussian(weight, torch.zeros(6, dtype=torch.float64), scale=scale)
        x = far * z / z.norm() @ weight.T + scale * noise
        value = aevb.quadrature_log_likelihood(aevb.LatentVariableModel(decoder), x)
        truth = brute_force_evidence(decoder).log_prob(x)
        torch.testing.assert_close(value, truth, rtol=0, atol=1e-3)


def test_a_posterior_of_too_many_cells_is_said_to_be(monkeypatch):
    monkeypatch.setattr(quadrature, "MAX_CELLS", 100)
    with pytest.raises(ArithmeticError, match=r"more than 100 cells.*use ais_log_likelihood"):
        aevb.quadrature_log_likelihood(generative(2), small_images())


def test_a_posterior_too_narrow_is_said_to_be():
    with pytest.raises(ArithmeticError, match=r"2 images still moves.*ais_log_likelihood"):
        aevb.quadrature_log_likelihood(two_modes(1e-5), torch.zeros(2, 3))


def test_quadrature_does_not_wait_for_the_slowest():
    """Images in one piece or apart: each has its own cells and stops by itself."""
    model, x = generative(2), small_images(6)
    whole = aevb.quadrature_log_likelihood(model, x)
    apart = torch.cat([aevb.quadrature_log_likelihood(model, image) for image in x.split(1)])
    torch.testing.assert_close(whole, apart, rtol=0, atol=1e-5)


def test_a_prior_that_no_grid_covers_is_named():
    class Heavy(aevb.LatentVariableModel):
        def prior(self):
            zeros = torch.zeros(2)
            return torch.distributions.Independent(torch.distributions.Cauchy(zeros, zeros + 1), 1)

    model = Heavy(generative(2).decoder)
    with pytest.raises(ValueError, match=r"without mean and variance.*use ais_log_likelihood"):
        aevb.quadrature_log_likelihood(model, small_images())


def test_a_correlated_prior_is_obeyed():
    covariance = torch.tensor([[1.0, 0.6], [0.6, 2.0]])
    prior = torch.distributions.MultivariateNormal(torch.full((2,), 8.0), covariance)

    class Correlated(aevb.LatentVariableModel):
        def prior(self):
            return prior

    x = torch.tensor([[8.0, 8.0], [7.0, 9.0]])
    model = Correlated(aevb.LinearGaussian(torch.eye(2), torch.zeros(2)))
    truth = torch.distributions.MultivariateNormal(prior.mean, covariance + torch.eye(2))
    value = aevb.quadrature_log_likelihood(model, x)
    torch.testing.assert_close(value, truth.log_prob(x), rtol=0, atol=1e-3)


def test_impossible_quadrature():
    with pytest.raises(ValueError, match="up to 3 latent dimensions, this model has 4"):
        aevb.quadrature_log_likelihood(generative(4), small_images())
    for tolerance in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="tolerance must be positive"):
            aevb.quadrature_log_likelihood(generative(2), small_images(), tolerance=tolerance)
