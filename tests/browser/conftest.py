"""The built book, a browser without network, and the two ways readers open a page.

Without Chromium (or Playwright) these tests are skipped; with AEVB_REQUIRE_BROWSER=1 they fail.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aevb_lib.explorer import page as explorer_page

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "_build" / "html"
SUBFOLDER = "/some-name/"  # project pages of GitHub are not at the root of their server
AXE = Path(__file__).with_name("axe.min.js").read_text("utf8")
SIZES = {"wide": (1400, 900), "phone": (390, 844)}
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def unavailable(reason: str) -> None:
    """Skip, or fail where a browser is part of the bargain (continuous integration)."""
    if os.environ.get("AEVB_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{reason} (AEVB_REQUIRE_BROWSER=1)", pytrace=False)
    pytest.skip(f"{reason}; the book's pages were not tried in a browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("no playwright: pip install playwright")
    executable = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if executable is None:
        unavailable("no Chromium on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


def newest(files: Iterator[Path]) -> float:
    return max((file.stat().st_mtime for file in files if file.is_file()), default=0.0)


def is_current() -> bool:
    """Whether `_build/html` holds a book made after the last change of anything it is made from."""
    if not (BUILT / "search.html").exists():
        return False
    sources = [ROOT / "_config.yml", ROOT / "_toc.yml", *ROOT.glob("aevb_lib/**/*.py")]
    sources += [*ROOT.glob("aevb_lib/explorer/**/*.js"), *ROOT.glob("aevb_lib/explorer/*.css")]
    for file in (ROOT / "book").rglob("*"):
        relative = file.relative_to(ROOT / "book")
        if not {"__pycache__", ".ipynb_checkpoints"} & set(relative.parts):
            sources.append(file)
    return newest(iter(sources)) <= newest(BUILT.rglob("*"))


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built pages: `_build/html` if it is current, else a build of our own."""
    if is_current():
        return BUILT
    folder = tmp_path_factory.mktemp("book")
    builder = shutil.which("jupyter-book", path=str(Path(sys.executable).parent))
    if builder is None:
        pytest.fail("_build/html is missing or stale and jupyter-book is not installed: make book")
    command = [builder, "build", str(ROOT), "--path-output", str(folder), "-W", "-n"]
    run = subprocess.run([*command, "--keep-going"], capture_output=True, text=True)
    assert run.returncode == 0, f"the book does not build\n{run.stdout[-3000:]}{run.stderr[-3000:]}"
    return folder / "_build" / "html"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves the book in a subfolder only, so that a link to the server's root is a dead one."""

    def send_head(self) -> Any:
        if not self.path.startswith(SUBFOLDER):
            self.send_error(404)
            return None
        self.path = self.path.removeprefix(SUBFOLDER.rstrip("/"))
        return super().send_head()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="session")
def server(book: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(book))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}{SUBFOLDER}"
        http.shutdown()


