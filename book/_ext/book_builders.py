"""The book is built as HTML only; every other builder is refused before it starts.

Explorers, folded solutions and links that name their target have no counterpart in LaTeX. Pages are
made for paper too: a browser prints them to PDF.
"""

from sphinx.errors import ConfigError

BUILDERS = ("html", "linkcheck")


def refuse_other_builders(app):
    if app.builder.name not in BUILDERS:
        raise ConfigError(
            f"this book is built as HTML only, not by the builder {app.builder.name!r}. For a PDF, "
            "run `make book` and print pages of _build/html from a browser: they are made for it."
        )


def setup(app):
    app.connect("builder-inited", refuse_other_builders)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
