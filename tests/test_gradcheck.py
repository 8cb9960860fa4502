"""The gradient checker as a tool: right layers pass, wrong ones are found, and named."""

import math

import numpy as np
import pytest
from reference import normal, with_dtype

from minitorch_alexnet.gradcheck import check_graph, check_layer
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.kernels import window_sum
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

# ---- right layers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv2d(2, 4, 3, stride=2, padding=1, groups=2), (2, 2, 5, 5)),
        (LocalResponseNorm(5, alpha=0.3), (2, 6, 3, 3)),
        (MaxPool2d(3, stride=2), (2, 2, 7, 7)),
        (ReLU(), (2, 9)),
        (Tanh(), (2, 9)),
        (Dropout(0.5), (4, 9)),
        (Dropout(0.5, rescale="train"), (4, 9)),
        (Linear(5, 3), (4, 5)),
        (Flatten(), (2, 2, 3, 1)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_right_layers_pass(layer, shape, dtype):
    report = check_layer(layer, normal(*shape, dtype=dtype))
    assert report.passed, str(report)
    assert report.error < 1e-7
    assert [w.name for w in report.worst] == ["input 0", *layer.params]
    assert [w.kinks for w in report.worst] == [0] * len(report.worst)
    size = math.prod(shape)
    assert report.worst[0].checked == size
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
    assert layer.cache is None
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


class FlippedReLU(ReLU):
    def backward(self, dy, need_dx=True):
        return -super().backward(dy, need_dx)


class OpenReLU(ReLU):
    """Lets the gradient through where x < 0 too."""

    def backward(self, dy, need_dx=True):
        self.take_cache()
        return dy


class UncrossedLRN(LocalResponseNorm):
    """Without the sum over the neighbours."""

    def backward(self, dy, need_dx=True):
        _, s = self.take_cache()
        return dy * s**-self.beta


class UnmirroredLRN(LocalResponseNorm):
    """Right for odd sizes alone."""

    def backward(self, dy, need_dx=True):
        x, s = self.take_cache()
        g = dy * s**-self.beta
        return g - 2 * self.alpha * self.beta * x * window_sum(g * x / s, *self._reach())


class Softmax(Layer):
    """p, whose gradient by z is p · (dy - Σ p dy): nothing, if dy is all ones."""

    def forward(self, x, train=True):
        p = np.exp(x)
        p /= p.sum(axis=1, keepdims=True)
        self.cache = (p,)
        return p

    def backward(self, dy, need_dx=True):
        (p,) = self.take_cache()
        return p * (dy - (p * dy).sum(axis=1, keepdims=True))


class ZeroSoftmax(Softmax):
    def backward(self, dy, need_dx=True):
        return 0 * super().backward(dy, need_dx)


class ZeroBias(Linear):
    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        self.params["bias"].grad *= 0
        return dx


class LastWinner(MaxPool2d):
    """Shifts every gradient one pixel on."""

    def backward(self, dy, need_dx=True):
        return np.roll(super().backward(dy, need_dx), 1, axis=3)


class FreshMask(Dropout):
    """Draws another mask for the way back."""

    def backward(self, dy, need_dx=True):
        self.take_cache()
        return dy * (self.rng.random(dy.shape) >= self.p)


class Doubled(Tanh):
    def backward(self, dy, need_dx=True):
        return 2 * super().backward(dy, need_dx)


class Nan(Tanh):
    """Not a number in one element."""

    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        dx[1, 2] = np.nan
        return dx


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
        (FreshMask(), (5, 5), "input 0"),
        (Doubled(), (3, 4), "input 0"),
        (Nan(), (3, 4), "input 0"),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, Layer) else "",
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
    class Infinite(Tanh):
        def backward(self, dy, need_dx=True):
            return np.full_like(super().backward(dy, need_dx), value)

    assert not check_layer(Infinite(), normal(2, 3)).passed


def test_one_huge_element_does_not_hide_the_others():
    class HugeInOne(Doubled):
        def backward(self, dy, need_dx=True):
            dx = super().backward(dy, need_dx)
            dx[0, 7] = 1e12
            return dx

    x = normal(20, 50)
    for seed in range(3):  # 50 of 1000 elements: mostly without the huge one
        report = check_layer(HugeInOne(), x, rng=np.random.default_rng(seed), samples=50)
        assert not report.passed, str(report)


def test_a_missing_gradient_is_named():
    class Forgetful(Linear):
        def backward(self, dy, need_dx=True):
            dx = super().backward(dy, need_dx)
            self.params["bias"].grad = None
            return dx

    with pytest.raises(ValueError, match=r"gradient of bias must have its shape \(3,\), got None"):
        check_layer(Forgetful(4, 3), normal(2, 4))


def test_a_gradient_of_another_shape_is_named():
    class Summed(Tanh):
        def backward(self, dy, need_dx=True):
            return super().backward(dy, need_dx).sum(axis=0)

    with pytest.raises(ValueError, match=r"input 0 must have its shape \(2, 4\), got \(4,\)"):
        check_layer(Summed(), normal(2, 4))


@pytest.mark.parametrize("name", ["input 0", "weight", "bias"])
@pytest.mark.parametrize("factor", [1 + 1e-4, 0.0, -1.0])
def test_the_one_wrong_element_is_named(name, factor):
    place = {"input 0": (2, 3), "weight": (1, 4), "bias": (2,)}[name]

    class WrongInOne(Linear):
        def backward(self, dy, need_dx=True):
            dx = super().backward(dy, need_dx)
            gradient = dx if name == "input 0" else self.params[name].grad
            gradient[place] *= factor
            return dx

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
        self.zeros = x == 0
        return super().forward(x, train)

    def backward(self, dy, need_dx=True):
        return np.where(self.zeros, self.slope * dy, super().backward(dy, need_dx))


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
        def backward(self, dy, need_dx=True):
            dx = super().backward(dy, need_dx)
            dx[1, 2] = dy[1, 2] / 2
            return dx

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
    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        self.params["weight"].grad *= 1.01
        return dx


class WrongInput(Linear):
    def backward(self, dy, need_dx=True):
        return 1.01 * super().backward(dy, need_dx)


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
