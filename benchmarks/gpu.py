"""What a GPU is worth: steps from Python and replayed, many models in one, the report's study.

    python benchmarks/gpu.py                                        # on a GPU, some five minutes
    python benchmarks/gpu.py --device cpu --steps 3 --epochs 0      # a rehearsal, without the study

Everything is timed in one process, in turns. *Eager* steps are started by Python, operation by
operation; *replayed* ones as a whole, from a CUDA graph. *Together* means S models in one step. The
floor is the eleven matrix products of a step alone, replayed as well. On a processor a replayed
step is the eager one, so the ratios say nothing there, and no promise is checked.
Exits with 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

import aevb_lib as aevb
from aevb_lib.experiments import STUDIES, Store, new_learner, run_study

BATCH_SIZE = 100
TOGETHER = (1, 5, 60)
MIN_AEVB, MIN_MONTE_CARLO_EM, MIN_TOGETHER = 6.0, 10.0, 20.0
MAX_STUDY_SECONDS = 240.0

Step = Callable[[], object]


def report_learner(seed: int, device: str) -> tuple[aevb.AEVB, torch.Generator]:
    """The report's VAE with D = 20 and its recipe."""
    generator = aevb.seed_everything(seed)
    model = aevb.mnist_vae(20, generator=generator).to(device)
    return aevb.AEVB(model, torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)), generator


def paper_learner(algorithm: str, device: str) -> tuple[aevb.Algorithm, torch.Generator]:
    """A contestant of the paper's race, 784-100-3 with Adagrad, on 1,000 images."""
    run = next(
        run
        for run in STUDIES["likelihood-race"].runs
        if (run.algorithm, run.num_train) == (algorithm, 1_000)
    )
    return new_learner(run, 0.02, device=device)


def stepper(learner: aevb.Algorithm, batches: aevb.types.Batches) -> Step:
    """One step after the other, epoch after epoch."""

    def forever():
        while True:
            yield from batches

    stream = forever()
    return lambda: learner.step(next(stream))


def matrix_products(device: str) -> Step:
    """The matrix products of a step of the report's VAE: the floor of its arithmetic."""
    sizes = [(784, 500), (500, 40), (20, 500), (500, 784)]
    layers = [
        tuple(torch.randn(*shape, device=device) for shape in ((100, i), (o, i), (100, o)))
        for i, o in sizes
    ]

    class Products:
        """As an algorithm, so that it is replayed like one."""

        def __init__(self) -> None:
            self.model = nn.Linear(1, 1).to(device)

        def step(self, batch: aevb.Batch) -> dict[str, Tensor]:
            values = []
            for number, (inputs, weight, gradient) in enumerate(layers):
                values += [inputs @ weight.T, gradient.T @ inputs]
                if number > 0:  # nobody asks for the gradient of an image
                    values.append(gradient @ weight)
            return {"any": values[-1][0, 0]}

    batch = aevb.Batch(*(torch.zeros(1, 1, device=device) for _ in range(3)))
    replay = aevb.Replay(Products())
    return lambda: replay.step(batch)


def milliseconds(steps: dict[str, Step], count: int, device: str, rounds: int = 5) -> dict:
    """Median over rounds of the time per step; the steps take turns."""

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    found: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            wait()
            start = time.perf_counter()
            for _ in range(count if number else 5):
                step()
            wait()
            if number:  # before that, graphs are captured
                found[name].append(1e3 * (time.perf_counter() - start) / count)
    return {name: statistics.median(values) for name, values in found.items()}


def together(size: int, data: aevb.ImageSet, device: str) -> Step:
    """A step of some models with different seeds, all in one."""
    learners, generators = zip(*(report_learner(s, device) for s in range(size)), strict=True)
    batches = data.batches(BATCH_SIZE, generator=list(generators))
    return stepper(aevb.Replay(aevb.Together(list(learners))), batches)


def study_seconds(device: str, epochs: int) -> tuple[float, int]:
    """Seconds for all trainings of the report's study, and how many those are."""
    study = STUDIES["latent-dimension"]
    short = replace(study, runs=tuple(replace(run, epochs=epochs) for run in study.runs))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        count = sum(1 for _ in run_study(short, Store(Path(folder), device), together=True))
        return time.perf_counter() - start, count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=200, help="steps per round")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of the study; 0: no study")
    options = parser.parse_args()
    device, count = options.device, options.steps
    train = aevb.load_mnist()[0].to(device)
    few = aevb.load_mnist(regime="static")[0].to(device).take(1_000)
    pairs = {
        "AEVB, D = 20, Adam": (lambda: report_learner(0, device), train),
        "AEVB, D = 3, Adagrad": (lambda: paper_learner("aevb", device), few),
        "wake-sleep, D = 3": (lambda: paper_learner("wake-sleep", device), few),
        "Monte Carlo EM, D = 3": (lambda: paper_learner("mcem", device), few),
    }
    steps: dict[str, Step] = {}
    for name, (make, data) in pairs.items():
        for how, wrap in (("eager", lambda learner: learner), ("replayed", aevb.Replay)):
            learner, generator = make()
            steps[f"{name}, {how}"] = stepper(
                wrap(learner), data.batches(BATCH_SIZE, generator=generator)
            )
    for size in TOGETHER:
        steps[f"AEVB, D = 20, {size} together"] = together(size, train, device)
    steps["matrix products, replayed"] = matrix_products(device)
    found = milliseconds(steps, count, device)
    for name, value in found.items():
        print(f"{name:34} {value:8.3f} ms per step")
    eager = {name: found[f"{name}, eager"] / found[f"{name}, replayed"] for name in pairs}
    for name, ratio in eager.items():
        print(f"{name:34} {ratio:8.1f} times faster when replayed")
    alone = found["AEVB, D = 20, Adam, eager"]
    each = {size: alone / (found[f"AEVB, D = 20, {size} together"] / size) for size in TOGETHER}
    for size, ratio in each.items():
        print(f"{size:2} together {ratio:31.1f} times faster per model than eager and alone")
    floor = found["matrix products, replayed"]
    share = floor / found["AEVB, D = 20, Adam, replayed"]
    print(f"share of the matrix products in a replayed step: {share:.0%}")
    checks = [
        (f"AEVB replayed: at least {MIN_AEVB:g} times", eager["AEVB, D = 20, Adam"] >= MIN_AEVB),
        (
            f"Monte Carlo EM replayed: at least {MIN_MONTE_CARLO_EM:g} times",
            eager["Monte Carlo EM, D = 3"] >= MIN_MONTE_CARLO_EM,
        ),
        (f"five together: at least {MIN_TOGETHER:g} times", each[5] >= MIN_TOGETHER),
    ]
    if options.epochs:
        seconds, trainings = study_seconds(device, options.epochs)
        print(f"{trainings} trainings of {options.epochs} epochs: {seconds:.0f} s")
        checks.append((f"the study: at most {MAX_STUDY_SECONDS:g} s", seconds <= MAX_STUDY_SECONDS))
    if device == "cpu":
        print("a rehearsal: nothing was replayed, and no promise is checked")
        return 0
    for text, kept in checks:
        print(f"{text}: {'ok' if kept else 'MISSED'}")
    return int(not all(kept for _, kept in checks))


if __name__ == "__main__":
    sys.exit(main())
