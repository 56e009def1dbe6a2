r"""The paper's recipe: section 5 and appendix E, for AEVB and its rivals.

Weights start from a narrow normal distribution; minibatches of 100, one sample per image; Adagrad
on the MAP objective, whose prior :math:`\mathcal N(0, I)` over the weights is a weight decay of 1/N
beside an average over images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Adagrad

from aevb_lib.architectures import mnist_vae
from aevb_lib.experiments.results import Run
from aevb_lib.inference import AEVB, MonteCarloEM, OnlineMonteCarloEM, WakeSleep
from aevb_lib.models import VAE, LatentVariableModel
from aevb_lib.randomness import seed_everything
from aevb_lib.types import Algorithm

__all__ = ["LEARNING_RATES", "ComparisonRun", "new_learner", "new_model"]

LEARNING_RATES = (0.01, 0.02, 0.1)
# The paper's N(0, 0.01), read as its authors' code has it: a standard deviation.
INITIAL_STD = 0.01
# Algorithms that have Markov chains and no encoder.
CHAINS = {"mcem": OnlineMonteCarloEM, "batch-mcem": MonteCarloEM}


@dataclass(frozen=True)
class ComparisonRun(Run):
    """One training run in which AEVB is compared with another algorithm, by the paper's recipe.

    Attributes:
        model: Always ``"vae"``, of which Monte Carlo EM uses and trains the decoder only.
        regime: Wake-sleep dreams in black and white, so its encoder must see such images awake too.
        epochs: Number of passes over the N training images.
        learning_rate: Step of Adagrad; None if it is chosen in the run, see :class:`Comparison`.
        algorithm: ``"aevb"``, ``"wake-sleep"``, ``"batch-mcem"`` (Monte Carlo EM as the paper has
            it, with ``batch_size`` the whole set) or ``"mcem"`` (its on-line variant).
        num_train: N, number of training images.
        num_leapfrog: Number of leapfrog steps of a move in Monte Carlo EM; a field only of runs in
            which it varies, :class:`aevb_lib.experiments.VariantRun`.
    """

    regime: str = "static"
    algorithm: str = "aevb"
    num_train: int = 50_000

    num_leapfrog = 10  # not annotated, so no field

    @property
    def kind(self) -> str:
        """Name of its weights: ``mcem-n50000``, or ``mcem-n50000-rate0.1``."""
        rate = "" if self.learning_rate is None else f"-rate{self.learning_rate:g}"
        return f"{self.algorithm}-n{self.num_train}{rate}"

    @property
    def name(self) -> str:
        """File name of the result, without ending: ``mcem-n50000-d003-seed0``."""
        return f"{self.kind}-d{self.latent_dim:03d}-seed{self.seed}"

    @property
    def steps_per_epoch(self) -> int:
        """Number of minibatches in N images."""
        return math.ceil(self.num_train / self.batch_size)


def new_learner(
    run: ComparisonRun, learning_rate: float, *, device: str = "cpu"
) -> tuple[Algorithm, torch.Generator]:
    """Return the algorithm of a run with its untrained model, and the generator of its batches.

    Args:
        run: Run of which the algorithm, the sizes and the seed are used.
        learning_rate: Step size of Adagrad.
        device: Device of the model.

    Raises:
        ValueError: If there is no such algorithm.

    Example:
        >>> from aevb_lib.experiments import STUDIES
        >>> run = STUDIES["likelihood-race"].runs[0]
        >>> learner, generator = new_learner(run, 0.02)
        >>> learner.model.latent_dim
        3
    """
    generator = seed_everything(run.seed)
    return _learner(run, new_model(run, generator).to(device), learning_rate), generator


def new_model(run: ComparisonRun, generator: torch.Generator | None) -> LatentVariableModel:
    """Return the untrained model of a run: a VAE, or for Monte Carlo EM its decoder.

    One seed gives all algorithms the same decoder.

    Args:
        run: The run.
        generator: CPU generator of the initial weights; torch's global one by default.
    """
    model = mnist_vae(run.latent_dim, hidden_dim=run.hidden_dim, generator=generator)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=INITIAL_STD, generator=generator)
    return LatentVariableModel(model.decoder) if run.algorithm in CHAINS else model


def _learner(run: ComparisonRun, model: LatentVariableModel, rate: float) -> Algorithm:
    def adagrad(module: nn.Module) -> Adagrad:
        parameters = list(module.parameters())
        fused = parameters[0].device.type == "cpu"  # 1.4 ms less per step; not on every GPU
        return Adagrad(parameters, lr=rate, weight_decay=1 / run.num_train, fused=fused)

    if run.algorithm in CHAINS:
        kind = CHAINS[run.algorithm]
        return kind(model, adagrad(model), num_data=run.num_train, num_leapfrog=run.num_leapfrog)
    assert isinstance(model, VAE)
    if run.algorithm == "wake-sleep":
        return WakeSleep(model, adagrad(model.decoder), adagrad(model.encoder))
    if run.algorithm == "aevb":
        return AEVB(model, adagrad(model))
    raise ValueError(
        f"no algorithm called {run.algorithm!r}; there are: 'aevb', 'wake-sleep', 'mcem', "
        "'batch-mcem'"
    )
