"""The graph against the same arithmetic written out, and the two-tower net against the merged."""

import copy

import numpy as np
import pytest
from nets import batch, in_float64, merged, towers, with_same_masks
from reference import assert_close, normal

from minitorch_alexnet.errors import CheckpointError, ShapeError, UserError
from minitorch_alexnet.gradcheck import check_graph, check_layer
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import (
    Concat,
    Conv2d,
    Copy,
    Dropout,
    Flatten,
    Layer,
    Linear,
    Parameter,
    ReLU,
    SoftmaxCrossEntropy,
    Tanh,
)
from minitorch_alexnet.models import build
from minitorch_alexnet.optim import SGD

IMAGES = np.zeros((2, 3, 8, 8), np.float32)  # for small()


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
        def backward(self, dy, cache, need_dx=True):
            asked[self] = need_dx
            return super().backward(dy, cache, need_dx)

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


def test_keep_returns_the_outputs_of_the_named_nodes():
    net = merged()
    images = np.random.default_rng(0).standard_normal((2, 3, 11, 11), dtype=np.float32)
    y, kept = net.forward(images, train=False, keep=("conv1", "fc4"))
    assert list(kept) == ["conv1", "fc4"]
    conv1, _ = net["conv1"].forward(images)
    np.testing.assert_allclose(kept["conv1"], conv1, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(kept["fc4"], y)
    np.testing.assert_array_equal(net.forward(images, train=False), y)


def test_predict_is_the_test_time_forward_in_batches():
    net = merged()
    images = np.random.default_rng(0).standard_normal((7, 3, 11, 11), dtype=np.float32)
    whole = net.forward(images, train=False)
    np.testing.assert_allclose(net.predict(images, batch_size=3), whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(net(images), whole)


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
        (lambda s: s.update({"fc4.bias": 3}), "fc4.bias is no array of numbers"),
        (lambda s: s.update({"fc4.bias": None}), "fc4.bias is no array of numbers"),
        (lambda s: s.update({"fc4.bias": list("abcde")}), "fc4.bias is no array of numbers"),
        (lambda s: s.update({"fc4.bias": [[1], [1, 2]]}), "fc4.bias is no array of numbers"),
        (lambda s: s.update({"fc4.bias": np.zeros(5, complex)}), "fc4.bias is no array of numbers"),
        (lambda s: s.update(merged().named_parameters()), "no array of numbers but a Parameter"),
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


def test_a_state_may_be_lists_or_tensors(torch):
    net, state = merged(), merged().state_dict()
    state = {k: v + 1 for k, v in state.items()}
    for convert in (np.ndarray.tolist, np.float64, torch.tensor):
        net.load_state_dict(merged().state_dict())
        net.load_state_dict({k: convert(v) for k, v in state.items()})
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(value, state[name])
            assert value.dtype == np.float32


@pytest.mark.parametrize("state", [None, "net.npz", [1], merged()])
def test_a_state_is_arrays_by_name(state):
    with pytest.raises(CheckpointError, match="expected arrays by name"):
        merged().load_state_dict(state)


def test_a_net_without_numbers_has_no_state():
    for ask in (Graph.state_dict, lambda net: check_graph(net, np.zeros((2, 1, 4, 4)), [0, 1])):
        with pytest.raises(UserError, match="conv1: its weight has no numbers yet"):
            ask(twins(seed=None))


class OfOne(Concat):
    """Reads as many inputs as one likes, but has a shape for one alone."""

    def output_shape(self, shape):
        return shape


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
        (lambda n: n.add("relu", ReLU(), "relu"), UserError, "no node relu to read"),
        (lambda n: n.add("relu", ReLU(), 3), UserError, "name, or a tuple"),
        (lambda n: n.add("relu", ReLU(), n["conv1"]), UserError, "name, or a tuple"),
        (lambda n: n.add("cat", Concat(), {"conv1", "image"}), UserError, "name, or a tuple"),
        (lambda n: n.add("cat", Concat(), ()), UserError, "name, or a tuple"),
        (lambda n: n.add("cat", Concat()), ShapeError, "two inputs or more, got 1"),
        (lambda n: n.add("conv2", Conv2d(4, 4, 3), ("conv1",) * 2), UserError, "take 2 inputs"),
        (lambda n: n.add("relu", ReLU(), ("conv1",) * 2), UserError, "take 2 inputs"),
        (lambda n: n.add("flat", Flatten(), ("conv1",) * 3), UserError, "take 3 inputs"),
        (lambda n: n.add("cat", OfOne(), ("conv1",) * 2), UserError, "output_shape does not take"),
        (lambda n: n.add("relu", ReLU), UserError, "relu: expected a layer.*the class ReLU"),
        (lambda n: n.add("relu", np.tanh), UserError, "relu: expected a layer.*ufunc"),
        (lambda n: n.add("relu", None), UserError, "relu: expected a layer.*None"),
        (lambda n: n.add("net", small()), UserError, "net: expected a layer.*Graph"),
        (lambda n: n.add(ReLU(), "relu"), UserError, "name and tower are text"),
        (lambda n: n.add("relu", ReLU(), tower=1), UserError, "name and tower are text"),
        *(
            (lambda n, name=name: n.add(name, ReLU()), UserError, "ASCII letters")
            for name in ("", "a.b", "a/b", "a b", "a\n", "1a", "\x00")
        ),
        (lambda n: n.add("", ReLU(), tower="a"), UserError, "ASCII letters"),
        (lambda n: n.add("con", ReLU(), tower="v1"), UserError, "conv1: there is a node"),
        (
            lambda n: n.add("conv1", Conv2d(3, 4, 3), "image", "a"),
            UserError,
            "both be called conv1",
        ),
        (lambda n: Graph.of((3, 8, 8), Conv2d(3, 4, 3)), UserError, "in one list"),
        (lambda n: Graph.of((3, 8, 8), Conv2d(3, 4, 3), ReLU()), UserError, "in one list"),
        (lambda n: Graph.of((3, 8, 8), None), UserError, "in one list"),
        (lambda n: Graph.of((3, 8, 8), [ReLU]), UserError, "the class ReLU"),
        (lambda n: Graph.of((3, 8, 8), {"conv1": Conv2d(3, 4, 3)}), UserError, "got a str"),
        (lambda n: n["conv2"], UserError, "no node 'conv2'; nodes: conv1"),
        (lambda n: list(n), UserError, "no node 0; nodes: conv1"),
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


@pytest.mark.parametrize("layer", [Conv2d(3, 4, 5), Conv2d(3, 4, (3, 1))])
def test_weights_that_cannot_be_joined_are_refused_where_they_are_added(layer):
    net = Graph((3, 8, 8))
    net.add("conv1", Conv2d(3, 6, 3), tower="a")
    with pytest.raises(ShapeError, match=r"conv1b: its weight .* cannot be joined with conv1a's"):
        net.add("conv1", layer, "image", tower="b")
    net.add("conv1", Conv2d(3, 2, 3), "image", tower="b")
    assert net.state_dict()["conv1.weight"].shape == (8, 3, 3, 3)


def test_what_is_refused_leaves_the_net_as_it_was():
    net = small()
    for layer, source in ((Conv2d(5, 4, 3), "conv1"), (Concat(), ("conv1",)), (ReLU, None)):
        with pytest.raises(UserError):
            net.add("next", layer, source)
    assert list(net.nodes) == ["conv1"]
    assert net.add("next", ReLU()) == (4, 6, 6)


@pytest.mark.parametrize(
    "shape",
    [(28, 28), (9, 1, 28, 28), (0, 8, 8), (1, -8, 8), (1.0, 8, 8), (), 28, None, "188", IMAGES],
    ids=lambda shape: str(shape)[:15],
)
def test_input_shape_is_that_of_one_image(shape):
    with pytest.raises(ShapeError, match=r"channels, rows, columns\).*without a batch axis"):
        Graph(shape)


@pytest.mark.parametrize("shape", [(3, 8, 8), [3, 8, 8], np.array([3, 8, 8])])
def test_input_shape_may_be_any_sequence(shape):
    net = Graph(shape)
    assert net.input_shape == (3, 8, 8)
    assert {type(size) for size in net.input_shape} == {int}


@pytest.mark.parametrize("seed", ["a", -1, 1.5, np.random.default_rng(0)])
def test_a_seed_is_a_whole_number(seed):
    for build_it in (
        lambda: Graph.of((1, 3, 3), [Conv2d(1, 1, 3)], seed=seed),
        lambda: build("fashion", seed=seed),
    ):
        with pytest.raises(UserError, match="seed must be a whole number"):
            build_it()


@pytest.mark.parametrize(
    "ask",
    [
        lambda net: net(IMAGES),
        lambda net: net.predict(IMAGES),
        lambda net: net.output_device,
        lambda net: check_graph(net, IMAGES, [0, 1]),
        lambda net: SGD(net.named_parameters()),
    ],
)
def test_a_net_without_layers_has_nothing_to_give(ask):
    with pytest.raises(UserError, match="no layer"):
        ask(Graph((3, 8, 8)))
    assert Graph((3, 8, 8)).state_dict() == {}


@pytest.mark.parametrize("dtype", ["f8", "f2", "i8"])
def test_a_derivative_of_another_dtype_is_refused_and_may_be_given_again(dtype):
    net, wanted = small(), small()
    images = normal(2, 3, 8, 8, dtype=np.float32)
    dy = net.forward(images)
    with pytest.raises(UserError, match=r"output was float32 but .* is (float|int).*astype"):
        net.backward(dy.astype(dtype))
    net.backward(dy)
    wanted.backward(wanted.forward(images))
    for name, grad in gradients(net).items():
        np.testing.assert_array_equal(grad, gradients(wanted)[name])


class Odd(ReLU):
    """A layer with a mistake in it."""

    def __init__(self, mistake):
        super().__init__()
        self.params, self.mistake = {"scale": Parameter(np.ones(2, np.float32))}, mistake

    def forward(self, x, train=True):
        y = {"y of another shape": x[:, :1], "no y": None}.get(self.mistake, x)
        return y, x

    def backward(self, dy, x, need_dx=True):
        dx = {"two dx": (dy, dy), "no dx": None}.get(self.mistake, dy)
        found = {
            "grads are no dict": np.ones(2, np.float32),
            "grads are missing": {},
            "grads by another name": {"weight": np.ones(2, np.float32)},
            "a gradient of another shape": {"scale": np.ones(3, np.float32)},
        }
        return dx, found.get(self.mistake, {"scale": np.full(2, len(dy), np.float32)})


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("y of another shape", r"odd: its forward gave \(., 1, .*output_shape says \(., 4"),
        ("no y", r"odd: its forward gave None"),
        ("two dx", "must give a dx an input, 1, got 2"),
        ("no dx", r"odd: its backward gave None for conv1"),
        ("grads are no dict", "grads must be a dict, got an array"),
        ("grads are missing", r"odd: its backward gave None for its scale, expected \(2,\)"),
        ("grads by another name", r"odd: its backward gave None for its scale"),
        ("a gradient of another shape", r"gave \(3,\) for its scale, expected \(2,\)"),
    ],
)
def test_mistakes_in_a_layer_of_ones_own_are_told(mistake, message):
    net = small()
    net.add("odd", Odd(mistake))
    with pytest.raises(UserError, match=message):
        net.backward(net.forward(IMAGES))
    net = small()
    net.add("odd", Odd("none"))
    net.backward(net.forward(IMAGES))
    assert net["odd"].params["scale"].grad.tolist() == [2, 2]


