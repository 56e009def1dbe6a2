"""What is wide: code and its output at 1400 pixels, formulas and tables on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from bs4 import BeautifulSoup

from aevb_lib import plotting
from tests.browser.test_pages import PAGES, luminance, pixels

pytestmark = pytest.mark.browser

# Elements of a selector, how many, and what of them is wider than its box.
WIDE = """selector => {
    const shown = [...document.querySelectorAll(selector)].filter(e => e.checkVisibility());
    const wide = shown.filter(e => e.scrollWidth > e.clientWidth + 1);
    return [shown.length, wide.map(e => e.textContent.slice(0, 60))];
}"""
CHAPTERS = [page for page in PAGES if page[5:7].isdigit()]
OTHERS = [
    f"book/{name}.html"
    for name in ("longer_races", "slips", "speed", "index", "api", "how_do_we_know")
]


def test_no_code_no_output_and_no_table_scrolls_on_a_desk(open_page: Callable[..., Any]) -> None:
    """126 of 322 visible cells once did; the column that carries the answer is often the last."""
    visit = open_page("book/index.html")
    visit.page.route("**/tex-svg-full.js", lambda route: route.abort())  # it takes its time
    blocks = tables = 0
    for name in [*CHAPTERS, *OTHERS]:
        visit.page.goto(visit.base + name)
        visit.page.evaluate("async () => { await document.fonts.ready }")
        visit.page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
        count, wide = visit.page.evaluate(WIDE, ".bd-article pre")
        blocks += count
        assert wide == [], name
        count, wide = visit.page.evaluate(WIDE, ".bd-article .pst-scrollable-table-container")
        tables += count
        assert wide == [], name
        clipped = "[...document.querySelectorAll('.cell_input pre')].map(e => e.clientWidth)"
        assert all(width >= 690 for width in visit.page.evaluate(clipped) if width), name
    assert blocks > 300
    assert tables > 60


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


SCALES = """() => [...document.querySelectorAll(".plot:not(:has(.wordless))")].map(plot => {
    const image = [...plot.querySelectorAll("img")].find(image => image.checkVisibility());
    return image.getBoundingClientRect().width / image.getAttribute("width");
})"""


def test_words_in_plots_are_large_enough_on_a_phone(open_page: Callable[..., Any]) -> None:
    """Numbers at the axes once had 7.6 pixels."""
    visit = open_page("book/index.html", size="phone")
    visit.page.route("**/tex-svg-full.js", lambda route: route.abort())  # it takes its time
    with plotting.style():
        points = min(mpl.rcParams[f"{name}.labelsize"] for name in ("xtick", "ytick", "axes"))
        letters = points * mpl.rcParams["figure.dpi"] / 72  # pixels of the picture
    plots = 0
    for name in CHAPTERS:
        visit.page.goto(visit.base + name)
        scales = visit.page.evaluate(SCALES)
        plots += len(scales)
        assert all(scale * letters >= 9.9 for scale in scales), name
    assert plots > 60
    visit.page.goto(visit.base + "book/08_latent_space.html")
    sheets = visit.page.locator(".plot:has(.wordless)").all()
    assert len(sheets) == 2
    assert all(sheet.evaluate("e => e.scrollWidth <= e.clientWidth") for sheet in sheets)


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


def test_tables_fit_a_phone(open_page: Callable[..., Any]) -> None:
    """All but a few; those of words are cards, and the front page shows its last column."""
    visit = open_page("book/index.html", size="phone")
    page = visit.page
    last = page.locator(".bd-article table").first.locator("th").last
    assert last.evaluate("e => e.getBoundingClientRect().right") <= 390
    tables, scroll = 0, 0
    for name in CHAPTERS:
        page.goto(visit.base + name)
        visit.settle()
        count, wide = page.evaluate(WIDE, ".pst-scrollable-table-container")
        tables, scroll = tables + count, scroll + len(wide)
    assert tables > 40
    assert scroll <= tables / 8  # 29 of 49 once did

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
