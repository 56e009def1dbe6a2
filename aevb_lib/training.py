"""The training loop: any algorithm, any batches, one `History`.

It knows neither models nor data sets, only that an algorithm has a ``step``. So there is one loop
for everything in this package, and for what you write yourself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from aevb_lib.history import History
from aevb_lib.loop import models_of, train
from aevb_lib.types import Algorithm, Batches, Scheduler

__all__ = ["fit", "fit_each"]


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
    checkpoint: str | Path | None = None,
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
        checkpoint: File in which the state is kept, at the end of an epoch and about once a minute,
            so that a training that was killed goes on there when it is called again in the same
            way. More ``epochs`` go on with one that is done.
        progress: Whether to show a progress bar. ``TQDM_DISABLE=1`` hides it everywhere.

    Returns:
        The history of this run.

    Raises:
        TypeError: If the batches are not batches or cannot be iterated over again, or ``step`` or
            ``evaluate`` does not return named numbers.
        ValueError: If there is nothing to do, an epoch turns out to be empty, or the checkpoint is
            that of another training.
        FloatingPointError: If a training average or a weight is no longer a finite number.

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
    if models_of(algorithm):
        raise TypeError(
            f"a {type(algorithm).__name__} of many learners has many histories: use "
            "aevb_lib.fit_each, which returns one for each"
        )
    (history,) = train(
        algorithm,
        batches,
        [getattr(algorithm, "model", nn.Module())],
        epochs=epochs,
        evaluate=evaluate,
        schedulers=[] if scheduler is None else [scheduler],
        record_every=record_every,
        record_at=record_at,
        on_record=None if on_record is None else lambda histories: on_record(histories[0]),
        checkpoint=checkpoint,
        progress=progress,
    )
    return history


def fit_each(
    algorithm: Algorithm,
    batches: Batches,
    *,
    epochs: int,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
    schedulers: Sequence[Scheduler] = (),
    record_every: int | None = None,
    record_at: Collection[int] | None = None,
    on_record: Callable[[list[History]], None] | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> list[History]:
    """Train many learners together, and return the history of each.

    As :func:`fit` does for one; the arguments are the same, but for these.

    Args:
        algorithm: Some learners as a :class:`aevb_lib.inference.together.Together`, or its replay.
        batches: Minibatches with one batch per learner,
            ``images.batches(size, generator=[one per learner])``; or the same for all.
        epochs: Number of passes over the data.
        evaluate: Function of one model, called for each.
        schedulers: Learning-rate schedulers, one per learner.
        record_every: Number of steps between rows.
        record_at: Steps to record instead.
        on_record: Function called with all histories after each new row.
        checkpoint: File in which the state is kept.
        progress: Whether to show a progress bar, with the numbers of the first learner.

    Returns:
        The S histories. Their ``seconds`` are those of all learners together.

    Raises:
        TypeError: See :func:`fit`; or if the algorithm is not one of many learners.
        ValueError: See :func:`fit`.
        FloatingPointError: See :func:`fit`.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> generators = [aevb.seed_everything(seed) for seed in range(3)]
        >>> models = [aevb.mnist_vae(2, hidden_dim=8, generator=g) for g in generators]
        >>> learners = [aevb.AEVB(m, torch.optim.Adam(m.parameters())) for m in models]
        >>> batches = aevb.ImageSet(torch.rand(200, 784)).batches(100, generator=generators)
        >>> histories = fit_each(aevb.Together(learners), batches, epochs=2, progress=False)
        >>> [history["step"] for history in histories]
        [[2, 4], [2, 4], [2, 4]]
    """
    models = models_of(algorithm)
    if isinstance(schedulers, Scheduler) or (models and len(schedulers) % len(models)):
        raise TypeError(f"schedulers is a list with those of every learner, not {schedulers!r}")
    if not models:
        raise TypeError(
            f"a {type(algorithm).__name__} trains one model: use fit, or "
            "aevb_lib.Together([learner, ...]) for many"
        )
    return train(
        algorithm,
        batches,
        models,
        epochs=epochs,
        evaluate=evaluate,
        schedulers=schedulers,
        record_every=record_every,
        record_at=record_at,
        on_record=on_record,
        checkpoint=checkpoint,
        progress=progress,
    )
