"""Recorded studies: resumable, atomic, falsifiable. Tiny data stand in for MNIST."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import joblib
import pytest
import torch
from oracles import assert_same_mean
from tiny import TinyStore, tiny_models

import aevb_lib as aevb
from aevb_lib import experiments
from aevb_lib.evidence import ais_log_likelihood
from aevb_lib.experiments import (
    STUDIES,
    MeasuredCodes,
    MeasuredDensities,
    Result,
    Store,
    TrainedRun,
    latent_dimension_table,
    load_result,
    mean_and_spread,
    measure_densities,
    record,
    run_study,
    verify,
)
from aevb_lib.experiments.__main__ import main
from aevb_lib.experiments.codes import (
    CODE_SETTINGS,
    generate_images,
    measured_shares,
)
from aevb_lib.experiments.recipe import LEARNING_RATES
from aevb_lib.experiments.study import Study
from aevb_lib.history import History
from aevb_lib.latents import neighbor_accuracy
from aevb_lib.noise import NoiseCurve, noise_curve
from aevb_lib.pretrained import load_judge, load_pretrained
from aevb_lib.sample_quality import FeatureCloud, Judge, SampleQuality

STUDY = tiny_models()
TINY = STUDY.runs
ASSETS = Store()
SHIPPED = {
    (name, run.name)
    for name, study in STUDIES.items()
    for run in study.runs
    if ASSETS.result_path(run).exists()
}
COMPARISONS = ("bound-vs-samples", "likelihood-race", "mcem-variants")
COMPARED = [result for name in COMPARISONS for result in load_result(name)]


@pytest.fixture
def store(tmp_path):
    return TinyStore(tmp_path)


def files_in(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- what ships ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STUDIES)
def test_a_studys_runs_have_names_of_their_own(name):
    study = STUDIES[name]
    assert study.name == name
    assert {run.study for run in study.runs} == {name}
    assert len({type(run) for run in study.runs}) == 1
    names = [run.name for run in study.runs]
    assert len(set(names)) == len(names)
    for run in study.runs:
        assert type(run)(**json.loads(json.dumps(asdict(run)))) == run


def test_no_record_is_an_orphan():
    found = {(p.parent.name, p.stem) for p in ASSETS.studies.rglob("*") if p.is_file()}
    known = {(name, run.name) for name, study in STUDIES.items() for run in study.runs}
    assert found <= known | {(ASSETS.studies.name, "judge")}


def test_reading_and_writing_gives_back_the_same_bytes(tmp_path):
    copy = Store(tmp_path)
    for study in STUDIES.values():
        for result in ASSETS.read_all(study.runs):
            copy.write(result)
            path = ASSETS.result_path(result.run)
            assert copy.result_path(result.run).read_bytes() == path.read_bytes(), path.name
    assert len(files_in(tmp_path)) == len(SHIPPED) > 100


def test_shipped_records_are_what_the_code_would_run():
    for name in {name for name, _ in SHIPPED} & {"latent-dimension", "regimes"}:
        for result in load_result(name):  # raises where a configuration differs
            run, history = result.run, result.history
            assert not history.interrupted
            assert history["epoch"] == list(range(1, run.epochs + 1)), run.name
            assert history.last.examples == 60_000 * run.epochs
            assert {"python", "torch", "commit", "hardware"} <= set(result.provenance)
            assert 0 < result.final["reconstruction_error"] < 0.2
            if run.model == "vae":
                last = history.last.metrics
                assert last["elbo"] == pytest.approx(last["log_likelihood"] - last["kl"], abs=1e-3)
                kl = result.final["kl_per_dimension"]
                assert len(kl) == run.latent_dim
                assert sum(kl) == pytest.approx(last["kl"], abs=0.01)


def test_shipped_comparisons_are_what_the_code_would_run():
    assert {result.run.study for result in COMPARED} == set(COMPARISONS)
    for result in COMPARED:  # reading them raises where a configuration differs
        run, history, final = result.run, result.history, result.final
        total = run.epochs * run.steps_per_epoch
        expected = STUDIES[run.study].rows(total)
        assert history["step"] == expected + [total] * (expected[-1] < total), run.name
        assert history.last.examples == run.epochs * run.num_train
        tried = {float(rate): value for rate, value in final["learning_rates"].items()}
        if run.learning_rate is not None:
            assert not tried and final["learning_rate"] == run.learning_rate
        else:
            assert tuple(tried) == LEARNING_RATES
            assert tried[final["learning_rate"]] == max(tried.values())
        assert 0 < final["step_seconds"] < 1
        if run.study == "bound-vs-samples":
            last = history.last.metrics
            assert last["elbo"] == pytest.approx(last["log_likelihood"] - last["kl"], abs=1e-3)
        if run.algorithm == "mcem":
            assert history["train_acceptance"][-1] == pytest.approx(0.9, abs=0.02)


def test_shipped_weights_of_the_race_are_the_recorded_ones():
    study = STUDIES["likelihood-race"]
    test = aevb.load_mnist(regime="static")[1][: study.num_images]
    shipped = [result for result in load_result("likelihood-race") if result.run.seed == 0]
    assert shipped
    for result in shipped:
        run, last = result.run, result.history.last.metrics
        model = study.load_model(run)
        if isinstance(model, aevb.VAE):
            assert aevb.mean_elbo(model, test) == pytest.approx(last["elbo"], abs=0.03), run.name
        else:
            # Chains amplify the rounding of weights, so they are other chains: noise of estimates.
            annealed = ais_log_likelihood(
                model,
                test.images,
                num_temperatures=study.num_temperatures,
                num_chains=study.num_chains,
            )
            value = annealed.mean().item()
            assert value == pytest.approx(last["annealed_log_likelihood"], abs=0.5), run.name


@pytest.mark.parametrize(
    ("name", "first", "per_doubling", "last"),
    [
        ("bound-vs-samples", 500, 3, 80_635),
        ("likelihood-race", 250, 1, 64_000),
        ("mcem-variants", 250, 1, 64_000),
    ],
)
def test_rows_of_a_comparison_grow_geometrically(name, first, per_doubling, last):
    rows = STUDIES[name].rows(100_000)
    assert rows[0] == first and rows[-1] == last
    assert rows[per_doubling] == 2 * first


codes_ship = pytest.mark.skipif(
    "codes" not in {name for name, _ in SHIPPED}, reason="no codes are recorded yet"
)


@codes_ship
def test_shipped_codes_are_what_the_code_would_measure():
    for result in load_result("codes"):
        name, final = result.run.name, result.final
        assert len(result.history) == 0, "nothing is trained"
        assert result.provenance["hardware"]
        assert final["settings"] == CODE_SETTINGS, f"{name}: record it again"
        assert set(final) == {"settings", "classes", "generation", "noise"}
        assert set(final["classes"]) == {"neighbors", "linear"}
        assert set(final["generation"]) == {"random", "prior", "normal", "mixture"}
        assert all(0 <= share <= 1 for share in measured_shares(final)), name
        assert min(final["classes"].values()) > 0.2, "ten classes: chance is a tenth"
        for made in final["generation"].values():
            assert set(made) == set(SampleQuality._fields)
            assert made["frechet"] > 0
            assert 0.1 < made["confidence"] <= 1 and 0 <= made["balance"] <= 1
        assert set(final["noise"]) == {"own", "absolute"}
        for unit, curve in final["noise"].items():
            assert curve["scales"] == CODE_SETTINGS[f"{unit}_scales"]
            assert set(curve) == set(NoiseCurve._fields)
            assert {len(column) for column in curve.values()} == {len(curve["scales"])}
            assert all(0.1 < value <= 1 for value in curve["confidence"])
            assert 0 < curve["squared_error"][0] < curve["squared_error"][-1] < 1
            assert curve["accuracy"][0] > curve["accuracy"][-1]
        # Without noise, the unit of the noise is nothing.
        first = [[curve[field][0] for field in curve] for curve in final["noise"].values()]
        assert first[0] == first[1], name


@codes_ship
@pytest.mark.parametrize("kind", ["vae", "autoencoder"])
def test_shipped_codes_are_those_of_the_shipped_weights(kind):
    """A part of two records, measured again: whoever changes a number there is found out."""
    run = next(run for run in STUDIES["codes"].runs if (run.model, run.latent_dim) == (kind, 2))
    final = ASSETS.read(run).final
    model, judge = load_pretrained(kind, 2), load_judge()
    train, test = aevb.load_mnist()
    train = train[: CODE_SETTINGS["labeled"]]
    with torch.no_grad():
        known, asked = model.encode(train.images), model.encode(test.images)
    neighbors = neighbor_accuracy(known, train.labels, asked, test.labels)
    assert neighbors == pytest.approx(final["classes"]["neighbors"], abs=0.002)
    every = CODE_SETTINGS["every"]
    disturbed = test[::every]
    cloud = FeatureCloud(judge.features(test.images[1:10]))  # its precision is not compared
    recorded = final["noise"]["own"]
    curve = noise_curve(model, disturbed, judge, cloud, [0.0, 1.0], unit=known.std(0))
    for column in ("accuracy", "confidence", "squared_error"):
        expected = [recorded[column][recorded["scales"].index(scale)] for scale in curve.scales]
        assert getattr(curve, column) == pytest.approx(expected, abs=0.002), column


def test_shipped_densities_are_of_the_models_whose_codes_were_measured():
    study = STUDIES["densities"]
    for result in load_result("densities"):
        final, run = result.final, result.run
        assert final["settings"] == study.settings, f"{run.name}: record it again"
        assert all(0 <= share <= 1 for share in study.shares(final)), run.name
        assert set(final["generation"]) == {"prior", "samples", "unseen"}
        # Two times 5,000 images of one model: both shares have a standard error below 0.007.
        prior = ASSETS.read(replace(run, study="codes")).final["generation"]["prior"]
        assert final["generation"]["prior"]["precision"] == pytest.approx(
            prior["precision"], abs=0.04
        )
        assert sum(final["holes"]["precision"]) / 5 == pytest.approx(
            final["generation"]["prior"]["precision"]
        )


# --- recording -----------------------------------------------------------------------------------


@pytest.mark.parametrize("run", TINY[:2], ids=lambda run: run.name)
def test_a_result_and_back(store, run):
    result = record(STUDY, run, store)
    assert Result.from_json(result.to_json(), TrainedRun) == result
    assert store.read(run) == result
    assert result.run == run
    assert result.history["epoch"] == [1, 2]
    names = {"log_likelihood", "seen_log_likelihood", "train_log_likelihood"}
    if run.model == "vae":
        names |= {f"{a}{b}" for a in ("", "seen_", "train_") for b in ("elbo", "kl")}
        names |= {"active_units", "point_log_likelihood"}
    assert set(result.history.metrics) == names


def test_a_record_is_a_public_file_beside_its_weights(store, tmp_path):
    record(STUDY, TINY[4], store)
    weights = "cache/weights/tiny/grey-seed1/vae-d002.safetensors"
    assert sorted(files_in(tmp_path)) == [weights, f"tiny/{TINY[4].name}.json"]
    assert (tmp_path / "tiny" / f"{TINY[4].name}.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("ships_in", "folder"), [("", "weights"), ("race", "weights/race")])
def test_weights_that_ship_are_those_of_the_first_seed(store, tmp_path, ships_in, folder):
    """Of such studies only: another one must not write over the weights that ship."""
    record(STUDY, TINY[0], store)
    assert not (tmp_path / "weights").exists()
    study = tiny_models("shipping", latent_dims=(2,), ships_in=ships_in)
    for seed in (1, 0):
        run = next(run for run in study.runs if (run.model, run.seed) == ("vae", seed))
        record(study, run, store)
        assert (tmp_path / folder / "vae-d002.safetensors").exists() == (seed == 0)


def test_paths_of_the_package(monkeypatch, tmp_path):
    """Where readers have their files since they were recorded, and the 80 MB that do not ship."""
    monkeypatch.setenv("AEVB_DATA", str(tmp_path))
    assets = Path(aevb.__file__).parent / "assets"
    run = next(run for run in STUDIES["regimes"].runs if run.seed == 2)
    assert ASSETS.result_path(run) == assets / "studies/regimes/vae-static-d020-seed2.json"
    assert ASSETS.judge_path == assets / "studies/judge.json"
    cached = tmp_path / "weights/regimes/static-seed2"
    assert ASSETS.weights_folder(run, ships_in=None) == cached
    assert ASSETS.weights_folder(run, ships_in="") == assets / "weights"
    ships = {name: study.ships_in for name, study in STUDIES.items() if study.ships_in is not None}
    assert ships.pop("latent-dimension") == ""
    assert ships == {name: name for name in ("likelihood-race", "likelihoods")}


def test_kept_weights_are_those_that_were_measured(store):
    run = TINY[4]
    result = record(STUDY, run, store)
    _, test = store.images()
    expected = result.history.last.metrics["point_log_likelihood"]
    model = STUDY.load_model(run, store)
    assert aevb.mean_point_log_likelihood(model, test) == pytest.approx(expected, abs=0.1)


def test_same_run_same_result(tmp_path):
    first, second = (record(STUDY, TINY[0], TinyStore(tmp_path / name)) for name in "ab")
    for a, b in zip(first.history, second.history, strict=True):
        assert replace(a, seconds=0) == replace(b, seconds=0)
    assert first.final == second.final


def test_what_is_recorded_is_read_and_not_done_again(store):
    first = record(STUDY, TINY[0], store)
    assert store.loaded == ["grey"]
    assert record(STUDY, TINY[0], store) == first
    assert store.loaded == ["grey"], "the second time must not load data"


def test_a_study_can_be_resumed(store, tmp_path):
    done = next(iter(run_study(STUDY, store, seeds=[0])))
    before = files_in(tmp_path)
    results = [done, *run_study(STUDY, store)]
    after = files_in(tmp_path)
    assert before.items() <= after.items(), "a finished run was touched"
    assert len(results) >= 1
    assert list(run_study(STUDY, store)) == []
    assert [r.run for r in store.read_all(TINY)] == list(TINY), "in the study's order"


def test_seeds_select(store):
    assert {r.run.seed for r in run_study(STUDY, store, seeds=[1])} == {1}
    assert {check.name[-1] for check in verify(STUDY, store, seeds=[1])} == {"1"}
    assert list(verify(STUDY, store, seeds=[0])) == []


def test_runs_in_other_processes(store):
    here = tiny_models(latent_dims=(2,), epochs=1)
    assert {r.run for r in run_study(here, store, jobs=2)} == set(here.runs)
    assert [r.run for r in store.read_all(here.runs)] == list(here.runs)


@dataclass(frozen=True)
class FailingStore(TinyStore):
    """A store that fails where a model's weights would be written."""

    def save_weights(self, *_, **__):
        raise OSError("power cut")


