"""Networks whose forward pass returns a distribution.

Nobody outside this module sees a log-variance or a logit: an encoder is a function from images to
distributions over codes, a decoder one from codes to distributions over images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent

from aevb_lib.checks import check_tensors
from aevb_lib.continuous_bernoulli import continuous_bernoulli
from aevb_lib.distributions import bernoulli, diagonal_normal

__all__ = ["MLP", "BernoulliMLP", "ContinuousBernoulliMLP", "GaussianMLP", "GaussianPixelsMLP"]


class MLP(nn.Module):
    """A multilayer perceptron: ``in_dim -> hidden_dims -> out_dim``, the last layer linear.

    Weights and biases start uniform in ±1/√fan_in, torch's own default for a linear layer, but
    drawn from an explicit CPU generator: one seed gives one start on every device.

    Args:
        in_dim: Size of the last axis of the input.
        out_dim: Size of the last axis of the output.
        hidden_dims: Sizes of the hidden layers; the paper uses one of 500.
        activation: Makes the nonlinearity after each hidden layer; tanh in the paper.
        generator: CPU generator for the initial weights; torch's global one by default.

    Raises:
        ValueError: If a size is smaller than one.

    Example:
        >>> MLP(784, 20)(torch.zeros(3, 784)).shape
        torch.Size([3, 20])
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        hidden_dims: Sequence[int] = (500,),
        activation: Callable[[], nn.Module] = nn.Tanh,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(in_dim, out_dim, *hidden_dims) < 1:
            raise ValueError(
                f"layer sizes must be at least 1, got {[in_dim, *hidden_dims, out_dim]}"
            )
        self.in_dim = in_dim
        self.out_dim = out_dim
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([in_dim, *hidden_dims, out_dim]):
            layers += [_linear(fan_in, fan_out, generator), activation()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, inputs: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Apply the layers to the last axis.

        Raises:
            TypeError: If the inputs are no tensor.
            ValueError: If the last axis is not ``in_dim`` long, or the inputs are not of the type
                of the weights.
        """
        check_tensors(inputs=inputs)
        if inputs.shape[-1:] != (self.in_dim,):
            raise ValueError(
                f"expected a last axis of {self.in_dim}, got shape {tuple(inputs.shape)}; "
                "images are flat here: use images.flatten(-2) on [..., 28, 28]"
            )
        expected = self.layers[0].weight.dtype
        if inputs.dtype != expected and not torch.is_autocast_enabled(inputs.device.type):
            raise ValueError(
                f"the network computes in {expected} and the inputs are {inputs.dtype}: use "
                f"inputs.to({expected})"
            )
        outputs: Tensor = self.layers(inputs)
        # Under autocast they are shorter, but sums of log-probabilities need the digits.
        return outputs.to(inputs.dtype)


class _DistributionMLP(nn.Module):
    """What the networks below share: an MLP whose outputs parameterize a distribution."""

    params_per_dim = 1

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        hidden_dims: Sequence[int] = (500,),
        activation: Callable[[], nn.Module] = nn.Tanh,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_dim = in_dim
        self.out_dim = out_dim
        num_params = self.params_per_dim * out_dim
        self.mlp = MLP(in_dim, num_params, hidden_dims, activation, generator=generator)


class GaussianMLP(_DistributionMLP):
    r"""An MLP that returns a diagonal normal: the paper's encoder (appendix C.2).

    One network with ``2 * out_dim`` outputs, the means :math:`\mu` and the log-variances
    :math:`\log\sigma^2`. The exponential makes every :math:`\sigma` positive without a constraint.
    Nothing clamps it: in a training that diverges it becomes infinite, and
    :func:`aevb_lib.training.fit` says so. With a clamp the bound would stay at minus a billion,
    where no gradient leads out.

    Args:
        in_dim: Size of the input, 784 for an encoder of MNIST images.
        out_dim: Dimension of the normal distribution.
        hidden_dims: See :class:`MLP`.
        activation: See :class:`MLP`.
        generator: See :class:`MLP`.

    Example:
        >>> q = GaussianMLP(784, 20)(torch.zeros(100, 784))
        >>> q.batch_shape, q.event_shape
        (torch.Size([100]), torch.Size([20]))
    """

    params_per_dim = 2

    def forward(self, inputs: Float[Tensor, "*batch in"]) -> Independent:
        """Return the distribution with batch shape ``[...]`` and event shape ``[out_dim]``."""
        loc, log_variance = self.mlp(inputs).chunk(2, dim=-1)
        return diagonal_normal(loc, (0.5 * log_variance).exp())


class BernoulliMLP(_DistributionMLP):
    """An MLP that returns independent Bernoulli pixels: the paper's decoder (appendix C.1).

    It works with logits throughout: a sigmoid followed by a logarithm of one minus it would be
    minus infinity where the network is certain of white.

    Args:
        in_dim: Dimension of the code.
        out_dim: Number of pixels.
        hidden_dims: See :class:`MLP`.
        activation: See :class:`MLP`.
        generator: See :class:`MLP`.

    Example:
        >>> p = BernoulliMLP(20, 784)(torch.zeros(100, 20))
        >>> p.batch_shape, p.event_shape
        (torch.Size([100]), torch.Size([784]))
    """

    def forward(self, inputs: Float[Tensor, "*batch in"]) -> Independent:
        """Return the distribution with batch shape ``[...]`` and event shape ``[out_dim]``."""
        return bernoulli(self.mlp(inputs))


class ContinuousBernoulliMLP(_DistributionMLP):
    r"""An MLP that returns independent continuous Bernoulli pixels, a density for grey images.

    The network of :class:`BernoulliMLP`, whose formula is made to integrate to one; see
    :func:`aevb_lib.continuous_bernoulli.continuous_bernoulli`. The mean image is not the sigmoid of
    its outputs.

    Args:
        in_dim: Dimension of the code.
        out_dim: Number of pixels.
        hidden_dims: See :class:`MLP`.
        activation: See :class:`MLP`.
        generator: See :class:`MLP`.

    Example:
        >>> p = ContinuousBernoulliMLP(20, 784)(torch.zeros(100, 20))
        >>> p.batch_shape, p.event_shape
        (torch.Size([100]), torch.Size([784]))
    """

    def forward(self, inputs: Float[Tensor, "*batch in"]) -> Independent:
        """Return the distribution with batch shape ``[...]`` and event shape ``[out_dim]``."""
        return continuous_bernoulli(self.mlp(inputs))


class GaussianPixelsMLP(_DistributionMLP):
    r"""An MLP that returns normal pixels with one scale: :math:`\mathcal N(y(z), \sigma_x^2 I)`.

    The means :math:`y` are sigmoids, as in the paper's appendix C.2. The scale is one number for
    all pixels and codes. Learned, its optimum is the root of the mean squared error (Rybkin et al.
    2021, the :math:`\sigma`-VAE); fixed, it weighs the two parts of the bound, as a :math:`\beta`
    does. For a scale per pixel and code use :class:`GaussianMLP`, whose density has no bound.

    Attributes:
        log_variance: The parameter :math:`\log\sigma_x^2`; it has no gradient if it is fixed.

    Args:
        in_dim: Dimension of the code.
        out_dim: Number of pixels.
        hidden_dims: See :class:`MLP`.
        activation: See :class:`MLP`.
        scale: Standard deviation :math:`\sigma_x` at the start, in units of a pixel.
        learn_scale: Whether the scale is learned with the weights.
        generator: See :class:`MLP`.

    Raises:
        ValueError: If the scale is not a positive number.

    Example:
        >>> p = GaussianPixelsMLP(20, 784, scale=0.1)(torch.zeros(100, 20))
        >>> p.event_shape, f"{p.stddev.mean():.2f}"
        (torch.Size([784]), '0.10')
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        hidden_dims: Sequence[int] = (500,),
        activation: Callable[[], nn.Module] = nn.Tanh,
        *,
        scale: float = 0.2,
        learn_scale: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(in_dim, out_dim, hidden_dims, activation, generator=generator)
        if not 0 < scale < math.inf:
            raise ValueError(f"scale is a standard deviation and must be positive, got {scale}")
        start = torch.tensor(2 * math.log(scale), dtype=torch.get_default_dtype())
        self.log_variance = nn.Parameter(start, requires_grad=learn_scale)

    def forward(self, inputs: Float[Tensor, "*batch in"]) -> Independent:
        """Return the distribution with batch shape ``[...]`` and event shape ``[out_dim]``."""
        loc = self.mlp(inputs).sigmoid()
        return diagonal_normal(loc, (0.5 * self.log_variance).exp().expand_as(loc))


def _linear(fan_in: int, fan_out: int, generator: torch.Generator | None) -> nn.Linear:
    # skip_init: nn.Linear would draw its own weights first and so advance the global generator.
    device = torch.get_default_device()  # skip_init would take the CPU
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out, device=device)
    limit = 1 / math.sqrt(fan_in)
    with torch.no_grad():
        for parameter in layer.parameters():
            values = torch.empty_like(parameter, device="cpu")
            parameter.copy_(values.uniform_(-limit, limit, generator=generator))
    return layer
