"""Models whose every answer is known, built from the classes that the chapters use.

With a linear decoder and normal noise, evidence and posterior are normal. Orthogonal columns make
the exact posterior diagonal, so that an encoder can *be* it. `joint_normal` writes down the joint
distribution of code and image by brute force; it shares no code with `aevb_lib.LinearGaussian`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

import aevb_lib as aevb

NUM_PIXELS, LATENT_DIM = 6, 3


class LinearEncoder(nn.Module):
    """q(z|x) = N(Ax + c, diag(exp(2 s))): linear in the image, one spread for all images."""

    def __init__(self, weight: Tensor, bias: Tensor, log_scale: Tensor) -> None:
        super().__init__()
        self.out_dim, self.in_dim = weight.shape
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(bias.clone())
        self.log_scale = nn.Parameter(log_scale.clone())

    def forward(self, x: Tensor) -> Distribution:
        loc = x @ self.weight.T + self.bias
        return aevb.diagonal_normal(loc, self.log_scale.exp().expand_as(loc))


def linear_gaussian(
    *, orthogonal: bool = False, scale: float = 0.7, seed: int = 0
) -> aevb.LinearGaussian:
    """A decoder with random weights, in float64."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(NUM_PIXELS, LATENT_DIM, generator=generator, dtype=torch.float64)
    if orthogonal:
        weight = torch.linalg.qr(weight).Q * torch.tensor([1.5, 1.0, 0.5])
    bias = torch.randn(NUM_PIXELS, generator=generator, dtype=torch.float64)
    return aevb.LinearGaussian(weight, bias, scale=scale)


def mismatched_vae(*, seed: int = 0) -> aevb.VAE:
    """General W and an encoder that is wrong by a moderate amount: off-center and too wide."""
    decoder = linear_gaussian(seed=seed)
    weight, bias, covariance = brute_force_posterior(decoder)
    scale = covariance.diagonal().sqrt()
    encoder = LinearEncoder(weight, bias + 0.4 * scale, (1.2 * scale).log())
    return aevb.VAE(encoder, decoder).double()


def exact_vae(*, seed: int = 0) -> aevb.VAE:
    """Orthogonal W, and the encoder that is the exact posterior."""
    decoder = linear_gaussian(orthogonal=True, seed=seed)
    weight, bias, covariance = brute_force_posterior(decoder)
    encoder = LinearEncoder(weight, bias, covariance.diagonal().log() / 2)
    return aevb.VAE(encoder, decoder).double()


def joint_normal(decoder: aevb.LinearGaussian) -> MultivariateNormal:
    """p(z, x) as one normal distribution over [D + P] numbers: z, and x = Wz + b + noise."""
    weight, bias = decoder.weight.detach(), decoder.bias.detach()
    num_pixels, latent_dim = weight.shape
    sources = torch.zeros(latent_dim + num_pixels, latent_dim + num_pixels, dtype=weight.dtype)
    sources[:latent_dim, :latent_dim] = torch.eye(latent_dim)
    sources[latent_dim:, :latent_dim] = weight
    identity = torch.eye(num_pixels, dtype=weight.dtype)
    sources[latent_dim:, latent_dim:] = noise_scale(decoder) * identity
    mean = torch.cat([torch.zeros(latent_dim, dtype=weight.dtype), bias])
    return MultivariateNormal(mean, sources @ sources.T)


def brute_force_evidence(decoder: aevb.LinearGaussian) -> MultivariateNormal:
    """p(x): the joint's last P numbers."""
    joint, latent_dim = joint_normal(decoder), decoder.in_dim
    return MultivariateNormal(
        joint.mean[latent_dim:], joint.covariance_matrix[latent_dim:, latent_dim:]
    )


def brute_force_posterior(decoder: aevb.LinearGaussian) -> tuple[Tensor, Tensor, Tensor]:
    """p(z|x) = N(Ax + c, S) as (A, c, S), by conditioning the joint."""
    joint, latent_dim = joint_normal(decoder), decoder.in_dim
    covariance = joint.covariance_matrix
    cross = covariance[:latent_dim, latent_dim:]
    weight = cross @ torch.linalg.inv(covariance[latent_dim:, latent_dim:])
    bias = -weight @ joint.mean[latent_dim:]
    return weight, bias, covariance[:latent_dim, :latent_dim] - weight @ cross.T


def true_kl(model: aevb.VAE, x: Tensor) -> Tensor:
    """KL from the encoder's distribution to the exact posterior, one value per image."""
    weight, bias, covariance = brute_force_posterior(model.decoder)
    q = model.posterior(x)
    exact = MultivariateNormal(x @ weight.T + bias, covariance)
    full = MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    return torch.distributions.kl_divergence(full, exact).detach()


def ppca(x: Tensor, latent_dim: int, scale: float) -> float:
    """Largest average log-evidence that W and b can reach at a fixed noise (Tipping & Bishop 1999).

    The covariance's eigenvalues above the noise are matched, the others stay at the noise.
    """
    values = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    fitted = torch.full_like(values, scale**2)
    fitted[:latent_dim] = values[:latent_dim].clamp(min=scale**2)
    return float(-0.5 * (math.log(2 * math.pi) + fitted.log() + values / fitted).sum())


def noise_scale(decoder: aevb.LinearGaussian) -> float:
    """The decoder's standard deviation, as its distribution shows it."""
    return float(decoder(torch.zeros(decoder.in_dim, dtype=decoder.weight.dtype)).stddev[0])


def images(decoder: aevb.LinearGaussian, n: int, seed: int = 0) -> Tensor:
    """Draws from p(x), unbounded numbers, not pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return brute_force_evidence(decoder).sample((n,))


def generative(latent_dim: int = 2, pixels: int = 8, seed: int = 0) -> aevb.LatentVariableModel:
    """A model with a decoder that is far from linear, and no encoder."""
    generator = torch.Generator().manual_seed(seed)
    model = aevb.LatentVariableModel(
        aevb.BernoulliMLP(latent_dim, pixels, (8,), generator=generator)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 4
    return model


def small_images(n: int = 4, pixels: int = 8) -> Tensor:
    """Black and white pixels, as many of each on average."""
    return torch.rand(n, pixels, generator=torch.Generator().manual_seed(1)).round()


def batch_of(x: Tensor) -> aevb.Batch:
    """A minibatch of these images."""
    return aevb.Batch(x, torch.zeros(len(x), dtype=torch.long), torch.arange(len(x)))


class ListOfBatches(list):
    """Minibatches that are not images in [0, 1]: any list of `Batch` goes into `fit`."""


def assert_same_mean(samples: Tensor, truth: Tensor | float, *, z: float = 4.5) -> None:
    """The average over the first axis is the truth, within z standard errors everywhere."""
    error = samples.std(0) / math.sqrt(len(samples))
    distance = (samples.mean(0) - truth).abs() / error.clamp(min=1e-12)
    assert distance.max() < z, f"off by {distance.max():.1f} standard errors"
