"""The net as Figure 2 draws it, measured out for a page: narrow enough for a telephone.

viz/graph.py says what stands in which column and on which level; here a layer is a row of its own
to point at, and what it does is told where it opens.
"""

import math
from dataclasses import dataclass, field

from ..graph import Graph, Node
from ..summary import crossings
from ..viz.graph import Cell, Edge, arranged, has_box, kind_of_box, says, with_image

# Picture elements: of a column, between two, around all, over all; then the heights of a box, of a
# slim row, of what parts two levels, of a lane with words and of one without
WIDTH, GUTTER, MARGIN, HEAD = 150, 66, 12, 24
BOX, STRIP, GAP, LANE, QUIET_LANE = 40, 20, 16, 32, 8
SOLID, PAD = 38, 6  # of a box, what a layer's output takes, drawn as a solid; around words


@dataclass(frozen=True)
class Row:
    """A layer: a box if it matters, or a slim line. faces: of its solid, front, top and side."""

    name: str
    x: float
    y: float
    height: float
    kind: str
    words: str
    shape: str
    column: int
    faces: tuple[str, ...] = ()
    width: float = WIDTH

    @property
    def left(self) -> float:
        """Where its name begins: in a box right of the solid."""
        return self.x + (SOLID + PAD if self.faces else PAD)

    @property
    def right(self) -> float:
        """Where a slim row's words end."""
        return self.x + self.width - PAD


@dataclass(frozen=True)
class Arrow:
    """What one cell reads of another. labels: on the lane and under it, where data crosses."""

    path: str
    column: int
    x: float = 0
    y: float = 0
    labels: tuple[str, ...] = ()
    title: str = ""


@dataclass
class Figure:
    """All of it; headings: of the columns, towers or devices."""

    width: float
    height: float
    headings: list[str]
    rows: list[Row] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Of the layers that can be opened: all but the Copies that are arrows."""
        return [row.name for row in self.rows]

    def middle(self, column: int) -> float:
        return _left(column) + WIDTH / 2


def figure(net: Graph) -> Figure:
    """A net's drawing: its rows in the graph's order."""
    nodes = with_image(net)
    headings, cells, edges = arranged(net)
    tops, lanes, bottom = _heights(cells, edges)
    drawn = Figure(2 * MARGIN + len(headings) * (WIDTH + GUTTER) - GUTTER, bottom, headings)
    largest = max(max(node.shape[1:], default=1) for node in nodes.values())
    for cell in cells:
        y = tops[id(cell)]
        for node in cell.nodes:
            drawn.rows.append(_row(node, cell.column, y, nodes, largest))
            y += _height(node)
    order = list(nodes)
    drawn.rows.sort(key=lambda row: order.index(row.name))
    drawn.arrows = [_arrow(edge, cells, tops, lanes[id(edge)]) for edge in edges]
    return drawn


def crossing_rows(net: Graph) -> list[dict]:
    """summary.crossings, without those within one device."""
    return [row for row in crossings(net) if len(set(row["devices"].split(" -> "))) > 1]


def times(shape: tuple) -> str:
    return "×".join(map(str, shape))


def _left(column: int) -> float:
    return MARGIN + column * (WIDTH + GUTTER)


def _height(node: Node) -> float:
    return BOX if has_box(node) else STRIP


def _total(nodes: list[Node]) -> float:
    return sum(map(_height, nodes))


def _heights(cells: list[Cell], edges: list[Edge]) -> tuple[dict, dict, float]:
    """The cells' tops and the edges' lanes, by id, and where all ends."""
    tops, lanes, y = {}, {}, float(HEAD)
    for level in sorted({cell.level for cell in cells}):
        here = [cell for cell in cells if cell.level == level]
        above = {id(cell): _total(cell.nodes[: cell.nodes.index(cell.main)]) for cell in here}
        boxes = y + max(above.values())  # at one height
        for cell in here:
            tops[id(cell)] = boxes - above[id(cell)]
        y = max(tops[id(cell)] + _total(cell.nodes) for cell in here) + GAP / 2
        for edge in (edge for edge in edges if edge.source.level == level):
            crosses = edge.source.column != edge.target.column
            lane = LANE if edge.crossing else QUIET_LANE if crosses else 0
            lanes[id(edge)] = y + lane / 2
            y += lane
        y += GAP / 2
    return tops, lanes, y


def _row(node: Node, column: int, y: float, nodes: dict[str, Node], largest: int) -> Row:
    x, height, kind, shape = _left(column), _height(node), kind_of_box(node), times(node.shape)
    if not has_box(node):
        return Row(node.name, x, y, height, kind, says(node, nodes)[0], shape, column)
    faces = _solid(x + SOLID / 2, y + height / 2, node.shape, largest)
    return Row(node.name, x, y, height, kind, "", shape, column, faces)


def _solid(x: float, y: float, shape: tuple, largest: int) -> tuple[str, ...]:
    """An output (C, H, W): its maps to the right (log), H up and W to the back (square roots)."""
    channels, *sizes = (*shape, 1, 1, 1)[:3]
    up, back = (24 * math.sqrt(size / largest) for size in sizes)
    right, back = 2.0 * math.log2(channels + 1), 0.3 * back
    x, y = x - (right + back) / 2, y + (up + back) / 2  # the lower left corner
    front = [(0, 0), (right, 0), (right, -up), (0, -up)]
    top = [(0, -up), (right, -up), (right + back, -up - back), (back, -up - back)]
    side = [(right, 0), (right + back, -back), (right + back, -up - back), (right, -up)]
    return tuple(
        " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in face) for face in (front, top, side)
    )


def _arrow(edge: Edge, cells: list[Cell], tops: dict, lane: float) -> Arrow:
    """From below a cell to above another; into its side if a third lies between."""
    source, target = edge.source, edge.target
    start, end = tops[id(source)] + _total(source.nodes), tops[id(target)]
    between = range(source.level + 1, target.level)
    aside = any(cell.column == target.column and cell.level in between for cell in cells)
    away, into = 3 + 4 * (source.level % 3), end + STRIP / 2
    if source.column == target.column:
        x = _left(source.column)
        points = [(x + WIDTH / 2, start), (x + WIDTH / 2, end)]
        if aside:
            points = [(x, start - 10), (x - away, start - 10), (x - away, into), (x, into)]
        return Arrow(_path(points), source.column)
    side = 1 if source.column < target.column else -1
    x1 = _left(source.column) + WIDTH * (1 + side) / 2  # the sides that face each other
    x2 = _left(target.column) + WIDTH * (1 - side) / 2
    points = [(x1 - 14 * side, start), (x1 - 14 * side, lane)]
    if aside:
        points += [(x2 - away * side, lane), (x2 - away * side, into), (x2, into)]
    else:
        points += [(x2 + 24 * side, lane), (x2 + 24 * side, end)]
    if not edge.crossing:
        return Arrow(_path(points), source.column)
    there, back = edge.crossing["bytes_forward"], edge.crossing["bytes_backward"]
    title = (
        f"{edge.crossing['edge']}: {times(edge.shape)}, {there:,} bytes forward and"
        f" {back:,} bytes of gradient back, for one image in training"
    )
    labels = (f"{there:,} B", f"{back:,} B back" if back else "")
    return Arrow(_path(points), source.column, x1 + side * GUTTER / 2, lane, labels, title)


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
