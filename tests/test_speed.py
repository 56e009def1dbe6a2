"""The study of how soon a bound is reached: three recipes by one clock."""

from dataclasses import replace

import pytest
from tiny import TinyStore

from aevb_lib.experiments import STUDIES, load_result, record
from aevb_lib.experiments.__main__ import main
from aevb_lib.experiments.speed import TIME_TO_BOUND, SpeedRun
from aevb_lib.experiments.study import VerificationError

RECIPES = ("tutorial", "report", "one-cycle")


def tiny(recipe, **changes):
    sizes = {"hidden_dim": 8, "batch_size": 20}
    return SpeedRun("time-to-bound", "vae", 2, 0, recipe=recipe, **sizes, **changes)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_has_a_row_per_epoch_and_its_beginning_can_be_done_again(recipe, tmp_path):
    store = TinyStore(tmp_path)
    result = record(TIME_TO_BOUND, tiny(recipe, epochs=3), store)
    history = result.history
    assert history["step"] == [3, 6, 9]
    assert history["examples"] == [60, 120, 180]
    assert history["seconds"] == sorted(history["seconds"])
    assert history["elbo"][-1] > history["elbo"][0]
    assert TIME_TO_BOUND.redo(result, store, epochs=2) == 0
    with pytest.raises(VerificationError, match="cannot verify 4 epochs: 3 are recorded"):
        TIME_TO_BOUND.redo(result, store, epochs=4)


def test_seconds_of_another_device_are_refused_before_they_pass(tmp_path, capsys):
    """Recipes are compared on one processor; a GPU's seconds beside them would say nothing."""
    runs = (tiny("report", epochs=2),)
    study, here = replace(TIME_TO_BOUND, runs=runs), TinyStore(tmp_path)
    command = {"studies": {"time-to-bound": study}, "store": here}
    for word in ("run", "verify"):
        with pytest.raises(SystemExit):
            main([word, "time-to-bound", "--device", "meta"], **command)
        assert "use --device cpu" in capsys.readouterr().err.splitlines()[-1]
        assert here.read_all(runs) == ([] if word == "run" else [record(study, runs[0], here)])
        record(study, runs[0], here)


def test_the_tutorials_loop_climbs_the_same_bound(tmp_path):
    """With the same data, start and rate it differs from ours by its noise only."""
    store = TinyStore(tmp_path)
    ends = {
        recipe: TIME_TO_BOUND.do(tiny(recipe, epochs=20), store).history["elbo"][-1]
        for recipe in ("tutorial", "report")
    }
    still = tiny("report", epochs=1, learning_rate=1e-9)
    start = TIME_TO_BOUND.do(still, store).history["elbo"][0]
    assert min(ends.values()) > start + 1
    assert ends["tutorial"] == pytest.approx(ends["report"], abs=0.3)


def test_runs_of_one_seed_differ_in_their_recipe_only():
    runs = [run for run in STUDIES["time-to-bound"].runs if run.seed == 0]
    assert {run.recipe for run in runs} == set(RECIPES)
    same = {replace(run, recipe="", epochs=0, learning_rate=0.0) for run in runs}
    assert len(same) == 1


def test_one_cycle_is_recorded_to_be_six_times_sooner():
    """Than the loop of most tutorials, to the bound at which the report's recipe ends."""
    seconds = {recipe: [] for recipe in RECIPES}
    for result in load_result("time-to-bound"):
        rows = zip(result.history["seconds"], result.history["elbo"], strict=True)
        seconds[result.run.recipe].append(
            next((s for s, elbo in rows if elbo >= -102.2), result.history.last.seconds)
        )
    assert {len(values) for values in seconds.values()} == {5}
    assert sum(seconds["tutorial"]) > 6 * sum(seconds["one-cycle"])
