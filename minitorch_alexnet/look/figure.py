"""The net as Figure 2 draws it, measured out for a page: narrow enough for a telephone.

viz/graph.py says what stands in which column and on which level; here a layer is a row of its own
to point at, and what it does is told where it opens.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from ..graph import Graph, Node
from ..summary import crossings
from ..viz.graph import (
    Cell,
    Edge,
    Sizes,
    arranged,
    faces,
    has_box,
    kind_of_box,
    label_of,
    route,
    says,
    set_heights,
    times,
    with_image,
)
from ..viz.text import fit, inches

PIXELS = Sizes(45, 150, 66, 12, 24, 40, 20, 16, 32, 8)
SOLID, PAD = 38, 6  # of a box, what a layer's output takes, drawn as a solid; around words
NAME, SMALL = 13, 11.5  # letters, as page.css has them


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
    width: ClassVar[float] = PIXELS.width

    @property
    def left(self) -> float:
        """Where its name begins: in a box right of the solid."""
        return self.x + (SOLID + PAD if self.faces else PAD)

    @property
    def label(self) -> str:
        """As much of its name as there is room for beside the words."""
        room, size = self.right - self.left, SMALL if self.words else NAME
        if self.words:
            room -= PAD + 72 * inches(self.words, SMALL)  # a letter's size is in points
        return fit(self.name, room / 72, size, "bold")

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
        return PIXELS.middle(column)


def figure(net: Graph) -> Figure:
    """A net's drawing: its rows in the graph's order."""
    nodes = with_image(net)
    headings, cells, edges = arranged(net)
    bottom = set_heights(cells, edges, PIXELS, _heights)
    drawn = Figure(PIXELS.across(len(headings)), bottom, headings)
    largest = max(max(node.shape[1:], default=1) for node in nodes.values())
    for cell in cells:
        y = cell.top
        for node in cell.nodes:
            drawn.rows.append(_row(node, cell.column, y, nodes, largest))
            y += _height(node)
    order = list(nodes)
    drawn.rows.sort(key=lambda row: order.index(row.name))
    drawn.arrows = [_arrow(edge, cells) for edge in edges]
    return drawn


def crossing_rows(net: Graph) -> list[dict]:
    """summary.crossings, without those within one device."""
    return [row for row in crossings(net) if len(set(row["devices"].split(" -> "))) > 1]


def _height(node: Node) -> float:
    return PIXELS.box if has_box(node) else PIXELS.strip


def _heights(cell: Cell) -> tuple[float, float]:
    main = cell.nodes.index(cell.main)
    above, rest = cell.nodes[:main], cell.nodes[main:]
    return sum(map(_height, above)), sum(map(_height, rest))


def _row(node: Node, column: int, y: float, nodes: dict[str, Node], largest: int) -> Row:
    x, height = PIXELS.left(column), _height(node)
    kind, shape = kind_of_box(node), times(node.shape)
    if not has_box(node):
        return Row(node.name, x, y, height, kind, says(node, nodes)[0], shape, column)
    solid = faces(x + SOLID / 2, y + height / 2, node.shape, largest, PIXELS.unit)
    points = (" ".join(f"{x:.1f},{y:.1f}" for x, y in face) for face in solid)
    return Row(node.name, x, y, height, kind, "", shape, column, tuple(points))


def _arrow(edge: Edge, cells: list[Cell]) -> Arrow:
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in route(edge, cells, PIXELS))
    if not edge.crossing:
        return Arrow(path, edge.source.column)
    there, back = edge.crossing["bytes_forward"], edge.crossing["bytes_backward"]
    title = (
        f"{edge.crossing['edge']}: {times(edge.shape)}, {there:,} bytes forward and"
        f" {back:,} bytes of gradient back, for one image in training"
    )
    labels = (f"{there:,} B", f"{back:,} B back" if back else "")
    return Arrow(path, edge.source.column, label_of(edge, PIXELS), edge.lane, labels, title)
