"""How weights start.

An initialiser is a function (rng, shape, dtype) -> array: `he`, `glorot`, or what `gaussian(std)`,
`uniform(limit)` and `constant(value)` return.

A weight's first axis is its outputs; the product of the others is its fan-in.
"""

import math

import numpy as np

from .streams import stream


def gaussian(std: float):
    """N(0, std²): the paper's, with std = 0.01 on every layer (section 5)."""

    def draw(rng, shape, dtype=np.float32):
        values = rng.standard_normal(shape)
        values *= std  # in place: fc6 has 37 million of them
        return values.astype(dtype)

    return draw


def constant(value: float):
    """The same number everywhere: biases of 0, or of 1 to start ReLUs in their positive part."""
    return lambda rng, shape, dtype=np.float32: np.full(shape, value, dtype)


def uniform(limit: float):
    """U(-limit, limit)."""
    return lambda rng, shape, dtype=np.float32: rng.uniform(-limit, limit, shape).astype(dtype)


def he(rng, shape, dtype=np.float32):
    """N(0, 2 / fan-in): keeps a ReLU net's activations at one size (He et al. 2015, eq. 10)."""
    return gaussian(math.sqrt(2 / math.prod(shape[1:])))(rng, shape, dtype)


def glorot(rng, shape, dtype=np.float32):
    """U(-a, a) with a² = 6 / (fan-in + fan-out) (Glorot & Bengio 2010, eq. 16)."""
    fan_in, fan_out = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
    return uniform(math.sqrt(6 / (fan_in + fan_out)))(rng, shape, dtype)


def he_after_norm(rng, shape, dtype=np.float32):
    """He, times the k^β by which an LRN before the layer makes small signals smaller."""
    return he(rng, shape, dtype) * np.dtype(dtype).type(2**0.75)


# Rules for `initialise`, for nets with the paper's layers.

# Section 5: N(0, .01²) everywhere; ones start the ReLUs of these layers in their positive part.
PAPER = {"weight": gaussian(0.01), "bias": constant(0)} | dict.fromkeys(
    ("conv2.bias", "conv4.bias", "conv5.bias", "fc6.bias", "fc7.bias"), constant(1)
)

# What learns from hundreds of images of 0-255: the paper's .01 leaves them at ln(classes) for
# thousands of steps, and He on every layer overflows.
SMALL_SET = {
    "weight": he,
    "bias": constant(0),
    "conv1.weight": gaussian(0.01),
    "fc8.weight": gaussian(0.01),
}

# For pixels of mean 0 and deviation 1.
STANDARDIZED = {
    "weight": he,
    "bias": constant(0),
    "conv2.weight": he_after_norm,
    "conv3.weight": he_after_norm,
    "fc8.weight": gaussian(0.01),
}


def initialise(net, seed: int | None, rules: dict) -> None:
    """Start a net anew: draw its parameters, and give its random layers fresh generators.

    seed: None draws nothing, for a net whose weights are about to be loaded
    rules: initialiser by the parameter's name ("conv1.weight"), else by its kind ("weight",
    "bias"). Towers are drawn joined, so a seed gives one net however it is split.
    """
    if seed is None:
        return
    rng, state = stream(seed, "weights"), {}
    for name, (shape, dtype) in net.state_shapes().items():
        rule = rules.get(name) or rules[name.rpartition(".")[2]]
        state[name] = rule(rng, shape, dtype)
    net.load_state_dict(state)
    for name, node in net.nodes.items():
        if hasattr(node.layer, "rng"):
            node.layer.rng = stream(seed, "dropout", name)
