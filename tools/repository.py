"""Set the repository's address, everywhere at once: `make repository SLUG=owner/name`.

Until then every place holds OWNER/NAME, and the book shows no button that would need the address.
Afterwards `make notebooks` puts links below the explorers' pictures, to the book on the
repository's GitHub Pages (the root of which is `_build/html`).
The setting may be changed again at any time; `SLUG=OWNER/NAME` takes it back. Places that disagree
fail tests/test_repository.py.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACEHOLDER = "OWNER/NAME"
SLUG = r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]*[A-Za-z0-9_-]"

# Where the address must stand, recognized whatever it is. Other files may hold it in a pip command.
INSTALL = rf"aevb-lib @ git\+https://github\.com/({SLUG})"
PLACES = {
    "pyproject.toml": rf'^Repository = "https://github\.com/({SLUG})"$',
    "_config.yml": rf"^  url: https://github\.com/({SLUG})$",
    "CITATION.cff": rf'^repository-code: "https://github\.com/({SLUG})"$',
}
FILES = ["*.toml", "*.yml", "*.cff", "*.md", "book/*.md", "book/*.ipynb", "book/sources/*.md"]


def text_files(root):
    return [path for pattern in FILES for path in sorted(root.glob(pattern))]


def addresses(root=ROOT):
    """(file, owner/name) for every place found."""
    return [
        (name, slug)
        for path in text_files(root)
        for name in [path.relative_to(root).as_posix()]
        for slug in re.findall(PLACES.get(name, INSTALL), path.read_text("utf8"), re.MULTILINE)
    ]


def address(root=ROOT):
    """The address in force: what pyproject.toml says."""
    text = (root / "pyproject.toml").read_text("utf8")
    return re.search(PLACES["pyproject.toml"], text, re.MULTILINE)[1]


def pages_of(slug):
    """Where GitHub Pages of a repository are: owner.github.io/name."""
    return slug.replace("/", ".github.io/", 1)


def set_address(slug, root=ROOT):
    """Write the address wherever any of the present ones stands; returns the files changed."""
    if not re.fullmatch(SLUG, slug) or slug.endswith(".git"):
        raise ValueError(f"SLUG is owner/name, as in https://github.com/owner/name; got {slug!r}")
    changed = []
    present = {old for _, old in addresses(root)} | {PLACEHOLDER}
    for path in text_files(root):
        before = path.read_text("utf8")
        after = before
        for old in present:
            after = re.sub(rf"(github(?:\.com)?/){re.escape(old)}(?![\w-])", rf"\g<1>{slug}", after)
            after = re.sub(rf"{re.escape(pages_of(old))}(?![\w-])", pages_of(slug), after)
        if after != before:
            path.write_text(after, "utf8")
            changed.append(path)
    return changed


def main():
    if len(sys.argv) != 2:
        return "usage: make repository SLUG=owner/name"
    try:
        changed = set_address(sys.argv[1])
    except ValueError as error:
        return str(error)
    print(*(path.relative_to(ROOT) for path in changed), f"{len(changed)} files changed", sep="\n")
    if changed:
        print("now: make notebooks, for the links below the explorers' pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
