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
# Cells at one width to which neighbors are still added: a few hundred megabytes.
MAX_CELLS = 4_000_000


class _Cells(NamedTuple):
    """Cells of a grid, each for one image.

    Attributes:
        owners: Image that a cell is for, shape ``[M]``.
        places: Number of the cell along each axis, from 0, shape ``[M, D]``.
        log_joint: Logarithm of the joint density at its center, shape ``[M]``.
    """

    owners: Int[Tensor, " M"]
    places: Int[Tensor, "M D"]
    log_joint: Float[Tensor, " M"]

    def of(self, is_wanted: Bool[Tensor, " M"]) -> _Cells:
        """Return some of the cells."""
        return _Cells(*(part[is_wanted] for part in self))

    def and_also(self, others: _Cells) -> _Cells:
        """Return these cells and others."""
        return _Cells(*(torch.cat(parts) for parts in zip(self, others, strict=True)))


class _Grid:
    """A grid around the prior's mean, and an integrand on it.

    Args:
        model: Generative model.
        x: Images, shape ``[B, P]``.
        reach: Distance of its border from the mean, in the prior's standard deviations.
    """

    def __init__(self, model: LatentVariableModel, x: Tensor, reach: float) -> None:
        self.model, self.x = model, x
        self.axis_size, self.dim = AXIS_SIZES[model.latent_dim - 1], model.latent_dim
        prior = model.prior()
        self.origin = prior.mean - reach * prior.stddev
        self.widths = 2 * reach / self.axis_size * prior.stddev

    @property
    def log_volume(self) -> Tensor:
        """Logarithm of a cell's volume."""
        return self.widths.log().sum()

    def all_places(self) -> Int[Tensor, "M D"]:
        """Return the places of all cells."""
        return self._product(torch.arange(self.axis_size, device=self.x.device))

    def centers(self, places: Int[Tensor, "M D"]) -> Float[Tensor, "M D"]:
        """Return the codes in the middle of cells."""
        return self.origin + self.widths * (places + 0.5)

    def evaluated(self, owners: Int[Tensor, " M"], places: Int[Tensor, "M D"]) -> _Cells:
        """Return cells with the log joint density at their centers."""
        size = sample_sizes(self.x[:1], len(places))
        z = self.centers(places)
        values = [
            self.model.log_joint(self.x[i], c)
            for c, i in zip(z.split(size), owners.split(size), strict=True)
        ]
        return _Cells(owners, places, torch.cat(values))

    def halved(self, cells: _Cells) -> _Cells:
        """Halve the grid's width, and return the parts of some of its cells."""
        self.widths, self.axis_size = self.widths / 2, 2 * self.axis_size
        parts = self._product(torch.arange(2, device=self.x.device))
        places = (2 * cells.places.unsqueeze(1) + parts).flatten(0, 1)
        return self.evaluated(cells.owners.repeat_interleave(len(parts)), places)

    def absent_neighbors(self, cells: _Cells) -> tuple[Bool[Tensor, "M F"], Int[Tensor, "M F"]]:
        """Return which of each cell's neighbors are not among the cells, and the keys of all."""
        strides = self._strides()
        keys = cells.owners * self.axis_size**self.dim + (cells.places * strides).sum(1)
        neighbors, absent = [], []
        for places, stride in zip(cells.places.unbind(1), strides, strict=True):
            for step, end in ((-1, 0), (1, self.axis_size - 1)):
                neighbors.append(keys + step * stride)
                absent.append((places != end) & ~torch.isin(neighbors[-1], keys))
        return torch.stack(absent, 1), torch.stack(neighbors, 1)

    def at_keys(self, keys: Int[Tensor, " M"]) -> _Cells:
        """Return the cells with these keys, of which each is one number, evaluated."""
        places = keys.unsqueeze(1) // self._strides() % self.axis_size
        return self.evaluated(keys // self.axis_size**self.dim, places)

    def _strides(self) -> Int[Tensor, " D"]:
        strides: Tensor = self.axis_size ** torch.arange(self.dim, device=self.x.device)
        return strides

    def _product(self, axis: Tensor) -> Tensor:
        return torch.cartesian_prod(*[axis] * self.dim).reshape(-1, self.dim)


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
        ValueError: If the model has more dimensions or a prior without a variance, the tolerance is
            not positive, or there is no image.
        ArithmeticError: If a posterior is too narrow for the finest grid, takes too many cells, or
            is too far from the prior for the widest grid.

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
    prior = model.prior()
    if not (prior.mean.isfinite().all() and prior.stddev.isfinite().all()):
        raise ValueError(
            f"a prior of type {type(prior).__name__} without mean and variance cannot be covered "
            "by a grid: use ais_log_likelihood"
        )
    with quietly(model, x) as x:
        size = piece_size(x, AXIS_SIZES[model.latent_dim - 1] ** model.latent_dim)
        return torch.cat([_integrals(model, images, tolerance) for images in x.split(size)])


def _integrals(model: LatentVariableModel, x: Tensor, tolerance: float) -> Tensor:
    """The integrals of some images, each on the narrowest grid that holds its posterior."""
    integrals = torch.full_like(x[:, 0], math.nan)
    pending = torch.arange(len(x), device=x.device)
    for reach in REACHES:
        grid = _Grid(model, x[pending], reach)
        places = grid.all_places()
        is_border = ((places == 0) | (places == grid.axis_size - 1)).any(1)
        # Decodes the grid once, for all images.
        log_joint = model.log_joint(grid.x.unsqueeze(1), grid.centers(places))
        border = log_joint[:, is_border].logsumexp(1) - log_joint.logsumexp(1)
        held = border < math.log(BORDER * min(tolerance, 1.0))
        if held.any():
            some = _Grid(model, x[pending[held]], reach)
            owners = torch.arange(len(some.x), device=x.device).repeat_interleave(len(places))
            cells = _Cells(owners, places.repeat(len(some.x), 1), log_joint[held].flatten())
            integrals[pending[held]] = _refined(some, cells, tolerance)
        pending = pending[~held]
        if not len(pending):
            return integrals
    raise ArithmeticError(
        f"the posteriors of {len(pending)} images reach more than {REACHES[-1]:g} standard "
        "deviations from the prior's mean, too far for quadrature: use ais_log_likelihood"
    )


def _refined(grid: _Grid, cells: _Cells, tolerance: float) -> Tensor:
    """The integrals over a grid whose cells are halved where an image's posterior is."""
    num = len(grid.x)
    answer = torch.full_like(grid.x[:, 0], math.nan)
    integral = _log_sum_exp(cells, num) + grid.log_volume
    still = torch.zeros_like(answer, dtype=torch.bool)
    for margin in MARGINS:
        matters = _is_near_best(cells, num, margin) & answer.isnan()[cells.owners]
        cells = _completed(grid, grid.halved(cells.of(matters)), tolerance)
        finer = _log_sum_exp(cells, num) + grid.log_volume
        # Twice in a row: on coarse grids two sums may agree by chance.
        settled = (finer - integral).abs() < tolerance
        answer = torch.where(answer.isnan() & still & settled, finer, answer)
        integral, still = finer, settled
        if not answer.isnan().any():
            return answer
    raise ArithmeticError(
        f"the integral of {int(answer.isnan().sum())} images still moves by more than "
        f"{tolerance} nats with cells of width {float(grid.widths.max()):.4f}: their posteriors "
        "are too narrow for quadrature, use ais_log_likelihood"
    )


def _completed(grid: _Grid, cells: _Cells, tolerance: float) -> _Cells:
    """Cells, with neighbors where they cut an image's posterior off.

    On a narrow ridge that runs across the axes, some of the wide cells have their centers far down
    its sides and are dropped too early. Its parts that are left then end in cells that matter.
    """
    num = len(grid.x)
    while len(cells.owners) < MAX_CELLS:
        is_absent, neighbors = grid.absent_neighbors(cells)
        ends = cells.of(is_absent.any(1))
        share = _log_sum_exp(ends, num) - _log_sum_exp(cells, num)
        is_cut = share > math.log(BORDER * min(tolerance, 1.0))
        grows = is_cut[cells.owners] & _is_near_best(cells, num, MARGINS[-1])
        new = neighbors[is_absent & grows.unsqueeze(1)].unique()
        if not len(new):
            return cells
        cells = cells.and_also(grid.at_keys(new))
    raise ArithmeticError(
        f"more than {MAX_CELLS:,} cells matter at a width of {float(grid.widths.max()):.4f}: a "
        "posterior is too narrow and too long for quadrature, use ais_log_likelihood"
    )


def _is_near_best(cells: _Cells, num: int, margin: float) -> Bool[Tensor, " M"]:
    return cells.log_joint > _best(cells, num)[cells.owners] - margin


def _log_sum_exp(cells: _Cells, num: int) -> Tensor:
    """Log of the sum over each image's cells; minus infinity where it has none."""
    owners, values = cells.owners, cells.log_joint
    best = _best(cells, num).nan_to_num(neginf=0.0)
    # In float64, since there may be a million cells; on the CPU where a device has none.
    place = torch.device("cpu") if values.device.type == "mps" else values.device
    total = torch.zeros(num, dtype=torch.float64, device=place)
    total.index_add_(0, owners.to(place), (values - best[owners]).to(place).double().exp())
    return best + total.log().to(values.device, values.dtype)


def _best(cells: _Cells, num: int) -> Tensor:
    empty = cells.log_joint.new_full((num,), -math.inf)
    return empty.scatter_reduce(0, cells.owners, cells.log_joint, "amax")
