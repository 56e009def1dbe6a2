"""Annealed importance sampling: what it averages, and the evidence between its two bounds."""

import inspect

import pytest
import torch
from oracles import (
    assert_same_mean,
    brute_force_evidence,
    generative,
    images,
    linear_gaussian,
    small_images,
)

import aevb_lib as aevb


@pytest.mark.parametrize("num_temperatures", [1, 4, 20])
def test_annealing_is_unbiased_for_the_evidence(num_temperatures):
    """However few the temperatures; with one it is sampling from the prior."""
    decoder = linear_gaussian(scale=1.5)
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 1)
    values = aevb.ais_log_likelihood(
        model, x.expand(8000, -1), num_temperatures=num_temperatures, num_chains=1, num_leapfrog=2
    )
    truth = brute_force_evidence(decoder).log_prob(x)
    assert_same_mean((values - truth).exp(), 1.0)
    assert (values - truth).mean() < 0, "so its logarithm is too small on average"


def test_more_temperatures_bring_annealing_closer():
    decoder = linear_gaussian()
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 100)
    truth = brute_force_evidence(decoder).log_prob(x)
    error = [
        (truth - aevb.ais_log_likelihood(model, x, num_temperatures=t, num_chains=2)).mean()
        for t in (5, 20, 60)
    ]
    assert error[0] > 2 * error[1] > 4 * error[2] > 0


def test_impossible_annealing():
    for options in ({"num_temperatures": 0}, {"num_chains": 0}):
        with pytest.raises(ValueError, match="num_temperatures and num_chains must be at least 1"):
            aevb.ais_log_likelihood(generative(), small_images(), **options)


def test_forward_and_reverse_annealing_bracket_the_evidence():
    decoder = linear_gaussian()
    model = aevb.LatentVariableModel(decoder)
    torch.manual_seed(0)
    z = model.prior().sample((200,)).double()
    x = decoder(z).sample()
    truth = brute_force_evidence(decoder).log_prob(x)
    options = {"num_temperatures": 15, "num_chains": 1}
    below = (truth - aevb.ais_log_likelihood(model, x, **options)).mean()
    above = (aevb.reverse_ais_log_likelihood(model, x, z, **options) - truth).mean()
    assert below > 0.05
    assert above > 0.05
    close = {"num_temperatures": 60, "num_chains": 4}
    gap = aevb.reverse_ais_log_likelihood(model, x, z, **close) - aevb.ais_log_likelihood(
        model, x, **close
    )
    assert 0 < gap.mean() < 0.5 * (below + above)


def test_reverse_annealing_is_unbiased_for_one_over_the_evidence():
    """For many exact draws of one image's posterior."""
    decoder = linear_gaussian(scale=1.5)
    model, x = aevb.LatentVariableModel(decoder), images(decoder, 1)
    torch.manual_seed(1)
    z = decoder.exact_posterior(x).sample((8000,)).squeeze(1)
    values = aevb.reverse_ais_log_likelihood(
        model, x.expand(8000, -1), z, num_temperatures=4, num_chains=1, num_leapfrog=2
    )
    truth = brute_force_evidence(decoder).log_prob(x)
    assert_same_mean((truth - values).exp(), 1.0)


def test_reverse_annealing_wants_one_code_per_image():
    plain = inspect.unwrap(aevb.reverse_ais_log_likelihood)  # readers have no check of shapes
    with pytest.raises(ValueError, match=r"one code per image, z \[4, 2\], got \[3, 2\]"):
        plain(generative(), small_images(), torch.zeros(3, 2))
