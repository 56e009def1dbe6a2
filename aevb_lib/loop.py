"""What ``fit`` and ``fit_each`` share: the loop over steps, its rows, and what it refuses."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from aevb_lib.history import History, Record
from aevb_lib.modes import evaluation_mode, modes_of, restore_modes
from aevb_lib.randomness import own_randomness
from aevb_lib.types import Algorithm, Batch, Batches, Scheduler

__all__ = ["models_of", "train"]


def train(
    algorithm: Algorithm,
    batches: Batches,
    models: list[nn.Module],
    *,
    epochs: int,
    evaluate: Callable[[Any], dict[str, float]] | None,
    schedulers: Sequence[Scheduler],
    record_every: int | None,
    record_at: Collection[int] | None,
    on_record: Callable[[list[History]], None] | None,
    progress: bool,
) -> list[History]:
    """Train the models of an algorithm, and return a history for each."""
    shape = (len(models),) if models_of(algorithm) else ()
    is_due, total = _plan(algorithm, batches, epochs, record_every, record_at)
    histories, meter, modes = [History() for _ in models], _Meter(), modes_of(algorithm.model)
    # Said only if it is so: an explicit False would overrule the environment's TQDM_DISABLE.
    hidden = {} if progress else {"disable": True}
    bar = tqdm(total=total, unit="step", leave=False, **hidden)
    try:
        for batch in _stream(batches, epochs):
            values = _step(algorithm, batch, shape, is_first=not meter.steps)
            meter.add(values, batch.images.shape[-2])
            for scheduler in schedulers:
                scheduler.step()
            bar.update()
            if not is_due(meter.steps) and meter.steps < total:
                continue
            rows = meter.read(len(models))
            if evaluate is not None:
                rows = [
                    row | _measured(evaluate, model)
                    for row, model in zip(rows, models, strict=True)
                ]
            counters = meter.steps, meter.steps / len(batches), meter.examples, meter.seconds
            for history, row in zip(histories, rows, strict=True):
                history.records.append(Record(*counters, row))
            if on_record is not None:
                on_record(histories)
            shown = {name: f"{value:.1f}" for name, value in rows[0].items()}
            speed = len(models) * meter.images_per_second
            bar.set_postfix(shown | {"images/s": f"{speed:,.0f}"})
            meter.resume()
    except KeyboardInterrupt:
        for history in histories:
            history.interrupted = True
        restore_modes(modes)  # it may have come while an evaluation put them back
        warnings.warn(
            f"interrupted at step {meter.steps} of {total}; "
            f"the {len(histories[0])} rows recorded so far are kept",
            stacklevel=3,
        )
    finally:
        bar.close()
    return histories


def models_of(algorithm: Algorithm) -> list[nn.Module]:
    """Return the models of learners that are trained together; of one learner, none."""
    return list(getattr(getattr(algorithm, "model", None), "models", ()))


class _Meter:
    """Averages of what steps return, and how many steps, images and seconds there were."""

    def __init__(self) -> None:
        self.steps = self.examples = 0
        self.seconds = self.images_per_second = 0.0
        self.resume()

    def resume(self) -> None:
        """Begin a new row: nothing summed, the clock running."""
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._images = 0
        self._started = time.perf_counter()

    def add(self, values: dict[str, Tensor], images: int) -> None:
        """Add one step, weighed by its images.

        Summed on the device: reading a float here would make a GPU wait.
        """
        for name, value in values.items():
            total = value * images
            self._sums[name] = self._sums[name] + total if name in self._sums else total
            self._counts[name] = self._counts.get(name, 0) + images
        self._images += images
        self.steps += 1
        self.examples += images

    def read(self, num_models: int) -> list[dict[str, float]]:
        """Return each model's averages of this row, and stop the clock."""
        rows: list[dict[str, float]] = [{} for _ in range(num_models)]
        for name, total in self._sums.items():
            for row, value in zip(rows, total.reshape(num_models).tolist(), strict=True):
                row[f"train_{name}"] = value / self._counts[name]
        seconds = time.perf_counter() - self._started
        self.seconds += seconds
        self.images_per_second = self._images / max(seconds, 1e-9)
        broken = {name for row in rows for name, value in row.items() if not math.isfinite(value)}
        if broken:
            raise FloatingPointError(
                f"{', '.join(sorted(broken))} stopped being finite by step {self.steps}: try a "
                "smaller learning rate, and look for nan and for values outside [0, 1] in the "
                "images"
            )
        return rows