def without_super():
    class Bald(ReLU):
        def __init__(self):
            self.size = 3

    return Bald()


def with_plain_params():
    relu = ReLU()
    relu.params["scale"] = np.ones(3)
    return relu


def with_a_short(method):
    def short(self, x):
        return x, None

    return type("Short", (ReLU,), {method: short})()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (without_super, r"Bald needs super\(\).__init__\(\)"),
        (with_plain_params, "its scale must be a Parameter"),
        (lambda: with_a_short("forward"), "its forward does not take 1 input and train"),
        (lambda: with_a_short("backward"), "its backward does not take .*need_dx"),
    ],
)
def test_a_layer_that_is_not_whole_is_refused_where_it_is_added(make, message):
    with pytest.raises(UserError, match=message):
        small().add("own", make())
    with pytest.raises(UserError, match=message):
        check_layer(make(), IMAGES)


def test_a_net_says_in_a_line_what_it_is():
    assert repr(towers()) == (
        f"Graph((3, 11, 11), nodes: {len(towers().nodes)}, parameters: 699, on cpu:0, cpu:1)"
    )
    assert "parameters: 0, on cpu:1" in repr(Graph((3, 8, 8), device="cpu:1"))


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
        def backward(self, dy, cache, need_dx=True):
            dx, grads = super().backward(dy, cache)
            return dx[:, :1], grads

    net = small()
    net.add("wrong", Wrong())
    y = net.forward(np.zeros((2, 3, 8, 8), np.float32))
    with pytest.raises(ShapeError, match=r"wrong: its backward gave \(., 1, 6, 6\) for conv1"):
        net.backward(y)


