"""What the instruments have recorded, as JSON: one entry per chapter."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tests.claims.chapters import Outcome

RECORDED = Path(__file__).parent / "recorded"
NUMBER = re.compile(r"[−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


def _write_whole(path: Path, text: str) -> None:
    # As `aevb_lib.files.replacing`; but the library must not be imported where slips come in.
    path.with_suffix(".new").write_text(text, encoding="utf-8")
    path.with_suffix(".new").replace(path)


@dataclass(frozen=True)
class Record:
    """A JSON file with one entry per chapter.

    Attributes:
        path: The file.
    """

    path: Path

    def read(self) -> dict[str, Any]:
        """Return what is recorded."""
        if not self.path.exists():
            return {}
        record: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return record

    def put(self, chapter: str, entry: dict[str, Any]) -> None:
        """Write one chapter's entry."""
        with self._changed() as record:
            record[chapter] = entry

    def forget(self, chapters: Collection[str]) -> None:
        """Remove the entries of chapters."""
        with self._changed() as record:
            for name in chapters:
                record.pop(name, None)

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Any]]:
        """The record, to be changed; no other process changes it meanwhile."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            record = self.read()
            yield record
            text = json.dumps(dict(sorted(record.items())), indent=1, ensure_ascii=False)
            _write_whole(self.path, text + "\n")
        finally:
            os.close(folder)


class Mutations(Record):
    """Which asserts have noticed which slips."""

    def begin(
        self, chapter: str, code: str, asserts: dict[str, str], first: dict[str, int | None]
    ) -> None:
        """Note a chapter's asserts, and which slips are still to be tried.

        What was tried on the same code stays, so that one more slip costs one more run.

        Args:
            chapter: Name of the chapter.
            code: Fingerprint of its code.
            asserts: Text of each assert, by its place.
            first: First cell that runs the line of each slip; None if none does.
        """
        before = self.read().get(chapter, {})
        tried = before["slips"] if before.get("code") == code else {}
        entry = {
            "code": code,
            "asserts": asserts,
            "unmet": [name for name, cell in first.items() if cell is None],
            "missing": {
                name: cell for name, cell in first.items() if cell is not None and name not in tried
            },
            "slips": {name: seen for name, seen in tried.items() if first.get(name) is not None},
        }
        self.put(chapter, entry)

    def knows(self, chapter: str, code: str, slips: Collection[str]) -> bool:
        """Return whether each slip was looked at on a chapter's present code."""
        entry = self.read().get(chapter)
        if entry is None or entry["code"] != code:
            return False
        return set(slips) == {*entry["unmet"], *entry["missing"], *entry["slips"]}

    def add(self, chapter: str, slip: str, failed: list[str], errors: list[str]) -> None:
        """Note which asserts a slip has failed, and which cells it has ended by an error."""
        with self._changed() as record:
            record[chapter]["slips"][slip] = {"failed": failed, "errors": errors}
            del record[chapter]["missing"][slip]


@dataclass(frozen=True)
class Outcomes:
    """What came of chapters in single states: too much to be recorded, kept to go on from.

    Attributes:
        folder: Where they are, one JSON file for each.
    """

    folder: Path

    def has(self, chapter: str, code: str, state: int) -> bool:
        """Whether a chapter of this code was executed in a state."""
        return self._path(chapter, code, state).exists()

    def put(self, chapter: str, code: str, state: int, outcome: Outcome) -> None:
        """Keep what came of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(chapter, code, state)
        _write_whole(path, json.dumps(asdict(replace(outcome, called={})), ensure_ascii=False))

    def read(self, chapter: str, code: str, states: Iterable[int]) -> dict[int, Outcome]:
        """Return what came of it in some states."""
        paths = {state: self._path(chapter, code, state) for state in states}
        return {s: Outcome(**json.loads(p.read_text(encoding="utf-8"))) for s, p in paths.items()}

    def forget(self, chapters: Collection[str]) -> None:
        """Remove what is kept of chapters."""
        for chapter in chapters:
            for path in self.folder.glob(f"{chapter}-*.json"):
                path.unlink()

    def _path(self, chapter: str, code: str, state: int) -> Path:
        return self.folder / f"{chapter}-{code}-{state}.json"


def summary_of_states(code: str, outcomes: dict[int, Outcome]) -> dict[str, Any]:
    """Return a chapter's entry: which asserts failed how often, and how its numbers vary.

    Args:
        code: Fingerprint of its code.
        outcomes: What came of it in each state; state 0 is the reader's.
    """
    others = [outcome for state, outcome in sorted(outcomes.items()) if state]
    return {
        "code": code,
        "states": len(others),
        "asserts": outcomes[0].asserts,
        "failed": dict(sorted(Counter(p for o in others for p in o.failed).items())),
        "errors": dict(sorted(Counter(c for o in others for c in o.errors).items())),
        "here": [*outcomes[0].failed, *outcomes[0].errors],
        "numbers": [
            number
            for cell in outcomes[0].printed
            for number in varying_numbers(
                cell, [o.printed.get(cell, "") for o in others], outcomes[0]
            )
        ],
    }


def pooled(known: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return a chapter's entry over the states of two, from the counts, means and spreads.

    A number stays if both have it: its line has the same words in all states, and it varies among
    the first as among the others.

    Args:
        known: Entry of some states.
        more: Entry of others, of the same code.
    """
    first, second = known["states"], more["states"]
    total = first + second
    numbers = []
    by_place = {(n["cell"], n["line"], n["place"]): n for n in known["numbers"]}
    for new in more["numbers"]:
        old = by_place.get((new["cell"], new["line"], new["place"]))
        if old is None:
            continue
        mean_of_all = (first * old["mean"] + second * new["mean"]) / total
        squares = (
            (first - 1) * old["spread"] ** 2
            + (second - 1) * new["spread"] ** 2
            + first * second / total * (old["mean"] - new["mean"]) ** 2
        )
        spread = (squares / (total - 1)) ** 0.5
        numbers.append({**new, "mean": _rounded(mean_of_all, 9), "spread": _rounded(spread, 3)})
    return {
        **more,
        "states": total,
        **{
            kind: dict(sorted((Counter(known[kind]) + Counter(more[kind])).items()))
            for kind in ("failed", "errors")
        },
        "numbers": numbers,
    }


def varying_numbers(cell: str, texts: list[str], reader: Outcome) -> list[dict[str, Any]]:
    """Return the numbers that a cell prints and that differ between states.

    Only lines that have the same words in every state are looked at.

    Args:
        cell: Number of the cell.
        texts: What it printed in each of the other states.
        reader: What came of the chapter in the reader's state.
    """
    found = []
    for row, line in enumerate(reader.printed[cell].splitlines()):
        lines = [(text.splitlines()[row : row + 1] or [""])[0] for text in texts]
        if any(NUMBER.sub("#", other) != NUMBER.sub("#", line) for other in lines):
            continue
        values = [[_value(match) for match in NUMBER.findall(other)] for other in lines]
        for place, here in enumerate(NUMBER.findall(line)):
            column = [numbers[place] for numbers in values]
            if len(set(column)) > 1:
                found.append(
                    {
                        "cell": int(cell),
                        "line": line.strip()[:160],
                        "place": place,
                        "printed": _value(here),
                        "mean": _rounded(mean(column), 9),
                        "spread": _rounded(stdev(column), 3),
                    }
                )
    return found


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _value(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


MUTATIONS = Mutations(RECORDED / "mutations.json")
OUTCOMES = Outcomes(RECORDED.parents[2] / "_build" / "claims")
STATES = Record(RECORDED / "states.json")
