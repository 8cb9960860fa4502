"""One seed, many streams of random numbers that have nothing to do with each other."""

import numpy as np

PURPOSES = ("weights", "dropout", "validation", "shuffle", "augment", "colour")


def stream(seed: int, purpose: str, which: int | str = 0) -> np.random.Generator:
    """The generator for one of PURPOSES; which: the epoch's number, or a layer's name."""
    number = int.from_bytes(which.encode(), "big") if isinstance(which, str) else which
    return np.random.default_rng([seed, number, 1 + PURPOSES.index(purpose)])
