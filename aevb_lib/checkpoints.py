"""The state of a training in a file, from which it goes on after its process has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from aevb_lib.files import replacing
from aevb_lib.history import History
from aevb_lib.members import numbers_of, optimizers_of, set_numbers, tensors_of
from aevb_lib.meter import Meter
from aevb_lib.randomness import random_state, set_random_state
from aevb_lib.types import Algorithm, Batches, Scheduler

__all__ = ["Checkpoint"]

# So much work is lost at most, in seconds, if epochs are not longer.
SECONDS_BETWEEN = 60.0


class Checkpoint:
    """Everything that decides how a training goes on.

    Parameters, buffers, other tensors and numbers of the algorithm, optimizers with their learning
    rates, schedulers, random numbers, the order of the images, and the rows recorded so far. The
    file holds tensors and numbers only, no code, and is written whole or not at all.

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
        self._num_batches = len(batches)
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
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            there = state["description"]
        except (OSError, RuntimeError, EOFError, LookupError, TypeError, UnpicklingError) as error:
            raise ValueError(
                f"{self.path} cannot be read as the state of a training: remove the file"
            ) from error
        tensors, optimizers = tensors_of(self.algorithm), optimizers_of(self.algorithm)
        here = self._description(tensors, optimizers)
        if here != there:
            name = next(n for n in (*here, *there) if here.get(n) != there.get(n))
            raise ValueError(
                f"{self.path.name} holds the state of another training ({name}: {there.get(name)}; "
                f"here: {here.get(name)}): give another path, or remove the file"
            )
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(state["tensors"][name])
        set_numbers(self.algorithm, state["numbers"])
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
            _uncapture(optimizer)
        for scheduler, content in zip(self.schedulers, state["schedulers"], strict=True):
            _set_numbers(scheduler, content)
        for generator, content in zip(self._generators, state["generators"], strict=True):
            generator.set_state(content)
        for place in _places(tensors):
            if str(place) in state["random"]:
                set_random_state(place, state["random"][str(place)])
        for history, text in zip(self.histories, state["histories"], strict=True):
            history.records = History.from_json(text).records
        self.meter.load_state_dict(state["meter"])
        return int(state["epochs"])

    def _description(self, tensors: dict[str, torch.Tensor], optimizers: dict[str, Any]) -> Any:
        """What two trainings have in common if one can go on where the other was."""
        return (
            {
                "models": len(self.histories),
                "batches per epoch": self._num_batches,
                "generators": len(self._generators),
                "schedulers": [type(scheduler).__name__ for scheduler in self.schedulers],
            }
            | {name: f"{list(t.shape)} {t.dtype}" for name, t in tensors.items()}
            | {name: type(o).__name__ for name, o in optimizers.items()}
        )

    def save(self, epochs: int, *, is_due: bool) -> None:
        """Write the file, if it is due or the last time is long ago.

        Args:
            epochs: Number of epochs that are done.
            is_due: Whether it is written in any case, as at the beginning and at the end.
        """
        if time.monotonic() - self._written < SECONDS_BETWEEN and not is_due:
            return
        self.meter.pause()
        tensors, optimizers = tensors_of(self.algorithm), optimizers_of(self.algorithm)
        state = {
            "epochs": epochs,
            "description": self._description(tensors, optimizers),
            "tensors": {name: tensor.detach() for name, tensor in tensors.items()},
            "numbers": _plain(numbers_of(self.algorithm)),
            "optimizers": {n: _plain(o.state_dict()) for n, o in optimizers.items()},
            "schedulers": [_numbers_of(scheduler) for scheduler in self.schedulers],
            "generators": [generator.get_state() for generator in self._generators],
            "random": {str(place): random_state(place) for place in _places(tensors)},
            "histories": [history.to_json() for history in self.histories],
            "meter": self.meter.state_dict(),
        }
        with replacing(self.path) as temporary:
            torch.save(state, temporary)
        self._written = time.monotonic()
        self.meter.resume()


def _places(tensors: dict[str, torch.Tensor]) -> set[torch.device]:
    return {torch.device("cpu"), *(tensor.device for tensor in tensors.values())}


def _uncapture(optimizer: torch.optim.Optimizer) -> None:
    """Undo on a processor what a replay on a GPU has set up; there it would be refused."""
    for group in optimizer.param_groups:
        if group.get("capturable") and group["params"][0].device.type == "cpu":
            group["capturable"] = False
            group["lr"] = float(group["lr"])


def _generators_of(batches: Any) -> list[torch.Generator]:
    own = getattr(batches, "generator", None)
    members = getattr(batches, "each", ())
    found = [own] if isinstance(own, torch.Generator) else []
    return found + [g for member in members for g in _generators_of(member)]


def _numbers_of(scheduler: Any) -> dict[str, Any]:
    """A scheduler's own numbers; the rest of its state is code, or the optimizer's."""
    numbers = {n: _plain(v) for n, v in vars(scheduler).items() if _is_plain(v)}
    parts = [_numbers_of(part) for part in getattr(scheduler, "_schedulers", ())]
    return {"numbers": numbers, "parts": parts}


def _set_numbers(scheduler: Any, content: dict[str, Any]) -> None:
    vars(scheduler).update(content["numbers"])
    for part, own in zip(getattr(scheduler, "_schedulers", ()), content["parts"], strict=True):
        _set_numbers(part, own)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str)


def _plain(value: Any) -> Any:
    """The same without types of numpy, which a file of numbers alone cannot hold."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    if isinstance(value, torch.Tensor) or not hasattr(value, "item"):
        return value
    return value.item()
