"""How busy the explorers keep a browser: milliseconds of script per frame while something moves.

    python benchmarks/explorers.py [--frames 120]

Every slider and every plane of an explorer is moved once per frame, through the events that a
finger causes; counted is the time in its event handlers and in what they draw. A page is smooth at
60 frames a second if this stays well below 16.7 ms. Exits with 1 if a median is above 8 ms, half a
frame. Needs a Chromium on the PATH and the extra ``test``.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from aevb_lib.explorer import EXPLORERS, page

MAX_MEDIAN = 8.0

# Before the page's own script: what runs in animation frames is timed.
TIMED_FRAMES = """
window.spent = 0;
const next = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (callback) => next((now) => {
    const start = performance.now();
    callback(now);
    window.spent += performance.now() - start;
});
window.nextFrame = () => new Promise((done) => next(() => setTimeout(done)));
"""

MOVE = """async ([name, kind, index, frames]) => {
    const root = document.querySelector(`[data-explorer=${name}]`);
    const part = root.querySelectorAll(kind)[index];
    part.scrollIntoView({ block: "center" });
    await nextFrame();
    const seconds = [];
    for (let k = 0; k < frames; k++) {
        const share = 0.5 + 0.4 * Math.sin(k / 9);
        window.spent = 0;
        const start = performance.now();
        if (kind.startsWith("input")) {
            part.value = Number(part.min) + share * (part.max - part.min);
            part.dispatchEvent(new Event("input", { bubbles: true }));
        } else {
            const box = part.getBoundingClientRect();
            part.dispatchEvent(new PointerEvent("pointermove", { buttons: 1, bubbles: true,
                clientX: box.left + share * box.width, clientY: box.top + 0.4 * box.height }));
        }
        const handled = performance.now() - start;
        await nextFrame();
        seconds.push(handled + window.spent);
    }
    return seconds;
}"""


def measure(tab: Any, name: str, frames: int) -> dict[str, list[float]]:
    """Milliseconds per frame for every part of one explorer that moves."""
    parts = {}
    for kind in ("input[type=range]", ".x-pad"):
        for index in range(tab.locator(kind).count()):
            if tab.locator(kind).nth(index).is_visible():
                label = f"{kind.strip('.').partition('[')[0]} {index + 1}"
                parts[label] = tab.evaluate(MOVE, [name, kind, index, frames])
    return parts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=120)
    frames = parser.parse_args().frames
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("No Chromium on the PATH; try: apt-get install chromium")
    slow = False
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in EXPLORERS:
            file = Path(folder) / f"{name}.html"
            file.write_text(page(name), encoding="utf8")
            tab = browser.new_page(viewport={"width": 1000, "height": 900})
            tab.add_init_script(TIMED_FRAMES)
            tab.goto(file.as_uri())
            tab.wait_for_selector("[data-state=ready]")
            measured = measure(tab, name, frames)
            slowest = max(measured, key=lambda part: statistics.median(measured[part]))
            median = statistics.median(measured[slowest])
            late = statistics.quantiles(measured[slowest], n=20)[-1]
            slow |= median > MAX_MEDIAN
            print(
                f"{name:12} {len(measured):2} parts; slowest {slowest}: median {median:5.2f} ms, "
                f"95 % below {late:5.2f} ms {'MISSED' if median > MAX_MEDIAN else 'ok'}"
            )
            tab.close()
        browser.close()
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
