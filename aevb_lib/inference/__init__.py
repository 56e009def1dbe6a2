"""Inference algorithms: one file each, one method each, ``step(batch)``."""

from aevb_lib.inference.aevb import AEVB
from aevb_lib.inference.reconstruction import Reconstruction

__all__ = ["AEVB", "Reconstruction"]
