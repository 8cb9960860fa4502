"""What every layer must do alike: the layer contract, over all of them."""

import copy
import math

import numpy as np
import pytest
from reference import assert_close, layer_results, normal, with_dtype

from minitorch_alexnet import device
from minitorch_alexnet.errors import ShapeError, UserError
from minitorch_alexnet.gradcheck import check_layer
from minitorch_alexnet.layers import (
    Concat,
    Conv2d,
    Copy,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Parameter,
    ReLU,
    Tanh,
)
from minitorch_alexnet.layers.base import as_padding, as_pair, short

# name: (how to make the layer, the shape of each input without the batch, a large such shape)
CASES = {
    "conv": (
        lambda: Conv2d(4, 6, (3, 2), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2),
        [(4, 6, 5)],
        [(4, 24, 24)],
    ),
    "conv 1x1": (lambda: Conv2d(4, 3, 1), [(4, 3, 5)], [(4, 24, 24)]),
    "lrn": (lambda: LocalResponseNorm(5, alpha=0.3), [(7, 3, 2)], [(7, 20, 20)]),
    "lrn groups": (
        lambda: LocalResponseNorm(4, alpha=0.3, beta=0.6, k=1.0, groups=2),
        [(8, 2, 3)],
        [(8, 20, 20)],
    ),
    "pool": (lambda: MaxPool2d(3, stride=2), [(2, 7, 6)], [(8, 20, 20)]),
    "pool ceil": (
        lambda: MaxPool2d((3, 2), stride=(2, 3), padding=((1, 0), (0, 1)), ceil_mode=True),
        [(2, 6, 5)],
        [(8, 20, 20)],
    ),
    "relu": (ReLU, [(3, 4, 2)], [(8, 20, 20)]),
    "tanh": (Tanh, [(3, 4, 2)], [(8, 20, 20)]),
    "dropout paper": (lambda: Dropout(0.4), [(5, 3)], [(8, 20, 20)]),
    "dropout inverted": (lambda: Dropout(0.4, rescale="train"), [(5, 3)], [(8, 20, 20)]),
    "linear": (lambda: Linear(7, 4), [(7,)], None),
    "linear large": (lambda: Linear(310, 190), [(310,)], [(310,)]),
    "flatten": (Flatten, [(3, 2, 4)], [(8, 20, 20)]),
    "copy": (lambda: Copy("cpu:1"), [(3, 2, 4)], [(8, 20, 20)]),
    "concat": (Concat, [(2, 3, 2), (1, 3, 2), (3, 3, 2)], [(4, 20, 20), (8, 20, 20)]),
}
DROPOUTS = {"dropout paper", "dropout inverted"}
WITH_PARAMETERS = ["conv", "conv 1x1", "linear", "linear large"]
every_layer = pytest.mark.parametrize("name", CASES)


def make(name, n=3, dtype=np.float64, large=False):
    """A fresh layer, its dy, and its inputs; the same ones whenever asked."""
    build, shapes, large_shapes = CASES[name]
    layer = with_dtype(build(), dtype, seed=1)
    shapes = large_shapes if large else shapes
    inputs = [normal(n, *s, seed=[2, i], dtype=dtype) for i, s in enumerate(shapes)]
    return layer, normal(n, *layer.output_shape(*shapes), seed=3, dtype=dtype), *inputs


@pytest.fixture
def set_threads():
    """device.set_threads, undone after the test."""
    before = device.get_workers()
    yield device.set_threads
    device._workers = before


