"""A step that a GPU repeats by itself, without Python: a CUDA graph of any algorithm."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from aevb_lib.members import optimizers_of
from aevb_lib.repeatable import Constants, watched, without_waiting
from aevb_lib.types import Algorithm, Batch

__all__ = ["Replay"]

# Eager steps with batches of a shape before one is captured. The first may wait for the device and
# make what it needs (an optimizer its state, say); the others are watched.
NUM_EAGER = 3


class Replay:
    """An algorithm whose step is captured once as a CUDA graph, and then replayed.

    A step of a small model is some hundred short operations, each of which Python has to start; a
    GPU waits for it most of the time. A replayed step is started as a whole, with the same
    operations on the same memory, on a new batch and with new random numbers.

    Each shape of a batch has its own graph, so a short last one is replayed too. The first three
    steps of each shape are ordinary ones, and are watched: what is seen to hinder a capture (a
    number read from the GPU, a tensor that is replaced, a state on the processor) is refused before
    it is tried, since after a failed capture the process has to be restarted. On a processor every
    step is an ordinary one.

    Optimizers are set up for it: ``capturable`` where they have that, with the learning rate in a
    tensor, so that a scheduler reaches the graph. What is no value in the memory of the GPU is part
    of the graph: a momentum, an option such as ``num_samples``, the mode of a module, what is
    frozen, autocast. A change is refused, and takes a new ``Replay`` (with ``OneCycleLR`` pass
    ``cycle_momentum=False``).

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
        # None of this is a number or a tensor, which a checkpoint would keep: a training that goes
        # on in another process has to prepare its optimizers and capture its steps there.
        self._prepared: list[tuple[Any, int]] | None = None
        self._eager_steps: Counter[torch.Size] = Counter()
        self._graphs: dict[torch.Size, _Graph] = {}
        self._constants: Constants | None = None

    @property
    def model(self) -> nn.Module:
        """The algorithm's model."""
        return self.algorithm.model

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Do the algorithm's step: eagerly at first, then from the graph.

        Returns:
            What the algorithm returns.

        Raises:
            RuntimeError: If the step cannot be captured; the message says why. Or if something that
                is part of the graph has changed since.
        """
        if self._device.type != "cuda":
            return self.algorithm.step(batch)
        with torch.cuda.device(self._device):
            return self._step(batch)

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        # By load_state_dict an optimizer gets another state, and a learning rate to be set up.
        prepared = [(o.state, len(o.param_groups)) for o in self._optimizers]
        if self._prepared is None or any(
            state is not old_state or size != old_size
            for (state, size), (old_state, old_size) in zip(prepared, self._prepared, strict=True)
        ):
            for optimizer in self._optimizers:
                _prepare(optimizer, self._device)
            self._prepared, self._constants = prepared, None
            self._eager_steps, self._graphs = Counter(), {}
        if self._constants is not None:
            self._constants.check()
        shape = batch.images.shape
        if self._eager_steps[shape] < NUM_EAGER:
            self._eager_steps[shape] += 1
            return self._eager_step(batch, is_watched=self._eager_steps[shape] > 1)
        if self._constants is None:
            self._constants = Constants(self.algorithm, self._device)
        if shape not in self._graphs:
            self._graphs[shape] = _Graph(self.algorithm, batch)
        return self._graphs[shape].replay(batch)

    def _eager_step(self, batch: Batch, *, is_watched: bool) -> dict[str, Tensor]:
        # On another stream than the default one, as a capture will be.
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            if is_watched:
                with watched(self.algorithm, self._device), without_waiting():
                    values = self.algorithm.step(batch)
            else:
                values = self.algorithm.step(batch)
        torch.cuda.current_stream(self._device).wait_stream(stream)
        return values

    @property
    def _device(self) -> torch.device:
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))


class _Graph:
    """One captured step, with the memory of its batch and of what it returns."""

    def __init__(self, algorithm: Algorithm, batch: Batch) -> None:
        self.batch = Batch(*(tensor.clone() for tensor in batch))
        self.graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(batch.images.device)
        try:
            with torch.cuda.graph(self.graph, stream=stream):
                self.values = algorithm.step(self.batch)
        except RuntimeError as error:
            raise RuntimeError(
                "the capture of this step failed, and this process may no longer be able to draw "
                "random numbers on the GPU: restart it. The step may wait for the GPU in a way "
                "that torch does not report, or draw from a generator of its own; the error above "
                "says more. Change that, or train without Replay"
            ) from error

    def replay(self, batch: Batch) -> dict[str, Tensor]:
        for static, tensor in zip(self.batch, batch, strict=True):
            static.copy_(tensor)
        self.graph.replay()
        # The next replay writes into the same memory.
        return {name: value.clone() for name, value in self.values.items()}


def _prepare(optimizer: Optimizer, device: torch.device) -> None:
    """Make an optimizer's step one that can be captured."""
    kind = type(optimizer).__name__
    # Or torch warns in the eager steps that a capturable optimizer is not captured.
    optimizer._warned_capturable_if_run_uncaptured = True
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
