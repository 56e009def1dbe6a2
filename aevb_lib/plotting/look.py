"""The book's look: colors, style, and an empty figure that has both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BLUES",
    "COLORS",
    "INK",
    "WIDTH",
    "as_array",
    "canvas",
    "color_of",
    "has_color",
    "style",
]

INK = "#2b2b2b"
MUTED = "#767676"
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
# From pale to deep, for what has an order; the palest has a contrast of 3 to white, and its twin to
# the paper of dark pages.
BLUES = ("#3f97cb", "#2487c1", BLUE, "#005a8e", "#003f63")
COLORS = {
    "VAE": BLUE,
    "AEVB": BLUE,
    "Autoencoder": VERMILION,
    "Wake-sleep": GREEN,
    "Monte Carlo EM": PURPLE,
    "Truth": INK,
}
WIDTH = 6.4  # inches: one column of the book

_STYLE: dict[Any, Any] = {
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
        rows: Number of rows of axes.
        columns: Number of columns of axes.
        width: Width in inches; the book's column is 6.4 wide.
        height: Height in inches.
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


def as_array(values: ArrayLike) -> NDArray[np.float64]:
    """Return numbers as an array, also those of a tensor on a GPU or with a gradient."""
    if hasattr(values, "detach"):  # a torch tensor; numpy knows no bfloat16
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def has_color(name: str) -> bool:
    """Return whether :func:`color_of` knows the name."""
    return any(name.casefold().startswith(key.casefold()) for key in COLORS)
