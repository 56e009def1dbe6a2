"""Every algorithm: what a step may do, what it must not, and whether it finds the optimum."""

import builtins

import pytest
import torch
from oracles import (
    LinearEncoder,
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


BOUND = {"elbo", "log_likelihood", "kl"}
# A new algorithm is one line here: how to make it, what its step measures, what it trains.
ALGORITHMS = {
    "AEVB, B": (make_aevb, BOUND, "encoder decoder"),
    "AEVB, A": (lambda: make_aevb(aevb.sgvb_a), BOUND, "encoder decoder"),
    "AEVB, L=5": (lambda: make_aevb(num_samples=5), BOUND, "encoder decoder"),
    "Reconstruction": (make_reconstruction, {"log_likelihood"}, "encoder decoder"),
}
each_algorithm = pytest.mark.parametrize(
    ("make", "metrics", "trained"), ALGORITHMS.values(), ids=ALGORITHMS
)


def a_batch(size=4):
    return batch_of(torch.rand(size, P))


@each_algorithm
@pytest.mark.parametrize("size", [1, 4])
def test_a_step_returns_detached_scalars(make, metrics, trained, size):
    result = make().step(a_batch(size))
    assert set(result) == metrics
    for value in result.values():
        assert isinstance(value, Tensor)
        assert value.shape == ()
        assert not value.requires_grad
        assert torch.isfinite(value)


@each_algorithm
def test_a_step_trains_what_it_should_and_nothing_else(make, metrics, trained):
    algorithm = make()
    before = {name: p.detach().clone() for name, p in algorithm.model.named_parameters()}
    algorithm.step(a_batch())
    for name, parameter in algorithm.model.named_parameters():
        moved = not torch.equal(parameter, before[name])
        assert moved == (name.split(".")[0] in trained.split()), name


@each_algorithm
def test_a_step_never_waits_for_a_device(make, metrics, trained, monkeypatch):
    """Reading a number back is what makes a GPU wait; SGD itself does not."""
    algorithm, batch = make(), a_batch()

    def refuse(*_, **__):
        raise AssertionError("a step read a value back from its device")

    for reader in ("item", "tolist", "cpu", "numpy", "__float__", "__int__", "__bool__"):
        monkeypatch.setattr(Tensor, reader, refuse)
    result = algorithm.step(batch)
    monkeypatch.undo()
    assert all(torch.isfinite(value) for value in result.values())


@each_algorithm
def test_a_step_works_where_no_value_exists(make, metrics, trained):
    """Tensors on the meta device have shapes only, so nothing can depend on a value."""
    with torch.device("meta"):
        batch = aevb.Batch(torch.zeros(4, P), torch.zeros(4).long(), torch.zeros(4).long())
    algorithm = make()
    algorithm.model.to("meta")
    algorithm.optimizer = torch.optim.SGD(algorithm.model.parameters(), lr=0.01)
    assert all(v.device.type == "meta" for v in algorithm.step(batch).values())


@each_algorithm
@pytest.mark.parametrize("training", [True, False])
def test_a_step_is_quiet_and_leaves_the_mode_alone(
    make, metrics, trained, training, capsys, monkeypatch
):
    algorithm = make()
    algorithm.model.train(training)
    monkeypatch.setattr(builtins, "print", lambda *_, **__: pytest.fail("a step printed"))
    algorithm.step(a_batch())
    monkeypatch.undo()
    assert {m.training for m in algorithm.model.modules()} == {training}
    assert capsys.readouterr() == ("", "")


@each_algorithm
def test_same_seed_same_step_in_either_mode(make, metrics, trained):
    results = []
    for training in (True, False):
        torch.manual_seed(0)
        algorithm, batch = make(), a_batch()
        algorithm.model.train(training)
        results.append([algorithm.step(batch) for _ in range(3)])
    assert results[0] == results[1]


@each_algorithm
def test_old_gradients_do_not_leak_into_a_step(make, metrics, trained):
    parameters = []
    for pollute in (False, True):
        torch.manual_seed(0)
        algorithm, batch = make(), a_batch()
        if pollute:
            for parameter in algorithm.model.parameters():
                parameter.grad = torch.full_like(parameter, 100.0)
        algorithm.step(batch)
        parameters.append(torch.cat([p.detach().flatten() for p in algorithm.model.parameters()]))
    assert torch.equal(*parameters)


@each_algorithm
def test_steps_improve_a_batch(make, metrics, trained):
    torch.manual_seed(0)
    algorithm, batch = make(), batch_of((torch.rand(50, 1) > 0.5).float().expand(-1, P))
    algorithm.optimizer = torch.optim.Adam(algorithm.model.parameters(), lr=0.05)
    values = [algorithm.step(batch)["log_likelihood"].item() for _ in range(100)]
    assert values[-1] > values[0] + 4  # from 16 log 2 = 11 nats to nearly 0


@pytest.mark.parametrize(
    ("make", "objective"),
    [(make_aevb, lambda m, x: aevb.sgvb_b(m, x).elbo), (make_reconstruction, aevb.reconstruction)],
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
    bound = estimator(model, data, 20).elbo.mean().item()
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
