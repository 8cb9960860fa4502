"""A net with one thing changed: what stays is the same to the bit, and nobody else's."""

import numpy as np
import pytest

from minitorch_alexnet.errors import ShapeError
from minitorch_alexnet.experiments.rebuild import rebuilt
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Concat, Copy, Dropout, Flatten, Linear, ReLU, Tanh
from minitorch_alexnet.models import build
from minitorch_alexnet.optim import SGD
from minitorch_alexnet.summary import crossings

IMAGES = np.random.default_rng(0).standard_normal((3, 1, 28, 28), np.float32)


def two_towers():
    net = Graph((1, 4, 4), device="cpu:0")
    net.add("image_b", Copy(to="cpu:1"), "image")
    for tower, image in ("a", "image"), ("b", "image_b"):
        net.add("flatten", Flatten(), image, tower=tower)
        net.add("fc1", Linear(16, 4, rng=np.random.default_rng(ord(tower))), tower=tower)
        net.add("relu1", ReLU(), tower=tower)
    net.add("relu1b_to_a", Copy(to="cpu:0"), "relu1b")
    net.add("both", Concat(), ("relu1a", "relu1b_to_a"))
    net.add("fc2", Linear(8, 3))
    return net


def test_unchanged_it_does_the_same_dropout_and_all():
    net = build("fashion", seed=3)
    copy = rebuilt(net, lambda node: node.layer)
    for train in (False, True, True):
        np.testing.assert_array_equal(net.forward(IMAGES, train), copy.forward(IMAGES, train))
    assert net.generator_states() == copy.generator_states()


def test_nothing_that_one_net_learns_or_draws_reaches_the_other():
    net = build("fashion", seed=3)
    copy = rebuilt(net, lambda node: node.layer)
    weights, states = net.state_dict(), net.generator_states()
    copy.forward(IMAGES)
    copy.backward(np.ones((3, 10), np.float32))
    SGD(copy.named_parameters()).step()
    for name, weight in net.state_dict().items():
        np.testing.assert_array_equal(weight, weights[name])
        assert not np.array_equal(copy.state_dict()[name], weight)
    assert net.generator_states() == states != copy.generator_states()


def test_readers_of_what_is_left_out_read_what_it_read():
    net = build("fashion", seed=3)
    gone = ("norm1", "pool1", "norm2")  # two neighbours, and one alone
    kept = rebuilt(net, lambda node: None if node.name == "norm1" else node.layer)
    assert list(kept.nodes) == [name for name in net.nodes if name != "norm1"]
    assert kept.nodes["pool1"].sources == ("relu1",)
    with pytest.raises(ShapeError, match="fc6"):  # without a pool the maps are larger
        rebuilt(net, lambda node: None if node.name in gone else node.layer)
    both = rebuilt(net, lambda node: None if node.name in ("relu1", "norm1") else node.layer)
    assert both.nodes["pool1"].sources == ("conv1",)


def test_another_layer_takes_the_place_of_the_old():
    net = two_towers()
    tanh = rebuilt(net, lambda node: Tanh() if isinstance(node.layer, ReLU) else node.layer)
    assert isinstance(tanh["relu1a"], Tanh)
    assert isinstance(tanh["relu1b"], Tanh)
    assert isinstance(net["relu1a"], ReLU)
    for name, weight in net.state_dict().items():
        np.testing.assert_array_equal(tanh.state_dict()[name], weight)


def test_towers_keep_their_names_devices_and_crossings():
    net = two_towers()
    copy = rebuilt(net, lambda node: node.layer)
    assert crossings(copy) == crossings(net)
    for node, twin in zip(net.nodes.values(), copy.nodes.values(), strict=True):
        assert (node.name, node.joined_name) == (twin.name, twin.joined_name)
        assert (node.sources, node.device) == (twin.sources, twin.device)


def test_a_generator_is_copied_with_its_state():
    net = Graph((4,))
    net.add("drop", Dropout(0.5, rng=np.random.default_rng(5)))
    net["drop"].rng.random(7)
    copy = rebuilt(net, lambda node: node.layer)
    assert copy["drop"].rng is not net["drop"].rng
    assert copy["drop"].rng.random() == net["drop"].rng.random()
