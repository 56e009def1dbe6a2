r"""Hamiltonian Monte Carlo: draws from a density of which only the logarithm is known.

To draw a code from the exact posterior one needs :math:`p(z \mid x)` up to a constant, and
:math:`\log p_\theta(x, z)` is just that. HMC (Neal 2011) gives the code z a random momentum r and
lets both glide along the energy :math:`E(z, r) = \tfrac12 |r|^2 - \log p(z)`, in leapfrog steps of
size :math:`\eta`. Were the steps exact, E would not change and every move be accepted; the
Metropolis test corrects what is lost, :math:`O(\eta^2)`.

Everything here is a pure function: ``init`` evaluates a position, ``step`` makes one move of all
chains at once, and no number is read back from the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["HMCInfo", "HMCState", "LogDensity", "adapt_step_size", "init", "leapfrog", "step"]

#: Maps positions ``[..., D]`` to log-densities ``[...]``, differentiably and each on its own.
LogDensity = Callable[[Tensor], Tensor]


class HMCState(NamedTuple):
    """Positions of the chains, and the log-density there.

    Attributes:
        position: Shape ``[..., D]``, one chain per entry of the leading axes.
        log_density: Its log-density in nats, up to a constant, shape ``[...]``.
        gradient: Gradient of the log-density, shape ``[..., D]``.
    """

    position: Float[Tensor, "*chains D"]
    log_density: Float[Tensor, "*chains"]
    gradient: Float[Tensor, "*chains D"]


class HMCInfo(NamedTuple):
    """Acceptance and energy error of a move.

    Attributes:
        acceptance: Probability with which the proposal was accepted, shape ``[...]``.
        is_accepted: Whether it was, shape ``[...]``.
        energy_error: Rise of the energy along the trajectory, in nats, shape ``[...]``; infinite
            where the trajectory ended in infinity or nan.
    """

    acceptance: Float[Tensor, "*chains"]
    is_accepted: Bool[Tensor, "*chains"]
    energy_error: Float[Tensor, "*chains"]


def init(log_density: LogDensity, position: Float[Tensor, "*chains D"]) -> HMCState:
    """Return the state of chains that start at a position.

    Args:
        log_density: The density to draw from. If it changes, as a posterior does when its model
            learns, start again from the position.
        position: Shape ``[..., D]``.

    Raises:
        ValueError: If ``log_density`` does not return one value per chain.

    Example:
        >>> state = init(lambda z: -0.5 * z.square().sum(-1), torch.tensor([[1.0, 2.0]]))
        >>> state.log_density, state.gradient
        (tensor([-2.5000]), tensor([[-1., -2.]]))
    """
    with torch.enable_grad():
        position = position.detach().requires_grad_()
        value = log_density(position)
        if value.shape != position.shape[:-1]:
            raise ValueError(
                f"log_density must return one value per chain, shape {list(position.shape[:-1])}, "
                f"but returned {list(value.shape)} for positions {list(position.shape)}"
            )
        # To the position only: the weights of a model keep their gradients.
        (gradient,) = torch.autograd.grad(value.sum(), position)
    return HMCState(position.detach(), value.detach(), gradient)


def step(
    state: HMCState,
    log_density: LogDensity,
    *,
    step_size: float | Float[Tensor, "*#chains"],
    num_leapfrog: int,
    generator: torch.Generator | None = None,
) -> tuple[HMCState, HMCInfo]:
    r"""Make one move of every chain; it leaves the density invariant.

    Draw a momentum :math:`r \sim \mathcal N(0, I)`, follow the trajectory, and accept its end
    :math:`(z', r')` with probability :math:`\min(1, e^{E(z, r) - E(z', r')})`.

    Args:
        state: State from :func:`init` or the step before.
        log_density: The density that the state was initialized with.
        step_size: :math:`\eta`, for all chains or one each, shape ``[...]``.
        num_leapfrog: Number of leapfrog steps per move; each costs one gradient.
        generator: Generator on the chains' device; its global one by default.

    Returns:
        The new state, and how the move went.

    Raises:
        ValueError: If there is no leapfrog step, or the step size is a number and not positive.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> log_density = lambda z: -0.5 * z.square().sum(-1)  # 1000 chains, all from the origin
        >>> state = init(log_density, torch.zeros(1000, 1))
        >>> for _ in range(10):
        ...     state, info = step(
        ...         state, log_density, step_size=0.5, num_leapfrog=4, generator=generator
        ...     )
        >>> print(f"{state.position.std():.1f} {info.acceptance.mean():.1f}")
        1.0 1.0
    """
    momentum = torch.empty_like(state.position).normal_(generator=generator)
    proposal, end = leapfrog(
        state, momentum, log_density, step_size=step_size, num_leapfrog=num_leapfrog
    )
    energy_error = _energy(proposal, end) - _energy(state, momentum)
    energy_error = energy_error.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
    acceptance = (-energy_error).exp().clamp(max=1.0)
    is_accepted = torch.empty_like(acceptance).uniform_(generator=generator) < acceptance
    chosen = is_accepted.unsqueeze(-1)
    return (
        HMCState(
            torch.where(chosen, proposal.position, state.position),
            torch.where(is_accepted, proposal.log_density, state.log_density),
            torch.where(chosen, proposal.gradient, state.gradient),
        ),
        HMCInfo(acceptance, is_accepted, energy_error),
    )


def leapfrog(
    state: HMCState,
    momentum: Float[Tensor, "*chains D"],
    log_density: LogDensity,
    *,
    step_size: float | Float[Tensor, "*#chains"],
    num_leapfrog: int,
) -> tuple[HMCState, Float[Tensor, "*chains D"]]:
    r"""Follow a trajectory: half a step of momentum, whole steps of both, half a step of momentum.

    It is reversible (with the momentum turned round it runs back to where it came from) and keeps
    volumes, which is why the acceptance probability needs no other factor than the energy.

    Args:
        state: State at the start.
        momentum: Shape ``[..., D]``.
        log_density: See :func:`step`.
        step_size: See :func:`step`.
        num_leapfrog: See :func:`step`.

    Returns:
        The state and the momentum at the end.

    Raises:
        ValueError: See :func:`step`.

    Example:
        >>> log_density = lambda z: -0.5 * z.square().sum(-1)  # a harmonic oscillator
        >>> start = init(log_density, torch.tensor([1.0]))
        >>> end, _ = leapfrog(
        ...     start, torch.zeros(1), log_density, step_size=3.14159 / 100, num_leapfrog=100
        ... )
        >>> print(f"{end.position.item():.3f}")  # after half a turn
        -1.000
    """
    if num_leapfrog < 1:
        raise ValueError(f"num_leapfrog must be at least 1, got {num_leapfrog}")
    if isinstance(step_size, Tensor):
        step_size = step_size.unsqueeze(-1)
    elif not step_size > 0:
        raise ValueError(f"step_size must be positive, got {step_size}")
    momentum = momentum + 0.5 * step_size * state.gradient
    for number in range(num_leapfrog):
        state = init(log_density, state.position + step_size * momentum)
        share = 1.0 if number < num_leapfrog - 1 else 0.5
        momentum = momentum + share * step_size * state.gradient
    return state, momentum


def adapt_step_size(
    step_size: Float[Tensor, "*shape"],
    acceptance: Float[Tensor, "*shape"],
    *,
    target: float = 0.9,
    rate: float = 1.0,
) -> Float[Tensor, "*shape"]:
    r"""Return a longer step after moves that were accepted too easily, a shorter one otherwise.

    .. math:: \eta' = \eta \, e^{\kappa (\alpha - \alpha^*)}

    It stands still where the acceptance probability :math:`\alpha` is the target on average, for
    many chains as for one. (To multiply or divide by a fixed factor, as the paper's authors did,
    ends where half of the values are above the target, and goes on jumping by that factor.)

    Adapting makes later steps depend on earlier ones. Draws that are to be from the density itself
    are made after the step size has been left alone.

    Args:
        step_size: :math:`\eta`, a scalar tensor or one value per chain.
        acceptance: :math:`\alpha`, of the same shape: averaged over chains that share a step size.
        target: :math:`\alpha^*`; the paper's Monte Carlo EM has 0.9 (appendix E).
        rate: Rate :math:`\kappa` of the adaptation.

    Raises:
        ValueError: If the target is not between 0 and 1, or the rate not positive.

    Example:
        >>> print(f"{adapt_step_size(torch.tensor(0.01), torch.tensor(1.0)):.4f}")
        0.0111
    """
    if not 0 < target < 1:
        raise ValueError(f"target is an acceptance probability between 0 and 1, got {target}")
    if not rate > 0:
        raise ValueError(f"rate must be positive, got {rate}")
    return step_size * (rate * (acceptance - target)).exp()


def _energy(state: HMCState, momentum: Tensor) -> Tensor:
    return 0.5 * momentum.square().sum(-1) - state.log_density
