"""Figures: closed, without side effects, and with everything where it should be."""

import io
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from aevb_lib import plotting
from aevb_lib.history import History, Record


def history(offset=0.0, n=3):
    return History(
        [Record(s, float(s), 100 * s, 0.1 * s, {"elbo": offset - 200 / s}) for s in range(1, n + 1)]
    )


IMAGES = torch.rand(6, 16, generator=torch.Generator().manual_seed(0))
# Everything that makes a figure; a new one is one line here.
FIGURES = {
    "canvas": lambda: plotting.canvas(1, 2)[0],
    "learning_curves": lambda: plotting.learning_curves({"AEVB": history(), "x": [history()] * 2}),
    "lines": lambda: plotting.lines(
        [1, 2, 3],
        {"VAE": [1, 2, 3], "new": ([1, 2, 3], [0, 1, 2], [2, 3, 4])},
        xlabel="x",
        ylabel="y",
    ),
    "small_multiples": lambda: plotting.small_multiples(
        {"one": {"VAE": ([1, 2], [1, 2])}, "two": {"new": ([1, 2], ([1, 2], [0, 1], [2, 3]))}},
        xlabel="x",
        ylabel="y",
    ),
    "image_grid": lambda: plotting.image_grid(IMAGES, columns=3),
    "image_rows": lambda: plotting.image_rows({"Original": IMAGES, "VAE": IMAGES}),
}
each_figure = pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)


@each_figure
def test_a_figure_is_closed_and_changes_nothing(make):
    before = dict(mpl.rcParams)
    figure = make()
    assert isinstance(figure, mpl.figure.Figure)
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before
    figure.savefig(io.BytesIO(), format="png")
    assert dict(mpl.rcParams) == before


def mosaic_of(figure):
    (image,) = figure.axes[0].images
    return np.asarray(image.get_array())


@pytest.mark.parametrize("gap", [0.0, 0.25])
def test_pixels_are_where_they_should_be(gap):
    mosaic, cell = mosaic_of(plotting.image_grid(IMAGES, columns=3, gap=gap)), 4 + round(4 * gap)
    seen = np.zeros_like(mosaic, dtype=bool)
    for index, image in enumerate(IMAGES.numpy()):
        rows = slice(index // 3 * cell, index // 3 * cell + 4)
        columns = slice(index % 3 * cell, index % 3 * cell + 4)
        np.testing.assert_allclose(mosaic[rows, columns], image.reshape(4, 4))
        seen[rows, columns] = True
    assert mosaic.shape == (2 * cell - (cell - 4), 3 * cell - (cell - 4))
    assert (mosaic[~seen] == 0).all(), "gaps are background"


def test_a_grid_brings_its_own_columns():
    grid = IMAGES.reshape(2, 3, 16)
    np.testing.assert_array_equal(
        mosaic_of(plotting.image_grid(grid)), mosaic_of(plotting.image_grid(IMAGES, columns=3))
    )


def test_rows_hold_their_images_and_their_names():
    figure = plotting.image_rows({"Original": IMAGES, "VAE": 1 - IMAGES})
    labels = [axes.yaxis.label for axes in figure.axes]
    assert [label.get_text() for label in labels] == ["Original", "VAE"]
    assert labels[1].get_color() == plotting.COLORS["VAE"]
    first, second = (np.asarray(axes.images[0].get_array()) for axes in figure.axes)
    np.testing.assert_allclose(first[:4, :4], IMAGES[0].reshape(4, 4), atol=1e-6)
    np.testing.assert_allclose(second[:4, :4], 1 - IMAGES[0].reshape(4, 4), atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 15), (16,)])
def test_images_must_be_flat_squares(shape):
    with pytest.raises(ValueError, match="flat square images"):
        plotting.image_grid(np.zeros(shape))


