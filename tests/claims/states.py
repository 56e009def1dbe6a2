"""Other states of the random generators, set from outside: no chapter says a word of it.

Whoever seeds a generator with 0 gets, in state k, the seed that a hash makes of k and 0. So equal
seeds stay equal and different ones different, and a claim that holds in one state only is a claim
about that state.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch


def another(seed: int, state: int) -> int:
    """Return the seed that stands for ``seed`` in a state; in state 0, itself.

    Example:
        >>> another(7, 0), another(7, 1) == another(7, 1), another(7, 1) == another(8, 1)
        (7, True, False)
    """
    if state == 0:
        return seed
    digest = hashlib.blake2b(f"{state}:{seed}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def enter(state: int) -> None:
    """Put torch's and numpy's generators into a state, for the rest of this process."""
    seed_torch, original = torch.manual_seed, torch.Generator
    simple, default = np.random.RandomState, np.random.default_rng

    def manual_seed(seed: int) -> torch.Generator:
        return seed_torch(another(int(seed), state))

    def default_rng(seed: Any = None) -> np.random.Generator:
        return default(another(seed, state) if isinstance(seed, int) else seed)

    class Generator(original):  # type: ignore[valid-type, misc]
        def manual_seed(self, seed: int) -> Generator:
            return super().manual_seed(another(int(seed), state))  # type: ignore[no-any-return]

    class RandomState(simple):
        def __init__(self, seed: Any = None) -> None:
            super().__init__(another(seed, state) if isinstance(seed, int) else seed)

    torch.manual_seed = torch.random.manual_seed = manual_seed
    torch.Generator = Generator  # type: ignore[misc]
    np.random.RandomState, np.random.default_rng = RandomState, default_rng  # type: ignore[misc]
    manual_seed(state)  # for whoever draws without a seed
