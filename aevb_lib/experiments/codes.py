"""The study ``codes``: what the codes of every recorded model know, make, and withstand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from aevb_lib.data import ImageSet
from aevb_lib.experiments.provenance import provenance
from aevb_lib.experiments.results import Result
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.experiments.study import Study, VerificationError
from aevb_lib.experiments.trained import LATENT_DIMENSION, TrainedModels, TrainedRun
from aevb_lib.history import History
from aevb_lib.latents import fit_mixture, linear_accuracy, neighbor_accuracy, random_codes
from aevb_lib.models import VAE, Autoencoder
from aevb_lib.noise import noise_curve
from aevb_lib.randomness import seed_everything
from aevb_lib.sample_quality import FeatureCloud, Judge, sample_quality

__all__ = [
    "CODES",
    "CODE_SETTINGS",
    "MeasuredCodes",
    "generate_images",
    "measure_codes",
    "measured_shares",
]

# Everything that decides the numbers, beside the model. Written into each record, so a record made
# with other settings is noticed.
CODE_SETTINGS: dict[str, Any] = {
    "labeled": 20_000,  # training images whose codes teach the classifiers and the densities
    "generated": 5_000,  # images per way of generating, against as many real ones
    "components": 10,  # normals in the mixture
    "every": 5,  # of the test images that are disturbed: every fifth, so both of their halves
    "own_scales": [0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0],
    "absolute_scales": [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0],
}
SHARES = ("recall", "precision", "accuracy")


@dataclass(frozen=True, kw_only=True)
class MeasuredCodes(Study[TrainedRun]):
    """A study that trains nothing: it measures the kept weights of another one, on the CPU.

    The history of a result is empty; its ``final`` is what :meth:`measure` returned.

    Attributes:
        models: Study whose models are measured, each by a run with the same fields.
        settings: Everything else that decides the numbers; see :data:`CODE_SETTINGS`.
    """

    models: TrainedModels
    settings: Mapping[str, Any]

    def do(self, run: TrainedRun, store: Store) -> Result[TrainedRun]:
        """Measure the codes of a model; train it first if it was recorded on another machine."""
        started = time.perf_counter()
        model = self.models.load_or_train(self.trained_run(run), store)
        here = replace(store, device="cpu")  # wherever the model may have been trained
        train, test = here.images(run.regime)
        final = self.measure(model, train, test, here.load_judge(), run.seed)
        return Result(run, History(), final, provenance(time.perf_counter() - started, "cpu"))

    def redo(self, result: Result[TrainedRun], store: Store = ASSETS, *, epochs: int = 1) -> float:
        """Measure again, all of it; return the largest difference of a share of images."""
        if result.final["settings"] != self.settings:
            raise VerificationError(
                f"{result.run.name} was measured with other settings than the code has now; "
                "remove the file and record it again"
            )
        again, recorded = self.shares(self.do(result.run, store).final), self.shares(result.final)
        return max(abs(a - b) for a, b in zip(again, recorded, strict=True))

    def measure(
        self, model: VAE | Autoencoder, train: ImageSet, test: ImageSet, judge: Judge, seed: int
    ) -> dict[str, Any]:
        """Return what :func:`measure_codes` measures, or another study of codes."""
        return measure_codes(model, train, test, judge, self.settings, seed=seed)

    def shares(self, final: Mapping[str, Any]) -> list[float]:
        """Return all measurements that are shares of images, in a fixed order."""
        return measured_shares(final)

    def trained_run(self, run: TrainedRun) -> TrainedRun:
        """Return the run that trained the model which ``run`` measures."""
        return replace(run, study=self.models.name)

    def load_model(self, run: TrainedRun, store: Store = ASSETS) -> VAE | Autoencoder:
        """Return the model that ``run`` measures."""
        model: VAE | Autoencoder = self.models.load_model(self.trained_run(run), store)
        return model


def measure_codes(
    model: VAE | Autoencoder,
    train: ImageSet,
    test: ImageSet,
    judge: Judge,
    settings: Mapping[str, Any] = CODE_SETTINGS,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure the codes of one trained model.

    Args:
        model: The model.
        train: Labeled training images.
        test: Labeled test images.
        judge: Judge of generated and disturbed images.
        settings: See :data:`CODE_SETTINGS`.
        seed: Decides everything that is drawn.

    Returns:
        ``settings``; ``classes`` with the accuracies of both classifiers; ``generation`` with a
        :class:`aevb_lib.sample_quality.SampleQuality` per way of generating; ``noise`` with a
        :class:`aevb_lib.noise.NoiseCurve` per unit of noise.
    """
    train = train[: settings["labeled"]]
    seed_everything(seed)
    with torch.no_grad():
        codes, test_codes = model.encode(train.images), model.encode(test.images)
        images = generate_images(model, codes, settings, seed=seed)
    real = test.images[:: max(1, len(test) // settings["generated"])]
    return {
        "settings": dict(settings),
        "classes": {
            "neighbors": neighbor_accuracy(codes, train.labels, test_codes, test.labels),
            "linear": linear_accuracy(codes, train.labels, test_codes, test.labels),
        },
        "generation": {
            way: sample_quality(judge, real, made)._asdict() for way, made in images.items()
        },
        "noise": _noise(model, codes, test, judge, settings, seed),
    }


def generate_images(
    model: VAE | Autoencoder, codes: Tensor, settings: Mapping[str, Any], *, seed: int
) -> dict[str, Tensor]:
    """Return images made in each of the ways that the chapter on generation compares.

    Args:
        model: The model whose decoder makes them.
        codes: Codes to which densities are fitted, shape ``[N, D]``.
        settings: ``generated``, the number of images per way, and ``components``.
        seed: Decides the mixture's start.
    """
    num, latent_dim = settings["generated"], model.latent_dim
    mixture = fit_mixture(codes, settings["components"], seed=seed)
    ways = {
        "random": random_codes(num, latent_dim),
        "prior": torch.randn(num, latent_dim),
        "normal": fit_mixture(codes).sample((num,)),
        "mixture": mixture.sample((num,)),
    }
    return {way: model.decode(z) for way, z in ways.items()}


def measured_shares(final: Mapping[str, Any]) -> list[float]:
    """Return all measurements of codes that are shares of images, in a fixed order."""
    generated = [made[name] for made in final["generation"].values() for name in SHARES[:2]]
    disturbed = [v for curve in final["noise"].values() for name in SHARES[1:] for v in curve[name]]
    return [*final["classes"].values(), *generated, *disturbed]


def _noise(
    model: VAE | Autoencoder,
    codes: Tensor,
    test: ImageSet,
    judge: Judge,
    settings: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    every = settings["every"]
    others = torch.arange(len(test)) % every > 0
    cloud = FeatureCloud(judge.features(test.images[others]))
    units = {"own": codes.std(0), "absolute": torch.ones(model.latent_dim)}
    return {
        name: noise_curve(
            model, test[::every], judge, cloud, settings[f"{name}_scales"], unit=unit, seed=seed
        )._asdict()
        for name, unit in units.items()
    }


CODES = MeasuredCodes(
    name="codes",
    runs=tuple(replace(run, study="codes") for run in LATENT_DIMENSION.runs),
    unit="of the images",
    tolerance=0.01,
    models=LATENT_DIMENSION,
    settings=CODE_SETTINGS,
)
