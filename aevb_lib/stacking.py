"""Many models of one shape as one: their parameters stacked along a leading axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

__all__ = ["Stack", "apply"]


def apply(objective: Callable[..., Any], model: nn.Module, *tensors: Tensor, **options: Any) -> Any:
    """Return an objective of a model; of a stack of models, that of each.

    So an algorithm is written once, for one model: ``apply(sgvb_b, self.model, batch.images)``.

    Args:
        objective: Function of a model and tensors, with results that are tensors.
        model: One model, or a :class:`Stack` of S.
        *tensors: Arguments of the objective; for a stack each has a leading axis S.
        **options: Named arguments of the objective, the same for all models.

    Returns:
        What the objective returns; of a stack, each tensor in it with a leading axis S.

    Raises:
        TypeError: If ``torch.func.vmap`` cannot compute this objective of a stack.
        ValueError: If a tensor is empty: the average over no images is no number.

    Example:
        >>> import aevb_lib as aevb
        >>> models = [aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16)) for _ in range(3)]
        >>> x = torch.rand(5, 16)
        >>> apply(aevb.sgvb_b, models[0], x).bound.shape
        torch.Size([5])
        >>> apply(aevb.sgvb_b, Stack(models), x.expand(3, 5, 16)).bound.shape
        torch.Size([3, 5])
    """
    if any(tensor.numel() == 0 for tensor in tensors):
        raise ValueError("the batch is empty: a step needs at least one image")
    if isinstance(model, Stack):
        return model.map(objective, *tensors, **options)
    return objective(model, *tensors, **options)


class Stack(nn.Module):
    """S models of one shape, whose parameters and buffers live in tensors with a leading axis S.

    Each model stays what it was: its own tensors become the rows of the stacked ones, so whatever
    changes either changes both, and a model can be evaluated, saved or drawn at any time. Move them
    to a device before, not after.

    Args:
        models: Models of one class and one shape.

    Raises:
        ValueError: If there is no model, one is there twice, or they are not of one shape.

    Example:
        >>> models = [nn.Linear(2, 1) for _ in range(3)]
        >>> stack = Stack(models)
        >>> stack.stacked["weight"].shape
        torch.Size([3, 1, 2])
        >>> bool((models[1].weight == stack.stacked["weight"][1]).all())
        True
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        if not models:
            raise ValueError("there is no model to stack")
        if len({id(model) for model in models}) < len(models):
            raise ValueError("one model is there twice: each learner needs a model of its own")
        shapes = [_shape_of(model) for model in models]
        for number, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise ValueError(
                    f"models are stacked if they are of one shape, but model {number} differs from "
                    f"model 0: {_difference(shapes[0], shape)}"
                )
        parameters = [id(p) for model in models for p in model.parameters()]
        if len(set(parameters)) < len(parameters):
            raise ValueError("models share a parameter: each learner needs a model of its own")
        self.models = nn.ModuleList(models)
        #: Parameters by name, shape ``[S, ...]``; leaves of their own, which collect gradients.
        self.stacked = {
            name: _stack_rows(rows)
            for name, rows in _by_name([dict(model.named_parameters()) for model in models])
        }
        self._stacked_buffers = {
            name: _stack_rows(rows)
            for name, rows in _by_name([dict(model.named_buffers()) for model in models])
        }
        self._rows = [
            (name, tensor, tensor.data_ptr(), tensor.requires_grad)
            for model in models
            for name, tensor in (*model.named_parameters(), *model.named_buffers())
        ]
        self._modules_of = [list(model.modules()) for model in models]
        self._objective = _Objective(models[0])

    def __len__(self) -> int:
        """Number of models, S."""
        return len(self.models)

    def __getattr__(self, name: str) -> Any:
        """Say what to do where an algorithm takes the stack for one model."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            raise AttributeError(
                f"a stack of models has no {name!r}: an algorithm that trains models together asks "
                "for it by apply(objective, self.model, ...)"
            ) from None

    def check(self) -> None:
        """Refuse to go on with models that are no longer what was stacked.

        Raises:
            RuntimeError: If a tensor of a model has moved or been frozen, or modes differ.
        """
        for name, tensor, place, has_gradient in self._rows:
            if tensor.data_ptr() != place or tensor.requires_grad != has_gradient:
                raise RuntimeError(
                    f"{name} of a model was given other memory (by another Together, to(), or "
                    "data = ...), frozen or unfrozen since the models were stacked: make a new "
                    "Together of the learners"
                )
        modes = [[module.training for module in modules] for modules in self._modules_of]
        if any(mode != modes[0] for mode in modes):
            raise RuntimeError("some models are in training mode and others are not")

    def map(self, objective: Callable[..., Any], *tensors: Tensor, **options: Any) -> Any:
        """Return an objective of every model, by ``torch.func.vmap``; see :func:`apply`.

        Random numbers are drawn for each model on its own.
        """

        def of_one(stacked: dict[str, Tensor], tensors: tuple[Tensor, ...]) -> Any:
            named = {f"model.{name}": tensor for name, tensor in stacked.items()}
            given = dict(named)
            value = functional_call(self._objective, named, (objective, *tensors), options)
            for name, tensor in given.items():
                if named[name] is not tensor:
                    raise TypeError(
                        f"{name} is given a new value by the model, which would be lost: change it "
                        "in place, as by copy_()"
                    )
            return value

        of_each = vmap(of_one, randomness="different")
        try:
            return of_each(self.stacked | self._stacked_buffers, tensors)
        except RuntimeError as error:
            if not any(word in str(error) for word in ("vmap", "Batching rule")):
                raise
            name = getattr(objective, "__name__", type(objective).__name__)
            kind = type(self.models[0]).__name__
            raise TypeError(
                f"{name} of a {kind} cannot be computed for several models at once; "
                f"torch.func.vmap says: {str(error).splitlines()[0]} Train such models one by one."
            ) from error


class _Objective(nn.Module):
    """A function of a model as the forward pass of a module, which is what torch can call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, objective: Callable[..., Any], *tensors: Tensor, **options: Any) -> Any:
        return objective(self.model, *tensors, **options)