def test_a_derivative_of_another_shape_than_the_outputs_is_refused():
    net = small()
    y = net.forward(np.zeros((2, 3, 8, 8), np.float32))
    with pytest.raises(ShapeError, match=r"by conv1's output, \(2, 4, 6, 6\), got \(2, 4\)"):
        net.backward(y[:, :, 0, 0])


@pytest.mark.parametrize("n", [1, 4, 16])
def test_a_derivative_for_another_number_of_images_is_refused(n):
    net = small()
    net.forward(np.zeros((8, 3, 8, 8), np.float32))
    with pytest.raises(ShapeError, match=rf"output, \(8, 4, 6, 6\), got \({n}, 4, 6, 6\)"):
        net.backward(np.zeros((n, 4, 6, 6), np.float32))


def test_a_net_without_layers_says_so():
    with pytest.raises(UserError, match="no layers yet"):
        Graph((3, 8, 8))(np.zeros((2, 3, 8, 8), np.float32))


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4"])
def test_images_of_another_float_are_refused_with_the_way_to_the_nets(dtype):
    images = normal(2, 3, 8, 8).astype(dtype)
    for call in (small(), small().predict):
        with pytest.raises(UserError, match=r"float32 but the images are .*astype\(np.float32\)"):
            call(images)
    assert small()(images.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("dtype", ["u1", "i8", "?", "c8", "O"])
def test_pictures_as_they_are_belong_elsewhere(dtype):
    for call in (small(), small().predict):
        with pytest.raises(UserError, match=r"normalised.* trainer.predict and load_run"):
            call(np.ones((2, 3, 8, 8), dtype))


def test_a_float64_net_takes_float64_and_no_less():
    net = in_float64(small(), np.random.default_rng(0))
    assert net(normal(2, 3, 8, 8)).dtype == np.float64
    with pytest.raises(UserError, match="float64 but the images are float32"):
        net(normal(2, 3, 8, 8, dtype=np.float32))


NO_ARRAYS = [IMAGES.tolist(), list(IMAGES), (IMAGES, [0, 1]), None, "a.png", 3, iter(IMAGES), {}]


@pytest.mark.parametrize("images", NO_ARRAYS, ids=lambda images: type(images).__name__)
def test_what_is_no_array_is_named_and_refused(images):
    named = "None" if images is None else f"an? {type(images).__name__}"
    for call in (small(), small().forward, small().predict):
        with pytest.raises(UserError, match=rf"images \(n, 3, 8, 8\) .*got {named}: .*np.asarray"):
            call(images)
    net = small()
    net.forward(IMAGES)
    with pytest.raises(UserError, match=rf"loss.backward\(\) gives, got {named}"):
        net.backward(images)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.update(weight=np.ones((4, 3, 3, 3))), "conv1: its weight must be a Parameter"),
        (lambda p: setattr(p["weight"], "data", [1.0]), "conv1: the data of its weight .*a list"),
    ],
)
def test_weights_that_are_no_arrays_are_named(spoil, message):
    net = small()
    spoil(net["conv1"].params)
    with pytest.raises(UserError, match=message):
        net(IMAGES)


