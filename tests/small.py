"""Nets and images so small that a training takes no time."""

import numpy as np

from minitorch_alexnet import init
from minitorch_alexnet.config import Config
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Concat, Conv2d, Copy, Dropout, Flatten, Linear, ReLU

# Trains a tiny net on photographs().
RAW = Config(
    model="tiny", epochs=2, batch_size=16, lr=1e-3, schedule="step", dropout=0.0, standardize=False
)


def photographs(count=48, side=20, seed=0):
    """Noise with a bright corner, whose place is the class; in colour."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (count, 3, side, side), dtype=np.uint8)
    labels = rng.integers(0, 3, count)
    for image, label in zip(images, labels, strict=True):
        image[label, 5:15, 5:15] += 120
    return ArrayDataset(images, labels, ["0", "1", "2"])


def a_small_net():
    """For garments."""
    net = Graph((1, 28, 28))
    net.add("flatten", Flatten())
    net.add("fc1", Linear(784, 16))
    net.add("relu1", ReLU())
    net.add("drop1", Dropout(0.3))
    net.add("fc2", Linear(16, 10))
    return net


# ---- models: what `build` builds, once they are in MODELS ----------------------------------------


def tiny(num_classes=3, seed=0, channels=3, dropout=0.0, devices="cpu:0,cpu:1"):
    """Two towers on 16×16 pixels that meet once, and the same on one device below."""
    first, second = devices.split(",")
    net = Graph((channels, 16, 16), device=first, seed=None)
    net.add("image_b", Copy(to=second), "image")
    for tower, image in ("a", "image"), ("b", "image_b"):
        net.add("conv1", Conv2d(channels, 4, 5, stride=2), image, tower=tower)
        net.add("relu1", ReLU(), tower=tower)
        net.add("flatten", Flatten(), tower=tower)
        net.add("drop1", Dropout(dropout), tower=tower)
    net.add("drop1b_to_a", Copy(to=first), "drop1b")
    net.add("both", Concat(), ("drop1a", "drop1b_to_a"))
    net.add("fc8", Linear(288, num_classes))
    init.initialise(net, seed, init.SMALL_SET)
    return net


def tiny_merged(num_classes=3, seed=0, channels=3, dropout=0.0, devices="cpu"):
    return _column((channels, 16, 16), 2, num_classes, seed, dropout, devices)


def any_size(num_classes=3, seed=0, channels=3, dropout=0.0, devices="cpu", size=64):
    return _column((channels, size, size), 8, num_classes, seed, dropout, devices)


def wide(num_classes=3, seed=0, channels=3, dropout=0.0, devices="cpu"):
    """Small, but for its images."""
    return _column((channels, 224, 224), 32, num_classes, seed, dropout, devices)


def _column(shape, stride, num_classes, seed, dropout, devices):
    net = Graph(shape, device=devices, seed=None)
    net.add("conv1", Conv2d(shape[0], 8, 5, stride=stride))
    net.add("relu1", ReLU())
    (features,) = net.add("flatten", Flatten())
    net.add("drop1", Dropout(dropout))
    net.add("fc8", Linear(features, num_classes))
    init.initialise(net, seed, init.SMALL_SET)
    return net


# ---- the same training? --------------------------------------------------------------------------


def assert_same(trainer, other):
    """Two trainers ended with the same bits."""
    for name, value in trainer.net.state_dict().items():
        np.testing.assert_array_equal(value, other.net.state_dict()[name], err_msg=name)
    for name, value in trainer.sgd.velocity.items():
        np.testing.assert_array_equal(value, other.sgd.velocity[name], err_msg=name)
    timeless = [[{**row, "seconds": 0, "waited": 0} for row in t.history] for t in (trainer, other)]
    assert timeless[0] == timeless[1]
