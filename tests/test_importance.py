"""Importance sampling from the encoder, against the truth of the linear-Gaussian model."""

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
from aevb_lib.evidence import pieces


def small_vae():
    torch.manual_seed(0)
    return aevb.VAE(aevb.GaussianMLP(16, 2, (8,)), aevb.BernoulliMLP(2, 16, (8,)))


def small_data(n):
    return aevb.ImageSet(torch.rand(n, 16, generator=torch.Generator().manual_seed(1)))


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
        monkeypatch.setattr(pieces, "MAX_DECODED", piece * data.images.numel())
        estimate = aevb.importance_log_likelihood(model, data.images, num_samples=num_samples)
        torch.testing.assert_close(estimate, whole)


def test_memory_does_not_grow_with_the_samples(monkeypatch):
    model, data, sizes = small_vae(), small_data(9), []
    monkeypatch.setattr(pieces, "MAX_DECODED", 4 * data.images.numel())
    likelihood = model.likelihood
    monkeypatch.setattr(model, "likelihood", lambda z: sizes.append(len(z)) or likelihood(z))
    aevb.importance_log_likelihood(model, data.images, num_samples=10)
    assert sizes == [4, 4, 2]


def test_a_bernoulli_model_integrates_to_one():
    """Summed over all binary images, exp of the estimate of log p(x) is one."""
    torch.manual_seed(0)
    model = aevb.VAE(aevb.GaussianMLP(4, 1, (8,)), aevb.BernoulliMLP(1, 4, (8,)))
    with torch.no_grad():
        model.decoder.mlp.layers[-1].weight *= 10
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    total = aevb.importance_log_likelihood(model, every, num_samples=100_000).exp().sum()
    assert math.isclose(total, 1.0, abs_tol=0.01)


@pytest.mark.parametrize("num_samples", [0, -3])
def test_at_least_one_sample(num_samples):
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        aevb.importance_log_likelihood(small_vae(), torch.rand(3, 16), num_samples=num_samples)
