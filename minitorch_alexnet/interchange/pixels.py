"""On what scale nets that others trained expect their pixels.

What they have in common: the shorter side of a photograph is scaled to 256 pixels, and the net
reads the 224 or 227 in the middle. So it is here (data/photo.py, transforms.centre), with
Lanczos' filter, where torchvision has the bilinear one.
"""

from dataclasses import dataclass

import numpy as np

from ..data.span import BYTES
from ..data.transforms import Normalize
from ..errors import UserError
from ..graph import IMAGE, Graph
from ..layers import Conv2d, Copy

PREPARED = {224: 256, 227: 256}  # the side of the photographs, for what nets read of them


@dataclass(frozen=True)
class Pixels:
    """(x - mean) / scale, by channel (red, green, blue) of 0 … 255.

    blue_first: do the net's kernels read blue, green, red?
    """

    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    blue_first: bool = False

    def normalize(self, input_shape: tuple) -> Normalize:
        """For a net that reads images (C, H, W). UserError where the channels are others."""
        channels, height, width = input_shape
        if height != width:
            raise UserError(f"the net reads images of {height}×{width}, not square ones")
        if len(self.mean) not in (1, channels):
            raise UserError(f"these pixels have {len(self.mean)} channels, the net's {channels}")
        mean = np.broadcast_to(np.reshape(self.mean, (-1, 1, 1)), input_shape)
        return Normalize(as_prepared(mean), np.broadcast_to(self.scale, channels), BYTES)


def as_prepared(mean: np.ndarray) -> np.ndarray:
    """A mean of what a net reads, (C, H, H), as one of photographs, beyond whose middle none is."""
    side = mean.shape[1]
    spare = PREPARED.get(side, side) - side
    around = spare // 2, spare - spare // 2
    return np.pad(mean, ((0, 0), around, around), "edge")


PIXELS = {
    # torchvision.models.AlexNet_Weights: 0 … 1, less ImageNet's mean, by its deviation
    "torchvision": Pixels((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    # ilsvrc_2012_mean.npy of BVLC's Caffe, on average
    "caffe": Pixels((122.67891434, 116.66876762, 104.00698793), blue_first=True),
    "plain": Pixels(),
}


def read_red_first(net: Graph) -> None:
    """Turn the first kernels round, once, so that a net that learned from BGR reads RGB.

    Then whatever shows photographs or kernels shows them in their colours.
    Raises UserError where a layer that is no plain convolution reads the image.
    """
    images = {IMAGE}
    for node in net.nodes.values():
        if not images & set(node.sources):
            continue
        if isinstance(node.layer, Copy):
            images.add(node.name)
        elif isinstance(node.layer, Conv2d) and node.layer.groups == 1:
            weight = node.layer.params["weight"]
            weight.data = np.ascontiguousarray(weight.data[:, ::-1])
        else:
            raise UserError(f"{node.name} reads the image, and has no colours to turn round")
