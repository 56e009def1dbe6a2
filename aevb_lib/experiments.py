"""The recorded studies: what was run, how to run it again, and what came out.

A long run is recorded once, by ``python -m aevb_lib.experiments run STUDY``, as a small JSON file:
its configuration, its history, its final measurements and where it came from. The book only reads
these files. Nothing in them is typed by hand, and ``verify`` trains any of them again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import joblib
import torch
from tqdm import tqdm

from aevb_lib.data import ImageSet, load_mnist
from aevb_lib.evaluation import (
    active_units,
    importance_log_likelihood,
    kl_per_dimension,
    mean_bound,
    mean_reconstruction,
    reconstruction_error,
)
from aevb_lib.history import History
from aevb_lib.inference import AEVB, Reconstruction
from aevb_lib.models import VAE, Autoencoder
from aevb_lib.pretrained import build, save_weights
from aevb_lib.training import fit, seed_everything

__all__ = ["STUDIES", "Result", "Run", "load_result", "record", "run_study", "verify"]

LATENT_DIMS = (2, 3, 5, 10, 20, 200)
SEEDS = (0, 1, 2, 3, 4)
# Training images on which the model is evaluated, for the gap between images seen and unseen.
NUM_SEEN = 10_000


@dataclass(frozen=True)
class Run:
    """One training run of a study: everything that decides its outcome.

    Attributes:
        study: Name of the study, a key of :data:`STUDIES`.
        model: ``"vae"`` or ``"autoencoder"``.
        latent_dim: D.
        seed: Decides initial weights, shuffles and noise.
        regime: Data regime, see :func:`aevb_lib.data.load_mnist`.
        hidden_dim: Units of the one hidden layer of encoder and decoder.
        epochs: Passes over the 60,000 training images.
        batch_size: Images per step.
        learning_rate: Of Adam.
        num_importance_samples: Samples per test image for log p(x) at the end; 0 for none.
    """

    study: str
    model: str
    latent_dim: int
    seed: int
    regime: str = "grey"
    hidden_dim: int = 500
    epochs: int = 40
    batch_size: int = 100
    learning_rate: float = 1e-3
    num_importance_samples: int = 0

    @property
    def name(self) -> str:
        """File name of the result, without ending: ``vae-grey-d020-seed0``."""
        return f"{self.model}-{self.regime}-d{self.latent_dim:03d}-seed{self.seed}"


@dataclass(frozen=True)
class Result:
    """What a run left behind.

    Attributes:
        run: Its configuration.
        history: One row per epoch. On test images: ``elbo``, ``log_likelihood``, ``kl``,
            ``active_units`` and ``point_log_likelihood`` (at the mean code). The first four names
            with ``seen_`` in front: on the first 10,000 training images. With ``train_``: averaged
            over the epoch's steps. An autoencoder has only ``log_likelihood``, at its code.
        final: Measured once, at the end, on test images: ``reconstruction_error``,
            ``kl_per_dimension``, and ``importance_log_likelihood`` if asked for.
        provenance: Versions, commit, hardware, date, seconds in all.
    """

    run: Run
    history: History
    final: dict[str, Any]
    provenance: dict[str, Any]

    def to_json(self) -> str:
        """Return the result as JSON text."""
        head = {"run": asdict(self.run), "final": self.final, "provenance": self.provenance}
        return f'{json.dumps(head, indent=1)[:-2]},\n "history": {self.history.to_json()}}}\n'

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read what :meth:`to_json` wrote."""
        content = json.loads(text)
        history = History.from_json(json.dumps(content["history"]))
        return cls(Run(**content["run"]), history, content["final"], content["provenance"])


# Seed by seed over everything else, so that three seeds of all sizes are complete early.
STUDIES: dict[str, tuple[Run, ...]] = {
    "latent-dimension": tuple(
        Run("latent-dimension", model, latent_dim, seed)
        for seed in SEEDS
        for latent_dim in LATENT_DIMS
        for model in ("vae", "autoencoder")
    ),
    "regimes": tuple(
        Run("regimes", "vae", 20, seed, regime, num_importance_samples=5000)
        for seed in SEEDS
        for regime in ("static", "dynamic")
    ),
}


