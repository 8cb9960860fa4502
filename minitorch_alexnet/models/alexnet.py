"""The net of the paper on two devices (Figure 2), and its relatives.

The two-device net is written out in full; the others share `_paper_order`, `_last_convolutions`
and `_classifier` where they are alike. Every function takes

    num_classes: outputs
    seed: draws the weights and the dropout masks; None leaves the weights to load_state_dict
    channels: of the image, 3 for RGB;  dropout: the share of silent units after fc6 and fc7
    devices: where the net lives, "cpu"; for `alexnet` two of them, "cpu:0,cpu:1"
"""

import math
from collections.abc import Sequence

from .. import init
from ..device import joined
from ..errors import ShapeError, UserError
from ..graph import Graph
from ..layers import (
    Concat,
    Conv2d,
    Copy,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Upsample,
)

# 224 = 4·55 + 4 leaves three pixels too few for a 55th kernel: the original adds them as zeros
# at the bottom and at the right, and only there. The mean is subtracted, so zero is the mean.
CEIL = ((0, 3), (0, 3))


def alexnet(num_classes=1000, seed=0, channels=3, dropout=0.5, devices="cpu:0,cpu:1") -> Graph:
    """The paper's net, images (channels, 224, 224): two towers that meet at conv3 and in the FCs.

    devices: the towers' two, "cpu:0,cpu:1", "cpu,cuda:0", …; a single one holds both
    """
    first, second = _two(devices)
    net = Graph((channels, 224, 224), device=first, seed=None)
    net.add("image_b", Copy(to=second), "image")
    for tower, image in ("a", "image"), ("b", "image_b"):
        net.add("conv1", Conv2d(channels, 48, 11, stride=4, padding=CEIL), image, tower=tower)
        net.add("relu1", ReLU(), tower=tower)
        net.add("norm1", LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2), tower=tower)
        net.add("pool1", MaxPool2d(3, stride=2), tower=tower)
        net.add("conv2", Conv2d(48, 128, 5, padding=2), tower=tower)
        net.add("relu2", ReLU(), tower=tower)
        net.add("norm2", LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2), tower=tower)
        net.add("pool2", MaxPool2d(3, stride=2), tower=tower)
    _share(net, "pool2", "both2", first, second)
    for tower in "ab":
        net.add("conv3", Conv2d(256, 192, 3, padding=1), f"both2{tower}", tower=tower)
        net.add("relu3", ReLU(), tower=tower)
        net.add("conv4", Conv2d(192, 192, 3, padding=1), tower=tower)
        net.add("relu4", ReLU(), tower=tower)
        net.add("conv5", Conv2d(192, 128, 3, padding=1), tower=tower)
        net.add("relu5", ReLU(), tower=tower)
        net.add("pool5", MaxPool2d(3, stride=2), tower=tower)
        net.add("flatten", Flatten(), tower=tower)
    _share(net, "flatten", "both5", first, second)
    for tower in "ab":
        net.add("fc6", Linear(256 * 6 * 6, 2048), f"both5{tower}", tower=tower)
        net.add("relu6", ReLU(), tower=tower)
        net.add("drop6", Dropout(dropout), tower=tower)
    _share(net, "drop6", "both6", first, second)
    for tower in "ab":
        net.add("fc7", Linear(4096, 2048), f"both6{tower}", tower=tower)
        net.add("relu7", ReLU(), tower=tower)
        net.add("drop7", Dropout(dropout), tower=tower)
    net.add("drop7b_to_a", Copy(to=first), "drop7b")
    net.add("both7", Concat(), ("drop7a", "drop7b_to_a"))
    net.add("fc8", Linear(4096, num_classes))
    init.initialise(net, seed, init.PAPER)
    return net


def _two(devices: str | Sequence) -> tuple[str, str]:
    names = joined(devices).split(",")
    if len(names) > 2:
        raise UserError(f"the net has two towers: expected two devices, got {devices}")
    return names[0], names[-1]


