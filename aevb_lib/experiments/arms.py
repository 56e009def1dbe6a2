r"""The study ``noise-arms``: which part of a VAE's training makes its decoder withstand noise.

The bound asks for two things that an autoencoder is not asked for: images are reconstructed from
disturbed codes, and codes are charged for the KL divergence. Each arm trains with one of the two,
with both, or with neither. All but one go on from a trained model, with a new Adam; the last trains
an autoencoder from scratch, for a comparison at equal reconstruction.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from aevb_lib.ascent import ascend
from aevb_lib.distributions import kl_divergence
from aevb_lib.evaluation import mean_point_log_likelihood
from aevb_lib.experiments.provenance import provenance
from aevb_lib.experiments.results import SEEDS, Result
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.experiments.study import Study, VerificationError
from aevb_lib.experiments.trained import LATENT_DIMENSION, TrainedModels, TrainedRun
from aevb_lib.history import History
from aevb_lib.models import VAE, Autoencoder
from aevb_lib.noise import crossing, noise_curve
from aevb_lib.objectives import point_log_likelihood, sgvb_b
from aevb_lib.randomness import seed_everything
from aevb_lib.sample_quality import FeatureCloud
from aevb_lib.stacking import apply
from aevb_lib.training import fit
from aevb_lib.types import Batch

__all__ = ["ARMS", "NOISE_ARMS", "Arm", "ArmRun", "Ascent", "NoiseArms"]

# Everything that decides the numbers, beside the model and its objective. Written into each record.
# Noise of an autoencoder is a share of its codes' spread: what the VAE's standard deviations are of
# the spread of its mean codes. Noise is measured on every tenth test image; half of the digits are
# lost within these scales, in own units.
SETTINGS: dict[str, Any] = {
    "noise_share": 0.35,
    "every": 10,
    "scales": [0.5, 0.75, 1.0, 1.25, 1.5, 2.0],
}

Objective = Callable[[Any, Tensor], Tensor]


def disturbed(model: Autoencoder, x: Float[Tensor, "B P"]) -> Float[Tensor, " B"]:
    """Return the log-likelihood at disturbed codes; their unit is their spread in the batch."""
    z = model.encode(x)
    noisy = z + SETTINGS["noise_share"] * z.std(0) * torch.randn_like(z)
    return model.likelihood(noisy).log_prob(x)


def short_codes(model: Autoencoder, x: Float[Tensor, "B P"]) -> Float[Tensor, " B"]:
    """Return the log-likelihood, less half the squared length of the code."""
    z = model.encode(x)
    return model.likelihood(z).log_prob(x) - z.square().sum(-1) / 2


def bound(model: VAE, x: Float[Tensor, "B P"]) -> Float[Tensor, " B"]:
    """Return the bound, as it is."""
    return sgvb_b(model, x).bound


def without_noise(model: VAE, x: Float[Tensor, "B P"]) -> Float[Tensor, " B"]:
    """Return the bound with the log-likelihood at the mean code."""
    q = model.posterior(x)
    return model.likelihood(q.mean).log_prob(x) - kl_divergence(q, model.prior())


def without_kl(model: VAE, x: Float[Tensor, "B P"]) -> Float[Tensor, " B"]:
    """Return the log-likelihood at a sampled code, free of charge."""
    return sgvb_b(model, x).log_likelihood


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        model: ``"vae"`` or ``"autoencoder"``.
        objective: Function that is maximized, of model and images, with one value per image.
        epochs: Number of passes over the training images.
        is_new: Whether the model starts from scratch, instead of from the trained one.
    """

    model: str
    objective: Objective
    epochs: int = 5
    is_new: bool = False


#: The arms by name.
ARMS = {
    "no-noise": Arm("autoencoder", point_log_likelihood),
    "noise": Arm("autoencoder", disturbed),
    "l2": Arm("autoencoder", short_codes),
    "noise-and-kl": Arm("vae", bound),
    "kl-without-noise": Arm("vae", without_noise),
    "noise-without-kl": Arm("vae", without_kl),
    "scratch": Arm("autoencoder", point_log_likelihood, epochs=8, is_new=True),
}


@dataclass(frozen=True)
class ArmRun(TrainedRun):
    """One training in one arm.

    Attributes:
        arm: Name of the arm, a key of :data:`ARMS`.
    """

    arm: str = "noise"

    @property
    def kind(self) -> str:
        """Model and arm."""
        return f"{self.model}-{self.arm}"

    @property
    def name(self) -> str:
        """File name of the result, without ending: ``autoencoder-noise-d020-seed0``."""
        return f"{self.kind}-d{self.latent_dim:03d}-seed{self.seed}"


