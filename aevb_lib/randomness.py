"""Seeds: a run that can be repeated, and random numbers that nobody else notices."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["own_randomness", "random_state", "seed_everything", "set_random_state"]


def seed_everything(seed: int) -> torch.Generator:
    """Make a run repeatable.

    Seeds torch's global generators, from which latent noise is drawn on every device, and returns
    an explicit CPU generator for initial weights and shuffles, so that these are the same whatever
    the device.

    Args:
        seed: Any integer.

    Returns:
        A CPU generator seeded alike.

    Raises:
        TypeError: If the seed is no integer; nothing is seeded then.

    Example:
        >>> generator = seed_everything(0)
        >>> import aevb_lib as aevb
        >>> encoder = aevb.GaussianMLP(784, 20, generator=generator)
    """
    seed = operator.index(seed)
    torch.manual_seed(seed)
    return torch.Generator("cpu").manual_seed(seed)


@contextmanager
def own_randomness(device: torch.device | str, seed: int | None = None) -> Iterator[None]:
    """Give what is inside a ``with`` block random numbers of its own.

    The global generators of the CPU and of one device are what they were after the block, also if
    an error ends it. Those of other devices are not touched, which ``torch.manual_seed`` would do.

    Args:
        device: Device of the computation.
        seed: Seed of both generators in the block; they go on from where they are by default.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> with own_randomness("cpu", seed=7):
        ...     inside = torch.rand(2)
        >>> outside, _ = torch.rand(2), torch.manual_seed(0)
        >>> torch.equal(outside, torch.rand(2))
        True
    """
    places = dict.fromkeys([torch.device("cpu"), torch.device(device)])
    places.pop(torch.device("meta"), None)  # draws no numbers
    states = {place: random_state(place) for place in places}
    try:
        if seed is not None:
            for place in places:
                seeded = torch.Generator(place).manual_seed(operator.index(seed))
                set_random_state(place, seeded.get_state())
        yield
    finally:
        for place, state in states.items():
            set_random_state(place, state)


def random_state(place: torch.device) -> Tensor:
    """Return the state of a device's global generator.

    Args:
        place: The device.
    """
    if place.type == "cpu":
        return torch.get_rng_state()
    state: Tensor = torch.get_device_module(place).get_rng_state(*_index(place))
    return state


def set_random_state(place: torch.device, state: Tensor) -> None:
    """Put a device's global generator into a state that :func:`random_state` returned.

    Args:
        place: The device.
        state: The state.
    """
    if place.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.get_device_module(place).set_rng_state(state, *_index(place))


def _index(place: torch.device) -> tuple[torch.device, ...]:
    return () if place.type == "mps" else (place,)  # there is one of these, and it has no number
