"""Looking at a model without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["evaluation_mode"]


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
