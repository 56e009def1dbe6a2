"""What the library costs: ratios of times, all taken in one process, in turns, on one thread.

    python benchmarks/training_step.py [--rounds 100]

One AEVB step on MNIST (D = 20, 500 hidden units, 100 images) against the same step written by hand
in plain torch, against the loop of most tutorials (DataLoader, ToTensor, one image at a time), and
against its matrix products alone; and a step of the recipe in the study ``time-to-bound`` that
reaches the report's bound in 16 epochs instead of 40. Absolute times depend on the machine and on
what else it does; ratios of interleaved rounds hardly do. Times are CPU times of the one thread.
Exits with 1 if a promise is broken.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, product

import torch
from torch import Tensor, nn
from torch.nn import functional

import aevb_lib as aevb
from aevb_lib.experiments import STUDIES
from aevb_lib.experiments.speed import has_fast_bfloat16

LATENT_DIM, HIDDEN_DIM, NUM_PIXELS, BATCH_SIZE = 20, 500, 784, 100
STEPS_PER_ROUND = 10
ROUNDS_PER_BUILD = 10
MAX_OVER_PLAIN = 1.05
MIN_TUTORIAL = 1.7
MIN_SOONER = 6.0
MAX_IMPORT_SECONDS = 0.3

Step = Callable[[], object]


class PlainVAE(nn.Module):
    """The model as a tutorial writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(NUM_PIXELS, HIDDEN_DIM)
        self.fc2 = nn.Linear(HIDDEN_DIM, 2 * LATENT_DIM)
        self.fc3 = nn.Linear(LATENT_DIM, HIDDEN_DIM)
        self.fc4 = nn.Linear(HIDDEN_DIM, NUM_PIXELS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.fc2(torch.tanh(self.fc1(x))).chunk(2, dim=-1)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.fc4(torch.tanh(self.fc3(z))), mu, logvar


def with_logits(logits: Tensor, x: Tensor) -> Tensor:
    """The cross-entropy as it should be written."""
    return functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")


def with_sigmoid(logits: Tensor, x: Tensor) -> Tensor:
    """The cross-entropy as the official example of torch writes it."""
    return functional.binary_cross_entropy(logits.sigmoid(), x, reduction="sum")


def plain_step(
    model: PlainVAE,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    cross_entropy: Callable[[Tensor, Tensor], Tensor] = with_logits,
) -> Tensor:
    logits, mu, logvar = model(x)
    bce = cross_entropy(logits, x)
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    loss = (bce + kld) / len(x)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def ours(train: aevb.ImageSet) -> Step:
    """Batches by index and ``AEVB.step``."""
    model = aevb.VAE(aevb.GaussianMLP(784, LATENT_DIM), aevb.BernoulliMLP(LATENT_DIM, 784))
    learner = aevb.AEVB(model, _adam(model))
    batches = _forever(train.batches(BATCH_SIZE))
    return lambda: learner.step(next(batches))


def plain(train: aevb.ImageSet) -> Step:
    """The same batches, everything else by hand."""
    model = PlainVAE()
    optimizer = _adam(model)
    batches = _forever(train.batches(BATCH_SIZE))
    return lambda: plain_step(model, optimizer, next(batches).images)


def one_cycle(train: aevb.ImageSet) -> Step:
    """Ours with a schedule, and in bfloat16 where the processor has it."""
    model = aevb.mnist_vae(LATENT_DIM)
    optimizer = _adam(model)
    learner = aevb.AEVB(model, optimizer)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=1_000_000)
    batches = _forever(train.batches(BATCH_SIZE))
    enabled = has_fast_bfloat16()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            learner.step(next(batches))
        scheduler.step()

    return step


def tutorial(root: str) -> Step:
    """The usual data path: a DataLoader that converts one image at a time, read out every step."""
    from torchvision import datasets, transforms

    data = datasets.MNIST(root, train=True, transform=transforms.ToTensor())
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH_SIZE, shuffle=True)
    model = PlainVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = _forever(loader)

    def step() -> float:
        x = next(batches)[0].view(-1, NUM_PIXELS)
        return plain_step(model, optimizer, x, with_sigmoid).item()

    return step


