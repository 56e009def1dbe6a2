"""The recorded comparisons of algorithms: the paper's recipe, on tiny data in place of MNIST."""

import time
from dataclasses import dataclass, replace

import pytest
import torch
from tiny import TinyStore

import aevb_lib as aevb
from aevb_lib.experiments import STUDIES, comparison, new_learner, record, run_study

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
BOUND = {"elbo", "log_likelihood", "kl"}
MARGINAL = {"hmc_log_likelihood", "annealed_log_likelihood"}
RACE = {"num_images": 5, "num_final": 7, "num_temperatures": 4, "num_samples": 3, "num_warmup": 1}


def tiny_study(name, **facts):
    """A study of the book, with a few draws for each number, and rows at steps 2, 4 and 8."""
    small = {"first_row": 2, "rows_per_doubling": 1, "early_steps": 3, "num_stretches": 2}
    return replace(STUDIES[name], **(small | facts))


SMALL = {
    "bound-vs-samples": tiny_study("bound-vs-samples"),
    "likelihood-race": tiny_study("likelihood-race", **RACE),
    "mcem-variants": tiny_study("mcem-variants", **RACE),
}


def tiny(study, algorithm):
    run = next(run for run in STUDIES[study].runs if run.algorithm == algorithm)
    return replace(run, latent_dim=2, hidden_dim=8, num_train=60, batch_size=20, epochs=4)


TINY = [
    tiny("bound-vs-samples", "aevb"),
    tiny("bound-vs-samples", "wake-sleep"),
    tiny("likelihood-race", "aevb"),
    tiny("likelihood-race", "wake-sleep"),
    tiny("likelihood-race", "mcem"),
    tiny("mcem-variants", "mcem"),
]
each_tiny = pytest.mark.parametrize("run", TINY, ids=lambda run: f"{run.study}-{run.algorithm}")


@dataclass(frozen=True)
class FourKinds(TinyStore):
    """A store whose MNIST is eighty images of four kinds."""

    def images(self, regime="grey"):
        kinds = torch.rand(4, 784, generator=torch.Generator().manual_seed(0)).round()
        images = kinds[torch.arange(80) % 4]
        return aevb.ImageSet(images[:60]), aevb.ImageSet(images[60:])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return FourKinds(tmp_path_factory.mktemp("comparison"))


def recorded(run, store):
    return record(SMALL[run.study], run, store)


# --- recording -----------------------------------------------------------------------------------


@each_tiny
def test_a_comparison_is_recorded_whole(run, store):
    result = recorded(run, store)
    history, final = result.history, result.final
    assert history["step"] == [2, 4, 8, 12]
    assert history["examples"] == [40, 80, 160, 240]
    expected = set() if run.study == "bound-vs-samples" else set(MARGINAL)
    if run.algorithm != "mcem":
        expected |= BOUND
    measured = {name for name in history.metrics if not name.startswith("train_")}
    assert measured == expected | {f"seen_{name}" for name in expected}
    tried = {float(rate): value for rate, value in final["learning_rates"].items()}
    if run.learning_rate is not None:
        assert not tried and final["learning_rate"] == run.learning_rate
    else:
        assert tried[final["learning_rate"]] == max(tried.values())
    assert ("hmc_log_likelihood" in final) == (run.study != "bound-vs-samples")
    assert store.read(run) == result
    model = SMALL[run.study].load_model(run, store)
    assert isinstance(model, aevb.VAE) == (run.algorithm != "mcem")


@each_tiny
def test_the_same_machine_gives_the_same_numbers_and_a_forgery_is_found(run, store):
    recorded(run, store)
    study, result = SMALL[run.study], store.read(run)
    assert study.redo(result, store, epochs=1) < 1e-3
    name = "elbo" if run.algorithm != "mcem" else "annealed_log_likelihood"
    result.history.records[0].metrics[name] += 5.0
    assert study.redo(result, store, epochs=1) == pytest.approx(5.0, abs=1e-3)


def test_verifying_reaches_the_first_row_and_refuses_more_than_there_is(tmp_path):
    study, store = tiny_study("bound-vs-samples", first_row=8), FourKinds(tmp_path)
    result = record(study, TINY[0], store)
    assert result.history["step"] == [8, 12]
    assert study.redo(result, store, epochs=1) < 1e-3, "one epoch of three steps is not enough"
    with pytest.raises(ValueError, match="cannot verify 5 epochs: 4 are recorded"):
        study.redo(result, store, epochs=5)


