"""Live widgets for a running notebook: walk through codes, shake them, watch a model learn.

Each function returns an ordinary ``ipywidgets`` widget, which a notebook shows when it is the value
of a cell. All of them are a :class:`Board`: controls, and pictures that follow them. They take any
:class:`aevb_lib.types.Codec`, on any device, for square images of any size, and leave it as it is:
neither its parameters nor its training mode nor anybody's random numbers change.
"""

from aevb_lib.widgets.board import Board, png
from aevb_lib.widgets.explorers import interpolation_explorer, latent_explorer, noise_explorer
from aevb_lib.widgets.monitor import Monitor, training_monitor

__all__ = [
    "Board",
    "Monitor",
    "interpolation_explorer",
    "latent_explorer",
    "noise_explorer",
    "png",
    "training_monitor",
]
