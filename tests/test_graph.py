"""The graph against the same arithmetic written out, and the two-tower net against the merged."""

import copy

import numpy as np
import pytest

from minitorch_alexnet.errors import CheckpointError, ShapeError, UserError
from minitorch_alexnet.gradcheck import check_graph
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
    SoftmaxCrossEntropy,
)
from minitorch_alexnet.models import build
from minitorch_alexnet.optim import SGD


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
        super().__init__(0.5)
        self.of = of

    def forward(self, x, train=True):
        whole = self.rng.random((len(x), 6, *x.shape[2:])) >= 0.5
        self.cache = (whole[:, self.of].astype(x.dtype),)
        return x * self.cache[0]


def with_same_masks(net):
    for name, of in (("drop3", slice(0, 6)), ("drop3a", slice(0, 3)), ("drop3b", slice(3, 6))):
        if name in net.nodes:
            node = net.nodes[name]
            net.nodes[name] = type(node)(
                name, SameMasks(of), node.sources, node.shape, node.device, node.tower
            )
    return net


def batch(rng, n=6):
    return rng.standard_normal((n, 3, 11, 11)), rng.integers(0, 5, n)


def test_two_towers_equal_the_merged_net_through_ten_steps():
    nets = [with_same_masks(in_float64(f(), np.random.default_rng(1))) for f in (towers, merged)]
    optimisers = [SGD(net.named_parameters(), lr=0.05) for net in nets]
    rng = np.random.default_rng(2)
    for _ in range(10):
        images, labels = batch(rng)
        outputs = []
        for net, sgd in zip(nets, optimisers, strict=True):
            loss = SoftmaxCrossEntropy()
            outputs.append(net.forward(images))
            loss.forward(outputs[-1], labels)
            net.backward(loss.backward())
            sgd.step()
        np.testing.assert_allclose(*outputs, rtol=0, atol=1e-12)
        gradients = [
            net.join({k: p.grad for k, p in net.named_parameters().items()}) for net in nets
        ]
        assert gradients[0].keys() == gradients[1].keys()
        for name in gradients[0]:
            np.testing.assert_allclose(
                gradients[0][name], gradients[1][name], rtol=0, atol=1e-12, err_msg=name
            )
    for name, value in nets[0].state_dict().items():
        np.testing.assert_allclose(value, nets[1].state_dict()[name], rtol=0, atol=1e-12)
    velocities = [net.join(s.velocity) for net, s in zip(nets, optimisers, strict=True)]
    for name, value in velocities[0].items():
        np.testing.assert_allclose(value, velocities[1][name], rtol=0, atol=1e-12)


def test_gradients_of_a_graph_with_towers_and_fan_out():
    rng = np.random.default_rng(3)
    report = check_graph(in_float64(towers(), rng), *batch(rng, 3), rng=rng, tolerance=1e-6)
    assert report.passed, report


def test_a_value_used_twice_gets_the_sum_of_its_gradients():
    net = Graph((2, 1, 1))
    net.add("flat", Flatten())
    net.add("first", Linear(2, 2))
    net.add("again", Concat(), ("first", "first"))
    net.add("thrice", Concat(), ("again", "first"))
    w = net["first"].params["weight"]
    w.data = np.array([[1.0, 2.0], [3.0, 4.0]])
    net["first"].params["bias"].data = np.zeros(2)
    x = np.array([5.0, 7.0]).reshape(1, 2, 1, 1)
    np.testing.assert_array_equal(net.forward(x), [[19, 43, 19, 43, 19, 43]])
    dy = np.array([[1.0, 10.0, 2.0, 20.0, 3.0, 30.0]])
    before = dy.copy()
    net.backward(dy)
    np.testing.assert_array_equal(w.grad, [[6 * 5, 6 * 7], [60 * 5, 60 * 7]])
    np.testing.assert_array_equal(dy, before)


