"""From one digit to another: every picture against Python's, and what readers move.

Stated difference: pixels 1e-5.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import aevb_lib as aevb
from aevb_lib import latents
from aevb_lib.pretrained import load_pretrained
from tests.browser.conftest import explorer_faults

pytestmark = pytest.mark.browser

NAME = "path"
ROOT = "document.querySelector('[data-explorer=path]').explorer"
WAYS = ("vae", "autoencoder", "cross-fade")


@pytest.fixture(scope="module")
def page(open_explorer: Callable[..., Any]) -> Any:
    """One page for all tests that do not ask how it was at first."""
    return open_explorer()


def settle(page: Any) -> None:
    """Until all pictures are drawn: a few milliseconds of work in each frame."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    page.wait_for_function(f"!{ROOT}.isBusy()")


def t_of(page: Any) -> float:
    return float(page.evaluate(f"{ROOT}.t"))


def between(ends: list[int], shares: torch.Tensor) -> dict[str, np.ndarray]:
    """What Python sees at these shares of the way, [shares, pixels] for each way."""
    pair = aevb.load_mnist()[1].images[torch.tensor(ends)]

    def line(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + shares[:, None] * (b - a)

    seen = {"cross-fade": line(*pair).numpy()}
    for kind in ("vae", "autoencoder"):
        model = load_pretrained(kind, 20)
        with torch.no_grad():
            seen[kind] = model.decode(line(*model.encode(pair))).numpy()
    return seen


def agree(page: Any) -> None:
    settle(page)
    ends, t = page.evaluate(f"{ROOT}.ends"), t_of(page)
    large, strips = (
        json.loads(page.evaluate(f"JSON.stringify({ROOT}.{name})")) for name in ("pixels", "strips")
    )
    expected_large = between(ends, torch.tensor([t]))
    expected_strips = between(ends, torch.linspace(0, 1, 9))
    for k, way in enumerate(WAYS):
        assert np.abs(np.array(large[k]) - expected_large[way][0]).max() < 1e-5
        assert np.abs(np.array(strips[k]) - expected_strips[way]).max() < 1e-5


def test_the_line_of_the_page_is_the_librarys(page: Any) -> None:
    pair = aevb.load_mnist()[1].images[torch.tensor([38, 87])]
    expected = latents.interpolate(*pair, 9).numpy()
    assert np.allclose(between([38, 87], torch.linspace(0, 1, 9))["cross-fade"], expected)
    assert page.evaluate(f"{ROOT}.ends") == [38, 87]
    assert t_of(page) == 0.5
    agree(page)


def test_dial_and_keyboard_move_the_pictures(page: Any) -> None:
    dial = page.get_by_role("slider", name="Share of the way")
    dial.fill("0.3")
    agree(page)
    dial.press("ArrowRight")
    assert t_of(page) == pytest.approx(0.305)
    assert dial.get_attribute("aria-valuetext") == "31 %"
    dial.press("Home")
    assert t_of(page) == 0
    agree(page)


def test_strips_are_pressed_and_scrubbed(page: Any) -> None:
    for k in range(3):
        strip = page.locator(".x-frames").nth(k)
        strip.scroll_into_view_if_needed()
        box = strip.bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + (2 + 0.7) / 9 * box["width"], middle)
        page.mouse.down()
        assert t_of(page) == pytest.approx(2 / 8, abs=0.004)  # the dial has steps of 0.005
        page.mouse.move(box["x"] + 6 / 9 * box["width"], middle, steps=4)
        assert t_of(page) == pytest.approx(5.5 / 8, abs=0.01)
        page.mouse.move(box["x"] + 2 * box["width"], middle)
        page.mouse.up()
        assert t_of(page) == 1
    agree(page)


def test_frames_are_where_the_dial_is(page: Any) -> None:
    page.get_by_role("slider").fill("0.75")
    settle(page)
    left = "getComputedStyle(document.querySelector('.x-frames'), '::after').left"
    offset = "document.querySelectorAll('.x-frames canvas')[6].offsetLeft"
    assert float(page.evaluate(left)[:-2]) + 3 == pytest.approx(page.evaluate(offset), abs=1)


def test_other_pairs(page: Any) -> None:
    labels = aevb.load_mnist()[1].labels
    before = page.evaluate(f"{ROOT}.ends")
    group = page.get_by_role("group", name="From", exact=True)
    group.get_by_role("button", name="Test digit 7").click()
    group.get_by_role("button", name="Others").click()
    ends = page.evaluate(f"{ROOT}.ends")
    assert labels[ends].tolist() == [7, labels[before[1]]]
    assert ends[1] == before[1]
    seen = {tuple(ends)}
    for _ in range(8):
        page.get_by_role("button", name="Random pair").click()
        first, second = page.evaluate(f"{ROOT}.ends")
        assert labels[first] != labels[second]
        seen.add((first, second))
    assert len(seen) > 6
    assert page.locator(".x-readout").inner_text().count(f"(test image {second})") == 1
    agree(page)


def test_play_runs_and_stops(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer(motion="no-preference")
    play, stopping = (page.get_by_role("button", name=name) for name in ("Play", "Stop"))
    for stop in (stopping.click, lambda: page.get_by_role("slider").press("ArrowLeft")):
        before = t_of(page)
        play.click()
        page.wait_for_function(f"before => Math.abs({ROOT}.t - before) > 0.1", arg=before)
        assert play.count() == 0
        stop()
        assert stopping.count() == 0
        stopped = t_of(page)
        page.wait_for_timeout(100)
        assert t_of(page) == stopped


def test_less_motion_is_one_image_for_each_press(page: Any) -> None:
    page.get_by_role("slider").fill("0.5")
    for expected in (0.625, 0.75, 0.875, 1, 0, 0.125):
        page.get_by_role("button", name="Next image").click()
        assert t_of(page) == pytest.approx(expected)
    page.wait_for_timeout(100)
    assert t_of(page) == pytest.approx(0.125)


def test_accessible_and_inside_its_page(page: Any) -> None:
    for mode, width in (("dark", 390), ("light", 330), ("light", 800)):
        page.emulate_media(color_scheme=mode)
        page.set_viewport_size({"width": width, "height": 1000})
        settle(page)
        assert explorer_faults(page) == [], (mode, width)
