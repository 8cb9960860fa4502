"""A net as a picture, drawn from the graph itself: the paper's Figure 2.

A cell is a box, for a layer that matters, with slim lines for the small ones around it. Cells
stand in columns, one a tower or a device, and on levels, each below all that it reads. Under a
level run lanes, one for each value that crosses.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle
from matplotlib.path import Path

from ..graph import IMAGE, Graph, Node, expect_graph
from ..layers import (
    Concat,
    Conv2d,
    Copy,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Tanh,
    Upsample,
)
from ..layers.base import short
from ..summary import crossings
from .figure import COLOURS, DPI, Figure
from .text import fit, inches

SLIM = {  # what a slim line says of a layer; one of any other kind gets a box
    ReLU: lambda layer: "ReLU",
    Tanh: lambda layer: "tanh",
    LocalResponseNorm: lambda layer: "LRN" + _groups(layer),
    MaxPool2d: lambda layer: f"max-pool {short(layer.kernel_size)}/{short(layer.stride)}",
    Dropout: lambda layer: f"dropout {layer.p:g}",
    Flatten: lambda layer: "flatten",
    Concat: lambda layer: "concat",
    Upsample: lambda layer: f"enlarge {layer.scale_factor}×",
    Copy: lambda layer: f"copy to {layer.to}",
}
# Okabe and Ito's colours: what leaves each column; light shades of others for the boxes
LEAVING = tuple(COLOURS[name] for name in ("blue", "vermilion", "green", "purple"))
SHADES = {"convolution": "#C3E1F5", "fully connected": "#F8DDA0", "another layer": "#F0D5E4"}
FACES = ("0.97", "1", "0.8")  # of a solid: front, top, side
CLEAR = {"fc": "white", "ec": "none", "pad": 1}  # a text's ground, where lines may pass

LINE, SOLID, PAD = 0.165, 0.85, 0.1  # inches: a line in a box; texts start right of the solid


@dataclass(frozen=True)
class Sizes:
    """What a drawing is measured out by; the lower ones are heights."""

    unit: float  # of the small lengths, which look as they do in a figure of inches
    width: float  # of a column
    gutter: float  # between two
    margin: float  # around all
    head: float  # over all
    box: float
    strip: float  # a slim line
    gap: float  # between levels
    lane: float  # with words
    quiet_lane: float  # without

    def left(self, column: int) -> float:
        return self.margin + column * (self.width + self.gutter)

    def middle(self, column: int) -> float:
        return self.left(column) + self.width / 2

    def across(self, columns: int) -> float:
        return self.left(columns) - self.gutter + self.margin


INCHES = Sizes(1, 4.05, 1.75, 0.35, 0.55, 0.58, 0.21, 0.22, 0.38, 0.12)


@dataclass
class Band:
    """A part of a cell, as wide as that: the box, or a slim line if there are words."""

    node: Node  # the last that it tells of
    words: str = ""
    reshapes: bool = True

    @property
    def height(self) -> float:
        return INCHES.strip if self.words else INCHES.box


@dataclass
class Cell:
    """Nodes drawn together, from top to bottom: one box at most."""

    column: int
    nodes: list[Node] = field(default_factory=list)
    level: int = 0
    top: float = 0.0
    bottom: float = 0.0

    @property
    def main(self) -> Node:
        return next(filter(has_box, self.nodes), self.nodes[0])

    @cached_property
    def bands(self) -> list[Band]:
        bands, shape = [], None
        for node in self.nodes:
            if has_box(node):
                bands.append(Band(node))
            else:
                (words,) = says(node, {})
                last = bands[-1] if bands else Band(node)
                longer = f"{last.words} · {words}"
                fits = inches(longer + times(node.shape), 8.5) < INCHES.width - SOLID - 2 * PAD
                if last.words and not last.reshapes and fits:
                    words = longer
                    bands.pop()
                bands.append(Band(node, words, node.shape != shape))
            shape = node.shape
        return bands


@dataclass
class Edge:
    """What a cell reads of another. crossing: crossings' row of the Copy on the way."""

    source: Cell
    target: Cell
    shape: tuple[int, ...]
    crossing: dict | None
    lane: float = 0.0


