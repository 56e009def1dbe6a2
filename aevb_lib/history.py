"""The history of a training run: rows of numbers, as JSON if need be.

This module needs the standard library only, so a recorded history can be read, drawn and compared
on a machine that has no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["History", "Record"]

COUNTERS = ("step", "epoch", "examples", "seconds")


@dataclass(frozen=True)
class Record:
    """One row of a training history.

    Attributes:
        step: Number of calls of ``Algorithm.step`` so far.
        epoch: Passes over the data so far; a fraction inside an epoch.
        examples: Training images seen so far, repetitions counted.
        seconds: Wall-clock time spent training so far; evaluation is not counted.
        metrics: Named numbers, in nats per image unless their name says otherwise.
    """

    step: int
    epoch: float
    examples: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass
class History:
    """The rows of one training run, oldest first.

    ``history["elbo"]`` is a column: a list with one number per row. The four counters (``step``,
    ``epoch``, ``examples``, ``seconds``) are columns too, so any of them can be the x-axis.

    Attributes:
        records: The rows.
        interrupted: Whether training stopped before its last epoch was done.

    Example:
        >>> history = History([Record(600, 1.0, 60_000, 5.1, {"elbo": -127.3})])
        >>> history["examples"], history["elbo"]
        ([60000], [-127.3])
        >>> History.from_json(history.to_json()) == history
        True
    """

    records: list[Record] = field(default_factory=list)
    interrupted: bool = False

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        """The rows, oldest first."""
        return iter(self.records)

    @property
    def metrics(self) -> list[str]:
        """Names of the recorded metrics, in the order in which they first appear."""
        return list(dict.fromkeys(name for record in self.records for name in record.metrics))

    @property
    def last(self) -> Record:
        """The newest row.

        Raises:
            IndexError: If nothing was recorded.
        """
        if not self.records:
            raise IndexError("this history is empty: train for at least one epoch first")
        return self.records[-1]

    def __getitem__(self, column: str) -> list[float]:
        """Return one column, one number per row.

        Raises:
            KeyError: If there is no such column (the message lists those there are) or a row has
                no value in it.
        """
        if column in COUNTERS:
            return [getattr(record, column) for record in self.records]
        if column not in self.metrics:
            known = ", ".join((*COUNTERS, *self.metrics))
            raise KeyError(f"no column {column!r} in this history; there are: {known}")
        for record in self.records:
            if column not in record.metrics:
                raise KeyError(f"column {column!r} has no value in the row of step {record.step}")
        return [record.metrics[column] for record in self.records]

    def to_json(self) -> str:
        """Return the history as JSON text, one row per line so that a diff shows a changed row."""
        rows = ",\n".join("  " + json.dumps(asdict(record)) for record in self.records)
        return f'{{"interrupted": {json.dumps(self.interrupted)}, "records": [\n{rows}\n]}}\n'

    @classmethod
    def from_json(cls, text: str) -> History:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: If the text is not such a history.
        """
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not a history written by History.to_json: {error}") from error
        return cls.from_dict(content)

    @classmethod
    def from_dict(cls, content: Any) -> History:
        """Return the history that is in parsed JSON, such as a part of a larger file.

        Raises:
            ValueError: If the content is not such a history.

        Example:
            >>> History.from_dict({"interrupted": False, "records": []})
            History(records=[], interrupted=False)
        """
        try:
            return cls([Record(**row) for row in content["records"]], content["interrupted"])
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a history written by History.to_json: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the history to a JSON file, whole or not at all."""
        from aevb_lib.files import replacing  # here: histories are read without the package

        with replacing(Path(path).expanduser()) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read a history from a JSON file that :meth:`save` wrote."""
        return cls.from_json(Path(path).expanduser().read_text(encoding="utf-8"))
