"""Numbers for generated images, where the right answer is known in closed form."""

import math

import pytest
import torch

from aevb_lib import sample_quality
from aevb_lib.sample_quality import (
    Judge,
    class_balance,
    confidence,
    frechet_distance,
    precision_recall,
)


def cloud(mean, covariance, n=40):
    """Points whose sample mean and sample covariance are *exactly* these."""
    mean, covariance = torch.as_tensor(mean).double(), torch.as_tensor(covariance).double()
    x = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(torch.atleast_2d(torch.cov(x.T))), x.T, upper=False
    ).T
    return mean + white @ torch.linalg.cholesky(covariance).T


def rotation(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


# --- Fréchet distance ----------------------------------------------------------------------------


def test_commuting_covariances():
    """Diagonal covariances: the sum of (μ - m)² + (σ - s)² over dimensions."""
    real = cloud([0.0, 1.0, 2.0], torch.diag(torch.tensor([1.0, 4.0, 9.0])))
    generated = cloud([1.0, 1.0, 0.0], torch.diag(torch.tensor([4.0, 4.0, 0.25])))
    expected = (1 + 0 + 4) + (1 + 0 + 2.5**2)
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90])
def test_covariances_that_do_not_commute(degrees):
    """In two dimensions tr(M^½) = √(tr M + 2 √det M), and tr M = tr ΣG."""
    sigma = torch.diag(torch.tensor([9.0, 1.0], dtype=torch.float64))
    turn = rotation(degrees)
    other = turn @ torch.diag(torch.tensor([4.0, 0.25], dtype=torch.float64)) @ turn.T
    root_trace = math.sqrt(float((sigma @ other).trace()) + 2 * math.sqrt(9.0 * 1.0))
    expected = float(sigma.trace() + other.trace()) - 2 * root_trace
    distance = frechet_distance(cloud([0.0, 0.0], sigma), cloud([0.0, 0.0], other))
    assert distance == pytest.approx(expected, rel=1e-9)


def test_one_dimension():
    assert frechet_distance(cloud([0.0], [[4.0]]), cloud([3.0], [[25.0]])) == pytest.approx(9 + 9)


def test_a_cloud_is_at_no_distance_from_itself_and_the_distance_is_symmetric():
    a = cloud([0.0, 0.0], [[2.0, 0.6], [0.6, 1.0]])
    b = cloud([1.0, -1.0], [[1.0, -0.3], [-0.3, 3.0]])
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0.0, abs=1e-9)


def test_flat_clouds_have_a_distance_too():
    """Fewer points than dimensions: singular covariances, eigenvalues around zero."""
    x = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-5)
    assert frechet_distance(x, x + 1) == pytest.approx(20.0, rel=1e-5)


# --- precision and recall ------------------------------------------------------------------------


def line(start, count=10):
    return torch.arange(start, start + count, dtype=torch.float32)[:, None]


def test_equal_clouds_cover_each_other():
    assert precision_recall(line(0), line(0)) == (1.0, 1.0)


def test_distant_clouds_cover_nothing():
    assert precision_recall(line(0), line(1000)) == (0.0, 0.0)


def test_few_good_images_are_precise_but_cover_little():
    """All generated points sit near one real one: real-looking, but of one kind."""
    generated = torch.linspace(4.9, 5.1, 10)[:, None]
    precision, recall = precision_recall(line(0), generated)
    assert precision == 1.0
    assert recall == pytest.approx(0.1)


def test_precision_is_of_the_generated_and_recall_of_the_real():
    mixed = torch.cat([line(0), line(1000, 30)])  # a quarter looks real, all the real is covered
    assert precision_recall(line(0), mixed) == (0.25, 1.0)
    assert precision_recall(mixed, line(0)) == (1.0, 0.25)


def test_the_radius_reaches_the_kth_neighbor_other_than_the_point_itself():
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    at = torch.tensor([[-0.5], [-1.5], [-2.5], [100.0]])
    # around 0: radius 1, 3 with one, two neighbors; around 1: 1, 2; around 3: 2, 3; around 7: 4, 6
    assert precision_recall(real, at, neighbors=1)[0] == 0.25
    assert precision_recall(real, at, neighbors=2)[0] == 0.75


def test_many_points_are_worked_off_in_parts(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    real, generated = (torch.randn(50, 3, generator=generator) for _ in range(2))
    whole = precision_recall(real, generated)
    monkeypatch.setattr(sample_quality, "BATCH_SIZE", 7)
    assert precision_recall(real, generated) == whole


# --- confidence and balance ----------------------------------------------------------------------


def test_confidence_is_the_mean_of_the_largest_probability():
    assert confidence(torch.full((3, 10), 0.1)) == pytest.approx(0.1)
    assert confidence(torch.eye(10)) == 1.0


def test_balance_is_the_entropy_of_the_classes_against_its_maximum():
    assert class_balance(torch.tensor([0, 0, 1, 1]), num_classes=4) == pytest.approx(0.5)
    three_to_one = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert class_balance(torch.tensor([0, 1, 1, 1]), num_classes=2) == pytest.approx(three_to_one)
    assert class_balance(torch.arange(10).repeat(3)) == 1.0
    assert class_balance(torch.full((5,), 7)) == 0.0


# --- the judge -----------------------------------------------------------------------------------


@pytest.fixture
def judge():
    """A judge whose batch normalization has seen something, in evaluation mode."""
    torch.manual_seed(0)
    judge = Judge().train()
    for _ in range(3):
        judge(torch.rand(20, 784))
    return judge.eval()


def test_shapes(judge):
    x = torch.rand(7, 784)
    assert judge(x).shape == (7, 10)
    assert judge.features(x).shape == (7, 128)
    torch.testing.assert_close(judge.probabilities(x), judge(x).softmax(-1))
    torch.testing.assert_close(judge.head(judge.features(x)), judge(x))
    assert not judge.features(x).requires_grad
    assert not judge.probabilities(x).requires_grad
    assert judge(x).requires_grad


def test_an_image_is_judged_without_its_neighbors(judge, monkeypatch):
    x = torch.rand(11, 784)
    features, probabilities = judge.features(x), judge.probabilities(x)
    monkeypatch.setattr(sample_quality, "BATCH_SIZE", 3)
    torch.testing.assert_close(judge.features(x), features)
    torch.testing.assert_close(judge.probabilities(x), probabilities)
    torch.testing.assert_close(judge.features(x[4:5]), features[4:5])


def test_training_mode_would_look_at_the_neighbors_and_is_refused(judge):
    x = torch.rand(4, 784)
    expected = judge(x)
    assert not torch.allclose(judge.train()(x), expected, atol=1e-3)
    for method in (judge.features, judge.probabilities):
        state = {name: value.clone() for name, value in judge.state_dict().items()}
        with pytest.raises(RuntimeError, match=r"call judge.eval\(\) first"):
            method(x)
        assert all(torch.equal(value, state[name]) for name, value in judge.state_dict().items())


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: frechet_distance(x[:1], x), "at least two images"),
        (lambda x: frechet_distance(x, x / 0 * 0), "look for nan"),
        (lambda x: precision_recall(x[:3], x), "more than 3 images on each side"),
        (lambda x: precision_recall(x, x, neighbors=0), "at least one neighbor"),
        (lambda x: confidence(x[:0]), "at least one image"),
        (lambda x: class_balance(torch.tensor([1, 10])), "labels from 0 to 9"),
        (lambda x: class_balance(torch.tensor([-1])), "labels from 0 to 9"),
        (lambda x: class_balance(torch.tensor([], dtype=torch.int64)), "at least one"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.rand(9, 4))