def _share(net: Graph, node: str, both: str, first: str, second: str) -> None:
    """Give each tower both towers' maps: node + "a" and node + "b" become both + "a" and "b"."""
    net.add(f"{node}b_to_a", Copy(to=first), f"{node}b")
    net.add(both, Concat(), (f"{node}a", f"{node}b_to_a"), tower="a")
    net.add(f"{node}a_to_b", Copy(to=second), f"{node}a")
    net.add(both, Concat(), (f"{node}a_to_b", f"{node}b"), tower="b")


# ---- relatives in the paper's order of layers -------------------------------------------------


def alexnet_merged(num_classes=1000, seed=0, channels=3, dropout=0.5, devices="cpu") -> Graph:
    """`alexnet` on one device: a group is a tower, and LRN keeps to its group. Same weights."""
    net = Graph((channels, 224, 224), device=devices, seed=None)
    net.add("conv1", Conv2d(channels, 96, 11, stride=4, padding=CEIL))
    _paper_order(net, (96, 256, 384, 384, 256), groups=2)
    _classifier(net, 4096, num_classes, dropout)
    init.initialise(net, seed, init.PAPER)
    return net


def alexnet_one_column(num_classes=1000, seed=0, channels=3, dropout=0.5, devices="cpu") -> Graph:
    """The net most people call AlexNet: images (channels, 227, 227), no groups anywhere."""
    net = Graph((channels, 227, 227), device=devices, seed=None)
    net.add("conv1", Conv2d(channels, 96, 11, stride=4))
    _paper_order(net, (96, 256, 384, 384, 256), groups=1)
    _classifier(net, 4096, num_classes, dropout)
    init.initialise(net, seed, init.PAPER)
    return net


def alexnet_control(num_classes=1000, seed=0, channels=3, dropout=0.5, devices="cpu") -> Graph:
    """The one-GPU net that the paper compares with (section 3.2): half the kernels, conv5 whole."""
    net = Graph((channels, 224, 224), device=devices, seed=None)
    net.add("conv1", Conv2d(channels, 48, 11, stride=4, padding=CEIL))
    _paper_order(net, (48, 128, 192, 192, 256), groups=1)
    _classifier(net, 4096, num_classes, dropout)
    init.initialise(net, seed, init.PAPER)
    return net


def fashion_alexnet(num_classes=10, seed=0, channels=1, dropout=0.5, devices="cpu") -> Graph:
    """`alexnet-merged` for images (channels, 28, 28), eight times enlarged: a GPU's pastime."""
    net = Graph((channels, 28, 28), device=devices, seed=None)
    net.add("enlarge", Upsample(8))
    net.add("conv1", Conv2d(channels, 96, 11, stride=4, padding=CEIL))
    _paper_order(net, (96, 256, 384, 384, 256), groups=2)
    _classifier(net, 4096, num_classes, dropout)
    init.initialise(net, seed, init.STANDARDIZED)
    return net


def alexnet_small(
    num_classes=200, seed=0, channels=3, dropout=0.5, devices="cpu", size=64
) -> Graph:
    """The same shape, half as wide, for images (channels, size, size) of 56 to 128 pixels.

    Kernels of 11×11 with stride 4 would leave too little of them: conv1 has 7×7 with stride 2.
    """
    if not 56 <= size <= 128:
        raise ShapeError(f"alexnet-small takes images of 56 to 128 pixels, got {size}")
    net = Graph((channels, size, size), device=devices, seed=None)
    net.add("conv1", Conv2d(channels, 48, 7, stride=2, padding=3))
    _paper_order(net, (48, 128, 192, 192, 128), groups=2)
    _classifier(net, 1024, num_classes, dropout)
    init.initialise(net, seed, init.PAPER)
    return net


