"""One chapter in Firefox, where there is one: no driver, the page itself says what it sees."""

from __future__ import annotations

import functools
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytestmark = pytest.mark.browser

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
CHAPTER = "/book/08_latent_space.html"
PROBE = b"""<script>
  const problems = [];
  addEventListener("error", (event) => problems.push(event.message));
  addEventListener("load", async () => {
    const count = (selector) => document.querySelectorAll(selector).length;
    await MathJax.startup.promise;
    document.querySelector(".aevb-explorer").scrollIntoView();
    const pause = () => new Promise((next) => setTimeout(next, 50));
    while (!count("[data-state=ready], [data-state=failed]")) await pause();
    const blocks = [...document.querySelectorAll(".cell_input pre")];
    const wide = blocks.filter((block) => block.scrollWidth > block.clientWidth + 1).length;
    const seen = {
      formulas: count(".bd-article .math"),
      typeset: count(".bd-article .math:has(mjx-container svg)"),
      explorers: count("[data-state=ready]"),
      problems: problems.join("; "),
      wide,
    };
    fetch("/seen?" + new URLSearchParams(seen));
  });
</script></body>"""


class Listener(SimpleHTTPRequestHandler):
    """Serves the book, with the probe in one chapter, and takes down what the probe says."""

    said: dict[str, str]
    heard: threading.Event

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/seen":
            answers = parse_qs(parts.query, keep_blank_values=True)
            self.said.update({key: value for key, (value,) in answers.items()})
            self.heard.set()
            self.send_response(204)
            self.end_headers()
        elif parts.path == CHAPTER:
            text = Path(self.directory, CHAPTER[1:]).read_bytes().replace(b"</body>", PROBE)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        else:
            super().do_GET()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def listening(book: Path) -> Iterator[tuple[str, type[Listener]]]:
    handler = type("Here", (Listener,), {"said": {}, "heard": threading.Event()})
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(book))
    ) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}{CHAPTER}", handler
        http.shutdown()


@pytest.mark.skipif(FIREFOX is None, reason="no Firefox on the PATH: apt-get install firefox-esr")
def test_a_chapter_is_typeset_and_its_explorer_wakes(
    listening: tuple[str, type[Listener]], tmp_path: Path
) -> None:
    address, handler = listening
    command = [FIREFOX, "--headless", "--no-remote", "--profile", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--window-size=1400,1000", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert handler.heard.wait(90), "the page said nothing"
    finally:
        process.terminate()
        process.wait(20)
    seen = handler.said
    assert seen["problems"] == ""
    assert int(seen["typeset"]) == int(seen["formulas"]) > 20
    assert int(seen["explorers"]) > 0
    assert int(seen["wide"]) == 0
