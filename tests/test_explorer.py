"""Explorers as text: places, pages, scripts and data. tests/browser/test_explorers.py runs them."""

import base64
import io
import json
import re
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load

import aevb_lib as aevb
from aevb_lib import explorer
from aevb_lib.explorer.page import script
from aevb_lib.plotting import COLORS, DIGIT_COLORS
from aevb_lib.pretrained import load_pretrained

SCRIPTS = Path(str(files("aevb_lib"))) / "explorer" / "scripts"
names = pytest.mark.parametrize("name", explorer.EXPLORERS)


def content(name):
    """What a data script provides."""
    text = explorer.data_script(name)
    match = re.fullmatch(r'aevbExplorer\.provide\("([^"]+)",(.*)\);\n', text, re.S)
    assert match is not None
    assert match[1] == name
    return json.loads(match[2])


def floats(entry):
    return np.frombuffer(base64.b64decode(entry["float32"]), "<f4")


@names
def test_a_place_says_what_it_is_and_what_it_needs(name):
    markup = explorer.embed(name)._repr_html_()
    assert f'data-explorer="{name}"' in markup
    (needs,) = re.findall(r'data-needs="([^"]*)"', markup)
    assert set(needs.split()) <= set(explorer.DATA)
    assert explorer.EXPLORERS[name].title in markup.replace("&amp;", "&")
    assert "<p>" in markup  # what readers see where scripts are stripped
    assert "<script" not in markup


def test_the_same_place_is_the_same_text():
    assert explorer.embed("noise") == explorer.embed("noise")
    assert "0x" not in repr(explorer.embed("noise"))  # strict notebooks compare it


def test_unknown_names_are_answered_with_those_there_are():
    with pytest.raises(ValueError, match=r"no explorer called 'map'.*latent-map"):
        explorer.embed("map")
    with pytest.raises(ValueError, match=r"no explorer called 'map'.*latent-map"):
        explorer.page("map")
    with pytest.raises(ValueError, match=r"no data called 'weights'.*digits"):
        explorer.data_script("weights")


@names
def test_script_defines_every_explorer_once(name):
    assert script().count(f'define("{name}"') == 1


@names
def test_an_explorer_says_in_its_first_line_what_it_uses_of_the_kit(name):
    """The browser tests would fail if it used more: its file sees nothing else."""
    text = (SCRIPTS / f"{name.replace('-', '_')}.js").read_text("utf8")
    (taken,) = re.findall(r"^const \{ ([^}]+) \} = kit;$", text, re.MULTILINE)
    kit = re.findall(r"\bconst kit = \{([^}]+)\}", (SCRIPTS / "loading.js").read_text("utf8"))[0]
    for each in taken.split(", "):
        assert each in re.findall(r"\w+", kit)
        assert len(re.findall(rf"\b{each}\b", text)) > 1, f"{each} is not used"


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.js")), ids=lambda path: path.stem)
def test_no_function_is_too_long_to_be_read(path):
    """From a line that opens a function at the margin to the line that closes it."""
    lines = path.read_text("utf8").splitlines()
    starts = [i for i, line in enumerate(lines) if re.match(r"(function|define\(|class) ?", line)]
    for start in starts:
        end = next(i for i, line in enumerate(lines) if i > start and line.startswith("}"))
        assert end - start < 175, f"{path.name}:{start + 1} has {end - start} lines"


def test_page_is_one_file_without_links():
    text = explorer.page("bound", "cloud")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", text)
    assert "import(" not in text
    assert "fetch(" not in text.replace("fetch()", "")


def test_inline_brings_the_page_along():
    markup = explorer.embed("bound", inline=True).markup
    assert markup.startswith("<iframe title=")
    assert "define(&quot;bound&quot;" in markup


