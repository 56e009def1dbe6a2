"""Digits that nobody wrote: codes and pictures against Python's, and what readers press.

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
from aevb_lib.experiments.codes import CODE_SETTINGS
from aevb_lib.latents import fit_mixture
from aevb_lib.pretrained import load_judge, load_pretrained
from aevb_lib.sample_quality import frechet_distance
from tests.browser.conftest import explorer_faults

pytestmark = pytest.mark.browser

NAME = "dreams"
ROOT = "document.querySelector('[data-explorer=dreams]').explorer"
WALLS = ("vae", "autoencoder", "autoencoder")
DIGITS = 24


@pytest.fixture(scope="module")
def page(open_explorer: Callable[..., Any]) -> Any:
    """One page for all tests that do not ask how it was at first."""
    return open_explorer()


def settle(page: Any) -> None:
    """Until all pictures are drawn: a few milliseconds of work in each frame."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    page.wait_for_function(f"!{ROOT}.isBusy()")


def walls(page: Any) -> list[dict[str, Any]]:
    """Codes and pixels of every wall, once all are drawn."""
    settle(page)
    found: list[dict[str, Any]] = json.loads(page.evaluate(f"JSON.stringify({ROOT}.walls)"))
    for wall in found:
        wall["codes"], wall["pixels"] = (np.array(wall[key]) for key in ("codes", "pixels"))
    return found


def agree(found: list[dict[str, Any]]) -> None:
    for kind, wall in zip(WALLS, found, strict=True):
        assert wall["codes"].shape == (DIGITS, 20)
        with torch.no_grad():
            expected = load_pretrained(kind, 20).decode(torch.tensor(wall["codes"]).float())
        assert np.abs(wall["pixels"] - expected.numpy()).max() < 1e-5


def seen_codes(kind: str) -> torch.Tensor:
    images = aevb.load_mnist()[0].images[: CODE_SETTINGS["labeled"]]
    with torch.no_grad():
        return load_pretrained(kind, 20).encode(images)


def set_temperature(page: Any, value: float) -> list[dict[str, Any]]:
    page.get_by_role("slider", name="Temperature").fill(str(value))
    return walls(page)


def test_pictures_are_what_the_decoders_make_of_the_codes(
    open_explorer: Callable[..., Any],
) -> None:
    found = walls(open_explorer())
    agree(found)
    assert np.array_equal(found[0]["codes"], found[1]["codes"])  # the prior's, for both models
    assert [wall["pressed"] for wall in found] == [-1, -1, -1]
    again = walls(open_explorer())  # the first night is the same for everyone
    assert all(np.array_equal(a["codes"], b["codes"]) for a, b in zip(found, again, strict=True))


def test_each_night_brings_other_dreams(page: Any) -> None:
    nights = [walls(page)]
    for _ in range(4):
        page.get_by_role("button", name="Dream again").click()
        nights.append(walls(page))
        agree(nights[-1])
    for k in (0, 2):
        firsts = {tuple(night[k]["codes"][0]) for night in nights}
        assert len(firsts) == len(nights)
    prior = np.concatenate([night[0]["codes"] for night in nights]).ravel()
    assert abs(prior.mean()) < 4 / len(prior) ** 0.5
    assert abs(prior.std() - 1) < 4 / (2 * len(prior)) ** 0.5


def test_the_finding_of_the_chapter_is_on_the_walls(page: Any) -> None:
    """Fréchet distances of 96 pictures; five samples drawn in Python: 27-32, 60-64 and 18-21."""
    nights = []
    for _ in range(4):
        nights.append([wall["pixels"] for wall in walls(page)])
        page.get_by_role("button", name="Dream again").click()
    judge, test = load_judge(), aevb.load_mnist()[1]
    with torch.no_grad():
        real = judge.features(test.images[:5_000])
        vae, prior, mixture = (
            frechet_distance(real, judge.features(torch.tensor(np.concatenate(each)).float()))
            for each in zip(*nights, strict=True)
        )
    assert prior > 1.5 * vae
    assert vae > mixture


def test_temperature_scales_the_draws(page: Any) -> None:
    one = walls(page)
    two = set_temperature(page, 2)
    agree(two)
    assert np.abs(two[0]["codes"] - 2 * one[0]["codes"]).max() < 1e-6
    cold = set_temperature(page, 0)
    agree(cold)
    assert not cold[0]["codes"].any()
    assert not cold[1]["codes"].any()
    centers = fit_mixture(seen_codes("autoencoder"), 10).component_distribution.loc.numpy()
    nearest = np.abs(cold[2]["codes"][:, None] - centers).max(-1).min(-1)
    assert nearest.max() < 1e-3 * np.abs(centers).max()
    middle = (cold[2]["codes"] + two[2]["codes"]) / 2  # the same component, the same noise
    assert np.abs(middle - one[2]["codes"]).max() < 1e-5 * np.abs(centers).max()
    back = set_temperature(page, 1)
    assert np.array_equal(back[2]["codes"], one[2]["codes"])


@pytest.mark.parametrize("which", range(3))
def test_a_pressed_digit_gets_neighbors(which: int, page: Any) -> None:
    page.get_by_role("button", name="Dream again").click()
    before = walls(page)
    page.get_by_role("region").nth(which).get_by_role("button").nth(7).click()
    after = walls(page)
    agree(after)
    center = before[which]["codes"][7]
    assert after[which]["pressed"] == 7
    assert np.array_equal(after[which]["codes"][7], center)
    spread = seen_codes(WALLS[which]).std(0).numpy()
    others = np.delete(after[which]["codes"], 7, axis=0)
    noise = ((others - center) / spread).ravel()
    assert abs(noise.std() - 0.4) < 4 * 0.4 / (2 * len(noise)) ** 0.5
    for other in {0, 1, 2} - {which}:
        assert np.array_equal(after[other]["codes"], before[other]["codes"])
    page.get_by_role("button", name="Dream again").click()
    assert [wall["pressed"] for wall in walls(page)] == [-1, -1, -1]


def test_a_wall_is_one_tab_stop_and_arrows_go_on(page: Any) -> None:
    focused = "document.activeElement.getAttribute('aria-label') || document.activeElement.type"
    region = "document.activeElement.closest('section')?.getAttribute('aria-label')"
    page.locator(".x-vae .x-cell").first.focus()
    assert page.evaluate(region).startswith("VAE")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate(focused) == "Dream 4 of 24: more like this"  # 1, 2, 6, 10, 9, 5, 4
    page.keyboard.press("Enter")
    assert walls(page)[0]["pressed"] == 3
    for expected in ("Autoencoder, from the same", "Autoencoder, from a mixture"):
        page.keyboard.press("Tab")
        assert page.evaluate(region).startswith(expected)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Dream again"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(focused) == "Dream 4 of 24: more like this"


def test_accessible_and_inside_its_page(page: Any) -> None:
    for mode, width in (("dark", 390), ("light", 330), ("light", 800)):
        page.emulate_media(color_scheme=mode)
        page.set_viewport_size({"width": width, "height": 1000})
        settle(page)
        assert explorer_faults(page) == [], (mode, width)
