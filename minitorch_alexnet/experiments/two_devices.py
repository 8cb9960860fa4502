"""Section 3.2: two towers, half of them on each device, against the net of one device."""

from collections.abc import Callable

from ..graph import Graph
from ..layers import Conv2d, LocalResponseNorm
from .experiment import Experiment, fewer_errors, parameters
from .rebuild import rebuilt, refitted

TWO, HALF, EQUAL = "two towers", "half as wide", "as many parameters"


class TwoDevices(Experiment):
    name = "two-devices"
    title = "Two towers on two devices"
    section = "3.2"
    claim = "Two towers err less than one with half the kernels in each convolution."
    arms = (TWO, HALF, EQUAL)
    measures = (
        fewer_errors(
            more=HALF,
            less=TWO,
            paper="1.7 points of top-1, some 4 % of the errors; 1.2 of top-5",
            size=1.7,
            counts=0.3,
            spread=0.4,
        ),
        fewer_errors(
            more=EQUAL,
            less=TWO,
            paper="not tried",
            size=None,
            counts=0.3,
            spread=0.4,
            claimed=False,
        ),
    )
    ours = (
        "The two towers are in one graph, where a group is a tower: the same mathematics as on two"
        " devices. The one tower has half the kernels in conv1 to conv4, all of conv5's, as in the"
        " paper, and no groups. In the paper it has nearly as many parameters all the same; in so"
        " small a net it has fewer. So a third arm asks whether it is the towers or the parameters:"
        " one tower again, conv1 to conv4 wider until it has as many as the two. What has one"
        " shape in all arms starts alike."
    )
    pairs = 12

    def net(self, study, training):
        two = super().net(study, training)
        if training.net == TWO:
            return two
        share = 1 / 2 if training.net == HALF else equal_share(two)
        return refitted(two, one_tower(share), training.seed)

    def remarks(self, rows):
        of = {row["arm"]: row["parameters"] for row in rows if "parameters" in row}
        if len(of) < len(self.arms):
            return []
        two, half, equal = (of[arm] for arm in self.arms)
        return [
            f"Parameters: {two:,}, {half:,} and {equal:,}; the half one has {half / two:.2f} of the"
            " towers'. In the paper these are 60,965,224 and 59,798,312, or 0.98, for there the"
            " fully connected layers outweigh the others."
        ]


def equal_share(two: Graph) -> float:
    """Of the towers' kernels, so that one tower of them has as many parameters, or nearly."""

    def off(share):
        return abs(parameters(rebuilt(two, one_tower(share))) - parameters(two))

    return min((share / 64 for share in range(24, 65)), key=off)


def one_tower(share: float) -> Callable:
    """A change for rebuild: that share of the kernels in conv1 to conv4, and no groups."""

    def change(node):
        layer = node.layer
        if isinstance(layer, LocalResponseNorm):
            return LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
        if not isinstance(layer, Conv2d):
            return layer
        reads, gives = layer.in_channels, layer.out_channels
        reads = reads if node.name == "conv1" else round(share * reads)
        gives = gives if node.name == "conv5" else round(share * gives)
        return Conv2d(reads, gives, layer.kernel_size, layer.stride, layer.padding)

    return change
