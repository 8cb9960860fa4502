"""An ONNX graph of AlexNet's kind as a Graph of ours.

Nodes are called as in models/: conv1, relu1, norm1, pool1, conv2, …, fc8, by how many layers with
weights stand before them; where several stand beside each other they are towers, a, b, ….
"""

import math
from pathlib import Path

from ..data.transforms import Normalize
from ..described import MOST_VALUES, expect_modest
from ..errors import CheckpointError, UserError
from ..files import MAKER, parse_json
from ..graph import Graph
from ..run import check_images
from .names import load_weights
from .onnx_constants import fold
from .onnx_file import OnnxFile
from .onnx_maker import Maker
from .onnx_nodes import READERS, Said


def read_onnx(path: Path) -> tuple[Graph, Normalize | None, dict]:
    """The net with its weights; its pixels, if the file says them; what a file of ours tells.

    Softmax, at the end, is left out: a net gives logits. Dropout stays, for whoever trains on.
    Raises CheckpointError, naming the node, on what a Graph cannot be.
    """
    file = OnnxFile(path)
    if math.prod(file.input_shape) > MOST_VALUES:
        raise CheckpointError(f"its images of {file.input_shape} are too large")
    made = Maker(file)
    for number, node in enumerate(file.nodes):
        _read(made, node, number)
    net = made.graph
    if file.output not in made.values or made.values[file.output].node != net.last.name:
        raise CheckpointError(f"its output {file.output} is not what its last layer gives")
    expect_modest(net)
    load_weights(net, net.join(made.weights))
    said = {entry.key: entry.value for entry in file.model.metadata_props}
    told = parse_json(said[MAKER]) if MAKER in said else {}
    return net, made.normalize(_sides(net, told)), told


def _sides(net: Graph, told: dict) -> tuple[int, int] | None:
    """The photographs' height and width, of whose middle the net reads."""
    if not told:
        return None
    height, width = told["sides"]
    if type(height) is not int or type(width) is not int:
        raise CheckpointError("the sides of its photographs must be whole numbers")
    check_images(net, (net.input_shape[0], height, width))
    return height, width


def _read(made: Maker, node, number: int) -> None:
    """One node more. Its errors get its name."""
    try:
        if node.output[0] in made.values or made.file.is_constant(node.output[0]):
            raise UserError(f"it gives {node.output[0]}, which there is already")
        ours = node.domain in ("", "ai.onnx")
        if ours and fold(made, node):
            return
        read = READERS.get(node.op_type) if ours else None
        if not read:
            raise UserError(f"there is no such layer here, but {', '.join(READERS)}")
        said = Said(made.file, node)
        value = read(made, node, said)
        said.expect_read()
    except UserError as error:
        name = f"node {node.name or number} ({node.op_type})"
        raise CheckpointError(f"{name}: {error}") from None
    made.values[node.output[0]] = value
