"""Numbers for generated images, where the right answer is known in closed form."""

import math

import pytest
import torch
from torch import nn

import aevb_lib as aevb
from aevb_lib import sample_quality
from aevb_lib.pretrained import load_judge
from aevb_lib.sample_quality import (
    FeatureCloud,
    Judge,
    SampleQuality,
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


def naive_cover(features, points, neighbors):
    """The definition, one distance at a time."""
    radii = [
        sorted(math.dist(a, b) for j, b in enumerate(features) if j != i)[neighbors - 1]
        for i, a in enumerate(features)
    ]
    return [
        any(math.dist(p, a) <= radius for a, radius in zip(features, radii, strict=True))
        for p in points
    ]


@pytest.mark.parametrize("neighbors", [1, 3, 7])
@pytest.mark.parametrize("dim", [1, 2, 20])
def test_a_cloud_is_what_its_definition_says(neighbors, dim):
    generator = torch.Generator().manual_seed(dim)
    features, points = (torch.randn(40, dim, generator=generator).double() for _ in range(2))
    points = torch.cat([0.5 * points, 3 * points])
    expected = naive_cover(features.tolist(), points.tolist(), neighbors)
    assert 0 < sum(expected) < len(points), "a test that says something"
    assert FeatureCloud(features, neighbors=neighbors).covers(points).tolist() == expected
    expected_r = naive_cover(points.tolist(), features.tolist(), neighbors)
    shares = sum(expected) / len(points), sum(expected_r) / len(features)
    assert precision_recall(features, points, neighbors=neighbors) == pytest.approx(shares)


def test_balls_are_small_where_examples_are_dense():
    dense, sparse = torch.arange(5.0)[:, None], 1000 + 100 * torch.arange(5.0)[:, None]
    cloud = FeatureCloud(torch.cat([dense, sparse]), neighbors=1)
    assert cloud.radii.tolist() == [1.0] * 5 + [100.0] * 5
    at = torch.tensor([[5.0], [5.1], [900.0], [899.9], [1450.0], [1501.0]])
    assert cloud.covers(at).tolist() == [True, False, True, False, True, False]


def test_a_cloud_covers_its_own_points_and_repeated_ones():
    points = torch.tensor([[0.0], [0.0], [0.0], [0.0], [5.0], [9.0]])
    cloud = FeatureCloud(points, neighbors=3)
    assert cloud.radii.tolist() == [0.0] * 4 + [5.0, 9.0]
    assert cloud.covers(points).all()
    assert cloud.covers(points[:0]).tolist() == []


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


# --- all numbers at once -------------------------------------------------------------------------


class SeesPixels(Judge):
    """Its features are the 128 pixels themselves; the first ten are the logits."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Identity(), nn.Linear(128, 10, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(10, 128))
        self.eval()


def logits_of(labels, odds=9.0):
    """One of the first ten pixels is log 9, so its class has probability 1/2; others vary."""
    images = torch.randn(len(labels), 128, generator=torch.Generator().manual_seed(0))
    images[:, :10] = 0.0
    images[torch.arange(len(labels)), labels] = math.log(odds)
    return images


def test_images_against_themselves():
    x = logits_of(torch.arange(100) % 10)
    quality = sample_quality.sample_quality(SeesPixels(), x, x)
    assert quality == SampleQuality(pytest.approx(0.0, abs=1e-4), 1.0, 1.0, pytest.approx(0.5), 1.0)


def test_images_elsewhere_in_feature_space():
    """All moved by 3 in each of 50 features that no logit depends on."""
    x = logits_of(torch.arange(100) % 10)
    moved = x.clone()
    moved[:, 60:110] += 3.0
    quality = sample_quality.sample_quality(SeesPixels(), x, moved)
    assert quality.frechet == pytest.approx(50 * 9.0, rel=1e-4)
    assert (quality.precision, quality.recall) == (0.0, 0.0)
    assert quality[3:] == (pytest.approx(0.5), 1.0)


def test_each_number_is_of_the_right_side():
    """Only two classes, judged surer: confidence and balance are the generated images' own."""
    real, few = logits_of(torch.arange(100) % 10), logits_of(torch.arange(100) % 2, odds=81.0)
    judge = SeesPixels()
    quality = sample_quality.sample_quality(judge, real, few)
    assert quality.confidence == pytest.approx(0.9)
    assert quality.balance == pytest.approx(math.log(2) / math.log(10))
    back = sample_quality.sample_quality(judge, few, real)
    assert back.frechet == pytest.approx(quality.frechet, rel=1e-6)
    assert (back.precision, back.recall) == (quality.recall, quality.precision)
    lone = sample_quality.sample_quality(judge, real, torch.cat([real[:50], real[:50] + 100]))
    assert lone.precision == 0.5
    assert lone.recall >= 0.5


def test_real_digits_are_the_best_and_noise_the_worst():
    judge, (_, test) = load_judge(), aevb.load_mnist()
    real, other = test.images[0:2000:4], test.images[2:2000:4]
    noise = torch.rand(500, 784, generator=torch.Generator().manual_seed(0))
    itself, floor, worst = (
        sample_quality.sample_quality(judge, real, images) for images in (real, other, noise)
    )
    assert itself[:3] == (pytest.approx(0.0, abs=1e-2), 1.0, 1.0)
    assert floor.frechet < 0.05 * worst.frechet
    assert min(floor.precision, floor.recall) > 0.8
    assert worst.precision < 0.05
    assert floor.confidence > 0.98
    assert floor.balance > 0.98 > 0.9 > worst.balance


def test_a_judge_in_training_mode_judges_no_samples():
    x = logits_of(torch.arange(20) % 10)
    with pytest.raises(RuntimeError, match=r"call judge.eval\(\) first"):
        sample_quality.sample_quality(SeesPixels().train(), x, x)


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


@pytest.mark.usefixtures("as_for_readers")
@pytest.mark.parametrize(
    "call",
    [
        frechet_distance,
        precision_recall,
        lambda real, generated: FeatureCloud(real).covers(generated),
    ],
)
def test_features_of_two_judges(call):
    with pytest.raises(ValueError, match=r"the same features, got shapes \[9, 4\] and \[9, 3\]"):
        call(torch.rand(9, 4), torch.rand(9, 3))


def test_clouds_far_from_the_origin_are_told_apart():
    generator = torch.Generator().manual_seed(0)
    real, generated = (torch.randn(500, 2, generator=generator) + 1e4 for _ in range(2))
    truth = precision_recall(real.double(), generated.double())
    assert max(truth) < 1
    assert precision_recall(real, generated) == pytest.approx(truth, abs=0.004)
