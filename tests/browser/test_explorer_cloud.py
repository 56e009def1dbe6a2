"""The moving cloud: both gradient estimators against autograd, and what readers move."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.distributions import Normal

import aevb_lib as aevb
from tests.browser.conftest import explorer_faults

pytestmark = pytest.mark.browser

NAME = "cloud"
ROOT = "document.querySelector('[data-explorer=cloud]').explorer"
STATES = [((-0.6, -2.1), (0.37, 0.37)), ((0.0, 0.7), (0.7, 0.4)), ((2.1, -1.3), (0.2, 1.1))]


def log_joint(z: torch.Tensor) -> torch.Tensor:
    """The model of the page: a standard normal prior, and one pixel x = 1."""
    pixel = Normal(z[..., 1] + z[..., 0].square() / 2, 0.5).log_prob(torch.ones(()).double())
    return aevb.standard_normal(torch.zeros_like(z)).log_prob(z) + pixel


def moved(page: Any, mu: Any, sigma: Any) -> Any:
    page.evaluate(f"([mu, sigma]) => {ROOT}.set({{ mu, sigma }})", [mu, sigma])
    return page.evaluate(f"{ROOT}.state")


def double(values: Any, **options: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, **options)


def samples_of(kind: str, epsilon: torch.Tensor, mu: Any, sigma: Any) -> torch.Tensor:
    """Gradients in (mu, log sigma) by autograd, one row per sample."""
    mu = double(mu).expand(len(epsilon), 2).clone().requires_grad_()
    log_sigma = double(sigma).log().expand(len(epsilon), 2).clone().requires_grad_()
    z = mu + log_sigma.exp() * epsilon
    if kind == "pathwise":
        values = log_joint(z)
    else:
        fixed = z.detach()
        log_q = aevb.diagonal_normal(mu, log_sigma.exp()).log_prob(fixed)
        values = log_joint(fixed) * log_q
    return torch.cat(torch.autograd.grad(values.sum(), (mu, log_sigma)), 1)


def test_f_and_its_slope_agree_with_autograd(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    z = (2 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))).double()
    call = f"zs => zs.map(z => [{ROOT}.f(...z), ...{ROOT}.slope(...z)])"
    answers = double(page.evaluate(call, z.tolist()))
    z.requires_grad_()
    values = log_joint(z)
    (slopes,) = torch.autograd.grad(values.sum(), z)
    torch.testing.assert_close(answers[:, 0], values.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(answers[:, 1:], slopes, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["pathwise", "score"])
def test_averages_over_the_samples_agree_with_autograd(
    kind: str, open_explorer: Callable[..., Any]
) -> None:
    page = open_explorer()
    for mu, sigma in STATES:
        state = moved(page, mu, sigma)
        assert len(state["noise"]) == state["count"] == 60
        expected = samples_of(kind, double(state["noise"]), mu, sigma).mean(0)
        torch.testing.assert_close(
            double(state["estimates"][kind]), expected, rtol=1e-10, atol=1e-10
        )


def test_both_have_the_exact_mean_and_the_stated_deviation(
    open_explorer: Callable[..., Any],
) -> None:
    """Means against the closed form, deviations and bound against 400,000 samples."""
    page = open_explorer()
    generator = torch.Generator().manual_seed(0)
    epsilon = torch.randn(400_000, 2, generator=generator, dtype=torch.float64)
    for mu, sigma in STATES:
        exact = moved(page, mu, sigma)["exact"]
        (m1, m2), v1 = mu, sigma[0] ** 2
        in_mu = [
            -m1 + 4 * ((1 - m2) * m1 - 0.5 * (m1**3 + 3 * m1 * v1)),
            -m2 + 4 * (1 - m2 - 0.5 * (m1**2 + v1)),
        ]
        for kind in ("pathwise", "score"):
            assert exact[kind]["mean"][:2] == pytest.approx(in_mu, abs=1e-9)
            slopes = samples_of(kind, epsilon, mu, sigma)
            error = slopes.std(0) / len(slopes) ** 0.5
            assert ((slopes.mean(0) - double(exact[kind]["mean"])).abs() < 4.5 * error).all()
            deviation = slopes[:, :2].var(0).sum().sqrt().item()
            assert exact[kind]["sd"] == pytest.approx(deviation, rel=0.02)
        q = aevb.diagonal_normal(double(mu), double(sigma))
        values = log_joint(double(mu) + double(sigma) * epsilon)
        error = values.std().item() / len(values) ** 0.5
        expected = values.mean().item() + q.entropy().item()
        assert abs(exact["bound"] - expected) < 4.5 * error
        assert exact["pathwise"]["sd"] < exact["score"]["sd"]


def test_a_step_goes_up_the_shown_estimate(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    for kind, label in (("pathwise", "pathwise"), ("score", "score function")):
        page.get_by_role("radio", name=label).check()
        before = page.evaluate(f"{ROOT}.state")
        page.get_by_role("button", name="Step uphill").click()
        after = page.evaluate(f"{ROOT}.state")
        slopes = before["estimates"][kind]
        for i in range(2):
            assert after["mu"][i] == pytest.approx(before["mu"][i] + 0.02 * slopes[i], abs=1e-12)
            grown = before["sigma"][i] * math.exp(0.02 * (slopes[2 + i] + 1))
            assert after["sigma"][i] == pytest.approx(grown, abs=1e-12)
        assert after["noise"] != before["noise"]
        assert after["trails"][kind] == [before["mu"], after["mu"]]

    page.get_by_role("button", name="Start over").click()
    page.get_by_role("radio", name="pathwise").check()
    page.get_by_role("button", name="Run").click()
    run = page.evaluate(f"{ROOT}.state")
    assert len(run["trails"]["pathwise"]) == 21
    assert run["exact"]["bound"] > before["exact"]["bound"]


def test_a_run_goes_on_until_it_is_stopped(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer(motion="no-preference")
    page.get_by_role("button", name="Run").click()
    page.wait_for_function(f"{ROOT}.state.trails.pathwise?.length > 3")
    page.get_by_role("button", name="Stop").click()
    stopped = page.evaluate(f"{ROOT}.state")
    page.wait_for_timeout(300)
    assert page.evaluate(f"{ROOT}.state") == stopped
    page.get_by_role("button", name="Run").wait_for()


def test_it_answers_mouse_keyboard_and_dials(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    first = page.evaluate(f"{ROOT}.state")
    left, right = page.locator(".x-pad").all()
    right.press("ArrowRight")
    left.press("Shift+ArrowUp")
    moved_by_keys = page.evaluate(f"{ROOT}.state")
    assert moved_by_keys["mu"] == pytest.approx([first["mu"][0] + 0.06, first["mu"][1] + 0.3])
    assert moved_by_keys["noise"] == first["noise"]  # the cloud moves along

    box = right.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"], steps=4)
    page.mouse.up()
    dragged = page.evaluate(f"{ROOT}.state")
    assert dragged["mu"] == pytest.approx([1.5, 1.1], abs=0.03)

    page.get_by_label("scale σ₁").press("ArrowRight")
    wider = page.evaluate(f"{ROOT}.state")
    assert wider["sigma"][0] > dragged["sigma"][0]
    assert wider["sigma"][1] == dragged["sigma"][1]
    page.get_by_label("samples L").press("Home")
    assert page.evaluate(f"{ROOT}.state")["noise"] == first["noise"][:1]
    page.get_by_role("button", name="New noise").click()
    assert page.evaluate(f"{ROOT}.state")["noise"] != first["noise"][:1]


@pytest.mark.parametrize(("mode", "width"), [("light", 800), ("dark", 390), ("light", 330)])
def test_it_is_accessible_and_fits(
    mode: str, width: int, open_explorer: Callable[..., Any]
) -> None:
    page = open_explorer(mode, width)
    assert explorer_faults(page) == []
