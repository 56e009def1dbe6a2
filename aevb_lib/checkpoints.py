"""The state of a training in a file, from which it goes on after its process has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from aevb_lib.files import replacing
from aevb_lib.history import History
from aevb_lib.members import optimizers_of, tensors_of
from aevb_lib.meter import Meter
from aevb_lib.randomness import random_state, set_random_state
from aevb_lib.types import Algorithm, Batches, Scheduler

__all__ = ["Checkpoint"]

# So much work is lost at most, in seconds, if epochs are not longer.
SECONDS_BETWEEN = 60.0


class Checkpoint:
    """Everything that decides how a training goes on.

    Parameters, buffers and other tensors of the algorithm, optimizers, schedulers, random numbers,
    the order of the images, and the rows recorded so far. The file holds tensors and numbers only,
    no code, and is written whole or not at all.

    Args:
        path: Path of the file.
        algorithm: Algorithm that is trained.
        batches: Its minibatches, whose generators are remembered if they are those of
            :meth:`aevb_lib.data.ImageSet.batches`.
        schedulers: Its learning-rate schedulers.
        histories: Histories that grow, one per model.
        meter: Meter of the steps.
    """

    def __init__(
        self,
        path: Path,
        algorithm: Algorithm,
        batches: Batches,
        schedulers: Sequence[Scheduler],
        histories: list[History],
        meter: Meter,
    ) -> None:
        self.path = path
        self.algorithm = algorithm
        self.schedulers = schedulers
        self.histories = histories
        self.meter = meter
        self._generators = _generators_of(batches)
        self._written = time.monotonic()

    def load(self) -> int:
        """Go back to where the file was written.

        Returns:
            The number of epochs done by then; 0 if there is no file.

        Raises:
            ValueError: If the file is that of another training.
        """
        if not self.path.exists():
            return 0
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        tensors, optimizers = tensors_of(self.algorithm), optimizers_of(self.algorithm)
        here = _description(tensors, optimizers, self.schedulers, self.histories)
        there = _description(
            state["tensors"], state["optimizers"], state["schedulers"], state["histories"]
        )
        if here != there:
            raise ValueError(
                f"{self.path.name} holds the state of another training ({there}; here: {here}): "
                "give another path, or remove the file"
            )
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(state["tensors"][name])
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for scheduler, content in zip(self.schedulers, state["schedulers"], strict=True):
            vars(scheduler).update(content)
        for generator, content in zip(self._generators, state["generators"], strict=True):
            generator.set_state(content)
        for place, content in state["random"].items():
            set_random_state(torch.device(place), content)
        for history, text in zip(self.histories, state["histories"], strict=True):
            history.records = History.from_json(text).records
        self.meter.load_state_dict(state["meter"])
        return int(state["epochs"])

    def save(self, epochs: int, *, is_last: bool) -> None:
        """Write the file, if the last time is long ago or there is no next.

        Args:
            epochs: Number of epochs that are done.
            is_last: Whether the training is done.
        """
        if time.monotonic() - self._written < SECONDS_BETWEEN and not is_last:
            return
        self.meter.pause()
        tensors, optimizers = tensors_of(self.algorithm), optimizers_of(self.algorithm)
        places = {torch.device("cpu"), *(tensor.device for tensor in tensors.values())}
        state = {
            "epochs": epochs,
            "tensors": {name: tensor.detach() for name, tensor in tensors.items()},
            "optimizers": {name: o.state_dict() for name, o in optimizers.items()},
            "schedulers": [_numbers_of(scheduler) for scheduler in self.schedulers],
            "generators": [generator.get_state() for generator in self._generators],
            "random": {str(place): random_state(place) for place in places},
            "histories": [history.to_json() for history in self.histories],
            "meter": self.meter.state_dict(),
        }
        with replacing(self.path) as temporary:
            torch.save(state, temporary)
        self._written = time.monotonic()
        self.meter.resume()


def _description(
    tensors: dict[str, torch.Tensor],
    optimizers: dict[str, Any],
    schedulers: Sequence[Any],
    histories: Sequence[Any],
) -> str:
    size = sum(tensor.numel() for tensor in tensors.values())
    return (
        f"{len(histories)} models, {len(tensors)} tensors with {size} numbers, "
        f"{len(optimizers)} optimizers, {len(schedulers)} schedulers"
    )


def _generators_of(batches: Any) -> list[torch.Generator]:
    own = getattr(batches, "generator", None)
    members = getattr(batches, "each", ())
    found = [own] if isinstance(own, torch.Generator) else []
    return found + [g for member in members for g in _generators_of(member)]


def _numbers_of(scheduler: Any) -> dict[str, Any]:
    """A scheduler's own numbers; the rest of its state is code, or the optimizer's."""
    kinds = bool | int | float | str
    return {
        name: value
        for name, value in vars(scheduler).items()
        if isinstance(value, kinds)
        or (isinstance(value, list) and all(isinstance(member, kinds) for member in value))
    }
