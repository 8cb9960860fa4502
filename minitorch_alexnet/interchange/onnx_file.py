"""What an .onnx file holds: a graph's nodes, and its constants, which are read when asked for."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..described import MOST_NODES
from ..errors import CheckpointError
from .library import library
from .weights import MOST_BYTES

FIRST, LAST = 7, 21  # versions of the operators ("opsets") that are known here
BATCH = -(2**31)  # stands for a number of images that is not known
KINDS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT32", "INT64", "BOOL")


class OnnxFile:
    """nodes: of the graph, in order; image: the name of its one input, (N, C, H, W)

    batch: N, or BATCH where it is left open;  input_shape: (C, H, W);  bytes: is it uint8?
    """

    def __init__(self, path: Path):
        self.onnx, self.folder = library("onnx"), path.parent
        self.model = self.onnx.load_model_from_string(path.read_bytes())
        graph = self.model.graph
        self._expect_opset()
        self._tensors: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
        self._used: set[str] = set()
        self._beside = 0  # bytes read of other files
        inputs = [value for value in graph.input if value.name not in self._tensors]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise CheckpointError(
                f"expected one input and one output, it has {len(inputs)} and {len(graph.output)}"
            )
        self.image, self.output = inputs[0].name, graph.output[0].name
        kind = inputs[0].type.tensor_type
        sizes = [axis.dim_value for axis in kind.shape.dim]
        if len(sizes) != 4 or min(sizes[1:]) < 1:
            raise CheckpointError(
                f"its input {self.image} must be (n, C, H, W), the last three said, got"
                f" {[axis.dim_value or axis.dim_param for axis in kind.shape.dim]}"
            )
        self.batch, self.input_shape = sizes[0] or BATCH, tuple(sizes[1:])
        self.bytes = kind.elem_type == self.onnx.TensorProto.UINT8
        self.nodes = []
        if len(graph.node) > MOST_NODES:
            raise CheckpointError(f"it has more than {MOST_NODES} nodes")
        for node in graph.node:
            if node.op_type == "Constant" and len(node.output) == 1:
                self._tensors[node.output[0]] = self._constant(node)
            else:
                self.nodes.append(node)

    def _expect_opset(self) -> None:
        found = {o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")}
        self.opset = max(found, default=0)
        if len(found) != 1 or not FIRST <= self.opset <= LAST:
            raise CheckpointError(
                f"its opset is {' and '.join(map(str, found)) or 'not said'}, expected {FIRST} to"
                f" {LAST}: onnx.version_converter makes another of it"
            )

    def _constant(self, node):
        """A TensorProto of a Constant node, whichever way it says its value."""
        (attribute,) = node.attribute
        value = self.onnx.helper.get_attribute_value(attribute)
        if attribute.name == "value":
            return value
        return self.onnx.numpy_helper.from_array(np.asarray(value))

    def keep(self, name: str, array: np.ndarray) -> None:
        """One constant more, worked out of others."""
        self._tensors[name] = np.asarray(array)  # NumPy has numbers that are no arrays

    def is_constant(self, name: str) -> bool:
        return name in self._tensors

    def constant(self, name: str) -> np.ndarray:
        """A constant's numbers. CheckpointError if there is none, or it is not what it says."""
        if name not in self._tensors:
            raise CheckpointError(f"{name} must be a constant, and is none")
        tensor = self._tensors[name]
        if isinstance(tensor, np.ndarray):
            return tensor
        if tensor.data_type not in [self.onnx.TensorProto.DataType.Value(kind) for kind in KINDS]:
            raise CheckpointError(f"{name} holds no numbers of a kind that is read here")
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
            self._expect_near(name, tensor)
        return self.onnx.numpy_helper.to_array(tensor, str(self.folder))

    def weights(self, name: str) -> np.ndarray:
        """The same, for one layer alone: a small file could else make a very large net."""
        if name in self._used:
            raise CheckpointError(f"{name} belongs to another layer already")
        self._used.add(name)
        return self.constant(name)

    def _expect_near(self, name: str, tensor) -> None:
        """CheckpointError unless a tensor's data are in a file beside this one, and all there."""
        said = {entry.key: entry.value for entry in tensor.external_data}
        path = self.folder / said["location"]
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise CheckpointError(f"{name} is in {said['location']}, outside the file's folder")
        if not path.is_file():
            raise CheckpointError(f"{name} is in {said['location']}, and there is no such file")
        kind = self.onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        size, start = math.prod(tensor.dims) * kind.itemsize, int(said.get("offset", 0))
        if int(said.get("length", size)) != size or not 0 <= start <= path.stat().st_size - size:
            raise CheckpointError(f"{name} has {size:,} bytes, and {said['location']} has fewer")
        self._beside += size  # two tensors may say that they are at one place
        if self._beside > MOST_BYTES:
            raise CheckpointError(f"its weights in other files have more than {MOST_BYTES:,} bytes")
        tensor.external_data.add(key="length", value=str(size))