@pytest.mark.parametrize("where", ["weights", "os.replace"])
def test_nothing_half_written(tmp_path, monkeypatch, where):
    def fail(*_, **__):
        raise OSError("power cut")

    store = FailingStore(tmp_path) if where == "weights" else TinyStore(tmp_path)
    if where == "os.replace":
        monkeypatch.setattr(where, fail)
    for run in (TINY[0], TINY[4]):
        with pytest.raises(OSError, match="power cut"):
            record(STUDY, run, store)
    # The state of the training is kept, for the next attempt.
    assert [name for name in files_in(tmp_path) if "/checkpoints/" not in name] == []


def test_an_interrupted_run_is_not_recorded(store, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(aevb.AEVB, "step", interrupt)
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        record(STUDY, TINY[0], store)
    # Only the state of the training is kept, for the next attempt.
    assert [name for name in files_in(tmp_path) if "/checkpoints/" not in name] == []


def test_another_configuration_is_an_error(store):
    record(STUDY, TINY[0], store)
    changed = replace(TINY[0], learning_rate=1.0)
    with pytest.raises(ValueError, match=r"another configuration.*remove the file"):
        store.read_all([changed])
    with pytest.raises(ValueError, match="another configuration"):
        record(STUDY, changed, store)


def test_unknown_and_unrecorded_studies(tmp_path):
    with pytest.raises(KeyError, match="no study 'lattent'; there are: latent-dimension"):
        load_result("lattent")
    with pytest.raises(FileNotFoundError, match=r"python -m aevb_lib.experiments run regimes"):
        load_result("regimes", Store(tmp_path))


def test_importance_sampling_where_asked_for(store):
    run = replace(TINY[0], num_importance_samples=20)
    result = record(STUDY, run, store)
    value = result.final["importance_log_likelihood"]
    assert value >= result.history.last.metrics["elbo"] - 1


@dataclass(frozen=True, kw_only=True)
class Squares(Study[TrainedRun]):
    """A kind of study that nobody has seen before: it squares its seed."""

    def do(self, run, store):
        return Result(run, History(), {"square": run.seed**2}, {})

    def redo(self, result, store=ASSETS, *, epochs=1):
        return float(abs(self.do(result.run, store).final["square"] - result.final["square"]))


def test_recording_knows_no_kind_of_study(store, capsys):
    runs = tuple(TrainedRun("squares", "vae", 2, seed) for seed in (2, 3))
    study = Squares(name="squares", runs=runs, unit="apples", tolerance=0.5)
    command = {"studies": {"squares": study}, "store": store}
    assert main(["run", "squares"], **command) == 0
    assert [result.final["square"] for result in store.read_all(runs)] == [4, 9]
    assert main(["verify", "squares"], **command) == 0
    assert "0.0000 apples from the record" in capsys.readouterr().out
    store.write(replace(store.read(runs[0]), final={"square": 5}))
    assert main(["verify", "squares"], **command) == 1
    with pytest.raises(TypeError, match="'squares' keeps no weights"):
        study.load_model(runs[0], store)


# --- verifying -----------------------------------------------------------------------------------


@pytest.mark.parametrize("run", TINY[:2], ids=lambda run: run.name)
@pytest.mark.parametrize("epochs", [1, 2])
def test_the_same_machine_gives_the_same_numbers(store, run, epochs):
    result = record(STUDY, run, store)
    assert STUDY.redo(result, store, epochs=epochs) < 1e-3
    assert [check.name for check in verify(STUDY, store, epochs=epochs)] == [result.run.name]


@pytest.mark.parametrize("epochs", [0, 3])
def test_epochs_that_are_not_recorded(store, epochs):
    result = record(STUDY, TINY[0], store)
    with pytest.raises(ValueError, match=f"cannot verify {epochs} epochs: 2 are recorded"):
        STUDY.redo(result, store, epochs=epochs)


def test_a_forged_record_is_found(store):
    forged = record(STUDY, TINY[0], store)
    forged.history.records[0].metrics["log_likelihood"] += 5.0
    assert STUDY.redo(forged, store) == pytest.approx(5.0, abs=1e-3)


# --- what codes know, make and withstand ---------------------------------------------------------

MODELS = tiny_models("models", ships_in="")
SETTINGS = CODE_SETTINGS | {
    "generated": 20,
    "components": 2,
    "own_scales": [0.0, 1.0],
    "absolute_scales": [0.0],
}
CODES = MeasuredCodes(
    name="tiny-codes",
    runs=tuple(replace(run, study="tiny-codes") for run in MODELS.runs),
    unit="of the images",
    tolerance=0.01,
    models=MODELS,
    settings=SETTINGS,
)


@pytest.mark.parametrize("run", CODES.runs[:2], ids=lambda run: run.name)
def test_codes_are_measured_once_their_model_is_trained(store, tmp_path, run):
    with pytest.raises(FileNotFoundError, match="no weights"):
        CODES.load_model(run, store)
    result = record(CODES, run, store)
    assert store.loaded == ["grey", "grey"], "to train and to measure"
    weights = f"weights/{run.model}-d002.safetensors"
    assert sorted(files_in(tmp_path)) == [f"tiny-codes/{run.name}.json", weights]
    assert result.run == run
    assert len(result.history) == 0
    assert store.read(run) == result
    assert result.final["settings"] == SETTINGS
    assert set(result.final["generation"]) == {"random", "prior", "normal", "mixture"}
    assert result.final["noise"]["own"]["scales"] == [0.0, 1.0]
    assert len(measured_shares(result.final)) == 2 + 4 * 2 + 2 * (2 + 1)


def test_codes_are_of_the_model_that_was_trained(store):
    """Where the weights are, nothing is trained; the codes are measured of those and no others."""
    run = CODES.runs[4]
    trained = CODES.trained_run(run)
    assert trained == MODELS.runs[4]
    record(MODELS, trained, store)
    store.loaded.clear()
    first = record(CODES, run, store)
    assert store.loaded == ["grey"], "to measure"
    model = MODELS.load_model(trained, store)
    train, test = store.images()
    with torch.no_grad():
        known, asked = model.encode(train.images), model.encode(test.images)
        disturbed = model.decode(asked[::5])
    value = neighbor_accuracy(known, train.labels, asked, test.labels)
    assert first.final["classes"]["neighbors"] == value
    error = float((disturbed - test.images[::5]).square().double().mean())
    assert first.final["noise"]["own"]["squared_error"][0] == pytest.approx(error, rel=1e-6)


@dataclass(frozen=True)
class StoreWithoutJudge(TinyStore):
    """A store whose judge is missing."""

    def load_judge(self):
        raise FileNotFoundError("no weights 'judge.safetensors'")


def test_nothing_is_trained_where_only_the_judge_is_missing(store, tmp_path):
    """It would write over the weights that are there, and fail all the same."""
    record(MODELS, MODELS.runs[0], store)
    before = files_in(tmp_path)
    without = StoreWithoutJudge(tmp_path)
    with pytest.raises(FileNotFoundError, match="judge"):
        record(CODES, CODES.runs[0], without)
    assert without.loaded == ["grey"], "to measure"
    assert files_in(tmp_path) == before


def test_a_study_of_codes_can_be_resumed(store, tmp_path):
    assert {r.run.seed for r in run_study(CODES, store, seeds=[1])} == {1}
    before = files_in(tmp_path)
    assert len(list(run_study(CODES, store))) == 4
    assert before.items() <= files_in(tmp_path).items(), "a finished run was touched"
    assert list(run_study(CODES, store)) == []


def test_the_same_weights_give_the_same_codes(store):
    run = CODES.runs[0]
    first = record(CODES, run, store)
    store.result_path(run).unlink()
    store.loaded.clear()
    torch.manual_seed(99)
    assert record(CODES, run, store).final == first.final
    assert store.loaded == ["grey"], "the second time from the weights"


def test_images_are_made_as_they_are_said_to_be():
    """Random, prior, normal, mixture: by the moments of the codes that are decoded."""

    class Same(torch.nn.Module):
        in_dim = 3

        def forward(self, z):
            return aevb.diagonal_normal(z, torch.ones_like(z))

    torch.manual_seed(0)
    sides = torch.where(torch.rand(2000, 1) < 0.25, -8.0, 8.0)
    given = torch.randn(2000, 3) * torch.tensor([0.5, 1.0, 2.0]) + sides
    model = aevb.Autoencoder(torch.nn.Identity(), Same())
    made = generate_images(model, given, {"generated": 20_000, "components": 2}, seed=0)
    for way, variance in (("prior", 1.0), ("random", 1 + 1 / 3)):
        assert_same_mean(made[way], 0.0)
        assert_same_mean(made[way].square(), variance)
    for way in ("normal", "mixture"):
        assert_same_mean(made[way], given.mean(0))
        covariance = torch.cov(given.T, correction=0)
        torch.testing.assert_close(torch.cov(made[way].T), covariance, rtol=0.05, atol=0.3)
    between = {way: float((z.mean(1).abs() < 4).double().mean()) for way, z in made.items()}
    assert between["normal"] > 0.2, "one normal fills the gap between the two clouds"
    assert between["mixture"] < 0.01


@pytest.mark.parametrize(
    ("path", "difference"),
    [
        (("classes", "neighbors"), 0.25),
        (("generation", "prior", "recall"), 0.25),
        (("noise", "own", "accuracy", 1), 0.25),
        (("noise", "absolute", "precision", 0), 0.25),
    ],
    ids=lambda path: ".".join(map(str, path)) if isinstance(path, tuple) else None,
)
def test_forged_codes_are_found(store, path, difference):
    record(CODES, CODES.runs[0], store)
    result = store.read(CODES.runs[0])
    assert CODES.redo(result, store) == 0.0
    *way, last = path
    place = result.final
    for key in way:
        place = place[key]
    place[last] += difference
    assert CODES.redo(result, store) == pytest.approx(difference)


def test_codes_measured_in_another_way_are_an_error(store):
    result = record(CODES, CODES.runs[0], store)
    other = replace(result, final={**result.final, "settings": {"labeled": 7}})
    with pytest.raises(ValueError, match=r"other settings.*remove the file"):
        CODES.redo(other, store)


def test_the_command_line_finds_forged_codes(store, capsys):
    """A share is off by two hundredths: less than one, but not within tolerance."""
    command = {"studies": {"tiny-codes": CODES}, "store": store}
    assert main(["run", "tiny-codes", "--seeds", "0"], **command) == 0
    assert main(["verify", "tiny-codes"], **command) == 0
    assert "0.0000 of the images from the record" in capsys.readouterr().out
    result = store.read(CODES.runs[0])
    result.final["classes"]["linear"] += 0.02
    store.write(result)
    assert main(["verify", "tiny-codes"], **command) == 1
    assert main(["verify", "tiny-codes", "--tolerance", "0.05"], **command) == 0


# --- what the aggregate posterior makes ----------------------------------------------------------

DENSITIES = MeasuredDensities(
    name="tiny-densities",
    runs=tuple(replace(run, study="tiny-densities") for run in MODELS.runs if run.model == "vae"),
    unit="of the images",
    tolerance=0.01,
    models=MODELS,
    settings={"labeled": 60, "generated": 20, "components": 2},
)


@pytest.mark.parametrize(
    "path", [("generation", "samples", "precision"), ("holes", "rare"), ("holes", "precision", 4)]
)
def test_densities_are_measured_and_forged_ones_are_found(store, path):
    result = record(DENSITIES, DENSITIES.runs[1], store)
    assert len(result.history) == 0
    assert len(DENSITIES.shares(result.final)) == 3 * 2 + 1 + 5
    assert DENSITIES.redo(result, store) == 0.0
    *way, last = path
    place = result.final
    for key in way:
        place = place[key]
    place[last] += 0.25
    assert DENSITIES.redo(result, store) == pytest.approx(0.25)


def test_an_autoencoder_has_no_aggregate_posterior(store):
    run = replace(MODELS.runs[1], study="tiny-densities")
    with pytest.raises(TypeError, match="need a VAE, not Autoencoder"):
        record(DENSITIES, run, store)


class Blind(torch.nn.Module):
    """An encoder that gives every image the same posterior, of mean zero."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        mean = torch.zeros(*x.shape[:-1], 2)
        return aevb.diagonal_normal(mean, torch.full_like(mean, self.scale))


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_a_mixture_is_fitted_to_draws_and_not_to_means(scale):
    """All means are zero, so only draws give the divergence of two normals."""
    torch.manual_seed(0)
    model = aevb.VAE(Blind(scale), aevb.BernoulliMLP(2, 784))
    images = aevb.ImageSet(torch.rand(3000, 784), torch.arange(3000) % 10)
    settings = {"labeled": 3000, "generated": 1500, "components": 1}
    holes = measure_densities(model, images, images, Judge().eval(), settings)["holes"]
    ratio = 1 / scale**2
    expected = ratio - 1 - torch.tensor(ratio).log()  # of two dimensions, a half each
    error = abs(ratio - 1) / 1500**0.5  # -h is (ratio - 1) z^2 / 2 and a constant
    assert holes["divergence"] == pytest.approx(float(expected), abs=4 * error + 0.01)
    # Below the tenth percentile of z^2 under the mixture, or above it, as the ratio has it.
    tail = 0.1**scale**2 if scale < 1 else 1 - 0.9**scale**2 if scale > 1 else 0.1
    assert holes["rare"] == pytest.approx(tail, abs=0.07)


# --- command line --------------------------------------------------------------------------------


@pytest.fixture
def command(store):
    study = replace(STUDY, table=latent_dimension_table)
    return lambda *arguments: main(arguments, studies={"tiny": study}, store=store)


def test_the_command_line_end_to_end(command, store, tmp_path, capsys):
    assert command("table", "tiny") == 1
    assert command("verify", "tiny") == 1
    assert capsys.readouterr().out.count("no run of tiny") == 2
    assert command("run", "tiny", "--seeds", "1") == 0
    assert len(list((tmp_path / "tiny").iterdir())) == 4
    assert command("list") == 0
    assert "tiny                   4 of 8 runs recorded" in capsys.readouterr().out
    assert command("verify", "tiny", "--seeds", "1", "--tolerance", "0.01") == 0
    assert "0.0000 nats from the record" in capsys.readouterr().out
    assert command("table", "tiny") == 0
    assert latent_dimension_table(store.read_all(TINY)) in capsys.readouterr().out
    result = store.read(TINY[4])
    result.history.records[0].metrics["log_likelihood"] -= 9.0
    store.write(result)
    assert command("verify", "tiny") == 1


@pytest.mark.parametrize(
    ("name", "allowed", "unit"),
    [
        ("latent-dimension", 1.0, "nats"),
        ("regimes", 1.0, "nats"),
        ("bound-vs-samples", 1.0, "nats"),
        ("codes", 0.01, "of the images"),
        ("densities", 0.01, "of the images"),
    ],
)
def test_what_a_record_may_be_off_by(name, allowed, unit):
    """A nat, except where rounding alone makes more, or where the unit is a share of images."""
    assert (STUDIES[name].tolerance, STUDIES[name].unit) == (allowed, unit)


@dataclass(frozen=True, kw_only=True)
class Off(Squares):
    """A study whose records are off by a given difference."""

    difference: float

    def redo(self, result, store=ASSETS, *, epochs=1):
        return self.difference


@pytest.mark.parametrize("allowed", [0.01, 15.0])
def test_the_study_says_what_a_record_may_be_off_by(store, allowed):
    runs = (TrainedRun("off", "vae", 2, 0),)
    for factor, code in ((0.99, 0), (1.01, 1)):
        study = Off(name="off", runs=runs, tolerance=allowed, difference=factor * allowed)
        record(study, runs[0], store)
        assert main(["verify", "off"], studies={"off": study}, store=store) == code


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "lattent"], ["dance"], ["verify", "x"]])
def test_wrong_arguments_exit_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert "usage: python -m aevb_lib.experiments" in capsys.readouterr().err


NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tiny", "--jobs", "0"], "argument --jobs: must be a whole number"),
        (["run", "tiny", "--jobs", "-2"], "argument --jobs: must be a whole number"),
        (["run", "tiny", "--jobs", "two"], "argument --jobs: must be a whole number"),
        (
            ["verify", "tiny", "--epochs", "0"],
            "argument --epochs: must be a whole number",
        ),
        (["verify", "tiny", "--epochs", "3"], "cannot verify 3 epochs: 2 are recorded"),
        pytest.param(
            ["run", "tiny", "--device", "cuda"], "--device: 'cuda' cannot be used", marks=NO_GPU
        ),
        (["verify", "tiny", "--device", "gpu"], "--device: 'gpu' cannot be used"),
    ],
)
def test_wrong_values_are_told_in_one_line(command, store, capsys, arguments, message):
    record(STUDY, TINY[0], store)
    with pytest.raises(SystemExit) as error:
        command(*arguments)
    assert error.value.code == 2
    *usage, last = capsys.readouterr().err.splitlines()
    assert message in last
    assert usage[0].startswith(f"usage: python -m aevb_lib.experiments {arguments[0]}")
    assert store.read_all(TINY) == [store.read(TINY[0])], "nothing was run"


def test_it_runs_as_a_module():
    answer = subprocess.run(
        [sys.executable, "-m", "aevb_lib.experiments", "list"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(experiments.__file__).parents[2],
        env=os.environ,
    )
    assert "latent-dimension" in answer.stdout
    assert answer.stderr == ""


# --- tables --------------------------------------------------------------------------------------


def test_mean_and_spread():
    assert mean_and_spread([-1.0, -3.0], digits=2) == "−2.00 (1.41)"
    assert mean_and_spread([2.0]) == "2.0"
    with pytest.raises(ValueError, match="no values"):
        mean_and_spread([])


def test_the_table_holds_the_records_numbers(store):
    results = list(run_study(STUDY, store))
    lines = latent_dimension_table(results).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 2", "| 3"]
    elbos = [
        r.history.last.metrics["elbo"]
        for r in results
        if (r.run.model, r.run.latent_dim) == ("vae", 2)
    ]
    assert mean_and_spread(elbos) in lines[2]
    assert lines[2].endswith("| 2 |")


def test_joblib_gives_generators():
    """`run_study` needs it: results must come one by one, not all at the end."""
    values = joblib.Parallel(n_jobs=1, return_as="generator_unordered")([joblib.delayed(int)(3)])
    assert next(values) == 3
