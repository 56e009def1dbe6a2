"""A codec as widgets see it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from aevb_lib.modes import evaluation_mode
from aevb_lib.randomness import own_randomness
from aevb_lib.types import Codec

__all__ = ["Viewer"]


class Viewer:
    """Looks at a codec and leaves it as it is: tensors go in and come out on the CPU.

    The codec runs where its parameters are, or else on the CPU in float32; in evaluation mode, or
    dropout would blur the pictures and batch normalization learn from them; and with random numbers
    of its own, so that a training run does not notice that somebody looked.

    Args:
        codec: Anything with ``encode`` and ``decode``.

    Raises:
        TypeError: If it lacks one of them.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.Autoencoder(aevb.MLP(784, 2), aevb.BernoulliMLP(2, 784)).double()
        >>> view = Viewer(model)
        >>> view.decode(view.encode(torch.rand(5, 784))).shape
        torch.Size([5, 784])
    """

    def __init__(self, codec: Codec) -> None:
        if not isinstance(codec, Codec):
            raise TypeError(
                f"a {type(codec).__name__} has no encode and decode: pass a model such as "
                "aevb_lib.VAE, or any object with these two methods"
            )
        self._codec = codec

    @property
    def latent_dim(self) -> int:
        """D, if the codec says it.

        Raises:
            ValueError: If it does not.
        """
        size = getattr(self._codec, "latent_dim", None)
        if size is None:
            raise ValueError(
                f"how many dimensions has a code of this {type(self._codec).__name__}? It has no "
                "attribute latent_dim: pass start=torch.zeros(D), or images=..."
            )
        return int(size)

    def encode(self, images: Tensor) -> Tensor:
        """Return the codes ``[n, D]`` of images ``[n, P]``.

        Raises:
            TypeError: If the images are no tensor.
            ValueError: If they are not flat, or there is not one finite code for each.
        """
        if not isinstance(images, Tensor):
            raise TypeError(
                f"expected images as a tensor [n, P], got a {type(images).__name__}: "
                "of an aevb_lib.ImageSet, pass its .images"
            )
        if images.ndim != 2:
            raise ValueError(
                f"expected flat images [n, P], got shape {[*images.shape]}: "
                "use images.flatten(1) on [n, 28, 28], and images[None] on one image"
            )
        codes = self._undisturbed(self._codec.encode, images)
        if codes.ndim != 2 or len(codes) != len(images) or not codes.isfinite().all():
            raise ValueError(
                "encode must return one code [D] of finite numbers per image, but returned shape "
                f"{[*codes.shape]} for {len(images)} images: look for nan in images and weights"
            )
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Return the mean image of each code, shape ``[..., P]`` for ``[..., D]``."""
        return self._undisturbed(self._codec.decode, codes)

    def _undisturbed(self, function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        parameter = next(iter(getattr(self._codec, "parameters", tuple)()), torch.empty(0))
        with evaluation_mode(self._codec), torch.no_grad(), own_randomness(parameter.device):
            return function(inputs.to(parameter)).float().cpu()
