"""Disturbed codes: models and judges whose every answer can be written down."""

import pytest
import torch
from torch import nn

import aevb_lib as aevb
from aevb_lib.latents import add_noise
from aevb_lib.noise import NoiseCurve, crossing, noise_curve
from aevb_lib.sample_quality import FeatureCloud, Judge

PIXELS, DIM = 128, 5  # a judge has 128 features; here an image is its own features


class LinearCodec:
    """Images and codes by matrices, so the Jacobian of the decoder is known."""

    def __init__(self, encoder, decoder, unit=1.0):
        self.encoder, self.decoder, self.unit = encoder, decoder, unit

    def encode(self, x):
        return x @ self.encoder.T / self.unit

    def decode(self, z):
        return (z * self.unit) @ self.decoder.T


class SeesPixels(Judge):
    """Its features are the pixels; the brightest of the first ten is the class."""

    def __init__(self, sharpness=30.0):
        super().__init__()
        self.body, self.head = nn.Identity(), nn.Linear(PIXELS, 10)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():
            self.head.weight.copy_(sharpness * torch.eye(10, PIXELS))
        self.eval()


def digits(n, seed=0):
    """Dark images with one bright pixel, whose place is the class."""
    images = 0.2 * torch.rand(n, PIXELS, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(n) % 10
    images[torch.arange(n), labels] = 1.0
    return aevb.ImageSet(images, labels)


@pytest.fixture(scope="module")
def data():
    return digits(200)


@pytest.fixture(scope="module")
def cloud():
    return FeatureCloud(digits(300, seed=1).images)


IDENTITY = LinearCodec(torch.eye(PIXELS), torch.eye(PIXELS))


def random_codec(seed=0, unit=1.0):
    generator = torch.Generator().manual_seed(seed)
    encoder = torch.randn(DIM, PIXELS, generator=generator) / PIXELS**0.5
    decoder = torch.randn(PIXELS, DIM, generator=generator) / DIM**0.5
    return LinearCodec(encoder, decoder, unit)


def assert_same(curve, other, **tolerance):
    for name in NoiseCurve._fields:
        assert getattr(curve, name) == pytest.approx(getattr(other, name), **tolerance), name


# --- known answers -------------------------------------------------------------------------------


def test_without_noise_it_is_the_reconstruction(data, cloud):
    judge, codec = SeesPixels(), random_codec()
    curve = noise_curve(codec, data, judge, cloud, [0.0])
    images = codec.decode(codec.encode(data.images))
    probabilities = judge.probabilities(images)
    assert curve == NoiseCurve(
        [0.0],
        [float((probabilities.argmax(-1) == data.labels).double().mean())],
        [float(cloud.covers(images).double().mean())],
        [float(probabilities.max(-1).values.double().mean())],
        [float((images - data.images).square().double().mean())],
    )


def test_a_perfect_copy_stays_what_it_is(data, cloud):
    curve = noise_curve(IDENTITY, data, SeesPixels(), cloud, [0.0])
    own_cloud = FeatureCloud(data.images)
    assert curve.accuracy == [1.0]
    assert curve.squared_error == [0.0]
    assert curve.confidence == pytest.approx([1.0], abs=1e-6)
    assert noise_curve(IDENTITY, data, SeesPixels(), own_cloud, [0.0]).precision == [1.0]


@pytest.mark.parametrize("unit", [1.0, 0.5, torch.tensor([0.1, 0.2, 0.5, 1.0, 3.0])], ids=str)
def test_the_squared_error_of_a_linear_decoder(data, cloud, unit):
    """|r + s JUε|² per pixel: on average |r|² + s² |JU|², and exactly so with the very noise."""
    codec, scales = random_codec(), [0.0, 0.5, 2.0]
    curve = noise_curve(codec, data, SeesPixels(), cloud, scales, unit=unit, seed=3)
    codes = codec.encode(data.images)
    residual = (codec.decode(codes) - data.images).double()
    noise = add_noise(torch.zeros(200, DIM), 1.0, generator=torch.Generator().manual_seed(3))
    pushed = codec.decode(noise * unit).double()
    jacobian = codec.decoder.double() * unit
    for scale, error in zip(scales, curve.squared_error, strict=True):
        assert error == pytest.approx(float((residual + scale * pushed).square().mean()), rel=1e-5)
        expected = residual.square().mean(1) + scale**2 * jacobian.square().sum() / PIXELS
        per_image = (residual + scale * pushed).square().mean(1) - expected
        standard_error = float(per_image.std()) / len(data) ** 0.5
        assert error == pytest.approx(float(expected.mean()), abs=5 * standard_error + 1e-6)


def test_more_noise_more_harm(data, cloud):
    curve = noise_curve(IDENTITY, data, SeesPixels(), cloud, [0.0, 0.1, 0.3, 1.0, 10.0])
    assert curve.squared_error == sorted(curve.squared_error)
    assert curve.squared_error[-1] == pytest.approx(100, rel=0.05)
    for name in ("accuracy", "precision"):
        values = getattr(curve, name)
        assert values == sorted(values, reverse=True), name
    assert curve.accuracy[0] == 1.0
    assert curve.accuracy[-1] == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 200) ** 0.5 + 0.03)
    assert curve.precision[-1] == 0.0


