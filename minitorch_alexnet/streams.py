"""One seed, many streams of random numbers that have nothing to do with each other."""

import numpy as np

PURPOSES = ("weights", "dropout", "validation", "shuffle", "augment", "colour")


def stream(seed: int, purpose: str, number: int = 0) -> np.random.Generator:
    """The generator for one of PURPOSES; number: the layer's, or the epoch's."""
    return np.random.default_rng([seed, number, 1 + PURPOSES.index(purpose)])
