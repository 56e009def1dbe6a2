"""Chapters as they are committed: source and notebook agree, and nothing in them is accidental.

Nothing is executed here; nbval does that with the notebooks themselves.
"""

from __future__ import annotations

import base64
import importlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import PIL.Image
import pytest
import yaml

from tools.labels import source_cells
from tools.notebooks import (
    METADATA,
    code_cells,
    keep_outputs,
    keep_pictures,
    lighter,
    pictures,
    read_for_the_book,
    read_source,
)
from tools.repository import address

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
SOURCES = sorted((BOOK / "sources").glob("*.md"))

TAGS = {
    "remove-cell",
    "remove-input",
    "remove-output",
    "hide-input",
    "hide-output",
    "nbval-ignore-output",
    "nbval-skip",
    "raises-exception",
}
WIDGET = "application/vnd.jupyter.widget-view+json"
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home|tmp|usr|opt|Users|content)/|[A-Z]:\\\\")
ADDRESS_IN_MEMORY = re.compile(r"\b0x[0-9a-f]{6,}")
ROLE = re.compile(r"\{(?:eq|cite|numref|ref|doc|math|glue|eval)[^}`]*\}`")
EXERCISE = re.compile(r"^[:`]{3,}\{exercise(?:-start)?\}.*\n:label: *(\S+)", re.MULTILINE)
SOLUTION = re.compile(
    r"^[:`]{3,}\{solution(?:-start)?\} *(\S+)(\n:class: *dropdown)?", re.MULTILINE
)

each_chapter = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def notebook_of(source: Path) -> Any:
    return nbformat.read(BOOK / f"{source.stem}.ipynb", as_version=4)


def tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def texts(output: Any) -> Iterator[str]:
    """Everything an output says in words."""
    if output.output_type == "stream":
        yield output.text
    elif output.output_type == "error":
        yield from output.traceback
    else:
        yield from (
            text for mime, text in output.data.items() if mime.startswith(("text/", "image/svg"))
        )


def prose(source: Path) -> str:
    return "\n\n".join(c.source for c in source_cells(source) if c.cell_type == "markdown")


def test_there_are_chapters() -> None:
    assert SOURCES


def test_each_notebook_has_a_source() -> None:
    assert {path.stem for path in BOOK.glob("*.ipynb")} == {path.stem for path in SOURCES}


@each_chapter
def test_notebook_agrees_with_its_source(source: Path) -> None:
    expected, stored = read_source(source), notebook_of(source)
    fix = f"run: python -m tools.notebooks {source.stem}"
    assert stored.metadata == METADATA, fix
    assert [dict(cell, outputs=[], execution_count=None) for cell in stored.cells] == [
        dict(cell, outputs=[], execution_count=None) for cell in expected.cells
    ], fix


@each_chapter
def test_every_cell_was_executed_in_order(source: Path) -> None:
    counts = [cell.execution_count for cell in code_cells(notebook_of(source))]
    assert counts == list(range(1, len(counts) + 1))


@each_chapter
def test_first_cell_brings_the_package(source: Path) -> None:
    cell = code_cells(read_source(source))[0]
    assert tags(cell) == ["remove-cell"]
    assert cell.source == code_cells(read_source(SOURCES[0]))[0].source
    assert f'"aevb-lib @ git+https://github.com/{address()}"' in cell.source


@pytest.mark.parametrize(
    ("is_there", "wheel", "owner", "installed"),
    [
        (True, "aevb_lib-1-py3-none-any.whl", "OWNER", None),
        (False, "aevb_lib-1-py3-none-any.whl", "OWNER", "aevb_lib-1-py3-none-any.whl"),
        (False, None, "someone", "aevb-lib @ git+https://github.com/someone/NAME"),
        (False, None, "OWNER", None),
    ],
)
def test_first_cell_finds_the_package_where_it_is(
    is_there: bool,
    wheel: str | None,
    owner: str,
    installed: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = code_cells(read_source(SOURCES[0]))[0].source.replace(address(), f"{owner}/NAME")
    code = code.replace('%pip install --quiet "{package}"', "install(package)")
    asked: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if is_there else None)
    if wheel:
        (tmp_path / wheel).touch()
    exec(code, {"install": asked.append})
    assert asked == ([installed] if installed else [])
    says = capsys.readouterr().out
    assert ("Upload aevb_lib-" in says) is (not is_there and installed is None)
    assert len(says.splitlines()) in (0, 2)


