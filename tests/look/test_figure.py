"""The drawing's geometry: nothing overlaps, arrows join what reads what, crossings are told."""

import re

import pytest

from minitorch_alexnet.graph import IMAGE, Graph
from minitorch_alexnet.layers import Concat, Conv2d, Copy, ReLU
from minitorch_alexnet.look.figure import figure
from minitorch_alexnet.models import MODELS, build
from minitorch_alexnet.summary import crossings


def skipping():
    """What reads an early layer past a later one."""
    net = Graph((1, 9, 9))
    net.add("conv1", Conv2d(1, 2, 3, padding=1))
    net.add("conv2", Conv2d(2, 3, 3, padding=1))
    net.add("both", Concat(), ("conv2", "conv1"))
    net.add("relu", ReLU())
    return net


NETS = {name: lambda name=name: build(name, seed=None) for name in MODELS} | {
    "one device": lambda: build("alexnet", seed=None, devices="cpu"),
    "skipping": skipping,
}


@pytest.fixture(params=NETS.values(), ids=NETS)
def drawn(request):
    net = request.param()
    return net, figure(net)


def test_all_but_arrows_have_a_row(drawn):
    net, drawing = drawn
    missing = {IMAGE, *net.nodes} - set(drawing.names)
    assert all(isinstance(net[name], Copy) for name in missing)
    assert len(set(drawing.names)) == len(drawing.names)


def test_rows_lie_in_the_picture_and_not_on_one_another(drawn):
    _, drawing = drawn
    for row in drawing.rows:
        assert 0 <= row.x < row.x + row.width <= drawing.width
        assert 0 <= row.y < row.y + row.height <= drawing.height
        for other in drawing.rows:
            apart = row.y + row.height <= other.y or other.y + other.height <= row.y
            assert other is row or other.x != row.x or apart


def test_towers_stand_side_by_side():
    net = build("alexnet", seed=None)
    drawing = figure(net)
    assert drawing.headings == ["tower a, cpu:0", "tower b, cpu:1"]
    places = {row.name: (row.column, row.y) for row in drawing.rows}
    for name, (column, y) in places.items():
        if name[:-1] + "b" in places and name.endswith("a"):
            assert (column, places[name[:-1] + "b"]) == (0, (1, y))


def ends(arrow):
    """Where an arrow starts and where it ends."""
    points = re.findall(r"(-?[\d.]+) (-?[\d.]+)", arrow.path)
    return [tuple(map(float, point)) for point in (points[0], points[-1])]


def touches(row, point):
    x, y = point
    return row.x <= x <= row.x + row.width and row.y <= y <= row.y + row.height


def test_arrows_join_what_reads_what(drawn):
    net, drawing = drawn
    rows = {row.name: row for row in drawing.rows}
    joined = []
    for arrow in drawing.arrows:
        start, end = ends(arrow)
        joined.append(
            (
                {n for n, row in rows.items() if touches(row, start)},
                {n for n, row in rows.items() if touches(row, end)},
            )
        )
    for node in net.nodes.values():
        if node.name not in rows:
            continue
        for s in node.sources:
            while s not in rows:
                (s,) = net.nodes[s].sources
            adjoining = (
                rows[s].x == rows[node.name].x and rows[s].y + rows[s].height == rows[node.name].y
            )
            assert adjoining or any(s in one and node.name in other for one, other in joined), (
                node.name
            )


def test_arrows_say_what_crosses():
    net = build("alexnet", seed=None)
    told = {arrow.title.split(":")[0]: arrow for arrow in figure(net).arrows if arrow.title}
    rows = {row["edge"]: row for row in crossings(net)}
    assert told.keys() == rows.keys()
    for edge, row in rows.items():
        there, back = told[edge].labels
        assert there == f"{row['bytes_forward']:,} B"
        assert back == (f"{row['bytes_backward']:,} B back" if row["bytes_backward"] else "")
