"""Estimates of log p(x): what all of them promise, and the truth where it is known."""

import math

import pytest
import torch
from jaxtyping import TypeCheckError
from oracles import (
    brute_force_evidence,
    brute_force_posterior,
    generative,
    images,
    linear_gaussian,
    small_images,
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


@each_estimator
def test_the_linear_gaussian_truth(estimate, options, one, average):
    decoder = linear_gaussian()
    x = images(decoder, 5 if estimate is aevb.quadrature_log_likelihood else 25)
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
    model.decoder.mlp.layers[0].weight.requires_grad_(False)
    flags = [p.requires_grad for p in model.parameters()]
    state, gradients = torch.get_rng_state(), torch.is_grad_enabled()
    first = estimate(model, x, **options)
    assert first.shape == (4,)
    assert [p.requires_grad for p in model.parameters()] == flags
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


def test_chains_move_together_though_their_starts_are_found_in_pieces(monkeypatch):
    """A start needs a thousand codes per image at once, a move one."""
    model = generative(pixels=784)
    likelihood, decoded = model.likelihood, []
    monkeypatch.setattr(
        model, "likelihood", lambda z: decoded.append(tuple(z.shape[:-1])) or likelihood(z)
    )
    aevb.posterior_draws(model, torch.zeros(40, 784), 2, num_warmup=1, num_leapfrog=4)
    assert decoded == [(1000,)] * 2 + [(40,)] * (1 + 3 * 4)


@each_estimator
@pytest.mark.parametrize("shape", [(0, 8), (8,), (2, 3, 8)])
def test_what_are_no_images(estimate, options, one, average, shape):
    # Annotations are checked in tests only, so that readers get the message.
    with pytest.raises((ValueError, TypeCheckError), match=r"x must be images|parameter 'x'"):
        estimate(generative(), torch.zeros(shape), **options)
    with pytest.raises(ValueError, match=r"x must be images \[B, P\], at least one, but its shape"):
        pieces.piece_size(torch.zeros(shape), 1)


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


def test_draws_and_refinement_leave_inference_mode_too():
    model = with_wide_encoder(generative())
    with torch.inference_mode():
        x = small_images()
        z = aevb.posterior_draws(model, x, 3).position
        q = aevb.refine_posterior(model, x, model.posterior(x), num_steps=3)
        above = aevb.reverse_ais_log_likelihood(model, x, z[0], num_temperatures=5)
    x, z = small_images(), z.clone()
    assert torch.equal(aevb.posterior_draws(model, x, 3).position, z)
    again = aevb.refine_posterior(model, x, model.posterior(x), num_steps=3)
    assert torch.equal(again.mean, q.mean)
    once_more = aevb.reverse_ais_log_likelihood(model, x, z[0], num_temperatures=5)
    assert torch.equal(once_more, above)


def test_no_draws():
    with pytest.raises(ValueError, match="num_draws must be at least 1"):
        aevb.posterior_draws(generative(), small_images(), 0)


def test_a_covariance_needs_draws():
    with pytest.raises(ValueError, match="num_samples must exceed the latent dimension 2"):
        aevb.hmc_log_likelihood(generative(), small_images(), num_samples=2)
