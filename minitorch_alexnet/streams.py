"""One seed, many streams of random numbers that have nothing to do with each other."""

import numpy as np

from .errors import UserError

PURPOSES = ("weights", "dropout", "validation", "shuffle", "augment", "colour")


def stream(seed: int, purpose: str, which: int | str = 0) -> np.random.Generator:
    """The generator for one of PURPOSES; which: the epoch's number, or a layer's name."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise UserError(f"a seed must be a whole number from 0, got {seed!r}")
    number = int.from_bytes(which.encode(), "big") if isinstance(which, str) else which
    return np.random.default_rng([seed, number, 1 + PURPOSES.index(purpose)])
