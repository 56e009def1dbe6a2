"""Shapes, gradients, initial weights and robustness, for every network in one list."""

import math

import pytest
import torch
from torch import nn

import aevb_lib as aevb

# A new network is one line here.
NETWORKS = {
    "MLP": aevb.MLP,
    "GaussianMLP": aevb.GaussianMLP,
    "BernoulliMLP": aevb.BernoulliMLP,
    "ContinuousBernoulliMLP": aevb.ContinuousBernoulliMLP,
    "GaussianPixelsMLP": aevb.GaussianPixelsMLP,
}
each_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def output_of(result):
    return result if isinstance(result, torch.Tensor) else result.mean


@each_network
@pytest.mark.parametrize("lead", [(), (1,), (4,), (2, 3, 4), (0,)])
@pytest.mark.parametrize("hidden_dims", [(), (8,), (8, 5)])
def test_leading_axes_pass_through(network, lead, hidden_dims):
    result = network(6, 3, hidden_dims)(torch.randn(*lead, 6))
    assert output_of(result).shape == (*lead, 3)
    if not isinstance(result, torch.Tensor):
        assert result.batch_shape == lead
        assert result.event_shape == (3,)


@each_network
def test_every_row_is_treated_alone(network):
    net, x = network(6, 3, (8,)), torch.randn(4, 6)
    one_by_one = torch.stack([output_of(net(row)) for row in x])
    torch.testing.assert_close(output_of(net(x)), one_by_one)


@each_network
def test_gradient_reaches_every_parameter(network):
    net = network(6, 3, (8, 5))
    result = net(torch.randn(4, 6))
    objective = result if isinstance(result, torch.Tensor) else result.log_prob(torch.rand(4, 3))
    objective.sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@each_network
