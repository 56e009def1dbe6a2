"""Looking at a model without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

__all__ = ["check_place", "evaluation_mode"]


@contextmanager
def evaluation_mode(model: object) -> Iterator[None]:
    """Put a model into evaluation mode inside a ``with`` block, and each module back afterwards.

    In training mode dropout would blur what is measured, and batch normalization would learn from
    the images that one only looks at.

    Args:
        model: A module; anything without modules is left alone.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Dropout().eval(), nn.BatchNorm1d(3))
        >>> with evaluation_mode(model):
        ...     print([module.training for module in model])
        [False, False]
        >>> [module.training for module in model]
        [False, True]
    """
    modes = [(module, module.training) for module in getattr(model, "modules", tuple)()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def check_place(model: object, images: Tensor) -> None:
    """Refuse images that are not where a model is, or not of its precision.

    Args:
        model: A module; anything without parameters takes all images.
        images: Images that it is to be called with.

    Raises:
        ValueError: If device or type differ; the message says how to move them.

    Example:
        >>> import torch
        >>> check_place(torch.nn.Linear(2, 1), torch.zeros(3, 2))
    """
    parameter = next(iter(getattr(model, "parameters", tuple)()), None)
    if parameter is None:
        return
    if parameter.device != images.device:
        raise ValueError(
            f"the model is on {parameter.device} and the images on {images.device}: move one to "
            f'the other, as images.to("{parameter.device}") or model.to("{images.device}")'
        )
    if parameter.dtype != images.dtype:
        raise ValueError(
            f"the model computes in {parameter.dtype} and the images are {images.dtype}: use "
            f"model.to({images.dtype})"
        )
