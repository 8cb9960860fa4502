"""What the page shows of a net's layers: numbers for its script, words for its template."""

import numpy as np

from ..device import Device
from ..graph import IMAGE, Graph, Node
from ..layers import (
    Concat,
    Conv2d,
    Copy,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Tanh,
    Upsample,
)
from ..viz.graph import says, times, with_image
from .fields import Fields, fields
from .packed import exact, float32, packed

KEPT = 12  # kernels of a convolution behind the first
NOTES = {
    Conv2d: "Each map is a kernel's answer at every place where it can be laid.",
    ReLU: "What was negative is 0 here: there the map is silent.",
    LocalResponseNorm: "Each value is divided by a power of its neighbours' squares, those of the"
    " maps beside it at the same place. Left before, right after, on one scale.",
    MaxPool2d: "Each place holds the largest value of its window.",
    Flatten: "The same numbers in one row.",
    Linear: "Each unit is a weighted sum of all that it reads.",
    Concat: "All that it reads, one after the other.",
    Upsample: "Each value, repeated in a square.",
}
ONE_TO_ONE = (ReLU, Tanh, LocalResponseNorm, MaxPool2d, Copy, Upsample)  # map k is of map k


def numbers(values: np.ndarray, seen: Fields) -> dict:
    """Maps (C, H, W), or units (n,), float32, as the script reads them.

    order: the maps by the largest sizes of their values, the largest first
    rows, columns: what of the image each row and column of places sees
    """
    maps = values if values.ndim == 3 else values[None, None]
    return packed(maps) | {
        "shape": values.shape,
        "order": np.argsort(-np.abs(maps).max(axis=(1, 2)), kind="stable").tolist(),
        "peak": float32(np.abs(maps).max()),
        "signed": bool((maps < 0).any()),
        "rows": seen.rows,
        "columns": seen.columns,
    }


def layers(net: Graph, values: dict[str, np.ndarray], names: list[str]) -> dict[str, dict]:
    """`numbers` of the layers that have these names.

    beside: the layer whose values are shown next to LRN's and dropout's, which changed them
    kernels: the convolution whose kernels made the maps
    """
    seen, made, found = fields(net), makers(net), {}
    for name in names:
        found[name] = numbers(values[name], seen[name])
        maker = made.get(name)
        found[name]["kernels"] = None if maker == IMAGE else maker
        found[name]["beside"] = None
        if name != IMAGE and isinstance(net[name], LocalResponseNorm | Dropout):
            (before,) = net.nodes[name].sources
            while before not in names:  # a Copy that is an arrow
                (before,) = net.nodes[before].sources
            found[name]["beside"] = before
    return found


def makers(net: Graph) -> dict[str, str]:
    """Of each node whose map k is what kernel k found, the convolution; of the image's own, it."""
    made = {IMAGE: IMAGE}
    for node in net.nodes.values():
        if isinstance(node.layer, Conv2d):
            made[node.name] = node.name
        elif isinstance(node.layer, ONE_TO_ONE) and node.sources[0] in made:
            made[node.name] = made[node.sources[0]]
    return made


def kernels(net: Graph, name: str, order: list[int]) -> dict:
    """A convolution's kernels: shape (kernels, slices, kh, kw), a slice for a map that it reads.

    Kernels on an image's colours are all there, and exact; of others those of the KEPT first maps
    in `order`. which: the kernels that are there;  alike: so many beside one another, a group, read
    the same maps
    """
    weight = Device("cpu").array(net[name].params["weight"].data)
    number, slices = weight.shape[:2]
    (source,) = net.nodes[name].sources
    on_image = makers(net).get(source) == IMAGE
    colours = on_image and slices == net.input_shape[0]
    which = list(range(number)) if colours else order[:KEPT]
    kept = weight[which]
    return ({"floats": exact(kept)} if colours else packed(kept)) | {
        "shape": kept.shape,
        "peak": float32(np.abs(weight).max()),
        "colours": colours,
        "which": which,
        "alike": number * slices // with_image(net)[source].shape[0],
    }


def section(net: Graph, name: str, value: np.ndarray) -> dict:
    """A layer in words."""
    node = with_image(net)[name]
    return {
        "name": name,
        "device": str(node.device),
        "shape": times(node.shape),
        "layer": "" if name == IMAGE else repr(node.layer),
        "says": says(node, with_image(net)),
        "note": _note(node),
        "low": float(value.min()),
        "high": float(value.max()),
        "silent": float((value == 0).mean()),
    }


def _note(node: Node) -> str:
    layer = node.layer
    if node.name == IMAGE:
        return "What the net reads: the photograph's pixels, normalised as in its training."
    if isinstance(layer, Dropout):
        training = f"In training each unit is silent with probability {layer.p:g}"
        if layer.rescale == "train":
            return f"{training}, and the others are divided by {1 - layer.p:g}; here all speak."
        return (
            f"{training}; here all speak, each multiplied by {1 - layer.p:g}: before and after, on"
            " one scale."
        )
    return next((note for kind, note in NOTES.items() if isinstance(layer, kind)), "")
