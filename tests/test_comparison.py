"""The recorded comparisons of algorithms: the paper's recipe, on tiny data in place of MNIST."""

from dataclasses import replace
from functools import partial

import pytest
import torch

import aevb_lib as aevb
from aevb_lib.evidence import hmc_log_likelihood
from aevb_lib.experiments import (
    STUDIES,
    compare,
    comparison,
    load_compared,
    record,
    run_study,
    studies,
    verify,
)

NAMES = ("bound-vs-samples", "likelihood-race", "mcem-variants")
BOUND = {"elbo", "log_likelihood", "kl"}
MARGINAL = {"hmc_log_likelihood", "annealed_log_likelihood"}


def tiny(study, algorithm, **changes):
    run = next(run for run in STUDIES[study] if run.algorithm == algorithm)
    return replace(
        run, latent_dim=2, hidden_dim=8, num_train=60, batch_size=20, epochs=4, **changes
    )


TINY = [
    tiny("bound-vs-samples", "aevb"),
    tiny("bound-vs-samples", "wake-sleep"),
    tiny("likelihood-race", "aevb"),
    tiny("likelihood-race", "wake-sleep"),
    tiny("likelihood-race", "mcem"),
    tiny("mcem-variants", "mcem"),
]
each_tiny = pytest.mark.parametrize("run", TINY, ids=lambda run: f"{run.study}-{run.algorithm}")


