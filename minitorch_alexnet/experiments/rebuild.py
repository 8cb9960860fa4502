"""The other arms of an experiment: a net with one thing changed."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

from ..graph import Graph, Node
from ..init import STANDARDIZED, initialise
from ..layers import Layer


def rebuilt(net: Graph, change: Callable[[Node], Layer | None]) -> Graph:
    """A copy of the net with other layers in some places.

    change: gets each node and returns the layer to stand there: the node's own, another one, or
            None to leave the place out, so that its readers read what it read

    Layers that stay keep their very weights and generators, in copies: nothing that one net learns
    or draws reaches the other. Raises ShapeError where a new layer does not fit its neighbours.
    """
    copy = Graph(net.input_shape, net.device, net.seed)
    instead: dict[str, str] = {}  # of the nodes left out
    for node in net.nodes.values():
        sources = tuple(instead.get(source, source) for source in node.sources)
        layer = change(replace(node, layer=deepcopy(node.layer)))
        if layer is None:
            (instead[node.name],) = sources
        else:
            copy.add(node.joined_name, layer, sources, node.tower)
    return copy


def refitted(net: Graph, change: Callable[[Node], Layer | None], seed: int) -> Graph:
    """The same, where new layers need weights: they are drawn, all others are the net's."""
    other = rebuilt(net, change)
    initialise(other, seed, STANDARDIZED)
    start, own = other.state_dict(), net.state_dict()
    kept = {name for name in start.keys() & own.keys() if start[name].shape == own[name].shape}
    other.load_state_dict({name: own[name] if name in kept else start[name] for name in start})
    return other
