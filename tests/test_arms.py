"""The study of what makes a decoder withstand noise: each arm trains what it says it trains."""

from dataclasses import replace

import pytest
import torch
from tiny import TinyStore, tiny_models

import aevb_lib as aevb
from aevb_lib.experiments import STUDIES, VerificationError, record
from aevb_lib.experiments.arms import ARMS, SETTINGS, ArmRun, Ascent, NoiseArms
from aevb_lib.objectives import point_log_likelihood

MODELS = tiny_models("models", ships_in="", latent_dims=(2,))
STUDY = NoiseArms(
    name="tiny-arms",
    runs=tuple(
        ArmRun("tiny-arms", arm.model, 2, seed, hidden_dim=8, epochs=2, batch_size=20, arm=name)
        for seed in (0, 1)
        for name, arm in ARMS.items()
    ),
    models=MODELS,
)


@pytest.fixture
def store(tmp_path):
    return TinyStore(tmp_path)


def run_of(arm, seed=0):
    return next(run for run in STUDY.runs if (run.arm, run.seed) == (arm, seed))


def model_of(kind):
    torch.manual_seed(0)
    new = aevb.mnist_vae if kind == "vae" else aevb.mnist_autoencoder
    return new(3, hidden_dim=8).requires_grad_(False)


X = torch.rand(50, 784, generator=torch.Generator().manual_seed(0))


def test_the_study_has_every_arm_for_every_seed():
    runs = STUDIES["noise-arms"].runs
    assert {(run.arm, run.seed) for run in runs} == {(a, s) for a in ARMS for s in range(5)}
    assert all(
        (run.model, run.epochs) == (ARMS[run.arm].model, ARMS[run.arm].epochs) for run in runs
    )
    assert {run.latent_dim for run in runs} == {20}


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_recorded(store, arm):
    result = record(STUDY, run_of(arm), store)
    assert store.read(run_of(arm)) == result
    assert result.history["step"] == ([3, 6] if arm == "scratch" else [2, 3, 6])
    names = {"point_log_likelihood", "spread", "lost", "precision"}
    names |= {"sigma"} if ARMS[arm].model == "vae" else set()
    assert names | {"train_objective"} == set(result.history.last.metrics)
    assert STUDY.redo(result, store) == 0.0


def test_arms_go_on_from_the_first_seeds_models_and_scratch_from_nothing(store):
    """After no step at all an arm would reconstruct as the model that was trained does."""
    _, test = store.images()
    start = MODELS.load_or_train(MODELS.runs[1], store)
    assert (MODELS.runs[1].model, MODELS.runs[1].seed) == ("autoencoder", 0)
    expected = aevb.mean_point_log_likelihood(start, test)
    slow = {"learning_rate": 1e-9}
    for seed in (0, 1):
        history = record(STUDY, replace(run_of("noise", seed), **slow), store).history
        assert history.last.metrics["point_log_likelihood"] == pytest.approx(expected, abs=0.01)
    new = record(STUDY, replace(run_of("scratch"), **slow), store).history
    assert abs(new.last.metrics["point_log_likelihood"] - expected) > 1


def test_from_scratch_is_the_beginning_of_the_recorded_autoencoder(store):
    """The same seed, weights, order and objective, so the same numbers."""
    scratch = record(STUDY, run_of("scratch"), store).history["point_log_likelihood"]
    assert scratch == pytest.approx(record(MODELS, MODELS.runs[1], store).history["log_likelihood"])


def test_what_the_arms_of_the_autoencoder_maximize():
    model = model_of("autoencoder")
    plain = point_log_likelihood(model, X)
    z = model.encode(X)
    torch.testing.assert_close(ARMS["l2"].objective(model, X), plain - (z**2).sum(-1) / 2)
    torch.testing.assert_close(ARMS["no-noise"].objective(model, X), plain)
    torch.manual_seed(0)
    noise = SETTINGS["noise_share"] * z.std(0) * torch.randn(50, 3)
    torch.manual_seed(0)
    expected = model.likelihood(z + noise).log_prob(X)
    torch.testing.assert_close(ARMS["noise"].objective(model, X), expected)


def test_noise_in_units_of_codes_does_not_depend_on_their_scale():
    """An autoencoder cannot flee from it to wider codes."""
    model, wide = model_of("autoencoder"), model_of("autoencoder")
    for parameter in [*wide.encoder.parameters()][-2:]:
        parameter.mul_(3)
    next(wide.decoder.parameters()).div_(3)
    values = []
    for each in (model, wide):
        torch.manual_seed(0)
        values.append(ARMS["noise"].objective(each, X))
    torch.testing.assert_close(*values)


def test_what_the_arms_of_the_vae_maximize():
    """Each has one of the two parts of the bound, or both."""
    model = model_of("vae")
    values = {}
    for arm in ("noise-and-kl", "noise-without-kl", "kl-without-noise"):
        torch.manual_seed(0)
        values[arm] = ARMS[arm].objective(model, X)
    torch.manual_seed(0)
    parts = aevb.sgvb_b(model, X)
    torch.testing.assert_close(values["noise-and-kl"], parts.bound)
    torch.testing.assert_close(values["noise-without-kl"], parts.log_likelihood)
    torch.testing.assert_close(
        values["kl-without-noise"], point_log_likelihood(model, X) - parts.kl
    )


def test_ascent_goes_up():
    model = model_of("autoencoder").requires_grad_(True)
    learner = Ascent(model, torch.optim.SGD(model.parameters(), 1e-3), point_log_likelihood)
    batch = aevb.ImageSet(X).batches(50)
    values = [float(learner.step(b)["objective"]) for _ in range(5) for b in batch]
    assert values == sorted(values) and values[-1] > values[0]


def test_a_record_of_other_settings_or_length_is_an_error(store):
    result = record(STUDY, run_of("noise"), store)
    other = replace(result, final={"settings": SETTINGS | {"noise_share": 0.7}})
    with pytest.raises(VerificationError, match="other settings"):
        STUDY.redo(other, store)
    with pytest.raises(VerificationError, match="3 epochs: 2 are recorded"):
        STUDY.redo(result, store, epochs=3)


def test_a_forged_record_is_found(store):
    result = record(STUDY, run_of("l2"), store)
    result.history.records[1].metrics["point_log_likelihood"] += 5.0
    assert STUDY.redo(result, store) == pytest.approx(5.0)
