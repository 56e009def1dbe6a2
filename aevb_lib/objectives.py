"""Objectives, which are maximized: pure functions with one value per image.

They never call ``backward``, never average over the batch and never change a sign: that is the
business of the algorithm that uses them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from aevb_lib.distributions import kl_divergence, log_mean_exp
from aevb_lib.models import VAE, Autoencoder, LatentVariableModel

__all__ = [
    "Bound",
    "complete_data",
    "iwae",
    "point_log_likelihood",
    "sgvb_a",
    "sgvb_b",
    "sleep_phase",
    "wake_phase",
]


class Bound(NamedTuple):
    r"""An estimate of a lower bound on the evidence, split in two: ``bound = log_likelihood - kl``.

    Attributes:
        bound: The evidence lower bound :math:`\mathcal L(\theta, \phi; x)`, or the
            importance-weighted one if it comes from :func:`iwae`; nats, shape ``[B]``.
        log_likelihood: :math:`\mathbb E_q[\log p_\theta(x \mid z)]`, nats, shape ``[B]``.
        kl: :math:`D_{KL}(q_\phi(z \mid x) \,\|\, p(z))`, nats, shape ``[B]``.
    """

    bound: Float[Tensor, " B"]
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
        num_samples: Number L of Monte Carlo samples per image.

    Returns:
        Three values per image in nats, differentiable in all parameters.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> sgvb_a(model, torch.rand(5, 784), num_samples=3).bound.shape
        torch.Size([5])
    """
    q = model.posterior(x)
    z = _rsample(q, num_samples)
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
        num_samples: Number L of Monte Carlo samples per image.

    Returns:
        Three values per image in nats, differentiable in all parameters.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> bound = sgvb_b(model, torch.rand(5, 784))
        >>> bool(torch.equal(bound.bound, bound.log_likelihood - bound.kl))
        True
    """
    q = model.posterior(x)
    z = _rsample(q, num_samples)
    if num_samples == 1:  # without its axis of length one, a training step takes 2 % less
        log_likelihood = model.likelihood(z[0]).log_prob(x)
    else:
        log_likelihood = model.likelihood(z).log_prob(x).mean(0)
    kl = kl_divergence(q, model.prior())
    return Bound(log_likelihood - kl, log_likelihood, kl)


def iwae(model: VAE, x: Float[Tensor, "B P"], num_samples: int = 1) -> Bound:
    r"""Estimate the importance-weighted bound of Burda et al. (2016), from samples alone.

    .. math::
        \tilde{\mathcal L}^{(k)} = \log \frac1k \sum_{i=1}^k w_i, \qquad
        w_i = \frac{p_\theta(x, z^{(i)})}{q_\phi(z^{(i)} \mid x)}, \quad
        z^{(i)} \sim q_\phi(z \mid x).

    With one sample it is :func:`sgvb_a`; with more it is tighter in expectation and rises to
    :math:`\log p_\theta(x)`. It is the bound of a better posterior than the encoder's, the one that
    draws k codes from the encoder and keeps one of them with probabilities proportional to their
    weights (Cremer et al. 2017), and splits in two as every bound does: how well the code that is
    kept explains the image, and what it costs. So it goes wherever an estimator goes:
    ``AEVB(model, optimizer, estimator=iwae, num_samples=50)``.

    Args:
        model: The model whose bound is wanted.
        x: Images, shape ``[B, P]``.
        num_samples: Number k of importance samples per image.

    Returns:
        Three values per image in nats, differentiable in all parameters. ``bound`` is
        :math:`\tilde{\mathcal L}^{(k)}`, ``log_likelihood`` is :math:`\log p_\theta(x \mid z)`
        averaged with the normalized weights, ``kl`` the difference.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> iwae(model, torch.rand(5, 784), num_samples=50).bound.shape
        torch.Size([5])
    """
    q = model.posterior(x)
    z = _rsample(q, num_samples)
    log_likelihoods = model.likelihood(z).log_prob(x)
    log_weights = log_likelihoods + model.prior().log_prob(z) - q.log_prob(z)
    bound = log_mean_exp(log_weights)
    log_likelihood = (log_weights.softmax(0) * log_likelihoods).sum(0)
    return Bound(bound, log_likelihood, log_likelihood - bound)


def wake_phase(model: VAE, x: Float[Tensor, "B P"]) -> Float[Tensor, " B"]:
    r"""Return :math:`\log p_\theta(x, z)` with a code from the encoder: the wake phase.

    The code is a draw :math:`z \sim q_\phi(z \mid x)` that is then taken as given: gradients reach
    the decoder and not the encoder.

    Args:
        model: The model whose decoder is to learn.
        x: Images, shape ``[B, P]``.

    Returns:
        One value per image in nats, shape ``[B]``.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> wake_phase(model, torch.rand(5, 784)).shape
        torch.Size([5])
    """
    with torch.no_grad():
        z = model.posterior(x).sample()
    return complete_data(model, x, z)


def sleep_phase(model: VAE, n: int) -> Float[Tensor, " {n}"]:
    r"""Return :math:`\log q_\phi(z \mid x)` of dreams, :math:`x, z \sim p_\theta`: the sleep phase.

    A dream's code is known, which is what makes it a lesson for the encoder. The pixels are draws
    too, not their means; gradients reach the encoder and not the decoder.

    Args:
        model: The model whose encoder is to learn.
        n: Number of dreams.

    Returns:
        One value per dream in nats, shape ``[n]``.

    Raises:
        ValueError: If there is nothing to dream.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> sleep_phase(model, 5).shape
        torch.Size([5])
    """
    if n < 1:
        raise ValueError(f"n is the number of dreams and must be at least 1, got {n}")
    with torch.no_grad():
        z = model.prior().sample((n,))
        x = model.likelihood(z).sample()
    return model.posterior(x).log_prob(z)


def complete_data(
    model: LatentVariableModel, x: Float[Tensor, "B P"], z: Float[Tensor, "*samples B D"]
) -> Float[Tensor, "*samples B"]:
    r"""Return :math:`\log p_\theta(x, z)`: the log-likelihood if the codes were data as well.

    This is what the M-step of (Monte Carlo) EM maximizes in :math:`\theta`, and, as a function of
    the code, the logarithm of the exact posterior up to a constant.

    Args:
        model: A generative model; no encoder is needed.
        x: Images, shape ``[B, P]``.
        z: Their codes, shape ``[..., B, D]``.

    Returns:
        One value per pair in nats, shape ``[..., B]``.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.LatentVariableModel(aevb.BernoulliMLP(20, 784))
        >>> complete_data(model, torch.rand(5, 784), torch.zeros(5, 20)).shape
        torch.Size([5])
    """
    return model.log_joint(x, z)


def point_log_likelihood(model: Autoencoder | VAE, x: Float[Tensor, "B P"]) -> Float[Tensor, " B"]:
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
        >>> point_log_likelihood(model, torch.rand(5, 784)).shape
        torch.Size([5])
    """
    return model.likelihood(model.encode(x)).log_prob(x)


def _rsample(q: Distribution, num_samples: int) -> Float[Tensor, "L B D"]:
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    if not q.has_rsample:
        raise TypeError(
            f"{q} has no reparameterized samples (rsample), so no gradient would reach the "
            "encoder: let it return a distribution that has them, such as a normal"
        )
    return q.rsample((num_samples,))
