"""A step replayed from a CUDA graph: what is refused, which needs no GPU, and the replay itself."""

import pytest
import torch
from oracles import batch_of
from test_inference import (
    ALGORITHMS,
    P,
    make_aevb,
    make_monte_carlo_em,
    make_wake_sleep,
    with_optimizers,
)

import aevb_lib as aevb
from aevb_lib.inference import replay as replaying

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
each_algorithm = pytest.mark.parametrize(
    "make", [make for make, *_ in ALGORITHMS.values()], ids=ALGORITHMS
)
DATA = aevb.ImageSet(torch.rand(50, P, generator=torch.Generator().manual_seed(0)))


def parameters(learner):
    return torch.cat([p.detach().flatten() for p in learner.model.parameters()]).cpu()


@each_algorithm
def test_on_a_processor_it_is_the_algorithm_itself(make):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU; the models here stay on the processor")
    torch.manual_seed(0)
    first = make()
    torch.manual_seed(0)
    second = make()
    results = []
    for learner in (first, aevb.Replay(second)):
        torch.manual_seed(1)
        generator = torch.Generator().manual_seed(0)
        history = aevb.fit(learner, DATA.batches(20, generator=generator), epochs=2, progress=False)
        results.append([row.metrics for row in history])
    assert results[0] == results[1]
    assert torch.equal(parameters(first), parameters(second))


def test_it_is_an_algorithm_with_the_model_of_its_own():
    learner = make_aevb()
    replay = aevb.Replay(learner)
    assert isinstance(replay, aevb.Algorithm)
    assert replay.model is learner.model


# --- what is refused before it is tried ----------------------------------------------------------


@each_algorithm
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.SGD])
def test_after_their_first_step_all_algorithms_keep_their_state_in_place(make, kind, monkeypatch):
    learner = with_optimizers(make(), kind, lr=0.01)
    learner.step(batch_of(DATA.images[:20]))
    # On a processor its random numbers are the model's.
    monkeypatch.setattr(torch, "get_rng_state", lambda: torch.zeros(1))
    for _ in range(3):
        with replaying._watched(learner):
            learner.step(batch_of(DATA.images[:20]))


def test_together_keeps_its_state_in_place(monkeypatch):
    together = aevb.Together([make_monte_carlo_em(), make_monte_carlo_em()])
    together.step(batch_of(DATA.images[:20]))
    monkeypatch.setattr(torch, "get_rng_state", lambda: torch.zeros(1))
    with replaying._watched(together):
        together.step(batch_of(DATA.images[:20]))


class Own:
    """An algorithm of a user."""

    def __init__(self, change):
        self.model = torch.nn.Linear(1, 1)
        self.average = torch.zeros(1)
        self.count = 0
        self.change = change

    def step(self, batch):
        self.change(self)
        return {}


def rebind(learner):
    learner.average = 0.9 * learner.average


def count(learner):
    learner.count += 1


def draw(learner):
    torch.rand(1)


def replace_weights(learner):
    learner.model.weight = torch.nn.Parameter(torch.zeros(1, 1))


def keep(learner):
    learner.average.mul_(0.9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rebind, "it gives average a new value, which a graph does not repeat"),
        (count, "it gives count a new value"),
        (replace_weights, r"it gives model\.weight a new value"),
        (draw, "random numbers on the processor"),
    ],
)
def test_a_step_that_a_graph_would_not_repeat_is_refused(change, message):
    learner = Own(change)
    with pytest.raises(RuntimeError, match=message), replaying._watched(learner):
        learner.step(None)


def test_a_step_in_place_is_not_refused():
    learner = Own(keep)
    with replaying._watched(learner):
        learner.step(None)


def test_an_error_of_the_step_itself_comes_through():
    def fail(learner):
        raise ValueError("my own")

    learner = Own(fail)
    with pytest.raises(ValueError, match="my own"), replaying._watched(learner):
        learner.step(None)


def test_optimizers_are_set_up_for_a_capture():
    learner = with_optimizers(make_aevb(), torch.optim.Adam, lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        learner.optimizer, 0.5, total_steps=10, pct_start=0.5, cycle_momentum=False
    )
    learner.optimizer.step()  # or its scheduler warns
    replaying._prepare(learner.optimizer, torch.device("cpu"))
    (group,) = learner.optimizer.param_groups
    rate = group["lr"]
    assert group["capturable"]
    numbers = replaying._numbers([learner.optimizer])
    for _ in range(4):
        schedule.step()
    assert group["lr"] is rate, "a schedule writes into the tensor that a graph reads"
    assert rate.item() == pytest.approx(0.5)
    assert replaying._numbers([learner.optimizer]) == numbers


