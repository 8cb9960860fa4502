"""On what scale nets that others trained expect their pixels.

Photographs are brought to 256×256 pixels, of which the net reads the 224 or 227 in the middle:
torchvision scales the shorter side to 256, with the bilinear filter; Caffe's tutorial warps the
whole photograph to a square; ours is the paper's way (data/photo.py, RESIZED).
"""

from dataclasses import dataclass

import numpy as np

from ..data.span import BYTES
from ..data.transforms import Normalize
from ..errors import UserError
from ..graph import IMAGE, Graph
from ..layers import Conv2d, Copy
from ..run import Run

PREPARED = {224: 256, 227: 256}  # the side of the photographs, for what nets read of them


@dataclass(frozen=True)
class Pixels:
    """(x - mean) / scale, by channel (red, green, blue) of 0 … 255.

    blue_first: do the net's kernels read blue, green, red?
    resized: how photographs come to their size, one of data/photo.py's RESIZED
    """

    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    blue_first: bool = False
    resized: str = Run.resized

    def normalize(self, input_shape: tuple) -> Normalize:
        """For a net that reads images (C, H, W). UserError where the channels are others."""
        channels, height, width = input_shape
        if height != width:
            raise UserError(f"the net reads images of {height}×{width}, not square ones")
        if len(self.mean) not in (1, channels):
            raise UserError(f"these pixels have {len(self.mean)} channels, the net's {channels}")
        mean = np.broadcast_to(np.reshape(self.mean, (-1, 1, 1)), input_shape)
        return Normalize(as_prepared(mean), np.broadcast_to(self.scale, channels), BYTES)


def as_prepared(mean: np.ndarray, sides: tuple[int, int] | None = None) -> np.ndarray:
    """A mean of what a net reads, (C, h, w), as one of photographs, beyond whose middle none is.

    sides: of the photographs; by default what PREPARED says of the net's
    """
    around = []
    for reads, side in zip(mean.shape[1:], sides or map(_prepared, mean.shape[1:]), strict=True):
        spare = side - reads
        around.append((spare // 2, spare - spare // 2))
    return np.pad(mean, ((0, 0), *around), "edge")


def _prepared(side: int) -> int:
    return PREPARED.get(side, side)


PIXELS = {
    # torchvision.models.AlexNet_Weights: 0 … 1, less ImageNet's mean, by its deviation
    "torchvision": Pixels((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), resized="bilinear"),
    # ilsvrc_2012_mean.npy of BVLC's Caffe, on average; its tutorial's convert -resize 256x256\!
    "caffe": Pixels((122.67891434, 116.66876762, 104.00698793), blue_first=True, resized="warped"),
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
