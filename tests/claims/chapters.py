"""Chapters executed in this process, with a look at each assert and at everything printed."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.claims.slips import BOOK, Slip

# Processor seconds for a cell, thrice what the longest takes; waiting is not counted.
PATIENCE = 240


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
    """Return a digest of code, by which a record knows whether its chapter has changed since.

    Comments, layout, the words inside a ``Markdown(f"...")`` and strings of four words or more do
    not count: no program does anything else because a sentence is worded better.
    """
    code = [_skeleton(_WithoutWords().visit(ast.parse(source))) for source in cells]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:12]


def _skeleton(node: Any) -> Any:
    """A syntax tree as nested lists; ``ast.dump`` writes other ones in other Pythons."""
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
        return [type(node).__name__, *([name, _skeleton(value)] for name, value in fields)]
    return [_skeleton(part) for part in node] if isinstance(node, list) else repr(node)


class _WithoutWords(ast.NodeTransformer):
    """Leaves of each ``Markdown(f"...")`` the values in it, and of sentences nothing."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        is_prose = isinstance(node.value, str) and len(re.findall(r"\w+", node.value)) >= 4
        return ast.Constant("") if is_prose else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "Markdown":
            for text in (argument for argument in node.args if isinstance(argument, ast.JoinedStr)):
                text.values = [v for v in text.values if isinstance(v, ast.FormattedValue)]
        return node


@dataclass
class Outcome:
    """What came of a chapter's cells.

    Attributes:
        asserts: Text of each assert, by its place ``"cell.number"``.
        failed: Places of asserts that did not hold.
        errors: First line of the error by number of the cell that it ended.
        printed: Text that each cell printed or displayed, by its number.
        called: First cell that called a function of the library, by the function's file and first
            line, if asked for.
    """

    asserts: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    called: dict[tuple[str, int], int] = field(default_factory=dict)


def execute(
    cells: list[str],
    *,
    watch: Path | None = None,
    before_cell: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Run cells one after the other, as a notebook does, and go on after what goes wrong.

    An assert that does not hold is noted, and the cell goes on behind it. Any other error ends its
    cell, as does a time limit. Call it in a process of its own.

    Args:
        cells: Sources of the cells.
        watch: Folder of a package whose called functions are to be noted; slows everything down.
        before_cell: Called with the number of each cell before it runs, and may change ``cells``
            from there on.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    os.chdir(BOOK)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, _give_up)
    shell = InteractiveShell.instance()
    shell.showtraceback = lambda *_, **__: None  # type: ignore[method-assign]
    outcome = Outcome()
    watcher = _Watcher(outcome)
    shell.ast_transformers.append(watcher)
    shell.push({"__note__": watcher.note}, interactive=False)
    if watch is not None:
        sys.setprofile(_recorder(str(watch), watcher))
    for number in range(len(cells)):
        before_cell(number)
        watcher.begin(number)
        # It rings again: what has caught the first ring must not go on for ever.
        signal.setitimer(signal.ITIMER_PROF, 0 if watch else PATIENCE, 10)
        with capture_output() as captured:
            result = shell.run_cell(cells[number])
        signal.setitimer(signal.ITIMER_PROF, 0)
        shown = [output.data for output in captured.outputs]
        texts = [data.get("text/markdown", data.get("text/plain", "")) for data in shown]
        outcome.printed[str(number)] = "\n".join([captured.stdout, *texts]).strip()
        if error := result.error_before_exec or result.error_in_exec:
            first = (str(error).splitlines() or [""])[0][:120]
            outcome.errors[str(number)] = f"{type(error).__name__}: {first}"
        _close_figures()
    sys.setprofile(None)
    outcome.failed = sorted(set(outcome.failed))
    return outcome


def place_of(slip: Slip, cells: list[str]) -> int:
    """Return the number of the cell that a slip of the chapter's own code is in.

    Raises:
        LookupError: If the place is not there, or there twice.
    """
    places = [number for number, source in enumerate(cells) if slip.right in source]
    if len(places) != 1:
        raise LookupError(f"{slip.name!r}: {len(places)} cells of {slip.module} hold its place")
    return places[0]


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


def _give_up(*_: Any) -> None:
    raise TimeoutError(f"more than {PATIENCE} s of a processor")


def _recorder(folder: str, watcher: _Watcher) -> Callable[..., None]:
    called = watcher.outcome.called

    def record(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(folder):
            place = (frame.f_code.co_filename, frame.f_code.co_firstlineno)
            called.setdefault(place, watcher.cell)

    return record


def _close_figures() -> None:
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def _joined(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)