def _step(
    algorithm: Algorithm, batch: Batch, shape: tuple[int, ...], *, is_first: bool
) -> dict[str, Tensor]:
    try:
        values = algorithm.step(batch)
    except ValueError as error:
        if batch.images.shape[-2] == 1:
            error.add_note(
                "This batch holds one image, too few for batch normalization: a short last batch "
                "is left out by images.batches(size, drop_last=True)."
            )
        raise
    if is_first:
        _check_numbers(values, "step", shape)
    # Weights that autocast has cast are those before the step.
    torch.clear_autocast_cache()
    # Without the graph, which would keep all steps alive. A number that is no tensor has none.
    return {name: torch.as_tensor(value).detach() for name, value in values.items()}


def _measured(evaluate: Callable[[Any], dict[str, float]], model: nn.Module) -> dict[str, float]:
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with (
        evaluation_mode(model),
        own_randomness(device),
        torch.autocast(device.type, enabled=False),
    ):
        measured = evaluate(model)
    _check_numbers(measured, "evaluate")
    return {name: float(value) for name, value in measured.items()}


def _plan(
    algorithm: Algorithm,
    batches: Batches,
    epochs: int,
    record_every: int | None,
    record_at: Collection[int] | None,
) -> tuple[Callable[[int], bool], int]:
    """Refuse what cannot work; return whether a step is to be recorded, and the steps in all."""
    if not isinstance(batches, Batches):
        raise TypeError(
            f"a {type(batches).__name__} cannot be iterated over again and again, as every epoch "
            "needs: pass images.batches(100) of an aevb_lib.ImageSet, or a list of batches"
        )
    if not isinstance(algorithm, Algorithm):
        raise TypeError(
            f"a {type(algorithm).__name__} has no step(batch): wrap a model in an algorithm, such "
            "as aevb_lib.AEVB(model, optimizer)"
        )
    if epochs != int(epochs):
        raise ValueError(f"epochs must be a whole number, got {epochs}")
    if epochs < 1 or len(batches) < 1:
        raise ValueError(f"nothing to do: {epochs} epochs of {len(batches)} batches")
    interval = len(batches) if record_every is None else record_every
    if interval < 1:
        raise ValueError(f"record_every must be at least 1, got {record_every}")
    total = epochs * len(batches)
    if record_at is None:
        return lambda step: step % interval == 0, total
    if record_every is not None:
        raise ValueError("record_every and record_at exclude each other: give one of them")
    if outside := [step for step in record_at if not 1 <= step <= total]:
        raise ValueError(f"record_at has steps that are not among 1 to {total}: {outside}")
    return frozenset(record_at).__contains__, total


def _stream(batches: Batches, epochs: int) -> Iterator[Batch]:
    """All batches of all epochs."""
    is_first = True
    for _ in range(epochs):
        batch = None
        for batch in batches:
            if is_first and not isinstance(batch, Batch):
                raise TypeError(
                    f"the batches hold a {type(batch).__name__} instead of an aevb_lib.Batch: pass "
                    "aevb_lib.ImageSet(images, labels).batches(100), or make each "
                    "aevb_lib.Batch(images, labels, indices)"
                )
            is_first = False
            yield batch
        if batch is None:
            raise ValueError(
                f"an epoch had 0 batches although len(batches) is {len(batches)}: they must be "
                "something that can be iterated over again, not a generator"
            )


def _check_numbers(values: object, origin: str, shape: tuple[int, ...] = ()) -> None:
    if not isinstance(values, dict):
        raise TypeError(
            f'{origin} returned a {type(values).__name__} instead of named numbers, {{"elbo": ...}}'
        )
    expected = f"{shape[0]} numbers, one per learner" if shape else "one number"
    for name, value in values.items():
        found = tuple(value.shape) if isinstance(value, Tensor) else ()
        if found != shape:
            raise TypeError(
                f"{origin} returned {name!r} with shape {list(found)} instead of {expected}: "
                "average over the batch first"
            )
