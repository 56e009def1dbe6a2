"""Many learners trained as one: each must learn what it would learn alone."""

import copy
import inspect
import math

import pytest
import torch
from oracles import batch_of
from test_inference import (
    ALGORITHMS,
    CountingReconstruction,
    D,
    P,
    a_batch,
    batches_for,
    make_aevb,
    make_monte_carlo_em,
    nothing_read_back,
    with_optimizers,
)
from torch import Tensor, nn

import aevb_lib as aevb
from aevb_lib.stacking import Stack

SIZE = 3
each_algorithm = pytest.mark.parametrize(
    "make", [make for make, *_ in ALGORITHMS.values()], ids=ALGORITHMS
)
DATA = aevb.ImageSet(torch.rand(50, P, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def fixed_noise(monkeypatch):
    """All noise depends on the shape alone, so one model gets what each of many gets."""
    uniform_ = Tensor.uniform_

    def uniform(*shape):
        # Not drawn: inside vmap what is drawn differs from model to model.
        numbers = torch.arange(1.0, math.prod(shape) + 1).mul(0.618034).frac()
        return (0.01 + 0.98 * numbers).reshape(shape)

    def normal(*shape):
        return torch.erfinv(2 * uniform(*shape) - 1) * 2**0.5

    def of_chains(tensor, *between, generator=None):
        if between:  # initial weights, which are to differ
            return uniform_(tensor, *between, generator=generator)
        return tensor.copy_(uniform(tensor.shape[-1]).expand_as(tensor))

    def of_momenta(tensor, generator=None):
        return tensor.copy_(normal(*tensor.shape[-2:]).expand_as(tensor))

    monkeypatch.setattr(torch, "randn", lambda shape, **_: normal(*shape))
    monkeypatch.setattr(torch, "bernoulli", lambda p: (uniform(*p.shape) < p).to(p.dtype))
    monkeypatch.setattr(Tensor, "uniform_", of_chains)
    monkeypatch.setattr(Tensor, "normal_", of_momenta)


def learners(make, size=SIZE, kind=torch.optim.Adam, **options):
    """Learners from different weights, with different learning rates."""
    members = []
    for seed in range(size):
        torch.manual_seed(seed)
        members.append(with_optimizers(make(), kind, lr=0.01 * (seed + 1), **options))
    return members


def parameters(learner):
    return torch.cat([p.detach().flatten() for p in learner.model.parameters()])


def orders(size=SIZE):
    return [torch.Generator().manual_seed(seed) for seed in range(size)]


@each_algorithm
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.SGD])
def test_with_the_same_noise_each_learns_what_it_learns_alone(make, kind, fixed_noise):
    alone, members = learners(make, kind=kind), learners(make, kind=kind)
    expected = [
        aevb.fit(learner, batches_for(learner, generator=order), epochs=2, progress=False)
        for learner, order in zip(alone, orders(), strict=True)
    ]
    batches = batches_for(members[0], generator=orders())  # the last one of an epoch is short
    histories = aevb.fit_each(aevb.Together(members), batches, epochs=2, progress=False)
    for one, member in zip(alone, members, strict=True):
        torch.testing.assert_close(parameters(member), parameters(one), rtol=1e-4, atol=1e-5)
    for history, other in zip(histories, expected, strict=True):
        assert history.metrics == other.metrics
        assert history["examples"] == other["examples"]
        for name in history.metrics:
            assert history[name] == pytest.approx(other[name], rel=1e-4, abs=1e-5)


@each_algorithm
def test_every_learner_has_noise_of_its_own(make):
    """Equal learners on equal batches part ways."""
    torch.manual_seed(0)
    first = with_optimizers(make(), torch.optim.SGD, lr=0.01)
    members = [first, *(copy.deepcopy(first) for _ in range(SIZE - 1))]
    aevb.Together(members).step(a_batch(20, first))
    if isinstance(first, aevb.Reconstruction):
        assert torch.equal(parameters(members[0]), parameters(members[1]))
    else:
        assert not torch.equal(parameters(members[0]), parameters(members[1]))