def test_confidence_does_not_ask_whether_it_is_right(data, cloud):
    """A judge of noise is as sure as one of digits, and right no more than by chance."""
    curve = noise_curve(IDENTITY, data, SeesPixels(), cloud, [0.0, 100.0])
    assert min(curve.confidence) > 0.95
    assert curve.accuracy[1] < 0.25


# --- what the noise depends on -------------------------------------------------------------------


def test_a_unit_per_dimension_is_a_change_of_the_codes_units(data, cloud):
    unit = torch.tensor([0.1, 0.2, 0.5, 1.0, 3.0])
    scales = [0.0, 0.3, 1.0]
    disturbed = noise_curve(random_codec(), data, SeesPixels(), cloud, scales, unit=unit)
    rescaled = noise_curve(random_codec(unit=unit), data, SeesPixels(), cloud, scales)
    assert_same(disturbed, rescaled, rel=1e-5)


def test_only_scale_times_unit_counts(data, cloud):
    one = noise_curve(random_codec(), data, SeesPixels(), cloud, [0.5, 2.0], unit=3.0)
    other = noise_curve(random_codec(), data, SeesPixels(), cloud, [1.5, 6.0])
    assert_same(one._replace(scales=other.scales), other)


def test_one_seed_one_curve(data, cloud):
    judge = SeesPixels()

    def curve(seed, scales=(0.0, 0.5, 1.0)):
        return noise_curve(random_codec(), data, judge, cloud, scales, seed=seed)

    state = torch.get_rng_state()
    assert curve(0) == curve(0)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was touched"
    assert curve(0).squared_error[1:] != curve(1).squared_error[1:]
    assert curve(0).squared_error[0] == curve(1).squared_error[0]
    assert curve(0, (1.0,)).squared_error == curve(0).squared_error[2:], "whatever came before"


def test_a_model_of_the_package(cloud):
    model = aevb.VAE(aevb.GaussianMLP(PIXELS, 2), aevb.BernoulliMLP(2, PIXELS))
    curve = noise_curve(model, digits(20), SeesPixels(), cloud, (0, 1))
    assert curve.scales == [0, 1]
    assert all(len(column) == 2 for column in curve)
    assert all(isinstance(value, float) for column in curve[1:] for value in column)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scales", [[], [-0.1], [0.0, -1.0], [float("nan")], [float("inf")]])
def test_impossible_scales(data, cloud, scales):
    with pytest.raises(ValueError, match="numbers from 0, at least one"):
        noise_curve(IDENTITY, data, SeesPixels(), cloud, scales)


def test_images_need_labels(data, cloud):
    """Without this, an accuracy of zero would look like a measurement."""
    with pytest.raises(ValueError, match=r"some images have none.*ImageSet\(images, labels\)"):
        noise_curve(IDENTITY, aevb.ImageSet(data.images), SeesPixels(), cloud, [0.0])


def test_a_judge_in_training_mode(data, cloud):
    with pytest.raises(RuntimeError, match=r"call judge.eval\(\) first"):
        noise_curve(IDENTITY, data, SeesPixels().train(), cloud, [0.0])


def test_a_cloud_of_another_judge(data):
    with pytest.raises(ValueError, match=r"the same features, got shapes \[9, 7\] and \[200, 128"):
        noise_curve(IDENTITY, data, SeesPixels(), FeatureCloud(torch.rand(9, 7)), [0.0])


# --- where a curve crosses a level ---------------------------------------------------------------


def test_a_crossing_is_the_first_and_linear_in_between():
    assert crossing([0.0, 1.0, 2.0], [1.0, 0.6, 0.2]) == pytest.approx(1.25)
    assert crossing([0.0, 1.0, 2.0], [1.0, 0.6, 0.2], 0.8) == pytest.approx(0.5)
    assert crossing([0.9, 0.5, 0.1], [1.0, 0.4, 0.2], 0.7) == pytest.approx(0.7), "along may fall"
    assert crossing([0.0, 1.0, 2.0, 3.0], [1.0, 0.4, 0.8, 0.1]) == pytest.approx(5 / 6)


def test_a_level_that_is_not_reached_gives_an_end():
    assert crossing([0.5, 1.0], [0.4, 0.2]) == 0.5
    assert crossing([0.5, 1.0], [0.9, 0.8]) == 1.0


@pytest.mark.parametrize(
    ("along", "falling", "message"),
    [
        ([], [], "at least one"),
        ([1.0], [1.0, 0.5], r"\[2\] of values and \[1\] of points"),
        ([0.0, 1.0], [1.0, float("nan")], "nan"),
        ([0.0, float("inf")], [1.0, 0.0], "finite"),
    ],
)
def test_what_is_no_curve_has_no_crossing(along, falling, message):
    with pytest.raises(ValueError, match=message):
        crossing(along, falling)
