"""The training loop: any algorithm, any batches, one `History`.

It knows neither models nor data sets, only that an algorithm has a ``step``. So there is one loop
for everything in this package, and for what you write yourself.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from aevb_lib.history import History, Record
from aevb_lib.modes import evaluation_mode, modes_of, restore_modes
from aevb_lib.randomness import own_randomness
from aevb_lib.types import Algorithm, Batch, Batches, Scheduler

__all__ = ["fit"]


def fit(
    algorithm: Algorithm,
    batches: Batches,
    *,
    epochs: int,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
    scheduler: Scheduler | None = None,
    record_every: int | None = None,
    record_at: Collection[int] | None = None,
    on_record: Callable[[History], None] | None = None,
    progress: bool = True,
) -> History:
    """Train, and return what happened.

    Every row of the history holds the average over images of what ``step`` returned since the row
    before, under the names ``train_elbo``, ``train_kl``, …, and beside it whatever ``evaluate``
    returned, under its own names. The former is measured while the parameters move, the latter at
    one moment.

    Inside ``torch.autocast`` the steps are computed in lower precision, and evaluation is not.

    Interrupting (Ctrl-C, or the stop button of a notebook) ends the training, not the session: the
    rows recorded so far are returned, with ``history.interrupted`` set and a warning.

    Args:
        algorithm: Anything with ``model`` and ``step(batch)``, see
            :class:`aevb_lib.types.Algorithm`.
        batches: Minibatches to train on; iterated over once per epoch.
        epochs: Number of passes over the data.
        evaluate: Function of the model that returns named numbers, called at every row with the
            model in evaluation mode. Its time is not counted and random numbers it draws do not
            change the training.
        scheduler: Learning-rate scheduler of ``torch.optim.lr_scheduler``, moved after every step.
        record_every: Number of steps between rows; one row per epoch by default. The last step is
            always recorded.
        record_at: Steps to record instead, for rows that are not evenly spaced.
        on_record: Function called with the history after each new row, to draw it while it grows.
        progress: Whether to show a progress bar. ``TQDM_DISABLE=1`` hides it everywhere.

    Returns:
        The history of this run.

    Raises:
        TypeError: If the batches are not batches or cannot be iterated over again, or ``step`` or
            ``evaluate`` does not return named numbers.
        ValueError: If there is nothing to do, or an epoch turns out to be empty.
        FloatingPointError: If a training average is no longer a finite number.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> generator = aevb.seed_everything(0)
        >>> images = aevb.ImageSet(torch.rand(200, 16))
        >>> model = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> learner = aevb.AEVB(model, torch.optim.Adam(model.parameters(), lr=1e-3))
        >>> history = fit(learner, images.batches(100), epochs=3, progress=False)
        >>> history["step"], history.metrics
        ([2, 4, 6], ['train_elbo', 'train_log_likelihood', 'train_kl'])
    """
    is_due, total = _plan(algorithm, batches, epochs, record_every, record_at)
    history, meter, modes = History(), _Meter(), modes_of(algorithm.model)
    # Said only if it is so: an explicit False would overrule the environment's TQDM_DISABLE.
    hidden = {} if progress else {"disable": True}
    bar = tqdm(total=total, unit="step", leave=False, **hidden)
    try:
        for batch in _stream(batches, epochs):
            meter.add(_step(algorithm, batch, is_first=not meter.steps), len(batch.images))
            if scheduler is not None:
                scheduler.step()
            bar.update()
            if not is_due(meter.steps) and meter.steps < total:
                continue
            metrics = meter.read()
            if evaluate is not None:
                metrics |= _measured(evaluate, algorithm.model)
            counters = meter.steps, meter.steps / len(batches), meter.examples, meter.seconds
            history.records.append(Record(*counters, metrics))
            if on_record is not None:
                on_record(history)
            shown = {name: f"{value:.1f}" for name, value in metrics.items()}
            bar.set_postfix(shown | {"images/s": f"{meter.images_per_second:,.0f}"})
            meter.resume()
    except KeyboardInterrupt:
        history.interrupted = True
        restore_modes(modes)  # it may have come while an evaluation put them back
        warnings.warn(
            f"interrupted at step {meter.steps} of {total}; "
            f"the {len(history)} rows recorded so far are kept",
            stacklevel=2,
        )
    finally:
        bar.close()
    return history


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

    def read(self) -> dict[str, float]:
        """Return the averages of this row, and stop the clock."""
        averages = {
            f"train_{name}": float(total) / self._counts[name] for name, total in self._sums.items()
        }
        seconds = time.perf_counter() - self._started
        self.seconds += seconds
        self.images_per_second = self._images / max(seconds, 1e-9)
        broken = [name for name, value in averages.items() if not math.isfinite(value)]
        if broken:
            raise FloatingPointError(
                f"{', '.join(broken)} stopped being finite by step {self.steps}: try a smaller "
                "learning rate, and look for nan and for values outside [0, 1] in the images"
            )
        return averages


def _step(algorithm: Algorithm, batch: Batch, *, is_first: bool) -> dict[str, Tensor]:
    try:
        values = algorithm.step(batch)
    except ValueError as error:
        if len(batch.images) == 1:
            error.add_note(
                "This batch holds one image, too few for batch normalization: a short last batch "
                "is left out by images.batches(size, drop_last=True)."
            )
        raise
    if is_first:
        _check_numbers(values, "step")
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


def _check_numbers(values: object, origin: str) -> None:
    if not isinstance(values, dict):
        raise TypeError(
            f'{origin} returned a {type(values).__name__} instead of named numbers, {{"elbo": ...}}'
        )
    for name, value in values.items():
        if isinstance(value, Tensor) and value.ndim:
            raise TypeError(
                f"{origin} returned {name!r} with shape {list(value.shape)} instead of one number: "
                "average over the batch first"
            )
