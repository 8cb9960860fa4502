"""A net in numbers: its table, and what crosses between its devices."""

import math

from .graph import IMAGE, Graph, expect_graph
from .layers import Copy
from .workers import get_workers


def crossings(net: Graph, itemsize: int = 4) -> list[dict]:
    """What one image moves in a training step: a row a Copy, with its edge and its bytes.

    itemsize: bytes a number, 4 for float32. Nothing comes back to a source behind which nothing
    learns, such as the image.
    """
    rows, learns = [], net.learning_nodes()
    for node in net.nodes.values():
        if isinstance(node.layer, Copy):
            (source,), size = node.sources, itemsize * math.prod(node.shape)
            device = net.device if source == IMAGE else net.nodes[source].device
            rows.append(
                {
                    "edge": f"{source} -> {node.name}",
                    "devices": f"{device} -> {node.device}",
                    "bytes_forward": size,
                    "bytes_backward": size if source in learns else 0,
                }
            )
    return rows


def ledger(net: Graph, itemsize: int | None = None) -> list[dict]:
    """What has crossed so far: `crossings` times the images that the net has seen.

    itemsize: bytes a number; default: a parameter's
    """
    sizes = [p.data.itemsize for p in net.named_parameters().values()]
    itemsize, seen = itemsize or max(sizes, default=4), net.images_seen
    return [
        row | {f"bytes_{way}": row[f"bytes_{way}"] * seen[way] for way in ("forward", "backward")}
        for row in crossings(net, itemsize)
    ]


def summary(net: Graph) -> str:
    """A table: node, layer, output shape, parameters, multiply-adds an image, device.

    With Copies in the net, a second one: what crosses, in bytes an image.
    """
    expect_graph(net, "summary")
    rows: list[tuple[str, ...]] = [
        ("node", "layer", "output", "parameters", "multiply-adds", "device"),
        (IMAGE, "", _times(net.input_shape), "", "", str(net.device)),
    ]
    totals, products = [0, 0], net.multiply_adds()
    for node in net.nodes.values():
        counts = sum(p.data.size for p in node.layer.params.values()), products[node.name]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        numbers = (f"{count:,}" if count else "" for count in counts)
        rows.append((node.name, repr(node.layer), _times(node.shape), *numbers, str(node.device)))
    rows.append(("total", "", "", *(f"{total:,}" for total in totals), ""))
    return _table(rows) + _crossings_table(net)


def _crossings_table(net: Graph) -> str:
    """ "" of a net without Copies. Those within one device move nothing between devices."""
    copies = crossings(net)
    between = [row for row in copies if len(set(row["devices"].split(" -> "))) > 1]
    if copies and not between:
        return f"\n\nNothing crosses: all is on {net.device}."
    kinds: dict[str, list] = {"the image": [0, 0], "the maps": [0, 0]}
    rows = [("bytes an image, float32", "devices", "", "forward", "backward")]
    for edge, devices, *sizes in map(dict.values, between):
        rows.append((edge, devices, "", *(f"{size:,}" for size in sizes)))
        kind = "the image" if edge.startswith(f"{IMAGE} ->") else "the maps"
        kinds[kind] = [a + b for a, b in zip(kinds[kind], sizes, strict=True)]
    totals = [
        (f"total of {kind}", "", "", *(f"{size:,}" for size in sizes))
        for kind, sizes in kinds.items()
    ]
    return "\n\n" + _table(rows + totals) if len(rows) > 1 else ""


def _table(rows) -> str:
    """Rows of words as lines; the fourth and fifth columns hold numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in (3, 4) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _times(shape):
    return "×".join(map(str, shape))


def place(net: Graph) -> str:
    """Where a net lives, and with how many threads it is computed."""
    devices = list(map(str, net.devices))
    count = get_workers().threads
    threads = f"{count} thread{'s' * (count > 1)}"
    return threads if devices == ["cpu:0"] else f"on {' and '.join(devices)}, {threads}"
