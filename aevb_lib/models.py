"""The generative model p, the recognition model q, and the autoencoder without either.

The two halves of a VAE are two objects with two jobs: `LatentVariableModel` says how images come
about, and is all that Monte Carlo EM needs; `VAE` adds the encoder that guesses the codes.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from aevb_lib.distributions import standard_normal

__all__ = ["VAE", "Autoencoder", "LatentVariableModel"]


class LatentVariableModel(nn.Module):
    r"""The generative model :math:`p_\theta(x, z) = \mathcal N(z; 0, I)\, p_\theta(x \mid z)`.

    Args:
        decoder: Module that maps codes ``[..., D]`` to a distribution over images with event
            shape ``[P]``, such as :class:`aevb_lib.networks.BernoulliMLP`.
        latent_dim: Dimension D of the code; read from ``decoder.in_dim`` by default.

    Raises:
        ValueError: If the latent dimension is neither given nor to be read from the decoder.

    Example:
        >>> from aevb_lib.networks import BernoulliMLP
        >>> model = LatentVariableModel(BernoulliMLP(20, 784))
        >>> model.sample(3).shape
        torch.Size([3, 784])
    """

    _origin: Tensor

    def __init__(self, decoder: nn.Module, *, latent_dim: int | None = None) -> None:
        super().__init__()
        self.decoder = decoder
        self.latent_dim = _latent_dim(decoder, latent_dim)
        # A buffer, so that the prior moves with the model; not saved, since nothing was learned.
        # It starts where the decoder is, which may have been built on a GPU or in float64.
        parameter = next(decoder.parameters(), torch.empty(0))
        self.register_buffer("_origin", parameter.new_zeros(self.latent_dim), persistent=False)

    def prior(self) -> Independent:
        r"""Return :math:`p(z) = \mathcal N(0, I)`, event shape ``[D]``."""
        return standard_normal(self._origin)

    def likelihood(self, z: Float[Tensor, "*batch D"]) -> Distribution:
        r"""Return :math:`p_\theta(x \mid z)`, batch shape ``[...]``, event shape ``[P]``."""
        return _call(self.decoder, z)

    def log_joint(
        self, x: Float[Tensor, "*#batch P"], z: Float[Tensor, "*#batch D"]
    ) -> Float[Tensor, "*joint"]:
        r"""Return :math:`\log p_\theta(x, z) = \log p(z) + \log p_\theta(x \mid z)` in nats.

        Args:
            x: Images, shape ``[B, P]``.
            z: Codes, shape ``[..., B, D]``.

        Returns:
            One value per pair, shape ``[..., B]``.
        """
        log_joint: Tensor = self.prior().log_prob(z) + self.likelihood(z).log_prob(x)
        return log_joint

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "{n} P"]:
        """Draw ``n`` images: a code from the prior, then pixels from the likelihood.

        These are draws, so Bernoulli pixels come out black or white. For the smooth mean images
        that papers like to print, use ``model.decode(model.prior().sample((n,)))``.

        Raises:
            ValueError: If there is no image to draw.
        """
        if n < 1:
            raise ValueError(f"n is the number of images and must be at least 1, got {n}")
        return self.likelihood(self.prior().sample((n,))).sample()

    def decode(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch P"]:
        r"""Return the mean image :math:`\mathbb E[x \mid z]` of each code."""
        mean: Tensor = self.likelihood(z).mean
        return mean


class VAE(LatentVariableModel):
    r"""A generative model with an encoder :math:`q_\phi(z \mid x)`: the variational autoencoder.

    Args:
        encoder: Module that maps images ``[..., P]`` to a distribution over codes with event
            shape ``[D]``, such as :class:`aevb_lib.networks.GaussianMLP`.
        decoder: See :class:`LatentVariableModel`.
        latent_dim: See :class:`LatentVariableModel`.

    Raises:
        ValueError: If encoder and decoder disagree about the latent dimension.

    Example:
        >>> from aevb_lib.networks import BernoulliMLP, GaussianMLP
        >>> model = VAE(encoder=GaussianMLP(784, 20), decoder=BernoulliMLP(20, 784))
        >>> x = torch.rand(5, 784)
        >>> model.posterior(x).rsample((2,)).shape, model.decode(model.encode(x)).shape
        (torch.Size([2, 5, 20]), torch.Size([5, 784]))
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, *, latent_dim: int | None = None
    ) -> None:
        super().__init__(decoder, latent_dim=latent_dim)
        _check_agreement(encoder, self.latent_dim)
        self.encoder = encoder

    def posterior(self, x: Float[Tensor, "*batch P"]) -> Distribution:
        r"""Return the approximate posterior :math:`q_\phi(z \mid x)`, event shape ``[D]``.

        It is the encoder's guess; the exact posterior is intractable. Draw from it with
        ``rsample``, which is the reparameterization trick and lets gradients through.
        """
        q = _call(self.encoder, x)
        if q.event_shape != (self.latent_dim,):
            raise ValueError(
                f"the encoder makes codes of dimension {q.event_shape[0]}, the decoder takes "
                f"{self.latent_dim}"
            )
        return q

    def encode(self, x: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch D"]:
        """Return the posterior mean of each image: a point code, the same every time.

        A bound evaluated at this code is not the ELBO; for that, draw from :meth:`posterior`.
        """
        return self.posterior(x).mean


class Autoencoder(nn.Module):
    """The report's vanilla autoencoder: the same two networks, no distribution over codes.

    It has no prior, hence no ``prior()`` and no ``sample()``: nothing in its training says which
    codes belong to images.

    Args:
        encoder: Module that maps images ``[..., P]`` to codes ``[..., D]``, such as
            :class:`aevb_lib.networks.MLP`.
        decoder: Module that maps codes to a distribution over images with event shape ``[P]``.
        latent_dim: Dimension D of the code; read from ``decoder.in_dim`` by default.

    Raises:
        ValueError: If encoder and decoder disagree about the latent dimension.

    Example:
        >>> from aevb_lib.networks import MLP, BernoulliMLP
        >>> model = Autoencoder(encoder=MLP(784, 20), decoder=BernoulliMLP(20, 784))
        >>> model.encode(torch.rand(5, 784)).shape
        torch.Size([5, 20])
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, *, latent_dim: int | None = None
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.latent_dim = _latent_dim(decoder, latent_dim)
        _check_agreement(encoder, self.latent_dim)
        self.encoder = encoder

    def encode(self, x: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch D"]:
        """Return the code of each image."""
        code: Tensor = self.encoder(x)
        if not torch.is_tensor(code):
            raise TypeError(
                f"an autoencoder's encoder returns a tensor, but {type(self.encoder).__name__} "
                f"returned a {type(code).__name__}: use one like aevb_lib.MLP, or aevb_lib.VAE as "
                "the model"
            )
        return code

    def decode(self, z: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch P"]:
        """Return the mean image of each code."""
        mean: Tensor = self.likelihood(z).mean
        return mean

    def likelihood(self, z: Float[Tensor, "*batch D"]) -> Distribution:
        """Return the distribution over images that the decoder makes of each code."""
        return _call(self.decoder, z)


def _call(network: nn.Module, inputs: Tensor) -> Distribution:
    distribution = network(inputs)
    if not isinstance(distribution, Distribution):
        raise TypeError(
            f"{type(network).__name__} returned a {type(distribution).__name__}; it must return a "
            "torch Distribution, as aevb_lib.GaussianMLP and aevb_lib.BernoulliMLP do"
        )
    # Without this, log_prob would be one number per pixel, and its mean nats per pixel.
    if len(distribution.event_shape) != 1:
        raise ValueError(
            f"{type(network).__name__} returned a {type(distribution).__name__} whose event shape "
            f"is {list(distribution.event_shape)}, but one image or code is one event: wrap it as "
            "torch.distributions.Independent(..., 1), so that log_prob sums over the last axis"
        )
    return distribution


def _latent_dim(decoder: nn.Module, latent_dim: int | None) -> int:
    known = getattr(decoder, "in_dim", latent_dim)
    if known is None:
        raise ValueError(
            "pass latent_dim=...: this decoder has no attribute in_dim to read it from"
        )
    if latent_dim is not None and latent_dim != known:
        raise ValueError(
            f"latent_dim={latent_dim}, but the decoder takes codes of dimension {known}"
        )
    return int(known)


def _check_agreement(encoder: nn.Module, latent_dim: int) -> None:
    out_dim = getattr(encoder, "out_dim", latent_dim)
    if out_dim != latent_dim:
        raise ValueError(
            f"the encoder makes codes of dimension {out_dim}, the decoder takes {latent_dim}"
        )
