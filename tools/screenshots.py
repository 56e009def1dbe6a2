"""Take pictures of the built book, so that a person can look at every page.

    make screenshots                                         every page, into _build/screenshots
    python tools/screenshots.py FOLDER [NAME ...]            e.g.  shots 02_elbo index
    python tools/screenshots.py FOLDER --book _build/html --widths 1400 390 --modes light dark

Pages are opened from disk (``file://``) without network, at 1400 and 390 pixels, light and dark, in
full length. A tall page is cut into pieces of at most 2400 pixels: ``02_elbo-1400-dark-01.png``,
``02_elbo-1400-dark-02.png`` and so on. ``--unfold`` opens solutions and hidden cells first.
``--explorers`` takes the pictures that stand for explorers where no script runs, into
aevb_lib/explorer/pictures. Needs ``pip install playwright`` and a Chromium on the PATH
(``apt-get install chromium``).
"""

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from aevb_lib.explorer import EXPLORERS
from aevb_lib.explorer import page as explorer_page

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "aevb_lib" / "explorer" / "pictures"
PIECE = 2400
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def find_chromium() -> str:
    """The browser that the system has; playwright's own download is never needed."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        sys.exit("No Chromium on the PATH; try: apt-get install chromium")
    return found


def load_pictures(page) -> None:
    """Load what a reader's scrolling would: figures of dark pages wait for it."""
    page.evaluate(
        "Promise.all([...document.images].map(image => { image.loading = 'eager';"
        " return image.decode().catch(() => {}); }))"
    )


def find_pages(book: Path, names: list[str]) -> list[Path]:
    """Every page of the book, or the ones with these names."""
    pages = sorted(page for page in book.rglob("*.html") if "_static" not in page.parts)
    pages = [page for page in pages if 'http-equiv="refresh"' not in page.read_text("utf8").lower()]
    if not pages:
        sys.exit(f"No pages in {book}; build the book first: jupyter-book build .")
    if not names:
        return pages
    chosen = [page for page in pages if page.stem in names]
    missing = sorted(set(names) - {page.stem for page in chosen})
    if missing:
        known = ", ".join(page.stem for page in pages)
        sys.exit(f"No page called {', '.join(missing)}. Pages: {known}")
    return chosen


def shoot(page, stem: Path, width: int) -> int:
    """Write the pieces of one open page, top to bottom, and return their number."""
    height = page.evaluate("Math.ceil(document.documentElement.scrollHeight)")
    tops = range(0, height, PIECE)
    for number, top in enumerate(tops, start=1):
        clip = {"x": 0, "y": top, "width": width, "height": min(PIECE, height - top)}
        page.screenshot(path=f"{stem}-{number:02d}.png", full_page=True, clip=clip)
    return len(tops)


def wake_explorers(page) -> None:
    """They come alive when they come near the window."""
    for place in page.query_selector_all(".aevb-explorer"):
        place.scroll_into_view_if_needed()
    page.wait_for_function(
        "[...document.querySelectorAll('.aevb-explorer')].every(e => e.dataset.state)"
    )
    page.evaluate("scrollTo(0, 0)")


def at_rest(place) -> bytes:
    """A picture of what moves or computes: taken again until it stays the same for a second."""
    shot = place.screenshot()
    for _ in range(60):
        place.page.wait_for_timeout(1000)
        before, shot = shot, place.screenshot()
        if shot == before:
            return shot
    sys.exit("An explorer moves for a minute without end.")


def shoot_explorers(browser) -> None:
    """Write the picture of each explorer that notebooks show until their cell is run."""
    PICTURES.mkdir(exist_ok=True)
    page = browser.new_page(viewport={"width": 760, "height": 900}, reduced_motion="reduce")
    for name in EXPLORERS:
        page.set_content(explorer_page(name))
        wake_explorers(page)
        shot = at_rest(page.locator(".aevb-explorer"))
        with Image.open(io.BytesIO(shot)) as picture:
            picture.convert("RGB").save(PICTURES / f"{name}.webp", quality=45, method=6)


def main() -> None:
    """Read the command line and photograph."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="where the pictures go")
    parser.add_argument("names", nargs="*", help="page names without .html; default: every page")
    parser.add_argument("--book", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--widths", type=int, nargs="+", default=[1400, 390])
    parser.add_argument("--modes", nargs="+", default=["light", "dark"], choices=["light", "dark"])
    parser.add_argument("--unfold", action="store_true", help="open solutions and hidden cells")
    parser.add_argument("--explorers", action="store_true", help="take the explorers' pictures")
    options = parser.parse_args()

    if options.explorers:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=find_chromium(), args=FLAGS)
            shoot_explorers(browser)
            browser.close()
        return
    if options.folder is None:
        parser.error("name a folder for the pictures")
    book = options.book.resolve()
    pages = find_pages(book, options.names)
    options.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        for width in options.widths:
            for mode in options.modes:
                context = browser.new_context(
                    viewport={"width": width, "height": 900 if width > 600 else 844},
                    color_scheme=mode,
                    reduced_motion="reduce",
                )
                for path in pages:
                    page = context.new_page()
                    page.goto(path.as_uri(), wait_until="load")
                    # Chromium folds the window to one pixel and back before it takes a whole page,
                    # and would take the sidebar on its way.
                    page.add_style_tag(content="* { transition: none !important }")
                    page.evaluate("window.MathJax?.startup?.promise")
                    page.evaluate("document.fonts.ready")
                    wake_explorers(page)
                    load_pictures(page)
                    if options.unfold:
                        page.evaluate(
                            "document.querySelectorAll('details').forEach(d => d.open = true);"
                            "document.querySelectorAll('.toggle-hidden').forEach("
                            "e => e.classList.remove('toggle-hidden'))"
                        )
                    name = "-".join(path.relative_to(book).with_suffix("").parts)
                    pieces = shoot(page, options.folder / f"{name}-{width}-{mode}", width)
                    print(f"{name}-{width}-{mode}: {pieces} picture{'s' if pieces > 1 else ''}")
                    page.close()
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
