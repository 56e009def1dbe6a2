"""Codes under the reader's hand: moved, disturbed, and between two images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ipywidgets import FloatSlider, IntSlider
from torch import Tensor

from aevb_lib.latents import add_noise, interpolate
from aevb_lib.types import Codec
from aevb_lib.widgets.board import Board, png
from aevb_lib.widgets.viewer import Viewer

__all__ = ["interpolation_explorer", "latent_explorer", "noise_explorer"]

MOST_SLIDERS = 10  # by default: more would not fit on a screen
TENTHS, STEPS = 10, 100  # pictures and positions of the dial on the way from one image to another


def latent_explorer(
    codec: Codec,
    *,
    images: Tensor | None = None,
    dimensions: Sequence[int] | None = None,
    start: Tensor | None = None,
    seed: int = 0,
) -> Board:
    """Return sliders for the dimensions of a code, and the mean image that it decodes to.

    A slider spans three standard deviations on each side of the mean: those of the codes of
    ``images``, or else those of the standard normal prior. *Random code* draws all dimensions with
    this mean and spread; *Reset* returns to the start.

    Args:
        codec: Anything with ``encode`` and ``decode``.
        images: Flat images, shape ``[n, P]``, at least two. An autoencoder, which has no prior,
            wants them.
        dimensions: Dimensions that get a slider. By default those in which the codes of ``images``
            spread most, or else the first ones; at most ten.
        start: The code to start from, shape ``[D]``, such as that of an image. By default the mean.
        seed: Seed of the random codes.

    Returns:
        The board, with a slider ``board.controls["z[0]"]`` and the picture ``"decoded"``.

    Raises:
        TypeError: If the codec is none, or the images are no tensor.
        ValueError: If D cannot be found out, shapes do not fit, a dimension does not exist, or the
            images are not flat squares.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> latent_explorer(model, dimensions=[3, 7])
        Board(z[3]=0.0, z[7]=0.0, pictures=['decoded'])
    """
    view = Viewer(codec)
    if images is not None:
        mean, spread = _moments(view.encode(images))
    else:
        size = view.latent_dim if start is None else start.shape[-1]
        mean, spread = torch.zeros(size), torch.ones(size)
    start = mean if start is None else start.detach().float().cpu()
    if start.shape != mean.shape:
        raise ValueError(f"start must be one code [{len(mean)}], got shape {[*start.shape]}")
    if dimensions is None:
        widest = spread.argsort(descending=True, stable=True)[:MOST_SLIDERS]
        dimensions = sorted(widest.tolist())
    if not dimensions or not set(dimensions) <= set(range(len(mean))):
        raise ValueError(
            f"dimensions must name some of 0 to {len(mean) - 1}, got {[*dimensions]}: a code has "
            f"{len(mean)}"
        )
    code = start.clone()
    low, high = torch.minimum(mean - 3 * spread, code), torch.maximum(mean + 3 * spread, code)
    sliders = {d: _slider(f"z[{d}]", *map(float, (low[d], high[d], code[d]))) for d in dimensions}
    generator = torch.Generator().manual_seed(seed)

    def draw() -> dict[str, bytes]:
        for dimension, slider in sliders.items():
            code[dimension] = slider.value
        return {"decoded": png(view.decode(code))}

    def move(target: Tensor) -> None:
        code.copy_(target)
        for dimension, slider in sliders.items():
            slider.value = float(target[dimension])

    actions = {
        "Reset": lambda: move(start),
        "Random code": lambda: move(add_noise(mean, spread, generator=generator)),
    }
    return Board(draw, [*sliders.values()], actions)


def noise_explorer(codec: Codec, images: Tensor, *, seed: int = 0) -> Board:
    r"""Return a choice of image and a dial of noise: original, decoded, decoded from a noisy code.

    The noisy code is :math:`z + s\,u \odot \epsilon`: the dial is s, and u is the standard
    deviation of each dimension of the codes of ``images``, like the unit ``codes.std(0)`` of
    :func:`aevb_lib.noise.noise_curve`. *New noise* draws another :math:`\epsilon`.

    Args:
        codec: Anything with ``encode`` and ``decode``.
        images: Flat images to choose from, shape ``[n, P]``, at least two.
        seed: Seed of the noise; models with codes of the same size get the same noise.

    Returns:
        The board, with controls ``"image"`` and ``"noise"`` and three pictures.

    Raises:
        TypeError: If the codec is none, or the images are no tensor.
        ValueError: If shapes do not fit, or the images are not flat squares.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.Autoencoder(aevb.MLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> noise_explorer(model, torch.rand(10, 16))
        Board(image=0, noise=0.5, pictures=['original', 'decoded', 'decoded with noise'])
    """
    view = Viewer(codec)
    codes = view.encode(images)
    _, unit = _moments(codes)
    image = IntSlider(description="image", max=len(images) - 1)
    noise = _slider("noise", 0.0, 2.0, 0.5)

    def draw() -> dict[str, bytes]:
        code, generator = codes[image.value], torch.Generator().manual_seed(seed)
        noisy = add_noise(code, noise.value * unit, generator=generator)
        decoded, disturbed = view.decode(torch.stack([code, noisy]))
        return {
            "original": png(images[image.value]),
            "decoded": png(decoded),
            "decoded with noise": png(disturbed),
        }

    def renew() -> None:
        nonlocal seed
        seed += 1

    return Board(draw, [image, noise], {"New noise": renew})


def interpolation_explorer(codec: Codec, a: Tensor, b: Tensor) -> Board:
    """Return a dial that goes from one image's code to another's on a straight line.

    Args:
        codec: Anything with ``encode`` and ``decode``.
        a: Flat image where the path starts, shape ``[P]``.
        b: Flat image where it ends, shape ``[P]``.

    Returns:
        The board, with the control ``"share of the way"`` from 0 to 1, the decoded image there, and
        a strip of the whole path in tenths.

    Raises:
        TypeError: If the codec is none.
        ValueError: If shapes do not fit, or the images are not flat squares.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.Autoencoder(aevb.MLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> interpolation_explorer(model, torch.zeros(16), torch.ones(16))
        Board(share of the way=0.5, pictures=['on the way', 'the whole way'])
    """
    view = Viewer(codec)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(
            f"a path leads from one flat image [P] to another, got shapes {[*a.shape]} and "
            f"{[*b.shape]}: pass images[0] and images[1]"
        )
    start, end = view.encode(torch.stack([a, b]))
    path = interpolate(start, end, STEPS + 1)
    way = _slider("share of the way", 0.0, 1.0, 0.5)

    def draw() -> dict[str, bytes]:
        return {
            "on the way": png(view.decode(path[round(way.value * STEPS)])),
            "the whole way": png(view.decode(path[:: STEPS // TENTHS])),
        }

    return Board(draw, [way])


def _moments(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of codes in each dimension; one in which they do not vary has spread one."""
    if len(codes) < 2:
        raise ValueError(f"the codes of {len(codes)} images have no spread: give at least two")
    spread = codes.std(0)
    return codes.mean(0), torch.where(spread > 0, spread, 1.0)


def _slider(name: str, low: float, high: float, value: float) -> FloatSlider:
    step = (high - low) / 100
    return FloatSlider(description=name, min=low, max=high, step=step, value=value)
