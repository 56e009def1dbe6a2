"""Which codes are looked at: positions known in closed form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_same_mean
from torch.distributions import Normal

from aevb_lib.latents import add_noise, interpolate, prior_grid


@given(size=st.integers(2, 25), coverage=st.floats(0.01, 0.999))
@settings(deadline=None)
def test_the_grid_is_even_in_probability(size, coverage):
    grid = prior_grid(size, coverage=coverage)
    assert grid.shape == (size, size, 2)
    shares = torch.linspace((1 - coverage) / 2, (1 + coverage) / 2, size, dtype=torch.float64)
    ticks = Normal(torch.zeros((), dtype=torch.float64), 1.0).icdf(shares).float()
    for row in range(size):
        torch.testing.assert_close(grid[row, :, 0], ticks, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(grid[:, row, 1], ticks.flip(0), rtol=1e-4, atol=1e-5)


def test_the_first_dimension_grows_to_the_right_the_second_upwards():
    grid = prior_grid(3)
    top_right, bottom_left = grid[0, 2], grid[2, 0]
    assert (top_right > 0).all()
    assert (bottom_left < 0).all()
    assert grid[0, 0, 0] < 0 < grid[0, 0, 1]


def test_other_dimensions_stay_at_zero():
    grid = prior_grid(4, latent_dim=5, dims=(3, 1))
    assert torch.equal(grid[..., [3, 1]], prior_grid(4))
    assert (grid[..., [0, 2, 4]] == 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {"size": 1},
        {"size": 3, "coverage": 0.0},
        {"size": 3, "coverage": 1.0},
        {"size": 3, "dims": (0, 0)},
        {"size": 3, "dims": (0, 2)},
        {"size": 3, "dims": (-1, 0)},
        {"size": 3, "latent_dim": 1},
    ],
)
def test_impossible_grids(options):
    with pytest.raises(ValueError, match=r"need size >= 2|dims must name two of the"):
        prior_grid(**options)


@pytest.mark.parametrize("lead", [(), (4,), (2, 4)])
@pytest.mark.parametrize("steps", [2, 3, 9])
def test_a_path_is_straight_and_has_its_ends(lead, steps):
    start, end = torch.randn(*lead, 3), torch.randn(*lead, 3)
    path = interpolate(start, end, steps)
    assert path.shape == (steps, *lead, 3)
    torch.testing.assert_close(path[0], start)
    torch.testing.assert_close(path[-1], end)
    torch.testing.assert_close(path.diff(dim=0), ((end - start) / (steps - 1)).expand_as(path[1:]))


def test_a_path_keeps_its_precision():
    start, end = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    assert interpolate(start, end, 4).dtype == torch.float64


@pytest.mark.parametrize("steps", [1, 0, -2])
def test_a_path_needs_its_ends(steps):
    with pytest.raises(ValueError, match="at least its two ends"):
        interpolate(torch.zeros(2), torch.ones(2), steps)


def test_noise_has_the_moments_it_says():
    codes = torch.tensor([[1.0, -2.0]]).expand(50_000, 2)
    scale = torch.tensor([0.1, 3.0])
    noise = add_noise(codes, scale, generator=torch.Generator().manual_seed(0)) - codes
    assert_same_mean(noise, 0.0)
    assert_same_mean(noise.square(), scale.square())
    assert_same_mean(noise[:, :1] * noise[:, 1:], 0.0)


def test_noise_is_a_seeds_and_scales_with_its_dial():
    codes = torch.zeros(5, 3)

    def noise(scale, seed):
        return add_noise(codes, scale, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(noise(1.0, 0), noise(1.0, 0))
    assert not torch.equal(noise(1.0, 0), noise(1.0, 1))
    torch.testing.assert_close(noise(2.0, 0), 2 * noise(1.0, 0))
    assert torch.equal(noise(0.0, 0), codes)
    per_row = torch.arange(5.0)[:, None]
    torch.testing.assert_close(
        add_noise(codes, per_row, generator=torch.Generator().manual_seed(0)),
        per_row * noise(1.0, 0),
    )


def test_noise_leaves_the_global_generator_alone_if_it_has_its_own():
    state = torch.get_rng_state()
    add_noise(torch.zeros(5, 3), 1.0, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), state)
