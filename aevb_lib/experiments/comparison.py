r"""AEVB against its rivals by the paper's recipe: the study ``bound-vs-samples``, its figure 2.

The step of Adagrad is chosen from three by what each has reached on training images early on, where
a run does not name it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aevb_lib.data import ImageSet
from aevb_lib.evaluation import mean_bound
from aevb_lib.experiments.provenance import provenance
from aevb_lib.experiments.recipe import LEARNING_RATES, ComparisonRun, new_learner, new_model
from aevb_lib.experiments.results import Result
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.experiments.study import Study, VerificationError
from aevb_lib.experiments.together import train_all
from aevb_lib.history import History
from aevb_lib.inference import Replay
from aevb_lib.inference.replay import NUM_EAGER
from aevb_lib.models import VAE, LatentVariableModel
from aevb_lib.modes import weights_are_finite
from aevb_lib.types import Algorithm

__all__ = ["BOUND_VS_SAMPLES", "Comparison"]

# Number of steps in a stretch; the fastest of some stretches tells what a step costs.
STRETCH = 10


@dataclass(frozen=True, kw_only=True)
class Comparison(Study[ComparisonRun]):
    r"""A study that trains algorithms by the paper's recipe and measures their bound.

    The history of a result has rows at steps that grow geometrically. They hold ``elbo``,
    ``log_likelihood`` and ``kl`` on test images; with ``seen_`` in front, on training images.

    Its ``final`` holds ``learning_rate``, the step of Adagrad; ``learning_rates``, what each that
    was tried has reached early on training images, None where it diverged, of which the best is
    chosen; and ``step_seconds``, what a step takes when nothing disturbs it.

    Attributes:
        first_row: Step of the first row.
        rows_per_doubling: Number of rows while the number of steps doubles.
        early_steps: Number of steps after which the paper's "first few iterations" are over.
        num_images: Number of images, seen and unseen, that are measured in each row.
        num_stretches: Number of stretches of ten steps, of which the fastest tells what a step
            costs; 0 for none.
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
        return self.do_together([run], store)[0]

    def do_together(
        self, runs: Sequence[ComparisonRun], store: Store
    ) -> list[Result[ComparisonRun]]:
        """Do the runs of some seeds, each of which chooses its own step.

        Raises:
            KeyboardInterrupt: If interrupted.
            ValueError: If there is no such algorithm.
        """
        train, test = _images(runs[0], store)
        early = self.early_performances(runs, train, store)
        chosen = [
            max(own, key=lambda rate: own[rate]) if run.learning_rate is None else run.learning_rate
            for run, own in zip(runs, early, strict=True)
        ]
        results = []
        with store.checkpoint(runs) as checkpoint:
            learners, histories = self._train(runs, chosen, None, train, test, checkpoint)
            for index, (run, learner) in enumerate(zip(runs, learners, strict=True)):
                final = {
                    "learning_rate": chosen[index],
                    "learning_rates": {
                        # JSON has no infinity, which is what a step that diverges has reached.
                        str(rate): value if math.isfinite(value) else None
                        for rate, value in early[index].items()
                    },
                    **self.measure_at_the_end(run, learner.model, train, test),
                }
                self.save_model(learner.model, run, store)
                if self.num_stretches:
                    final["step_seconds"] = _step_seconds(
                        learner, train, run.batch_size, self.num_stretches
                    )
                seconds = histories[index].last.seconds
                origin = provenance(seconds, store.device, together=runs)
                results.append(Result(run, histories[index], final, origin))
        return results

    def redo(
        self, result: Result[ComparisonRun], store: Store = ASSETS, *, epochs: int = 1
    ) -> float:
        """Do the first rows again, one at least; return the largest difference of a metric."""
        run = result.run
        steps = max(epochs * run.steps_per_epoch, int(result.history["step"][0]))
        if steps > result.history.last.step:
            raise VerificationError(f"cannot verify {epochs} epochs: {run.epochs} are recorded")
        train, test = _images(run, store)
        _, (history,) = self._train([run], [result.final["learning_rate"]], steps, train, test)
        recorded = {record.step: record.metrics for record in result.history}
        return max(
            abs(value - recorded[record.step][name])
            for record in history
            if record.step in recorded
            for name, value in record.metrics.items()
            if not name.startswith("train_")
        )

    def train_again(
        self, runs: Sequence[ComparisonRun], store: Store, *, epochs: int
    ) -> list[History]:
        """Do the first rows of some seeds again, one at least, with the steps that they chose."""
        results = [store.read(run) for run in runs]
        train, test = _images(runs[0], store)
        steps = max(epochs * runs[0].steps_per_epoch, int(results[0].history["step"][0]))
        rates = [result.final["learning_rate"] for result in results]
        return self._train(runs, rates, steps, train, test)[1]

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
        self, run: ComparisonRun, model: LatentVariableModel, train: ImageSet, test: ImageSet
    ) -> dict[str, Any]:
        """Return what is measured once: nothing, where rows tell everything."""
        return {}

    def measure_seen(self, model: LatentVariableModel, train: ImageSet) -> dict[str, float]:
        """Return what a row holds of training images: the same."""
        return self.measure(model, train)

    def rows_of(self, run: ComparisonRun, total: int) -> list[int]:
        """Return the steps of a run after which a row is recorded; see :meth:`rows`."""
        return self.rows(total)

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
        return new_model(run, generator)

    def early_performances(
        self, runs: Sequence[ComparisonRun], train: ImageSet, store: Store
    ) -> list[dict[float, float]]:
        """Return what each step of Adagrad has reached early, for runs that choose theirs by it.

        Args:
            runs: The runs.
            train: Training images.
            store: Store of the records.

        Returns:
            A value for each step, minus infinity where it diverged, for each run.
        """
        reached: list[dict[float, float]] = [{} for _ in runs]
        for rate in LEARNING_RATES if runs[0].learning_rate is None else ():
            for own, value in zip(reached, self._reached_early(runs, rate, train), strict=True):
                own[rate] = value if math.isfinite(value) else -math.inf
        return reached

    def _reached_early(
        self, runs: Sequence[ComparisonRun], rate: float, train: ImageSet
    ) -> list[float]:
        try:
            learners, _ = self._train(runs, [rate] * len(runs), self.early_steps, train, None)
        except FloatingPointError:
            if len(runs) == 1:
                return [math.nan]
            # The others do not go down with it.
            return [self._reached_early([run], rate, train)[0] for run in runs]
        models = [learner.model for learner in learners]
        return [
            self.early_performance(model, train) if weights_are_finite(model) else math.nan
            for model in models
        ]

    def _train(
        self,
        runs: Sequence[ComparisonRun],
        rates: Sequence[float],
        steps: int | None,
        train: ImageSet,
        test: ImageSet | None,
        checkpoint: Path | None = None,
    ) -> tuple[list[Any], list[History]]:
        """Train for at least so many steps, or all; evaluate on the way if ``test`` is given."""
        device = str(train.images.device)
        members = [new_learner(run, r, device=device) for run, r in zip(runs, rates, strict=True)]
        learners, generators = zip(*members, strict=True)
        per_epoch = runs[0].steps_per_epoch
        epochs = runs[0].epochs if steps is None else math.ceil(steps / per_epoch)

        def evaluate(model: LatentVariableModel) -> dict[str, float]:
            assert test is not None
            metrics = self.measure(model, test)
            seen = self.measure_seen(model, train)
            return metrics | {f"seen_{name}": value for name, value in seen.items()}

        histories = train_all(
            learners,
            train,
            generators,
            batch_size=runs[0].batch_size,
            epochs=epochs,
            record_at=() if test is None else self.rows_of(runs[0], epochs * per_epoch),
            evaluate=None if test is None else evaluate,
            checkpoint=checkpoint,
        )
        return list(learners), histories


def _images(run: ComparisonRun, store: Store) -> tuple[ImageSet, ImageSet]:
    train, test = store.images(run.regime)
    return train.take(run.num_train), test


def _step_seconds(
    learner: Algorithm, train: ImageSet, batch_size: int, num_stretches: int
) -> float:
    """Seconds per step: the fastest of some stretches, which nothing has disturbed.

    On a CPU of this process alone, so that other processes are not counted.
    """
    learner = Replay(learner)
    is_processor = train.images.device.type == "cpu"
    clock = time.process_time if is_processor else time.perf_counter
    batches = list(train[: STRETCH * batch_size].batches(batch_size))
    # On a GPU the first steps are started by Python, and the next one captures what is replayed.
    num_untimed = 0 if is_processor else math.ceil((NUM_EAGER + 1) / len(batches))
    stretches = []
    for _ in range(num_untimed + num_stretches):
        started = clock()
        for batch in batches:
            values = learner.step(batch)
        float(next(iter(values.values())))  # waits for a GPU
        stretches.append((clock() - started) / len(batches))
    return min(stretches[num_untimed:])


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
