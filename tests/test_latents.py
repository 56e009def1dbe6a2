"""Which codes are looked at: positions known in closed form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_same_mean
from torch.distributions import MultivariateNormal, Normal

from aevb_lib.latents import (
    add_noise,
    fit_mixture,
    interpolate,
    linear_accuracy,
    neighbor_accuracy,
    prior_grid,
    random_codes,
)


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
    # Within a hundredth of the spread of 100.
    torch.testing.assert_close(sample[:, :1].expand_as(sample), sample, rtol=0, atol=1.0)


@pytest.mark.parametrize(
    ("codes", "message"),
    [(torch.rand(2, 2), "n_samples"), (torch.full((9, 2), torch.nan), "NaN")],
)
def test_impossible_mixtures(codes, message):
    with pytest.raises(ValueError, match=message):
        fit_mixture(codes, 3)


# --- what codes know -----------------------------------------------------------------------------

both = pytest.mark.parametrize("accuracy", [neighbor_accuracy, linear_accuracy])


def clouds(centers, n=200, scale=0.3, seed=0):
    """Codes around centers, taking turns, and the number of each one's center."""
    noise = torch.randn(n, len(centers[0]), generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(n) % len(centers)
    return torch.tensor(centers)[labels] + scale * noise, labels


def known_and_asked(centers, **options):
    return (*clouds(centers, seed=0, **options), *clouds(centers, seed=1, **options))


def naive_vote(codes, labels, points, neighbors):
    """The definition, one distance at a time; of equal votes the smaller class wins."""
    answers = []
    for point in points:
        order = (codes - point).square().sum(1).argsort()[:neighbors]
        answers.append(int(labels[order].bincount().argmax()))
    return torch.tensor(answers)


@both
def test_classes_apart(accuracy):
    assert accuracy(*known_and_asked([[-3.0, 0.0], [3.0, 0.0], [0.0, 5.0]])) == 1.0


@both
def test_classes_in_one_place(accuracy):
    """A coin: 1000 answers are half right, within four standard errors."""
    data = known_and_asked([[0.0, 0.0], [0.0, 0.0]], n=1000)
    assert accuracy(*data) == pytest.approx(0.5, abs=4 * (0.25 / 1000) ** 0.5)


@both
def test_overlapping_normals_are_told_apart_as_well_as_can_be(accuracy):
    """Means 2 apart at spread 1: no classifier beats Phi(1); the linear one comes close to it."""
    best = float(Normal(0.0, 1.0).cdf(torch.tensor(1.0)))
    value = accuracy(*known_and_asked([[-1.0], [1.0]], n=4000, scale=1.0))
    error = 4 * (best * (1 - best) / 4000) ** 0.5
    assert value < best + error
    if accuracy is linear_accuracy:
        assert value == pytest.approx(best, abs=error)


def test_neighbors_know_what_no_plane_can_part():
    codes, labels, *asked = known_and_asked([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]])
    xor = (codes, labels % 2, asked[0], asked[1] % 2)
    assert neighbor_accuracy(*xor) == 1.0
    assert linear_accuracy(*xor) < 0.8  # at best three corners of four, and here about two


@pytest.mark.parametrize("neighbors", [1, 2, 5])
def test_neighbors_vote(neighbors):
    codes, labels, asked, truth = known_and_asked([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.5]], n=150)
    right = naive_vote(codes, labels, asked, neighbors) == truth
    assert 0.4 < right.double().mean() < 0.99, "a test that says something"
    value = neighbor_accuracy(codes, labels, asked, truth, neighbors=neighbors)
    assert value == pytest.approx(float(right.double().mean()))


def test_units_matter_to_neighbors_and_not_to_planes():
    """The first dimension knows the class, the second is noise: in millimeters or in miles."""
    codes, labels, asked, truth = known_and_asked([[-1.0, 0.0], [1.0, 0.0]], n=600)
    units = torch.tensor([1.0, 1e4])
    changed = (codes * units, labels, asked * units, truth)
    assert neighbor_accuracy(codes, labels, asked, truth) > 0.99
    assert neighbor_accuracy(*changed) == pytest.approx(0.5, abs=0.1)
    assert linear_accuracy(codes, labels, asked, truth) > 0.99
    assert linear_accuracy(*changed) == linear_accuracy(codes, labels, asked, truth)


