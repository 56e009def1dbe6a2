"""Figures follow the page's mode: each stands in it twice, and one of the two is seen."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser

CHAPTER = "book/11_algorithms.html"  # plots and a drawing
SEEN = """() => [...document.querySelectorAll(".bd-article figure")].map((figure) =>
  [...figure.querySelectorAll("img")].filter((image) => image.checkVisibility()).map((image) => ({
    isDark: /\\.dark\\.(png|svg)$/.test(image.getAttribute("src")),
    filter: getComputedStyle(image).filter,
    caption: figure.querySelector("figcaption").checkVisibility(),
  })))"""


def is_shown(page: Any, mode: str) -> bool:
    """Whether every figure shows one picture, that of the mode, as it is, and its caption."""
    shown = [{"isDark": mode == "dark", "filter": "none", "caption": True}]
    figures = page.evaluate(SEEN)
    return len(figures) > 2 and all(pictures == shown for pictures in figures)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_figure_shows_the_picture_of_its_mode(mode: str, open_page: Callable[..., Any]) -> None:
    visit = open_page(CHAPTER, mode=mode)
    page = visit.page
    assert is_shown(page, mode), page.evaluate(SEEN)
    for other in ("light", "dark"):
        page.evaluate("mode => { document.documentElement.dataset.theme = mode }", other)
        assert is_shown(page, other), page.evaluate(SEEN)
    visit.finish()


def test_the_paper_of_a_dark_figure_is_that_of_the_page(open_page: Callable[..., Any]) -> None:
    visit = open_page(CHAPTER, mode="dark")
    for kind in ("png", "svg"):
        figure = visit.page.locator(f".bd-article figure img[src$='.dark.{kind}']").first
        figure.scroll_into_view_if_needed()
        figure.evaluate("async e => { await e.decode() }")
        picture = np.asarray(Image.open(io.BytesIO(figure.screenshot())).convert("RGB"))
        paper = np.array([21, 24, 28])  # of a dark page
        assert (picture[:, :2] == paper).all()
        assert picture.max() > 180
    visit.finish()


def test_pages_are_light_without_scripts(browser: Any, book: Any) -> None:
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    page.goto((book / CHAPTER).resolve().as_uri())
    assert page.locator(".bd-article figure img.in-light").first.is_visible()
    assert not page.locator(".bd-article figure img.in-dark").first.is_visible()
    context.close()
