"""Checks of what functions are given, with messages that say what to do."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution

__all__ = ["check_event", "check_place", "check_tensors"]


def check_tensors(**values: object) -> None:
    """Refuse what is no tensor.

    Args:
        **values: Arguments by name.

    Raises:
        TypeError: If one of them is no tensor.

    Example:
        >>> import torch
        >>> check_tensors(x=torch.zeros(2))
        >>> check_tensors(x=[0.0, 0.0])
        Traceback (most recent call last):
        TypeError: x must be a tensor, not a list: use torch.as_tensor(x)
    """
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name} must be a tensor, not a {type(value).__name__}: "
                f"use torch.as_tensor({name})"
            )


def check_place(model: object, images: Tensor) -> None:
    """Refuse images that are not where a model is, or not of its precision.

    Args:
        model: A module; anything without parameters takes all images.
        images: Images that it is to be called with.

    Raises:
        TypeError: If the images are no tensor.
        ValueError: If device or type differ; the message says how to move them.

    Example:
        >>> import torch
        >>> check_place(torch.nn.Linear(2, 1), torch.zeros(3, 2))
    """
    check_tensors(images=images)
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
            f"images.to({parameter.dtype}) or model.to({images.dtype})"
        )


def check_event(distribution: Distribution, value: Tensor) -> None:
    """Refuse values whose last axis is not as long as a distribution's event.

    Args:
        distribution: A distribution over vectors.
        value: Codes or images.

    Raises:
        TypeError: If the values are no tensor.
        ValueError: If the last axis has another length, which would be spread over the event.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> check_event(aevb.bernoulli(torch.zeros(4)), torch.zeros(3, 4))
    """
    check_tensors(value=value)
    if value.shape[-1:] != distribution.event_shape:
        raise ValueError(
            f"the distribution is over {list(distribution.event_shape)} numbers, but the values "
            f"have shape {list(value.shape)}: images and codes are flat, and as long as decoder "
            "and encoder make them"
        )
