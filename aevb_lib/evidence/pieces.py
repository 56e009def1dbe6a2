"""What the estimators share: pieces that fit into memory, and a quiet place to compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from aevb_lib.checks import check_place
from aevb_lib.modes import evaluation_mode
from aevb_lib.randomness import own_randomness

__all__ = ["WITH_GRADIENT", "piece_size", "quietly", "sample_sizes"]

# Decoded values in memory at once, codes times images times pixels: 200 MB of float32. Pieces take
# their random numbers one after the other, so recorded results repeat only with the same pieces.
MAX_DECODED = 50_000_000
# Copies of a decoded value: it is in memory with its gradient, and what the gradient is made of.
WITH_GRADIENT = 5


def piece_size(x: Tensor, codes_per_image: int, *, copies: int = 2) -> int:
    """Return how many images are decoded at a time, for ``x.split``.

    Args:
        x: Images, shape ``[B, P]``.
        codes_per_image: Number of codes that are decoded for each image at once.
        copies: Number of values kept for each decoded one: more where gradients are taken.

    Raises:
        ValueError: If ``x`` has another shape, or there is no image.
    """
    if x.ndim != 2 or x.numel() == 0:
        raise ValueError(f"x must be images [B, P], at least one, but its shape is {list(x.shape)}")
    return max(1, MAX_DECODED // (copies * codes_per_image * x.shape[1]))


def sample_sizes(x: Tensor, num_samples: int, *, copies: int = 2) -> list[int]:
    """Return how many of each image's samples are decoded at a time; they sum to ``num_samples``.

    Args:
        x: Images that are decoded together, shape ``[b, P]``.
        num_samples: Number of samples per image in all.
        copies: See :func:`piece_size`.
    """
    chunk = max(1, MAX_DECODED // (copies * x.numel()))
    return [min(chunk, num_samples - done) for done in range(0, num_samples, chunk)]


@contextmanager
def quietly(model: nn.Module, x: Tensor, seed: int = 0) -> Iterator[Tensor]:
    """Look at a model in evaluation mode, with random numbers of one's own and without gradients.

    Inference mode is left, since Markov chains differentiate inside.

    Args:
        model: The model that is looked at.
        x: Images; random numbers are drawn on their device.
        seed: Seed of the numbers.

    Yields:
        The images, in a tensor that can be part of a differentiation.

    Raises:
        ValueError: If the images are not where the model is, or not of its precision.
    """
    check_place(model, x)
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        evaluation_mode(model),
        own_randomness(x.device, seed),
    ):
        yield x.clone() if x.is_inference() else x
