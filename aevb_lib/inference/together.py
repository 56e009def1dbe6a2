"""Many learners trained as one: other seeds, other learning rates, one step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from aevb_lib.members import numbers_of
from aevb_lib.stacking import Stack
from aevb_lib.types import Algorithm, Batch

__all__ = ["Together"]


class Together:
    """S learners of one shape, each step of which is a step of all of them.

    A step of a small model waits for Python and not for arithmetic, above all on a GPU. Here the
    parameters of all models are stacked along a leading axis, the models and the estimator go
    through ``torch.func.vmap`` as they are, and Python is waited for once. What a learner learns is
    what it would learn alone: its models, optimizers and chains stay its own, and are up to date
    after every step. They may differ in weights, learning rates and whatever else its optimizers
    hold, not in the options of the algorithm.

    Train them by :func:`aevb_lib.training.fit_each`, with one order of the images for each:
    ``images.batches(100, generator=[one generator per learner])``.

    Args:
        learners: Algorithms of one class, with models of one shape.

    Raises:
        TypeError: If the learners are not of one class.
        ValueError: If there is none, their models are not of one shape, their options differ, or
            an optimizer trains what is no parameter of its learner's model.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> def learner(seed):
        ...     model = aevb.mnist_vae(2, hidden_dim=8, generator=aevb.seed_everything(seed))
        ...     return aevb.AEVB(model, torch.optim.Adam(model.parameters(), lr=1e-3))
        >>> together = Together([learner(seed) for seed in range(3)])
        >>> batch = aevb.Batch(torch.rand(100, 784), torch.zeros(100).long(), torch.arange(100))
        >>> together.step(batch)["elbo"].shape
        torch.Size([3])
    """

    def __init__(self, learners: Sequence[Algorithm]) -> None:
        self.learners = list(learners)
        for learner in self.learners:
            if any(isinstance(value, Algorithm) for value in vars(learner).values()):
                raise TypeError("put Replay around Together, not inside: Replay(Together(...))")
        kinds = {type(learner) for learner in self.learners}
        if len(kinds) > 1:
            names = sorted(kind.__name__ for kind in kinds)
            raise TypeError(f"learners of one class are trained together, not {names}")
        #: The stacked models; ``model.models`` are those of the learners.
        self.model = Stack([learner.model for learner in self.learners])
        # The algorithm itself, which computes for the stack what it would for one model.
        self._leader: Any = copy.copy(self.learners[0])
        for name in vars(self._leader):
            setattr(self._leader, name, self._shared(name))
        self._own = [dict(vars(learner)) for learner in self.learners]

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy, or what is read from a file, has a stack of its own models.
        return type(self), (self.learners,)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Do one step of every learner.

        Args:
            batch: One batch for each learner, every tensor with a leading axis S; or one for all.

        Returns:
            What the learners' own ``step`` returns, one value per learner, shape ``[S]``.
        """
        self._check()
        size = len(self.learners)
        if batch.images.ndim == 3 and len(batch.images) != size:
            raise ValueError(
                f"there are {size} learners, but the batch is one for {len(batch.images)}: pass "
                "images.batches(size, generator=[one per learner])"
            )
        if batch.images.ndim == 2:
            batch = Batch(*(tensor.expand(size, *tensor.shape) for tensor in batch))
        # Numbers are the learners', before and after: a count, say, goes on in all of them.
        vars(self._leader).update(numbers_of(self.learners[0]))
        before = {n: t.data_ptr() for n, t in vars(self._leader).items() if isinstance(t, Tensor)}
        values: dict[str, Tensor] = self._leader.step(batch)
        for learner in self.learners:
            vars(learner).update(numbers_of(self._leader))
        for name, value in vars(self._leader).items():
            if isinstance(value, Tensor) and value.data_ptr() != before.get(name):
                raise RuntimeError(
                    f"the step gives {name} a new value, which the learners would not see: change "
                    "it in place, as by copy_()"
                )
        return values

    def _check(self) -> None:
        """Refuse to go on with learners that are no longer what was put together."""
        self.model.check()
        numbers = numbers_of(self.learners[0])
        for learner, own in zip(self.learners, self._own, strict=True):
            for name, value in vars(learner).items():
                if name.startswith("_"):
                    continue
                if isinstance(value, int | float | str):
                    is_same = value == numbers.get(name)
                else:
                    is_same = value is own.get(name)
                if not is_same:
                    raise RuntimeError(
                        f"{name} of a learner was replaced since they were put together, or is no "
                        "longer that of the others: make a new Together of the learners"
                    )

    def _shared(self, name: str) -> Any:
        """What the leader has under a name: the members' own, as one."""
        own = [vars(learner)[name] for learner in self.learners]
        if own[0] is self.learners[0].model:
            return self.model
        if isinstance(own[0], Optimizer):
            return _Optimizers(own, self.model)
        if isinstance(own[0], Tensor):
            if any(value.shape != own[0].shape for value in own):
                shapes = sorted({tuple(value.shape) for value in own})
                raise ValueError(f"learners are trained together if {name} has one shape: {shapes}")
            # Where the models are: they may have been moved since the learners were made.
            device = next((p.device for p in self.model.stacked.values()), own[0].device)
            stacked = torch.stack([value.to(device) for value in own])
            for learner, row in zip(self.learners, stacked, strict=True):
                setattr(learner, name, row)
            return stacked
        if not name.startswith("_") and any(value != own[0] for value in own):
            raise ValueError(
                "learners that are trained together may differ in weights and optimizers, but not "
                f"in {name}: {list(dict.fromkeys(map(repr, own)))}"
            )
        return own[0]


class _Optimizers:
    """One optimizer per model of a stack, each with its own rows of the gradients."""

    def __init__(self, optimizers: list[Optimizer], stack: Stack) -> None:
        self.optimizers = optimizers
        self._sizes = [_size(optimizer) for optimizer in optimizers]
        #: Stacked parameters that the optimizers train, each with its rows.
        self.trained: list[tuple[Tensor, list[Tensor]]] = []
        members = [dict(model.named_parameters()) for model in stack.models]
        ours = [
            {id(p) for group in optimizer.param_groups for p in group["params"]}
            for optimizer in optimizers
        ]
        for name, stacked in stack.stacked.items():
            rows: list[Tensor] = [member[name] for member in members]
            if any(id(row) in own for row, own in zip(rows, ours, strict=True)):
                self.trained.append((stacked, rows))
        for number, own in enumerate(ours):
            if own != {id(rows[number]) for _, rows in self.trained}:
                raise ValueError(
                    "the optimizer of each learner must train parameters of its own model, and "
                    "those of the same names in all learners"
                )

    def zero_grad(self) -> None:
        for stacked, rows in self.trained:
            stacked.grad = None
            for row in rows:  # or what this objective does not touch would move by an old one
                row.grad = None

    def step(self) -> None:
        for stacked, rows in self.trained:
            if stacked.grad is not None:
                for row, gradient in zip(rows, stacked.grad, strict=True):
                    row.grad = gradient
        for optimizer, size in zip(self.optimizers, self._sizes, strict=True):
            if _size(optimizer) != size:
                raise RuntimeError(
                    "an optimizer was given other parameters since the learners were put together: "
                    "make a new Together of the learners"
                )
            optimizer.step()


def _size(optimizer: Optimizer) -> int:
    return sum(len(group["params"]) for group in optimizer.param_groups)