@dataclass
class Visit:
    """An open page and everything that went wrong on it so far."""

    page: Any
    base: str
    problems: list[str] = field(default_factory=list)
    tolerated: tuple[str, ...] = ()

    def note(self, problem: str) -> None:
        if not any(words in problem for words in self.tolerated):
            self.problems.append(problem)

    def watch(self) -> None:
        self.page.on("request", self._request)
        self.page.on("requestfailed", lambda r: self.note(f"request failed: {r.url} {r.failure}"))
        self.page.on("response", self._response)
        self.page.on("pageerror", lambda error: self.note(f"script error: {error}"))
        self.page.on("console", self._console)

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.note(f"request outside the book: {request.url}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.note(f"status {response.status}: {response.url}")

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            where = message.location.get("url", "")
            self.note(f"console {message.type}: {message.text} {where}")

    def goto(self, name: str) -> None:
        self.page.goto(self.base + name, wait_until="load")
        self.settle()

    def settle(self) -> None:
        """Until formulas are typeset and fonts are there."""
        self.page.wait_for_function("() => !window.MathJax || MathJax.startup?.promise")
        self.page.evaluate("async () => { await window.MathJax?.startup.promise }")
        self.page.evaluate("async () => { await document.fonts.ready }")

    def wake(self) -> None:
        """Scroll to every explorer until it is alive, then back."""
        for place in self.page.query_selector_all(".aevb-explorer"):
            # Not Playwright's own way, which first waits for two equal frames: a busy machine may
            # draw none for long.
            place.evaluate("place => place.scrollIntoView({block: 'center'})")
            is_ready = "place => place.dataset.state === 'ready'"
            self.page.wait_for_function(is_ready, arg=place, polling=100)
        self.page.evaluate("scrollTo(0, 0)")

    def resize(self, size: str) -> None:
        width, height = SIZES[size]
        self.page.set_viewport_size({"width": width, "height": height})
        self.wait_for_tab_stops()

    def wait_for_tab_stops(self) -> None:
        """Until the theme has made what scrolls focusable, 300 ms after the last resize."""
        self.page.evaluate("dispatchEvent(new Event('resize'))")
        self.page.evaluate("() => new Promise(done => setTimeout(done, 500))")
        from playwright.sync_api import TimeoutError as TooLate

        with contextlib.suppress(TooLate):  # on a busy machine later; the audit says if never
            self.page.wait_for_function(
                "() => [...document.querySelectorAll('pre')]"
                ".every(e => e.scrollWidth <= e.clientWidth || e.tabIndex === 0)",
                timeout=5000,
            )

    def check(self, problems: list[str], situation: str = "") -> None:
        for problem in problems:
            self.note(f"{problem} [{situation}]" if situation else problem)

    def finish(self) -> None:
        if self.problems:
            problems = "\n  ".join(dict.fromkeys(self.problems))
            pytest.fail(f"{self.page.url}\n  {problems}", pytrace=False)


@pytest.fixture
def open_page(browser: Any, book: Path, request: Any) -> Iterator[Callable[..., Visit]]:
    contexts = []

    def open_page(
        name: str,
        *,
        origin: str = "disk",
        mode: str = "light",
        size: str = "wide",
        tolerated: tuple[str, ...] = (),
    ) -> Visit:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=mode,
            reduced_motion="reduce",
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        if origin == "disk":
            base = book.resolve().as_uri() + "/"
        else:
            base = request.getfixturevalue("server")
        visit = Visit(context.new_page(), base, tolerated=tolerated)
        visit.watch()
        visit.goto(name)
        return visit

    yield open_page
    for context in contexts:
        context.close()


def explorer_faults(page: Any) -> list[Any]:
    """What is wrong with an explorer as it stands: barriers that axe finds, and its width."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
    # As in audit.js: only what is reported is described, and no style sheet is requested again.
    options = {"runOnly": tags, "resultTypes": ["violations"], "preload": False}
    found = page.evaluate("options => axe.run(options)", options)
    faults: list[Any] = [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]]
    root = "document.documentElement"
    wide, window = (page.evaluate(f"{root}.{width}") for width in ("scrollWidth", "clientWidth"))
    return faults + ([f"{wide} pixels wide, the window {window}"] if wide > window else [])


@pytest.fixture(scope="module")
def open_explorer(
    request: Any, browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Any]]:
    """Opens the explorer NAME of the test's module on a page of its own, and waits for READY.

    In the end, nothing may have been said on the console.
    """
    name = request.module.NAME
    file = tmp_path_factory.mktemp(name) / f"{name}.html"
    file.write_text(explorer_page(name), "utf8")
    contexts, problems = [], []

    def open_explorer(mode: str = "light", width: int = 800, motion: str = "reduce") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 1000}, color_scheme=mode, reduced_motion=motion
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_selector("[data-state=ready]")
        page.wait_for_function(getattr(request.module, "READY", "true"))
        return page

    yield open_explorer
    for context in contexts:
        context.close()
    assert problems == []
