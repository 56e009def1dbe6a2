"""What goes wrong first when the library meets somebody's own modules, and what it then says."""

import inspect

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal

import aevb_lib as aevb
from aevb_lib import plotting
from aevb_lib.evaluation import mean_bound, mean_point_log_likelihood, mean_squared_error

X = torch.rand(16, 16, generator=torch.Generator().manual_seed(0))
DATA = aevb.ImageSet(X)


class Own(nn.Module):
    """A linear layer, and whatever the newcomer makes of its output."""

    def __init__(self, in_dim, out_dim, make):
        super().__init__()
        self.linear, self.make = nn.Linear(in_dim, out_dim), make

    def forward(self, inputs):
        return self.make(self.linear(inputs))


def normal(h):
    return aevb.diagonal_normal(h, torch.ones_like(h))


def vae(encode=normal, decode=aevb.bernoulli, code=2):
    return aevb.VAE(Own(16, code, encode), Own(2, 16, decode), latent_dim=2)


def learner(model=None, **options):
    model = model or vae()
    return aevb.AEVB(model, torch.optim.Adam(model.parameters()), **options)


class Step:
    def __init__(self, answer):
        self.model, self.answer = vae(), answer

    def step(self, batch):
        return self.answer(batch)


def fit(algorithm=None, batches=None, **options):
    batches = DATA.batches(8) if batches is None else batches
    return aevb.fit(algorithm or learner(), batches, **({"epochs": 1} | options))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        # A distribution per pixel would have one log-probability per pixel: nats per pixel.
        (
            lambda: aevb.sgvb_b(vae(decode=lambda h: Bernoulli(logits=h, validate_args=False)), X),
            ValueError,
            r"event shape is \[\].*Independent",
        ),
        (lambda: aevb.sgvb_a(vae(lambda h: Normal(h, h.exp())), X), ValueError, "Independent"),
        (lambda: aevb.sgvb_b(vae(decode=torch.sigmoid), X), TypeError, "torch Distribution"),
        (lambda: aevb.sgvb_b(vae(code=1), X), ValueError, "dimension 1, the decoder takes 2"),
        (lambda: aevb.sgvb_b(vae(code=3), X), ValueError, "dimension 3, the decoder takes 2"),
        (
            lambda: aevb.sgvb_b(vae(lambda h: Independent(Bernoulli(logits=h), 1)), X),
            TypeError,
            "no reparameterized samples",
        ),
        (
            lambda: aevb.Autoencoder(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16)).encode(X),
            TypeError,
            "returned a DiagonalNormal: use one like aevb_lib.MLP",
        ),
        (lambda: aevb.MLP(16, 2).double()(X), ValueError, r"computes in torch\.float64"),
        (lambda: fit(epochs=1.5), Exception, "whole number|int"),
        (lambda: fit(vae()), Exception, r"no step\(batch\): wrap|Algorithm"),
        (lambda: fit(batches=(b for b in [])), Exception, "over again|Batches"),
        (
            lambda: fit(batches=[(X, X)]),
            TypeError,
            r"a tuple instead of an aevb_lib.Batch: pass aevb_lib.ImageSet",
        ),
        (lambda: fit(Step(lambda _: None)), TypeError, "step returned a NoneType"),
        (
            lambda: fit(Step(lambda batch: {"elbo": batch.images.sum(1)})),
            TypeError,
            r"'elbo' with shape \[8\].*average over the batch",
        ),
        (lambda: aevb.active_units(vae(), DATA.take(1)), ValueError, "at least two"),
        (
            lambda: aevb.importance_log_likelihood(vae(), X[:0]),
            ValueError,
            r"at least one, but its shape is \[0, 16\]",
        ),
        (lambda: aevb.ImageSet(X.numpy()), Exception, r"torch\.as_tensor|Tensor"),
        (lambda: aevb.ImageSet(X[:0]), ValueError, "at least one image"),
        (lambda: plotting.image_grid(torch.rand(5, 7, 7)), ValueError, r"images\.flatten\(-2\)"),
        (lambda: plotting.image_grid(X[:0]), ValueError, "at least one image per row"),
        (lambda: plotting.image_grid(X, columns=-1), ValueError, "-1 columns"),
        (lambda: plotting.image_rows({}), ValueError, "no row to draw"),
        (
            lambda: plotting.lines([1, 2], {"a": [1]}, xlabel="", ylabel=""),
            ValueError,
            "1 heights for 2 positions",
        ),
        (
            lambda: plotting.learning_curves(
                {"a": [fit(epochs=1), fit(epochs=2)]}, metric="train_elbo"
            ),
            ValueError,
            "differ in length",
        ),
    ],
)
def test_the_message_names_the_fix(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_what_evaluate_returns_may_be_tensors():
    history = fit(evaluate=lambda model: {"elbo": mean_bound(model, DATA).bound})
    assert aevb.History.from_json(history.to_json()) == history


def test_a_step_that_forgets_to_detach_keeps_no_graph():
    model = vae()
    algorithm = Step(lambda batch: {"elbo": aevb.sgvb_b(model, batch.images).bound.mean()})
    fit(algorithm)  # a warning of torch's, which is an error here, if a graph got through


def test_mixed_precision_is_let_through_and_ends_where_log_probabilities_begin():
    seen = []
    network = aevb.MLP(16, 2)
    network.layers[0].register_forward_hook(lambda *call: seen.append(call[-1].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(X).dtype == torch.float32
    assert seen == [torch.bfloat16]


@pytest.mark.parametrize("options", [{"dtype": torch.float64}, {"device": "meta"}], ids=str)
def test_the_prior_starts_where_the_decoder_is(options):
    """Modules built on a GPU, or in float64, make a model there."""
    model = aevb.VAE(aevb.GaussianMLP(16, 2).to(**options), aevb.BernoulliMLP(2, 16).to(**options))
    parameter = next(model.parameters())
    codes = model.prior().sample((3,))
    assert (codes.dtype, codes.device) == (parameter.dtype, parameter.device)
    assert model.sample(3).shape == (3, 16)
    assert aevb.sgvb_b(model, X.to(**options)).bound.device == parameter.device


def test_a_linear_model_starts_where_its_weights_are():
    weight = torch.rand(16, 2, device="meta")
    decoder = aevb.LinearGaussian(weight, weight[:, 0], scale=0.5)
    assert {tensor.device.type for tensor in decoder.state_dict().values()} == {"meta"}


def test_evaluating_on_redrawn_pixels_is_repeatable_and_leaves_training_alone():
    data, model = aevb.ImageSet(X, dynamic=True), vae()
    state = torch.get_rng_state()
    for measure in (mean_point_log_likelihood, mean_squared_error, aevb.mean_elbo):
        assert measure(model, data) == measure(model, data)
    assert torch.equal(aevb.kl_per_dimension(model, data), aevb.kl_per_dimension(model, data))
    assert torch.equal(torch.get_rng_state(), state)


def test_tensors_with_gradients_and_of_any_precision_are_drawn():
    heights = torch.ones(2, requires_grad=True)
    figure = plotting.lines(heights.bfloat16(), {"a": heights}, xlabel="x", ylabel="y")
    assert figure.axes[0].lines[0].get_ydata().tolist() == [1.0, 1.0]
    plotting.image_grid(X.bfloat16())


def test_nats_per_pixel_are_refused():
    def per_pixel(model, x, num_samples=1):
        bound = aevb.sgvb_b(model, x, num_samples)
        return aevb.Bound(*(part[:, None].expand(-1, 16) for part in bound))

    model = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
    learner = aevb.AEVB(model, torch.optim.Adam(model.parameters()))
    learner.estimator = inspect.unwrap(per_pixel)
    with pytest.raises((ValueError, TypeError), match=r"one value per image|violates type hint"):
        learner.step(aevb.Batch(X, torch.zeros(len(X)).long(), torch.arange(len(X))))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu_is_said():
    with pytest.raises(RuntimeError, match=r"no CUDA GPU here.*is_available"):
        DATA.to("cuda")
