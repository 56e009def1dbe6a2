"""Forced colors: what a color told is told by a mark, too, and pictures keep their paper."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aevb_lib.explorer import page as explorer_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request: Any, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    file: Path = tmp_path_factory.mktemp("contrast") / "explorers.html"
    file.write_text(explorer_page("latent-map", "path"), "utf8")
    context = browser.new_context(color_scheme=request.param, forced_colors="active")
    page = context.new_page()
    page.goto(file.as_uri())
    for place in page.query_selector_all(".aevb-explorer"):
        place.scroll_into_view_if_needed()
        page.wait_for_timeout(50)
    page.wait_for_function("document.querySelectorAll('[data-state=ready]').length === 2")
    yield page
    context.close()


def seen(element: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB"), dtype=float)


def test_the_chosen_one_of_a_choice_has_a_mark_and_another_ground(page: Any) -> None:
    first = page.locator(".x-choice").first
    chosen = first.locator(":checked + span")
    other = first.locator("input:not(:checked) + span")
    assert chosen.evaluate("e => getComputedStyle(e, '::before').content") == '"✓ "'
    assert other.evaluate("e => getComputedStyle(e, '::before').content") == "none"
    grounds = [np.median(seen(each).reshape(-1, 3), 0) for each in (chosen, other)]
    assert np.abs(grounds[0] - grounds[1]).max() > 60


def test_dots_of_a_legend_keep_their_colors(page: Any) -> None:
    grounds = page.eval_on_selector_all(
        ".x-legend span", "a => a.map(e => getComputedStyle(e, '::before').backgroundColor)"
    )
    assert len(set(grounds)) == 10


def test_the_chosen_digit_has_a_frame(page: Any) -> None:
    cells = page.locator("[data-explorer=path] .x-cell")
    outlined = cells.evaluate_all(
        "a => a.filter(e => getComputedStyle(e).outlineStyle === 'solid')"
    )
    pressed = cells.evaluate_all("a => a.filter(e => e.ariaPressed === 'true')")
    assert len(outlined) == len(pressed) == 2


def test_digits_stand_out_from_their_paper(page: Any) -> None:
    for picture in page.locator("canvas.x-picture.x-large:visible").all():
        gray = seen(picture).mean(2)
        assert gray.max() - gray.min() > 120


def test_running_and_standing_buttons_differ(page: Any) -> None:
    button = page.get_by_role("button", name="Wander").first
    standing = np.median(seen(button).reshape(-1, 3), 0)
    button.click()
    stop = page.get_by_role("button", name="Stop").first
    page.mouse.move(0, 0)
    running = np.median(seen(stop).reshape(-1, 3), 0)
    stop.click()
    assert np.abs(running - standing).max() > 60
