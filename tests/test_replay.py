"""A step replayed from a CUDA graph: what is refused, which needs no GPU, and the replay itself."""

from contextlib import nullcontext
from unittest.mock import MagicMock

import pytest
import torch
from interpreter import answer_of
from oracles import batch_of
from test_inference import (
    ALGORITHMS,
    D,
    P,
    a_batch,
    batches_for,
    make_aevb,
    make_monte_carlo_em,
    make_wake_sleep,
    with_optimizers,
)

import aevb_lib as aevb
from aevb_lib import repeatable
from aevb_lib.inference import replay as replaying
from aevb_lib.members import numbers_of

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
each_algorithm = pytest.mark.parametrize(
    "make", [make for make, *_ in ALGORITHMS.values()], ids=ALGORITHMS
)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
DATA = aevb.ImageSet(torch.rand(50, P, generator=torch.Generator().manual_seed(0)))


def parameters(learner):
    return torch.cat([p.detach().flatten() for p in learner.model.parameters()]).cpu()


@each_algorithm
def test_on_a_processor_it_is_the_algorithm_itself(make):
    torch.manual_seed(0)
    first = make()
    torch.manual_seed(0)
    second = make()
    results = []
    for learner in (first, aevb.Replay(second)):
        torch.manual_seed(1)
        generator = torch.Generator().manual_seed(0)
        batches = batches_for(first, generator=generator)
        history = aevb.fit(learner, batches, epochs=2, progress=False)
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
    batch = a_batch(20, learner)
    learner.step(batch)
    # On a processor its random numbers are the model's.
    monkeypatch.setattr(torch, "get_rng_state", lambda: torch.zeros(1))
    for _ in range(3):
        with repeatable.watched(learner, CPU):
            learner.step(batch)


@each_algorithm
def test_together_keeps_its_state_in_place(make, monkeypatch):
    members = [make(), make()]
    together, batch = aevb.Together(members), a_batch(20, members[0])
    together.step(batch)
    monkeypatch.setattr(torch, "get_rng_state", lambda: torch.zeros(1))
    with repeatable.watched(together, CPU):
        together.step(batch)


class Own:
    """An algorithm of a user."""

    def __init__(self, change):
        self.model = torch.nn.Linear(1, 1)
        self.average = torch.zeros(1)
        self.count = 0
        self.generator = torch.Generator()
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


def draw_by_its_own(learner):
    torch.rand(1, generator=learner.generator)


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
        (draw, "random numbers from the processor's generator"),
        (draw_by_its_own, "random numbers from generator, which would be the same"),
    ],
)
def test_a_step_that_a_graph_would_not_repeat_is_refused(change, message):
    learner = Own(change)
    with pytest.raises(RuntimeError, match=message), repeatable.watched(learner, CPU):
        learner.step(None)


def test_a_step_in_place_is_refused_only_on_the_processor():
    learner = Own(keep)
    with repeatable.watched(learner, CPU):  # that is where the model is
        learner.step(None)
    message = "it changes average, which is on the processor, where a graph does not reach"
    with pytest.raises(RuntimeError, match=message), repeatable.watched(learner, CUDA):
        learner.step(None)


@pytest.mark.parametrize(
    ("kind", "is_noticed"), [(torch.optim.Adagrad, False), (torch.optim.Adafactor, True)]
)
def test_a_count_of_steps_on_the_processor_is_noticed_where_it_is_used(kind, is_noticed):
    """Adagrad's is used only with lr_decay, which is refused."""
    learner = with_optimizers(make_aevb(), kind, lr=0.01)
    states = []
    for _ in range(3):
        learner.step(batch_of(DATA.images[:20]))
        states.append(repeatable._state_of(learner, CUDA))
    changed = {name for what, name in states[1] if states[1][what, name] != states[2][what, name]}
    assert ("optimizer.state[0]['step']" in changed) == is_noticed


def test_an_error_of_the_step_itself_comes_through():
    def fail(learner):
        raise ValueError("my own")

    learner = Own(fail)
    with pytest.raises(ValueError, match="my own"), repeatable.watched(learner, CPU):
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
    constants = repeatable.Constants(learner, CPU)
    for _ in range(4):
        schedule.step()
    assert group["lr"] is rate, "a schedule writes into the tensor that a graph reads"
    assert rate.item() == pytest.approx(0.5)
    constants.check()


