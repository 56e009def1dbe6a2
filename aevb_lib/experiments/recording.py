"""Doing the runs of a study, recording them, and doing them again to see whether they agree."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import torch
from tqdm import tqdm

from aevb_lib.architectures import ARCHITECTURES
from aevb_lib.data import ImageSet, load_mnist
from aevb_lib.evaluation import (
    active_units,
    kl_per_dimension,
    mean_bound,
    mean_point_log_likelihood,
    mean_squared_error,
)
from aevb_lib.evidence import importance_log_likelihood
from aevb_lib.experiments.codes import CODE_SETTINGS, measure_codes, trained_run
from aevb_lib.experiments.comparison import compare, compare_again
from aevb_lib.experiments.provenance import provenance, write_atomically
from aevb_lib.experiments.speed import train_by_the_clock
from aevb_lib.experiments.studies import (
    SEEDS,
    ComparisonRun,
    Result,
    Run,
    SpeedRun,
    read_result,
    result_path,
    study_runs,
    weights_folder,
)
from aevb_lib.history import History
from aevb_lib.inference import AEVB, Reconstruction
from aevb_lib.models import VAE, Autoencoder
from aevb_lib.pretrained import load_pretrained, save_weights
from aevb_lib.randomness import seed_everything
from aevb_lib.training import fit

__all__ = ["record", "run_study", "verify"]

# Training images on which the model is evaluated, for the gap between images seen and unseen.
NUM_SEEN = 10_000
SHARES = ("recall", "precision", "accuracy")


def record(run: Run, folder: Path | None = None, *, device: str = "cpu") -> Result:
    """Do one run and write its weights and its result.

    The weights go where ``experiments.studies.weights_folder`` says. The result file
    is written last and all at once, so its existence means that all is there.

    Args:
        run: What to do.
        folder: Where to write; the package's own assets by default.
        device: Where to compute.

    Returns:
        The result. If it is there already, it is read instead.

    Raises:
        KeyboardInterrupt: If interrupted; nothing is written then.
    """
    path = result_path(run, folder)
    if path.exists():
        return read_result(run, folder)
    torch.set_num_threads(1)  # two processes of one thread beat one process of two
    # scikit-learn asks joblib too, and must not spread one run over the workers of a cluster.
    with joblib.parallel_config(backend="sequential"):
        result = _done(run, folder, device)
    write_atomically(path, result.to_json())
    return result


def run_study(
    study: str,
    folder: Path | None = None,
    *,
    jobs: int = 1,
    seeds: Sequence[int] = SEEDS,
    device: str = "cpu",
) -> Iterator[Result]:
    """Do what is missing of a study, and yield each result as it is finished.

    The work goes through joblib: processes on this machine by default, or whatever backend
    ``joblib.parallel_config`` names around the call, such as that of
    ``aevb_lib.experiments.cluster.cluster``.

    Args:
        study: Name of the study.
        folder: See :func:`record`.
        jobs: Runs at a time.
        seeds: Seeds to do.
        device: See :func:`record`.

    Yields:
        Results, as they come.
    """
    missing = [
        run
        for run in study_runs(study)
        if run.seed in seeds and not result_path(run, folder).exists()
    ]
    tasks = (joblib.delayed(record)(run, folder, device=device) for run in missing)
    # One by one and all at once: a run is long, and workers may join a cluster at any time.
    parallel = joblib.Parallel(
        n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="all"
    )
    yield from tqdm(parallel(tasks), total=len(missing), desc=study, unit="run", smoothing=0)


def verify(result: Result, *, epochs: int = 1, device: str = "cpu") -> float:
    """Do a recorded run again, and return how far it is from the record.

    Args:
        result: The record.
        epochs: How many epochs to train again. A measurement of codes has none: it is done again as
            a whole, from the weights that are here. Of a comparison, at least as far as the first
            row.
        device: Where to compute. Another kind of device draws other noise, so a difference of a
            nat is natural there; on the same kind it is rounding, which in the races with a large
            step may grow to several nats.

    Returns:
        The largest absolute difference of the test log-likelihood over these epochs, in nats; of a
        comparison, of all that is recorded in nats; of codes, of any measured share.

    Raises:
        ValueError: If that many epochs are not recorded, or codes were measured in another way.
    """
    if result.run.study == "codes":
        if result.final["settings"] != CODE_SETTINGS:
            raise ValueError(
                f"{result.run.name} was measured with other settings than the code has now; "
                "remove the file and record it again"
            )
        again = _measured(result.run, None, device).final
        return max(abs(a - b) for a, b in zip(_shares(again), _shares(result.final), strict=True))
    if isinstance(result.run, ComparisonRun):
        return compare_again(result, epochs=epochs, device=device)
    if not 1 <= epochs <= len(result.history):
        raise ValueError(f"cannot verify {epochs} epochs: {len(result.history)} are recorded")
    _, history, _ = _train(result.run, epochs, device)
    recorded = result.history["log_likelihood"][:epochs]
    return max(abs(a - b) for a, b in zip(history["log_likelihood"], recorded, strict=True))


def _done(run: Run, folder: Path | None, device: str) -> Result:
    if isinstance(run, SpeedRun):
        return train_by_the_clock(run, folder, device=device)
    if isinstance(run, ComparisonRun):
        return compare(run, folder, device=device)
    return (_measured if run.study == "codes" else _trained)(run, folder, device)


def _trained(run: Run, folder: Path | None, device: str) -> Result:
    """Train a model, keep its weights, and return what happened."""
    model, history, test = _train(run, run.epochs, device)
    if history.interrupted:
        raise KeyboardInterrupt
    result = Result(
        run, history, _final(run, model, test), provenance(history.last.seconds, device)
    )
    save_weights(model, run.model, run.latent_dim, folder=weights_folder(run, folder))
    return result


def _measured(run: Run, folder: Path | None, device: str) -> Result:
    """Measure the codes of a model; train it first if it was recorded on another machine."""
    started = time.perf_counter()
    trained = trained_run(run)
    weights = weights_folder(trained, folder)
    try:
        load_pretrained(run.model, run.latent_dim, hidden_dim=run.hidden_dim, folder=weights)
    except FileNotFoundError:
        _trained(trained, folder, device)
    final = measure_codes(run, folder)
    # Codes are measured on the CPU, wherever the model may have been trained.
    return Result(run, History(), final, provenance(time.perf_counter() - started, "cpu"))


def _train(run: Run, epochs: int, device: str) -> tuple[VAE | Autoencoder, History, ImageSet]:
    train, test = (part.to(device) for part in load_mnist(regime=run.regime))
    generator = seed_everything(run.seed)
    model = ARCHITECTURES[run.model](run.latent_dim, hidden_dim=run.hidden_dim, generator=generator)
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate, fused=True)
    seen = train.take(NUM_SEEN)

    def evaluate(model: VAE | Autoencoder) -> dict[str, float]:
        if isinstance(model, Autoencoder):
            return {
                "log_likelihood": mean_point_log_likelihood(model, test),
                "seen_log_likelihood": mean_point_log_likelihood(model, seen),
            }
        metrics: dict[str, float] = {}
        for prefix, data in (("", test), ("seen_", seen)):
            elbo, log_likelihood, kl = map(float, mean_bound(model, data))
            metrics[f"{prefix}elbo"] = elbo
            metrics[f"{prefix}log_likelihood"] = log_likelihood
            metrics[f"{prefix}kl"] = kl
        metrics["active_units"] = int(active_units(model, test).sum())
        metrics["point_log_likelihood"] = mean_point_log_likelihood(model, test)
        return metrics

    learner = AEVB(model, optimizer) if isinstance(model, VAE) else Reconstruction(model, optimizer)
    batches = train.batches(run.batch_size, generator=generator)
    history = fit(learner, batches, epochs=epochs, evaluate=evaluate, progress=False)
    return model, history, test


def _final(run: Run, model: VAE | Autoencoder, test: ImageSet) -> dict[str, Any]:
    final: dict[str, Any] = {"reconstruction_error": mean_squared_error(model, test)}
    if isinstance(model, VAE):
        final["kl_per_dimension"] = [round(float(v), 5) for v in kl_per_dimension(model, test)]
        if run.num_importance_samples:
            values = importance_log_likelihood(
                model, test.images, num_samples=run.num_importance_samples
            )
            final["importance_log_likelihood"] = float(values.double().mean())
    return final


def _shares(final: dict[str, Any]) -> list[float]:
    """All measurements of codes that are shares of images, in a fixed order."""
    generated = [made[name] for made in final["generation"].values() for name in SHARES[:2]]
    disturbed = [v for curve in final["noise"].values() for name in SHARES[1:] for v in curve[name]]
    return [*final["classes"].values(), *generated, *disturbed]
