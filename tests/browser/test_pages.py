"""Every page of the built book, as readers meet it: from disk and from a server, without network.

Light from disk, dark from a server, on a desk and on a phone. `conftest.py` finds book and browser,
`audit.js` holds the questions asked inside a page.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import matplotlib as mpl
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from aevb_lib import plotting
from tests.browser.conftest import AXE
from tools.labels import NUMBERED, places

pytestmark = pytest.mark.browser

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
AUDIT = (HERE / "audit.js").read_text("utf8")
CHAPTERS = re.findall(r"^[\s-]*(?:root|file): *(\S+)", (ROOT / "_toc.yml").read_text("utf8"), re.M)
PAGES = [f"{re.sub(r'[.](md|ipynb)$', '', chapter)}.html" for chapter in CHAPTERS]
HOME = PAGES[0]
# Made by Sphinx, besides the pages in _toc.yml.
GENERATED = ["search.html"]
# What a page was still loading, an icon perhaps, when a test went on to the next page.
LEFT_BEHIND = ("net::ERR_ABORTED",)
# How many tables of a page a phone does not show whole; of the chapters 29 of 49 once were.
SCROLLING_TABLES = {
    "book/03_reparameterization.html": 1,
    "book/08_latent_space.html": 1,
    "book/09_generation.html": 1,
    "book/10_noise.html": 2,
    "book/13_marginal_likelihood.html": 1,
    "book/how_do_we_know.html": 1,
}
LEAST_LETTERS = 9.9  # pixels of a phone: ten, as far as widths are whole numbers


@cache
def built_pages(book: Path) -> dict[str, BeautifulSoup]:
    """Read once for all tests, which leave it as it is."""
    return {
        file.relative_to(book).as_posix(): BeautifulSoup(file.read_text("utf8"), "html.parser")
        for file in sorted(book.rglob("*.html"))
        if "_static" not in file.parts
    }


def anchors(soup: BeautifulSoup) -> set[str]:
    named = {tag["name"] for tag in soup.find_all("a", attrs={"name": True})}
    return named | {tag["id"] for tag in soup.find_all(id=True)}


def pixels(page: Any, box: dict[str, float]) -> np.ndarray:
    """The colors on the screen inside a box, [height, width, 3] in 0-255."""
    picture = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
    return np.asarray(picture, dtype=float)


def paper(page: Any) -> np.ndarray:
    """The page's background color."""
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return np.array([float(number) for number in re.findall(r"[\d.]+", color)[:3]])


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Relative luminance as WCAG defines it."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def figures_off_paper(page: Any) -> list[str]:
    """Figures and explorers whose margin has not the page's color: bright blocks in the dark."""
    problems = []
    ground = paper(page)

    def difference(corner: dict[str, float]) -> float:
        return float(np.abs(pixels(page, corner) - ground).max())

    for image in page.query_selector_all(".cell_output :is(img, .text_html)"):
        if not image.is_visible():
            continue
        # The lower edge: of a figure taller than the window, the upper one would be out of sight.
        image.evaluate("e => e.scrollIntoView({block: 'end', behavior: 'instant'})")
        box = image.bounding_box()
        bottom = box["y"] + box["height"] - 4
        seen = {"x": box["x"] + 1, "y": bottom, "width": 3, "height": 3}
        right = {**seen, "x": box["x"] + box["width"] - 4}
        if (least := difference(seen)) > 24 and (least := min(least, difference(right))) > 24:
            alt = image.get_attribute("alt") or image.inner_text()[:60]
            problems.append(f"figure's paper is {least:.0f} of 255 off the page's: {alt}")
    return problems


def logo_problems(page: Any) -> list[str]:
    logos = [logo for logo in page.query_selector_all(".navbar-brand img") if logo.is_visible()]
    if len(logos) != 1:
        return [f"{len(logos)} logos are shown"]
    # The sidebar scrolls to the page's own entry, which may leave the logo above.
    logos[0].scroll_into_view_if_needed()
    inked = luminance(pixels(page, logos[0].bounding_box()))
    ground = luminance(paper(page))
    contrast = (np.maximum(inked, ground) + 0.05) / (np.minimum(inked, ground) + 0.05)
    if (share := (contrast > 3).mean()) < 0.01:
        return [f"the logo cannot be seen: {share:.1%} of it stands out from the page"]
    return []


