"""A node of an ONNX graph as a layer of ours: https://onnx.ai/onnx/operators/

Each function reads one, with what it says, and gives the value that its output stands for.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .. import layers
from ..errors import UserError
from ..graph import IMAGE
from .onnx_file import OnnxFile
from .onnx_maker import Maker, Value


class Said:
    """A node's attributes. What nobody asks for, or has another value than it must, is refused."""

    def __init__(self, file: OnnxFile, node):
        get = file.onnx.helper.get_attribute_value
        self._found = {attribute.name: get(attribute) for attribute in node.attribute}

    def get(self, name: str, default):
        """An attribute's value, of the default's kind."""
        value = self._found.pop(name, default)
        if isinstance(default, tuple | list):
            return tuple(map(int, value))
        if isinstance(default, str):
            return value.decode() if isinstance(value, bytes) else value
        return _shortest(value) if isinstance(default, float) else int(value)

    def expect(self, name: str, *allowed) -> None:
        value = self.get(name, allowed[0])
        if value not in allowed:
            raise UserError(f"its {name} is {value}, expected {' or '.join(map(str, allowed))}")

    def expect_read(self) -> None:
        if self._found:
            raise UserError(f"its {min(self._found)} is not known here")


def _shortest(number: float) -> float:
    """The decimal that a float32 was made of: 0.0001, not 9.999999747378752e-05."""
    return float(str(np.float32(number)))


Read = Callable[[Maker, Any, Said], Value]

MOST_STEPS = 8  # nodes between the image and the first layer: each may hold an image
ALONE = "here numbers scale the image, are a layer's bias or dropout's share, alone"

# ---- the layers --------------------------------------------------------------------------------


def _conv(net: Maker, node, said: Said) -> Value:
    value, weight = net.value(node.input[0]), net.file.weights(node.input[1])
    if weight.ndim != 4:
        raise UserError(f"its kernels must be (O, C, h, w), got {weight.shape}")
    groups, kernel = said.get("group", 1), weight.shape[2:]
    said.expect("kernel_shape", kernel)
    said.expect("dilations", (1, 1))
    strides = said.get("strides", (1, 1))
    padding = _padding(net.shape(value), kernel, strides, said)
    maps = weight.shape[1] * groups
    layer = layers.Conv2d(maps, len(weight), kernel, strides, padding, groups)
    bias = _bias(net, node, (len(weight),))
    return net.add_weighted("conv", layer, value, weight=weight, bias=bias)


def _bias(net: Maker, node, shape: tuple[int, ...], times: float = 1.0) -> np.ndarray:
    """A third input, or zeros."""
    if len(node.input) < 3 or not node.input[2]:
        return np.zeros(shape, np.float32).ravel()
    return _spread(net.file.constant(node.input[2]), shape).ravel() * np.float32(times)


