"""The best posterior of its family: found where it is known, and left alone where it is reached."""

import pytest
import torch
from oracles import (
    brute_force_evidence,
    brute_force_posterior,
    exact_vae,
    images,
    linear_gaussian,
    mismatched_vae,
    true_kl,
)

import aevb_lib as aevb
from aevb_lib.evidence import pieces as memory


class Answer(torch.nn.Module):
    """An encoder that gives back what it was given."""

    def __init__(self, q):
        super().__init__()
        self.q = q

    def forward(self, x):
        return self.q


def gap(decoder, x, q):
    """KL from q to the exact posterior, one value per image."""
    return true_kl(aevb.VAE(Answer(q), decoder, latent_dim=q.mean.shape[-1]), x)


def poor_start(x, latent_dim):
    shape = (len(x), latent_dim)
    return aevb.diagonal_normal(x.new_full(shape, 0.5), x.new_full(shape, 2.0))


def test_the_gap_vanishes_where_the_family_holds_the_posterior():
    decoder = linear_gaussian(orthogonal=True)
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 20)
    start = poor_start(x, decoder.in_dim)
    assert gap(decoder, x, start).min() > 0.5
    q = aevb.refine_posterior(model, x, start, num_steps=200, num_samples=4, learning_rate=0.2)
    assert gap(decoder, x, q).max() < 1e-5
    # Then every weight is the evidence.
    z = q.sample((5,))
    weights = model.log_joint(x, z) - q.log_prob(z)
    truth = brute_force_evidence(decoder).log_prob(x).expand(5, -1)
    torch.testing.assert_close(weights, truth, rtol=0, atol=0.02)


def test_the_best_of_a_family_without_the_posterior_is_known_too():
    """Of diagonal normals, the one with the exact mean and the precision's diagonal."""
    model = mismatched_vae()
    x = images(model.decoder, 20)
    options = {"num_steps": 80, "num_samples": 50, "learning_rate": 0.05}
    q = aevb.refine_posterior(model, x, model.posterior(x), **options)
    weight, bias, covariance = brute_force_posterior(model.decoder)
    best = aevb.diagonal_normal(
        x @ weight.T + bias, torch.linalg.inv(covariance).diagonal().rsqrt().expand(20, -1)
    )
    floor = gap(model.decoder, x, best)
    assert floor.min() > 0.005
    assert (gap(model.decoder, x, q) - floor).abs().max() < 0.01
    assert (gap(model.decoder, x, model.posterior(x)) - floor).min() > 0.03


def test_an_exact_encoder_is_left_where_it_is():
    """But for Adam, which makes something of gradients that are rounding errors."""
    model = exact_vae()
    x = images(model.decoder, 10)
    q = aevb.refine_posterior(model, x, model.posterior(x), num_steps=20)
    assert gap(model.decoder, x, q).max() < 1e-3


def test_repeatable_and_without_a_trace():
    model = aevb.VAE(aevb.GaussianMLP(8, 2), aevb.BernoulliMLP(2, 8))
    x, state = torch.rand(4, 8).round(), torch.get_rng_state()
    first = aevb.refine_posterior(model, x, model.posterior(x), num_steps=5)
    with torch.no_grad():
        again = aevb.refine_posterior(model, x, model.posterior(x), num_steps=5)
    other = aevb.refine_posterior(model, x, model.posterior(x), num_steps=5, seed=1)
    assert torch.equal(first.mean, again.mean)
    assert torch.equal(first.stddev, again.stddev)
    assert not torch.equal(first.mean, other.mean)
    assert not first.mean.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_images_do_not_touch_each_other():
    decoder = linear_gaussian()
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 3)
    start, other = poor_start(x, decoder.in_dim), x.clone()
    other[1:] = 0
    one, two = (aevb.refine_posterior(model, value, start, num_steps=5) for value in (x, other))
    assert torch.equal(one.mean[0], two.mean[0])
    assert torch.equal(one.stddev[0], two.stddev[0])
    assert not torch.equal(one.mean[1], two.mean[1])


def test_in_pieces_every_image_keeps_its_place(monkeypatch):
    decoder = linear_gaussian(orthogonal=True)
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 3)
    start = poor_start(x, decoder.in_dim)
    options = {"num_steps": 60, "num_samples": 4, "learning_rate": 0.2}
    alone = aevb.refine_posterior(model, x[:1], poor_start(x[:1], decoder.in_dim), **options)
    monkeypatch.setattr(memory, "MAX_DECODED", 4 * x.shape[1])
    pieces = aevb.refine_posterior(model, x, start, **options)
    assert torch.equal(pieces.mean[:1], alone.mean)  # the first piece, with the same noise
    assert gap(decoder, x, start).min() > 0.5
    assert gap(decoder, x, pieces).max() < 0.2  # an answer in another's place would be far off
    assert gap(decoder, x, aevb.diagonal_normal(pieces.mean.flip(0), pieces.stddev)).max() > 0.5


def test_impossible_refinement():
    decoder = linear_gaussian()
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 3)
    start = poor_start(x, decoder.in_dim)
    for options in ({"num_steps": 0}, {"num_samples": 0}):
        with pytest.raises(ValueError, match="num_steps and num_samples must be at least 1"):
            aevb.refine_posterior(model, x, start, **options)
    for images_, q in ((x[:2], start), (x, poor_start(x, 2))):
        with pytest.raises(ValueError, match="a start"):
            aevb.refine_posterior(model, images_, q)
    with pytest.raises(ValueError, match="x must be images"):
        aevb.refine_posterior(model, x[:0], poor_start(x[:0], 3))
