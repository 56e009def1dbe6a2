"""The page on what the instruments found: written from the records, never by hand."""

from __future__ import annotations

import re
from typing import Any

from tests.claims.chapters import BOOK, chapter_names, code_cells, fingerprint
from tests.claims.records import MUTATIONS, STATES
from tests.claims.slips import SLIPS

PAGE = BOOK / "how_do_we_know.md"
# A printed number this many spreads from the mean over other states is an unlucky one.
FAR = 3.0


def write_page() -> None:
    """Write the records into the page."""
    PAGE.write_text(with_records(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def with_records(text: str) -> str:
    """Return the page's text with every generated part in its place."""
    parts = {
        "slips": slips_part(MUTATIONS.read()),
        "states": states_part(STATES.read()),
    }
    for name, part in parts.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text = place.sub(lambda match, part=part: f"{match[1]}\n{part}\n\n{match[2]}", text)
    return text


def slips_part(record: dict[str, Any]) -> str:
    """Return the tables of slips and chapters, and what they leave open."""
    chapters = [name for name in record if not record[name]["missing"]]
    if not chapters:
        return "Nothing is recorded yet."
    seen = {slip: [record[c]["slips"].get(slip.name) for c in chapters] for slip in SLIPS}
    met = [slip for slip in SLIPS if any(seen[slip])]
    met.sort(key=lambda slip: slip.module if slip.is_of_a_chapter else "")
    looked_at = {name: {*record[name]["slips"], *record[name]["unmet"]} for name in chapters}
    new = [
        slip
        for slip in SLIPS
        if any(slip.concerns(c) and slip.name not in looked_at[c] for c in chapters)
    ]
    unmet = [slip for slip in SLIPS if not slip.is_of_a_chapter and slip not in {*met, *new}]
    marked = {name: _marked(name, record) for name in chapters}
    head = " | ".join(marked.values())
    shared = [f"| slip in the library | {head} |", "|:--|" + ":-:|" * len(chapters)]
    own = ["| slip in what a chapter defines by hand | in | asserts that failed |", "|:--|:-:|:-:|"]
    for slip in met:
        cells = " | ".join(map(_cell, seen[slip]))
        if not slip.is_of_a_chapter:
            shared.append(f"| {slip.name} | {cells} |")
        else:
            (outcome,) = filter(None, seen[slip])
            own.append(f"| {slip.name} | {marked[slip.module]} | {_cell(outcome)} |")
    idle = {name: idle_asserts(record[name]) for name in chapters}
    total = sum(len(record[name]["asserts"]) for name in chapters)
    count = sum(map(len, idle.values()))
    silent = [slip for slip in met if not any(map(_is_noticed, seen[slip]))]
    folds = {
        f"Slips that these chapters run and do not notice: {len(silent)}": [s.name for s in silent],
        f"Slips that these chapters do not run: {len(unmet)}": [s.name for s in unmet],
        f"Slips that have not been tried in all of these chapters: {len(new)}": [
            s.name for s in new
        ],
        f"Asserts that notice no slip: {count} of {total}": [
            f"{marked[name]}: `{text}`" for name, texts in idle.items() for text in texts
        ],
    }
    by_hand = sum(slip.is_of_a_chapter for slip in met)
    title = f"Slips in what a chapter defines by hand: {by_hand}"
    parts = [
        _waiting(record),
        "\n".join(shared),
        _details(title, "\n".join(own)),
        *_folded(folds),
    ]
    return "\n\n".join(part for part in parts if part)


def idle_asserts(entry: dict[str, Any]) -> list[str]:
    """Return the texts of a chapter's asserts that no slip makes fail.

    An assert in a cell that a slip ends by an error is not counted as failing.
    """
    busy = {place for seen in entry["slips"].values() for place in seen["failed"]}
    return [text for place, text in entry["asserts"].items() if place not in busy]


def states_part(record: dict[str, Any]) -> str:
    """Return the table of chapters under other states, and what stands out."""
    if not record:
        return "Nothing is recorded yet."
    rows = [
        "| chapter | states | asserts | failed | printed numbers that vary | far from the rest |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    failures, far = [], []
    for name, entry in record.items():
        numbers, marked = entry["numbers"], _marked(name, record)
        failed = {entry["asserts"].get(p, p): n for p, n in entry["failed"].items()}
        failed |= {f"cell {cell}, by an error": n for cell, n in entry["errors"].items()}
        failures += [f"{marked}, in {n} of {entry['states']}: `{t}`" for t, n in failed.items()]
        outside = [number for number in numbers if is_far(number)]
        far += [
            f"{marked}: {number['printed']:g} where the others have {number['mean']:g} "
            f"({number['spread']:g}), in `{number['line'].replace('`', '')}`"
            for number in outside
        ]
        rows.append(
            f"| {marked} | {entry['states']} | {len(entry['asserts'])} "
            f"| {len(failed)} | {len(numbers)} | {len(outside)} |"
        )
    folds = {"Asserts that failed in some state": failures, "Numbers far from the rest": far}
    parts = [_waiting(record), "\n".join(rows), *_folded(folds)]
    return "\n\n".join(part for part in parts if part)


def is_far(number: dict[str, Any]) -> bool:
    """Whether a printed number lies far from what other states print."""
    return abs(number["printed"] - number["mean"]) > FAR * float(number["spread"]) > 0


def _short(name: str) -> str:
    """A chapter's number, or the name of a page that has none."""
    return name[:2] if name[:2].isdigit() else name.replace("_", " ")


def _cell(seen: dict[str, Any] | None) -> str:
    if seen is None:
        return ""
    if seen["failed"]:
        return str(len(seen["failed"]))
    return "stops" if seen["errors"] else "**0**"


def _is_noticed(seen: dict[str, Any] | None) -> bool:
    return seen is not None and bool(seen["failed"] or seen["errors"])


def _is_current(name: str, record: dict[str, Any]) -> bool:
    entry = record[name]
    return not entry.get("missing") and bool(entry["code"] == fingerprint(code_cells(name)))


def _marked(name: str, record: dict[str, Any]) -> str:
    """A chapter's short name, with a mark if its code has changed since the record."""
    return _short(name) if _is_current(name, record) else f"{_short(name)}†"


def _waiting(record: dict[str, Any]) -> str:
    names = chapter_names()
    known = [name for name in names if name in record and not record[name].get("missing")]
    changed = [name for name in known if not _is_current(name, record)]
    said = ""
    if len(known) < len(names):
        said = f"**Recorded for {len(known)} of {len(names)} notebooks.** "
    if changed:
        said += "† The code of the chapter has changed since."
    return said.strip()


def _folded(folds: dict[str, list[str]]) -> list[str]:
    return [
        _details(title, "\n".join(f"* {line}" for line in lines))
        for title, lines in folds.items()
        if lines
    ]


def _details(title: str, body: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"
