"""The pixels that others' nets expect, worked out as they do it."""

import numpy as np
import pytest

from minitorch_alexnet.data.transforms import centre
from minitorch_alexnet.device import Device
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.interchange.pixels import PIXELS, as_prepared, read_red_first
from minitorch_alexnet.layers import Conv2d, Copy, Flatten

CPU = Device("cpu")


def photos(side=256):
    return np.random.default_rng(0).integers(0, 256, (2, 3, side, side), np.uint8)


def test_torchvisions_pixels():
    x = photos()[:, :, 16:240, 16:240]
    mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    expected = (x / 255 - mean) / deviation
    y = PIXELS["torchvision"].normalize((3, 224, 224))(x, CPU)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize(("reads", "prepared"), [(224, 256), (227, 256), (64, 64)])
def test_photographs_are_of_256_where_the_net_reads_their_middle(reads, prepared):
    normalize = PIXELS["caffe"].normalize((3, reads, reads))
    assert normalize.mean.shape == (3, prepared, prepared)
    part = centre(normalize.mean.shape, (3, reads, reads))
    mean = np.random.default_rng(1).uniform(0, 255, (3, reads, reads))
    np.testing.assert_array_equal(part(as_prepared(mean)), mean)


def test_kernels_that_read_blue_first_read_red_first_afterwards():
    x = photos(9).astype(np.float32)
    net = Graph((3, 9, 9), device="cpu:0")
    net.add("image_b", Copy(to="cpu:1"), "image")
    net.add("conv1", Conv2d(3, 4, 3), "image", tower="a")
    net.add("conv1", Conv2d(3, 5, 3), "image_b", tower="b")
    _, before = net.forward(x[:, ::-1], train=False, keep=("conv1a", "conv1b"))
    read_red_first(net)
    _, after = net.forward(x, train=False, keep=("conv1a", "conv1b"))
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("layer", [Flatten(), Conv2d(3, 3, 2, groups=3)], ids=repr)
def test_colours_that_cannot_be_turned_round(layer):
    net = Graph((3, 9, 9))
    net.add("first", layer)
    with pytest.raises(UserError, match="first reads the image"):
        read_red_first(net)


@pytest.mark.parametrize(
    ("shape", "word"), [((1, 28, 28), "3 channels, the net's 1"), ((3, 20, 30), "not square")]
)
def test_other_images_are_refused(shape, word):
    with pytest.raises(UserError, match=word):
        PIXELS["torchvision"].normalize(shape)
