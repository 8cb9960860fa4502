"""What every layer must do alike: the layer contract, over all of them."""

import copy
import math
import threading
from itertools import pairwise

import numpy as np
import pytest
from reference import assert_close, layer_results, normal, output, with_dtype

from minitorch_alexnet import layers
from minitorch_alexnet.errors import ShapeError, UserError
from minitorch_alexnet.gradcheck import check_layer
from minitorch_alexnet.kernels import in_order
from minitorch_alexnet.layers import Conv2d, Dropout, Layer, Linear, LocalResponseNorm, Parameter
from minitorch_alexnet.layers.base import as_padding, as_pair, short
from minitorch_alexnet.layers.cases import cases

CASES = [repr(layer) for layer, _ in cases(np.random.default_rng(0))]
every_layer = pytest.mark.parametrize("case", range(len(CASES)), ids=CASES)


def only(condition):
    """The cases whose layer meets it."""
    some = [i for i, (layer, _) in enumerate(cases(np.random.default_rng(0))) if condition(layer)]
    return pytest.mark.parametrize("case", some, ids=[CASES[i] for i in some])


layers_without_chance = only(lambda layer: not isinstance(layer, Dropout))
layers_with_parameters = only(lambda layer: layer.params)


def make(case, n=3, dtype=np.float64):
    """A fresh layer, its dy, and its inputs; the same ones whenever asked."""
    layer, shapes = cases(np.random.default_rng(4))[case]
    with_dtype(layer, dtype, seed=1)
    inputs = [normal(n, *s, seed=[2, i], dtype=dtype) for i, s in enumerate(shapes)]
    return layer, normal(n, *layer.output_shape(*shapes), seed=3, dtype=dtype), *inputs


def assert_same(results, others):
    for one, other in zip(results, others, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_every_layer_has_a_case():
    kinds = [getattr(layers, name) for name in layers.__all__]
    tested = {type(layer) for layer, _ in cases(np.random.default_rng(0))}
    assert tested == {kind for kind in kinds if issubclass(kind, Layer)} - {Layer}


@every_layer
def test_gradients_are_the_finite_differences(case):
    layer, _, *inputs = make(case, n=2)
    report = check_layer(layer, *inputs, tolerance=1e-8)
    assert report.passed, str(report)
    assert len(report.worst) == len(inputs) + len(layer.params)


@every_layer
def test_output_shape_is_that_of_forward(case):
    layer, _, *inputs = make(case)
    assert output(layer, *inputs).shape == (3, *layer.output_shape(*(x.shape[1:] for x in inputs)))


@every_layer
def test_the_dtype_that_comes_in_goes_out(case):
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 0)):
        results = layer_results(*make(case, dtype=dtype))
        assert [r.dtype for r in results] == [np.dtype(dtype)] * len(results)
        layer, _, *inputs = make(case, dtype=dtype)
        assert output(layer, *inputs, train=False).dtype == dtype
        for result, exact in zip(results, layer_results(*make(case)), strict=True):
            assert_close(result, exact, tolerance)


@every_layer
def test_neither_inputs_nor_dy_nor_parameters_are_written_to(case):
    layer, dy, *inputs = make(case)
    for order in (in_order, np.ascontiguousarray):
        arrays = [order(x) for x in (dy, *inputs)] + [p.data for p in layer.params.values()]
        before = [a.tobytes() for a in arrays]
        for a in arrays:
            a.flags.writeable = False
        given, *given_inputs = arrays[: 1 + len(inputs)]
        layer.forward(*given_inputs, train=False)
        _, cache = layer.forward(*given_inputs)
        layer.backward(given, cache)
        assert [a.tobytes() for a in arrays] == before


def state_of(layer):
    """All that it holds, but for where its generator stands."""
    settings = {k: v for k, v in vars(layer).items() if k not in ("params", "rng")}
    return copy.deepcopy(settings), {k: (p.data, p.grad) for k, p in layer.params.items()}


