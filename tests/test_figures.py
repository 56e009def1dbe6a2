"""The paper's figures 2 and 3 run with enough noise: what is run, and how steps are chosen."""

import math
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from tiny import TinyStore

from aevb_lib.evidence import ais_log_likelihood
from aevb_lib.experiments import STUDIES, VerificationError, load_result, run_study, verify
from aevb_lib.experiments.__main__ import main
from aevb_lib.experiments.comparison import BOUND_VS_SAMPLES
from aevb_lib.experiments.figures import (
    FIGURE_2,
    FIGURE_2_FULL,
    FIGURE_3,
    FIGURE_3_FULL,
    FIRST_MILLION,
    STEP_SIZES,
    TEN_STREAMS,
    LikelihoodFigure,
)
from aevb_lib.experiments.pilots import PilotRun, StepSizes, pilots, step_size_table
from aevb_lib.experiments.race import mean_evidence
from aevb_lib.experiments.recipe import LEARNING_RATES, new_learner
from aevb_lib.experiments.store import Store

FIGURES = (FIGURE_2, FIGURE_2_FULL, FIRST_MILLION, FIGURE_3, FIGURE_3_FULL, TEN_STREAMS)
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
ALGORITHMS = {"aevb", "wake-sleep", "mcem", "batch-mcem"}


@pytest.mark.parametrize(
    ("study", "images"),
    [(FIGURE_3, 1_600_000), (FIGURE_3_FULL, 60_000_000), (TEN_STREAMS, 800_000)],
)
def test_figure_3_has_ten_streams_of_all_contestants(study, images):
    cells = {}
    for run in study.runs:
        cells.setdefault((run.algorithm, run.num_train), set()).add(run.seed)
    assert cells == {
        (algorithm, num_train): set(range(10))
        for algorithm in ALGORITHMS
        for num_train in (1_000, 50_000)
    }
    for run in study.runs:
        assert run.learning_rate is None
        assert (run.batch_size == run.num_train) == (run.algorithm == "batch-mcem")
        assert run.epochs * run.num_train >= images


@pytest.mark.parametrize(
    ("study", "images", "number"),
    [(FIGURE_2, 10_000_000, 3), (FIGURE_2_FULL, 100_000_000, 3), (FIRST_MILLION, 1_000_000, 3)],
)
def test_figure_2_has_several_seeds_and_one_scale_for_every_size(study, images, number):
    seeds = {}
    for run in study.runs:
        assert run.epochs * run.num_train == images
        cell = run.algorithm, run.latent_dim, run.learning_rate
        seeds.setdefault(cell, set()).add(run.seed)
    chosen = [cell for cell in seeds if cell[-1] is None]
    assert len(chosen) == 10
    assert set(map(len, seeds.values())) == {number}


def test_the_first_million_has_either_small_step_for_every_cell():
    steps = {}
    for result in load_result("first-million"):
        run = result.run
        steps.setdefault((run.algorithm, run.latent_dim, run.seed), []).append(
            result.final["learning_rate"]
        )
    cells = product(("aevb", "wake-sleep"), (3, 5, 10, 20, 200), range(3))
    assert {cell: sorted(tried) for cell, tried in steps.items()} == {
        cell: [0.01, 0.02] for cell in cells
    }


def test_steps_are_chosen_on_noise_that_is_in_no_figure():
    used = {run.seed for study in FIGURES for run in study.runs}
    assert not used & {run.seed for run in STEP_SIZES.runs}
    for study in FIGURES:
        for cell in study.runs:
            own = pilots(study.pilots_of, cell)
            assert set(own) <= set(STEP_SIZES.runs)
            assert {run.learning_rate for run in own} == set(LEARNING_RATES)
            assert {(run.algorithm, run.num_train) for run in own} == {
                (cell.algorithm, cell.num_train)
            }


def test_the_last_row_of_a_run_is_its_end():
    """What a run has reached is read there, and measured nowhere else."""
    for study in FIGURES:
        for run in study.runs:
            total = run.epochs * run.steps_per_epoch
            assert study.rows_of(run, total)[-1] == total


