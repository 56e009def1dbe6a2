"""Recorded results over seeds: grouped, as bands, as tables; no number is typed by hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import mean, stdev

import numpy as np

from aevb_lib.experiments.studies import Result

__all__ = [
    "TABLES",
    "group_results",
    "latent_dimension_table",
    "mean_and_interval",
    "mean_and_spread",
    "metric_at",
    "recorded_band",
    "regimes_table",
]


def group_results(results: Iterable[Result]) -> dict[tuple[str, int], list[Result]]:
    """Return recorded results by model and latent dimension; in each list, one per seed.

    Args:
        results: What :func:`aevb_lib.experiments.load_result` returned.

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


def mean_and_spread(values: Sequence[float], digits: int = 1) -> str:
    """Return ``mean ± standard deviation`` over seeds; of one seed, only its value.

    Args:
        values: One number per seed.
        digits: Digits after the point.

    Raises:
        ValueError: If there is no value.

    Example:
        >>> mean_and_spread([-102.1, -102.3, -102.2])
        '−102.2 ± 0.1'
    """
    if not values:
        raise ValueError("no values to average")
    text = f"{mean(values):z.{digits}f}"  # z: what rounds to zero is not negative
    if len(values) > 1:
        text += f" ± {stdev(values):.{digits}f}"
    return text.replace("-", "−")  # a minus sign, not a hyphen


def mean_and_interval(values: Sequence[float], digits: int = 1) -> str:
    r"""Return ``mean [low, high]`` with the 95 % interval of the mean, of Student's t.

    It says where the mean over infinitely many training seeds is to be expected, from the n there
    are: :math:`\bar x \pm t_{0.975,\,n-1}\, s / \sqrt n`.

    Args:
        values: One number per seed, at least two.
        digits: Digits after the point.

    Raises:
        ValueError: If there are fewer than two values.

    Example:
        >>> mean_and_interval([-102.1, -102.3, -102.2])
        '−102.2 [−102.4, −102.0]'
    """
    from scipy.stats import t  # heavy, and seldom needed

    if len(values) < 2:
        raise ValueError("one value has no interval: give at least two")
    center = mean(values)
    reach = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    low, high = (f"{center + sign * reach:z.{digits}f}" for sign in (-1, 1))
    return f"{center:z.{digits}f} [{low}, {high}]".replace("-", "−")


def latent_dimension_table(results: Sequence[Result]) -> str:
    """Return the study ``latent-dimension`` as a Markdown table: test images, after the last epoch.

    Args:
        results: What :func:`aevb_lib.experiments.load_result` returned.

    Returns:
        One row per latent dimension with the VAE's bound, its two parts and active units, and the
        autoencoder's reconstruction; mean ± standard deviation over the n seeds for which both are
        recorded, nats per image.

    Example:
        >>> from aevb_lib.experiments import load_result
        >>> table = latent_dimension_table(load_result("latent-dimension"))
        >>> table.splitlines()[0].split(" | ")[1]
        'VAE: ELBO'
    """
    rows = [
        "| D | VAE: ELBO | VAE: reconstruction | VAE: KL | active units | "
        "autoencoder: reconstruction | n |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for latent_dim in sorted({result.run.latent_dim for result in results}):
        last = {
            kind: {
                result.run.seed: result.history.last.metrics
                for result in results
                if (result.run.model, result.run.latent_dim) == (kind, latent_dim)
            }
            for kind in ("vae", "autoencoder")
        }
        seeds = sorted(last["vae"].keys() & last["autoencoder"].keys())
        if not seeds:
            continue
        vae, autoencoder = ([last[kind][seed] for seed in seeds] for kind in last)
        cells = [
            mean_and_spread([m[name] for m in vae]) for name in ("elbo", "log_likelihood", "kl")
        ]
        cells.append(mean_and_spread([m["active_units"] for m in vae]))
        cells.append(mean_and_spread([m["log_likelihood"] for m in autoencoder]))
        rows.append(f"| {latent_dim} | {' | '.join(cells)} | {len(seeds)} |")
    return "\n".join(rows)


def regimes_table(results: Sequence[Result]) -> str:
    """Return the study ``regimes`` as a Markdown table: one column per regime, never mixed.

    Args:
        results: What :func:`aevb_lib.experiments.load_result` returned.

    Returns:
        One row per quantity of the trained models, on test images unless it says otherwise; mean ±
        standard deviation over the seeds of that regime, nats per image.

    Example:
        >>> from aevb_lib.experiments import load_result
        >>> print(regimes_table(load_result("regimes")).splitlines()[0])
        | VAE, D = 20 | static | dynamic |
    """
    rows: dict[str, Callable[[Result], float]] = {
        "ELBO": lambda result: result.history.last.metrics["elbo"],
        "log p(x), importance sampled": lambda result: result.final["importance_log_likelihood"],
        "reconstruction": lambda result: result.history.last.metrics["log_likelihood"],
        "KL": lambda result: result.history.last.metrics["kl"],
        "active units": lambda result: result.history.last.metrics["active_units"],
        "ELBO on 10,000 training images": lambda result: result.history.last.metrics["seen_elbo"],
    }
    regimes = list(dict.fromkeys(result.run.regime for result in results))
    (latent_dim,) = {result.run.latent_dim for result in results}
    columns = [[r for r in results if r.run.regime == regime] for regime in regimes]
    lines = [f"| VAE, D = {latent_dim} | {' | '.join(regimes)} |", "|:--" + "|--:" * len(regimes)]
    lines[1] += "|"
    for name, pick in rows.items():
        cells = [mean_and_spread([pick(result) for result in column]) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(f"| training seeds | {' | '.join(str(len(column)) for column in columns)} |")
    return "\n".join(lines)


# Studies that the pages of the book quote as a table.
TABLES = {"latent-dimension": latent_dimension_table, "regimes": regimes_table}
