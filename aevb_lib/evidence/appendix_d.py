r"""The paper's own estimator of :math:`\log p_\theta(x)`, appendix D."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal

from aevb_lib.distributions import log_mean_exp
from aevb_lib.evidence.chains import posterior_draws
from aevb_lib.evidence.pieces import quietly
from aevb_lib.models import LatentVariableModel

__all__ = ["hmc_log_likelihood"]


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
        num_samples: Number L of draws for the fit, and of as many for the estimate; more than D.
        num_leapfrog: Number of leapfrog steps from one draw to the next.
        num_warmup: Number of moves before the first draw.
        target_acceptance: Acceptance probability that the chains are tuned to.
        seed: Seed of the chains.

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
    with quietly(model, x):
        q = _fit_normal(z[:num_samples])
        return -log_mean_exp(q.log_prob(z[num_samples:]) - log_joint[num_samples:])


def _fit_normal(z: Float[Tensor, "L B D"]) -> MultivariateNormal:
    mean = z.mean(0)
    centered = (z - mean).transpose(0, 1)  # [B, L, D]
    covariance = centered.mT @ centered / (len(z) - 1)
    # Any density will do, so a chain that hardly moved may have one that is a little wider.
    ridge = 1e-3 * covariance.diagonal(dim1=-2, dim2=-1).mean(-1) + 1e-6
    covariance += torch.diag_embed(ridge.unsqueeze(-1).expand_as(mean))
    return MultivariateNormal(mean, covariance, validate_args=False)  # a check would read back
