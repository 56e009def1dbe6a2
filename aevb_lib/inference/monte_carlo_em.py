"""Monte Carlo EM (Wei & Tanner 1990): no encoder, a Markov chain for every image instead."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.optim import Optimizer

from aevb_lib import hmc
from aevb_lib.ascent import ascend
from aevb_lib.models import LatentVariableModel
from aevb_lib.objectives import complete_data
from aevb_lib.stacking import apply
from aevb_lib.types import Batch

__all__ = ["MonteCarloEM", "OnlineMonteCarloEM"]

# Chains that are moved before their step size is tuned: a fiftieth of a batch, and a hundred at
# least. Tuned once per move of 50,000 chains, it would be ten times too short for sixteen of them.
MIN_PIECE, NUM_PIECES = 100, 50


class OnlineMonteCarloEM:
    r"""Monte Carlo EM by minibatches: move the chains of a batch, then update the weights.

    The E-step moves the chain of every image in the batch once, by Hamiltonian Monte Carlo on
    :math:`p_\theta(z \mid x)`; the M-step is a few gradient steps on :math:`\log p_\theta(x, z)`
    with the codes held fixed. This is not the paper's recipe, whose E-step moves the chains of all
    images: see :class:`MonteCarloEM`. The price of the many updates is that a chain goes on where
    it was when its image was last seen, an epoch ago, under weights that have changed since.

    Args:
        model: A generative model; an encoder, if it has one, is not used and not trained.
        optimizer: Any torch optimizer over its parameters.
        num_data: N, images in the data set. Chains are found by ``Batch.indices``.
        num_leapfrog: Leapfrog steps of a move.
        num_updates: Updates of the weights per batch.
        target_acceptance: The step size, one for all chains, is tuned towards this.
        step_size: Step size of the first move.
        restart: Whether each move begins at a draw from the prior, instead of where the chain is.
            One move is then all a chain has to reach the posterior: on a linear-Gaussian model,
            where chains that go on find the maximum, training ends six nats below it.

    Raises:
        ValueError: If there is no data or no update.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.LatentVariableModel(aevb.BernoulliMLP(3, 784))
        >>> learner = OnlineMonteCarloEM(model, torch.optim.Adam(model.parameters()), num_data=1000)
        >>> batch = aevb.Batch(torch.rand(100, 784), torch.zeros(100).long(), torch.arange(100))
        >>> sorted(learner.step(batch)), learner.codes.shape
        (['acceptance', 'log_joint', 'step_size'], torch.Size([1000, 3]))
    """

    def __init__(
        self,
        model: LatentVariableModel,
        optimizer: Optimizer,
        *,
        num_data: int,
        num_leapfrog: int = 10,
        num_updates: int = 5,
        target_acceptance: float = 0.9,
        step_size: float = 0.01,
        restart: bool = False,
    ) -> None:
        if num_data < 1:
            raise ValueError(f"num_data must be the number of images, at least 1, got {num_data}")
        if num_updates < 1:
            raise ValueError(f"num_updates must be at least 1, got {num_updates}")
        self.model = model
        self.optimizer = optimizer
        self.num_leapfrog = num_leapfrog
        self.num_updates = num_updates
        self.target_acceptance = target_acceptance
        self.restart = restart
        #: Where the chain of each image is, shape ``[N, D]``.
        self.codes = model.prior().sample((num_data,))
        self.step_size = torch.full_like(self.codes[0, 0], step_size)
        self._is_checked = False

    def step(self, batch: Batch) -> dict[str, Tensor]:
        r"""Move the batch's chains once, then update the weights a few times.

        Returns:
            ``log_joint``, :math:`\log p_\theta(x, z)` of images and their new codes before the
            first update, averaged over the batch, in nats per image; and, without a unit,
            ``acceptance``, the average acceptance probability, and ``step_size``, with which the
            move began.

        Raises:
            IndexError: If an image's index is not below ``num_data``; noticed in every step on
                a CPU, in the first one on a GPU, where a later one is an error of the device
                ("device-side assert"), after which the process has to be restarted.
        """
        # Does nothing, unless the model has been moved since the last step.
        self.codes, self.step_size = (
            value.to(batch.images.device) for value in (self.codes, self.step_size)
        )
        chains = batch.indices.unsqueeze(-1).expand(*batch.indices.shape, self.codes.shape[-1])
        num_images = chains.shape[-2]
        size = max(MIN_PIECE, -(-num_images // NUM_PIECES))
        pieces = list(zip(batch.images.split(size, -2), chains.split(size, -2), strict=True))
        first_step = self.step_size.clone()
        moves = [self._move(*piece) for piece in pieces]
        log_joint, acceptance = (
            torch.cat(values, -1).mean(-1) for values in zip(*moves, strict=True)
        )
        if chains.device.type != "cpu":  # the caches of a processor would not hold all at once
            pieces = [(batch.images, chains)]
        for _ in range(self.num_updates):
            shares = (
                self._log_joint(images, self.codes.gather(-2, chains)).mean(-1)
                * (images.shape[-2] / num_images)
                for images, chains in pieces
            )
            ascend(shares, self.optimizer)
        return {"log_joint": log_joint, "acceptance": acceptance, "step_size": first_step}

    def _move(self, images: Tensor, chains: Tensor) -> tuple[Tensor, Tensor]:
        """Move some chains once and tune the step size; return log-joints and acceptances."""
        log_density = partial(self._log_joint, images)
        state, info = hmc.step(
            hmc.init(log_density, self._codes_of(chains)),
            log_density,
            step_size=self.step_size.clone().unsqueeze(-1),
            num_leapfrog=self.num_leapfrog,
        )
        # In place, here and below: a step that is replayed finds its state where it was.
        self.codes.scatter_(-2, chains, state.position)
        self.step_size.copy_(
            hmc.adapt_step_size(
                self.step_size, info.acceptance.mean(-1), target=self.target_acceptance
            )
        )
        return state.log_density, info.acceptance

    def _log_joint(self, images: Tensor, codes: Tensor) -> Tensor:
        log_joint: Tensor = apply(complete_data, self.model, images, codes)
        return log_joint

    def _codes_of(self, chains: Tensor) -> Tensor:
        try:
            # A GPU would not raise an error but break down, so in the first step it is waited for.
            if not (self._is_checked or chains.device.type in ("cpu", "meta")):
                self.codes.cpu().gather(-2, chains.cpu())
                self._is_checked = True
            codes = self.codes.gather(-2, chains)
            return apply(_prior_draws, self.model, codes) if self.restart else codes
        except RuntimeError as error:
            if "out of bounds" not in str(error):
                raise
            num_data = self.codes.shape[-2]
            raise IndexError(
                f"an image's index is not among 0 to {num_data - 1}, with num_data={num_data}: "
                "pass num_data=len(train), the size of the set that the batches are made from"
            ) from error


def _prior_draws(model: LatentVariableModel, codes: Tensor) -> Tensor:
    """As many codes from the prior as there are."""
    return model.prior().sample(codes.shape[:-1])


class MonteCarloEM(OnlineMonteCarloEM):
    r"""Monte Carlo EM as the paper has it: move the chains of all images, then update the weights.

    The E-step is one move of :math:`L` leapfrog steps for each of the N chains, the M-step five
    gradient steps on :math:`\log p_\theta(x, z)`, averaged over all images, with the codes held
    fixed (appendix E; the first author's own code, ``anglepy``, has the same loop, with chains that
    go on where they were). So the weights move five times for every N images seen, and not for
    every hundred: "Monte Carlo EM is not an on-line algorithm" (figure 3).

    The step size is tuned after every fiftieth of the chains, or every hundred of fewer, so that a
    few moves suffice for it.
    A batch is the whole set: ``images.batches(len(images))``. The arguments are those of
    :class:`OnlineMonteCarloEM`, where they are described.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> images = aevb.ImageSet(torch.rand(200, 784))
        >>> model = aevb.LatentVariableModel(aevb.BernoulliMLP(3, 784))
        >>> learner = MonteCarloEM(model, torch.optim.Adam(model.parameters()), num_data=200)
        >>> history = aevb.fit(learner, images.batches(200), epochs=3, progress=False)
        >>> history["examples"]
        [200, 400, 600]
    """

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Move all chains once, then update the weights a few times.

        Returns:
            See :meth:`OnlineMonteCarloEM.step`.

        Raises:
            ValueError: If the batch is not the whole set.
            IndexError: See :meth:`OnlineMonteCarloEM.step`.
        """
        num_images, num_data = batch.indices.shape[-1], self.codes.shape[-2]
        if num_images != num_data:
            raise ValueError(
                f"the E-step moves the chains of all {num_data} images, but this batch holds "
                f"{num_images}: pass images.batches(len(images)), or use "
                "aevb_lib.OnlineMonteCarloEM, which goes from batch to batch"
            )
        return super().step(batch)
