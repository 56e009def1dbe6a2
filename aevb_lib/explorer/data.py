"""Data of the explorers: shipped weights, test digits, and what was measured on their codes.

What travels to ``scripts/loading.js`` is one script per piece of data, ``provide(NAME, {key: value,
…})``, where a value is

* JSON: labels, indices: as it is;
* ``{float32: base64}``: little-endian float32, in C order;
* ``{uint8: base64}``: bytes from 0 to 255, in C order, of pixels from 0 to 1;
* ``{safetensors: base64}``: float16, torch's names, the shipped weights bit for bit.

Shapes: images ``[100, 784]``, codes ``[N, D]``, center, spread and kl ``[D]``; of the mixture
weights ``[K]``, means ``[K, D]``, scale_tril ``[K, D, D]``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from aevb_lib.data import ImageSet, load_mnist
from aevb_lib.evaluation import kl_per_dimension
from aevb_lib.experiments.codes import CODE_SETTINGS
from aevb_lib.latents import fit_mixture
from aevb_lib.models import VAE
from aevb_lib.pretrained import load_pretrained

__all__ = ["DATA", "data_script"]

PER_CLASS = 10  # digits to choose from
ON_MAP = 2_000  # codes on the latent map


@cache
def data_script(name: str) -> str:
    """Return a classic script that provides one piece of data to the explorers of a page.

    Weights are the shipped ones, float16, as `safetensors`; nothing is rounded again.

    Args:
        name: A key of :data:`DATA`.

    Raises:
        ValueError: If there is no such data.

    Example:
        >>> data_script("digits")[:40]
        'aevbExplorer.provide("digits",{"images":'
    """
    if name not in DATA:
        raise ValueError(f"no data called {name!r}; there are: {', '.join(DATA)}")
    content = json.dumps(DATA[name](), separators=(",", ":"))
    return f'aevbExplorer.provide("{name}",{content});\n'


def _digits() -> dict[str, Any]:
    """The first test images of every class, class by class."""
    _, test = _mnist()
    labels = test.labels
    chosen = torch.cat([(labels == digit).nonzero()[:PER_CLASS, 0] for digit in range(10)])
    return {
        "images": _uint8(test.images[chosen]),
        "labels": labels[chosen].tolist(),
        "indices": chosen.tolist(),
    }


def _map() -> dict[str, Any]:
    """Both decoders of two-dimensional codes, and where test images lie on their planes."""
    _, test = _mnist()
    shown = test[:ON_MAP]
    content: dict[str, Any] = {"labels": shown.labels.tolist()}
    for kind in ("vae", "autoencoder"):
        model = load_pretrained(kind, 2)
        with torch.no_grad():
            codes = model.encode(shown.images)
        content[kind] = _safetensors(model, only="decoder")
        content[f"{kind}_codes"] = _float32(codes)
    return content


def _model(kind: str, latent_dim: int) -> dict[str, Any]:
    """One model with its encoder, the spread of its codes, and the KL of its dimensions."""
    train, test = _mnist()
    model = load_pretrained(kind, latent_dim)
    with torch.no_grad():
        codes = model.encode(train.images[: CODE_SETTINGS["labeled"]])
    content = {
        "model": _safetensors(model),
        "center": _float32(codes.mean(0)),
        "spread": _float32(codes.std(0)),  # the own unit of the chapter on noise
    }
    if isinstance(model, VAE):
        content["kl"] = _float32(kl_per_dimension(model, test))
    return content


def _mixture() -> dict[str, Any]:
    """The mixture of normals that the chapter on generation fits to the autoencoder's codes."""
    train, _ = _mnist()
    model = load_pretrained("autoencoder", 20)
    with torch.no_grad():
        codes = model.encode(train.images[: CODE_SETTINGS["labeled"]])
    mixture = fit_mixture(codes, CODE_SETTINGS["components"])
    normals: Any = mixture.component_distribution
    return {
        "weights": _float32(mixture.mixture_distribution.probs),
        "means": _float32(normals.loc),
        "scale_tril": _float32(normals.scale_tril),
    }


# Each is loaded by the pages that need it, once per site.
DATA: dict[str, Callable[[], dict[str, Any]]] = {
    "digits": _digits,
    "map": _map,
    "vae-d020": lambda: _model("vae", 20),
    "autoencoder-d020": lambda: _model("autoencoder", 20),
    "vae-d200": lambda: _model("vae", 200),
    "mixture-d020": _mixture,
}


@cache
def _mnist() -> tuple[ImageSet, ImageSet]:
    return load_mnist()


def _safetensors(model: nn.Module, only: str = "") -> dict[str, str]:
    weights = {
        name: value.half().contiguous()
        for name, value in model.state_dict().items()
        if name.startswith(only)
    }
    return {"safetensors": _base64(save(weights))}


def _float32(values: Tensor) -> dict[str, str]:
    return {"float32": _base64(values.detach().cpu().numpy().astype("<f4").tobytes())}


def _uint8(images: Tensor) -> dict[str, str]:
    return {"uint8": _base64((images * 255).round().to(torch.uint8).numpy().tobytes())}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