def solution_problems(page: Any) -> list[str]:
    """Solutions are folded at first; a click, Enter and the space bar fold and unfold them."""
    state = """() => [...document.querySelectorAll('.solution')].map(e => [e.tagName, !!e.open])"""
    if loose := [s for s in page.evaluate(state) if s != ["DETAILS", False]]:
        return [f"{len(loose)} solutions are not folded at first: {loose[0]}"]
    exercises = page.locator(".exercise").count()
    problems = []
    solutions = page.locator(".solution")
    if solutions.count() != exercises:
        problems.append(f"{exercises} exercises, {solutions.count()} solutions")
    if solutions.count():
        solution, summary = solutions.first, solutions.first.locator("summary").first
        summary.click()
        states = [solution.evaluate("e => e.open")]
        for key in ("Enter", "Space"):
            summary.press(key)
            states.append(solution.evaluate("e => e.open"))
        if states != [True, False, True]:
            problems.append(f"a solution opens by click, closes by Enter, opens by Space: {states}")
    return problems


def looks_focused(page: Any) -> bool:
    """Whether the screen changes when the focus leaves the element that has it."""
    focused = page.screenshot()
    page.evaluate("window.held = document.activeElement; held.blur()")
    blurred = page.screenshot()
    page.evaluate("held.focus()")
    return focused != blurred


def letters() -> float:
    """The size of the smallest words of a plot, in pixels of the picture."""
    with plotting.style():
        points = min(mpl.rcParams[f"{name}.labelsize"] for name in ("xtick", "ytick", "axes"))
        return float(points * mpl.rcParams["figure.dpi"] / 72)


@pytest.mark.parametrize(("origin", "mode"), [("disk", "light"), ("server", "dark")])
@pytest.mark.parametrize("name", PAGES + GENERATED)
def test_page_is_sound(name: str, origin: str, mode: str, open_page: Callable[..., Any]) -> None:
    visit = open_page(name, origin=origin, mode=mode)
    page = visit.page
    page.evaluate(AXE)
    page.evaluate(AUDIT)
    visit.wake()
    theme = page.evaluate("document.documentElement.dataset.theme")
    visit.check([] if theme == mode else [f"the system is {mode}, the page {theme}"])
    visit.check(logo_problems(page))
    if mode == "light":
        visit.check(solution_problems(page))
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    visit.check(page.evaluate("audit.formulas()"))
    visit.check(page.evaluate("audit.images()"))
    visit.check(figures_off_paper(page))
    if mode == "light":  # neither widths nor structure depend on mode or origin
        visit.check(page.evaluate("audit.overflow()"), "1400 pixels")
        visit.check(page.evaluate("audit.desk()"), "1400 pixels")
        visit.resize("phone")
        visit.check(page.evaluate("audit.overflow()"), "390 pixels")
        visit.check(page.evaluate("audit.textSize(15)"), "390 pixels")
        allowed = [SCROLLING_TABLES.get(name, 0), LEAST_LETTERS / letters()]
        visit.check(page.evaluate("allowed => audit.phone(...allowed)", allowed), "390 pixels")
        page.evaluate("audit.thin()")
        visit.check(page.evaluate("audit.accessibility('structure')"), "390 pixels")
        visit.resize("wide")
        visit.check(page.evaluate("audit.accessibility('all')"), "1400 pixels, light")
    else:
        page.evaluate("audit.thin()")
        visit.check(page.evaluate("audit.accessibility('colors')"), "1400 pixels, dark")
    visit.finish()


@pytest.mark.parametrize("origin", ["disk", "server"])
def test_first_page_is_the_home_page(origin: str, open_page: Callable[..., Any]) -> None:
    visit = open_page(HOME, origin=origin, tolerated=LEFT_BEHIND)
    visit.page.goto(visit.base + "index.html")
    visit.page.wait_for_url(visit.base + HOME)
    visit.settle()
    visit.finish()


