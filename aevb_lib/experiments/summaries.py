"""Recorded results over seeds: grouped, between rows, as bands, as text with their spread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import SupportsFloat

import numpy as np

from aevb_lib.experiments.results import Result

__all__ = [
    "group_results",
    "interval_of_mean",
    "mean_and_interval",
    "mean_and_spread",
    "metric_after",
    "metric_at",
    "recorded_band",
    "seconds_per_image",
]


def group_results(results: Iterable[Result]) -> dict[tuple[str, int], list[Result]]:
    """Return recorded results by model and latent dimension; in each list, one per seed.

    Args:
        results: Results from :func:`aevb_lib.experiments.load_result`.

    Example:
        >>> from aevb_lib.experiments import load_result
        >>> groups = group_results(load_result("latent-dimension"))
        >>> groups["vae", 20][0].run.name
        'vae-grey-d020-seed0'
    """
    groups: dict[tuple[str, int], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.run.model, result.run.latent_dim].append(result)
    return dict(groups)


def metric_at(result: Result, metric: str, step: float) -> float:
    """Return a recorded metric after any number of steps, between rows linear in their logarithm.

    Args:
        result: A result with a history.
        metric: Column of the history.
        step: Number of steps; it need not be whole.

    Raises:
        ValueError: If the step lies outside the recorded rows.

    Example:
        >>> from aevb_lib.experiments import load_result
        >>> result = load_result("likelihood-race")[0]
        >>> metric_at(result, "elbo", 250) == result.history["elbo"][0]
        True
    """
    steps = result.history["step"]
    if not steps[0] <= step <= steps[-1]:
        raise ValueError(f"step {step:g} is outside the rows, {steps[0]} to {steps[-1]}")
    return float(np.interp(np.log(step), np.log(steps), result.history[metric]))


def metric_after(results: Iterable[Result], metric: str, images: float) -> list[float]:
    """Return a recorded metric of several runs after so many images seen, one value per run.

    Args:
        results: Results with histories; the size of their batches may differ.
        metric: Column of the histories.
        images: Number of training images seen, with repetition; see :func:`metric_at`.

    Raises:
        ValueError: If a run has no row as early, or none as late.

    Example:
        >>> from aevb_lib.experiments import load_result
        >>> streams = [r for r in load_result("ten-streams") if r.run.algorithm == "batch-mcem"]
        >>> early, late = (
        ...     metric_after(streams, "hmc_log_likelihood", images) for images in (50_000, 800_000)
        ... )
        >>> all(before < after for before, after in zip(early, late))
        True
    """
    return [metric_at(result, metric, images / result.run.batch_size) for result in results]


def seconds_per_image(results: Iterable[Result]) -> float:
    """Return what a training image costs where nothing disturbs: seconds in the fastest of runs.

    Args:
        results: Results of one algorithm, which hold ``step_seconds`` at their end.

    Raises:
        ValueError: If there are none, or they were made on different hardware.

    Example:
        >>> from aevb_lib.experiments import load_result
        >>> streams = load_result("ten-streams")
        >>> aevb, chains = (
        ...     seconds_per_image(run for run in streams if run.run.algorithm == name)
        ...     for name in ("aevb", "mcem")
        ... )
        >>> 0 < aevb < chains
        True
    """
    runs = list(results)
    if not runs:
        raise ValueError("no run, so no time: give one at least")
    places = sorted({str(run.provenance.get("hardware")) for run in runs})
    if len(places) > 1:
        raise ValueError(
            f"the seconds of different hardware are not compared ({'; '.join(places)}): give runs "
            "of one machine"
        )
    return float(min(run.final["step_seconds"] / run.run.batch_size for run in runs))


def recorded_band(
    results: Sequence[Result], metric: str = "elbo", *, epoch: int = 1
) -> tuple[float, float]:
    r"""Return where one more run of the same kind has to land: a 99.9 % prediction interval.

    .. math:: \bar x \pm t_{0.9995,\,n-1}\, s \sqrt{1 + 1/n}

    with mean and standard deviation over the n recorded seeds and Student's t. Few seeds make it
    wide, as they should.

    Args:
        results: Runs that differ in their seed only.
        metric: Column of their histories.
        epoch: After which epoch.

    Returns:
        The two ends of the interval.

    Raises:
        ValueError: If there are fewer than three runs, they differ in more than their seed, or one
            is shorter than that.
        KeyError: If their histories have no such column.

    Example:
        >>> from aevb_lib.experiments import load_result
        >>> groups = group_results(load_result("latent-dimension"))
        >>> low, high = recorded_band(groups["vae", 20], epoch=1)
        >>> low < -125 < high  # nats per image, after one epoch
        True
    """
    if len(results) < 3:
        raise ValueError(f"no band from {len(results)} runs: give those of at least three seeds")
    if len({replace(result.run, seed=0) for result in results}) > 1:
        raise ValueError("no band from different runs: give runs that differ in their seed only")
    shortest = min(len(result.history) for result in results)
    if not 1 <= epoch <= shortest:
        raise ValueError(f"no band at epoch {epoch}: {shortest} epochs of every run are recorded")
    from scipy.stats import t  # heavy, and seldom needed

    values = [result.history[metric][epoch - 1] for result in results]
    reach = float(t.ppf(0.9995, len(values) - 1)) * stdev(values) * (1 + 1 / len(values)) ** 0.5
    return mean(values) - reach, mean(values) + reach


def mean_and_spread(values: Iterable[SupportsFloat], digits: int = 1) -> str:
    """Return ``mean (standard deviation)`` over seeds; of one seed, only its value.

    In this book ± is a standard error, of an average; a spread stands in parentheses.

    Args:
        values: One number per seed, in a list, a tensor or whatever holds numbers.
        digits: Digits after the point.

    Raises:
        ValueError: If there is no value.

    Example:
        >>> mean_and_spread([-102.1, -102.3, -102.2])
        '−102.2 (0.1)'
    """
    numbers = [float(value) for value in values]
    if not numbers:
        raise ValueError("no values to average")
    text = f"{mean(numbers):z.{digits}f}"  # z: what rounds to zero is not negative
    if len(numbers) > 1:
        text += f" ({stdev(numbers):.{digits}f})"
    return text.replace("-", "−")  # a minus sign, not a hyphen


def mean_and_interval(values: Iterable[SupportsFloat], digits: int = 1) -> str:
    """Return ``mean [low, high]`` with the ends of :func:`interval_of_mean`.

    Args:
        values: One number per seed, at least two; see :func:`mean_and_spread`.
        digits: Digits after the point.

    Raises:
        ValueError: If there are fewer than two values.

    Example:
        >>> mean_and_interval([-102.1, -102.3, -102.2])
        '−102.2 [−102.4, −102.0]'
    """
    numbers = [float(value) for value in values]
    low, high = interval_of_mean(numbers)
    text = f"{mean(numbers):z.{digits}f} [{low:z.{digits}f}, {high:z.{digits}f}]"
    return text.replace("-", "−")


def interval_of_mean(values: Iterable[SupportsFloat], level: float = 0.95) -> tuple[float, float]:
    r"""Return where the mean over infinitely many training seeds is to be expected.

    The interval of Student's t from the n seeds there are, at 95 %
    :math:`\bar x \pm t_{0.975,\,n-1}\, s / \sqrt n`. Two configurations that were trained with the
    same seeds are compared by the interval of their differences, seed by seed.

    Args:
        values: One number per seed, at least two; see :func:`mean_and_spread`.
        level: Probability that such an interval holds the mean.

    Returns:
        The two ends of the interval.

    Raises:
        ValueError: If there are fewer than two values, or the level is not between 0 and 1.

    Example:
        >>> low, high = interval_of_mean([-102.1, -102.3, -102.2])
        >>> print(f"{low:.2f} {high:.2f}")
        -102.45 -101.95
    """
    from scipy.stats import t  # heavy, and seldom needed

    numbers = [float(value) for value in values]
    if len(numbers) < 2:
        raise ValueError("one value has no interval: give at least two")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    center = mean(numbers)
    reach = float(t.ppf((1 + level) / 2, len(numbers) - 1)) * stdev(numbers) / len(numbers) ** 0.5
    return center - reach, center + reach