def test_a_running_notebook_gets_it_alive(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", sys)
    assert not explorer.embed("bound").markup.startswith("<iframe"), "AEVB_BOOK is set in tests"
    monkeypatch.delenv("AEVB_BOOK")
    assert explorer.embed("bound").markup.startswith("<iframe")
    assert not explorer.embed("bound", inline=False).markup.startswith("<iframe")
    monkeypatch.delitem(sys.modules, "ipykernel.zmqshell")
    assert not explorer.embed("bound").markup.startswith("<iframe")


@names
def test_a_picture_stands_for_it_where_nothing_runs(name):
    (data,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', explorer.embed(name).markup)
    raw = base64.b64decode(data)
    assert len(raw) < 60_000
    pixels = np.asarray(PIL.Image.open(io.BytesIO(raw)).convert("L"))
    assert pixels.shape[1] > 600
    assert 0.02 < (pixels < 200).mean() < 0.6  # something is drawn
    assert "data:image" not in explorer.page(name)


def test_style_has_the_colors_of_the_figures():
    (light,) = re.findall(r"\.aevb-explorer \{(.*?)\}", _style(), re.S)[:1]
    assert f"--x-vae: {COLORS['VAE'].lower()};" in light
    assert f"--x-autoencoder: {COLORS['Autoencoder'].lower()};" in light
    assert json.dumps(DIGIT_COLORS) in script()


def test_style_stays_inside_explorers():
    rules = re.sub(r"/\*.*?\*/", "", _style(), flags=re.S)
    for selectors in re.findall(r"([^{}]+)\{", rules):
        if not selectors.strip().startswith("@"):
            for selector in re.split(r",(?![^(]*\))", selectors):
                assert re.search(r"\.aevb-explorer|\[data-explorer=", selector), selector


def _style():
    text = explorer.page("bound")
    return text[text.index("<style>") + 7 : text.index("</style>")]


@pytest.mark.parametrize(
    ("data", "key", "kind", "latent_dim"),
    [
        ("vae-d020", "model", "vae", 20),
        ("vae-d200", "model", "vae", 200),
        ("autoencoder-d020", "model", "autoencoder", 20),
        ("map", "vae", "vae", 2),
        ("map", "autoencoder", "autoencoder", 2),
    ],
)
def test_weights_are_the_shipped_ones_bit_for_bit(data, key, kind, latent_dim):
    weights = load(base64.b64decode(content(data)[key]["safetensors"]))
    shipped = load_pretrained(kind, latent_dim).state_dict()
    assert set(weights) == {k for k in shipped if data != "map" or k.startswith("decoder.")}
    for name, value in weights.items():
        assert value.dtype == torch.float16
        assert torch.equal(value.float(), shipped[name])


def test_digits_are_the_first_ten_of_every_class_in_order():
    digits = content("digits")
    _, test = aevb.load_mnist()
    assert digits["labels"] == sorted(digits["labels"])
    assert digits["labels"] == test.labels[digits["indices"]].tolist()
    pixels = np.frombuffer(base64.b64decode(digits["images"]["uint8"]), np.uint8).reshape(100, 784)
    assert np.array_equal(pixels / np.float32(255), test.images[digits["indices"]].numpy())


def test_codes_on_the_map_are_those_of_test_images():
    data = content("map")
    _, test = aevb.load_mnist()
    for kind in ("vae", "autoencoder"):
        codes = floats(data[f"{kind}_codes"]).reshape(-1, 2)
        assert len(codes) == len(data["labels"])
        with torch.no_grad():
            expected = load_pretrained(kind, 2).encode(test.take(len(codes)).images)
        np.testing.assert_allclose(codes, expected.numpy(), rtol=1e-4, atol=1e-4)
    assert data["labels"] == test.labels[: len(data["labels"])].tolist()


def test_kl_finds_the_collapsed_dimensions():
    kl = floats(content("vae-d200")["kl"])
    assert kl.shape == (200,)
    assert 20 <= (kl > 0.02).sum() <= 32
    assert floats(content("vae-d020")["kl"]).min() > 0.1


def test_mixture_is_that_of_the_codes():
    mixture = {name: floats(entry) for name, entry in content("mixture-d020").items()}
    weights, means = mixture["weights"], mixture["means"].reshape(10, 20)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    center = floats(content("autoencoder-d020")["center"])
    np.testing.assert_allclose(weights @ means, center, atol=0.02)


def test_site_files(tmp_path):
    explorer.write_site_files(tmp_path)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    data = {f"data/{name}.js" for name in explorer.DATA}
    assert written == {"explorer.js", "explorer.css"} | data
    assert all((tmp_path / name).stat().st_size < 3_200_000 for name in written)
