r"""AEVB against its rivals by the paper's recipe: the study ``bound-vs-samples``, its figure 2.

The paper's recipe (section 5 and appendix E): weights start from a narrow normal distribution;
minibatches of 100, one sample per image; Adagrad on the MAP objective, whose prior
:math:`\mathcal N(0, I)` over the weights is a weight decay of 1/N beside an average over images.
The step of Adagrad is chosen from three by what each has reached on training images early on, where
a run does not name it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Adagrad

from aevb_lib.architectures import mnist_vae
from aevb_lib.data import ImageSet
from aevb_lib.evaluation import mean_bound
from aevb_lib.experiments.provenance import provenance
from aevb_lib.experiments.results import Result, Run
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.experiments.study import Study, VerificationError
from aevb_lib.history import History
from aevb_lib.inference import AEVB, MonteCarloEM, WakeSleep
from aevb_lib.models import VAE, LatentVariableModel
from aevb_lib.randomness import seed_everything
from aevb_lib.training import fit
from aevb_lib.types import Algorithm

__all__ = ["BOUND_VS_SAMPLES", "LEARNING_RATES", "Comparison", "ComparisonRun", "new_learner"]

LEARNING_RATES = (0.01, 0.02, 0.1)
# The paper's N(0, 0.01), read as its authors' code has it: a standard deviation.
INITIAL_STD = 0.01
# Number of steps in a stretch; the fastest of some stretches tells what a step costs.
STRETCH = 10


@dataclass(frozen=True)
class ComparisonRun(Run):
    """One training run in which AEVB is compared with another algorithm, by the paper's recipe.

    Attributes:
        model: Always ``"vae"``, of which Monte Carlo EM uses and trains the decoder only.
        regime: Wake-sleep dreams in black and white, so its encoder must see such images awake too.
        epochs: Number of passes over the N training images.
        learning_rate: Step of Adagrad; None if it is chosen in the run, see :class:`Comparison`.
        algorithm: ``"aevb"``, ``"wake-sleep"`` or ``"mcem"``.
        num_train: N, number of training images.
        num_leapfrog: Number of leapfrog steps of a move in Monte Carlo EM; a field only of runs in
            which it varies, :class:`aevb_lib.experiments.VariantRun`.
    """

    regime: str = "static"
    algorithm: str = "aevb"
    num_train: int = 50_000

    num_leapfrog = 10  # not annotated, so no field

    @property
    def kind(self) -> str:
        """Name of its weights: ``mcem-n50000``, or ``mcem-n50000-rate0.1``."""
        rate = "" if self.learning_rate is None else f"-rate{self.learning_rate:g}"
        return f"{self.algorithm}-n{self.num_train}{rate}"

    @property
    def name(self) -> str:
        """File name of the result, without ending: ``mcem-n50000-d003-seed0``."""
        return f"{self.kind}-d{self.latent_dim:03d}-seed{self.seed}"

    @property
    def steps_per_epoch(self) -> int:
        """Number of minibatches in N images."""
        return math.ceil(self.num_train / self.batch_size)


@dataclass(frozen=True, kw_only=True)
class Comparison(Study[ComparisonRun]):
    r"""A study that trains algorithms by the paper's recipe and measures their bound.

    The history of a result has rows at steps that grow geometrically. They hold ``elbo``,
    ``log_likelihood`` and ``kl`` on test images; with ``seen_`` in front, on training images.

    Its ``final`` holds ``learning_rate``, the step of Adagrad; ``learning_rates``, what each that
    was tried has reached early on training images, of which the best is chosen; and
    ``step_seconds``, what a step takes when nothing disturbs it.

    Attributes:
        first_row: Step of the first row.
        rows_per_doubling: Number of rows while the number of steps doubles.
        early_steps: Number of steps after which the paper's "first few iterations" are over.
        num_images: Number of images, seen and unseen, that are measured in each row.
        num_stretches: Number of stretches of ten steps, of which the fastest tells what a step
            costs.
    """

    first_row: int = 500
    rows_per_doubling: int = 3
    early_steps: int = 500
    num_images: int = 10_000
    num_stretches: int = 20

    def do(self, run: ComparisonRun, store: Store) -> Result[ComparisonRun]:
        """Choose the step of Adagrad, train, keep the weights, and return what happened.

        Raises:
            KeyboardInterrupt: If interrupted.
            ValueError: If there is no such algorithm.
        """
        started = time.perf_counter()
        train, test = _images(run, store)
        early = {
            rate: self.early_performance(
                self._train(run, rate, self.early_steps, train, None)[0].model, train
            )
            for rate in (LEARNING_RATES if run.learning_rate is None else ())
        }
        chosen = run.learning_rate
        if chosen is None:
            chosen = max(early, key=lambda rate: early[rate])
        learner, history = self._train(run, chosen, None, train, test)
        final = {
            "learning_rate": chosen,
            "learning_rates": {str(rate): value for rate, value in early.items()},
            **self.measure_at_the_end(learner.model, train, test),
        }
        self.save_model(learner.model, run, store)
        final["step_seconds"] = _step_seconds(learner, train, run.batch_size, self.num_stretches)
        origin = provenance(time.perf_counter() - started, store.device)
        return Result(run, history, final, origin)

    def redo(
        self, result: Result[ComparisonRun], store: Store = ASSETS, *, epochs: int = 1
    ) -> float:
        """Do the first rows again, one at least; return the largest difference of a metric."""
        run = result.run
        train, test = _images(run, store)
        steps = max(epochs * run.steps_per_epoch, int(result.history["step"][0]))
        if steps > result.history.last.step:
            raise VerificationError(f"cannot verify {epochs} epochs: {run.epochs} are recorded")
        _, history = self._train(run, result.final["learning_rate"], steps, train, test)
        recorded = {record.step: record.metrics for record in result.history}
        return max(
            abs(value - recorded[record.step][name])
            for record in history
            if record.step in recorded
            for name, value in record.metrics.items()
            if not name.startswith("train_")
        )

    def measure(self, model: LatentVariableModel, data: ImageSet) -> dict[str, float]:
        """Return what a row holds of the first images of a set: of a VAE, the bound."""
        if not isinstance(model, VAE):
            return {}
        elbo, log_likelihood, kl = map(float, mean_bound(model, data[: self.num_images]))
        return {"elbo": elbo, "log_likelihood": log_likelihood, "kl": kl}

    def early_performance(self, model: LatentVariableModel, train: ImageSet) -> float:
        """Return what a step size has reached on training images, by the study's own measure."""
        return self.measure(model, train)["elbo"]

    def measure_at_the_end(
        self, model: LatentVariableModel, train: ImageSet, test: ImageSet
    ) -> dict[str, Any]:
        """Return what is measured once: nothing, where rows tell everything."""
        return {}

    def rows(self, total: int) -> list[int]:
        """Return the steps up to ``total`` after which a row is recorded.

        Example:
            >>> BOUND_VS_SAMPLES.rows(2000)
            [500, 630, 794, 1000, 1260, 1587, 2000]
        """
        rows = [self.first_row]
        while (step := round(self.first_row * 2 ** (len(rows) / self.rows_per_doubling))) <= total:
            rows.append(step)
        return [step for step in rows if step <= total]

    def new_model(
        self, run: ComparisonRun, generator: torch.Generator | None = None
    ) -> LatentVariableModel:
        """Return the untrained model of a run: a VAE, or for Monte Carlo EM its decoder."""
        return _model(run, generator)

    def _train(
        self,
        run: ComparisonRun,
        rate: float,
        steps: int | None,
        train: ImageSet,
        test: ImageSet | None,
    ) -> tuple[Any, History]:
        """Train for at least so many steps, or all; evaluate on the way if ``test`` is given."""
        learner, generator = new_learner(run, rate, device=str(train.images.device))
        epochs = run.epochs if steps is None else math.ceil(steps / run.steps_per_epoch)

        def evaluate(model: LatentVariableModel) -> dict[str, float]:
            assert test is not None
            metrics = self.measure(model, test)
            seen = self.measure(model, train)
            return metrics | {f"seen_{name}": value for name, value in seen.items()}

        history = fit(
            learner,
            train.batches(run.batch_size, generator=generator),
            epochs=epochs,
            record_at=() if test is None else self.rows(epochs * run.steps_per_epoch),
            evaluate=None if test is None else evaluate,
            progress=False,
        )
        if history.interrupted:
            raise KeyboardInterrupt
        return learner, history