def test_every_built_page_is_visited(book: Path) -> None:
    known = {*PAGES, *GENERATED, "index.html"}
    assert set(built_pages(book)) == known


def test_there_is_much_that_could_be_too_wide(book: Path) -> None:
    """So that the audit of widths does not look past it."""
    pages = built_pages(book).values()
    for selector, least in (
        (".bd-article pre", 300),
        (".bd-article .cell_input pre", 200),
        (".bd-article .pst-scrollable-table-container", 60),
        (".plot:not(:has(.wordless))", 60),
        (".plot:has(.wordless)", 1),
    ):
        assert sum(len(soup.select(selector)) for soup in pages) > least, selector


def test_notebooks_have_the_numbers_of_the_book(book: Path) -> None:
    """The converter counts for itself; Sphinx counts for the pages."""
    pages = built_pages(book)
    numbered = {label: place for label, place in places().items() if place.number}
    assert len(numbered) > 150
    for label, place in numbered.items():
        soup = pages[f"book/{place.page.removesuffix('.ipynb')}.html"]
        target = soup.find(id=f"equation-{label}" if place.kind == "equation" else label)
        number = target.select_one(".eqno, .caption-number").get_text()
        assert number.strip("# \n\N{NO-BREAK SPACE}") == NUMBERED[place.kind].format(place.number)


def test_every_page_brings_an_icon(book: Path) -> None:
    """Without one a browser asks the root of the server, where nothing of ours is."""
    for name, soup in built_pages(book).items():
        icons = soup.select('head link[rel~="icon"]')
        assert icons, name
        for icon in icons:
            assert (book / name).parent.joinpath(icon["href"]).resolve().is_file(), name


def test_links_lead_somewhere(book: Path) -> None:
    """Local links and fragments resolve; only words link outside, by https; nothing is loaded."""
    pages = built_pages(book)
    ids = {name: anchors(soup) for name, soup in pages.items()}
    problems, outside = [], set()
    for name, soup in pages.items():
        for tag, link in (
            (tag, tag[attribute])
            for tag in soup.find_all(True)
            for attribute in ("href", "src", "srcset", "action", "data", "poster")
            if tag.has_attr(attribute)
        ):
            if tag.name == "img" and link.startswith("data:image/"):
                continue  # it came along
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if tag.name != "a" or parts.scheme not in ("https", "mailto"):
                    problems.append(f"{name}: <{tag.name}> loads or links {link[:80]}")
                elif "OWNER" in link:
                    problems.append(f"{name}: link to a placeholder: {link}")
                outside.add(link)
                continue
            path, fragment = urldefrag(link)
            path = unquote(urlsplit(path).path)
            target = (book / name).parent / path if path else book / name
            if path.startswith("/") or not target.resolve().is_relative_to(book.resolve()):
                problems.append(f"{name}: leaves the book: {link}")
            elif not target.is_file():
                problems.append(f"{name}: no such file: {link}")
            elif fragment and target.suffix == ".html":
                page = target.resolve().relative_to(book.resolve()).as_posix()
                if unquote(fragment) not in ids[page]:
                    problems.append(f"{name}: no such place: {link}")
        times = Counter(tag["id"] for tag in soup.find_all(id=True))
        problems += [f"{name}: the id {i!r} stands {n} times" for i, n in times.items() if n > 1]
    refresh = pages["index.html"].find("meta", attrs={"http-equiv": re.compile("refresh", re.I)})
    if not refresh["content"].endswith(f"url={HOME}"):
        problems.append(f"index.html leads to {refresh['content']}")
    print("links to elsewhere:", *sorted(outside), sep="\n  ")
    if problems:
        pytest.fail("\n  ".join(["", *sorted(set(problems))]), pytrace=False)


