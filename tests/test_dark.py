"""Figures on dark pages: the palette that explorers have in the dark, letters that can be read."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aevb_lib import plotting

ROOT = Path(__file__).resolve().parents[1]
WHITE = np.full(3, 255.0)

nodes = pytest.importorskip("docutils.nodes")
dark = importlib.import_module("book._ext.book_dark")


def test_every_color_becomes_its_own_dark_one() -> None:
    light = np.array([dark.rgb(color) for color in dark.TWINS])
    twins = np.array([dark.rgb(color) for color in dark.TWINS.values()])
    assert np.abs(dark.darken(light) - twins).max() < 2


def test_the_dark_palette_is_that_of_the_page_and_of_explorers() -> None:
    sheet = (ROOT / "aevb_lib" / "explorer" / "explorer.css").read_text("utf8")
    page = (ROOT / "book" / "_assets" / "book.css").read_text("utf8")
    for name, color in {"vae": plotting.BLUE, "autoencoder": plotting.VERMILION}.items():
        assert f"--x-{name}: {color.lower()}" in sheet
        assert f"--x-{name}: {dark.TWINS[color]}" in sheet
        assert dark.TWINS[color] != color.lower()
    assert f"--book-paper: {dark.TWINS['#ffffff']}" in page
    assert f"--book-ink: {dark.TWINS[plotting.INK]}" in page
    script = (ROOT / "aevb_lib" / "explorer" / "scripts" / "drawing.js").read_text("utf8")
    assert f"isDark() ? c + {dark.WHITER} * (255 - c) : c" in script
    assert dark.TWINS["#440489"] == "#8b63b6"  # the 6: 68 + 0.38 * 187 = 139 and so on


def test_mixtures_with_white_become_mixtures_with_the_dark_paper() -> None:
    paper = dark.rgb(dark.PAPER)
    for light, twin in dark.COLORS.items():
        for share in np.linspace(0.05, 0.95, 19):
            mixed = np.round(WHITE + share * (dark.rgb(light) - WHITE))
            expected = paper + share * (dark.rgb(twin) - paper)
            seen = dark.darken(mixed[None])[0]
            assert np.abs(seen - expected).max() < 12, (light, share, seen, expected)


def test_grays_stay_in_order() -> None:
    twins = dark.darken(np.repeat(np.arange(256.0)[:, None], 3, axis=1))
    assert (np.diff(twins, axis=0) < 0).all()
    assert np.abs(np.round(twins[255]) - dark.rgb(dark.PAPER)).max() == 0


def test_every_color_can_be_seen_on_the_dark_paper() -> None:
    colors = {plotting.SKY, plotting.ORANGE, *plotting.COLORS.values(), *plotting.DIGIT_COLORS}
    for color in colors | set(dark.COLORS):
        assert dark.contrast(dark.rgb(dark.TWINS[color]), dark.rgb(dark.PAPER)) >= 3, color


def test_blues_in_order_can_be_seen_on_either_paper() -> None:
    for sheet, blues in (
        (WHITE, [dark.rgb(color) for color in plotting.BLUES]),
        (dark.rgb(dark.PAPER), [dark.darken(dark.rgb(c)[None])[0] for c in plotting.BLUES]),
    ):
        contrasts = [float(dark.contrast(blue, sheet)) for blue in blues]
        assert contrasts == sorted(contrasts)
        assert contrasts[0] >= 3


def test_letters_on_pale_badges_can_be_read() -> None:
    paper, badge = np.full((60, 60, 3), 255, np.uint8), dark.rgb("#fda9e5")
    paper[10:50, 10:50] = badge
    paper[20:40, 28:32] = dark.rgb(plotting.INK)
    paper[20:40, 32] = (badge + dark.rgb(plotting.INK)) / 2  # the edge of the letter
    paper[55:58, 5:55] = dark.rgb(plotting.INK)  # a line on paper
    twin = dark.darken_picture(paper).astype(float)
    assert np.abs(twin[30, 15] - dark.rgb(dark.TWINS["#fda9e5"])).max() < 2
    assert dark.contrast(twin[30, 30], twin[30, 15]) > 7
    assert dark.contrast(twin[30, 32], twin[30, 15]) > 2
    assert np.abs(twin[56, 30] - dark.rgb(dark.TWINS[plotting.INK])).max() < 2
    assert np.abs(twin[0, 0] - dark.rgb(dark.PAPER)).max() == 0


def test_a_twin_is_made_once_and_again_for_another_picture(tmp_path: Path) -> None:
    light, folder = tmp_path / "figure.png", tmp_path / "images"
    Image.new("RGBA", (4, 3), "white").save(light)
    name = dark.write_twin(light, folder, "figure.png")
    with Image.open(folder / name) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (3, 4, 3)
    assert (pixels == dark.rgb(dark.PAPER)).all()
    made = (folder / name).stat().st_mtime_ns
    assert dark.write_twin(light, folder, "figure.png") == name
    assert (folder / name).stat().st_mtime_ns == made
    Image.new("RGB", (4, 3), plotting.BLUE).save(light)
    other = dark.write_twin(light, folder, "figure.png")
    assert [path.name for path in folder.iterdir()] == [other] != [name]


def test_drawings_have_the_palette_too(tmp_path: Path) -> None:
    light = tmp_path / "drawing.svg"
    light.write_text('<svg><a fill="#fff" stroke="#0072B2" href="url(#abc)"/>&#8203;</svg>', "utf8")
    name = dark.write_twin(light, tmp_path, "drawing.svg")
    blue = dark.TWINS[plotting.BLUE]
    assert (tmp_path / name).read_text("utf8") == (
        f'<svg><a fill="{dark.PAPER}" stroke="{blue}" href="url(#abc)"/>&#8203;</svg>'
    )


@pytest.mark.parametrize("marked", ["only-dark", "no-invert", "only-light"])
def test_a_picture_with_colors_of_its_own_stands_once(marked: str) -> None:
    class Translator:
        def __init__(self) -> None:
            self.builder = SimpleNamespace(srcdir="", images={"figure.png": "figure.png"})
            self.written: list[Any] = []

        def visit_image(self, node: Any) -> None:
            self.written.append(node)

    image = nodes.image(uri="figure.png", classes=[marked])
    translator = Translator()
    dark.visit_image(translator, image)
    assert translator.written == [image]
    assert image["classes"] == [marked]