def assert_same(results, others):
    assert len(results) == len(others)
    for one, other in zip(results, others, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@every_layer
def test_gradients_are_the_finite_differences(name):
    layer, _, *inputs = make(name, n=2)
    report = check_layer(layer, *inputs, tolerance=1e-6)
    assert report.passed, str(report)
    assert len(report.worst) == len(inputs) + len(layer.params)


@every_layer
def test_output_shape_is_that_of_forward(name):
    layer, _, *inputs = make(name)
    assert layer.forward(*inputs).shape == (3, *layer.output_shape(*(x.shape[1:] for x in inputs)))


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_that_comes_in_goes_out(name, dtype):
    results = layer_results(*make(name, dtype=dtype))
    assert [r.dtype for r in results] == [np.dtype(dtype)] * len(results)
    layer, _, *inputs = make(name, dtype=dtype)
    assert layer.forward(*inputs, train=False).dtype == dtype
    for result, exact in zip(results, layer_results(*make(name)), strict=True):
        assert_close(result, exact, 1e-5 if dtype == np.float32 else 0)


@every_layer
@pytest.mark.parametrize("train", [True, False])
def test_inputs_and_parameters_are_not_changed(name, train):
    layer, dy, *inputs = make(name)
    arrays = [dy, *inputs, *(p.data for p in layer.params.values())]
    before = [a.tobytes() for a in arrays]
    layer.forward(*inputs, train=train)
    if train:
        layer.backward(dy)
    assert [a.tobytes() for a in arrays] == before


VIEWS = {
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "from the middle": lambda x: np.pad(x, 1, constant_values=9)[(slice(1, -1),) * x.ndim],
    "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
}


@every_layer
@pytest.mark.parametrize("view", VIEWS)
def test_any_view_of_the_same_numbers_gives_the_same(name, view):
    layer, dy, *inputs = make(name)
    of_views = layer_results(layer, VIEWS[view](dy), *map(VIEWS[view], inputs))
    for result, wanted in zip(of_views, layer_results(*make(name)), strict=True):
        assert_close(result, wanted, 1e-14)


@pytest.mark.parametrize("name", [n for n in CASES if n not in DROPOUTS])
@pytest.mark.parametrize("n", [1, 19])
def test_images_do_not_see_each_other(name, n):
    layer, dy, *inputs = make(name, n=n)
    y, *rest = layer_results(layer, dy, *inputs)
    dxs, grads = rest[: len(inputs)], rest[len(inputs) :]
    alone = [layer_results(layer, dy[i : i + 1], *(x[i : i + 1] for x in inputs)) for i in range(n)]
    for i, result in enumerate([y, *dxs]):
        assert_close(result, np.concatenate([a[i] for a in alone]), 1e-13)
    for i, grad in enumerate(grads, start=1 + len(inputs)):
        assert_close(grad, sum(a[i] for a in alone), 1e-13)


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n][2]])
def test_the_same_bits_with_any_number_of_threads(name, set_threads, monkeypatch):
    monkeypatch.setattr(device, "MIN_PART_BYTES", 4096)
    layer, _, *inputs = make(name, n=19, dtype=np.float32, large=True)
    dealt_out = [*inputs, *(p.data for p in layer.params.values())]
    assert max(a.nbytes for a in dealt_out) > device.MAX_PARTS * device.MIN_PART_BYTES
    results = []
    for threads in (1, 2, 3):
        set_threads(threads)
        results.append(layer_results(*make(name, n=19, dtype=np.float32, large=True)))
    assert_same(results[0], results[1])
    assert_same(results[0], results[2])


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n][2]])
@pytest.mark.parametrize(
    ("least_part", "block"),
    [(2**40, 2**40), (2**40, 1), (2**40, 50_000), (1, 1)],
    ids=["one part", "an image a block", "a few images a block", "small parts"],
)
def test_however_the_batch_is_cut(name, least_part, block, monkeypatch):
    wanted = layer_results(*make(name, n=19, large=True))
    monkeypatch.setattr(device, "MIN_PART_BYTES", least_part)
    monkeypatch.setattr(device, "BLOCK_BYTES", block)
    for result, other in zip(layer_results(*make(name, n=19, large=True)), wanted, strict=True):
        assert_close(result, other, 1e-12)


@every_layer
def test_backward_needs_a_forward_and_uses_it_up(name):
    layer, dy, *inputs = make(name)
    message = f"{type(layer).__name__}.*forward"
    with pytest.raises(RuntimeError, match=message):
        layer.backward(dy)
    layer.forward(*inputs)
    assert layer.cache is not None
    layer.backward(dy)
    assert layer.cache is None
    with pytest.raises(RuntimeError, match=message):
        layer.backward(dy)


@every_layer
def test_without_train_nothing_is_kept(name):
    layer, dy, *inputs = make(name)
    layer.forward(*inputs, train=False)
    assert layer.cache is None
    with pytest.raises(RuntimeError):
        layer.backward(dy)


@pytest.mark.parametrize("name", [n for n in CASES if n not in DROPOUTS])
def test_train_changes_nothing_but_the_cache(name):
    layer, _, *inputs = make(name)
    assert_same([layer.forward(*inputs)], [layer.forward(*inputs, train=False)])


