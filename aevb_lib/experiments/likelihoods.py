"""One network, seven answers to what a pixel is: the study ``likelihoods``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from aevb_lib.architectures import mnist_vae
from aevb_lib.continuous_bernoulli import continuous_bernoulli_log_normalizer
from aevb_lib.data import ImageSet
from aevb_lib.evaluation import active_units, bits_per_dimension, mean_bound, mean_elbo
from aevb_lib.experiments.results import SEEDS, Result
from aevb_lib.experiments.store import Store
from aevb_lib.experiments.summaries import mean_and_spread
from aevb_lib.experiments.trained import TrainedModels, TrainedRun
from aevb_lib.minibatches import dequantize
from aevb_lib.models import VAE, Autoencoder
from aevb_lib.modes import evaluation_mode
from aevb_lib.networks import (
    BernoulliMLP,
    ContinuousBernoulliMLP,
    GaussianMLP,
    GaussianPixelsMLP,
)
from aevb_lib.randomness import own_randomness

__all__ = ["LIKELIHOODS", "OBSERVATION_MODELS", "LikelihoodRun", "Likelihoods", "likelihoods_table"]

#: Decoders by the name of what they make of a pixel. All have the same layers but for the last.
OBSERVATION_MODELS: dict[str, Callable[..., nn.Module]] = {
    "bernoulli": BernoulliMLP,
    "continuous-bernoulli": ContinuousBernoulliMLP,
    "gaussian-fixed": partial(GaussianPixelsMLP, scale=1.0, learn_scale=False),
    "gaussian-learned": GaussianPixelsMLP,
    "gaussian-per-pixel": GaussianMLP,
}


@dataclass(frozen=True)
class LikelihoodRun(TrainedRun):
    """One training of a VAE with some observation model.

    Attributes:
        pixels: Observation model, a key of :data:`OBSERVATION_MODELS`.
    """

    pixels: str = "bernoulli"

    @property
    def kind(self) -> str:
        """Name of its weights: that of the observation model."""
        return self.pixels

    @property
    def name(self) -> str:
        """File name of the result: ``bernoulli-static-d020-seed0``."""
        return f"{self.pixels}-{self.regime}-d{self.latent_dim:03d}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Likelihoods(TrainedModels):
    """A study that trains VAEs which differ in what they take a pixel for.

    Rows hold ``elbo``, ``log_likelihood`` and ``kl`` of test images.

    Its ``final`` holds, on test images: ``active_units``; ``grey_error``, the squared error per
    pixel of the mean image at the mean code, measured from the grey image in all regimes. And where
    it applies

    * ``log_normalizer``: the nats that the normalizer of the continuous Bernoulli is for the logits
      of the model, for Bernoulli pixels too, which lack it;
    * ``dequantized_elbo`` of a density: the bound of images with noise in place of their last bit;
    * ``seen_elbo`` and ``redrawn_elbo`` of pixels drawn once: the bound of the first training
      images as they were drawn, and drawn anew;
    * ``scale`` and ``sampled_error`` of one learned scale: the standard deviation, and the squared
      error per pixel of the first training images at sampled codes;
    * ``black_pixels``, ``black_log_likelihood`` and ``black_scale`` of a scale per pixel: the
      number of pixels that no training image inks, their share of the log-likelihood, and the
      geometric mean of their scales.
    """

    def measure(self, model: VAE | Autoencoder, test: ImageSet, seen: ImageSet) -> dict[str, float]:
        """Return what a row holds."""
        assert isinstance(model, VAE)
        elbo, log_likelihood, kl = map(float, mean_bound(model, test))
        return {"elbo": elbo, "log_likelihood": log_likelihood, "kl": kl}

    def measure_at_the_end(
        self, run: TrainedRun, model: VAE | Autoencoder, test: ImageSet, store: Store
    ) -> dict[str, Any]:
        """Return what is measured once."""
        assert isinstance(run, LikelihoodRun)
        assert isinstance(model, VAE)
        grey_train, grey_test = store.images("grey")
        seen = grey_train[: self.num_seen]
        means = torch.cat([_means(model, batch) for batch in test.images.split(1000)])
        final: dict[str, Any] = {
            "active_units": int(active_units(model, test).sum()),
            "grey_error": float((means - grey_test.images).square().mean()),
        }
        if run.regime == "static":
            train, _ = store.images("static")
            final["seen_elbo"] = mean_elbo(model, train[: self.num_seen])
            final["redrawn_elbo"] = mean_elbo(model, ImageSet(seen.images, dynamic=True))
        if run.regime == "grey" and run.pixels != "bernoulli":
            with own_randomness(store.device, 0):
                final["dequantized_elbo"] = mean_elbo(model, ImageSet(dequantize(test.images)))
        if run.regime == "grey" and run.pixels.endswith("bernoulli"):
            final["log_normalizer"] = expectation(model, test, log_normalizer)
        if run.pixels == "gaussian-learned":
            final["scale"] = expectation(model, seen[:1], lambda _, p: p.stddev.mean(-1))
            final["sampled_error"] = expectation(model, seen, squared_error)
        if run.pixels == "gaussian-per-pixel":
            is_black = grey_train.images.amax(0) == 0
            final["black_pixels"] = int(is_black.sum())
            final["black_log_likelihood"] = expectation(
                model, test, lambda x, p: p.base_dist.log_prob(x)[:, is_black].sum(-1)
            )
            final["black_scale"] = math.exp(
                expectation(model, test, lambda _, p: p.stddev[:, is_black].log().mean(-1))
            )
        return final

    def _ships_in(self, run: TrainedRun) -> str | None:
        # What a page shows. A scale per pixel becomes so small that float16 would not do.
        shown = run.regime == "grey" and run.kind != "gaussian-per-pixel"
        return super()._ships_in(run) if shown else None

    def new_model(self, run: TrainedRun, generator: torch.Generator | None = None) -> VAE:
        """Return the untrained model of a run."""
        assert isinstance(run, LikelihoodRun)
        return mnist_vae(
            run.latent_dim,
            hidden_dim=run.hidden_dim,
            decoder=OBSERVATION_MODELS[run.pixels],
            generator=generator,
        )


@torch.no_grad()
def expectation(
    model: VAE, data: ImageSet, part: Callable[[Tensor, Any], Tensor], *, seed: int = 0
) -> float:
    r"""Return an expectation under the encoder's posterior, averaged over images.

    Args:
        model: The model.
        data: The images.
        part: Function of images ``[B, P]`` and of the likelihood of a sampled code each, with one
            value per image.
        seed: Seed of the codes; by default those of :func:`aevb_lib.evaluation.mean_bound`.

    Example:
        >>> import aevb_lib as aevb
        >>> data = aevb.ImageSet(torch.rand(50, 784))
        >>> model = aevb.mnist_vae(2, hidden_dim=8)
        >>> same = expectation(model, data, lambda x, p: p.log_prob(x))
        >>> abs(same - float(aevb.mean_bound(model, data).log_likelihood)) < 1e-3
        True
    """
    with evaluation_mode(model), own_randomness(data.images.device, seed):
        values = [
            part(batch.images, model.likelihood(model.posterior(batch.images).sample()))
            for batch in data.batches(1000, shuffle=False)
        ]
    return float(torch.cat(values).double().mean())


def squared_error(x: Tensor, p: Any) -> Tensor:
    """Squared difference per pixel between images and the means of their likelihoods."""
    error: Tensor = (x - p.mean).square().mean(-1)
    return error


def log_normalizer(_: Tensor, p: Any) -> Tensor:
    """Log-normalizer of continuous Bernoulli pixels with a likelihood's logits, nats per image."""
    return continuous_bernoulli_log_normalizer(p.base_dist.logits).sum(-1)