def test_initial_weights_are_a_seeds_and_no_one_elses(network):
    def make(seed):
        return network(6, 3, (8,), generator=torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    first, second, third = make(0), make(0), make(1)
    assert torch.equal(torch.get_rng_state(), before), "the global generator was advanced"
    for (name, a), b, c in zip(
        first.named_parameters(), second.parameters(), third.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert name == "log_variance" or not torch.equal(a, c)  # that one starts where it is told


@each_network
def test_initial_weights_come_from_the_global_generator_otherwise(network):
    torch.manual_seed(3)
    first = network(6, 3)
    torch.manual_seed(3)
    second = network(6, 3)
    assert all(map(torch.equal, first.parameters(), second.parameters()))


def test_initial_weights_are_uniform_within_one_over_root_fan_in():
    net = aevb.MLP(400, 300, (100,), generator=torch.Generator().manual_seed(0))
    for layer in (m for m in net.modules() if isinstance(m, nn.Linear)):
        limit = 1 / math.sqrt(layer.in_features)
        assert 0.99 * limit < layer.weight.abs().max() <= limit
        assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
        assert layer.bias.abs().max() <= limit


@each_network
def test_state_dict_round_trip(network):
    first, second, x = network(6, 3), network(6, 3), torch.randn(4, 6)
    assert not torch.equal(output_of(first(x)), output_of(second(x)))
    second.load_state_dict(first.state_dict())
    assert torch.equal(output_of(first(x)), output_of(second(x)))


@each_network
def test_train_and_eval_are_the_same(network):
    net, x = network(6, 3), torch.randn(4, 6)
    assert torch.equal(output_of(net.train()(x)), output_of(net.eval()(x)))


@each_network
def test_a_wrong_last_axis_names_the_fix(network):
    with pytest.raises(ValueError, match=r"last axis of 784.*\(2, 28, 28\).*flatten"):
        network(784, 3)(torch.zeros(2, 28, 28))


@each_network
@pytest.mark.parametrize("sizes", [(0, 3, (5,)), (3, 0, (5,)), (3, 3, (5, 0)), (-1, 3, ())])
def test_sizes_below_one_are_refused(network, sizes):
    with pytest.raises(ValueError, match="at least 1"):
        network(*sizes)


def test_mlp_is_what_it_says():
    net = aevb.MLP(4, 2, (3,), nn.Softplus)
    first, _, second = net.layers
    x = torch.randn(5, 4)
    by_hand = nn.functional.softplus(x @ first.weight.T + first.bias) @ second.weight.T
    torch.testing.assert_close(net(x), by_hand + second.bias)
    assert [type(layer) for layer in aevb.MLP(4, 2, (3,)).layers] == [
        nn.Linear,
        nn.Tanh,
        nn.Linear,
    ]


def test_gaussian_mlp_reads_means_then_log_variances():
    net = aevb.GaussianMLP(4, 2, ())
    raw, q = net.mlp(x := torch.randn(5, 4)), net(x)
    torch.testing.assert_close(q.mean, raw[:, :2])
    torch.testing.assert_close(q.variance, raw[:, 2:].exp())


def test_bernoulli_mlp_gives_logits():
    net = aevb.BernoulliMLP(2, 4, ())
    z = torch.randn(5, 2)
    torch.testing.assert_close(net(z).mean, torch.sigmoid(net.mlp(z)))


def test_a_training_that_diverges_is_stopped_and_told_why():
    generator = aevb.seed_everything(0)
    images = aevb.ImageSet(torch.rand(200, 16, generator=generator))
    model = aevb.VAE(
        aevb.GaussianMLP(16, 2, generator=generator), aevb.BernoulliMLP(2, 16, generator=generator)
    )
    learner = aevb.AEVB(model, torch.optim.Adam(model.parameters(), lr=100.0))
    with pytest.raises(FloatingPointError, match="try a smaller learning rate"):
        aevb.fit(learner, images.batches(20, generator=generator), epochs=3, progress=False)


@each_network
def test_the_default_device_is_obeyed(network):
    with torch.device("meta"):
        net = network(6, 3, (8,), generator=torch.Generator("cpu").manual_seed(0))
    assert {parameter.device.type for parameter in net.parameters()} == {"meta"}


def test_continuous_bernoulli_mlp_gives_logits():
    net = aevb.ContinuousBernoulliMLP(2, 4, ())
    p = net(z := torch.randn(3, 2))
    assert torch.equal(p.base_dist.logits, net.mlp(z))


def test_gaussian_pixels_have_sigmoid_means_and_one_scale():
    net = aevb.GaussianPixelsMLP(2, 4, (), scale=0.3)
    p = net(z := 100 * torch.randn(3, 2))
    torch.testing.assert_close(p.mean, net.mlp(z).sigmoid())
    torch.testing.assert_close(p.stddev, torch.full((3, 4), 0.3))
    truth = torch.distributions.Normal(p.mean, 0.3).log_prob(x := torch.rand(3, 4)).sum(-1)
    torch.testing.assert_close(p.log_prob(x), truth)


def test_a_scale_is_learned_unless_it_is_fixed():
    for learn_scale in (True, False):
        net = aevb.GaussianPixelsMLP(2, 4, (), learn_scale=learn_scale)
        net(torch.randn(3, 2)).log_prob(torch.rand(3, 4)).sum().backward()
        assert (net.log_variance.grad is not None) == learn_scale


def test_the_best_scale_is_the_mean_squared_error():
    net = aevb.GaussianPixelsMLP(2, 4, (), generator=torch.Generator().manual_seed(0)).double()
    z, x = torch.randn(50, 2).double(), torch.rand(50, 4).double()
    error = (net(z).mean - x).square().mean()
    net.log_variance.data = error.log().detach()
    net(z).log_prob(x).sum().backward()
    assert abs(net.log_variance.grad) < 1e-9


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_impossible_scales(scale):
    with pytest.raises(ValueError, match="scale is a standard deviation and must be positive"):
        aevb.GaussianPixelsMLP(2, 4, scale=scale)