def test_numbers_that_a_graph_cannot_see_are_noticed():
    learner = with_optimizers(make_aevb(), torch.optim.Adam, lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(learner.optimizer, 0.5, total_steps=10)
    learner.optimizer.step()
    replaying._prepare(learner.optimizer, torch.device("cpu"))
    before = replaying._numbers([learner.optimizer])
    schedule.step()
    after = replaying._numbers([learner.optimizer])
    assert "betas was (0.95" in replaying._first_change(before, after)


def test_the_optimizers_of_every_learner_are_found():
    members = [make_wake_sleep(), make_wake_sleep()]
    expected = [o for m in members for o in (m.wake_optimizer, m.sleep_optimizer)]
    found = aevb.Replay(aevb.Together(members))._optimizers
    assert [id(o) for o in found] == [id(o) for o in expected]


def test_a_count_in_a_model_is_noticed():
    learner = make_aevb()
    learner.model.calls = 0
    message = r"gives model\..*calls a new value"
    with pytest.raises(RuntimeError, match=message), replaying._watched(learner):
        learner.model.calls += 1


def test_another_tensor_for_a_learning_rate_is_noticed():
    learner = with_optimizers(make_aevb(), torch.optim.Adam, lr=0.01)
    learner.optimizer.step()
    replaying._prepare(learner.optimizer, torch.device("cpu"))
    before = replaying._numbers([learner.optimizer])
    learner.optimizer.param_groups[0]["lr"] = torch.tensor(1e-4)
    assert "lr was a tensor at" in replaying._first_change(
        before, replaying._numbers([learner.optimizer])
    )


def test_adagrad_that_counts_its_steps_is_refused():
    learner = with_optimizers(make_aevb(), torch.optim.Adagrad, lr=0.01, lr_decay=0.1)
    with pytest.raises(RuntimeError, match="Adagrad with lr_decay counts its steps"):
        replaying._prepare(learner.optimizer, torch.device("cpu"))


# --- on a GPU ------------------------------------------------------------------------------------


def on_gpu(make, kind=torch.optim.Adam, **options):
    learner = make()
    learner.model.to("cuda")
    return with_optimizers(learner, kind, **{"lr": 0.01} | options)


@GPU
@each_algorithm
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.SGD])
def test_no_step_waits_for_the_device(make, kind):
    learner, batch = on_gpu(make, kind), batch_of(DATA.images[:20].cuda())
    batch = aevb.Batch(*(tensor.cuda() for tensor in batch))
    learner.step(batch)
    for _ in range(3):
        with replaying._without_waiting():
            learner.step(batch)


@GPU
@each_algorithm
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.SGD])
def test_replayed_steps_learn_what_eager_steps_learn(make, kind):
    """With short last batches and an evaluation between."""
    histories, weights = [], []
    for wrap in (lambda learner: learner, aevb.Replay):
        torch.manual_seed(0)
        learner = on_gpu(make, kind)
        torch.manual_seed(1)
        generator = torch.Generator().manual_seed(0)
        batches = DATA.to("cuda").batches(20, generator=generator)
        history = aevb.fit(
            wrap(learner),
            batches,
            epochs=8,
            evaluate=lambda model: {"size": float(torch.randn(3, device="cuda").norm())},
            progress=False,
        )
        histories.append(history)
        weights.append(parameters(learner))
    # The same random numbers in the same order.
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)
    for name in histories[0].metrics:
        assert histories[1][name] == pytest.approx(histories[0][name], rel=1e-3, abs=1e-3)


@GPU
@each_algorithm
def test_many_learners_are_replayed_together(make):
    members = [on_gpu(make), on_gpu(make, lr=0.02)]
    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    histories = aevb.fit_each(
        aevb.Replay(aevb.Together(members)),
        DATA.to("cuda").batches(20, generator=generators),
        epochs=20,
        progress=False,
    )
    for history in histories:
        name = "train_log_likelihood" if "train_log_likelihood" in history.metrics else None
        name = name or "train_log_joint"
        assert history[name][-1] > history[name][0]


@GPU
def test_a_schedule_reaches_the_graph():
    learner = on_gpu(make_aevb)
    schedule = torch.optim.lr_scheduler.LambdaLR(learner.optimizer, lambda step: float(step < 10))
    before = []
    aevb.fit(
        aevb.Replay(learner),
        DATA.to("cuda").batches(25),
        epochs=10,
        scheduler=schedule,
        evaluate=lambda model: before.append(parameters(learner)) or {},
        progress=False,
    )
    assert not torch.equal(before[2], before[3])
    assert torch.equal(before[6], before[9]), "the rate is zero from step 10 on"


@GPU
def test_a_step_that_waits_is_refused_and_the_process_lives():
    def wait(learner):
        learner.average.sum().item()

    learner = Own(wait)
    learner.model.cuda()
    learner.average = learner.average.cuda()
    replay = aevb.Replay(learner)
    batch = aevb.Batch(*(tensor.cuda() for tensor in batch_of(DATA.images[:20])))
    replay.step(batch)
    with pytest.raises(RuntimeError, match="it waits for the GPU"):
        replay.step(batch)
    assert torch.rand(3, device="cuda").isfinite().all()


@GPU
def test_a_changed_momentum_is_refused():
    replay = aevb.Replay(on_gpu(make_aevb, torch.optim.SGD))
    batch = aevb.Batch(*(tensor.cuda() for tensor in batch_of(DATA.images[:20])))
    for _ in range(5):
        replay.step(batch)
    replay.algorithm.optimizer.param_groups[0]["lr"] = 0.5
    with pytest.raises(RuntimeError, match=r"lr was 0\.01 and is 0\.5"):
        replay.step(batch)


@GPU
def test_a_wrong_index_has_a_message_on_a_gpu_too():
    learner = on_gpu(make_monte_carlo_em)
    batch = aevb.Batch(
        torch.rand(1, P).cuda(), torch.zeros(1).long().cuda(), torch.tensor([50]).cuda()
    )
    with pytest.raises(IndexError, match=r"not among 0 to 49, with num_data=50"):
        learner.step(batch)
    assert torch.rand(3, device="cuda").isfinite().all()
