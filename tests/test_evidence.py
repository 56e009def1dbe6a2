"""Estimates of log p(x): what all of them promise, and the truth where it is known."""

import inspect
import math

import pytest
import torch
from oracles import (
    assert_same_mean,
    brute_force_evidence,
    brute_force_posterior,
    images,
    linear_gaussian,
)
from torch import nn
from torch.distributions import MultivariateNormal

import aevb_lib as aevb
from aevb_lib.evidence import pieces
from aevb_lib.pretrained import load_pretrained


def importance(model, x, *, seed=0, **options):
    """Importance sampling needs an encoder: here one that does not look at the image."""
    return aevb.importance_log_likelihood(with_wide_encoder(model), x, seed=seed, **options)


# A new estimator is one line here: itself, how to make it fast, and how far it may be from the
# truth of one image (nats) and of many on average.
ESTIMATORS = {
    "importance": (importance, {"num_samples": 20_000}, 1.0, 0.15),
    "hmc": (aevb.hmc_log_likelihood, {}, 0.7, 0.05),
    "ais": (aevb.ais_log_likelihood, {"num_temperatures": 50}, 1.0, 0.15),
    "quadrature": (aevb.quadrature_log_likelihood, {}, 1e-3, 1e-3),
}
each_estimator = pytest.mark.parametrize(
    ("estimate", "options", "one", "average"), ESTIMATORS.values(), ids=ESTIMATORS
)
RANDOM = [name for name in ESTIMATORS if name != "quadrature"]


class Wide(nn.Module):
    """An encoder that answers with a normal twice as wide as the prior."""

    def __init__(self, latent_dim):
        super().__init__()
        self.out_dim = latent_dim

    def forward(self, x):
        zeros = x.new_zeros(*x.shape[:-1], self.out_dim)
        return aevb.diagonal_normal(zeros, zeros + 2)


def with_wide_encoder(model):
    vae = aevb.VAE(Wide(model.latent_dim), model.decoder, latent_dim=model.latent_dim)
    vae.prior, vae.likelihood = model.prior, model.likelihood
    return vae


def generative(latent_dim=2, pixels=8, seed=0):
    """A model with a decoder that is far from linear, and no encoder."""
    generator = torch.Generator().manual_seed(seed)
    model = aevb.LatentVariableModel(
        aevb.BernoulliMLP(latent_dim, pixels, (8,), generator=generator)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 4
    return model


def small_images(n=4, pixels=8):
    return torch.rand(n, pixels, generator=torch.Generator().manual_seed(1)).round()


@each_estimator
def test_the_linear_gaussian_truth(estimate, options, one, average):
    decoder = linear_gaussian()
    x = images(decoder, 25)
    error = estimate(aevb.LatentVariableModel(decoder), x, **options)
    error = error - brute_force_evidence(decoder).log_prob(x)
    assert error.abs().max() < one
    assert abs(error.mean()) < average


@each_estimator
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_a_bernoulli_model_integrates_to_one(estimate, options, one, average, latent_dim):
    """Summed over all binary images, exp of log p(x) is one, whatever the decoder."""
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    total = estimate(generative(latent_dim, pixels=4), every, **options).double().exp().sum()
    assert total.item() == pytest.approx(1, abs=2 * average)


@each_estimator
def test_repeatable_and_without_a_trace(estimate, options, one, average):
    model, x = generative(), small_images()
    state, gradients = torch.get_rng_state(), torch.is_grad_enabled()
    first = estimate(model, x, **options)
    assert first.shape == (4,)
    assert not first.requires_grad
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled() is gradients
    torch.manual_seed(77)
    assert torch.equal(estimate(model.eval(), x, **options), first)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", RANDOM)
def test_another_seed_is_another_estimate(name):
    estimate, options, _, _ = ESTIMATORS[name]
    model, x = generative(), small_images()
    assert not torch.equal(estimate(model, x, **options), estimate(model, x, seed=1, **options))


@each_estimator
def test_pieces_are_small_and_give_the_same(estimate, options, one, average, monkeypatch):
    model, x, sizes = generative(), small_images(), []
    whole = estimate(model, x, **options)
    monkeypatch.setattr(pieces, "MAX_DECODED", 30_000)
    likelihood = model.likelihood

    def measured(z):
        p = likelihood(z)
        log_prob = p.log_prob
        p.log_prob = lambda x: sizes.append(x.shape[-1] * log_prob(x).numel()) or log_prob(x)
        return p

    monkeypatch.setattr(model, "likelihood", measured)
    torch.testing.assert_close(estimate(model, x, **options), whole, rtol=0, atol=2 * one)
    # A grid is not split, only the images that it is for.
    assert max(sizes) <= max(30_000, 48**2 * 8)


@pytest.mark.parametrize(
    ("estimate", "shape"),
    [
        (lambda m, x: aevb.importance_log_likelihood(with_wide_encoder(m), x), (63, 1000)),
        (lambda m, x: aevb.ais_log_likelihood(m, x, num_temperatures=1), (16, 1992)),
        (lambda m, x: aevb.posterior_draws(m, x[:40], 1, num_warmup=0), (31, 1000)),
        (
            lambda m, x: aevb.refine_posterior(
                m, x, aevb.standard_normal(x[:, :2]), num_steps=1, num_samples=10
            ),
            (10, 1275),
        ),
    ],
    ids=["importance", "ais", "posterior_draws", "refine_posterior"],
)
def test_pieces_are_those_of_the_recorded_studies(estimate, shape):
    """Pieces draw in turn, so with others the same seed would give other values on many digits."""
    shapes = []

    class Flat:
        def __init__(self, z):
            self.z = z

        def log_prob(self, x):
            value = 0 * (self.z.sum(-1) + x[..., 0])
            shapes.append(tuple(value.shape))
            return value

    model = generative(pixels=784)
    model.likelihood = Flat
    estimate(model, torch.zeros(2000, 784))
    assert shape in shapes
    assert max(map(math.prod, shapes)) == math.prod(shape)


@each_estimator
def test_no_images(estimate, options, one, average):
    with pytest.raises(ValueError, match=r"x must be images \[B, P\], at least one"):
        estimate(generative(), torch.zeros(0, 8), **options)


@each_estimator
def test_inference_mode_is_left_inside(estimate, options, one, average):
    model, x = generative(), small_images()
    with torch.inference_mode():
        inside = estimate(model, x.clone(), **options)
    assert torch.equal(inside, estimate(model, x, **options))


@each_estimator
def test_a_prior_of_ones_own_is_obeyed(estimate, options, one, average):
    """N(8, I): the same model as with the prior N(0, I) and a bias of 8 in each dimension."""

    class Far(aevb.LatentVariableModel):
        def prior(self):
            return aevb.diagonal_normal(torch.full((2,), 8.0), torch.ones(2))

    x, zeros = torch.tensor([[8.0, 8.0], [9.0, 7.0]]), torch.zeros(2)
    if estimate is importance:
        options = {"num_samples": 300_000}  # its encoder looks around zero
        x = x - 4.0
    truth = brute_force_evidence(aevb.LinearGaussian(torch.eye(2), zeros + 8)).log_prob(x)
    value = estimate(Far(aevb.LinearGaussian(torch.eye(2), zeros)), x, **options)
    torch.testing.assert_close(value, truth, rtol=0, atol=one)


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"importance"}))
def test_an_encoder_is_not_asked(name):
    estimate, options, _, _ = ESTIMATORS[name]

    class Mute(nn.Module):
        out_dim = 2

        def forward(self, x):
            raise AssertionError("these estimates need no encoder")

    model, x = generative(), small_images()
    vae = aevb.VAE(Mute(), model.decoder)
    assert torch.equal(estimate(vae, x, **options), estimate(model, x, **options))


