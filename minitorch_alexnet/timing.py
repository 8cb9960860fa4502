"""Where a training step's time goes, layer by layer, and what the machine could do at best.

And forecasts: how long a step will take, and how much memory.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from threadpoolctl import threadpool_limits

from .device import Device, array_module
from .errors import UserError
from .graph import Graph
from .layers import SoftmaxCrossEntropy
from .optim import SGD
from .processes import ALONE, Gradients, Processes
from .workers import get_workers

PARTS = ("forward", "backward", "update")
SQUARE = {"cpu": 2048, "cuda": 8192}  # rows of the product that is the measure of all others


class Task:
    """A net with a batch of noise to learn from. The rate is 0, so its weights stay.

    processes: those that share the batch
    images: (batch, C, H, W) float32 on the net's device;  labels: (batch,) on the host
    """

    def __init__(
        self, net: Graph, batch: int, rng: np.random.Generator, processes: Processes = ALONE
    ):
        self.net, self.gradients = net, Gradients(processes)
        mine = len(range(batch)[processes.images(batch)])
        self.images = net.device.array(rng.standard_normal((mine, *net.input_shape), np.float32))
        self.labels = rng.integers(0, net.last.shape[0], mine)
        self.loss = SoftmaxCrossEntropy()

    @cached_property
    def sgd(self) -> SGD:
        return SGD(self.net.named_parameters(), lr=0)

    def step(self) -> list[float]:
        """The seconds that forward (with the loss), backward and update of one step take."""
        parts = (self._forward, self._backward, self.sgd.step)
        return [self._seconds(part) for part in parts]

    def learn(self) -> float:
        """The seconds of forward and backward alone."""
        return self._seconds(self._forward) + self._seconds(self._backward)

    def infer(self) -> float:
        """The seconds that the batch takes forward, as in testing."""
        return self._seconds(lambda: self.net.forward(self.images, train=False))

    def _forward(self):
        self.loss.forward(self.net.forward(self.images), self.labels)

    def _backward(self):
        self.net.backward(self.loss.backward(), self.gradients.take)
        self.gradients.finish()

    def _seconds(self, part) -> float:
        start = time.perf_counter()
        part()
        for device in self.net.devices:
            device.wait()
        return time.perf_counter() - start


class _Shares:
    """Shares out each moment among those who are at work in it, on whatever threads."""

    def __init__(self, spent: dict[str, list[float]]):
        self.spent = spent
        self.working: list[tuple[str, int]] = []
        self.lock, self.since = threading.Lock(), time.perf_counter()

    def begin(self, name: str, which: int) -> None:
        with self.lock:
            self._share_out()
            self.working.append((name, which))

    def end(self, name: str, which: int) -> None:
        with self.lock:
            self._share_out()
            self.working.remove((name, which))

    def _share_out(self) -> None:
        now = time.perf_counter()
        for name, which in self.working:
            self.spent[name][which] += (now - self.since) / len(self.working)
        self.since = now


@contextlib.contextmanager
def layer_times(net: Graph) -> Iterator[dict[str, list[float]]]:
    """Meanwhile every layer is timed: {node: [seconds forward, seconds backward]}, added up.

    By the clock on the wall: while threads are at work in several layers, or several times in
    one, each gets its share of the moment, so that all together are the time that passed in
    layers. The host waits for the node's device after each, so a GPU's whole step takes longer.
    """
    spent = {name: [0.0, 0.0] for name in net.nodes}
    shares = _Shares(spent)

    def timed(node, which, function):
        def call(*arguments, **options):
            shares.begin(node.name, which)
            try:
                result = function(*arguments, **options)
                node.device.wait()
                return result
            finally:
                shares.end(node.name, which)

        return call

    for node in net.nodes.values():  # an object's own attribute hides its class's method
        vars(node.layer).update(
            forward=timed(node, 0, node.layer.forward),
            backward=timed(node, 1, node.layer.backward),
        )
    try:
        yield spent
    finally:
        for node in net.nodes.values():
            del node.layer.forward, node.layer.backward


def flop(net: Graph) -> dict[str, tuple[int, int]]:
    """Each node's floating-point operations for one image, forward and backward.

    Counted are those of the products: two a multiply-add. Backward has as many for the weights'
    gradient as forward, and as many again for dx, where something upstream learns.
    """
    learns, result = net.learning_nodes(), {}
    for name, products in net.multiply_adds().items():
        node = net.nodes[name]
        own = any(not p.frozen for p in node.layer.params.values())
        upstream = any(source in learns for source in node.sources)
        result[name] = 2 * products, 2 * products * (own + upstream)
    return result


def product_rate(device: Device) -> float:
    """FLOP a second of a large square product: the limit of whatever consists of products.

    On the CPU with as many threads as there are workers.
    """
    rows = SQUARE[device.kind]
    with device.current(), threadpool_limits(get_workers().threads, "blas"):
        a = device.array(np.ones((rows, rows), np.float32))
        out = 0 * a
        device.wait()
        start = time.perf_counter()
        array_module(a).matmul(a, a, out=out)  # (rows, rows) @ (rows, rows)
        device.wait()
        return 2 * rows**3 / (time.perf_counter() - start)


@dataclass(frozen=True)
class Timing:
    """What `measure` saw, a row a round. Seconds, but for the limit: FLOP a second.

    steps: (rounds, 3), by PARTS;  inference: (rounds,)
    layers: {node: (rounds, 2)}, forward and backward
    limit: (rounds,), product_rate
    """

    net: Graph
    batch: int
    steps: np.ndarray
    inference: np.ndarray
    layers: dict[str, np.ndarray]
    limit: np.ndarray

    @property
    def flop(self) -> int:
        """Of a training step of the whole batch."""
        return self.batch * sum(map(sum, flop(self.net).values()))

    @property
    def share(self) -> float:
        """Of the limit that a step reaches, 0 … 1: the median over the rounds."""
        return float(np.median(self.flop / self.steps.sum(axis=1) / self.limit))


def measure(
    net: Graph,
    batch: int,
    seconds: float,
    rng: np.random.Generator,
    processes: Processes = ALONE,
) -> Timing:
    """Time training steps and inference for about so many seconds, three rounds at least.

    processes: those that share the batch; of the layers, this one's are timed
    """
    rounds: list[tuple] = []
    with room_for(net, batch):
        task = Task(net, batch, rng, processes)
        task.step()  # the first is slow: memory, and a GPU's kernels
        end = time.perf_counter() + seconds
        while any(processes.any(len(rounds) < 3, time.perf_counter() < end)):
            rate = sum(processes.gather(product_rate(net.output_device)))
            step, forward = task.step(), task.infer()
            with layer_times(net) as spent:
                task.step()
            rounds.append((step, forward, list(spent.values()), rate))
    steps, inference, layers, limit = (np.array(column) for column in zip(*rounds, strict=True))
    by_layer = dict(zip(net.nodes, layers.transpose(1, 0, 2), strict=True))
    return Timing(net, batch, steps, inference, by_layer, limit)


# ---- forecasts -------------------------------------------------------------------------------


def learning_seconds(net: Graph, batch: int) -> float:
    """What forward and backward of a batch take. Leaves the net as it was, but for gradients."""
    generators, seen = net.generator_states(), net.images_seen
    net.forget_images_seen()
    task = Task(net, batch, np.random.default_rng(0))
    task.learn()  # the first is slow
    seconds = task.learn()
    net.set_generator_states(generators)
    net.images_seen = seen
    return seconds


def memory(net: Graph) -> tuple[int, int]:
    """Bytes of weights, velocities and gradients; bytes an image of a batch takes besides."""
    weights = sum(p.data.nbytes for p in net.named_parameters().values())
    outputs = sum(math.prod(node.shape) for node in net.nodes.values())
    return 3 * weights, 5 * outputs  # four bytes a number, and a quarter more in passing


@contextlib.contextmanager
def room_for(net: Graph, batch: int, advice: str = "") -> Iterator[None]:
    """A GPU's want of memory meanwhile becomes a UserError: which batch would fit, and advice."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "OutOfMemoryError":  # CuPy's
            raise
        gpus, (weights, image) = [d for d in net.devices if d.kind == "cuda"], memory(net)
        device = min(gpus, key=Device.free, default=net.output_device)
        fits = (0.9 * device.memory() - weights) // image
        raise UserError(
            f"{device} has no room for a batch of {batch}: about"
            f" {max(1, min(int(fits), batch * 3 // 4))} would fit{advice}"
        ) from error
