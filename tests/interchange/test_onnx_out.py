"""Our nets as ONNX graphs: checked by the onnx library, run by onnxruntime."""

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from small import tiny, tiny_merged

from minitorch_alexnet.config import Config
from minitorch_alexnet.data.span import BYTES, Span
from minitorch_alexnet.data.transforms import Normalize, centre
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.interchange.onnx_in import read_onnx
from minitorch_alexnet.interchange.onnx_out import to_onnx
from minitorch_alexnet.layers import (
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Tanh,
    Upsample,
)  # fmt: skip
from minitorch_alexnet.models import MODELS, build
from minitorch_alexnet.run import Run

SMALL = ("fashion", "alexnet-small")


def as_run(net, scale=1.0, span=BYTES, spare=0):
    """With a mean of images that are so much larger than what the net reads."""
    channels, *sides = net.input_shape
    shape = (channels, *(side + spare for side in sides))
    mean = np.random.default_rng(0).uniform(90, 140, shape)
    names = tuple(map(str, range(net.last.shape[0])))
    return Run(None, Config(), net, Normalize(mean, scale, span), names, ("", mean))


def largest_difference(run, x):
    """Between onnxruntime's logits of pixels and ours, as a share of the largest."""
    content = to_onnx(run)
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    (theirs,) = onnxruntime.InferenceSession(content).run(None, {"image": x})
    part = centre(run.normalize.mean.shape, x.shape)(run.normalize.mean)
    ours = run.net.predict(Normalize(part, run.normalize.scale)(x, run.net.device))
    assert theirs.shape == ours.shape
    return np.abs(theirs - ours).max() / np.abs(ours).max()


def bytes_for(net, count=3):
    return np.random.default_rng(1).integers(0, 256, (count, *net.input_shape), np.uint8)


@pytest.mark.parametrize(
    "name",
    [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in MODELS],
)
def test_every_model_says_in_onnxruntime_what_it_says_here(name):
    net = build(name)
    assert largest_difference(as_run(net, spare=10), bytes_for(net, 2)) < 1e-5


@pytest.mark.parametrize("model", [tiny, tiny_merged])
def test_towers_as_they_are_or_joined(model):
    net = model(dropout=0.5)
    assert largest_difference(as_run(net), bytes_for(net)) < 1e-5


LAYERS = {
    "uneven padding": [Conv2d(4, 6, (3, 2), (2, 1), ((0, 3), (1, 2)), groups=2)],
    "LRN": [LocalResponseNorm(3, 0.3, 0.6, 1.5)],
    "LRN, α over size": [LocalResponseNorm(5, 0.3, 0.75, 1, alpha_over_size=True)],
    "LRN in groups": [LocalResponseNorm(3, 0.3, groups=2)],
    "a pool that rounds up": [MaxPool2d(3, 2, ceil_mode=True)],
    "a pool with padding": [MaxPool2d(3, 2, ((1, 0), (0, 2)))],
    "a pool with both": [MaxPool2d(3, 2, 1, ceil_mode=True)],
    "tanh": [Tanh()],
    "the paper's dropout": [Dropout(0.3)],
    "inverted dropout": [Dropout(0.3, "train")],
    "enlarged": [Upsample(3)],
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("side", [8, 9, 10])
def test_each_layer(name, side):
    net = Graph((3, side, 10))
    net.add("conv1", Conv2d(3, 4, 1))
    for number, layer in enumerate(LAYERS[name]):
        net.add(f"layer{number}", layer)
    before = net.last.name
    net.add("relu", ReLU(), "conv1")
    net.add("rows", Flatten())
    net.add("other", Flatten(), before)
    net.add("both", Concat(), ("rows", "other"))
    net.add("fc", Linear(net.last.shape[0], 5))
    x = np.random.default_rng(1).integers(0, 256, (3, 3, side, 10), np.uint8)
    run = as_run(net)
    run.normalize.scale = np.array([50.0, 60.0, 70.0])
    assert largest_difference(run, x) < 1e-5


def small_pools():
    for side, kernel, stride, start in itertools.product(
        range(4, 10), (1, 2, 3, 4), (1, 2, 3, 4, 5), (0, 1)
    ):
        for end, ceil_mode in itertools.product((0, 1), (False, True)):
            if max(start, end) <= kernel // 2:
                yield side, MaxPool2d(kernel, stride, ((start, end), (end, start)), ceil_mode)


def test_pools_that_round_up_or_down(tmp_path):
    """All small ones, of values below 0, which padding must not win against."""
    for side, layer in small_pools():
        net = Graph.of((1, side, side + 1), [layer, Flatten()])
        run = as_run(net, span=Span(-1, 1))
        content = to_onnx(run)
        onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
        x = np.random.default_rng(side).uniform(-9, -1, (2, *net.input_shape)).astype(np.float32)
        (theirs,) = onnxruntime.InferenceSession(content).run(None, {"image": x})
        expected = net(run.normalize(x, net.device))
        np.testing.assert_array_equal(theirs, expected, err_msg=f"{layer} of {side}")
        (tmp_path / "a.onnx").write_bytes(content)
        again, *_ = read_onnx(tmp_path / "a.onnx")
        assert again.nodes["pool0"].shape == net.nodes[next(iter(net.nodes))].shape


def test_images_of_another_scale_are_taken_as_they_are():
    net = Graph.of((1, 6, 6), [Flatten(), Linear(36, 3)])
    x = np.random.default_rng(1).uniform(0, 1, (4, 1, 6, 6)).astype(np.float32)
    run = as_run(net, span=Span(0, 1))
    assert largest_difference(run, x) < 1e-5


def test_nodes_and_weights_have_their_names():
    graph = onnx.load_model_from_string(to_onnx(as_run(tiny(dropout=0.5)))).graph
    assert " ".join(node.name for node in graph.node) == (
        "image.float image.centred image.scaled conv1a relu1a flattena drop1a"
        " conv1b relu1b flattenb drop1b both fc8"
    )
    assert {"conv1a.weight", "conv1b.bias", "fc8.weight"} <= {t.name for t in graph.initializer}
    assert [value.name for value in (*graph.input, *graph.output)] == ["image", "fc8"]


def test_layers_that_onnx_has_not():
    class Halved(Dropout):
        pass

    for layer, word in (
        (Halved(), "layer0: ONNX has no layer Dropout"),
        (LocalResponseNorm(4), "layer0: ONNX's windows of an even size"),
    ):
        net = Graph((4, 6, 6))
        net.add("layer0", layer)
        net.add("flatten", Flatten())
        net.add("fc", Linear(144, 2))
        with pytest.raises(UserError, match=word):
            to_onnx(as_run(net))
