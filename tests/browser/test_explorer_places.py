"""Explorers as guests of a page: nothing jumps when they wake, and fingers can scroll past them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aevb_lib.explorer import EXPLORERS

pytestmark = pytest.mark.browser

WATCH = """
    window.shift = 0;
    new PerformanceObserver(list => list.getEntries().forEach(e => { window.shift += e.value; }))
        .observe({ type: "layout-shift" });
    addEventListener("DOMContentLoaded", () => { window.before = tall(); });
    window.tall = () => Object.fromEntries([...document.querySelectorAll(".aevb-explorer")]
        .map(e => [e.dataset.explorer, e.getBoundingClientRect().height]));
"""
KINDS = {
    "wide": {"viewport": {"width": 1400, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}


@pytest.fixture
def open_playground(browser: Any, book: Path) -> Iterator[Callable[[str], Any]]:
    contexts = []

    def open_playground(kind: str) -> Any:
        context = browser.new_context(reduced_motion="reduce", **KINDS[kind])
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto((book / "book" / "playground.html").resolve().as_uri())
        page.evaluate("async () => { await document.fonts.ready; window.shift = 0 }")
        for name in EXPLORERS:
            page.locator(f"[data-explorer={name}]").scroll_into_view_if_needed()
            page.wait_for_selector(f"[data-explorer={name}][data-state=ready]")
        return page

    yield open_playground
    for context in contexts:
        context.close()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_jumps_when_an_explorer_wakes(
    kind: str, open_playground: Callable[[str], Any]
) -> None:
    """Once the page dropped by 485 pixels."""
    page = open_playground(kind)
    before, after = page.evaluate("[window.before, tall()]")
    assert before.keys() == after.keys() == EXPLORERS.keys()
    assert {name: after[name] for name in after if abs(after[name] - before[name]) > 12} == {}
    assert page.evaluate("window.shift") < 0.1


def test_on_a_phone_the_cloud_is_seen_at_once(open_playground: Callable[[str], Any]) -> None:
    """Both planes stand side by side; one below the other they were 1,254 pixels tall."""
    page = open_playground("phone")
    cloud = page.locator("[data-explorer=cloud]")
    assert cloud.bounding_box()["height"] < 844
    left, right = (pad.bounding_box() for pad in cloud.locator(".x-pad").all())
    assert left["y"] == right["y"]


def touch(session: Any, page: Any, path: list[tuple[float, float]]) -> None:
    def send(kind: str, points: list[dict[str, float]]) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", [{"x": path[0][0], "y": path[0][1]}])
    for x, y in path[1:]:
        send("touchMove", [{"x": x, "y": y}])
        page.wait_for_timeout(16)
    send("touchEnd", [])
    page.wait_for_timeout(200)


def test_a_swipe_over_sliders_scrolls_and_a_drag_moves(
    open_playground: Callable[[str], Any],
) -> None:
    page = open_playground("phone")
    session = page.context.new_cdp_session(page)
    for name, label in (("noise", "Noise"), ("dimensions", "z")):
        slider = page.locator(f"[data-explorer={name}] input[type=range]:visible").first
        slider.evaluate("e => e.scrollIntoView({ block: 'center', behavior: 'instant' })")
        before, top = slider.input_value(), page.evaluate("scrollY")
        box = slider.bounding_box()
        x, y = box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2
        touch(session, page, [(x, y - 14 * step) for step in range(12)])
        assert slider.input_value() == before, label
        assert page.evaluate("scrollY") > top + 60

        slider.evaluate("e => e.scrollIntoView({ block: 'center', behavior: 'instant' })")
        box = slider.bounding_box()
        y = box["y"] + box["height"] / 2
        ends = [box["x"] + share * box["width"] for share in (0.3, 0.9)]
        path = [(ends[0] + (ends[1] - ends[0]) * step / 10, y) for step in range(11)]
        touch(session, page, path)
        low, high = (float(slider.get_attribute(end)) for end in ("min", "max"))
        assert float(slider.input_value()) == pytest.approx(low + 0.9 * (high - low), rel=0.12)
        page.touchscreen.tap(ends[0], y)
        expected = pytest.approx(low + 0.3 * (high - low), abs=0.06 * (high - low))
        assert float(slider.input_value()) == expected, label


def test_the_point_stays_whole_in_a_corner(open_playground: Callable[[str], Any]) -> None:
    page = open_playground("wide")
    pad = page.locator("[data-explorer=latent-map] .x-vae .x-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] - 40, box["y"] - 40, steps=4)
    page.mouse.up()
    page.wait_for_timeout(100)
    # The point has the color of the VAE; count it against a whole disk of nine pixels' radius.
    share = pad.evaluate(
        """canvas => {
            const { width } = canvas.getBoundingClientRect(), ratio = canvas.width / width;
            const side = Math.round(24 * ratio);
            const { data } = canvas.getContext("2d").getImageData(0, 0, side, side);
            let inked = 0;
            for (let i = 0; i < data.length; i += 4)
                inked += data[i] < 30 && Math.abs(data[i + 1] - 114) < 25 && data[i + 2] > 150;
            return inked / (Math.PI * (7.5 * ratio) ** 2);
        }"""
    )
    assert 0.75 < share < 1.15  # half of it was cut: 0.22