def _paper_order(net: Graph, maps: tuple, groups: int) -> None:
    """Everything between conv1 and the classifier; maps: what conv1 … conv5 have of them."""
    m1, m2, m3, m4, m5 = maps
    net.add("relu1", ReLU())
    net.add("norm1", LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2, groups=groups))
    net.add("pool1", MaxPool2d(3, stride=2))
    net.add("conv2", Conv2d(m1, m2, 5, padding=2, groups=groups))
    net.add("relu2", ReLU())
    net.add("norm2", LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2, groups=groups))
    net.add("pool2", MaxPool2d(3, stride=2))
    _last_convolutions(net, (m2, m3, m4, m5), groups)


def _last_convolutions(net: Graph, maps: tuple, groups: int) -> None:
    """conv3 to pool5, in which all the nets agree; maps: what conv2 … conv5 have of them."""
    m2, m3, m4, m5 = maps
    net.add("conv3", Conv2d(m2, m3, 3, padding=1))
    net.add("relu3", ReLU())
    net.add("conv4", Conv2d(m3, m4, 3, padding=1, groups=groups))
    net.add("relu4", ReLU())
    net.add("conv5", Conv2d(m4, m5, 3, padding=1, groups=groups))
    net.add("relu5", ReLU())
    net.add("pool5", MaxPool2d(3, stride=2))


def _classifier(net: Graph, width, num_classes, dropout, rescale="test") -> None:
    """fc6 and fc7 with `width` units, each with ReLU and dropout after it, and fc8."""
    (features,) = net.add("flatten", Flatten())
    for number, inputs in (6, features), (7, width):
        net.add(f"fc{number}", Linear(inputs, width))
        net.add(f"relu{number}", ReLU())
        net.add(f"drop{number}", Dropout(dropout, rescale))
    net.add("fc8", Linear(width, num_classes))


# ---- relatives in an order of their own --------------------------------------------------------


def alexnet_as_trained(num_classes=1000, seed=0, channels=3, dropout=0.5, devices="cpu") -> Graph:
    """What the authors' released code trains (its net 145), merged like `alexnet-merged`.

    Other than the paper's: conv1's ReLU comes after LRN and pool, so that negatives enter the
    LRN's sums; LRN takes α/n; conv3-5 start at .03; biases learn at twice the rate. Not built:
    the second normalisation that net 145 has before pool2, over 5×5 neighbours within each map;
    and its log divides the weights' rate alone, where a schedule of ours divides the biases', too.
    """
    net = Graph((channels, 224, 224), device=devices, seed=None)
    norm = {"alpha": 1e-4, "beta": 0.75, "k": 2, "alpha_over_size": True, "groups": 2}
    net.add("conv1", Conv2d(channels, 96, 11, stride=4, padding=CEIL))
    net.add("norm1", LocalResponseNorm(5, **norm))
    net.add("pool1", MaxPool2d(3, stride=2))
    net.add("relu1", ReLU())
    net.add("conv2", Conv2d(96, 256, 5, padding=2, groups=2))
    net.add("relu2", ReLU())
    net.add("norm2", LocalResponseNorm(5, **norm))
    net.add("pool2", MaxPool2d(3, stride=2))
    _last_convolutions(net, (256, 384, 384, 256), groups=2)
    _classifier(net, 4096, num_classes, dropout)
    wider = dict.fromkeys(("conv3.weight", "conv4.weight", "conv5.weight"), init.gaussian(0.03))
    init.initialise(net, seed, init.PAPER | wider)
    _double_bias_rates(net)
    return net


