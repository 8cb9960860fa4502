"""Is a backward right? Compare it with finite differences, element by element, in float64.

    ∂L/∂x_i ≈ Σ (y(x_i + h) - y(x_i - h)) · dy / 2h        with L = Σ y · dy, dy random

A random dy matters: with ones, a gradient that sums to nothing (softmax's) passes whatever it is.
The outputs are subtracted before they are weighed, so that a large constant among them is lost and
not the difference.
Where L has a kink (ReLU at 0, a tie in max-pooling) there is no derivative, only one to the left
and one to the right; backward may then answer with anything from the one to the other.
"""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .device import Device
from .errors import UserError
from .graph import Graph, expect_graph
from .layers import Layer, SoftmaxCrossEntropy
from .layers.base import (
    expect_call,
    expect_drawn,
    expect_gradients,
    expect_layer,
    expect_pair,
    expect_rng,
)
from .words import kind_of

# Relative to an element's size. Shorter steps stay clear of kinks near by, longer ones of rounding.
STEPS = (1e-5, 1e-6, 1e-4, 1e-3, 1e-7)


@dataclass(frozen=True)
class Worst:
    """The element whose gradient is furthest off, of one input or parameter."""

    name: str  # "input 0", "weight", …
    index: tuple[int, ...]
    analytic: float  # what backward says
    numeric: float  # what the differences say
    error: float  # their distance, relative to the larger, or to what is typical of the array
    checked: int  # how many elements were compared
    kinks: int  # how many of them lie on a kink


@dataclass(frozen=True)
class Report:
    """What a check found; str(report) is for people."""

    what: str
    worst: tuple[Worst, ...]  # of each input and parameter
    tolerance: float

    @property
    def error(self) -> float:
        """The largest relative error of all."""
        return max((w.error for w in self.worst), default=0.0)

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance

    def __str__(self) -> str:
        lines = [f"{self.what}: {'ok' if self.passed else 'WRONG'}, error {self.error:.1e}"]
        for w in self.worst:
            kinks = f", {w.kinks} on a kink" if w.kinks else ""
            lines.append(
                f"  {w.name}{list(w.index)}: backward {w.analytic:.6g}, differences"
                f" {w.numeric:.6g}, error {w.error:.1e} (worst of {w.checked}{kinks})"
            )
        return "\n".join(lines)


def check_layer(layer: Layer, *inputs, rng=None, tolerance=1e-6, samples=200) -> Report:
    """Check a layer's gradients by its inputs and parameters at these inputs.

    inputs: arrays with the batch axis, any floating dtype; the check itself is in float64
    rng: draws dy, parameters that have no numbers yet, and the elements to compare where an array
         has more than `samples` of them

    Works on a copy: masks repeat, and the layer and the inputs stay as they are. Raises UserError
    on a layer that writes to its inputs or to dy.
    """
    expect_layer(layer, "check_layer")
    expect_call(layer, "forward", *inputs, train=True)
    expect_call(layer, "backward", "dy", "cache", need_dx=True)
    expect_rng(rng)
    rng = rng or np.random.default_rng(0)
    inputs = tuple(map(_in_float64, inputs))
    original, layer = layer, copy.deepcopy(layer)
    for name, p in original.params.items():
        numbers = Device("cpu").array(p.data) if p.drawn else rng.standard_normal(p.data.shape)
        layer.params[name].data = np.array(numbers, np.float64)
    generator = copy.deepcopy(getattr(layer, "rng", None))

    def forward():
        if generator is not None:
            layer.rng = copy.deepcopy(generator)
        answer = _unharmed(layer, lambda *xs: layer.forward(*xs, train=True), *inputs)
        return expect_pair(layer, answer, "forward must return y and a cache")

    y, cache = forward()
    if not hasattr(y, "shape"):
        raise UserError(f"{layer!r}: its forward's y must be an array, got {kind_of(y)}")
    # All positive, so that kinks which meet in one element do not cancel.
    dy = rng.uniform(0.5, 1.5, y.shape)
    answer = _unharmed(layer, lambda dy: layer.backward(dy, cache, need_dx=True), dy)
    dxs, grads = expect_gradients(layer, answer, len(inputs))
    pairs = {f"input {i}": (x, dx) for i, (x, dx) in enumerate(zip(inputs, dxs, strict=True))}
    pairs |= {name: (p.data, grads.get(name)) for name, p in layer.params.items() if not p.frozen}
    return _report(repr(layer), lambda: forward()[0], dy, pairs, rng, tolerance, samples)