def load_result(study: str, folder: Path | None = None) -> list[Result]:
    """Return the recorded results of a study, in the order of :data:`STUDIES`.

    Args:
        study: Name of the study.
        folder: Where the studies are; those that ship with the package by default.

    Returns:
        The results of all runs that have been recorded.

    Raises:
        KeyError: If there is no such study.
        FileNotFoundError: If nothing of it has been recorded.
    """
    results = [_read(run, folder) for run in _runs(study) if _path(run, folder).exists()]
    if not results:
        raise FileNotFoundError(
            f"no run of {study!r} is recorded; record it: python -m aevb_lib.experiments run {study}"
        )
    return results


def record(run: Run, folder: Path | None = None, *, device: str = "cpu") -> Result:
    """Do one run and write its result, and the weights if its seed is the first.

    The result file is written last and all at once, so its existence means that all is there.

    Args:
        run: What to do.
        folder: Where to write; the package's own assets by default.
        device: Where to compute.

    Returns:
        The result. If it is there already, it is read instead.

    Raises:
        KeyboardInterrupt: If interrupted; nothing is written then.
    """
    path = _path(run, folder)
    if path.exists():
        return _read(run, folder)
    torch.set_num_threads(1)  # two processes of one thread beat one process of two
    model, history, test = _train(run, run.epochs, device)
    if history.interrupted:
        raise KeyboardInterrupt
    result = Result(run, history, _final(run, model, test), _provenance(history, device))
    if run.seed == SEEDS[0] and run.regime == "grey":
        weights = None if folder is None else folder / "weights"
        save_weights(model, run.model, run.latent_dim, folder=weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(result.to_json())
    Path(file.name).chmod(0o644)  # NamedTemporaryFile makes private files
    os.replace(file.name, path)
    return result


def run_study(
    study: str,
    folder: Path | None = None,
    *,
    jobs: int = 1,
    seeds: Sequence[int] = SEEDS,
    device: str = "cpu",
) -> Iterator[Result]:
    """Do what is missing of a study, and yield each result as it is finished.

    The work goes through joblib: processes on this machine by default, or whatever backend
    ``joblib.parallel_config`` names around the call (Dask, for a cluster).

    Args:
        study: Name of the study.
        folder: See :func:`record`.
        jobs: Runs at a time.
        seeds: Seeds to do.
        device: See :func:`record`.

    Yields:
        Results, as they come.
    """
    missing = [run for run in _runs(study) if run.seed in seeds and not _path(run, folder).exists()]
    tasks = (joblib.delayed(record)(run, folder, device=device) for run in missing)
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    yield from tqdm(parallel(tasks), total=len(missing), desc=study, unit="run", smoothing=0)


def verify(result: Result, *, epochs: int = 1, device: str = "cpu") -> float:
    """Train a recorded run again, and return how far it is from the record.

    Args:
        result: The record.
        epochs: How many epochs to do again.
        device: Where to compute. Another kind of device draws other noise, so a difference of a
            nat is natural there; on the same kind it is rounding.

    Returns:
        The largest absolute difference of the test log-likelihood over these epochs, in nats.
    """
    _, history, _ = _train(result.run, epochs, device)
    recorded = result.history["log_likelihood"][:epochs]
    again = history["log_likelihood"]
    return max(abs(a - b) for a, b in zip(again, recorded, strict=True))


def _train(run: Run, epochs: int, device: str) -> tuple[VAE | Autoencoder, History, ImageSet]:
    train, test = (part.to(device) for part in load_mnist(regime=run.regime))
    generator = seed_everything(run.seed)
    model = build(run.model, run.latent_dim, hidden_dim=run.hidden_dim, generator=generator)
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate, fused=True)
    seen = train.take(NUM_SEEN)

    def evaluate(model: VAE | Autoencoder) -> dict[str, float]:
        if isinstance(model, Autoencoder):
            return {
                "log_likelihood": mean_reconstruction(model, test),
                "seen_log_likelihood": mean_reconstruction(model, seen),
            }
        metrics = {name: float(value) for name, value in mean_bound(model, test)._asdict().items()}
        for name, value in mean_bound(model, seen)._asdict().items():
            metrics[f"seen_{name}"] = float(value)
        metrics["active_units"] = int(active_units(model, test).sum())
        metrics["point_log_likelihood"] = mean_reconstruction(model, test)
        return metrics

    learner = AEVB(model, optimizer) if isinstance(model, VAE) else Reconstruction(model, optimizer)
    batches = train.batches(run.batch_size, generator=generator)
    history = fit(learner, batches, epochs=epochs, evaluate=evaluate, progress=False)
    return model, history, test


