"""Live widgets without a kernel: they show what the codec decodes, and leave no trace."""

import base64
import io
import time

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest
import torch
from ipywidgets import DOMWidget, FloatSlider
from torch import nn

import aevb_lib as aevb
from aevb_lib import widgets

IMAGES = torch.rand(12, 16, generator=torch.Generator().manual_seed(0))
A, B = IMAGES[:2]


def model(kind="vae", size=2, pixels=16):
    generator = torch.Generator().manual_seed(0)
    decoder = aevb.BernoulliMLP(size, pixels, (8,), generator=generator)
    if kind == "vae":
        return aevb.VAE(aevb.GaussianMLP(pixels, size, (8,), generator=generator), decoder)
    return aevb.Autoencoder(aevb.MLP(pixels, size, (8,), generator=generator), decoder)


class Halves:
    """A reader's own codec, without torch modules: two numbers are a dark upper and lower half."""

    def encode(self, x):
        return x.reshape(*x.shape[:-1], 2, 8).mean(-1)

    def decode(self, z):
        return z.repeat_interleave(8, -1)


def seen(picture, side=4):
    """The images in a PNG, [rows, columns, side * side], as they are in [0, 1]."""
    value = np.asarray(PIL.Image.open(io.BytesIO(bytes(getattr(picture, "value", picture)))))
    single = value.shape[0] == value.shape[1]
    zoom = (210 if single else 60) // (side + 2)
    small = value[zoom // 2 :: zoom, zoom // 2 :: zoom]
    np.testing.assert_array_equal(np.kron(small, np.ones((zoom, zoom))), value)  # crisp
    rows, columns = (length // (side + 2) for length in small.shape)
    tiles = small.reshape(rows, side + 2, columns, side + 2).transpose(0, 2, 1, 3)
    assert (tiles[:, :, [0, -1]] == 255).all()
    assert (tiles[:, :, :, [0, -1]] == 255).all()
    return 1 - tiles[:, :, 1:-1, 1:-1].reshape(rows, columns, side**2) / 255


def assert_shows(picture, images):
    expected = images.detach().float().reshape(seen(picture).shape)
    np.testing.assert_allclose(seen(picture), expected, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("shape", [(16,), (5, 16), (2, 5, 16)])
def test_a_picture_shows_every_pixel_where_it_is(shape):
    images = torch.rand(shape)
    assert_shows(widgets.png(images), images)


def test_what_is_out_of_range_is_black_or_white():
    assert seen(widgets.png(torch.tensor([-1.0, 0.0, 1.0, 2.0])), side=2).tolist() == [
        [[0.0, 0.0, 1.0, 1.0]]
    ]


@pytest.mark.parametrize("codec", [model(), model("autoencoder"), Halves()], ids=type)
def test_moving_a_slider_decodes_that_code(codec):
    board = widgets.latent_explorer(codec, images=IMAGES)
    assert isinstance(board, DOMWidget)
    codes = codec.encode(IMAGES).detach()
    mean, spread = codes.mean(0), codes.std(0)
    assert_shows(board.pictures["decoded"], codec.decode(mean))
    for dimension in (0, 1):
        slider = board.controls[f"z[{dimension}]"]
        assert slider.description == f"z[{dimension}]"
        assert slider.min == pytest.approx(float((mean - 3 * spread)[dimension]), abs=1e-5)
        assert slider.max == pytest.approx(float((mean + 3 * spread)[dimension]), abs=1e-5)
        slider.value = (slider.min + slider.value) / 2
    code = torch.tensor([board.controls[f"z[{d}]"].value for d in (0, 1)])
    assert not torch.allclose(code, mean)
    assert_shows(board.pictures["decoded"], codec.decode(code))


def test_sliders_are_few_chosen_and_start_anywhere():
    codec = model(size=30)
    first = widgets.latent_explorer(codec)
    assert [*first.controls] == [f"z[{d}]" for d in range(10)]
    assert {(s.min, s.max, s.value) for s in first.controls.values()} == {(-3.0, 3.0, 0.0)}

    with torch.no_grad():  # two dimensions in which the codes of images differ, and 28 without
        codec.encoder.mlp.layers[-1].weight[:30] *= torch.eye(30)[[17, 4]].sum(0)[:, None] + 1e-3
    widest = widgets.latent_explorer(codec, images=IMAGES)
    assert {"z[4]", "z[17]"} <= {*widest.controls}
    assert len(widest.controls) == 10

    start = torch.linspace(-5, 5, 30)
    chosen = widgets.latent_explorer(codec, dimensions=(29, 7), start=start)
    assert [*chosen.controls] == ["z[29]", "z[7]"]
    assert chosen.controls["z[29]"].value == chosen.controls["z[29]"].max == 5.0
    assert_shows(chosen.pictures["decoded"], codec.decode(start))


def test_reset_and_random_code():
    codec, draws = model(size=5), []
    board = widgets.latent_explorer(codec, dimensions=range(5), seed=3)
    expected = torch.randn(5, generator=torch.Generator().manual_seed(3))
    board._draw = lambda draw=board._draw: draws.append(1) or draw()
    board.buttons["Random code"].click()
    assert len(draws) == 1, "five sliders moved, one picture drawn"
    code = torch.tensor([slider.value for slider in board.controls.values()])
    torch.testing.assert_close(code, expected.clamp(-3, 3))
    assert_shows(board.pictures["decoded"], codec.decode(code))
    board.buttons["Reset"].click()
    assert {slider.value for slider in board.controls.values()} == {0.0}
    assert_shows(board.pictures["decoded"], codec.decode(torch.zeros(5)))


def test_a_random_code_moves_the_dimensions_without_a_slider_too():
    codec = model(size=3)
    board = widgets.latent_explorer(codec, dimensions=[0])
    board.buttons["Random code"].click()
    board.controls["z[0]"].value = 0.0
    code = torch.randn(3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.0, 1, 1])
    assert_shows(board.pictures["decoded"], codec.decode(code))


def test_a_dimension_in_which_codes_do_not_vary_has_a_slider_that_moves():
    board = widgets.latent_explorer(Halves(), images=torch.full((3, 16), 0.25))
    assert [(s.min, s.max) for s in board.controls.values()] == [(-2.75, 3.25)] * 2


@pytest.mark.parametrize("codec", [model(), Halves()], ids=type)
def test_noise_is_in_units_of_the_codes_own_spread(codec):
    board = widgets.noise_explorer(codec, IMAGES, seed=5)
    codes = codec.encode(IMAGES).detach()
    board.controls["image"].value, board.controls["noise"].value = 3, 1.2
    pictures = board.pictures
    for seed in (5, 6):
        noise = torch.randn(2, generator=torch.Generator().manual_seed(seed))
        assert_shows(pictures["original"], IMAGES[3])
        assert_shows(pictures["decoded"], codec.decode(codes[3]))
        disturbed = codec.decode(codes[3] + 1.2 * codes.std(0) * noise)
        assert_shows(pictures["decoded with noise"], disturbed.clamp(0, 1))
        board.buttons["New noise"].click()
    board.controls["noise"].value = 0
    assert bytes(pictures["decoded"].value) == bytes(pictures["decoded with noise"].value)


def test_a_path_has_its_ends_and_all_between():
    codec = model("autoencoder", size=3)
    board = widgets.interpolation_explorer(codec, A, B)
    ends = codec.encode(torch.stack([A, B])).detach()
    for way in (0.0, 0.37, 1.0):
        board.controls["share of the way"].value = way
        assert_shows(board.pictures["on the way"], codec.decode(torch.lerp(*ends, way)))
    tenths = torch.stack([torch.lerp(*ends, i / 10) for i in range(11)])
    assert_shows(board.pictures["the whole way"], codec.decode(tenths))


def learner(codec):
    return aevb.AEVB(codec, torch.optim.Adam(codec.parameters(), lr=1e-2))


class Restless(aevb.VAE):
    """Whose encoder changes when somebody looks: statistics of batches, random dropout."""

    def __init__(self):
        super().__init__(aevb.GaussianMLP(16, 2, (8,)), aevb.BernoulliMLP(2, 16, (8,)))
        self.norm, self.drop = nn.BatchNorm1d(16), nn.Dropout(0.5)

    def encode(self, x):
        torch.rand(1)
        return super().encode(self.drop(self.norm(x)))


def test_watching_changes_nothing():
    def run(watched):
        torch.manual_seed(0)
        codec = Restless()
        codec.decoder.eval()
        monitor = widgets.training_monitor(codec, IMAGES[:4]) if watched else None
        batches = aevb.ImageSet(IMAGES).batches(4, generator=torch.Generator().manual_seed(0))
        history = aevb.fit(
            learner(codec),
            batches,
            epochs=3,
            record_every=2,
            evaluate=lambda m: {"elbo": aevb.mean_elbo(m, aevb.ImageSet(IMAGES))},
            on_record=monitor,
        )
        modes = [module.training for module in codec.modules()]
        assert True in modes
        assert False in modes
        rows = [(r.step, r.epoch, r.examples, r.metrics) for r in history]
        return rows, codec.state_dict(), modes, torch.get_rng_state()

    with_monitor, without = run(True), run(False)
    assert with_monitor[0] == without[0]
    assert with_monitor[2] == without[2]
    assert torch.equal(with_monitor[3], without[3])
    for name, value in without[1].items():
        assert torch.equal(with_monitor[1][name], value), name


def test_the_monitor_draws_what_there_is(monkeypatch):
    codec, drawn = model(), []
    monitor = widgets.training_monitor(codec, IMAGES[:4])
    assert repr(monitor) == "Monitor(pictures=['originals and reconstructions'])"
    before = bytes(monitor.pictures["originals and reconstructions"].value)
    real = widgets.monitor.lines
    monkeypatch.setattr(
        widgets.monitor, "lines", lambda x, y, **k: drawn.append((x, y)) or real(x, y, **k)
    )
    history = aevb.fit(
        learner(codec),
        aevb.ImageSet(IMAGES).batches(4),
        epochs=2,
        evaluate=lambda m: {"test": 1.0},
        on_record=monitor,
    )
    assert plt.get_fignums() == []
    assert drawn[-1] == (
        history["epoch"],
        {"train_elbo": history["train_elbo"], "test": history["test"]},
    )
    rows = torch.stack([IMAGES[:4], codec.decode(codec.encode(IMAGES[:4]))])
    assert bytes(monitor.pictures["originals and reconstructions"].value) != before
    assert_shows(monitor.pictures["originals and reconstructions"], rows)
    curves = PIL.Image.open(io.BytesIO(bytes(monitor.pictures["learning curves"].value)))
    assert curves.size == (640, 360)
    widgets.training_monitor(codec, IMAGES[:4], metrics=["train_kl"])(history)
    assert [*drawn[-1][1]] == ["train_kl"]


devices = pytest.mark.parametrize(
    "place",
    [
        {"dtype": torch.float64},
        {"dtype": torch.bfloat16},
        pytest.param(
            {"device": "cuda"},
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
        ),
    ],
    ids=str,
)


@devices
def test_a_model_is_met_where_it_is(place):
    codec = model().to(**place)
    widgets.noise_explorer(codec, IMAGES)
    widgets.interpolation_explorer(codec, A, B)
    monitor = widgets.training_monitor(codec, IMAGES[:4].to(**place))
    monitor(aevb.History([aevb.Record(1, 1.0, 4, 0.1, {"train_elbo": -3.0})]))
    assert len(monitor.pictures) == 2
    board = widgets.latent_explorer(codec, images=IMAGES)
    board.controls["z[0]"].value = code = board.controls["z[0]"].max
    codes = torch.tensor([code, board.controls["z[1]"].value]).to(**place)
    assert_shows(board.pictures["decoded"], codec.decode(codes).cpu())


class Bad(Halves):
    def __init__(self, **methods):
        self.__dict__.update(methods)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: widgets.latent_explorer(nn.Linear(2, 2)), Exception, "no encode and decode|Codec"),
        (lambda: widgets.latent_explorer(Halves()), ValueError, r"pass start=torch\.zeros\(D\)"),
        (
            lambda: widgets.latent_explorer(model(), dimensions=[0, 2]),
            ValueError,
            r"some of 0 to 1, got \[0, 2\]",
        ),
        (lambda: widgets.latent_explorer(model(), dimensions=[-1]), ValueError, r"got \[-1\]"),
        (lambda: widgets.latent_explorer(model(), dimensions=[]), ValueError, r"got \[\]"),
        (
            lambda: widgets.latent_explorer(model(), images=IMAGES, start=torch.zeros(3)),
            ValueError,
            r"start must be one code \[2\], got shape \[3\]",
        ),
        (
            lambda: widgets.latent_explorer(model(), start=torch.zeros(1, 2)),
            ValueError,
            r"got shape \[1, 2\]",
        ),
        (lambda: widgets.noise_explorer(model(), IMAGES[:1]), ValueError, "at least two"),
        (lambda: widgets.noise_explorer(model(), A), ValueError, r"images\[None\] on one image"),
        (
            lambda: widgets.noise_explorer(model(), IMAGES.reshape(12, 4, 4)),
            ValueError,
            r"shape \[12, 4, 4\]: use images\.flatten\(1\)",
        ),
        (
            lambda: widgets.noise_explorer(model(), aevb.ImageSet(IMAGES)),
            Exception,
            r"pass its \.images|Tensor",
        ),
        (
            lambda: widgets.noise_explorer(model(), IMAGES * float("nan")),
            ValueError,
            "look for nan",
        ),
        (
            lambda: widgets.noise_explorer(Bad(encode=lambda x: x.mean(-1)), IMAGES),
            ValueError,
            r"returned shape \[12\] for 12 images",
        ),
        (
            lambda: widgets.latent_explorer(Bad(decode=lambda z: z.repeat(5)), images=IMAGES),
            ValueError,
            r"flat square images \[n, P\], got shape \[10\]",
        ),
        (
            lambda: widgets.interpolation_explorer(model(), IMAGES[:1], IMAGES[1:2]),
            ValueError,
            r"got shapes \[1, 16\] and \[1, 16\]: pass images\[0\]",
        ),
        (
            lambda: widgets.interpolation_explorer(model(), A, B[:4]),
            ValueError,
            r"\[16\] and \[4\]",
        ),
        (
            lambda: widgets.training_monitor(model(), IMAGES, metrics=["loss"])(
                aevb.fit(learner(model()), aevb.ImageSet(IMAGES).batches(4), epochs=1)
            ),
            KeyError,
            "no column 'loss'",
        ),
        (lambda: widgets.png(torch.zeros(1, 1, 1, 16)), ValueError, "flat square images"),
    ],
)
def test_the_message_names_the_fix(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_looking_draws_no_random_numbers():
    codec = Restless()
    state = torch.get_rng_state()
    board = widgets.noise_explorer(codec, IMAGES)
    board.buttons["New noise"].click()
    widgets.latent_explorer(codec, images=IMAGES).buttons["Random code"].click()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in codec.modules())


