"""Which codes are looked at: positions known in closed form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_same_mean
from torch.distributions import MultivariateNormal, Normal

from aevb_lib.latents import add_noise, fit_mixture, interpolate, prior_grid


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


# --- mixtures ------------------------------------------------------------------------------------


def normal_codes(n, mean, covariance, seed=0):
    distribution = MultivariateNormal(torch.tensor(mean), torch.tensor(covariance))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return distribution.sample((n,))


def test_one_normal_has_the_codes_mean_and_covariance():
    codes = normal_codes(300, [1.0, -2.0], [[2.0, 0.8], [0.8, 0.5]])
    mixture = fit_mixture(codes)
    assert mixture.event_shape == (2,)
    component = mixture.component_distribution
    torch.testing.assert_close(mixture.mean, codes.mean(0), rtol=1e-4, atol=1e-4)
    covariance = torch.cov(codes.T, correction=0)  # maximum likelihood divides by n
    torch.testing.assert_close(component.covariance_matrix[0], covariance, rtol=1e-4, atol=1e-4)


def test_a_mixture_is_found_again():
    left = normal_codes(900, [-4.0, 0.0], [[1.0, 0.0], [0.0, 0.25]], seed=1)
    right = normal_codes(300, [4.0, 1.0], [[0.5, 0.3], [0.3, 0.5]], seed=2)
    mixture = fit_mixture(torch.cat([left, right]), 2)
    weights = mixture.mixture_distribution.probs
    order = weights.argsort(descending=True)
    torch.testing.assert_close(weights[order], torch.tensor([0.75, 0.25]), rtol=0, atol=0.02)
    component = mixture.component_distribution
    for index, codes in zip(order.tolist(), (left, right), strict=True):
        torch.testing.assert_close(component.mean[index], codes.mean(0), rtol=0, atol=0.02)
        covariance = torch.cov(codes.T, correction=0)
        torch.testing.assert_close(
            component.covariance_matrix[index], covariance, rtol=0, atol=0.02
        )


def test_more_components_explain_two_clouds_better_and_seeds_repeat():
    codes = torch.cat([normal_codes(200, [m, 0.0], [[1.0, 0.0], [0.0, 1.0]]) for m in (-5.0, 5.0)])
    likelihoods = [float(fit_mixture(codes, k).log_prob(codes).mean()) for k in (1, 2)]
    assert likelihoods[1] > likelihoods[0] + 0.3
    first, second = (fit_mixture(codes, 3, seed=4).log_prob(codes) for _ in range(2))
    assert torch.equal(first, second)


def test_a_flat_cloud_of_codes_can_be_fitted():
    """Two hundred dimensions on a line: singular in float32, which has to be survived."""
    generator = torch.Generator().manual_seed(0)
    line, direction = torch.randn(500, 1, generator=generator), torch.ones(1, 200)
    sample = fit_mixture(100 * line @ direction).sample((1000,))
    assert sample.isfinite().all()
    torch.testing.assert_close(sample[:, :1].expand_as(sample), sample, rtol=0, atol=0.5)


@pytest.mark.parametrize(
    ("codes", "message"),
    [(torch.rand(2, 2), "n_samples"), (torch.full((9, 2), torch.nan), "NaN")],
)
def test_impossible_mixtures(codes, message):
    with pytest.raises(ValueError, match=message):
        fit_mixture(codes, 3)
