r"""The best approximate posterior of its family, found for each image on its own.

How much of the gap between bound and :math:`\log p_\theta(x)` is the fault of the encoder, which is
one network for all images, and how much that of the family it answers with? The best member of the
family, image by image, tells them apart (Cremer et al. 2018).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent

from aevb_lib.distributions import diagonal_normal
from aevb_lib.evidence.pieces import WITH_GRADIENT, piece_size, quietly
from aevb_lib.models import LatentVariableModel

__all__ = ["refine_posterior"]


def refine_posterior(
    model: LatentVariableModel,
    x: Float[Tensor, "B P"],
    start: Distribution,
    *,
    num_steps: int = 300,
    num_samples: int = 10,
    learning_rate: float = 0.02,
    seed: int = 0,
) -> Independent:
    r"""Return the diagonal normal that maximizes each image's bound, climbing from a given one.

    .. math::
        \mu^*, \sigma^* = \arg\max_{\mu, \sigma}
        \mathbb E_{\mathcal N(z;\, \mu, \sigma^2)}
        \bigl[\log p_\theta(x, z) - \log \mathcal N(z;\, \mu, \sigma^2)\bigr].

    The parameters belong to one image each, and the model stays as it is. Adam climbs the pathwise
    gradient with a step size that falls to zero. The gradient leaves out the score of q, whose mean
    is zero (Roeder et al. 2017), so that its noise vanishes where q is the exact posterior.

    It finds the top of the hill it starts on: with several modes, another start may end higher.

    Args:
        model: A generative model; no encoder is asked.
        x: Images, shape ``[B, P]``.
        start: Distribution to begin with, batch shape ``[B]`` and event shape ``[D]``, such as
            ``model.posterior(x)``; of it, mean and standard deviation are used.
        num_steps: Number of gradient steps.
        num_samples: Number L of samples per image and step.
        learning_rate: Adam's step size at the first step, in units of z and of log σ.
        seed: Seed of the samples.

    Returns:
        Detached normals, batch shape ``[B]``, event shape ``[D]``.

    Raises:
        ValueError: If there is no step or no sample, or there is not one start per image.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> x = torch.rand(5, 16).round()
        >>> refine_posterior(model, x, model.posterior(x), num_steps=10).mean.shape
        torch.Size([5, 2])
    """
    if num_steps < 1 or num_samples < 1:
        raise ValueError(
            f"num_steps and num_samples must be at least 1, got {num_steps} and {num_samples}"
        )
    if start.mean.shape != (len(x), model.latent_dim):
        raise ValueError(
            f"need a start [{len(x)}, {model.latent_dim}] for these images and this model, got "
            f"{list(start.mean.shape)}"
        )
    with quietly(model, x, seed) as x:
        size = piece_size(x, num_samples, copies=WITH_GRADIENT)
        parts = zip(*(t.split(size) for t in (x, start.mean, start.stddev)), strict=True)
        refined = [
            _climb(model, images, loc, spread, num_steps, num_samples, learning_rate)
            for images, loc, spread in parts
        ]
        mean, scale = (torch.cat(values) for values in zip(*refined, strict=True))
        return diagonal_normal(mean, scale)


def _climb(
    model: LatentVariableModel,
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    num_steps: int,
    num_samples: int,
    learning_rate: float,
) -> tuple[Tensor, Tensor]:
    parameters = [value.clone().requires_grad_() for value in (mean, scale.log())]
    optimizer = torch.optim.Adam(parameters, maximize=True)
    for step in range(num_steps):
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / num_steps)
        with torch.enable_grad():
            mean, scale = parameters[0], parameters[1].exp()
            z = diagonal_normal(mean, scale).rsample((num_samples,))
            # Detached, so that the gradient reaches q through its samples only.
            q = diagonal_normal(mean.detach(), scale.detach())
            bound = (model.log_joint(x, z) - q.log_prob(z)).mean(0)
            # To the parameters of q only: the weights of the model keep their gradients.
            gradients = torch.autograd.grad(bound.sum(), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return parameters[0].detach(), parameters[1].detach().exp()
