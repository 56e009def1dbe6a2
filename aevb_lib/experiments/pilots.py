r"""Pilots: short trainings by which the steps of Adagrad in the paper's figures are chosen.

They are done on noise that is in no figure: the study ``step-sizes`` has seeds of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from aevb_lib.data import ImageSet
from aevb_lib.evaluation import mean_elbo
from aevb_lib.experiments.comparison import Comparison
from aevb_lib.experiments.provenance import provenance
from aevb_lib.experiments.race import mean_evidence
from aevb_lib.experiments.recipe import LEARNING_RATES, ComparisonRun
from aevb_lib.experiments.results import Result
from aevb_lib.experiments.store import Store
from aevb_lib.experiments.study import VerificationError
from aevb_lib.history import History
from aevb_lib.models import VAE, LatentVariableModel
from aevb_lib.modes import weights_are_finite

__all__ = ["PilotRun", "StepSizes", "pilots", "reached_early", "step_size_table"]

PILOT_SEEDS = (100, 101, 102)
# Numbers of images after which a step size is judged. In figure 3 it is four moves of all chains.
EARLY_IMAGES = {"figure-2": 50_000, "figure-3": 200_000}
# Images whose evidence is measured.
NUM_IMAGES = 1_000
# Nats per image below which it does not matter how far: the training explodes.
HOPELESS = -1_000.0


@dataclass(frozen=True)
class PilotRun(ComparisonRun):
    """One short training with one step of Adagrad.

    Attributes:
        figure: Name of the study that takes its step from this run.
    """

    figure: str = "figure-3"

    @property
    def kind(self) -> str:
        """Name of its record: ``figure-3-aevb-n50000-rate0.02``."""
        return f"{self.figure}-{super().kind}"


@dataclass(frozen=True, kw_only=True)
class StepSizes(Comparison):
    """What every step of Adagrad reaches early, on noise that is used for nothing else.

    The ``final`` of a result holds ``early``, nats per training image: the bound in the cells of
    figure 2, the evidence by the paper's estimator in those of figure 3. It is None where the step
    is so large that training diverges, and the history is empty if it ended before the last step.
    """

    is_chaotic: bool = True
    num_stretches: int = 0

    def do_together(
        self, runs: Sequence[ComparisonRun], store: Store
    ) -> list[Result[ComparisonRun]]:
        """Do the runs of some seeds; one that diverges has a result too."""
        started = time.perf_counter()
        try:
            return super().do_together(runs, store)
        except FloatingPointError:
            with store.checkpoint(runs):  # removes it
                if len(runs) > 1:  # the others do not go down with it
                    return [self.do(run, store) for run in runs]
            final: dict[str, Any] = {
                "learning_rate": runs[0].learning_rate,
                "learning_rates": {},
                "early": None,
            }
            origin = provenance(time.perf_counter() - started, store.device)
            return [Result(runs[0], History(), final, origin)]

    def measure(self, model: LatentVariableModel, data: ImageSet) -> dict[str, float]:
        """Return nothing: only the end counts."""
        return {}

    def rows(self, total: int) -> list[int]:
        """Return no step but the last."""
        return [total]

    def measure_at_the_end(
        self, run: ComparisonRun, model: LatentVariableModel, train: ImageSet, test: ImageSet
    ) -> dict[str, Any]:
        """Return what the step has reached, on training images."""
        assert isinstance(run, PilotRun)
        early = math.nan
        if weights_are_finite(model):  # or torch refuses them
            if run.figure == "figure-2":
                assert isinstance(model, VAE)
                early = mean_elbo(model, train[: self.num_images])
            else:
                early = mean_evidence(model, train.images[:NUM_IMAGES])
        return {"early": early if math.isfinite(early) else None}

    def train_again(
        self, runs: Sequence[ComparisonRun], store: Store, *, epochs: int
    ) -> list[History]:
        """Refuse: only what a step has reached is recorded, and no row to compare it with."""
        raise VerificationError(
            "pilots record no rows: verify the figure that took its step from them"
        )


def pilots(figure: str, cell: ComparisonRun) -> list[PilotRun]:
    """Return the runs of ``step-sizes`` by which the step of a cell is chosen.

    Args:
        figure: Name of the study that the cell is in.
        cell: Any run of the cell.
    """
    epochs = max(1, EARLY_IMAGES[figure] // cell.num_train)
    return [
        PilotRun(
            "step-sizes",
            "vae",
            cell.latent_dim,
            seed,
            hidden_dim=cell.hidden_dim,
            algorithm=cell.algorithm,
            num_train=cell.num_train,
            batch_size=cell.batch_size,
            epochs=epochs,
            learning_rate=rate,
            figure=figure,
        )
        for seed in PILOT_SEEDS
        for rate in LEARNING_RATES
    ]


def step_size_table(results: Sequence[Result[Any]]) -> str:
    """Return the study ``step-sizes`` as a Markdown table, one row per cell.

    Args:
        results: Results from :func:`aevb_lib.experiments.load_result`.

    Returns:
        What each step of Adagrad has reached early, in nats per training image, mean over seeds;
        the chosen one is bold. A mean below -1,000 is of a training that explodes or diverges.
    """
    rates = " | ".join(f"{rate:g}" for rate in LEARNING_RATES)
    rows = [f"| figure, algorithm | N | D | {rates} |", "|:--|--:|--:" + "|--:" * 3 + "|"]
    cells: dict[PilotRun, list[Result[Any]]] = {}
    for result in results:
        cells.setdefault(replace(result.run, seed=0, learning_rate=None), []).append(result)
    for cell, members in cells.items():
        reached = reached_early(members)
        best = max(reached, key=lambda rate: reached[rate])
        shown = {
            rate: f"{value:.1f}" if value > HOPELESS else f"below {HOPELESS:,.0f}"
            for rate, value in reached.items()
        }
        shown[best] = f"**{shown[best]}**"
        values = " | ".join(shown.get(rate, "") for rate in LEARNING_RATES)
        head = f"{cell.figure}, {cell.algorithm} | {cell.num_train:,} | {cell.latent_dim}"
        rows.append(f"| {head} | {values.replace('-', '−')} |")
    return "\n".join(rows)


def reached_early(results: Sequence[Result[Any]]) -> dict[float, float]:
    """Return what each step of Adagrad has reached early, on average over recorded seeds.

    Args:
        results: Results of one cell.

    Returns:
        Nats per training image for each step; minus infinity where a seed diverged.
    """
    reached: dict[float, list[float]] = {}
    for result in results:
        early = result.final["early"]
        reached.setdefault(result.run.learning_rate, []).append(
            -math.inf if early is None else early
        )
    return {rate: mean(values) for rate, values in sorted(reached.items())}