def network(net: Graph) -> Figure:
    """The net's layers and what they give, its towers side by side, and what crosses.

    Layers with weights get a box, and so do those of kinds that are not of this package; the
    others a slim line below it. A coloured arrow is a Copy: it says what one image moves forward,
    and what of its gradient comes back, in float32.
    """
    expect_graph(net, "network")
    nodes = with_image(net)
    headings, cells, edges = arranged(net)
    bottom = set_heights(cells, edges, INCHES, _heights)
    notes = _notes(net, nodes)

    width = INCHES.across(len(headings))
    height = bottom + 0.55 + 0.2 * len(notes)
    # whatever rcParams say; the stubs have no "none"
    figure = Figure((width, height), DPI, layout="none")  # type: ignore[arg-type]
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for i, heading in enumerate(headings):
        look = {"ha": "center", "weight": "bold", "color": LEAVING[i % len(LEAVING)]}
        _write(axes, INCHES.middle(i), INCHES.head / 2, heading, 11, **look)
    for edge in edges:
        _draw_edge(axes, edge, cells)
    largest = max(max(node.shape[1:], default=1) for node in nodes.values())
    for cell in cells:
        _draw_cell(axes, cell, nodes, largest)
    kinds = {kind_of_box(cell.main) for cell in cells}
    for i, kind in enumerate(kind for kind in SHADES if kind in kinds):
        x = INCHES.margin + 1.35 * i
        _draw_shade(axes, x, bottom + 0.1, 0.2, 0.14, SHADES[kind])
        _write(axes, x + 0.27, bottom + 0.17, kind, 8.5)
    for i, note in enumerate(notes):
        _write(axes, INCHES.margin, bottom + 0.45 + 0.2 * i, note, 8.5)
    return figure


# ---- what stands where -------------------------------------------------------------------------


def with_image(net: Graph) -> dict[str, Node]:
    """The net's nodes, and before them its input as if that were one."""
    return {IMAGE: Node(IMAGE, Layer(), (), net.input_shape, net.device, "")} | net.nodes


def arranged(net: Graph) -> tuple[list[str], list[Cell], list[Edge]]:
    """The columns' headings, the cells, each in its column and on its level, and their edges."""
    nodes = with_image(net)
    places = _places(nodes)
    columns = sorted(dict.fromkeys(places.values()), key=lambda place: place[0])
    cells, edges = _cells(net, nodes, {name: columns.index(p) for name, p in places.items()})
    _set_levels(cells, edges)
    return [f"tower {t}, {device}" if t else device for t, device in columns], cells, edges


def _places(nodes: dict[str, Node]) -> dict[str, tuple[str, str]]:
    """Each node's (tower, device). A node without a tower stands with what it reads."""
    own = [(node.tower, str(node.device)) for node in nodes.values()]
    places: dict[str, tuple[str, str]] = {}
    for node, place in zip(nodes.values(), own, strict=True):
        near = [s for s in node.sources if not isinstance(nodes[s].layer, Copy)]
        if not node.tower and near and not isinstance(node.layer, Copy):
            place = places[near[0]]
        elif not node.tower:
            place = next((p for p in own if p[0] and p[1] == place[1]), place)
        places[node.name] = place
    return places


