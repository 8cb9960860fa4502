"""On a machine with a GPU: `pytest -m gpu`. The same numbers as on the CPU, and flat memory."""

from dataclasses import replace

import numpy as np
import pytest
from reference import layer_results, normal, output

from minitorch_alexnet import SGD, Config, Graph, Trainer, build, load_run, timing
from minitorch_alexnet.data import silhouettes
from minitorch_alexnet.device import Device
from minitorch_alexnet.gpu import why_no_gpu
from minitorch_alexnet.gradcheck import check_graph
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
from minitorch_alexnet.summary import ledger

pytestmark = pytest.mark.gpu
HOST = Device("cpu")


@pytest.fixture(scope="module", autouse=True)
def gpu():
    if reason := why_no_gpu():
        pytest.skip(f"no GPU: {reason}")
    return Device("cuda:0")


def close(found, wanted, dtype, loss=1.0):
    """Equal but for rounding, in units of the largest value."""
    found = HOST.array(found)
    assert found.dtype == wanted.dtype == dtype
    tolerance = loss * (1e-12 if dtype == np.float64 else 2e-5) * np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


CASES = [repr(layer) for layer, _ in cases(np.random.default_rng(0))]


def make(case, device, dtype):
    """A fresh layer on the device, and what it is given: dy, and its inputs."""
    layer, shapes = cases(np.random.default_rng(4))[case]
    for parameter in layer.params.values():
        parameter.data = device.array(parameter.data.astype(dtype))
    if isinstance(layer, Copy):
        layer.to = device
    arrays = [normal(3, *shape, seed=i, dtype=dtype) for i, shape in enumerate(shapes)]
    dy = normal(3, *layer.output_shape(*shapes), seed=9, dtype=dtype)
    return layer, *map(device.array, (dy, *arrays))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", range(len(CASES)), ids=CASES)
def test_a_layer_gives_what_it_gives_on_the_cpu(gpu, case, dtype):
    results = {device: layer_results(*make(case, device, dtype)) for device in (HOST, gpu)}
    for found, wanted in zip(results[gpu], results[HOST], strict=True):
        assert Device.of(found) == gpu
        close(found, wanted, dtype)


@pytest.mark.parametrize("case", range(len(CASES)), ids=CASES)
def test_gradients_on_the_device_are_those_of_finite_differences(gpu, case):
    """d<dy, f(x)> along a random direction, in float64."""
    layer, dy, *inputs = make(case, gpu, np.float64)
    if isinstance(layer, Dropout):
        layer.p = 0.0  # each call draws anew
    ways = [gpu.array(normal(*x.shape, seed=20 + i)) for i, x in enumerate(inputs)]
    _, *dxs = layer_results(layer, dy, *inputs)[: 1 + len(inputs)]
    slope = sum(float((dx * way).sum()) for dx, way in zip(dxs, ways, strict=True))
    ends = [
        output(layer, *(x + h * way for x, way in zip(inputs, ways, strict=True)))
        for h in (1e-6, -1e-6)
    ]
    assert slope == pytest.approx(
        float(((ends[0] - ends[1]) * dy).sum()) / 2e-6, rel=1e-6, abs=1e-7
    )


def steps(net, count=10, batch=16, dtype=np.float64):
    rng = np.random.default_rng(0)
    for parameter in net.named_parameters().values():
        with Device.of(parameter.data).current():
            parameter.data = parameter.data.astype(dtype)
    loss, sgd = SoftmaxCrossEntropy(), SGD(net.named_parameters(), lr=0.01)
    for _ in range(count):
        images = rng.standard_normal((batch, *net.input_shape)).astype(dtype)
        labels = rng.integers(0, 10, batch)
        value = loss.forward(net.forward(images), labels)
        net.backward(loss.backward())
        sgd.step()
    return float(value)


def test_ten_steps_end_with_the_cpus_weights(gpu):
    nets = [build("fashion", devices=str(device)) for device in (HOST, gpu)]
    losses = [steps(net) for net in nets]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    for name, wanted in nets[0].state_dict().items():
        close(nets[1].state_dict()[name], wanted, np.float64, loss=100)


def test_ten_steps_in_float32_end_with_the_cpus_loss(gpu):
    """Not its weights: a single ReLU near 0 may part those."""
    nets = [build("fashion", devices=str(device)) for device in (HOST, gpu)]
    losses = [steps(net, dtype=np.float32) for net in nets]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def towers(first, second):
    """A narrow net of the paper's kind, on 28×28."""
    net = Graph((1, 28, 28), device=first)
    net.add("image_b", Copy(to=second), "image")
    for tower, image in ("a", "image"), ("b", "image_b"):
        net.add("conv1", Conv2d(1, 8, 5), image, tower=tower)
        net.add("relu1", ReLU(), tower=tower)
        net.add("norm1", LocalResponseNorm(5), tower=tower)
        net.add("pool1", MaxPool2d(3, stride=2), tower=tower)
    net.add("pool1b_to_a", Copy(to=first), "pool1b")
    net.add("pool1a_to_b", Copy(to=second), "pool1a")
    net.add("both1", Concat(), ("pool1a", "pool1b_to_a"), tower="a")
    net.add("both1", Concat(), ("pool1a_to_b", "pool1b"), tower="b")
    for number, tower in enumerate("ab"):
        net.add("conv2", Conv2d(16, 12, 3, padding=1), f"both1{tower}", tower=tower)
        net.add("relu2", ReLU(), tower=tower)
        net.add("drop2", Dropout(0.5, rng=np.random.default_rng(number)), tower=tower)
        net.add("flatten", Flatten(), tower=tower)
    net.add("flattenb_to_a", Copy(to=first), "flattenb")
    net.add("both2", Concat(), ("flattena", "flattenb_to_a"))
    net.add("fc3", Linear(2 * 12 * 11 * 11, 10))
    return net


