"""The study of observation models: what each run measures, and its table."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import TinyStore

import aevb_lib as aevb
from aevb_lib.experiments import STUDIES, Result, Store, likelihoods_table, load_result, record
from aevb_lib.experiments.likelihoods import (
    OBSERVATION_MODELS,
    LikelihoodRun,
    expectation,
    log_normalizer,
    squared_error,
)
from aevb_lib.history import History, Record
from aevb_lib.minibatches import dequantize

STUDY = STUDIES["likelihoods"]
FIRST = [run for run in STUDY.runs if run.seed == 0]
ALWAYS = {"active_units", "grey_error"}
EXTRA = {
    "bernoulli-static": {"seen_elbo", "redrawn_elbo"},
    "bernoulli-dynamic": set(),
    "bernoulli-grey": {"log_normalizer"},
    "continuous-bernoulli-grey": {"log_normalizer", "dequantized_elbo"},
    "gaussian-fixed-grey": {"dequantized_elbo"},
    "gaussian-learned-grey": {"dequantized_elbo", "scale", "sampled_error"},
    "gaussian-per-pixel-grey": {
        "dequantized_elbo",
        "black_pixels",
        "black_log_likelihood",
        "black_scale",
    },
}


def kind_of(run):
    return f"{run.pixels}-{run.regime}"


class InkedStore(TinyStore):
    """Its images have two pixels that are always black, and one that only test images ink."""

    def images(self, regime="grey"):
        train, test = super().images(regime)
        for data in (train, test):
            data.images[:, :2] = 0.0
        train.images[:, 2] = 0.0
        return train, test


@pytest.mark.parametrize("run", FIRST, ids=kind_of)
def test_a_run_measures_what_applies_to_it(tmp_path, run):
    store = InkedStore(tmp_path)
    run = replace(run, hidden_dim=8, batch_size=20)
    result = record(STUDY, run, store)
    assert set(result.final) == ALWAYS | EXTRA[kind_of(run)]
    assert all(math.isfinite(value) for value in result.final.values())
    assert result.history["epoch"] == list(range(1, run.epochs + 1))
    assert STUDY.redo(result, store) == 0.0
    model = STUDY.load_model(run, store)
    assert isinstance(model.decoder, type(OBSERVATION_MODELS[run.pixels](2, 3)))
    shown = run.regime == "grey" and run.pixels != "gaussian-per-pixel"
    assert bool(list((store.weights).rglob("*.safetensors"))) == shown
    if run.pixels == "gaussian-per-pixel":
        assert result.final["black_pixels"] == 3
    if run.pixels == "gaussian-learned":
        assert model.decoder.log_variance.exp().sqrt().item() == pytest.approx(
            result.final["scale"], rel=1e-3
        )


def test_every_run_is_covered():
    assert {kind_of(run) for run in FIRST} == set(EXTRA)
    assert {run.pixels for run in FIRST} == set(OBSERVATION_MODELS)
    assert len({run.seed for run in STUDY.runs}) == 5
    assert len({replace(run, seed=0, pixels="", regime="") for run in STUDY.runs}) == 1


def test_expectations_are_those_of_the_bound():
    torch.manual_seed(0)
    model = aevb.mnist_vae(2, hidden_dim=8, decoder=aevb.GaussianPixelsMLP)
    data = aevb.ImageSet(torch.rand(30, 784))
    bound = aevb.mean_bound(model, data)
    error = expectation(model, data, squared_error)
    variance = model.decoder.log_variance.exp().item()
    truth = -784 / 2 * (math.log(2 * math.pi * variance) + error / variance)
    assert float(bound.log_likelihood) == pytest.approx(truth, rel=1e-5)


def test_the_log_normalizer_is_what_the_continuous_bernoulli_adds():
    torch.manual_seed(0)
    model = aevb.mnist_vae(2, hidden_dim=8)
    other = aevb.VAE(model.encoder, aevb.ContinuousBernoulliMLP(2, 784, (8,)))
    other.decoder.load_state_dict(model.decoder.state_dict())
    data = aevb.ImageSet(torch.rand(30, 784))
    lacks = float(aevb.mean_bound(other, data).bound - aevb.mean_bound(model, data).bound)
    assert expectation(model, data, log_normalizer) == pytest.approx(lacks, rel=1e-5)
    assert expectation(other, data, log_normalizer) == pytest.approx(lacks, rel=1e-5)


def made(pixels, regime, seed, elbo, **final):
    run = LikelihoodRun("likelihoods", "vae", 20, seed, regime, pixels=pixels)
    metrics = {"elbo": elbo, "log_likelihood": elbo + 25.0, "kl": 25.0}
    history = History([Record(1, 1.0, 100, 0.1, metrics)])
    return Result(run, history, {"active_units": 20, "grey_error": 0.0125} | final, {})


def test_the_table_has_a_row_per_observation_model():
    results = [
        made("gaussian-learned", "grey", 0, 700.0, dequantized_elbo=784 * math.log(2)),
        made("bernoulli", "static", 0, -99.0),
        made("bernoulli", "static", 1, -101.0),
    ]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in likelihoods_table(results).splitlines()
    ]
    same = "12.5 (0.0)"
    assert rows[2][1:] == ["log-probability", "−100.0 (1.4)", "25.0 (0.0)", same, ""]
    assert rows[3][1:] == ["log-density", "700.0", "25.0", "12.5", "7.00"]
    assert len(rows) == 4


def test_shipped_records_are_what_the_code_would_run():
    for result in load_result("likelihoods"):  # raises where a configuration differs
        run, last = result.run, result.history.last
        assert last.examples == 60_000 * run.epochs
        assert set(result.final) == ALWAYS | EXTRA[kind_of(run)]
        metrics = last.metrics
        assert metrics["elbo"] == pytest.approx(metrics["log_likelihood"] - metrics["kl"], abs=1e-2)
        if run.seed == 0 and STUDY._ships_in(run):
            assert (Store().weights / "likelihoods" / f"{run.kind}-d020.safetensors").exists()


# --- dequantization ------------------------------------------------------------------------------


def test_dequantized_pixels_fill_their_levels():
    grey = (torch.arange(256) / 255).repeat(2000, 1)
    noisy = dequantize(grey, generator=torch.Generator().manual_seed(0))
    assert torch.equal((noisy * 256).floor(), torch.arange(256.0).expand(2000, -1))
    inside = noisy * 256 - torch.arange(256)
    assert inside.mean().item() == pytest.approx(0.5, abs=0.003)
    assert inside.var().item() == pytest.approx(1 / 12, abs=0.001)


def test_bits_of_known_densities():
    assert aevb.bits_per_dimension(0.0, 784) == 8
    assert aevb.bits_per_dimension(784 * math.log(256), 784) == pytest.approx(0)
    assert aevb.bits_per_dimension(-3 * math.log(2), 3, num_levels=2) == pytest.approx(2)
    with pytest.raises(ValueError, match="one pixel and level at least"):
        aevb.bits_per_dimension(0.0, 0)