@each_algorithm
def test_a_step_of_many_never_waits_for_a_device(make, monkeypatch):
    members = learners(make, kind=torch.optim.SGD)
    together, batch = aevb.Together(members), a_batch(4, members[0])
    with nothing_read_back(monkeypatch):
        values = together.step(batch)
    assert all(value.isfinite().all() for value in values.values())


@each_algorithm
def test_models_that_were_moved_take_what_else_their_learners_have_along(make):
    """Such as chains; on the meta device, which stands for a GPU."""
    members = [make(), make()]
    for member in members:
        member.model.to("meta")
        with_optimizers(member, torch.optim.SGD, lr=0.01)
    batch = aevb.Batch(*(tensor.to("meta") for tensor in a_batch(4, members[0])))
    together = aevb.Together(members)
    for _ in range(2):
        assert all(value.device.type == "meta" for value in together.step(batch).values())


def test_a_learner_alone_together_draws_the_numbers_that_it_draws_alone():
    alone, member = make_aevb(), make_aevb()
    member.model.load_state_dict(alone.model.state_dict())
    for learner in (alone, aevb.Together([member])):
        torch.manual_seed(0)
        for _ in range(3):
            learner.step(batch_of(DATA.images[:20]))
    torch.testing.assert_close(parameters(member), parameters(alone))


def test_together_reaches_what_learners_alone_reach_within_the_spread_over_seeds():
    def reached(train):
        members = learners(make_aevb, size=8)
        for member in members:
            with_optimizers(member, torch.optim.Adam, lr=0.02)
        train(members)
        return torch.tensor([float(aevb.mean_elbo(m.model, DATA)) for m in members])

    def alone(members):
        for member, order in zip(members, orders(8), strict=True):
            aevb.fit(member, DATA.batches(10, generator=order), epochs=20, progress=False)

    def together(members):
        batches = DATA.batches(10, generator=orders(8))
        aevb.fit_each(aevb.Together(members), batches, epochs=20, progress=False)

    a, b = reached(alone), reached(together)
    error = ((a.var() + b.var()) / 8).sqrt()
    assert abs(a.mean() - b.mean()) < 4 * error
    assert error < 0.1


def test_chains_are_each_learners_own():
    members = learners(make_monte_carlo_em)
    before = [member.codes.clone() for member in members]
    indices = torch.tensor([[7, 0], [3, 4], [1, 49]])
    images = torch.rand(SIZE, 2, P)
    aevb.Together(members).step(aevb.Batch(images, torch.zeros(SIZE, 2).long(), indices))
    for member, old, own in zip(members, before, indices, strict=True):
        moved = (member.codes != old).any(1).nonzero().flatten().tolist()
        assert set(moved) <= set(own.tolist())
        assert member.step_size.item() != pytest.approx(0.01)


def test_a_learner_goes_on_alone_after_it_was_trained_together():
    members = learners(make_aevb)
    aevb.fit_each(aevb.Together(members), DATA.batches(20), epochs=1, progress=False)
    before = [parameters(member) for member in members]
    members[1].step(batch_of(DATA.images[:20]))
    changed = [not torch.equal(parameters(m), old) for m, old in zip(members, before, strict=True)]
    assert changed == [False, True, False]


def test_running_averages_of_batch_normalization_are_each_models_own():
    def make():
        encoder = nn.Sequential(nn.Linear(P, 8), nn.BatchNorm1d(8), aevb.GaussianMLP(8, D, (4,)))
        model = aevb.VAE(encoder, aevb.BernoulliMLP(D, P, (8,)))
        return aevb.AEVB(model, torch.optim.SGD(model.parameters(), lr=0.01))

    alone, members = learners(make), learners(make)
    batch = batch_of(DATA.images[:20])
    aevb.Together(members).step(batch)
    for one, member in zip(alone, members, strict=True):
        one.step(batch)
        torch.testing.assert_close(
            member.model.encoder[1].running_mean, one.model.encoder[1].running_mean
        )