def test_names_are_each_runs_own():
    for study in (*FIGURES, STEP_SIZES):
        assert len({run.name for run in study.runs}) == len(study.runs)
    store, runs = Store(), [run for study in FIGURES for run in study.runs]
    for path in (store.result_path, partial(store.weights_folder, ships_in=None)):
        folders = {path(run).parent for run in runs}
        assert len(folders) == len(FIGURES), "nor does a longer study meet a shorter one"


def tiny_run(run, **changes):
    return replace(run, latent_dim=2, hidden_dim=8, num_train=60, epochs=4, **changes)


@pytest.fixture
def tiny(monkeypatch):
    """The studies at the size of a test: one cell of each algorithm, three seeds."""
    for name in ("NUM_UNSEEN", "NUM_SEEN", "NUM_FINAL", "NUM_ANNEALED"):
        monkeypatch.setattr(f"aevb_lib.experiments.figures.{name}", 5)
    monkeypatch.setattr("aevb_lib.experiments.pilots.NUM_IMAGES", 5)
    # Short chains, or this takes two minutes.
    for module in ("figures", "pilots"):
        monkeypatch.setattr(
            f"aevb_lib.experiments.{module}.mean_evidence",
            partial(mean_evidence, num_samples=5, num_warmup=5),
        )
    monkeypatch.setattr(
        "aevb_lib.experiments.figures.ais_log_likelihood",
        lambda model, images, **_: ais_log_likelihood(model, images, num_temperatures=5),
    )
    monkeypatch.setattr("aevb_lib.experiments.pilots.EARLY_IMAGES", {"figure-3": 120})
    runs = tuple(
        tiny_run(run, batch_size=60 if run.algorithm == "batch-mcem" else 20)
        for run in FIGURE_3.runs
        if run.num_train == 1_000 and run.seed < 3
    )
    figure = LikelihoodFigure(
        name="figure-3",
        pilots_of="figure-3",
        runs=runs,
        first_images=60,
        images_between=2.0,
        num_stretches=1,
    )
    cells = dict.fromkeys(run for run in runs if run.seed == 0)
    pilot = StepSizes(
        name="step-sizes",
        runs=tuple(p for cell in cells for p in pilots("figure-3", cell)),
        table=step_size_table,
    )
    return figure, pilot


def test_a_figure_takes_its_steps_from_the_pilot(tiny, tmp_path, capsys):
    figure, pilot = tiny
    store = TinyStore(tmp_path)
    with pytest.raises(SystemExit):
        main(["run", "figure-3"], studies={"figure-3": figure}, store=store)
    assert "experiments run step-sizes" in capsys.readouterr().err.splitlines()[-1]
    for result in run_study(pilot, store):
        assert isinstance(result.run, PilotRun)
        assert result.history["examples"] == [120]
        assert "step_seconds" not in result.final
        # As if the smallest step were best, but for wake-sleep.
        best = 0.1 if result.run.algorithm == "wake-sleep" else 0.01
        early = -100.0 if result.run.learning_rate == best else -200.0
        store.write(replace(result, final={**result.final, "early": early}))
    assert main(["table", "step-sizes"], studies={"step-sizes": pilot}, store=store) == 0
    rows = capsys.readouterr().out.splitlines()
    assert "| figure-3, aevb | 60 | 2 | **−100.0** | −200.0 | −200.0 |" in rows
    assert "| figure-3, wake-sleep | 60 | 2 | −200.0 | −200.0 | **−100.0** |" in rows
    results = list(run_study(figure, store, together=True))
    assert len(results) == len(figure.runs)
    for result in results:
        expected = 0.1 if result.run.algorithm == "wake-sleep" else 0.01
        assert result.final["learning_rate"] == expected
        assert result.final["learning_rates"][str(expected)] == -100.0
        assert result.history["examples"] == [60, 120, 240]
        names = {"hmc_log_likelihood", "seen_hmc_log_likelihood"}
        assert names <= set(result.history.metrics)
        assert {"annealed_log_likelihood", "seen_hmc_of_annealed"} <= set(result.final)
        assert ("elbo" in result.history.metrics) == (
            result.run.algorithm in ("aevb", "wake-sleep")
        )
    with pytest.raises(VerificationError, match="verify the figure"):
        list(verify(pilot, store))
    checks = list(verify(figure, store, seeds=[1]))
    assert len(checks) == 4
    assert all("the spread over 3 recorded seeds" in check.reason for check in checks)


