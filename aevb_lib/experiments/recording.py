"""Recording, running and verifying any study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import torch
from tqdm import tqdm

from aevb_lib.experiments.provenance import hardware
from aevb_lib.experiments.results import R, Result
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.experiments.study import Study, VerificationError
from aevb_lib.experiments.together import allowed_difference, same_but_seed
from aevb_lib.history import History

__all__ = ["Verification", "record", "run_study", "verify"]


@dataclass(frozen=True)
class Verification:
    """How far something that was done again is from its record.

    Attributes:
        name: Name of the run, or of the runs.
        difference: Largest absolute difference, in the study's unit.
        allowed: Largest difference that is no fault.
        reason: Words on where the record was made and what allows that much.
    """

    name: str
    difference: float
    allowed: float
    reason: str

    @property
    def is_passed(self) -> bool:
        """Whether the difference is allowed."""
        return self.difference <= self.allowed


def record(study: Study[R], run: R, store: Store = ASSETS) -> Result[R]:
    """Do one run and write its weights and its result.

    The result file is written last and all at once, so its existence means that all is there.

    Args:
        study: The study.
        run: One of its runs.
        store: Store to write to, and the device.

    Returns:
        The result. If it is there already, it is read instead.

    Raises:
        KeyboardInterrupt: If interrupted; nothing is written then.
    """
    if store.result_path(run).exists():
        return store.read(run)
    return _record_all(study, [run], store)[0]


def _record_all(study: Study[R], runs: Sequence[R], store: Store) -> list[Result[R]]:
    torch.set_num_threads(1)  # two processes of one thread beat one process of two
    # scikit-learn asks joblib too, and must not spread one run over the workers of a cluster.
    with joblib.parallel_config(backend="sequential"):
        results = study.do_together(runs, store) if len(runs) > 1 else [study.do(runs[0], store)]
    for result in results:
        store.write(result)
    return results


def run_study(
    study: Study[R],
    store: Store = ASSETS,
    *,
    jobs: int = 1,
    seeds: Sequence[int] | None = None,
    together: bool | None = None,
) -> Iterator[Result[R]]:
    """Do what is missing of a study, and yield each result as it is finished.

    The work goes through joblib: processes on this machine by default, or whatever backend
    ``joblib.parallel_config`` names around the call, such as that of
    ``aevb_lib.experiments.cluster.cluster``.

    Args:
        study: The study.
        store: See :func:`record`.
        jobs: Number of runs at a time.
        seeds: Seeds to do; all by default.
        together: Whether to train all seeds of a configuration together, in studies that can; by
            default on a GPU, where it saves most of the time. A processor gains nothing by it.

    Yields:
        Results, as they come.
    """
    missing = [
        run
        for run in study.runs
        if (seeds is None or run.seed in seeds) and not store.result_path(run).exists()
    ]
    if together is None:
        together = torch.device(store.device).type != "cpu"
    # Where a study trains nothing together, each run is written as soon as it is done.
    together = together and type(study).do_together is not Study.do_together
    groups = same_but_seed(missing) if together else [[run] for run in missing]
    tasks = (joblib.delayed(_record_all)(study, group, store) for group in groups)
    # One by one and all at once: a run is long, and workers may join a cluster at any time.
    parallel = joblib.Parallel(
        n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="all"
    )
    with tqdm(total=len(missing), desc=study.name, unit="run", smoothing=0) as bar:
        for results in parallel(tasks):
            bar.update(len(results))
            yield from results


def verify(
    study: Study[R], store: Store = ASSETS, *, seeds: Sequence[int] | None = None, epochs: int = 1
) -> Iterator[Verification]:
    """Do what is recorded of a study again, and yield how far it is from the records.

    Records that were made on this kind of device are done again one by one. Where they were made on
    another, or where the runs of a study are chaotic, a seed has other noise here. Then the seeds
    of a configuration are trained together, and the mean of every metric is compared with that of
    all recorded seeds, within what the spread over seeds allows.

    Args:
        study: The study.
        store: Store of the records, and the device; see
            :meth:`aevb_lib.experiments.Study.redo`.
        seeds: Seeds to verify; all by default.
        epochs: Number of epochs to train again.

    Yields:
        One verification per run, or per configuration.

    Raises:
        VerificationError: If that much is not recorded, it was recorded in another way, or one seed
            alone is to be compared with records from elsewhere; a ``ValueError``.
    """
    recorded = store.read_all(study.runs)
    here = _kind(hardware(store.device))
    trains = type(study).train_again is not Study.train_again
    for group in same_but_seed(result.run for result in recorded):
        alike: dict[str, list[Result[R]]] = {}
        for result in recorded:
            if result.run in group:
                alike.setdefault(_origin(result), []).append(result)
        for origin, members in alike.items():
            again = [result for result in members if seeds is None or result.run.seed in seeds]
            has_other_noise = _kind(origin) != here or "seeds_together" in members[0].provenance
            if again and trains and (study.is_chaotic or has_other_noise):
                yield _verify_spread(study, members, again, store, epochs, origin)
                continue
            for result in again:
                difference = study.redo(result, store, epochs=epochs)
                reason = f"made on {origin}"
                yield Verification(result.run.name, difference, study.tolerance, reason)


def _verify_spread(
    study: Study[R],
    members: list[Result[R]],
    again: list[Result[R]],
    store: Store,
    epochs: int,
    origin: str,
) -> Verification:
    runs = [result.run for result in again]
    seeds = ", ".join(str(run.seed) for run in runs)
    name = f"{runs[0].name.rsplit('-seed', 1)[0]}, seeds {seeds}"
    if len(members) < 2:
        raise VerificationError(
            f"{name} can be compared through the spread over seeds only (recorded on {origin}"
            f"{', chaotic' if study.is_chaotic else ''}), which needs two recorded at least"
        )
    if epochs > runs[0].epochs:
        raise VerificationError(f"cannot verify {epochs} epochs: {runs[0].epochs} are recorded")
    histories = study.train_again(runs, store, epochs=epochs)
    recorded = {row.step for row in members[0].history}
    steps = [row.step for row in histories[0] if row.step in recorded]
    if not steps:
        raise VerificationError(f"cannot verify {epochs} epochs of {name}: no such row is recorded")
    old = [_row(result.history, steps[-1]) for result in members]
    new = [_row(history, steps[-1]) for history in histories]
    compared = [
        _compared([row[metric] for row in old], [row[metric] for row in new])
        for metric in new[0]
        if not metric.startswith("train_") and all(metric in row for row in old)
    ]
    if not compared:
        raise VerificationError(f"{name} recorded no metric that can be compared")
    # A number that is no number is the worst.
    worst = max(compared, key=lambda pair: math.inf if math.isnan(pair[0]) else pair[0] / pair[1])
    reason = f"made on {origin}; the spread over {len(members)} recorded seeds allows"
    return Verification(name, *worst, f"{reason} {worst[1]:.4f}")


def _origin(result: Result[Any]) -> str:
    """What made a record, as far as its noise depends on it."""
    seeds = result.provenance.get("seeds_together")
    return str(result.provenance.get("hardware")) + (f", seeds {seeds} together" if seeds else "")


def _row(history: History, step: int) -> dict[str, float]:
    return next(row.metrics for row in history if row.step == step)


def _compared(old: list[float], new: list[float]) -> tuple[float, float]:
    difference = abs(sum(new) / len(new) - sum(old) / len(old))
    # Numbers without a spread, such as a count of units, agree or not; rounding is no difference.
    return difference, max(allowed_difference(old, new), 1e-3)


def _kind(origin: str) -> str:
    """Hardware on which one seed gives one noise: any processor, or any GPU of one name."""
    return "CPU" if " CPU" in origin else origin.split(", ")[0]
