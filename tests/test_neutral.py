"""Layers, loss, optimiser and graph on arrays that are not NumPy's: the same values, and no more
of NumPy than a GPU allows. strict.py says what is refused.
"""

import gc
import weakref

import numpy as np
import pytest
from reference import assert_close, normal, output, with_dtype
from strict import (
    ATTRIBUTES,
    COMPUTE,
    HELD,
    METHODS,
    Array,
    Event,
    Pinned,
    Stranger,
    cupy,
    state,
    strict_cupy,
)

from minitorch_alexnet import device, timing
from minitorch_alexnet.config import Config
from minitorch_alexnet.data import silhouettes
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.loader import Loader
from minitorch_alexnet.data.transforms import Normalize
from minitorch_alexnet.device import Device, fuse
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.gradcheck import check_graph, check_layer
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
from minitorch_alexnet.layers.cases import cases
from minitorch_alexnet.models import build
from minitorch_alexnet.optim import SGD
from minitorch_alexnet.run import load_run
from minitorch_alexnet.train import Trainer

CASES = [repr(layer) for layer, _ in cases(np.random.default_rng(0))]
DTYPES = [np.float32, np.float64]


@pytest.fixture
def strict():
    with strict_cupy():
        yield


def host(x):
    """NumPy's array of what has to be on the GPU; None stays None."""
    assert x is None or isinstance(x, Array)
    return None if x is None else x.get()


def run(case, inputs, dy, dtype, gpu, **how):
    """[y of a test, y, dx of each input, gradient of each parameter], on the host."""
    layer = with_dtype(cases(np.random.default_rng(3))[case][0], dtype, seed=3)
    if gpu:
        inputs, dy = [Device("cuda:0").array(x) for x in inputs], Device("cuda:0").array(dy)
        for parameter in layer.params.values():
            parameter.data = Device("cuda:0").array(parameter.data)
        if isinstance(layer, Copy):
            layer.to = Device("cuda:0")
    y, cache = layer.forward(*inputs)
    results = [output(layer, *inputs, train=False), y]
    dx, grads = layer.backward(dy, cache, **how)
    results += dx if isinstance(dx, tuple) else [dx]
    results += [grads[name] for name in layer.params]
    assert state.waits == 0
    return [host(x) for x in results] if gpu else results


