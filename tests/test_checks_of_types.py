"""The checks of types that conftest.py adds to the library, for the first calls of each test."""

import pytest
import torch
from jaxtyping import TypeCheckError, config

import aevb_lib as aevb
from conftest import CHECKS


@pytest.mark.parametrize("time", ["first", "second"])  # a test does not inherit what one has spent
def test_the_first_calls_of_a_test_are_checked_and_later_ones_are_not(time):
    with pytest.raises(TypeCheckError):
        aevb.log_mean_exp([0.0])
    for _ in range(CHECKS):
        aevb.log_mean_exp(torch.zeros(3))
    assert config.jaxtyping_disable
    with pytest.raises(TypeError, match="logsumexp"):
        aevb.log_mean_exp([0.0])
