"""The paper's figure 3, run again: the studies ``likelihood-race`` and ``mcem-variants``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from aevb_lib.data import ImageSet
from aevb_lib.evidence import ais_log_likelihood, hmc_log_likelihood
from aevb_lib.experiments.comparison import Comparison
from aevb_lib.experiments.recipe import ComparisonRun
from aevb_lib.experiments.results import SEEDS
from aevb_lib.models import LatentVariableModel

__all__ = ["LIKELIHOOD_RACE", "MCEM_VARIANTS", "Race", "VariantRun", "mean_evidence"]


@dataclass(frozen=True)
class VariantRun(ComparisonRun):
    """One run of Monte Carlo EM with moves of a given length.

    Attributes:
        num_leapfrog: Number of leapfrog steps of a move.
    """

    num_leapfrog: int = ComparisonRun.num_leapfrog

    @property
    def kind(self) -> str:
        """Name of its weights: ``mcem-n50000-rate0.1-leapfrog50``; usual moves are not named."""
        usual = self.num_leapfrog == ComparisonRun.num_leapfrog
        return super().kind + ("" if usual else f"-leapfrog{self.num_leapfrog}")


@dataclass(frozen=True, kw_only=True)
class Race(Comparison):
    r"""A comparison that measures the evidence too, which Monte Carlo EM has without an encoder.

    Beside the bound, rows hold :math:`\log p(x)` by the paper's estimator, ``hmc_log_likelihood``,
    and by one that can be trusted, ``annealed_log_likelihood``. The former is in ``final``
    too, on more images; by it the step of Adagrad is chosen.

    Its runs are chaotic: rounding grows, and after one formula had changed, the first rows of AEVB
    and Monte Carlo EM with the step 0.1 differed by up to nine nats, as other seeds would.

    Attributes:
        num_final: Number of images, seen and unseen, that are measured at the end.
        num_temperatures: Number of temperatures of the annealing.
        num_chains: Number of chains of the annealing, per image.
        num_samples: Number of samples of the paper's estimator, for each of its two parts.
        num_warmup: Number of moves before them.
    """

    is_chaotic: bool = True
    first_row: int = 250
    rows_per_doubling: int = 1
    num_images: int = 100
    num_final: int = 1_000
    num_temperatures: int = 100
    num_chains: int = 8
    num_samples: int = 50
    num_warmup: int = 50

    def measure(self, model: LatentVariableModel, data: ImageSet) -> dict[str, float]:
        """Return what a row holds of the first images of a set: the bound, and two evidences."""
        images = data.images[: self.num_images]
        annealed = ais_log_likelihood(
            model, images, num_temperatures=self.num_temperatures, num_chains=self.num_chains
        )
        return super().measure(model, data) | {
            "hmc_log_likelihood": self._hmc(model, images),
            "annealed_log_likelihood": _mean(annealed),
        }

    def early_performance(self, model: LatentVariableModel, train: ImageSet) -> float:
        """Return the evidence of training images by the paper's estimator."""
        return self._hmc(model, train.images[: self.num_images])

    def measure_at_the_end(
        self, run: ComparisonRun, model: LatentVariableModel, train: ImageSet, test: ImageSet
    ) -> dict[str, Any]:
        """Return the paper's estimate on more images, unseen and seen."""
        return {
            "hmc_log_likelihood": self._hmc(model, test.images[: self.num_final]),
            "seen_hmc_log_likelihood": self._hmc(model, train.images[: self.num_final]),
        }

    def _hmc(self, model: LatentVariableModel, images: Tensor) -> float:
        return mean_evidence(
            model, images, num_samples=self.num_samples, num_warmup=self.num_warmup
        )


def mean_evidence(
    model: LatentVariableModel, images: Tensor, *, num_samples: int = 50, num_warmup: int = 50
) -> float:
    """Return log p(x) of some images by the paper's estimator, averaged over them.

    Args:
        model: The model.
        images: The images.
        num_samples: See :func:`aevb_lib.evidence.hmc_log_likelihood`.
        num_warmup: See there.
    """
    return _mean(hmc_log_likelihood(model, images, num_samples=num_samples, num_warmup=num_warmup))


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


# Three seeds turned out to be too few for Monte Carlo EM with many images, so there it has ten, and
# so has AEVB, with which it is compared.
STREAMS = tuple(range(10))


def _race_run(seed: int, num_train: int, algorithm: str) -> ComparisonRun:
    # 8,000 steps of Monte Carlo EM, which are dear, and 32,000 of the others.
    num_images = 100 * (8_000 if algorithm == "mcem" else 32_000)
    return ComparisonRun(
        "likelihood-race",
        "vae",
        latent_dim=3,
        seed=seed,
        hidden_dim=100,
        algorithm=algorithm,
        num_train=num_train,
        epochs=num_images // num_train,
    )


LIKELIHOOD_RACE = Race(
    name="likelihood-race",
    runs=tuple(
        _race_run(seed, num_train, algorithm)
        for seed in STREAMS
        for num_train in (50_000, 1_000)
        for algorithm in ("aevb", "wake-sleep", "mcem")
        if seed in SEEDS[:3] or (num_train == 50_000 and algorithm != "wake-sleep")
    ),
    ships_in="likelihood-race",
)
# The race again for Monte Carlo EM on many images: with the steps of Adagrad that it does not
# choose; and with the one that it does and moves of five times the length, for four epochs.
MCEM_VARIANTS = Race(
    name="mcem-variants",
    runs=tuple(
        VariantRun(
            "mcem-variants",
            "vae",
            latent_dim=3,
            seed=seed,
            hidden_dim=100,
            algorithm="mcem",
            epochs=epochs,
            learning_rate=learning_rate,
            num_leapfrog=num_leapfrog,
        )
        for seed in SEEDS[:3]
        for learning_rate, num_leapfrog, epochs in ((0.02, 10, 16), (0.1, 50, 4), (0.01, 10, 16))
    ),
)
