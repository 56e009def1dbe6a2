"""Runs that differ in their seed only: trained together, and compared through their spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from aevb_lib.data import ImageSet
from aevb_lib.experiments.results import R
from aevb_lib.history import History
from aevb_lib.inference import Replay, Together
from aevb_lib.training import fit, fit_each
from aevb_lib.types import Algorithm

__all__ = ["allowed_difference", "same_but_seed", "train_all"]

# Probability that two sets of seeds of the same training differ by more than is allowed.
LEVEL = 1e-4


def same_but_seed(runs: Iterable[R]) -> list[list[R]]:
    """Return runs in groups whose members differ only in their seed, in the order of the first.

    Example:
        >>> from aevb_lib.experiments import STUDIES
        >>> [[run.seed for run in group] for group in same_but_seed(STUDIES["regimes"].runs)]
        [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    """
    groups: dict[R, list[R]] = {}
    for run in runs:
        groups.setdefault(replace(run, seed=0), []).append(run)
    return list(groups.values())


def train_all(
    learners: Sequence[Algorithm],
    train: ImageSet,
    generators: Sequence[torch.Generator],
    *,
    batch_size: int,
    epochs: int,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
    record_at: Collection[int] | None = None,
    checkpoint: Path | None = None,
) -> list[History]:
    """Train learners, on a GPU by replayed steps; several of them together.

    Args:
        learners: Algorithms of one class, with models of one shape.
        train: Training images.
        generators: Generators of the order of the images, one per learner.
        batch_size: Number of images per step.
        epochs: Number of passes over the images.
        evaluate: See :func:`aevb_lib.training.fit`.
        record_at: See :func:`aevb_lib.training.fit`.
        checkpoint: See :func:`aevb_lib.training.fit`.

    Returns:
        One history per learner.

    Raises:
        KeyboardInterrupt: If interrupted.
    """
    options: dict[str, Any] = {
        "epochs": epochs,
        "evaluate": evaluate,
        "record_at": record_at,
        "checkpoint": checkpoint,
        "progress": False,
    }
    if len(learners) == 1:
        batches = train.batches(batch_size, generator=generators[0])
        histories = [fit(Replay(learners[0]), batches, **options)]
    else:
        batches = train.batches(batch_size, generator=generators)
        histories = fit_each(Replay(Together(learners)), batches, **options)
    if any(history.interrupted for history in histories):
        raise KeyboardInterrupt
    return histories


def allowed_difference(a: Sequence[float], b: Sequence[float]) -> float:
    r"""Return how far the means of two sets of seeds may be apart if both are of one distribution.

    .. math::
        t\, s \sqrt{\frac1{n_a} + \frac1{n_b}}, \qquad
        s^2 = \frac{(n_a - 1) s_a^2 + (n_b - 1) s_b^2}{n_a + n_b - 2}

    with Student's t for :math:`n_a + n_b - 2` degrees of freedom; of normal distributions one pair
    of sets in ten thousand exceeds it.

    Args:
        a: One number per seed.
        b: The same of other runs; three seeds in all, or more.

    Raises:
        ValueError: If there are too few seeds for a spread.

    Example:
        >>> print(f"{allowed_difference([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]):.1f}")
        12.7
    """
    freedom = len(a) + len(b) - 2
    if min(len(a), len(b)) < 1 or freedom < 1:
        raise ValueError(f"{len(a)} and {len(b)} seeds have no spread: give three in all or more")
    squares = sum(float(np.var(values)) * len(values) for values in (a, b))
    error = math.sqrt(squares / freedom * (1 / len(a) + 1 / len(b)))
    return float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
