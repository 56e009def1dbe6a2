"""The text of a chapter comes from book/sources, its outputs from its notebook.

The notebooks are in plain Markdown, which every program shows (see tools/plain.py). The book shows
more: it reads the chapter as it was written. Outputs are stored once, in the notebook.
"""

import sys
from pathlib import Path

import nbformat

# Sphinx knows this folder only.
sys.path.append(str(Path(__file__).resolve().parents[2]))
from tools.notebooks import SOURCES, read_for_the_book


def read_source(app, docname, source):
    path = SOURCES / f"{Path(docname).name}.md"
    if app.env.doc2path(docname).endswith(".ipynb"):
        app.env.note_dependency(str(path))
        source[0] = nbformat.writes(read_for_the_book(path))


def setup(app):
    app.connect("source-read", read_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
