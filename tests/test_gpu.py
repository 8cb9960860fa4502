"""On a machine with a GPU: `pytest -m gpu`. The same numbers as on the CPU, and flat memory."""

from dataclasses import replace

import numpy as np
import pytest

from minitorch_alexnet import SGD, Config, Graph, Trainer, build, load_run
from minitorch_alexnet.cli.inspect import CASES
from minitorch_alexnet.data import silhouettes
from minitorch_alexnet.device import Device, why_no_gpu
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


def moved(layer, device, dtype):
    for parameter in layer.params.values():
        parameter.data = device.array(HOST.array(parameter.data).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("layer", "shapes"), CASES, ids=[repr(layer) for layer, _ in CASES])
def test_a_layer_gives_what_it_gives_on_the_cpu(gpu, layer, shapes, dtype):
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    results = {}
    for device in (HOST, gpu):
        moved(layer, device, dtype)
        if hasattr(layer, "rng"):
            layer.rng = np.random.default_rng(5)
        if isinstance(layer, Copy):
            layer.to = device
        y = layer.forward(*map(device.array, inputs))
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        dx = layer.backward(device.array(dy))
        gradients = [p.grad for p in layer.params.values()]
        results[device] = [y, *(dx if isinstance(dx, tuple) else (dx,)), *gradients]
    moved(layer, HOST, np.float32)
    for found, wanted in zip(results[gpu], results[HOST], strict=True):
        assert Device.of(found) == gpu
        close(found, wanted, dtype)


@pytest.mark.parametrize("kind", [Conv2d, LocalResponseNorm, MaxPool2d, Linear, ReLU])
def test_gradients_on_the_device_are_those_of_finite_differences(gpu, kind):
    """d<dy, f(x)> along random directions, in float64."""
    rng = np.random.default_rng(0)
    for layer, (shape,) in ((c, s) for c, s in CASES if type(c) is kind):
        moved(layer, gpu, np.float64)
        x, way = (gpu.array(rng.standard_normal(shape)) for _ in range(2))
        dy = gpu.array(rng.standard_normal(layer.forward(x, train=False).shape))
        layer.forward(x)
        slope = float((layer.backward(dy) * way).sum())
        ends = [float((layer.forward(x + h * way, train=False) * dy).sum()) for h in (1e-6, -1e-6)]
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-7)
        moved(layer, HOST, np.float32)


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ten_steps_end_with_the_cpus_weights(gpu, dtype):
    nets = [build("fashion", devices=str(device)) for device in (HOST, gpu)]
    losses = [steps(net, dtype=dtype) for net in nets]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9 if dtype == np.float64 else 1e-3)
    for name, wanted in nets[0].state_dict().items():
        close(nets[1].state_dict()[name], wanted, dtype, loss=100)


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


@pytest.mark.parametrize("pair", ["cuda:0,cuda:0", "cpu,cuda:0", "cuda:0,cuda:1"])
def test_two_devices_end_with_the_cpus_weights(pair):
    if "cuda:1" in pair and why_no_gpu(1):
        pytest.skip("there is no second GPU")
    wanted, found = towers("cpu:0", "cpu:1"), towers(*pair.split(","))
    assert steps(found) == pytest.approx(steps(wanted), rel=1e-9)
    for name, value in wanted.state_dict().items():
        close(found.state_dict()[name], value, np.float64, loss=100)
    assert [row["bytes_forward"] for row in found.ledger()] == [
        row["bytes_forward"] for row in wanted.ledger()
    ]


def test_a_run_goes_on_from_the_gpu_to_the_cpu_and_back(gpu, tmp_path):
    data = silhouettes.load("train", count=200)
    config = Config(epochs=3, batch_size=32, lr=0.01, devices="cpu")
    whole = Trainer(data, config)
    whole.fit()
    for devices, epochs in ("cuda:0", 1), ("cpu", 2), ("cuda:0", 3):
        trainer = Trainer(data, replace(config, devices=devices), tmp_path)
        trainer.resume()
        trainer.fit(
            on_epoch=lambda t, e=epochs: None,
            on_step=lambda t, e=epochs: t.stop() if t.epoch == e else None,
        )
    assert trainer.finished
    for name, wanted in whole.net.state_dict().items():
        close(trainer.net.state_dict()[name], wanted, np.float32, loss=1000)
    images = trainer.normalize(data.images[:8], HOST)
    close(load_run(tmp_path, devices="cpu").net.predict(images), whole.net.predict(images),
          np.float32, loss=1000)  # fmt: skip


def test_memory_stays_flat(gpu):
    import cupy

    net = build("fashion", devices="cuda:0")
    steps(net, count=3, batch=128, dtype=np.float32)
    pool = cupy.get_default_memory_pool()
    before = pool.total_bytes()
    steps(net, count=200, batch=128, dtype=np.float32)
    assert pool.total_bytes() <= before * 1.05
