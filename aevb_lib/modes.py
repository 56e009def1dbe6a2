"""Looking at a model without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

__all__ = ["evaluation_mode", "modes_of", "restore_modes", "weights_are_finite"]


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
    modes = modes_of(model)
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        restore_modes(modes)


def modes_of(model: object) -> list[tuple[Any, bool]]:
    """Return all modules of a model, each with whether it is in training mode.

    Args:
        model: A module; anything else has none.
    """
    return [(module, module.training) for module in getattr(model, "modules", tuple)()]


def restore_modes(modes: list[tuple[Any, bool]]) -> None:
    """Put modules back into the modes that :func:`modes_of` found."""
    for module, is_training in modes:
        module.training = is_training


def weights_are_finite(model: object) -> bool:
    """Whether no weight of a model is infinite or nan, as they are after training diverges.

    Args:
        model: A module; anything else has no weights.

    Example:
        >>> from torch import nn
        >>> layer = nn.Linear(1, 1)
        >>> weights_are_finite(layer)
        True
        >>> _ = nn.init.constant_(layer.bias, float("nan"))
        >>> weights_are_finite(layer)
        False
    """
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    return all(bool(weight.isfinite().all()) for weight in weights)
