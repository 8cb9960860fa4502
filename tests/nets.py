"""Small nets with all that the paper's has: on two devices, and merged on one."""

from dataclasses import replace

import numpy as np

from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import (
    Concat,
    Conv2d,
    Copy,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)


def in_float64(net, rng):
    """Random float64 parameters, drawn joined: two nets of the same joined shapes get the same."""
    state = net.state_dict()
    for node in net.nodes.values():
        for parameter in node.layer.params.values():
            parameter.data = parameter.data.astype(np.float64)
    net.load_state_dict({k: 0.3 * rng.standard_normal(v.shape) for k, v in state.items()})
    return net


def towers(devices=("cpu:0", "cpu:1")):
    """A small net with everything the paper's has: towers, both-ways crossings, dropout."""
    a, b = devices
    net = Graph((3, 11, 11), device=a)
    net.add("image_b", Copy(to=b), "image")
    for tower, source in (("a", "image"), ("b", "image_b")):
        net.add("conv1", Conv2d(3, 4, 3, stride=2, padding=((0, 1), (0, 1))), source, tower=tower)
        net.add("relu1", ReLU(), tower=tower)
        net.add("norm1", LocalResponseNorm(3, alpha=0.3), tower=tower)
        net.add("pool1", MaxPool2d(3, stride=2), tower=tower)
        net.add("conv2", Conv2d(4, 4, 3, padding=1), tower=tower)
    net.add("to_a", Copy(to=a), "conv2b")
    net.add("to_b", Copy(to=b), "conv2a")
    net.add("both_a", Concat(), ("conv2a", "to_a"))
    net.add("both_b", Concat(), ("to_b", "conv2b"))
    for tower in "ab":
        net.add("conv3", Conv2d(8, 3, 1), f"both_{tower}", tower=tower)
        net.add("relu3", ReLU(), tower=tower)
        net.add("drop3", Dropout(0.5), tower=tower)
    net.add("drop3_to_a", Copy(to=a), "drop3b")
    net.add("both3", Concat(), ("drop3a", "drop3_to_a"))
    net.add("flatten", Flatten())
    net.add("fc4", Linear(24, 5))
    return net


def merged():
    net = Graph((3, 11, 11))
    net.add("conv1", Conv2d(3, 8, 3, stride=2, padding=((0, 1), (0, 1))))
    net.add("relu1", ReLU())
    net.add("norm1", LocalResponseNorm(3, alpha=0.3, groups=2))
    net.add("pool1", MaxPool2d(3, stride=2))
    net.add("conv2", Conv2d(8, 8, 3, padding=1, groups=2))
    net.add("conv3", Conv2d(8, 6, 1))
    net.add("relu3", ReLU())
    net.add("drop3", Dropout(0.5))
    net.add("flatten", Flatten())
    net.add("fc4", Linear(24, 5))
    return net


class SameMasks(Dropout):
    """Dropout that keeps what it is told: the channels `of` a mask drawn for the whole."""

    def __init__(self, of):
        super().__init__(0.5, rng=np.random.default_rng(5))
        self.of = of

    def forward(self, x, train=True):
        whole = self.rng.random((len(x), 6, *x.shape[2:])) >= 0.5
        mask = whole[:, self.of].astype(x.dtype)
        return x * mask, mask


def with_same_masks(net):
    for name, of in (("drop3", slice(0, 6)), ("drop3a", slice(0, 3)), ("drop3b", slice(3, 6))):
        if name in net.nodes:
            net.nodes[name] = replace(net.nodes[name], layer=SameMasks(of))
    return net


def batch(rng, n=6):
    return rng.standard_normal((n, 3, 11, 11)), rng.integers(0, 5, n)
