"""The report's two models for MNIST, untrained: one tanh layer of 500 units in each network.

784-500-D for the encoder and D-500-784 for the decoder, in the VAE and in the autoencoder alike, so
that nothing but the code differs between them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from aevb_lib.models import VAE, Autoencoder
from aevb_lib.networks import MLP, BernoulliMLP, GaussianMLP

__all__ = ["ARCHITECTURES", "mnist_autoencoder", "mnist_vae"]

NUM_PIXELS = 784


def mnist_vae(
    latent_dim: int,
    *,
    hidden_dim: int = 500,
    decoder: Callable[..., nn.Module] = BernoulliMLP,
    generator: torch.Generator | None = None,
) -> VAE:
    """Return the report's variational autoencoder with initial weights.

    Args:
        latent_dim: Dimension D of the code.
        hidden_dim: Number of units in the hidden layer of each network.
        decoder: Class of the decoder, which decides what a pixel is given its code; for one with
            options, a ``functools.partial`` of it.
        generator: CPU generator for the initial weights; torch's global one by default.

    Raises:
        ValueError: If a size is smaller than one.

    Example:
        >>> sum(p.numel() for p in mnist_vae(20).parameters())
        815824
    """
    return VAE(
        GaussianMLP(NUM_PIXELS, latent_dim, (hidden_dim,), generator=generator),
        decoder(latent_dim, NUM_PIXELS, (hidden_dim,), generator=generator),
    )


def mnist_autoencoder(
    latent_dim: int, *, hidden_dim: int = 500, generator: torch.Generator | None = None
) -> Autoencoder:
    """Return the report's vanilla autoencoder with initial weights.

    Args:
        latent_dim: Dimension D of the code.
        hidden_dim: Number of units in the hidden layer of each network.
        generator: CPU generator for the initial weights; torch's global one by default.

    Raises:
        ValueError: If a size is smaller than one.

    Example:
        >>> sum(p.numel() for p in mnist_autoencoder(20).parameters())
        805804
    """
    return Autoencoder(
        MLP(NUM_PIXELS, latent_dim, (hidden_dim,), generator=generator),
        BernoulliMLP(latent_dim, NUM_PIXELS, (hidden_dim,), generator=generator),
    )


#: The two functions by the name of what they make, for loops over both and for files of weights.
ARCHITECTURES: dict[str, Callable[..., VAE | Autoencoder]] = {
    "vae": mnist_vae,
    "autoencoder": mnist_autoencoder,
}
