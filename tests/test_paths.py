"""The study ``paths``: ways between two digits, of which two have the same ends."""

from dataclasses import replace

import pytest
import torch
from tiny import TinyStore, tiny_models

import aevb_lib as aevb
from aevb_lib.experiments import STUDIES, MeasuredPaths, Store, load_result, measure_paths, record
from aevb_lib.experiments.paths import PATH_SETTINGS
from aevb_lib.pretrained import load_judge

MODELS = tiny_models("models", ships_in="")
SETTINGS = {"steps": 3, "pairs": 4}
PATHS = MeasuredPaths(
    name="tiny-paths",
    runs=tuple(replace(run, study="tiny-paths") for run in MODELS.runs),
    unit="of the images",
    tolerance=0.01,
    models=MODELS,
    settings=SETTINGS,
)
WAYS = ("path", "own_fade", "fade")


class Bent(torch.nn.Module):
    """A decoder whose pictures are a function of codes that are pixels."""

    in_dim = 784

    def __init__(self, bend):
        super().__init__()
        self.bend = bend

    def forward(self, z):
        return aevb.diagonal_normal(self.bend(z), torch.ones_like(z))


def transparent(bend=lambda z: z):
    """A model whose codes are the pixels, so that a path is a fade, but for the bend."""
    return aevb.Autoencoder(torch.nn.Identity(), Bent(bend))


@pytest.fixture
def store(tmp_path):
    return TinyStore(tmp_path)


@pytest.fixture(scope="module")
def digits():
    return aevb.load_mnist()[1][:400]


def measured(model, digits, **settings):
    return measure_paths(model, digits, load_judge(), PATH_SETTINGS | settings)


def test_where_codes_are_pixels_all_ways_are_one(digits):
    final = measured(transparent(), digits)
    assert final["path"] == final["own_fade"] == final["fade"]
    assert set(final["gain"].values()) == {0.0}
    assert 60 < final["pairs"] < 100, "a hundred pairs, without those of one digit"
    assert {len(values) for values in final["path"].values()} == {PATH_SETTINGS["steps"]}
    assert final["fade"]["third_digit"][0] < 0.05 < final["fade"]["third_digit"][4]


def test_path_and_own_fade_share_their_ends(digits):
    final = measured(transparent(lambda z: (2 * z).clamp(max=1)), digits)
    for name, values in final["path"].items():
        fade = final["own_fade"][name]
        assert values[0] == fade[0] and values[-1] == fade[-1]
        assert values[4] != fade[4]
        inside = [a - b for a, b in zip(values, fade, strict=True)][1:-1]
        assert final["gain"][name] == pytest.approx(sum(inside) / len(inside))
        assert 0 < final["gain_error"][name] < 0.1
    assert final["own_fade"]["precision"] != final["fade"]["precision"]


def test_fewer_steps_are_the_same_pictures(digits):
    nine, three = (measured(transparent(), digits, steps=steps) for steps in (9, 3))
    for name, values in three["fade"].items():
        assert values == pytest.approx(nine["fade"][name][::4])


@pytest.mark.parametrize("run", PATHS.runs[:2], ids=lambda run: run.name)
def test_paths_are_recorded_and_forged_ones_found(store, run):
    result = record(PATHS, run, store)
    assert store.read(run) == result
    assert result.final["settings"] == SETTINGS
    assert PATHS.redo(result, store) == 0.0
    result.final["path"]["third_digit"][1] += 0.25
    assert PATHS.redo(result, store) == pytest.approx(0.25)


def test_shipped_paths_are_what_the_code_would_measure():
    for result in load_result("paths"):
        final = result.final
        assert final["settings"] == PATH_SETTINGS, f"{result.run.name}: record it again"
        assert all(0 <= share <= 1 for share in STUDIES["paths"].shares(final))
        for name, values in final["path"].items():
            fade = final["own_fade"][name]
            assert values[0] == pytest.approx(fade[0], abs=0.002)
            assert values[-1] == pytest.approx(fade[-1], abs=0.002)
    first = [Store().read(run).final for run in STUDIES["paths"].runs if run.seed == 0]
    assert first[0]["fade"] == first[1]["fade"], "one seed, the same pairs for both models"
