"""AlexNet's shape at 28×28: five conv layers, grouped as the paper's, and three FC layers."""

from .. import init
from ..errors import ShapeError
from ..graph import Graph
from ..layers import Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU


def fashion(
    num_classes=10, seed=0, channels=1, dropout=0.5, devices: str = "cpu", size: int = 28
) -> Graph:
    """Images (channels, size, size), 24 to 32 pixels wide -> num_classes logits.

    The paper's layers in the paper's order, with a quarter of its maps (conv1 has a sixth: there
    are no colours to tell apart). The 11×11 kernels of stride 4 become 5×5 of stride 1, for in
    28×28 pixels there is nothing to throw away; fc6 and fc7 have a sixteenth of the units.

    The two LRN are here to be read and timed: the paper's α is for pixels of 0 to 255, and with
    these, of deviation 1, they divide by 2^¾ and do no more.
    """
    if not 24 <= size <= 32:
        raise ShapeError(f"fashion takes images of 24 to 32 pixels, got {size}")
    net = Graph(input_shape=(channels, size, size), device=devices, seed=None)
    net.add("conv1", Conv2d(channels, 16, 5))
    net.add("relu1", ReLU())
    net.add("norm1", LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2, groups=2))
    net.add("pool1", MaxPool2d(3, stride=2, ceil_mode=True))
    net.add("conv2", Conv2d(16, 64, 5, padding=2, groups=2))
    net.add("relu2", ReLU())
    net.add("norm2", LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2, groups=2))
    net.add("pool2", MaxPool2d(3, stride=2, ceil_mode=True))
    net.add("conv3", Conv2d(64, 96, 3, padding=1))
    net.add("relu3", ReLU())
    net.add("conv4", Conv2d(96, 96, 3, padding=1, groups=2))
    net.add("relu4", ReLU())
    net.add("conv5", Conv2d(96, 64, 3, padding=1, groups=2))
    net.add("relu5", ReLU())
    net.add("pool5", MaxPool2d(3, stride=2, ceil_mode=True))
    (features,) = net.add("flatten", Flatten())
    net.add("fc6", Linear(features, 256))
    net.add("relu6", ReLU())
    net.add("drop6", Dropout(dropout))
    net.add("fc7", Linear(256, 256))
    net.add("relu7", ReLU())
    net.add("drop7", Dropout(dropout))
    net.add("fc8", Linear(256, num_classes))
    init.initialise(net, seed, init.STANDARDIZED)
    return net