@torch.no_grad()
def _means(model: VAE, images: Tensor) -> Tensor:
    return model.decode(model.encode(images))


# Titles of the table, with what the number is.
_ROWS = {
    ("bernoulli", "static"): ("Bernoulli, static", "log-probability"),
    ("bernoulli", "dynamic"): ("Bernoulli, dynamic", "log-probability"),
    ("bernoulli", "grey"): ("Bernoulli on grey pixels", "cross-entropy"),
    ("continuous-bernoulli", "grey"): ("continuous Bernoulli", "log-density"),
    ("gaussian-fixed", "grey"): ("normal, scale 1", "log-density"),
    ("gaussian-learned", "grey"): ("normal, one learned scale", "log-density"),
    ("gaussian-per-pixel", "grey"): ("normal, a scale per pixel", "log-density, unbounded"),
}


def likelihoods_table(results: Sequence[Result]) -> str:
    """Return the study ``likelihoods`` as a Markdown table: test images, after the last epoch.

    Args:
        results: Results from :func:`aevb_lib.experiments.load_result`.

    Returns:
        One row per observation model; mean (standard deviation) over seeds, nats per image, and the
        squared error per pixel of the mean image from the grey one in thousandths. The bits per
        dimension are of dequantized images, where the bound is that of a density.

    Example:
        >>> from aevb_lib.experiments import load_result
        >>> table = likelihoods_table(load_result("likelihoods"))
        >>> table.splitlines()[0].split(" | ")[1]
        'the bound is of a'
    """
    lines = [
        "| a pixel is | the bound is of a | ELBO | KL | squared error | bits |",
        "|:--|:--|--:|--:|--:|--:|",
    ]
    for key, (title, quantity) in _ROWS.items():
        group = [r for r in results if (r.run.pixels, r.run.regime) == key]
        if not group:
            continue
        cells = [
            mean_and_spread([r.history.last.metrics[name] for r in group])
            for name in ("elbo", "kl")
        ]
        cells.append(mean_and_spread([1000 * r.final["grey_error"] for r in group]))
        bits = [
            bits_per_dimension(r.final["dequantized_elbo"], 784)
            for r in group
            if "dequantized_elbo" in r.final
        ]
        cells.append(mean_and_spread(bits, 2) if bits else "")
        lines.append(f"| {title} | {quantity} | {' | '.join(cells)} |")
    return "\n".join(lines)


# Seed by seed over everything else, so that a few seeds of all models are complete early.
LIKELIHOODS = Likelihoods(
    name="likelihoods",
    runs=tuple(
        LikelihoodRun("likelihoods", "vae", 20, seed, regime, epochs=2, pixels=pixels)
        for seed in SEEDS
        for pixels, regime in _ROWS
    ),
    is_chaotic=True,
    ships_in="likelihoods",
    table=likelihoods_table,
)