@every_layer
def test_a_call_leaves_nothing_in_the_layer(case):
    layer, dy, *inputs = make(case)
    settings, params = state_of(layer)
    names = set(vars(layer))
    _, cache = layer.forward(*inputs)
    layer.backward(dy, cache)
    assert set(vars(layer)) == names
    after, params_after = state_of(layer)
    assert after == settings
    assert params_after.keys() == params.keys()
    for name, (data, grad) in params.items():
        assert params_after[name][0] is data
        assert params_after[name][1] is grad is None


@layers_without_chance
def test_called_twice_it_answers_each_call(case):
    layer, dy, *inputs = make(case)
    others = [x[::-1] + 0.5 for x in inputs]
    wanted = [layer_results(layer, dy, *xs) for xs in (inputs, others)]
    calls = [layer.forward(*xs) for xs in (inputs, others)]
    for (y, cache), (wanted_y, *rest) in zip(calls, wanted, strict=True):
        dxs, grads = layer.backward(dy, cache)
        dxs = dxs if isinstance(dxs, tuple) else (dxs,)
        assert_same([y, *dxs, *grads.values()], [wanted_y, *rest])


@layers_without_chance
def test_called_from_several_threads_it_answers_each_call(case):
    layer, dy, *inputs = make(case)
    batches = [[x + i for x in inputs] for i in range(4)]
    wanted, got = [layer_results(layer, dy, *xs) for xs in batches], {}
    barrier = threading.Barrier(len(batches))

    def work(i):
        barrier.wait(10)
        got[i] = [layer_results(layer, dy, *batches[i]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for i, results in enumerate(wanted):
        for result in got[i]:
            assert_same(result, results)


@layers_without_chance
def test_parts_of_a_batch_make_the_whole(case):
    n = 7
    layer, dy, *inputs = make(case, n=n)
    y, *rest = layer_results(layer, dy, *inputs)
    dxs, grads = rest[: len(inputs)], rest[len(inputs) :]
    for ends in (range(n + 1), (0, 3, 7)):
        parts = [slice(a, b) for a, b in pairwise(ends)]
        found = [layer_results(layer, dy[p], *(x[p] for x in inputs)) for p in parts]
        for i, result in enumerate([y, *dxs]):
            assert_close(np.concatenate([f[i] for f in found]), result, 1e-13)
        for i, grad in enumerate(grads, start=1 + len(inputs)):
            assert_close(sum(f[i] for f in found), grad, 1e-13)


@every_layer
def test_of_no_images_come_none(case):
    layer, dy, *inputs = make(case, n=0)
    y, *rest = layer_results(layer, dy, *inputs)
    assert y.shape == dy.shape
    assert [dx.shape for dx in rest[: len(inputs)]] == [x.shape for x in inputs]
    assert not any(grad.any() for grad in rest[len(inputs) :])


VIEWS = {
    "images innermost": in_order,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "from the middle": lambda x: np.pad(x, 1, constant_values=9)[(slice(1, -1),) * x.ndim],
    "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
}


@every_layer
def test_any_view_of_the_same_numbers_gives_the_same(case):
    wanted = layer_results(*make(case))
    for view in VIEWS.values():
        layer, dy, *inputs = make(case)
        of_views = layer_results(layer, view(dy), *map(view, inputs))
        for result, other in zip(of_views, wanted, strict=True):
            assert_close(result, other, 1e-14)


@only(lambda layer: layer.per_image)
def test_images_innermost_in_memory_stay_so(case):
    """What one layer gives has the order in which the next one is fast."""
    layer, dy, *inputs = make(case, n=5)
    y, *rest = layer_results(layer, in_order(dy), *map(in_order, inputs))
    assert [np.argmin(a.strides) for a in (y, *rest[: len(inputs)])] == [0] * (1 + len(inputs))


@layers_without_chance
def test_train_changes_nothing_in_the_output(case):
    layer, _, *inputs = make(case)
    assert_same([output(layer, *inputs)], [output(layer, *inputs, train=False)])


@every_layer
def test_without_need_dx_there_are_the_gradients_alone(case):
    wanted = layer_results(*make(case))
    layer, dy, *inputs = make(case)
    _, cache = layer.forward(*inputs)
    dx, grads = layer.backward(dy, cache, need_dx=False)
    assert dx is None
    assert_same([grads[name] for name in layer.params], wanted[1 + len(inputs) :])


@every_layer
def test_refuses_what_is_not_floating_point(case):
    layer, _, *inputs = make(case)
    for dtype in (np.int64, np.uint8, bool):
        with pytest.raises(UserError, match=rf"floating-point.*{np.dtype(dtype)}"):
            layer.forward(*(x.astype(dtype) for x in inputs))


@layers_with_parameters
@pytest.mark.parametrize(("own", "other"), [("float32", "float64"), ("float64", "float32")])
def test_refuses_another_dtype_than_its_parameters(case, own, other):
    layer, _, *inputs = make(case, dtype=own)
    with pytest.raises(UserError, match=f"weight is {own} but the input is {other}"):
        layer.forward(*(x.astype(other) for x in inputs))


@only(lambda layer: type(layer).__name__ in ("Conv2d", "LocalResponseNorm", "MaxPool2d"))
def test_maps_are_asked_for_where_maps_are_needed(case):
    layer, *_ = make(case)
    with pytest.raises(ShapeError, match=rf"{type(layer).__name__}.*\(C, H, W\).*\(7,\)"):
        layer.forward(normal(3, 7))


def test_a_bare_layer_has_neither_forward_nor_backward():
    with pytest.raises(NotImplementedError, match="forward"):
        Layer().forward(normal(1, 2))
    with pytest.raises(NotImplementedError, match="backward"):
        Layer().backward(normal(1, 2), None)
    assert Layer().output_shape((3, 4)) == (3, 4)
    assert Layer().multiply_adds((3, 4)) == 0


# ---- parameters ------------------------------------------------------------------------------


def test_parameters_start_as_the_paper_has_them():
    for layer in (Conv2d(2, 3, 3), Linear(4, 3)):
        weight, bias = layer.params["weight"], layer.params["bias"]
        assert (weight.lr_scale, weight.decay, bias.lr_scale, bias.decay) == (1, 1, 1, 0)
        assert weight.data.dtype == bias.data.dtype == np.float32
        assert not bias.data.any()
    assert Parameter(np.zeros(2), lr_scale=0).frozen
    assert not Parameter(np.zeros(2), lr_scale=0.1).frozen
    with pytest.raises(ShapeError, match="needs an axis"):
        Parameter(np.float32(1))


@pytest.mark.parametrize(
    "build", [lambda rng: Conv2d(30, 40, 5, rng=rng), lambda rng: Linear(750, 99, rng=rng)]
)
def test_weights_start_at_he_from_the_given_generator(build):
    one, same, other = (build(np.random.default_rng(s)).params["weight"].data for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    assert one.std() == pytest.approx(math.sqrt(2 / 750), rel=0.03)


@pytest.mark.parametrize("layer", [Conv2d(2, 3, 3), Linear(4, 3)], ids=repr)
def test_weights_that_nobody_drew_are_refused(layer):
    assert not layer.params["weight"].drawn
    assert layer.params["bias"].drawn  # zeros, as they start
    x = np.ones((1, 2, 5, 5) if isinstance(layer, Conv2d) else (1, 4), np.float32)
    with pytest.raises(UserError, match=r"weight has no numbers yet: .* rng.* Graph with a seed"):
        layer.forward(x)
    with_dtype(layer, np.float32)
    assert layer.params["weight"].drawn
    assert output(layer, x).any()


def test_weights_that_nobody_drew_take_no_memory():
    weight = Linear(10**6, 10**6).params["weight"].data  # 4 TB
    assert weight.shape == (10**6, 10**6)
    with pytest.raises(ValueError, match="read-only"):
        weight[0, 0] = 1


class Scale(Layer):
    """A layer that a reader has written, without a repr of its own."""

    def __init__(self, factor, rng=None):
        super().__init__()
        self.factor, self.rng = factor, rng


def test_a_layers_settings_show_in_its_repr():
    assert repr(Scale(5.0, np.random.default_rng(0))) == "Scale(factor=5.0)"
    assert repr(Scale(1.0)) != repr(Scale(5.0))


# ---- arguments -------------------------------------------------------------------------------


def test_pairs_and_paddings():
    assert as_pair(3) == (3, 3)
    assert as_pair([3, 2]) == (3, 2)
    assert as_padding(1) == ((1, 1), (1, 1))
    assert as_padding((1, 2)) == ((1, 1), (2, 2))
    assert as_padding(((0, 3), (1, 2))) == ((0, 3), (1, 2))
    with pytest.raises(ShapeError, match=r"pair, got \(1, 2, 3\)"):
        as_pair((1, 2, 3))
    for wrong in ("same", (1, 1, 1, 1), ((1, 2), (3,)), 1.5):
        with pytest.raises(ShapeError, match="pair, got"):
            as_padding(wrong)


def test_the_shortest_way_to_say_a_pair():
    for value in (((2, 2), (2, 2)), ((0, 3), (0, 3)), ((1, 1), (2, 2)), ((0, 3), (1, 1))):
        assert as_padding(short(value)) == value
    assert short(((2, 2), (2, 2))) == 2
    assert short((3, 2)) == (3, 2)


@pytest.mark.parametrize("x", [[[1.0, 2.0]], None, "ab", 3.0, np.float32(3)], ids=repr)
@every_layer
def test_what_is_no_array_is_refused(case, x):
    layer, shapes = cases(np.random.default_rng(0))[case]
    with pytest.raises(UserError, match="input must be an array, got"):
        layer.forward(*[x] * len(shapes))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Conv2d(1.0, 4, 3),
        lambda: Conv2d("1", 4, 3),
        lambda: Conv2d(1, None, 3),
        lambda: Conv2d(2, 4, 3, groups=2.0),
        lambda: Conv2d(1, 4, (3.0, 3)),
        lambda: Conv2d(1, 4, 3, stride=(1, 1.5)),
        lambda: Conv2d(1, 4, 3, padding="same"),
        lambda: Conv2d(1, 4, 3, padding=((1, 1.0), 1)),
        lambda: Linear(8 * 22 / 2, 10),
        lambda: Linear((4, 6, 6), 10),
        lambda: Linear(4, "10"),
        lambda: LocalResponseNorm(5.0),
        lambda: LocalResponseNorm(5, groups="2"),
    ],
)
def test_sizes_are_whole_numbers(make):
    with pytest.raises(ShapeError, match="whole number"):
        make()
    assert Linear(np.int64(4), np.uint8(3)).output_shape((4,)) == (3,)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dropout("0.5"),
        lambda: Dropout(None),
        lambda: LocalResponseNorm(5, alpha="a"),
        lambda: LocalResponseNorm(5, beta=None),
    ],
)
def test_settings_are_numbers(make):
    with pytest.raises(UserError, match=r"Dropout: p|LocalResponseNorm: alpha"):
        make()


@pytest.mark.parametrize("rng", [0, 42, True, "seed"])
def test_a_generator_is_no_seed(rng):
    for make in (
        lambda: Conv2d(1, 1, 1, rng=rng),
        lambda: Linear(1, 1, rng),
        lambda: Dropout(rng=rng),
    ):
        with pytest.raises(UserError, match="rng must be like"):
            make()


@pytest.mark.parametrize("data", [[1.0, 2.0], (1,), range(3)])
def test_a_parameter_is_an_array(data):
    with pytest.raises(UserError, match="must be an array"):
        Parameter(data)
