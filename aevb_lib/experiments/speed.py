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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset

from aevb_lib.architectures import mnist_vae
from aevb_lib.data import ImageSet
from aevb_lib.evaluation import mean_elbo
from aevb_lib.experiments.provenance import provenance
from aevb_lib.experiments.results import SEEDS, Result, Run
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.experiments.study import Study, VerificationError
from aevb_lib.history import History, Record
from aevb_lib.inference import AEVB
from aevb_lib.models import VAE
from aevb_lib.randomness import seed_everything

__all__ = ["TIME_TO_BOUND", "SpeedRun", "TimeToBound", "has_fast_bfloat16"]

# Share of the steps in which the one-cycle learning rate rises.
RISING = 0.1

# Batches of an epoch, and what is done with each.
_Loop = tuple[Iterable[Any], Callable[[Any], object]]


@dataclass(frozen=True)
class SpeedRun(Run):
    """One training of a VAE by the clock.

    Attributes:
        recipe: ``"tutorial"``, ``"report"`` or ``"one-cycle"``.
        learning_rate: Step size of Adam; of ``"one-cycle"`` its peak.
    """

    learning_rate: float = 1e-3
    recipe: str = "report"

    @property
    def name(self) -> str:
        """File name of the result, without ending: ``one-cycle-d020-seed0``."""
        return f"{self.recipe}-d{self.latent_dim:03d}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class TimeToBound(Study[SpeedRun]):
    """The study of how soon a bound is reached.

    The history of a result has one row per epoch: ``elbo`` on the test images, and ``seconds`` in
    CPU seconds. Its ``final`` says whether products were in bfloat16. No weights are kept.
    """

    def do(self, run: SpeedRun, store: Store) -> Result[SpeedRun]:
        """Train by one recipe, and write down after every epoch how long it took and what for.

        Raises:
            VerificationError: If the device is not the CPU, whose seconds are what is measured.
        """
        started = time.perf_counter()
        history = self._train(run, run.epochs, store)
        final = {"bfloat16": run.recipe == "one-cycle" and has_fast_bfloat16()}
        seconds = time.perf_counter() - started
        return Result(run, history, final, provenance(seconds, store.device))

    def redo(self, result: Result[SpeedRun], store: Store = ASSETS, *, epochs: int = 1) -> float:
        """Train the first epochs again; return the largest difference of the bound."""
        if not 1 <= epochs <= len(result.history):
            raise VerificationError(
                f"cannot verify {epochs} epochs: {len(result.history)} are recorded"
            )
        bounds = self._train(result.run, epochs, store)["elbo"]
        recorded = result.history["elbo"][:epochs]
        return max(abs(a - b) for a, b in zip(bounds, recorded, strict=True))

    def _train(self, run: SpeedRun, epochs: int, store: Store) -> History:
        if torch.device(store.device).type != "cpu":
            raise VerificationError(
                f"{self.name} compares recipes by the seconds of one processor, not of "
                f"{store.device!r}: leave --device out, or use --device cpu"
            )
        train, test = store.images(run.regime)
        generator = seed_everything(run.seed)
        model = mnist_vae(run.latent_dim, hidden_dim=run.hidden_dim, generator=generator)
        batches, step = _RECIPES[run.recipe](run, model, train, generator)
        history, seconds, steps, examples = History(), 0.0, 0, 0
        for epoch in range(1, epochs + 1):
            start = time.process_time()
            for batch in batches:
                step(batch)
                steps += 1
            seconds += time.process_time() - start
            examples += len(train)
            reached = {"elbo": mean_elbo(model, test)}
            history.records.append(Record(steps, float(epoch), examples, seconds, reached))
        return history


def has_fast_bfloat16() -> bool:
    """Return whether this processor multiplies in bfloat16, and so twice as fast as in float32.

    Example:
        >>> has_fast_bfloat16() in (True, False)
        True
    """
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public name
    return any(getattr(torch.cpu, name, bool)() for name in names)


def _report(run: SpeedRun, model: VAE, train: ImageSet, generator: torch.Generator) -> _Loop:
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate, fused=True)
    return train.batches(run.batch_size, generator=generator), AEVB(model, optimizer).step


def _one_cycle(run: SpeedRun, model: VAE, train: ImageSet, generator: torch.Generator) -> _Loop:
    batches = train.batches(run.batch_size, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate, fused=True)
    learner = AEVB(model, optimizer)
    scheduler = OneCycleLR(
        optimizer,
        run.learning_rate,
        total_steps=run.epochs * len(batches),
        pct_start=RISING,
        anneal_strategy="linear",
    )
    enabled = has_fast_bfloat16()

    def step(batch: Any) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            learner.step(batch)
        scheduler.step()

    return batches, step


class _Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision hands them out: each from bytes to a picture, and to a tensor."""

    def __init__(self, data: ImageSet) -> None:
        from torchvision.transforms import ToTensor

        self.transform = ToTensor()
        self.pixels = (255 * data.images).round().to(torch.uint8).unflatten(1, (28, 28)).numpy()
        self.labels = data.labels.tolist()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(PIL.Image.fromarray(self.pixels[index])), self.labels[index]


def _tutorial(run: SpeedRun, model: VAE, train: ImageSet, generator: torch.Generator) -> _Loop:
    loader = DataLoader(
        _Pictures(train), batch_size=run.batch_size, shuffle=True, generator=generator
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate)
    encode, decode = model.get_submodule("encoder.mlp"), model.get_submodule("decoder.mlp")

    def step(batch: Sequence[Tensor]) -> None:
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
        loss.item()

    return loader, step


_RECIPES = {"tutorial": _tutorial, "report": _report, "one-cycle": _one_cycle}

TIME_TO_BOUND = TimeToBound(
    name="time-to-bound",
    runs=tuple(
        SpeedRun(
            "time-to-bound",
            "vae",
            20,
            seed,
            epochs=epochs,
            learning_rate=learning_rate,
            recipe=recipe,
        )
        for seed in SEEDS
        for recipe, learning_rate, epochs in (
            ("one-cycle", 4e-3, 16),
            ("report", 1e-3, 40),
            ("tutorial", 1e-3, 40),
        )
    ),
)
