"""A code, dimension by dimension: its numbers against Python's, and what readers move.

Stated differences: log-likelihoods and divergences 2e-3 nats, codes 1e-4, pixels 1e-4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import aevb_lib as aevb
from aevb_lib.explorer import data_script, embed
from aevb_lib.explorer.page import script
from aevb_lib.pretrained import load_pretrained
from tests.browser.conftest import explorer_faults

pytestmark = pytest.mark.browser

NAME = "dimensions"
STATE = """() => {
    const { state } = document.querySelector("[data-explorer=dimensions]").explorer;
    const plain = value => ArrayBuffer.isView(value) ? [...value] : value;
    return Object.fromEntries(Object.entries(state).map(([key, value]) => [key, plain(value)]));
}"""
READY = """() => {
    const { explorer } = document.querySelector("[data-explorer=dimensions]");
    return explorer && explorer.state.pending === 0 && explorer.state.estimates.length;
}"""


def settled(page: Any) -> dict[str, Any]:
    page.evaluate("() => new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))")
    page.wait_for_function(READY)
    state: dict[str, Any] = page.evaluate(STATE)
    return state


def press(page: Any, label: str) -> dict[str, Any]:
    page.get_by_role("button", name=label, exact=True).click()
    return settled(page)


def numbers(page: Any) -> list[str]:
    """The right-hand column of the sums, as a reader sees it."""
    texts: list[str] = page.locator(".x-sums p > :last-child").all_inner_texts()
    return [text.replace("−", "-") for text in texts]


@cache
def digit(label: int, which: int = 0) -> Tensor:
    test = aevb.load_mnist()[1]
    return test.images[(test.labels == label).nonzero()[which, 0]]


def check(state: dict[str, Any], x: Tensor, latent_dim: int = 20) -> None:
    """Whether image, posterior, divergence and likelihood of the present code are the library's."""
    vae = load_pretrained("vae", latent_dim)
    z = torch.tensor(state["z"])
    with torch.no_grad():
        q = vae.posterior(x[None])
        kl = aevb.kl_divergence(q, vae.prior()).item()
        log_likelihood = vae.likelihood(z[None]).log_prob(x[None]).item()
        decoded = vae.decode(z)
    assert np.allclose(state["x"], x, atol=1e-6)
    assert np.allclose(state["mean"], q.mean[0], atol=1e-4)
    assert np.allclose(state["sd"], q.stddev[0], rtol=1e-4)
    assert np.allclose(state["decoded"], decoded, atol=1e-4)
    assert state["kl"] == pytest.approx(kl, abs=2e-3)
    assert state["logLikelihood"] == pytest.approx(log_likelihood, abs=2e-3)


