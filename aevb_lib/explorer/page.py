"""The HTML of explorers: a place in a page, whole pages, and the files that a site shares."""

from __future__ import annotations

import base64
import html
import json
import os
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from aevb_lib.explorer.data import DATA, data_script
from aevb_lib.plotting import DIGIT_COLORS

__all__ = ["EXPLORERS", "Embedded", "embed", "page", "write_site_files"]

# What explorers share; each has a file of its own after them.
SCRIPTS = ("numbers", "drawing", "controls", "loading")


@dataclass(frozen=True)
class _Explorer:
    title: str
    needs: tuple[str, ...] = ()
    later: tuple[str, ...] = ()  # loaded when a reader asks for it


EXPLORERS = {
    "latent-map": _Explorer("Two planes of codes, and the digit at each point", ("map",)),
    "dimensions": _Explorer(
        "A code, dimension by dimension",
        ("digits", "vae-d020", "autoencoder-d020"),
        later=("vae-d200",),
    ),
    "noise": _Explorer("A code under noise", ("digits", "vae-d020", "autoencoder-d020")),
    "path": _Explorer("From one digit to another", ("digits", "vae-d020", "autoencoder-d020")),
    "dreams": _Explorer(
        "Digits that nobody wrote", ("vae-d020", "autoencoder-d020", "mixture-d020")
    ),
    "fill-in": _Explorer("A covered digit, filled in", ("digits", "map")),
    "bound": _Explorer("The evidence, split in two"),
    "cloud": _Explorer("A cloud that moves with its parameters"),
}


@dataclass(frozen=True)
class Embedded:
    """A place in a page for an explorer, shown by Jupyter and by the book."""

    markup: str

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return "an explorer, alive in a browser"


def embed(name: str, *, inline: bool | None = None) -> Embedded:
    """Return a place for an explorer, alive in a running notebook and in the built book.

    In a notebook it brings along script, style and weights (some megabytes), in a frame of its own.
    Elsewhere, and while the outputs of the book are made, which is what the environment variable
    ``AEVB_BOOK`` says, it is a few lines of HTML with a picture, which the book's pages bring to
    life.

    Args:
        name: A key of :data:`EXPLORERS`.
        inline: Whether to bring everything along; by default in a running notebook only.

    Returns:
        What Jupyter shows if it is the last value of a cell.

    Raises:
        ValueError: If there is no such explorer.

    Example:
        >>> embed("bound").markup.startswith('<div class="aevb-explorer" data-explorer="bound"')
        True
    """
    title = html.escape(_known(name).title, quote=True)
    if _is_live() if inline is None else inline:
        source = html.escape(page(name), quote=True)
        return Embedded(
            f'<iframe title="{title}" srcdoc="{source}" style="width: 100%; height: 720px; '
            'border: 0"></iframe>'
        )
    return Embedded(
        _place(
            name,
            f'<img src="{_picture(name)}" alt="{title}, as it looks before it is touched"><br>'
            f"<em>{title}</em>: an explorer, here as a picture. It is alive in the built book, and "
            "in a notebook once this cell has run.",
        )
    )


def _place(name: str, words: str) -> str:
    """Where the script puts the explorer; until then it says these words."""
    explorer = _known(name)
    return (
        f'<div class="aevb-explorer" data-explorer="{name}" data-needs="{" ".join(explorer.needs)}"'
        f' role="group" aria-label="{html.escape(explorer.title, quote=True)}">\n<p>{words}</p>\n'
        "</div>"
    )


def _is_live() -> bool:
    """Whether a person runs a notebook: what is stored for the book has no use for megabytes."""
    return "ipykernel.zmqshell" in sys.modules and "AEVB_BOOK" not in os.environ


def _picture(name: str) -> str:
    data = (Path(str(files("aevb_lib"))) / "explorer" / "pictures" / f"{name}.webp").read_bytes()
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def page(*names: str) -> str:
    """Return a whole HTML page of explorers, in one file that needs nothing else.

    Args:
        *names: Keys of :data:`EXPLORERS`; all of them if none is named.

    Raises:
        ValueError: If there is no such explorer.

    Example:
        >>> page("bound").count('<div class="aevb-explorer" data-explorer="bound"')
        1
    """
    chosen = names or tuple(EXPLORERS)
    known = [_known(name) for name in chosen]
    needs = dict.fromkeys(need for one in known for need in (*one.needs, *one.later))
    places = "\n".join(_place(name, "An explorer needs a browser with scripts.") for name in chosen)
    data = "".join(f"<script>{data_script(need)}</script>\n" for need in needs)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'  # or a server would be asked for one
        f"<title>{html.escape(_known(chosen[0]).title)}</title>\n<style>\n{_read('explorer.css')}"
        f"</style>\n</head>\n<body>\n<main>\n{places}\n</main>\n"
        f"<script>\n{script()}{_read('scripts/frame.js')}</script>\n{data}</body>\n</html>\n"
    )


def write_site_files(folder: Path) -> None:
    """Write what all pages of a site share: ``explorer.js``, ``explorer.css`` and ``data/*.js``.

    Args:
        folder: Folder to write to; pages load ``explorer.js`` from there, and it finds the data
            beside itself.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "explorer.js").write_text(script(), encoding="utf8")
    (folder / "explorer.css").write_text(_read("explorer.css"), encoding="utf8")
    for name in DATA:
        (folder / "data" / f"{name}.js").write_text(data_script(name), encoding="ascii")


def script() -> str:
    """Return the one classic script: what is shared, and each explorer in a scope of its own.

    Of what is shared an explorer's file sees ``define`` and ``kit``, and says what it takes of it.
    """
    shared = "\n".join(_read(f"scripts/{name}.js") for name in SCRIPTS)
    files = [f"scripts/{name.replace('-', '_')}.js" for name in EXPLORERS]
    explorers = "\n".join(f"{{\n{_read(file)}}}" for file in files)
    return (
        f'(() => {{\n"use strict";\nconst {{ define, kit }} = (() => {{\n'
        f"const DIGIT_COLORS = {json.dumps(DIGIT_COLORS)};\n{shared}"
        f"return {{ define, kit }};\n}})();\n{explorers}\n}})();\n"
    )


def _read(name: str) -> str:
    return (Path(str(files("aevb_lib"))) / "explorer" / name).read_text("utf8")


def _known(name: str) -> _Explorer:
    if name not in EXPLORERS:
        raise ValueError(f"no explorer called {name!r}; there are: {', '.join(EXPLORERS)}")
    return EXPLORERS[name]
