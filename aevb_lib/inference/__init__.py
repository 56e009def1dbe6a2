"""Inference algorithms: one file each, one method each, ``step(batch)``."""

from aevb_lib.inference.aevb import AEVB
from aevb_lib.inference.monte_carlo_em import MonteCarloEM
from aevb_lib.inference.reconstruction import Reconstruction
from aevb_lib.inference.wake_sleep import WakeSleep

__all__ = ["AEVB", "MonteCarloEM", "Reconstruction", "WakeSleep"]