@pytest.mark.parametrize(("latent_dim", "num"), [(2, 5), (3, 1)])
def test_the_papers_estimator_agrees_with_quadrature_on_digits(latent_dim, num):
    """On trained networks: posteriors as narrow and as far from normal as they are."""
    model = load_pretrained("vae", latent_dim)
    _, test = aevb.load_mnist(regime="static")
    x = test.images[:num]
    truth = aevb.quadrature_log_likelihood(model, x)
    error = aevb.hmc_log_likelihood(model, x, num_samples=100) - truth
    assert error.abs().max() < 0.5


# --- appendix D ----------------------------------------------------------------------------------


def test_more_draws_bring_the_papers_estimator_closer():
    decoder = linear_gaussian()
    x = images(decoder, 200)
    model, truth = aevb.LatentVariableModel(decoder), brute_force_evidence(decoder).log_prob(x)
    few, many = (
        (aevb.hmc_log_likelihood(model, x, num_samples=n) - truth).square().mean().sqrt()
        for n in (20, 200)
    )
    assert many < 0.06 < few
    assert many < few / 3


def test_draws_of_the_posterior_have_its_moments():
    decoder = linear_gaussian()
    x = images(decoder, 50)
    model = aevb.LatentVariableModel(decoder)
    draws = aevb.posterior_draws(model, x, 200)
    weight, bias, covariance = brute_force_posterior(decoder)
    centered = draws.position - (x @ weight.T + bias)
    assert draws.position.shape == (200, 50, 3)
    torch.testing.assert_close(draws.log_density, model.log_joint(x, draws.position).detach())
    assert centered.mean((0, 1)).abs().max() < 0.1 * covariance.diagonal().sqrt().max()
    spread = torch.einsum("lbi,lbj->ij", centered, centered) / (200 * 50)
    torch.testing.assert_close(spread, covariance, rtol=0, atol=0.1 * float(covariance.max()))


