"""Training of the vanilla autoencoder: reconstruct, and nothing else."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer

from aevb_lib.ascent import ascend
from aevb_lib.models import Autoencoder
from aevb_lib.objectives import point_log_likelihood
from aevb_lib.stacking import apply
from aevb_lib.types import Batch

__all__ = ["Reconstruction"]


class Reconstruction:
    """Stochastic gradient ascent on the log-likelihood of each image given its own code.

    Args:
        model: The autoencoder to train.
        optimizer: Any torch optimizer over its parameters.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.Autoencoder(aevb.MLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> learner = Reconstruction(model, torch.optim.Adam(model.parameters(), lr=1e-3))
        >>> batch = aevb.Batch(torch.rand(100, 784), torch.zeros(100).long(), torch.arange(100))
        >>> sorted(learner.step(batch))
        ['log_likelihood']
    """

    def __init__(self, model: Autoencoder, optimizer: Optimizer) -> None:
        self.model = model
        self.optimizer = optimizer

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Update all parameters once.

        Returns:
            ``log_likelihood`` before the update, averaged over the batch, in nats per image.
        """
        log_likelihood = apply(point_log_likelihood, self.model, batch.images).mean(-1)
        ascend(log_likelihood, self.optimizer)
        return {"log_likelihood": log_likelihood.detach()}