def test_first_cell_says_on_colab_where_the_gpu_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = code_cells(read_source(SOURCES[0]))[0].source.replace("%pip", "#")
    code = code.replace('        # install --quiet "{package}"', "        pass")
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    for is_on, says in ((True, "GPU: on\n"), (False, "Runtime > Change runtime type")):
        monkeypatch.setattr("torch.cuda.is_available", lambda is_on=is_on: is_on)
        exec(code, {})
        assert says in capsys.readouterr().out


@each_chapter
def test_cells_are_short_and_tagged_with_known_tags(source: Path) -> None:
    for cell in code_cells(read_source(source)):
        assert len(cell.source.splitlines()) <= 15, cell.source
        assert set(tags(cell)) <= TAGS, cell.source


@each_chapter
def test_outputs_hold_nothing_of_the_machine(source: Path) -> None:
    notebook = notebook_of(source)
    assert "widgets" not in notebook.metadata
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error" or "raises-exception" in tags(cell), cell.source
            assert WIDGET not in output.get("data", {}), cell.source
            for text in texts(output):
                assert not MACHINE_PATH.search(text), text
                assert not ADDRESS_IN_MEMORY.search(text), text
                assert "step/s]" not in text, "a progress bar was stored"


@each_chapter
def test_notebook_is_light(source: Path) -> None:
    assert (BOOK / f"{source.stem}.ipynb").stat().st_size < 3_000_000


@each_chapter
def test_every_picture_is_described(source: Path) -> None:
    for cell in code_cells(read_for_the_book(source)):
        mimes = {mime for output in cell.outputs for mime in output.get("data", {})}
        if any(mime.startswith("image/") for mime in mimes):
            mystnb = cell.metadata.get("mystnb", {})
            assert len(mystnb.get("image", {}).get("alt", "")) >= 20, cell.source
            assert mystnb.get("figure", {}).get("name", "").startswith("fig-"), cell.source
            assert mystnb["figure"].get("caption"), cell.source


WITH_ERROR = re.compile(
    r"[+-]?(\d[\d,.]*) (?:\[[+-]?(\d[\d,.]*), [+-]?(\d[\d,.]*)\]|\((\d[\d.]*)\)|± (\d[\d.]*))"
)


def with_errors(text: str) -> set[tuple[str, frozenset[str]]]:
    """Every number that has an interval or an error, and that, without signs and layout."""
    plain = " ".join(re.sub(r"[*$\N{NO-BREAK SPACE}]", " ", text.replace("−", "-")).split())
    found = WITH_ERROR.findall(plain)
    return {
        (value.rstrip(".,"), frozenset(error.rstrip(".,") for error in errors if error))
        for value, *errors in found
    }


@each_chapter
def test_a_number_with_its_error_in_prose_is_printed_by_a_cell(source: Path) -> None:
    cells = code_cells(notebook_of(source))
    printed = "\n".join(text for cell in cells for out in cell.outputs for text in texts(out))
    assert with_errors(prose(source)) <= with_errors(printed)


def test_numbers_are_found_with_their_errors() -> None:
    assert with_errors("by **−2.4** [−2.6, −2.1], $0.59$ (0.01) and 1,000 ± 3.") == {
        ("2.4", frozenset({"2.6", "2.1"})),
        ("0.59", frozenset({"0.01"})),
        ("1,000", frozenset({"3"})),
    }


@each_chapter
def test_links_are_plain_markdown(source: Path) -> None:
    """Roles show raw in JupyterLab and on Colab."""
    assert not ROLE.search(prose(source))


