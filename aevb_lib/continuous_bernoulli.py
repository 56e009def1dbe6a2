r"""The continuous Bernoulli distribution: a Bernoulli's formula, made a density on [0, 1].

With the logit :math:`\ell` in place of :math:`\lambda = \mathrm{sigmoid}(\ell)`, all of it follows
from one integral, :math:`\int_0^1 e^{x \ell}\,\mathrm dx = (e^\ell - 1) / \ell`. Source:
Loaiza-Ganem and Cunningham (2019), The continuous Bernoulli: fixing a pervasive error in
variational autoencoders.

Each formula has a removable singularity at :math:`\ell = 0`, where differences of nearly equal
numbers lose their digits. There it is replaced by its Taylor series, before it is differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from aevb_lib.checks import check_event, check_tensors

__all__ = [
    "ContinuousBernoulli",
    "ContinuousBernoulliPixels",
    "continuous_bernoulli",
    "continuous_bernoulli_log_normalizer",
]

# Within these distances of zero series replace formulas, where both have lost the fewest digits.
NEAR_ZERO = 0.1
NEAR_ZERO_VARIANCE = 0.5
NEAR_ZERO_QUANTILE = 0.01


class ContinuousBernoulli(Distribution):
    r"""One pixel in [0, 1] with density :math:`p(x) = C(\lambda) \lambda^x (1 - \lambda)^{1 - x}`.

    Its parameter is no probability and not its mean: :math:`\lambda = 0.9` has the mean 0.67.

    Args:
        logits: Logits :math:`\ell` of :math:`\lambda`, any shape.

    Example:
        >>> pixel = ContinuousBernoulli(torch.tensor([-4.0, 0.0, 4.0]))
        >>> pixel.mean
        tensor([0.2313, 0.5000, 0.7687])
    """

    has_rsample = True
    arg_constraints: ClassVar = {"logits": constraints.real}

    def __init__(self, logits: Float[Tensor, "*shape"]) -> None:
        check_tensors(logits=logits)
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The interval from 0 to 1."""
        return constraints.unit_interval

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> ContinuousBernoulli:
        """Return the same distribution with a larger batch shape."""
        return type(self)(self.logits.expand(torch.Size(batch_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Return the log-density :math:`x \ell - \log(1 + e^\ell) + \log C(\lambda)` in nats."""
        return value * self.logits - _log_partition(self.logits)

    @property
    def mean(self) -> Tensor:
        r"""Mean :math:`1 / (1 - e^{-\ell}) - 1 / \ell`; 1/2 at zero."""
        return _mean(self.logits)

    @property
    def variance(self) -> Tensor:
        r"""Variance :math:`1 / \ell^2 - 1 / (4 \sinh^2(\ell / 2))`; 1/12 at zero."""
        return _variance(self.logits)

    def icdf(self, value: Tensor) -> Tensor:
        r"""Return the quantile :math:`x = \log(1 + u (e^\ell - 1)) / \ell` of each level.

        Args:
            value: Levels :math:`u` in [0, 1].
        """
        logits, levels = torch.broadcast_tensors(self.logits, value)
        return _quantile(logits, levels)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw pixels by the inverse of the distribution function, through which gradients flow."""
        shape = self._extended_shape(torch.Size(sample_shape))
        uniform = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        return self.icdf(uniform)


class ContinuousBernoulliPixels(Independent):
    """Independent continuous Bernoulli pixels, made by :func:`continuous_bernoulli`."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of images, summed over pixels, in nats.

        Args:
            value: Pixels in [0, 1], shape ``[..., P]``.

        Raises:
            ValueError: If the last axis has another length, which would be spread over it.
        """
        check_event(self, value)
        logits = self.base_dist.logits
        log_prob: Tensor = (value * logits).sum(-1) - _log_partition(logits).sum(-1)
        return log_prob


def continuous_bernoulli(logits: Float[Tensor, "*batch P"]) -> Independent:
    r"""Return independent continuous Bernoulli pixels, a density for grey images.

    For pixels :math:`0 \le x \le 1` and :math:`\lambda = \mathrm{sigmoid}(\text{logits})`,

    .. math::
        \log p(x) = \sum_p x_p \log \lambda_p + (1 - x_p) \log (1 - \lambda_p) + \log C(\lambda_p),

    which is the cross-entropy of :func:`aevb_lib.distributions.bernoulli` and the normalizer that
    makes it integrate to one, see :func:`continuous_bernoulli_log_normalizer`. It is a log-density,
    so it can be positive.

    Args:
        logits: Log-odds of :math:`\lambda`, shape ``[..., P]``.

    Returns:
        A distribution with batch shape ``[...]`` and event shape ``[P]``.

    Example:
        >>> p = continuous_bernoulli(torch.zeros(3))  # uniform on the cube
        >>> float(p.log_prob(torch.tensor([0.0, 0.5, 1.0])))
        0.0
    """
    return ContinuousBernoulliPixels(ContinuousBernoulli(logits), 1, validate_args=False)


def continuous_bernoulli_log_normalizer(
    logits: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape"]:
    r"""Return :math:`\log C(\lambda)`, by which the continuous Bernoulli differs from a Bernoulli.

    .. math::
        C(\lambda) = \frac{2\, \mathrm{artanh}(1 - 2 \lambda)}{1 - 2 \lambda}
        = \frac{\ell}{\tanh(\ell / 2)}, \qquad C(\tfrac12) = 2.

    Args:
        logits: Logits :math:`\ell` of :math:`\lambda`, any shape.

    Returns:
        One value per pixel in nats, at least log 2, same shape.

    Raises:
        TypeError: If the logits are no tensor.

    Example:
        >>> print(f"{continuous_bernoulli_log_normalizer(torch.tensor(0.0)):.4f}")  # log 2
        0.6931
    """
    check_tensors(logits=logits)
    return _by_parts(
        logits,
        lambda a: a.abs().log() - (a.abs() / 2).tanh().log(),
        lambda a: math.log(2) + a**2 / 12 - 7 * a**4 / 1440 + 31 * a**6 / 90720,
    )


def _log_partition(logits: Tensor) -> Tensor:
    # log of the integral of exp(x logit) over [0, 1]; its derivative is the mean.
    return _by_parts(
        logits,
        lambda a: a.clamp(min=0) + (-torch.expm1(-a.abs())).log() - a.abs().log(),
        lambda a: a / 2 + a**2 / 24 - a**4 / 2880 + a**6 / 181440,
    )


def _mean(logits: Tensor) -> Tensor:
    def far(a: Tensor) -> Tensor:
        top = torch.where(a > 0, 1.0, (-a.abs()).exp())
        return a.sign() * (-top / torch.expm1(-a.abs()) - 1 / a.abs())

    return _by_parts(logits, far, lambda a: 0.5 + a / 12 - a**3 / 720 + a**5 / 30240)


def _variance(logits: Tensor) -> Tensor:
    return _by_parts(
        logits,
        lambda a: a**-2 - (-a.abs()).exp() / torch.expm1(-a.abs()) ** 2,
        lambda a: 1 / 12 - a**2 / 240 + a**4 / 6048 - a**6 / 172800,
        NEAR_ZERO_VARIANCE,
    )


def _quantile(logits: Tensor, levels: Tensor) -> Tensor:
    def far(a: Tensor) -> Tensor:
        # Distance from the end where the mass is: log(e^-|a| + v (1 - e^-|a|)) / |a|.
        v = torch.where(a > 0, levels, 1 - levels)
        log_mass = v.log() + (-torch.expm1(-a.abs())).log()
        from_one = torch.logaddexp(-a.abs(), log_mass) / a.abs()
        return torch.where(a > 0, 1 + from_one, -from_one).clamp(0, 1)

    def near(a: Tensor) -> Tensor:
        spread = levels * (1 - levels)
        third = (1 - 2 * levels) * a**2 / 6 + (1 - 6 * spread) * a**3 / 24
        return levels + spread * (a / 2 + third)

    return _by_parts(logits, far, near, NEAR_ZERO_QUANTILE)


def _by_parts(
    logits: Tensor,
    far: Callable[[Tensor], Tensor],
    near: Callable[[Tensor], Tensor],
    limit: float = NEAR_ZERO,
) -> Tensor:
    """One formula away from zero and another near it.

    Each is called with the logits that are its own and a harmless number in place of the others,
    so that no gradient is zero times infinity. Short numbers are computed with in float32.
    """
    is_short = logits.dtype in (torch.float16, torch.bfloat16)
    a = logits.float() if is_short else logits
    is_near = a.abs() < limit
    outside = far(torch.where(is_near, 1.0, a))
    value = torch.where(is_near, near(torch.where(is_near, a, 0.0)), outside)
    return value.to(logits.dtype) if is_short else value