def new_learner(
    run: ComparisonRun, learning_rate: float, *, device: str = "cpu"
) -> tuple[Algorithm, torch.Generator]:
    """Return the algorithm of a run with its untrained model, and the generator of its batches.

    Args:
        run: Run of which the algorithm, the sizes and the seed are used.
        learning_rate: Step size of Adagrad.
        device: Device of the model.

    Raises:
        ValueError: If there is no such algorithm.

    Example:
        >>> from aevb_lib.experiments import STUDIES
        >>> run = STUDIES["likelihood-race"].runs[0]
        >>> learner, generator = new_learner(run, 0.02)
        >>> learner.model.latent_dim
        3
    """
    generator = seed_everything(run.seed)
    return _learner(run, _model(run, generator).to(device), learning_rate), generator


def _images(run: ComparisonRun, store: Store) -> tuple[ImageSet, ImageSet]:
    train, test = store.images(run.regime)
    return train.take(run.num_train), test


def _model(run: ComparisonRun, generator: torch.Generator | None) -> LatentVariableModel:
    """Return the untrained model. One seed gives all algorithms the same decoder."""
    model = mnist_vae(run.latent_dim, hidden_dim=run.hidden_dim, generator=generator)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=INITIAL_STD, generator=generator)
    return LatentVariableModel(model.decoder) if run.algorithm == "mcem" else model


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


def _step_seconds(
    learner: Algorithm, train: ImageSet, batch_size: int, num_stretches: int
) -> float:
    """Seconds per step: the fastest of some stretches, which nothing has disturbed.

    On a CPU of this process alone, so that other processes are not counted.
    """
    clock = time.process_time if train.images.device.type == "cpu" else time.perf_counter
    batches = list(train[: STRETCH * batch_size].batches(batch_size))
    stretches = []
    for _ in range(num_stretches):
        started = clock()
        for batch in batches:
            values = learner.step(batch)
        float(next(iter(values.values())))  # waits for a GPU
        stretches.append((clock() - started) / len(batches))
    return min(stretches)


# The paper's figure 2: ten million images for two sizes, one million for the others.
BOUND_VS_SAMPLES = Comparison(
    name="bound-vs-samples",
    runs=tuple(
        ComparisonRun(
            "bound-vs-samples", "vae", latent_dim, seed=0, algorithm=algorithm, epochs=epochs
        )
        for latent_dim, epochs in ((20, 200), (3, 200), (200, 20), (10, 20), (5, 20))
        for algorithm in ("aevb", "wake-sleep")
    ),
)
