"""Explorers in the pages: a directive for text pages, and the files that all pages share.

    ```{explorer} latent-map
    ```

A page's file has the explorer's picture in this place (see book_plain.py), a notebook a cell with
`aevb_lib.explorer.embed("latent-map")`. Script and style sheet go only on pages that hold an
explorer.
"""

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

from aevb_lib.explorer import EXPLORERS, embed, write_site_files


class ExplorerDirective(Directive):
    required_arguments = 1

    def run(self):
        (name,) = self.arguments
        if name not in EXPLORERS:
            raise self.error(f"no explorer called {name!r}; there are: {', '.join(EXPLORERS)}")
        return [nodes.raw("", embed(name, inline=False).markup, format="html")]


def write_files(app):
    if app.builder.format == "html":
        write_site_files(Path(app.outdir) / "_static" / "explorer")


def add_files(app, pagename, templatename, context, doctree):
    if 'class="aevb-explorer"' in context.get("body", ""):
        app.add_js_file("explorer/explorer.js", loading_method="defer")
        app.add_css_file("explorer/explorer.css")


def setup(app):
    app.add_directive("explorer", ExplorerDirective)
    app.connect("builder-inited", write_files)
    app.connect("html-page-context", add_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
