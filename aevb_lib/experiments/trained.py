"""The report's two models, trained by Adam: the studies ``latent-dimension`` and ``regimes``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aevb_lib.architectures import ARCHITECTURES
from aevb_lib.data import ImageSet
from aevb_lib.evaluation import (
    active_units,
    kl_per_dimension,
    mean_bound,
    mean_point_log_likelihood,
    mean_squared_error,
)
from aevb_lib.evidence import importance_log_likelihood
from aevb_lib.experiments.provenance import provenance
from aevb_lib.experiments.results import SEEDS, Result, Run
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.experiments.study import Study, VerificationError
from aevb_lib.experiments.summaries import mean_and_spread
from aevb_lib.experiments.together import train_all
from aevb_lib.history import History
from aevb_lib.inference import AEVB, Reconstruction
from aevb_lib.models import VAE, Autoencoder
from aevb_lib.randomness import seed_everything
from aevb_lib.types import Algorithm

__all__ = [
    "LATENT_DIMENSION",
    "REGIMES",
    "TrainedModels",
    "TrainedRun",
    "latent_dimension_table",
    "regimes_table",
]

LATENT_DIMS = (2, 3, 5, 10, 20, 200)


@dataclass(frozen=True)
class TrainedRun(Run):
    """One training of a VAE or an autoencoder on all training images.

    Attributes:
        learning_rate: Step size of Adam.
    """

    learning_rate: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class TrainedModels(Study[TrainedRun]):
    """A study that trains the report's models.

    The history of a result has one row per epoch. On test images: ``elbo``, ``log_likelihood``,
    ``kl``, ``active_units`` and ``point_log_likelihood`` (at the mean code). The first three names
    with ``seen_`` in front: on the first training images. With ``train_``: averaged over the
    epoch's steps. An autoencoder has only ``log_likelihood``, at its code.

    Its ``final`` holds, on test images: ``reconstruction_error``; of a VAE ``kl_per_dimension``,
    and ``importance_log_likelihood`` if asked for.

    Attributes:
        num_seen: Number of training images on which the model is evaluated, for the gap between
            images seen and unseen.
    """

    num_seen: int = 10_000

    def do(self, run: TrainedRun, store: Store) -> Result[TrainedRun]:
        """Train a model, keep its weights, and return what happened."""
        return self.do_together([run], store)[0]

    def do_together(self, runs: Sequence[TrainedRun], store: Store) -> list[Result[TrainedRun]]:
        """Train the models of some seeds, keep their weights, and return what happened."""
        with store.checkpoint(runs) as checkpoint:
            models, histories, test = self._train(runs, runs[0].epochs, store, checkpoint)
            results = []
            for run, model, history in zip(runs, models, histories, strict=True):
                origin = provenance(history.last.seconds, store.device, together=runs)
                final = self.measure_at_the_end(run, model, test, store)
                results.append(Result(run, history, final, origin))
                self.save_model(model, run, store)
        return results

    def redo(self, result: Result[TrainedRun], store: Store = ASSETS, *, epochs: int = 1) -> float:
        """Train the first epochs again; return the largest difference of the log-likelihood."""
        if not 1 <= epochs <= len(result.history):
            raise VerificationError(
                f"cannot verify {epochs} epochs: {len(result.history)} are recorded"
            )
        (history,) = self.train_again([result.run], store, epochs=epochs)
        recorded = result.history["log_likelihood"][:epochs]
        return max(abs(a - b) for a, b in zip(history["log_likelihood"], recorded, strict=True))

    def train_again(
        self, runs: Sequence[TrainedRun], store: Store, *, epochs: int
    ) -> list[History]:
        """Train the first epochs of some seeds, and return what happened."""
        return self._train(runs, epochs, store)[1]

    def new_model(
        self, run: TrainedRun, generator: torch.Generator | None = None
    ) -> VAE | Autoencoder:
        """Return the untrained model of a run."""
        new = ARCHITECTURES[run.model]
        return new(run.latent_dim, hidden_dim=run.hidden_dim, generator=generator)

    def load_or_train(self, run: TrainedRun, store: Store) -> VAE | Autoencoder:
        """Return the model that a run ended with; train it first if its weights are not here."""
        try:
            return self.load_model(run, store)  # type: ignore[no-any-return]
        except FileNotFoundError:
            self.do(run, store)
            return self.load_model(run, store)  # type: ignore[no-any-return]  # as it is kept

    def measure(self, model: VAE | Autoencoder, test: ImageSet, seen: ImageSet) -> dict[str, float]:
        """Return what a row holds of test images, and of training images."""
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

    def measure_at_the_end(
        self, run: TrainedRun, model: VAE | Autoencoder, test: ImageSet, store: Store
    ) -> dict[str, Any]:
        """Return what is measured once."""
        final: dict[str, Any] = {"reconstruction_error": mean_squared_error(model, test)}
        if isinstance(model, VAE):
            final["kl_per_dimension"] = [round(float(v), 5) for v in kl_per_dimension(model, test)]
            if run.num_importance_samples:
                values = importance_log_likelihood(
                    model, test.images, num_samples=run.num_importance_samples
                )
                final["importance_log_likelihood"] = float(values.double().mean())
        return final

    def _train(
        self,
        runs: Sequence[TrainedRun],
        epochs: int,
        store: Store,
        checkpoint: Path | None = None,
    ) -> tuple[list[VAE | Autoencoder], list[History], ImageSet]:
        train, test = store.images(runs[0].regime)
        seen = train[: self.num_seen]
        generators = [seed_everything(run.seed) for run in runs]
        models = [
            self.new_model(run, generator).to(store.device)
            for run, generator in zip(runs, generators, strict=True)
        ]

        def evaluate(model: VAE | Autoencoder) -> dict[str, float]:
            return self.measure(model, test, seen)

        histories = train_all(
            [_learner(run, model) for run, model in zip(runs, models, strict=True)],
            train,
            generators,
            batch_size=runs[0].batch_size,
            epochs=epochs,
            evaluate=evaluate,
            checkpoint=checkpoint,
        )
        return models, histories, test


def _learner(run: TrainedRun, model: VAE | Autoencoder) -> Algorithm:
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate, fused=True)
    return AEVB(model, optimizer) if isinstance(model, VAE) else Reconstruction(model, optimizer)


def latent_dimension_table(results: Sequence[Result]) -> str:
    """Return the study ``latent-dimension`` as a Markdown table: test images, after the last epoch.

    Args:
        results: Results from :func:`aevb_lib.experiments.load_result`.

    Returns:
        One row per latent dimension with the VAE's bound, its two parts and active units, and the
        autoencoder's reconstruction; mean (standard deviation) over the n seeds for which both are
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
        results: Results from :func:`aevb_lib.experiments.load_result`.

    Returns:
        One row per quantity of the trained models, on test images unless it says otherwise; mean
        (standard deviation) over the seeds of that regime, nats per image.

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


# Seed by seed over everything else, so that three seeds of all sizes are complete early.
LATENT_DIMENSION = TrainedModels(
    name="latent-dimension",
    runs=tuple(
        TrainedRun("latent-dimension", model, latent_dim, seed)
        for seed in SEEDS
        for latent_dim in LATENT_DIMS
        for model in ("vae", "autoencoder")
    ),
    ships_in="",
    table=latent_dimension_table,
)
REGIMES = TrainedModels(
    name="regimes",
    runs=tuple(
        TrainedRun("regimes", "vae", 20, seed, regime, num_importance_samples=5000)
        for seed in SEEDS
        for regime in ("static", "dynamic")
    ),
    table=regimes_table,
)