@pytest.mark.parametrize("run", TINY[2:], ids=lambda run: f"{run.study}-{run.algorithm}")
def test_every_algorithm_learns(run, store):
    values = recorded(run, store).history["seen_annealed_log_likelihood"]
    assert values[-1] > values[0] + 1


def test_a_run_with_a_fixed_step_is_the_chosen_one_if_it_is_the_same_step(store):
    chosen = recorded(TINY[4], store)
    rate, seed = chosen.final["learning_rate"], TINY[4].seed
    fixed = recorded(replace(TINY[5], learning_rate=rate, seed=seed), store)
    assert fixed.history["annealed_log_likelihood"] == chosen.history["annealed_log_likelihood"]


def test_fixed_steps_do_not_share_files(store):
    runs = [replace(TINY[5], learning_rate=rate) for rate in (0.01, 0.02)]
    runs.append(replace(runs[0], num_leapfrog=50))
    assert runs[0].name == "mcem-n60-rate0.01-d002-seed0"
    assert runs[2].name == "mcem-n60-rate0.01-leapfrog50-d002-seed0"
    study = SMALL["mcem-variants"]
    models = [study.load_model(recorded(run, store).run, store) for run in runs]
    first, second, third = (next(model.parameters()) for model in models)
    assert not first.equal(second)
    assert not first.equal(third)


def test_another_seed_is_another_run(store):
    first, second = (recorded(replace(TINY[0], seed=seed), store) for seed in (0, 1))
    assert first.history["elbo"] != second.history["elbo"]


def test_an_interrupted_comparison_is_not_recorded(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(aevb.AEVB, "step", interrupt)
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        recorded(TINY[0], FourKinds(tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_comparison_can_be_resumed(tmp_path):
    study, store = tiny_study("bound-vs-samples", runs=tuple(TINY[:2])), FourKinds(tmp_path)
    first = next(run_study(study, store))
    rest = list(run_study(study, store))
    assert {first.run, *(result.run for result in rest)} == set(TINY[:2])


class Captured:
    """In place of Replay: steps that are slow until the fourth, as a GPU's are."""

    def __init__(self, algorithm=None):
        self.model = algorithm
        self.steps = 0

    def step(self, batch):
        self.steps += 1
        if self.steps <= 4:
            time.sleep(0.05)
        return {"elbo": torch.tensor(float(self.steps))}


@pytest.mark.parametrize("batch_size", [60, 20])
def test_a_gpus_step_is_timed_once_it_is_replayed(monkeypatch, batch_size):
    """A stretch of Monte Carlo EM on all images at once is a single step."""
    monkeypatch.setattr(comparison, "Replay", Captured)
    train = aevb.ImageSet(torch.rand(60, 4)).to("meta")
    assert comparison._step_seconds(Captured(), train, batch_size, num_stretches=2) < 0.02


def test_a_processor_does_no_step_that_is_not_timed(monkeypatch):
    """There the dear ones take a quarter of a minute each."""
    made = []
    monkeypatch.setattr(comparison, "Replay", lambda learner: made.append(learner) or learner)
    comparison._step_seconds(Captured(), aevb.ImageSet(torch.rand(60, 4)), 60, num_stretches=2)
    assert made[0].steps == 2


@GPU
def test_a_gpus_seconds_are_those_of_its_graph():
    train = aevb.ImageSet(torch.rand(1000, 784).round()).to("cuda")
    learner, _ = new_learner(STUDIES["likelihood-race"].runs[2], 0.02, device="cuda")
    started = time.perf_counter()
    for batch in train.batches(100):
        learner.step(batch)
    torch.cuda.synchronize()
    eager = (time.perf_counter() - started) / 10
    assert comparison._step_seconds(learner, train, 100, num_stretches=3) < eager / 2


def test_unknown_algorithm(store):
    with pytest.raises(ValueError, match="no algorithm called 'vem'; there are: 'aevb'"):
        recorded(replace(TINY[0], algorithm="vem"), store)


# --- the paper's recipe --------------------------------------------------------------------------


def test_weights_start_small_and_alike():
    run = STUDIES["likelihood-race"].runs[0]
    learners = [
        new_learner(replace(run, algorithm=name), 0.02)[0]
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
    learner, _ = new_learner(run, 0.02)
    optimizers = [value for value in vars(learner).values() if hasattr(value, "param_groups")]
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    assert {group["weight_decay"] for group in groups} == {1 / run.num_train}
    assert {group["lr"] for group in groups} == {0.02}
    assert all(type(optimizer) is torch.optim.Adagrad for optimizer in optimizers)
    optimized = {id(p) for group in groups for p in group["params"]}
    assert optimized == {id(p) for p in learner.model.parameters()}
