"""The distributions that flow between the modules, and two formulas about them.

They are `torch.distributions` objects whose last axis is the *event*: ``log_prob`` sums over it and
leaves one number per datapoint.

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
from torch.distributions import Bernoulli, Distribution, Independent, Normal, register_kl
from torch.nn.functional import softplus

from aevb_lib.checks import check_event

__all__ = [
    "BernoulliPixels",
    "DiagonalNormal",
    "StandardNormal",
    "bernoulli",
    "diagonal_normal",
    "kl_divergence",
    "log_mean_exp",
    "standard_normal",
]


class DiagonalNormal(Independent):
    """A normal distribution of independent components, made by :func:`diagonal_normal`.

    Samples are shifted and scaled in one operation, and drawn without a look at the scale, for
    which torch's own ``sample`` makes a GPU wait.
    """

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw samples through which gradients reach mean and scale: the reparameterization trick.

        Args:
            sample_shape: Leading axes of the result, such as ``(L,)``.

        Returns:
            Samples, shape ``[*sample_shape, *batch, D]``.
        """
        loc, scale = self.base_dist.loc, self.base_dist.scale
        noise = torch.randn((*sample_shape, *loc.shape), dtype=loc.dtype, device=loc.device)
        return torch.addcmul(loc, scale, noise)

    @torch.no_grad()
    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw what :meth:`rsample` draws, without a gradient."""
        return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of values, summed over the last axis, in nats.

        Args:
            value: Codes or images, shape ``[..., D]``.

        Raises:
            ValueError: If the last axis has another length, which would be spread over it.
        """
        check_event(self, value)
        log_prob: Tensor = self.base_dist.log_prob(value).sum(-1)
        return log_prob


class StandardNormal(DiagonalNormal):
    """The standard normal distribution, known by its type, made by :func:`standard_normal`."""


class BernoulliPixels(Independent):
    r"""Independent Bernoulli pixels, made by :func:`bernoulli`.

    With the logit :math:`\ell` of a pixel, :math:`\log p(x) = x\,\ell - \log(1 + e^\ell)`. Torch's
    own ``log_prob`` has the same value (in float64 to 2e-9, since softplus is linear beyond 20) but
    takes more passes over the pixels, and these are what a training step is made of beside its
    products.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-probability of images, summed over pixels, in nats.

        Args:
            value: Pixels, shape ``[..., P]``.

        Raises:
            ValueError: If the last axis has another length, which would be spread over it.
        """
        check_event(self, value)
        logits = self.base_dist.logits
        # Two sums, not one of a difference, whose gradient would take a pass to change its sign.
        log_prob: Tensor = (value * logits).sum(-1) - softplus(logits).sum(-1)
        return log_prob

    @torch.no_grad()
    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw black and white images.

        Args:
            sample_shape: Leading axes of the result, such as ``(L,)``.

        Returns:
            Zeros and ones, shape ``[*sample_shape, *batch, P]``. Where training has diverged and a
            probability is nan, a GPU draws a zero.

        Raises:
            RuntimeError: If a probability is nan, on a CPU.
        """
        probs: Tensor = self.base_dist.probs
        if probs.device.type == "cpu":
            return super().sample(sample_shape)
        # Torch's own draws end a process on a GPU, whatever it does next, if a probability is nan.
        return _compared_with_noise(probs.expand(*sample_shape, *probs.shape))


def _compared_with_noise(probs: Tensor) -> Tensor:
    """Ones with these probabilities, and zeros; of a nan a zero."""
    return (torch.rand_like(probs) < probs).to(probs.dtype)


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
        >>> kl_divergence(q, standard_normal(torch.zeros(2)))
        tensor([0.5000])
    """
    return torch.distributions.kl_divergence(q, p)


@register_kl(DiagonalNormal, StandardNormal)  # type: ignore[untyped-decorator]
def _kl_from_standard_normal(q: DiagonalNormal, p: StandardNormal) -> Tensor:
    # Torch's rule for any two normals needs twice the operations, at every training step.
    mu, sigma = q.base_dist.loc, q.base_dist.scale
    squares = torch.addcmul(sigma * sigma, mu, mu)
    divergence: Tensor = (0.5 * squares - sigma.log() - 0.5).sum(-1)
    return divergence


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
