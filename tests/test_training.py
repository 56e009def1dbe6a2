"""The loop: rows, interruption, and that looking does not change what is looked at."""

import math
import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import ListOfBatches, batch_of
from torch import nn

import aevb_lib as aevb


class Counter:
    """An algorithm whose k-th step measures k."""

    def __init__(self, *, fail_at=None, error=KeyboardInterrupt, value=None):
        self.model = nn.Linear(1, 1)
        self.steps, self.fail_at, self.error, self.value = 0, fail_at, error, value

    def step(self, batch):
        self.steps += 1
        if self.steps == self.fail_at:
            raise self.error
        value = self.value if self.value is not None else float(self.steps)
        return {"count": torch.tensor(value)}


def batches(n, size=4):
    return ListOfBatches(batch_of(torch.rand(size, 16)) for _ in range(n))


def fit(algorithm, data, **options):
    return aevb.fit(algorithm, data, **({"epochs": 1, "progress": False} | options))


def small_vae(seed=0):
    generator = aevb.seed_everything(seed)
    model = aevb.VAE(
        aevb.GaussianMLP(16, 2, (8,), generator=generator),
        aevb.BernoulliMLP(2, 16, (8,), generator=generator),
    )
    data = aevb.ImageSet(torch.rand(50, 16, generator=torch.Generator().manual_seed(9)))
    learner = aevb.AEVB(model, torch.optim.Adam(model.parameters(), lr=1e-2))
    return learner, data, data.batches(20, generator=generator)


def without_seconds(history):
    return [replace(record, seconds=0.0) for record in history]


@given(steps=st.integers(1, 7), epochs=st.integers(1, 4), every=st.integers(1, 30) | st.none())
@settings(deadline=None, max_examples=40)
def test_rows_are_where_they_belong(steps, epochs, every):
    history = fit(Counter(), batches(steps), epochs=epochs, record_every=every)
    total, interval = steps * epochs, every or steps
    expected = [s for s in range(1, total + 1) if s % interval == 0 or s == total]
    assert history["step"] == expected
    assert history["epoch"] == [s / steps for s in expected]
    assert history["examples"] == [4 * s for s in expected]
    assert not history.interrupted
    # Each row averages the steps since the row before: of step k, the number k.
    starts = [0, *expected[:-1]]
    averages = [(a + 1 + b) / 2 for a, b in zip(starts, expected, strict=True)]
    assert history["train_count"] == pytest.approx(averages)
    assert history["seconds"] == sorted(history["seconds"])


@given(at=st.sets(st.integers(1, 12)))
def test_rows_are_where_they_are_asked_for(at):
    history = fit(Counter(), batches(4), epochs=3, record_at=at)
    assert history["step"] == sorted(at | {12})


def test_a_short_last_batch_counts_what_it_holds():
    data = aevb.ImageSet(torch.rand(50, 16))
    assert fit(Counter(), data.batches(20), epochs=2)["examples"] == [50, 100]


def test_evaluate_gets_the_model_and_names_its_columns():
    algorithm, seen = Counter(), []

    def evaluate(model):
        seen.append(model)
        return {"test_loss": float(len(seen))}

    history = fit(algorithm, batches(2), epochs=3, evaluate=evaluate)
    assert seen == [algorithm.model] * 3
    assert history.metrics == ["train_count", "test_loss"]
    assert history["test_loss"] == [1.0, 2.0, 3.0]


def test_time_to_evaluate_is_not_counted():
    import time

    def slow(model):
        time.sleep(0.5)
        return {}

    assert fit(Counter(), batches(1), epochs=2, evaluate=slow).last.seconds < 0.5


def test_on_record_sees_the_history_grow():
    lengths, histories = [], []

    def on_record(history):
        lengths.append(len(history))
        histories.append(history)

    result = fit(Counter(), batches(3), epochs=2, record_every=2, on_record=on_record)
    assert lengths == [1, 2, 3]
    assert all(history is result for history in histories)


