"""Fine-tuning: start from another run's weights, with layers that do not learn."""

from collections.abc import Iterable, Sequence

from .data.transforms import Normalize
from .errors import UserError
from .graph import Graph
from .run import Run


def start_from(run: Run, net: Graph, class_names: Sequence[str]) -> list[str]:
    """Give the net the layers of another run that fit; name their parameters.

    class_names: the net's; the last layer is taken only if they are the run's, too
    Raises UserError if none fits.
    """
    mine, theirs = net.state_dict(), run.net.state_dict()
    layers: dict[str, list[str]] = {}
    for name in mine:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    fitting = [
        layer
        for layer, names in layers.items()
        if all(n in theirs and theirs[n].shape == mine[n].shape for n in names)
    ]
    *_, last = layers
    if tuple(class_names) != run.class_names or fitting == [last]:
        fitting = [layer for layer in fitting if layer != last]
    if not fitting:
        raise UserError(
            f"no layer of {run.folder} ({run.config.model}) but the last fits this net: start from"
            " a run of the same model"
        )
    taken = [name for layer in fitting for name in layers[layer]]
    net.load_state_dict(mine | {name: theirs[name] for name in taken})
    return taken


def used_to(run: Run, own: Normalize) -> Normalize:
    """The pixels that a run's weights are used to: its scale, and its mean where that fits.

    A scale by channel is left behind where there are other channels.

    Raises UserError where own, the new training set's, cannot be on that scale.
    """
    if own.span:
        run.normalize.expect(own.span)
    theirs = run.normalize
    same = theirs.mean.shape == own.mean.shape
    by_channel = theirs.scale.ndim and len(theirs.mean) != len(own.mean)
    return Normalize(
        theirs.mean if same else own.mean, own.scale if by_channel else theirs.scale, own.span
    )


def freeze(net: Graph, layers: str, taken: Iterable[str] = ()) -> None:
    """Let layers, "conv1,conv2", learn no more.

    taken: what start_from has named; then no other layer may be frozen
    Raises UserError on what is no layer of the net, or where none is left that learns.
    """
    nodes = net.nodes.values()
    for name in filter(None, (name.strip() for name in layers.split(","))):
        chosen = [p for n in nodes if name == n.joined_name for p in n.layer.params.values()]
        if not chosen:
            can = dict.fromkeys(n.joined_name for n in nodes if n.layer.params)
            raise UserError(f"freeze: {name!r} is none of the layers {', '.join(can)}")
        if taken and name not in {of_layer.rpartition(".")[0] for of_layer in taken}:
            raise UserError(f"freeze: {name} starts anew and has to learn")
        for parameter in chosen:
            parameter.lr_scale = 0
    if not net.named_parameters():
        raise UserError("the net has no layer that learns: add some")
    if all(p.frozen for p in net.named_parameters().values()):
        raise UserError("freeze: no layer is left that learns")