def _padding(shape: tuple, kernel: tuple, strides: tuple, said: Said) -> tuple:
    """((top, bottom), (left, right)), from "pads", which are (top, left, bottom, right)."""
    auto, pads = said.get("auto_pad", "NOTSET"), said.get("pads", (0, 0, 0, 0))
    if auto in ("NOTSET", "VALID"):
        if len(pads) != 4 or (auto == "VALID" and any(pads)):
            raise UserError(f"its pads must be four numbers, got {pads}")
        return (pads[0], pads[2]), (pads[1], pads[3])
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise UserError(f"its auto_pad {auto} is not known here")
    both = []
    for size, k, stride in zip(shape[1:], kernel, strides, strict=True):
        spare = max((-(-size // stride) - 1) * stride + k - size, 0)
        less, more = spare // 2, spare - spare // 2
        both.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return tuple(both)


def _pool(net: Maker, node, said: Said) -> Value:
    value, kernel = net.value(node.input[0]), said.get("kernel_shape", ())
    said.expect("dilations", (1, 1))
    said.expect("storage_order", 0)
    strides, ceil_mode = said.get("strides", (1, 1)), bool(said.get("ceil_mode", 0))
    padding = _padding(net.shape(value), kernel, strides, said)
    return net.add("pool", layers.MaxPool2d(kernel, strides, padding, ceil_mode), value)


def _no_pool(net: Maker, node, said: Said) -> Value:
    """torchvision's pool to 6×6, of what is 6×6 already."""
    said.expect("kernel_shape", (1, 1))
    said.expect("strides", (1, 1))
    said.expect("pads", (0, 0, 0, 0))
    said.expect("auto_pad", "NOTSET", "VALID")
    for name in ("ceil_mode", "count_include_pad"):
        said.expect(name, 0, 1)
    return net.value(node.input[0])


def _lrn(net: Maker, node, said: Said) -> Value:
    size = said.get("size", 0)
    if size % 2 == 0:
        raise UserError(f"its size must be odd, got {size}")
    value = net.part(node.input[0])
    layer = layers.LocalResponseNorm(
        size,
        said.get("alpha", 1e-4),
        said.get("beta", 0.75),
        said.get("bias", 1.0),
        alpha_over_size=True,
        groups=value.groups,
    )
    return replace(net.add("norm", layer, replace(value, groups=1)), groups=value.groups)


def _gemm(net: Maker, node, said: Said) -> Value:
    value, weight = net.value(node.input[0]), net.file.weights(node.input[1])
    said.expect("transA", 0)
    if weight.ndim != 2:
        raise UserError(f"its weights must have two axes, got {weight.shape}")
    weight = weight if said.get("transB", 0) else weight.T
    if (factor := said.get("alpha", 1.0)) != 1:
        weight = weight * np.float32(factor)
    layer = layers.Linear(*weight.shape[::-1])
    bias = _bias(net, node, (1, len(weight)), said.get("beta", 1.0))
    return net.add_weighted("fc", layer, value, weight=weight, bias=bias)


def _flatten(net: Maker, node, said: Said) -> Value:
    value = net.value(node.input[0])
    said.expect("axis", 1, -len(net.shape(value)))
    return _flat(net, value)


def _flat(net: Maker, value: Value) -> Value:
    if len(net.shape(value)) == 1:
        return value
    return net.add("flatten", layers.Flatten(), value)


def _reshape(net: Maker, node, said: Said) -> Value:
    """Flattens; or splits the maps into parts for an LRN of each, and joins them again."""
    name, target = node.input[0], net.file.constant(node.input[1]).ravel().tolist()
    if said.get("allowzero", 0) and 0 in target:
        raise UserError("it makes rows of nothing")
    value = net.part(name)
    shape = net.shape(value)
    size = math.prod(shape)
    rows = [[n, k] for n in (-1, 0, net.file.batch) for k in (size, -1)]
    if target in rows and target != [-1, -1]:
        return _flat(net, net.value(name))
    maps_alone = len(shape) == 3 and target[:1] + target[2:] == [-1, *shape[1:]]
    if maps_alone and target[1] > 0 and shape[0] % target[1] == 0:
        return replace(value, groups=shape[0] // target[1])
    raise UserError(f"it makes {target} of {shape}; here maps become rows, (n, {size}), alone")


def _dropout(net: Maker, node, said: Said) -> Value:
    share, constants = said.get("ratio", 0.5), node.input[1:]
    said.get("seed", 0)
    if constants and constants[0]:
        share = _shortest(net.file.constant(constants[0]).item())
    if len(constants) > 1 and constants[1] and net.file.constant(constants[1]).item():
        raise UserError("it drops in a test, too")
    return net.add("drop", layers.Dropout(share, "train"), net.value(node.input[0]))


def _softmax(net: Maker, node, said: Said) -> Value:
    """Left out, at the end: ours do it where probabilities are asked for."""
    value = net.value(node.input[0])
    if node.output[0] != net.file.output or len(net.shape(value)) != 1:
        raise UserError("it may only stand at the end, behind rows of numbers")
    said.expect("axis", -1 if net.file.opset >= 13 else 1, 1, -1)
    return value


def _concat(net: Maker, node, said: Said) -> Value:
    values = [net.value(name) for name in node.input]
    said.expect("axis", 1, -len(net.shape(values[0])))
    return net.add("both", layers.Concat(), *values)


def _upsample(net: Maker, node, said: Said) -> Value:
    """Resize, where it repeats each value."""
    said.expect("mode", "nearest")
    said.expect("nearest_mode", "floor")
    said.expect("coordinate_transformation_mode", "asymmetric")
    one, other, factor, again = net.file.constant(node.input[2]).tolist()
    if (one, other, factor) != (1, 1, again) or factor != int(factor):
        raise UserError("it must enlarge both sides by the same whole number")
    return net.add("enlarge", layers.Upsample(int(factor)), net.value(node.input[0]))


def _identity(net: Maker, node, said: Said) -> Value:
    return net.value(node.input[0])


def _plain(kind: str, layer: type[layers.Layer]) -> Read:
    return lambda net, node, said: net.add(kind, layer(), net.value(node.input[0]))


# ---- numbers of the pixels, a bias, the paper's dropout ------------------------------------------


def _arithmetic(net: Maker, node, said: Said) -> Value:
    """Add, Sub, Mul, Div of a value and a constant."""
    name, other = node.input
    if net.file.is_constant(name) and node.op_type in ("Add", "Mul"):
        name, other = other, name
    value, number = net.value(name), net.file.constant(other)
    if value.node == IMAGE:
        return _rescaled(net, value, node.op_type, number.astype(np.float64))
    if node.op_type == "Add" and f"{value.node}.bias" in net.weights and net.read_once(value):
        return _biased(net, value, number)
    if node.op_type == "Mul" and number.size == 1 and number.ndim <= 1 + len(net.shape(value)):
        return _halved(net, value, number.item())
    raise UserError(ALONE)


def _rescaled(net: Maker, value: Value, kind: str, number: np.ndarray) -> Value:
    """(pixels - shift) / scale, and one step more."""
    if sum(v.node == IMAGE for v in net.values.values()) > MOST_STEPS:
        raise UserError(f"more than {MOST_STEPS} nodes scale the image")
    shape = net.graph.input_shape
    by_channel = shape[0], 1, 1
    shift, scale = value.pixels or (np.zeros(by_channel), np.ones(by_channel))
    number = number[0] if number.ndim == 4 and len(number) == 1 else number
    if number.shape != shape:
        number = _spread(number, by_channel)
    if not np.isfinite(number).all():
        raise UserError("its numbers hold nan or inf")
    if kind in ("Add", "Sub"):
        return replace(
            value, pixels=(shift + (number if kind == "Sub" else -number) * scale, scale)
        )
    each = number[:, :1, :1]
    if (number != each).any() or not (each > 0).all():
        raise UserError("the image's scale must be a number above 0 a channel")
    return replace(value, pixels=(shift, scale * each if kind == "Div" else scale / each))


def _biased(net: Maker, value: Value, number: np.ndarray) -> Value:
    """A layer's bias, as a node of its own: a number a map, or a unit."""
    bias = net.weights[f"{value.node}.bias"]
    row = _spread(number, (1, len(bias)) + (1,) * (len(net.shape(value)) - 1))
    net.weights[f"{value.node}.bias"] = bias + row.ravel()
    return value


def _halved(net: Maker, value: Value, number: float) -> Value:
    """The paper's rule for dropout in a test."""
    left_out = round(1 - number, 6)
    if not 0 <= left_out < 1 or np.float32(1 - left_out) != np.float32(number):
        raise UserError(ALONE)
    return net.add("drop", layers.Dropout(left_out, "test"), value)


def _spread(number: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """ONNX's broadcasting is NumPy's."""
    try:
        return np.broadcast_to(number, shape)
    except ValueError:
        raise UserError(f"its numbers must be {shape}, got {number.shape}") from None


def _cast(net: Maker, node, said: Said) -> Value:
    said.expect("to", net.file.onnx.TensorProto.FLOAT)
    return net.value(node.input[0])


READERS: dict[str, Read] = {
    "Conv": _conv,
    "Relu": _plain("relu", layers.ReLU),
    "Tanh": _plain("tanh", layers.Tanh),
    "LRN": _lrn,
    "MaxPool": _pool,
    "AveragePool": _no_pool,
    "Gemm": _gemm,
    "MatMul": _gemm,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Dropout": _dropout,
    "Softmax": _softmax,
    "Concat": _concat,
    "Resize": _upsample,
    "Identity": _identity,
    "Cast": _cast,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
}
