"""The protocols accept what fits, whoever wrote it, and refuse what does not."""

import pytest
import torch
from torch import nn

import aevb_lib as aevb

VAE = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
AUTOENCODER = aevb.Autoencoder(aevb.MLP(16, 2), aevb.BernoulliMLP(2, 16))


class HandMade:
    model = nn.Linear(1, 1)

    def encode(self, x):
        return x[..., :2]

    def decode(self, z):
        return z

    def step(self, batch):
        return {}


@pytest.mark.parametrize("codec", [VAE, AUTOENCODER, HandMade()])
def test_these_are_codecs(codec):
    assert isinstance(codec, aevb.Codec)


@pytest.mark.parametrize("thing", [aevb.MLP(2, 2), aevb.LatentVariableModel(VAE.decoder), "vae"])
def test_these_are_not_codecs(thing):
    assert not isinstance(thing, aevb.Codec)


@pytest.mark.parametrize(
    "algorithm",
    [
        aevb.AEVB(VAE, torch.optim.SGD(VAE.parameters())),
        aevb.Reconstruction(AUTOENCODER, torch.optim.SGD(AUTOENCODER.parameters())),
        HandMade(),
    ],
)
def test_these_are_algorithms(algorithm):
    assert isinstance(algorithm, aevb.Algorithm)


def test_a_model_is_not_an_algorithm():
    assert not isinstance(VAE, aevb.Algorithm)


def test_a_batch_names_its_parts():
    images, labels, indices = batch = aevb.Batch(
        torch.zeros(2, 3), torch.zeros(2).long(), torch.arange(2)
    )
    assert batch.images is images
    assert batch.labels is labels
    assert batch.indices is indices
