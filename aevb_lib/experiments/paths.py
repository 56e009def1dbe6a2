"""The study ``paths``: what lies between two digits, in codes and in a cross-fade."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from aevb_lib.data import ImageSet
from aevb_lib.experiments.codes import MeasuredCodes
from aevb_lib.experiments.trained import LATENT_DIMENSION
from aevb_lib.latents import interpolate
from aevb_lib.models import VAE, Autoencoder
from aevb_lib.sample_quality import FeatureCloud, Judge

__all__ = ["PATHS", "PATH_SETTINGS", "MeasuredPaths", "measure_paths"]

# Everything that decides the numbers, beside the model; see CODE_SETTINGS.
PATH_SETTINGS: dict[str, Any] = {
    "steps": 9,  # pictures of a path, its two ends included
    "pairs": 2_500,  # of test images that are not in the cloud; those of one digit are left out
}
SHARES = ("precision", "third_digit")


@dataclass(frozen=True, kw_only=True)
class MeasuredPaths(MeasuredCodes):
    """A study that measures the straight lines between codes of kept models."""

    def measure(
        self, model: VAE | Autoencoder, train: ImageSet, test: ImageSet, judge: Judge, seed: int
    ) -> dict[str, Any]:
        """Return what :func:`measure_paths` measures."""
        return measure_paths(model, test, judge, self.settings, seed=seed)

    def shares(self, final: Mapping[str, Any]) -> list[float]:
        """Return all measurements that are shares of images, in a fixed order."""
        ways = [final[way] for way in ("path", "own_fade", "fade")]
        return [value for way in ways for name in SHARES for value in way[name]]


@torch.no_grad()
def measure_paths(
    model: VAE | Autoencoder,
    test: ImageSet,
    judge: Judge,
    settings: Mapping[str, Any] = PATH_SETTINGS,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure paths between two images of different digits, and their rivals.

    Three ways lead from one image to the other: the decoded straight line between the two codes
    (``path``); a cross-fade, which is the straight line between pixels, of the model's own
    reconstructions (``own_fade``), which has the same two ends; and a cross-fade of the images
    themselves (``fade``). Every other test image makes the cloud of real images; pairs are drawn
    from the rest, each image at most once.

    Args:
        model: The model.
        test: Labeled test images.
        judge: Judge of the pictures on the way.
        settings: See :data:`PATH_SETTINGS`.
        seed: Decides the pairs.

    Returns:
        ``settings``; ``pairs``, the number of pairs of different digits; and for each way, with one
        value per step: ``precision``, the share of pictures inside the cloud of real ones;
        ``third_digit``, the share that the judge takes for a digit of neither end; ``confidence``,
        the average probability of the digit that it sees. Beside them ``gain``, by how much the
        path has more of each than the fade of its own reconstructions, on average between the ends,
        and ``gain_error``, its standard error over pairs.
    """
    cloud = FeatureCloud(judge.features(test.images[::2]))
    generator = torch.Generator().manual_seed(seed)
    rest = test[1::2]
    drawn = torch.randperm(len(rest), generator=generator)[: 2 * settings["pairs"]]
    starts, ends = drawn[: len(drawn) // 2 * 2].view(2, -1)
    differ = rest.labels[starts] != rest.labels[ends]
    pairs = rest.images[starts[differ]], rest.images[ends[differ]]
    labels = rest.labels[starts[differ]], rest.labels[ends[differ]]
    codes = [model.encode(images) for images in pairs]
    made = [model.decode(z) for z in codes]
    steps = settings["steps"]
    ways: dict[str, Iterable[Tensor]] = {
        "path": [model.decode(z) for z in interpolate(codes[0], codes[1], steps)],
        "own_fade": interpolate(made[0], made[1], steps),
        "fade": interpolate(pairs[0], pairs[1], steps),
    }

    def judged(images: Tensor) -> Tensor:
        features = judge.features(images)
        sure, seen = judge.head(features).softmax(-1).max(-1)
        third = (seen != labels[0]) & (seen != labels[1])
        return torch.stack([cloud.covers(features).double(), third.double(), sure.double()])

    names = (*SHARES, "confidence")
    found = {way: torch.stack([judged(step) for step in made]) for way, made in ways.items()}
    final = {"settings": dict(settings), "pairs": int(differ.sum())} | {
        way: dict(zip(names, values.mean(-1).T.tolist(), strict=True))
        for way, values in found.items()
    }
    between = (found["path"] - found["own_fade"])[1:-1].mean(0)  # [names, pairs]
    error = between.std(-1) / between.shape[-1] ** 0.5
    final["gain"] = dict(zip(names, between.mean(-1).tolist(), strict=True))
    final["gain_error"] = dict(zip(names, error.tolist(), strict=True))
    return final


PATHS = MeasuredPaths(
    name="paths",
    runs=tuple(
        replace(run, study="paths") for run in LATENT_DIMENSION.runs if run.latent_dim == 20
    ),
    unit="of the images",
    tolerance=0.01,
    models=LATENT_DIMENSION,
    settings=PATH_SETTINGS,
)
