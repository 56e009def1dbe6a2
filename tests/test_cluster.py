"""A real Dask cluster on this machine: scheduler, worker processes, runs that are recorded."""

import logging
import os
from contextlib import contextmanager

import dask
import joblib
import pytest
from distributed import KilledWorker, LocalCluster, get_worker
from tiny import TinyStore, tiny_models

from aevb_lib.experiments import Store, run_study
from aevb_lib.experiments.__main__ import main
from aevb_lib.experiments.cluster import cluster

STUDY = tiny_models(latent_dims=(2,), epochs=1)
TINY = STUDY.runs


@contextmanager
def local_cluster(workers=2, **options):
    options = {"threads_per_worker": 1, "host": "127.0.0.1", "protocol": "tcp://"} | options
    # Any free port: that of the dashboard is opened even where there is no dashboard.
    quiet = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    settings = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.worker.memory.terminate": False,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers, silence_logs=logging.CRITICAL, scheduler_kwargs=quiet, **options
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of the scheduler of two worker processes."""
    with local_cluster(local_directory=str(tmp_path_factory.mktemp("scratch"))) as running:
        yield running.scheduler_address


def test_the_command_runs_a_study_on_the_workers(address, tmp_path):
    store = TinyStore(tmp_path)
    command = {"studies": {"tiny": STUDY}, "store": store}
    assert main(["run", "tiny", "--seeds", "1", "--scheduler", address], **command) == 0
    assert store.loaded == [], "the work is done elsewhere"
    results = store.read_all(TINY)
    assert [result.run for result in results] == [run for run in TINY if run.seed == 1]
    assert all(result.history["epoch"] == [1] for result in results)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.json")}
    assert main(["run", "tiny", "--scheduler", address], **command) == 0, "the rest of it"
    assert [result.run for result in store.read_all(TINY)] == list(TINY)
    assert before.items() <= {p: p.stat().st_mtime_ns for p in before}.items()
    assert not list(tmp_path.glob(".probe*"))


def test_workers_record_what_this_machine_would(address, tmp_path):
    """Every run in another process, its result in the folder before it is yielded."""
    there, here = TinyStore(tmp_path / "there"), TinyStore(tmp_path / "here")
    with cluster(address, there):
        for result in run_study(STUDY, there):
            assert there.read(result.run) == result
    for result in run_study(STUDY, here, seeds=[0]):
        other = there.read(result.run)
        assert other.final == result.final
        assert [r.metrics for r in other.history] == [r.metrics for r in result.history]


def test_one_worker_is_asked_too():
    """joblib by itself would do the work of a cluster with one worker outside of it."""
    with local_cluster(1, processes=False) as running, cluster(running.scheduler_address):
        workers = joblib.Parallel(n_jobs=1)(joblib.delayed(worker_address)() for _ in range(2))
        assert workers == list(running.scheduler_info["workers"]) * 2


def worker_address():
    return get_worker().address


def test_a_run_that_kills_its_worker_is_an_error():
    """joblib by itself would wait for its result for ever."""
    with local_cluster(1) as running, cluster(running.scheduler_address):
        parallel = joblib.Parallel(n_jobs=1, return_as="generator_unordered")
        with pytest.raises(KilledWorker):
            list(parallel([joblib.delayed(os._exit)(1)]))


# --- clusters that would record nonsense ---------------------------------------------------------


def test_workers_with_threads_are_refused():
    with (
        local_cluster(1, threads_per_worker=2, processes=False) as running,
        pytest.raises(ValueError, match=r"one thread.*--nworkers N --nthreads 1"),
        cluster(running.scheduler_address),
    ):
        pass


class OnEachMachine(Store):
    """A store that is another folder in every process, as the package's own may be."""

    @property
    def studies(self):
        return self.folder / str(os.getpid())


def test_workers_elsewhere_are_refused(address, tmp_path):
    with (
        pytest.raises(ValueError, match=r"record into .* cannot be seen from"),
        cluster(address, OnEachMachine(tmp_path)),
    ):
        pass


def test_a_cluster_without_workers():
    with (
        local_cluster(0) as running,
        pytest.raises(TimeoutError, match="0/1 workers"),
        cluster(running.scheduler_address, seconds_for_workers=0.1),
    ):
        pass


def test_no_scheduler_is_told_in_one_line(tmp_path, capsys):
    arguments = ["run", "tiny", "--scheduler", "tcp://127.0.0.1:1"]
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(SystemExit) as error,
    ):
        main(arguments, studies={"tiny": STUDY}, store=TinyStore(tmp_path))
    assert error.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "error: argument --scheduler: " in last
    assert "tcp://127.0.0.1:1" in last
    assert not list(tmp_path.iterdir())


def test_jobs_are_the_clusters_business(capsys):
    with pytest.raises(SystemExit):
        main(["run", "regimes", "--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"])
    assert "not allowed with argument" in capsys.readouterr().err