PAIRS = [f"{a},{b}" for a in ("cpu", "cuda:0", "cuda:1") for b in ("cpu", "cuda:0", "cuda:1")][1:]


@pytest.fixture(params=PAIRS)
def pair(request):
    """Two devices; warnings are errors, CuPy's of an array on another GPU than the current one."""
    if "cuda:1" in request.param and why_no_gpu(1):
        pytest.skip("there is no second GPU")
    return request.param


def test_two_devices_end_with_the_cpus_weights(pair):
    wanted, found = towers("cpu:0", "cpu:1"), towers(*pair.split(","))
    assert steps(found) == pytest.approx(steps(wanted), rel=1e-9)
    for name, value in wanted.state_dict().items():
        close(found.state_dict()[name], value, np.float64, loss=100)
    assert [row["bytes_forward"] for row in ledger(found)] == [
        row["bytes_forward"] for row in ledger(wanted)
    ]


def test_a_net_is_trained_tested_timed_and_checked_wherever_it_lives(pair, monkeypatch):
    monkeypatch.setattr(timing, "SQUARE", {"cpu": 128, "cuda": 128})
    data, results = silhouettes.load("train", count=100), []
    for devices in ("cpu,cpu", pair):
        net, config = towers(*devices.split(",")), Config(epochs=1, batch_size=32, augment=True)
        trainer = Trainer(data, config, net=net)
        trainer.fit()
        row, answers = trainer.history[0], trainer.predict(data.images[:8])
        results.append([row["train_loss"], row["validation_loss"], *answers.probabilities.ravel()])
    assert results[1] == pytest.approx(results[0], rel=1e-3, abs=1e-4)
    seconds = timing.measure(net, 8, 0, np.random.default_rng(0))
    assert np.min(seconds.steps) > 0
    assert np.min(seconds.limit) > 0
    images, labels = normal(2, 1, 28, 28, seed=1), np.arange(2)
    assert check_graph(net, images, labels, samples=1).passed


def trained(data, config, folder, sessions):
    """The trainer of a run's last session; sessions: each with its devices and its last epoch."""
    for devices, epochs in sessions:
        trainer = Trainer(data, replace(config, devices=devices), folder)
        trainer.resume()
        trainer.fit(on_step=lambda t, last=epochs: t.stop() if t.epoch == last else None)
    assert trainer.finished
    return trainer


def test_a_resumed_run_has_the_unbroken_runs_bits(gpu, tmp_path):
    data = silhouettes.load("train", count=200)
    config = Config(epochs=3, batch_size=32, lr=0.01)
    whole = Trainer(data, replace(config, devices="cuda:0"))
    whole.fit()
    parts = trained(data, config, tmp_path, [("cuda:0", 1), ("cuda:0", 2), ("cuda:0", 3)])
    for name, wanted in whole.net.state_dict().items():
        np.testing.assert_array_equal(parts.net.state_dict()[name], wanted)


def test_a_run_goes_on_from_the_gpu_to_the_cpu_and_back(gpu, tmp_path):
    """By the losses: a single ReLU near 0 may part two runs' weights, and theirs alone."""
    data = silhouettes.load("train", count=200)
    config = Config(epochs=3, batch_size=32, lr=0.01)
    whole = Trainer(data, replace(config, devices="cpu"))
    whole.fit()
    there_and_back = [("cuda:0", 1), ("cpu", 2), ("cuda:0", 3)]
    parts = trained(data, config, tmp_path, there_and_back)
    for found, wanted in zip(parts.history, whole.history, strict=True):
        assert found["train_loss"] == pytest.approx(wanted["train_loss"], rel=1e-3)
        assert found["validation_loss"] == pytest.approx(wanted["validation_loss"], rel=1e-3)
    images = parts.normalize(data.images[:8], HOST)
    found, wanted = (
        net.predict(images) for net in (load_run(tmp_path, devices="cpu").net, parts.net)
    )
    close(found, wanted, np.float32)


def test_products_are_in_tf32_while_a_net_learns(gpu):
    """Asked in time or late: here there have been products of float32 before."""
    import cupy

    kinds = []
    for wanted in (False, True, False):
        config = Config(epochs=1, batch_size=64, tf32=wanted, devices="cuda:0")
        trainer = Trainer(silhouettes.load("train", count=50), config)
        descend = trainer.sgd.step

        def step(descend=descend):
            kinds.append(cupy._core.get_compute_type(np.float32))
            descend()

        trainer.sgd.step = step
        trainer.fit()
    assert kinds[1] == cupy._core._routines_linalg.COMPUTE_TYPE_TF32
    assert kinds[0] == kinds[-1] == cupy._core.get_compute_type(np.float32) != kinds[1]


def test_memory_stays_flat(gpu):
    import cupy

    net = build("fashion", devices="cuda:0")
    steps(net, count=3, batch=128, dtype=np.float32)
    pool = cupy.get_default_memory_pool()
    before = pool.total_bytes()
    steps(net, count=200, batch=128, dtype=np.float32)
    assert pool.total_bytes() <= before * 1.05
