"""A real Dask cluster on this machine: scheduler, worker processes, runs that are recorded."""

import logging
import os
from contextlib import contextmanager

import dask
import joblib
import pytest
import torch
from distributed import Client, KilledWorker, LocalCluster, get_worker

import aevb_lib as aevb
from aevb_lib.experiments import STUDIES, Run, load_result, recording, run_study, studies
from aevb_lib.experiments import cluster as module
from aevb_lib.experiments.__main__ import main
from aevb_lib.experiments.cluster import cluster

TINY = tuple(
    Run("tiny", model, 2, seed, hidden_dim=8, epochs=1, batch_size=20)
    for seed in (0, 1)
    for model in ("vae", "autoencoder")
)


def use_tiny_data(assets=None):
    """Give this process, be it a worker's or the tests', sixty random images."""

    def load(root=None, *, regime="grey"):
        images = torch.rand(80, 784, generator=torch.Generator().manual_seed(0))
        return aevb.ImageSet(images[:60]), aevb.ImageSet(images[60:])

    recording.load_mnist, recording.NUM_SEEN = load, 30
    if assets is not None:
        studies.files = lambda _: assets


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
def processes(tmp_path_factory):
    """Two worker processes that know the tiny data and record below one folder."""
    assets = tmp_path_factory.mktemp("cluster")
    with local_cluster(local_directory=str(assets / "scratch")) as running:
        with Client(running) as client:
            client.run(use_tiny_data, assets)
        yield running.scheduler_address, assets


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(STUDIES, "tiny", TINY)


def test_the_command_runs_a_study_on_the_workers(processes, tiny, monkeypatch, capsys):
    address, assets = processes
    monkeypatch.setattr(studies, "files", lambda _: assets)
    assert main(["run", "tiny", "--seeds", "1", "--scheduler", address]) == 0
    results = load_result("tiny")
    assert [result.run for result in results] == [run for run in TINY if run.seed == 1]
    assert all(result.history["epoch"] == [1] for result in results)
    before = {p: p.stat().st_mtime_ns for p in (assets / "assets" / "studies").rglob("*.json")}
    assert main(["run", "tiny", "--scheduler", address]) == 0, "the rest of it"
    assert [result.run for result in load_result("tiny")] == list(TINY)
    assert before.items() <= {p: p.stat().st_mtime_ns for p in before}.items()
    assert not list((assets / "assets" / "studies").glob(".probe*"))


def test_workers_record_what_this_machine_would(processes, tiny, monkeypatch, tmp_path):
    """Every run in another process, its result in the folder before it is yielded."""
    address, assets = processes
    monkeypatch.setattr(studies, "files", lambda _: assets)
    with cluster(address):
        for result in run_study("tiny", tmp_path / "there"):
            assert studies.read_result(result.run, tmp_path / "there") == result
    for name in ("load_mnist", "NUM_SEEN"):  # restored after the test
        monkeypatch.setattr(recording, name, getattr(recording, name))
    use_tiny_data()
    here = list(run_study("tiny", tmp_path / "here", seeds=[0]))
    for result in here:
        other = studies.read_result(result.run, tmp_path / "there")
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


def test_workers_elsewhere_are_refused(processes, monkeypatch, tmp_path):
    address, _ = processes
    monkeypatch.setattr(studies, "files", lambda _: tmp_path)
    with pytest.raises(ValueError, match=r"record into .* cannot be seen from"), cluster(address):
        pass


def test_a_cluster_without_workers(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_FOR_WORKERS", 0.1)
    with (
        local_cluster(0) as running,
        pytest.raises(TimeoutError, match="0/1 workers"),
        cluster(running.scheduler_address),
    ):
        pass


def test_jobs_are_the_clusters_business(capsys):
    with pytest.raises(SystemExit):
        main(["run", "regimes", "--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"])
    assert "not allowed with argument" in capsys.readouterr().err
