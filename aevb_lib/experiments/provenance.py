"""The origin of a recorded number."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

__all__ = ["commit_of", "provenance"]


def provenance(training_seconds: float, device: str) -> dict[str, Any]:
    """Return what one needs to know to do a run again: versions, commit, hardware, date, seconds.

    Args:
        training_seconds: Wall-clock time of the training.
        device: Device of the computation.
    """
    accelerator = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit_of(Path(__file__).parent),
        "hardware": accelerator or f"{platform.machine()} CPU, {torch.get_num_threads()} thread",
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_seconds": round(training_seconds, 1),
    }


def commit_of(folder: Path) -> str | None:
    """Return the commit of the checkout that a folder is in, marked if it has changes."""
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    try:
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:  # no git on this machine
        return None
    return answer.stdout.strip() or None
