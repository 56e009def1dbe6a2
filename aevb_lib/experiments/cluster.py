"""Runs on the workers of a Dask cluster, through joblib, without another way of recording them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
from joblib._dask import DaskDistributedBackend

from aevb_lib.experiments.store import ASSETS, Store

__all__ = ["cluster"]

SECONDS_FOR_WORKERS = 60.0


@contextmanager
def cluster(
    address: str, store: Store = ASSETS, *, seconds_for_workers: float = SECONDS_FOR_WORKERS
) -> Iterator[None]:
    """Send what joblib does inside the ``with`` to the workers of a Dask scheduler.

    Workers record the runs themselves, so all of them see the folder of the studies under the path
    it has here: they share a file system with this machine, or are on it.

    Args:
        address: Address of the scheduler, such as ``tcp://10.0.0.1:8786``.
        store: Store in which the runs are recorded.
        seconds_for_workers: Longest wait for the first worker, in seconds.

    Raises:
        ImportError: If Dask is not installed.
        OSError: If there is no scheduler at that address.
        TimeoutError: If no worker joins the scheduler in time.
        ValueError: If a worker has several threads or another folder.

    Example:
        >>> with cluster("tcp://10.0.0.1:8786"):  # doctest: +SKIP
        ...     results = list(run_study(STUDIES["regimes"]))
    """
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ImportError("a cluster needs Dask: pip install 'aevb-lib[cluster]'") from error
    with Client(address) as client:
        client.wait_for_workers(1, timeout=seconds_for_workers)
        _check_workers(client, store)
        with joblib.parallel_config(backend=_Backend(client=client)):
            yield


class _Backend(DaskDistributedBackend):  # type: ignore[misc]  # joblib has no type information
    """joblib's Dask backend, made fit for runs of an hour on machines that come and go."""

    def effective_n_jobs(self, n_jobs: int) -> int:
        # For one job at a time joblib would not ask the cluster at all, and do the work here.
        return max(2, int(super().effective_n_jobs(n_jobs)))

    def submit(self, func: Any, callback: Callable[[Any], Any] | None = None) -> Any:
        # When Dask gives up on a run, because the workers that had it died one after another,
        # joblib is not called back, and a generator of its results would wait for ever.
        future = super().submit(func, callback)
        future.add_done_callback(lambda done: callback and done.exception() and callback(done))
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        if isinstance(out, Future):
            return out.result()  # raises what Dask said
        return super().retrieve_result_callback(out)


def _check_workers(client: Any, store: Store) -> None:
    if crowded := [worker for worker, threads in client.nthreads().items() if threads > 1]:
        # Seeds and torch's threads belong to a process: two runs in one would disturb each other.
        raise ValueError(
            f"a worker must have one thread, but there are more in {', '.join(crowded)}: "
            "start workers with `dask worker ADDRESS --nworkers N --nthreads 1`"
        )
    folder = store.studies
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as probe:
        answers = client.run(_sees, store, Path(probe.name).name)
    if elsewhere := [worker for worker, sees in answers.items() if not sees]:
        raise ValueError(
            f"workers record into {folder}, which cannot be seen from {', '.join(elsewhere)}: "
            "start workers from the same checkout, on a file system that all machines share"
        )


def _sees(store: Store, name: str) -> bool:
    return (store.studies / name).exists()  # on a worker: its own package's folder by default
