r"""How probable is an image? Estimates of :math:`\log p_\theta(x)` that need no encoder.

:func:`aevb_lib.evaluation.importance_log_likelihood` leans on a trained encoder. The functions here
know the generative model alone, so they can judge any way of training it, and the encoder itself:

* annealed importance sampling walks from prior to posterior: unbiased for p(x) in any dimension;
* the paper's estimator (appendix D) fits a density to draws from the posterior: for a few.

Where :mod:`aevb_lib.quadrature` is feasible, both can be held against it. They return nats per
image, draw their random numbers from ``seed`` and nowhere else, and work in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal

from aevb_lib import hmc
from aevb_lib.distributions import log_mean_exp
from aevb_lib.models import LatentVariableModel

__all__ = ["ais_log_likelihood", "hmc_log_likelihood", "posterior_draws"]

# Decoded values in memory at once, codes times images times pixels: 100 MB of float32.
MAX_DECODED = 25_000_000
# Draws from the prior among which a posterior chain finds its start.
NUM_STARTS = 1000


@torch.no_grad()
def hmc_log_likelihood(
    model: LatentVariableModel,
    x: Float[Tensor, "B P"],
    *,
    num_samples: int = 50,
    num_leapfrog: int = 4,
    num_warmup: int = 50,
    target_acceptance: float = 0.9,
    seed: int = 0,
) -> Float[Tensor, " B"]:
    r"""Estimate :math:`\log p_\theta(x)` from draws of the posterior: the paper's appendix D.

    .. math::
        \frac{1}{p_\theta(x)} = \int \frac{q(z)}{p_\theta(x)}\, dz
        = \mathbb E_{p_\theta(z \mid x)}\!\left[\frac{q(z)}{p(z)\, p_\theta(x \mid z)}\right]
        \approx \frac1L \sum_{l=1}^L \frac{q(z^{(l)})}{p(z^{(l)})\, p_\theta(x \mid z^{(l)})}

    for any density q. One Markov chain per image draws L codes, to which q is fitted, and then L
    new ones, which go into the formula: with the same codes in both, q would be too high where they
    happen to be. Here q is a normal distribution with full covariance: with it the estimate has no
    variance where the posterior is normal, and has one as long as q is not much wider than the
    posterior. Of several modes the chain sees one, and the estimate misses the others. The paper
    trusts it below five latent dimensions.

    Args:
        model: A generative model.
        x: Images, shape ``[B, P]``.
        num_samples: L, draws for the fit and as many for the estimate; more than D.
        num_leapfrog: As for :func:`posterior_draws`, here and below.
        num_warmup: Moves before the first draw.
        target_acceptance: Of the chains.
        seed: Of the chains.

    Returns:
        One value per image in nats, shape ``[B]``.

    Raises:
        ValueError: If there are too few draws to fit a covariance, or there is no image.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.LatentVariableModel(aevb.BernoulliMLP(2, 16))
        >>> hmc_log_likelihood(model, torch.rand(5, 16).round()).shape
        torch.Size([5])
    """
    if num_samples <= model.latent_dim:
        raise ValueError(
            f"num_samples must exceed the latent dimension {model.latent_dim}, or a covariance "
            f"cannot be fitted to the draws; got {num_samples}"
        )
    z, log_joint, _ = posterior_draws(
        model,
        x,
        2 * num_samples,
        num_leapfrog=num_leapfrog,
        num_warmup=num_warmup,
        target_acceptance=target_acceptance,
        seed=seed,
    )
    q = _fit_normal(z[:num_samples])
    return -log_mean_exp(q.log_prob(z[num_samples:]) - log_joint[num_samples:])


@torch.no_grad()
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
        num_draws: Moves after the warm-up; each gives one draw.
        num_leapfrog: Leapfrog steps from one draw to the next.
        num_warmup: Moves before the first draw, while each chain's step size is tuned.
        target_acceptance: What it is tuned to.
        seed: Of the draws.

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
    generator = _generator(x, seed)
    chains = []
    for images in _pieces(x, NUM_STARTS):

        def log_density(z: Tensor, images: Tensor = images) -> Tensor:
            return model.log_joint(images, z)

        state = hmc.init(log_density, _start(model, images, generator))
        step_size = torch.full_like(state.log_density, 0.1)
        draws = []
        for move in range(num_warmup + num_draws):
            state, info = _move(state, log_density, step_size, num_leapfrog, generator)
            if move < num_warmup:
                rate = 1 - move / num_warmup  # less and less, so that it comes to rest
                step_size = hmc.adapt_step_size(
                    step_size, info.acceptance, target=target_acceptance, rate=rate
                )
            else:
                draws.append(state)
        chains.append([torch.stack(parts) for parts in zip(*draws, strict=True)])
    return hmc.HMCState(*(torch.cat(parts, 1) for parts in zip(*chains, strict=True)))


@torch.no_grad()
def ais_log_likelihood(
    model: LatentVariableModel,
    x: Float[Tensor, "B P"],
    *,
    num_temperatures: int = 500,
    num_chains: int = 16,
    num_leapfrog: int = 4,
    target_acceptance: float = 0.65,
    seed: int = 0,
) -> Float[Tensor, " B"]:
    r"""Estimate :math:`\log p_\theta(x)` by annealed importance sampling (Neal 2001).

    Chains start at draws from the prior and follow
    :math:`\pi_t(z) \propto p(z)\, p_\theta(x \mid z)^{\beta_t}` while the image is faded in, from
    :math:`\beta_0 = 0` to :math:`\beta_T = 1`, one Hamiltonian move at each temperature:

    .. math::
        \log w = \sum_{t=1}^{T} (\beta_t - \beta_{t-1}) \log p_\theta(x \mid z_{t-1}), \qquad
        \mathbb E[w] = p_\theta(x).

    The average of w is unbiased, so its logarithm is a lower bound in expectation. For that the
    step sizes must not depend on the chains: each image's are tuned on a chain that is thrown away.
    The temperatures follow a sigmoid, dense at both ends (Wu et al. 2017).

    Args:
        model: A generative model, with any latent dimension.
        x: Images, shape ``[B, P]``.
        num_temperatures: T; twice as many cost twice the time and bring the bound closer.
        num_chains: Chains per image over which w is averaged.
        num_leapfrog: Leapfrog steps per temperature.
        target_acceptance: To what the step sizes are tuned; 0.65 is the usual choice for speed.
        seed: Seed of the chains.

    Returns:
        One value per image in nats, shape ``[B]``.

    Raises:
        ValueError: If there is no temperature, no chain or no image.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.LatentVariableModel(aevb.BernoulliMLP(2, 16))
        >>> ais_log_likelihood(model, torch.rand(5, 16).round(), num_temperatures=20).shape
        torch.Size([5])
    """
    if num_temperatures < 1 or num_chains < 1:
        raise ValueError(
            f"num_temperatures and num_chains must be at least 1, got {num_temperatures} and "
            f"{num_chains}"
        )
    generator = _generator(x, seed)
    sigmoid = torch.linspace(-4, 4, num_temperatures + 1, dtype=torch.float64).sigmoid()
    betas = ((sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])).tolist()
    values = []
    for images in _pieces(x, num_chains):
        settings = model, images, betas, num_leapfrog, generator
        tuned = [torch.full_like(images[:, 0], 0.1)]
        _anneal(*settings, num_chains=1, step_sizes=tuned, target=target_acceptance)
        values.append(log_mean_exp(_anneal(*settings, num_chains=num_chains, step_sizes=tuned)))
    return torch.cat(values)


def _anneal(
    model: LatentVariableModel,
    x: Tensor,
    betas: Sequence[float],
    num_leapfrog: int,
    generator: torch.Generator,
    *,
    num_chains: int,
    step_sizes: list[Tensor],
    target: float | None = None,
) -> Float[Tensor, "chains B"]:
    """Log-weights of fresh chains.

    There is a step size for each move; with a target, the first is given and the others are
    appended as the chains go.
    """
    z = _prior_draws(model, (num_chains, len(x)), generator)
    log_weights = torch.zeros_like(z[..., 0])
    for move, (before, beta) in enumerate(pairwise(betas)):
        log_weights += (beta - before) * model.likelihood(z).log_prob(x)
        if move == len(betas) - 2:
            break  # a move at the last temperature would change no weight

        def log_density(z: Tensor, beta: float = beta) -> Tensor:
            value: Tensor = model.prior().log_prob(z) + beta * model.likelihood(z).log_prob(x)
            return value

        state = hmc.init(log_density, z)
        state, info = _move(state, log_density, step_sizes[move], num_leapfrog, generator)
        z = state.position
        if target is not None:
            acceptance = info.acceptance.mean(0)
            step_sizes.append(hmc.adapt_step_size(step_sizes[move], acceptance, target=target))
    return log_weights


def _pieces(x: Tensor, codes_per_image: int) -> Iterator[Tensor]:
    if x.ndim != 2 or x.numel() == 0:
        raise ValueError(f"x must be images [B, P], at least one, but its shape is {list(x.shape)}")
    yield from x.split(max(1, MAX_DECODED // (codes_per_image * x.shape[1])))


def _generator(x: Tensor, seed: int) -> torch.Generator:
    return torch.Generator(x.device).manual_seed(seed)


def _prior_draws(
    model: LatentVariableModel, shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    origin: Tensor = model.prior().base_dist.loc
    return origin.new_empty((*shape, model.latent_dim)).normal_(generator=generator)


def _start(
    model: LatentVariableModel, x: Tensor, generator: torch.Generator
) -> Float[Tensor, "B D"]:
    """One code per image, drawn from the prior and chosen by how well it explains the image."""
    z = _prior_draws(model, (NUM_STARTS,), generator)
    weights = model.likelihood(z).log_prob(x.unsqueeze(1))  # [B, NUM_STARTS]
    uniform = torch.empty_like(weights).uniform_(generator=generator)
    # The largest log-weight plus Gumbel noise is a draw with those weights.
    return z[(weights - (-uniform.log()).log()).argmax(-1)]


def _move(
    state: hmc.HMCState,
    log_density: hmc.LogDensity,
    step_size: Tensor,
    num_leapfrog: int,
    generator: torch.Generator,
) -> tuple[hmc.HMCState, hmc.HMCInfo]:
    """One move with a step between half and one and a half times as long.

    A trajectory of fixed length that is near a period of a normal posterior ends where it began,
    move after move; that makes the errors of the estimates five times as large.
    """
    uniform = torch.empty_like(state.log_density).uniform_(generator=generator)
    return hmc.step(
        state,
        log_density,
        step_size=step_size * (0.5 + uniform),
        num_leapfrog=num_leapfrog,
        generator=generator,
    )


def _fit_normal(z: Float[Tensor, "L B D"]) -> MultivariateNormal:
    mean = z.mean(0)
    centered = (z - mean).transpose(0, 1)  # [B, L, D]
    covariance = centered.mT @ centered / (len(z) - 1)
    # Any density will do, so a chain that hardly moved may have one that is a little wider.
    ridge = 1e-3 * covariance.diagonal(dim1=-2, dim2=-1).mean(-1) + 1e-6
    covariance += torch.diag_embed(ridge.unsqueeze(-1).expand_as(mean))
    return MultivariateNormal(mean, covariance, validate_args=False)  # a check would read back
