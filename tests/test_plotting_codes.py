"""Maps of codes: every code where it is, every digit named, ten colors that can be told apart."""

import io
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex, to_rgb

from aevb_lib import plotting

CODES = np.random.default_rng(0).normal(size=(60, 2)) * [3.0, 1.0] + [10.0, -4.0]
LABELS = np.arange(60) % 10


def test_a_map_is_closed_and_changes_nothing():
    before = dict(mpl.rcParams)
    figure = plotting.code_map({"VAE": CODES}, LABELS)
    figure.savefig(io.BytesIO(), format="png")
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


def test_each_code_is_at_its_place_in_its_color():
    figure = plotting.code_map({"VAE": torch.tensor(CODES)}, torch.tensor(LABELS))
    (points,) = figure.axes[0].collections
    np.testing.assert_allclose(points.get_offsets(), CODES)
    seen = [to_hex(color) for color in points.get_facecolor()]
    assert seen == [plotting.DIGIT_COLORS[label] for label in LABELS]


# Ten classes far from each other, so that no badge has to step aside.
APART = CODES + 100 * np.stack([LABELS, LABELS % 3], -1)


def test_each_digit_is_written_at_its_median():
    figure = plotting.code_map({"VAE": APART}, LABELS, columns=1)
    texts = figure.axes[0].texts
    assert [text.get_text() for text in texts] == [str(digit) for digit in range(10)]
    for digit, text in enumerate(texts):
        np.testing.assert_allclose(text.xy, np.median(APART[digit::10], axis=0))
        assert to_hex(text.get_bbox_patch().get_facecolor()) == plotting.DIGIT_COLORS[digit]
        assert text.get_fontsize() >= 9
    assert not figure.axes[0].lines


@pytest.mark.parametrize("scale", [0.0, 0.01, 1.0, 100.0])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_badges_never_cover_each_other(scale, columns):
    """Also where all classes share one median; a line leads back to it."""
    clouds = {f"map {i}": scale * CODES for i in range(columns)}
    figure = plotting.code_map(clouds, LABELS, columns=columns)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_bbox_patch().get_window_extent() for text in axes.texts]
        centers = np.array([(box.x0 + box.x1, box.y0 + box.y1) for box in boxes]) / 2
        width = max(box.width for box in boxes)
        assert all(np.hypot(*(a - b)) > 0.95 * width for a, b in combinations(centers, 2))
        medians = {tuple(np.median(scale * CODES[digit::10], axis=0)) for digit in range(10)}
        assert {tuple(line.get_xydata()[0]) for line in axes.lines} <= medians


def test_only_digits_that_are_there_are_written():
    figure = plotting.code_map({"VAE": CODES[:3]}, [7, 2, 7])
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "7"]
    assert not plotting.code_map({"VAE": CODES}, LABELS, badges=False).axes[0].texts


def test_a_writing_stands_out_from_its_badge():
    texts = plotting.code_map({"VAE": CODES}, LABELS).axes[0].texts
    for text in texts:
        bright, dark = sorted(
            (luminance(text.get_color()), luminance(text.get_bbox_patch().get_facecolor())),
            reverse=True,
        )
        assert (bright + 0.05) / (dark + 0.05) > 3.0  # WCAG: large or bold text


def test_units_are_kept_and_all_codes_are_inside():
    (axes,) = plotting.code_map({"VAE": CODES}, LABELS).axes
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert axes.get_aspect() == 1.0
    assert right - left == pytest.approx(top - bottom)
    assert left < CODES[:, 0].min() < CODES[:, 0].max() < right
    assert bottom < CODES[:, 1].min() < CODES[:, 1].max() < top


def test_one_code_is_a_map_too():
    (axes,) = plotting.code_map({"VAE": [[1.0, 2.0]]}, [3]).axes
    assert axes.get_xlim() == (0.0, 2.0)


def test_each_cloud_has_a_panel_and_its_name():
    clouds = {"VAE": CODES, "Autoencoder": 10 * CODES, "one epoch": CODES}
    panels = plotting.code_map(clouds, LABELS, columns=2).axes
    titles = [(axes.get_title(loc="left"), axes._left_title.get_color()) for axes in panels]
    assert titles == [
        ("VAE", plotting.COLORS["VAE"]),
        ("Autoencoder", plotting.COLORS["Autoencoder"]),
        ("one epoch", plotting.INK),
    ]
    np.testing.assert_allclose(panels[1].get_xlim(), np.multiply(10, panels[0].get_xlim()))


@pytest.mark.parametrize(
    ("clouds", "labels", "message"),
    [
        ({}, LABELS, "no panel to draw"),
        ({"VAE": CODES}, LABELS[:5], r"\[5, 2\], one pair per label, but have \[60, 2\]"),
        ({"VAE": np.zeros((60, 20))}, LABELS, r"pick two: codes\[:, \[0, 1\]\]"),
        ({"VAE": np.full((60, 2), np.nan)}, LABELS, "'VAE' must be finite"),
        ({"VAE": CODES}, LABELS + 1, "digits from 0 to 9"),
        ({"VAE": CODES}, LABELS + 0.5, "digits from 0 to 9"),
        ({"VAE": np.zeros((0, 2))}, [], "digits from 0 to 9"),
    ],
)
def test_bad_input_is_named(clouds, labels, message):
    with pytest.raises(ValueError, match=message):
        plotting.code_map(clouds, labels)


def test_columns_must_be_there():
    with pytest.raises(ValueError, match="1 clouds in 0 columns"):
        plotting.code_map({"VAE": CODES}, LABELS, columns=0)


# Linear RGB as seen without one kind of cone: Machado et al. (2009), severity 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colors):
    rgb = np.array([to_rgb(color) for color in colors])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(color):
    return float(linear([color])[0] @ [0.2126, 0.7152, 0.0722])


def oklab(light):
    lms = np.cbrt(
        light
        @ np.array(
            [
                [0.4122214708, 0.2119034982, 0.0883024619],
                [0.5363325363, 0.6806995451, 0.2817188376],
                [0.0514459929, 0.1073969566, 0.6299787005],
            ]
        )
    )
    return lms @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )


def closest(colors, vision):
    seen = oklab(np.clip(linear(colors) @ np.transpose(VISION[vision]), 0, 1))
    return min(np.linalg.norm(a - b) for a, b in combinations(seen, 2))


@pytest.mark.parametrize("vision", VISION)
def test_ten_colors_can_be_told_apart(vision):
    """Further apart, for every kind of vision, than those of matplotlib's two sets of ten."""
    others = [
        mpl.color_sequences[name] for name in ("tab10", "petroff10") if name in mpl.color_sequences
    ]
    assert len(set(plotting.DIGIT_COLORS)) == 10
    assert closest(plotting.DIGIT_COLORS, vision) > 1.4 * max(closest(o, vision) for o in others)
    assert closest(plotting.DIGIT_COLORS, vision) > 0.11
