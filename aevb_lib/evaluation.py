"""Measures of a trained model on a data set: bounds, errors, and use of its latent dimensions.

Every function here draws its own random numbers from ``seed``: the same model gives the same value
each time, two models are compared on the same draws, and evaluating during training does not change
the training. All values are nats per image, larger is better, unless the name says otherwise.

Single numbers are on the processor, where they go with tensors of any device. What has one value
per latent dimension is where the images are, so that one can choose from another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import Distribution, Independent

from aevb_lib.checks import check_place
from aevb_lib.data import ImageSet
from aevb_lib.distributions import kl_divergence
from aevb_lib.models import VAE, Autoencoder
from aevb_lib.modes import evaluation_mode
from aevb_lib.objectives import Bound, point_log_likelihood, sgvb_b
from aevb_lib.randomness import own_randomness
from aevb_lib.types import Batches, Codec

__all__ = [
    "active_units",
    "bits_per_dimension",
    "kl_per_dimension",
    "mean_bound",
    "mean_elbo",
    "mean_point_log_likelihood",
    "mean_squared_error",
]

BATCH_SIZE = 1000


@torch.no_grad()
def mean_bound(model: VAE, data: ImageSet, *, num_samples: int = 1, seed: int = 0) -> Bound:
    """Return the bound and its two parts, averaged over a data set.

    Evaluated with samples from the posterior, never with the mean code: at the mean code it would
    not be the ELBO, and it would look better than it is.

    Args:
        model: The model to evaluate.
        data: The images, on the model's device.
        num_samples: L, samples per image. With thousands of images one is enough: the average over
            images does the rest.
        seed: Seed of the posterior samples. After a short training whose noise had this seed, too,
            take another: some of the noise is learned (a hundred steps on 10,000 images at D = 200
            raise a bound measured with it by 0.1 to 0.3 nats).

    Returns:
        Three scalar tensors on the processor, nats per image.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> bound = mean_bound(model, aevb.ImageSet(torch.rand(50, 16)))
        >>> bool(torch.isclose(bound.bound, bound.log_likelihood - bound.kl))
        True
    """
    with _batches(model, data, seed) as batches:
        # Sums in float64: ten thousand float32 numbers near -100 would lose the second decimal. On
        # the CPU, since not every device has float64.
        parts = [
            torch.stack(sgvb_b(model, batch.images, num_samples)).cpu().double().sum(1)
            for batch in batches
        ]
    return Bound(*(torch.stack(parts).sum(0) / len(data)).float())


def mean_elbo(model: VAE, data: ImageSet, *, num_samples: int = 1, seed: int = 0) -> float:
    """Return the evidence lower bound averaged over a data set, in nats per image.

    Args:
        model: See :func:`mean_bound`.
        data: See :func:`mean_bound`.
        num_samples: See :func:`mean_bound`.
        seed: See :func:`mean_bound`.

    Returns:
        The average of the bound.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> data = aevb.ImageSet(torch.rand(50, 16))
        >>> mean_elbo(model, data) == mean_elbo(model, data)
        True
    """
    return float(mean_bound(model, data, num_samples=num_samples, seed=seed).bound)


@torch.no_grad()
def mean_point_log_likelihood(model: Autoencoder | VAE, data: ImageSet) -> float:
    r"""Return :math:`\log p_\theta(x \mid \mathrm{encode}(x))` averaged over a data set.

    Args:
        model: An autoencoder, or a VAE whose mean code is used.
        data: The images, on the model's device.

    Returns:
        Nats per image, larger is better.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.Autoencoder(aevb.MLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> mean_point_log_likelihood(model, aevb.ImageSet(torch.rand(50, 16))) < 0
        True
    """
    with _batches(model, data) as batches:
        total = sum(
            point_log_likelihood(model, batch.images).cpu().double().sum() for batch in batches
        )
    return float(total / len(data))


@torch.no_grad()
def mean_squared_error(codec: Codec, data: ImageSet) -> float:
    """Return the mean squared error per pixel of ``decode(encode(x))``; smaller is better.

    Args:
        codec: Anything with ``encode`` and ``decode``.
        data: The images, on the codec's device.

    Returns:
        The average squared difference, in squared pixel values (not nats).

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.Autoencoder(aevb.MLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> 0 < mean_squared_error(model, aevb.ImageSet(torch.rand(50, 16))) < 1
        True
    """
    with _batches(codec, data) as batches:
        total = sum(
            (codec.decode(codec.encode(batch.images)) - batch.images).square().cpu().double().sum()
            for batch in batches
        )
    return float(total) / data.images.numel()


def bits_per_dimension(log_density: float, num_pixels: int, *, num_levels: int = 256) -> float:
    r"""Return the bits per pixel that a log-density of dequantized images stands for.

    .. math:: b = -\frac{\log p(x')}{P \log 2} + \log_2 K

    for pixels in [0, 1) of :math:`K` levels. The second term is the width of a level,
    :math:`1 / K`. By Jensen's inequality the average over the noise in :math:`x'` is an *upper*
    bound on the bits that the model, summed over each level, needs for the grey image itself (Theis
    et al. 2016, section 3.1); smaller is better.

    Args:
        log_density: Nats per image, of images from :func:`aevb_lib.minibatches.dequantize`.
        num_pixels: Number P of pixels.
        num_levels: Number K of grey levels.

    Raises:
        ValueError: If there is no pixel or no level.

    Example:
        >>> bits_per_dimension(0.0, 784)  # a uniform density knows nothing: eight bits
        8.0
    """
    if min(num_pixels, num_levels) < 1:
        raise ValueError(f"give one pixel and level at least, not {num_pixels} and {num_levels}")
    return math.log2(num_levels) - log_density / (num_pixels * math.log(2))


@torch.no_grad()
def kl_per_dimension(model: VAE, data: ImageSet) -> Float[Tensor, " D"]:
    r"""Return how many nats each latent dimension carries, averaged over a data set.

    The divergence of a diagonal normal from the prior is a sum over dimensions, with the terms
    :math:`-\tfrac12 (1 + \log\sigma_j^2 - \mu_j^2 - \sigma_j^2)`. A dimension near zero is unused:
    its posterior equals the prior whatever the image.

    Args:
        model: A VAE whose posterior and prior are independent normals.
        data: The images, on the model's device.

    Returns:
        Nats per image and dimension, shape ``[D]``, on the device of the images; they sum to the KL
        term of the bound.

    Raises:
        TypeError: If the prior or the posterior does not split into dimensions.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> kl_per_dimension(model, aevb.ImageSet(torch.rand(50, 16))).shape
        torch.Size([2])
    """
    prior = _dimensions(model.prior(), "prior")
    with _batches(model, data) as batches:
        total = torch.zeros(model.latent_dim, dtype=torch.float64, device="cpu")
        for batch in batches:
            q = _dimensions(model.posterior(batch.images), "posterior")
            total += kl_divergence(q, prior).cpu().double().sum(0)
    return (total / len(data)).float().to(data.images.device)


def _dimensions(distribution: Distribution, name: str) -> Distribution:
    """The distributions of its dimensions, one each."""
    if not isinstance(distribution, Independent):
        raise TypeError(
            f"a {name} of type {type(distribution).__name__} has no separate dimensions"
        )
    base: Distribution = distribution.base_dist
    return base


@torch.no_grad()
def active_units(model: VAE, data: ImageSet, *, threshold: float = 0.01) -> Bool[Tensor, " D"]:
    r"""Return which latent dimensions react to the image.

    A dimension is active if :math:`\mathrm{Var}_x\, \mathbb E_q[z_j \mid x]` exceeds the threshold
    (Burda et al. 2016, section 5.2).

    Args:
        model: The model to look at.
        data: The images, on the model's device.
        threshold: Variance above which a dimension counts as active.

    Returns:
        One truth value per dimension, shape ``[D]``, on the device of the images; their sum is the
        number of active units.

    Raises:
        ValueError: If there is only one image.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> active_units(model, aevb.ImageSet(torch.rand(50, 16))).shape
        torch.Size([2])
    """
    with _batches(model, data) as batches:
        codes = torch.cat([model.encode(batch.images) for batch in batches])
    if len(codes) < 2:
        raise ValueError("one image has no variance: give at least two")
    return codes.var(0) > threshold


@contextmanager
def _batches(model: Codec, data: ImageSet, seed: int = 0) -> Iterator[Batches]:
    """The images in batches, with the model and everybody's random numbers left as they are.

    Random numbers are needed by posterior samples, and by a dynamic set, which draws pixels.
    """
    if not isinstance(data, ImageSet):
        raise TypeError(
            f"expected an aevb_lib.ImageSet, got a {type(data).__name__}: "
            "wrap images as aevb_lib.ImageSet(images)"
        )
    check_place(model, data.images)
    with evaluation_mode(model), own_randomness(data.images.device, seed):
        yield data.batches(BATCH_SIZE, shuffle=False)
