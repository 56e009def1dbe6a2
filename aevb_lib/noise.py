"""Robustness of codes: images decoded from disturbed codes, measured by a judge and by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aevb_lib.data import ImageSet
from aevb_lib.latents import add_noise
from aevb_lib.modes import evaluation_mode
from aevb_lib.sample_quality import FeatureCloud, Judge, confidence
from aevb_lib.types import Codec

__all__ = ["NoiseCurve", "crossing", "noise_curve"]


class NoiseCurve(NamedTuple):
    """Measures of images decoded from disturbed codes; each list has one number per scale.

    Attributes:
        scales: Scales s of the noise, in the unit of the curve.
        accuracy: Share of decoded images that the judge still takes for the original's digit.
        precision: Share of decoded images that look like *some* real digit, see
            :class:`aevb_lib.sample_quality.FeatureCloud`.
        confidence: The judge's average confidence, whatever it sees.
        squared_error: Mean squared difference from the original image, per pixel.
    """

    scales: list[float]
    accuracy: list[float]
    precision: list[float]
    confidence: list[float]
    squared_error: list[float]


@torch.no_grad()
def noise_curve(
    codec: Codec,
    data: ImageSet,
    judge: Judge,
    cloud: FeatureCloud,
    scales: Sequence[float],
    *,
    unit: float | Float[Tensor, " D"] = 1.0,
    seed: int = 0,
) -> NoiseCurve:
    r"""Disturb codes, decode them and measure: :math:`z + s\,u \odot \epsilon`, normal noise.

    The unit u decides what is compared. With 1, every model is disturbed by the same noise, however
    large its codes are. With ``codes.std(0)``, each dimension of each model is disturbed in
    proportion to its own spread.

    Args:
        codec: Anything with ``encode`` and ``decode``.
        data: Labeled images, on the codec's device.
        judge: A trained judge, in evaluation mode.
        cloud: Judge's features of real images.
        scales: Values of s.
        unit: Standard deviation u of the noise at s = 1.
        seed: Seed of the noise. The same noise is scaled for all s, so the curve is smooth in s.

    Returns:
        The curve.

    Raises:
        ValueError: If there are no scales, one is negative or not finite, or an image has no
            label.
        RuntimeError: If the judge is in training mode.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.Autoencoder(aevb.MLP(784, 2), aevb.BernoulliMLP(2, 784))
        >>> data = aevb.ImageSet(torch.rand(20, 784), torch.zeros(20, dtype=torch.int64))
        >>> judge = Judge().eval()
        >>> cloud = FeatureCloud(judge.features(data.images))
        >>> len(noise_curve(model, data, judge, cloud, [0.0, 1.0]).accuracy)
        2
    """
    if not scales or not all(0 <= scale < float("inf") for scale in scales):
        raise ValueError(f"scales of noise are numbers from 0, at least one, got {list(scales)}")
    if data.labels.min() < 0:
        raise ValueError(
            "the judge's answers are compared with labels, but some images have none: "
            "make the data with ImageSet(images, labels)"
        )
    with evaluation_mode(codec):
        codes = codec.encode(data.images)
    curve = NoiseCurve(list(scales), [], [], [], [])
    for scale in scales:
        generator = torch.Generator("cpu").manual_seed(seed)
        with evaluation_mode(codec):
            images = codec.decode(add_noise(codes, scale * unit, generator=generator))
        features = judge.features(images)
        probabilities = judge.head(features).softmax(-1)
        correct = probabilities.argmax(-1) == data.labels
        curve.accuracy.append(float(correct.cpu().double().mean()))
        curve.precision.append(float(cloud.covers(features).cpu().double().mean()))
        curve.confidence.append(confidence(probabilities))
        curve.squared_error.append(float((images - data.images).square().cpu().double().mean()))
    return curve


def crossing(along: Sequence[float], falling: Sequence[float], level: float = 0.5) -> float:
    """Return where a falling curve, known at some points, reaches a level; linear in between.

    Of a curve that falls unsteadily, it is the first place: what rises again is cut off.

    Args:
        along: Values of the curve's parameter, such as the scales of a :class:`NoiseCurve`, or
            another of its measures.
        falling: Values of the curve, such as its accuracy; as many.
        level: Level to reach.

    Returns:
        The value of ``along`` there. The first or last one if the level lies outside the curve.

    Raises:
        ValueError: If there is no point, there are not as many of one as of the other, or one is
            not a finite number.

    Example:
        >>> crossing([0.0, 1.0, 2.0], [1.0, 0.6, 0.2])
        1.25
    """
    points, values = (np.asarray(each, dtype=np.float64) for each in (along, falling))
    if not points.shape == values.shape == (points.size,) or points.size == 0:
        raise ValueError(
            f"a curve has one value per point, at least one, got shapes {list(values.shape)} of "
            f"values and {list(points.shape)} of points"
        )
    if not (np.isfinite(points).all() and np.isfinite(values).all()):
        raise ValueError("points and values of a curve must be finite numbers: look for nan")
    return float(np.interp(-level, -np.minimum.accumulate(values), points))