def matrix_products() -> Step:
    """The eleven matrix products of a step: forward, and backward to weights and inputs."""
    sizes = [
        (NUM_PIXELS, HIDDEN_DIM),
        (HIDDEN_DIM, 2 * LATENT_DIM),
        (LATENT_DIM, HIDDEN_DIM),
        (HIDDEN_DIM, NUM_PIXELS),
    ]
    layers = [
        (torch.randn(BATCH_SIZE, i), torch.randn(o, i), torch.randn(BATCH_SIZE, o))
        for i, o in sizes
    ]

    def step() -> None:
        for number, (inputs, weight, gradient) in enumerate(layers):
            inputs @ weight.T
            gradient.T @ inputs
            if number > 0:  # nobody asks for the gradient of an image
                gradient @ weight

    return step


def medians(builders: dict[str, Callable[[], Step]], rounds: int) -> dict[str, list[float]]:
    """Seconds per step of every round; the steps take turns, so all see the same machine.

    Every few rounds begin with fresh models in a fresh order: where weights happen to lie in memory
    moves a ratio by two percent.
    """
    shuffle = random.Random(0).shuffle
    seconds: dict[str, list[float]] = {name: [] for name in builders}
    order = list(builders)
    for number in range(rounds):
        shuffle(order)
        if number % ROUNDS_PER_BUILD == 0:
            steps = {name: builders[name]() for name in order}
            for step, _ in product(steps.values(), range(STEPS_PER_ROUND)):
                step()
        for name in order:
            start = time.process_time()
            for _ in range(STEPS_PER_ROUND):
                steps[name]()
            seconds[name].append((time.process_time() - start) / STEPS_PER_ROUND)
    return seconds


def ratio(seconds: dict[str, list[float]], above: str, below: str) -> float:
    """Median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(seconds[above], seconds[below], strict=True))


def import_seconds(rounds: int = 5) -> float:
    """What ``import aevb_lib`` adds to ``import torch``, best of several fresh interpreters."""
    code = (
        "import torch, time; start = time.process_time(); import aevb_lib; "
        "print(time.process_time() - start)"
    )
    command = [sys.executable, "-c", code]
    return min(float(subprocess.check_output(command)) for _ in range(rounds))


def _adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)


def _forever(batches: object) -> Iterator:
    for epoch in cycle([batches]):
        yield from epoch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as root:
        train, _ = aevb.load_mnist(root)
        builders: dict[str, Callable[[], Step]] = {
            "ours": partial(ours, train),
            "plain torch": partial(plain, train),
            "tutorial loop": partial(tutorial, root),
            "one cycle": partial(one_cycle, train),
            "matrix products": matrix_products,
        }
        seconds = medians(builders, rounds)
    for name, values in seconds.items():
        print(f"{name:16} {1e3 * statistics.median(values):7.2f} ms per step")
    over_plain = ratio(seconds, "ours", "plain torch")
    tutorial_over = ratio(seconds, "tutorial loop", "ours")
    epochs = {run.recipe: run.epochs for run in STUDIES["time-to-bound"].runs}
    sooner = ratio(seconds, "tutorial loop", "one cycle") * epochs["tutorial"] / epochs["one-cycle"]
    imports = import_seconds()
    checks = [
        (
            f"ours / plain torch      {over_plain:6.3f}  (at most {MAX_OVER_PLAIN})",
            over_plain <= MAX_OVER_PLAIN,
        ),
        (
            f"tutorial loop / ours    {tutorial_over:5.2f}   (at least {MIN_TUTORIAL})",
            tutorial_over >= MIN_TUTORIAL,
        ),
        (
            f"tutorial / one cycle    {sooner:5.2f}   to the bound (at least {MIN_SOONER})",
            sooner >= MIN_SOONER,
        ),
        (
            f"import, beyond torch    {imports:5.2f} s (at most {MAX_IMPORT_SECONDS} s)",
            imports <= MAX_IMPORT_SECONDS,
        ),
    ]
    print(f"ours / matrix products  {ratio(seconds, 'ours', 'matrix products'):5.2f}")
    print(f"plain / matrix products {ratio(seconds, 'plain torch', 'matrix products'):5.2f}")
    for text, kept in checks:
        print(f"{text} {'ok' if kept else 'MISSED'}")
    return int(not all(kept for _, kept in checks))


if __name__ == "__main__":
    sys.exit(main())
