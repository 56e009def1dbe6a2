"""A step that a GPU repeats by itself, without Python: a CUDA graph of any algorithm."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from aevb_lib.members import members_of, optimizers_of, tensors_of
from aevb_lib.types import Algorithm, Batch

__all__ = ["Replay"]

# Eager steps before one is captured. The first may wait for the device and make what it needs (an
# optimizer its state, say); the others are watched.
NUM_EAGER = 3


class Replay:
    """An algorithm whose step is captured once as a CUDA graph, and then replayed.

    A step of a small model is some hundred short operations, each of which Python has to start; a
    GPU waits for it most of the time. A replayed step is started as a whole, with the same
    operations on the same memory, on a new batch and with new random numbers.

    The first three steps are ordinary ones, and are watched: what cannot be captured is refused
    before it is tried, since a failed capture leaves no way back. Each shape of a batch has its own
    graph, so a short last one is replayed too. On a processor every step is an ordinary one.

    Optimizers are set up for it: ``capturable`` where they have that, with the learning rate in a
    tensor, so that a scheduler reaches the graph. Other numbers, such as a momentum, are part of
    the graph: a change is refused (with ``OneCycleLR`` pass ``cycle_momentum=False``).

    Args:
        algorithm: Any algorithm, of this package or your own, :class:`Together` included.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> device = "cuda" if torch.cuda.is_available() else "cpu"
        >>> model = aevb.mnist_vae(20).to(device)
        >>> learner = Replay(aevb.AEVB(model, torch.optim.Adam(model.parameters(), lr=1e-3)))
        >>> data = aevb.ImageSet(torch.rand(600, 784)).to(device)
        >>> history = aevb.fit(learner, data.batches(100), epochs=2, progress=False)
        >>> history.metrics
        ['train_elbo', 'train_log_likelihood', 'train_kl']
    """

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self._optimizers = list(optimizers_of(algorithm).values())
        self._graphs: dict[torch.Size, _Graph] = {}
        self._num_eager = 0

    @property
    def model(self) -> nn.Module:
        """The algorithm's model."""
        return self.algorithm.model

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Do the algorithm's step: eagerly at first, then from the graph.

        Returns:
            What the algorithm returns.

        Raises:
            RuntimeError: If the step cannot be captured; the message says why. Or if a number that
                is part of the graph has changed since.
        """
        if self._device.type != "cuda":
            return self.algorithm.step(batch)
        with torch.cuda.device(self._device):
            return self._step(batch)

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        if any(graph.is_outdated(self._optimizers) for graph in self._graphs.values()):
            self._graphs, self._num_eager = {}, 0
        if self._num_eager < NUM_EAGER:
            return self._eager_step(batch)
        shape = batch.images.shape
        if shape not in self._graphs:
            self._graphs[shape] = _Graph(self.algorithm, batch, self._optimizers)
        return self._graphs[shape].replay(batch, self._optimizers)

    def _eager_step(self, batch: Batch) -> dict[str, Tensor]:
        if self._num_eager == 0:
            for optimizer in self._optimizers:
                _prepare(optimizer, self._device)
        self._num_eager += 1
        # On another stream than the default one, as a capture will be.
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            if self._num_eager == 1:
                values = self.algorithm.step(batch)
            else:
                with _watched(self.algorithm), _without_waiting():
                    values = self.algorithm.step(batch)
        torch.cuda.current_stream(self._device).wait_stream(stream)
        return values

    @property
    def _device(self) -> torch.device:
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))


class _Graph:
    """One captured step, with the memory of its batch and of what it returns."""

    def __init__(self, algorithm: Algorithm, batch: Batch, optimizers: list[Optimizer]) -> None:
        self.batch = Batch(*(tensor.clone() for tensor in batch))
        self.states = [optimizer.state for optimizer in optimizers]
        self.numbers = _numbers(optimizers)
        self.graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(batch.images.device)
        with torch.cuda.graph(self.graph, stream=stream):
            self.values = algorithm.step(self.batch)

    def is_outdated(self, optimizers: list[Optimizer]) -> bool:
        """Whether an optimizer has been given another state, by ``load_state_dict``."""
        return any(o.state is not state for o, state in zip(optimizers, self.states, strict=True))

    def replay(self, batch: Batch, optimizers: list[Optimizer]) -> dict[str, Tensor]:
        if (now := _numbers(optimizers)) != self.numbers:
            raise RuntimeError(
                "a number that is part of the captured step has changed, which the graph cannot "
                f"see: {_first_change(self.numbers, now)}. Let an optimizer with capturable=True "
                "do it, of which the learning rate may change, or train without Replay"
            )
        for static, tensor in zip(self.batch, batch, strict=True):
            static.copy_(tensor)
        self.graph.replay()
        # The next replay writes into the same memory.
        return {name: value.clone() for name, value in self.values.items()}


def _prepare(optimizer: Optimizer, device: torch.device) -> None:
    """Make an optimizer's step one that can be captured."""
    kind = type(optimizer).__name__
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
            # Also for schedulers, which write into a tensor and would replace a number.
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=device)
            for parameter in group["params"]:
                state = optimizer.state.get(parameter, {})
                for slot, held in state.items():  # mu_product and eta as well
                    if isinstance(held, Tensor):
                        state[slot] = held.to(device)
        elif isinstance(group["lr"], Tensor):
            group["lr"] = float(group["lr"])  # it is read when the step is captured
        if "capturable" not in group and group.get("lr_decay"):
            raise RuntimeError(
                f"this step cannot be captured: {kind} with lr_decay counts its steps on the "
                "processor. Use lr_decay=0, or train without Replay"
            )


