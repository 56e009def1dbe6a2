"""The zip for Colab holds all that its notebooks need and link to."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import yaml

from tools.colab import ROOT, write

LINK = re.compile(r"\]\(([\w.]+[.](?:md|ipynb))")


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
                assert set(LINK.findall(archive.read(name).decode())) <= names, name


def test_the_wheel_takes_data_and_weights_along() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf8")
    assert '"assets/**/*"' in text


def test_binder_has_its_environment() -> None:
    buttons = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))["launch_buttons"]
    assert {"colab_url", "binderhub_url"} <= set(buttons)
    assert (ROOT / "binder" / "requirements.txt").read_text().split() == [
        "--extra-index-url",
        "https://download.pytorch.org/whl/cpu",
        ".",
    ]
