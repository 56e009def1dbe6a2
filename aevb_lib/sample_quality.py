"""Numbers for generated images: how real they look, and how varied they are.

Every number here is relative to a *judge*, a fixed classifier of digits, and means little by
itself: lay the same number for real against real images beside it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from aevb_lib.checks import check_tensors

__all__ = [
    "FeatureCloud",
    "Judge",
    "SampleQuality",
    "class_balance",
    "confidence",
    "frechet_distance",
    "precision_recall",
    "sample_quality",
]

# Larger ones are slower: the judge's feature maps would be fresh pages of memory each time.
BATCH_SIZE = 50


class Judge(nn.Module):
    """A small convolutional classifier of MNIST digits, and the features that it looks at.

    Two convolutions with pooling, one layer of 128 features, ten classes. A trained one ships with
    the package: :func:`aevb_lib.pretrained.load_judge`.

    Example:
        >>> judge = Judge().eval()
        >>> x = torch.rand(5, 784)
        >>> judge(x).shape, judge.features(x).shape
        (torch.Size([5, 10]), torch.Size([5, 128]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Unflatten(-1, (1, 28, 28)),
            *_block(1, 32),
            *_block(32, 64),
            nn.Flatten(1),
            nn.Linear(64 * 7 * 7, 128, bias=False),
            nn.BatchNorm1d(128),
            nn.ReLU(),
        )
        self.head = nn.Linear(128, 10)
        # On a CPU pooling takes four fifths less time where the channels of a pixel lie together.
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "B 10"]:
        """Return the logits of the ten classes."""
        logits: Tensor = self.head(self.body(x))
        return logits

    @torch.no_grad()
    def features(self, x: Float[Tensor, "N P"]) -> Float[Tensor, "N 128"]:
        """Return what the last layer sees of each image; any number of images.

        Raises:
            RuntimeError: If the judge is in training mode.
        """
        self._check_mode()
        return torch.cat([self.body(part) for part in x.split(BATCH_SIZE)])

    @torch.no_grad()
    def probabilities(self, x: Float[Tensor, "N P"]) -> Float[Tensor, "N 10"]:
        """Return the class probabilities of each image; any number of images.

        Raises:
            RuntimeError: If the judge is in training mode.
        """
        self._check_mode()
        return torch.cat([self(part).softmax(-1) for part in x.split(BATCH_SIZE)])

    def _check_mode(self) -> None:
        # Its batch normalization would judge each image by its neighbors, and learn from them.
        if self.training:
            raise RuntimeError("the judge is in training mode: call judge.eval() first")


def frechet_distance(real: Float[Tensor, "N F"], generated: Float[Tensor, "M F"]) -> float:
    r"""Return the squared Fréchet distance between normals fitted to two clouds of features.

    .. math:: \|\mu_r - \mu_g\|^2 + \mathrm{tr}\bigl(\Sigma_r + \Sigma_g
        - 2 (\Sigma_r^{1/2} \Sigma_g \Sigma_r^{1/2})^{1/2}\bigr)

    Heusel et al. (2017) use the features of an Inception network and call it FID; with the judge's
    features the scale is another one. It shrinks as clouds grow: compare equal sizes only.

    Args:
        real: Features of real images, one row per image.
        generated: Features of generated images.

    Returns:
        The distance; 0 for equal means and covariances, smaller is better.

    Raises:
        ValueError: If a cloud has fewer than two rows, the clouds differ in width, or a feature is
            not a finite number.

    Example:
        >>> x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
        >>> print(f"{frechet_distance(x, x + 2.0):.3f}")  # 2 apart in each of 3 dimensions
        12.000
    """
    _check_widths(real, generated)
    if min(len(real), len(generated)) < 2:
        raise ValueError("need at least two images on each side to fit a covariance")
    if not (real.isfinite().all() and generated.isfinite().all()):
        raise ValueError("features must be finite numbers: look for nan in the images")
    real, generated = real.cpu().double(), generated.cpu().double()
    # torch.cov makes a number, not a matrix, of a single feature.
    covariance_r, covariance_g = (torch.atleast_2d(torch.cov(x.T)) for x in (real, generated))
    values, vectors = torch.linalg.eigh(covariance_r)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # Rounding can leave eigenvalues of this positive semidefinite matrix just below zero.
    cross = torch.linalg.eigvalsh(root @ covariance_g @ root).clamp(min=0).sqrt().sum()
    mean_part = (real.mean(0) - generated.mean(0)).square().sum()
    return max(0.0, float(mean_part + covariance_r.trace() + covariance_g.trace() - 2 * cross))


