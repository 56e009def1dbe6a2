"""The evidence, split in two: every number against Python's, and what readers move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

import aevb_lib as aevb
from tests.browser.conftest import explorer_faults

pytestmark = pytest.mark.browser

NAME = "bound"
ROOT = "document.querySelector('[data-explorer=bound]').explorer"
GUESSES = [(0.0, 1.0), (2.2, 0.5), (1.2, 0.2), (1.2, 0.5), (-1.5, 2.0)]


def moved(page: Any, problem: str, mean: float, sd: float) -> dict[str, float]:
    call = f"([name, mean, sd]) => {{ {ROOT}.pose(name); {ROOT}.set({{ mean, sd }}); }}"
    page.evaluate(call, [problem, mean, sd])
    state: dict[str, float] = page.evaluate(f"{ROOT}.state")
    assert (state["mean"], state["sd"]) == (mean, sd)
    return state


def press(page: Any, label: str) -> dict[str, float]:
    page.get_by_role("button", name=label, exact=True).click()
    state: dict[str, float] = page.evaluate(f"{ROOT}.state")
    return state


def wait_for_remark(page: Any, words: str) -> None:
    """Texts follow in the next frame."""
    seen = "words => document.querySelector('.x-remark').textContent.includes(words)"
    page.wait_for_function(seen, arg=words, timeout=5000)


def log_normal(value: Any, mean: Any, scale: float) -> torch.Tensor:
    mean, value = (torch.as_tensor(v, dtype=torch.float64) for v in (mean, value))
    return Normal(mean, scale).log_prob(value)


def test_the_normal_problem_is_the_linear_gaussian_model(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    ones, zeros = torch.ones(3, 1).double(), torch.zeros(3).double()
    line = aevb.LinearGaussian(ones, zeros, scale=1.0).requires_grad_(False)
    pixels = torch.tensor([[2.1, 1.4, 1.3]], dtype=torch.float64)
    for mean, sd in GUESSES:
        state = moved(page, "normal", mean, sd)
        q = MultivariateNormal(*(torch.tensor(v, dtype=torch.float64) for v in ([mean], [[sd**2]])))
        prior = MultivariateNormal(torch.zeros(1).double(), torch.eye(1).double())
        likelihood = line(q.mean[None]).log_prob(pixels).item() - 3 * sd**2 / 2
        distance = kl_divergence(q, prior).item()
        assert state["evidence"] == pytest.approx(line.evidence().log_prob(pixels).item(), abs=1e-9)
        gap = kl_divergence(q, line.exact_posterior(pixels)).item()
        assert state["gap"] == pytest.approx(gap, abs=1e-9)
        assert state["reconstruction"] == pytest.approx(likelihood, abs=1e-9)
        assert state["fromPrior"] == pytest.approx(distance, abs=1e-9)
        assert state["bound"] == pytest.approx(likelihood - distance, abs=1e-9)


def test_the_two_humps_agree_with_integrals_in_python(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    z = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    log_likelihood = log_normal(1.5, z.square(), 0.5)
    log_joint = log_normal(z, 0.0, 1.0) + log_likelihood
    evidence = torch.trapezoid(log_joint.exp(), z).log()
    for mean, sd in GUESSES:
        state = moved(page, "humps", mean, sd)
        log_q = log_normal(z, mean, sd)
        expected = {
            "evidence": evidence,
            "bound": torch.trapezoid(log_q.exp() * (log_joint - log_q), z),
            "gap": torch.trapezoid(log_q.exp() * (log_q - log_joint + evidence), z),
            "reconstruction": torch.trapezoid(log_q.exp() * log_likelihood, z),
        }
        for name, value in expected.items():
            assert state[name] == pytest.approx(value.item(), abs=1e-8), name


@pytest.mark.parametrize("problem", ["normal", "humps"])
def test_bound_and_gap_add_up(problem: str, open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    for mean, sd in [*GUESSES, (-2.5, 0.2), (2.9, 2.5)]:
        state = moved(page, problem, mean, sd)
        assert state["bound"] + state["gap"] == pytest.approx(state["evidence"], abs=1e-9)
        split = state["reconstruction"] - state["fromPrior"]
        assert state["bound"] == pytest.approx(split, abs=1e-9)
        assert state["gap"] > -1e-12


def test_the_best_q_is_found(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    best = press(page, "Best q")
    assert (best["mean"], best["sd"]) == pytest.approx((1.2, 0.5), abs=1e-6)
    assert best["gap"] == pytest.approx(0, abs=1e-9)
    wait_for_remark(page, "the gap is closed")

    # Two humps: where the derivatives of the bound vanish, 12 v^2 + (2 s^2 - 4 x) v + s^2 = 0 for
    # the variance v, and mean^2 = x - 3 v - s^2 / 2. The smaller root is the summit.
    page.get_by_role("radio", name="Two humps").check()
    pixel, noise = 1.5, 0.25
    middle = 4 * pixel - 2 * noise
    variance = (middle - (middle**2 - 48 * noise) ** 0.5) / 24
    mean = (pixel - 3 * variance - noise / 2) ** 0.5
    over_both = press(page, "Over both")
    for side in (1, -1):
        page.evaluate(f"{ROOT}.set({{ mean: {0.3 * side}, sd: 0.7 }})")
        best = press(page, "Best q")
        assert best["mean"] == pytest.approx(side * mean, abs=1e-6)
        assert best["sd"] == pytest.approx(variance**0.5, abs=1e-6)
        assert 0.6 < best["gap"] < over_both["gap"]
        wait_for_remark(page, "choose a hump")


def test_it_answers_mouse_and_keyboard(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    state = lambda: page.evaluate(f"{ROOT}.state")  # noqa: E731
    first = state()
    plane = page.locator(".x-pad")
    plane.press("ArrowLeft")
    plane.press("ArrowUp")
    second = state()
    assert second["mean"] < first["mean"]
    assert second["sd"] < first["sd"]  # a higher bell is a narrower one
    assert second["evidence"] == first["evidence"]
    page.get_by_label("scale σ").press("ArrowRight")
    assert state()["sd"] > second["sd"]

    box = plane.bounding_box()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.6 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.up()
    dragged = state()
    assert dragged["mean"] == pytest.approx(-2.7 + 0.3 * 6.9, abs=0.03)
    top = -0.3 + 0.5 * 2.5
    assert dragged["sd"] == pytest.approx(1 / (top * (2 * torch.pi) ** 0.5), rel=0.03)
    page.wait_for_function("document.querySelector('[aria-live]').textContent.includes('gap')")


@pytest.mark.parametrize(("mode", "width"), [("light", 800), ("dark", 390), ("light", 330)])
def test_it_is_accessible_and_fits(
    mode: str, width: int, open_explorer: Callable[..., Any]
) -> None:
    page = open_explorer(mode, width)
    for problem in ("normal", "humps"):
        page.evaluate(f"{ROOT}.pose('{problem}')")
        assert explorer_faults(page) == [], problem
