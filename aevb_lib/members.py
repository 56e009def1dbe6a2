"""What an algorithm is made of: its tensors and its optimizers, by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from aevb_lib.types import Algorithm

__all__ = ["members_of", "numbers_of", "optimizers_of", "owners_of", "set_numbers", "tensors_of"]


def tensors_of(algorithm: Algorithm) -> dict[str, Tensor]:
    """Return the parameters, buffers and other tensors of an algorithm, each once.

    Args:
        algorithm: Any algorithm. Others that it is made from are looked into, alone or in a list.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.LatentVariableModel(aevb.BernoulliMLP(2, 16, ()))
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> list(tensors_of(aevb.MonteCarloEM(model, optimizer, num_data=10)))[:2]
        ['model.decoder.mlp.layers.0.weight', 'model.decoder.mlp.layers.0.bias']
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in members_of(algorithm):
        if isinstance(value, nn.Module):
            parts = [*value.named_parameters(name), *value.named_buffers(name)]
        else:
            parts = [(name, value)] if isinstance(value, Tensor) else []
        for part, tensor in parts:
            if id(tensor) not in seen:
                seen.add(id(tensor))
                found[part] = tensor
    return found


def optimizers_of(algorithm: Algorithm) -> dict[str, Optimizer]:
    """Return the optimizers of an algorithm, each once; see :func:`tensors_of`.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.mnist_vae(2)
        >>> list(optimizers_of(aevb.AEVB(model, torch.optim.Adam(model.parameters()))))
        ['optimizer']
    """
    found: dict[str, Optimizer] = {}
    for name, value in members_of(algorithm):
        if isinstance(value, Optimizer) and not any(value is other for other in found.values()):
            found[name] = value
    return found


def members_of(algorithm: Algorithm) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an algorithm and of those that it is made from, by name.

    Args:
        algorithm: Any algorithm.
    """
    for prefix, owner in owners_of(algorithm):
        for name, value in vars(owner).items():
            yield f"{prefix}{name}", value


def numbers_of(algorithm: Algorithm) -> dict[str, Any]:
    """Return the numbers and words among the attributes, such as a count of steps.

    Args:
        algorithm: Any algorithm.
    """
    return {n: value for n, value in members_of(algorithm) if isinstance(value, int | float | str)}


def set_numbers(algorithm: Algorithm, numbers: dict[str, Any]) -> None:
    """Put back what :func:`numbers_of` returned.

    Args:
        algorithm: The algorithm.
        numbers: Values by name.
    """
    for prefix, owner in owners_of(algorithm):
        for name, value in numbers.items():
            own = name.removeprefix(prefix)
            if prefix + own == name and "." not in own:
                vars(owner)[own] = value


def owners_of(algorithm: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield an algorithm and then those that it is made from, each with what begins its names.

    Args:
        algorithm: Any algorithm.
        prefix: Beginning of the names of its own attributes.
    """
    yield prefix, algorithm
    for name, value in vars(algorithm).items():
        for number, member in enumerate(value if isinstance(value, list | tuple) else []):
            if isinstance(member, Algorithm):
                yield from owners_of(member, f"{prefix}{name}[{number}].")
        # What is private is made from what is public: the leader of a Together.
        if isinstance(value, Algorithm) and not name.startswith("_"):
            yield from owners_of(value, f"{prefix}{name}.")
