"""The generative model, the recognition model, the autoencoder."""

import pytest
import torch
from oracles import assert_same_mean, exact_vae, images, joint_normal, linear_gaussian
from torch import nn

import aevb_lib as aevb

P, D = 16, 3


def make_vae():
    return aevb.VAE(aevb.GaussianMLP(P, D, (8,)), aevb.BernoulliMLP(D, P, (8,)))


def make_autoencoder():
    return aevb.Autoencoder(aevb.MLP(P, D, (8,)), aevb.BernoulliMLP(D, P, (8,)))


# A new model is one line in each list that it belongs to.
GENERATIVE = {
    "p": lambda: aevb.LatentVariableModel(aevb.BernoulliMLP(D, P, (8,))),
    "VAE": make_vae,
}
CODECS = {"VAE": make_vae, "Autoencoder": make_autoencoder}
each_generative = pytest.mark.parametrize("make", GENERATIVE.values(), ids=GENERATIVE)
each_codec = pytest.mark.parametrize("make", CODECS.values(), ids=CODECS)


@each_codec
@pytest.mark.parametrize("lead", [(), (4,), (2, 4)])
def test_codes_and_back(make, lead):
    model, x = make(), torch.rand(*lead, P)
    z = model.encode(x)
    assert z.shape == (*lead, D)
    y = model.decode(z)
    assert y.shape == (*lead, P)
    assert ((y > 0) & (y < 1)).all()
    assert model.latent_dim == D


@each_codec
def test_point_codes_and_mean_images_are_not_random(make):
    model, x = make(), torch.rand(4, P)
    assert torch.equal(model.encode(x), model.encode(x))
    assert torch.equal(model.train().encode(x), model.eval().encode(x))
    torch.testing.assert_close(
        model.decode(model.encode(x)), model.likelihood(model.encode(x)).mean
    )


def test_a_vaes_point_code_is_the_posterior_mean():
    model, x = make_vae(), torch.rand(4, P)
    torch.testing.assert_close(model.encode(x), model.posterior(x).mean)


@each_generative
def test_the_prior_is_standard_normal(make):
    prior = make().prior()
    assert prior.event_shape == (D,)
    assert torch.equal(prior.mean, torch.zeros(D))
    assert torch.equal(prior.variance, torch.ones(D))


@each_generative
@pytest.mark.parametrize("n", [1, 7])
def test_samples_are_black_or_white(make, n):
    draws = make().sample(n)
    assert draws.shape == (n, P)
    assert set(draws.unique().tolist()) <= {0.0, 1.0}
    assert not draws.requires_grad


@each_generative
@pytest.mark.parametrize("lead", [(), (5,), (2, 5)])
def test_log_joint_broadcasts_samples_against_images(make, lead):
    model, x, z = make(), torch.rand(4, P), torch.randn(*lead, 4, D)
    value = model.log_joint(x, z)
    assert value.shape == (*lead, 4)
    torch.testing.assert_close(value, model.prior().log_prob(z) + model.likelihood(z).log_prob(x))


def test_log_joint_is_the_brute_force_joint():
    decoder = linear_gaussian()
    model = aevb.LatentVariableModel(decoder).double()
    x = images(decoder, 5)
    z = torch.randn(7, 5, decoder.in_dim, dtype=torch.float64)
    truth = joint_normal(decoder).log_prob(torch.cat([z, x.expand(7, -1, -1)], -1))
    torch.testing.assert_close(model.log_joint(x, z), truth)


def test_samples_have_the_evidences_moments():
    torch.manual_seed(0)
    model = exact_vae()
    draws, evidence = model.sample(50_000), model.decoder.evidence()
    assert_same_mean(draws, evidence.mean)
    centered = draws - evidence.mean
    assert_same_mean(centered[:, :, None] * centered[:, None, :], evidence.covariance_matrix)


@pytest.mark.parametrize("make", [make_vae, make_autoencoder, GENERATIVE["p"]])
def test_state_dict_round_trip_without_the_prior(make):
    first, second = make(), make()
    assert not any(name.startswith("_") for name in first.state_dict())
    second.load_state_dict(first.state_dict())
    z = torch.randn(2, D)
    assert torch.equal(first.decode(z), second.decode(z))


def test_the_prior_follows_the_model():
    assert make_vae().double().prior().sample().dtype == torch.float64
    assert make_vae().to("meta").prior().mean.device.type == "meta"


@pytest.mark.parametrize("kind", [aevb.VAE, aevb.Autoencoder])
def test_disagreeing_halves_are_refused(kind):
    with pytest.raises(ValueError, match="dimension 4, the decoder takes 3"):
        kind(aevb.GaussianMLP(P, 4), aevb.BernoulliMLP(3, P))


@pytest.mark.parametrize("kind", [aevb.VAE, aevb.Autoencoder])
def test_a_given_dimension_must_fit(kind):
    with pytest.raises(ValueError, match=r"latent_dim=4.*dimension 3"):
        kind(aevb.GaussianMLP(P, 3), aevb.BernoulliMLP(3, P), latent_dim=4)


def test_foreign_networks_need_a_latent_dim():
    class Decoder(nn.Module):
        def forward(self, z):
            return aevb.bernoulli(z.repeat_interleave(2, -1))

    with pytest.raises(ValueError, match="pass latent_dim"):
        aevb.LatentVariableModel(Decoder())
    assert aevb.LatentVariableModel(Decoder(), latent_dim=3).sample(2).shape == (2, 6)


@pytest.mark.parametrize("use", [lambda m: m.posterior(torch.rand(2, P)), lambda m: m.sample(2)])
def test_networks_that_return_tensors_are_explained(use):
    model = aevb.VAE(aevb.MLP(P, D), aevb.MLP(D, P))
    with pytest.raises(
        TypeError, match=r"must return a torch Distribution, as aevb_lib.GaussianMLP"
    ):
        use(model)


def test_an_autoencoder_claims_no_prior():
    assert not hasattr(make_autoencoder(), "prior")
    assert not hasattr(make_autoencoder(), "sample")
    assert not hasattr(make_autoencoder(), "posterior")
