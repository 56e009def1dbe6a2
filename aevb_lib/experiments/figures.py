r"""The paper's figures 2 and 3 with enough noise.

The studies are ``figure-2`` and ``figure-3``, their beginnings ``first-million`` and
``ten-streams``; ``figure-2-full`` and ``figure-3-full`` at the paper's own length, for a GPU; and
``step-sizes``, the pilots of all.

The step of Adagrad is chosen once per cell, by training images early on, and on noise that is in no
figure: the study ``step-sizes`` has seeds of its own. Then every cell is run from several seeds,
each of which decides initial weights, order and noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from aevb_lib.data import ImageSet
from aevb_lib.evidence import ais_log_likelihood
from aevb_lib.experiments.comparison import Comparison
from aevb_lib.experiments.pilots import StepSizes, pilots, reached_early, step_size_table
from aevb_lib.experiments.race import STREAMS, mean_evidence
from aevb_lib.experiments.recipe import CHAINS, LEARNING_RATES, ComparisonRun
from aevb_lib.experiments.store import Store
from aevb_lib.experiments.study import VerificationError
from aevb_lib.models import LatentVariableModel

__all__ = [
    "FIGURE_2",
    "FIGURE_2_FULL",
    "FIGURE_3",
    "FIGURE_3_FULL",
    "FIRST_MILLION",
    "STEP_SIZES",
    "TEN_STREAMS",
    "Figure",
    "LikelihoodFigure",
]

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
# Images whose evidence is measured in the rows of figure 3, and at its end (as in the paper).
NUM_UNSEEN, NUM_SEEN, NUM_FINAL, NUM_ANNEALED = 1_000, 250, 1_000, 100


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
        reached = reached_early(store.read_all(pilots(self.pilots_of, runs[0])))
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


def _bound_runs(study: str, seeds: Sequence[int], num_images: int) -> tuple[ComparisonRun, ...]:
    return tuple(
        ComparisonRun(
            study,
            "vae",
            latent_dim,
            seed,
            algorithm=algorithm,
            epochs=num_images // ComparisonRun.num_train,
        )
        for seed in seeds
        for latent_dim in (3, 5, 10, 20, 200)
        for algorithm in ("aevb", "wake-sleep")
    )


def _other_step(algorithm: str, latent_dim: int) -> float:
    """The one of the two small steps that the recorded pilots do not choose."""
    chose_larger = algorithm == "aevb" and latent_dim in (5, 10, 20)
    return 0.01 if chose_larger else 0.02


FIGURE_2 = Figure(
    name="figure-2",
    pilots_of="figure-2",
    runs=_bound_runs("figure-2", STREAMS[:3], FIGURE_2_IMAGES),
)
# As long as the paper's. By estimate a quarter of an hour per size on a GPU; on one core, a day.
FIGURE_2_FULL = replace(
    FIGURE_2,
    name="figure-2-full",
    runs=_bound_runs("figure-2-full", STREAMS[:3], 100_000_000),
)
_MILLION = _bound_runs("first-million", STREAMS[:3], 1_000_000)
FIRST_MILLION = Figure(
    name="first-million",
    pilots_of="figure-2",
    first_images=15_625,
    images_between=2.0,
    num_stretches=0,
    runs=(
        *_MILLION,
        # Each with the other of the two small steps too, which the pilots seldom tell from the one
        # that they choose.
        *(
            replace(run, learning_rate=_other_step(run.algorithm, run.latent_dim))
            for run in _MILLION
        ),
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
FIGURE_3_FULL = replace(
    FIGURE_3,
    name="figure-3-full",
    first_images=19_200,  # five times as many in every row, so that the last is the end
    images_between=5.0,
    runs=tuple(
        replace(run, study="figure-3-full", epochs=60_000_000 // run.num_train)
        for run in FIGURE_3.runs
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
