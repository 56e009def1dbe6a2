"""Evaluation against the truth of the linear-Gaussian model."""

import math

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
from aevb_lib import evaluation


def small_vae(latent_dim=2):
    torch.manual_seed(0)
    return aevb.VAE(aevb.GaussianMLP(16, latent_dim, (8,)), aevb.BernoulliMLP(latent_dim, 16, (8,)))


def small_data(n=50):
    return aevb.ImageSet(torch.rand(n, 16, generator=torch.Generator().manual_seed(1)))


# Everything that takes (model, data), and gives a float or a tensor; a new one is one line here.
METRICS = {
    "mean_bound": lambda m, d: torch.stack(aevb.mean_bound(m, d)),
    "mean_elbo": aevb.mean_elbo,
    "mean_point_log_likelihood": aevb.mean_point_log_likelihood,
    "importance": lambda m, d: aevb.importance_log_likelihood(m, d.images, num_samples=7),
    "reconstruction_error": aevb.mean_squared_error,
    "kl_per_dimension": aevb.kl_per_dimension,
    "active_units": aevb.active_units,
}
each_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


@each_metric
def test_evaluating_is_repeatable_and_leaves_no_trace(metric):
    model, data = small_vae(), small_data()
    state, gradients = torch.get_rng_state(), torch.is_grad_enabled()
    first = torch.as_tensor(metric(model, data))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled() is gradients
    torch.manual_seed(77)
    assert torch.equal(torch.as_tensor(metric(model.eval(), data)), first)
    assert not model.training
    assert not first.requires_grad
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"importance"}))
def test_the_size_of_its_batches_does_not_matter(name, monkeypatch):
    metric, model, data = METRICS[name], small_vae(), small_data()
    with torch.no_grad():  # an encoder that is nearly sure: then random numbers matter little
        model.encoder.mlp.layers[-1].bias[2:] = -20.0
        model.encoder.mlp.layers[-1].weight[2:] = 0.0
    whole = torch.as_tensor(metric(model, data)).double()
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 7)
    torch.testing.assert_close(
        torch.as_tensor(metric(model, data)).double(), whole, rtol=1e-3, atol=1e-3
    )


def test_mean_bound_is_the_average_of_the_bound():
    model, data = small_vae(), small_data()
    torch.manual_seed(3)
    with torch.no_grad():
        parts = aevb.sgvb_b(model, data.images, 4)
    bound = aevb.mean_bound(model, data, num_samples=4, seed=3)
    for part, average in zip(parts, bound, strict=True):
        torch.testing.assert_close(average, part.mean())
    assert aevb.mean_elbo(model, data, num_samples=4, seed=3) == bound.bound.item()
    assert aevb.mean_elbo(model, data, seed=4) != bound.bound.item()


def test_mean_bound_keeps_its_digits_over_many_images():
    model = small_vae()
    data = aevb.ImageSet(torch.rand(1, 16).expand(20_000, 16))
    model.encoder.mlp.layers[-1].weight.data.zero_()
    model.encoder.mlp.layers[-1].bias.data.copy_(torch.tensor([0.3, 0.1, -20.0, -20.0]))
    one = aevb.sgvb_b(model, data.images[:1]).kl
    torch.testing.assert_close(aevb.mean_bound(model, data).kl, one[0].detach(), rtol=1e-6, atol=0)


def test_importance_sampling_is_exact_at_the_exact_posterior():
    model = exact_vae()
    x = images(model.decoder, 5)
    for num_samples in (1, 3):
        value = aevb.importance_log_likelihood(model, x, num_samples=num_samples)
        torch.testing.assert_close(value, brute_force_evidence(model.decoder).log_prob(x))


def test_importance_sampling_finds_the_truth():
    model = mismatched_vae()
    x = images(model.decoder, 5)
    value = aevb.importance_log_likelihood(model, x, num_samples=20_000)
    truth = brute_force_evidence(model.decoder).log_prob(x)
    assert (true_kl(model, x) > 0.1).all()
    torch.testing.assert_close(value, truth, rtol=0, atol=0.05)


def repeated_importance(model, x, num_samples, draws=3000):
    many = aevb.importance_log_likelihood(model, x.repeat(draws, 1), num_samples=num_samples)
    return many.reshape(draws, len(x))


def test_one_importance_sample_is_the_elbo():
    model = mismatched_vae()
    x = images(model.decoder, 3)
    truth = brute_force_evidence(model.decoder).log_prob(x) - true_kl(model, x)
    assert_same_mean(repeated_importance(model, x, 1), truth)
    with torch.no_grad():
        torch.manual_seed(1)
        a = aevb.sgvb_a(model, x.repeat(3000, 1)).bound.reshape(3000, 3)
    assert_same_mean(repeated_importance(model, x, 1) - a, 0.0)