def test_the_papers_estimator_fits_and_evaluates_on_different_draws():
    decoder = linear_gaussian()
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 4)
    z, log_joint, _ = aevb.posterior_draws(model, x, 40)
    q = MultivariateNormal(z[:20].mean(0), torch.stack([c.T.cov() for c in z[:20].unbind(1)]))
    by_hand = -aevb.log_mean_exp(q.log_prob(z[20:]) - log_joint[20:])
    torch.testing.assert_close(
        aevb.hmc_log_likelihood(model, x, num_samples=20), by_hand, rtol=0, atol=0.02
    )


def test_no_draws():
    with pytest.raises(ValueError, match="num_draws must be at least 1"):
        aevb.posterior_draws(generative(), small_images(), 0)


def test_a_covariance_needs_draws():
    with pytest.raises(ValueError, match="num_samples must exceed the latent dimension 2"):
        aevb.hmc_log_likelihood(generative(), small_images(), num_samples=2)


# --- annealed importance sampling ----------------------------------------------------------------


@pytest.mark.parametrize("num_temperatures", [1, 4, 20])
def test_annealing_is_unbiased_for_the_evidence(num_temperatures):
    """However few the temperatures; with one it is sampling from the prior."""
    decoder = linear_gaussian(scale=1.5)
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 1)
    values = aevb.ais_log_likelihood(
        model, x.expand(8000, -1), num_temperatures=num_temperatures, num_chains=1, num_leapfrog=2
    )
    truth = brute_force_evidence(decoder).log_prob(x)
    assert_same_mean((values - truth).exp(), 1.0)
    assert (values - truth).mean() < 0, "so its logarithm is too small on average"


def test_more_temperatures_bring_annealing_closer():
    decoder = linear_gaussian()
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 100)
    truth = brute_force_evidence(decoder).log_prob(x)
    error = [
        (truth - aevb.ais_log_likelihood(model, x, num_temperatures=t, num_chains=2)).mean()
        for t in (5, 20, 60)
    ]
    assert error[0] > 2 * error[1] > 4 * error[2] > 0


def test_impossible_annealing():
    for options in ({"num_temperatures": 0}, {"num_chains": 0}):
        with pytest.raises(ValueError, match="num_temperatures and num_chains must be at least 1"):
            aevb.ais_log_likelihood(generative(), small_images(), **options)


def test_forward_and_reverse_annealing_bracket_the_evidence():
    decoder = linear_gaussian()
    model = aevb.LatentVariableModel(decoder)
    torch.manual_seed(0)
    z = model.prior().sample((200,)).double()
    x = decoder(z).sample()
    truth = brute_force_evidence(decoder).log_prob(x)
    options = {"num_temperatures": 15, "num_chains": 1}
    below = (truth - aevb.ais_log_likelihood(model, x, **options)).mean()
    above = (aevb.reverse_ais_log_likelihood(model, x, z, **options) - truth).mean()
    assert below > 0.05
    assert above > 0.05
    close = {"num_temperatures": 60, "num_chains": 4}
    gap = aevb.reverse_ais_log_likelihood(model, x, z, **close) - aevb.ais_log_likelihood(
        model, x, **close
    )
    assert 0 < gap.mean() < 0.5 * (below + above)


def test_reverse_annealing_is_unbiased_for_one_over_the_evidence():
    """For many exact draws of one image's posterior."""
    decoder = linear_gaussian(scale=1.5)
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 1)
    torch.manual_seed(1)
    z = decoder.exact_posterior(x).sample((8000,)).squeeze(1)
    values = aevb.reverse_ais_log_likelihood(
        model, x.expand(8000, -1), z, num_temperatures=4, num_chains=1, num_leapfrog=2
    )
    truth = brute_force_evidence(decoder).log_prob(x)
    assert_same_mean((truth - values).exp(), 1.0)


def test_reverse_annealing_wants_one_code_per_image():
    plain = inspect.unwrap(aevb.reverse_ais_log_likelihood)  # readers have no check of shapes
    with pytest.raises(ValueError, match=r"one code per image, z \[4, 2\], got \[3, 2\]"):
        plain(generative(), small_images(), torch.zeros(3, 2))


# --- quadrature ----------------------------------------------------------------------------------


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


def test_a_posterior_too_narrow_is_said_to_be():
    with pytest.raises(ArithmeticError, match=r"2 images still moves.*ais_log_likelihood"):
        aevb.quadrature_log_likelihood(two_modes(1e-5), torch.zeros(2, 3))


def test_quadrature_does_not_wait_for_the_slowest():
    """Images in one piece or apart: each has its own cells and stops by itself."""
    model, x = generative(2), small_images(6)
    whole = aevb.quadrature_log_likelihood(model, x)
    apart = torch.cat([aevb.quadrature_log_likelihood(model, image) for image in x.split(1)])
    torch.testing.assert_close(whole, apart, rtol=0, atol=1e-5)


def test_impossible_quadrature():
    with pytest.raises(ValueError, match="up to 3 latent dimensions, this model has 4"):
        aevb.quadrature_log_likelihood(generative(4), small_images())
    for tolerance in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="tolerance must be positive"):
            aevb.quadrature_log_likelihood(generative(), small_images(), tolerance=tolerance)
