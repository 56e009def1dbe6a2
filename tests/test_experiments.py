"""Recorded studies: resumable, atomic, falsifiable. Tiny data stand in for MNIST."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import joblib
import pytest
import torch
from oracles import assert_same_mean

import aevb_lib as aevb
from aevb_lib import experiments
from aevb_lib.evidence import ais_log_likelihood
from aevb_lib.experiments import (
    STUDIES,
    ComparisonRun,
    Result,
    Run,
    codes,
    comparison,
    latent_dimension_table,
    load_compared,
    load_result,
    record,
    recording,
    run_study,
    studies,
    verify,
)
from aevb_lib.experiments.__main__ import main
from aevb_lib.experiments.studies import read_result
from aevb_lib.experiments.tables import mean_and_spread
from aevb_lib.latents import neighbor_accuracy
from aevb_lib.noise import NoiseCurve, noise_curve
from aevb_lib.pretrained import load_judge, load_pretrained
from aevb_lib.sample_quality import FeatureCloud, SampleQuality

TINY = tuple(
    Run("tiny", model, latent_dim, seed, hidden_dim=8, epochs=2, batch_size=20)
    for seed in (0, 1)
    for latent_dim in (2, 3)
    for model in ("vae", "autoencoder")
)
SHIPPED = [
    (study, run.name)
    for study in STUDIES
    for run in STUDIES[study]
    if studies.result_path(run).exists()
]
COMPARISONS = ("bound-vs-samples", "likelihood-race", "mcem-variants")
COMPARED = [run for s in COMPARISONS for run in STUDIES[s] if studies.result_path(run).exists()]


@pytest.fixture
def tiny(monkeypatch):
    """A study of eight short runs on sixty random images."""
    calls = []

    def load(root=None, *, regime="grey"):
        calls.append(regime)
        images = torch.rand(80, 784, generator=torch.Generator().manual_seed(0))
        return aevb.ImageSet(images[:60]), aevb.ImageSet(images[60:])

    monkeypatch.setitem(STUDIES, "tiny", TINY)
    monkeypatch.setattr(recording, "load_mnist", load)
    monkeypatch.setattr(recording, "NUM_SEEN", 30)
    return calls


@pytest.fixture
def in_folder(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "files", lambda _: tmp_path)
    monkeypatch.setattr("aevb_lib.pretrained.files", lambda _: tmp_path)
    return tmp_path / "assets"


def files_in(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- what ships ----------------------------------------------------------------------------------


@pytest.mark.parametrize("study", STUDIES)
def test_a_studys_runs_have_names_of_their_own(study):
    assert {run.study for run in STUDIES[study]} == {study}
    names = [run.name for run in STUDIES[study]]
    assert len(set(names)) == len(names)
    for run in STUDIES[study]:
        assert type(run)(**json.loads(json.dumps(asdict(run)))) == run


def test_no_record_is_an_orphan():
    root = studies.result_path(STUDIES["regimes"][0]).parent.parent
    found = {(p.parent.name, p.stem) for p in root.rglob("*") if p.is_file()}
    known = {(study, run.name) for study in STUDIES for run in STUDIES[study]}
    assert found <= known | {(root.name, "judge")}


def test_shipped_records_are_what_the_code_would_run():
    for study in {study for study, _ in SHIPPED} & {"latent-dimension", "regimes"}:
        for result in load_result(study):  # raises where a configuration differs
            run, history = result.run, result.history
            assert not history.interrupted
            assert history["epoch"] == list(range(1, run.epochs + 1)), run.name
            assert history.last.examples == 60_000 * run.epochs
            assert {"python", "torch", "commit", "hardware"} <= set(result.provenance)
            assert Result.from_json(result.to_json()) == result
            assert 0 < result.final["reconstruction_error"] < 0.2
            if run.model == "vae":
                last = history.last.metrics
                assert last["elbo"] == pytest.approx(last["log_likelihood"] - last["kl"], abs=1e-3)
                kl = result.final["kl_per_dimension"]
                assert len(kl) == run.latent_dim
                assert sum(kl) == pytest.approx(last["kl"], abs=0.01)


def test_shipped_comparisons_are_what_the_code_would_run():
    assert {run.study for run in COMPARED} == set(COMPARISONS)
    for run in COMPARED:
        result = read_result(run)  # raises where a configuration differs
        history, final = result.history, result.final
        total = run.epochs * comparison._steps_per_epoch(run)
        expected = comparison._rows(run, total)
        assert history["step"] == expected + [total] * (expected[-1] < total), run.name
        assert history.last.examples == run.epochs * run.num_train
        assert Result.from_json(result.to_json()) == result
        assert type(Result.from_json(result.to_json()).run) is ComparisonRun
        tried = {float(rate): value for rate, value in final["learning_rates"].items()}
        if run.learning_rate:
            assert not tried and final["learning_rate"] == run.learning_rate
        else:
            assert tuple(tried) == comparison.LEARNING_RATES
            assert tried[final["learning_rate"]] == max(tried.values())
        assert 0 < final["step_seconds"] < 1
        if run.study == "bound-vs-samples":
            last = history.last.metrics
            assert last["elbo"] == pytest.approx(last["log_likelihood"] - last["kl"], abs=1e-3)
        if run.algorithm == "mcem":
            assert history["train_acceptance"][-1] == pytest.approx(0.9, abs=0.02)


def test_shipped_weights_of_the_race_are_the_recorded_ones():
    test = aevb.load_mnist(regime="static")[1].take(comparison.NUM_ROW)
    shipped = [run for run in COMPARED if (run.study, run.seed) == ("likelihood-race", 0)]
    for run in shipped:
        model = load_compared(run)
        last = read_result(run).history.last.metrics
        if isinstance(model, aevb.VAE):
            assert aevb.mean_elbo(model, test) == pytest.approx(last["elbo"], abs=0.03), run.name
        else:
            # Chains amplify the rounding of weights, so they are other chains: noise of estimates.
            annealed = ais_log_likelihood(
                model,
                test.images,
                num_temperatures=comparison.NUM_TEMPERATURES,
                num_chains=comparison.NUM_CHAINS,
            )
            value = annealed.mean().item()
            assert value == pytest.approx(last["annealed_log_likelihood"], abs=0.5), run.name


@pytest.mark.parametrize(
    ("study", "last"),
    [("bound-vs-samples", 80_635), ("likelihood-race", 64_000), ("mcem-variants", 64_000)],
)
def test_rows_of_a_comparison_grow_geometrically(study, last):
    first, per_doubling = comparison.ROWS[study]
    rows = comparison._rows(STUDIES[study][0], 100_000)
    assert rows[0] == first and rows[-1] == last
    assert rows[per_doubling] == 2 * first


codes_ship = pytest.mark.skipif(
    "codes" not in {study for study, _ in SHIPPED}, reason="no codes are recorded yet"
)


@codes_ship
def test_shipped_codes_are_what_the_code_would_measure():
    for result in load_result("codes"):
        name, final = result.run.name, result.final
        assert len(result.history) == 0, "nothing is trained"
        assert result.provenance["hardware"]
        assert Result.from_json(result.to_json()) == result
        assert final["settings"] == codes.CODE_SETTINGS, f"{name}: record it again"
        assert set(final) == {"settings", "classes", "generation", "noise"}
        assert set(final["classes"]) == {"neighbors", "linear"}
        assert set(final["generation"]) == {"random", "prior", "normal", "mixture"}
        assert all(0 <= share <= 1 for share in recording._shares(final)), name
        assert min(final["classes"].values()) > 0.2, "ten classes: chance is a tenth"
        for made in final["generation"].values():
            assert set(made) == set(SampleQuality._fields)
            assert made["frechet"] > 0
            assert 0.1 < made["confidence"] <= 1 and 0 <= made["balance"] <= 1
        assert set(final["noise"]) == {"own", "absolute"}
        for unit, curve in final["noise"].items():
            assert curve["scales"] == codes.CODE_SETTINGS[f"{unit}_scales"]
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
    run = next(run for run in STUDIES["codes"] if (run.model, run.latent_dim) == (kind, 2))
    final = studies.read_result(run).final
    model, judge = load_pretrained(kind, 2), load_judge()
    train, test = aevb.load_mnist()
    train = train.take(codes.CODE_SETTINGS["labeled"])
    with torch.no_grad():
        known, asked = model.encode(train.images), model.encode(test.images)
    neighbors = neighbor_accuracy(known, train.labels, asked, test.labels)
    assert neighbors == pytest.approx(final["classes"]["neighbors"], abs=0.002)
    every = codes.CODE_SETTINGS["every"]
    disturbed = test[::every]
    cloud = FeatureCloud(judge.features(test.images[1:10]))  # its precision is not compared
    recorded = final["noise"]["own"]
    curve = noise_curve(model, disturbed, judge, cloud, [0.0, 1.0], unit=known.std(0))
    for column in ("accuracy", "confidence", "squared_error"):
        expected = [recorded[column][recorded["scales"].index(scale)] for scale in curve.scales]
        assert getattr(curve, column) == pytest.approx(expected, abs=0.002), column


# --- recording -----------------------------------------------------------------------------------


@pytest.mark.parametrize("run", TINY[:2], ids=lambda run: run.name)
def test_a_result_and_back(tiny, tmp_path, run):
    result = record(run, tmp_path)
    assert Result.from_json(result.to_json()) == result
    assert studies.read_result(run, tmp_path) == result
    assert result.run == run
    assert result.history["epoch"] == [1, 2]
    names = {"log_likelihood", "seen_log_likelihood", "train_log_likelihood"}
    if run.model == "vae":
        names |= {f"{a}{b}" for a in ("", "seen_", "train_") for b in ("elbo", "kl")}
        names |= {"active_units", "point_log_likelihood"}
    assert set(result.history.metrics) == names


def test_a_record_is_a_public_file_beside_its_weights(tiny, tmp_path):
    record(TINY[4], tmp_path)
    weights = "cache/weights/tiny/grey-seed1/vae-d002.safetensors"
    assert sorted(files_in(tmp_path)) == [weights, f"tiny/{TINY[4].name}.json"]
    assert (tmp_path / "tiny" / f"{TINY[4].name}.json").stat().st_mode & 0o777 == 0o644


def test_weights_that_ship_are_those_of_the_first_seed(tiny, tmp_path):
    """Of one study only: another one must not write over the weights that ship."""
    record(TINY[0], tmp_path)
    assert not (tmp_path / "weights").exists()
    for seed in (1, 0):
        record(replace(TINY[0], study="latent-dimension", seed=seed), tmp_path)
        assert (tmp_path / "weights" / "vae-d002.safetensors").exists() == (seed == 0)


def test_all_other_weights_stay_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("AEVB_DATA", str(tmp_path))
    folders = {studies.weights_folder(run) for study in STUDIES for run in STUDIES[study]}
    shipped = {path for path in folders if not path.is_relative_to(tmp_path)}
    weights = studies.studies_folder().parent / "weights"
    assert shipped == {weights, weights / "likelihood-race"}


def test_kept_weights_are_those_that_were_measured(tiny, tmp_path):
    run = TINY[4]
    result = record(run, tmp_path)
    model = load_pretrained(
        run.model, run.latent_dim, hidden_dim=8, folder=studies.weights_folder(run, tmp_path)
    )
    _, test = recording.load_mnist()
    expected = result.history.last.metrics["point_log_likelihood"]
    assert aevb.mean_point_log_likelihood(model, test) == pytest.approx(expected, abs=0.1)


def test_same_run_same_result(tiny, tmp_path):
    first, second = (record(TINY[0], tmp_path / name) for name in "ab")
    for a, b in zip(first.history, second.history, strict=True):
        assert replace(a, seconds=0) == replace(b, seconds=0)
    assert first.final == second.final


def test_what_is_recorded_is_read_and_not_done_again(tiny, tmp_path):
    first = record(TINY[0], tmp_path)
    tiny.clear()
    assert record(TINY[0], tmp_path) == first
    assert tiny == [], "the second time must not load data"


def test_a_study_can_be_resumed(tiny, tmp_path):
    done = next(iter(run_study("tiny", tmp_path, seeds=[0])))
    before = files_in(tmp_path)
    results = [done, *run_study("tiny", tmp_path)]
    assert {result.run for result in load_result("tiny", tmp_path)} == set(TINY)
    after = files_in(tmp_path)
    assert before.items() <= after.items(), "a finished run was touched"
    assert len(results) >= 1
    assert list(run_study("tiny", tmp_path)) == []
    assert [r.run for r in load_result("tiny", tmp_path)] == list(TINY), "in the study's order"


def test_seeds_select(tiny, tmp_path):
    assert {r.run.seed for r in run_study("tiny", tmp_path, seeds=[1])} == {1}


@pytest.mark.parametrize("where", ["aevb_lib.experiments.recording._final", "os.replace"])
def test_nothing_half_written(tiny, tmp_path, monkeypatch, where):
    def fail(*_, **__):
        raise OSError("power cut")

    monkeypatch.setattr(where, fail)
    for run in (TINY[0], TINY[4]):  # the first writes weights too
        with pytest.raises(OSError, match="power cut"):
            record(run, tmp_path)
    assert files_in(tmp_path) == {}


def test_an_interrupted_run_is_not_recorded(tiny, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(recording.AEVB, "step", interrupt)
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        record(TINY[0], tmp_path)
    assert files_in(tmp_path) == {}


def test_another_configuration_is_an_error(tiny, tmp_path, monkeypatch):
    record(TINY[0], tmp_path)
    changed = (replace(TINY[0], learning_rate=1.0), *TINY[1:])
    monkeypatch.setitem(STUDIES, "tiny", changed)
    with pytest.raises(ValueError, match=r"another configuration.*remove the file"):
        load_result("tiny", tmp_path)
    with pytest.raises(ValueError, match="another configuration"):
        record(changed[0], tmp_path)


def test_unknown_and_unrecorded_studies(tmp_path):
    with pytest.raises(KeyError, match="no study 'lattent'; there are: latent-dimension"):
        load_result("lattent")
    with pytest.raises(KeyError, match="no study"):
        list(run_study("lattent"))
    with pytest.raises(FileNotFoundError, match=r"python -m aevb_lib.experiments run regimes"):
        load_result("regimes", tmp_path)


def test_importance_sampling_where_asked_for(tiny, tmp_path):
    run = replace(TINY[0], num_importance_samples=20)
    result = record(run, tmp_path)
    value = result.final["importance_log_likelihood"]
    assert value >= result.history.last.metrics["elbo"] - 1


# --- verifying -----------------------------------------------------------------------------------


@pytest.mark.parametrize("run", TINY[:2], ids=lambda run: run.name)
@pytest.mark.parametrize("epochs", [1, 2])
def test_the_same_machine_gives_the_same_numbers(tiny, tmp_path, run, epochs):
    assert verify(record(run, tmp_path), epochs=epochs) < 1e-3


def test_a_forged_record_is_found(tiny, tmp_path):
    text = record(TINY[0], tmp_path).to_json()
    forged = Result.from_json(text)
    forged.history.records[0].metrics["log_likelihood"] += 5.0
    assert verify(forged) == pytest.approx(5.0, abs=1e-3)


# --- what codes know, make and withstand ---------------------------------------------------------

CODES = tuple(replace(run, study="codes") for run in TINY)


@pytest.fixture
def tiny_codes(tiny, monkeypatch):
    """The study of codes on eighty labeled images; what is loaded for a training is counted."""

    def load(root=None, *, regime="grey"):
        images = torch.rand(80, 784, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(80) % 10
        return aevb.ImageSet(images[:60], labels[:60]), aevb.ImageSet(images[60:], labels[60:])

    judge = load_judge()  # now: some tests have their own folder of weights
    monkeypatch.setattr(codes, "load_judge", lambda: judge)
    monkeypatch.setattr(codes, "load_mnist", load)
    monkeypatch.setitem(STUDIES, "codes", CODES)
    small = {"generated": 20, "components": 2, "own_scales": [0.0, 1.0], "absolute_scales": [0.0]}
    for name, value in small.items():
        monkeypatch.setitem(codes.CODE_SETTINGS, name, value)
    return tiny


@pytest.mark.parametrize("run", CODES[:2], ids=lambda run: run.name)
def test_codes_are_measured_once_their_model_is_trained(tiny_codes, tmp_path, run):
    with pytest.raises(FileNotFoundError, match="no weights"):
        codes.measure_codes(run, tmp_path)
    result = record(run, tmp_path)
    assert tiny_codes == ["grey"], "trained once"
    weights = f"weights/{run.model}-d002.safetensors"
    assert sorted(files_in(tmp_path)) == [f"codes/{run.name}.json", weights]
    assert result.run == run
    assert len(result.history) == 0
    assert studies.read_result(run, tmp_path) == Result.from_json(result.to_json()) == result
    assert result.final["settings"] == codes.CODE_SETTINGS
    assert set(result.final["generation"]) == {"random", "prior", "normal", "mixture"}
    assert result.final["noise"]["own"]["scales"] == [0.0, 1.0]
    assert len(recording._shares(result.final)) == 2 + 4 * 2 + 2 * (2 + 1)


def test_codes_are_of_the_model_that_was_trained(tiny_codes, tmp_path):
    """Where the weights are, nothing is trained; the codes are measured of those and no others."""
    run = CODES[4]
    trained = codes.trained_run(run)
    assert replace(trained, study="codes") == run
    record(trained, tmp_path)
    tiny_codes.clear()
    first = record(run, tmp_path)
    assert tiny_codes == []
    model = load_pretrained(
        run.model, run.latent_dim, hidden_dim=8, folder=studies.weights_folder(trained, tmp_path)
    )
    train, test = codes.load_mnist()
    with torch.no_grad():
        known, asked = model.encode(train.images), model.encode(test.images)
        disturbed = model.decode(asked[::5])
    value = neighbor_accuracy(known, train.labels, asked, test.labels)
    assert first.final["classes"]["neighbors"] == value
    error = float((disturbed - test.images[::5]).square().double().mean())
    assert first.final["noise"]["own"]["squared_error"][0] == pytest.approx(error, rel=1e-6)


def test_nothing_is_trained_where_only_the_judge_is_missing(tiny_codes, tmp_path, monkeypatch):
    """It would write over the weights that are there, and fail all the same."""

    def missing():
        raise FileNotFoundError("no weights 'judge.safetensors'")

    record(codes.trained_run(CODES[0]), tmp_path)
    before = files_in(tmp_path)
    tiny_codes.clear()
    monkeypatch.setattr(codes, "load_judge", missing)
    with pytest.raises(FileNotFoundError, match="judge"):
        record(CODES[0], tmp_path)
    assert tiny_codes == []
    assert files_in(tmp_path) == before


def test_a_study_of_codes_can_be_resumed(tiny_codes, tmp_path):
    assert {r.run.seed for r in run_study("codes", tmp_path, seeds=[1])} == {1}
    before = files_in(tmp_path)
    assert len(list(run_study("codes", tmp_path))) == 4
    assert before.items() <= files_in(tmp_path).items(), "a finished run was touched"
    assert list(run_study("codes", tmp_path)) == []


def test_the_same_weights_give_the_same_codes(tiny_codes, tmp_path):
    first = record(CODES[0], tmp_path)
    (tmp_path / "codes" / f"{CODES[0].name}.json").unlink()
    torch.manual_seed(99)
    again = record(CODES[0], tmp_path)
    assert again.final == first.final
    assert tiny_codes == ["grey"], "the second time from the weights"


def test_images_are_made_as_they_are_said_to_be(monkeypatch):
    """Random, prior, normal, mixture: by the moments of the codes that are decoded."""

    class Same(torch.nn.Module):
        in_dim = 3

        def forward(self, z):
            return aevb.diagonal_normal(z, torch.ones_like(z))

    monkeypatch.setitem(codes.CODE_SETTINGS, "generated", 20_000)
    monkeypatch.setitem(codes.CODE_SETTINGS, "components", 2)
    torch.manual_seed(0)
    sides = torch.where(torch.rand(2000, 1) < 0.25, -8.0, 8.0)
    given = torch.randn(2000, 3) * torch.tensor([0.5, 1.0, 2.0]) + sides
    made = codes._generate(aevb.Autoencoder(torch.nn.Identity(), Same()), given, 0)
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


def test_random_codes_have_the_moments_of_their_definition():
    """Normal means and uniform deviations: 0, and 1 + 1/3; a fourth moment no normal has."""
    torch.manual_seed(0)
    z = codes.random_codes(50_000, 3)
    assert z.shape == (50_000, 3)
    assert_same_mean(z, 0.0)
    assert_same_mean(z.square(), 4 / 3)
    assert_same_mean(z[:, :1] * z[:, 1:], 0.0)
    # Given the deviation z is N(0, 1 + s²), so E z⁴ = 3 E (1 + s²)² = 3 (1 + 2/3 + 1/5).
    assert_same_mean(z**4, 3 * (1 + 2 / 3 + 1 / 5))


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
def test_forged_codes_are_found(tiny_codes, in_folder, path, difference):
    result = Result.from_json(record(CODES[0]).to_json())
    assert verify(result) == 0.0
    *way, last = path
    place = result.final
    for key in way:
        place = place[key]
    place[last] += difference
    assert verify(result) == pytest.approx(difference)


def test_codes_measured_in_another_way_are_an_error(tiny_codes, in_folder, monkeypatch):
    result = record(CODES[0])
    other = replace(result, final={**result.final, "settings": {"labeled": 7}})
    with pytest.raises(ValueError, match=r"other settings.*remove the file"):
        verify(other)


def test_the_command_line_finds_forged_codes(tiny_codes, in_folder, capsys):
    """A share is off by two hundredths: less than one, but not within tolerance."""
    assert main(["run", "codes", "--seeds", "0"]) == 0
    assert main(["verify", "codes"]) == 0
    assert "0.0000 of the images from the record" in capsys.readouterr().out
    path = in_folder / "studies" / "codes" / f"{CODES[0].name}.json"
    content = json.loads(path.read_text())
    content["final"]["classes"]["linear"] += 0.02
    path.write_text(json.dumps(content))
    assert main(["verify", "codes"]) == 1
    assert main(["verify", "codes", "--tolerance", "0.05"]) == 0


# --- command line --------------------------------------------------------------------------------


def test_the_command_line_end_to_end(in_folder, capsys):
    assert main(["run", "tiny", "--seeds", "1"]) == 0
    assert len(list((in_folder / "studies" / "tiny").iterdir())) == 4
    assert main(["list"]) == 0
    assert "tiny                   4 of 8 runs recorded" in capsys.readouterr().out
    assert main(["verify", "tiny", "--seeds", "1", "--tolerance", "0.01"]) == 0
    assert "0.0000 nats from the record" in capsys.readouterr().out
    path = in_folder / "studies" / "tiny" / f"{TINY[4].name}.json"
    content = json.loads(path.read_text())
    content["history"]["records"][0]["metrics"]["log_likelihood"] -= 9.0
    path.write_text(json.dumps(content))
    assert main(["verify", "tiny"]) == 1


@pytest.mark.parametrize(
    ("study", "allowed"), [("latent-dimension", 1.0), ("likelihood-race", 15.0), ("codes", 0.01)]
)
def test_what_a_record_may_be_off_by(study, allowed, monkeypatch):
    """A nat, except where rounding alone makes more, or where the unit is a share of images."""
    for difference, code in ((0.99 * allowed, 0), (1.01 * allowed, 1)):
        monkeypatch.setattr(f"{main.__module__}.verify", lambda *_, d=difference, **__: d)
        assert main(["verify", study, "--seeds", "0"]) == code


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "lattent"], ["dance"], ["verify", "x"]])
def test_wrong_arguments_exit_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert "usage: python -m aevb_lib.experiments" in capsys.readouterr().err


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
    assert mean_and_spread([-1.0, -3.0], digits=2) == "−2.00 ± 1.41"
    assert mean_and_spread([2.0]) == "2.0"
    with pytest.raises(ValueError, match="no values"):
        mean_and_spread([])


def test_the_table_holds_the_records_numbers(tiny, tmp_path):
    results = list(run_study("tiny", tmp_path))
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
