"""Processes killed, interrupted, crowded and without room: is anything lost or half-written?

    python -m tests.attack.violence [--times 100]

Everything happens in children of one process, so that no import is paid for twice. Prints what was
done, as JSON; stops with an error at the first thing that is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

import aevb_lib as aevb
from aevb_lib import archives
from aevb_lib.experiments import Store, TrainedModels, TrainedRun
from aevb_lib.experiments.recording import run_study


class SmallStore(Store):
    """Twenty random images stand in for MNIST."""

    def images(self, regime: str = "grey") -> tuple[aevb.ImageSet, aevb.ImageSet]:
        images = torch.rand(40, 784, generator=torch.Generator().manual_seed(0))
        return aevb.ImageSet(images[:20]), aevb.ImageSet(images[20:])


STUDY = TrainedModels(
    name="small",
    num_seen=20,
    runs=tuple(
        TrainedRun("small", "vae", 2, seed, hidden_dim=8, epochs=20, batch_size=20)
        for seed in range(1000)
    ),
)


def child(work: Callable[[], object]) -> int:
    """Start a process that does the work and ends without a trace of this one."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def kill_a_study(times: int) -> int:
    """Kill a study again and again until all of its runs are recorded; read what is there."""
    with tempfile.TemporaryDirectory() as folder:
        store = SmallStore(Path(folder))
        seen: set[str] = set()
        for _ in range(times):
            pid = child(lambda: list(run_study(STUDY, store, seeds=range(1000))))
            time.sleep(random.uniform(0.1, 0.9))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            results = store.read_all(STUDY.runs)  # a half-written record could not be read
            names = {result.run.name for result in results}
            assert seen <= names, "a record was lost"
            for result in results:
                STUDY.load_model(result.run, store)  # weights are written before the record
            seen = names
        return len(seen)


def unpack_together(times: int) -> int:
    """Let two processes unpack MNIST into one folder at the same time."""
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            pids = [child(lambda root=Path(folder): archives.unpack(root)) for _ in range(2)]
            codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
            assert codes == [0, 0], codes
            raw = Path(folder) / "MNIST" / "raw"
            archives.unpack(Path(folder))  # finds all of it sound
            left = [path.name for path in raw.parent.iterdir() if path != raw]
            assert not left, left
    return times


def interrupt_fit(times: int) -> int:
    """Press Ctrl-C at random moments of a training."""
    interrupted = 0
    data = aevb.ImageSet(torch.rand(100, 16))
    for number in range(times):
        generator = aevb.seed_everything(number)
        model = aevb.VAE(aevb.GaussianMLP(16, 2, (8,)), aevb.BernoulliMLP(2, 16, (8,)))
        learner = aevb.AEVB(model, torch.optim.Adam(model.parameters()))
        batches = data.batches(10, generator=generator)
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.004, 0.3))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                history = aevb.fit(
                    learner,
                    batches,
                    epochs=40,
                    evaluate=lambda m: {"elbo": aevb.mean_elbo(m, data)},
                    record_every=3,
                    progress=False,
                )
            except KeyboardInterrupt:
                continue  # before the first step: there is nothing to keep
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        interrupted += history.interrupted
        steps = [*range(3, 400, 3), 400]
        assert history["step"] == steps[: len(history)] if len(history) else True
        assert all(set(row.metrics) == set(history.metrics) for row in history)
        assert aevb.History.from_json(history.to_json()) == history
        assert all(module.training for module in model.modules()), "left in evaluation mode"
        assert all(parameter.isfinite().all() for parameter in model.parameters())
    return interrupted


def without_room() -> list[str]:
    """Write where nothing more can be written; the old files are there afterwards."""
    done = []
    with tempfile.TemporaryDirectory() as folder:
        history = aevb.History([aevb.Record(1, 1.0, 10, 0.1, {"elbo": -1.0})])
        path = Path(folder) / "history.json"
        history.save(path)
        model = aevb.mnist_vae(2, hidden_dim=8)
        from aevb_lib.pretrained import save_weights

        weights = save_weights(model, "vae", 2, folder=folder)
        before = path.read_bytes(), weights.read_bytes()
        resource_limit(100)
        try:
            for name, write in (
                ("history", lambda: aevb.History(history.records * 50).save(path)),
                ("weights", lambda: save_weights(model, "vae", 2, folder=folder)),
                ("MNIST", lambda: archives.unpack(Path(folder))),
            ):
                try:
                    write()
                except OSError:
                    done.append(name)
        finally:
            resource_limit(None)
        assert (path.read_bytes(), weights.read_bytes()) == before
        assert not list(Path(folder).rglob("*.partial"))
    for place in ("/proc/nowhere", "/dev/null/nowhere"):
        try:
            archives.unpack(Path(place))
        except OSError as error:
            said = str(error)
        assert "AEVB_DATA" in said, said
        done.append(place)
    assert len(done) == 5, done
    return done


def resource_limit(size: int | None) -> None:
    """Let no file grow beyond a size, in bytes: what a full disk does to a writer."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead of a signal
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    times = parser.parse_args().times
    torch.set_num_threads(1)
    random.seed(0)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    report = {
        "interrupted": interrupt_fit(times),
        "recorded": kill_a_study(times),
        "unpacked": unpack_together(max(1, times // 2)),
        "refused": without_room(),
    }
    json.dump(report, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
