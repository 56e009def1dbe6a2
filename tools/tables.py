"""Write what recorded studies say into the pages that quote them.

    python tools/tables.py            README.md, book/index.md and the figure on top of both

Whatever stands between `<!-- table: NAME -->` and `<!-- end of table -->` is replaced by the table
of the study NAME.
"""

import re
from pathlib import Path

from aevb_lib.experiments import STUDIES, load_result
from aevb_lib.latents import prior_grid
from aevb_lib.plotting import image_grid
from aevb_lib.pretrained import load_pretrained

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "book" / "index.md")
FIGURE = ROOT / "book" / "_assets" / "figures" / "manifold.png"
TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def recorded_tables():
    """The tables that the pages show, by the name of their study."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    shown = {match[2] for text in texts for match in TABLE.finditer(text)}
    return {name: STUDIES[name].table(load_result(name)) for name in sorted(shown)}


def with_tables(page, tables):
    """The page's text with every table in its place."""
    return TABLE.sub(lambda match: f"{match[1]}\n{tables[match[2]]}\n\n{match[3]}", page)


def draw_manifold():
    """The plane of codes of the two-dimensional VAE, decoded: 24 columns, and every second row."""
    images = load_pretrained("vae", latent_dim=2).decode(prior_grid(24, coverage=0.97)[::2])
    return image_grid(images, gap=0)


def main():
    tables = recorded_tables()
    for path in PAGES:
        path.write_text(with_tables(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    draw_manifold().savefig(FIGURE, dpi=150, bbox_inches="tight", pad_inches=0)


if __name__ == "__main__":
    main()