def _shape_of(model: nn.Module) -> dict[str, Any]:
    """What models of one shape have in common."""
    shape: dict[str, Any] = {
        f"module {name!r}": type(module) for name, module in model.named_modules()
    }
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor._backward_hooks:
            raise ValueError(f"{name} has a hook on its gradient, which would not be called")
        place = f"{list(tensor.shape)}, {tensor.dtype}, on {tensor.device}"
        shape[repr(name)] = place if tensor.requires_grad else f"{place}, without gradient"
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise ValueError(
                f"module {name!r} has a hook, which would be called for the first model only"
            )
        for fact, value in vars(module).items():
            if isinstance(value, Tensor):
                raise ValueError(
                    f"{fact} of module {name!r} is neither parameter nor buffer, so it would be "
                    "that of the first model for all: use register_buffer"
                )
            if value is None or isinstance(value, bool | int | float | str | tuple):
                shape[f"{fact} of module {name!r}"] = value
    return shape


def _difference(expected: dict[str, Any], found: dict[str, Any]) -> str:
    name = next(n for n in (*expected, *found) if expected.get(n) != found.get(n))
    return f"{name} is {found.get(name, 'missing')} and not {expected.get(name, 'there')}"


def _by_name(members: Sequence[dict[str, Tensor]]) -> list[tuple[str, list[Tensor]]]:
    """Name, and the tensors of that name of all models."""
    return [(name, [member[name] for member in members]) for name in members[0]]


def _stack_rows(rows: list[Tensor]) -> Tensor:
    """Return the stack of tensors, which from now on are its rows."""
    stacked = torch.stack([row.detach() for row in rows])
    for row, own in zip(rows, stacked, strict=True):
        row.data = own
    return stacked.requires_grad_(rows[0].requires_grad)
