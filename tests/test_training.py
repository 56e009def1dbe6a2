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
from aevb_lib import distributions


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


def test_a_step_may_return_plain_numbers():
    class Plain(Counter):
        def step(self, batch):
            self.steps += 1
            return {"count": float(self.steps)}

    assert fit(Plain(), batches(3))["train_count"] == [2.0]


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


def test_an_error_that_weights_cause_names_them():
    """Torch says that probabilities of a dream are not between 0 and 1, which helps nobody."""
    learner, _, data = small_vae()
    model = learner.model
    optimizers = [
        torch.optim.SGD(part.parameters(), lr=1e-3) for part in (model.decoder, model.encoder)
    ]
    learner = aevb.WakeSleep(model, *optimizers)
    with torch.no_grad():
        next(model.decoder.parameters()).fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"weights stopped .* by step 0.*learning rate"):
        fit(learner, data)


def test_dreams_of_a_gpu_do_not_hide_that_training_diverged(monkeypatch):
    """There a step that waits for nothing goes on; the next row says what has happened."""
    monkeypatch.setattr(torch, "bernoulli", distributions._compared_with_noise)
    learner, _, data = small_vae()
    model = learner.model
    optimizers = [
        torch.optim.SGD(part.parameters(), lr=1e-3) for part in (model.decoder, model.encoder)
    ]
    with torch.no_grad():
        next(model.decoder.parameters()).fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"log_joint stopped being finite.*learning rate"):
        fit(aevb.WakeSleep(model, *optimizers), data)


def test_an_evaluation_that_weights_break_names_them():
    class Breaks(Counter):
        model = torch.nn.Linear(1, 1)

        def step(self, batch):
            torch.nn.init.constant_(self.model.bias, math.inf)
            return super().step(batch)

    def evaluate(model):
        raise ValueError("loc must be finite")

    with pytest.raises(FloatingPointError, match="weights stopped being finite by step 3"):
        fit(Breaks(), batches(3), evaluate=evaluate)


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


# --- averages, schedules, precision, modes -------------------------------------------------------


class Measured(Counter):
    """An algorithm that measures what it is told to, step by step."""

    def __init__(self, *values):
        super().__init__()
        self.values = iter(values)

    def step(self, batch):
        return {name: torch.tensor(value) for name, value in next(self.values).items()}


def test_an_average_is_over_images_and_not_over_steps():
    data = aevb.ImageSet(torch.rand(201, 4)).batches(100)
    history = fit(Measured({"a": 1.0}, {"a": 2.0}, {"a": 100.0}), data)
    assert history["train_a"] == pytest.approx([(100 * 1 + 100 * 2 + 100) / 201])


def test_a_metric_of_some_steps_is_averaged_over_those():
    data = batches(4)
    history = fit(Measured({"a": 1.0}, {"a": 1.0, "b": 8.0}, {"a": 1.0}, {"a": 1.0}), data)
    assert history.last.metrics == {"train_a": 1.0, "train_b": 8.0}


def test_a_scheduler_moves_after_every_step():
    learner, _, data = small_vae()
    scheduler = torch.optim.lr_scheduler.LambdaLR(learner.optimizer, lambda step: 1 / (1 + step))
    fit(learner, data, epochs=3, scheduler=scheduler)
    assert learner.optimizer.param_groups[0]["lr"] == pytest.approx(1e-2 / 10)


@pytest.mark.parametrize("enabled", [False, True])
def test_autocast_around_fit_trains_and_is_measured_in_full(enabled):
    """Autocast keeps casts of the weights until it ends: those of the first step, for ever."""
    learner, images, data = small_vae()

    def evaluate(model):
        inner = model.decoder.mlp.layers(torch.zeros(1, 2))
        return {"elbo": aevb.mean_elbo(model, images), "bytes": float(inner.dtype.itemsize)}

    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        history = fit(learner, data, epochs=20, evaluate=evaluate)
    assert history["bytes"] == [4.0] * 20
    assert history["elbo"][-1] == pytest.approx(-11.055, abs=0.05)
    assert history["elbo"][0] < -11.3


class Normalized(nn.Module):
    """An encoder with batch normalization and dropout."""

    def __init__(self):
        super().__init__()
        self.out_dim = 2
        self.body = nn.Sequential(nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 2))

    def forward(self, x):
        return aevb.diagonal_normal(self.body(x), torch.ones(len(x), 2))


def normalized_learner():
    torch.manual_seed(0)
    model = aevb.VAE(Normalized(), aevb.BernoulliMLP(2, 16))
    return aevb.AEVB(model, torch.optim.Adam(model.parameters()))


def test_looking_changes_no_running_average_and_drops_nothing_out():
    learner, test = normalized_learner(), aevb.ImageSet(torch.rand(50, 16) / 9)
    state = {k: v.clone() for k, v in learner.model.state_dict().items()}
    values = {aevb.mean_elbo(learner.model, test) for _ in range(2)}
    values.add(aevb.mean_elbo(learner.model.eval(), test))
    assert len(values) == 1
    learner.model.train()
    aevb.importance_log_likelihood(learner.model, test.images, num_samples=2)
    after = learner.model.state_dict()
    assert all(torch.equal(state[name], after[name]) for name in state)
    assert all(module.training for module in learner.model.modules())
    fit(learner, test.batches(25), evaluate=lambda m: {"mode": float(m.encoder.training)})
    assert not torch.equal(
        state["encoder.body.0.running_mean"], after["encoder.body.0.running_mean"]
    )


def test_evaluate_sees_evaluation_mode():
    learner, test = normalized_learner(), aevb.ImageSet(torch.rand(50, 16))
    history = fit(learner, test.batches(25), evaluate=lambda m: {"mode": float(m.training)})
    assert history["mode"] == [0.0]
    assert learner.model.training


def test_one_image_and_batch_normalization():
    learner, data = normalized_learner(), aevb.ImageSet(torch.rand(101, 16))
    with pytest.raises(ValueError, match="more than 1 value") as caught:
        fit(learner, data.batches(100))
    assert "drop_last=True" in "".join(caught.value.__notes__)
    fit(learner, data.batches(100, drop_last=True))


def test_the_bar_says_how_fast_it_goes(monkeypatch):
    shown = {}

    class Bar:
        def __init__(self, **_):
            pass

        def update(self):
            pass

        def set_postfix(self, values):
            shown.update(values)

        def close(self):
            pass

    monkeypatch.setattr("aevb_lib.loop.tqdm", Bar)
    history = fit(Counter(), batches(3, size=50), epochs=1)
    assert float(shown["images/s"].replace(",", "")) == pytest.approx(
        150 / history.last.seconds, rel=0.01
    )
