"""Every algorithm: what a step may do, what it must not, and whether it finds the optimum."""

import builtins
from contextlib import contextmanager

import pytest
import torch
from oracles import (
    LinearEncoder,
    assert_same_mean,
    batch_of,
    brute_force_evidence,
    images,
    linear_gaussian,
    ppca,
)
from torch import Tensor

import aevb_lib as aevb

P, D = 16, 2


def make_aevb(estimator=aevb.sgvb_b, num_samples=1):
    model = aevb.VAE(aevb.GaussianMLP(P, D, (8,)), aevb.BernoulliMLP(D, P, (8,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return aevb.AEVB(model, optimizer, estimator=estimator, num_samples=num_samples)


def make_reconstruction():
    model = aevb.Autoencoder(aevb.MLP(P, D, (8,)), aevb.BernoulliMLP(D, P, (8,)))
    return aevb.Reconstruction(model, torch.optim.SGD(model.parameters(), lr=0.01))


def make_wake_sleep():
    model = aevb.VAE(aevb.GaussianMLP(P, D, (8,)), aevb.BernoulliMLP(D, P, (8,)))
    parts = (model.decoder, model.encoder)
    return aevb.WakeSleep(model, *(torch.optim.SGD(part.parameters(), lr=0.01) for part in parts))


def make_monte_carlo_em(model=None, **options):
    model = model or aevb.LatentVariableModel(aevb.BernoulliMLP(D, P, (8,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return aevb.OnlineMonteCarloEM(model, optimizer, num_data=50, **options)


def make_whole_monte_carlo_em(model=None, **options):
    """The paper's, which moves the chains of all images in pieces, here in three."""
    model = model or aevb.LatentVariableModel(aevb.BernoulliMLP(D, P, (8,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return aevb.MonteCarloEM(model, optimizer, num_data=250, **options)


def images_for(algorithm, size):
    """Images of a batch: as many as one likes, but the paper's Monte Carlo EM takes all it has."""
    return len(algorithm.codes) if isinstance(algorithm, aevb.MonteCarloEM) else size


MANY = aevb.ImageSet(torch.rand(250, P, generator=torch.Generator().manual_seed(0)))


def batches_for(algorithm, size=20, device="cpu", **options):
    """Minibatches of fifty images, or all 250 at once."""
    data = MANY[: images_for(algorithm, 50)].to(device)
    return data.batches(images_for(algorithm, size), **options)


def with_optimizers(algorithm, kind, **options):
    """The same algorithm with other optimizers over the parameters it has now."""
    if isinstance(algorithm, aevb.WakeSleep):
        algorithm.wake_optimizer = kind(algorithm.model.decoder.parameters(), **options)
        algorithm.sleep_optimizer = kind(algorithm.model.encoder.parameters(), **options)
    else:
        algorithm.optimizer = kind(algorithm.model.parameters(), **options)
    return algorithm


class Counting:
    """What an algorithm of a user may have beside: a count of its steps, begun with the first."""

    count = 0

    def step(self, batch):
        self.count += 1
        return super().step(batch)


class CountingAEVB(Counting, aevb.AEVB):
    pass


class CountingReconstruction(Counting, aevb.Reconstruction):
    pass


BOUND = {"elbo", "log_likelihood", "kl"}
TIGHTER = {"bound", "log_likelihood", "kl"}
CHAINS = {"log_joint", "acceptance", "step_size"}
# A new algorithm is one line here: how to make it, what its step measures, what it trains.
ALGORITHMS = {
    "AEVB, B": (make_aevb, BOUND, "encoder decoder"),
    "AEVB, A": (lambda: make_aevb(aevb.sgvb_a), BOUND, "encoder decoder"),
    "AEVB, L=5": (lambda: make_aevb(num_samples=5), BOUND, "encoder decoder"),
    "AEVB, IWAE": (lambda: make_aevb(aevb.iwae, 5), TIGHTER, "encoder decoder"),
    "Reconstruction": (make_reconstruction, {"log_likelihood"}, "encoder decoder"),
    "WakeSleep": (make_wake_sleep, {"log_joint", "log_posterior"}, "encoder decoder"),
    "OnlineMonteCarloEM": (make_monte_carlo_em, CHAINS, "decoder"),
    "OnlineMonteCarloEM, restart": (lambda: make_monte_carlo_em(restart=True), CHAINS, "decoder"),
    "MonteCarloEM": (make_whole_monte_carlo_em, CHAINS, "decoder"),
    "MonteCarloEM, restart": (lambda: make_whole_monte_carlo_em(restart=True), CHAINS, "decoder"),
}
each_algorithm = pytest.mark.parametrize(
    ("make", "metrics", "trained"), ALGORITHMS.values(), ids=ALGORITHMS
)


def a_batch(size=4, algorithm=None):
    """Of another algorithm's own size, where it has one."""
    return batch_of(torch.rand(images_for(algorithm, size), P))


@contextmanager
def nothing_read_back(monkeypatch):
    """Fail if a number is read back from its device, which is what makes a GPU wait."""

    def refuse(*_, **__):
        raise AssertionError("a step read a value back from its device")

    with monkeypatch.context() as patch:
        for reader in ("item", "tolist", "cpu", "numpy", "__float__", "__int__", "__bool__"):
            patch.setattr(Tensor, reader, refuse)
        yield


@each_algorithm
@pytest.mark.parametrize("size", [1, 4])
def test_a_step_returns_detached_scalars(make, metrics, trained, size):
    algorithm = make()
    result = algorithm.step(a_batch(size, algorithm))
    assert set(result) == metrics
    for value in result.values():
        assert isinstance(value, Tensor)
        assert value.shape == ()
        assert not value.requires_grad
        assert torch.isfinite(value)


@each_algorithm
def test_a_step_without_images_is_refused_before_it_moves_anything(make, metrics, trained):
    algorithm = make()
    before = [parameter.detach().clone() for parameter in algorithm.model.parameters()]
    with pytest.raises(ValueError, match=r"at least one image|all 250 images, .* holds 0"):
        algorithm.step(a_batch(0))
    assert all(map(torch.equal, before, algorithm.model.parameters()))


@each_algorithm
def test_a_step_trains_what_it_should_and_nothing_else(make, metrics, trained):
    algorithm = make()
    before = {name: p.detach().clone() for name, p in algorithm.model.named_parameters()}
    algorithm.step(a_batch(4, algorithm))
    for name, parameter in algorithm.model.named_parameters():
        moved = not torch.equal(parameter, before[name])
        assert moved == (name.split(".")[0] in trained.split()), name


@each_algorithm
def test_a_step_never_waits_for_a_device(make, metrics, trained, monkeypatch):
    """SGD itself does not."""
    algorithm = make()
    batch = a_batch(4, algorithm)
    with nothing_read_back(monkeypatch):
        result = algorithm.step(batch)
    assert all(torch.isfinite(value) for value in result.values())


@each_algorithm
def test_a_step_works_where_no_value_exists(make, metrics, trained):
    """Tensors on the meta device have shapes only, so nothing can depend on a value."""
    algorithm = make()
    batch = aevb.Batch(*(tensor.to("meta") for tensor in a_batch(4, algorithm)))
    algorithm.model.to("meta")
    with_optimizers(algorithm, torch.optim.SGD, lr=0.01)
    assert all(v.device.type == "meta" for v in algorithm.step(batch).values())


@each_algorithm
@pytest.mark.parametrize("training", [True, False])
def test_a_step_is_quiet_and_leaves_the_mode_alone(
    make, metrics, trained, training, capsys, monkeypatch
):
    algorithm = make()
    algorithm.model.train(training)
    monkeypatch.setattr(builtins, "print", lambda *_, **__: pytest.fail("a step printed"))
    algorithm.step(a_batch(4, algorithm))
    monkeypatch.undo()
    assert {m.training for m in algorithm.model.modules()} == {training}
    assert capsys.readouterr() == ("", "")


@each_algorithm
def test_same_seed_same_step_in_either_mode(make, metrics, trained):
    results = []
    for training in (True, False):
        torch.manual_seed(0)
        algorithm = make()
        batch = a_batch(4, algorithm)
        algorithm.model.train(training)
        results.append([algorithm.step(batch) for _ in range(3)])
    assert results[0] == results[1]


@each_algorithm
def test_old_gradients_do_not_leak_into_a_step(make, metrics, trained):
    parameters = []
    for pollute in (False, True):
        torch.manual_seed(0)
        algorithm = make()
        batch = a_batch(4, algorithm)
        if pollute:
            for parameter in algorithm.model.parameters():
                parameter.grad = torch.full_like(parameter, 100.0)
        algorithm.step(batch)
        parameters.append(torch.cat([p.detach().flatten() for p in algorithm.model.parameters()]))
    assert torch.equal(*parameters)


@pytest.mark.parametrize(
    ("make", "metrics"),
    # Chains that begin anew are too far from the posterior for it.
    [row[:2] for name, row in ALGORITHMS.items() if "restart" not in name],
    ids=[name for name in ALGORITHMS if "restart" not in name],
)
def test_steps_improve_a_batch(make, metrics):
    torch.manual_seed(0)
    algorithm = make()
    batch = batch_of((torch.rand(images_for(algorithm, 50), 1) > 0.5).float().expand(-1, P))
    with_optimizers(algorithm, torch.optim.Adam, lr=0.05)
    measure = "log_likelihood" if "log_likelihood" in metrics else "log_joint"
    values = [algorithm.step(batch)[measure].item() for _ in range(100)]
    assert values[-1] > values[0] + 4  # from 16 log 2 = 11 nats to nearly 0


@pytest.mark.parametrize(
    ("make", "objective"),
    [
        (make_aevb, lambda m, x: aevb.sgvb_b(m, x).bound),
        (make_reconstruction, aevb.point_log_likelihood),
    ],
)
def test_a_step_is_gradient_ascent_on_the_mean_objective(make, objective):
    algorithm, batch = make(), a_batch()
    torch.manual_seed(0)
    value = objective(algorithm.model, batch.images).mean()
    gradients = torch.autograd.grad(value, list(algorithm.model.parameters()))
    expected = [
        p.detach() + 0.01 * g for p, g in zip(algorithm.model.parameters(), gradients, strict=True)
    ]
    torch.manual_seed(0)
    result = algorithm.step(batch)
    for parameter, target in zip(algorithm.model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), target)
    torch.testing.assert_close(result.get("elbo", result["log_likelihood"]), value.detach())


@pytest.mark.parametrize("estimator", [aevb.sgvb_a, aevb.sgvb_b], ids="AB")
def test_aevb_reaches_the_maximum_likelihood_evidence(estimator):
    """PPCA is the truth: with orthogonal columns a diagonal posterior loses nothing, so the
    bound's maximum over W, b and the encoder is the largest evidence there is."""
    torch.manual_seed(0)
    scale = 0.7
    data = images(linear_gaussian(), 500)
    best = ppca(data, 3, scale)
    decoder = aevb.LinearGaussian(
        0.1 * torch.randn(6, 3, dtype=torch.float64), torch.zeros(6).double(), scale=scale
    )
    zeros = torch.zeros(3, dtype=torch.float64)
    encoder = LinearEncoder(0.1 * torch.randn(3, 6, dtype=torch.float64), zeros, zeros)
    model = aevb.VAE(encoder, decoder).double()
    start = brute_force_evidence(decoder).log_prob(data).mean().item()
    steps = 300
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    learner, batch = aevb.AEVB(model, optimizer, estimator=estimator), batch_of(data)
    for _ in range(steps):
        learner.step(batch)
        schedule.step()
    reached = brute_force_evidence(decoder).log_prob(data).mean().item()
    assert reached <= best + 1e-6, "nothing is better than the maximum"
    assert reached > best - 0.01, (start, reached, best)
    assert best - start > 0.5
    # And the encoder has become the exact posterior: the bound touches the evidence.
    bound = estimator(model, data, 20).bound.mean().item()
    assert bound == pytest.approx(reached, abs=0.05)


def test_the_ppca_oracle_is_scikit_learns():
    from sklearn.decomposition import PCA

    data = images(linear_gaussian(), 500)
    pca = PCA(3, svd_solver="full").fit(data.numpy())
    # scikit-learn fits the noise too, from a covariance over n - 1.
    score = pca.score(data.numpy())
    assert ppca(data, 3, pca.noise_variance_**0.5) == pytest.approx(score, abs=1e-2)
    weight = pca.components_.T * (pca.explained_variance_ - pca.noise_variance_) ** 0.5
    decoder = aevb.LinearGaussian(
        torch.tensor(weight), torch.tensor(pca.mean_), scale=pca.noise_variance_**0.5
    )
    assert decoder.evidence().log_prob(data).mean().item() == pytest.approx(score, abs=1e-9)


# --- wake-sleep ----------------------------------------------------------------------------------


def test_a_step_of_wake_sleep_is_two_ascents_one_after_the_other():
    """The dreams are those of a decoder that has just learned."""
    torch.manual_seed(0)
    algorithm, batch = make_wake_sleep(), a_batch()
    twin = make_wake_sleep().model
    twin.load_state_dict(algorithm.model.state_dict())
    values = []
    torch.manual_seed(0)
    for part, objective in (
        (twin.decoder, lambda: aevb.wake_phase(twin, batch.images)),
        (twin.encoder, lambda: aevb.sleep_phase(twin, len(batch.images))),
    ):
        values.append(objective().mean())
        gradients = torch.autograd.grad(values[-1], list(part.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(part.parameters(), gradients, strict=True):
                parameter += 0.01 * gradient
    torch.manual_seed(0)
    result = algorithm.step(batch)
    for a, b in zip(algorithm.model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert [result["log_joint"].item(), result["log_posterior"].item()] == [
        pytest.approx(value.item(), rel=1e-5) for value in values
    ]


def test_each_phase_has_its_own_optimizer():
    for name, still in (("wake_optimizer", "decoder"), ("sleep_optimizer", "encoder")):
        algorithm = make_wake_sleep()
        getattr(algorithm, name).param_groups[0]["lr"] = 0.0
        before = {n: p.detach().clone() for n, p in algorithm.model.named_parameters()}
        algorithm.step(a_batch())
        for n, parameter in algorithm.model.named_parameters():
            assert torch.equal(parameter, before[n]) == (n.split(".")[0] == still), n


def test_an_optimizer_over_everything_still_trains_one_half_per_phase():
    """Old gradients of the other half must not be used a second time."""
    results = []
    for whole in (False, True):
        torch.manual_seed(0)
        algorithm, batch = make_wake_sleep(), a_batch()
        if whole:
            model = algorithm.model
            algorithm.wake_optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            algorithm.sleep_optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for _ in range(3):
            algorithm.step(batch)
        results.append(torch.cat([p.detach().flatten() for p in algorithm.model.parameters()]))
    assert torch.equal(*results)


def ascend_to_the_evidence(make, steps, latent_dim=3, size=500):
    """Train a linear-Gaussian model; return where it started, where it got, and the maximum."""
    torch.manual_seed(0)
    scale = 0.7
    data = images(linear_gaussian(), 500)
    weight = 0.1 * torch.randn(6, latent_dim, dtype=torch.float64)
    decoder = aevb.LinearGaussian(weight, torch.zeros(6).double(), scale=scale)
    start = brute_force_evidence(decoder).log_prob(data).mean().item()
    algorithm, optimizers = make(decoder, len(data))
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        for optimizer in optimizers
    ]
    whole = batch_of(data)
    for _ in range(steps):
        for first in range(0, len(data), size):
            algorithm.step(aevb.Batch(*(part[first : first + size] for part in whole)))
        for schedule in schedules:
            schedule.step()
    reached = brute_force_evidence(decoder).log_prob(data).mean().item()
    best = ppca(data, latent_dim, scale)
    assert reached <= best + 1e-6, "nothing is better than the maximum"
    assert best - start > 0.5
    return start, reached, best


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("kind", [aevb.MonteCarloEM, aevb.OnlineMonteCarloEM])
def test_monte_carlo_em_reaches_the_maximum_likelihood_evidence(kind, restart, monkeypatch):
    def make(decoder, num_data):
        model = aevb.LatentVariableModel(decoder)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        options = {"num_data": num_data, "restart": restart}
        return kind(model, optimizer, **options), [optimizer]

    pieces_of(monkeypatch, 200)
    size = 500 if kind is aevb.MonteCarloEM else 250
    start, reached, best = ascend_to_the_evidence(make, 120, size=size)
    if restart:  # one move from the prior does not reach the posterior, so codes explain too little
        assert start + 3 < reached < best - 3, (start, reached, best)
    else:
        assert reached > best - 0.01, (start, reached, best)


def test_wake_sleep_reaches_the_evidence_where_its_encoder_can_be_exact():
    """One latent dimension: the exact posterior is a normal with a linear mean, as is q."""

    def make(decoder, num_data):
        zeros = torch.zeros(1, dtype=torch.float64)
        encoder = LinearEncoder(0.1 * torch.randn(1, 6, dtype=torch.float64), zeros, zeros)
        model = aevb.VAE(encoder, decoder)
        optimizers = [torch.optim.Adam(part.parameters(), lr=0.05) for part in (decoder, encoder)]
        return aevb.WakeSleep(model, *optimizers), optimizers

    start, reached, best = ascend_to_the_evidence(make, 500, latent_dim=1)
    assert reached > best - 0.02, (start, reached, best)


# --- Monte Carlo EM ------------------------------------------------------------------------------


def test_only_the_chains_of_the_batch_move():
    algorithm = make_monte_carlo_em(step_size=0.1)
    before = algorithm.codes.clone()
    indices = torch.tensor([7, 0, 3])
    algorithm.step(aevb.Batch(torch.rand(3, P), torch.zeros(3).long(), indices))
    moved = (algorithm.codes != before).any(1)
    assert moved.nonzero().flatten().tolist() == [0, 3, 7]


def test_chains_find_the_posterior_of_a_model_that_stands_still():
    """Through batches in changing order, each image's chain draws from its own posterior."""
    torch.manual_seed(0)
    decoder = linear_gaussian()
    model, data = aevb.LatentVariableModel(decoder), images(decoder, 2000)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    algorithm = aevb.OnlineMonteCarloEM(
        model, optimizer, num_data=2000, num_updates=1, step_size=0.2
    )
    labels = torch.zeros(2000, dtype=torch.long)
    for _ in range(30):
        for indices in torch.randperm(2000).split(500):
            algorithm.step(aevb.Batch(data[indices], labels[indices], indices))
    posterior = decoder.exact_posterior(data)
    error = (algorithm.codes - posterior.mean).detach()
    assert_same_mean(error, 0.0)
    assert_same_mean(
        error.unsqueeze(-1) * error.unsqueeze(-2), posterior.covariance_matrix[0].detach()
    )


def test_the_step_size_is_tuned_to_the_acceptance_asked_for():
    torch.manual_seed(0)
    algorithm, batch = make_monte_carlo_em(target_acceptance=0.7), batch_of(torch.rand(50, P))
    with_optimizers(algorithm, torch.optim.SGD, lr=0.0)
    rows = [algorithm.step(batch) for _ in range(300)]
    assert rows[0]["step_size"].item() == pytest.approx(0.01)
    late = torch.stack([row["acceptance"] for row in rows[150:]])
    assert late.mean().item() == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize("num_updates", [1, 5])
def test_weights_are_updated_as_often_as_asked(num_updates):
    algorithm = make_monte_carlo_em(num_updates=num_updates)
    model, batch = algorithm.model, a_batch()
    twin = make_monte_carlo_em().model
    twin.load_state_dict(model.state_dict())
    algorithm.step(batch)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.01)
    for _ in range(num_updates):
        optimizer.zero_grad()
        (-aevb.complete_data(twin, batch.images, algorithm.codes[:4]).mean()).backward()
        optimizer.step()
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_papers_monte_carlo_em_moves_all_chains_then_the_weights():
    """Its step is the on-line one on a batch that is the whole set, and no other."""
    images = torch.rand(50, P)
    results = []
    for kind in (aevb.MonteCarloEM, aevb.OnlineMonteCarloEM):
        torch.manual_seed(0)
        model = aevb.LatentVariableModel(aevb.BernoulliMLP(D, P, (8,)))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        learner = kind(model, optimizer, num_data=50, step_size=0.3)
        before = learner.codes.clone()
        learner.step(batch_of(images))
        assert (learner.codes != before).any(1).float().mean() > 0.5
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*results)
    with pytest.raises(ValueError, match=r"all 50 images, but this batch holds 20: pass images"):
        aevb.MonteCarloEM(model, optimizer, num_data=50).step(batch_of(images[:20]))


def pieces_of(monkeypatch, smallest):
    monkeypatch.setattr("aevb_lib.inference.monte_carlo_em.MIN_PIECE", smallest)


def test_chains_moved_in_pieces_are_the_same_algorithm(monkeypatch):
    """Its noise apart: chains that stand still, then weights that move as for the whole set."""
    data = batch_of(torch.rand(50, P))
    results = []
    for smallest in (50, 20):
        pieces_of(monkeypatch, smallest)
        torch.manual_seed(0)
        algorithm = make_monte_carlo_em(step_size=1e-9)
        row = algorithm.step(data)
        weights = torch.cat([p.detach().flatten() for p in algorithm.model.parameters()])
        results.append((weights, row["log_joint"], row["acceptance"]))
    for whole, pieces in zip(*results, strict=True):
        torch.testing.assert_close(whole, pieces)


def test_the_step_size_is_tuned_within_a_move_of_many_chains(monkeypatch):
    """Else the few moves of the paper's Monte Carlo EM would all be of the length it began with."""
    pieces_of(monkeypatch, 1)
    torch.manual_seed(0)
    model = aevb.LatentVariableModel(linear_gaussian())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    algorithm = aevb.MonteCarloEM(model, optimizer, num_data=1000, step_size=0.01)
    data = batch_of(images(model.decoder, 1000))
    first, second = (algorithm.step(data) for _ in range(2))
    assert first["step_size"].item() == pytest.approx(0.01)
    assert second["step_size"].item() > 0.1
    assert second["acceptance"].item() == pytest.approx(0.9, abs=0.04)


def test_restarted_chains_forget_where_they_were():
    algorithm = make_monte_carlo_em(restart=True, step_size=1e-9)
    algorithm.codes.fill_(100.0)
    algorithm.step(batch_of(torch.rand(50, P)))
    assert algorithm.codes.abs().max() < 10


def test_monte_carlo_em_leaves_an_encoder_alone():
    model = aevb.VAE(aevb.GaussianMLP(P, D, (8,)), aevb.BernoulliMLP(D, P, (8,)))
    model.encoder.forward = None  # it cannot even be called
    make_monte_carlo_em(model).step(a_batch())
    assert all(p.grad is None for p in model.encoder.parameters())


def test_impossible_monte_carlo_em():
    with pytest.raises(
        IndexError, match=r"not among 0 to 49, with num_data=50: pass num_data=len\(train\)"
    ):
        make_monte_carlo_em().step(
            aevb.Batch(torch.rand(1, P), torch.zeros(1).long(), torch.tensor([50]))
        )
    model = aevb.LatentVariableModel(aevb.BernoulliMLP(D, P))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for options, message in (
        ({"num_data": 0}, "num_data must be the number of images"),
        ({"num_data": 5, "num_updates": 0}, "num_updates must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            aevb.OnlineMonteCarloEM(model, optimizer, **options)
    with pytest.raises(ValueError, match="num_leapfrog must be at least 1"):
        make_monte_carlo_em(num_leapfrog=0).step(a_batch())
