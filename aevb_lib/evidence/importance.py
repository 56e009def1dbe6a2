r"""Importance sampling from the encoder."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from aevb_lib.distributions import log_mean_exp
from aevb_lib.evidence.pieces import piece_size, quietly, sample_sizes
from aevb_lib.models import VAE

__all__ = ["importance_log_likelihood"]

BATCH_SIZE = 1000


def importance_log_likelihood(
    model: VAE, x: Float[Tensor, "B P"], *, num_samples: int = 1000, seed: int = 0
) -> Float[Tensor, " B"]:
    r"""Estimate :math:`\log p_\theta(x)` by importance sampling from the encoder's posterior.

    .. math::
        \log p_\theta(x) \approx \log \frac1L \sum_{l=1}^L
        \frac{p_\theta(x, z^{(l)})}{q_\phi(z^{(l)} \mid x)}, \qquad z^{(l)} \sim q_\phi(z \mid x).

    Its expectation is a lower bound for every L (Burda et al. 2016), equal to the ELBO for L = 1
    and rising to the truth. Memory does not grow with L.

    Args:
        model: The model to evaluate.
        x: Images, shape ``[B, P]``. On grey images the result is the same integral, but not the
            logarithm of a probability.
        num_samples: Number L of importance samples per image.
        seed: Seed of the samples.

    Returns:
        One value per image in nats, shape ``[B]``.

    Raises:
        ValueError: If no sample is asked for or there is no image.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> importance_log_likelihood(model, torch.rand(5, 16), num_samples=100).shape
        torch.Size([5])
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    with quietly(model, x, seed) as x:
        size = min(BATCH_SIZE, piece_size(x, 1, copies=1))
        return torch.cat([_estimate(model, images, num_samples) for images in x.split(size)])


def _estimate(model: VAE, x: Tensor, num_samples: int) -> Tensor:
    q = model.posterior(x)
    parts = []
    for size in sample_sizes(x, num_samples, copies=1):
        z = q.sample((size,))  # [chunk, B, D]
        log_weights = model.log_joint(x, z) - q.log_prob(z)
        parts.append(log_mean_exp(log_weights) + math.log(size / num_samples))
    return torch.stack(parts).logsumexp(0)
