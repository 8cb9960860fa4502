"""How weights start: spread, bounds, and the same net however it is split."""

import math

import numpy as np
import pytest

from minitorch_alexnet import init
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Concat, Conv2d, Dropout, Flatten, Linear, ReLU

CONV, LINEAR = (96, 48, 5, 5), (400, 300)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("std", [0.01, 2.0])
def test_gaussian(std):
    w = init.gaussian(std)(rng(), CONV)
    assert w.shape == CONV
    assert w.std() == pytest.approx(std, rel=0.01)
    assert abs(w.mean()) < 0.01 * std
    assert np.mean(np.abs(w) < std) == pytest.approx(0.6827, abs=0.005)  # a normal's share


@pytest.mark.parametrize(("shape", "fan_in"), [(CONV, 48 * 25), (LINEAR, 300)])
def test_he(shape, fan_in):
    w = init.he(rng(), shape)
    assert w.std() == pytest.approx(math.sqrt(2 / fan_in), rel=0.01)
    assert abs(w.mean()) < 0.01 * w.std()
    assert np.mean(np.abs(w) < w.std()) == pytest.approx(0.6827, abs=0.005)


@pytest.mark.parametrize(("shape", "fans"), [(CONV, (48 + 96) * 25), (LINEAR, 700)])
def test_glorot(shape, fans):
    w = init.glorot(rng(), shape)
    limit = math.sqrt(6 / fans)
    assert w.std() == pytest.approx(math.sqrt(2 / fans), rel=0.01)
    assert -limit <= w.min() < -0.999 * limit
    assert 0.999 * limit < w.max() <= limit
    assert abs(w.mean()) < 0.01 * limit


def test_uniform():
    w = init.uniform(0.2)(rng(), CONV)
    assert w.shape == CONV
    assert -0.2 <= w.min() < -0.1999
    assert 0.1999 < w.max() <= 0.2
    assert abs(w.mean()) < 0.001
    assert w.std() == pytest.approx(0.2 / math.sqrt(3), rel=0.01)


@pytest.mark.parametrize(("shape", "fan_in"), [(CONV, 48 * 25), (LINEAR, 300)])
def test_he_after_norm_makes_up_for_what_the_norm_takes(shape, fan_in):
    w = init.he_after_norm(rng(), shape, np.dtype(np.float32))
    assert w.dtype == np.float32
    np.testing.assert_allclose(w, init.he(rng(), shape) * 2**0.75, rtol=1e-6)
    assert w.std() == pytest.approx(1.681793 * math.sqrt(2 / fan_in), rel=0.01)


def test_he_after_norm_needs_no_dtype():
    assert init.he_after_norm(rng(), LINEAR).dtype == np.float32
    assert init.he_after_norm(rng(), LINEAR, np.float64).dtype == np.float64


def test_constant():
    np.testing.assert_array_equal(init.constant(0.5)(rng(), (3, 2)), np.full((3, 2), 0.5))


@pytest.mark.parametrize(
    "rule",
    [init.gaussian(0.01), init.he, init.glorot, init.constant(1), init.uniform(0.2)],
    ids=range(5),
)
def test_dtype_and_seed(rule):
    assert rule(rng(), LINEAR).dtype == np.float32
    one = rule(rng(), LINEAR, np.float64)
    assert one.dtype == np.float64
    np.testing.assert_array_equal(rule(rng(), LINEAR), one.astype(np.float32))
    np.testing.assert_array_equal(rule(rng(), LINEAR, np.float64), one)
    if one.std():
        assert (rule(rng(1), LINEAR, np.float64) != one).any()