def test_schedules_and_clipping_are_each_learners_own(fixed_noise):
    def train(members, together):
        steps = 6
        for member in members:
            aevb.clip_gradients(member.optimizer, max_norm=0.5)
        schedules = [
            torch.optim.lr_scheduler.OneCycleLR(m.optimizer, 0.1 * (i + 1), total_steps=steps + 1)
            for i, m in enumerate(members)
        ]
        if together:
            batches = DATA.batches(20, generator=orders())
            aevb.fit_each(
                aevb.Together(members), batches, epochs=2, schedulers=schedules, progress=False
            )
        else:
            for member, order, schedule in zip(members, orders(), schedules, strict=True):
                batches = DATA.batches(20, generator=order)
                aevb.fit(member, batches, epochs=2, scheduler=schedule, progress=False)
        return [parameters(member) for member in members]

    for a, b in zip(
        train(learners(make_aevb), True), train(learners(make_aevb), False), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_rows_hold_what_evaluation_says_of_each_model():
    members = learners(make_aevb)
    seen = []

    def evaluate(model):
        seen.append(model)
        return {"norm": model.decoder.mlp.layers[0].weight.detach().norm().item()}

    rows = []
    histories = aevb.fit_each(
        aevb.Together(members),
        DATA.batches(25),
        epochs=2,
        evaluate=evaluate,
        on_record=lambda all_of_them: rows.append([len(h) for h in all_of_them]),
        progress=False,
    )
    assert [id(m) for m in seen] == [id(m.model) for m in members] * 2
    assert rows == [[1, 1, 1], [2, 2, 2]]
    for history, member in zip(histories, members, strict=True):
        norm = member.model.decoder.mlp.layers[0].weight.detach().norm().item()
        assert history["norm"][-1] == pytest.approx(norm)


def test_an_interruption_is_in_every_history():
    members, count = learners(make_aevb), iter(range(100))

    def evaluate(model):
        if next(count) == SIZE + 1:
            raise KeyboardInterrupt
        return {}

    with pytest.warns(UserWarning, match="interrupted at step 4 of 6; the 1 rows"):
        histories = aevb.fit_each(
            aevb.Together(members), DATA.batches(25), epochs=3, evaluate=evaluate, progress=False
        )
    assert [(len(h), h.interrupted) for h in histories] == [(1, True)] * SIZE


# --- what cannot be ------------------------------------------------------------------------------


class Branching(aevb.GaussianMLP):
    """A network that looks at its values."""

    def forward(self, inputs):
        if inputs.mean() > 100:
            inputs = inputs / 2
        return super().forward(inputs)


def test_a_model_that_vmap_does_not_take_is_named():
    def make():
        model = aevb.VAE(Branching(P, D, (8,)), aevb.BernoulliMLP(D, P, (8,)))
        return aevb.AEVB(model, torch.optim.SGD(model.parameters(), lr=0.01))

    together = aevb.Together(learners(make))
    with pytest.raises(TypeError, match="sgvb_b of a VAE cannot be computed for several models"):
        together.step(batch_of(DATA.images[:20]))
    make().step(batch_of(DATA.images[:20]))


def test_impossible_togethers():
    first, second = learners(make_aevb, size=2)
    with pytest.raises(ValueError, match="there is no model to stack"):
        aevb.Together([])
    with pytest.raises(ValueError, match="one model is there twice"):
        aevb.Together([first, first])
    with pytest.raises(TypeError, match=r"not \['AEVB', 'OnlineMonteCarloEM'\]"):
        aevb.Together([first, make_monte_carlo_em()])
    wide = aevb.VAE(aevb.GaussianMLP(P, D, (9,)), aevb.BernoulliMLP(D, P, (8,)))
    with pytest.raises(ValueError, match=r"model 1 differs .* is \[9, 16\], .* and not \[8, 16\]"):
        aevb.Together([first, aevb.AEVB(wide, torch.optim.SGD(wide.parameters(), lr=0.1))])
    with pytest.raises(ValueError, match=r"but not in num_samples: \['1', '5'\]"):
        aevb.Together([first, make_aevb(num_samples=5)])
    second.optimizer = first.optimizer
    with pytest.raises(ValueError, match="must train parameters of its own model"):
        aevb.Together([first, second])


def test_a_model_of_models_is_one_model():
    model = make_aevb().model
    model.models = nn.ModuleList([nn.Linear(1, 1)])
    learner = aevb.AEVB(model, torch.optim.SGD(model.parameters(), lr=0.01))
    assert len(aevb.fit(learner, DATA.batches(25), epochs=1, progress=False)) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    members = learners(make_aevb)
    images = DATA.images[:20]
    if dtype == torch.float64:
        images = images.double()
        for member in members:
            member.model.double()
    together = aevb.Together(members)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        for _ in range(3):
            values = together.step(batch_of(images))
    assert values["elbo"].dtype == images.dtype
    assert values["elbo"].isfinite().all()


def test_fit_and_fit_each_name_each_other():
    together = aevb.Together(learners(make_aevb))
    with pytest.raises(TypeError, match=r"many histories: use aevb_lib\.fit_each"):
        aevb.fit(together, DATA.batches(20), epochs=1)
    with pytest.raises(TypeError, match="a AEVB trains one model: use fit"):
        aevb.fit_each(make_aevb(), DATA.batches(20), epochs=1)


def test_batches_of_several_orders_are_those_of_each():
    dynamic = aevb.ImageSet(DATA.images, dynamic=True)
    for data in (DATA, dynamic):
        together = list(data.batches(20, generator=orders()))
        for number, order in enumerate(orders()):
            for batch, alone in zip(together, data.batches(20, generator=order), strict=True):
                for tensors, tensor in zip(batch, alone, strict=True):
                    assert torch.equal(tensors[number], tensor)
    with pytest.raises(ValueError, match="no generator in the list"):
        DATA.batches(20, generator=[])


def test_a_stack_and_its_models_share_memory():
    models = [nn.Linear(2, 1), nn.Linear(2, 1)]
    stack = Stack(models)
    assert len(stack) == 2
    with torch.no_grad():
        models[1].weight.fill_(7.0)
        stack.stacked["bias"].zero_()
    assert stack.stacked["weight"][1].tolist() == [[7.0, 7.0]]
    assert models[0].bias.item() == 0.0


# --- what would be wrong without a word ----------------------------------------------------------


BATCH = batch_of(DATA.images[:20])


def reconstructions(size=SIZE, build=None):
    """Learners without noise, which must learn together exactly what they learn alone."""

    def make():
        encoder = build() if build else aevb.MLP(P, D, (8,))
        model = aevb.Autoencoder(encoder, aevb.BernoulliMLP(D, P, (8,)))
        return aevb.Reconstruction(model, torch.optim.SGD(model.parameters(), lr=0.01))

    return [make() for _ in range(size)]


def test_an_old_gradient_moves_nothing():
    """Of a part that the objective does not touch: an encoder, for Monte Carlo EM."""

    def learner(seed):
        torch.manual_seed(seed)
        model = aevb.VAE(aevb.GaussianMLP(P, D, (8,)), aevb.BernoulliMLP(D, P, (8,)))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        aevb.AEVB(model, optimizer).step(BATCH)  # leaves gradients behind
        return aevb.OnlineMonteCarloEM(model, optimizer, num_data=50)

    members = [learner(seed) for seed in range(2)]
    before = [[p.detach().clone() for p in m.model.encoder.parameters()] for m in members]
    together = aevb.Together(members)
    for _ in range(3):
        together.step(BATCH)
    for member, old in zip(members, before, strict=True):
        for a, b in zip(member.model.encoder.parameters(), old, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("builds", "message"),
    [
        ([lambda: nn.Dropout(0.0), lambda: nn.Dropout(0.9)], "p of module .* is 0.9 and not 0.0"),
        ([lambda: nn.LeakyReLU(0.1), lambda: nn.LeakyReLU(0.5)], "negative_slope of module"),
        ([nn.Tanh, lambda: nn.Tanh().eval()], "training of module"),
        ([nn.Tanh, nn.ReLU], "differs from model 0"),
    ],
)
def test_models_that_differ_beside_their_parameters_are_refused(builds, message):
    members = []
    for build in builds:
        encoder = nn.Sequential(nn.Linear(P, D), build())
        model = aevb.Autoencoder(encoder, aevb.BernoulliMLP(D, P, (8,)))
        members.append(aevb.Reconstruction(model, torch.optim.SGD(model.parameters(), lr=0.01)))
    with pytest.raises(ValueError, match=message):
        aevb.Together(members)


class Scaled(nn.Module):
    """An encoder with a tensor that is neither parameter nor buffer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(P, D)
        self.scale = torch.ones(1)

    def forward(self, x):
        return self.linear(x) * self.scale


class Averaging(nn.Module):
    """An encoder that gives a buffer a new value, out of place."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(P, D)
        self.register_buffer("average", torch.zeros(P))

    def forward(self, x):
        self.average = 0.9 * self.average + 0.1 * x.detach().mean(0)
        return self.linear(x)


def test_tensors_that_cannot_be_stacked_are_named():
    with pytest.raises(ValueError, match="scale of module 'encoder' is neither parameter nor"):
        aevb.Together(reconstructions(build=Scaled))
    with pytest.raises(TypeError, match=r"model\.encoder\.average is given a new value"):
        aevb.Together(reconstructions(build=Averaging)).step(BATCH)
    hooked = reconstructions(2)
    hooked[0].model.encoder.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="module 'encoder' has a hook"):
        aevb.Together(hooked)
    hooked = reconstructions(2)
    next(hooked[1].model.parameters()).register_hook(lambda gradient: 2 * gradient)
    with pytest.raises(ValueError, match="has a hook on its gradient"):
        aevb.Together(hooked)
    sharing = reconstructions(2)
    sharing[1].model.decoder = sharing[0].model.decoder
    with pytest.raises(ValueError, match="models share a parameter"):
        aevb.Together(sharing)


