"""A training that ends and goes on: the same as one that never ended."""

import json

import numpy as np
import pytest
import torch
from test_inference import (
    ALGORITHMS,
    CountingAEVB,
    P,
    batches_for,
    make_aevb,
    make_monte_carlo_em,
    with_optimizers,
)

import aevb_lib as aevb
from aevb_lib import checkpoints

DATA = aevb.ImageSet(torch.rand(50, P, generator=torch.Generator().manual_seed(0)))
each_algorithm = pytest.mark.parametrize(
    "make", [make for make, *_ in ALGORITHMS.values()], ids=ALGORITHMS
)


@pytest.fixture(autouse=True)
def after_every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)


def rows(history):
    return [(r.step, r.epoch, r.examples, r.metrics) for r in history]


class Killed(BaseException):
    pass


def run(make, path=None, kill_at=None, kind=torch.optim.Adam, scheduled=False, **options):
    """Train from a seed, as a fresh process would."""
    torch.manual_seed(0)
    learner = with_optimizers(make(), kind, lr=0.01)
    batches = batches_for(learner, generator=torch.Generator().manual_seed(7))
    if scheduled:
        options["scheduler"] = torch.optim.lr_scheduler.OneCycleLR(
            learner.optimizer, 0.1, total_steps=13
        )
    step, count = learner.step, iter(range(10**6))

    def killed(batch):
        if next(count) == kill_at:
            raise Killed
        return step(batch)

    learner.step = killed
    history = aevb.fit(
        learner,
        batches,
        epochs=12 // len(batches),
        evaluate=lambda model: {"noise": float(torch.rand(1))},
        checkpoint=path,
        progress=False,
        **{"record_at": [2, 5, 7, 12]} | options,
    )
    weights = torch.cat([p.detach().flatten() for p in learner.model.parameters()])
    return history, weights


@each_algorithm
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad])
def test_a_killed_training_goes_on_as_if_nothing_had_been(make, kind, tmp_path):
    path = tmp_path / "state.pt"
    whole, weights = run(make, kind=kind)
    for kill_at in (7, 4):  # in the third epoch; then in what is the fourth
        with pytest.raises(Killed):
            run(make, path, kill_at=kill_at, kind=kind)
    resumed, again = run(make, path, kind=kind)
    assert rows(resumed) == rows(whole)
    assert torch.equal(again, weights)
    assert resumed["seconds"] == sorted(resumed["seconds"])
    done, _ = run(make, path, kill_at=0, kind=kind)  # nothing is left to do
    assert rows(done) == rows(whole)


def test_a_schedule_goes_on_too(tmp_path):
    whole, weights = run(make_aevb, scheduled=True)
    with pytest.raises(Killed):
        run(make_aevb, tmp_path / "state.pt", kill_at=7, scheduled=True)
    resumed, again = run(make_aevb, tmp_path / "state.pt", scheduled=True)
    assert rows(resumed) == rows(whole)
    assert torch.equal(again, weights)


def test_many_learners_go_on_too(tmp_path):
    def train(path, kill_at=None):
        torch.manual_seed(0)
        members = [with_optimizers(make_monte_carlo_em(), torch.optim.Adam, lr=0.01 * (i + 1))
                   for i in range(3)]  # fmt: skip
        together = aevb.Together(members)
        generators = [torch.Generator().manual_seed(i) for i in range(3)]
        epochs = 4 if kill_at is None else kill_at
        histories = aevb.fit_each(
            together,
            DATA.batches(20, generator=generators),
            epochs=epochs,
            checkpoint=path,
            progress=False,
        )
        return [rows(h) for h in histories], torch.cat([m.codes for m in members])

    whole, codes = train(None)
    train(tmp_path / "state.pt", kill_at=2)
    resumed, again = train(tmp_path / "state.pt")
    assert resumed == whole
    assert torch.equal(again, codes)


def test_more_epochs_go_on_with_what_is_done(tmp_path):
    learner = make_aevb()
    for epochs in (1, 3):
        history = aevb.fit(
            learner,
            DATA.batches(25),
            epochs=epochs,
            checkpoint=str(tmp_path / "state.pt"),
            progress=False,
        )
    assert history["epoch"] == [1.0, 2.0, 3.0]


def test_the_state_of_another_training_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    run(make_aevb, path)
    with pytest.raises(ValueError, match=r"state\.pt holds the state of another training"):
        run(make_monte_carlo_em, path)