def test_the_importance_bound_rises_with_its_samples():
    model = mismatched_vae()
    x = images(model.decoder, 3)
    truth = brute_force_evidence(model.decoder).log_prob(x)
    means = torch.stack([repeated_importance(model, x, L).mean(0) for L in (1, 4, 16, 64)])
    assert (means.diff(dim=0) > 0).all()
    assert (means[-1] < truth + 0.02).all()
    assert ((truth - means[-1]) < 0.3 * (truth - means[0])).all()


@pytest.mark.parametrize("num_samples", [1, 5, 64])
def test_pieces_give_the_same_estimate(num_samples, monkeypatch):
    """Given the same codes one after the other, even the value is the same."""
    model, data = small_vae(), small_data(9)
    q, draws = model.posterior(data.images), torch.randn(64, 9, 2)

    class InTurn:
        def __init__(self, _):
            self.codes, self.log_prob = iter(draws), q.log_prob

        def sample(self, shape):
            return torch.stack([next(self.codes) for _ in range(*shape)])

    monkeypatch.setattr(model, "posterior", InTurn)
    whole = aevb.importance_log_likelihood(model, data.images, num_samples=num_samples)
    for piece in (1, 3, 1000):
        monkeypatch.setattr(evaluation, "MAX_DECODED", piece * data.images.numel())
        pieces = aevb.importance_log_likelihood(model, data.images, num_samples=num_samples)
        torch.testing.assert_close(pieces, whole)


def test_memory_does_not_grow_with_the_samples(monkeypatch):
    model, data, sizes = small_vae(), small_data(9), []
    monkeypatch.setattr(evaluation, "MAX_DECODED", 4 * data.images.numel())
    likelihood = model.likelihood
    monkeypatch.setattr(model, "likelihood", lambda z: sizes.append(len(z)) or likelihood(z))
    aevb.importance_log_likelihood(model, data.images, num_samples=10)
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize("num_samples", [0, -3])
def test_at_least_one_sample(num_samples):
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        aevb.importance_log_likelihood(small_vae(), small_data().images, num_samples=num_samples)
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        aevb.mean_bound(small_vae(), small_data(), num_samples=num_samples)


def test_mean_reconstruction_is_at_the_point_code():
    model, data = small_vae(), small_data()
    truth = model.likelihood(model.encode(data.images)).log_prob(data.images).mean().item()
    assert aevb.mean_point_log_likelihood(model, data) == pytest.approx(truth, rel=1e-5)


def test_reconstruction_error_is_the_mean_square():
    class Half:
        def encode(self, x):
            return x

        def decode(self, z):
            return 0.5 * z

    data = aevb.ImageSet(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert aevb.mean_squared_error(Half(), data) == 0.25 / 4


def test_kl_per_dimension_sums_to_the_bounds_kl():
    model, data = small_vae(5), small_data()
    parts = aevb.kl_per_dimension(model, data)
    torch.testing.assert_close(parts.sum(), aevb.mean_bound(model, data).kl)
    q = model.posterior(data.images)
    by_hand = -0.5 * (1 + q.variance.log() - q.mean**2 - q.variance).mean(0)
    torch.testing.assert_close(parts, by_hand.detach())


def test_an_unused_dimension_carries_nothing():
    model, data = small_vae(), small_data()
    layer = model.encoder.mlp.layers[-1]  # rows: two means, two log-variances
    with torch.no_grad():
        layer.weight[[1, 3]] = 0.0
        layer.bias[[1, 3]] = 0.0
        layer.weight[0] *= 10
    kl, active = aevb.kl_per_dimension(model, data), aevb.active_units(model, data)
    assert kl[1] == 0
    assert kl[0] > 0.01
    assert active.tolist() == [True, False]


@pytest.mark.parametrize("threshold", [0.01, 0.1, 1.0])
def test_active_units_compare_the_variance_of_the_mean(threshold):
    model, data = small_vae(5), small_data()
    variance = model.encode(data.images).var(0)
    active = aevb.active_units(model, data, threshold=threshold)
    assert torch.equal(active, variance > threshold)


def test_a_posterior_without_dimensions_is_named():
    class Full(torch.nn.Module):
        def forward(self, x):
            return torch.distributions.MultivariateNormal(x[..., :2], torch.eye(2))

    model = aevb.VAE(Full(), aevb.BernoulliMLP(2, 16))
    with pytest.raises(TypeError, match="MultivariateNormal has no separate dimensions"):
        aevb.kl_per_dimension(model, small_data())


def test_a_bernoulli_model_integrates_to_one():
    """Summed over all binary images, exp of the estimate of log p(x) is one."""
    torch.manual_seed(0)
    model = aevb.VAE(aevb.GaussianMLP(4, 1, (8,)), aevb.BernoulliMLP(1, 4, (8,)))
    with torch.no_grad():
        model.decoder.mlp.layers[-1].weight *= 10
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    total = aevb.importance_log_likelihood(model, every, num_samples=100_000).exp().sum()
    assert math.isclose(total, 1.0, abs_tol=0.01)
