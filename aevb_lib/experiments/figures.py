r"""The paper's figures 2 and 3 with enough noise.

The studies are ``step-sizes``, ``figure-2``, ``figure-3``, and its beginning, ``ten-streams``.

The step of Adagrad is chosen once per cell, by training images early on, and on noise that is in no
figure: the study ``step-sizes`` has seeds of its own. Then every cell is run from several seeds,
each of which decides initial weights, order and noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from aevb_lib.data import ImageSet
from aevb_lib.evaluation import mean_elbo
from aevb_lib.evidence import ais_log_likelihood
from aevb_lib.experiments.comparison import Comparison
from aevb_lib.experiments.race import STREAMS, mean_evidence
from aevb_lib.experiments.recipe import CHAINS, LEARNING_RATES, ComparisonRun
from aevb_lib.experiments.results import Result
from aevb_lib.experiments.store import Store
from aevb_lib.experiments.study import VerificationError
from aevb_lib.models import VAE, LatentVariableModel

__all__ = [
    "FIGURE_2",
    "FIGURE_3",
    "STEP_SIZES",
    "TEN_STREAMS",
    "Figure",
    "LikelihoodFigure",
    "PilotRun",
    "StepSizes",
    "step_size_table",
]

PILOT_SEEDS = (100, 101, 102)
FIGURE_2_IMAGES = 10_000_000
# As far as two cores go in a night; the paper has 60 million.
FIGURE_3_IMAGES = {
    "aevb": 6_400_000,
    "wake-sleep": 6_400_000,
    "mcem": 1_600_000,
    "batch-mcem": 1_600_000,
}
# As far as two cores go in two hours, with all four algorithms.
TEN_STREAMS_IMAGES = 800_000
# Numbers of images after which a step size is judged. In figure 3 it is four moves of all chains.
EARLY_IMAGES = {"figure-2": 50_000, "figure-3": 200_000}
# Images whose evidence is measured in the rows of figure 3, and at its end (as in the paper).
NUM_UNSEEN, NUM_SEEN, NUM_FINAL, NUM_ANNEALED = 1_000, 250, 1_000, 100


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
    figure 2, the evidence by the paper's estimator in those of figure 3.
    """

    is_chaotic: bool = True
    num_stretches: int = 0

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
        if run.figure == "figure-2":
            assert isinstance(model, VAE)
            return {"early": mean_elbo(model, train[: self.num_images])}
        return {"early": mean_evidence(model, train.images[:NUM_FINAL])}


@dataclass(frozen=True, kw_only=True)
class Figure(Comparison):
    """A comparison whose steps of Adagrad were chosen in the study ``step-sizes``.

    Attributes:
        images_between: Factor between the numbers of images of neighboring rows.
        first_images: Number of images of the first row.
        pilots_of: Name by which ``step-sizes`` knows its cells.
    """

    is_chaotic: bool = True
    pilots_of: str
    first_images: int = 100_000
    images_between: float = 10 ** (1 / 4)

    def early_performances(
        self, runs: Sequence[ComparisonRun], train: ImageSet, store: Store
    ) -> list[dict[float, float]]:
        """Return what each step has reached in ``step-sizes``, on average over its seeds.

        Raises:
            VerificationError: If that is not recorded for every step.
        """
        reached = _reached(store.read_all(pilots(self.pilots_of, runs[0])))
        if set(reached) != set(LEARNING_RATES):
            raise VerificationError(
                f"the step of {runs[0].name} is chosen by a study that is not recorded: "
                "python -m aevb_lib.experiments run step-sizes"
            )
        return [reached for _ in runs]

    def rows_of(self, run: ComparisonRun, total: int) -> list[int]:
        """Return the steps after which so many images have been seen, at least.

        Example:
            >>> run = FIGURE_3.runs[0]
            >>> FIGURE_3.rows_of(run, 64_000)
            [250, 1000, 4000, 16000, 64000]
        """
        rows: list[int] = []
        images = float(self.first_images)
        while (step := math.ceil(images / run.batch_size)) <= total:
            rows.append(step)
            images *= self.images_between
        return sorted(set(rows))


