"""Figures, from histories and arrays only.

Every function returns a closed `matplotlib` figure: a notebook shows it when it is the value of a
cell, a script saves it with ``figure.savefig``. Nothing here shows, saves, or changes matplotlib's
global settings; one visual language is applied figure by figure through :func:`style`.

The same thing has the same color in every figure of the book, see :data:`COLORS`. The colors are
those of Okabe and Ito, which people with any kind of color vision can tell apart. The ten digits
have colors of their own, ``DIGIT_COLORS``, and are named beside them, see :func:`code_map`.
"""

from aevb_lib.plotting.curves import learning_curves, lines, small_multiples
from aevb_lib.plotting.images import image_grid, image_rows
from aevb_lib.plotting.latents import DIGIT_COLORS, code_map
from aevb_lib.plotting.look import (
    BLUE,
    BLUES,
    COLORS,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    WIDTH,
    canvas,
    color_of,
    style,
)

__all__ = [
    "BLUE",
    "BLUES",
    "COLORS",
    "DIGIT_COLORS",
    "GREEN",
    "INK",
    "MUTED",
    "ORANGE",
    "PURPLE",
    "SKY",
    "VERMILION",
    "WIDTH",
    "canvas",
    "code_map",
    "color_of",
    "image_grid",
    "image_rows",
    "learning_curves",
    "lines",
    "small_multiples",
    "style",
]