@pytest.mark.parametrize("origin", ["disk", "server"])
def test_search_by_keyboard_finds_sections(origin: str, open_page: Callable[..., Any]) -> None:
    """Also from disk: every hit shows its words and leads to the section where they stand."""
    visit = open_page(HOME, origin=origin, tolerated=LEFT_BEHIND)
    page = visit.page
    page.keyboard.press("Control+k")
    page.keyboard.type("cross-fade")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"search\.html\?q=cross-fade"))
    page.wait_for_selector("#search-results li p.context mark")
    found = page.eval_on_selector_all(
        "#search-results li:has(p.context)",
        "a => a.map(e => [e.querySelector('a').href, e.querySelector('mark').textContent])",
    )
    assert len(found) > 1
    for address, word in found:
        assert word.lower() in ("cross", "fade", "fades", "faded", "fading")
        page.goto(address)
        visit.settle()
        place = page.locator(f"[id='{urldefrag(address).fragment}']")
        assert place.evaluate("e => e.tagName") in ("SECTION", "DIV")
        assert word in place.evaluate("e => e.textContent")
        top = place.evaluate("e => e.getBoundingClientRect().top")
        at_end = page.evaluate("scrollY + innerHeight >= document.documentElement.scrollHeight - 2")
        assert -1 <= top < 200 or at_end, address
    visit.finish()


def test_search_knows_exercises_functions_and_when_nothing_is_found(
    open_page: Callable[..., Any],
) -> None:
    visit = open_page("search.html?q=free+bits")
    results = "#search-results li a"
    visit.page.wait_for_selector(results)
    assert "Exercise: Free bits" in visit.page.locator(results).all_inner_texts()
    visit.goto("search.html?q=fit_mixture")
    visit.page.wait_for_selector(results)
    assert visit.page.locator(results).first.inner_text() == "aevb_lib.latents.fit_mixture"
    visit.goto("search.html?q=xyzzy")
    visit.page.wait_for_selector(".search-summary:not(:empty)")
    assert visit.page.locator(results).count() == 0
    visit.finish()


@pytest.mark.parametrize("size", ["wide", "phone"])
@pytest.mark.parametrize("name", dict.fromkeys([HOME, PAGES[min(1, len(PAGES) - 1)]]))
def test_keyboard_alone(name: str, size: str, open_page: Callable[..., Any]) -> None:
    """First the link that skips to the text; then everything has a name and shows the focus."""
    visit = open_page(name, size=size)
    page = visit.page
    page.evaluate(AUDIT)
    met = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focus = page.evaluate("audit.focus()")
        if focus is None:
            break
        met.append(focus)
        for question, answer in (
            ("is out of sight", focus["onScreen"]),
            ("has no name", focus["name"]),
            ("does not show the focus", focus["marked"] or looks_focused(page)),
        ):
            if not answer:
                visit.note(f"with the focus on it, {focus['element']} {question}")
        if focus["inArticle"] and len(met) > 20:
            break
    names = [focus["name"].lower() for focus in met]
    if not met or met[0]["href"] != "#main-content":
        visit.note(f"the first Tab meets {met[:1]}, not the link to the main content")
    for wanted in ("color mode", "search"):
        if not any(name.startswith(wanted) for name in names):
            visit.note(f"no button called {wanted!r} among {names}")
    visit.finish()


def test_skip_link_and_color_mode(open_page: Callable[..., Any]) -> None:
    visit = open_page(HOME)
    page = visit.page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#main-content")

    seen = []
    button = page.locator(".theme-switch-button:visible")
    for _ in range(3):
        button.focus()
        page.keyboard.press("Enter")
        root = page.evaluate("({...document.documentElement.dataset})")
        seen.append((root["mode"], root["theme"], luminance(paper(page)) > 0.5))
    assert {mode for mode, _, _ in seen} == {"light", "dark", "auto"}
    assert all((theme == "light") == is_bright for _, theme, is_bright in seen), seen
    visit.finish()


def test_contents_open_and_close_on_a_phone(open_page: Callable[..., Any]) -> None:
    visit = open_page(HOME, size="phone")
    page = visit.page
    chapter = page.locator(".bd-sidebar-primary nav a").first
    assert not chapter.is_visible() or chapter.bounding_box()["x"] < 0
    page.locator(".primary-toggle").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('nav.bd-docs-nav a')].some(a => "
        "a.checkVisibility() && a.getBoundingClientRect().x >= 0)"
    )
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('dialog[open]')")
    visit.finish()