def test_a_file_that_was_half_written_is_not_there(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    with pytest.raises(Killed):
        run(make_aevb, path, kill_at=7)
    before = path.read_bytes()

    def fail(state, temporary):
        temporary.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk is full"):
        run(make_aevb, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_written_once_a_minute(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 60.0)
    with pytest.raises(Killed):
        run(make_aevb, tmp_path / "state.pt", kill_at=10)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["epochs"] == 0
    history, _ = run(make_aevb, tmp_path / "state.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["epochs"] == 4
    assert json.loads(state["histories"][0])["records"][-1]["step"] == history.last.step


# --- what would be wrong without a word ----------------------------------------------------------


@pytest.mark.parametrize("kind", ["sequential", "chained"])
def test_composed_schedules_go_on_in_all_their_parts(kind, tmp_path):
    schedulers = torch.optim.lr_scheduler

    def train(path, epochs):
        torch.manual_seed(0)
        learner, rates = make_aevb(), []
        parts = [
            schedulers.LinearLR(learner.optimizer, 0.1, total_iters=4),
            schedulers.CosineAnnealingLR(learner.optimizer, 8),
        ]
        if kind == "sequential":
            schedule = schedulers.SequentialLR(learner.optimizer, parts, [4])
        else:
            schedule = schedulers.ChainedScheduler(parts, learner.optimizer)
        aevb.fit(
            learner,
            DATA.batches(20, generator=torch.Generator().manual_seed(7)),
            epochs=epochs,
            scheduler=schedule,
            checkpoint=path,
            on_record=lambda _: rates.append(learner.optimizer.param_groups[0]["lr"]),
            progress=False,
        )
        return rates

    whole = train(None, 4)
    train(tmp_path / "state.pt", 2)
    assert train(tmp_path / "state.pt", 4) == pytest.approx(whole[2:])


def test_numbers_of_a_users_algorithm_go_on(tmp_path):
    counts = []
    for epochs in (1, 3):
        base = make_aevb()
        learner = CountingAEVB(base.model, base.optimizer)
        aevb.fit(
            learner, DATA.batches(25), epochs=epochs, checkpoint=tmp_path / "s.pt", progress=False
        )
        counts.append(learner.count)
    assert counts == [2, 6]


def test_learning_rates_from_numpy_can_be_read_back(tmp_path):
    for epochs in (1, 2):
        learner = make_aevb()
        learner.optimizer.param_groups[0]["lr"] = np.logspace(-3, -1, 3)[1]
        history = aevb.fit(
            learner, DATA.batches(25), epochs=epochs, checkpoint=tmp_path / "s.pt", progress=False
        )
    assert len(history) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": torch.optim.SGD}, r"optimizer: Adam; here: SGD"),
        ({"size": 10}, r"batches per epoch: 3; here: 5"),
        ({"epochs": 2}, "holds 4 epochs, more than the 2 asked for"),
    ],
)
def test_another_training_is_refused(change, message, tmp_path):
    run(make_aevb, tmp_path / "s.pt")
    learner = with_optimizers(make_aevb(), change.get("kind", torch.optim.Adam), lr=0.01)
    before = [p.detach().clone() for p in learner.model.parameters()]
    batches = DATA.batches(change.get("size", 20), generator=torch.Generator())
    with pytest.raises(ValueError, match=message):
        aevb.fit(learner, batches, epochs=change.get("epochs", 4), checkpoint=tmp_path / "s.pt")
    if "epochs" not in change:  # before anything is touched
        for a, b in zip(learner.model.parameters(), before, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("content", [b"", b"not a file of torch", None])
def test_a_file_that_cannot_be_read_is_named(content, tmp_path):
    path = tmp_path / "s.pt"
    if content is None:
        torch.save({"epochs": 1}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"s\.pt cannot be read as the state of a training"):
        aevb.fit(make_aevb(), DATA.batches(25), epochs=1, checkpoint=path)


def test_an_interruption_before_the_first_minute_goes_back_to_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 60.0)
    whole, weights = run(make_aevb)
    with pytest.raises(Killed):
        run(make_aevb, tmp_path / "s.pt", kill_at=7)
    again, resumed = run(make_aevb, tmp_path / "s.pt")
    assert rows(again) == rows(whole)
    assert torch.equal(resumed, weights)


def test_what_a_replay_set_up_is_undone_on_a_processor(tmp_path):
    learner = with_optimizers(make_aevb(), torch.optim.Adam, lr=0.01)
    batches = DATA.batches(25, generator=torch.Generator())
    aevb.fit(learner, batches, epochs=1, checkpoint=tmp_path / "s.pt", progress=False)
    state = torch.load(tmp_path / "s.pt", weights_only=True)
    (group,) = state["optimizers"]["optimizer"]["param_groups"]
    group |= {"capturable": True, "lr": torch.tensor(0.01)}
    torch.save(state, tmp_path / "s.pt")
    history = aevb.fit(learner, batches, epochs=2, checkpoint=tmp_path / "s.pt", progress=False)
    assert len(history) == 2
