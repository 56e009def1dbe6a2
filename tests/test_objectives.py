"""Estimators against the truth of the linear-Gaussian model, and on networks for shapes."""

from functools import partial

import pytest
import torch
from oracles import (
    assert_same_mean,
    brute_force_evidence,
    exact_vae,
    images,
    joint_normal,
    mismatched_vae,
    true_kl,
)

import aevb_lib as aevb

# A new estimator of the bound is one line here.
ESTIMATORS = {"A": aevb.sgvb_a, "B": aevb.sgvb_b}
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
# A new bound of another quantity than the ELBO is one line here.
BOUNDS = ESTIMATORS | {"IWAE": aevb.iwae}
each_bound = pytest.mark.parametrize("estimator", BOUNDS.values(), ids=BOUNDS)
DRAWS = 4000


def small_vae():
    return aevb.VAE(aevb.GaussianMLP(16, 2, (8,)), aevb.BernoulliMLP(2, 16, (8,)))


def repeated(estimator, model, x, num_samples=1):
    """DRAWS independent estimates, [DRAWS, B] each: the same images over and over in one batch."""
    with torch.no_grad():
        bound = estimator(model, x.repeat(DRAWS, 1), num_samples)
    return aevb.Bound(*(value.reshape(DRAWS, len(x)) for value in bound))


@each_bound
@pytest.mark.parametrize("num_samples", [1, 5])
@pytest.mark.parametrize("size", [1, 4])
def test_one_value_per_image(estimator, num_samples, size):
    bound = estimator(small_vae(), torch.rand(size, 16), num_samples)
    assert [value.shape for value in bound] == [(size,)] * 3
    torch.testing.assert_close(bound.bound, bound.log_likelihood - bound.kl)


@each_bound
def test_gradient_reaches_every_parameter(estimator):
    model = small_vae()
    estimator(model, torch.rand(4, 16)).bound.sum().backward()
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
    assert_same_mean(repeated(estimator, model, x).bound, truth)
    assert_same_mean(repeated(estimator, model, x, num_samples=3).bound, truth)


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
            bound = estimator(model, x, num_samples=4).bound.mean()
            rows.append(
                torch.cat([g.flatten() for g in torch.autograd.grad(bound, model.parameters())])
            )
        return torch.stack(rows)

    assert names
    assert_same_mean(gradients(aevb.sgvb_a) - gradients(aevb.sgvb_b), 0.0)


def test_a_has_no_variance_at_the_exact_posterior():
    model = exact_vae()
    x = images(model.decoder, 5)
    bounds = repeated(aevb.sgvb_a, model, x).bound
    truth = brute_force_evidence(model.decoder).log_prob(x)
    torch.testing.assert_close(bounds, truth.expand_as(bounds), rtol=0, atol=1e-9)


def test_b_varies_at_the_exact_posterior():
    """So the zero above is A's, not an accident of the model."""
    model = exact_vae()
    assert repeated(aevb.sgvb_b, model, images(model.decoder, 5)).bound.std(0).min() > 0.1


@each_estimator
def test_more_samples_vary_less(estimator):
    torch.manual_seed(3)
    model = mismatched_vae()
    x = images(model.decoder, 3)
    one, ten = (repeated(estimator, model, x, L).bound.var(0) for L in (1, 10))
    torch.testing.assert_close(one / ten, torch.full_like(one, 10.0), rtol=0.2, atol=0)


@each_bound
def test_same_seed_same_value(estimator):
    model, x = small_vae(), torch.rand(4, 16)
    values = []
    for training in (True, False):
        torch.manual_seed(0)
        values.append(estimator(model.train(training), x).bound)
    assert torch.equal(*values)


@each_bound
@pytest.mark.parametrize("value", [80.0, -80.0])  # float32 holds variances up to exp(88)
def test_extreme_encoders_give_finite_bounds_and_gradients(estimator, value):
    model, x = small_vae(), torch.rand(4, 16)
    with torch.no_grad():
        model.encoder.mlp.layers[-1].bias.fill_(value)
    bound = estimator(model, x)
    bound.bound.mean().backward()
    assert all(torch.isfinite(part).all() for part in bound)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@each_bound
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
    assert torch.isfinite(aevb.sgvb_a(model, torch.rand(4, 16)).bound).all()


def test_reconstruction_is_the_likelihood_at_the_point_code():
    model, x = mismatched_vae(), images(mismatched_vae().decoder, 4)
    truth = model.decoder(model.encode(x)).log_prob(x)
    value = aevb.point_log_likelihood(model, x)
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
    torch.testing.assert_close(aevb.point_log_likelihood(model, x), -bce.sum(-1))


