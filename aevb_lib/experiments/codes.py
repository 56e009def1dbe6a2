"""The study ``codes``: what the codes of every recorded model know, make, and withstand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aevb_lib.data import ImageSet, load_mnist
from aevb_lib.experiments.studies import Run, weights_folder
from aevb_lib.latents import fit_mixture, linear_accuracy, neighbor_accuracy
from aevb_lib.models import VAE, Autoencoder
from aevb_lib.noise import noise_curve
from aevb_lib.pretrained import load_judge, load_pretrained
from aevb_lib.randomness import seed_everything
from aevb_lib.sample_quality import FeatureCloud, Judge, sample_quality

__all__ = ["CODE_SETTINGS", "measure_codes", "random_codes", "trained_run"]

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


def trained_run(run: Run) -> Run:
    """Return the run that trained the model which ``run`` measures."""
    return replace(run, study="latent-dimension")


def random_codes(num: int, latent_dim: int) -> Tensor:
    r"""Draw codes as the report did: first random :math:`\mu` and :math:`\sigma`, then the code.

    The report does not say from which distributions. Here :math:`\mu_j \sim \mathcal N(0, 1)`, the
    prior, and :math:`\sigma_j` is uniform on [0, 1], the range in which a trained encoder's lie.

    Args:
        num: Codes to draw.
        latent_dim: D.

    Returns:
        Codes, shape ``[num, D]``.

    Example:
        >>> random_codes(3, 20).shape
        torch.Size([3, 20])
    """
    mu, sigma = torch.randn(num, latent_dim), torch.rand(num, latent_dim)
    return torch.addcmul(mu, sigma, torch.randn(num, latent_dim))


def measure_codes(run: Run, folder: Path | None = None) -> dict[str, Any]:
    """Measure the codes of one trained model; it must have been recorded on this machine.

    Args:
        run: A run of the study ``codes``.
        folder: See :func:`aevb_lib.experiments.record`.

    Returns:
        ``settings``; ``classes`` with the accuracies of both classifiers; ``generation`` with a
        :class:`aevb_lib.sample_quality.SampleQuality` per way of generating; ``noise`` with a
        :class:`aevb_lib.noise.NoiseCurve` per unit of noise.

    Raises:
        FileNotFoundError: If the weights of that model are not here.
    """
    trained = trained_run(run)
    model = load_pretrained(
        run.model,
        run.latent_dim,
        hidden_dim=run.hidden_dim,
        folder=weights_folder(trained, folder),
    )
    train, test = load_mnist(regime=run.regime)
    train = train.take(min(CODE_SETTINGS["labeled"], len(train)))
    judge = load_judge()
    seed_everything(run.seed)
    with torch.no_grad():
        codes, test_codes = model.encode(train.images), model.encode(test.images)
        images = _generate(model, codes, run.seed)
    real = test.images[:: max(1, len(test) // CODE_SETTINGS["generated"])]
    return {
        "settings": CODE_SETTINGS,
        "classes": {
            "neighbors": neighbor_accuracy(codes, train.labels, test_codes, test.labels),
            "linear": linear_accuracy(codes, train.labels, test_codes, test.labels),
        },
        "generation": {
            way: sample_quality(judge, real, made)._asdict() for way, made in images.items()
        },
        "noise": _noise(model, codes, test, judge, run.seed),
    }


def _generate(model: VAE | Autoencoder, codes: Tensor, seed: int) -> dict[str, Tensor]:
    """Images made in each of the ways that the chapter on generation compares."""
    num, latent_dim = CODE_SETTINGS["generated"], model.latent_dim
    mixture = fit_mixture(codes, CODE_SETTINGS["components"], seed=seed)
    ways = {
        "random": random_codes(num, latent_dim),
        "prior": torch.randn(num, latent_dim),
        "normal": fit_mixture(codes).sample((num,)),
        "mixture": mixture.sample((num,)),
    }
    return {way: model.decode(z) for way, z in ways.items()}


def _noise(
    model: VAE | Autoencoder, codes: Tensor, test: ImageSet, judge: Judge, seed: int
) -> dict[str, Any]:
    every = CODE_SETTINGS["every"]
    disturbed = ImageSet(test.images[::every], test.labels[::every])
    others = torch.arange(len(test)) % every > 0
    cloud = FeatureCloud(judge.features(test.images[others]))
    units = {"own": codes.std(0), "absolute": torch.ones(model.latent_dim)}
    return {
        name: noise_curve(
            model, disturbed, judge, cloud, CODE_SETTINGS[f"{name}_scales"], unit=unit, seed=seed
        )._asdict()
        for name, unit in units.items()
    }