class Pair(nn.Module):
    """An encoder whose two parts are made in either order."""

    def __init__(self, *order):
        super().__init__()
        for name in order:
            setattr(self, name, nn.Linear(P, D))

    def forward(self, x):
        return self.a(x) + 2 * self.b(x)


def test_parameters_are_found_by_name_whatever_their_order():
    names = iter([("a", "b"), ("b", "a")] * 2)
    alone, members = (reconstructions(2, lambda: Pair(*next(names))) for _ in range(2))
    for one, member in zip(alone, members, strict=True):
        member.model.load_state_dict(one.model.state_dict())
        one.step(BATCH)
    aevb.Together(members).step(BATCH)
    for one, member in zip(alone, members, strict=True):
        for name, value in one.model.state_dict().items():
            torch.testing.assert_close(member.model.state_dict()[name], value)


@pytest.mark.parametrize(
    "change",
    [
        lambda members: aevb.Together(members[1:]),
        lambda members: members[0].model.double(),
        lambda members: members[1].model.decoder.requires_grad_(False),
        lambda members: setattr(next(members[0].model.parameters()), "data", torch.zeros(8, P)),
        lambda members: setattr(members[1], "optimizer", copy.copy(members[1].optimizer)),
        lambda members: members[1].optimizer.add_param_group({"params": [torch.zeros(1)]}),
    ],
    ids=[
        "another Together",
        "another type",
        "frozen",
        "other memory",
        "another optimizer",
        "groups",
    ],
)
def test_models_that_were_changed_behind_its_back_are_noticed(change):
    members = reconstructions()
    together = aevb.Together(members)
    together.step(BATCH)
    change(members)
    with pytest.raises(RuntimeError, match="make a new Together of the learners"):
        together.step(BATCH)


