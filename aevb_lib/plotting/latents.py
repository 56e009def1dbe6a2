"""Maps of two-dimensional codes, colored by digit."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from aevb_lib.plotting.look import INK, WIDTH, as_array, canvas, color_of, has_color, style

__all__ = ["DIGIT_COLORS", "code_map"]

# Found by a random search for ten colors whose closest pair is as far apart as possible in OKLab,
# for normal vision and for simulated protanopia, deuteranopia and tritanopia (Machado et al. 2009)
# at once, none too pale on white; then dealt out so that digits of similar shape differ most.
DIGIT_COLORS = (
    "#a978fb",
    "#13ac95",
    "#d86e10",
    "#015dd6",
    "#a7358c",
    "#fda9e5",
    "#440489",
    "#615e02",
    "#671226",
    "#a3d029",
)

BADGE = 21.0  # points across, with the margin around a panel


def code_map(
    clouds: Mapping[str, ArrayLike],
    labels: ArrayLike,
    *,
    columns: int = 2,
    size: float = 2.4,
    badges: bool = True,
) -> Figure:
    r"""Draw clouds of two-dimensional codes, one panel each, colored by digit.

    Ten colors are too many to tell apart by color alone, so every digit is also written, on a badge
    of its color, at its class's median code: dimension by dimension, the number with as many codes
    of that class below as above it. Where badges would cover each other they step aside, and a
    line leads to the median. Units are kept: a unit is as long across as it is up, and each panel
    has axes of its own that hold all of its codes.

    Args:
        clouds: Title to codes, shape ``[N, 2]``, the same N images in every panel.
        labels: Digit of each image, shape ``[N]``, whole numbers from 0 to 9.
        columns: Panels side by side.
        size: Diameter of a point, in points.
        badges: Whether to write the digits; leave them out only beside a panel that has them.

    Returns:
        The figure. What goes on top is drawn on ``figure.axes``, one per cloud in their order.

    Raises:
        ValueError: If there is nothing to draw, codes are not finite pairs, a label is no digit, or
            there is not one label per code.

    Example:
        >>> codes = np.random.default_rng(0).normal(size=(50, 2))
        >>> figure = code_map({"VAE": codes, "Autoencoder": 10 * codes}, np.arange(50) % 10)
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['VAE', 'Autoencoder']
    """
    if not clouds or columns < 1:
        raise ValueError(f"no panel to draw: {len(clouds)} clouds in {columns} columns")
    digits = as_array(labels)
    if digits.ndim != 1 or not digits.size or not np.isin(digits, range(10)).all():
        raise ValueError("labels must be digits from 0 to 9, shape [N], one per code")
    columns = min(columns, len(clouds))
    rows = ceil(len(clouds) / columns)
    height = WIDTH / columns * rows * 1.04
    figure, grid = canvas(rows, columns, height=height, squeeze=False)
    with style():
        for axes, (name, cloud) in zip(grid.flat, clouds.items(), strict=False):
            codes = as_array(cloud)
            _check_codes(name, codes, len(digits))
            _draw(
                axes,
                codes,
                digits.astype(int),
                size=size,
                badges=badges,
                badge_width=BADGE * columns / (72 * WIDTH),
            )
            axes.set_title(name, color=color_of(name) if has_color(name) else INK)
    for axes in grid.flat[len(clouds) :]:
        axes.remove()
    return figure


def _draw(
    axes: Axes,
    codes: NDArray[np.float64],
    digits: NDArray[np.int_],
    *,
    size: float,
    badges: bool,
    badge_width: float,
) -> None:
    # All points in one go: class by class, the last would cover the others.
    colors = np.array([to_rgb(color) for color in DIGIT_COLORS])[digits]
    axes.scatter(codes[:, 0], codes[:, 1], s=size**2, c=colors, alpha=0.75, linewidth=0)
    # A square with all codes in it; a flat cloud keeps its true proportions.
    low, high = codes.min(0), codes.max(0)
    center, reach = (low + high) / 2, float((high - low).max()) / 2
    reach = 1.05 * reach if reach > 0 else 1.0
    axes.set(
        xlim=(center[0] - reach, center[0] + reach),
        ylim=(center[1] - reach, center[1] + reach),
        aspect="equal",
    )
    axes.grid(False)
    if badges:
        _write_digits(axes, codes, digits, apart=2 * reach * badge_width)


def _write_digits(
    axes: Axes, codes: NDArray[np.float64], digits: NDArray[np.int_], *, apart: float
) -> None:
    present = np.unique(digits)
    medians = np.array([np.median(codes[digits == digit], axis=0) for digit in present])
    for digit, median, place in zip(present, medians, _pushed_apart(medians, apart), strict=True):
        face = DIGIT_COLORS[digit]
        dark = _luminance(face) < 0.3
        if np.hypot(*(place - median)) > apart / 4:
            axes.plot(*np.stack([median, place]).T, color=INK, linewidth=0.8, zorder=3)
            axes.plot(*median, marker="o", color=face, markersize=4, markeredgecolor="white")
        axes.annotate(
            str(digit),
            (float(place[0]), float(place[1])),
            color="white" if dark else INK,
            fontsize=9,
            fontweight="bold",
            ha="center",
            va="center_baseline",
            bbox={"boxstyle": "circle,pad=0.2", "fc": face, "ec": "white", "lw": 1.0},
            zorder=4,
        )


def _pushed_apart(points: NDArray[np.float64], apart: float) -> NDArray[np.float64]:
    """Move points as little as need be for any two of them to be ``apart``."""
    places = points.copy()
    for _ in range(200):
        difference = places[:, None] - places
        distance = np.hypot(difference[..., 0], difference[..., 1])
        # Points on top of each other leave in directions of their own.
        angle = 2.0 * np.subtract.outer(np.arange(len(points)), np.arange(len(points)))
        away = np.where(
            distance[..., None] > 0,
            difference / np.maximum(distance, 1e-300)[..., None],
            np.stack([np.cos(angle), np.sin(angle)], -1) * np.sign(angle)[..., None],
        )
        overlap = np.clip(apart - distance, 0, None)
        np.fill_diagonal(overlap, 0)
        if not overlap.any():
            break
        places += (0.3 * overlap[..., None] * away).sum(1)
    return places


def _check_codes(name: str, codes: NDArray[np.float64], count: int) -> None:
    if codes.shape != (count, 2):
        raise ValueError(
            f"the codes of {name!r} must have shape [{count}, 2], one pair per label, but have "
            f"{list(codes.shape)}; of codes with more dimensions, pick two: codes[:, [0, 1]]"
        )
    if not np.isfinite(codes).all():
        raise ValueError(f"the codes of {name!r} must be finite numbers: look for nan in the model")


def _luminance(color: str) -> float:
    """Relative luminance as WCAG defines it, between 0 (black) and 1 (white)."""
    channels = np.array(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
