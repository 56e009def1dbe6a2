r"""Studies of AEVB and its rivals: the paper's figures 2 and 3, and what became of figure 3.

The paper's recipe (section 5 and appendix E): weights start from a narrow normal distribution;
minibatches of 100, one sample per image; Adagrad on the MAP objective, whose prior
:math:`\mathcal N(0, I)` over the weights is a weight decay of 1/N beside an average over images.
The step of Adagrad is chosen from three by what each has reached on training images early on, where
a run does not name it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Adagrad

from aevb_lib.architectures import mnist_vae
from aevb_lib.data import ImageSet, load_mnist
from aevb_lib.evaluation import mean_bound
from aevb_lib.evidence import ais_log_likelihood, hmc_log_likelihood
from aevb_lib.experiments.provenance import provenance
from aevb_lib.experiments.studies import ComparisonRun, Result, weights_folder
from aevb_lib.history import History
from aevb_lib.inference import AEVB, MonteCarloEM, WakeSleep
from aevb_lib.models import VAE, LatentVariableModel
from aevb_lib.pretrained import load_weights, save_weights
from aevb_lib.randomness import seed_everything
from aevb_lib.training import fit
from aevb_lib.types import Algorithm

__all__ = ["LEARNING_RATES", "compare", "compare_again", "load_compared", "new_learner"]

LEARNING_RATES = (0.01, 0.02, 0.1)
# Steps after which the paper's "first few iterations" are over.
EARLY_STEPS = 500
# The paper's N(0, 0.01), read as its authors' code has it: a standard deviation.
INITIAL_STD = 0.01
# First row of a history, in steps, and rows per doubling: evaluations of the second are dear.
ROWS = {"bound-vs-samples": (500, 3), "likelihood-race": (250, 1), "mcem-variants": (250, 1)}
# Images on which the bound is averaged; on which log p(x) is estimated in each row, and at the end.
NUM_BOUND, NUM_ROW, NUM_FINAL = 10_000, 100, 1_000
NUM_TEMPERATURES, NUM_CHAINS = 100, 8
# Of ten steps each, among which the fastest tells what a step costs.
NUM_STRETCHES = 20


def compare(run: ComparisonRun, folder: Path | None = None, *, device: str = "cpu") -> Result:
    r"""Train one algorithm by the paper's recipe, and keep its weights.

    Args:
        run: What to do.
        folder: See :func:`aevb_lib.experiments.record`.
        device: Where to compute.

    Returns:
        A result whose history has rows at steps that grow geometrically. In ``bound-vs-samples``
        they hold ``elbo``, ``log_likelihood`` and ``kl`` on the test images. In the other studies
        they hold :math:`\log p(x)` of the first 100 test images by the paper's estimator,
        ``hmc_log_likelihood``, and by one that can be trusted, ``annealed_log_likelihood``; and the
        bound there if there is an encoder. With ``seen_`` in front: of the first training images.

        Its ``final`` holds ``learning_rate``, the step of Adagrad; ``learning_rates``, what each
        that was tried reached on training images after 500 steps, of which the best is chosen;
        ``step_seconds``, what a step takes when nothing disturbs it; and where rows hold it,
        ``hmc_log_likelihood`` on the first 1,000 images.

    Raises:
        KeyboardInterrupt: If interrupted; no result is written then.
        ValueError: If there is no such algorithm.
    """
    started = time.perf_counter()
    train, test = _data(run, device)
    early = {
        rate: _early_performance(
            _train(run, rate, EARLY_STEPS, train, None, device)[0].model, run, train
        )
        for rate in ([] if run.learning_rate else LEARNING_RATES)
    }
    chosen = run.learning_rate or max(early, key=lambda rate: early[rate])
    learner, history = _train(run, chosen, None, train, test, device)
    final: dict[str, Any] = {
        "learning_rate": chosen,
        "learning_rates": {str(rate): value for rate, value in early.items()},
    }
    if _measures_evidence(run):
        for prefix, data in (("", test), ("seen_", train)):
            images = data.images[:NUM_FINAL]
            final[f"{prefix}hmc_log_likelihood"] = _mean(hmc_log_likelihood(learner.model, images))
    save_weights(learner.model, run.kind, run.latent_dim, folder=weights_folder(run, folder))
    final["step_seconds"] = _step_seconds(learner, train, run.batch_size, device)
    return Result(run, history, final, provenance(time.perf_counter() - started, device))


def compare_again(result: Result, *, epochs: int, device: str = "cpu") -> float:
    """Do the first rows of a recorded comparison again; see :func:`aevb_lib.experiments.verify`."""
    run = result.run
    assert isinstance(run, ComparisonRun)
    train, test = _data(run, device)
    steps = max(epochs * _steps_per_epoch(run), int(result.history["step"][0]))
    if steps > result.history.last.step:
        raise ValueError(f"cannot verify {epochs} epochs: {run.epochs} are recorded")
    _, history = _train(run, result.final["learning_rate"], steps, train, test, device)
    recorded = {record.step: record.metrics for record in result.history}
    return max(
        abs(value - recorded[record.step][name])
        for record in history
        if record.step in recorded
        for name, value in record.metrics.items()
        if not name.startswith("train_")
    )


def load_compared(run: ComparisonRun, folder: Path | None = None) -> LatentVariableModel:
    """Return the model that a recorded run ended with: a VAE, or for Monte Carlo EM its decoder.

    Those of the first seed of ``likelihood-race`` ship with the package.

    Args:
        run: The run.
        folder: See :func:`aevb_lib.experiments.record`.

    Raises:
        FileNotFoundError: If its weights are not here.

    Example:
        >>> from aevb_lib.experiments import STUDIES
        >>> model = load_compared(STUDIES["likelihood-race"][0])
        >>> model.latent_dim
        3
    """
    model = _model(run)
    load_weights(model, run.kind, run.latent_dim, folder=weights_folder(run, folder))
    return model


def _data(run: ComparisonRun, device: str) -> tuple[ImageSet, ImageSet]:
    train, test = load_mnist(regime=run.regime)
    return train.take(run.num_train).to(device), test.to(device)


def _model(run: ComparisonRun, generator: torch.Generator | None = None) -> LatentVariableModel:
    """Return the untrained model. One seed gives all algorithms the same decoder."""
    model = mnist_vae(run.latent_dim, hidden_dim=run.hidden_dim, generator=generator)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=INITIAL_STD, generator=generator)
    return LatentVariableModel(model.decoder) if run.algorithm == "mcem" else model


def new_learner(
    run: ComparisonRun, learning_rate: float, *, device: str = "cpu"
) -> tuple[Algorithm, torch.Generator]:
    """Return the algorithm of a run with its untrained model, and the generator of its batches.

    Args:
        run: Of which the algorithm, the sizes and the seed are used.
        learning_rate: Of Adagrad.
        device: Where to put the model.

    Raises:
        ValueError: If there is no such algorithm.

    Example:
        >>> from aevb_lib.experiments import STUDIES
        >>> run = STUDIES["likelihood-race"][0]
        >>> learner, generator = new_learner(run, 0.02)
        >>> learner.model.latent_dim
        3
    """
    generator = seed_everything(run.seed)
    return _learner(run, _model(run, generator).to(device), learning_rate), generator


def _learner(run: ComparisonRun, model: LatentVariableModel, rate: float) -> Algorithm:
    def adagrad(module: nn.Module) -> Adagrad:
        parameters = list(module.parameters())
        fused = parameters[0].device.type == "cpu"  # 1.4 ms less per step; not on every GPU
        return Adagrad(parameters, lr=rate, weight_decay=1 / run.num_train, fused=fused)

    if run.algorithm == "mcem":
        return MonteCarloEM(
            model, adagrad(model), num_data=run.num_train, num_leapfrog=run.num_leapfrog
        )
    assert isinstance(model, VAE)
    if run.algorithm == "wake-sleep":
        return WakeSleep(model, adagrad(model.decoder), adagrad(model.encoder))
    if run.algorithm == "aevb":
        return AEVB(model, adagrad(model))
    raise ValueError(
        f"no algorithm called {run.algorithm!r}; there are: 'aevb', 'wake-sleep', 'mcem'"
    )


def _train(
    run: ComparisonRun,
    rate: float,
    steps: int | None,
    train: ImageSet,
    test: ImageSet | None,
    device: str,
) -> tuple[Any, History]:
    """Train for at least so many steps, or all; evaluate on the way if there are test images."""
    learner, generator = new_learner(run, rate, device=device)
    epochs = run.epochs if steps is None else math.ceil(steps / _steps_per_epoch(run))
    history = fit(
        learner,
        train.batches(run.batch_size, generator=generator),
        epochs=epochs,
        record_at=_rows(run, epochs * _steps_per_epoch(run)) if test is not None else (),
        evaluate=None if test is None else _evaluation(run, train, test),
        progress=False,
    )
    if history.interrupted:
        raise KeyboardInterrupt
    return learner, history


def _measures_evidence(run: ComparisonRun) -> bool:
    return run.study != "bound-vs-samples"


def _steps_per_epoch(run: ComparisonRun) -> int:
    return math.ceil(run.num_train / run.batch_size)


def _rows(run: ComparisonRun, total: int) -> list[int]:
    first, per_doubling = ROWS[run.study]
    rows = [first]
    while (step := round(first * 2 ** (len(rows) / per_doubling))) <= total:
        rows.append(step)
    return [step for step in rows if step <= total]


def _evaluation(
    run: ComparisonRun, train: ImageSet, test: ImageSet
) -> Callable[[Any], dict[str, float]]:
    num_images = NUM_ROW if _measures_evidence(run) else NUM_BOUND
    parts = {"": test, "seen_": train}

    def evaluate(model: LatentVariableModel) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for prefix, data in parts.items():
            shown = data.take(min(num_images, len(data)))
            if isinstance(model, VAE):
                elbo, log_likelihood, kl = map(float, mean_bound(model, shown))
                metrics |= {
                    f"{prefix}elbo": elbo,
                    f"{prefix}log_likelihood": log_likelihood,
                    f"{prefix}kl": kl,
                }
            if _measures_evidence(run):
                metrics |= {
                    f"{prefix}hmc_log_likelihood": _mean(hmc_log_likelihood(model, shown.images)),
                    f"{prefix}annealed_log_likelihood": _mean(
                        ais_log_likelihood(
                            model,
                            shown.images,
                            num_temperatures=NUM_TEMPERATURES,
                            num_chains=NUM_CHAINS,
                        )
                    ),
                }
        return metrics

    return evaluate


def _early_performance(model: LatentVariableModel, run: ComparisonRun, train: ImageSet) -> float:
    """What a step size has reached on training images, by the study's own measure."""
    if not _measures_evidence(run):
        assert isinstance(model, VAE)
        return float(mean_bound(model, train.take(min(NUM_BOUND, len(train)))).bound)
    return _mean(hmc_log_likelihood(model, train.images[:NUM_ROW]))


def _step_seconds(learner: Algorithm, train: ImageSet, batch_size: int, device: str) -> float:
    """Seconds per step: the fastest of some stretches, which nothing has disturbed.

    On a CPU of this process alone, so that other processes are not counted.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter
    batches = list(train.take(min(10 * batch_size, len(train))).batches(batch_size))
    stretches = []
    for _ in range(NUM_STRETCHES):
        started = clock()
        for batch in batches:
            values = learner.step(batch)
        float(next(iter(values.values())))  # waits for a GPU
        stretches.append((clock() - started) / len(batches))
    return min(stretches)


def _mean(values: torch.Tensor) -> float:
    return float(values.double().mean())