@pytest.fixture(scope="module", autouse=True)
def small():
    """Eighty images of four kinds, few draws, rows at steps 2, 4 and 8."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _make_small(monkeypatch)
        yield


def _make_small(monkeypatch):
    def load(root=None, *, regime="grey"):
        generator = torch.Generator().manual_seed(0)
        kinds = torch.rand(4, 784, generator=generator).round()
        images = kinds[torch.arange(80) % 4]
        return aevb.ImageSet(images[:60]), aevb.ImageSet(images[60:])

    monkeypatch.setattr(comparison, "load_mnist", load)
    monkeypatch.setattr(comparison, "EARLY_STEPS", 3)
    monkeypatch.setattr(comparison, "ROWS", dict.fromkeys(NAMES, (2, 1)))
    monkeypatch.setattr(comparison, "NUM_ROW", 5)
    monkeypatch.setattr(comparison, "NUM_FINAL", 7)
    monkeypatch.setattr(comparison, "NUM_TEMPERATURES", 4)
    monkeypatch.setattr(comparison, "NUM_STRETCHES", 2)
    short_chains = partial(hmc_log_likelihood, num_samples=3, num_warmup=1)
    monkeypatch.setattr(comparison, "hmc_log_likelihood", short_chains)


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    return tmp_path_factory.mktemp("comparison")


# --- recording -----------------------------------------------------------------------------------


@each_tiny
def test_a_comparison_is_recorded_whole(run, folder):
    result = record(run, folder)
    history, final = result.history, result.final
    assert history["step"] == [2, 4, 8, 12]
    assert history["examples"] == [40, 80, 160, 240]
    expected = set() if run.study == "bound-vs-samples" else set(MARGINAL)
    if run.algorithm != "mcem":
        expected |= BOUND
    measured = {name for name in history.metrics if not name.startswith("train_")}
    assert measured == expected | {f"seen_{name}" for name in expected}
    tried = {float(rate): value for rate, value in final["learning_rates"].items()}
    if run.learning_rate:
        assert not tried and final["learning_rate"] == run.learning_rate
    else:
        assert tried[final["learning_rate"]] == max(tried.values())
    assert ("hmc_log_likelihood" in final) == (run.study != "bound-vs-samples")
    assert studies.read_result(run, folder) == result
    model = load_compared(run, folder)
    assert isinstance(model, aevb.VAE) == (run.algorithm != "mcem")


@each_tiny
def test_the_same_machine_gives_the_same_numbers_and_a_forgery_is_found(run, folder):
    result = studies.read_result(record(run, folder).run, folder)
    assert verify(result, epochs=1) < 1e-3
    name = "elbo" if run.algorithm != "mcem" else "annealed_log_likelihood"
    result.history.records[0].metrics[name] += 5.0
    assert verify(result, epochs=1) == pytest.approx(5.0, abs=1e-3)


def test_verifying_reaches_the_first_row_and_refuses_more_than_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "ROWS", dict.fromkeys(NAMES, (8, 1)))
    result = record(TINY[0], tmp_path)
    assert result.history["step"] == [8, 12]
    assert verify(result, epochs=1) < 1e-3, "one epoch of three steps is not enough to compare"
    with pytest.raises(ValueError, match="cannot verify 5 epochs: 4 are recorded"):
        verify(result, epochs=5)


@pytest.mark.parametrize("run", TINY[2:], ids=lambda run: f"{run.study}-{run.algorithm}")
def test_every_algorithm_learns(run, folder):
    values = record(run, folder).history["seen_annealed_log_likelihood"]
    assert values[-1] > values[0] + 1


def test_a_run_with_a_fixed_step_is_the_chosen_one_if_it_is_the_same_step(folder):
    chosen = record(TINY[4], folder)
    fixed = record(
        replace(TINY[5], learning_rate=chosen.final["learning_rate"], seed=TINY[4].seed), folder
    )
    assert fixed.history["annealed_log_likelihood"] == chosen.history["annealed_log_likelihood"]


def test_fixed_steps_do_not_share_files(folder):
    runs = [replace(TINY[5], learning_rate=rate) for rate in (0.01, 0.02)]
    runs.append(replace(runs[0], num_leapfrog=50))
    assert runs[0].name == "mcem-n60-rate0.01-d002-seed0"
    assert runs[2].name == "mcem-n60-rate0.01-leapfrog50-d002-seed0"
    models = [load_compared(record(run, folder).run, folder) for run in runs]
    first, second, third = (next(model.parameters()) for model in models)
    assert not first.equal(second)
    assert not first.equal(third)


def test_another_seed_is_another_run(folder):
    first, second = (record(replace(TINY[0], seed=seed), folder) for seed in (0, 1))
    assert first.history["elbo"] != second.history["elbo"]


def test_an_interrupted_comparison_is_not_recorded(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison.AEVB, "step", interrupt)
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        record(TINY[0], tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_comparison_can_be_resumed(tmp_path, monkeypatch):
    monkeypatch.setitem(STUDIES, "bound-vs-samples", tuple(TINY[:2]))
    first = next(run_study("bound-vs-samples", tmp_path))
    rest = list(run_study("bound-vs-samples", tmp_path))
    assert {first.run, *(result.run for result in rest)} == set(TINY[:2])


def test_unknown_algorithm():
    with pytest.raises(ValueError, match="no algorithm called 'vem'; there are: 'aevb'"):
        compare(replace(TINY[0], algorithm="vem"))


# --- the paper's recipe --------------------------------------------------------------------------


def test_weights_start_small_and_alike():
    run = STUDIES["likelihood-race"][0]
    learners = [
        comparison.new_learner(replace(run, algorithm=name), 0.02)[0]
        for name in ("aevb", "wake-sleep", "mcem")
    ]
    models = [learner.model for learner in learners]
    for parameter in models[0].parameters():
        if parameter.numel() > 1000:
            assert parameter.std().item() == pytest.approx(0.01, rel=0.1)
            assert abs(parameter.mean().item()) < 0.001
    decoders = [torch.cat([p.flatten() for p in m.decoder.parameters()]) for m in models]
    assert decoders[0].equal(decoders[1])
    assert decoders[0].equal(decoders[2])


@pytest.mark.parametrize("run", TINY[2:], ids=lambda run: f"{run.study}-{run.algorithm}")
def test_adagrad_climbs_the_map_objective(run):
    """Weight decay beside an average over images: N(0, I) over weights, beside a sum over N."""
    learner, _ = comparison.new_learner(run, 0.02)
    optimizers = [value for value in vars(learner).values() if hasattr(value, "param_groups")]
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    assert {group["weight_decay"] for group in groups} == {1 / run.num_train}
    assert {group["lr"] for group in groups} == {0.02}
    assert all(type(optimizer) is torch.optim.Adagrad for optimizer in optimizers)
    optimized = {id(p) for group in groups for p in group["params"]}
    assert optimized == {id(p) for p in learner.model.parameters()}