@every_layer
def test_without_need_dx_there_are_the_gradients_alone(name):
    wanted = layer_results(*make(name))
    layer, dy, *inputs = make(name)
    layer.forward(*inputs)
    assert layer.backward(dy, need_dx=False) is None
    assert layer.cache is None
    assert_same([p.grad for p in layer.params.values()], wanted[1 + len(inputs) :])


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_gradients_are_set_not_added_up(name):
    layer, dy, *inputs = make(name)
    first = layer_results(layer, dy, *inputs)
    kept = copy.deepcopy(first)
    second = layer_results(layer, 2 * dy, *inputs)
    assert_same([2 * g for g in kept[2:]], second[2:])
    assert_same(kept, first)  # nor written over


@pytest.mark.parametrize("name", WITH_PARAMETERS)
@pytest.mark.parametrize("frozen", ["weight", "bias"])
@pytest.mark.parametrize("when", ["from the start", "after a step"])
def test_a_frozen_parameter_has_no_gradient(name, frozen, when):
    layer, dy, *inputs = make(name)
    wanted = layer_results(*make(name))
    if when == "after a step":
        layer_results(layer, dy, *inputs)
    layer.params[frozen].lr_scale = 0
    y, dx, *grads = layer_results(layer, dy, *inputs)
    assert_same([y, dx], wanted[:2])
    for kind, grad, other in zip(layer.params, grads, wanted[2:], strict=True):
        if kind == frozen:
            assert grad is None
        else:
            assert_same([grad], [other])


@every_layer
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
def test_refuses_what_is_not_floating_point(name, dtype):
    layer, _, *inputs = make(name)
    with pytest.raises(UserError, match=rf"floating-point.*{np.dtype(dtype)}"):
        layer.forward(*(x.astype(dtype) for x in inputs))


@pytest.mark.parametrize("name", WITH_PARAMETERS)
@pytest.mark.parametrize(("own", "other"), [("float32", "float64"), ("float64", "float32")])
def test_refuses_another_dtype_than_its_parameters(name, own, other):
    layer, _, *inputs = make(name, dtype=own)
    with pytest.raises(UserError, match=f"weight is {own} but the input is {other}"):
        layer.forward(*(x.astype(other) for x in inputs))


@pytest.mark.parametrize("name", ["conv", "lrn", "pool"])
def test_maps_are_asked_for_where_maps_are_needed(name):
    layer, *_ = make(name)
    with pytest.raises(ShapeError, match=rf"{type(layer).__name__}.*\(C, H, W\).*\(7,\)"):
        layer.forward(normal(3, 7))


def test_a_bare_layer_has_neither_forward_nor_backward():
    with pytest.raises(NotImplementedError, match="forward"):
        Layer().forward(normal(1, 2))
    with pytest.raises(NotImplementedError, match="backward"):
        Layer().backward(normal(1, 2))
    assert Layer().output_shape((3, 4)) == (3, 4)
    assert Layer().multiply_adds((3, 4)) == 0


def test_parameters_start_as_the_paper_has_them():
    for layer in (Conv2d(2, 3, 3), Linear(4, 3)):
        weight, bias = layer.params["weight"], layer.params["bias"]
        assert (weight.lr_scale, weight.decay, bias.lr_scale, bias.decay) == (1, 1, 1, 0)
        assert weight.grad is None
        assert bias.grad is None
        assert not bias.data.any()
        assert repr(weight) == f"Parameter({weight.data.shape}, float32)"
    assert Parameter(np.zeros(2), lr_scale=0).frozen
    assert not Parameter(np.zeros(2), lr_scale=0.1).frozen


@pytest.mark.parametrize(
    "build", [lambda rng: Conv2d(30, 40, 5, rng=rng), lambda rng: Linear(750, 99, rng=rng)]
)
def test_weights_start_at_he_from_the_given_generator(build):
    one, same, other = (build(np.random.default_rng(s)).params["weight"].data for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    assert one.std() == pytest.approx(math.sqrt(2 / 750), rel=0.03)


def test_pairs_and_paddings():
    assert as_pair(3) == (3, 3)
    assert as_pair([3, 2]) == (3, 2)
    assert as_padding(1) == ((1, 1), (1, 1))
    assert as_padding((1, 2)) == ((1, 1), (2, 2))
    assert as_padding(((0, 3), (1, 2))) == ((0, 3), (1, 2))
    assert short(((2, 2), (2, 2))) == 2
    assert short(((0, 3), (0, 3))) == ((0, 3), (0, 3))  # (0, 3) would be left and right
    assert short(((1, 1), (2, 2))) == (1, 2)
    assert short(((0, 3), (1, 1))) == ((0, 3), (1, 1))
    assert short((3, 2)) == (3, 2)