class Ascent:
    """Gradient ascent on any objective with one value per image.

    Args:
        model: The model to train.
        optimizer: Any torch optimizer over its parameters.
        objective: Function of model and images, shape ``[B, P]``, with one value per image.
    """

    def __init__(
        self, model: VAE | Autoencoder, optimizer: Optimizer, objective: Objective
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.objective = objective

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Update all parameters once; return the ``objective`` before, averaged over the batch."""
        value = apply(self.objective, self.model, batch.images).mean(-1)
        ascend(value, self.optimizer)
        return {"objective": value.detach()}


@dataclass(frozen=True, kw_only=True)
class NoiseArms(Study[ArmRun]):
    """A study that trains models in several ways and measures what noise does to their codes.

    All arms but the one from scratch go on from the same two models, those of the first seed, which
    ship. So a seed decides order and noise of what is trained here, and of the arm from scratch its
    weights.

    The history of a result has a row after half an epoch, after one, and at the end; from scratch
    one per epoch. On test images: ``point_log_likelihood``; ``spread``, the average over dimensions
    of the codes' standard deviation; ``lost``, the scale of noise in own units at which the judge
    recognizes half of the digits; ``precision``, the share of pictures there that look like some
    digit; of a VAE ``sigma``, the average standard deviation of its posteriors.

    Attributes:
        models: Study of the models from which the arms go on.
    """

    models: TrainedModels

    def do(self, run: ArmRun, store: Store) -> Result[ArmRun]:
        """Train in one arm, and return what happened."""
        started = time.perf_counter()
        history = self._train(run, store, run.epochs)
        origin = provenance(time.perf_counter() - started, store.device)
        return Result(run, history, {"settings": SETTINGS}, origin)

    def redo(self, result: Result[ArmRun], store: Store = ASSETS, *, epochs: int = 1) -> float:
        """Train the first epochs again; return the largest difference of the reconstruction."""
        if result.final["settings"] != SETTINGS:
            raise VerificationError(
                f"{result.run.name} was measured with other settings than the code has now; "
                "remove the file and record it again"
            )
        if not 1 <= epochs <= result.run.epochs:
            raise VerificationError(
                f"cannot verify {epochs} epochs: {result.run.epochs} are recorded"
            )
        (history,) = self.train_again([result.run], store, epochs=epochs)
        recorded = {row.step: row.metrics["point_log_likelihood"] for row in result.history}
        return max(
            abs(row.metrics["point_log_likelihood"] - recorded[row.step])
            for row in history
            if row.step in recorded
        )

    def train_again(self, runs: Sequence[ArmRun], store: Store, *, epochs: int) -> list[History]:
        """Train the first epochs of runs."""
        return [self._train(run, store, epochs) for run in runs]

    def new_model(self, run: ArmRun, generator: torch.Generator | None = None) -> VAE | Autoencoder:
        """Return the untrained model of a run."""
        return self.models.new_model(run, generator)

    def _train(self, run: ArmRun, store: Store, epochs: int) -> History:
        arm = ARMS[run.arm]
        train, test = store.images(run.regime)
        generator = seed_everything(run.seed)
        if arm.is_new:
            model = self.new_model(run, generator).to(store.device)
        else:
            model = self.models.load_or_train(self._start(run), store).to(store.device)
            generator = seed_everything(run.seed)
        others, scales = torch.arange(len(test)) % 5 > 0, SETTINGS["scales"]
        judge = store.load_judge().to(store.device)
        cloud = FeatureCloud(judge.features(test.images[others.to(store.device)][::2]))

        @torch.no_grad()
        def measured(model: VAE | Autoencoder) -> dict[str, float]:
            spread = model.encode(train.images[:20_000]).std(0)
            curve = noise_curve(
                model, test[:: SETTINGS["every"]], judge, cloud, scales, unit=spread
            )
            metrics = {
                "point_log_likelihood": mean_point_log_likelihood(model, test),
                "spread": float(spread.mean()),
                "lost": crossing(scales, curve.accuracy),
                "precision": crossing(curve.precision, curve.accuracy),
            }
            if isinstance(model, VAE):
                metrics["sigma"] = float(model.posterior(test.images).stddev.mean())
            return metrics

        optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate, fused=True)
        batches = train.batches(run.batch_size, generator=generator)
        steps = len(batches)
        early = range(steps, steps * epochs, steps) if arm.is_new else (math.ceil(steps / 2), steps)
        history = fit(
            Ascent(model, optimizer, arm.objective),
            batches,
            epochs=epochs,
            evaluate=measured,
            record_at=sorted({*early, steps * epochs}),
            progress=False,
        )
        if history.interrupted:
            raise KeyboardInterrupt
        return history

    def _start(self, run: ArmRun) -> TrainedRun:
        """The run that trained the model from which a run goes on."""
        return next(
            start
            for start in self.models.runs
            if (start.model, start.latent_dim, start.seed) == (run.model, run.latent_dim, SEEDS[0])
        )


# Seed by seed over all arms, so that what is recorded early can be compared.
NOISE_ARMS = NoiseArms(
    name="noise-arms",
    runs=tuple(
        ArmRun("noise-arms", arm.model, 20, seed, epochs=arm.epochs, arm=name)
        for seed in SEEDS
        for name, arm in ARMS.items()
    ),
    models=LATENT_DIMENSION,
)