@dataclass(frozen=True, kw_only=True)
class LikelihoodFigure(Figure):
    r"""A figure of the evidence, which Monte Carlo EM has without an encoder.

    Beside the bound, rows hold :math:`\log p(x)` by the paper's estimator, ``hmc_log_likelihood``,
    on a thousand test images; with ``seen_``, on 250 training images. The ``final`` of a result has
    the latter on a thousand, and ``annealed_log_likelihood`` on a hundred of either kind beside
    ``hmc_of_annealed``, the paper's estimate on the same.
    """

    first_images: int = 25_000
    images_between: float = 4.0
    num_stretches: int = 5  # one of them is seventeen seconds where a batch is the whole set

    def measure(self, model: LatentVariableModel, data: ImageSet) -> dict[str, float]:
        """Return what a row holds of test images."""
        return super().measure(model, data) | {
            "hmc_log_likelihood": mean_evidence(model, data.images[:NUM_UNSEEN])
        }

    def measure_seen(self, model: LatentVariableModel, train: ImageSet) -> dict[str, float]:
        """Return what a row holds of training images."""
        return super().measure(model, train) | {
            "hmc_log_likelihood": mean_evidence(model, train.images[:NUM_SEEN])
        }

    def measure_at_the_end(
        self, run: ComparisonRun, model: LatentVariableModel, train: ImageSet, test: ImageSet
    ) -> dict[str, Any]:
        """Return the evidence of more training images, and by annealing."""
        final = {"seen_hmc_log_likelihood": mean_evidence(model, train.images[:NUM_FINAL])}
        for prefix, data in (("", test), ("seen_", train)):
            images = data.images[:NUM_ANNEALED]
            annealed = ais_log_likelihood(model, images, num_temperatures=100, num_chains=8)
            final[f"{prefix}annealed_log_likelihood"] = float(annealed.double().mean())
            final[f"{prefix}hmc_of_annealed"] = mean_evidence(model, images)
        return final


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
        the chosen one is bold.
    """
    rates = " | ".join(f"{rate:g}" for rate in LEARNING_RATES)
    rows = [f"| figure, algorithm | N | D | {rates} |", "|:--|--:|--:" + "|--:" * 3 + "|"]
    cells: dict[PilotRun, list[Result[Any]]] = {}
    for result in results:
        cells.setdefault(replace(result.run, seed=0, learning_rate=None), []).append(result)
    for cell, members in cells.items():
        reached = _reached(members)
        best = max(reached, key=lambda rate: reached[rate])
        shown = {rate: f"{value:.1f}".replace("-", "−") for rate, value in reached.items()}
        shown[best] = f"**{shown[best]}**"
        values = " | ".join(shown.get(rate, "") for rate in LEARNING_RATES)
        head = f"{cell.figure}, {cell.algorithm} | {cell.num_train:,} | {cell.latent_dim}"
        rows.append(f"| {head} | {values} |")
    return "\n".join(rows)


def _reached(results: Sequence[Result[Any]]) -> dict[float, float]:
    """What each step of Adagrad has reached early, on average over the seeds that are recorded."""
    reached: dict[float, list[float]] = {}
    for result in results:
        reached.setdefault(result.run.learning_rate, []).append(result.final["early"])
    return {rate: mean(values) for rate, values in sorted(reached.items())}


FIGURE_2 = Figure(
    name="figure-2",
    pilots_of="figure-2",
    runs=tuple(
        ComparisonRun(
            "figure-2",
            "vae",
            latent_dim,
            seed,
            algorithm=algorithm,
            epochs=FIGURE_2_IMAGES // ComparisonRun.num_train,
        )
        for seed in STREAMS[:3]
        for latent_dim in (3, 5, 10, 20, 200)
        for algorithm in ("aevb", "wake-sleep")
    ),
)


def _likelihood_run(
    study: str, seed: int, algorithm: str, num_train: int, num_images: int
) -> ComparisonRun:
    return ComparisonRun(
        study,
        "vae",
        3,
        seed,
        hidden_dim=100,
        algorithm=algorithm,
        num_train=num_train,
        batch_size=num_train if algorithm == "batch-mcem" else 100,
        epochs=num_images // num_train,
    )


FIGURE_3 = LikelihoodFigure(
    name="figure-3",
    pilots_of="figure-3",
    runs=tuple(
        _likelihood_run("figure-3", seed, algorithm, num_train, FIGURE_3_IMAGES[algorithm])
        for seed in STREAMS
        for algorithm in ("aevb", "wake-sleep", *CHAINS)
        for num_train in (50_000, 1_000)
    ),
)
TEN_STREAMS = LikelihoodFigure(
    name="ten-streams",
    pilots_of="figure-3",
    first_images=12_500,
    num_stretches=2,
    runs=tuple(
        _likelihood_run("ten-streams", seed, algorithm, num_train, TEN_STREAMS_IMAGES)
        for num_train in (50_000, 1_000)
        for seed in STREAMS
        for algorithm in ("aevb", "wake-sleep", *CHAINS)
    ),
)
STEP_SIZES = StepSizes(
    name="step-sizes",
    table=step_size_table,
    runs=tuple(
        pilot
        for study in (FIGURE_3, FIGURE_2)
        for cell in dict.fromkeys(run for run in study.runs if run.seed == STREAMS[0])
        for pilot in pilots(study.pilots_of, cell)
    ),
)