def test_no_gradient_is_asked_for_where_only_the_image_or_frozen_layers_lie_upstream():
    asked = {}

    class Spy(Conv2d):
        def backward(self, dy, need_dx=True):
            asked[self] = need_dx
            return super().backward(dy, need_dx)

    net = Graph((1, 5, 5))
    layers = [Spy(1, 2, 3), Spy(2, 2, 3), Spy(2, 2, 1)]
    for i, layer in enumerate(layers):
        net.add(f"conv{i}", layer)
    x = np.random.default_rng(0).standard_normal((2, 1, 5, 5), dtype=np.float32)
    net.backward(net.forward(x))
    assert [asked[layer] for layer in layers] == [False, True, True]

    asked.clear()
    for parameter in layers[0].params.values():
        parameter.lr_scale = 0
    net.backward(net.forward(x))
    assert layers[0] not in asked
    assert [asked[layer] for layer in layers[1:]] == [False, True]
    assert layers[0].params["weight"].grad is None
    assert layers[0].cache is None


def test_keep_returns_the_outputs_of_the_named_nodes():
    net = merged()
    images = np.random.default_rng(0).standard_normal((2, 3, 11, 11), dtype=np.float32)
    y, kept = net.forward(images, train=False, keep=("conv1", "fc4"))
    assert list(kept) == ["conv1", "fc4"]
    np.testing.assert_array_equal(kept["conv1"], net["conv1"].forward(images, train=False))
    assert kept["fc4"] is y


def test_predict_is_the_test_time_forward_in_batches():
    net = merged()
    images = np.random.default_rng(0).standard_normal((7, 3, 11, 11), dtype=np.float32)
    whole = net.forward(images, train=False)
    np.testing.assert_allclose(net.predict(images, batch_size=3), whole, rtol=1e-5, atol=1e-6)
    assert all(node.layer.cache is None for node in net.nodes.values())


def test_ledger_counts_what_crossed():
    net = towers()
    images = np.random.default_rng(0).standard_normal((2, 3, 11, 11), dtype=np.float32)
    net.backward(net.forward(images))
    rows = {row["edge"]: row for row in net.ledger()}
    assert set(rows) == {
        "image -> image_b",
        "conv2b -> to_a",
        "conv2a -> to_b",
        "drop3b -> drop3_to_a",
    }
    assert rows["image -> image_b"]["bytes_forward"] == 2 * 3 * 11 * 11 * 4
    assert rows["image -> image_b"]["bytes_backward"] == 0  # nothing learns upstream of it
    assert rows["conv2b -> to_a"]["devices"] == "cpu:1 -> cpu:0"
    for edge, floats in (("conv2b -> to_a", 4 * 2 * 2), ("drop3b -> drop3_to_a", 3 * 2 * 2)):
        assert rows[edge]["bytes_forward"] == rows[edge]["bytes_backward"] == 2 * floats * 4


def freeze(net, *names):
    for name in names:
        for parameter in net[name].params.values():
            parameter.lr_scale = 0


def test_crossings_by_hand():
    there, back = "cpu:0 -> cpu:1", "cpu:1 -> cpu:0"
    assert [tuple(row.values()) for row in towers().crossings()] == [
        ("image -> image_b", there, 3 * 11 * 11 * 4, 0),  # nothing learns upstream of it
        ("conv2b -> to_a", back, 4 * 2 * 2 * 4, 4 * 2 * 2 * 4),
        ("conv2a -> to_b", there, 4 * 2 * 2 * 4, 4 * 2 * 2 * 4),
        ("drop3b -> drop3_to_a", back, 3 * 2 * 2 * 4, 3 * 2 * 2 * 4),
    ]
    assert merged().crossings() == []