def test_a_mistake_in_a_button_does_not_freeze_the_board():
    dial = FloatSlider(description="dial", max=1)
    board = widgets.Board(
        lambda: {"pixel": widgets.png(torch.tensor([dial.value]))}, [dial], {"fail": lambda: 1 / 0}
    )
    board.buttons["fail"].click()  # ipywidgets reports it in the notebook's log
    dial.value = 1
    assert seen(board.pictures["pixel"], side=1).item() == 1


@pytest.mark.skipif(not hasattr(DOMWidget, "_repr_mimebundle_"), reason="ipywidgets 7")
def test_without_a_kernel_the_pictures_stand_still():
    """A stored output has no live view: its HTML is what JupyterLab shows before a cell is run."""
    board = widgets.interpolation_explorer(model(), A, B)
    bundle = board._repr_mimebundle_()
    for caption, picture in board.pictures.items():
        assert base64.b64encode(bytes(picture.value)).decode() in bundle["text/html"]
        assert f"<figcaption>{caption}</figcaption>" in bundle["text/html"]
    assert bundle["text/plain"] == repr(board)


def test_sliders_are_wide_and_say_all_of_their_names():
    for control in widgets.interpolation_explorer(model(), A, B).controls.values():
        assert control.layout.width == "24em"
        assert control.style.description_width == "initial"


def test_dragging_is_fast():
    board = widgets.latent_explorer(aevb.mnist_vae(20))
    slider, took = board.controls["z[0]"], []
    for step in range(20):
        start = time.perf_counter()
        slider.value = step / 10
        took.append(time.perf_counter() - start)
    assert sorted(took)[10] < 0.05
