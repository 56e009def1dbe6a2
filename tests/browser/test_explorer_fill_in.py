"""A covered digit, filled in: the posterior on the cells against Python's, and what readers move.

Stated differences: weights 1e-4, log-probabilities and divergences 1e-3 nats, pictures
1e-4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

import aevb_lib as aevb
from aevb_lib.pretrained import load_pretrained
from tests.browser.conftest import explorer_faults

pytestmark = pytest.mark.browser

NAME = "fill-in"
CELLS, REACH = 64, 3.5
WIDTH = 2 * REACH / CELLS
READY = "document.querySelector('[data-explorer=fill-in]').explorer?.state.done"
STATE = """() => {
    const { state } = document.querySelector("[data-explorer=fill-in]").explorer;
    const { side, covered, uniforms, drawn, logEvidence, logWhole, information } = state;
    return { side, covered, uniforms, drawn, logEvidence, logWhole, information,
             x: [...state.x], weights: [...state.weights],
             images: state.images.map(image => [...image]) };
}"""


def settled(page: Any) -> dict[str, Any]:
    page.wait_for_function(READY)
    state: dict[str, Any] = page.evaluate(STATE)
    return state


@pytest.fixture(scope="module")
def opened(open_explorer: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """One page for all tests, which takes seconds to decode its grid, and how it was at first."""
    page = open_explorer()
    return page, settled(page)


@pytest.fixture
def page(opened: tuple[Any, dict[str, Any]]) -> Any:
    """The page with the lower sixteen rows covered, as at first."""
    page, _ = opened
    page.get_by_role("radio", name="bottom").check()
    page.get_by_role("slider").fill("16")
    return page


@pytest.fixture(scope="module")
def plane() -> tuple[Tensor, Tensor]:
    """Logits of all cells, row by row from the top left, and the logarithm of the prior's mass."""
    model = load_pretrained("vae", 2)
    axis = WIDTH * (torch.arange(CELLS) + 0.5) - REACH
    codes = torch.stack([axis.repeat(CELLS), axis.flip(0).repeat_interleave(CELLS)], 1)
    with torch.no_grad():
        logits = model.likelihood(codes).base_dist.logits.double()
    return logits, model.prior().log_prob(codes).double() + 2 * math.log(WIDTH)


def check(page: Any, state: dict[str, Any], plane: tuple[Tensor, Tensor]) -> None:
    """Whether weights, numbers, draws and pictures are those of Bayes' rule on the cells."""
    logits, log_prior = plane
    x = torch.tensor(state["x"]).double()
    row, column = torch.arange(784) // 28, torch.arange(784) % 28
    covered = {
        "bottom": row >= 28 - state["covered"],
        "top": row < state["covered"],
        "left": column < state["covered"],
        "right": column >= 28 - state["covered"],
    }[state["side"]]
    of_pixels = x * logits - softplus(logits)
    log_joint = of_pixels[:, ~covered].sum(1) + log_prior
    log_evidence, log_whole = log_joint.logsumexp(0), (of_pixels.sum(1) + log_prior).logsumexp(0)
    weights = log_joint.softmax(0)
    information = (weights * (log_joint - log_evidence - log_prior)).sum()
    assert np.allclose(state["weights"], weights, atol=1e-4)
    assert state["logEvidence"] == pytest.approx(float(log_evidence), abs=1e-3)
    assert state["logWhole"] == pytest.approx(float(log_whole), abs=1e-3)
    assert state["information"] == pytest.approx(float(information), abs=1e-3)
    words = page.locator(".x-readout").inner_text().replace("−", "-")
    assert f"{state['information']:.1f} nats about the code" in words
    assert f"log p = {state['logWhole'] - state['logEvidence']:.1f} nats" in words
    sums = np.cumsum(state["weights"])
    for u, cell, image in zip(state["uniforms"], state["drawn"], state["images"], strict=True):
        assert sums[cell] - state["weights"][cell] - 1e-9 <= u <= sums[cell] + 1e-9
        filled = torch.where(covered, logits[cell].sigmoid(), x)
        assert np.allclose(image, filled, atol=1e-4)