def test_same_seed_same_history():
    results = []
    for seed in (0, 0, 1):
        learner, _, data = small_vae(seed)
        results.append(without_seconds(fit(learner, data, epochs=3)))
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_looking_does_not_change_what_is_looked_at():
    def greedy(model):
        torch.randn(1000)
        return {"noise": float(torch.rand(()))}

    learner, images, data = small_vae()
    quiet = fit(learner, data, epochs=3)
    watched_learner, images, data = small_vae()
    watched = fit(
        watched_learner,
        data,
        epochs=3,
        evaluate=lambda m: {"elbo": aevb.mean_elbo(m, images)} | greedy(m),
    )
    assert watched["train_elbo"] == quiet["train_elbo"]
    for a, b in zip(learner.model.parameters(), watched_learner.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_how_often_one_records_does_not_change_the_training():
    finals = []
    for every in (None, 1, 4):
        learner, images, data = small_vae()
        fit(learner, data, epochs=3, record_every=every)
        finals.append(aevb.mean_elbo(learner.model, images))
    assert len(set(finals)) == 1


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_left_alone(training):
    learner, _, data = small_vae()
    learner.model.train(training)
    fit(learner, data, epochs=1, evaluate=lambda m: {"mode": float(m.training)})
    assert learner.model.training is training


def test_interruption_keeps_the_rows():
    with pytest.warns(UserWarning, match="interrupted at step 4 of 9; the 2 rows"):
        history = fit(Counter(fail_at=5), batches(3), epochs=3, record_every=2)
    assert history.interrupted
    assert history["step"] == [2, 4]
    assert aevb.History.from_json(history.to_json()) == history


def test_interruption_of_an_evaluation():
    def evaluate(model):
        raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted at step 3 of 6; the 0 rows"):
        history = fit(Counter(), batches(3), epochs=2, evaluate=evaluate)
    assert history.interrupted
    assert len(history) == 0


def test_other_errors_pass_through():
    with pytest.raises(RuntimeError, match="mine"):
        fit(Counter(fail_at=2, error=RuntimeError("mine")), batches(3))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_stops_the_training(value):
    with pytest.raises(
        FloatingPointError, match=r"train_count stopped being finite by step 3.*learning rate"
    ):
        fit(Counter(value=value), batches(3), epochs=5)


def test_an_exploding_model_is_caught():
    learner, _, data = small_vae()
    learner.optimizer = torch.optim.SGD(learner.model.parameters(), lr=1e30)
    with pytest.raises(FloatingPointError, match="train_elbo"):
        fit(learner, data, epochs=5)


def test_nan_images_are_caught_even_past_the_image_set():
    learner, _, _ = small_vae()
    with pytest.raises(FloatingPointError, match="look for nan"):
        fit(learner, ListOfBatches([batch_of(torch.full((4, 16), math.nan))]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "nothing to do: 0 epochs of 3 batches"),
        ({"epochs": -1}, "nothing to do"),
        ({"record_every": 0}, "record_every must be at least 1"),
        ({"record_every": -5}, "record_every must be at least 1"),
        ({"record_every": 2, "record_at": [1]}, "exclude each other"),
        ({"record_at": [0, 1, 4]}, r"not among 1 to 3: \[0, 4\]"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        fit(Counter(), batches(3), **options)


def test_no_batches():
    with pytest.raises(ValueError, match="1 epochs of 0 batches"):
        fit(Counter(), batches(0))


def test_batches_that_run_dry_do_not_hang():
    class Once:
        """Says it has three batches, and gives them once only, as a generator would."""

        def __init__(self):
            self.rest = iter(batches(3))

        def __len__(self):
            return 3

        def __iter__(self):
            return self.rest

    with pytest.raises(ValueError, match=r"0 batches.*len.*3.*iterated over again"):
        fit(Counter(), Once(), epochs=2)


def test_progress_can_be_hidden(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(Counter(), batches(3))
    assert capsys.readouterr() == ("", "")
