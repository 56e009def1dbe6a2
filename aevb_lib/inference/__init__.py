"""Inference algorithms: one file each, one method each, ``step(batch)``.

``Together`` and ``Replay`` are algorithms as well, made from others: many learners in one step, and
a step that a GPU repeats without Python.
"""

from aevb_lib.inference.aevb import AEVB
from aevb_lib.inference.monte_carlo_em import MonteCarloEM, OnlineMonteCarloEM
from aevb_lib.inference.reconstruction import Reconstruction
from aevb_lib.inference.replay import Replay
from aevb_lib.inference.together import Together
from aevb_lib.inference.wake_sleep import WakeSleep

__all__ = [
    "AEVB",
    "MonteCarloEM",
    "OnlineMonteCarloEM",
    "Reconstruction",
    "Replay",
    "Together",
    "WakeSleep",
]