def test_numbers_that_a_graph_cannot_see_are_noticed():
    learner = with_optimizers(make_aevb(), torch.optim.Adam, lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(learner.optimizer, 0.5, total_steps=10)
    learner.optimizer.step()
    replaying._prepare(learner.optimizer, torch.device("cpu"))
    constants = repeatable.Constants(learner, CPU)
    schedule.step()
    with pytest.raises(RuntimeError, match=r"optimizer\.betas was \(0\.95"):
        constants.check()


def test_a_capturable_optimizer_is_silent_about_steps_that_are_not_captured(monkeypatch):
    """On a GPU, and torch would speak up in the first eager step."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: CUDA)
    stream = MagicMock(is_capturing=lambda: False)
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda: stream)
    learner = with_optimizers(make_aevb(), torch.optim.Adam, lr=0.01)
    replaying._prepare(learner.optimizer, CPU)
    learner.optimizer._accelerator_graph_capture_health_check()
    learner.optimizer._warned_capturable_if_run_uncaptured = False
    with pytest.warns(UserWarning, match="capturable=True can impair performance"):
        learner.optimizer._accelerator_graph_capture_health_check()


def test_the_optimizers_of_every_learner_are_found():
    members = [make_wake_sleep(), make_wake_sleep()]
    expected = [o for m in members for o in (m.wake_optimizer, m.sleep_optimizer)]
    found = aevb.Replay(aevb.Together(members))._optimizers
    assert [id(o) for o in found] == [id(o) for o in expected]


def test_a_count_in_a_model_is_noticed():
    learner = make_aevb()
    learner.model.calls = 0
    message = r"gives model\..*calls a new value"
    with pytest.raises(RuntimeError, match=message), repeatable.watched(learner, CPU):
        learner.model.calls += 1


def test_another_tensor_for_a_learning_rate_is_noticed():
    learner = with_optimizers(make_aevb(), torch.optim.Adam, lr=0.01)
    learner.optimizer.step()
    replaying._prepare(learner.optimizer, torch.device("cpu"))
    constants = repeatable.Constants(learner, CPU)
    learner.optimizer.param_groups[0]["lr"] = torch.tensor(1e-4)
    with pytest.raises(RuntimeError, match="lr was a tensor at"):
        constants.check()


def test_adagrad_that_counts_its_steps_is_refused():
    learner = with_optimizers(make_aevb(), torch.optim.Adagrad, lr=0.01, lr_decay=0.1)
    with pytest.raises(RuntimeError, match="Adagrad with lr_decay counts its steps"):
        replaying._prepare(learner.optimizer, torch.device("cpu"))


# --- what is around a capture, without a GPU -----------------------------------------------------


@pytest.fixture
def graphs(monkeypatch):
    """Graphs that do nothing when they are replayed; a capture does the step."""
    for name in ("Stream", "current_stream", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, MagicMock())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: nullcontext())
    state = torch.get_rng_state()  # the learners here draw on the processor
    monkeypatch.setattr(torch, "get_rng_state", lambda: state)
    monkeypatch.setattr(replaying, "without_waiting", nullcontext)
    monkeypatch.setattr(aevb.Replay, "step", aevb.Replay._step)


def captured(make=make_aevb):
    """A learner, and a replay of it that has graphs."""
    learner = with_optimizers(make(), torch.optim.SGD, lr=0.01, momentum=0.9)
    replay = aevb.Replay(learner)
    for _ in range(5):
        replay.step(batch_of(DATA.images[:20]))
    return learner, replay


def test_steps_of_every_shape_are_eager_first_and_watched(graphs):
    done = []
    learner = Own(lambda learner: done.append(1))
    replay = aevb.Replay(learner)
    for size in (20, 10):
        for _ in range(6):
            replay.step(batch_of(DATA.images[:size]))
    assert len(done) == 2 * (replaying.NUM_EAGER + 1)
    learner.change = count
    with pytest.raises(RuntimeError, match="change was <lambda> and is count since the step"):
        replay.step(batch_of(DATA.images[:20]))
    replay = aevb.Replay(learner)
    replay.step(batch_of(DATA.images[:20]))
    with pytest.raises(RuntimeError, match="it gives count a new value"):
        replay.step(batch_of(DATA.images[:20]))


def replace_data(learner):
    weight = next(learner.model.parameters())
    weight.data = weight.data.clone()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda learner: setattr(learner, "num_samples", 5), "num_samples was 1 and is 5"),
        (
            lambda learner: setattr(learner, "estimator", aevb.sgvb_a),
            "estimator was sgvb_b and is sgvb_a",
        ),
        (lambda learner: learner.model.eval(), "model.training was True and is False"),
        (
            lambda learner: learner.model.decoder.requires_grad_(False),
            r"model\.decoder\..* was frozen or unfrozen since the step was captured",
        ),
        (replace_data, "was given other memory"),
        (lambda learner: aevb.Together([learner]), "was given other memory"),
        (
            lambda learner: setattr(learner.model, "decoder", aevb.BernoulliMLP(D, P, (8,))),
            "model.decoder was BernoulliMLP and is BernoulliMLP",
        ),
        (
            lambda learner: with_optimizers(learner, torch.optim.SGD, lr=0.01),
            "optimizer was SGD and is SGD",
        ),
        (
            lambda learner: learner.optimizer.param_groups[0].update(momentum=0.5),
            r"optimizer\.momentum was 0\.9 and is 0\.5",
        ),
    ],
)
def test_what_a_graph_cannot_see_is_refused_when_it_changes(change, message, graphs):
    learner, replay = captured()
    change(learner)
    with pytest.raises(RuntimeError, match=message):
        replay.step(batch_of(DATA.images[:20]))
    fresh = aevb.Replay(learner)
    for _ in range(5):
        fresh.step(batch_of(DATA.images[:20]))


def test_autocast_is_refused_when_it_is_switched_on(graphs):
    learner, replay = captured()
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(RuntimeError, match=r"autocast was off and is torch\.bfloat16"):
            replay.step(batch_of(DATA.images[:20]))
        fresh = aevb.Replay(learner)
        for _ in range(5):
            fresh.step(batch_of(DATA.images[:20]))


def test_a_change_of_one_learner_of_many_is_refused(graphs):
    members = [with_optimizers(make_aevb(), torch.optim.SGD, lr=0.01) for _ in range(2)]
    replay = aevb.Replay(aevb.Together(members))
    for _ in range(5):
        replay.step(batch_of(DATA.images[:20]))
    members[1].num_samples = 5
    with pytest.raises(RuntimeError, match=r"learners\[1\]\.num_samples was 1 and is 5"):
        replay.step(batch_of(DATA.images[:20]))


def test_an_algorithm_of_functions_alone_is_replayed(graphs):
    class Bare:
        model = torch.nn.Linear(1, 1)

        def step(self, batch):
            return {"any": batch.images.sum()}

    replay = aevb.Replay(Bare())
    for _ in range(5):
        assert replay.step(batch_of(DATA.images[:20]))["any"].isfinite()


def test_what_was_put_back_is_not_refused(graphs):
    learner, replay = captured()
    learner.model.eval()
    learner.model.train()
    learner.optimizer.param_groups[0]["momentum"] = float("0.9")
    replay.step(batch_of(DATA.images[:20]))


def test_a_tensor_on_the_processor_has_the_value_that_it_had():
    learner = Own(keep)
    constants = repeatable.Constants(learner, CUDA)
    constants.check()
    learner.average.fill_(0.5)
    with pytest.raises(RuntimeError, match="average, which is on the processor, was changed"):
        constants.check()


def test_another_state_of_an_optimizer_begins_anew(graphs):
    learner, replay = captured()
    learner.optimizer.load_state_dict(learner.optimizer.state_dict())
    replay.step(batch_of(DATA.images[:20]))
    assert list(replay._eager_steps.values()) == [1]
    assert not replay._graphs


def test_a_capture_that_fails_says_what_is_lost(graphs, monkeypatch):
    def fail(graph, stream):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", fail)
    with pytest.raises(RuntimeError, match=r"the capture of this step failed, .* restart it"):
        captured()


def test_a_training_that_goes_on_in_another_process_begins_with_eager_steps(graphs, tmp_path):
    """There optimizers have to be prepared, and a capture would come too early."""
    for epochs in (3, 6):
        learner = with_optimizers(make_aevb(), torch.optim.SGD, lr=0.01, momentum=0.9)
        replay = aevb.Replay(learner)
        aevb.fit(
            replay,
            DATA.batches(25, generator=torch.Generator()),
            epochs=epochs,
            checkpoint=tmp_path / "state.pt",
            progress=False,
        )
        assert list(replay._eager_steps.values()) == [replaying.NUM_EAGER]
        own = {f"algorithm.{name}": value for name, value in numbers_of(learner).items()}
        assert numbers_of(replay) == own


# --- on a GPU ------------------------------------------------------------------------------------


def on_gpu(make, kind=torch.optim.Adam, **options):
    learner = make()
    learner.model.to("cuda")
    return with_optimizers(learner, kind, **{"lr": 0.01} | options)


def gpu_batch(size=20, learner=None):
    return aevb.Batch(*(tensor.cuda() for tensor in a_batch(size, learner)))


@GPU
@each_algorithm
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.SGD])
@pytest.mark.parametrize("size", [None, 2])
def test_no_step_waits_for_the_device(make, kind, size):
    members = [on_gpu(make, kind) for _ in range(size or 1)]
    learner = aevb.Together(members) if size else members[0]
    for optimizer in aevb.Replay(learner)._optimizers:
        replaying._prepare(optimizer, CUDA)
    batch = gpu_batch(20, members[0])
    learner.step(batch)
    for _ in range(3):
        with repeatable.without_waiting():
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
        history = aevb.fit(
            wrap(learner),
            batches_for(learner, device="cuda", generator=generator),
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
    """They learn what they learn in eager steps."""
    weights = []
    for wrap in (lambda learner: learner, aevb.Replay):
        torch.manual_seed(0)
        members = [on_gpu(make), on_gpu(make, lr=0.02)]
        torch.manual_seed(1)
        generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
        aevb.fit_each(
            wrap(aevb.Together(members)),
            batches_for(members[0], device="cuda", generator=generators),
            epochs=8,
            progress=False,
        )
        weights.append(torch.cat([parameters(member) for member in members]))
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)


@GPU
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad])
def test_a_replayed_training_goes_on_in_another_process(kind, tmp_path):
    """With the learning rate on the GPU again, where a schedule reaches it."""
    weights = []
    for parts in ([8], [4, 8]):
        path = tmp_path / f"{len(parts)}.pt"
        for epochs in parts:
            torch.manual_seed(0)
            learner = on_gpu(make_aevb, kind)
            schedule = None
            if kind is torch.optim.Adam:
                schedule = torch.optim.lr_scheduler.LambdaLR(
                    learner.optimizer, lambda step: float(step < 18)
                )
            torch.manual_seed(1)
            aevb.fit(
                aevb.Replay(learner),
                DATA.to("cuda").batches(20, generator=torch.Generator().manual_seed(0)),
                epochs=epochs,
                scheduler=schedule,
                checkpoint=path,
                progress=False,
            )
        weights.append(parameters(learner))
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)


@GPU
def test_a_changed_mode_is_refused_and_a_new_replay_captures_it():
    learner = on_gpu(make_aevb)
    replay, batch = aevb.Replay(learner), gpu_batch()
    for _ in range(5):
        replay.step(batch)
    learner.model.eval()
    with pytest.raises(RuntimeError, match="training was True and is False"):
        replay.step(batch)
    replay = aevb.Replay(learner)
    for _ in range(5):
        assert replay.step(batch)["elbo"].isfinite()


HIDDEN = """
import json
import torch
import aevb_lib as aevb

generator = torch.Generator("cuda")


class Hidden:
    model = torch.nn.Linear(1, 1).cuda()

    def step(self, batch):
        return {"any": torch.rand(1, device="cuda", generator=generator).sum()}


batch = aevb.Batch(*(torch.zeros(1, 1, device="cuda") for _ in range(3)))
replay = aevb.Replay(Hidden())
try:
    for _ in range(5):
        replay.step(batch)
except RuntimeError as error:
    print(json.dumps(str(error)))
"""


@GPU
def test_a_generator_that_nobody_sees_makes_the_capture_fail_with_a_message():
    """In a process of its own, since it is lost."""
    assert "the capture of this step failed" in answer_of("-c", HIDDEN)


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
    batch = gpu_batch()
    replay.step(batch)
    with pytest.raises(RuntimeError, match="it waits for the GPU"):
        replay.step(batch)
    assert torch.rand(3, device="cuda").isfinite().all()


@GPU
def test_a_changed_momentum_is_refused():
    replay = aevb.Replay(on_gpu(make_aevb, torch.optim.SGD))
    batch = gpu_batch()
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
