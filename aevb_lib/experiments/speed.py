r"""The study ``time-to-bound``: how soon does training reach a bound, and what makes it sooner?

Three recipes train the same model from the same initial weights (784-500-20, grey images):

* ``tutorial``: the loop that most tutorials have, with the report's recipe (Adam, 0.001). One image
  at a time goes through a ``DataLoader``; a sigmoid is followed by a logarithm; the loss is read as
  a number after every step.
* ``report``: the same recipe with this package: batches by index, :class:`aevb_lib.AEVB`.
* ``one-cycle``: a learning rate that rises to its peak and falls to nothing in fewer epochs (Smith
  and Topin 2019), and products in bfloat16 where the processor has them.

All of them are timed by one clock: CPU seconds of the one thread, which other processes on the
machine hardly change. Evaluation is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR

from aevb_lib.architectures import mnist_vae
from aevb_lib.archives import default_root
from aevb_lib.data import load_mnist
from aevb_lib.evaluation import mean_elbo
from aevb_lib.experiments.provenance import provenance
from aevb_lib.experiments.studies import Result, SpeedRun
from aevb_lib.history import History, Record
from aevb_lib.inference import AEVB
from aevb_lib.models import VAE
from aevb_lib.randomness import seed_everything

__all__ = ["has_fast_bfloat16", "train_by_the_clock"]

# Share of the steps in which the one-cycle learning rate rises.
RISING = 0.1


@dataclass(frozen=True)
class _Recipe:
    """Batches of an epoch, and what is done with each."""

    batches: Iterable[Any]
    step: Callable[[Any], object]


def train_by_the_clock(
    run: SpeedRun, folder: Path | None = None, *, epochs: int | None = None, device: str = "cpu"
) -> Result:
    """Train by one recipe, and say after every epoch how long it took and what was reached.

    Args:
        run: The run.
        folder: Not used: no weights are kept.
        epochs: Number of epochs after which to stop; all by default.
        device: Device of the training; the clock is right for ``"cpu"`` only.

    Returns:
        A result whose history has a row per epoch with ``elbo`` on the test images, and ``seconds``
        in CPU seconds; ``final`` says whether products were in bfloat16.
    """
    started = time.perf_counter()
    test = load_mnist(regime=run.regime)[1].to(device)
    model, recipe = _prepare(run, device)
    history, seconds, steps = History(), 0.0, 0
    for epoch in range(1, (epochs or run.epochs) + 1):
        start = time.process_time()
        for batch in recipe.batches:
            recipe.step(batch)
            steps += 1
        seconds += time.process_time() - start
        record = Record(
            steps, float(epoch), 60_000 * epoch, seconds, {"elbo": mean_elbo(model, test)}
        )
        history.records.append(record)
    final = {"bfloat16": run.recipe == "one-cycle" and has_fast_bfloat16()}
    return Result(run, history, final, provenance(time.perf_counter() - started, device))


def has_fast_bfloat16() -> bool:
    """Return whether this processor multiplies in bfloat16, and so twice as fast as in float32.

    Example:
        >>> has_fast_bfloat16() in (True, False)
        True
    """
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public name
    return any(getattr(torch.cpu, name, bool)() for name in names)


def _prepare(run: SpeedRun, device: str) -> tuple[VAE, _Recipe]:
    generator = seed_everything(run.seed)
    model = mnist_vae(run.latent_dim, hidden_dim=run.hidden_dim, generator=generator).to(device)
    if run.recipe == "tutorial":
        return model, _tutorial(run, model, generator)
    train = load_mnist(regime=run.regime)[0].to(device)
    batches = train.batches(run.batch_size, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate, fused=True)
    learner = AEVB(model, optimizer)
    if run.recipe == "report":
        return model, _Recipe(batches, learner.step)
    schedule = OneCycleLR(
        optimizer,
        run.learning_rate,
        total_steps=run.epochs * len(batches),
        pct_start=RISING,
        anneal_strategy="linear",
    )

    def step(batch: Any) -> None:
        products: AbstractContextManager[Any] = nullcontext()
        if has_fast_bfloat16():
            products = torch.autocast("cpu", torch.bfloat16)
        with products:
            learner.step(batch)
        schedule.step()

    return model, _Recipe(batches, step)


def _tutorial(run: SpeedRun, model: VAE, generator: torch.Generator) -> _Recipe:
    from torchvision import datasets, transforms

    data = datasets.MNIST(default_root(), transform=transforms.ToTensor())
    loader = torch.utils.data.DataLoader(
        data, batch_size=run.batch_size, shuffle=True, generator=generator
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate)
    encode, decode = model.get_submodule("encoder.mlp"), model.get_submodule("decoder.mlp")

    def step(batch: tuple[Tensor, Tensor]) -> float:
        x = batch[0].view(-1, 784)
        mu, logvar = encode(x).chunk(2, dim=-1)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        y = torch.sigmoid(decode(z))
        bce = functional.binary_cross_entropy(y, x, reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        loss = (bce + kld) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return _Recipe(loader, step)
