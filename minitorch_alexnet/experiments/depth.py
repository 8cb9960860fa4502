"""Section 3.5 and 7: does the net need each of its middle layers?"""

from ..init import STANDARDIZED, he_after_norm
from ..layers import Conv2d
from .experiment import Experiment, fewer_errors
from .rebuild import refitted

MIDDLE = ("conv3", "conv4", "conv5")
WHOLE = "five convolutions"


class Depth(Experiment):
    name = "depth"
    title = "Depth"
    section = "7"
    claim = "Without one of its middle convolutions, whichever, the net errs more."
    arms = (WHOLE, *(f"without {layer}" for layer in MIDDLE))
    measures = tuple(
        fewer_errors(
            more=arm,
            less=WHOLE,
            paper="about 2 points of top-1, some 5 % of the errors",
            size=2.0,
            counts=1.0,
            spread=0.9,
        )
        for arm in arms[1:]
    )
    ours = (
        "A convolution and its ReLU are left out. Without conv3, conv4 reads what conv3 read, both"
        " towers, which meet nowhere else before fc6; without conv5 it gives what conv5 gave. It"
        " starts anew there, all else alike."
    )
    data, rates = "cifar-10", (0.01, 0.02, 0.04)
    pairs = 6

    def remarks(self, rows):
        of = {row["arm"]: row["parameters"] for row in rows if "parameters" in row}
        told = "; ".join(f"{arm}: {count:,}" for arm, count in of.items())
        return [
            f"Parameters: {told}. A middle layer has a larger share of them than in the paper,"
            " where it is a hundredth or so."
        ]

    def net(self, study, training):
        net = super().net(study, training)
        left_out = training.net.removeprefix("without ")
        if left_out == WHOLE:
            return net
        conv4 = net["conv4"]
        reads = net["conv3"].in_channels if left_out == "conv3" else conv4.in_channels
        groups = net["conv3"].groups if left_out == "conv3" else conv4.groups
        gives = net["conv5"].out_channels if left_out == "conv5" else conv4.out_channels

        def change(node):
            if node.name in (left_out, left_out.replace("conv", "relu")):
                return None
            if node.name == "conv4" and left_out != "conv4":
                return Conv2d(reads, gives, conv4.kernel_size, padding=conv4.padding, groups=groups)
            return node.layer

        first = {"conv4.weight": he_after_norm} if left_out == "conv3" else {}
        return refitted(net, change, training.seed, STANDARDIZED | first)
