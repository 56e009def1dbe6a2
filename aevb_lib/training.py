"""The training loop: any algorithm, any batches, one `History`.

It knows neither models nor data sets, only that an algorithm has a ``step``. So there is one loop
for everything in this package, and for what you write yourself.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from aevb_lib.history import History, Record
from aevb_lib.types import Algorithm, Batches

__all__ = ["fit", "seed_everything"]


def seed_everything(seed: int) -> torch.Generator:
    """Make a run repeatable.

    Seeds torch's global generators, from which latent noise is drawn on every device, and returns
    an explicit CPU generator for initial weights and shuffles, so that these are the same whatever
    the device.

    Args:
        seed: Any integer.

    Returns:
        A CPU generator seeded alike.

    Example:
        >>> generator = seed_everything(0)
        >>> import aevb_lib as aevb
        >>> encoder = aevb.GaussianMLP(784, 20, generator=generator)
    """
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def fit(
    algorithm: Algorithm,
    batches: Batches,
    *,
    epochs: int,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
    record_every: int | None = None,
    on_record: Callable[[History], None] | None = None,
    progress: bool = True,
) -> History:
    """Train, and return what happened.

    Every row of the history holds the average of what ``step`` returned since the row before, under
    the names ``train_elbo``, ``train_kl``, …, and beside it whatever ``evaluate`` returned, under
    its own names. The former is measured while the parameters move, the latter at one moment.

    Interrupting (Ctrl-C, or the stop button of a notebook) ends the training, not the session: the
    rows recorded so far are returned, with ``history.interrupted`` set and a warning.

    Args:
        algorithm: Anything with ``model`` and ``step(batch)``, see
            :class:`aevb_lib.types.Algorithm`.
        batches: What to train on; iterated over once per epoch.
        epochs: Passes over the data.
        evaluate: Called with the model at every row; returns named numbers. Its time is not counted
            and random numbers it draws do not change the training.
        record_every: Steps between rows; one row per epoch by default. The last step is always
            recorded.
        on_record: Called with the history after each new row, to draw it while it grows.
        progress: Whether to show a progress bar. ``TQDM_DISABLE=1`` hides it everywhere.

    Returns:
        The history of this run.

    Raises:
        TypeError: If the batches are not batches or cannot be iterated over again, or ``step`` or
            ``evaluate`` does not return named numbers.
        ValueError: If there is nothing to do, or an epoch turns out to be empty.
        FloatingPointError: If a training average is no longer a finite number.

    Example:
        >>> import aevb_lib as aevb
        >>> generator = aevb.seed_everything(0)
        >>> images = aevb.ImageSet(torch.rand(200, 16))
        >>> model = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> learner = aevb.AEVB(model, torch.optim.Adam(model.parameters(), lr=1e-3))
        >>> history = fit(learner, images.batches(100), epochs=3, progress=False)
        >>> history["step"], history.metrics
        ([2, 4, 6], ['train_elbo', 'train_log_likelihood', 'train_kl'])
    """
    _check_batches(batches)
    if not hasattr(algorithm, "step"):
        raise TypeError(
            f"a {type(algorithm).__name__} has no step(batch): wrap a model in an algorithm, such "
            "as aevb_lib.AEVB(model, optimizer)"
        )
    steps_per_epoch = len(batches)
    if epochs != int(epochs):
        raise ValueError(f"epochs must be a whole number, got {epochs}")
    if epochs < 1 or steps_per_epoch < 1:
        raise ValueError(f"nothing to do: {epochs} epochs of {steps_per_epoch} batches")
    interval = steps_per_epoch if record_every is None else record_every
    if interval < 1:
        raise ValueError(f"record_every must be at least 1, got {record_every}")

    history = History()
    sums: dict[str, Tensor] = {}
    total = epochs * steps_per_epoch
    step = examples = since_record = 0
    seconds, started = 0.0, time.perf_counter()
    # Said only if it is so: an explicit False would overrule the environment's TQDM_DISABLE.
    hidden = {} if progress else {"disable": True}
    bar = tqdm(total=total, unit="step", leave=False, **hidden)
    try:
        while step < total:
            epoch_start = step
            for batch in batches:
                _check_batch(batch)
                for name, value in _checked(algorithm.step(batch), "step").items():
                    # Summed on the device: reading a float here would make a GPU wait.
                    sums[name] = sums[name] + value if name in sums else value
                step += 1
                since_record += 1
                examples += len(batch.images)
                bar.update()
                if step % interval and step < total:
                    continue
                metrics = _averages(sums, since_record, step)
                seconds += time.perf_counter() - started
                if evaluate is not None:
                    with _own_randomness(algorithm.model):
                        measured = _checked(evaluate(algorithm.model), "evaluate")
                    metrics |= {
                        k: v.item() if torch.is_tensor(v) else v for k, v in measured.items()
                    }
                record = Record(step, step / steps_per_epoch, examples, seconds, metrics)
                history.records.append(record)
                if on_record is not None:
                    on_record(history)
                bar.set_postfix({name: f"{value:.1f}" for name, value in metrics.items()})
                since_record, sums = 0, {}
                started = time.perf_counter()
            if step == epoch_start:
                raise ValueError(
                    f"an epoch had 0 batches although len(batches) is {steps_per_epoch}: they must "
                    "be something that can be iterated over again, not a generator"
                )
    except KeyboardInterrupt:
        history.interrupted = True
        warnings.warn(
            f"interrupted at step {step} of {total}; "
            f"the {len(history)} rows recorded so far are kept",
            stacklevel=2,
        )
    finally:
        bar.close()
    return history


def _check_batches(batches: object) -> None:
    if not (hasattr(batches, "__len__") and hasattr(batches, "__iter__")):
        raise TypeError(
            f"a {type(batches).__name__} cannot be iterated over again and again, as every epoch "
            "needs: pass images.batches(100) of an aevb_lib.ImageSet, or a list of batches"
        )


def _check_batch(batch: object) -> None:
    if not hasattr(batch, "images"):
        raise TypeError(
            f"the batches hold a {type(batch).__name__} instead of an aevb_lib.Batch: pass "
            "aevb_lib.ImageSet(images, labels).batches(100), or make each aevb_lib.Batch(images, "
            "labels, indices)"
        )


def _checked(values: Any, origin: str) -> dict[str, Any]:
    """Named numbers as they came, tensors without the graph that would keep all steps alive."""
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
    return {k: v.detach() if isinstance(v, Tensor) else v for k, v in values.items()}


def _averages(sums: dict[str, Tensor], count: int, step: int) -> dict[str, float]:
    averages = {f"train_{name}": float(total) / count for name, total in sums.items()}
    broken = [name for name, value in averages.items() if not math.isfinite(value)]
    if broken:
        raise FloatingPointError(
            f"{', '.join(broken)} stopped being finite by step {step}: try a smaller learning "
            "rate, and check that the images hold neither nan nor values outside [0, 1]"
        )
    return averages


@contextmanager
def _own_randomness(model: nn.Module) -> Iterator[None]:
    parameter = next(model.parameters(), None)
    devices = [parameter.device] if parameter is not None and parameter.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        yield
