"""What shows that something goes on, where it is wide, and what stays together.

What is too wide on a desk or a phone, test_pages.py asks of every page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup

from tests.browser.test_pages import PAGES, luminance, pixels

pytestmark = pytest.mark.browser

CHAPTERS = [page for page in PAGES if page[5:7].isdigit()]


def edges(page: Any, box: Any) -> list[float]:
    """The light of the leftmost and the rightmost pixels of a box, above what stands in it."""
    frame = box.bounding_box()
    strips = [
        {"x": x, "y": frame["y"] + 1, "width": 3, "height": 3}
        for x in (frame["x"], frame["x"] + frame["width"] - 3)
    ]
    return [float(np.mean(luminance(pixels(page, strip)))) for strip in strips]


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_shadow_says_where_a_formula_goes_on(mode: str, open_page: Callable[..., Any]) -> None:
    visit = open_page("book/02_elbo.html", size="phone", mode=mode)
    page = visit.page
    boxes = page.locator(".bd-article div.math mjx-container[display]").all()
    wide = [b for b in boxes if b.evaluate("e => e.scrollWidth > e.clientWidth + 60")]
    narrow = [b for b in boxes if b.evaluate("e => e.scrollWidth <= e.clientWidth")]
    least = 0.1 if mode == "light" else 0.03
    narrow[0].evaluate("e => e.scrollIntoView({ block: 'center', behavior: 'instant' })")
    left, right = edges(page, narrow[0])
    assert abs(left - right) < 0.01
    paper = left
    wide[0].evaluate("e => e.scrollIntoView({ block: 'center', behavior: 'instant' })")
    left, right = edges(page, wide[0])
    assert abs(left - paper) < 0.01
    assert abs(right - paper) > least
    wide[0].evaluate("e => { e.scrollLeft = e.scrollWidth }")
    left, right = edges(page, wide[0])
    assert abs(left - paper) > least
    assert abs(right - paper) < 0.01
    visit.finish()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_shadow_says_where_a_plot_goes_on(mode: str, open_page: Callable[..., Any]) -> None:
    visit = open_page("book/07_latent_dimension.html", size="phone", mode=mode)
    plot = visit.page.locator(".plot").first
    plot.evaluate("e => e.scrollIntoView({ block: 'center', behavior: 'instant' })")
    plot.locator("img:visible").evaluate("async e => { await e.decode() }")
    assert plot.evaluate("e => [e.scrollWidth > e.clientWidth + 60, e.tabIndex]") == [True, 0]
    left, right = edges(visit.page, plot)
    plot.evaluate("e => { e.scrollLeft = e.scrollWidth }")
    left_after, right_after = edges(visit.page, plot)
    least = 0.1 if mode == "light" else 0.03
    assert abs(left - right) > least
    assert abs(left_after - right_after) > least
    assert abs(left - right_after) < 0.01
    visit.finish()


def test_tables_are_read_on_a_phone(open_page: Callable[..., Any]) -> None:
    """Those of words are cards, and the front page shows its last column."""
    visit = open_page("book/index.html", size="phone")
    page = visit.page
    last = page.locator(".bd-article table").first.locator("th").last
    assert last.evaluate("e => e.getBoundingClientRect().right") <= 390
    page.goto(visit.base + "book/14_replication.html")
    cells = page.locator("table.stacked td:last-child").all()
    assert len(cells) > 20
    for cell in cells:
        assert cell.locator(".column-name").inner_text() in ("beyond the claim", "answer")
        box = cell.bounding_box()
        assert 0 <= box["x"] < box["x"] + box["width"] <= 390


def test_a_number_stays_with_its_error_and_its_percent_sign(book: Path) -> None:
    marks = 0
    for name in CHAPTERS:
        html = BeautifulSoup((book / name).read_text("utf8"), "html.parser").select_one(
            ".bd-article"
        )
        for verbatim in html.select("pre, code, script, .math, .text_html"):
            verbatim.decompose()
        text = html.get_text()
        assert re.findall(r"\d ± ?\d|\d ?± \d|\d %", text) == [], name
        marks += len(re.findall("\\d\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}\\d", text))
    assert marks > 20
