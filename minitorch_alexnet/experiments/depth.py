"""Sections 1 and 7: does the net need each of its middle convolutions?"""

from .experiment import Experiment, fewer_errors
from .rebuild import rebuilt

FIVE, FOUR = "five convolutions", "four"


class Depth(Experiment):
    name = "depth"
    title = "Depth"
    section = "7"
    claim = "Without one of its middle convolutions, whichever, the net errs more."
    arms = (FIVE, FOUR)
    measures = (
        fewer_errors(
            more=FOUR,
            less=FIVE,
            paper="about 2 points of top-1, some 5 % of the errors",
            size=2.0,
            counts=1.0,
            spread=0.9,
        ),
    )
    ours = (
        "conv4 and its ReLU are left out. To leave out conv3 or conv5 instead would give a net of"
        " the same shapes: a convolution that reads both towers (without conv3, conv4 has to: they"
        " meet nowhere else before fc6), and one within each, from as many maps to as many. So one"
        " net stands for all three. The layers that stay begin with the same weights."
    )
    data, rates = "cifar-10", (0.01, 0.02, 0.04)
    pairs = 12

    def remarks(self, rows):
        of = {row["arm"]: row["parameters"] for row in rows if "parameters" in row}
        told = "; ".join(f"{arm}: {count:,}" for arm, count in of.items())
        return [
            f"Parameters: {told}. A middle layer has a larger share of them than in the paper,"
            " where it is a hundredth or so."
        ]

    def net(self, study, training):
        net = super().net(study, training)
        if training.net == FIVE:
            return net
        left_out = "conv4", "relu4"
        return rebuilt(net, lambda node: None if node.name in left_out else node.layer)
