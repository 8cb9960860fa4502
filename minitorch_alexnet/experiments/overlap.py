"""Section 3.4: do overlapping pooling windows lower the test error?"""

from ..errors import ShapeError, UserError
from ..layers import MaxPool2d
from .experiment import Experiment, fewer_errors
from .rebuild import rebuilt


class Overlap(Experiment):
    name = "overlap"
    title = "Overlapping pooling"
    section = "3.4"
    claim = "Pooling windows of 3×3 that overlap err less than those of 2×2 that do not."
    arms = ("3×3, stride 2", "2×2, stride 2")
    measures = (
        fewer_errors(
            more="2×2, stride 2",
            less="3×3, stride 2",
            paper="0.4 points of top-1, some 1 % of the errors; 0.3 of top-5",
            size=0.4,
            counts=0.2,
            spread=0.4,
        ),
    )
    ours = (
        "All three pools change; their outputs keep their sizes, as in the paper. The maximum of"
        " nine is larger than that of four, so that signals behind the pools are not alike at the"
        " start; each arm has its own rate. Where a map's"
        " side is odd, as with images of 32 pixels, windows of 2×2 leave its last row and column"
        " out."
    )
    pairs = 18

    def net(self, study, training):
        net = super().net(study, training)
        if training.net == "3×3, stride 2":
            return net

        def change(node):
            return MaxPool2d(2, stride=2) if isinstance(node.layer, MaxPool2d) else node.layer

        try:
            return rebuilt(net, change)
        except ShapeError as error:
            raise UserError(
                f"on images of {study.shape[-1]} pixels the two ways of pooling give outputs of"
                " two sizes: prepare the photographs with --size 32"
            ) from error