def test_the_autoencoders_objective_reaches_every_parameter():
    model = aevb.Autoencoder(aevb.MLP(16, 2), aevb.BernoulliMLP(2, 16))
    aevb.point_log_likelihood(model, torch.rand(4, 16)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


# --- the importance-weighted bound ---------------------------------------------------------------


def test_with_one_sample_the_importance_weighted_bound_is_a():
    model, x = mismatched_vae(), images(mismatched_vae().decoder, 4)
    bounds = []
    for estimator in (aevb.iwae, aevb.sgvb_a):
        torch.manual_seed(0)
        bounds.append(estimator(model, x))
    for one, other in zip(*bounds, strict=True):
        torch.testing.assert_close(one, other)


def test_the_importance_weighted_bound_is_what_evaluation_computes():
    model, x = mismatched_vae(), images(mismatched_vae().decoder, 4)
    torch.manual_seed(0)
    bound = aevb.iwae(model, x, num_samples=7).bound
    torch.testing.assert_close(bound, aevb.importance_log_likelihood(model, x, num_samples=7))


def test_more_importance_samples_tighten_the_bound():
    torch.manual_seed(0)
    model = mismatched_vae()
    x = images(model.decoder, 4)
    truth = brute_force_evidence(model.decoder).log_prob(x)
    gaps = [(truth - repeated(aevb.iwae, model, x, L).bound.mean(0)) for L in (1, 4, 16)]
    assert (gaps[0] > 1.5 * gaps[1]).all() and (gaps[1] > 1.5 * gaps[2]).all()
    assert (gaps[2] > -0.02).all()


def test_the_importance_weighted_gradient_weighs_the_samples():
    """Burda et al., equation (14): the gradients of the log-weights, averaged with the normalized
    weights. The well-known slip puts the largest on the worst sample."""
    model, x = mismatched_vae(), images(mismatched_vae().decoder, 1)
    parameters = list(model.parameters())
    torch.manual_seed(0)
    gradients = torch.autograd.grad(aevb.iwae(model, x, num_samples=3).bound.sum(), parameters)
    torch.manual_seed(0)
    q = model.posterior(x)
    z = q.rsample((3,))
    log_weights = (model.log_joint(x, z) - q.log_prob(z)).squeeze(1)
    shares = log_weights.detach().exp() / log_weights.detach().exp().sum()
    assert shares.argmax() == log_weights.argmax()
    expected = torch.autograd.grad((shares * log_weights).sum(), parameters)
    for gradient, target in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, target)


def test_the_weighted_samples_explain_the_image_better():
    """Codes drawn again by their weights follow the exact posterior: the likelihood's average
    under it is known, -P/2 log(2 pi s^2) - E|x - Wz - b|^2 / (2 s^2)."""
    torch.manual_seed(0)
    model = mismatched_vae()
    x = images(model.decoder, 3)
    posterior = model.decoder.exact_posterior(x)
    truth = model.likelihood(posterior.sample((20_000,))).log_prob(x).mean(0).detach()
    with torch.no_grad():
        bound = aevb.iwae(model, x, num_samples=20_000)
    torch.testing.assert_close(bound.log_likelihood, truth, rtol=0, atol=0.1)
    zero, one = torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    prior = torch.distributions.MultivariateNormal(zero, one)
    divergence = torch.distributions.kl_divergence(posterior, prior)
    torch.testing.assert_close(bound.kl, divergence.detach(), rtol=0, atol=0.1)


# --- wake, sleep, complete data ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "learns"),
    [
        (lambda m, x: aevb.wake_phase(m, x), "decoder"),
        (lambda m, x: aevb.sleep_phase(m, len(x)), "encoder"),
    ],
    ids=["wake", "sleep"],
)
@pytest.mark.parametrize("size", [1, 4])
def test_a_phase_teaches_one_half_only(objective, learns, size):
    model = small_vae()
    value = objective(model, torch.rand(size, 16))
    assert value.shape == (size,)
    value.sum().backward()
    for name, parameter in model.named_parameters():
        if name.split(".")[0] == learns:
            assert parameter.grad.abs().sum() > 0, name
        else:
            assert parameter.grad is None, name


def test_wake_is_the_joint_of_images_and_the_encoders_codes():
    """E_q log p(x, z) = bound - entropy of q, both in closed form here."""
    torch.manual_seed(0)
    model = mismatched_vae()
    x = images(model.decoder, 3)
    bound = brute_force_evidence(model.decoder).log_prob(x) - true_kl(model, x)
    with torch.no_grad():
        values = aevb.wake_phase(model, x.repeat(DRAWS, 1)).reshape(DRAWS, 3)
        assert_same_mean(values, bound - model.posterior(x).entropy())


def test_sleep_is_the_encoder_on_dreams():
    """At the exact posterior: minus the posterior's entropy, which no image changes here; at any
    other encoder it is smaller, by the divergence from the exact posterior."""
    torch.manual_seed(0)
    model = exact_vae()
    with torch.no_grad():
        values = aevb.sleep_phase(model, DRAWS)
        x = images(model.decoder, 1)
        best = -model.posterior(x).entropy()
        assert_same_mean(values, best.squeeze())
        model.encoder.bias += 0.1
        assert aevb.sleep_phase(model, DRAWS).mean() < best


def test_dreams_are_drawn_not_averaged():
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return aevb.diagonal_normal(x[..., :2], torch.ones_like(x[..., :2]))

    aevb.sleep_phase(aevb.VAE(Spy(), aevb.BernoulliMLP(2, 16)), 50)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}


def test_complete_data_is_the_joint_log_density():
    decoder = mismatched_vae().decoder
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 4)
    z = torch.randn(5, 4, 3, dtype=torch.float64)
    pairs = torch.cat([z, x.expand(5, -1, -1)], -1)
    value = aevb.complete_data(model, x, z)
    torch.testing.assert_close(value, joint_normal(decoder).log_prob(pairs))
    value.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("n", [0, -1])
def test_at_least_one_dream(n):
    with pytest.raises(ValueError, match="number of dreams and must be at least 1"):
        aevb.sleep_phase(small_vae(), n)


def test_everything_goes_under_vmap():
    """Many models or many batches at once: no check may look at a value."""
    torch.manual_seed(0)
    model, x = small_vae(), torch.rand(5, 4, 16)
    for estimator in (aevb.sgvb_a, aevb.sgvb_b, aevb.iwae):
        bound = partial(estimator, model, num_samples=2)
        assert torch.func.vmap(bound, randomness="different")(x).bound.shape == (5, 4)
    z = torch.randn(5, 4, 2)
    joint = torch.func.vmap(model.log_joint)(x, z)
    torch.testing.assert_close(joint[3], model.log_joint(x[3], z[3]))