def explodes_at(rate, runs):
    """Learners as the recipe makes them; those of one step of Adagrad, and seed, diverge."""

    def new(run, chosen, *, device="cpu"):
        learner, generator = new_learner(run, chosen, device=device)
        if chosen == rate and run.seed in runs:
            with torch.no_grad():
                next(learner.model.decoder.parameters()).fill_(math.nan)
        return learner, generator

    return new


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("algorithm", ["aevb", "wake-sleep"])
def test_a_pilot_that_diverges_is_a_result(
    monkeypatch, tmp_path, capsys, together, algorithm, device
):
    """At a step of 0.1 wake-sleep diverged in ten dimensions, and took the study with it."""
    monkeypatch.setattr("aevb_lib.experiments.pilots.EARLY_IMAGES", {"figure-2": 120})
    new = explodes_at(0.1, runs=(101,))
    monkeypatch.setattr("aevb_lib.experiments.comparison.new_learner", new)
    (cell,) = [
        run
        for run in FIGURE_2.runs
        if (run.algorithm, run.latent_dim, run.seed) == (algorithm, 10, 0)
    ]
    cell = tiny_run(cell, batch_size=20)
    pilot = replace(STEP_SIZES, runs=tuple(pilots("figure-2", cell)))
    store = TinyStore(tmp_path, device)
    results = {result.run: result for result in run_study(pilot, store, together=together)}
    assert len(results) == 9
    for run, result in results.items():
        diverged = run.learning_rate == 0.1 and run.seed == 101
        assert (result.final["early"] is None) == (not result.history.records) == diverged
        assert store.read(run) == result
    assert not list(tmp_path.rglob("*.pt"))
    assert main(["table", "step-sizes"], studies={"step-sizes": pilot}, store=store) == 0
    assert "| below −1,000 |" in capsys.readouterr().out
    # A figure that takes its step from them leaves the one that diverged.
    figure = replace(FIGURE_2, runs=(cell,), first_images=60)
    (result,) = run_study(figure, store)
    assert result.final["learning_rate"] in (0.01, 0.02)
    assert result.final["learning_rates"]["0.1"] is None
    assert "Infinity" not in store.result_path(cell).read_text()


@pytest.mark.parametrize("together", [False, True])
def test_a_step_that_diverges_is_not_chosen(monkeypatch, tmp_path, together):
    """Where a run chooses its step itself."""
    new = explodes_at(0.1, runs=(0,))
    monkeypatch.setattr("aevb_lib.experiments.comparison.new_learner", new)
    runs = tuple(tiny_run(BOUND_VS_SAMPLES.runs[1], batch_size=20, seed=seed) for seed in (0, 1))
    study = replace(BOUND_VS_SAMPLES, runs=runs, first_row=3, early_steps=3, num_stretches=0)
    results = {
        result.run.seed: result
        for result in run_study(study, TinyStore(tmp_path), together=together)
    }
    assert results[0].final["learning_rates"]["0.1"] is None
    assert results[0].final["learning_rate"] < 0.1
    assert None not in results[1].final["learning_rates"].values()


def test_the_command_refuses_seeds_that_a_study_lacks(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["run", "figure-2", "--seeds", "7"], store=Store(tmp_path))
    assert "figure-2 has no seed 7" in capsys.readouterr().err
    assert set(STUDIES) >= {"step-sizes", "figure-2", "figure-3"}