def test_the_axes_are_named_where_they_are_in_another_order():
    with pytest.raises(ShapeError, match="images, channels, rows, columns"):
        small()(IMAGES.transpose(0, 2, 3, 1))


def test_labels_are_not_for_forward():
    with pytest.raises(UserError, match=r"train must be True or False.*labels"):
        small().forward(IMAGES, np.array([1]))


@pytest.mark.parametrize("size", [0, -1, 2.0, None])
def test_batches_to_predict_in_have_a_whole_size(size):
    with pytest.raises(UserError, match="batch_size"):
        small().predict(IMAGES, batch_size=size)


def test_one_node_may_be_kept_by_its_name():
    _, kept = small().forward(IMAGES, keep="conv1")
    assert list(kept) == ["conv1"]


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


# ---- a batch in parts --------------------------------------------------------------------------


def branches():
    """Nodes that want the whole batch amid some that do not, on two branches, and two nodes that
    nobody reads.
    """
    net = Graph((2, 4, 4))
    net.add("conv1", Conv2d(2, 3, 3, padding=1))
    net.add("idle", Conv2d(3, 1, 1), "conv1")
    net.add("flat", Flatten(), "conv1")
    net.add("fc", Linear(48, 4), "flat")
    net.add("conv2", Conv2d(3, 2, 3), "conv1")
    net.add("bent", Tanh(), "conv2")
    net.add("flat2", Flatten(), "bent")
    net.add("idle2", Linear(4, 1), "fc")
    net.add("both", Concat(), ("fc", "flat2"))
    net.add("out", Linear(12, 3))
    return net