@each_chapter
def test_exercises_have_folded_solutions(source: Path) -> None:
    text = prose(source)
    exercises, solutions = EXERCISE.findall(text), SOLUTION.findall(text)
    assert exercises
    assert [label for label, _ in solutions] == exercises, "a solution follows its exercise"
    assert all(dropdown for _, dropdown in solutions), "add `:class: dropdown`"


@each_chapter
def test_chapter_says_what_was_measured(source: Path) -> None:
    assert re.search(r"^## What we measured$", prose(source), re.MULTILINE)


@pytest.mark.parametrize(
    "source", [path for path in SOURCES if path.stem[0].isdigit()], ids=lambda path: path.stem
)
def test_chapter_opens_with_what_carries_its_answer(source: Path) -> None:
    """A figure, an explorer or a table stands before the first section, or is the first section."""
    shown = [""]
    for cell in notebook_of(source).cells:
        if cell.cell_type == "markdown":
            before, *sections = re.split(r"^## ", cell.source, flags=re.MULTILINE)
            shown[-1] += before
            shown += sections
        else:
            data = [output.data for output in cell.outputs if "data" in output]
            shown[-1] += "".join(f"{mime} {text}" for each in data for mime, text in each.items())
    opening = shown[1] if shown[1].startswith("The verdicts") else shown[0]
    assert re.search(r"<img|image/png|text/html|\| *:?--", opening)


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", "book/running.md"])
def test_commands_can_be_pasted_into_any_shell(path: str) -> None:
    """An interactive zsh, which macOS has, takes a comment for arguments."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / path).read_text("utf-8"), re.M | re.S)
    assert blocks or path == "CONTRIBUTING.md"
    assert not [line for block in blocks for line in block.splitlines() if "#" in line]


def test_contents_list_every_page_once() -> None:
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf8"))
    chapters = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    listed = [contents["root"], *chapters]
    pages = [f"book/{path.stem}" for path in (*SOURCES, *BOOK.glob("*.md"))]
    assert sorted(listed) == sorted(pages)


def test_a_picture_that_looks_the_same_is_stored_again() -> None:
    def notebook(level: int, **how: Any) -> Any:
        file = io.BytesIO()
        PIL.Image.new("RGB", (9, 9), (level,) * 3).save(file, "png", **how)
        data = {"image/png": base64.b64encode(file.getvalue()).decode()}
        output = nbformat.v4.new_output("display_data", data=data)
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[output])])

    stored = notebook(100, compress_level=0)
    for level, is_kept in ((100, True), (102, True), (110, False)):
        made = notebook(level)
        keep_pictures(made, stored)
        assert (pictures(made) == pictures(stored)) is is_kept


@each_chapter
def test_figures_have_their_designed_width_in_notebooks_alone(source: Path) -> None:
    shown = [o for cell in code_cells(notebook_of(source)) for o in cell.outputs]
    for output in (output for output in shown if "image/png" in output.get("data", {})):
        picture = PIL.Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
        assert output.metadata == {"image/png": {"width": picture.width // 2}}
        assert picture.width // 2 < 720
    in_the_book = [o for cell in code_cells(read_for_the_book(source)) for o in cell.outputs]
    assert not any(output.get("metadata") for output in in_the_book)


def test_outputs_are_kept_if_and_only_if_the_code_is_the_same() -> None:
    def notebook(*cells: Any) -> Any:
        return nbformat.v4.new_notebook(cells=list(cells))

    code, words = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    outputs = [nbformat.v4.new_output("stream", text="2\n")]
    stored = notebook(code("print(2)", outputs=outputs, execution_count=1))

    reworded = notebook(words("Two:"), code("print(2)", metadata={"tags": ["hide-input"]}))
    assert keep_outputs(reworded, stored)
    assert reworded.cells[1].outputs == outputs
    assert reworded.cells[1].execution_count == 1

    changed = notebook(code("print(3)"))
    assert not keep_outputs(changed, stored)
    assert changed.cells[0].outputs == []


def test_a_lighter_picture_has_the_same_pixels() -> None:
    def encoded(pixels: Any) -> str:
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).save(file, "png", compress_level=1)
        return base64.b64encode(file.getvalue()).decode()

    def decoded(picture: str) -> Any:
        image = PIL.Image.open(io.BytesIO(base64.b64decode(picture)))
        return np.asarray(image.convert("RGBA"))

    pixels = np.tile(np.arange(256, dtype=np.uint8), (40, 4, 1)).transpose(0, 2, 1).copy()
    for alpha in (255, 7):
        pixels[..., 3] = alpha
        picture = encoded(pixels)
        assert len(lighter(picture)) < len(picture)
        np.testing.assert_array_equal(decoded(lighter(picture)), pixels)


def test_signs_before_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    core = pytest.importorskip("docutils.core")
    monkeypatch.syspath_prepend(BOOK / "_ext")
    signs = importlib.import_module("book_signs")
    tree = core.publish_doctree(
        "At D = 20 a gap of -9.6 ± 0.2 [-10, -9] in 95 %, k = L, 2026-11 and x-2.\n\n"
        "``-1 = 1`` and :math:`-2`::\n\n    print(-3)\n\n"
        "===  ===\n-5   +6\n===  ===\n"
    )
    signs.set_signs(None, tree, "page")
    assert tree.astext().replace("\n", " ").replace("\N{NO-BREAK SPACE}", "~").split() == [
        *(
            "At",
            "D~=~20",
            "a",
            "gap",
            "of",
            "−9.6~±~0.2",
            "[−10,",
            "−9]",
            "in",
            "95~%,",
            "k",
            "=",
            "L,",
        ),
        *("2026-11", "and", "x-2.", "-1", "=", "1", "and", "-2:", "print(-3)", "−5", "+6"),
    ]


def test_no_line_begins_with_the_punctuation_after_a_formula(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = pytest.importorskip("docutils.core")
    monkeypatch.syspath_prepend(BOOK / "_ext")
    signs = importlib.import_module("book_signs")
    tree = core.publish_doctree("With :math:`D`, or (:math:`x`). But :math:`z` and :math:`y`")
    before = tree.astext()
    signs.hold_punctuation(None, tree, "page")
    held = [
        node.astext()
        for node in tree.findall()
        if "held" in getattr(node, "attributes", {}).get("classes", [])
    ]
    assert held == ["D,", "x)."]
    assert tree.astext() == before


def test_tables_of_words_become_cards_and_heads_of_numbers_break(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = pytest.importorskip("docutils.core")
    monkeypatch.syspath_prepend(BOOK / "_ext")
    tables = importlib.import_module("book_tables")
    words = "one sentence that no phone shows on a line"
    tree = core.publish_doctree(
        f".. list-table::\n   :header-rows: 1\n\n   * - claim\n     - scale\n     - verdict\n"
        f"   * - {words}\n     - {words}\n     - holds\n\n"
        ".. list-table::\n   :header-rows: 1\n\n   * - D\n     - reconstruction\n"
        "   * - 2\n     - 1.5\n"
    )
    tables.fit_tables(None, tree, "page")
    of_words, of_numbers = [node for node in tree.findall() if node.tagname == "table"]
    assert "stacked" in of_words["classes"]
    assert "stacked" not in of_numbers["classes"]
    names = [
        node.astext()
        for node in of_words.findall()
        if "column-name" in getattr(node, "attributes", {}).get("classes", [])
    ]
    assert names == ["scale", "verdict"]
    assert "recon\N{SOFT HYPHEN}struc\N{SOFT HYPHEN}tion" in of_numbers.astext()


def test_other_builders_are_refused_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = pytest.importorskip("sphinx.errors")
    monkeypatch.syspath_prepend(BOOK / "_ext")
    builders = importlib.import_module("book_builders")
    builders.refuse_other_builders(SimpleNamespace(builder=SimpleNamespace(name="html")))
    with pytest.raises(
        errors.ConfigError, match=r"HTML only, not by the builder 'latex'.*make book"
    ):
        builders.refuse_other_builders(SimpleNamespace(builder=SimpleNamespace(name="latex")))
