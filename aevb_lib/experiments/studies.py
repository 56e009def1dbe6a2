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
    "ComparisonRun",
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
class ComparisonRun(Run):
    """One training run in which AEVB is compared with another algorithm, by the paper's recipe.

    Attributes:
        algorithm: ``"aevb"``, ``"wake-sleep"`` or ``"mcem"``.
        num_train: N, training images.
        model: ``"vae"``, of which Monte Carlo EM uses and trains the decoder only.
        learning_rate: Step of Adagrad; 0 if it is chosen in the run, see
            :func:`aevb_lib.experiments.compare`.
        num_leapfrog: Leapfrog steps of a move in Monte Carlo EM.
        epochs: Passes over the N training images.
    """

    algorithm: str = "aevb"
    num_train: int = 50_000
    num_leapfrog: int = 10

    @property
    def kind(self) -> str:
        """How its weights are called: ``mcem-n50000``, or ``mcem-n50000-rate0.1-leapfrog50``."""
        rate = f"-rate{self.learning_rate:g}" if self.learning_rate else ""
        leapfrog = f"-leapfrog{self.num_leapfrog}" if self.num_leapfrog != 10 else ""
        return f"{self.algorithm}-n{self.num_train}{rate}{leapfrog}"

    @property
    def name(self) -> str:
        """File name of the result, without ending: ``mcem-n50000-d003-seed0``."""
        return f"{self.kind}-d{self.latent_dim:03d}-seed{self.seed}"


@dataclass(frozen=True)
class SpeedRun(Run):
    """One training run of the study ``time-to-bound``.

    Attributes:
        recipe: ``"tutorial"``, ``"report"`` or ``"one-cycle"``.
        learning_rate: Step of Adam; of ``"one-cycle"`` its peak.
    """

    recipe: str = "report"

    @property
    def name(self) -> str:
        """File name of the result, without ending: ``one-cycle-d020-seed0``."""
        return f"{self.recipe}-d{self.latent_dim:03d}-seed{self.seed}"


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
            For a :class:`ComparisonRun`, ``history`` and ``final`` are those of
            :func:`aevb_lib.experiments.compare`.
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
        kind = ComparisonRun if "algorithm" in content["run"] else Run
        if "recipe" in content["run"]:
            kind = SpeedRun
        return cls(kind(**content["run"]), history, content["final"], content["provenance"])


def _compared(
    study: str,
    algorithm: str,
    latent_dim: int,
    seed: int,
    *,
    epochs: int,
    hidden_dim: int = 500,
    num_train: int = 50_000,
    learning_rate: float = 0.0,
    num_leapfrog: int = 10,
) -> ComparisonRun:
    return ComparisonRun(
        study,
        "vae",
        latent_dim,
        seed,
        # Wake-sleep dreams in black and white, so its encoder must see such images awake too.
        regime="static",
        hidden_dim=hidden_dim,
        epochs=epochs,
        learning_rate=learning_rate,
        algorithm=algorithm,
        num_train=num_train,
        num_leapfrog=num_leapfrog,
    )


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
    # The paper's figure 2: ten million images for two sizes, one million for the others.
    "bound-vs-samples": tuple(
        _compared("bound-vs-samples", algorithm, latent_dim, 0, epochs=epochs)
        for latent_dim, epochs in ((20, 200), (3, 200), (200, 20), (10, 20), (5, 20))
        for algorithm in ("aevb", "wake-sleep")
    ),
    # The paper's figure 3: 8,000 steps of Monte Carlo EM, which are dear, and 32,000 of the others.
    "likelihood-race": tuple(
        _compared(
            "likelihood-race",
            algorithm,
            3,
            seed,
            hidden_dim=100,
            num_train=num_train,
            epochs=100 * (8_000 if algorithm == "mcem" else 32_000) // num_train,
        )
        for seed in SEEDS[:3]
        for num_train in (50_000, 1_000)
        for algorithm in ("aevb", "wake-sleep", "mcem")
    ),
    "time-to-bound": tuple(
        SpeedRun(
            "time-to-bound",
            "vae",
            20,
            seed,
            epochs=epochs,
            learning_rate=learning_rate,
            recipe=recipe,
        )
        for seed in SEEDS
        for recipe, learning_rate, epochs in (
            ("one-cycle", 4e-3, 16),
            ("report", 1e-3, 40),
            ("tutorial", 1e-3, 40),
        )
    ),
    # The race again for Monte Carlo EM on many images: with the steps of Adagrad that it does not
    # choose; and with the one that it does and moves of five times the length, for four epochs.
    "mcem-variants": tuple(
        _compared(
            "mcem-variants",
            "mcem",
            3,
            seed,
            hidden_dim=100,
            epochs=epochs,
            learning_rate=learning_rate,
            num_leapfrog=num_leapfrog,
        )
        for seed in SEEDS[:3]
        for learning_rate, num_leapfrog, epochs in ((0.02, 10, 16), (0.1, 50, 4), (0.01, 10, 16))
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

    Those of the studies ``latent-dimension`` and ``likelihood-race`` with the first seed ship with
    the package. All others would be 80 MB: they stay in the user's cache, beside the unpacked
    MNIST, for whoever wants to measure the same models again without training them again.

    Args:
        run: The run.
        folder: As for :func:`result_path`.

    Returns:
        A folder for :func:`aevb_lib.pretrained.save_weights` and ``load_pretrained``.
    """
    if run.seed == SEEDS[0] and run.study in ("latent-dimension", "likelihood-race"):
        shipped = studies_folder().parent / "weights" if folder is None else folder / "weights"
        return shipped if run.study == "latent-dimension" else shipped / run.study
    cache = default_root() if folder is None else folder / "cache"
    return cache / "weights" / run.study / f"{run.regime}-seed{run.seed}"
