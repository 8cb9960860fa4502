"""How weights start.

An initialiser is a function (rng, shape, dtype) -> array: `he`, `glorot`, or what `gaussian(std)`
and `constant(value)` return.

A weight's first axis is its outputs; the product of the others is its fan-in.
"""

import math

import numpy as np


def gaussian(std: float):
    """N(0, std²): the paper's, with std = 0.01 on every layer (section 5)."""
    return lambda rng, shape, dtype=np.float32: (rng.standard_normal(shape) * std).astype(dtype)


def constant(value: float):
    """The same number everywhere: biases of 0, or of 1 to start ReLUs in their positive part."""
    return lambda rng, shape, dtype=np.float32: np.full(shape, value, dtype)


def he(rng, shape, dtype=np.float32):
    """N(0, 2 / fan-in): keeps a ReLU net's activations at one size (He et al. 2015, eq. 10)."""
    return gaussian(math.sqrt(2 / math.prod(shape[1:])))(rng, shape, dtype)


def glorot(rng, shape, dtype=np.float32):
    """U(-a, a) with a² = 6 / (fan-in + fan-out) (Glorot & Bengio 2010, eq. 16)."""
    fan_in, fan_out = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
    limit = math.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape).astype(dtype)


def initialise(net, rng: np.random.Generator, rules: dict) -> None:
    """Start a net's parameters anew.

    rules: initialiser by the parameter's name ("conv1.weight"), else by its kind ("weight",
    "bias"). Towers are drawn joined, so a seed gives one net however it is split.
    """
    state = {}
    for name, value in net.state_dict().items():
        rule = rules.get(name) or rules[name.rpartition(".")[2]]
        state[name] = rule(rng, value.shape, value.dtype)
    net.load_state_dict(state)