def test_rows_must_agree():
    with pytest.raises(ValueError, match=r"same number of images, got \[3, 6\]"):
        plotting.image_rows({"a": IMAGES, "b": IMAGES[:3]})


@pytest.mark.parametrize("count", [2, 5, 6])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0])
def test_names_at_the_ends_do_not_overlap_and_stay_in_the_picture(count, spread):
    curves = {f"curve {i}": [0.0, 1.0 + spread * i] for i in range(count)}
    figure = plotting.lines([1, 2], curves, xlabel="x", ylabel="y")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == count
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y0 >= 0
        assert box.y1 <= figure.bbox.y1 + 1


@pytest.mark.parametrize(("count", "columns", "legend"), [(5, 3, 5), (4, 2, None), (1, 1, None)])
def test_small_multiples_hold_their_curves_and_one_legend(count, columns, legend):
    x = np.arange(1, 4)
    panels = {
        f"D = {i}": {"AEVB": (x, i * x), "Wake-sleep": (x, (x, x - i, x + i))} for i in range(count)
    }
    figure = plotting.small_multiples(
        panels, xlabel="x", ylabel="y", dashed={"Wake-sleep"}, columns=columns, xscale="log"
    )
    for index, (axes, title) in enumerate(zip(figure.axes, panels, strict=False)):
        aevb, rival = axes.lines
        assert axes.get_title(loc="left") == title
        np.testing.assert_allclose(aevb.get_ydata(), index * x)
        assert [line.get_linestyle() for line in (aevb, rival)] == ["-", "--"]
        assert rival.get_color() == plotting.COLORS["Wake-sleep"]
        edges = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert (edges.min(), edges.max()) == (1 - index, 3 + index)
        assert axes.get_xscale() == "log"
    legends = {i: axes.get_legend() for i, axes in enumerate(figure.axes) if axes.get_legend()}
    if figure.legends:
        (legends[None],) = figure.legends
    assert list(legends) == [legend], "in the free place, or below all panels"
    names = [text.get_text() for text in legends[legend].get_texts()]
    assert names == ["AEVB", "Wake-sleep"]


def test_colors_are_stable():
    assert plotting.color_of("VAE, D = 20") == plotting.color_of("vae") == plotting.COLORS["VAE"]
    figure = plotting.lines(
        [1, 2], {"new": [1, 2], "Autoencoder, D = 2": [2, 3]}, xlabel="x", ylabel="y"
    )
    colors = {line.get_label(): line.get_color() for line in figure.axes[0].lines}
    assert colors["Autoencoder, D = 2"] == plotting.COLORS["Autoencoder"]
    assert colors["new"] != colors["Autoencoder, D = 2"]


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(KeyError, match="there are: VAE, AEVB"):
        plotting.color_of("GAN")


def test_several_runs_are_a_mean_and_a_band():
    figure = plotting.learning_curves(
        {"AEVB": [history(-1.0), history(+3.0)]}, "elbo", x="examples"
    )
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [100, 200, 300])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), np.array(history(1.0)["elbo"]))
    edges = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert edges.min() == pytest.approx(-201.0)
    assert edges.max() == pytest.approx(3 - 200 / 3)
    assert axes.get_xlabel() == "examples"
    assert axes.get_ylabel() == "ELBO (nats per image)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: plotting.learning_curves({"a": History()}, "step"),
            ValueError,
            "no recorded rows",
        ),
        (lambda: plotting.learning_curves({}), ValueError, "no curve to draw"),
        (
            lambda: plotting.small_multiples({"a": {}}, xlabel="", ylabel=""),
            ValueError,
            "no curve to draw",
        ),
        (lambda: plotting.learning_curves({"a": history()}, "kl"), KeyError, "no column 'kl'"),
        (lambda: plotting.lines([1], {}, xlabel="", ylabel=""), ValueError, "no curve to draw"),
    ],
)
def test_nothing_to_draw(call, error, message):
    with pytest.raises(error, match=message):
        call()
