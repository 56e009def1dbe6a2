"""The origin of a recorded number."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from aevb_lib.experiments.results import Run

__all__ = ["commit_of", "hardware", "provenance"]


def provenance(
    training_seconds: float, device: str, *, together: Sequence[Run] = ()
) -> dict[str, Any]:
    """Return what one needs to know to do a run again: versions, commit, hardware, date, seconds.

    Args:
        training_seconds: Wall-clock time of the training, of all runs that were trained together.
            Each notes an equal share of it, so that the seconds of records can be added.
        device: Device of the computation.
        together: Runs that were trained together, whose seeds are noted if there are several.

    Example:
        >>> runs = [Run("mine", "vae", 2, seed) for seed in (0, 1)]
        >>> origin = provenance(30.0, "cpu", together=runs)
        >>> origin["training_seconds"], origin["seeds_together"]
        (15.0, [0, 1])
    """
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit_of(Path(__file__).parent),
        "hardware": hardware(device),
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_seconds": round(training_seconds / max(1, len(together)), 1),
    } | ({"seeds_together": [run.seed for run in together]} if len(together) > 1 else {})


def hardware(device: str) -> str:
    """Return what computes on a device.

    Args:
        device: The device.
    """
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} thread"


def commit_of(folder: Path) -> str | None:
    """Return the commit of the checkout that a folder is in, marked if it has changes."""
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    try:
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:  # no git on this machine
        return None
    return answer.stdout.strip() or None