@pytest.mark.parametrize(
    ("frozen", "back"),
    [
        ("", [0, 64, 64, 48]),
        ("conv1a conv1b", [0, 64, 64, 48]),
        ("conv1a conv2a", [0, 64, 0, 48]),
        ("conv1a conv1b conv2a conv2b", [0, 0, 0, 48]),
        ("conv1a conv1b conv2a conv2b conv3b", [0, 0, 0, 0]),
        ("conv3a conv3b fc4", [0, 64, 64, 48]),  # what is frozen downstream lets gradients through
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_crossings_foretell_the_ledger_whatever_is_frozen(frozen, back, dtype):
    net = towers() if dtype == np.float32 else in_float64(towers(), np.random.default_rng(0))
    freeze(net, *frozen.split())
    itemsize = np.dtype(dtype).itemsize
    rows = net.crossings(itemsize)
    assert [4 * row["bytes_backward"] for row in rows] == [itemsize * b for b in back]
    for row in rows:  # of two images, in two steps
        row["bytes_forward"] *= 4
        row["bytes_backward"] *= 4
    for _ in range(2):
        images, _ = batch(np.random.default_rng(0), 2)
        net.backward(net.forward(images.astype(dtype)))
    assert net.ledger() == rows


def test_one_parameter_that_learns_is_enough_for_a_gradient_to_cross():
    net = towers()
    freeze(net, "conv1a", "conv1b", "conv2a", "conv2b")
    net["conv1b"].params["bias"].lr_scale = 1
    assert [row["bytes_backward"] for row in net.crossings()] == [0, 64, 0, 48]


def test_state_dict_fits_the_net_on_any_devices():
    rng = np.random.default_rng(0)
    two, one = in_float64(towers(), rng), merged()
    state = two.state_dict()
    assert {k: v.shape for k, v in state.items()} == {
        k: v.shape for k, v in one.state_dict().items()
    }
    np.testing.assert_array_equal(
        state["conv1.weight"],
        np.concatenate([two["conv1a"].params["weight"].data, two["conv1b"].params["weight"].data]),
    )
    again = towers()
    again.load_state_dict(state)
    for name, parameter in again.named_parameters().items():
        np.testing.assert_array_equal(
            parameter.data, two.named_parameters()[name].data.astype(np.float32)
        )
        assert parameter.data.dtype == np.float32
    state["conv1.weight"][:] = 0  # a copy: the net keeps its own
    assert two["conv1a"].params["weight"].data.any()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("conv2.bias"), "conv2.bias is missing"),
        (lambda s: s.update(extra=np.zeros(3)), "extra: 3 rows, of which the net has 0"),
        (lambda s: s.update({"fc4.bias": np.zeros(6)}), "fc4.bias: 6 rows, of which the net has 5"),
        (lambda s: s.update({"fc4.weight": np.zeros((5, 2))}), r"fc4.weight: expected \(5, 24\)"),
    ],
)
def test_a_state_of_another_model_is_refused_and_changes_nothing(spoil, message):
    net = merged()
    before = net.state_dict()
    state = {k: v + 1 for k, v in before.items()}
    spoil(state)
    with pytest.raises(CheckpointError, match=message):
        net.load_state_dict(state)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_summary_has_shapes_counts_devices_and_totals():
    lines = towers().summary().partition("\n\n")[0].splitlines()
    assert lines[0].split() == ["node", "layer", "output", "parameters", "multiply-adds", "device"]
    rows = {line.split()[0]: line for line in lines[1:]}
    weights = 4 * 3 * 3 * 3
    assert rows["conv1b"].split()[-4:] == ["4×5×5", str(weights + 4), f"{weights * 25:,}", "cpu:1"]
    assert rows["fc4"].split()[-4:] == ["5", "125", "120", "cpu:0"]
    parameters = sum(p.data.size for p in towers().named_parameters().values())
    multiply_adds = 2 * (weights * 25 + 4 * 4 * 9 * 4 + 3 * 8 * 4) + 24 * 5
    assert rows["total"].split()[1:] == [f"{parameters:,}", f"{multiply_adds:,}"]


def test_summary_ends_with_what_crosses_if_anything_does():
    net = towers()
    assert net.summary().partition("\n\n")[2].splitlines() == [
        "bytes an image, float32  devices           forward  backward",
        "image -> image_b         cpu:0 -> cpu:1      1,452         0",
        "conv2b -> to_a           cpu:1 -> cpu:0         64        64",
        "conv2a -> to_b           cpu:0 -> cpu:1         64        64",
        "drop3b -> drop3_to_a     cpu:1 -> cpu:0         48        48",
        "total of the image                           1,452         0",
        "total of the maps                              176       176",
    ]
    freeze(net, "conv1a", "conv2a")
    assert net.summary().splitlines()[-1].split()[-2:] == ["176", "112"]
    assert merged().summary().splitlines()[-1].startswith("total ")


def small():
    net = Graph((3, 8, 8))
    net.add("conv1", Conv2d(3, 4, 3))
    return net


