"""What is timed, and what is counted; on a clock that ticks once each time it is read."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event, Thread

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from minitorch_alexnet import timing
from minitorch_alexnet.device import Device
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Conv2d, Copy, Flatten, Linear, ReLU
from minitorch_alexnet.models import build
from minitorch_alexnet.timing import Task, Timing, flop, layer_times, measure, product_rate
from minitorch_alexnet.workers import set_threads


@pytest.fixture
def ticking(monkeypatch):
    """Every reading of the clock is a second after the one before."""
    seconds = count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(seconds)))


def small():
    net = Graph((2, 6, 6))
    net.add("conv1", Conv2d(2, 4, 3))
    net.add("relu1", ReLU())
    net.add("flatten", Flatten())
    net.add("fc8", Linear(64, 3))
    return net


def test_flop_of_the_papers_step():
    work = flop(build("alexnet-merged", seed=None))
    assert 128 * sum(map(sum, work.values())) == 529_358_143_488  # without conv1's dx
    assert work["conv1"] == (2 * 105_415_200, 2 * 105_415_200)
    assert work["fc8"] == (2 * 4_096_000, 4 * 4_096_000)
    assert work["norm1"] == (0, 0)


def test_flop_of_frozen_layers_is_that_of_what_is_computed():
    net = small()
    conv, fc = 2 * 4 * 16 * 2 * 9, 2 * 64 * 3
    assert flop(net) == {
        "conv1": (conv, conv), "relu1": (0, 0), "flatten": (0, 0), "fc8": (fc, 2 * fc)
    }  # fmt: skip
    for parameter in net["conv1"].params.values():
        parameter.lr_scale = 0
    assert flop(net)["conv1"] == (conv, 0)
    assert flop(net)["fc8"] == (fc, fc)  # nobody upstream learns, so no dx


def test_each_layer_is_timed_once_each_way(ticking):
    task = Task(small(), 1, np.random.default_rng(0))  # one part
    with layer_times(task.net) as spent:
        task.step()
        assert spent == {name: [1, 1] for name in task.net.nodes}
        task.infer()
        task.step()
    assert spent == {name: [3, 2] for name in task.net.nodes}


def test_layers_at_work_at_once_share_the_time(ticking):
    net = Graph((2, 6, 6))
    net.add("relu1", ReLU())
    net.add("relu2", ReLU())
    x, at_work, go_on = np.zeros((1, 2, 6, 6), np.float32), Event(), Event()

    def slow(x, train=True):
        at_work.set()
        assert go_on.wait(timeout=20)
        return x

    net["relu1"].forward = slow
    with layer_times(net) as spent:
        other = Thread(target=net["relu1"].forward, args=(x,))
        other.start()
        assert at_work.wait(timeout=20)  # the clock: 1, relu1 begins
        net["relu2"].forward(x)  # 2 and 3: half a second of its own, and half of relu1's
        go_on.set()
        other.join()  # 4
    assert spent == {"relu1": [2.5, 0], "relu2": [0.5, 0]}


def test_no_time_is_lost_or_counted_twice_when_many_threads_work():
    net = small()
    images = np.zeros((64, 2, 6, 6), np.float32)
    with layer_times(net) as spent, ThreadPoolExecutor(8) as pool:
        start = time.perf_counter()
        list(pool.map(lambda i: net["conv1"].forward(images, train=False), range(200)))
        wall = time.perf_counter() - start
    assert 0 < spent["conv1"][0] <= wall


def test_the_layers_are_left_as_they_were():
    net = small()
    before = {name: dict(vars(node.layer)) for name, node in net.nodes.items()}

    def fail():
        with layer_times(net):
            net.forward(np.zeros((1, 2, 6, 6), np.float32), train=False)
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        fail()
    assert {name: dict(vars(node.layer)) for name, node in net.nodes.items()} == before


def test_times_are_of_forward_backward_and_update_in_this_order(monkeypatch):
    task, order = Task(small(), 2, np.random.default_rng(0)), []

    def slow(name, function):
        def call(*arguments, **options):
            order.append(name)
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(task.net, "forward", slow("forward", task.net.forward))
    monkeypatch.setattr(task.net, "backward", slow("backward", task.net.backward))
    monkeypatch.setattr(task.sgd, "step", slow("update", task.sgd.step))
    assert len(task.step()) == len(timing.PARTS)
    assert tuple(order) == timing.PARTS


def test_nothing_is_learnt_from_noise():
    net = build("fashion", seed=3)
    before = net.state_dict()
    Task(net, 4, np.random.default_rng(0)).step()
    after = net.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert net["fc8"].params["weight"].grad.any()


def test_the_limit_is_that_of_a_large_product_on_as_many_threads_as_work(ticking, monkeypatch):
    seen, rows = [], timing.SQUARE["cpu"]

    class Numpy:
        @staticmethod
        def matmul(a, b, out):
            seen.append({i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"})
            assert a.shape == b.shape == out.shape == (rows, rows)

    monkeypatch.setattr(timing, "array_module", lambda x: Numpy)
    set_threads(1)
    assert product_rate(Device("cpu")) == 2 * rows**3
    assert seen == [{1}]


def test_measure_has_a_row_a_round(monkeypatch):
    monkeypatch.setattr(timing, "product_rate", lambda device: 5e9)
    net = Graph((2, 6, 6))
    net.add("there", Copy(to="cpu:1"))
    net.add("flatten", Flatten())
    net.add("fc8", Linear(72, 3))
    seen = measure(net, 3, 0, np.random.default_rng(0))
    assert seen.steps.shape == (3, 3)
    assert seen.inference.shape == (3,)
    assert list(seen.layers) == list(net.nodes)
    assert all(times.shape == (3, 2) for times in seen.layers.values())
    assert seen.limit.tolist() == [5e9] * 3
    assert (seen.steps > 0).all()


def test_the_share_of_the_limit_by_hand():
    # a step is 3 × 3·2·(2 · 72 · 3): forward and dW of one layer, no dx, 2592 FLOP
    net = Graph((2, 6, 6))
    net.add("flatten", Flatten())
    net.add("fc8", Linear(72, 3))
    steps = np.array([[1, 2, 1], [1, 1, 0], [4, 4, 0]])
    seen = Timing(net, 3, steps, np.ones(3), {}, np.array([1296, 1296, 1296]))
    assert seen.flop == 2592
    assert seen.share == 2592 / 4 / 1296
