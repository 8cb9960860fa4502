"""Numbers and places in words."""

from .graph import Graph
from .workers import get_workers


def duration(seconds: float) -> str:
    """In the largest unit that there are two of."""
    for unit, length in ("days", 86400), ("hours", 3600), ("minutes", 60):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def place(net: Graph) -> str:
    """Where a net lives, and with how many threads it is computed."""
    devices = dict.fromkeys(str(d) for d in (net.device, *(n.device for n in net.nodes.values())))
    count = get_workers().threads
    threads = f"{count} thread{'s' * (count > 1)}"
    return threads if list(devices) == ["cpu:0"] else f"on {' and '.join(devices)}, {threads}"