def test_the_grid_stands_for_the_integral(plane: tuple[Tensor, Tensor]) -> None:
    """With half of a digit covered, cells of this size lose little of log p of what is seen."""
    logits, log_prior = plane
    x = aevb.load_mnist(regime="static")[1].images[:100].double()
    seen = (torch.arange(784) < 392).double()
    coarse = ((x * seen) @ logits.T - softplus(logits) @ seen + log_prior).logsumexp(1)
    model = load_pretrained("vae", 2)
    axis = 0.04 * (torch.arange(300) + 0.5) - 6
    codes = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        finer = torch.cat([model.likelihood(c).base_dist.logits for c in codes.split(10_000)])
        fine = (x.float() * seen.float()) @ finer.T - softplus(finer) @ seen.float()
        fine += model.prior().log_prob(codes) + 2 * math.log(0.04)
    error = (coarse - fine.logsumexp(1)).abs()
    assert error.median() < 0.05
    assert error.quantile(0.9) < 0.5


def test_it_starts_with_a_covered_digit(
    opened: tuple[Any, dict[str, Any]], page: Any, plane: tuple[Tensor, Tensor]
) -> None:
    _, state = opened
    assert (state["side"], state["covered"]) == ("bottom", 16)
    check(page, state, plane)
    test = aevb.load_mnist()[1]
    expected = test.images[(test.labels == 9).nonzero()[0, 0]] >= 0.5
    assert np.array_equal(state["x"], expected.double())


def test_it_answers_keyboard(page: Any, plane: tuple[Tensor, Tensor]) -> None:
    first = settled(page)
    dial = page.get_by_role("slider")
    for _ in range(3):
        dial.press("ArrowRight")
    more = settled(page)
    assert more["covered"] == 19
    assert more["uniforms"] == first["uniforms"]
    check(page, more, plane)
    page.wait_for_function(
        "document.querySelector('[aria-live]').textContent.includes('nats about the code')"
    )
    dial.press("End")
    nothing_seen = settled(page)
    assert nothing_seen["covered"] == 28
    assert abs(nothing_seen["information"]) < 0.01  # what is left is the prior
    check(page, nothing_seen, plane)
    dial.press("Home")
    everything_seen = settled(page)
    assert everything_seen["logEvidence"] == pytest.approx(everything_seen["logWhole"])
    check(page, everything_seen, plane)


@pytest.mark.parametrize("side", ["top", "left", "right"])
def test_every_side_can_be_covered(side: str, page: Any, plane: tuple[Tensor, Tensor]) -> None:
    page.get_by_role("radio", name=side).check()
    state = settled(page)
    assert state["side"] == side
    check(page, state, plane)


def test_the_cover_is_dragged_on_the_picture(page: Any, plane: tuple[Tensor, Tensor]) -> None:
    settled(page)
    box = page.locator(".x-seen").bounding_box()
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(middle, box["y"] + box["height"] * 0.75, steps=4)
    page.mouse.up()
    state = settled(page)
    assert state["covered"] == 7
    assert page.get_by_role("slider").input_value() == "7"
    check(page, state, plane)


def test_new_draws_and_another_digit(page: Any, plane: tuple[Tensor, Tensor]) -> None:
    first = settled(page)
    page.get_by_role("button", name="New draws").click()
    second = settled(page)
    assert second["weights"] == first["weights"]
    assert set(second["uniforms"]).isdisjoint(first["uniforms"])
    check(page, second, plane)
    page.get_by_role("button", name="Test digit 4").click()
    third = settled(page)
    assert third["x"] != second["x"]
    check(page, third, plane)


@pytest.mark.parametrize(("mode", "width"), [("light", 800), ("dark", 390), ("light", 330)])
def test_it_is_accessible_and_fits(mode: str, width: int, page: Any) -> None:
    page.emulate_media(color_scheme=mode)
    page.set_viewport_size({"width": width, "height": 1000})
    settled(page)
    assert explorer_faults(page) == []