@pytest.mark.parametrize(
    ("add", "kind", "message"),
    [
        (lambda n: n.add("conv1", ReLU()), UserError, "conv1: there is a node of that name"),
        (lambda n: n.add("image", ReLU()), UserError, "image: there is a node of that name"),
        (lambda n: n.add("naïve", ReLU()), UserError, "ASCII letters"),
        (lambda n: n.add("relu", ReLU(), "conv9"), UserError, "no node conv9 to read"),
        (
            lambda n: n.add("conv2", Conv2d(5, 4, 3)),
            ShapeError,
            r"conv2: .*expected 5 input channels, got 4; input shape \(4, 6, 6\) from conv1",
        ),
        (
            lambda n: (n.add("far", Copy(to="cpu:1")), n.add("cat", Concat(), ("conv1", "far"))),
            UserError,
            "cat: conv1 lives on cpu:0 but far lives on cpu:1; add a Copy",
        ),
    ],
)
def test_building_errors_name_the_node_and_the_mend(add, kind, message):
    with pytest.raises(kind, match=message):
        add(small())


def test_images_of_a_wrong_shape_are_refused():
    with pytest.raises(ShapeError, match=r"takes images \(n, 3, 8, 8\), got \(2, 1, 8, 8\)"):
        small().forward(np.zeros((2, 1, 8, 8), np.float32))


def test_backward_twice_is_an_error_not_a_wrong_number():
    net = small()
    y = net.forward(np.zeros((2, 3, 8, 8), np.float32))
    net.backward(y)
    with pytest.raises(RuntimeError, match="needs a forward"):
        net.backward(y)


def test_dropout_generators_travel():
    net = build("fashion", seed=4)
    other = copy.deepcopy(net)
    x = np.random.default_rng(0).standard_normal((3, 1, 28, 28), dtype=np.float32)
    net.forward(x)
    states = net.generator_states()
    assert set(states) == {"drop6", "drop7"}
    assert not np.array_equal(net.forward(x), other.forward(x))
    other.set_generator_states(states)
    net.set_generator_states(states)
    np.testing.assert_array_equal(net.forward(x), other.forward(x))


def test_a_layer_can_be_in_a_net_once():
    net, relu = small(), ReLU()
    net.add("relu1", relu)
    with pytest.raises(UserError, match="relu2: this layer is in the net already"):
        net.add("relu2", relu)


def test_keep_refuses_names_there_are_not():
    with pytest.raises(UserError, match="keep: there is no node cnv1; nodes: conv1"):
        small().forward(np.zeros((1, 3, 8, 8), np.float32), keep=("cnv1",))


def test_a_layer_whose_backward_gives_another_shape_is_named():
    class Wrong(ReLU):
        def backward(self, dy, need_dx=True):
            return super().backward(dy)[:, :1]

    net = small()
    net.add("wrong", Wrong())
    y = net.forward(np.zeros((2, 3, 8, 8), np.float32))
    with pytest.raises(ShapeError, match=r"wrong: its backward gave \(2, 1, 6, 6\) for conv1"):
        net.backward(y)
    with pytest.raises(ShapeError, match=r"by wrong's output, \(n, 4, 6, 6\), got \(2, 4\)"):
        net.backward(y[:, :, 0, 0])


def test_a_wrong_dtype_names_its_node():
    with pytest.raises(UserError, match=r"conv1: .*weight is float32 but the input is float64"):
        small().forward(np.zeros((2, 3, 8, 8)))


def test_no_images_are_refused():
    for call in (small().forward, small().predict):
        with pytest.raises(ShapeError, match="at least one image"):
            call(np.zeros((0, 3, 8, 8), np.float32))


def test_one_learning_source_of_two_is_enough():
    net = Graph((1, 1, 1))
    net.add("conv1", Conv2d(1, 1, 1), "image")
    net.add("beside", ReLU(), "image")
    net.add("both", Concat(), ("conv1", "beside"))
    net.forward(np.full((1, 1, 1, 1), 3, np.float32))
    net.backward(np.array([5, 7], np.float32).reshape(1, 2, 1, 1))
    assert net["conv1"].params["weight"].grad.item() == 15