def _numbers(optimizers: list[Optimizer]) -> list[dict[str, Any]]:
    """Hyperparameters that become part of a graph, because they are no tensors."""
    return [
        {name: _number(group[name]) for name in optimizer.defaults}
        for optimizer in optimizers
        for group in optimizer.param_groups
    ]


def _number(value: Any) -> Any:
    """What a graph cannot see change: of a tensor, that it is another one."""
    return f"a tensor at {value.data_ptr():#x}" if isinstance(value, Tensor) else value


def _first_change(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> str:
    for old, new in zip(before, after, strict=False):
        for name in new:
            if old.get(name) != new[name]:
                return f"{name} was {old.get(name)} and is {new[name]}"
    return "the groups of parameters"


@contextmanager
def _watched(algorithm: Algorithm) -> Iterator[None]:
    """Refuse a step whose repetition would not be the next step.

    Raises:
        RuntimeError: If a step keeps its state in other memory than before or outside of tensors,
            or draws random numbers on the processor.
    """
    before, random_state = _state_of(algorithm), torch.get_rng_state()
    yield
    after = _state_of(algorithm)
    for name in before | after:
        if before.get(name) != after.get(name):
            raise RuntimeError(
                f"this step cannot be captured: it gives {name} a new value, which a graph does "
                "not repeat; change a tensor in place instead, as by copy_(). Train without Replay"
            )
    if not torch.equal(random_state, torch.get_rng_state()):
        raise RuntimeError(
            "this step cannot be captured: it draws random numbers on the processor, which would "
            "be the same in every step; draw them on the GPU. Train without Replay"
        )


def _state_of(algorithm: Algorithm) -> dict[str, Any]:
    """Where the tensors of an algorithm and its optimizers are, and its numbers."""
    state: dict[str, Any] = {}
    for name, value in members_of(algorithm):
        owners = [(name, value)]
        if isinstance(value, nn.Module):
            owners = [
                (f"{name}.{path}.{fact}", own)
                for path, module in value.named_modules()
                for fact, own in vars(module).items()
            ]
        state |= {n: v for n, v in owners if isinstance(v, int | float)}
    for name, tensor in tensors_of(algorithm).items():
        state[name] = tensor.data_ptr()
    for name, optimizer in optimizers_of(algorithm).items():
        for number, slots in enumerate(optimizer.state.values()):
            for slot, held in slots.items():
                place = held.data_ptr() if isinstance(held, Tensor) else held
                state[f"{name}.state[{number}][{slot!r}]"] = place
    return state


@contextmanager
def _without_waiting() -> Iterator[None]:
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