@both
def test_order_and_names_of_classes_do_not_matter(accuracy):
    codes, labels, asked, truth = known_and_asked([[-0.3, 0.0], [0.3, 0.0]], n=300)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    renamed = accuracy(codes[order], 7 + 2 * labels[order], asked, 7 + 2 * truth)
    assert renamed == pytest.approx(accuracy(codes, labels, asked, truth), abs=0.01)


@both
def test_only_what_is_true_counts_as_right(accuracy):
    codes, labels, asked, truth = known_and_asked([[-3.0], [3.0]])
    truth = truth.clone()
    truth[:50] = 1 - truth[:50]
    assert accuracy(codes, labels, asked, truth) == 0.75


@both
@pytest.mark.usefixtures("as_for_readers")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, u, v: (x, y[:-1], u, v), "codes and labels .* are 20 and 19"),
        (lambda x, y, u, v: (x, y, u[:-1], v), "test_codes and test_labels .* are 19 and 20"),
        (lambda x, y, u, v: (x, y, u[:0], v[:0]), "at least one, but there are 0 and 0"),
        (lambda x, y, u, v: (x, y, u[:, :1], v), r"the same model.*\[20, 2\] and \[20, 1\]"),
        (lambda x, y, u, v: (x / 0, y, u, v), "^codes must be finite numbers: look for nan"),
        (lambda x, y, u, v: (x, y, u * torch.nan, v), "test_codes must be finite numbers"),
    ],
)
def test_impossible_questions(accuracy, change, message):
    with pytest.raises(ValueError, match=message):
        accuracy(*change(*known_and_asked([[-3.0, 0.0], [3.0, 0.0]], n=20)))


def test_too_few_codes_and_too_few_classes():
    x, y, u, v = known_and_asked([[-3.0], [3.0]], n=20)
    for neighbors, count in ((5, 4), (0, 20)):
        with pytest.raises(ValueError, match=f"{neighbors} of {count} codes cannot vote: give"):
            neighbor_accuracy(x[:count], y[:count], u, v, neighbors=neighbors)
    with pytest.raises(ValueError, match=r"at least two classes.*codes of more images"):
        linear_accuracy(x, torch.zeros_like(y), u, v)
    assert neighbor_accuracy(x, torch.zeros_like(y), u, v) == 0.5  # a vote needs no second class


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0, 1e3])
def test_a_fitted_normal_has_the_codes_covariance_at_any_size(size):
    codes = size * torch.randn(2000, 2, generator=torch.Generator().manual_seed(0)).double()
    fitted = fit_mixture(codes).component_distribution.covariance_matrix[0].double()
    truth = torch.cov(codes.T, correction=0)
    torch.testing.assert_close(fitted, truth, rtol=1e-4, atol=1e-4 * size**2)


def test_a_small_dimension_beside_a_large_one_keeps_its_variance():
    codes = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0)).double()
    codes = codes * torch.tensor([1.0, 1e-4]).double()
    fitted = fit_mixture(codes).component_distribution.variance[0].double()
    torch.testing.assert_close(fitted, codes.var(0, correction=0), rtol=1e-4, atol=0)


def test_unlabeled_codes_have_no_accuracy():
    codes, labels = torch.rand(20, 2), torch.full((20,), -1)
    with pytest.raises(ValueError, match=r"labels are negative.*ImageSet\(images, labels\)"):
        neighbor_accuracy(codes, labels, codes, labels)


def test_what_is_promised_on_the_cpu_is_there_whatever_the_default_device():
    codes = torch.randn(50, 2)
    with torch.device("meta"):
        assert prior_grid(3).device.type == "cpu"
        assert fit_mixture(codes).component_distribution.loc.device.type == "cpu"


def test_random_codes_have_the_moments_of_their_definition():
    """Normal means and uniform deviations: 0, and 1 + 1/3; a fourth moment no normal has."""
    torch.manual_seed(0)
    z = random_codes(50_000, 3)
    assert z.shape == (50_000, 3)
    assert_same_mean(z, 0.0)
    assert_same_mean(z.square(), 4 / 3)
    assert_same_mean(z[:, :1] * z[:, 1:], 0.0)
    # Given the deviation z is N(0, 1 + s²), so E z⁴ = 3 E (1 + s²)² = 3 (1 + 2/3 + 1/5).
    assert_same_mean(z**4, 3 * (1 + 2 / 3 + 1 / 5))
