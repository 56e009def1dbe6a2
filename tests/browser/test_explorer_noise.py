"""A code under noise: pictures and errors against Python's, and what readers move.

Stated differences: codes 1e-4, squared errors 1e-5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import aevb_lib as aevb
from aevb_lib.pretrained import load_pretrained
from tests.browser.conftest import explorer_faults

pytestmark = pytest.mark.browser

NAME = "noise"
KINDS = ("vae", "autoencoder")
READY = "document.querySelector('[data-explorer=noise]').explorer?.state.done"
STATE = """() => {
    const { state } = document.querySelector("[data-explorer=noise]").explorer;
    const side = ({ z, first, error, errors }) => ({ z: [...z], first: [...first], error, errors });
    return { s: state.s, unit: state.unit, x: [...state.x], noise: state.noise.map(e => [...e]),
             vae: side(state.vae), autoencoder: side(state.autoencoder) };
}"""


def settled(page: Any) -> dict[str, Any]:
    page.wait_for_function(READY)
    state: dict[str, Any] = page.evaluate(STATE)
    return state


@pytest.fixture(scope="module")
def spread() -> dict[str, Tensor]:
    train, _ = aevb.load_mnist()
    with torch.no_grad():
        return {
            kind: load_pretrained(kind, 20).encode(train.images[:20_000]).std(0) for kind in KINDS
        }


def check(page: Any, state: dict[str, Any], spread: dict[str, Tensor]) -> None:
    """Whether both models see the same noise in this unit, and the errors are the library's."""
    x, noise = torch.tensor(state["x"]), torch.tensor(state["noise"])
    assert noise.shape == (9, 20)
    for kind in KINDS:
        model, side = load_pretrained(kind, 20), state[kind]
        unit = spread[kind] if state["unit"] == "own" else torch.ones(20)
        with torch.no_grad():
            z = model.encode(x[None])[0]
            codes = z + state["s"] * unit * noise
            errors = (model.decode(codes) - x).square().mean(-1)
        assert np.allclose(side["z"], z, atol=1e-4)
        assert np.allclose(side["first"], codes[0], atol=1e-4)
        assert np.allclose(side["errors"], errors, atol=1e-5)
        texts = page.locator(f".x-{kind} .x-meter .x-value").all_inner_texts()
        mean_unit, average = float(spread[kind].mean()), float(np.mean(side["errors"]))
        used = state["s"] * (mean_unit if state["unit"] == "own" else 1)
        assert texts == [f"{mean_unit:.2f}", f"{used:.2f}", f"{average:.3f}"]


def test_the_unit_decides_who_is_ahead(
    open_explorer: Callable[..., Any], spread: dict[str, Tensor]
) -> None:
    page = open_explorer()
    own = settled(page)
    assert (own["s"], own["unit"]) == (1, "own")
    check(page, own, spread)
    page.get_by_role("radio", name="absolute").check()
    absolute = settled(page)
    check(page, absolute, spread)
    assert own["noise"] == absolute["noise"]
    assert own["vae"]["error"] < own["autoencoder"]["error"]
    assert absolute["vae"]["error"] > absolute["autoencoder"]["error"]


def test_it_answers_keyboard_and_mouse(
    open_explorer: Callable[..., Any], spread: dict[str, Tensor]
) -> None:
    page = open_explorer()
    first = settled(page)
    dial = page.get_by_role("slider")
    for _ in range(4):
        dial.press("ArrowRight")
    louder = settled(page)
    assert louder["s"] == pytest.approx(1.2)
    assert louder["noise"] == first["noise"]
    check(page, louder, spread)
    box = dial.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2, steps=6)
    page.mouse.up()
    silent = settled(page)
    assert silent["s"] == 0
    check(page, silent, spread)
    for kind in KINDS:  # nine times the reconstruction
        assert len(set(silent[kind]["errors"])) == 1
        assert silent[kind]["error"] < first[kind]["error"]
    page.wait_for_function("document.querySelector('[aria-live]').textContent.includes('Noise 0')")


def test_new_noise_and_another_digit(
    open_explorer: Callable[..., Any], spread: dict[str, Tensor]
) -> None:
    page = open_explorer()
    first = settled(page)
    page.get_by_role("button", name="New noise").click()
    second = settled(page)
    assert second["x"] == first["x"]
    assert (np.array(second["noise"]) != np.array(first["noise"])).all()
    check(page, second, spread)
    page.get_by_role("button", name="Test digit 4").click()
    third = settled(page)
    assert third["noise"] == second["noise"]
    test = aevb.load_mnist()[1]
    expected = test.images[(test.labels == 4).nonzero()[0, 0]]
    assert np.allclose(third["x"], expected, atol=1e-6)
    check(page, third, spread)


@pytest.mark.parametrize(("mode", "width"), [("light", 800), ("dark", 390), ("light", 330)])
def test_it_is_accessible_and_fits(
    mode: str, width: int, open_explorer: Callable[..., Any]
) -> None:
    page = open_explorer(mode, width)
    assert explorer_faults(page) == []
