r"""The marginal likelihood as what it is, an integral over codes, added up cell by cell.

With one, two or three latent dimensions :math:`\log p_\theta(x)` can be known as accurately as one
likes. It is the truth against which :mod:`aevb_lib.marginal_likelihood` and the importance
sampling of :mod:`aevb_lib.evaluation` can be measured on trained networks.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aevb_lib.models import LatentVariableModel

__all__ = ["quadrature_log_likelihood"]

# Decoded values in memory at once, codes times images times pixels: 100 MB of float32.
MAX_DECODED = 25_000_000
# Codes within this distance of the prior's mean in each dimension are looked at: beyond it the
# prior has 2e-9 of its mass.
REACH = 6.0
# Nats below an image's best cell at which a cell is dropped, before each halving. A wide cell's
# center may lie far down the side of a narrow peak, so the margin is wide at first.
MARGINS = (100.0, 50.0, 25.0, 14.0, 14.0, 14.0, 14.0, 14.0)


@torch.no_grad()
def quadrature_log_likelihood(
    model: LatentVariableModel, x: Float[Tensor, "B P"], *, tolerance: float = 1e-3
) -> Float[Tensor, " B"]:
    r"""Return :math:`\log p_\theta(x) = \log \int p(z)\, p_\theta(x \mid z)\, dz` to a tolerance.

    A grid of cells covers the prior. Cells that matter are halved in every dimension, again and
    again, for each image where its own posterior is; the integral is the sum over cells of the
    value at their center times their volume, and done when halving twice changes it no more. For
    smooth densities the error falls faster than any power of the width (the middles of cells are as
    good as any rule), so it is far below the last change.

    Args:
        model: A generative model with one, two or three latent dimensions.
        x: Images, shape ``[B, P]``.
        tolerance: Change in nats below which an image's integral is accepted.

    Returns:
        One value per image in nats, shape ``[B]``.

    Raises:
        ValueError: If the model has more dimensions, the tolerance is not positive, or there is no
            image.
        ArithmeticError: If a posterior is too narrow for the finest grid.

    Example:
        >>> import aevb_lib as aevb
        >>> decoder = aevb.LinearGaussian(torch.tensor([[1.0], [1.0]]), torch.zeros(2))
        >>> x = torch.tensor([[1.5, 1.5]])
        >>> error = quadrature_log_likelihood(
        ...     aevb.LatentVariableModel(decoder), x
        ... ) - decoder.evidence().log_prob(x)
        >>> bool(error.abs() < 1e-3)
        True
    """
    if model.latent_dim > 3:
        raise ValueError(
            f"quadrature is feasible for up to 3 latent dimensions, this model has "
            f"{model.latent_dim}: use ais_log_likelihood"
        )
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}")
    if x.ndim != 2 or x.numel() == 0:
        raise ValueError(f"x must be images [B, P], at least one, but its shape is {list(x.shape)}")
    axis_size = (96, 48, 24)[model.latent_dim - 1]
    width = 2 * REACH / axis_size
    axis = torch.arange(axis_size, dtype=x.dtype, device=x.device) * width + width / 2 - REACH
    grid = torch.cartesian_prod(*[axis] * model.latent_dim).reshape(-1, model.latent_dim)
    pieces = x.split(max(1, MAX_DECODED // (len(grid) * x.shape[1])))
    return torch.cat([_integrals(model, images, grid, width, tolerance) for images in pieces])


def _integrals(
    model: LatentVariableModel, x: Tensor, grid: Tensor, width: float, tolerance: float
) -> Tensor:
    # Cells of all images in one list, [M, D], with the image that each is for, [M].
    owners = torch.arange(len(x), device=x.device).repeat_interleave(len(grid))
    z = grid.repeat(len(x), 1)
    log_joint = model.log_joint(x.unsqueeze(1), grid).flatten()  # decodes the grid once
    halves = torch.tensor([-0.25, 0.25], dtype=x.dtype, device=x.device)
    corners = torch.cartesian_prod(*[halves] * model.latent_dim).reshape(-1, model.latent_dim)
    answer = torch.full((len(x),), math.nan, dtype=x.dtype, device=x.device)
    integral = _log_sum_exp(log_joint, owners, len(x)) + model.latent_dim * math.log(width)
    still = torch.zeros_like(answer, dtype=torch.bool)
    for margin in MARGINS:
        best = torch.full_like(answer, -math.inf).scatter_reduce(0, owners, log_joint, "amax")
        kept = (log_joint > best[owners] - margin) & answer[owners].isnan()
        z = (z[kept].unsqueeze(1) + width * corners).flatten(0, 1)
        owners = owners[kept].repeat_interleave(len(corners))
        width /= 2
        size = max(1, MAX_DECODED // x.shape[1])
        log_joint = torch.cat(
            [
                model.log_joint(x[i], c)
                for c, i in zip(z.split(size), owners.split(size), strict=True)
            ]
        )
        finer = _log_sum_exp(log_joint, owners, len(x)) + model.latent_dim * math.log(width)
        # Twice in a row: on coarse grids two sums may agree by chance.
        settled = (finer - integral).abs() < tolerance
        answer = torch.where(answer.isnan() & still & settled, finer, answer)
        integral, still = finer, settled
        if not answer.isnan().any():
            return answer
    raise ArithmeticError(
        f"the integral of {int(answer.isnan().sum())} images still moves by more than "
        f"{tolerance} nats with cells of width {width:.4f}: their posteriors are too narrow for "
        "quadrature, use ais_log_likelihood"
    )


def _log_sum_exp(values: Float[Tensor, " M"], owners: Int[Tensor, " M"], num: int) -> Tensor:
    """Log of the sum of exponentials of each owner's values; minus infinity where it has none."""
    empty = torch.full((num,), -math.inf, dtype=values.dtype, device=values.device)
    best = empty.scatter_reduce(0, owners, values, "amax").nan_to_num(neginf=0.0)
    # In float64: there may be a million cells.
    total = torch.zeros_like(best, dtype=torch.float64)
    total.index_add_(0, owners, (values - best[owners]).double().exp())
    return (best + total.log()).to(values.dtype)
