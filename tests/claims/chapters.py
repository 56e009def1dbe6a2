"""Chapters executed in this process, with a look at each assert and at everything printed."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.claims.slips import Slip

BOOK = Path(__file__).parents[2] / "book"


def chapter_names() -> list[str]:
    """Names of the chapters, in their order."""
    return sorted(path.stem for path in BOOK.glob("*.ipynb"))


def code_cells(chapter: str) -> list[str]:
    """Return the sources of a chapter's code cells, as people run them."""
    notebook = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    # The first cell installs the package where it is not; here it is.
    return ["" if "%pip" in source else source for cell in cells for source in [_joined(cell)]]


def fingerprint(cells: list[str]) -> str:
    """Return a digest of code, by which a record knows whether its chapter has changed since."""
    return hashlib.sha256("\0".join(cells).encode()).hexdigest()[:12]


@dataclass
class Outcome:
    """What came of a chapter's cells.

    Attributes:
        asserts: Text of each assert, by its place ``"cell.number"``.
        failed: Places of asserts that did not hold.
        errors: First line of the error by number of the cell that it ended.
        printed: Text that each cell printed or displayed, by its number.
        called: File and first line of every function of the library that was called, if asked for.
    """

    asserts: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    called: list[tuple[str, int]] = field(default_factory=list)


def execute(cells: list[str], *, watch: Path | None = None) -> Outcome:
    """Run cells one after the other, as a notebook does, and go on after what goes wrong.

    An assert that does not hold is noted, and the cell goes on behind it. Any other error ends its
    cell. Call it in a process of its own.

    Args:
        cells: Sources of the cells.
        watch: Folder of a package whose called functions are to be noted; slows everything down.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    os.chdir(BOOK)
    warnings.simplefilter("ignore")
    shell = InteractiveShell.instance()
    shell.showtraceback = lambda *_, **__: None  # type: ignore[method-assign]
    outcome = Outcome()
    watcher = _Watcher(outcome)
    shell.ast_transformers.append(watcher)
    shell.push({"__note__": watcher.note}, interactive=False)
    called: set[tuple[str, int]] = set()
    if watch is not None:
        sys.setprofile(_recorder(str(watch), called))
    for number, source in enumerate(cells):
        watcher.begin(number)
        with capture_output() as captured:
            result = shell.run_cell(source)
        shown = [output.data for output in captured.outputs]
        texts = [data.get("text/markdown", data.get("text/plain", "")) for data in shown]
        outcome.printed[str(number)] = "\n".join([captured.stdout, *texts]).strip()
        if error := result.error_before_exec or result.error_in_exec:
            first = (str(error).splitlines() or [""])[0][:120]
            outcome.errors[str(number)] = f"{type(error).__name__}: {first}"
        _close_figures()
    sys.setprofile(None)
    outcome.called = sorted(called)
    outcome.failed = sorted(set(outcome.failed))
    return outcome


def with_slip(cells: list[str], slip: Slip) -> list[str]:
    """Return a chapter's cells with a slip of its own code.

    Raises:
        LookupError: If the place is not there, or there twice.
    """
    places = [number for number, source in enumerate(cells) if slip.right in source]
    if len(places) != 1:
        raise LookupError(f"{slip.name!r}: {len(places)} cells of {slip.module} hold its place")
    changed = list(cells)
    changed[places[0]] = slip.applied_to(cells[places[0]])
    return changed


class _Watcher(ast.NodeTransformer):
    """Turns each assert, and each ``assert_close``, into a note of whether it holds."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome, self.cell, self.count = outcome, 0, 0

    def begin(self, number: int) -> None:
        self.cell, self.count = number, 0

    def note(self, place: str, holds: Any) -> None:
        if not holds:
            self.outcome.failed.append(place)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        place = self._place(node.test)
        note = f"__note__({place!r}, 0)"
        call: Any = ast.parse(note).body[0]
        call.value.args[1] = node.test
        return ast.copy_location(ast.fix_missing_locations(call), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        name = getattr(getattr(node.value, "func", None), "attr", "")
        if name not in ("assert_close", "assert_allclose"):
            return node
        place = self._place(node.value)
        guarded: Any = ast.parse(f"try: 0\nexcept AssertionError: __note__({place!r}, False)").body[
            0
        ]
        guarded.body = [node]
        return ast.copy_location(ast.fix_missing_locations(guarded), node)

    def _place(self, test: ast.expr) -> str:
        place = f"{self.cell}.{self.count}"
        self.count += 1
        self.outcome.asserts[place] = ast.unparse(test)
        return place


def _recorder(folder: str, called: set[tuple[str, int]]) -> Callable[..., None]:
    def record(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(folder):
            called.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    return record


def _close_figures() -> None:
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def _joined(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)