def _cells(net: Graph, nodes: dict[str, Node], column: dict[str, int]):
    """The nodes cut into cells, in the graph's order, and the edges between these."""
    readers: dict[str, list[Node]] = {name: [] for name in nodes}
    for node in nodes.values():
        for s in node.sources:
            readers[s].append(node)

    def is_arrow(name):
        """A Copy for one layer is but an arrow; any other has a slim line of its own."""
        kinds = [isinstance(node.layer, Copy) for node in (nodes[name], *readers[name])]
        return kinds == [True, False]

    rows = {row["edge"].split(" -> ")[1]: row for row in crossings(net)}
    cells, edges = [], []
    home: dict[str, Cell] = {}
    for node in nodes.values():
        if is_arrow(node.name):
            continue
        cell = home.get(node.sources[0]) if len(node.sources) == 1 else None
        if (
            cell is None
            or len(readers[node.sources[0]]) > 1
            or isinstance(node.layer, Copy)
            or cell.column != column[node.name]
            or (has_box(node) and has_box(cell.main))
        ):
            cell = Cell(column[node.name])
            cells.append(cell)
            for s in dict.fromkeys(node.sources):
                row = rows.get(s if is_arrow(s) else node.name)
                source = nodes[s].sources[0] if is_arrow(s) else s
                edges.append(Edge(home[source], cell, nodes[source].shape, row))
        cell.nodes.append(node)
        home[node.name] = cell
    return cells, edges


def _set_levels(cells: list[Cell], edges: list[Edge]) -> None:
    """Each cell below all that it reads, no two in one place, twins side by side."""
    for _ in cells:  # twins pull one another down; those in two orders would go on for ever
        before = [cell.level for cell in cells]
        for i, cell in enumerate(cells):
            above = [edge.source.level + 1 for edge in edges if edge.target is cell]
            twins = [other.level for other in cells if _are_twins(cell.main, other.main)]
            cell.level = max([cell.level, *above, *twins])
            taken = {other.level for other in cells[:i] if other.column == cell.column}
            while cell.level in taken:
                cell.level += 1
        if before == [cell.level for cell in cells]:
            break


def _are_twins(one: Node, other: Node) -> bool:
    """The same layer in two towers."""
    return bool(one.tower and other.tower) and one.joined_name == other.joined_name


def set_heights(
    cells: list[Cell],
    edges: list[Edge],
    sizes: Sizes,
    heights: Callable[[Cell], tuple[float, float]],
) -> float:
    """Boxes of a level at one height, its lanes below them; returns where the last level ends.

    heights: of what a cell has above its box's upper edge, and of the rest
    """
    y = sizes.head
    for level in sorted({cell.level for cell in cells}):
        here = {id(cell): heights(cell) for cell in cells if cell.level == level}
        edge_of_boxes = y + max(above for above, _ in here.values())
        for cell in (cell for cell in cells if cell.level == level):
            above, rest = here[id(cell)]
            cell.top, cell.bottom = edge_of_boxes - above, edge_of_boxes + rest
            y = max(y, cell.bottom)
        y += sizes.gap / 2
        for edge in (edge for edge in edges if edge.source.level == level):
            crosses = edge.source.column != edge.target.column
            lane = sizes.lane if edge.crossing else sizes.quiet_lane if crosses else 0
            edge.lane = y + lane / 2
            y += lane
        y += sizes.gap / 2
    return y


def route(edge: Edge, cells: list[Cell], sizes: Sizes) -> list[tuple[float, float]]:
    """From below a cell to above another; into its side if a third lies between."""
    source, target, lane, unit = edge.source, edge.target, edge.lane, sizes.unit
    between = range(source.level + 1, target.level)
    aside = any(cell.column == target.column and cell.level in between for cell in cells)
    away = unit * (0.1 + 0.08 * (source.level % 3))  # of the way round the third
    into = target.top + sizes.strip / 2
    if source.column == target.column and aside:
        x, start = sizes.left(source.column), source.bottom - sizes.strip / 2
        return [(x, start), (x - away, start), (x - away, into), (x, into)]
    if source.column == target.column:
        x = sizes.middle(source.column)
        return [(x, source.bottom), (x, target.top)]
    side = side_of(edge)
    x1 = sizes.middle(source.column) + side * (sizes.width / 2 - 0.25 * unit)
    x2 = sizes.middle(target.column) - side * sizes.width / 2  # the side that faces the source
    points = [(x1, source.bottom), (x1, lane)]
    if aside:
        return [*points, (x2 - away * side, lane), (x2 - away * side, into), (x2, into)]
    x2 += side * unit * (0.3 + 0.2 * abs(source.column - target.column))
    return [*points, (x2, lane), (x2, target.top)]