def test_it_begins_at_the_mean_code(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    state = settled(page)
    check(state, digit(2))
    assert state["z"] == state["mean"]
    autoencoder = load_pretrained("autoencoder", 20)
    with torch.no_grad():
        code = autoencoder.encode(digit(2)[None])
        reached = autoencoder.likelihood(code).log_prob(digit(2)[None]).item()
    difference = state["logLikelihood"] - state["kl"]
    expected = [reached, state["logLikelihood"], state["kl"], difference]
    assert numbers(page)[:4] == [f"{value:.1f} nats" for value in expected]
    assert "at the mean code" in page.locator(".x-sums").inner_text()


def test_samples_estimate_the_bound(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    first = press(page, "Sample")
    check(first, digit(2))
    assert first["estimates"][-1] == pytest.approx(first["logLikelihood"] - first["kl"], abs=1e-6)
    second = press(page, "Sample")
    noise = (np.array([first["z"], second["z"]]) - first["mean"]) / first["sd"]
    assert np.abs(noise[0] - noise[1]).min() > 0
    assert 0.6 < noise.std() < 1.4  # 40 standard normal numbers
    for _ in range(3):
        state = press(page, "100 more samples for the ELBO")
    estimates = np.array(state["estimates"])
    assert len(estimates) == 322
    error = estimates.std(ddof=1) / len(estimates) ** 0.5
    assert numbers(page)[4] == f"{estimates.mean():.1f} ± {error:.1f} nats"
    aevb.seed_everything(0)
    with torch.no_grad():
        bound = aevb.sgvb_b(load_pretrained("vae", 20), digit(2)[None], 4000).bound.item()
    assert abs(estimates.mean() - bound) < 4 * error
    assert press(page, "Mean code")["z"] == state["mean"]


def test_a_slider_moves_one_dimension(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    before = settled(page)
    vae, test = load_pretrained("vae", 20), aevb.load_mnist()[1]
    order = aevb.kl_per_dimension(vae, test).argsort(descending=True).tolist()
    for rank in (0, 19):
        page.get_by_role("button", name="Mean code").click()
        slider = page.get_by_role("slider").nth(rank)
        for _ in range(10):
            slider.press("ArrowLeft")
        after = settled(page)
        moved = np.nonzero(np.array(after["z"]) != before["z"])[0]
        assert moved.tolist() == [order[rank]]
        step = before["z"][order[rank]] - after["z"][order[rank]]
        assert step == pytest.approx(0.5, abs=0.03)
        check(after, digit(2))
        assert "= at your code" in page.locator(".x-sums").inner_text()
    page.wait_for_function(
        "document.querySelector('[aria-live]').textContent.includes('your code')"
    )


def test_idle_dimensions_do_next_to_nothing(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    page.get_by_role("radio", name="200 dimensions").check()
    page.wait_for_function("document.querySelectorAll('.x-dimension').length > 20")
    state = settled(page)
    check(state, digit(2), 200)
    idle = aevb.kl_per_dimension(load_pretrained("vae", 200), aevb.load_mnist()[1]) < 0.01
    count = int(idle.sum())
    assert page.get_by_text(f"The other {count} are idle").is_visible()
    sliders = page.get_by_role("slider")
    assert sliders.count() == 200 - count + 6
    change = []
    for at in (0, 200 - count):
        page.get_by_role("button", name="Mean code").click()
        sliders.nth(at).press("End")
        change.append(abs(settled(page)["logLikelihood"] - state["logLikelihood"]))
    assert change[0] > 20 * change[1]
    assert change[1] < 2
    page.get_by_role("radio", name="20 dimensions", exact=True).check()
    page.wait_for_function("document.querySelectorAll('.x-dimension').length === 20")
    check(settled(page), digit(2))


def test_another_digit_and_one_of_the_readers(open_explorer: Callable[..., Any]) -> None:
    page = open_explorer()
    press(page, "100 more samples for the ELBO")
    state = press(page, "Test digit 7")
    check(state, digit(7))
    assert len(state["estimates"]) == 20
    check(press(page, "Others"), digit(7, 1))

    page.get_by_role("button", name="Draw one").click()
    box = page.locator(".x-sketch").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 130, steps=8)
    page.mouse.up()
    drawn = settled(page)
    x = torch.tensor(drawn["x"])
    assert 10 < x.sum() < 120
    check(drawn, x)
    assert page.locator("[aria-pressed=true]").count() == 0
    check(press(page, "Test digit 0"), digit(0, 1))
    assert page.locator(".x-sketch").is_hidden()


def test_on_a_site_the_large_model_is_loaded_when_asked_for(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "explorer.js").write_text(script(), "utf8")
    (tmp_path / "index.html").write_text(
        f'<html lang="en">{embed("dimensions").markup}<script src="explorer.js"></script></html>'
    )
    for name in ("digits", "vae-d020", "autoencoder-d020"):
        (tmp_path / "data" / f"{name}.js").write_text(data_script(name), "ascii")
    context = browser.new_context()
    large = "[...document.scripts].some(script => script.src.endsWith('vae-d200.js'))"
    for is_there in (False, True):
        if is_there:
            (tmp_path / "data" / "vae-d200.js").write_text(data_script("vae-d200"), "ascii")
        page = context.new_page()
        page.goto((tmp_path / "index.html").as_uri())
        page.wait_for_function(READY)
        assert not page.evaluate(large)
        page.get_by_role("radio", name="200 dimensions").click()
        if is_there:
            page.wait_for_function("document.querySelectorAll('.x-dimension').length > 20")
        else:
            page.get_by_text("could not be loaded").wait_for()
            assert page.get_by_role("radio", name="20 dimensions", exact=True).is_checked()
        check(settled(page), digit(2), 200 if is_there else 20)
    context.close()


@pytest.mark.parametrize(("mode", "width"), [("light", 800), ("dark", 390), ("light", 330)])
def test_it_is_accessible_and_fits(
    mode: str, width: int, open_explorer: Callable[..., Any]
) -> None:
    page = open_explorer(mode, width)
    page.get_by_role("button", name="Draw one").click()
    page.locator("input[value='200']").check()
    page.wait_for_function("document.querySelectorAll('.x-dimension').length > 20")
    settled(page)
    if width < 600:
        shown = page.get_by_role("slider").count()
        page.get_by_role("button", name="Show all").click()
        assert page.get_by_role("slider").count() > shown
    assert explorer_faults(page) == []
