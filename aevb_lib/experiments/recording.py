"""Recording, running and verifying any study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import joblib
import torch
from tqdm import tqdm

from aevb_lib.experiments.results import SEEDS, R, Result
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.experiments.study import Study

__all__ = ["record", "run_study", "verify"]


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
    torch.set_num_threads(1)  # two processes of one thread beat one process of two
    # scikit-learn asks joblib too, and must not spread one run over the workers of a cluster.
    with joblib.parallel_config(backend="sequential"):
        result = study.do(run, store)
    store.write(result)
    return result


def run_study(
    study: Study[R], store: Store = ASSETS, *, jobs: int = 1, seeds: Sequence[int] = SEEDS
) -> Iterator[Result[R]]:
    """Do what is missing of a study, and yield each result as it is finished.

    The work goes through joblib: processes on this machine by default, or whatever backend
    ``joblib.parallel_config`` names around the call, such as that of
    ``aevb_lib.experiments.cluster.cluster``.

    Args:
        study: The study.
        store: See :func:`record`.
        jobs: Number of runs at a time.
        seeds: Seeds to do.

    Yields:
        Results, as they come.
    """
    missing = [
        run for run in study.runs if run.seed in seeds and not store.result_path(run).exists()
    ]
    tasks = (joblib.delayed(record)(study, run, store) for run in missing)
    # One by one and all at once: a run is long, and workers may join a cluster at any time.
    parallel = joblib.Parallel(
        n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="all"
    )
    yield from tqdm(parallel(tasks), total=len(missing), desc=study.name, unit="run", smoothing=0)


def verify(
    study: Study[R], store: Store = ASSETS, *, seeds: Sequence[int] = SEEDS, epochs: int = 1
) -> Iterator[tuple[Result[R], float]]:
    """Do what is recorded of a study again, and yield how far each run is from its record.

    Args:
        study: The study.
        store: Store of the records, and the device; see
            :meth:`aevb_lib.experiments.Study.redo`.
        seeds: Seeds to verify.
        epochs: Number of epochs to train again.

    Yields:
        Each record with its difference, in the study's unit.

    Raises:
        VerificationError: If that much is not recorded, or it was recorded in another way; a
            ``ValueError``.
    """
    for result in store.read_all(run for run in study.runs if run.seed in seeds):
        yield result, study.redo(result, store, epochs=epochs)