def test_options_stay_those_of_all():
    members = learners(make_aevb)
    together = aevb.Together(members)
    for member in members:
        member.num_samples = 5
    together.step(BATCH)
    members[1].num_samples = 1
    with pytest.raises(RuntimeError, match="num_samples of a learner was replaced"):
        together.step(BATCH)


def test_one_mode_for_all():
    members = reconstructions()
    together = aevb.Together(members)
    members[1].model.eval()
    with pytest.raises(RuntimeError, match="some models are in training mode"):
        together.step(BATCH)


def test_a_copy_trains_models_of_its_own():
    together = aevb.Together(reconstructions())
    twin = copy.deepcopy(together)
    for _ in range(3):
        expected, found = together.step(BATCH), twin.step(BATCH)
        torch.testing.assert_close(found["log_likelihood"], expected["log_likelihood"])
    assert twin.learners[0].model is not together.learners[0].model


class Rebinding(aevb.Reconstruction):
    """An algorithm of a user, which gives its own tensor a new value."""

    def __init__(self, model, optimizer):
        super().__init__(model, optimizer)
        self.average = torch.zeros(())

    def step(self, batch):
        self.average = self.average + 1
        return super().step(batch)


def test_numbers_of_an_algorithm_are_every_learners_and_tensors_stay_in_place():
    counting, rebinding = (
        [kind(member.model, member.optimizer) for member in reconstructions()]
        for kind in (CountingReconstruction, Rebinding)
    )
    together = aevb.Together(counting)
    for _ in range(3):
        together.step(BATCH)
    assert [member.count for member in counting] == [3, 3, 3]
    with pytest.raises(RuntimeError, match="gives average a new value, which the learners"):
        aevb.Together(rebinding).step(BATCH)


