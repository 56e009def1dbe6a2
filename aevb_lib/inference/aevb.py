"""Auto-encoding variational Bayes: the paper's algorithm 1."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim import Optimizer

from aevb_lib.ascent import ascend
from aevb_lib.models import VAE
from aevb_lib.objectives import Bound, sgvb_a, sgvb_b
from aevb_lib.stacking import apply
from aevb_lib.types import Batch

__all__ = ["AEVB", "Estimator"]


@runtime_checkable
class Estimator(Protocol):
    """Any function of a model and images that returns a :class:`aevb_lib.objectives.Bound`."""

    def __call__(self, model: VAE, x: Tensor, num_samples: int = 1) -> Bound:
        """Return the bound, one value per image."""
        ...


class AEVB:
    r"""Stochastic gradient ascent on the bound, in encoder and decoder at once (algorithm 1).

    Args:
        model: The model to train.
        optimizer: Any torch optimizer over its parameters.
        estimator: :func:`aevb_lib.objectives.sgvb_b`, :func:`aevb_lib.objectives.sgvb_a`,
            :func:`aevb_lib.objectives.iwae`, or your own.
        num_samples: Number L of samples per image; one is enough for a batch of 100 (section 2.3).

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> learner = AEVB(model, torch.optim.Adam(model.parameters(), lr=1e-3))
        >>> batch = aevb.Batch(torch.rand(100, 784), torch.zeros(100).long(), torch.arange(100))
        >>> sorted(learner.step(batch))
        ['elbo', 'kl', 'log_likelihood']
    """

    def __init__(
        self,
        model: VAE,
        optimizer: Optimizer,
        *,
        estimator: Estimator = sgvb_b,
        num_samples: int = 1,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.estimator = estimator
        self.num_samples = num_samples
        self._checked: Estimator | None = None

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Update all parameters once.

        Returns:
            The bound and its two parts before the update, averaged over the batch, in nats per
            image: ``elbo``, ``log_likelihood``, ``kl``. Under another estimator than the paper's
            two the first is called ``bound``, since it need not be the ELBO.

        Raises:
            TypeError: If the estimator returns anything but a :class:`aevb_lib.objectives.Bound`.
            ValueError: If that does not hold one value per image.
        """
        bound = apply(self.estimator, self.model, batch.images, num_samples=self.num_samples)
        if self.estimator is not self._checked:
            self._check(bound, batch.images.shape[:-1])
        mean = bound.bound.mean(-1)
        ascend(mean, self.optimizer)
        name = "elbo" if self.estimator in (sgvb_a, sgvb_b) else "bound"
        return {
            name: mean.detach(),
            "log_likelihood": bound.log_likelihood.detach().mean(-1),
            "kl": bound.kl.detach().mean(-1),
        }

    def _check(self, bound: object, expected: torch.Size) -> None:
        if not isinstance(bound, Bound):
            raise TypeError(
                "an estimator returns aevb_lib.Bound(bound, log_likelihood, kl), one value per "
                f"image in each, but this one returned a {type(bound).__name__}"
            )
        if shapes := [list(part.shape) for part in bound if part.shape != expected]:
            raise ValueError(
                f"an estimator returns one value per image, shape {list(expected)}, but this one "
                f"returned {shapes[0]}: sum over pixels, average over samples"
            )
        self._checked = self.estimator
