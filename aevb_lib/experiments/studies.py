"""What the studies are, and what came out: configurations, results, and where they are kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from aevb_lib.archives import default_root
from aevb_lib.history import History

__all__ = [
    "SEEDS",
    "STUDIES",
    "Result",
    "Run",
    "load_result",
    "read_result",
    "result_path",
    "studies_folder",
    "study_runs",
    "weights_folder",
]

LATENT_DIMS = (2, 3, 5, 10, 20, 200)
SEEDS = (0, 1, 2, 3, 4)


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
            The study ``codes`` trains nothing, so there it is empty.
        final: Measured once, at the end, on test images: ``reconstruction_error``,
            ``kl_per_dimension``, and ``importance_log_likelihood`` if asked for. In the study
            ``codes``: what :func:`aevb_lib.experiments.measure_codes` returns.
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
    "codes": tuple(
        Run("codes", model, latent_dim, seed)
        for seed in SEEDS
        for latent_dim in LATENT_DIMS
        for model in ("vae", "autoencoder")
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
    results = [
        read_result(run, folder) for run in study_runs(study) if result_path(run, folder).exists()
    ]
    if not results:
        raise FileNotFoundError(
            f"no run of {study!r} is recorded; "
            f"record it: python -m aevb_lib.experiments run {study}"
        )
    return results


def study_runs(study: str) -> tuple[Run, ...]:
    """Return the runs of a study.

    Raises:
        KeyError: If there is no such study.
    """
    if study not in STUDIES:
        raise KeyError(f"no study {study!r}; there are: {', '.join(STUDIES)}")
    return STUDIES[study]


def studies_folder(folder: Path | None = None) -> Path:
    """Return ``folder``, or where the package keeps the recorded studies."""
    return Path(str(files("aevb_lib"))) / "assets" / "studies" if folder is None else folder


def result_path(run: Run, folder: Path | None = None) -> Path:
    """Return where the result of a run is kept: in the package, or else below ``folder``."""
    return studies_folder(folder) / run.study / f"{run.name}.json"


def read_result(run: Run, folder: Path | None = None) -> Result:
    """Read the result of a run.

    Raises:
        FileNotFoundError: If it was never recorded.
        ValueError: If it was recorded with another configuration than ``run``.
    """
    path = result_path(run, folder)
    result = Result.from_json(path.read_text(encoding="utf-8"))
    if result.run != run:
        raise ValueError(
            f"{path.name} was recorded with another configuration than the code has now; "
            "remove the file and record it again"
        )
    return result


def weights_folder(run: Run, folder: Path | None = None) -> Path:
    """Return where the weights that a run ends with are kept.

    Those of the study ``latent-dimension`` with the first seed ship with the package. All others
    would be 80 MB: they stay in the user's cache, beside the unpacked MNIST, for whoever wants to
    measure the same models again without training them again.

    Args:
        run: The run.
        folder: As for :func:`result_path`.

    Returns:
        A folder for :func:`aevb_lib.pretrained.save_weights` and ``load_pretrained``.
    """
    if (run.study, run.seed) == ("latent-dimension", SEEDS[0]):
        return studies_folder().parent / "weights" if folder is None else folder / "weights"
    cache = default_root() if folder is None else folder / "cache"
    return cache / "weights" / run.study / f"{run.regime}-seed{run.seed}"
