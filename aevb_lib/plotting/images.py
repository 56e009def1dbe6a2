"""Pictures of digits, dark on white."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, isqrt

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from aevb_lib.plotting.look import INK, WIDTH, as_array, canvas, color_of, has_color, style

__all__ = ["image_grid", "image_rows"]

Images = ArrayLike


def image_grid(
    images: Images, *, columns: int | None = None, width: float = WIDTH, gap: float = 0.06
) -> Figure:
    """Draw images side by side, dark on white.

    Args:
        images: Flat square images, shape ``[n, P]``, or a grid ``[rows, columns, P]``.
        columns: Images per row; a grid brings its own.
        width: Width in inches.
        gap: Space between images, as a share of an image; 0 makes one picture of a manifold.

    Returns:
        The figure.

    Raises:
        ValueError: If the images are not square.

    Example:
        >>> figure = image_grid(np.zeros((20, 784)), columns=10)
    """
    pixels = as_array(images)
    if pixels.ndim == 3:
        _check_square(pixels)
        columns = pixels.shape[1]
        pixels = pixels.reshape(-1, pixels.shape[-1])
    columns = min(10 if columns is None else columns, len(pixels))
    mosaic = _mosaic(pixels, columns, gap)
    height = width * mosaic.shape[0] / mosaic.shape[1]
    figure, axes = canvas(width=width, height=height)
    with style():
        axes.imshow(mosaic, vmin=0, vmax=1)
        axes.axis("off")
    return figure


def image_rows(rows: Mapping[str, Images], *, width: float = WIDTH) -> Figure:
    """Draw rows of images with their names on the left: originals, then what a model makes of them.

    Args:
        rows: Name to flat square images, shape ``[n, P]``, the same n in every row.
        width: Width in inches.

    Returns:
        The figure.

    Raises:
        ValueError: If the rows differ in length or the images are not square.

    Example:
        >>> x = np.zeros((8, 784))
        >>> figure = image_rows({"Original": x, "VAE": x})
    """
    arrays = {name: as_array(images) for name, images in rows.items()}
    if not arrays:
        raise ValueError("no row to draw")
    lengths = {len(images) for images in arrays.values()}
    if len(lengths) != 1:
        raise ValueError(f"rows must hold the same number of images, got {sorted(lengths)}")
    (count,) = lengths
    mosaics = [_mosaic(images, count, 0.06) for images in arrays.values()]
    label_width = 1.15
    height = (width - label_width) / count * len(rows) * 1.08
    figure, axes = canvas(len(rows), 1, width=width, height=height, squeeze=False)
    with style():
        for axis, (name, mosaic) in zip(axes[:, 0], zip(arrays, mosaics, strict=True), strict=True):
            axis.imshow(mosaic, vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
            axis.grid(False)
            color = color_of(name) if has_color(name) else INK
            axis.set_ylabel(name, rotation=0, ha="right", va="center", color=color, labelpad=6)
    return figure


def _mosaic(images: NDArray[np.float64], columns: int, gap: float) -> NDArray[np.float64]:
    """Lay flat images out in one array, separated by white."""
    if images.ndim != 2:
        raise ValueError(f"expected flat square images [n, P], got shape {images.shape}")
    side = _check_square(images)
    if columns < 1:
        raise ValueError(f"no picture has {columns} columns: give at least one image per row")
    rows = ceil(len(images) / columns)
    space = round(side * gap)
    cell = side + space
    mosaic = np.zeros((rows * cell - space, columns * cell - space))
    for index, image in enumerate(images):
        top, left = index // columns * cell, index % columns * cell
        mosaic[top : top + side, left : left + side] = image.reshape(side, side)
    return mosaic


def _check_square(images: NDArray[np.float64]) -> int:
    """Return the side of flat images."""
    side = isqrt(images.shape[-1])
    if side * side != images.shape[-1]:
        raise ValueError(
            f"expected flat square images [n, P], got shape {images.shape}: "
            "use images.flatten(-2) on [..., 28, 28]"
        )
    return side