def side_of(edge: Edge) -> int:
    """Of its source: 1 the right, -1 the left, 0 neither."""
    return (edge.target.column > edge.source.column) - (edge.target.column < edge.source.column)


def label_of(edge: Edge, sizes: Sizes) -> float:
    """Where what crosses is told of: the middle of the gutter beside the source."""
    return sizes.middle(edge.source.column) + side_of(edge) * (sizes.width + sizes.gutter) / 2


def faces(x: float, y: float, shape: tuple, largest: int, unit: float) -> list[list[np.ndarray]]:
    """An output (C, H, W) as a solid around (x, y), y down: the corners of its front, top, side.

    Its maps go to the right (log), H up and W to the back (square roots).
    """
    channels, *sizes = (*shape, 1, 1, 1)[:3]
    up, back = (0.36 * unit * math.sqrt(size / largest) for size in sizes)
    right, back = 0.045 * unit * math.log2(channels + 1), 0.4 * back
    across, over, high = np.array([[right, 0], [back, -back], [0, -up]])
    start = (x, y) - (across + over + high) / 2  # the lower left corner
    return [
        [corner, corner + one, corner + one + other, corner + other]
        for corner, one, other in (
            (start, across, high),
            (start + high, across, over),
            (start + across, over, high),
        )
    ]


# ---- drawing -----------------------------------------------------------------------------------


def _heights(cell: Cell) -> tuple[float, float]:
    above = next((i for i, band in enumerate(cell.bands) if not band.words), 0)
    heights = [band.height for band in cell.bands]
    return sum(heights[:above]), sum(heights[above:])


def _draw_edge(axes: Axes, edge: Edge, cells: list[Cell]) -> None:
    source, lane, points = edge.source, edge.lane, route(edge, cells, INCHES)
    label, ha = label_of(edge, INCHES), "center"
    if not side_of(edge):
        label, ha = label + PAD, "left"
    color, lw = "0.45", 1.0
    if edge.crossing:
        color, lw = LEAVING[source.column % len(LEAVING)], 1.6
        there, back = (_bytes(edge.crossing[f"bytes_{to}"]) for to in ("forward", "backward"))
        for text, up in (f"{times(edge.shape)}, {there}", 0.09), (f"{back} back", -0.09):
            _write(axes, label, lane - up, text, 8, ha=ha, bbox=CLEAR)
    arrow = FancyArrowPatch(
        path=Path(points), arrowstyle="-|>", mutation_scale=10, color=color, lw=lw
    )
    axes.add_patch(arrow).set_zorder(0)


def _draw_cell(axes: Axes, cell: Cell, nodes: dict[str, Node], largest: int) -> None:
    left, y = INCHES.left(cell.column), cell.top
    x, right = left + SOLID, left + INCHES.width - PAD
    for band in cell.bands:
        middle, shape = y + band.height / 2, times(band.node.shape)
        if band.words:
            _draw_shade(axes, left, y, INCHES.width, band.height, "white")
            _write(axes, x, middle, band.words, 8.5, color="0.2")
            if band.reshapes:
                _write(axes, right, middle, shape, 8.5, color="0.2", ha="right")
        else:
            _draw_shade(
                axes, left, y, INCHES.width, band.height, SHADES.get(kind_of_box(band.node), "0.88")
            )
            solid = faces(left + SOLID / 2, middle, band.node.shape, largest, INCHES.unit)
            for face, shade in zip(solid, FACES, strict=True):
                axes.add_patch(Polygon(face, fc=shade, ec="0.3", lw=0.7, joinstyle="round"))
            lines = says(band.node, nodes)
            first = middle - LINE * len(lines) / 2
            _write(axes, right, first, shape, 9, weight="bold", ha="right")
            room = right - x - PAD - inches(shape, 9, "bold")
            _write(axes, x, first, fit(band.node.name, room, 10, "bold"), 10, weight="bold")
            for i, line in enumerate(lines, start=1):
                _write(axes, x, first + LINE * i, fit(line, right - x, 8.5), 8.5)
        y += band.height


