"""Wake-sleep (Hinton et al. 1995): the paper's rival for encoders, with two objectives."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer

from aevb_lib.ascent import ascend
from aevb_lib.models import VAE
from aevb_lib.objectives import sleep_phase, wake_phase
from aevb_lib.stacking import apply
from aevb_lib.types import Batch

__all__ = ["WakeSleep"]


class WakeSleep:
    r"""Train the decoder awake, on data that the encoder explains; the encoder asleep, on dreams.

    Both phases take place on every minibatch, with as many dreams as images, and dreams are draws
    (black and white pixels), as in the authors' own code. There is no one function that the two
    climb: the sleep phase minimizes :math:`D_{KL}(p(z \mid x) \,\|\, q(z \mid x))`, the wrong way
    round and on dreamt images, so the bound need not rise.

    Args:
        model: The model to train.
        wake_optimizer: Any torch optimizer over the parameters of ``model.decoder``.
        sleep_optimizer: Any torch optimizer over the parameters of ``model.encoder``.

    Example:
        >>> import torch, aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(784, 20), aevb.BernoulliMLP(20, 784))
        >>> learner = WakeSleep(
        ...     model,
        ...     wake_optimizer=torch.optim.Adam(model.decoder.parameters()),
        ...     sleep_optimizer=torch.optim.Adam(model.encoder.parameters()),
        ... )
        >>> batch = aevb.Batch(torch.rand(100, 784), torch.zeros(100).long(), torch.arange(100))
        >>> sorted(learner.step(batch))
        ['log_joint', 'log_posterior']
    """

    def __init__(self, model: VAE, wake_optimizer: Optimizer, sleep_optimizer: Optimizer) -> None:
        self.model = model
        self.wake_optimizer = wake_optimizer
        self.sleep_optimizer = sleep_optimizer

    def step(self, batch: Batch) -> dict[str, Tensor]:
        r"""Update the decoder once, then the encoder once.

        Returns:
            What each phase maximizes, before its update and averaged over images or dreams, in nats
            per image: ``log_joint``, :math:`\log p(x, z)` with :math:`z \sim q(z \mid x)`; and
            ``log_posterior``, :math:`\log q(z \mid x)` of a dream. Neither is the bound.
        """
        log_joint = apply(wake_phase, self.model, batch.images).mean(-1)
        ascend(log_joint, self.wake_optimizer)
        log_posterior = apply(sleep_phase, self.model, n=batch.images.shape[-2]).mean(-1)
        ascend(log_posterior, self.sleep_optimizer)
        return {"log_joint": log_joint.detach(), "log_posterior": log_posterior.detach()}