def assert_same(got, wanted, dtype):
    for one, other in zip(got, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype == dtype
            assert_close(one, other, 1e-12 if dtype == np.float64 else 1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", range(len(CASES)), ids=CASES)
def test_a_layer_is_the_same_anywhere(strict, case, dtype):
    layer, shapes = cases(np.random.default_rng(3))[case]
    inputs = [normal(3, *shape, seed=[1, i], dtype=dtype) for i, shape in enumerate(shapes)]
    dy = normal(3, *layer.output_shape(*shapes), seed=2, dtype=dtype)
    for how in ({}, {"need_dx": False}):
        there, here = (run(case, inputs, dy, dtype, gpu, **how) for gpu in (True, False))
        assert_same(there, here, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_loss_is_the_same_anywhere(strict, dtype):
    logits, labels = 9 * normal(5, 4, seed=1, dtype=dtype), np.array([3, 0, 1, 1, 2])
    here, there = SoftmaxCrossEntropy(), SoftmaxCrossEntropy()
    value = host(there.forward(Device("cuda").array(logits), labels))
    wanted = here.forward(logits, labels)
    assert value.dtype == wanted.dtype == dtype
    assert value == pytest.approx(wanted, rel=1e-6)
    assert_same([host(there.backward())], [here.backward()], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("decay", [0, 5e-4])
def test_a_step_is_the_same_anywhere(strict, dtype, decay):
    results = []
    for where in ("cpu", "cuda:0"):
        layer = with_dtype(Linear(8, 5), dtype, seed=1)
        sgd_parameters = layer.params
        for i, parameter in enumerate(sgd_parameters.values()):
            grad = normal(*parameter.data.shape, seed=[2, i], dtype=dtype)
            parameter.data = Device(where).array(parameter.data)
            parameter.grad = Device(where).array(grad)
        sgd = SGD(sgd_parameters, lr=0.1, weight_decay=decay)
        sgd.step()
        sgd.step()
        arrays = [*(p.data for p in layer.params.values()), *sgd.velocity.values()]
        results.append([Device("cpu").array(x) for x in arrays])
    assert_same(*results, dtype)


def towers(a, b, dtype=np.float64):
    """A net of two towers that meet, the second one behind Copies."""
    net = Graph((3, 8, 8), device=a)
    net.add("image_b", Copy(b), "image")
    for tower, source in (("a", "image"), ("b", "image_b")):
        net.add("conv1", Conv2d(3, 4, 3, padding=1), source, tower=tower)
        net.add("norm1", LocalResponseNorm(3, alpha=0.3), tower=tower)
        net.add("relu1", ReLU(), tower=tower)
        net.add("pool1", MaxPool2d(3, 2), tower=tower)
    net.add("a_to_b", Copy(b), "pool1a")
    net.add("both_b", Concat(), ("a_to_b", "pool1b"))
    net.add("conv2", Conv2d(8, 4, 3, groups=2), "both_b", tower="b")
    net.add("b_to_a", Copy(a))
    net.add("conv2", Conv2d(4, 4, 3), "pool1a", tower="a")
    net.add("both", Concat(), ("conv2a", "b_to_a"))
    net.add("drop", Dropout(0.3))
    net.add("flat", Flatten())
    net.add("out", Linear(8, 5))
    for i, parameter in enumerate(net.named_parameters().values()):
        wanted = normal(*parameter.data.shape, seed=[4, i], dtype=dtype)
        parameter.data = Device.of(parameter.data).array(wanted)
    return net


def train(net, steps=3, dtype=np.float64):
    """Every loss, the weights, the gradients and the velocities of a few steps."""
    images, labels = normal(6, 3, 8, 8, seed=5, dtype=dtype), np.arange(6) % 5
    loss, sgd, losses = SoftmaxCrossEntropy(), SGD(net.named_parameters(), lr=0.05), []
    for _ in range(steps):
        with net.output_device.current():
            losses.append(Device("cpu").array(loss.forward(net.forward(images), labels)))
            net.backward(loss.backward())
        sgd.step()
    gradients = {name: p.grad for name, p in net.named_parameters().items()}
    joined = [net.state_dict(), net.join(gradients), net.join(sgd.velocity)]
    return losses, [array for arrays in joined for array in arrays.values()]


@pytest.mark.parametrize(
    "devices", [("cuda:0", "cuda:0"), ("cuda:0", "cuda:1"), ("cuda:1", "cuda:0"), ("cpu", "cuda:1")]
)
def test_two_towers_learn_the_same_on_any_devices(strict, devices):
    losses, arrays = train(towers(*devices))
    wanted_losses, wanted = train(towers("cpu", "cpu"))
    np.testing.assert_allclose(losses, wanted_losses, rtol=1e-12)
    assert_same(arrays, wanted, np.float64)


def test_a_state_goes_from_host_to_gpu_and_back(strict):
    net, other = towers("cuda:0", "cuda:1"), towers("cpu", "cpu")
    state_dict = {name: 2 * value for name, value in other.state_dict().items()}
    net.load_state_dict(state_dict)
    assert all(isinstance(p.data, Array) for p in net.named_parameters().values())
    assert [Device.of(net[f"conv1{t}"].params["bias"].data).index for t in "ab"] == [0, 1]
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, state_dict[name])


def test_answers_come_to_the_host(strict):
    images = normal(5, 3, 8, 8, seed=6)
    answers = towers("cuda:0", "cuda:1").predict(images, batch_size=2)
    assert_close(answers, towers("cpu", "cpu").predict(images), 1e-12)


def test_the_fashion_net_learns_the_same_on_a_gpu(strict):
    images, labels = normal(4, 1, 28, 28, seed=7, dtype=np.float32), np.arange(4)
    logits = []
    for where in ("cpu", "cuda:0"):
        net, loss = build("fashion", devices=where), SoftmaxCrossEntropy()
        sgd = SGD(net.named_parameters())
        loss.forward(net.forward(images), labels)
        net.backward(loss.backward())
        sgd.step()
        logits.append(Device("cpu").array(net.forward(images, train=False)))
    assert_close(*logits, 1e-5)


def test_elementwise_chains_are_fused(strict):
    train(towers("cuda:0", "cuda:1"), steps=1)
    assert state.waits == 0  # for the GPU, whose work is queued
    assert {"descend", "_where_positive"} <= state.fused


def test_what_is_fused_is_fused_where_there_is_an_array_of_a_gpu(strict):
    @fuse
    def twice(x, y):
        return x * 2 + y

    ones = np.ones(3)
    assert twice(ones, 1.0).tolist() == [3, 3, 3]
    assert not state.fused
    assert twice(Device("cuda").array(ones), 1.0).get().tolist() == [3, 3, 3]
    assert [name.rpartition(".")[2] for name in state.fused] == ["twice"]


# ---- training --------------------------------------------------------------------------------


def trainer(devices, folder=None, **more):
    config = Config(epochs=2, batch_size=16, lr=0.002, augment=True, devices=devices, **more)
    return Trainer(silhouettes.load("train", count=96), config, folder)


@pytest.mark.parametrize("devices", ["cuda:0", "cuda:1"])
def test_a_run_is_the_same_anywhere(strict, tmp_path, devices):
    there, here = trainer(devices, tmp_path), trainer("cpu")
    there.fit()
    here.fit()
    # Its losses alone: a ReLU's input that is 0 but for rounding has gradients of its own.
    for got, wanted in zip(there.history, here.history, strict=True):
        assert got["train_loss"] == pytest.approx(wanted["train_loss"], rel=1e-5)
    wanted = there.net.state_dict()
    for name, value in load_run(tmp_path).net.state_dict().items():
        np.testing.assert_array_equal(value, wanted[name])


def test_products_are_in_tf32_while_a_net_learns_and_only_then(strict, monkeypatch):
    (kind,) = COMPUTE.values()
    learning = trainer("cuda:1", tf32=True)
    seen = {"step": set(), "test": set(), "estimate": set()}

    def watched(when, function):
        def call(*arguments, **options):
            seen[when] |= set(COMPUTE.values())
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(learning, "_learn", watched("step", learning._learn))
    monkeypatch.setattr(learning, "test", watched("test", learning.test))
    seconds = timing.learning_seconds
    monkeypatch.setattr(timing, "learning_seconds", watched("estimate", seconds))
    learning.estimate()
    learning.fit()
    assert seen == {"step": {"tf32"}, "test": {kind}, "estimate": {"tf32"}}
    assert set(COMPUTE.values()) == {kind}
    told = set()
    trainer("cuda:1", tf32=True).fit(on_step=lambda t: told.update(COMPUTE.values()))
    assert told == {kind}  # whatever one looks at the net with


def test_a_run_in_tf32_goes_on_where_there_is_none(strict, tmp_path):
    trainer("cuda:0", tmp_path, tf32=True).fit(on_step=lambda t: t.stop())
    second = trainer("cpu", tmp_path, tf32=True)
    assert second.resume()
    second.fit()
    assert second.finished


def test_two_trainings_in_tf32_leave_products_as_they_were(strict):
    (kind,) = COMPUTE.values()
    first, second = device.tf32(), device.tf32()
    for step in (first.__enter__, second.__enter__, lambda: first.__exit__(None, None, None)):
        step()
        assert set(COMPUTE.values()) == {"tf32"}
    second.__exit__(None, None, None)
    assert set(COMPUTE.values()) == {kind}


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">f8", "u1"])
def test_images_of_any_order_of_bytes_reach_a_gpu(strict, dtype):
    images = np.arange(2 * 3 * 4, dtype=dtype).reshape(2, 1, 3, 4)
    loader = Loader(ArrayDataset(images, np.arange(2)), 1, Normalize(np.zeros((1, 3, 4))), "cuda:1")
    found = np.concatenate([host(x) for x, _ in loader])
    np.testing.assert_array_equal(found, images.astype(np.float32))


def test_what_a_gpu_fetches_stays_until_it_has_it(strict, monkeypatch):
    """Pinned memory is used again as soon as nobody knows it."""
    known, done = weakref.WeakSet(), []
    monkeypatch.setattr(Event, "done", property(lambda event: bool(done)))

    def pinned(size):
        memory = Pinned(size)
        known.add(memory)
        return memory

    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", pinned)
    there, x = Device("cuda:0"), np.ones((2, 3))
    for number in range(3):
        there.upload(x, there.queue())()
        gc.collect()
        assert len(known) == number + 1
    done.append(True)
    there.upload(x, there.queue())()
    gc.collect()
    assert len(known) == 1


OUT_OF_MEMORY = {
    "fit": lambda t: t.fit(),
    "estimate": lambda t: t.estimate(),
    "validate": lambda t: t.validate(),
    "predict": lambda t: t.predict(t.validation.images[:3]),
    "measure": lambda t: timing.measure(t.net, 16, 0, np.random.default_rng(0)),
}


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_a_gpu_without_room_is_named(strict, monkeypatch, name):
    class OutOfMemoryError(Exception):  # as CuPy's
        pass

    def fail(*given, **options):
        raise OutOfMemoryError("planted")

    learning = trainer("cuda:1")
    monkeypatch.setattr(learning.net, "forward", fail)
    with pytest.raises(UserError, match=r"cuda:1 has no room for a batch of \d+: about \d+ would"):
        OUT_OF_MEMORY[name](learning)


def test_the_gpu_without_room_is_the_one_that_has_least_left(strict, monkeypatch):
    monkeypatch.setattr(Device, "free", lambda device: -device.index)
    with (
        pytest.raises(UserError, match="cuda:2 has no room"),
        timing.room_for(towers("cuda:0", "cuda:2"), 8),
    ):
        raise type("OutOfMemoryError", (Exception,), {})


def test_a_run_that_goes_on_has_everything_on_its_gpu(strict, tmp_path):
    first = trainer("cuda:1", tmp_path)
    first.fit(on_step=lambda t: t.stop())
    second = trainer("cuda:1", tmp_path)
    assert second.resume()
    second.fit()
    assert {Device.of(v) for v in second.sgd.velocity.values()} == {Device("cuda:1")}


def test_a_run_is_estimated_on_a_second_gpu(strict):
    seconds, memory = trainer("cuda:1").estimate()
    assert seconds > 0
    assert memory == HELD[1]


def test_divergence_is_found_on_a_gpu(strict):
    run = trainer("cuda:0")
    run.net["fc6"].params["weight"].data *= np.float32("inf")
    with np.errstate(all="ignore"), pytest.raises(UserError, match="not finite in epoch 1"):
        run.fit()


def test_a_layer_on_a_gpu_can_be_checked(strict):
    layer = Linear(4, 3)
    for parameter in layer.params.values():
        parameter.data = Device("cuda").array(parameter.data)
    assert check_layer(layer, normal(2, 4)).passed


@pytest.mark.parametrize("devices", [("cuda:0", "cuda:0"), ("cuda:1", "cuda:0")])
def test_a_net_on_a_gpu_can_be_checked(strict, devices):
    assert check_graph(towers(*devices), normal(2, 3, 8, 8), np.arange(2), samples=3).passed


# ---- the stand-in itself ---------------------------------------------------------------------

REFUSED = {
    "a NumPy array beside it": lambda x: x + np.ones(2),
    "beside a NumPy array": lambda x: np.ones(2) * x,
    "into it": lambda x: x.__setitem__(slice(None), np.ones(2)),
    "as an index": lambda x: x[np.array([0])],
    "a function of NumPy": lambda x: np.concatenate([x, x]),
    "a ufunc": lambda x: np.exp(x),
    "asarray": lambda x: np.asarray(x),
    "to be a list": lambda x: list(x),
    "three axes": lambda x: cupy.matmul(x.reshape(1, 1, 2), x.reshape(1, 2, 1)),
    "another device": lambda x: x + Device("cuda:1").array(x),
    "indexing, fused": lambda x: cupy.fuse(lambda y: y[0])(x),
    "a sum, fused": lambda x: cupy.fuse(lambda y: y.sum())(x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_strict_arrays_refuse(strict, name):
    with pytest.raises(Stranger):
        REFUSED[name](cupy.ones(2))


@pytest.mark.gpu
def test_what_strict_arrays_can_cupys_can():
    import cupy as real

    assert [name for name in vars(cupy) if not hasattr(real, name)] == []
    assert [name for name in ATTRIBUTES + METHODS if not hasattr(real.ndarray, name)] == []


def test_afterwards_all_is_as_before():
    before = device.why_no_gpu
    with strict_cupy():
        assert device.array_module(cupy.ones(2)) is cupy
    assert device.why_no_gpu is before
    assert device.array_module(np.ones(2)) is np
