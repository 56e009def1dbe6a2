"""The study ``densities``: what a mixture makes that is fitted to draws of the VAE's posterior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from aevb_lib.data import ImageSet
from aevb_lib.distributions import standard_normal
from aevb_lib.experiments.codes import CODE_SETTINGS, MeasuredCodes
from aevb_lib.experiments.results import SEEDS
from aevb_lib.experiments.trained import LATENT_DIMENSION
from aevb_lib.latents import fit_mixture
from aevb_lib.models import VAE, Autoencoder
from aevb_lib.randomness import seed_everything
from aevb_lib.sample_quality import FeatureCloud, Judge, sample_quality

__all__ = ["DENSITIES", "MeasuredDensities", "measure_densities"]


@dataclass(frozen=True, kw_only=True)
class MeasuredDensities(MeasuredCodes):
    """A study of the aggregate posterior; its ``final`` is what :func:`measure_densities` returned.

    Its models are VAEs: an autoencoder's codes are points.
    """

    def measure(
        self, model: VAE | Autoencoder, train: ImageSet, test: ImageSet, judge: Judge, seed: int
    ) -> dict[str, Any]:
        """Measure the aggregate posterior of one model."""
        if not isinstance(model, VAE):
            raise TypeError(f"need a VAE, not {type(model).__name__}")
        return measure_densities(model, train, test, judge, self.settings, seed=seed)

    def shares(self, final: Mapping[str, Any]) -> list[float]:
        """Return the measurements that are shares of images, in a fixed order."""
        made = [quality[name] for quality in final["generation"].values() for name in SHARES]
        return [*made, final["holes"]["rare"], *final["holes"]["precision"]]


SHARES = ("precision", "recall")


def measure_densities(
    model: VAE,
    train: ImageSet,
    test: ImageSet,
    judge: Judge,
    settings: Mapping[str, Any],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    r"""Measure how a VAE's prior differs from its aggregate posterior, and what that costs.

    A mixture of normals :math:`\hat q(z)` is fitted to one draw from :math:`q_\phi(z \mid x)` per
    training image. :math:`h(z) = \log \hat q(z) - \log p(z)` is low where the prior draws more
    often than codes occur.

    Args:
        model: The model.
        train: Training images.
        test: Test images. Every second one is what generated images are compared with; codes of
            the others stand for codes of unseen images.
        judge: Judge of generated images.
        settings: ``labeled``, the number of training images; ``generated``, of images per way of
            generating; ``components`` of the mixture.
        seed: Decides everything that is drawn.

    Returns:
        ``settings``; ``generation`` with a :class:`aevb_lib.sample_quality.SampleQuality` of images
        from the ``prior``, from the mixture fitted to ``samples``, and from sampled codes of
        ``unseen`` images; ``holes`` with the ``divergence`` of the prior from the mixture in nats,
        the ``rare`` share of the prior's samples whose h is below that of nine in ten codes of
        unseen images, and the ``precision`` of the prior's images in five equal parts, from the
        lowest h to the highest.
    """
    seed_everything(seed)
    real, others = test.images[::2], test.images[1::2]
    with torch.no_grad():
        known = model.posterior(train.images[: settings["labeled"]]).sample()
        unseen = model.posterior(others).sample()
        mixture = fit_mixture(known, settings["components"], seed=seed)
        prior = torch.randn(settings["generated"], model.latent_dim)
        ways = {"prior": prior, "samples": mixture.sample((len(prior),)), "unseen": unseen}
        images = {way: model.decode(z) for way, z in ways.items()}

    def h(z: Tensor) -> Tensor:
        log_ratio: Tensor = mixture.log_prob(z) - standard_normal(torch.zeros_like(z)).log_prob(z)
        return log_ratio.double()

    cloud = FeatureCloud(judge.features(real))
    looks_real = cloud.covers(judge.features(images["prior"])).double()
    parts = h(prior).argsort().chunk(5)
    return {
        "settings": dict(settings),
        "generation": {
            way: sample_quality(judge, real, made)._asdict() for way, made in images.items()
        },
        "holes": {
            "divergence": -float(h(prior).mean()),
            "rare": float((h(prior) < h(unseen).quantile(0.1)).double().mean()),
            "precision": [float(looks_real[part].mean()) for part in parts],
        },
    }


DENSITIES = MeasuredDensities(
    name="densities",
    runs=tuple(
        replace(run, study="densities")
        for run in LATENT_DIMENSION.runs
        if run.model == "vae" and (run.seed == SEEDS[0] or run.latent_dim in (20, 200))
    ),
    unit="of the images",
    tolerance=0.01,
    models=LATENT_DIMENSION,
    settings={name: CODE_SETTINGS[name] for name in ("labeled", "generated", "components")},
)
