r"""The evidence as what it is, an integral over codes, added up cell by cell.

With one, two or three latent dimensions :math:`\log p_\theta(x)` can be known as accurately as one
likes. It is the truth against which the other estimators are measured on trained networks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from aevb_lib.evidence.pieces import piece_size, quietly, sample_sizes
from aevb_lib.models import LatentVariableModel

__all__ = ["quadrature_log_likelihood"]

# How far from the prior's mean codes are looked at, in the prior's standard deviations: beyond 6
# the prior has 2e-9 of its mass. Images whose posterior reaches farther get the next one.
REACHES = (6.0, 12.0, 24.0, 48.0)
# Share of the tolerance that the outermost cells may hold; what lies beyond them is less.
BORDER = 0.01
# Cells along an axis, by the number of latent dimensions.
AXIS_SIZES = (96, 48, 24)
# Nats below an image's best cell at which a cell is dropped, before each halving. A wide cell's
# center may lie far down the side of a narrow peak, so the margin is wide at first.
MARGINS = (100.0, 50.0, 25.0, 14.0, 14.0, 14.0, 14.0, 14.0)


class _Grid(NamedTuple):
    """Cells around the prior's mean.

    Attributes:
        centers: Their centers, shape ``[M, D]``.
        widths: Their width in each dimension, shape ``[D]``.
        is_border: Whether a cell is among the outermost, shape ``[M]``.
    """

    centers: Float[Tensor, "M D"]
    widths: Float[Tensor, " D"]
    is_border: Bool[Tensor, " M"]


def quadrature_log_likelihood(
    model: LatentVariableModel, x: Float[Tensor, "B P"], *, tolerance: float = 1e-3
) -> Float[Tensor, " B"]:
    r"""Return :math:`\log p_\theta(x) = \log \int p(z)\, p_\theta(x \mid z)\, dz` to a tolerance.

    A grid of cells covers the prior, and for an image whose posterior reaches beyond it a wider
    grid. Cells that matter are halved in every dimension, again and again, for each image where its
    own posterior is; the integral is the sum over cells of the value at their center times their
    volume, and done when halving twice changes it no more. For smooth densities the error falls
    faster than any power of the width (the middles of cells are as good as any rule), so it is far
    below the last change.

    Args:
        model: A generative model with one, two or three latent dimensions.
        x: Images, shape ``[B, P]``.
        tolerance: Change in nats below which an image's integral is accepted.

    Returns:
        One value per image in nats, shape ``[B]``.

    Raises:
        ValueError: If the model has more dimensions, the tolerance is not positive, or there is no
            image.
        ArithmeticError: If a posterior is too narrow for the finest grid, or too far from the prior
            for the widest.

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
    if model.latent_dim > len(AXIS_SIZES):
        raise ValueError(
            f"quadrature is feasible for up to {len(AXIS_SIZES)} latent dimensions, this model has "
            f"{model.latent_dim}: use ais_log_likelihood"
        )
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}")
    with quietly(model, x) as x:
        size = piece_size(x, AXIS_SIZES[model.latent_dim - 1] ** model.latent_dim)
        return torch.cat([_integrals(model, images, tolerance) for images in x.split(size)])


def _integrals(model: LatentVariableModel, x: Tensor, tolerance: float) -> Tensor:
    """The integrals of some images, each on the narrowest grid that holds its posterior."""
    integrals = torch.full_like(x[:, 0], math.nan)
    pending = torch.arange(len(x), device=x.device)
    for reach in REACHES:
        grid = _grid(model, x, reach)
        log_joint = model.log_joint(x[pending].unsqueeze(1), grid.centers)  # decodes the grid once
        border = log_joint[:, grid.is_border].logsumexp(1) - log_joint.logsumexp(1)
        held = border < math.log(BORDER * min(tolerance, 1.0))
        if held.any():
            some = pending[held]
            integrals[some] = _refined(model, x[some], grid, log_joint[held], tolerance)
        pending = pending[~held]
        if not len(pending):
            return integrals
    raise ArithmeticError(
        f"the posteriors of {len(pending)} images reach more than {REACHES[-1]:g} standard "
        "deviations from the prior's mean, too far for quadrature: use ais_log_likelihood"
    )


