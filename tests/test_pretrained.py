"""Weight files: float16 and back, helpful errors, and what ships is what was recorded."""

from importlib.resources import files
from pathlib import Path

import pytest
import torch

import aevb_lib as aevb
from aevb_lib.architectures import ARCHITECTURES
from aevb_lib.experiments import STUDIES, Store
from aevb_lib.pretrained import load_pretrained, save_weights

KINDS = {"vae": aevb.VAE, "autoencoder": aevb.Autoencoder}
each_kind = pytest.mark.parametrize("kind", KINDS)
WEIGHTS = Path(str(files("aevb_lib"))) / "assets" / "weights"
# The judge is test_judge.py's, the folders of other studies are test_experiments.py's.
SHIPPED = sorted(path for path in WEIGHTS.glob("*.*") if path.stem != "judge")
# Rounding the weights to float16 moves the bound by less than this, in nats per image.
TOLERANCE = 0.01


@each_kind
@pytest.mark.parametrize("latent_dim", [1, 20])
def test_it_is_the_reports_model(kind, latent_dim):
    model = ARCHITECTURES[kind](latent_dim, hidden_dim=7)
    assert type(model) is KINDS[kind]
    assert model.latent_dim == latent_dim
    out_dim = 2 * latent_dim if kind == "vae" else latent_dim
    layers = [(784, 7), (7, out_dim), (latent_dim, 7), (7, 784)]
    assert sum(p.numel() for p in model.parameters()) == sum(i * o + o for i, o in layers)


@each_kind
def test_initial_weights_are_a_seeds(kind):
    a, b = (ARCHITECTURES[kind](2, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    assert all(map(torch.equal, a.parameters(), b.parameters()))


@each_kind
def test_float16_round_trip(kind, tmp_path):
    model = ARCHITECTURES[kind](3)
    path = save_weights(model, kind, 3, folder=tmp_path / "new" / "folder")
    assert path.name == f"{kind}-d003.safetensors"
    assert [file.name for file in path.parent.iterdir()] == [path.name], "something was left"
    loaded = load_pretrained(kind, 3, folder=path.parent)
    for a, b in zip(model.parameters(), loaded.parameters(), strict=True):
        assert b.dtype == torch.float32
        assert torch.equal(a.half().float(), b)
    data = aevb.ImageSet(torch.rand(100, 784))
    before, after = (aevb.mean_point_log_likelihood(m, data) for m in (model, loaded))
    assert before == pytest.approx(after, abs=0.1)
    # float16 holds float16 numbers exactly: saving what was loaded changes nothing.
    first = path.read_bytes()
    assert save_weights(loaded, kind, 3, folder=path.parent).read_bytes() == first


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    save_weights(aevb.mnist_vae(2), "vae", 2, folder=tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_weights(aevb.mnist_vae(2), "vae", 2, folder=tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("kind", ["VAE", "ae", ""])
def test_unknown_kinds(kind):
    with pytest.raises(ValueError, match="there are: vae, autoencoder"):
        load_pretrained(kind, 2)


def test_missing_weights_list_those_there_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="there are: none"):
        load_pretrained("vae", 2, folder=tmp_path)
    save_weights(aevb.mnist_vae(2), "vae", 2, folder=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"vae-d007.*there are: vae-d002"):
        load_pretrained("vae", 7, folder=tmp_path)


def test_weights_of_another_size_are_refused(tmp_path):
    save_weights(aevb.mnist_vae(2), "vae", 3, folder=tmp_path)
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_pretrained("vae", 3, folder=tmp_path)


def recorded_run(path):
    kind, latent_dim = path.stem.split("-d")
    runs = [
        run
        for run in STUDIES["latent-dimension"].runs
        if (run.model, run.latent_dim, run.seed) == (kind, int(latent_dim), 0)
    ]
    return runs[0] if runs else None


@pytest.fixture(scope="module")
def test_images():
    return aevb.load_mnist()[1]


def test_shipped_files_have_a_record():
    for path in SHIPPED:
        assert path.suffix == ".safetensors", f"{path} does not belong here"
        run = recorded_run(path)
        assert run is not None, f"no study trains {path.name}"


def test_shipped_weights_are_the_recorded_ones(test_images):
    """The full test set again: what was recorded at the last epoch is what the weights give."""
    for path in SHIPPED:
        run = recorded_run(path)
        if not Store().result_path(run).exists():
            continue  # the weights are written first, the record a moment later
        metrics = Store().read(run).history.last.metrics
        model = load_pretrained(run.model, run.latent_dim)
        if run.model == "vae":
            bound = aevb.mean_bound(model, test_images)
            measured = dict(zip(("elbo", "log_likelihood", "kl"), map(float, bound), strict=True))
            measured["point_log_likelihood"] = aevb.mean_point_log_likelihood(model, test_images)
        else:
            measured = {"log_likelihood": aevb.mean_point_log_likelihood(model, test_images)}
        for name, value in measured.items():
            assert value == pytest.approx(metrics[name], abs=TOLERANCE), (path.name, name)


def test_what_float16_cannot_hold_is_kept_in_float32(tmp_path):
    model = aevb.mnist_vae(2)
    with torch.no_grad():
        model.decoder.mlp.layers[0].bias[0] = 7e4
    save_weights(model, "vae", 2, folder=tmp_path)
    loaded = load_pretrained("vae", 2, folder=tmp_path)
    assert torch.equal(loaded.decoder.mlp.layers[0].bias, model.decoder.mlp.layers[0].bias)
    data = aevb.ImageSet(torch.rand(10, 784))
    assert aevb.mean_elbo(loaded, data) == pytest.approx(aevb.mean_elbo(model, data), abs=0.5)


def test_a_damaged_file_is_named(tmp_path):
    path = save_weights(aevb.mnist_vae(2), "vae", 2, folder=tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=rf"{path}.* is damaged.*copy it again"):
        load_pretrained("vae", 2, folder=tmp_path)


def test_a_tilde_is_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = save_weights(aevb.mnist_vae(2), "vae", 2, folder="~/weights")
    assert path == tmp_path / "weights" / "vae-d002.safetensors"
    assert load_pretrained("vae", 2, folder="~/weights").latent_dim == 2
    aevb.History().save("~/history.json")
    assert aevb.History.load(tmp_path / "history.json") == aevb.History()
