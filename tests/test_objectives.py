"""Estimators against the truth of the linear-Gaussian model, and on networks for shapes."""

import pytest
import torch
from oracles import (
    assert_same_mean,
    brute_force_evidence,
    exact_vae,
    images,
    mismatched_vae,
    true_kl,
)

import aevb_lib as aevb

# A new estimator of the bound is one line here.
ESTIMATORS = {"A": aevb.sgvb_a, "B": aevb.sgvb_b}
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
DRAWS = 4000


def small_vae():
    return aevb.VAE(aevb.GaussianMLP(16, 2, (8,)), aevb.BernoulliMLP(2, 16, (8,)))


def repeated(estimator, model, x, num_samples=1):
    """DRAWS independent estimates, [DRAWS, B] each: the same images over and over in one batch."""
    with torch.no_grad():
        bound = estimator(model, x.repeat(DRAWS, 1), num_samples)
    return aevb.Bound(*(value.reshape(DRAWS, len(x)) for value in bound))


@each_estimator
@pytest.mark.parametrize("num_samples", [1, 5])
@pytest.mark.parametrize("size", [1, 4])
def test_one_value_per_image(estimator, num_samples, size):
    bound = estimator(small_vae(), torch.rand(size, 16), num_samples)
    assert [value.shape for value in bound] == [(size,)] * 3
    torch.testing.assert_close(bound.elbo, bound.log_likelihood - bound.kl)


@each_estimator
def test_gradient_reaches_every_parameter(estimator):
    model = small_vae()
    estimator(model, torch.rand(4, 16)).elbo.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
        assert torch.isfinite(parameter.grad).all(), name


@each_estimator
def test_expected_bound_is_evidence_minus_kl(estimator):
    torch.manual_seed(0)
    model = mismatched_vae()
    x = images(model.decoder, 4)
    truth = brute_force_evidence(model.decoder).log_prob(x) - true_kl(model, x)
    assert (true_kl(model, x) > 0.1).all(), "the encoder should be wrong here"
    assert_same_mean(repeated(estimator, model, x).elbo, truth)
    assert_same_mean(repeated(estimator, model, x, num_samples=3).elbo, truth)


def test_both_estimators_agree_part_by_part():
    torch.manual_seed(1)
    model = mismatched_vae()
    x = images(model.decoder, 3)
    a, b = repeated(aevb.sgvb_a, model, x), repeated(aevb.sgvb_b, model, x)
    assert_same_mean(a.kl, b.kl[0])
    assert b.kl.std(0).max() < 1e-9, "B's divergence is exact"
    assert_same_mean(a.log_likelihood - b.log_likelihood, 0.0)


def test_both_gradients_agree_in_expectation():
    torch.manual_seed(2)
    model = mismatched_vae()
    x = images(model.decoder, 2)
    names = [name for name, _ in model.named_parameters()]

    def gradients(estimator):
        rows = []
        for _ in range(120):
            bound = estimator(model, x, num_samples=4).elbo.mean()
            rows.append(
                torch.cat([g.flatten() for g in torch.autograd.grad(bound, model.parameters())])
            )
        return torch.stack(rows)

    assert names
    assert_same_mean(gradients(aevb.sgvb_a) - gradients(aevb.sgvb_b), 0.0)


def test_a_has_no_variance_at_the_exact_posterior():
    model = exact_vae()
    x = images(model.decoder, 5)
    bounds = repeated(aevb.sgvb_a, model, x).elbo
    truth = brute_force_evidence(model.decoder).log_prob(x)
    torch.testing.assert_close(bounds, truth.expand_as(bounds), rtol=0, atol=1e-9)


def test_b_varies_at_the_exact_posterior():
    """So the zero above is A's, not an accident of the model."""
    model = exact_vae()
    assert repeated(aevb.sgvb_b, model, images(model.decoder, 5)).elbo.std(0).min() > 0.1


@each_estimator
def test_more_samples_vary_less(estimator):
    torch.manual_seed(3)
    model = mismatched_vae()
    x = images(model.decoder, 3)
    one, ten = (repeated(estimator, model, x, L).elbo.var(0) for L in (1, 10))
    torch.testing.assert_close(one / ten, torch.full_like(one, 10.0), rtol=0.2, atol=0)


@each_estimator
def test_same_seed_same_value(estimator):
    model, x = small_vae(), torch.rand(4, 16)
    values = []
    for training in (True, False):
        torch.manual_seed(0)
        values.append(estimator(model.train(training), x).elbo)
    assert torch.equal(*values)


@each_estimator
@pytest.mark.parametrize("value", [1e4, -1e4])
def test_extreme_encoders_give_finite_bounds_and_gradients(estimator, value):
    model, x = small_vae(), torch.rand(4, 16)
    with torch.no_grad():
        model.encoder.mlp.layers[-1].bias.fill_(value)
    bound = estimator(model, x)
    bound.elbo.mean().backward()
    assert all(torch.isfinite(part).all() for part in bound)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@each_estimator
@pytest.mark.parametrize("num_samples", [0, -1])
def test_at_least_one_sample(estimator, num_samples):
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        estimator(small_vae(), torch.rand(4, 16), num_samples)


def test_a_needs_no_closed_form():
    class LaplaceEncoder(torch.nn.Module):
        def forward(self, x):
            loc = x[..., :2]
            laplace = torch.distributions.Laplace(loc, torch.ones_like(loc))
            return torch.distributions.Independent(laplace, 1)

    model = aevb.VAE(LaplaceEncoder(), aevb.BernoulliMLP(2, 16))
    assert torch.isfinite(aevb.sgvb_a(model, torch.rand(4, 16)).elbo).all()


def test_reconstruction_is_the_likelihood_at_the_point_code():
    model, x = mismatched_vae(), images(mismatched_vae().decoder, 4)
    truth = model.decoder(model.encode(x)).log_prob(x)
    value = aevb.reconstruction(model, x)
    assert value.shape == (4,)
    torch.testing.assert_close(value, truth)


@pytest.mark.parametrize(
    "make",
    [small_vae, lambda: aevb.Autoencoder(aevb.MLP(16, 2), aevb.BernoulliMLP(2, 16))],
    ids=["VAE", "Autoencoder"],
)
def test_reconstruction_is_minus_the_cross_entropy(make):
    model, x = make(), torch.rand(4, 16)
    bce = torch.nn.functional.binary_cross_entropy(
        model.decode(model.encode(x)), x, reduction="none"
    )
    torch.testing.assert_close(aevb.reconstruction(model, x), -bce.sum(-1))


def test_the_autoencoders_objective_reaches_every_parameter():
    model = aevb.Autoencoder(aevb.MLP(16, 2), aevb.BernoulliMLP(2, 16))
    aevb.reconstruction(model, torch.rand(4, 16)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
