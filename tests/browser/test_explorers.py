"""The numbers of the explorers against Python's, on the shipped weights, in a real browser.

Stated differences: pixels 2e-6, codes 2e-5 of their spread, log-likelihoods and bounds 1e-3 nats.
Each explorer has a file of its own for what it does when it is moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

import aevb_lib as aevb
from aevb_lib.distributions import diagonal_normal
from aevb_lib.explorer import DATA, EXPLORERS
from aevb_lib.latents import fit_mixture
from aevb_lib.pretrained import load_pretrained
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

PLAYGROUND = "book/playground.html"
MODELS = {
    "vae-d020": ("vae", 20),
    "vae-d200": ("vae", 200),
    "autoencoder-d020": ("autoencoder", 20),
}


@pytest.fixture(scope="module")
def playground(browser: Any, book: Path) -> Iterator[Visit]:
    """The page from disk with all data loaded: one for all tests, because it is heavy."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    visit = Visit(context.new_page(), book.resolve().as_uri() + "/")
    visit.watch()
    visit.goto(PLAYGROUND)
    visit.page.evaluate(
        "names => Promise.all(names.map(name => aevbExplorer.load(name)))", list(DATA)
    )
    yield visit
    context.close()
    visit.finish()


def images(count: int) -> torch.Tensor:
    return aevb.load_mnist()[1].take(count).images


@pytest.mark.parametrize("name", MODELS)
def test_networks_agree(name: str, playground: Visit) -> None:
    kind, latent_dim = MODELS[name]
    model, x = load_pretrained(kind, latent_dim), images(20)
    answers = playground.page.evaluate(
        """([name, images]) => {
            const { model } = aevbExplorer.data[name];
            return images.map(x => {
                const { mean, sd } = model.encode(x);
                return { mean: [...mean], sd: sd && [...sd], pixels: [...model.decode(mean)] };
            });
        }""",
        [name, x.tolist()],
    )
    with torch.no_grad():
        codes = model.encode(x)
        pixels = model.decode(codes)
        spread = float(codes.std())
        if kind == "vae":
            sd = model.posterior(x).stddev
            assert np.allclose([a["sd"] for a in answers], sd, rtol=1e-4)
        else:
            assert all(answer["sd"] is None for answer in answers)
    assert np.abs(np.array([a["mean"] for a in answers]) - codes.numpy()).max() < 2e-5 * spread
    assert np.abs(np.array([a["pixels"] for a in answers]) - pixels.numpy()).max() < 1e-5


@pytest.mark.parametrize("kind", ["vae", "autoencoder"])
def test_decoders_of_the_map_agree(kind: str, playground: Visit) -> None:
    codes = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) * 2
    answers = playground.page.evaluate(
        "([kind, codes]) => codes.map(z => [...aevbExplorer.data.map[kind].decode(z)])",
        [kind, codes.tolist()],
    )
    with torch.no_grad():
        expected = load_pretrained(kind, 2).decode(codes).numpy()
    assert np.abs(np.array(answers) - expected).max() < 2e-6


def test_bound_agrees(playground: Visit) -> None:
    model, x = load_pretrained("vae", 20), images(20)
    noise = torch.randn(20, 20, generator=torch.Generator().manual_seed(0))
    answers = playground.page.evaluate(
        """([images, noises]) => images.map((x, k) => {
            const { model } = aevbExplorer.data["vae-d020"];
            const q = model.encode(x);
            const z = q.mean.map((mean, i) => mean + q.sd[i] * noises[k][i]);
            return [aevbExplorer.logLikelihood(x, model.logits(z)),
                    [...aevbExplorer.klPerDimension(q)]];
        })""",
        [x.tolist(), noise.tolist()],
    )
    with torch.no_grad():
        q = model.posterior(x)
        log_likelihood = model.likelihood(q.mean + q.stddev * noise).log_prob(x)
        kl = aevb.kl_divergence(q, model.prior())
        per_dimension = torch.stack(
            [
                aevb.kl_divergence(
                    diagonal_normal(q.mean[:, [d]], q.stddev[:, [d]]),
                    aevb.standard_normal(torch.zeros(1)),
                )
                for d in range(20)
            ],
            1,
        )
    measured_kl = np.array([kls for _, kls in answers])
    assert np.abs([a for a, _ in answers] - log_likelihood.numpy()).max() < 1e-3
    assert np.abs(measured_kl - per_dimension.numpy()).max() < 1e-4
    assert np.abs(measured_kl.sum(1) - kl.numpy()).max() < 1e-3


def test_normal_draws_are_normal_and_repeat_with_the_seed(playground: Visit) -> None:
    draw = "seed => [...aevbExplorer.randomness(seed).normals(40000)]"
    values = np.array(playground.page.evaluate(draw, 1))
    assert abs(values.mean()) < 4 / 200
    assert abs(values.std() - 1) < 4 / np.sqrt(2 * 40_000)
    assert abs((values > 1.96).mean() - 0.025) < 0.0035
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.02
    assert values.tolist() == playground.page.evaluate(draw, 1)
    assert values.tolist() != playground.page.evaluate(draw, 2)