def gradients(net):
    return {name: p.grad for name, p in net.named_parameters().items()}


def test_a_whole_batch_is_wanted_on_one_branch_and_not_on_the_other():
    net, rng = in_float64(branches(), np.random.default_rng(0)), np.random.default_rng(1)
    images = rng.standard_normal((19, 2, 4, 4))
    maps, _ = net["conv1"].forward(images)
    fc, _ = net["fc"].forward(maps.reshape(19, -1))
    bent = np.tanh(net["conv2"].forward(maps)[0]).reshape(19, -1)
    wanted, _ = net["out"].forward(np.concatenate([fc, bent], axis=1))
    assert_close(net.forward(images), wanted)
    for node in ("idle", "idle2"):  # check_graph asks of every parameter that it leads to the loss
        freeze(net, node)
    report = check_graph(net, images, rng.integers(0, 3, 19), rng=rng, samples=8)
    assert report.passed, report


def freeze(net, *names):
    for name in names:
        for parameter in net[name].params.values():
            parameter.lr_scale = 0


def test_what_nobody_reads_has_no_gradient():
    net = branches()
    net.backward(net.forward(normal(19, 2, 4, 4, dtype=np.float32)))
    silent = {name for name, grad in gradients(net).items() if grad is None}
    assert silent == {"idle.weight", "idle.bias", "idle2.weight", "idle2.bias"}
    with pytest.raises(RuntimeError, match=r"idle.weight has no gradient"):
        SGD(net.named_parameters()).step()


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 16, 17, 24, 33])
def test_a_batch_is_its_images_however_it_is_dealt_out(n):
    net = in_float64(branches(), np.random.default_rng(0))
    images, dy = normal(n, 2, 4, 4, seed=1), normal(n, 3, seed=2)
    before = images.tobytes(), dy.tobytes()
    y = net.forward(images)
    net.backward(dy)
    assert (images.tobytes(), dy.tobytes()) == before
    whole, sums = gradients(net), {}
    for i in range(n):
        assert_close(net.forward(images[i : i + 1]), y[i : i + 1], 1e-13)
        net.backward(dy[i : i + 1])
        for name, grad in gradients(net).items():
            sums[name] = sums.get(name, 0) + grad if grad is not None else None
    for name, grad in whole.items():
        assert (grad is None) == (sums[name] is None)
        if grad is not None:
            assert_close(grad, sums[name], 1e-13)


def learn(net, steps, n):
    """All numbers of that many steps: outputs, gradients, weights, velocities."""
    rng, loss = np.random.default_rng(7), SoftmaxCrossEntropy()
    sgd, found = SGD(net.named_parameters(), lr=0.01), []
    for _ in range(steps):
        images = rng.standard_normal((n, *net.input_shape), dtype=np.float32)
        y = net.forward(images)
        loss.forward(y, rng.integers(0, y.shape[1], n))
        net.backward(loss.backward())
        sgd.step()
        found += [y, *gradients(net).values()]
    found += [p.data for p in net.named_parameters().values()] + [*sgd.velocity.values()]
    return b"".join(array.tobytes() for array in found)


