"""A net as an ONNX graph: https://onnx.ai/onnx/operators/

Each node has the name it has here, and so has what it gives; parameters are conv1.weight, ….
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import layers
from ..data.span import BYTES
from ..data.transforms import Normalize, centre
from ..device import Device
from ..errors import UserError
from ..files import MAKER
from ..graph import IMAGE, Graph, Node
from ..run import Run
from .library import library

OPSET, IR = 13, 7  # of 2020: what reads ONNX at all reads these


def to_onnx(run: Run) -> bytes:
    """The model, for (n, C, H, W) pixels as they are: uint8, or float32 of a run on other scales.

    Raises UserError on a layer that ONNX has not.
    """
    onnx = library("onnx")
    net, known = run.net, run.normalize.span in (None, BYTES)
    write = _Writer(onnx, net)
    values = {IMAGE: _pixels(write, run.normalize, net, cast=known)}
    for node in net.nodes.values():
        writer = WRITERS.get(type(node.layer))
        if not writer:
            raise UserError(f"{node.name}: ONNX has no layer {node.layer!r}")
        inputs = [values[source] for source in node.sources]
        values[node.name] = writer(write, node, *inputs)
    number = onnx.TensorProto.UINT8 if known else onnx.TensorProto.FLOAT
    make_value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        write.nodes,
        run.config.model.replace("-", "_"),
        [make_value(IMAGE, number, ("n", *net.input_shape))],
        [make_value(values[net.last.name], onnx.TensorProto.FLOAT, ("n", *net.last.shape))],
        write.constants,
    )
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(graph, producer_name=MAKER, opset_imports=[opset], ir_version=IR)
    about = {
        "class_names": run.class_names,
        "sides": run.normalize.mean.shape[1:],  # of the photographs, whose middle the net reads
        "resized": run.resized,
    }
    onnx.helper.set_model_props(model, {MAKER: json.dumps(about)})
    return model.SerializeToString()


class _Writer:
    """The graph so far. Each method returns the name of a value."""

    def __init__(self, onnx, net: Graph):
        self.onnx = onnx
        self.nodes: list = []
        self.constants: list = []
        self.shapes = {IMAGE: net.input_shape} | {n.name: n.shape for n in net.nodes.values()}

    def node(self, kind: str, name: str, *inputs: str, **attributes) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value, dtype=np.float32) -> str:
        array = np.ascontiguousarray(value, dtype)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def parameters(self, node: Node) -> list[str]:
        arrays = {kind: Device("cpu").array(p.data) for kind, p in node.layer.params.items()}
        return [self.constant(f"{node.name}.{kind}", array) for kind, array in arrays.items()]


def _pixels(write: _Writer, normalize: Normalize, net: Graph, cast: bool) -> str:
    """What the net reads. Nodes of ours have no dots in their names."""
    value, mean = IMAGE, centre(normalize.mean.shape, net.input_shape)(normalize.mean)
    if (mean == mean[:, :1, :1]).all():
        mean = mean[:, :1, :1]
    if cast:
        value = write.node("Cast", "image.float", value, to=write.onnx.TensorProto.FLOAT)
    value = write.node("Sub", "image.centred", value, write.constant("pixels.mean", mean))
    scale = normalize.scale.reshape(-1, 1, 1)
    return write.node("Div", "image.scaled", value, write.constant("pixels.scale", scale))


# ---- the layers: each gives the value that its node stands for ---------------------------------


def _same(kind: str, **attributes) -> Callable[..., str]:
    """For layers that are a node of ONNX as they are."""
    return lambda write, node, *xs: write.node(kind, node.name, *xs, **attributes)


def _conv(write: _Writer, node: Node, x: str) -> str:
    layer: Any = node.layer
    return write.node(
        "Conv", node.name, x, *write.parameters(node), group=layer.groups, **_windows(layer)
    )


def _windows(layer) -> dict:
    (top, bottom), (left, right) = layer.padding
    return {
        "kernel_shape": layer.kernel_size,
        "strides": layer.stride,
        "pads": (top, left, bottom, right),
    }


def _pool(write: _Writer, node: Node, x: str) -> str:
    """Rounding up is padding, to where the last window ends: of ceil_mode there are several."""
    layer: Any = node.layer
    starts = [start for start, _ in layer.padding]
    sides = write.shapes[node.sources[0]][1:], node.shape[1:]
    ends = [
        max((count - 1) * stride + kernel - side - start, 0)
        for side, count, kernel, stride, start in zip(
            *sides, layer.kernel_size, layer.stride, starts, strict=True
        )
    ]
    return write.node("MaxPool", node.name, x, **_windows(layer) | {"pads": (*starts, *ends)})


def _lrn(write: _Writer, node: Node, x: str) -> str:
    """ONNX divides α by the size. Groups become images of their own, and go back."""
    layer: Any = node.layer
    channels, *place = node.shape
    if layer.size % 2 == 0:
        raise UserError(f"{node.name}: ONNX's windows of an even size reach further up than down")
    alpha = layer.alpha * (1 if layer.alpha_over_size else layer.size)
    numbers = {"alpha": alpha, "beta": float(layer.beta), "bias": float(layer.k)}
    numbers["size"] = layer.size
    if layer.groups == 1:
        return write.node("LRN", node.name, x, **numbers)
    apart = write.constant(f"{node.name}.groups", (-1, channels // layer.groups, *place), np.int64)
    joined = write.constant(f"{node.name}.joined", (-1, channels, *place), np.int64)
    x = write.node("Reshape", f"{node.name}.apart", x, apart)
    x = write.node("LRN", f"{node.name}.normed", x, **numbers)
    return write.node("Reshape", node.name, x, joined)


def _linear(write: _Writer, node: Node, x: str) -> str:
    return write.node("Gemm", node.name, x, *write.parameters(node), transB=1)


def _dropout(write: _Writer, node: Node, x: str) -> str:
    """Nothing is dropped; the paper's halving remains."""
    layer: Any = node.layer
    if layer.rescale == "train" or not layer.p:
        return x
    return write.node("Mul", node.name, x, write.constant(f"{node.name}.kept", 1 - layer.p))


def _upsample(write: _Writer, node: Node, x: str) -> str:
    layer: Any = node.layer
    factor = layer.scale_factor
    return write.node(
        "Resize",
        node.name,
        x,
        "",
        write.constant(f"{node.name}.scales", (1, 1, factor, factor)),
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )


WRITERS: dict[type, Callable[..., str]] = {
    layers.Conv2d: _conv,
    layers.LocalResponseNorm: _lrn,
    layers.MaxPool2d: _pool,
    layers.Linear: _linear,
    layers.Dropout: _dropout,
    layers.Upsample: _upsample,
    layers.Copy: lambda write, node, x: x,
    layers.Concat: _same("Concat", axis=1),
    layers.Flatten: _same("Flatten", axis=1),
    layers.ReLU: _same("Relu"),
    layers.Tanh: _same("Tanh"),
}
