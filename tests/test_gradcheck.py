"""The gradient checker as a tool: right layers pass, wrong ones are found, and named."""

import math

import numpy as np
import pytest
from reference import normal, with_dtype

from minitorch_alexnet.errors import UserError
from minitorch_alexnet.gradcheck import check_graph, check_layer
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.kernels.cpu import window_sum
from minitorch_alexnet.layers import (
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Tanh,
)
from minitorch_alexnet.layers.cases import cases

# ---- right layers --------------------------------------------------------------------------


CASES = [repr(layer) for layer, _ in cases(np.random.default_rng(0))]


@pytest.mark.parametrize("case", range(len(CASES)), ids=CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_right_layers_pass(case, dtype):
    layer, shapes = cases(np.random.default_rng(1))[case]
    report = check_layer(layer, *(normal(2, *shape, dtype=dtype) for shape in shapes))
    assert report.passed, str(report)
    assert report.error < 1e-7
    names = [f"input {i}" for i in range(len(shapes))]
    assert [w.name for w in report.worst] == [*names, *layer.params]
    assert [w.kinks for w in report.worst] == [0] * len(report.worst)
    assert report.worst[0].checked == min(200, 2 * math.prod(shapes[0]))
    assert ": ok, error" in str(report)


def test_every_input_of_several_is_checked():
    report = check_layer(Concat(), normal(2, 3), normal(2, 4))
    assert [(w.name, w.checked) for w in report.worst] == [("input 0", 6), ("input 1", 8)]
    assert report.passed


def test_no_more_than_samples_elements_are_compared():
    report = check_layer(Linear(40, 30), normal(2, 40), samples=50)
    assert [(w.name, w.checked) for w in report.worst] == [
        ("input 0", 50),
        ("weight", 50),
        ("bias", 30),
    ]


def test_a_frozen_parameter_is_left_out():
    layer = Linear(4, 3)
    layer.params["weight"].lr_scale = 0
    report = check_layer(layer, normal(2, 4))
    assert [w.name for w in report.worst] == ["input 0", "bias"]
    assert report.passed


@pytest.mark.parametrize(
    "layer",
    [Dropout(0.5, rng=np.random.default_rng(5)), with_dtype(Linear(4, 3), np.float32, seed=1)],
    ids=repr,
)
def test_layer_and_inputs_stay_as_they_are(layer):
    x = normal(5, 4, dtype=np.float32)
    data = {name: (p.data, p.data.tobytes()) for name, p in layer.params.items()}
    state = str(layer.rng.bit_generator.state) if hasattr(layer, "rng") else None
    before = x.tobytes()
    assert check_layer(layer, x).passed
    assert x.tobytes() == before
    assert layer.params.keys() == data.keys()
    for name, p in layer.params.items():
        assert p.data is data[name][0]
        assert p.data.tobytes() == data[name][1]
        assert p.grad is None
    if state:
        assert str(layer.rng.bit_generator.state) == state


def test_one_seed_one_report():
    layer, x = Linear(40, 30), normal(2, 40)
    one, same, other = (
        check_layer(layer, x, rng=np.random.default_rng(s), samples=9) for s in (1, 1, 2)
    )
    assert one == same
    assert one != other


# ---- wrong layers --------------------------------------------------------------------------


def spoilt(kind, spoil):
    """A kind of layer whose dx is spoilt."""

    class Spoilt(kind):
        def backward(self, dy, cache, need_dx=True):
            dx, grads = super().backward(dy, cache, need_dx)
            return spoil(dx), grads

    return Spoilt


FlippedReLU, Doubled = spoilt(ReLU, lambda dx: -dx), spoilt(Tanh, lambda dx: 2 * dx)
LastWinner = spoilt(MaxPool2d, lambda dx: np.roll(dx, 1, axis=3))  # one pixel on


class OpenReLU(ReLU):
    """Lets the gradient through where x < 0 too."""

    def backward(self, dy, cache, need_dx=True):
        return dy, {}


class UncrossedLRN(LocalResponseNorm):
    """Without the sum over the neighbours."""

    def backward(self, dy, cache, need_dx=True):
        _, s = cache
        return dy * s**-self.beta, {}


class UnmirroredLRN(LocalResponseNorm):
    """Right for odd sizes alone."""

    def backward(self, dy, cache, need_dx=True):
        x, s = cache
        g = dy * s**-self.beta
        return g - 2 * self.alpha * self.beta * x * window_sum(g * x / s, *self._window), {}


class Softmax(Layer):
    """p, whose gradient by z is p · (dy - Σ p dy): nothing, if dy is all ones."""

    def forward(self, x, train=True):
        p = np.exp(x)
        p /= p.sum(axis=1, keepdims=True)
        return p, p

    def backward(self, dy, p, need_dx=True):
        return p * (dy - (p * dy).sum(axis=1, keepdims=True)), {}


ZeroSoftmax = spoilt(Softmax, lambda dx: 0 * dx)


class ZeroBias(Linear):
    def backward(self, dy, cache, need_dx=True):
        dx, grads = super().backward(dy, cache, need_dx)
        return dx, grads | {"bias": 0 * grads["bias"]}


class FreshMask(Dropout):
    """Draws another mask for the way back."""

    def backward(self, dy, cache, need_dx=True):
        return dy * (self.rng.random(dy.shape) >= self.p), {}


def nan_in_one(dx):
    dx = dx.copy()
    dx[1, 2] = np.nan
    return dx


Nan = spoilt(Tanh, nan_in_one)


@pytest.mark.parametrize(
    ("layer", "shape", "where"),
    [
        (FlippedReLU(), (2, 9), "input 0"),
        (OpenReLU(), (2, 9), "input 0"),
        (UncrossedLRN(5, alpha=0.3), (2, 6, 2, 2), "input 0"),
        (UnmirroredLRN(4, alpha=0.3), (2, 6, 2, 2), "input 0"),
        (ZeroSoftmax(), (3, 5), "input 0"),
        (ZeroBias(4, 3), (5, 4), "bias"),
        (LastWinner(2), (2, 2, 4, 4), "input 0"),
        (FreshMask(rng=np.random.default_rng(0)), (5, 5), "input 0"),
        (Doubled(), (3, 4), "input 0"),
        (Nan(), (3, 4), "input 0"),
    ],
    ids=lambda v: repr(v) if isinstance(v, Layer) else "",
)
def test_wrong_layers_are_found(layer, shape, where):
    report = check_layer(layer, normal(*shape))
    assert not report.passed
    assert report.error > 1e-2
    wrong = [w.name for w in report.worst if not w.error <= report.tolerance]
    assert wrong == [where]
    assert ": WRONG, error" in str(report)


@pytest.mark.parametrize("layer", [Softmax(), UnmirroredLRN(5, alpha=0.3)])
def test_their_right_twins_pass(layer):
    shape = (3, 5) if isinstance(layer, Softmax) else (2, 6, 2, 2)
    report = check_layer(layer, normal(*shape))
    assert report.passed, str(report)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_does_not_pass(value):
    infinite = spoilt(Tanh, lambda dx: np.full_like(dx, value))
    assert not check_layer(infinite(), normal(2, 3)).passed


def test_one_huge_element_does_not_hide_the_others():
    def huge_in_one(dx):
        dx = 2 * dx
        dx[0, 7] = 1e12
        return dx

    x = normal(20, 50)
    for seed in range(3):  # 50 of 1000 elements: mostly without the huge one
        rng = np.random.default_rng(seed)
        report = check_layer(spoilt(Tanh, huge_in_one)(), x, rng=rng, samples=50)
        assert not report.passed, str(report)


@pytest.mark.parametrize("size", [1e-3, 1e-8, 1e-12])
def test_no_gradient_at_all_is_wrong_however_small_the_right_one(size):
    class Small(Layer):
        def forward(self, x, train=True):
            return size * x, None

        def backward(self, dy, cache, need_dx=True):
            return size * dy, {}

    assert check_layer(Small(), normal(2, 5)).passed
    report = check_layer(spoilt(Small, lambda dx: 0 * dx)(), normal(2, 5))
    assert report.error > 0.3, str(report)


@pytest.mark.parametrize("constant", [1e3, 1e6])
@pytest.mark.parametrize("factor", [1, 1.01, 0])
def test_a_large_constant_in_the_output_hides_nothing(constant, factor):
    class Plus(Layer):
        def forward(self, x, train=True):
            return x + constant, None

        def backward(self, dy, cache, need_dx=True):
            return factor * dy, {}

    report = check_layer(Plus(), normal(3, 5))
    assert report.passed == (factor == 1), str(report)
    assert report.worst[0].kinks == 0


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("change", ["in place", "and back again", "in its base"])
def test_a_layer_that_writes_to_what_it_is_given_is_refused(way, change):
    def harm(array):
        if change == "in place":
            array *= 2
        elif change == "and back again":
            array *= 2
            array /= 2
        else:  # round the flag that forbids it
            array.base[...] *= 2
        return array

    class Harmful(Layer):
        def forward(self, x, train=True):
            return (harm(x) if way == "forward" else 2 * x), None

        def backward(self, dy, cache, need_dx=True):
            return (harm(dy) if way == "backward" else 2 * dy), {}

    with pytest.raises(UserError, match=r"Harmful\(\) writes to what it is given: work on a copy"):
        check_layer(Harmful(), normal(3, 5))


def test_another_error_of_a_layer_stays_its_own():
    class Broken(Layer):
        def forward(self, x, train=True):
            raise ValueError("no such thing")

    with pytest.raises(ValueError, match=r"^no such thing$"):
        check_layer(Broken(), normal(3, 5))


@pytest.mark.parametrize("wrong", [False, True])
def test_a_layer_that_nobody_drew_is_checked_at_numbers_drawn_for_it(wrong):
    kind = spoilt(Linear, lambda dx: 1.1 * dx) if wrong else Linear
    layer = kind(5, 3)
    report = check_layer(layer, normal(4, 5))
    assert report.passed != wrong, str(report)
    assert report.worst[0].numeric
    assert not layer.params["weight"].drawn


def test_a_missing_gradient_is_named():
    class Forgetful(Linear):
        def backward(self, dy, cache, need_dx=True):
            dx, grads = super().backward(dy, cache, need_dx)
            return dx, {"weight": grads["weight"]}

    with pytest.raises(ValueError, match=r"gradient of bias must have its shape \(3,\), got None"):
        check_layer(Forgetful(4, 3), normal(2, 4))


def test_a_gradient_of_another_shape_is_named():
    summed = spoilt(Tanh, lambda dx: dx.sum(axis=0))
    with pytest.raises(ValueError, match=r"input 0 must have its shape \(2, 4\), got \(4,\)"):
        check_layer(summed(), normal(2, 4))


@pytest.mark.parametrize("name", ["input 0", "weight", "bias"])
@pytest.mark.parametrize("factor", [1 + 1e-4, 0.0, -1.0])
def test_the_one_wrong_element_is_named(name, factor):
    place = {"input 0": (2, 3), "weight": (1, 4), "bias": (2,)}[name]

    class WrongInOne(Linear):
        def backward(self, dy, cache, need_dx=True):
            dx, grads = super().backward(dy, cache, need_dx)
            gradient = dx if name == "input 0" else grads[name]
            gradient[place] *= factor
            return dx, grads

    report = check_layer(WrongInOne(5, 3), normal(4, 5))
    assert not report.passed
    worst = max(report.worst, key=lambda w: w.error)
    assert (worst.name, worst.index) == (name, place)
    assert worst.analytic == pytest.approx(factor * worst.numeric, rel=1e-6, abs=1e-12)
    assert f"{name}{list(place)}: backward {worst.analytic:.6g}" in str(report)
    assert all(w.error < 1e-8 for w in report.worst if w.name != name)


# ---- kinks ---------------------------------------------------------------------------------


def test_relu_at_exactly_zero_is_a_kink_and_passes():
    x = normal(4, 6)
    x[0, 1] = x[2, 3] = x[3, 5] = 0
    report = check_layer(ReLU(), x)
    assert report.passed, str(report)
    assert report.worst[0].kinks == 3
    assert "3 on a kink" in str(report)


def test_many_kinks_pass_whatever_their_dy():
    report = check_layer(ReLU(), np.zeros((2, 1000)), samples=2000)
    assert report.passed, str(report)


@pytest.mark.parametrize(
    "layer", [MaxPool2d(3), MaxPool2d(3, stride=2), MaxPool2d(2, stride=1, padding=1)], ids=repr
)
def test_ties_in_max_pooling_are_kinks_and_pass(layer):
    x = np.random.default_rng(1).integers(0, 3, (2, 2, 6, 6)).astype(float)
    report = check_layer(layer, x)
    assert report.passed, str(report)
    assert report.worst[0].kinks >= 10


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_at_a_kink_any_slope_between_the_sides_passes(slope):
    assert check_layer(SlopeAtZero(slope), _with_zero()).passed


@pytest.mark.parametrize("slope", [-0.5, 1.5, -100.0, np.nan])
def test_at_a_kink_a_slope_outside_the_sides_is_wrong(slope):
    report = check_layer(SlopeAtZero(slope), _with_zero())
    assert not report.passed
    assert report.worst[0].index == (1, 2)


class SlopeAtZero(ReLU):
    """ReLU with a slope of one's choice at 0."""

    def __init__(self, slope):
        super().__init__()
        self.slope = slope

    def forward(self, x, train=True):
        return np.maximum(x, 0), x

    def backward(self, dy, x, need_dx=True):
        return np.where(x == 0, self.slope * dy, dy * (x > 0)), {}


def _with_zero():
    x = normal(3, 4, seed=2)
    x[1, 2] = 0
    return x


@pytest.mark.parametrize("beside", [1e-6, -1e-6, 3e-6, 1e-3])
def test_beside_a_kink_right_passes_and_wrong_is_found(beside):
    x = normal(3, 4, seed=3)
    x[1, 2] = beside
    report = check_layer(ReLU(), x)
    assert report.passed, str(report)
    assert report.worst[0].kinks == 0

    class WrongBeside(ReLU):
        def backward(self, dy, cache, need_dx=True):
            dx, grads = super().backward(dy, cache, need_dx)
            dx[1, 2] = dy[1, 2] / 2
            return dx, grads

    report = check_layer(WrongBeside(), x)
    assert not report.passed
    assert report.worst[0].index == (1, 2)


# ---- whole nets ----------------------------------------------------------------------------


def make_net(fc=None):
    """Fan-out from conv1 to two ways that meet again, with dropout behind."""
    rng = np.random.default_rng(1)
    net = Graph((2, 6, 6))
    net.add("conv1", Conv2d(2, 4, 3, rng=rng))
    net.add("relu", ReLU(), "conv1")
    net.add("norm", LocalResponseNorm(3, alpha=0.3), "relu")
    net.add("bent", Tanh(), "conv1")
    net.add("both", Concat(), ("norm", "bent"))
    net.add("pool", MaxPool2d(2))
    net.add("flat", Flatten())
    net.add("drop", Dropout(0.5, rng=np.random.default_rng(2)))
    net.add("fc", fc or Linear(32, 3, rng=rng))
    return net


IMAGES, LABELS = normal(4, 2, 6, 6, seed=4, dtype=np.float32), np.array([0, 2, 1, 2])


def test_a_right_net_passes_and_stays_as_it_is():
    net = make_net()
    before = {name: value.tobytes() for name, value in net.state_dict().items()}
    states, images = str(net.generator_states()), IMAGES.tobytes()
    report = check_graph(net, IMAGES, LABELS)
    assert report.passed, str(report)
    assert [w.name for w in report.worst] == ["conv1.weight", "conv1.bias", "fc.weight", "fc.bias"]
    assert [w.checked for w in report.worst] == [20, 4, 20, 3]
    assert all(w.analytic for w in report.worst)
    assert {name: value.tobytes() for name, value in net.state_dict().items()} == before
    assert str(net.generator_states()) == states
    assert IMAGES.tobytes() == images
    assert all(p.data.dtype == np.float32 for p in net.named_parameters().values())
    assert all(p.grad is None for p in net.named_parameters().values())


class WrongWeight(Linear):
    def backward(self, dy, cache, need_dx=True):
        dx, grads = super().backward(dy, cache, need_dx)
        return dx, grads | {"weight": 1.01 * grads["weight"]}


WrongInput = spoilt(Linear, lambda dx: 1.01 * dx)


@pytest.mark.parametrize(
    ("fc", "wrong"),
    [
        (WrongWeight(32, 3), ["fc.weight"]),
        (ZeroBias(32, 3), ["fc.bias"]),
        (WrongInput(32, 3), ["conv1.weight", "conv1.bias"]),
    ],
    ids=["weight", "bias", "input"],
)
def test_a_wrong_layer_in_a_net_is_found(fc, wrong):
    report = check_graph(make_net(fc), IMAGES, LABELS)
    assert not report.passed
    assert [w.name for w in report.worst if w.error > report.tolerance] == wrong


def test_frozen_parameters_of_a_net_are_left_out():
    net = make_net()
    net["conv1"].params["weight"].lr_scale = 0
    report = check_graph(net, IMAGES, LABELS)
    assert report.passed, str(report)
    assert [w.name for w in report.worst] == ["conv1.bias", "fc.weight", "fc.bias"]


@pytest.mark.parametrize("missing", ["train", "need_dx"])
def test_a_layer_is_called_as_a_graph_calls_it(missing):
    """What passes here is not to fail in a net for want of an argument."""

    class Short(Layer):
        def forward(self, x, train=True):
            return 2 * x, None

        def backward(self, dy, cache, need_dx=True):
            return 2 * dy, {}

    if missing == "train":
        Short.forward = lambda self, x: (2 * x, None)
    else:
        Short.backward = lambda self, dy, cache: (2 * dy, {})
    with pytest.raises(UserError, match=missing):
        check_layer(Short(), np.ones((2, 3)))


@pytest.mark.parametrize("layer", [ReLU, make_net(), None, np.tanh, "ReLU"])
def test_only_a_layer_is_checked(layer):
    with pytest.raises(UserError, match="check_layer: expected a layer"):
        check_layer(layer, IMAGES)


@pytest.mark.parametrize("net", [Graph, ReLU(), None])
def test_only_a_graph_is_checked(net):
    with pytest.raises(UserError, match="check_graph takes a Graph"):
        check_graph(net, IMAGES, LABELS)


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_layer_gets_as_many_inputs_as_it_reads(number):
    with pytest.raises(UserError, match=f"forward does not take {number} input"):
        check_layer(Tanh(), *[normal(2, 3)] * number)


@pytest.mark.parametrize("x", ["a", [[1], [1, 2]], {}, Graph])
def test_inputs_are_numbers(x):
    with pytest.raises(UserError, match="arrays of numbers"):
        check_layer(Tanh(), x)


@pytest.mark.parametrize("dtype", ["f2", "f4", "i8", "u1", "list"])
def test_inputs_may_be_any_numbers(dtype):
    x = np.arange(12).reshape(2, 6)
    report = check_layer(Linear(6, 2), x.tolist() if dtype == "list" else x.astype(dtype))
    assert report.passed, str(report)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"rng": 3}, "rng must be"), ({"samples": 0}, "samples"), ({"samples": -1}, "samples")],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        check_layer(Tanh(), normal(2, 3), **options)


def test_an_output_that_is_no_array_is_named():
    class Sum(Tanh):
        def forward(self, x, train=True):
            return [1.0, 2.0], x

    with pytest.raises(UserError, match="forward's y must be an array, got a list"):
        check_layer(Sum(), normal(2, 3))


def test_a_layer_is_checked_as_in_training_whatever_it_does_unasked():
    class OnlyInTraining(Layer):
        def forward(self, x, train=False):
            return (2 * x if train else x), None

        def backward(self, dy, cache, need_dx=True):
            return 2 * dy, {}

    assert check_layer(OnlyInTraining(), normal(2, 3)).passed
