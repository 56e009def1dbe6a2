"""Whether a step may be repeated by a graph: what it does, and what must not change meanwhile."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter, is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from aevb_lib.members import members_of, optimizers_of, owners_of, tensors_of
from aevb_lib.types import Algorithm

__all__ = ["Constants", "watched", "without_waiting"]

REQUIRES_GRAD = attrgetter("requires_grad")

# What a step may do that its repetition by a graph would not do.
REPLACES = (
    "gives {} a new value, which a graph does not repeat; change a tensor in place instead, as by "
    "copy_()"
)
CHANGES = "changes {}, which is on the processor, where a graph does not reach; keep it on the GPU"
DRAWS = (
    "draws random numbers from {}, which would be the same in every step; draw them on the GPU, "
    "without a generator of its own"
)


@contextmanager
def watched(algorithm: Algorithm, device: torch.device) -> Iterator[None]:
    """Refuse a step, done inside a ``with`` block, whose repetition would not be the next step.

    Args:
        algorithm: Algorithm whose step it is.
        device: Device of its model.

    Raises:
        RuntimeError: If a step keeps its state in other memory than before, outside of tensors or
            on the processor, or draws random numbers elsewhere than from the GPU's own generator.
    """
    before = _state_of(algorithm, device)
    yield
    after = _state_of(algorithm, device)
    for what in before | after:
        if before.get(what) != after.get(what):
            reason, name = what
            raise RuntimeError(
                f"this step cannot be captured: it {reason.format(name)}. Train without Replay"
            )


def _state_of(algorithm: Algorithm, device: torch.device) -> dict[tuple[str, str], Any]:
    """What must be the same after a step, by what it would mean if it were not, and name."""
    parts: dict[str, Any] = {}
    for name, value in members_of(algorithm):
        parts[name] = value
        if isinstance(value, nn.Module):
            for path, module in value.named_modules():
                parts |= {f"{name}.{path}.{fact}": own for fact, own in vars(module).items()}
    parts |= tensors_of(algorithm)
    for name, optimizer in optimizers_of(algorithm).items():
        for number, slots in enumerate(optimizer.state.values()):
            for slot, held in slots.items():
                # Adagrad counts its steps there for lr_decay alone, which is refused.
                if not (isinstance(optimizer, torch.optim.Adagrad) and slot == "step"):
                    parts[f"{name}.state[{number}][{slot!r}]"] = held
    state: dict[tuple[str, str], Any] = {
        (DRAWS, "the processor's generator"): torch.get_rng_state().tolist()
    }
    for name, part in parts.items():
        if isinstance(part, Tensor):
            state[REPLACES, name] = part.data_ptr()
            if part.device.type != device.type:
                state[CHANGES, name] = _version(part)
        elif isinstance(part, torch.Generator):
            state[DRAWS, name] = part.get_state().tolist()
        elif isinstance(part, int | float):
            state[REPLACES, name] = part
    return state


@contextmanager
def without_waiting() -> Iterator[None]:
    """Refuse a step that waits for the GPU, before a capture fails on it.

    Raises:
        RuntimeError: If it does.
    """
    mode = torch.cuda.get_sync_debug_mode()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Synchronization debug mode")
            torch.cuda.set_sync_debug_mode("error")
        yield
    except RuntimeError as error:
        if "synchronizing" not in str(error):
            raise
        raise RuntimeError(
            "this step cannot be captured: it waits for the GPU, to read a number (item, float, "
            "if) or to copy to or from the processor. Train without Replay"
        ) from error
    finally:
        torch.cuda.set_sync_debug_mode(mode)


class Constants:
    """What is part of a graph because it is no value in the memory of the GPU.

    It is looked at before every replay, so by ``map``, which takes some microseconds.

    Args:
        algorithm: Algorithm whose step is captured.
        device: Device of its model.
    """

    def __init__(self, algorithm: Algorithm, device: torch.device) -> None:
        self.device = device
        entries = list(_entries(algorithm))
        self.names = [name for name, _, _, _ in entries]
        self.holders = [holder for _, holder, _, _ in entries]
        self.keys = [key for _, _, key, _ in entries]
        self.values = [value for _, _, _, value in entries]
        self.tensors = tensors_of(algorithm)
        self.places = [tensor.data_ptr() for tensor in self.tensors.values()]
        self.gradients = [tensor.requires_grad for tensor in self.tensors.values()]
        self.elsewhere = {n: t for n, t in self.tensors.items() if t.device.type != device.type}
        self.versions = list(map(_version, self.elsewhere.values()))
        self.autocast = _autocast(device)

    def check(self) -> None:
        """Refuse to replay a step that would not be the algorithm's any more.

        Raises:
            RuntimeError: If anything has changed.
        """
        found = map(dict.get, self.holders, self.keys)
        if not all(map(is_, found, self.values)):
            self._check_values()
        tensors = self.tensors.values()
        if name := _first_change(self.tensors, map(Tensor.data_ptr, tensors), self.places):
            raise _changed(f"{name} was given other memory (by Together, to(), or data = ...)")
        if name := _first_change(self.tensors, map(REQUIRES_GRAD, tensors), self.gradients):
            raise _changed(f"{name} was frozen or unfrozen")
        versions = map(_version, self.elsewhere.values())
        if name := _first_change(self.elsewhere, versions, self.versions):
            raise _changed(f"{name}, which is on the processor, was changed")
        if (now := _autocast(self.device)) != self.autocast:
            raise _changed(f"autocast was {self.autocast or 'off'} and is {now or 'off'}")

    def _check_values(self) -> None:
        """Refuse a value that is another one; an equal number is not."""
        found = map(dict.get, self.holders, self.keys)
        for name, now, value in zip(self.names, found, self.values, strict=True):
            if now is not value and not (_is_plain(now) and _is_plain(value) and now == value):
                raise _changed(f"{name} was {_shown(value)} and is {_shown(now)}")


def _first_change(names: Iterable[str], found: Iterable[Any], expected: list[Any]) -> str | None:
    found = list(found)
    if found == expected:
        return None
    return next(n for n, a, b in zip(names, found, expected, strict=True) if a != b)


def _entries(algorithm: Algorithm) -> Iterator[tuple[str, dict[str, Any], str, Any]]:
    """Name, dictionary, key and value of what is not to be replaced while graphs are replayed."""
    modules: dict[nn.Module, str] = {}
    for prefix, owner in owners_of(algorithm):
        for name, value in vars(owner).items():
            if _is_plain(value) or callable(value) or isinstance(value, Tensor | Optimizer):
                yield f"{prefix}{name}", vars(owner), name, value
            if isinstance(value, nn.Module):
                for path, module in value.named_modules(prefix=f"{prefix}{name}"):
                    modules.setdefault(module, path)
    for module, path in modules.items():
        for holder in (module._parameters, module._buffers, module._modules):
            for name, part in holder.items():
                yield f"{path}.{name}", holder, name, part
        for name, value in vars(module).items():
            if isinstance(value, bool | float):  # whether it is training, among others
                yield f"{path}.{name}", vars(module), name, value
    for name, optimizer in optimizers_of(algorithm).items():
        for group in optimizer.param_groups:
            for fact in optimizer.defaults:
                yield f"{name}.{fact}", group, fact, group[fact]


def _changed(what: str) -> RuntimeError:
    return RuntimeError(
        f"{what} since the step was captured, which the graph cannot see: put it back, or make a "
        "new Replay of the algorithm. Only a learning rate may change from step to step, that of "
        "an optimizer with capturable=True"
    )


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, int | float | str | tuple)


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor at {value.data_ptr():#x}"
    return str(value) if _is_plain(value) else getattr(value, "__name__", type(value).__name__)


def _autocast(device: torch.device) -> torch.dtype | None:
    """The type that autocast computes in, if it is on."""
    is_on = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if is_on else None


def _version(tensor: Tensor) -> int:
    """How often a tensor was changed in place; torch does not count it in inference mode."""
    return 0 if tensor.is_inference() else tensor._version
