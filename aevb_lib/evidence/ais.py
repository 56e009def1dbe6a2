r"""Annealed importance sampling (AIS): :math:`\log p_\theta(x)` bounded from both sides."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from aevb_lib import hmc
from aevb_lib.checks import check_tensors
from aevb_lib.distributions import log_mean_exp
from aevb_lib.evidence.chains import move
from aevb_lib.evidence.pieces import piece_size, quietly
from aevb_lib.models import LatentVariableModel

__all__ = ["ais_log_likelihood", "reverse_ais_log_likelihood"]


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
        num_temperatures: Number T of steps from prior to posterior; twice as many cost twice the
            time and bring the bound closer.
        num_chains: Number of chains per image over which w is averaged.
        num_leapfrog: Number of leapfrog steps per temperature.
        target_acceptance: Acceptance probability that the step sizes are tuned to; 0.65 is the
            usual choice for speed.
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
    betas = _schedule(num_temperatures, num_chains)
    values = []
    with quietly(model, x, seed) as x:
        for images in x.split(piece_size(x, num_chains)):
            path = _Path(model, images, betas, num_leapfrog)
            step_sizes = path.tuned_step_sizes(target_acceptance)
            values.append(log_mean_exp(path.log_weights(step_sizes, num_chains)))
        return torch.cat(values)


def reverse_ais_log_likelihood(
    model: LatentVariableModel,
    x: Float[Tensor, "B P"],
    z: Float[Tensor, "B D"],
    *,
    num_temperatures: int = 500,
    num_chains: int = 16,
    num_leapfrog: int = 4,
    target_acceptance: float = 0.65,
    seed: int = 0,
) -> Float[Tensor, " B"]:
    r"""Bound :math:`\log p_\theta(x)` from above: annealing backwards from a posterior draw.

    The chains of :func:`ais_log_likelihood` run from :math:`\beta_T = 1` down to the prior, so that
    :math:`\mathbb E[1/w] = 1/p_\theta(x)`, and the logarithm of the harmonic mean of w is an upper
    bound in expectation (Grosse et al. 2015). An exact draw is known where the model made the image
    itself: a code from the prior and an image drawn from it are also an image and a code from its
    posterior. On such images both bounds together say how far off annealing is.

    Args:
        model: A generative model, with any latent dimension.
        x: Images that the model drew, shape ``[B, P]``.
        z: Codes that they were drawn from, shape ``[B, D]``.
        num_temperatures: See :func:`ais_log_likelihood`.
        num_chains: Number of chains per image, all from its one code.
        num_leapfrog: See :func:`ais_log_likelihood`.
        target_acceptance: See :func:`ais_log_likelihood`.
        seed: Seed of the chains.

    Returns:
        One value per image in nats, shape ``[B]``.

    Raises:
        ValueError: If there is no temperature, no chain or no image, or not one code per image.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.LatentVariableModel(aevb.BernoulliMLP(2, 16))
        >>> z = model.prior().sample((5,))
        >>> x = model.likelihood(z).sample()
        >>> reverse_ais_log_likelihood(model, x, z, num_temperatures=20).shape
        torch.Size([5])
    """
    betas = _schedule(num_temperatures, num_chains)
    check_tensors(x=x, z=z)
    if z.shape != (len(x), model.latent_dim):
        raise ValueError(
            f"need one code per image, z [{len(x)}, {model.latent_dim}], got {list(z.shape)}"
        )
    values = []
    with quietly(model, x, seed) as x:
        size = piece_size(x, num_chains)
        for images, codes in zip(x.split(size), z.clone().split(size), strict=True):
            path = _Path(model, images, betas, num_leapfrog)
            step_sizes = path.tuned_step_sizes(target_acceptance)
            starts = codes.expand(num_chains, -1, -1)
            values.append(-log_mean_exp(-path.reverse_log_weights(step_sizes, starts)))
        return torch.cat(values)


class _Path:
    """The densities from prior to posterior of some images, and chains along them."""

    def __init__(
        self, model: LatentVariableModel, x: Tensor, betas: list[float], num_leapfrog: int
    ) -> None:
        self.model, self.x, self.betas, self.num_leapfrog = model, x, betas, num_leapfrog

    def tuned_step_sizes(self, target: float) -> list[Tensor]:
        """Return each image's step size at each inner temperature, found on a chain of its own."""
        z = self.model.prior().sample((1, len(self.x)))
        step_size, tuned = torch.full_like(self.x[:, 0], 0.1), []
        for beta in self.betas[1:-1]:
            tuned.append(step_size)
            z, info = self._moved(z, beta, step_size)
            step_size = hmc.adapt_step_size(step_size, info.acceptance.mean(0), target=target)
        return tuned

    def log_weights(self, step_sizes: list[Tensor], num_chains: int) -> Float[Tensor, "chains B"]:
        """Return the log-weights of chains from the prior."""
        z = self.model.prior().sample((num_chains, len(self.x)))
        log_weights = torch.zeros_like(z[..., 0])
        # No move at the last temperature: it would change no weight.
        for (before, beta), step_size in zip(
            pairwise(self.betas), [*step_sizes, None], strict=True
        ):
            log_weights += (beta - before) * self.model.likelihood(z).log_prob(self.x)
            if step_size is not None:
                z, _ = self._moved(z, beta, step_size)
        return log_weights

    def reverse_log_weights(
        self, step_sizes: list[Tensor], z: Float[Tensor, "chains B D"]
    ) -> Float[Tensor, "chains B"]:
        """Return the log-weights of the same chains run backwards from posterior draws."""
        log_weights = torch.zeros_like(z[..., 0])
        steps = zip(pairwise(self.betas), [*step_sizes, None], strict=True)
        for (before, beta), step_size in reversed(list(steps)):
            if step_size is not None:
                z, _ = self._moved(z, beta, step_size)
            log_weights += (beta - before) * self.model.likelihood(z).log_prob(self.x)
        return log_weights

    def _moved(self, z: Tensor, beta: float, step_size: Tensor) -> tuple[Tensor, hmc.HMCInfo]:
        def log_density(z: Tensor) -> Tensor:
            log_likelihood = self.model.likelihood(z).log_prob(self.x)
            value: Tensor = self.model.prior().log_prob(z) + beta * log_likelihood
            return value

        state, info = move(hmc.init(log_density, z), log_density, step_size, self.num_leapfrog)
        return state.position, info


def _schedule(num_temperatures: int, num_chains: int) -> list[float]:
    if num_temperatures < 1 or num_chains < 1:
        raise ValueError(
            f"num_temperatures and num_chains must be at least 1, got {num_temperatures} and "
            f"{num_chains}"
        )
    sigmoid = torch.linspace(
        -4, 4, num_temperatures + 1, dtype=torch.float64, device="cpu"
    ).sigmoid()
    betas: list[float] = ((sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])).tolist()
    return betas
