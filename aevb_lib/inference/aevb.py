"""Auto-encoding variational Bayes: the paper's algorithm 1."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer

from aevb_lib.models import VAE
from aevb_lib.objectives import Bound, sgvb_b
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
        num_samples: L, samples per image; one is enough for a batch of 100 (section 2.3).

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

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Update all parameters once.

        Returns:
            The bound and its two parts before the update, averaged over the batch, in nats per
            image: ``elbo``, ``log_likelihood``, ``kl``.
        """
        bound = self.estimator(self.model, batch.images, num_samples=self.num_samples)
        if not hasattr(bound, "_asdict"):
            raise TypeError(
                "an estimator returns aevb_lib.Bound(elbo, log_likelihood, kl), one value per "
                f"image in each, but this one returned a {type(bound).__name__}"
            )
        elbo = bound.elbo.mean()
        self.optimizer.zero_grad()
        (-elbo).backward()
        self.optimizer.step()
        parts = {k: values.detach().mean() for k, values in bound._asdict().items() if k != "elbo"}
        return {"elbo": elbo.detach(), **parts}