def test_mixture_draws_have_its_moments(playground: Visit) -> None:
    draws = playground.page.evaluate(
        """() => {
            const random = aevbExplorer.randomness(0), mixture = aevbExplorer.data["mixture-d020"];
            return Array.from({ length: 8000 },
                () => [...aevbExplorer.drawMixture(mixture, random)]);
        }"""
    )
    train, _ = aevb.load_mnist()
    with torch.no_grad():
        codes = load_pretrained("autoencoder", 20).encode(train.take(20_000).images)
    expected = fit_mixture(codes, 10).sample((8000,)).numpy()
    got = np.array(draws)
    spread = expected.std(0)
    assert np.abs((got.mean(0) - expected.mean(0)) / spread).max() < 0.08
    assert np.abs(np.cov((got / spread).T) - np.cov((expected / spread).T)).max() < 0.12


def test_a_drawing_becomes_an_image_like_those_of_mnist(playground: Visit) -> None:
    """A test digit, enlarged and put in a corner, comes back as it was."""
    original = images(10).reshape(-1, 28, 28).numpy()
    for digit in original:
        rows, columns = (np.nonzero(digit.max(axis) > 0.1)[0] for axis in (1, 0))
        cut = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        sheet = np.zeros((112, 112))
        large = cut.repeat(4, 0).repeat(4, 1)
        sheet[: large.shape[0], -large.shape[1] :] = large
        answer = playground.page.evaluate(
            "ink => [...aevbExplorer.likeMNIST(ink, 112)]", sheet.ravel().tolist()
        )
        back = np.array(answer).reshape(28, 28)
        assert np.allclose(ndimage.center_of_mass(back), (14, 14), atol=0.05)
        assert abs(back.sum() / digit.sum() - 1) < 0.12  # MNIST's longer side is 20, give or take 1
        # MNIST was centered to whole pixels
        moved = ndimage.shift(digit, 14 - np.array(ndimage.center_of_mass(digit)), order=1)
        assert np.corrcoef(back.ravel(), moved.ravel())[0, 1] > 0.9


def test_an_empty_sheet_is_an_empty_image(playground: Visit) -> None:
    blank = playground.page.evaluate("[...aevbExplorer.likeMNIST(new Float32Array(12544), 112)]")
    assert blank == [0] * 784


def test_data_is_loaded_once_and_only_when_needed(open_page: Callable[..., Any]) -> None:
    visit = open_page("book/index.html")
    visit.wake()
    scripts = [*map(str, visit.page.evaluate("[...document.scripts].map(s => s.src)"))]
    loaded = [src.rsplit("/", 1)[1] for src in scripts if "/explorer/data/" in src]
    assert loaded == ["map.js"]
    visit.finish()


def test_every_explorer_comes_alive_in_the_playground(playground: Visit) -> None:
    playground.wake()
    page = playground.page
    found = page.eval_on_selector_all(".aevb-explorer", "es => es.map(e => e.dataset.explorer)")
    assert sorted(found) == sorted(EXPLORERS)


def test_without_scripts_a_picture_and_a_text_stand_there(browser: Any, book: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((book / PLAYGROUND).resolve().as_uri())
    texts = page.locator(".aevb-explorer").all_inner_texts()
    assert len(texts) == len(EXPLORERS)
    assert all("an explorer, here as a picture" in text for text in texts)
    pictures = page.locator(".aevb-explorer img")
    assert pictures.count() == len(EXPLORERS)
    assert all(pictures.nth(i).is_visible() for i in range(len(EXPLORERS)))
    context.close()


def test_latent_map_answers_mouse_and_keyboard(playground: Visit) -> None:
    playground.wake()
    page = playground.page
    state = """kind => {
        const root = document.querySelector("[data-explorer=latent-map]");
        const { surface, digit } = root.explorer[kind];
        return { point: surface.point, pixels: [...digit.pixels] };
    }"""
    for kind in ("vae", "autoencoder"):
        plane = page.locator(f"[data-explorer=latent-map] .x-{kind} .x-pad")
        plane.scroll_into_view_if_needed()
        before = page.evaluate(state, kind)
        plane.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowUp")
        after = page.evaluate(state, kind)
        step = after["point"][0] - before["point"][0]
        assert step > 0
        assert after["point"][1] - before["point"][1] == pytest.approx(5 * step)
        box = plane.bounding_box()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.3 * box["height"], steps=5)
        page.mouse.up()
        dragged = page.evaluate(state, kind)
        assert dragged["point"][0] < after["point"][0]
        with torch.no_grad():
            expected = load_pretrained(kind, 2).decode(torch.tensor([dragged["point"]])[0])
        assert np.abs(np.array(dragged["pixels"]) - expected.numpy()).max() < 2e-6


def test_wandering_says_how_to_stop_it(playground: Visit) -> None:
    playground.wake()
    page = playground.page
    panel = page.locator("[data-explorer=latent-map] .x-vae")
    at = """() => document.querySelector("[data-explorer=latent-map]").explorer.vae.surface.point"""
    start = page.evaluate(at)
    panel.get_by_role("button", name="Wander").click()
    page.wait_for_function(f"start => ({at})()[0] !== start[0]", arg=start)
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_role("button", name="Wander").wait_for()
    stopped = page.evaluate(at)
    page.wait_for_timeout(100)
    assert page.evaluate(at) == stopped