def _final(run: Run, model: VAE | Autoencoder, test: ImageSet) -> dict[str, Any]:
    final: dict[str, Any] = {"reconstruction_error": reconstruction_error(model, test)}
    if isinstance(model, VAE):
        final["kl_per_dimension"] = [round(float(v), 5) for v in kl_per_dimension(model, test)]
        if run.num_importance_samples:
            values = importance_log_likelihood(
                model, test.images, num_samples=run.num_importance_samples
            )
            final["importance_log_likelihood"] = float(values.double().mean())
    return final


def _provenance(history: History, device: str) -> dict[str, Any]:
    accelerator = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": _commit(),
        "hardware": accelerator or f"{platform.machine()} CPU, {torch.get_num_threads()} thread",
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_seconds": round(history.last.seconds, 1),
    }


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    answer = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or None


def _runs(study: str) -> tuple[Run, ...]:
    if study not in STUDIES:
        raise KeyError(f"no study {study!r}; there are: {', '.join(STUDIES)}")
    return STUDIES[study]


def _path(run: Run, folder: Path | None) -> Path:
    root = Path(str(files("aevb_lib"))) / "assets" / "studies" if folder is None else folder
    return root / run.study / f"{run.name}.json"


def _read(run: Run, folder: Path | None) -> Result:
    path = _path(run, folder)
    result = Result.from_json(path.read_text(encoding="utf-8"))
    if result.run != run:
        raise ValueError(
            f"{path.name} was recorded with another configuration than the code has now; "
            "remove the file and record it again"
        )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; see ``python -m aevb_lib.experiments --help``."""
    parser = argparse.ArgumentParser(prog="python -m aevb_lib.experiments", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the studies, and how much of each is recorded")
    run = commands.add_parser("run", help="record what is missing of a study")
    check = commands.add_parser("verify", help="train recorded runs again and compare")
    for command in (run, check):
        command.add_argument("study", choices=STUDIES)
        command.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
        command.add_argument("--device", default="cpu")
    run.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    run.add_argument("--scheduler", help="address of a Dask scheduler, to run on its workers")
    check.add_argument("--epochs", type=int, default=1)
    check.add_argument("--tolerance", type=float, default=1.0, help="nats per image")
    options = parser.parse_args(arguments)
    if options.command == "list":
        return _list()
    if options.command == "verify":
        return _verify(options)
    return _run(options)


def _list() -> int:
    for study, runs in STUDIES.items():
        done = sum(_path(run, None).exists() for run in runs)
        print(f"{study:20} {done:3} of {len(runs)} runs recorded")
    return 0


def _run(options: argparse.Namespace) -> int:
    backend: dict[str, Any] = {}
    if options.scheduler:
        from dask.distributed import Client  # optional: pip install "aevb-lib[cluster]"

        Client(options.scheduler)  # joblib finds the newest client by itself
        backend = {"backend": "dask"}
    with joblib.parallel_config(**backend):
        for result in run_study(
            options.study, jobs=options.jobs, seeds=options.seeds, device=options.device
        ):
            value = result.history.last.metrics["log_likelihood"]
            tqdm.write(f"{result.run.name}: test log-likelihood {value:.2f} nats per image")
    return 0


def _verify(options: argparse.Namespace) -> int:
    failed = 0
    for result in load_result(options.study):
        if result.run.seed in options.seeds:
            difference = verify(result, epochs=options.epochs, device=options.device)
            failed += difference > options.tolerance
            print(f"{result.run.name}: {difference:.4f} nats from the record", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
