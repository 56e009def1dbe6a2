"""What is maximized: pure functions with one value per image.

They never call ``backward``, never average over the batch and never change a sign: that is the
business of the algorithm that uses them.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from aevb_lib.distributions import kl_divergence
from aevb_lib.models import VAE, Autoencoder

__all__ = ["Bound", "reconstruction", "sgvb_a", "sgvb_b"]


class Bound(NamedTuple):
    r"""An estimate of the evidence lower bound, split in two: ``elbo = log_likelihood - kl``.

    Attributes:
        elbo: :math:`\mathcal L(\theta, \phi; x)`, nats, shape ``[B]``.
        log_likelihood: :math:`\mathbb E_q[\log p_\theta(x \mid z)]`, nats, shape ``[B]``.
        kl: :math:`D_{KL}(q_\phi(z \mid x) \,\|\, p(z))`, nats, shape ``[B]``.
    """

    elbo: Float[Tensor, " B"]
    log_likelihood: Float[Tensor, " B"]
    kl: Float[Tensor, " B"]


def sgvb_a(model: VAE, x: Float[Tensor, "B P"], num_samples: int = 1) -> Bound:
    r"""Estimate the bound from samples alone: the paper's estimator A, equation (6).

    .. math::
        \tilde{\mathcal L}^A = \frac1L \sum_{l=1}^L
        \log p_\theta(x, z^{(l)}) - \log q_\phi(z^{(l)} \mid x),
        \qquad z^{(l)} = g_\phi(\epsilon^{(l)}, x).

    It needs no closed form, so it works for any encoder with ``rsample`` and ``log_prob``, and at
    the exact posterior its variance is zero.

    Args:
        model: The model whose bound is wanted.
        x: Images, shape ``[B, P]``.
        num_samples: L, Monte Carlo samples per image.

    Returns:
        Three values per image in nats, differentiable in all parameters.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> sgvb_a(model, torch.rand(5, 784), num_samples=3).elbo.shape
        torch.Size([5])
    """
    q = model.posterior(x)
    z = _rsample(q, num_samples)  # [L, B, D]
    log_likelihood = model.likelihood(z).log_prob(x).mean(0)
    kl = (q.log_prob(z) - model.prior().log_prob(z)).mean(0)
    return Bound(log_likelihood - kl, log_likelihood, kl)


def sgvb_b(model: VAE, x: Float[Tensor, "B P"], num_samples: int = 1) -> Bound:
    r"""Estimate the bound with its KL divergence in closed form: estimator B, equation (7).

    .. math::
        \tilde{\mathcal L}^B = -D_{KL}(q_\phi(z \mid x) \,\|\, p(z))
        + \frac1L \sum_{l=1}^L \log p_\theta(x \mid z^{(l)}).

    Only the second term is sampled, so it usually varies less than :func:`sgvb_a`.

    Args:
        model: The model whose bound is wanted; its encoder and prior must have a KL divergence
            that torch knows.
        x: Images, shape ``[B, P]``.
        num_samples: L, Monte Carlo samples per image.

    Returns:
        Three values per image in nats, differentiable in all parameters.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> bound = sgvb_b(model, torch.rand(5, 784))
        >>> bool(torch.equal(bound.elbo, bound.log_likelihood - bound.kl))
        True
    """
    q = model.posterior(x)
    z = _rsample(q, num_samples)  # [L, B, D]
    log_likelihood = model.likelihood(z).log_prob(x).mean(0)
    kl = kl_divergence(q, model.prior())
    return Bound(log_likelihood - kl, log_likelihood, kl)


def reconstruction(model: Autoencoder | VAE, x: Float[Tensor, "B P"]) -> Float[Tensor, " B"]:
    r"""Return :math:`\log p_\theta(x \mid z)` at the point code :math:`z = \mathrm{encode}(x)`.

    This is what the report's autoencoder maximizes. For a VAE it answers "how well does the mean
    code reconstruct?" and is neither a bound nor comparable with one.

    Args:
        model: Anything with ``encode`` and ``likelihood``.
        x: Images, shape ``[B, P]``.

    Returns:
        One value per image in nats, shape ``[B]``.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.Autoencoder(aevb.MLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> reconstruction(model, torch.rand(5, 784)).shape
        torch.Size([5])
    """
    return model.likelihood(model.encode(x)).log_prob(x)


def _rsample(q: Distribution, num_samples: int) -> Tensor:
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    if not q.has_rsample:
        raise TypeError(
            f"{q} has no reparameterized samples (rsample), so no gradient would reach the "
            "encoder: let it return a distribution that has them, such as a normal"
        )
    return q.rsample((num_samples,))