def check_graph(net: Graph, images, labels, rng=None, tolerance=1e-5, samples=20) -> Report:
    """Check every parameter's gradient of the softmax cross-entropy of a whole net.

    Works on a copy in float64; each layer's `rng` is set back, so that masks repeat.
    """
    expect_graph(net, "check_graph")
    for node in net.nodes.values():
        expect_drawn(node.name, node.layer.params)
    net = copy.deepcopy(net)
    for node in net.nodes.values():
        for parameter in node.layer.params.values():
            with node.device.current():
                parameter.data = parameter.data.astype(np.float64)
    images = _in_float64(images)
    expect_rng(rng)
    rng = rng or np.random.default_rng(0)

    criterion = SoftmaxCrossEntropy()
    states = net.generator_states()

    def loss():
        net.set_generator_states(states)
        return np.array(float(criterion.forward(net.forward(images), labels)))

    loss()
    net.backward(criterion.backward())
    parameters = net.named_parameters().items()
    host = Device("cpu").array
    pairs = {name: (p.data, host(p.grad)) for name, p in parameters if not p.frozen}
    return _report("graph", loss, np.ones(()), pairs, rng, tolerance, samples)


def _in_float64(x) -> np.ndarray:
    try:
        return np.array(x, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"the checks take arrays of numbers, got {kind_of(x)}: {error}") from None


def _unharmed(layer: Layer, function: Callable, *arrays):
    """function(*arrays), where the arrays are not to be written to."""
    views = [x.view() for x in arrays]
    for view in views:
        view.flags.writeable = False
    before = [x.tobytes() for x in arrays]
    try:
        result = function(*views)
        harmed = any(x.tobytes() != b for x, b in zip(arrays, before, strict=True))
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        harmed = True
    if harmed:
        raise UserError(f"{layer!r} writes to what it is given: work on a copy, or in a new array")
    return result


def _report(what, outputs, dy, pairs, rng, tolerance, samples) -> Report:
    """outputs: called for y, which depends on the arrays in pairs: name -> (x, its gradient)."""
    if not samples >= 1:
        raise UserError(f"samples must be at least 1, got {samples}")
    worst = []
    for name, (x, gradient) in pairs.items():
        if gradient is None or gradient.shape != x.shape:
            raise UserError(
                f"{what}: the gradient of {name} must have its shape {x.shape},"
                f" got {None if gradient is None else gradient.shape}"
            )
        if not x.size:
            continue
        places = np.sort(rng.choice(x.size, min(samples, x.size), replace=False))
        indices = [tuple(map(int, np.unravel_index(i, x.shape))) for i in places]
        slopes = functools.cache(functools.partial(_slopes, outputs, np.array(outputs()), dy, x))
        sizes = np.abs([[gradient[i] for i in indices], [slopes(i, STEPS[0])[1] for i in indices]])
        sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
        typical = float(sizes.mean()) if sizes.size else 1.0
        found = [
            _compare(functools.partial(slopes, i), float(gradient[i]), typical, tolerance)
            for i in indices
        ]
        at = int(np.argmax([error for error, _, _ in found]))
        error, numeric, _ = found[at]
        analytic, kinks = float(gradient[indices[at]]), sum(kink for _, _, kink in found)
        worst.append(Worst(name, indices[at], analytic, numeric, error, len(found), kinks))
    return Report(what, tuple(worst), tolerance)


def _slopes(outputs, y, dy, x, index, relative_step) -> tuple[float, float, float]:
    """∂L/∂x[index] by differences: to the left, over both sides, to the right.

    y: the outputs at x itself
    """
    value = float(x[index])
    step = relative_step * max(1.0, abs(value))

    def write(number):
        with Device.of(x).current():
            x[index] = number

    there = []
    for shifted in (value - step, value + step):
        write(shifted)
        there.append(np.array(outputs()))
    write(value)
    before, after = there
    left, right = (float(((b - a) * dy).sum()) / step for a, b in ((before, y), (y, after)))
    return left, (left + right) / 2, right


def _compare(slopes, analytic, typical, tolerance) -> tuple[float, float, bool]:
    """One element: (relative error, numeric derivative, whether it lies on a kink)."""
    best = (np.inf, np.nan, False)
    for relative_step in STEPS:
        left, numeric, right = slopes(relative_step)
        scale = max(abs(analytic), abs(numeric), typical)
        error = abs(analytic - numeric) / scale
        if error < best[0]:  # never for a nan, which leaves the error infinite
            best = (error, numeric, False)
        if error <= tolerance:
            return best
    # No step agreed. If the sides differ however short the step, the last one, x sits on a kink
    # itself, and backward is held to their range.
    noise = 1e-3 * scale
    if abs(right - left) > noise:
        outside = max(min(left, right) - analytic, analytic - max(left, right), 0.0)
        return (0.0 if outside <= noise else outside / scale), numeric, True
    return best