@pytest.mark.parametrize(("make", "n"), [(lambda: build("fashion"), 24), (towers, 128)])
def test_one_seed_is_the_same_bits_on_any_number_of_threads(make, n, set_threads):
    bits = []
    for threads in (1, 2, 3, 8, 16):
        set_threads(threads)
        bits.append(learn(make(), 10, n))
    assert bits == [bits[0]] * 5


def test_what_is_wrong_in_a_part_names_the_node_and_the_next_call_works():
    class Moody(ReLU):
        def forward(self, x, train=True):
            if self.angry:
                raise UserError("not today")
            return super().forward(x, train)

    net, images = small(), normal(40, 3, 8, 8, dtype=np.float32)
    net.add("moody", Moody())
    net["moody"].angry = False
    y = net.forward(images)
    net["moody"].angry = True
    with pytest.raises(UserError, match=r"moody: not today; input shape .* from conv1"):
        net.forward(images)
    with pytest.raises(RuntimeError, match="needs a forward"):  # not that of the forward before
        net.backward(y)
    net["moody"].angry = False
    np.testing.assert_array_equal(net.forward(images), y)


@pytest.mark.filterwarnings("ignore:overflow")
def test_the_callers_errstate_holds_in_every_part(set_threads):
    set_threads(2)
    net, images = small(), np.full((40, 3, 8, 8), 1e38, np.float32)
    net["conv1"].params["weight"].data[:] = 1e38
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        net.forward(images)
    with np.errstate(all="ignore"):
        assert not np.isfinite(net.forward(images)).any()


# ---- weights -----------------------------------------------------------------------------------


def twins(**options):
    """Equal layers, one after the other."""
    net = Graph((1, 4, 4), **options)
    for i in "12":
        net.add(f"conv{i}", Conv2d(1, 1, 3, padding=1))
        net.add(f"drop{i}", Dropout(0.5))
    return net


def test_equal_layers_start_differently_and_drop_differently():
    net = twins()
    one, two = (net[f"conv{i}"].params["weight"].data for i in "12")
    assert (one != two).all()
    masks = [net[f"drop{i}"].rng.random(9) for i in "12"]
    assert (masks[0] != masks[1]).all()


def test_a_layer_starts_by_the_seed_and_its_nodes_name_alone():
    same, other = twins(seed=0), twins(seed=1)
    alone = Graph((1, 4, 4))
    alone.add("drop2", Dropout(0.5))
    alone.add("conv2", Conv2d(1, 1, 3, padding=1))
    for net, equal in ((same, True), (other, False), (alone, True)):
        weight, wanted = net["conv2"].params["weight"].data, twins()["conv2"].params["weight"].data
        assert np.array_equal(weight, wanted) == equal
        assert (net["drop2"].rng.random() == twins()["drop2"].rng.random()) == equal


def test_a_layer_with_numbers_of_its_own_keeps_them():
    conv = Conv2d(1, 1, 3, rng=np.random.default_rng(9))
    drop = Dropout(0.5, rng=np.random.default_rng(9))
    before, rng = conv.params["weight"].data.copy(), drop.rng
    Graph.of((1, 4, 4), [conv, drop])
    np.testing.assert_array_equal(conv.params["weight"].data, before)
    assert drop.rng is rng


def test_without_a_seed_nobody_draws_until_weights_are_loaded():
    net, images = twins(seed=None), normal(2, 1, 4, 4, dtype=np.float32)
    with pytest.raises(UserError, match=r"conv1: Conv2d\(.*weight has no numbers yet"):
        net(images)
    net.load_state_dict(twins().state_dict())
    np.testing.assert_array_equal(net(images), twins()(images))


# ---- the door ----------------------------------------------------------------------------------


