"""The library's closed forms against the brute-force joint normal."""

import pytest
import torch
from oracles import (
    brute_force_evidence,
    brute_force_posterior,
    exact_vae,
    images,
    linear_gaussian,
)

import aevb_lib as aevb

each_decoder = pytest.mark.parametrize(
    "decoder", [linear_gaussian(), linear_gaussian(orthogonal=True), linear_gaussian(scale=3.0)]
)


@each_decoder
def test_evidence(decoder):
    x = images(decoder, 20)
    torch.testing.assert_close(
        decoder.evidence().log_prob(x), brute_force_evidence(decoder).log_prob(x)
    )


@each_decoder
@pytest.mark.parametrize("lead", [(), (4,), (2, 4)])
def test_posterior(decoder, lead):
    x = torch.randn(*lead, decoder.out_dim, dtype=torch.float64)
    weight, bias, covariance = brute_force_posterior(decoder)
    q = decoder.exact_posterior(x)
    assert q.batch_shape == lead
    torch.testing.assert_close(q.mean, x @ weight.T + bias)
    torch.testing.assert_close(
        q.covariance_matrix, covariance.expand(*lead, -1, -1), rtol=1e-6, atol=1e-9
    )


@each_decoder
def test_bayes_theorem(decoder):
    """log p(x) = log p(x, z) - log p(z|x), at any z."""
    model, x = aevb.LatentVariableModel(decoder).double(), images(decoder, 5)
    z = torch.randn(5, decoder.in_dim, dtype=torch.float64)
    torch.testing.assert_close(
        model.log_joint(x, z) - decoder.exact_posterior(x).log_prob(z),
        decoder.evidence().log_prob(x),
    )


def test_orthogonal_columns_make_independent_codes():
    decoder = linear_gaussian(orthogonal=True)
    covariance = decoder.exact_posterior(images(decoder, 1)).covariance_matrix[0]
    torch.testing.assert_close(covariance, covariance.diagonal().diag())
    general = linear_gaussian()
    covariance = general.exact_posterior(images(general, 1)).covariance_matrix[0]
    assert (covariance - covariance.diagonal().diag()).abs().max() > 0.01


def test_the_exact_encoder_is_exact():
    model = exact_vae()
    x = images(model.decoder, 5)
    q, exact = model.posterior(x), model.decoder.exact_posterior(x)
    torch.testing.assert_close(q.mean, exact.mean)
    torch.testing.assert_close(q.variance, exact.variance)


def test_weight_and_bias_learn_and_the_noise_does_not():
    decoder = linear_gaussian()
    assert {name for name, _ in decoder.named_parameters()} == {"weight", "bias"}
    decoder.evidence().log_prob(images(decoder, 3)).sum().backward()
    assert decoder.weight.grad.abs().sum() > 0
    assert decoder.bias.grad.abs().sum() > 0
    other = aevb.LinearGaussian(torch.ones(6, 3).double(), torch.zeros(6).double(), scale=9.0)
    other.load_state_dict(decoder.state_dict())
    x = images(decoder, 3)
    torch.testing.assert_close(other.evidence().log_prob(x), decoder.evidence().log_prob(x))


def test_it_keeps_its_own_copy():
    weight = torch.ones(2, 1)
    decoder = aevb.LinearGaussian(weight, torch.zeros(2))
    weight.zero_()
    assert decoder.weight.abs().sum() == 2


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_the_scale_must_be_positive(scale):
    with pytest.raises(ValueError, match="standard deviation and must be positive"):
        aevb.LinearGaussian(torch.ones(2, 1), torch.zeros(2), scale=scale)


def test_the_posterior_survives_the_rounding_of_its_precision():
    """Of 784 pixels: rounding leaves a float32 precision unsymmetric, which torch refuses."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(784, 10, generator=generator)
    decoder = aevb.LinearGaussian(weight, torch.zeros(784), scale=0.5)
    x = torch.rand(3, 784, generator=generator)
    exact = aevb.LinearGaussian(weight.double(), torch.zeros(784).double(), scale=0.5)
    posterior, truth = decoder.exact_posterior(x), exact.exact_posterior(x.double())
    torch.testing.assert_close(posterior.mean.double(), truth.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        posterior.covariance_matrix.double(), truth.covariance_matrix, rtol=1e-4, atol=1e-8
    )