class Direct(aevb.Reconstruction):
    """An algorithm that takes its model for one."""

    def step(self, batch):
        return {"any": self.model.encode(batch.images).mean()}


def test_messages_of_togetherness():
    together = aevb.Together(reconstructions())
    with pytest.raises(ValueError, match="there are 3 learners, but the batch is one for 2"):
        aevb.fit_each(together, DATA.batches(20, generator=orders(2)), epochs=1, progress=False)
    schedule = torch.optim.lr_scheduler.ConstantLR(together.learners[0].optimizer)
    for schedulers in (schedule, [schedule]):
        with pytest.raises(TypeError, match="schedulers is a list with those of every learner"):
            inspect.unwrap(aevb.fit_each)(
                together, DATA.batches(20), epochs=1, schedulers=schedulers
            )
    with pytest.raises(TypeError, match="put Replay around Together"):
        aevb.Together([aevb.Replay(member) for member in reconstructions()])
    sizes = [make_monte_carlo_em(), make_monte_carlo_em()]
    sizes[1].codes = torch.zeros(60, D)
    with pytest.raises(ValueError, match=r"if codes has one shape: \[\(50, 2\), \(60, 2\)\]"):
        aevb.Together(sizes)
    members = [Direct(member.model, member.optimizer) for member in reconstructions()]
    with pytest.raises(AttributeError, match="a stack of models has no 'encode': an algorithm"):
        aevb.Together(members).step(BATCH)


def test_a_learner_that_diverges_is_named():
    members = reconstructions()
    with torch.no_grad():
        next(members[1].model.parameters()).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="train_log_likelihood of learner 1 stopped"):
        aevb.fit_each(aevb.Together(members), DATA.batches(20), epochs=1, progress=False)