def test_a_plain_column():
    layers = [Conv2d(3, 4, 3), ReLU(), Conv2d(4, 2, 3), ReLU(), Flatten(), Linear(32, 5)]
    net = Graph.of((3, 8, 8), layers, seed=3)
    assert list(net.nodes) == ["conv2d1", "relu1", "conv2d2", "relu2", "flatten1", "linear1"]
    assert [node.layer for node in net.nodes.values()] == layers
    x = images = normal(3, 3, 8, 8, dtype=np.float32)
    for layer in layers:
        x, _ = layer.forward(x)
    assert_close(net(images), x, 1e-6)


def test_called_as_a_function_it_is_the_net_in_testing():
    net, images = build("fashion"), normal(3, 1, 28, 28, dtype=np.float32)
    np.testing.assert_array_equal(net(images), net.forward(images, train=False))
    assert (net(images) != net.forward(images)).any()  # dropout


def test_forward_in_testing_leaves_nothing_for_backward():
    net, images = small(), np.zeros((2, 3, 8, 8), np.float32)
    net.forward(images)
    y = net(images)
    with pytest.raises(RuntimeError, match="needs a forward"):
        net.backward(y)


def test_keeping_outputs_changes_no_gradient():
    nets = [in_float64(branches(), np.random.default_rng(0)) for _ in "12"]
    images, dy = normal(19, 2, 4, 4, seed=1), normal(19, 3, seed=2)
    y = nets[0].forward(images)
    kept_y, _ = nets[1].forward(images, keep=("conv1", "bent", "idle"))
    np.testing.assert_array_equal(kept_y, y)
    for net in nets:
        net.backward(dy)
    grads, wanted = gradients(nets[1]), gradients(nets[0])
    for name, grad in wanted.items():
        np.testing.assert_array_equal(grads[name], grad)


def test_a_frozen_parameter_gets_neither_gradient_nor_update():
    net, dy = in_float64(branches(), np.random.default_rng(0)), normal(5, 3)
    freeze(net, "idle", "idle2")
    images = normal(5, 2, 4, 4)
    net.forward(images)
    net.backward(dy)
    before, wanted = net.state_dict(), gradients(net)
    frozen = ("conv1.weight", "fc.bias", "out.weight")
    for name in frozen:
        net.named_parameters()[name].lr_scale = 0
    net.forward(images)
    net.backward(dy)
    for name, grad in gradients(net).items():
        if name in frozen:
            assert grad is None
        elif wanted[name] is not None:
            np.testing.assert_array_equal(grad, wanted[name])
    SGD(net.named_parameters(), lr=0.1).step()
    for name, value in net.state_dict().items():
        assert np.array_equal(value, before[name]) == (name in frozen or "idle" in name)


def test_gradients_are_set_not_added_up():
    net, images = in_float64(branches(), np.random.default_rng(0)), normal(9, 2, 4, 4)
    for factor in (1, 2):
        net.forward(images)
        net.backward(factor * normal(9, 3))
        if factor == 1:
            first = copy.deepcopy(gradients(net))
    for name, grad in gradients(net).items():
        if grad is not None:
            np.testing.assert_array_equal(grad, 2 * first[name])


class Bare(Layer):
    """y alone, or dx alone."""

    def __init__(self, way):
        super().__init__()
        self.way = way

    def forward(self, x, train=True):
        self.kept = x  # as a layer of 0.1 did, and the message is not to hold it
        return x + 1 if self.way == "forward" else (x + 1, None)

    def backward(self, dy, cache, need_dx=True):
        return dy + 0


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_a_layer_that_answers_with_an_array_alone_is_told_what_is_missing(way):
    """Of two images, too, which would unpack into two."""
    x = normal(2, 1, 4, 4, dtype=np.float32)
    net = Graph.of((1, 4, 4), [Conv2d(1, 1, 1), Bare(way)])
    missing = {"forward": "y and a cache", "backward": "dx and grads"}[way]
    with pytest.raises(UserError, match=rf"Bare: its {way} must return {missing}"):
        net.backward(net.forward(x))
    with pytest.raises(UserError, match=rf"Bare: its {way} must return {missing}"):
        check_layer(Bare(way), x)


def test_pixels_as_they_are_are_told_where_to_go(garments):
    net = Graph.of((1, 28, 28), [Flatten(), Linear(784, 10)])
    for ask in net, net.predict:
        with pytest.raises(UserError, match=r"got uint8: .*load_run\(folder\)\.predict"):
            ask(garments.images[:2])
