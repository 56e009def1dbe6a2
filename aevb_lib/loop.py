"""What ``fit`` and ``fit_each`` share: the loop over steps, its rows, and what it refuses."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from aevb_lib.checkpoints import Checkpoint
from aevb_lib.history import History, Record
from aevb_lib.meter import Meter
from aevb_lib.modes import evaluation_mode, modes_of, restore_modes, weights_are_finite
from aevb_lib.randomness import own_randomness
from aevb_lib.stacking import Stack
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
    checkpoint: str | Path | None,
    progress: bool,
) -> list[History]:
    """Train the models of an algorithm, and return a history for each."""
    shape = (len(models),) if models_of(algorithm) else ()
    is_due, total = _plan(algorithm, batches, epochs, record_every, record_at)
    histories, meter, modes = [History() for _ in models], Meter(), modes_of(algorithm.model)
    kept, done = None, 0
    if checkpoint is not None:
        path = Path(checkpoint).expanduser()
        kept = Checkpoint(path, algorithm, batches, schedulers, histories, meter)
        done = kept.load()
        if done > epochs:
            raise ValueError(f"{path.name} holds {done} epochs, more than the {epochs} asked for")
        if not path.exists():
            kept.save(0, is_due=True)  # an interruption before the next time goes back to here
    # In notebooks tqdm does not ask the environment itself.
    is_hidden = not progress or os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
    bar = tqdm(total=total, initial=meter.steps, unit="step", leave=False, disable=is_hidden)
    is_first = True
    meter.resume()
    try:
        for epoch in range(done, epochs):
            for batch in _checked(batches):
                with _divergence_told(algorithm, meter.steps):
                    values = _step(algorithm, batch, shape, is_first=is_first)
                is_first = False
                meter.add(values, batch.images.shape[-2])
                for scheduler in schedulers:
                    scheduler.step()
                bar.update()
                if not is_due(meter.steps) and meter.steps < total:
                    continue
                rows = meter.read(len(models))
                if evaluate is not None:
                    with _divergence_told(algorithm, meter.steps):
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
            if kept is not None:
                kept.save(epoch + 1, is_due=epoch + 1 == epochs)
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
    model = getattr(algorithm, "model", None)
    return list(model.models) if isinstance(model, Stack) else []


@contextmanager
def _divergence_told(algorithm: Algorithm, steps: int) -> Iterator[None]:
    """Name the cause where an error is a consequence: weights that are no longer finite."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if weights_are_finite(getattr(algorithm, "model", None)):
            raise
        raise FloatingPointError(
            f"the model's weights stopped being finite by step {steps}: try a smaller learning rate"
        ) from error


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


def _checked(batches: Batches) -> Iterator[Batch]:
    """The batches of one epoch."""
    batch = None
    for batch in batches:
        if not isinstance(batch, Batch):
            raise TypeError(
                f"the batches hold a {type(batch).__name__} instead of an aevb_lib.Batch: pass "
                "aevb_lib.ImageSet(images, labels).batches(100), or make each "
                "aevb_lib.Batch(images, labels, indices)"
            )
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
