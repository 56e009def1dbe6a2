r"""The one latent-variable model whose every integral is known: probabilistic PCA.

With :math:`z \sim \mathcal N(0, I)` and :math:`x \mid z \sim \mathcal N(Wz + b, \sigma_x^2 I)`
(Tipping & Bishop 1999), evidence and posterior are normal and in closed form. Nothing needs to be
approximated here, which makes it the place to check what approximates elsewhere.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent, LowRankMultivariateNormal, MultivariateNormal

from aevb_lib.checks import check_place, check_tensors
from aevb_lib.distributions import diagonal_normal

__all__ = ["LinearGaussian"]


class LinearGaussian(nn.Module):
    r"""A linear decoder with normal noise, and the exact answers that come with it.

    As a module it is a decoder like any other, so ``VAE(encoder, LinearGaussian(W, b))`` goes
    through every estimator and every algorithm of this package.

    Args:
        weight: :math:`W`, shape ``[P, D]``; learnable.
        bias: :math:`b`, shape ``[P]``; learnable.
        scale: :math:`\sigma_x`, the standard deviation of the noise; fixed.

    Raises:
        ValueError: If the shapes do not fit together or the scale is not positive.

    Example:
        >>> decoder = LinearGaussian(torch.tensor([[1.0], [1.0]]), torch.zeros(2), scale=1.0)
        >>> posterior = decoder.exact_posterior(torch.tensor([[1.5, 1.5]]))
        >>> print(f"{posterior.mean.item():.3f} {posterior.variance.item():.3f}")
        1.000 0.333
    """

    _scale: Tensor

    def __init__(
        self, weight: Float[Tensor, "P D"], bias: Float[Tensor, " P"], *, scale: float = 1.0
    ) -> None:
        super().__init__()
        check_tensors(weight=weight, bias=bias)
        if not weight.is_floating_point() or weight.dtype != bias.dtype:
            raise TypeError(
                f"weight and bias must be of one floating-point type, got {weight.dtype} and "
                f"{bias.dtype}"
            )
        # A tensor on the meta device has no values to look at.
        if not weight.is_meta and not (weight.isfinite().all() and bias.isfinite().all()):
            raise ValueError("weight and bias must be finite numbers")
        if weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"need weight [P, D] and bias [P], got {list(weight.shape)} and {list(bias.shape)}"
            )
        if not scale > 0:
            raise ValueError(f"scale is a standard deviation and must be positive, got {scale}")
        self.out_dim, self.in_dim = weight.shape
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(bias.clone())
        self.register_buffer(
            "_scale", torch.full((), scale, dtype=weight.dtype, device=weight.device)
        )

    def forward(self, z: Float[Tensor, "*batch D"]) -> Independent:
        r"""Return :math:`p(x \mid z) = \mathcal N(Wz + b, \sigma_x^2 I)`, event shape ``[P]``."""
        loc = z @ self.weight.T + self.bias
        return diagonal_normal(loc, self._scale.expand_as(loc))

    def evidence(self) -> LowRankMultivariateNormal:
        r"""Return :math:`p(x) = \mathcal N(b, W W^\top + \sigma_x^2 I)`, event shape ``[P]``."""
        return LowRankMultivariateNormal(
            self.bias, self.weight, self._scale.square().expand_as(self.bias)
        )

    def exact_posterior(self, x: Float[Tensor, "*batch P"]) -> MultivariateNormal:
        r"""Return :math:`p(z \mid x) = \mathcal N(M^{-1} W^\top (x - b) / \sigma_x^2,\; M^{-1})`.

        Its precision :math:`M = I + W^\top W / \sigma_x^2` does not depend on the image, and is
        diagonal if and only if the columns of W are orthogonal.

        Args:
            x: Images, shape ``[..., P]``.

        Returns:
            A distribution with batch shape ``[...]`` and event shape ``[D]``.

        Raises:
            TypeError: If ``x`` is no tensor.
            ValueError: If there is no image, or it is not of the type of the weights.
            ArithmeticError: If the weights are too large for their precision.
        """
        check_place(self, x)
        if x.numel() == 0:
            raise ValueError(f"x must be at least one image, but its shape is {list(x.shape)}")
        variance = self._scale.square()
        identity = torch.eye(self.in_dim, dtype=self.weight.dtype, device=self.weight.device)
        precision = identity + self.weight.T @ self.weight / variance
        projected = (x - self.bias) @ self.weight / variance
        # Through its Cholesky factor, since rounding leaves the precision not quite symmetric.
        try:
            factor = torch.linalg.cholesky(precision)
            scale_tril = torch.linalg.cholesky(torch.cholesky_inverse(factor))
        except RuntimeError as error:  # LinAlgError
            raise ArithmeticError(
                f"the posterior's precision cannot be inverted in {x.dtype}: use float64, or "
                "smaller weights over the scale"
            ) from error
        loc = torch.cholesky_solve(projected.unsqueeze(-1), factor).squeeze(-1)
        return MultivariateNormal(loc, scale_tril=scale_tril)
