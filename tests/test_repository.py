"""The repository's address is one setting: all places agree, and one command changes it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from book._ext import book_assets
from tools.repository import PLACEHOLDER, PLACES, ROOT, addresses, set_address, text_files


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in text_files(root)}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path in text_files(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return tmp_path


def test_all_places_agree() -> None:
    found = addresses()
    assert {name for name, _ in found} >= set(PLACES)
    assert len({slug for _, slug in found}) == 1, found


def test_placeholder_is_gone_once_the_address_is_set() -> None:
    if {slug for _, slug in addresses()} != {PLACEHOLDER}:
        left = [name for name, text in contents(ROOT).items() if PLACEHOLDER.encode() in text]
        assert not left


def test_address_can_be_set_changed_and_taken_back(copy: Path) -> None:
    before = contents(copy)
    [present] = {slug for _, slug in addresses(copy)}

    for slug in ("someone/a-book", "else-where/book.v2"):
        assert set_address(slug, copy)
        assert {found for _, found in addresses(copy)} == {slug}
        assert set_address(slug, copy) == [], "the second time changes nothing"

    set_address(present, copy)
    assert contents(copy) == before


def test_links_and_pages_follow_but_other_repositories_stay(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "https://colab.research.google.com/github/OWNER/NAME/blob/main/book/02_elbo.ipynb "
        "https://OWNER.github.io/NAME/ git clone https://github.com/OWNER/NAME.git "
        "https://github.com/OWNER/NAME-of-another"
    )
    set_address("someone/a-book", tmp_path)
    assert (tmp_path / "README.md").read_text() == (
        "https://colab.research.google.com/github/someone/a-book/blob/main/book/02_elbo.ipynb "
        "https://someone.github.io/a-book/ git clone https://github.com/someone/a-book.git "
        "https://github.com/OWNER/NAME-of-another"
    )


@pytest.mark.parametrize(
    "slug", ["", "book", "https://github.com/a/b", "a/b/c", "a b/c", "a/b.git", "-a/b", "a/"]
)
def test_malformed_address_is_refused(slug: str, copy: Path) -> None:
    before = contents(copy)
    with pytest.raises(ValueError, match="SLUG is owner/name"):
        set_address(slug, copy)
    assert contents(copy) == before


@pytest.mark.parametrize(("slug", "shown"), [(PLACEHOLDER, False), ("someone/a-book", True)])
def test_buttons_appear_with_the_address(slug: str, shown: bool) -> None:
    buttons = {"launch_buttons": {}, "use_repository_button": True, "use_issues_button": True}
    options = {"repository_url": f"https://github.com/{slug}", **buttons}
    book_assets.hide_buttons_without_repository(None, SimpleNamespace(html_theme_options=options))
    assert (buttons.keys() <= options.keys()) is shown
    assert bool(buttons.keys() & options.keys()) is shown
