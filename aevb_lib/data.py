"""Images in memory: MNIST under its three regimes, and minibatches taken by index.

A data set is one tensor (MNIST: 188 MB) and a minibatch is one ``index_select`` on the device where
the images already are: no per-image transforms, no worker processes.

What a pixel is decides what a log-likelihood means, so the choice has a name, the *regime*, and
numbers from different regimes must not be compared:

* ``"grey"``: intensities in [0, 1] go through the Bernoulli log-likelihood as they are. That is a
  cross-entropy and *not* a likelihood, but it is what most tutorials report.
* ``"static"``: every pixel was drawn once, ``x ~ Bernoulli(intensity)``, with a fixed seed.
* ``"dynamic"``: every training pixel is drawn again each time its image is used.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aevb_lib.archives import default_root, unpack
from aevb_lib.minibatches import Minibatches, SideBySide, binarize
from aevb_lib.types import Batches

__all__ = ["REGIMES", "ImageSet", "load_mnist"]

REGIMES = ("grey", "static", "dynamic")

_STATIC_SEED = 13126114  # any would do; this is the paper's number on arXiv


class ImageSet:
    """Images and their labels, held in memory on one device.

    Args:
        images: Pixels in [0, 1], floating point, shape ``[N, P]``; kept as float32.
        labels: Integer classes, shape ``[N]``; kept as int64. Without labels every image gets -1,
            which no digit can be mistaken for.
        dynamic: Whether :meth:`batches` draws ``x ~ Bernoulli(images)`` anew for every batch.

    Raises:
        TypeError: If ``images`` is not a floating-point tensor, or ``labels`` not an integer one.
        ValueError: If a shape does not fit, or a pixel is outside [0, 1] or not a number.

    Example:
        >>> data = ImageSet(torch.rand(10, 784))
        >>> [tuple(batch.images.shape) for batch in data.batches(4)]
        [(4, 784), (4, 784), (2, 784)]
    """

    images: Float[Tensor, "N P"]
    labels: Int[Tensor, " N"]
    dynamic: bool

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, *, dynamic: bool = False
    ) -> None:
        _check_images(images)
        if labels is None:
            labels = torch.full((len(images),), -1, device=images.device)
        _check_labels(labels, len(images))
        self.images = images.to(torch.float32)
        self.labels = labels.to(images.device, torch.int64)
        self.dynamic = dynamic

    def __len__(self) -> int:
        """Number of images, N."""
        return len(self.images)

    def __getitem__(self, which: slice) -> ImageSet:
        """Return the images of a slice, such as ``data[:1000]`` or ``data[::5]``, without a copy.

        Raises:
            TypeError: If ``which`` is not a slice; one image is ``data.images[i]``.
            ValueError: If no image is left.

        Example:
            >>> ImageSet(torch.rand(10, 784))[::5]
            ImageSet(2 images of 784 pixels on cpu)
        """
        if not isinstance(which, slice):
            raise TypeError(
                f"an ImageSet takes slices, such as data[:1000], not a {type(which).__name__}; "
                "the pixels of one image are data.images[i], its class is data.labels[i]"
            )
        images, labels = self.images[which], self.labels[which]
        if not len(images):
            raise ValueError(f"no image is left of {len(self)} by {which}")
        return self._with(images, labels)

    def __repr__(self) -> str:
        """Summary on one line."""
        count, pixels = self.images.shape
        redrawn = ", redrawn for every batch" if self.dynamic else ""
        return f"ImageSet({count} images of {pixels} pixels on {self.images.device}{redrawn})"

    def take(self, n: int) -> ImageSet:
        """Return the first ``n`` images, without a copy. The paper uses 50,000 and 1,000 of MNIST.

        Raises:
            ValueError: If ``n`` is smaller than 1 or larger than the set.
        """
        if not 1 <= n <= len(self):
            raise ValueError(f"cannot take {n} images: give a number from 1 to {len(self)}")
        return self._with(self.images[:n], self.labels[:n])

    def to(self, device: torch.device | str) -> ImageSet:
        """Return the same images on ``device``; minibatches are then made there.

        Raises:
            RuntimeError: If this machine has no such device.
        """
        if torch.device(device).type == "cuda" and not torch.cuda.is_available():
            raise RuntimeError(
                "torch finds no CUDA GPU here: use "
                'device = "cuda" if torch.cuda.is_available() else "cpu"'
            )
        return self._with(self.images.to(device), self.labels.to(device))

    def _with(self, images: Tensor, labels: Tensor) -> ImageSet:
        # Not through __init__: looking at every pixel again would make a GPU wait for the answer.
        other = copy.copy(self)
        other.images, other.labels = images, labels
        return other

    def batches(
        self,
        size: int,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> Batches:
        """Return minibatches that can be iterated over again and again, one epoch each time.

        Every epoch holds every image once; if ``size`` does not divide N, the last batch is short.
        One seed gives one order on every device. The pixels of a dynamic set are drawn where the
        images are, seeded once per epoch from ``generator``: one seed gives one result on each kind
        of device, another on another kind (torch's generators differ), and no batch waits for it.

        Args:
            size: Number B of images per batch.
            shuffle: Whether each epoch has a fresh random order; otherwise that of storage.
            drop_last: Whether an epoch leaves out its last batch if that is short, as a model with
                batch normalization needs where it would hold one image.
            generator: CPU generator for order and dynamic pixels; torch's global one by default. Or
                a list of S: each then gives the order that it gives alone, and every tensor of a
                batch has a leading axis S, as :func:`aevb_lib.training.fit_each` needs.

        Raises:
            TypeError: If ``size`` is no integer.
            ValueError: If ``size`` is smaller than one, ``drop_last`` leaves no batch, or a
                generator is not on the CPU.

        Example:
            >>> data = ImageSet(torch.eye(3))
            >>> [batch.indices.tolist() for batch in data.batches(2, shuffle=False)]
            [[0, 1], [2]]
        """
        size = operator.index(size)
        if size < 1:
            raise ValueError(f"a batch needs at least one image, but size is {size}")
        if drop_last and size > len(self):
            raise ValueError(f"drop_last leaves no batch: {len(self)} images, {size} per batch")
        if isinstance(generator, Sequence):
            if not generator:
                raise ValueError("there is no generator in the list: give one per learner")
            options = {"shuffle": shuffle, "drop_last": drop_last}
            return SideBySide([self.batches(size, generator=own, **options) for own in generator])
        if generator is not None and generator.device.type != "cpu":
            raise ValueError(
                f"the generator is on {generator.device}, so the order of the images would depend "
                "on the device: make it with torch.Generator()"
            )
        return Minibatches(
            self.images, self.labels, self.dynamic, size, shuffle, drop_last, generator
        )


def load_mnist(
    root: str | Path | None = None, *, regime: str = "grey"
) -> tuple[ImageSet, ImageSet]:
    """Load MNIST: 60,000 training and 10,000 test images of 784 pixels.

    The archives come with this package and are unpacked by :class:`torchvision.datasets.MNIST` the
    first time; nothing is ever downloaded. Several processes may do so at once.

    Args:
        root: Folder for the unpacked files (70 MB). By default the environment variable
            ``AEVB_DATA``, or else ``aevb`` in the user's cache folder.
        regime: ``"grey"``, ``"static"`` or ``"dynamic"``, as described at the top of this module.
            The test images of ``"dynamic"`` are those of ``"static"``, so that an evaluation can be
            repeated.

    Returns:
        The training and the test set. Training on the test set is not an experiment.

    Raises:
        ValueError: If the regime is unknown.
        OSError: If the files cannot be unpacked into ``root``; nothing half-written stays there.
        FileNotFoundError: If the archives are not in the installed package.
        RuntimeError: If an archive in the installed package is damaged.

    Example:
        >>> train, test = load_mnist(regime="static")
        >>> train, len(test)
        (ImageSet(60000 images of 784 pixels on cpu), 10000)
    """
    from torchvision.datasets import MNIST  # heavy: `import aevb_lib` stays light without it

    if regime not in REGIMES:
        raise ValueError(f"unknown regime {regime!r}; there are: {', '.join(REGIMES)}")
    root = default_root() if root is None else Path(root).expanduser()
    unpack(root)
    sets = []
    for split in ("train", "test"):
        mnist = MNIST(root, train=split == "train", download=True)  # finds all there, even offline
        images = mnist.data.flatten(1).float().div_(255)
        if regime == "static" or (regime == "dynamic" and split == "test"):
            seed = _STATIC_SEED + (split == "test")
            images = binarize(images, generator=torch.Generator().manual_seed(seed))
        dynamic = regime == "dynamic" and split == "train"
        sets.append(ImageSet(images, mnist.targets, dynamic=dynamic))
    return sets[0], sets[1]


def _check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor) or not images.is_floating_point():
        raise TypeError(
            f"images must be a floating-point tensor with pixels in [0, 1], not {_kind(images)}: "
            "convert arrays with torch.as_tensor(images), bytes with images.float() / 255"
        )
    if images.numel() == 0:
        raise ValueError(
            f"images must have shape [N, P] with at least one image, not {list(images.shape)}"
        )
    if images.ndim != 2:
        raise ValueError(
            f"images must have shape [N, P], one row of pixels per image, not "
            f"{list(images.shape)}: use images.flatten(1)"
        )
    low, high = (bound.item() for bound in images.aminmax())  # both are nan if any pixel is
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(
            f"pixels must be numbers in [0, 1], but these go from {low:g} to {high:g}: "
            "divide bytes by 255, undo any normalization, and look for nan"
        )


def _check_labels(labels: Tensor, num_images: int) -> None:
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
        raise TypeError(
            f"labels must be a tensor of integers, not {_kind(labels)}: use labels.long(), "
            "and torch.as_tensor(labels) on arrays and lists"
        )
    if labels.shape != (num_images,):
        raise ValueError(
            f"labels must have shape [{num_images}], one per image, not {list(labels.shape)}"
        )


def _kind(thing: object) -> str:
    return str(thing.dtype) if isinstance(thing, Tensor) else type(thing).__name__
