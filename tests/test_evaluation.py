"""Evaluation against the truth of the linear-Gaussian model."""

import pytest
import torch

import aevb_lib as aevb
from aevb_lib import evaluation

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def small_vae(latent_dim=2):
    torch.manual_seed(0)
    return aevb.VAE(aevb.GaussianMLP(16, latent_dim, (8,)), aevb.BernoulliMLP(latent_dim, 16, (8,)))


def small_data(n=50):
    return aevb.ImageSet(torch.rand(n, 16, generator=torch.Generator().manual_seed(1)))


# Everything that takes (model, data), and gives a float or a tensor; a new one is one line here.
METRICS = {
    "mean_bound": lambda m, d: torch.stack(aevb.mean_bound(m, d)),
    "mean_elbo": aevb.mean_elbo,
    "mean_point_log_likelihood": aevb.mean_point_log_likelihood,
    "mean_squared_error": aevb.mean_squared_error,
    "kl_per_dimension": aevb.kl_per_dimension,
    "active_units": aevb.active_units,
}
each_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


@GPU
@pytest.mark.parametrize("name", METRICS)
def test_a_gpu_measures_the_same(name):
    model, data = small_vae(), small_data()
    here = torch.as_tensor(METRICS[name](model, data))
    there = torch.as_tensor(METRICS[name](model.cuda(), data.to("cuda")))
    # Other noise, and in the bound of fifty images some of it is left.
    torch.testing.assert_close(there.cpu(), here, rtol=0.05, atol=1e-4)


@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=GPU)])
def test_the_active_dimensions_can_be_chosen_where_the_images_are(device, monkeypatch):
    """A mask on a GPU does not choose from numbers on the processor."""
    if device == "meta":  # whose tensors hold nothing that could come over
        monkeypatch.setattr(torch.Tensor, "cpu", lambda self: torch.zeros(self.shape))
    model, data = small_vae(5).to(device), small_data().to(device)
    codes = model.encode(data.images)
    for chosen in (aevb.kl_per_dimension(model, data), aevb.active_units(model, data)):
        assert chosen.device == codes.device
        assert (codes * chosen).shape == codes.shape
    assert all(part.device.type == "cpu" for part in aevb.mean_bound(model, data))


@each_metric
def test_evaluating_is_repeatable_and_leaves_no_trace(metric):
    model, data = small_vae(), small_data()
    state, gradients = torch.get_rng_state(), torch.is_grad_enabled()
    first = torch.as_tensor(metric(model, data))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled() is gradients
    torch.manual_seed(77)
    assert torch.equal(torch.as_tensor(metric(model.eval(), data)), first)
    assert not model.training
    assert not first.requires_grad
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", METRICS)
def test_the_size_of_its_batches_does_not_matter(name, monkeypatch):
    metric, model, data = METRICS[name], small_vae(), small_data()
    with torch.no_grad():  # an encoder that is nearly sure: then random numbers matter little
        model.encoder.mlp.layers[-1].bias[2:] = -20.0
        model.encoder.mlp.layers[-1].weight[2:] = 0.0
    whole = torch.as_tensor(metric(model, data)).double()
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 7)
    torch.testing.assert_close(
        torch.as_tensor(metric(model, data)).double(), whole, rtol=1e-3, atol=1e-3
    )


def test_mean_bound_is_the_average_of_the_bound():
    model, data = small_vae(), small_data()
    torch.manual_seed(3)
    with torch.no_grad():
        parts = aevb.sgvb_b(model, data.images, 4)
    bound = aevb.mean_bound(model, data, num_samples=4, seed=3)
    for part, average in zip(parts, bound, strict=True):
        torch.testing.assert_close(average, part.mean())
    assert aevb.mean_elbo(model, data, num_samples=4, seed=3) == bound.bound.item()
    assert aevb.mean_elbo(model, data, seed=4) != bound.bound.item()


def test_mean_bound_keeps_its_digits_over_many_images():
    model = small_vae()
    data = aevb.ImageSet(torch.rand(1, 16).expand(20_000, 16))
    model.encoder.mlp.layers[-1].weight.data.zero_()
    model.encoder.mlp.layers[-1].bias.data.copy_(torch.tensor([0.3, 0.1, -20.0, -20.0]))
    one = aevb.sgvb_b(model, data.images[:1]).kl
    torch.testing.assert_close(aevb.mean_bound(model, data).kl, one[0].detach(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("num_samples", [0, -3])
def test_at_least_one_sample(num_samples):
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        aevb.mean_bound(small_vae(), small_data(), num_samples=num_samples)


def test_the_point_log_likelihood_is_at_the_point_code():
    model, data = small_vae(), small_data()
    truth = model.likelihood(model.encode(data.images)).log_prob(data.images).mean().item()
    assert aevb.mean_point_log_likelihood(model, data) == pytest.approx(truth, rel=1e-5)


def test_squared_error_is_the_mean_square():
    class Half:
        def encode(self, x):
            return x

        def decode(self, z):
            return 0.5 * z

    data = aevb.ImageSet(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert aevb.mean_squared_error(Half(), data) == 0.25 / 4


def test_kl_per_dimension_sums_to_the_bounds_kl():
    model, data = small_vae(5), small_data()
    parts = aevb.kl_per_dimension(model, data)
    torch.testing.assert_close(parts.sum(), aevb.mean_bound(model, data).kl)
    q = model.posterior(data.images)
    by_hand = -0.5 * (1 + q.variance.log() - q.mean**2 - q.variance).mean(0)
    torch.testing.assert_close(parts, by_hand.detach())


def test_an_unused_dimension_carries_nothing():
    model, data = small_vae(), small_data()
    layer = model.encoder.mlp.layers[-1]  # rows: two means, two log-variances
    with torch.no_grad():
        layer.weight[[1, 3]] = 0.0
        layer.bias[[1, 3]] = 0.0
        layer.weight[0] *= 10
    kl, active = aevb.kl_per_dimension(model, data), aevb.active_units(model, data)
    assert kl[1] == 0
    assert kl[0] > 0.01
    assert active.tolist() == [True, False]


@pytest.mark.parametrize("threshold", [0.01, 0.1, 1.0])
def test_active_units_compare_the_variance_of_the_mean(threshold):
    model, data = small_vae(5), small_data()
    variance = model.encode(data.images).var(0)
    active = aevb.active_units(model, data, threshold=threshold)
    assert torch.equal(active, variance > threshold)


def test_a_prior_without_dimensions_is_named():
    class Correlated(aevb.VAE):
        def prior(self):
            return torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))

    model = Correlated(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
    with pytest.raises(TypeError, match="a prior of type MultivariateNormal has no separate"):
        aevb.kl_per_dimension(model, small_data())


def test_a_posterior_without_dimensions_is_named():
    class Full(torch.nn.Module):
        def forward(self, x):
            return torch.distributions.MultivariateNormal(x[..., :2], torch.eye(2))

    model = aevb.VAE(Full(), aevb.BernoulliMLP(2, 16))
    with pytest.raises(TypeError, match="MultivariateNormal has no separate dimensions"):
        aevb.kl_per_dimension(model, small_data())


def test_a_model_and_images_apart_are_named():
    model, data = small_vae(), small_data()
    with pytest.raises(ValueError, match=r"model is on meta and the images on cpu.*to\("):
        aevb.mean_elbo(small_vae().to("meta"), data)
    with pytest.raises(ValueError, match=r"computes in torch.float64.*model.to\(torch.float32\)"):
        aevb.mean_elbo(model.double(), data)
    with pytest.raises(ValueError, match=r"computes in torch\.float64"):
        aevb.hmc_log_likelihood(model, data.images)
