"""Runs and results: a configuration, and what was measured, as a JSON file."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from aevb_lib.history import History

__all__ = ["SEEDS", "Result", "Run"]

SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Run:
    """One run of a study: everything that decides its outcome.

    Each kind of study has a class of its own, which may add fields. Written to a file as they
    stand, so a field that a recorded run lacks is a field of a subclass.

    Attributes:
        study: Name of the study, a key of ``STUDIES``.
        model: ``"vae"`` or ``"autoencoder"``.
        latent_dim: Dimension D of the code.
        seed: Decides initial weights, shuffles and noise.
        regime: Data regime, see :func:`aevb_lib.data.load_mnist`.
        hidden_dim: Number of units in the one hidden layer of encoder and decoder.
        epochs: Number of passes over the training images.
        batch_size: Number of images per step.
        learning_rate: Step size of the optimizer; None if the run chooses it.
        num_importance_samples: Number of samples per test image for log p(x) at the end, or 0.
    """

    study: str
    model: str
    latent_dim: int
    seed: int
    regime: str = "grey"
    hidden_dim: int = 500
    epochs: int = 40
    batch_size: int = 100
    learning_rate: float | None = None
    num_importance_samples: int = 0

    @property
    def kind(self) -> str:
        """Name of the weights in their folder, beside D."""
        return self.model

    @property
    def name(self) -> str:
        """File name of the result, without ending: ``vae-grey-d020-seed0``."""
        return f"{self.model}-{self.regime}-d{self.latent_dim:03d}-seed{self.seed}"


R = TypeVar("R", bound=Run)


@dataclass(frozen=True)
class Result(Generic[R]):
    """The result of a run. Its study says what the numbers are.

    Attributes:
        run: Its configuration.
        history: Measurements made while it trained.
        final: Measurements made once, at the end.
        provenance: Versions, commit, hardware, date, and seconds in all; of a training of several
            runs together, the run's share. The history's seconds are those of all.
    """

    run: R
    history: History
    final: dict[str, Any]
    provenance: dict[str, Any]

    def to_json(self) -> str:
        """Return the result as JSON text, the history with one row per line."""
        members = {
            name: textwrap.indent(json.dumps(value, indent=1), " ").lstrip()
            for name, value in (
                ("run", asdict(self.run)),
                ("final", self.final),
                ("provenance", self.provenance),
            )
        }
        members["history"] = self.history.to_json().rstrip()
        body = ",\n".join(f' "{name}": {text}' for name, text in members.items())
        return f"{{\n{body}\n}}\n"

    @classmethod
    def from_json(cls, text: str, run_class: type[R]) -> Result[R]:
        """Read what :meth:`to_json` wrote.

        Args:
            text: The JSON text.
            run_class: Class of the run.

        Raises:
            TypeError: If the fields of the run are not those of its class.
            ValueError: If the history is none.

        Example:
            >>> result = Result(Run("mine", "vae", 2, seed=0), History(), {"score": 1.5}, {})
            >>> Result.from_json(result.to_json(), Run) == result
            True
        """
        content = json.loads(text)
        history = History.from_dict(content["history"])
        return cls(run_class(**content["run"]), history, content["final"], content["provenance"])
