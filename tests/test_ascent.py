"""Gradient ascent, and gradients that are shortened before it."""

import pytest
import torch
from oracles import batch_of
from test_inference import P, make_aevb, make_wake_sleep

import aevb_lib as aevb
from aevb_lib.ascent import ascend


def gradient_norm(optimizer):
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return torch.cat([p.grad.flatten() for p in parameters]).norm().item()


def test_one_value_per_model_moves_each_model_up_its_own():
    weights = torch.zeros(3, requires_grad=True)
    ascend(torch.tensor([1.0, -2.0, 0.0]) * weights, torch.optim.SGD([weights], lr=0.1))
    assert weights.tolist() == pytest.approx([0.1, -0.2, 0.0])


@pytest.mark.parametrize(("share", "expected"), [(1 / 3, 1 / 3), (3.0, 1.0)])
def test_long_gradients_are_shortened_and_short_ones_are_left(share, expected):
    batch, moves, norms = batch_of(torch.rand(4, P)), [], []
    start = make_aevb().model.state_dict()
    for is_clipped in (False, True):
        learner = make_aevb()
        learner.model.load_state_dict(start)
        if is_clipped:
            optimizer = learner.optimizer
            assert aevb.clip_gradients(optimizer, share * norms[0]) is optimizer
        torch.manual_seed(0)
        learner.step(batch)
        norms.append(gradient_norm(learner.optimizer))
        new = learner.model.state_dict()
        moves.append(torch.cat([(new[name] - start[name]).flatten() for name in start]))
    assert norms[1] == pytest.approx(expected * norms[0], rel=1e-4)
    torch.testing.assert_close(moves[1], expected * moves[0], rtol=1e-3, atol=1e-7)


def test_two_optimizers_are_clipped_by_their_own_norms():
    learner = make_wake_sleep()
    aevb.clip_gradients(learner.wake_optimizer, 1e-3)
    learner.step(batch_of(torch.rand(4, P)))
    assert gradient_norm(learner.wake_optimizer) == pytest.approx(1e-3, rel=1e-3)
    assert gradient_norm(learner.sleep_optimizer) > 1e-2


@pytest.mark.parametrize("max_norm", [0.0, -1.0, float("nan")])
def test_a_norm_that_is_not_positive_is_refused(max_norm):
    with pytest.raises(ValueError, match="max_norm must be positive"):
        aevb.clip_gradients(make_aevb().optimizer, max_norm)


def test_a_second_call_replaces_the_first():
    learner = make_aevb()
    for max_norm in (1e-3, 1e3):
        aevb.clip_gradients(learner.optimizer, max_norm)
    learner.step(batch_of(torch.rand(4, P)))
    assert gradient_norm(learner.optimizer) > 1e-2
