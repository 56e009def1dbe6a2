"""Stores and studies of tests: a few random images stand in for MNIST."""

from dataclasses import dataclass, field

import torch

import aevb_lib as aevb
from aevb_lib.experiments import Store, TrainedModels, TrainedRun


@dataclass(frozen=True)
class TinyStore(Store):
    """A store whose MNIST is eighty labeled random images; it notes which regimes are loaded."""

    loaded: list[str] = field(default_factory=list, compare=False)

    def images(self, regime="grey"):
        self.loaded.append(regime)
        images = torch.rand(80, 784, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(80) % 10
        data = aevb.ImageSet(images, labels).to(self.device)
        return data[:60], data[60:]


def tiny_models(name="tiny", *, seeds=(0, 1), latent_dims=(2, 3), epochs=2, **facts):
    """A study that trains tiny models, both kinds of each size and seed."""
    runs = tuple(
        TrainedRun(name, model, latent_dim, seed, hidden_dim=8, epochs=epochs, batch_size=20)
        for seed in seeds
        for latent_dim in latent_dims
        for model in ("vae", "autoencoder")
    )
    return TrainedModels(name=name, runs=runs, num_seen=30, **facts)
