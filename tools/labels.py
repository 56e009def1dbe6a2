"""What the labels of the book stand for, and the cells of its chapters as they are written."""

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path

import jupytext
from pybtex.database import parse_file

BOOK = Path(__file__).resolve().parents[1] / "book"
SOURCES = BOOK / "sources"

LABEL = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)
ANCHOR = re.compile(r'^<a id="([\w-]+)"></a>$', re.MULTILINE)
EQUATION = re.compile(r"^\$\$\n((?:(?!\$\$).)*?)\n\$\$ \(([\w-]+)\)$", re.MULTILINE | re.DOTALL)
EXERCISE = re.compile(r"^:{3,}\{exercise(?:-start)?\}.*\n:label: (\S+)$", re.MULTILINE)
FIGURE = re.compile(r"^:{3,}\{figure-md\} (\S+)$", re.MULTILINE)
VERBS = ("show", "hide")
NUMBERED = {"equation": "({})", "figure": "Figure {}", "exercise": "Exercise {}"}


@dataclass(frozen=True)
class Place:
    """What a label stands for: on which page, and under which number."""

    page: str
    kind: str = "section"
    number: str = ""


def source_cells(path):
    """Cells of a chapter as they are written; those that only check something are folded."""
    cells = jupytext.read(path, fmt={"extension": ".md", "format_name": "myst"}).cells
    is_solution = False
    for cell in cells:
        if cell.cell_type == "markdown":
            starts = re.findall(r"^:{3,}\{solution-(start|end)\}", cell.source, re.MULTILINE)
            is_solution = starts[-1] == "start" if starts else is_solution
        elif not is_solution and is_check(cell.source):
            tags = cell.metadata.setdefault("tags", [])
            if not {"hide-input", "remove-input", "remove-cell"} & set(tags):
                tags.insert(0, "hide-input")
            prompts = {f"code_prompt_{verb}": f"{verb.capitalize()} the check" for verb in VERBS}
            cell.metadata.setdefault("mystnb", {}).update(prompts)
    return cells


def is_check(code):
    """Whether a cell says that it is a check, or does nothing but assert."""
    if code.startswith("# Check"):
        return True
    return code.startswith(("assert", "for", "with", "#")) and _only_asserts(ast.parse(code).body)


def _only_asserts(statements):
    return all(
        isinstance(one, ast.Assert)
        or (isinstance(one, ast.For | ast.With) and _only_asserts(one.body))
        for one in statements
    )


def _labels(cell):
    """Labels in a cell and their kinds, in the order of the book's own counting."""
    if cell.cell_type == "code":
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        return [("figure", name)] if name else []
    patterns = {"section": LABEL, "figure": FIGURE, "exercise": EXERCISE}
    found = [(kind, label) for kind, p in patterns.items() for label in p.findall(cell.source)]
    return found + [("equation", label) for _, label in EQUATION.findall(cell.source)]


@functools.cache
def places():
    """Every label of the book."""
    known = {}
    for path in sorted(BOOK.glob("*.md")):
        text = path.read_text("utf8")
        known |= {label: Place(path.name) for label in ANCHOR.findall(text)}  # see book_plain.py
    counts_of = {}
    pages = re.findall(r"file: book/(\S+)", (BOOK.parent / "_toc.yml").read_text("utf8"))
    for path in filter(Path.exists, (SOURCES / f"{page}.md" for page in pages)):
        chapter = re.match(r"\d*", path.stem)[0].lstrip("0")
        # Pages without a number share their counts, as in Sphinx: one goes on where another ends.
        counts = counts_of.setdefault(chapter, dict.fromkeys(NUMBERED, 0))
        for kind, label in (found for cell in source_cells(path) for found in _labels(cell)):
            if kind in counts:
                counts[kind] += 1
                number = f"{chapter}.{counts[kind]}" if chapter else str(counts[kind])
                known[label] = Place(f"{path.stem}.ipynb", kind, number)
            else:
                known[label] = Place(f"{path.stem}.ipynb")
    return known


@functools.cache
def citations():
    """Address and year of everything that can be cited."""
    entries = parse_file(BOOK / "references.bib").entries
    return {
        key: (entry.fields.get("url") or _of_doi(entry.fields.get("doi")), entry.fields["year"])
        for key, entry in entries.items()
    }


def _of_doi(doi):
    return f"https://doi.org/{doi}" if doi else "bibliography.md"
