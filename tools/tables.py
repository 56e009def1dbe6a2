"""Write what recorded studies say into the pages that quote them.

    python tools/tables.py            README.md, book/index.md and the figure on top of both

Whatever stands between `<!-- table: NAME -->` and `<!-- end of table -->` is replaced by the table
of the study NAME, and the minutes at the foot of a chapter's card by what reading it takes.
"""

import math
import re
from pathlib import Path

from aevb_lib.experiments import STUDIES, load_result
from aevb_lib.latents import prior_grid
from aevb_lib.plotting import image_grid
from aevb_lib.pretrained import load_pretrained

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "book" / "index.md")
FIGURE = ROOT / "book" / "_assets" / "figures" / "manifold.png"
SOURCES = ROOT / "book" / "sources"
CARD = re.compile(r"(\]\((\d\d_\w+)\.ipynb\)\n(?:\n|  .*\n)*?  \*)\d+ minutes\*")
WORDS_PER_MINUTE = 200
TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def recorded_tables():
    """The tables that the pages show, by the name of their study."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    shown = {match[2] for text in texts for match in TABLE.finditer(text)}
    return {name: STUDIES[name].table(load_result(name)) for name in sorted(shown)}


def with_tables(page, tables):
    """The page's text with every table in its place."""
    return TABLE.sub(lambda match: f"{match[1]}\n{tables[match[2]]}\n\n{match[3]}", page)


def minutes(chapter):
    """Minutes that a chapter takes to read, words of text and code alike, to the next five."""
    text = (SOURCES / f"{chapter}.md").read_text(encoding="utf-8").split("---", 2)[2]
    return 5 * math.ceil(len(text.split()) / WORDS_PER_MINUTE / 5)


def with_minutes(page):
    """The page's text with the reading time at the foot of every chapter's card."""
    return CARD.sub(lambda match: f"{match[1]}{minutes(match[2])} minutes*", page)


def draw_manifold():
    """The plane of codes of the two-dimensional VAE, decoded: 24 columns, and every second row."""
    images = load_pretrained("vae", latent_dim=2).decode(prior_grid(24, coverage=0.97)[::2])
    return image_grid(images, gap=0)


def main():
    tables = recorded_tables()
    for path in PAGES:
        text = with_minutes(with_tables(path.read_text(encoding="utf-8"), tables))
        path.write_text(text, encoding="utf-8")
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    draw_manifold().savefig(FIGURE, dpi=150, bbox_inches="tight", pad_inches=0)


if __name__ == "__main__":
    main()