def make_net(towers):
    """A little net: conv1, of six kernels in all, and fc."""
    net = Graph((2, 5, 5), seed=None)
    for tower in towers:
        net.add("conv1", Conv2d(2, 6 // len(towers), 3), "image", tower=tower)
    if len(towers) > 1:
        net.add("gather", Concat(), tuple(f"conv1{tower}" for tower in towers))
    net.add("relu", ReLU())
    net.add("flat", Flatten())
    net.add("fc", Linear(54, 3))
    return net


RULES = {"weight": init.gaussian(0.1), "bias": init.constant(0), "conv1.bias": init.constant(1)}


def test_initialise_draws_the_same_net_however_it_is_split():
    whole, split = make_net([""]), make_net(["a", "b"])
    for net in (whole, split):
        init.initialise(net, 3, RULES)
    one, other = whole.state_dict(), split.state_dict()
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    a, b = (split[f"conv1{tower}"].params["weight"].data for tower in "ab")
    np.testing.assert_array_equal(np.concatenate([a, b]), one["conv1.weight"])
    assert (a != b).all()
    x = np.random.default_rng(4).standard_normal((2, 2, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(whole(x), split(x), rtol=1e-5, atol=1e-6)


def test_initialise_prefers_a_rule_by_name_to_one_by_kind():
    net = make_net([""])
    init.initialise(net, 0, RULES)
    state = net.state_dict()
    assert (state["conv1.bias"] == 1).all()
    assert (state["fc.bias"] == 0).all()
    assert {value.dtype for value in state.values()} == {np.dtype(np.float32)}
    assert state["fc.weight"].std() == pytest.approx(0.1, rel=0.2)


def test_initialise_depends_on_the_seed_alone():
    nets = [make_net([""]) for _ in range(3)]
    for net, seed in zip(nets, (5, 5, 6), strict=True):
        init.initialise(net, seed, RULES)
    one, same, other = (net.state_dict()["fc.weight"] for net in nets)
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


def test_initialise_gives_random_layers_fresh_generators():
    nets = [Graph.of((6,), [Dropout(0.5), Dropout(0.5)]) for _ in range(3)]
    nets[0]["dropout1"].rng.random(5)  # used
    for net, seed in zip(nets, (5, 5, 6), strict=True):
        init.initialise(net, seed, RULES)
    draws = [[layer.rng.random() for layer in (n["dropout1"], n["dropout2"])] for n in nets]
    assert draws[0] == draws[1]
    assert len({*draws[0], *draws[2]}) == 4


def test_without_a_seed_initialise_draws_nothing():
    net = make_net([""])
    init.initialise(net, None, RULES)
    parameters = net.named_parameters()
    assert [name for name, p in parameters.items() if not p.drawn] == ["conv1.weight", "fc.weight"]
    assert not parameters["conv1.bias"].data.any()


# ---- the rules of the models ---------------------------------------------------------------

OUTS, INS = 300, 200
HE = math.sqrt(2 / INS)


def eight_layers():
    """Linear layers with the names of the paper's, all undrawn."""
    net, inputs = Graph((INS,), seed=None), "image"
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"):
        net.add(name, Linear(INS, OUTS), inputs)
    return net


@pytest.mark.parametrize(
    ("rules", "stds", "biases"),
    [
        (init.PAPER, [0.01] * 8, [0, 1, 0, 1, 1, 1, 1, 0]),
        (init.SMALL_SET, [0.01, HE, HE, HE, HE, HE, HE, 0.01], [0] * 8),
        (
            init.STANDARDIZED,
            [HE, 2**0.75 * HE, 2**0.75 * HE, HE, HE, HE, HE, 0.01],
            [0] * 8,
        ),
    ],
    ids=["PAPER", "SMALL_SET", "STANDARDIZED"],
)
def test_rules_for_the_papers_layers(rules, stds, biases):
    net = eight_layers()
    init.initialise(net, 0, rules)
    state = net.state_dict()
    weights, rest = ([v for k, v in state.items() if k.endswith(e)] for e in ("t", "s"))
    assert [w.std() for w in weights] == pytest.approx(stds, rel=0.02)
    assert [float(b.mean()) for b in rest] == biases
    assert not any(b.std() for b in rest)
    assert {value.dtype for value in state.values()} == {np.dtype(np.float32)}
