"""A net from the words that tell of it: the same numbers; or a refusal, and nothing is run."""

import re

import numpy as np
import pytest
from small import tiny

from minitorch_alexnet.described import from_words, in_words, wiring
from minitorch_alexnet.errors import CheckpointError, UserError
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Copy, Dropout, Flatten, Linear, LocalResponseNorm, ReLU
from minitorch_alexnet.layers.cases import cases
from minitorch_alexnet.models import MODELS, build


def rebuilt(net):
    made = from_words(in_words(net), wiring(net))
    made.load_state_dict(net.state_dict())
    return made


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_made_of_its_words(name):
    net = build(name, seed=None)
    made = from_words(in_words(net), wiring(net))
    assert in_words(made) == in_words(net)
    assert wiring(made) == wiring(net)
    assert made.state_shapes() == net.state_shapes()
    assert {str(device) for device in made.devices} == {"cpu:0"}


def test_towers_give_the_same_numbers():
    net = tiny(dropout=0.25)
    x = np.random.default_rng(0).standard_normal((4, 3, 16, 16), np.float32)
    np.testing.assert_array_equal(rebuilt(net)(x), net(x))


def test_every_kind_of_layer_is_read_back():
    for layer, shapes in cases(np.random.default_rng(0)):
        if len(shapes) > 1 or len(shapes[0]) == 2 or isinstance(layer, Copy):
            continue  # a graph cannot begin with these; and devices are left out
        net = Graph(shapes[0])
        net.add("layer", layer)
        assert repr(from_words(in_words(net), wiring(net))["layer"]) == repr(layer)


@pytest.mark.parametrize(
    "layer",
    [
        LocalResponseNorm(3, 0.123456789, 2 / 3, np.float32(1.1)),
        LocalResponseNorm(alpha=1e-4, k=2.0, groups=2),
        Dropout(1 / 3, "train"),
    ],
    ids=repr,
)
def test_numbers_are_read_back_to_the_last_digit(layer):
    net = Graph.of((4, 2, 2), [layer])
    (node,) = from_words(in_words(net), wiring(net)).nodes.values()
    settings = {name: value for name, value in vars(layer).items() if name not in ("params", "rng")}
    assert {name: getattr(node.layer, name) for name in settings} == settings


def test_a_layer_of_ones_own_has_no_words():
    class Mine(ReLU):
        pass

    assert wiring(Graph.of((4,), [Linear(4, 3), Mine()])) is None


WORDS = (
    "open('touched', 'w')", "ReLU(open('touched', 'w'))", "__import__('os').mkdir('touched')",
    "ReLU", "ReLU()()", "ReLU(", "ReLU(*[1])", "ReLU(**{})", "Layer()", "Graph((1,))",
    "Parameter(0)", "SoftmaxCrossEntropy()", "Linear(2)", "Linear(4, 'x')", "Linear(4, -1)",
    "Conv2d(1, 1, 1e9)", "Dropout(0.5, rng=1)", "(" * 300, "-" * 150 + "1", "1if 1else 2", "",
)  # fmt: skip


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[:20])
def test_words_that_tell_of_no_layer_are_refused_and_not_run(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wires = {"input_shape": [4], "nodes": {"a": ["", "image"]}}
    with pytest.raises(UserError):
        from_words([["a", words]], wires)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("layers", "word"),
    [
        ([Flatten()] * 1001, "more than 1000 layers"),
        (["Upsample(9)"] * 9, "too large"),
        (["MaxPool2d(3, stride=1, padding=1)"] * 3 + ["Conv2d(1, 900000, 1)"], "too large"),
        (["Conv2d(1, 1000, 99, padding=49)", "Conv2d(1000, 1000, 99, padding=49)"], "multiplicat"),
    ],
    ids=["layers", "an output", "maps", "multiplications"],
)
def test_nets_of_a_hundred_alexnets_are_refused(layers, word):
    words = [[f"n{i}", str(layer)] for i, layer in enumerate(layers)]
    names = ["image", *(name for name, _ in words)]
    nodes = {name: ["", before] for name, before in zip(names[1:], names[:-1], strict=True)}
    with pytest.raises(UserError, match=word):
        from_words(words, {"input_shape": [1, 40, 40], "nodes": nodes})


def test_words_without_wires():
    net = build("fashion", seed=None)
    wires = wiring(net)
    del wires["nodes"]["relu1"]
    with pytest.raises((CheckpointError, KeyError), match=re.escape("relu1")):
        from_words(in_words(net), wires)
