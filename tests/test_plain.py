"""Notebooks in plain Markdown: no MyST is left, links lead somewhere, no word is lost."""

from __future__ import annotations

import functools
import html
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from aevb_lib.explorer import EXPLORERS
from tests.test_book import each_chapter, notebook_of
from tools.labels import BOOK, EQUATION, SOURCES, is_check, places, source_cells
from tools.plain import Converter

RAW = re.compile(r"^:{3,}|^\([\w-]+\)=|\$\$ *\(|\{[a-z:]+\}`|^%|^\+\+\+", re.MULTILINE)
ANCHOR = re.compile(r'<a id="([\w-]+)"></a>')
LINK = re.compile(r"\]\(([^)\s]+)\)")
CHAPTERS = sorted(SOURCES.glob("[0-9][0-9]_*.md"))


def texts(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def printed(notebook: Any) -> Iterator[str]:
    """Markdown and HTML that cells display."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for mime in ("text/markdown", "text/html"):
                yield output.get("data", {}).get(mime, "")


@functools.cache
def anchors(name: str) -> set[str]:
    path = BOOK / name
    is_page = path.suffix == ".md"
    found = [path.read_text("utf8")] if is_page else texts(nbformat.read(path, as_version=4))
    return {anchor for text in found for anchor in ANCHOR.findall(text)}


def convert(*sources: str) -> list[Any]:
    make = {True: nbformat.v4.new_markdown_cell, False: nbformat.v4.new_code_cell}
    cells = [make[not source.startswith("code")](source) for source in sources]
    return Converter("02_elbo.ipynb").convert(cells)


@each_chapter
def test_nothing_of_the_book_s_markup_is_left(source: Path) -> None:
    for text in (*texts(notebook_of(source)), *printed(notebook_of(source))):
        found = RAW.search(text)
        assert found is None, text[max(0, found.start() - 100) : found.end() + 100]


@each_chapter
def test_drawings_are_tags(source: Path) -> None:
    """Of ![](data:image/svg+xml...) VS Code shows the source."""
    assert not [text[:80] for text in texts(notebook_of(source)) if "](data:" in text]


@each_chapter
def test_links_lead_somewhere(source: Path) -> None:
    notebook, own = notebook_of(source), f"{source.stem}.ipynb"
    for text in (*texts(notebook), *printed(notebook)):
        for link in LINK.findall(text):
            if link.startswith(("data:image/", "https://")):
                continue
            file, _, anchor = link.partition("#")
            assert (BOOK / (file or own)).is_file(), link
            if anchor:
                assert anchor in anchors(file or own), link


@each_chapter
def test_commands_in_a_line_of_text_have_one_backslash(source: Path) -> None:
    for text in (*texts(notebook_of(source)), *printed(notebook_of(source))):
        for formula in re.findall(r"(?<!\$)\$[^$]+\$(?!\$)", text):
            assert re.search(r"\\\\[A-Za-z]", formula) is None, formula


@each_chapter
def test_no_anchor_stands_twice(source: Path) -> None:
    found = [anchor for text in texts(notebook_of(source)) for anchor in ANCHOR.findall(text)]
    assert sorted(found) == sorted(set(found))
    assert set(found) == {
        label for label, place in places().items() if place.page == f"{source.stem}.ipynb"
    }


WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Words of a text that readers see: without directives, labels, and where links lead."""
    text = re.sub(r"^:{3,}.*$|^:[\w-]+:.*$|^\([\w-]+\)=$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\$\$ \([\w-]+\)$", "$$", text, flags=re.MULTILINE)
    text = re.sub(r'<img alt="([^"]*)"[^>]*>', lambda match: html.unescape(match[1]), text)
    text = re.sub(r"\]\(\S+?\)|</?\w+[^>]*>", " ", text)
    return WORD.findall(text)


@each_chapter
def test_no_word_is_lost_and_no_cell_of_code(source: Path) -> None:
    """The book's words, in their order, are among those of the notebook."""
    cells = source_cells(source)
    written = [
        word for cell in cells if cell.cell_type == "markdown" for word in words(cell.source)
    ]
    shown = iter([word for text in texts(notebook_of(source)) for word in words(text)])
    missing = next((word for word in written if word not in shown), None)
    assert missing is None, missing
    code = [cell.source for cell in notebook_of(source).cells if cell.cell_type == "code"]
    assert code == [cell.source for cell in cells if cell.cell_type == "code"]


@each_chapter
def test_captions_stand_behind_their_figures(source: Path) -> None:
    cells = notebook_of(source).cells
    text = "\n".join(texts(notebook_of(source)))
    for cell in source_cells(source):
        if cell.cell_type == "code" and (figure := cell.metadata.get("mystnb", {}).get("figure")):
            (place,) = [i for i, one in enumerate(cells) if one.source == cell.source]
            before, after = cells[place - 1], cells[place + 1]
            anchor = f'<a id="{figure["name"]}"></a>'
            # Who follows a link to a figure must see it, and not what is below it.
            ends_in_words = before.source.removesuffix(anchor)[-1] in ".:)"
            is_above = before.cell_type == "markdown" and before.source.endswith(anchor)
            assert is_above == (before.cell_type == "markdown" and ends_in_words)
            caption = after.source if is_above else after.source.removeprefix(anchor).lstrip()
            assert caption.startswith("**Figure ")
            alt = cell.metadata["mystnb"]["image"]["alt"]
            assert alt in text


@each_chapter
def test_what_the_book_hides_is_folded_and_live_widgets_are_not(source: Path) -> None:
    for cell in notebook_of(source).cells:
        tags = set(cell.metadata.get("tags", []))
        if tags & {"remove-input", "hide-input"} or tags == {"remove-cell"}:
            assert cell.metadata["jupyter"]["source_hidden"]
            assert cell.metadata["cellView"] == "form"
        elif cell.cell_type == "code" and "widgets." in cell.source:
            assert "jupyter" not in cell.metadata, cell.source


def test_cells_that_only_check_are_folded() -> None:
    assert is_check("assert a\nassert b")
    assert is_check("# Check: as it was said.\nvalue = 1\nassert value")
    assert is_check("for a in b:\n    assert a\n    for c in a:\n        assert c")
    assert not is_check("assert a\nprint(b)")
    assert not is_check("for a in b:\n    print(a)\n    assert a")
    assert not is_check("a = 1")


def test_an_anchor_stands_above_its_own_equation() -> None:
    text = "$$\na\n$$\n\nand\n\n$$\nb\n$$ (eq-b)"
    assert EQUATION.findall(text) == [("b", "eq-b")]


def test_an_equation_gets_its_number_and_an_anchor() -> None:
    (cell,) = convert("Thus,\n\n$$\na = b.\n$$ (eq-elbo)\n\nas in [this](#eq-elbo).")
    assert cell["source"] == (
        'Thus,\n\n<a id="eq-elbo"></a>\n\n$$\na = b.\n\\tag{2.3}\n$$\n\n'
        "as in [this (2.3)](#eq-elbo)."
    )


def test_links_gain_numbers_years_and_files() -> None:
    (cell,) = convert(
        "See [this](#fig-noise-own), ([that](#fig-noise-own)), [the paper](#kingma2014aevb), "
        "[Kingma, 2014](#kingma2014aevb), [a part](#sec-pruning), [`fit`](#what-number), "
        "`[no](#fig-noise-own)`."
    )
    assert cell["source"] == (
        "See [this (Figure 10.3)](10_noise.ipynb#fig-noise-own), "
        "([that, Figure 10.3](10_noise.ipynb#fig-noise-own)), "
        "[the paper (2014)](https://arxiv.org/abs/1312.6114), "
        "[Kingma, 2014](https://arxiv.org/abs/1312.6114), "
        "[a part](07_latent_dimension.ipynb#sec-pruning), [`fit`](index.md), "
        "`[no](#fig-noise-own)`."
    )


def test_solutions_fold_with_their_code() -> None:
    cells = convert(
        ":::{exercise} Why?\n:label: ex-support\n\nSay why.\n:::\n\n"
        ":::{solution-start} ex-support\n:class: dropdown\n:::\n\nFirst.",
        "code = 1",
        "Then.\n\n:::{solution-end}\n:::\n\nAfter.",
        "code = 2",
    )
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code", "markdown", "code"]
    assert "### Exercise 2.1: Why?" in cells[0]["source"]
    assert "<summary>Solution of Exercise 2.1</summary>\n\nFirst." in cells[0]["source"]
    assert cells[1]["metadata"]["jupyter"] == {"source_hidden": True, "outputs_hidden": True}
    assert cells[2]["source"].endswith("Then.\n\n</details>\n\nAfter.")
    assert "jupyter" not in cells[3]["metadata"]


def test_a_solution_that_begins_with_code_is_named_before_it() -> None:
    opening = ":::{exercise} Why?\n:label: ex-support\n\nSay why.\n:::\n\n"
    cells = convert(
        f"{opening}:::{{solution-start}} ex-support\n:class: dropdown\n:::",
        "code = 1",
        "Then.\n\n:::{solution-end}\n:::",
    )
    assert "Solution" not in cells[0]["source"]
    assert cells[1]["source"] == "*Solution of Exercise 2.1: its code, here and below.*"
    assert cells[2]["source"] == "code = 1"
    assert "<summary>Solution of Exercise 2.1, continued</summary>" in cells[3]["source"]


@pytest.mark.parametrize("slug", ["OWNER/NAME", "someone/a-book"])
def test_an_explorer_s_picture_has_a_link_once_there_is_an_address(
    monkeypatch: pytest.MonkeyPatch, slug: str
) -> None:
    monkeypatch.setattr("tools.plain.address", lambda: slug)
    sources = 'explorer.embed("bound")', "torch.diag_embed(x)"
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    texts_of = [cell["source"] for cell in Converter("02_elbo.ipynb").convert(cells)]
    if slug == "OWNER/NAME":
        assert tuple(texts_of) == sources
    else:
        embedded, words, other = texts_of
        assert (embedded, other) == sources
        assert "[the book](https://someone.github.io/a-book/book/02_elbo.html)" in words


def test_notes_are_quotations_without_broken_formulas() -> None:
    (cell,) = convert(":::{note}\nFor $a\n= b$ and\n\n$$\nc\n$$\n:::")
    assert cell["source"] == "> **Note**\n>\n> For $a = b$ and\n>\n> $$ c $$"


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(ValueError, match="no form for the directive tabs"):
        convert(":::{tabs} a\nwords\n:::")
    with pytest.raises(KeyError, match="eq-nowhere"):
        convert("[this](#eq-nowhere)")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The extension that makes more of pages of text."""
    monkeypatch.syspath_prepend(BOOK / "_ext")
    return importlib.import_module("book_plain")


@pytest.mark.parametrize("name", sorted(path.stem for path in BOOK.glob("*.md")))
def test_a_page_is_plain_in_its_file_and_more_in_the_book(name: str, plain: Any) -> None:
    text = (BOOK / f"{name}.md").read_text("utf8")
    assert re.search(r"^(`{3,}|:{3,})\{|^\([\w-]+\)=$|\{[a-z:]+\}`", text, re.MULTILINE) is None
    for link in LINK.findall(re.sub("`[^`]*`", "", text)):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        assert (BOOK / (file or f"{name}.md")).is_file(), link
        assert not anchor or anchor in anchors(file or f"{name}.md"), link
    made = plain.with_directives(text)
    assert not re.search(
        "<!-- (cards|buttons|bibliography) -->|<details>|^<a id", made, re.MULTILINE
    )
    explorers = re.findall(r"^```\{explorer\} (.+)\n```$", made, re.MULTILINE)
    assert len(explorers) == text.count("![") >= (name in ("index", "playground", "tour"))
    assert set(explorers) <= set(EXPLORERS)
    assert made.count("{button-ref}") == (2 if name == "index" else 0)
    assert made.count("{grid-item-card}") == (len(CHAPTERS) + 1 if name == "index" else 0)


def test_modules_citations_and_folds_of_a_page(plain: Any) -> None:
    assert plain.with_directives(
        "[`aevb_lib.hmc`](../aevb_lib/hmc.py): step, init\n\n"
        "[K](https://arxiv.org/abs/1312.6114)\n\n"
        "<details>\n<summary>More</summary>\n\nwords\n\n</details>\n"
    ) == (
        "```{eval-rst}\n.. automodule:: aevb_lib.hmc\n   :members: step, init\n```\n\n"
        "[K](#kingma2014aevb)\n\n````{dropdown} More\nwords\n````\n"
    )


def test_buttons_cards_and_explorers_of_a_page(plain: Any) -> None:
    assert plain.with_directives(
        "<!-- cards -->\n\n* [One](01_one.ipynb)\n\n  First.\n\n  *5 minutes*\n\n"
        "* [Two](two.md)\n\n  More.\n\n<!-- end of cards -->\n\n"
        "![A bell](../explorer/pictures/bound.webp)\\\n*A picture.*\n"
    ) == (
        "::::{grid} 1 2 2 2\n:gutter: 3\n\n"
        ":::{grid-item-card} 1. One\n:link: 01_one\n:link-type: doc\n\n"
        "First.\n\n*5 minutes*\n:::\n\n"
        ":::{grid-item-card} Two\n:link: two\n:link-type: doc\n\nMore.\n:::\n::::\n\n"
        "```{explorer} bound\n```\n"
    )
