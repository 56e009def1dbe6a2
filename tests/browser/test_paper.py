"""Pages on paper: three of them printed to PDF while they are dark, and looked at."""

from __future__ import annotations

import ctypes
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup

from tests.browser.conftest import unavailable

pytestmark = pytest.mark.browser

INK = (28, 33, 39)  # of a light page


@pytest.fixture(scope="module")
def pdfium() -> Any:
    try:
        import pypdfium2
    except ImportError:
        unavailable("no pypdfium2: pip install pypdfium2")
    return pypdfium2


def squeezed(text: str) -> str:
    return "".join(text.split())


def lines_of(file: Path) -> list[str]:
    """The lines of code and printed output that no cell hides for good."""
    html = BeautifulSoup(file.read_text("utf8"), "html.parser")
    blocks = [pre.get_text() for pre in html.select(".cell_input pre, .cell_output pre")]
    return [line for block in blocks for line in block.splitlines() if len(line.strip()) > 12]


def objects(document: Any, kind: int) -> list[Any]:
    return [each for sheet in document for each in sheet.get_objects([kind], max_depth=9)]


def fill(path: Any, raw: Any) -> tuple[int, ...]:
    channels = [ctypes.c_uint() for _ in range(4)]
    raw.FPDFPageObj_GetFillColor(path, *channels)
    return tuple(channel.value for channel in channels[:3])


@pytest.mark.parametrize("name", ["02_elbo", "06_vae_vs_ae", "09_generation"])
def test_a_dark_page_prints_light_and_whole(
    name: str, pdfium: Any, book: Path, open_page: Callable[..., Any]
) -> None:
    visit = open_page(f"book/{name}.html", mode="dark")
    page, raw = visit.page, pdfium.raw
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    page.evaluate("document.querySelectorAll('.aevb-explorer').forEach(e => e.remove())")
    document = pdfium.PdfDocument(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")

    for number, sheet in enumerate(document, 1):
        ink = 1 - np.asarray(sheet.render().to_pil().convert("L"), dtype=float) / 255
        assert np.median(ink) < 0.01, f"the paper of page {number} is dark"
        assert ink.max() > 0.3, f"page {number} is empty"

    # Formulas are paths, one for each letter.
    colors = [fill(path, raw) for path in objects(document, raw.FPDF_PAGEOBJ_PATH)]
    letters = page.locator(".bd-article mjx-container:visible svg use").count()
    assert letters > 100
    assert colors.count(INK) > 0.9 * letters  # a space has no path

    text = squeezed("".join(sheet.get_textpage().get_text_bounded() for sheet in document))
    lines = lines_of(book / "book" / f"{name}.html")
    assert len(lines) > 40
    assert [line for line in lines if squeezed(line)[-10:] not in text] == []

    # Each figure once, which it is not if it is cut, and on one page with its caption.
    figures = page.locator(".bd-article figure img.in-light").count()
    assert len(objects(document, raw.FPDF_PAGEOBJ_IMAGE)) == figures > 0
    for sheet in document:
        captions = re.findall(r"^Figure \d+\.\d+", sheet.get_textpage().get_text_bounded(), re.M)
        assert len(captions) == len(objects([sheet], raw.FPDF_PAGEOBJ_IMAGE))
    visit.finish()
