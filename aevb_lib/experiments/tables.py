"""Recorded results over seeds: grouped, as bands, as tables; no number is typed by hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean, stdev

from aevb_lib.experiments.studies import Result

__all__ = ["group_results", "latent_dimension_table", "mean_and_spread", "recorded_band"]


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


def recorded_band(
    results: Sequence[Result], metric: str = "elbo", *, epoch: int = 1
) -> tuple[float, float]:
    """Return where a new run of the same kind has to land: four standard deviations around.

    Args:
        results: Runs that differ in their seed only.
        metric: Column of their histories.
        epoch: After which epoch.

    Returns:
        The mean over seeds minus and plus four standard deviations.

    Raises:
        ValueError: If there are fewer than three runs, or one is shorter than that.

    Example:
        >>> from aevb_lib.experiments import load_result
        >>> groups = group_results(load_result("latent-dimension"))
        >>> low, high = recorded_band(groups["vae", 20], epoch=1)
        >>> -128 < low < high < -123
        True
    """
    if len(results) < 3 or not 1 <= epoch <= min(len(result.history) for result in results):
        raise ValueError(f"no band at epoch {epoch} from {len(results)} runs: three are the least")
    values = [result.history[metric][epoch - 1] for result in results]
    width = 4 * stdev(values)
    return mean(values) - width, mean(values) + width


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