def _draw_shade(axes: Axes, x: float, y: float, width: float, height: float, shade: str) -> None:
    axes.add_patch(Rectangle((x, y), width, height, fc=shade, ec="0.5", lw=0.8))


# ---- words -------------------------------------------------------------------------------------


def has_box(node: Node) -> bool:
    return type(node.layer) not in SLIM


def kind_of_box(node: Node) -> str:
    if node.name == IMAGE or not has_box(node):
        return ""
    if isinstance(node.layer, Conv2d):
        return "convolution"
    return "fully connected" if isinstance(node.layer, Linear) else "another layer"


def says(node: Node, nodes: dict[str, Node]) -> list[str]:
    """A line or two: what a layer does, and what that costs; nothing of the image."""
    layer = node.layer
    if node.name == IMAGE:
        return []
    if not has_box(node):
        return [SLIM[type(layer)](layer)]
    if isinstance(layer, Conv2d):
        number, *size = layer.params["weight"].data.shape
        stride = "" if layer.stride == (1, 1) else f", stride {short(layer.stride)}"
        does = f"kernels: {number} of {times(size)}{stride}{_groups(layer)}"
    elif isinstance(layer, Linear):
        does = f"units: {layer.out_features} of {layer.in_features} inputs"
    else:
        does = " ".join(repr(layer).split())
    parameters, products = _costs(node, nodes)
    if not parameters and not products:
        return [does]
    return [does, f"{_short(parameters)} parameters, {_short(products)} multiply-adds"]


def _notes(net: Graph, nodes: dict[str, Node]) -> list[str]:
    costs = [_costs(node, nodes) for node in nodes.values()]
    parameters, products = (sum(column) for column in zip(*costs, strict=True))
    notes = [
        "solids: outputs, their maps (log) × height × width (square roots)",
        f"{parameters:,} parameters, {products:,} multiply-adds an image",
    ]
    totals = {"maps in all": [0, 0], "the image itself": [0, 0]}
    for row in crossings(net):
        whole = row["edge"].startswith(f"{IMAGE} ->")
        total = totals["the image itself" if whole else "maps in all"]
        total[0] += row["bytes_forward"]
        total[1] += row["bytes_backward"]
    if any(map(any, totals.values())):
        notes.append("coloured arrows: Copy layers, for one image in float32")
    for kind, (there, back) in totals.items():
        if there:
            notes.append(f"{kind}: {_bytes(there)} forward, {_bytes(back)} back")
    return notes


def _costs(node: Node, nodes: dict[str, Node]) -> tuple[int, int]:
    """Parameters, and multiply-adds for one image."""
    products = node.layer.multiply_adds(*(nodes[s].shape for s in node.sources))
    return sum(p.data.size for p in node.layer.params.values()), products


def _groups(layer: Conv2d | LocalResponseNorm) -> str:
    return f", {layer.groups} groups" if layer.groups > 1 else ""


def times(shape: tuple) -> str:
    return "×".join(map(str, shape))


def _bytes(count: int) -> str:
    return f"{count:,} bytes" if count else "nothing"


def _short(count: int) -> str:
    """52707600 -> 52.7 M; up to a million in full."""
    return f"{count:,}" if count < 1e6 else f"{count / 1e6:,.3g} M"


def _write(axes: Axes, x: float, y: float, text: str, size: float, **look) -> None:
    axes.text(x, y, text, size=size, va="center", parse_math=False, **look)
