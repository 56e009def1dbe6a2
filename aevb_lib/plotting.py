"""Figures, from histories and arrays only.

Every function returns a closed `matplotlib` figure: a notebook shows it when it is the value of a
cell, a script saves it with ``figure.savefig``. Nothing here shows, saves, or changes matplotlib's
global settings; one visual language is applied figure by figure through :func:`style`.

The same thing has the same color in every figure of the book, see :data:`COLORS`. The colors are
those of Okabe and Ito, which people with any kind of color vision can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from math import ceil
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from aevb_lib.history import History

__all__ = [
    "COLORS",
    "INK",
    "canvas",
    "color_of",
    "image_grid",
    "image_rows",
    "learning_curves",
    "lines",
    "style",
]

INK = "#2b2b2b"
MUTED = "#767676"
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
COLORS = {
    "VAE": BLUE,
    "AEVB": BLUE,
    "Autoencoder": VERMILION,
    "Wake-sleep": GREEN,
    "Monte Carlo EM": PURPLE,
    "Truth": INK,
}
WIDTH = 6.4  # inches: one column of the book, and still legible at a phone's width

_STYLE: dict[str, Any] = {
    "figure.dpi": 192,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "image.cmap": "gray_r",
    "image.interpolation": "nearest",
    "mathtext.fontset": "cm",
}

Images = ArrayLike
Curve = ArrayLike | tuple[ArrayLike, ArrayLike, ArrayLike]


@contextmanager
def style() -> Iterator[None]:
    """Apply the book's look to what is drawn inside a ``with`` block.

    Example:
        >>> with style():
        ...     figure, axes = canvas()
    """
    with plt.rc_context(_STYLE):
        yield


def color_of(name: str) -> str:
    """Return the color that a name has throughout the book.

    A name counts if it starts with a key of :data:`COLORS`, so ``"VAE, D = 20"`` is the VAE's blue.

    Raises:
        KeyError: If the name has no color of its own.

    Example:
        >>> color_of("VAE, D = 20") == COLORS["VAE"]
        True
    """
    for key, color in COLORS.items():
        if name.casefold().startswith(key.casefold()):
            return color
    raise KeyError(f"no color for {name!r}; there are: {', '.join(COLORS)}")


def canvas(
    rows: int = 1, columns: int = 1, *, width: float = WIDTH, height: float = 3.6, **options: Any
) -> tuple[Figure, Any]:
    """Return an empty closed figure in the book's style, and its axes, to draw on by hand.

    Args:
        rows: Rows of axes.
        columns: Columns of axes.
        width: Inches; the book's column is 6.4 wide.
        height: Inches.
        **options: Passed to :func:`matplotlib.pyplot.subplots`.

    Returns:
        The figure, and one axes or an array of them. What is drawn later inside :func:`style` looks
        like the rest of the book.

    Example:
        >>> figure, axes = canvas(1, 2)
        >>> len(axes)
        2
    """
    with style():
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), **options)
    plt.close(figure)
    return figure, axes


def learning_curves(
    histories: Mapping[str, History | Sequence[History]],
    metric: str = "elbo",
    *,
    x: str = "epoch",
    title: str | None = None,
    ylabel: str | None = None,
) -> Figure:
    """Draw a metric of one or several training runs.

    Args:
        histories: Name to history, or to several histories of the same length (one per seed): then
            the line is their mean and the band goes from the smallest to the largest.
        metric: Column to draw.
        x: Counter to draw it against: ``"epoch"``, ``"step"``, ``"examples"`` or ``"seconds"``.
        title: Title of the figure.
        ylabel: Label of the vertical axis; made from the metric by default.

    Returns:
        The figure.

    Raises:
        ValueError: If there is nothing to draw.
        KeyError: If a history has no such column.

    Example:
        >>> from aevb_lib.history import Record
        >>> records = [Record(s, s, 100 * s, 0.1 * s, {"elbo": -200 / s}) for s in (1, 2, 3)]
        >>> figure = learning_curves({"AEVB": History(records)})
    """
    curves: dict[str, Curve] = {}
    positions: dict[str, ArrayLike] = {}
    for name, group in histories.items():
        runs = [group] if isinstance(group, History) else list(group)
        values = np.array([run[metric] for run in runs])
        if values.size == 0:
            raise ValueError(f"{name!r} has no recorded rows to draw")
        positions[name] = np.mean([run[x] for run in runs], axis=0)
        band = (values.mean(0), values.min(0), values.max(0))
        curves[name] = band if len(runs) > 1 else values[0]
    label = metric.replace("_", " ").replace("elbo", "ELBO").replace("kl", "KL")
    return lines(
        positions, curves, xlabel=x, ylabel=ylabel or f"{label} (nats per image)", title=title
    )


def lines(
    x: ArrayLike | Mapping[str, ArrayLike],
    curves: Mapping[str, Curve],
    *,
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    xscale: str = "linear",
    yscale: str = "linear",
    height: float = 3.6,
) -> Figure:
    """Draw named curves with their names at their ends, and bands where they have any.

    Args:
        x: Horizontal positions, shared by all curves or one array per name.
        curves: Name to heights, or to ``(center, low, high)`` for a curve with a band.
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis.
        title: Title of the figure.
        xscale: ``"linear"`` or ``"log"``.
        yscale: ``"linear"`` or ``"log"``.
        height: Inches.

    Returns:
        The figure.

    Raises:
        ValueError: If there is nothing to draw.

    Example:
        >>> figure = lines([1, 2], {"Truth": [1.0, 2.0]}, xlabel="x", ylabel="y")
    """
    if not curves:
        raise ValueError("no curve to draw")
    figure, axes = canvas(height=height)
    spare = cycle([GREEN, PURPLE, ORANGE, SKY])
    ends: list[tuple[float, float, str, str]] = []
    with style():
        for name, curve in curves.items():
            color = color_of(name) if _has_color(name) else next(spare)
            across = np.asarray(x[name] if isinstance(x, Mapping) else x, dtype=float)
            if isinstance(curve, tuple):
                center, low, high = (np.asarray(part, dtype=float) for part in curve)
                axes.fill_between(across, low, high, color=color, alpha=0.2, linewidth=0)
            else:
                center = np.asarray(curve, dtype=float)
            marker = "o" if len(across) <= 12 else None
            axes.plot(across, center, color=color, marker=marker, markersize=4, label=name)
            ends.append((float(across[-1]), float(center[-1]), name, color))
        axes.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
        if title is not None:
            axes.set_title(title)
        _label_ends(axes, ends)
    return figure


def image_grid(
    images: Images, *, columns: int | None = None, width: float = WIDTH, gap: float = 0.06
) -> Figure:
    """Draw images side by side, dark on white.

    Args:
        images: Flat square images, shape ``[n, P]``, or a grid ``[rows, columns, P]``.
        columns: Images per row; a grid brings its own.
        width: Inches.
        gap: Space between images, as a share of an image; 0 makes one picture of a manifold.

    Returns:
        The figure.

    Raises:
        ValueError: If the images are not square.

    Example:
        >>> figure = image_grid(np.zeros((20, 784)), columns=10)
    """
    pixels = _array(images)
    if pixels.ndim == 3:
        columns = pixels.shape[1]
        pixels = pixels.reshape(-1, pixels.shape[-1])
    columns = min(columns or 10, len(pixels))
    mosaic = _mosaic(pixels, columns, gap)
    height = width * mosaic.shape[0] / mosaic.shape[1]
    figure, axes = canvas(width=width, height=height)
    with style():
        axes.imshow(mosaic, vmin=0, vmax=1)
        axes.axis("off")
    return figure


def image_rows(rows: Mapping[str, Images], *, width: float = WIDTH) -> Figure:
    """Draw rows of images with their names on the left: originals, then what each model makes of them.

    Args:
        rows: Name to flat square images, shape ``[n, P]``, the same n in every row.
        width: Inches.

    Returns:
        The figure.

    Raises:
        ValueError: If the rows differ in length or the images are not square.

    Example:
        >>> x = np.zeros((8, 784))
        >>> figure = image_rows({"Original": x, "VAE": x})
    """
    arrays = {name: _array(images) for name, images in rows.items()}
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
            color = color_of(name) if _has_color(name) else INK
            axis.set_ylabel(name, rotation=0, ha="right", va="center", color=color, labelpad=6)
    return figure


def _has_color(name: str) -> bool:
    return any(name.casefold().startswith(key.casefold()) for key in COLORS)


def _label_ends(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Write each curve's name beside its last point, pushed apart where two would overlap."""
    axes.margins(x=0.02)
    axes.figure.canvas.draw()  # the limits are needed to know which names would collide
    to_pixels = axes.transData.transform
    line_height = 1.25 * 10 * axes.figure.dpi / 72
    placed: float | None = None
    for x, y, name, color in sorted(ends, key=lambda end: float(to_pixels(end[:2])[1])):
        pixel = float(to_pixels((x, y))[1])
        target = pixel if placed is None else max(pixel, placed + line_height)
        placed = target
        axes.annotate(
            name,
            (x, y),
            xytext=(8, (target - pixel) * 72 / axes.figure.dpi),
            textcoords="offset points",
            color=color,
            va="center",
            fontsize=10,
            annotation_clip=False,
        )


def _array(images: Images) -> NDArray[np.float64]:
    detached = images.detach().cpu() if hasattr(images, "detach") else images
    return np.asarray(detached, dtype=np.float64)


def _mosaic(images: NDArray[np.float64], columns: int, gap: float) -> NDArray[np.float64]:
    """Lay flat images out in one array, separated by white."""
    side = round(images.shape[-1] ** 0.5)
    if images.ndim != 2 or side * side != images.shape[-1]:
        raise ValueError(f"expected flat square images [n, P], got shape {images.shape}")
    rows = ceil(len(images) / columns)
    space = round(side * gap)
    cell = side + space
    mosaic = np.zeros((rows * cell - space, columns * cell - space))
    for index, image in enumerate(images):
        top, left = index // columns * cell, index % columns * cell
        mosaic[top : top + side, left : left + side] = image.reshape(side, side)
    return mosaic