class FeatureCloud:
    """The region of feature space that examples cover (Kynkäänniemi et al. 2019).

    It is a union of balls around the examples. Each ball reaches from an example to its k-th
    nearest neighbor among the others, so balls are small where examples are dense.

    Args:
        features: Features of the examples, one row per image.
        neighbors: Number k of the neighbor that a ball reaches.

    Raises:
        ValueError: If there are no more examples than ``neighbors``.

    Example:
        >>> cloud = FeatureCloud(torch.arange(10.0)[:, None], neighbors=1)
        >>> cloud.covers(torch.tensor([[4.5], [12.0]]))
        tensor([ True, False])
    """

    def __init__(self, features: Float[Tensor, "N F"], *, neighbors: int = 3) -> None:
        check_tensors(features=features)
        if not 1 <= neighbors < len(features):
            raise ValueError(
                f"need at least one neighbor and more than {neighbors} images on each side"
            )
        self.features = features.to(torch.promote_types(features.dtype, torch.float32))
        # The nearest neighbor of a point in its own cloud is itself, hence one more.
        self.radii = torch.cat(
            [
                self._distances(part).topk(neighbors + 1, dim=1, largest=False).values[:, -1]
                for part in self.features.split(BATCH_SIZE)
            ]
        )

    def covers(self, points: Float[Tensor, "M F"]) -> Bool[Tensor, " M"]:
        """Return which points are inside at least one ball."""
        _check_widths(self.features, points)
        points = points.to(self.features.dtype)
        inside = [(self._distances(part) <= self.radii).any(1) for part in points.split(BATCH_SIZE)]
        return torch.cat(inside)

    def _distances(self, points: Tensor) -> Tensor:
        # Squares and products of far-away points cancel, so the cloud goes to the origin first; and
        # on a GPU, which may round products to ten bits, differences are squared instead.
        center = self.features.mean(0)
        mode = ("use_mm_for_euclid_dist_if_necessary", "donot_use_mm_for_euclid_dist")
        return torch.cdist(
            points - center, self.features - center, compute_mode=mode[points.is_cuda]
        )


def precision_recall(
    real: Float[Tensor, "N F"], generated: Float[Tensor, "M F"], *, neighbors: int = 3
) -> tuple[float, float]:
    """Return the share of generated images that look real, and of real ones that are covered.

    *Precision* is the share of generated points inside the real :class:`FeatureCloud`, *recall* the
    share of real points inside the generated one (Kynkäänniemi et al. 2019).

    Args:
        real: Features of real images.
        generated: Features of generated images, as many as real ones for a fair comparison.
        neighbors: Number k of the neighbor that a ball reaches.

    Returns:
        Precision and recall, each in [0, 1], larger is better.

    Raises:
        ValueError: If a cloud has no more points than ``neighbors``, or the clouds differ in width.

    Example:
        >>> x = torch.arange(10.0)[:, None]
        >>> precision_recall(x, torch.cat([x[:5], x[:5] + 100]), neighbors=1)
        (0.5, 0.6)
    """
    _check_widths(real, generated)
    clouds = [FeatureCloud(features, neighbors=neighbors) for features in (real, generated)]
    precision, recall = clouds[0].covers(generated), clouds[1].covers(real)
    return float(precision.cpu().double().mean()), float(recall.cpu().double().mean())


def confidence(probabilities: Float[Tensor, "N K"]) -> float:
    """Return the average probability of the likeliest class; 1 if the judge is always sure.

    Example:
        >>> confidence(torch.tensor([[0.75, 0.25], [0.5, 0.5]]))
        0.625
    """
    check_tensors(probabilities=probabilities)
    if len(probabilities) == 0:
        raise ValueError("need the probabilities of at least one image")
    return float(probabilities.max(-1).values.cpu().double().mean())


def class_balance(labels: Int[Tensor, " N"], num_classes: int = 10) -> float:
    r"""Return the entropy of the class frequencies as a share of its maximum.

    Args:
        labels: Class of each image.
        num_classes: Number of classes.

    Returns:
        1 if all classes are equally frequent, 0 if there is only one.

    Raises:
        ValueError: If there is no label, or one that is no class.

    Example:
        >>> class_balance(torch.arange(10)), class_balance(torch.zeros(10, dtype=torch.int64))
        (1.0, 0.0)
    """
    check_tensors(labels=labels)
    if labels.ndim != 1 or len(labels) == 0 or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"need labels from 0 to {num_classes - 1}, at least one")
    shares = torch.bincount(labels, minlength=num_classes).cpu().double() / len(labels)
    entropy = torch.special.entr(shares).sum()
    return round(float(entropy / torch.tensor(num_classes).double().log()), 12)


class SampleQuality(NamedTuple):
    """Measures of generated images, compared with real ones in the features of a judge.

    Attributes:
        frechet: :func:`frechet_distance` in the judge's features; 0 is best.
        precision: Share of generated images that look real, see :func:`precision_recall`.
        recall: Share of real images that the generated ones come close to.
        confidence: See :func:`confidence`.
        balance: :func:`class_balance` of the classes that the judge sees.
    """

    frechet: float
    precision: float
    recall: float
    confidence: float
    balance: float


@torch.no_grad()
def sample_quality(
    judge: Judge, real: Float[Tensor, "N P"], generated: Float[Tensor, "M P"]
) -> SampleQuality:
    """Return all numbers of this module for generated images.

    Args:
        judge: A trained judge, :func:`aevb_lib.pretrained.load_judge`.
        real: Real images that no model was trained on.
        generated: Generated images, as many as real ones for a fair comparison.

    Returns:
        Five numbers. For the floor, the best that can be asked for, pass other real images as
        ``generated``.

    Raises:
        ValueError: If there are too few images on a side.

    Example:
        >>> judge = Judge().eval()
        >>> x = torch.rand(50, 784)
        >>> sample_quality(judge, x, x).precision
        1.0
    """
    features = [judge.features(images) for images in (real, generated)]
    probabilities = judge.head(features[1]).softmax(-1)
    return SampleQuality(
        frechet_distance(*features),
        *precision_recall(*features),
        confidence(probabilities),
        class_balance(probabilities.argmax(-1)),
    )


def _block(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]


def _check_widths(real: Tensor, generated: Tensor) -> None:
    check_tensors(real=real, generated=generated)
    if real.ndim != 2 or real.shape[1:] != generated.shape[1:]:
        raise ValueError(
            f"both sides need the same features, got shapes {list(real.shape)} and "
            f"{list(generated.shape)}"
        )
