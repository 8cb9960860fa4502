"""Receptive fields: which pixels a value of a net depends on.

Each way, down and across, a place of a map sees the pixels from a first to a last. A window sees
from the first of its first place to the last of its last; what lies in the padding is no pixel.
"""

from dataclasses import dataclass

from ..graph import IMAGE, Graph, Node
from ..layers import (
    Concat,
    Conv2d,
    Copy,
    Dropout,
    Flatten,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Tanh,
    Upsample,
)

Pixels = tuple[int, int]  # the first and the last, both of them seen; none if last < first
PLACE_BY_PLACE = (ReLU, Tanh, LocalResponseNorm, Dropout, Copy, Flatten)


@dataclass(frozen=True)
class Fields:
    """What the places of a map see: of each row of places the rows of pixels; likewise columns.

    A flattened map keeps its places; after a Linear there is one, which sees all.
    """

    rows: tuple[Pixels, ...]
    columns: tuple[Pixels, ...]


def fields(net: Graph) -> dict[str, Fields]:
    """By the nodes' names, and "image". Of a layer of another kind all is seen everywhere."""
    _, height, width = net.input_shape
    each = [tuple((i, i) for i in range(size)) for size in (height, width)]
    found = {IMAGE: Fields(*each)}
    for node in net.nodes.values():
        found[node.name] = _of(node, [found[s] for s in node.sources], (height, width))
    return found


def _of(node: Node, sources: list[Fields], size: tuple[int, int]) -> Fields:
    layer, axes = node.layer, [(s.rows, s.columns) for s in sources]
    if isinstance(layer, PLACE_BY_PLACE):
        return sources[0]
    if (
        isinstance(layer, Concat)
        and len({(len(rows), len(columns)) for rows, columns in axes}) == 1
    ):
        rows, columns = (tuple(map(_union, *alike)) for alike in zip(*axes, strict=True))
        return Fields(rows, columns)
    places = node.shape[1:] if len(node.shape) == 3 else (1, 1)
    if isinstance(layer, Conv2d | MaxPool2d):
        windows = zip(layer.kernel_size, layer.stride, layer.padding, strict=True)
        return Fields(*map(_windows, axes[0], places, windows))
    if isinstance(layer, Upsample):
        rows, columns = (
            tuple(pixels for pixels in seen for _ in range(layer.scale_factor)) for seen in axes[0]
        )
        return Fields(rows, columns)
    rows, columns = (count * ((0, length - 1),) for count, length in zip(places, size, strict=True))
    return Fields(rows, columns)


def _windows(seen: tuple[Pixels, ...], count: int, window: tuple) -> tuple[Pixels, ...]:
    """What so many windows (kernel, stride, padding) see, of places that see `seen`."""
    kernel, stride, (before, _) = window
    starts = [stride * i - before for i in range(count)]
    return tuple(_union(*seen[max(0, start) : max(0, start + kernel)]) for start in starts)


def _union(*seen: Pixels) -> Pixels:
    some = [(first, last) for first, last in seen if first <= last]
    return min((first for first, _ in some), default=0), max((last for _, last in some), default=-1)
