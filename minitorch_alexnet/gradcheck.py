"""Is a backward right? Compare it with finite differences, element by element, in float64.

    ∂L/∂x_i ≈ (L(x_i + h) - L(x_i - h)) / 2h        with L = Σ y · dy, dy random

A random dy matters: with ones, a gradient that sums to nothing (softmax's) passes whatever it is.
Where L has a kink (ReLU at 0, a tie in max-pooling) there is no derivative, only one to the left
and one to the right; backward may then answer with anything from the one to the other.
"""

import copy
from dataclasses import dataclass

import numpy as np

from .device import Device
from .graph import Graph
from .layers import Layer, SoftmaxCrossEntropy

STEPS = (1e-5, 1e-6, 1e-7)  # relative to an element's size; shorter ones step past near kinks


@dataclass(frozen=True)
class Worst:
    """The element whose gradient is furthest off, of one input or parameter."""

    name: str  # "input 0", "weight", …
    index: tuple[int, ...]
    analytic: float  # what backward says
    numeric: float  # what the differences say
    error: float  # their distance, relative to the larger, or to the array's typical gradient
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
    rng: draws dy, and the elements to compare where an array has more than `samples` of them

    Works on a copy: masks repeat, and the layer and the inputs stay as they are.
    """
    layer = _in_float64(copy.deepcopy(layer))
    inputs = [np.array(x, np.float64) for x in inputs]
    rng = rng or np.random.default_rng(0)
    # All positive, so that kinks which meet in one element do not cancel.
    dy = rng.uniform(0.5, 1.5, copy.deepcopy(layer).forward(*inputs).shape)

    def loss() -> float:
        return float((copy.deepcopy(layer).forward(*inputs) * dy).sum())

    probe = copy.deepcopy(layer)
    probe.forward(*inputs)
    dxs = probe.backward(dy)
    dxs = dxs if isinstance(dxs, tuple) else (dxs,)
    pairs = {f"input {i}": (x, dx) for i, (x, dx) in enumerate(zip(inputs, dxs, strict=True))}
    for name, parameter in layer.params.items():
        if not parameter.frozen:
            pairs[name] = (parameter.data, probe.params[name].grad)
    return _report(repr(layer), loss, pairs, rng, tolerance, samples)


def check_graph(net: Graph, images, labels, rng=None, tolerance=1e-5, samples=20) -> Report:
    """Check every parameter's gradient of the softmax cross-entropy of a whole net.

    Works on a copy in float64; each layer's `rng` is set back, so that masks repeat.
    """
    net = copy.deepcopy(net)
    for node in net.nodes.values():
        for parameter in node.layer.params.values():
            with node.device.current():
                parameter.data = parameter.data.astype(np.float64)
    images = np.array(images, np.float64)
    rng = rng or np.random.default_rng(0)

    criterion = SoftmaxCrossEntropy()
    states = net.generator_states()

    def loss() -> float:
        net.set_generator_states(states)
        return float(criterion.forward(net.forward(images), labels))

    loss()
    net.backward(criterion.backward())
    parameters = net.named_parameters().items()
    host = Device("cpu").array
    pairs = {name: (p.data, host(p.grad)) for name, p in parameters if not p.frozen}
    return _report("graph", loss, pairs, rng, tolerance, samples)


def _in_float64(layer: Layer) -> Layer:
    for parameter in layer.params.values():
        parameter.data = np.array(Device("cpu").array(parameter.data), np.float64)
    return layer


def _report(what, loss, pairs, rng, tolerance, samples) -> Report:
    """pairs: name -> (the array that loss() depends on, backward's gradient by it)."""
    worst = []
    for name, (x, gradient) in pairs.items():
        if gradient is None or gradient.shape != x.shape:
            raise ValueError(
                f"{what}: the gradient of {name} must have its shape {x.shape},"
                f" got {None if gradient is None else gradient.shape}"
            )
        count = min(samples, x.size)
        places = np.sort(rng.choice(x.size, count, replace=False))
        sizes = np.abs(gradient.ravel()[places])
        sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
        typical = float(sizes.mean()) if sizes.size else 1.0
        found = [
            _compare(loss, x, np.unravel_index(i, x.shape), gradient, typical, tolerance)
            for i in places
        ]
        if not found:
            continue
        errors = [f[0] for f in found]
        at = int(np.argmax(errors))
        index = tuple(int(i) for i in np.unravel_index(places[at], x.shape))
        analytic = float(gradient[index])
        kinks = sum(f[2] for f in found)
        worst.append(Worst(name, index, analytic, found[at][1], errors[at], count, kinks))
    return Report(what, tuple(worst), tolerance)


def _compare(loss, x, index, gradient, typical, tolerance) -> tuple[float, float, bool]:
    """One element: (relative error, numeric derivative, whether it lies on a kink)."""
    analytic, value = float(gradient[index]), float(x[index])
    best = (np.inf, np.nan, False)
    for relative_step in STEPS:
        step = relative_step * max(1.0, abs(value))
        there = []
        for shifted in (value - step, value, value + step):
            x[index] = shifted
            there.append(loss())
        x[index] = value
        left, right = (there[1] - there[0]) / step, (there[2] - there[1]) / step
        numeric = (there[2] - there[0]) / (2 * step)
        scale = max(abs(analytic), abs(numeric), typical)
        error = abs(analytic - numeric) / scale
        if error < best[0]:  # never for a nan, which leaves the error infinite
            best = (error, numeric, False)
        if error <= tolerance:
            return best
    # No step agreed. If the sides differ however short the step, x sits on a kink itself, and
    # backward is held to their range.
    noise = 1e-3 * scale
    if abs(right - left) > noise:
        outside = max(min(left, right) - analytic, analytic - max(left, right), 0.0)
        return (0.0 if outside <= noise else outside / scale), numeric, True
    return best