def _grid(model: LatentVariableModel, x: Tensor, reach: float) -> _Grid:
    axis_size, prior = AXIS_SIZES[model.latent_dim - 1], model.prior()
    width = 2 * reach / axis_size
    axis = torch.arange(axis_size, dtype=x.dtype, device=x.device) * width + width / 2 - reach
    unit = torch.cartesian_prod(*[axis] * model.latent_dim).reshape(-1, model.latent_dim)
    is_border = (unit.abs() > reach - width).any(-1)
    return _Grid(prior.mean + prior.stddev * unit, prior.stddev * width, is_border)


def _refined(
    model: LatentVariableModel, x: Tensor, grid: _Grid, log_joint: Tensor, tolerance: float
) -> Tensor:
    """The integrals over a grid whose cells are halved where an image's posterior is."""
    # Cells of all images in one list, [M, D], with the image that each is for, [M].
    owners = torch.arange(len(x), device=x.device).repeat_interleave(len(grid.centers))
    z, widths, log_joint = grid.centers.repeat(len(x), 1), grid.widths, log_joint.flatten()
    halves = torch.tensor([-0.25, 0.25], dtype=x.dtype, device=x.device)
    corners = torch.cartesian_prod(*[halves] * model.latent_dim).reshape(-1, model.latent_dim)
    answer = torch.full((len(x),), math.nan, dtype=x.dtype, device=x.device)
    integral = _log_sum_exp(log_joint, owners, len(x)) + widths.log().sum()
    still = torch.zeros_like(answer, dtype=torch.bool)
    for margin in MARGINS:
        best = torch.full_like(answer, -math.inf).scatter_reduce(0, owners, log_joint, "amax")
        kept = (log_joint > best[owners] - margin) & answer[owners].isnan()
        z = (z[kept].unsqueeze(1) + widths * corners).flatten(0, 1)
        owners = owners[kept].repeat_interleave(len(corners))
        widths = widths / 2
        chunks = sample_sizes(x[:1], len(z))
        log_joint = torch.cat(
            [
                model.log_joint(x[i], c)
                for c, i in zip(z.split(chunks), owners.split(chunks), strict=True)
            ]
        )
        finer = _log_sum_exp(log_joint, owners, len(x)) + widths.log().sum()
        # Twice in a row: on coarse grids two sums may agree by chance.
        settled = (finer - integral).abs() < tolerance
        answer = torch.where(answer.isnan() & still & settled, finer, answer)
        integral, still = finer, settled
        if not answer.isnan().any():
            return answer
    raise ArithmeticError(
        f"the integral of {int(answer.isnan().sum())} images still moves by more than "
        f"{tolerance} nats with cells of width {float(widths.max()):.4f}: their posteriors are too "
        "narrow for quadrature, use ais_log_likelihood"
    )


def _log_sum_exp(values: Float[Tensor, " M"], owners: Int[Tensor, " M"], num: int) -> Tensor:
    """Log of the sum of exponentials of each owner's values; minus infinity where it has none."""
    empty = torch.full((num,), -math.inf, dtype=values.dtype, device=values.device)
    best = empty.scatter_reduce(0, owners, values, "amax").nan_to_num(neginf=0.0)
    # In float64, since there may be a million cells; on the CPU where a device has none.
    place = torch.device("cpu") if values.device.type == "mps" else values.device
    total = torch.zeros(num, dtype=torch.float64, device=place)
    total.index_add_(0, owners.to(place), (values - best[owners]).to(place).double().exp())
    return best + total.log().to(values.device, values.dtype)
