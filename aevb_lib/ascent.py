"""Gradient ascent: the one place where an objective changes its sign."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

__all__ = ["Steps", "ascend", "clip_gradients"]

AnyOptimizer = TypeVar("AnyOptimizer", bound=Optimizer)


@runtime_checkable
class Steps(Protocol):
    """What gradient ascent needs of an optimizer: any of torch's, or many as one."""

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""

    def step(self) -> Any:
        """Move the parameters, down their gradients."""


def ascend(objective: Tensor | Iterable[Tensor], optimizer: Steps) -> None:
    """Move parameters once, up the gradient of an objective.

    Args:
        objective: Value that is to rise, a scalar; or one value per model of a stack, shape
            ``[S]``, each with parameters of its own. Or parts of which it is the sum, each
            computed after the one before has been forgotten, where all do not fit into memory.
        optimizer: Optimizer of the parameters.

    Example:
        >>> import torch
        >>> weight = torch.zeros(1, requires_grad=True)
        >>> ascend(3 * weight.sum(), torch.optim.SGD([weight], lr=0.1))
        >>> weight.detach()
        tensor([0.3000])
    """
    optimizer.zero_grad()
    for part in (objective,) if isinstance(objective, Tensor) else objective:
        # Optimizers descend, so the gradient of each value is minus one.
        part.backward(torch.full_like(part, -1.0))
    optimizer.step()


def clip_gradients(optimizer: AnyOptimizer, max_norm: float) -> AnyOptimizer:
    r"""Let an optimizer shorten gradients that are too long, before each of its steps.

    .. math:: g' = g \, \min(1, c / |g|)

    with the norm over all parameters of the optimizer (Pascanu et al. 2013), by
    :func:`torch.nn.utils.clip_grad_norm_`. It works in every algorithm, since it goes with the
    optimizer; an algorithm with two optimizers clips each by its own norm. A second call replaces
    the first. A copy of the optimizer is not clipped, since torch copies no hooks.

    Args:
        optimizer: Optimizer to be changed.
        max_norm: Largest norm c of the gradient, in nats per image and unit of the parameters.

    Returns:
        The same optimizer, so that the call can stand where the optimizer is made.

    Raises:
        ValueError: If the largest norm is not positive.

    Example:
        >>> import torch
        >>> weight = torch.zeros(1, requires_grad=True)
        >>> optimizer = clip_gradients(torch.optim.SGD([weight], lr=0.1), max_norm=1.0)
        >>> ascend(3 * weight.sum(), optimizer)
        >>> weight.detach()
        tensor([0.1000])
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm}")

    def clip(optimizer: Optimizer, *_: object) -> None:
        clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], max_norm)

    if hasattr(optimizer, "_clipping"):
        optimizer._clipping.remove()
    optimizer._clipping = optimizer.register_step_pre_hook(clip)  # type: ignore[attr-defined]
    return optimizer
