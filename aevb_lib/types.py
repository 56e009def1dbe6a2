"""What flows between the modules of `aevb_lib`, and the letters that name its shapes.

Every tensor shape in the package is written with five letters:

======  =======================================================  ====================
letter  meaning                                                  typical value
======  =======================================================  ====================
``N``   images in a data set                                     60,000
``B``   images in a minibatch                                    100
``P``   pixels in an image                                       784
``D``   dimensions of the latent variable                        3, 5, 10, 20, 200
``L``   Monte Carlo samples per image; they lead: ``[L, B, D]``  1
======  =======================================================  ====================

Whatever is measured is measured in **nats per image, larger is better**.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["Algorithm", "Batch", "Batches", "Codec", "Scheduler"]


class Batch(NamedTuple):
    """One minibatch of images.

    Attributes:
        images: Pixels in [0, 1], shape ``[B, P]``.
        labels: Digit classes, shape ``[B]``. No model in this package trains on them.
        indices: Positions of the images in their data set, shape ``[B]``; an algorithm that
            keeps something per image (a Markov chain, say) finds it again by these.
    """

    images: Float[Tensor, "B P"]
    labels: Int[Tensor, " B"]
    indices: Int[Tensor, " B"]


@runtime_checkable
class Batches(Protocol):
    """Minibatches that can be gone through again and again; each time is one epoch."""

    def __len__(self) -> int:
        """Minibatches per epoch."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """One epoch."""
        ...


@runtime_checkable
class Codec(Protocol):
    """A map from images to codes and back: all that figures, widgets and the noise study need."""

    def encode(self, x: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch D"]:
        """Return one point code per image."""
        ...

    def decode(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch P"]:
        """Return the mean image of each code."""
        ...


@runtime_checkable
class Algorithm(Protocol):
    """All that :func:`aevb_lib.training.fit` knows about an inference algorithm.

    Attributes:
        model: The model whose parameters the algorithm updates.
    """

    @property
    def model(self) -> nn.Module:
        """The model whose parameters the algorithm updates."""
        ...

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Do one minibatch of work.

        Returns:
            Detached scalars in nats per image, as tensors. Reading one as a float would make a GPU
            wait; that is left to whoever records.
        """
        ...


@runtime_checkable
class Scheduler(Protocol):
    """A learning-rate schedule, such as those of ``torch.optim.lr_scheduler``."""

    def step(self) -> None:
        """Set the learning rate of the next training step."""
        ...
