"""What a net is made of, in words, and the net that such words make."""

import ast
import math
import warnings

from . import layers
from .device import Device
from .errors import CheckpointError, ShapeError
from .graph import Graph
from .layers import Copy

LONGEST = 200  # letters of a layer's words
MOST_NODES = 1000
MOST_VALUES, MOST_PRODUCTS = 2 * 10**7, 10**11  # of an image: the paper's net has a hundredth


def in_words(net: Graph) -> list[list[str]]:
    """The layers, each with its node's name, on whatever devices."""
    return [
        [name, "Copy" if isinstance(node.layer, Copy) else repr(node.layer)]
        for name, node in net.nodes.items()
    ]


def wiring(net: Graph) -> dict | None:
    """The rest: the input's shape, and each node's tower and what it reads.

    None if it has a layer of one's own, or a derived one: such have formulas of their own.
    """
    if not all(type(n.layer).__module__.startswith(layers.__name__) for n in net.nodes.values()):
        return None
    nodes = {node.name: [node.tower, *node.sources] for node in net.nodes.values()}
    return {"input_shape": net.input_shape, "nodes": nodes}


def from_words(words: list, wires: dict, device: str = "") -> Graph:
    """The net of in_words and wiring on one device, whose weights are yet to be loaded.

    Raises CheckpointError where they tell of none.
    """
    if len(words) > MOST_NODES:
        raise CheckpointError(f"it has more than {MOST_NODES} layers")
    place = Device(device or "cpu")
    net = Graph(tuple(wires["input_shape"]), place, seed=None)
    for name, layer in words:
        tower, *sources = wires["nodes"][name]
        net.add(name.removesuffix(tower), _layer(layer, place), sources, tower)
    expect_modest(net)
    return net


def _layer(words: str, place: Device) -> layers.Layer:
    """What a layer's repr says, read as numbers and names alone."""
    if words == "Copy":
        return Copy(to=place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's, on how strangers write numbers
            call = ast.parse(words[:LONGEST], mode="eval").body
        name = call.func.id  # type: ignore[attr-defined]
        arguments = [ast.literal_eval(value) for value in call.args]  # type: ignore[attr-defined]
        options = {o.arg: ast.literal_eval(o.value) for o in call.keywords}  # type: ignore[attr-defined]
        if name not in layers.__all__ or layers.Layer not in getattr(layers, name).__bases__:
            raise ValueError("it is none of the package's layers")
        return getattr(layers, name)(*arguments, **options)
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{words[:LONGEST]!r} is no layer: {error}") from None


def expect_modest(net: Graph) -> None:
    """ShapeError if a stranger's net would take the memory, or the time, of a hundred AlexNets."""
    for node in net.nodes.values():
        if math.prod(node.shape) > MOST_VALUES:
            raise ShapeError(f"{node.name}: an output of {node.shape} is too large")
    if sum(net.multiply_adds().values()) > MOST_PRODUCTS:
        raise ShapeError("its layers take too many multiplications")
