"""Where a recorded number comes from, and how its file gets onto the disk."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

__all__ = ["provenance", "write_atomically"]


def provenance(training_seconds: float, device: str) -> dict[str, Any]:
    """Return what one needs to know to do a run again: versions, commit, hardware, date, seconds.

    Args:
        training_seconds: Wall-clock time of the training.
        device: Where it was computed.
    """
    accelerator = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": _commit(),
        "hardware": accelerator or f"{platform.machine()} CPU, {torch.get_num_threads()} thread",
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_seconds": round(training_seconds, 1),
    }


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, whenever the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _commit() -> str | None:
    """Return the commit of the checkout that this code is in, marked if it has changes."""
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    try:
        answer = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:  # no git on this machine
        return None
    return answer.stdout.strip() or None
