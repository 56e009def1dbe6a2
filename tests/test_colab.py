"""The zip for Colab holds all that its notebooks need and link to."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import yaml

from tools.colab import ROOT, write

LINK = re.compile(r"\]\(((?!https?:|data:|#)[^)#\s]+)")


def test_the_zip_is_whole(tmp_path: Path) -> None:
    wheel = tmp_path / "aevb_lib-1.2-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    write(tmp_path / "zip" / "all.zip", wheel)
    with zipfile.ZipFile(tmp_path / "zip" / "all.zip") as archive:
        names = set(archive.namelist())
        assert wheel.name in names
        assert {path.name for path in ROOT.glob("book/*.ipynb")} <= names
        assert all("/" not in name for name in names), "drag and drop knows no folders"
        readme = archive.read("README.txt").decode()
        assert wheel.name in readme
        assert len([line for line in readme.splitlines() if line]) <= 10
        for name in names:
            if name.endswith(".ipynb"):
                notebook = json.loads(archive.read(name))
                cells = (cell for cell in notebook["cells"] if cell["cell_type"] == "markdown")
                text = "\n".join("".join(cell["source"]) for cell in cells)
                assert set(LINK.findall(text)) <= names, name
            if name.endswith(".md"):
                text = re.sub("`[^`]*`", "", archive.read(name).decode())
                assert set(LINK.findall(text)) <= names, name


def test_the_wheel_takes_every_file_along() -> None:
    """Data, weights, scripts and pictures: whatever stands in the package beside its code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))
    patterns = project["tool"]["setuptools"]["package-data"]["aevb_lib"]
    taken = {path for pattern in patterns for path in (ROOT / "aevb_lib").glob(pattern)}
    tracked = subprocess.run(
        ["git", "ls-files", "aevb_lib"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    others = {ROOT / name for name in tracked if not name.endswith(".py")}
    assert len(others) > 100
    assert others <= taken, sorted(others - taken)[:3]


def test_binder_has_its_environment() -> None:
    buttons = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))["launch_buttons"]
    assert {"colab_url", "binderhub_url"} <= set(buttons)
    assert (ROOT / "binder" / "requirements.txt").read_text().split() == [
        "--extra-index-url",
        "https://download.pytorch.org/whl/cpu",
        ".",
    ]
