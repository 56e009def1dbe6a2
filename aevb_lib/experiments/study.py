"""A recorded study as an object: its runs, how to do one, how to do it again, and what is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from torch import nn

from aevb_lib.experiments.results import SEEDS, R, Result
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.history import History

__all__ = ["Study", "VerificationError"]


class VerificationError(ValueError):
    """A record does not hold what is to be done again, or was made in another way."""


@dataclass(frozen=True, kw_only=True)
class Study(ABC, Generic[R]):
    """One study. Its kind is a subclass, which says how a run is done; a file holds each kind.

    Attributes:
        name: Name of the study, and of the folder of its records.
        runs: Runs in the order in which they are done, all of one class.
        unit: Unit of what :meth:`redo` returns.
        tolerance: Largest difference from a record that is no fault, in that unit.
        ships_in: Folder below ``assets/weights`` in which the weights of the first seed ship with
            the package; None if all weights stay in the cache, or there are none.
        is_chaotic: Whether rounding grows until it changes a run as other noise would. A run that
            is done again is then compared with all seeds, through their spread.
        table: Function that turns results into a Markdown table, for studies that pages quote.
    """

    name: str
    runs: tuple[R, ...]
    unit: str = "nats"
    tolerance: float = 1.0
    ships_in: str | None = None
    is_chaotic: bool = False
    table: Callable[[Sequence[Result[R]]], str] | None = None

    @abstractmethod
    def do(self, run: R, store: Store) -> Result[R]:
        """Do one run: train or measure, keep the weights, and return what to record.

        Raises:
            KeyboardInterrupt: If interrupted.
        """

    @abstractmethod
    def redo(self, result: Result[R], store: Store = ASSETS, *, epochs: int = 1) -> float:
        """Do the beginning of a recorded run again.

        Args:
            result: The record.
            store: Store of the weights, and the device. Another kind of device draws other noise,
                so a difference of a nat is natural there; on the same kind it is rounding.
            epochs: Number of epochs to train again, if the study trains.

        Returns:
            The largest absolute difference from the record, in the study's unit.

        Raises:
            VerificationError: If that much is not recorded, or it was recorded in another way.
        """

    def do_together(self, runs: Sequence[R], store: Store) -> list[Result[R]]:
        """Do runs that differ in their seed only, as a study that trains may do in one training.

        Args:
            runs: The runs.
            store: Store of the weights, and the device.

        Returns:
            Their results, in the same order.

        Raises:
            KeyboardInterrupt: If interrupted.
        """
        return [self.do(run, store) for run in runs]

    def train_again(self, runs: Sequence[R], store: Store, *, epochs: int) -> list[History]:
        """Train the beginning of runs that differ in their seed only, if the study trains.

        On another kind of device a seed gives other noise. Then single runs cannot be compared with
        their records, but the means over seeds can.

        Args:
            runs: The runs.
            store: Store of the device.
            epochs: Number of epochs.

        Returns:
            Their histories; none if the study trains nothing.
        """
        return []

    def new_model(self, run: R) -> Any:
        """Return the untrained model of a run, in a study that keeps weights.

        Raises:
            TypeError: If the study keeps none.
        """
        raise TypeError(f"the study {self.name!r} keeps no weights of {run.name}")

    def load_model(self, run: R, store: Store = ASSETS) -> Any:
        """Return the model that a run ended with.

        Args:
            run: The run.
            store: Store of its weights.

        Raises:
            FileNotFoundError: If its weights are not here.
            TypeError: If the study keeps no weights.

        Example:
            >>> from aevb_lib.experiments import STUDIES
            >>> study = STUDIES["likelihood-race"]
            >>> study.load_model(study.runs[0]).latent_dim
            3
        """
        model = self.new_model(run)
        store.load_weights(model, run, ships_in=self._ships_in(run))
        return model

    def save_model(self, model: nn.Module, run: R, store: Store) -> None:
        """Keep the weights that a run ended with: with the package or in the cache."""
        store.save_weights(model, run, ships_in=self._ships_in(run))

    def _ships_in(self, run: R) -> str | None:
        return self.ships_in if run.seed == SEEDS[0] else None
