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
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.nn.functional import softplus

__all__ = ["bernoulli", "diagonal_normal", "kl_divergence", "log_mean_exp", "standard_normal"]


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
    return DiagonalNormal(Normal(loc, scale, validate_args=False), 1, validate_args=False)


def standard_normal(like: Float[Tensor, "*batch D"]) -> Independent:
    r"""Return the prior :math:`\mathcal N(0, I)` with the shape, type and device of a tensor.

    Args:
        like: Any tensor of shape ``[..., D]``.

    Returns:
        A distribution with batch shape ``[...]`` and event shape ``[D]``.

    Example:
        >>> standard_normal(torch.zeros(20)).sample((3,)).shape
        torch.Size([3, 20])
    """
    normal = Normal(torch.zeros_like(like), torch.ones_like(like), validate_args=False)
    return StandardNormal(normal, 1, validate_args=False)


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
    return BernoulliPixels(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)


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
    if isinstance(q, DiagonalNormal) and isinstance(p, StandardNormal):
        # Torch's rule for any two normals needs twice the operations, at every training step.
        mu, sigma = q.base_dist.loc, q.base_dist.scale
        squares = torch.addcmul(sigma * sigma, mu, mu)
        divergence: Tensor = (0.5 * squares - sigma.log() - 0.5).sum(-1)
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


class DiagonalNormal(Independent):
    """Independent normal components that are shifted and scaled in one operation, not in two."""

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        loc, scale = self.base_dist.loc, self.base_dist.scale
        noise = torch.randn((*sample_shape, *loc.shape), dtype=loc.dtype, device=loc.device)
        return torch.addcmul(loc, scale, noise)  # the reparameterization trick


class StandardNormal(DiagonalNormal):
    """The standard normal, known as such without looking at its numbers."""


class BernoulliPixels(Independent):
    r"""Independent Bernoulli pixels: :math:`\log p(x) = x\,\ell - \log(1 + e^\ell)` of each.

    :math:`\ell` is the logit of a pixel. Torch's own ``log_prob`` has the same value (in float64 to
    2e-9, since softplus is linear beyond 20) but takes more passes over the pixels, and these are
    what a training step is made of beside its products.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        logits = self.base_dist.logits
        # Two sums, not one of a difference, whose gradient would take a pass to change its sign.
        log_prob: Tensor = (value * logits).sum(-1) - softplus(logits).sum(-1)
        return log_prob
