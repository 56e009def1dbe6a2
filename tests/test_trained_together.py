"""Studies whose seeds are trained together, resumed, and verified through their spread."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from test_experiments import Squares, files_in, store
from tiny import TinyStore, tiny_models

import aevb_lib as aevb
from aevb_lib.experiments import (
    Comparison,
    ComparisonRun,
    TrainedRun,
    VerificationError,
    record,
    run_study,
    trained,
    verify,
)
from aevb_lib.experiments.__main__ import main
from aevb_lib.experiments.together import allowed_difference

__all__ = ["store"]  # a fixture


class Elsewhere(TinyStore):
    """A store whose records were made on other hardware."""

    def read(self, run):
        result = super().read(run)
        return replace(result, provenance=result.provenance | {"hardware": "NVIDIA H200"})


MANY = tiny_models("many", seeds=(0, 1, 2), latent_dims=(2,), epochs=3)


def test_seeds_that_were_trained_together_are_recorded_one_by_one(store, tmp_path):
    results = list(run_study(MANY, store, together=True))
    assert {r.run for r in results} == set(MANY.runs)
    for result in results:
        assert store.read(result.run) == result
        assert result.provenance["seeds_together"] == [0, 1, 2]
        assert len(result.history) == 3
        assert MANY.load_model(result.run, store).latent_dim == 2
    last = [r.history["log_likelihood"][-1] for r in results if r.run.model == "vae"]
    assert len(set(last)) == 3, "each seed is a training of its own"
    assert not [name for name in files_in(tmp_path) if "checkpoints" in name]


def test_alone_and_together_agree_within_the_spread(tmp_path):
    alone, together = TinyStore(tmp_path / "a"), TinyStore(tmp_path / "b")
    list(run_study(MANY, alone))
    list(run_study(MANY, together, together=True))
    assert "seeds_together" not in alone.read(MANY.runs[0]).provenance
    for kind in ("vae", "autoencoder"):
        runs = [run for run in MANY.runs if run.model == kind]
        a, b = (
            [store.read(run).history["log_likelihood"][-1] for run in runs]
            for store in (alone, together)
        )
        assert abs(sum(a) - sum(b)) / 3 <= max(allowed_difference(a, b), 0.5)


def test_a_study_that_was_killed_goes_on_in_the_middle_of_a_run(store, tmp_path, monkeypatch):
    monkeypatch.setattr("aevb_lib.checkpoints.SECONDS_BETWEEN", 0.0)
    measured, count = trained.TrainedModels.measure, iter(range(100))

    def killed(*arguments):
        if next(count) == 1:
            raise KeyboardInterrupt
        return measured(*arguments)

    monkeypatch.setattr(trained.TrainedModels, "measure", killed)
    with (
        pytest.warns(UserWarning, match="interrupted at step 6 of 9"),
        pytest.raises(KeyboardInterrupt),
    ):
        record(MANY, MANY.runs[0], store)
    assert [name for name in files_in(tmp_path) if "checkpoints" in name]
    result = record(MANY, MANY.runs[0], store)
    assert next(count) == 4, "the first epoch was not trained a second time"
    whole = record(MANY, MANY.runs[0], TinyStore(tmp_path / "other"))
    assert [row.metrics for row in result.history] == [row.metrics for row in whole.history]
    assert not [name for name in files_in(tmp_path) if "checkpoints" in name]


def test_records_from_elsewhere_are_compared_through_the_spread(tmp_path):
    list(run_study(MANY, TinyStore(tmp_path)))
    store = Elsewhere(tmp_path)
    checks = list(verify(MANY, store, epochs=3))
    assert [check.name for check in checks] == [
        "vae-grey-d002, seeds 0, 1, 2",
        "autoencoder-grey-d002, seeds 0, 1, 2",
    ]
    for check in checks:
        assert check.is_passed
        assert check.reason.startswith(
            "made on NVIDIA H200; the spread over 3 recorded seeds allows "
        )
        assert 0 < check.allowed < 30
    checks = list(verify(MANY, store, seeds=[1], epochs=3))  # one seed, with all that are recorded
    assert checks[0].name == "vae-grey-d002, seeds 1"
    assert all(check.is_passed for check in checks)
    for run in MANY.runs:
        if run.seed > 0:
            store.result_path(run).unlink()
    with pytest.raises(VerificationError, match="which needs two recorded at least"):
        list(verify(MANY, store))


def test_records_made_together_are_done_again_together(store):
    """On the same hardware too: alone a seed has other noise."""
    list(run_study(MANY, store, together=True))
    checks = list(verify(MANY, store))
    assert [check.name for check in checks] == [
        "vae-grey-d002, seeds 0, 1, 2",
        "autoencoder-grey-d002, seeds 0, 1, 2",
    ]
    assert all(check.difference == 0 for check in checks)
    with pytest.raises(VerificationError, match="cannot verify 9 epochs: 3 are recorded"):
        list(verify(MANY, store, epochs=9))


def test_a_number_that_is_none_is_the_worst(tmp_path):
    here = TinyStore(tmp_path)
    for result in run_study(MANY, here):
        rows = [
            replace(row, metrics=row.metrics | {"log_likelihood": float("nan")})
            for row in result.history
        ]
        here.write(replace(result, history=aevb.History(rows)))
    assert not any(check.is_passed for check in verify(MANY, Elsewhere(tmp_path)))


def test_the_state_of_another_configuration_is_not_gone_on_with(store, monkeypatch):
    measured, count = trained.TrainedModels.measure, iter(range(100))

    def killed(*arguments):
        if next(count) == 2:
            raise KeyboardInterrupt
        return measured(*arguments)

    monkeypatch.setattr("aevb_lib.checkpoints.SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(trained.TrainedModels, "measure", killed)
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        record(MANY, MANY.runs[0], store)
    monkeypatch.undo()
    faster = replace(MANY.runs[0], learning_rate=0.1)
    study = replace(MANY, runs=(faster,))
    result = record(study, faster, store)
    clean = record(study, faster, TinyStore(store.folder / "clean"))
    assert [row.metrics for row in result.history] == [row.metrics for row in clean.history]


def test_chaotic_runs_are_compared_through_the_spread_here_too(store):
    study = replace(MANY, is_chaotic=True)
    list(run_study(study, store))
    (check, _) = verify(study, store, seeds=[0])
    assert check.is_passed
    assert "the spread over 3 recorded seeds allows" in check.reason


def test_a_mean_that_is_out_of_the_spread_is_found(tmp_path, capsys):
    here = TinyStore(tmp_path)
    for result in run_study(MANY, here):
        rows = [
            replace(row, metrics=row.metrics | {"log_likelihood": -100.0 + 0.1 * result.run.seed})
            for row in result.history
        ]
        here.write(replace(result, history=aevb.History(rows)))
    store = Elsewhere(tmp_path)
    assert not any(check.is_passed for check in verify(MANY, store))
    assert main(["verify", "many"], studies={"many": MANY}, store=store) == 1
    assert "TOO FAR" in capsys.readouterr().out
    assert main(["verify", "many", "--tolerance", "1e4"], studies={"many": MANY}, store=store) == 0


def test_the_command_trains_together_when_asked(store, capsys):
    command = {"studies": {"many": MANY}, "store": store}
    assert main(["run", "many", "--together", "--seeds", "0", "2"], **command) == 0
    assert store.read(MANY.runs[0]).provenance["seeds_together"] == [0, 2]
    assert main(["run", "many", "--no-together"], **command) == 0
    seeds = [r.provenance.get("seeds_together") for r in store.read_all(MANY.runs)]
    assert seeds == [[0, 2], [0, 2], None, None, [0, 2], [0, 2]]


def test_a_study_without_training_is_done_run_by_run(store):
    runs = tuple(TrainedRun("squares", "vae", 2, seed) for seed in (2, 3))
    study = Squares(name="squares", runs=runs, unit="apples")
    results = list(run_study(study, store, together=True))
    assert [r.run for r in results] == list(study.runs)


def test_a_study_without_training_that_was_killed_keeps_what_is_done(store, monkeypatch):
    """On a GPU as well, where the seeds of other studies are one training."""
    runs = tuple(TrainedRun("squares", "vae", 2, seed) for seed in (2, 3, 4))
    study = Squares(name="squares", runs=runs, unit="apples")
    square = Squares.do

    def killed(self, run, store):
        if run.seed == 4:
            raise KeyboardInterrupt
        return square(self, run, store)

    monkeypatch.setattr(Squares, "do", killed)
    with pytest.raises(KeyboardInterrupt):
        list(run_study(study, store, together=True))
    assert [result.run for result in store.read_all(runs)] == list(runs[:2])


def test_the_allowed_difference_is_students():
    """Equal distributions exceed it once in ten thousand; here at most in a few of two thousand."""
    generator = np.random.default_rng(0)
    exceeded = 0
    for _ in range(2000):
        a, b = generator.normal(size=5), generator.normal(size=4)
        exceeded += abs(a.mean() - b.mean()) > allowed_difference(list(a), list(b))
    assert exceeded <= 3
    assert allowed_difference([1.0, 1.0], [1.0, 1.0]) == 0.0
    with pytest.raises(ValueError, match="1 and 1 seeds have no spread"):
        allowed_difference([1.0], [2.0])
    a, b = [1.0, 2.0, 4.0], [2.0, 2.5, 2.6, 9.0]
    p = stats.ttest_ind(
        a, [value + allowed_difference(a, b) - np.mean(b) + np.mean(a) for value in b],
    ).pvalue  # fmt: skip
    assert p == pytest.approx(1e-4, rel=1e-3)


# --- the comparison of algorithms ----------------------------------------------------------------


def comparison(algorithm, **facts):
    runs = tuple(
        ComparisonRun(
            "tiny-race",
            "vae",
            2,
            seed,
            hidden_dim=8,
            algorithm=algorithm,
            num_train=60,
            batch_size=20,
            epochs=4,
        )
        for seed in (0, 1, 2)
    )
    options = {"first_row": 3, "early_steps": 3, "num_images": 20, "num_stretches": 1} | facts
    return Comparison(name="tiny-race", runs=runs, **options)


@pytest.mark.parametrize("algorithm", ["aevb", "wake-sleep", "mcem"])
def test_a_comparison_is_done_together_and_each_seed_chooses_its_own_step(
    tmp_path, algorithm, monkeypatch
):
    study, store = comparison(algorithm), TinyStore(tmp_path)
    # Seed 1 prefers the smallest step, the others the largest.
    order = iter([1.0, 5.0, 1.0, 2.0, 2.0, 2.0, 3.0, 1.0, 3.0])
    monkeypatch.setattr(Comparison, "early_performance", lambda *_: next(order))
    results = list(run_study(study, store, together=True))
    assert [result.final["learning_rate"] for result in results] == [0.1, 0.01, 0.1]
    assert [result.provenance["seeds_together"] for result in results] == [[0, 1, 2]] * 3
    for result in results:
        assert result.history["step"] == [3, 4, 5, 6, 8, 10, 12]
        assert result.final["step_seconds"] > 0
    if algorithm != "mcem":
        checks = list(verify(study, Elsewhere(tmp_path), epochs=4))
        assert [check.is_passed for check in checks] == [True]
        assert checks[0].difference == 0, "the same seeds together have the same noise"
    else:
        with pytest.raises(VerificationError, match="no metric that can be compared"):
            list(verify(study, Elsewhere(tmp_path), epochs=4))
