"""Draws from the exact posterior, by one Markov chain per image."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from aevb_lib import hmc
from aevb_lib.evidence.pieces import WITH_GRADIENT, piece_size, quietly
from aevb_lib.models import LatentVariableModel

__all__ = ["move", "posterior_draws"]

# Draws from the prior among which a chain finds its start.
NUM_STARTS = 1000


def posterior_draws(
    model: LatentVariableModel,
    x: Float[Tensor, "B P"],
    num_draws: int,
    *,
    num_leapfrog: int = 4,
    num_warmup: int = 50,
    target_acceptance: float = 0.9,
    seed: int = 0,
) -> hmc.HMCState:
    r"""Draw codes from the exact posteriors :math:`p_\theta(z \mid x)`, by one chain per image.

    A chain starts at a draw from the prior, chosen among a thousand by how well it explains the
    image. Neighboring draws resemble each other, and of several modes far apart it sees only one.

    Args:
        model: A generative model.
        x: Images, shape ``[B, P]``.
        num_draws: Number of moves after the warm-up; each gives one draw.
        num_leapfrog: Number of leapfrog steps from one draw to the next.
        num_warmup: Number of moves before the first draw, while each chain's step size is tuned.
        target_acceptance: Acceptance probability that the step sizes are tuned to.
        seed: Seed of the draws.

    Returns:
        Codes, shape ``[num_draws, B, D]``, with :math:`\log p_\theta(x, z)` of each, shape
        ``[num_draws, B]``, and its gradient.

    Raises:
        ValueError: If there is no draw or no image.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.LatentVariableModel(aevb.BernoulliMLP(2, 16))
        >>> posterior_draws(model, torch.rand(5, 16).round(), 20).position.shape
        torch.Size([20, 5, 2])
    """
    if num_draws < 1:
        raise ValueError(f"num_draws must be at least 1, got {num_draws}")
    chains = []
    with quietly(model, x, seed) as x:
        starts = torch.cat([_start(model, some) for some in x.split(piece_size(x, NUM_STARTS))])
        # A start needs a thousand codes and a chain one: together they take Python's time once.
        size = piece_size(x, 1, copies=WITH_GRADIENT)
        for images, start in zip(x.split(size), starts.split(size), strict=True):

            def log_density(z: Tensor, images: Tensor = images) -> Tensor:
                return model.log_joint(images, z)

            state = hmc.init(log_density, start)
            step_size = torch.full_like(state.log_density, 0.1)
            draws = []
            for number in range(num_warmup + num_draws):
                state, info = move(state, log_density, step_size, num_leapfrog)
                if number < num_warmup:
                    rate = 1 - number / num_warmup  # less and less, so that it comes to rest
                    step_size = hmc.adapt_step_size(
                        step_size, info.acceptance, target=target_acceptance, rate=rate
                    )
                else:
                    draws.append(state)
            chains.append([torch.stack(parts) for parts in zip(*draws, strict=True)])
        return hmc.HMCState(*(torch.cat(parts, 1) for parts in zip(*chains, strict=True)))


def move(
    state: hmc.HMCState, log_density: hmc.LogDensity, step_size: Tensor, num_leapfrog: int
) -> tuple[hmc.HMCState, hmc.HMCInfo]:
    """Move chains once, with a step between half and one and a half times as long.

    A trajectory of fixed length that is near a period of a normal posterior ends where it began,
    move after move; that makes the errors of the estimates five times as large.

    Args:
        state: Positions of the chains.
        log_density: The density that the state was initialized with.
        step_size: Average step size of each chain.
        num_leapfrog: Number of leapfrog steps.
    """
    uniform = torch.rand_like(state.log_density)
    return hmc.step(
        state, log_density, step_size=step_size * (0.5 + uniform), num_leapfrog=num_leapfrog
    )


def _start(model: LatentVariableModel, x: Tensor) -> Float[Tensor, "B D"]:
    """One code per image, drawn from the prior and chosen by how well it explains the image."""
    z = model.prior().sample((NUM_STARTS,))
    weights = model.likelihood(z).log_prob(x.unsqueeze(1))  # [B, NUM_STARTS]
    uniform = torch.rand_like(weights)
    # The largest log-weight plus Gumbel noise is a draw with those weights.
    return z[(weights - (-uniform.log()).log()).argmax(-1)]