def caffenet(num_classes=1000, seed=0, channels=3, dropout=0.5, devices="cpu") -> Graph:
    """Caffe's reference net, images (channels, 227, 227): pool before LRN, k=1, α/n.

    LRN runs over all maps; dropout is inverted; biases learn at twice the rate; fc6 and fc7
    start at .005. Source: models/bvlc_reference_caffenet in BVLC's Caffe.
    """
    net = Graph((channels, 227, 227), device=devices, seed=None)
    norm = {"alpha": 1e-4, "beta": 0.75, "k": 1, "alpha_over_size": True}
    net.add("conv1", Conv2d(channels, 96, 11, stride=4))
    net.add("relu1", ReLU())
    net.add("pool1", MaxPool2d(3, stride=2))
    net.add("norm1", LocalResponseNorm(5, **norm))
    net.add("conv2", Conv2d(96, 256, 5, padding=2, groups=2))
    net.add("relu2", ReLU())
    net.add("pool2", MaxPool2d(3, stride=2))
    net.add("norm2", LocalResponseNorm(5, **norm))
    _last_convolutions(net, (256, 384, 384, 256), groups=2)
    _classifier(net, 4096, num_classes, dropout, rescale="train")
    narrower = dict.fromkeys(("fc6.weight", "fc7.weight"), init.gaussian(0.005))
    init.initialise(net, seed, init.PAPER | narrower)
    _double_bias_rates(net)
    return net


def alexnet_glorot(num_classes=1000, seed=0, channels=3, dropout=0.5, devices="cpu") -> Graph:
    """The simplified column of many tutorials: no padding at conv1, no groups, no LRN.

    Images (channels, 224, 224); conv1 54×54, the pools 26, 12 and 5; Glorot's weights, zero
    biases, inverted dropout, no weight decay.
    """
    net = Graph((channels, 224, 224), device=devices, seed=None)
    net.add("conv1", Conv2d(channels, 96, 11, stride=4))
    net.add("relu1", ReLU())
    net.add("pool1", MaxPool2d(3, stride=2))
    net.add("conv2", Conv2d(96, 256, 5, padding=2))
    net.add("relu2", ReLU())
    net.add("pool2", MaxPool2d(3, stride=2))
    _last_convolutions(net, (256, 384, 384, 256), groups=1)
    _classifier(net, 4096, num_classes, dropout, rescale="train")
    rules = {"weight": init.glorot, "bias": init.constant(0)}
    init.initialise(net, seed, rules)
    for parameter in net.named_parameters().values():
        parameter.decay = 0
    return net


def torchvision(num_classes=1000, seed=0, channels=3, dropout=0.5, devices="cpu") -> Graph:
    """The net that torchvision calls AlexNet: that of 'one weird trick' (Krizhevsky 2014).

    Images (channels, 224, 224) with two zeros on every side; 64 to 256 maps, no groups, no LRN;
    inverted dropout before fc6 and fc7 (not after); weights and biases U(±1/√fan-in), PyTorch's.
    """
    net = Graph((channels, 224, 224), device=devices, seed=None)
    net.add("conv1", Conv2d(channels, 64, 11, stride=4, padding=2))
    net.add("relu1", ReLU())
    net.add("pool1", MaxPool2d(3, stride=2))
    net.add("conv2", Conv2d(64, 192, 5, padding=2))
    net.add("relu2", ReLU())
    net.add("pool2", MaxPool2d(3, stride=2))
    _last_convolutions(net, (192, 384, 256, 256), groups=1)
    net.add("flatten", Flatten())
    net.add("drop6", Dropout(dropout, rescale="train"))
    net.add("fc6", Linear(256 * 6 * 6, 4096))
    net.add("relu6", ReLU())
    net.add("drop7", Dropout(dropout, rescale="train"))
    net.add("fc7", Linear(4096, 4096))
    net.add("relu7", ReLU())
    net.add("fc8", Linear(4096, num_classes))
    rules: dict = {}
    for name, (shape, _) in net.state_shapes().items():
        if name.endswith(".weight"):
            bound = 1 / math.sqrt(math.prod(shape[1:]))
            rules |= dict.fromkeys((name, name.replace("weight", "bias")), init.uniform(bound))
    init.initialise(net, seed, rules)
    return net


def _double_bias_rates(net: Graph) -> None:
    for name, parameter in net.named_parameters().items():
        parameter.lr_scale = 2 if name.endswith(".bias") else 1
