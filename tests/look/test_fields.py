"""Receptive fields against brute force: a row of pixels that is nan, and what it spoils."""

import numpy as np
import pytest

from minitorch_alexnet.graph import IMAGE, Graph
from minitorch_alexnet.layers import (
    Concat,
    Conv2d,
    Copy,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Tanh,
    Upsample,
)
from minitorch_alexnet.layers.base import Layer
from minitorch_alexnet.look.fields import fields
from minitorch_alexnet.models import build


def column(*layers, shape=(2, 19, 14)):
    return Graph.of(shape, list(layers), seed=1)


def towers():
    """Two that see differently much, joined."""
    net = Graph((1, 15, 17), seed=1)
    net.add("image_b", Copy("cpu:1"), "image")
    net.add("conv1", Conv2d(1, 3, (3, 5), stride=2, padding=(1, 2)), "image", tower="a")
    net.add("narrow", Conv2d(1, 2, 1, stride=2), "image_b", tower="b")
    net.add("narrow_to_a", Copy("cpu:0"), "narrowb")
    net.add("both", Concat(), ("narrow_to_a", "conv1a"))
    net.add("pool", MaxPool2d(2, stride=1))
    net.add("flatten", Flatten())
    net.add("fc", Linear(5 * 7 * 8, 4))
    return net


class Own(Layer):
    """A kind that the package does not know: each value needs all the others."""

    def forward(self, x, train=True):
        return x + x.sum(axis=(2, 3), keepdims=True), None


NETS = {
    "odd paddings": lambda: column(Conv2d(2, 3, (5, 3), stride=(3, 2), padding=((0, 3), (2, 1)))),
    "conv, pool, conv": lambda: column(
        Conv2d(2, 4, 3),
        ReLU(),
        LocalResponseNorm(3),
        MaxPool2d(3, stride=2),
        Conv2d(4, 2, 3, padding=1),
    ),
    "ceil": lambda: column(
        MaxPool2d(3, stride=2, padding=1, ceil_mode=True), MaxPool2d((2, 3), ceil_mode=True)
    ),
    "enlarged": lambda: column(Upsample(3), Conv2d(2, 2, 4, stride=2), Tanh()),
    "behind padding": lambda: column(
        Conv2d(2, 2, 1, padding=1), Conv2d(2, 2, 3), MaxPool2d(2), shape=(2, 12, 12)
    ),
    "towers": towers,
    "own": lambda: column(Conv2d(2, 2, 3), Own(), MaxPool2d(2)),
    "fashion": lambda: build("fashion", seed=3),
}


def spoilt(net, axis):
    """For each node and place along an axis of pixels, the first and last that it depends on."""
    shape, found = (1, *net.input_shape), {}
    for pixel in range(shape[axis]):
        image = np.random.default_rng(0).standard_normal(shape, np.float32)
        image[(slice(None),) * axis + (pixel,)] = np.nan
        with np.errstate(invalid="ignore"):
            _, kept = net.forward(image, train=False, keep=tuple(net.nodes))
        for name, y in ({IMAGE: image} | kept).items():
            others = tuple(i for i in range(y.ndim) if i != axis) if y.ndim == 4 else None
            bad = np.isnan(y).any(axis=others, keepdims=y.ndim == 2)
            places = found.setdefault(name, [[] for _ in range(bad.size)])
            for place in np.flatnonzero(bad):
                places[place].append(pixel)
    return {
        name: [(min(pixels), max(pixels)) if pixels else (0, -1) for pixels in places]
        for name, places in found.items()
    }


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_what_a_place_depends_on(net):
    net = net()
    told = fields(net)
    for axis, way in (2, "rows"), (3, "columns"):
        for name, seen in spoilt(net, axis).items():
            got = getattr(told[name], way)
            if name.startswith("flatten"):  # keeps its places: what all of them see together
                got = [(min(first for first, _ in got), max(last for _, last in got))]
            assert list(got) == seen, (name, way)


def test_a_flattened_map_keeps_its_places():
    told = fields(towers())
    assert told["flatten"] == told["pool"]
    assert told["fc"].rows == ((0, 14),)
    assert told["fc"].columns == ((0, 16),)


def test_the_papers_net_by_hand():
    """A kernel of 11 with stride 4; then 3/2 adds 2·4 and doubles the stride: 19, 8; and so on."""
    told = fields(build("alexnet", seed=None, num_classes=2))
    size, stride = 11, 4
    for name, kernel, step in [
        ("conv1a", 1, 1),
        ("pool1b", 3, 2),
        ("conv2a", 5, 1),
        ("pool2b", 3, 2),
        ("conv3a", 3, 1),
    ]:
        size, stride = size + (kernel - 1) * stride, stride * step
        middle = told[name].rows[len(told[name].rows) // 2]
        assert middle[1] - middle[0] + 1 == size
        assert told[name].columns[1 + len(told[name].rows) // 2][0] - middle[0] == stride
