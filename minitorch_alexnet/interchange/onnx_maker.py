"""Our net in the making, of an ONNX graph: what values are, and what nodes are called."""

import string
from collections import Counter
from dataclasses import dataclass

import numpy as np

from .. import layers
from ..data.span import BYTES
from ..data.transforms import Normalize
from ..errors import UserError
from ..graph import IMAGE, Graph
from .onnx_file import OnnxFile
from .pixels import as_prepared

WEIGHTED = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Value:
    """What a value of theirs is here.

    node: that gives it;  stage: how many layers with weights stand before it
    groups: as how many parts of an image, each one of its own, it was reshaped
    pixels: (shift, scale), of an image on which (pixels - shift) / scale has been worked out; each
            is no larger than the file's own numbers
    """

    node: str = IMAGE
    stage: int = 0
    tower: str = ""
    groups: int = 1
    pixels: tuple[np.ndarray, np.ndarray] | None = None


class Maker:
    """Our net in the making, node by node of theirs.

    values: by the names that they have in the file;  weights: by those of our parameters
    folded: bytes of constants that were worked out of others
    """

    def __init__(self, file: OnnxFile):
        self.file = file
        self.graph = Graph(file.input_shape, seed=None)
        one = np.ones((file.input_shape[0], 1, 1))
        self.values = {file.image: Value(pixels=(0 * one, one) if file.bytes else None)}
        self.weights: dict[str, np.ndarray] = {}
        self.folded = 0
        self._readers = Counter(name for node in file.nodes for name in node.input)
        self._readers[file.output] += 1
        self._stages = _stages(file)
        self._beside = Counter(self._stages[n.output[0]] for n in file.nodes if _is_weighted(n))
        self._letters = {stage: iter(string.ascii_lowercase) for stage in self._beside}
        self._pixels: Value | None = None

    def value(self, name: str) -> Value:
        """UserError if there is none, or it waits for the way back from a reshape."""
        if self.part(name).groups > 1:
            raise UserError(f"it reads {name}, parts of images that only an LRN may read")
        return self.values[name]

    def part(self, name: str) -> Value:
        """The same, of parts of images, too."""
        if name not in self.values:
            raise UserError(f"it reads {name}, which no node before it gives")
        return self.values[name]

    def shape(self, value: Value) -> tuple[int, ...]:
        return self.graph.input_shape if value.node == IMAGE else self.graph.nodes[value.node].shape

    def add(self, kind: str, layer: layers.Layer, *values: Value) -> Value:
        """A layer that reads them, called after its kind and stage."""
        towers = {value.tower for value in values}
        tower = min(towers) if len(towers) == 1 else ""
        return self._add(kind, layer, values, max(value.stage for value in values), tower)

    def add_weighted(self, kind: str, layer: layers.Layer, value: Value, **weights) -> Value:
        stage = value.stage + 1
        tower = next(self._letters[stage], "") if self._beside[stage] > 1 else ""
        if self._beside[stage] > len(string.ascii_lowercase):
            raise UserError(f"{self._beside[stage]} layers with weights stand beside each other")
        made = self._add(kind, layer, [value], stage, tower)
        self.weights |= {f"{made.node}.{name}": array for name, array in weights.items()}
        return made

    def _add(self, kind, layer, values, stage, tower) -> Value:
        for value in values:
            if value.node == IMAGE:
                self._expect_same_pixels(value)
        name, number = f"{kind}{stage}", 1
        while self._is_taken(name, tower):
            number += 1
            name = f"{kind}{stage}_{number}"
        self.graph.add(name, layer, tuple(v.node for v in values), tower)
        return Value(name + tower, stage, tower)

    def _is_taken(self, name: str, tower: str) -> bool:
        twins = [n.tower for n in self.graph.nodes.values() if n.joined_name == name]
        return tower in twins or "" in twins or (not tower and bool(twins))

    def read_once(self, value: Value) -> bool:
        """Does one node alone read it, by any of its names? Each further name has a reader."""
        names = [name for name, other in self.values.items() if other.node == value.node]
        return sum(self._readers[name] for name in names) == len(names)

    def _expect_same_pixels(self, value: Value) -> None:
        self._pixels = self._pixels or value
        if value.pixels is not self._pixels.pixels:
            raise UserError("it reads the image on another scale than a node before it")

    def normalize(self, sides: tuple[int, int] | None) -> Normalize | None:
        """The pixels that the net reads; None if the graph does nothing to them.

        sides: as_prepared's
        """
        if self._pixels is None or self._pixels.pixels is None:
            return None
        shift, scale = self._pixels.pixels
        mean = as_prepared(np.broadcast_to(shift, self.graph.input_shape), sides)
        return Normalize(mean, scale.ravel(), BYTES if self.file.bytes else None)


def _is_weighted(node) -> bool:
    return node.op_type in WEIGHTED


def _stages(file: OnnxFile) -> dict[str, int]:
    """For each value, how many layers with weights stand before it."""
    stages: dict[str, int] = {}
    for node in file.nodes:
        before = max((stages.get(name, 0) for name in node.input), default=0)
        for name in node.output:
            stages[name] = before + _is_weighted(node)
    return stages
