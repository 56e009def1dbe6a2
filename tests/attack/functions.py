"""The public functions that the attack is made on, each with good arguments and a truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import aevb_lib as aevb
from aevb_lib import latents, plotting, sample_quality
from aevb_lib.minibatches import binarize, dequantize
from aevb_lib.noise import noise_curve

P, D = 16, 2


@dataclass(frozen=True)
class Target:
    """A function, how to make its good arguments, and what its value must be.

    ``numbers`` are whole-number arguments, ``labels`` integer tensors; all others are floats.
    ``check(value, arguments)`` is whether a value is right. What is slow is called less often.
    """

    call: Callable[..., Any]
    make: Callable[[torch.Generator], dict[str, Any]]
    check: Callable[[Any, dict[str, Any]], bool]
    labels: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    is_slow: bool = False


def model(seed: int = 0) -> aevb.VAE:
    generator = torch.Generator().manual_seed(seed)
    return aevb.VAE(
        aevb.GaussianMLP(P, D, (8,), generator=generator),
        aevb.BernoulliMLP(D, P, (8,), generator=generator),
    ).requires_grad_(False)


VAE = model()
AUTOENCODER = aevb.Autoencoder(
    aevb.MLP(P, D, (8,), generator=torch.Generator().manual_seed(1)), VAE.decoder
).requires_grad_(False)

CONTINUOUS = aevb.ContinuousBernoulliMLP(D, P, (8,)).requires_grad_(False)
GAUSSIAN = aevb.GaussianPixelsMLP(D, P, (8,)).requires_grad_(False)


def rows(generator: torch.Generator, columns: int, least: int = 6) -> Tensor:
    count = int(torch.randint(least, least + 8, (), generator=generator))
    return torch.rand(count, columns, generator=generator)


def close(value: Any, truth: Any, tolerance: float = 1e-3) -> bool:
    value, truth = (torch.as_tensor(each).detach().double() for each in (value, truth))
    if value.shape != truth.shape:
        return False
    truth = torch.where(truth.abs() > 3e38, truth.sign() * torch.inf, truth)  # as float32 has it
    both = (value.isnan() & truth.isnan()) | (value == truth)
    near = (value - truth).abs() <= tolerance * (1 + truth.abs())
    return bool((both | near).all())


def number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    return isinstance(value, float) and low <= value <= high


def bernoulli_truth(logits: Tensor, x: Tensor) -> Tensor:
    a, x = torch.broadcast_tensors(logits.double(), x.double())
    return (x * a - torch.clamp(a, min=0) - torch.log1p(torch.exp(-a.abs()))).sum(-1)


def log_normalizer_truth(logits: Tensor) -> Tensor:
    a = logits.double().abs()
    return torch.where(a < 1e-4, math.log(2) + a * a / 12, a.log() - (a / 2).tanh().log())


def continuous_bernoulli_truth(logits: Tensor, x: Tensor) -> Tensor:
    a, x = torch.broadcast_tensors(logits.double(), x.double())
    return bernoulli_truth(a, x) + log_normalizer_truth(a).sum(-1)


def normal_truth(loc: Tensor, scale: Tensor, x: Tensor) -> Tensor:
    loc, scale, x = (each.double() for each in (loc, scale, x))
    return (-0.5 * ((x - loc) / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)).sum(-1)


def kl_truth(loc: Tensor, scale: Tensor) -> Tensor:
    loc, scale = loc.double(), scale.double()
    return 0.5 * (loc**2 + scale**2 - 1 - 2 * scale.log()).sum(-1)


def pair(columns: int, *names: str) -> Callable[[torch.Generator], dict[str, Any]]:
    def make(generator: torch.Generator) -> dict[str, Any]:
        first = rows(generator, columns)
        return {
            name: first if i == 0 else torch.rand(first.shape, generator=generator) + 0.05
            for i, name in enumerate(names)
        }

    return make


def labeled(generator: torch.Generator) -> dict[str, Any]:
    codes, test = rows(generator, D, 12), rows(generator, D, 12)
    return {
        "codes": codes,
        "labels": torch.arange(len(codes)) % 3,
        "test_codes": test,
        "test_labels": torch.arange(len(test)) % 3,
    }


def images(generator: torch.Generator) -> dict[str, Any]:
    return {"x": rows(generator, P)}


def per_image(value: Any, arguments: dict[str, Any]) -> bool:
    return value.shape == arguments["x"].shape[:-1] and bool(value.isfinite().all())


def bound_is_split(value: Any, arguments: dict[str, Any]) -> bool:
    return per_image(value.bound, arguments) and close(
        value.bound, value.log_likelihood.detach() - value.kl.detach()
    )


def train_for(epochs: Any) -> aevb.History:
    trained = model()
    trained.requires_grad_(True)
    learner = aevb.AEVB(trained, torch.optim.SGD(trained.parameters(), lr=0.01))
    return aevb.fit(learner, aevb.ImageSet(torch.rand(9, P)).batches(4), epochs=epochs)


def data_metric(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: function(VAE, aevb.ImageSet(x))


LABELS = frozenset({"labels", "test_labels"})
TARGETS: dict[str, Target] = {
    "ImageSet": Target(
        lambda x, labels: aevb.ImageSet(x, labels),
        lambda g: (x := rows(g, P)) is None or {"x": x, "labels": torch.arange(len(x))},
        lambda v, a: torch.equal(v.images, a["x"].float()) and v.labels.dtype == torch.int64,
        labels=frozenset({"labels"}),
    ),
    "ImageSet.take": Target(
        lambda n: aevb.ImageSet(torch.rand(9, P)).take(n),
        lambda _: {"n": 4},
        lambda v, a: len(v) == a["n"],
        numbers=frozenset({"n"}),
    ),
    "ImageSet.batches": Target(
        lambda size: [len(b.images) for b in aevb.ImageSet(torch.rand(9, P)).batches(size)],
        lambda _: {"size": 4},
        lambda v, a: sum(v) == 9 and max(v) <= a["size"],
        numbers=frozenset({"size"}),
    ),
    "binarize": Target(
        lambda x: binarize(x),
        images,
        lambda v, a: v.shape == a["x"].shape and bool(((v == 0) | (v == 1)).all()),
    ),
    "dequantize": Target(
        lambda x: dequantize(x),
        images,
        lambda v, a: (
            v.shape == a["x"].shape
            and bool(((v * 256).floor() == (a["x"].double() * 255).round()).all())
        ),
    ),
    "bits_per_dimension": Target(
        lambda num_pixels: aevb.bits_per_dimension(-100.0, num_pixels),
        lambda _: {"num_pixels": 4},
        lambda v, a: (
            number(v, low=8.0) and math.isclose(v, 8 + 100 / (a["num_pixels"] * math.log(2)))
        ),
        numbers=frozenset({"num_pixels"}),
    ),
    "bernoulli": Target(
        lambda logits, x: aevb.bernoulli(logits).log_prob(x),
        pair(P, "logits", "x"),
        lambda v, a: close(v, bernoulli_truth(a["logits"], a["x"]), 3e-3),
    ),
    "continuous_bernoulli": Target(
        lambda logits, x: aevb.continuous_bernoulli(logits).log_prob(x),
        pair(P, "logits", "x"),
        lambda v, a: close(v, continuous_bernoulli_truth(a["logits"], a["x"]), 3e-3),
    ),
    "continuous_bernoulli_log_normalizer": Target(
        lambda logits: aevb.continuous_bernoulli_log_normalizer(logits),
        lambda g: {"logits": rows(g, P)},
        lambda v, a: close(v, log_normalizer_truth(a["logits"]), 3e-3),
    ),
    "diagonal_normal": Target(
        lambda loc, scale, x: aevb.diagonal_normal(loc, scale).log_prob(x),
        pair(D, "loc", "scale", "x"),
        lambda v, a: close(v, normal_truth(a["loc"], a["scale"], a["x"]), 3e-3),
    ),
    "kl_divergence": Target(
        lambda loc, scale: aevb.kl_divergence(
            aevb.diagonal_normal(loc, scale), aevb.standard_normal(loc)
        ),
        pair(D, "loc", "scale"),
        lambda v, a: close(v, kl_truth(a["loc"], a["scale"]), 3e-3),
    ),
    "log_mean_exp": Target(
        lambda values: aevb.log_mean_exp(values),
        lambda g: {"values": rows(g, D)},
        lambda v, a: close(v, a["values"].double().logsumexp(0) - math.log(len(a["values"])), 5e-3),
    ),
    "GaussianMLP": Target(
        lambda x: VAE.posterior(x).mean, images, lambda v, a: v.shape == (*a["x"].shape[:-1], D)
    ),
    "BernoulliMLP": Target(
        lambda z: VAE.decode(z),
        lambda g: {"z": rows(g, D)},
        lambda v, a: v.shape == (*a["z"].shape[:-1], P) and bool(((v >= 0) & (v <= 1)).all()),
    ),
    "ContinuousBernoulliMLP": Target(
        lambda z: CONTINUOUS(z).mean,
        lambda g: {"z": rows(g, D)},
        lambda v, a: v.shape == (*a["z"].shape[:-1], P) and bool(((v >= 0) & (v <= 1)).all()),
    ),
    "GaussianPixelsMLP": Target(
        lambda z: GAUSSIAN(z).mean,
        lambda g: {"z": rows(g, D)},
        lambda v, a: v.shape == (*a["z"].shape[:-1], P) and bool(((v >= 0) & (v <= 1)).all()),
    ),
    "LatentVariableModel.log_joint": Target(
        lambda x, z: VAE.log_joint(x, z),
        lambda g: (x := rows(g, P)) is None or {"x": x, "z": torch.randn(len(x), D, generator=g)},
        lambda v, a: v.shape == torch.broadcast_shapes(a["x"].shape[:-1], a["z"].shape[:-1]),
    ),
    "LatentVariableModel.sample": Target(
        lambda n: VAE.sample(n),
        lambda _: {"n": 4},
        lambda v, a: v.shape == (a["n"], P),
        numbers=frozenset({"n"}),
    ),
    "Autoencoder.encode": Target(
        lambda x: AUTOENCODER.encode(x), images, lambda v, a: v.shape == (*a["x"].shape[:-1], D)
    ),
    "sgvb_a": Target(
        lambda x, L: aevb.sgvb_a(VAE, x, L),
        lambda g: images(g) | {"L": 3},
        bound_is_split,
        numbers=frozenset({"L"}),
    ),
    "sgvb_b": Target(
        lambda x, L: aevb.sgvb_b(VAE, x, L),
        lambda g: images(g) | {"L": 3},
        bound_is_split,
        numbers=frozenset({"L"}),
    ),
    "iwae": Target(
        lambda x, L: aevb.iwae(VAE, x, L),
        lambda g: images(g) | {"L": 3},
        bound_is_split,
        numbers=frozenset({"L"}),
    ),
    "wake_phase": Target(lambda x: aevb.wake_phase(VAE, x), images, per_image),
    "sleep_phase": Target(
        lambda n: aevb.sleep_phase(VAE, n),
        lambda _: {"n": 4},
        lambda v, a: v.shape == (a["n"],),
        numbers=frozenset({"n"}),
    ),
    "point_log_likelihood": Target(
        lambda x: aevb.point_log_likelihood(AUTOENCODER, x), images, per_image
    ),
    "mean_elbo": Target(data_metric(aevb.mean_elbo), images, lambda v, _: number(v, high=0)),
    "mean_point_log_likelihood": Target(
        data_metric(aevb.mean_point_log_likelihood), images, lambda v, _: number(v, high=0)
    ),
    "mean_squared_error": Target(
        data_metric(aevb.mean_squared_error), images, lambda v, _: number(v, 0, 1)
    ),
    "kl_per_dimension": Target(
        data_metric(aevb.kl_per_dimension),
        images,
        lambda v, _: v.shape == (D,) and bool((v >= -1e-6).all()),
    ),
    "active_units": Target(
        data_metric(aevb.active_units),
        images,
        lambda v, _: v.shape == (D,) and v.dtype == torch.bool,
    ),
    "importance_log_likelihood": Target(
        lambda x, L: aevb.importance_log_likelihood(VAE, x, num_samples=L),
        lambda g: images(g) | {"L": 20},
        per_image,
        numbers=frozenset({"L"}),
    ),
    "ais_log_likelihood": Target(
        lambda x: aevb.ais_log_likelihood(VAE, x, num_temperatures=4, num_chains=2),
        images,
        per_image,
        is_slow=True,
    ),
    "hmc_log_likelihood": Target(
        lambda x: aevb.hmc_log_likelihood(VAE, x, num_samples=4, num_warmup=2),
        images,
        per_image,
        is_slow=True,
    ),
    "quadrature_log_likelihood": Target(
        lambda x: aevb.quadrature_log_likelihood(VAE, x[:2]),
        images,
        lambda v, a: v.shape == (min(2, len(a["x"])),),
        is_slow=True,
    ),
    "refine_posterior": Target(
        lambda x: aevb.refine_posterior(VAE, x, VAE.posterior(x), num_steps=2).mean,
        images,
        lambda v, a: v.shape == (len(a["x"]), D),
    ),
    "reverse_ais_log_likelihood": Target(
        lambda x, z: aevb.reverse_ais_log_likelihood(VAE, x, z, num_temperatures=4, num_chains=2),
        lambda g: (x := rows(g, P)) is None or {"x": x, "z": torch.randn(len(x), D, generator=g)},
        per_image,
        is_slow=True,
    ),
    "posterior_draws": Target(
        lambda x, n: aevb.posterior_draws(VAE, x, n, num_warmup=2).position,
        lambda g: images(g) | {"n": 3},
        lambda v, a: v.shape == (a["n"], len(a["x"]), D),
        numbers=frozenset({"n"}),
        is_slow=True,
    ),
    "mean_bound": Target(
        data_metric(aevb.mean_bound),
        images,
        lambda v, _: all(part.shape == () and bool(part.isfinite()) for part in v),
    ),
    "complete_data": Target(
        lambda x, z: aevb.complete_data(VAE, x, z),
        lambda g: (x := rows(g, P)) is None or {"x": x, "z": torch.randn(len(x), D, generator=g)},
        lambda v, a: v.shape == torch.broadcast_shapes(a["x"].shape[:-1], a["z"].shape[:-1]),
    ),
    "standard_normal": Target(
        lambda like, z: aevb.standard_normal(like).log_prob(z),
        pair(D, "like", "z"),
        lambda v, a: close(
            v,
            normal_truth(
                torch.zeros_like(a["like"].double()), torch.ones_like(a["like"].double()), a["z"]
            ),
            3e-3,
        ),
    ),
    "LinearGaussian": Target(
        lambda weight, bias, x: aevb.LinearGaussian(weight, bias).exact_posterior(x).mean,
        lambda g: {
            "weight": torch.randn(4, 2, generator=g),
            "bias": torch.rand(4, generator=g),
            "x": torch.rand(5, 4, generator=g),
        },
        lambda v, a: (
            v.shape == (*a["x"].shape[:-1], a["weight"].shape[1]) and bool(v.isfinite().all())
        ),
    ),
    "mnist_vae": Target(
        lambda latent_dim: aevb.mnist_vae(latent_dim, hidden_dim=4),
        lambda _: {"latent_dim": 4},
        lambda v, a: v.latent_dim == a["latent_dim"],
        numbers=frozenset({"latent_dim"}),
        is_slow=True,
    ),
    "load_pretrained": Target(
        lambda latent_dim: aevb.load_pretrained("vae", latent_dim),
        lambda _: {"latent_dim": 2},
        lambda v, a: v.latent_dim == a["latent_dim"],
        numbers=frozenset({"latent_dim"}),
        is_slow=True,
    ),
    "fit": Target(
        lambda epochs: train_for(epochs),
        lambda _: {"epochs": 2},
        lambda v, a: len(v) == a["epochs"],
        numbers=frozenset({"epochs"}),
        is_slow=True,
    ),
    "prior_grid": Target(
        lambda size: latents.prior_grid(size),
        lambda _: {"size": 4},
        lambda v, a: v.shape == (a["size"], a["size"], 2),
        numbers=frozenset({"size"}),
    ),
    "interpolate": Target(
        lambda start, end, steps: latents.interpolate(start, end, steps),
        lambda g: pair(D, "start", "end")(g) | {"steps": 5},
        lambda v, a: (
            len(v) == a["steps"] and close(v[0], a["start"]) and close(v[-1], a["end"], 1e-2)
        ),
        numbers=frozenset({"steps"}),
    ),
    "add_noise": Target(
        lambda codes: latents.add_noise(codes, 0.5),
        lambda g: {"codes": rows(g, D)},
        lambda v, a: v.shape == a["codes"].shape,
    ),
    "fit_mixture": Target(
        lambda codes, components: latents.fit_mixture(codes, components),
        lambda g: {"codes": rows(g, D, 12), "components": 2},
        lambda v, a: (
            v.sample((3,)).shape == (3, a["codes"].shape[1])
            and bool(v.sample((3,)).isfinite().all())
        ),
        numbers=frozenset({"components"}),
        is_slow=True,
    ),
    "neighbor_accuracy": Target(
        latents.neighbor_accuracy,
        labeled,
        lambda v, _: number(v, 0, 1),
        labels=LABELS,
        is_slow=True,
    ),
    "linear_accuracy": Target(
        latents.linear_accuracy,
        labeled,
        lambda v, _: number(v, 0, 1),
        labels=LABELS,
        is_slow=True,
    ),
    "frechet_distance": Target(
        sample_quality.frechet_distance,
        pair(3, "real", "generated"),
        lambda v, _: number(v, 0),
    ),
    "precision_recall": Target(
        sample_quality.precision_recall,
        pair(3, "real", "generated"),
        lambda v, _: all(number(each, 0, 1) for each in v),
    ),
    "FeatureCloud": Target(
        lambda features, points: sample_quality.FeatureCloud(features).covers(points),
        pair(3, "features", "points"),
        lambda v, a: v.shape == (len(a["points"]),) and v.dtype == torch.bool,
    ),
    "confidence": Target(
        lambda probabilities: sample_quality.confidence(probabilities),
        lambda g: {"probabilities": rows(g, 10).softmax(-1)},
        lambda v, a: number(v) and close(v, a["probabilities"].double().max(-1).values.mean()),
    ),
    "class_balance": Target(
        lambda labels: sample_quality.class_balance(labels),
        lambda g: {"labels": torch.arange(len(rows(g, 1))) % 10},
        lambda v, _: number(v, 0, 1),
        labels=frozenset({"labels"}),
    ),
    "noise_curve": Target(
        lambda x, labels: noise_curve(
            AUTOENCODER_OF_DIGITS, aevb.ImageSet(x, labels), JUDGE, CLOUD, [0.0, 1.0]
        ),
        lambda g: (x := rows(g, 784)) is None or {"x": x, "labels": torch.arange(len(x)) % 10},
        lambda v, _: all(number(each, 0, 1) for each in v.accuracy + v.squared_error),
        labels=frozenset({"labels"}),
        is_slow=True,
    ),
    "image_grid": Target(
        lambda images: plotting.image_grid(images),
        lambda g: {"images": rows(g, P)},
        lambda v, _: len(v.axes) == 1,
        is_slow=True,
    ),
    "image_rows": Target(
        lambda images: plotting.image_rows({"VAE": images, "Original": images}),
        lambda g: {"images": rows(g, P)},
        lambda v, _: len(v.axes) == 2,
        is_slow=True,
    ),
    "lines": Target(
        lambda x, y: plotting.lines(x, {"VAE": y}, xlabel="x", ylabel="y"),
        lambda g: {"x": torch.arange(6.0), "y": torch.rand(6, generator=g)},
        lambda v, _: len(v.axes) == 1,
        is_slow=True,
    ),
    "code_map": Target(
        lambda codes, labels: plotting.code_map({"VAE": codes}, labels),
        lambda g: (z := rows(g, 2)) is None or {"codes": z, "labels": torch.arange(len(z)) % 10},
        lambda v, _: len(v.axes) == 1,
        labels=frozenset({"labels"}),
        is_slow=True,
    ),
}
JUDGE = sample_quality.Judge().eval()
CLOUD = sample_quality.FeatureCloud(JUDGE.features(torch.rand(20, 784)))
AUTOENCODER_OF_DIGITS = aevb.Autoencoder(
    aevb.MLP(784, D, (8,)), aevb.BernoulliMLP(D, 784, (8,))
).requires_grad_(False)
