"""Averages over training steps, and the clock that runs meanwhile."""

from __future__ import annotations

import math
import time
from typing import Any

from torch import Tensor

__all__ = ["Meter"]


class Meter:
    """Averages of what steps return, and how many steps, images and seconds there were.

    Example:
        >>> import torch
        >>> meter = Meter()
        >>> for value in (1.0, 2.0):
        ...     meter.add({"elbo": torch.tensor(value)}, images=100)
        >>> meter.read(), meter.examples
        ([{'train_elbo': 1.5}], 200)
    """

    def __init__(self) -> None:
        self.steps = self.examples = 0
        self.seconds = self.images_per_second = 0.0
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._began = 0, 0.0  # examples and seconds at the beginning of the row
        self.resume()

    def resume(self) -> None:
        """Let the clock run."""
        self._started = time.perf_counter()

    def pause(self) -> None:
        """Stop the clock, when the device has done what it was told."""
        for total in self._sums.values():
            total.sum().item()
        self.seconds += time.perf_counter() - self._started

    def add(self, values: dict[str, Tensor], images: int) -> None:
        """Add one step, weighed by its images.

        Summed on the device: reading a float here would make a GPU wait.

        Args:
            values: Numbers that the step returned, or one per learner.
            images: Number of images in the batch.
        """
        for name, value in values.items():
            total = value * images
            if name in self._sums:  # on the processor, where a checkpoint was read
                total = self._sums[name].to(total.device) + total
            self._sums[name] = total
            self._counts[name] = self._counts.get(name, 0) + images
        self.steps += 1
        self.examples += images

    def read(self, num_models: int = 1) -> list[dict[str, float]]:
        """Stop the clock, return each model's averages of this row, and begin a new one.

        Args:
            num_models: Number of learners of which each value holds one number.

        Raises:
            FloatingPointError: If an average is not finite.
        """
        rows: list[dict[str, float]] = [{} for _ in range(num_models)]
        for name, total in self._sums.items():
            for row, value in zip(rows, total.reshape(num_models).tolist(), strict=True):
                row[f"train_{name}"] = value / self._counts[name]
        self.pause()
        examples, seconds = self._began
        self.images_per_second = (self.examples - examples) / max(self.seconds - seconds, 1e-9)
        self._began, self._sums, self._counts = (self.examples, self.seconds), {}, {}
        broken = {
            name if num_models == 1 else f"{name} of learner {number}"
            for number, row in enumerate(rows)
            for name, value in row.items()
            if not math.isfinite(value)
        }
        if broken:
            raise FloatingPointError(
                f"{', '.join(sorted(broken))} stopped being finite by step {self.steps}: try a "
                "smaller learning rate, and look for nan and for values outside [0, 1] in the "
                "images"
            )
        return rows

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs, with a row that is not complete."""
        names = ("steps", "examples", "seconds", "_sums", "_counts", "_began")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another meter was."""
        vars(self).update(state)
