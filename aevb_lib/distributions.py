"""The distributions that flow between the modules, and two formulas about them.

Both constructors return `torch.distributions` objects whose last axis is the *event*: ``log_prob``
sums over it and leaves one number per datapoint.

They switch off torch's argument checks, here and nowhere else, for two reasons. Each check reads a
result back from the device, which would make a GPU wait at every training step; and grey pixels,
which are neither 0 nor 1, would be refused by a checked Bernoulli although its log-probability is
what most tutorials (and the report that this book re-does) train on. Images are checked once
instead, when they enter an :class:`aevb_lib.data.ImageSet`.
"""

from __future__ import annotations

import math
from typing import TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.nn.functional import binary_cross_entropy_with_logits

__all__ = ["bernoulli", "diagonal_normal", "kl_divergence", "log_mean_exp"]


def diagonal_normal(
    loc: Float[Tensor, "*batch D"], scale: Float[Tensor, "*batch D"]
) -> Independent:
    r"""Return a normal distribution of independent components, :math:`\mathcal N(\mu, \sigma^2)`.

    Args:
        loc: Means :math:`\mu`, shape ``[..., D]``.
        scale: Standard deviations :math:`\sigma > 0` (not variances, not logarithms), same shape.

    Returns:
        A distribution with batch shape ``[...]`` and event shape ``[D]``.

    Example:
        >>> q = diagonal_normal(torch.zeros(3, 2), torch.ones(3, 2))
        >>> q.rsample((5,)).shape, q.log_prob(torch.zeros(3, 2)).shape
        (torch.Size([5, 3, 2]), torch.Size([3]))
    """
    return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)


def bernoulli(logits: Float[Tensor, "*batch P"]) -> Independent:
    r"""Return independent Bernoulli pixels, given the logits of their probabilities.

    For a binary image this is a distribution. For grey pixels :math:`0 < x < 1` its ``log_prob``,

    .. math::
        \sum_p x_p \log y_p + (1 - x_p) \log (1 - y_p),
        \qquad y = \mathrm{sigmoid}(\text{logits}),

    is a negative cross-entropy and *not* a log-likelihood: nothing makes it integrate to one.

    Args:
        logits: Log-odds of a white pixel, shape ``[..., P]``.

    Returns:
        A distribution with batch shape ``[...]`` and event shape ``[P]``.

    Example:
        >>> x = torch.tensor([1.0, 0.0, 0.5])
        >>> print(f"{bernoulli(torch.zeros(3)).log_prob(x):.4f}")  # 3 log(1/2)
        -2.0794
    """
    return _BernoulliPixels(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)


def kl_divergence(q: Distribution, p: Distribution) -> Tensor:
    r"""Return the Kullback-Leibler divergence :math:`D_{KL}(q \,\|\, p)` in closed form.

    For a diagonal normal and the standard normal prior, appendix B of Kingma & Welling (2013):

    .. math:: D_{KL} = -\tfrac12 \sum_{j=1}^{D} (1 + \log \sigma_j^2 - \mu_j^2 - \sigma_j^2).

    Args:
        q: Distribution with batch shape ``[B]``.
        p: Distribution with a batch shape that broadcasts against q's.

    Returns:
        One value in nats per datapoint, shape ``[B]``.

    Raises:
        NotImplementedError: If torch knows no closed form for this pair; estimate the divergence
            from samples instead, as :func:`aevb_lib.objectives.sgvb_a` does.

    Example:
        >>> q = diagonal_normal(torch.tensor([[1.0, 0.0]]), torch.ones(1, 2))
        >>> kl_divergence(q, diagonal_normal(torch.zeros(2), torch.ones(2)))
        tensor([0.5000])
    """
    if _is_diagonal_normal(q) and _is_diagonal_normal(p):
        # The same formula as torch's, in fewer passes: this runs at every training step.
        ratio = q.base_dist.scale / p.base_dist.scale
        distance = (q.base_dist.loc - p.base_dist.loc) / p.base_dist.scale
        divergence: Tensor = (0.5 * (ratio**2 + distance**2 - 1) - ratio.log()).sum(-1)
        return divergence
    return torch.distributions.kl_divergence(q, p)


def log_mean_exp(values: Float[Tensor, "*shape"], dim: int = 0) -> Float[Tensor, "*rest"]:
    r"""Return :math:`\log \frac1L \sum_l e^{v_l}` along an axis, without overflow.

    Args:
        values: Logarithms of what is to be averaged, in nats.
        dim: Axis of the average; samples lead, so the first by default.

    Returns:
        The logarithm of the mean, with that axis gone.

    Example:
        >>> log_mean_exp(torch.tensor([-1000.0, -1000.0]))
        tensor(-1000.)
    """
    return torch.logsumexp(values, dim) - math.log(values.shape[dim])


class _BernoulliPixels(Independent):
    """Independent Bernoulli pixels whose ``log_prob`` changes sign after the sum, not before.

    That spares a pass over all pixels forwards and another one backwards, 2 % of a training step.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = torch.broadcast_tensors(self.base_dist.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none").sum(-1)


def _is_diagonal_normal(distribution: Distribution) -> TypeGuard[Independent]:
    return (
        isinstance(distribution, Independent)
        and isinstance(distribution.base_dist, Normal)
        and distribution.reinterpreted_batch_ndims == 1
    )
