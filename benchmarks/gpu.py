"""A training step of ours and of PyTorch eager, in turn on one device; and the least it can take.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --model fashion --batch 512 --out benchmarks/RESULTS.md
    python benchmarks/gpu.py --device cpu --batch 4 --repeats 2        (a dry run)

Both nets have the same layers, weights, images and update. They are compared with all products in
float32, with all in TF32, and with each library's own choice: ours is float32, PyTorch's TF32 for
convolutions and float32 for Linear. First their losses and gradients are compared: where they
differ there are no times, and the exit status is 1.
"""

import argparse
import contextlib
import datetime
import math
import os
import platform
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import peer
import torch
import torch.nn.functional as F
from torch import nn

from minitorch_alexnet import SGD, Graph, __version__, build, layers, timing
from minitorch_alexnet.device import Device, array_module, tf32
from minitorch_alexnet.errors import UserError

RATE, MOMENTUM, DECAY = 1e-4, 0.9, 5e-4
# Which products are in TF32: ours, PyTorch's convolutions, its others.
PRECISIONS = {
    "float32": (False, False, False),
    "TF32": (True, True, True),
    "each side's default": (False, True, False),
}
STEADY_STEPS = 50
SIZE = {"cuda": 8192, "cpu": 2048}  # rows of the square that is multiplied and copied


# ---- the two sides -----------------------------------------------------------------------------


class Clock:
    """Marks in a device's queue, and milliseconds between two; on the CPU those of the wall."""

    def __init__(self, new_event=None, elapsed=None):
        self.new_event, self.elapsed = new_event, elapsed

    def mark(self):
        if not self.new_event:
            return time.perf_counter()
        event = self.new_event()
        event.record()
        return event

    def between(self, start, end) -> float:
        if not self.new_event:
            return 1000 * (end - start)
        end.synchronize()
        return self.elapsed(start, end)


class Side:
    """A net with its batch, its update and its clock."""

    held = 0  # large products that a GPU is given before the host hurries ahead of it

    def step(self) -> list:
        """One training step, and the marks before it and after each of its three parts."""
        marks = [self.clock.mark()]
        for part in (self.forward, self.backward, self.sgd.step):
            part()
            marks.append(self.clock.mark())
        return marks

    def step_times(self) -> list[float]:
        """Milliseconds of forward and loss, of backward, of the update, and of all three."""
        self.step()  # the next one follows another, as in training
        marks = self.step()
        return [self.clock.between(*pair) for pair in (*pairwise(marks), (marks[0], marks[-1]))]

    def device_time(self) -> float:
        """The device's own milliseconds for a step: it has all of its work before it starts."""
        self.hold()
        start, *_, end = self.step()
        return self.clock.between(start, end)

    def layer_times(self) -> list[float]:
        """The device's own milliseconds: each layer forward, then backward from the last."""
        self.hold()
        stages, value, caches, marks = self.stages(), self.images, [], [self.clock.mark()]
        for stage in stages.values():
            value, cache = stage.forward(value)
            caches.append(cache)
            marks.append(self.clock.mark())
        value = None  # the loss starts by itself
        for name in reversed(stages):
            value, _ = stages[name].backward(value, caches.pop(), need_dx=name != "conv1")
            marks.append(self.clock.mark())
        return [self.clock.between(*pair) for pair in pairwise(marks)]

    def take_square(self, square) -> None:
        """A large matrix, and room for another, to measure the device's rates with."""
        self.a, self.b = self.array(square), self.array(0 * square)

    def rate_times(self) -> list[float]:
        """Milliseconds of the square's product with itself, and of its copy."""
        marks = [self.clock.mark()]
        self.matmul(self.a, self.a, out=self.b)
        marks.append(self.clock.mark())
        self.b[...] = self.a
        marks.append(self.clock.mark())
        return [self.clock.between(*pair) for pair in pairwise(marks)]

    def hold(self) -> None:
        for _ in range(self.held):
            self.matmul(self.a, self.a, out=self.b)


class Ours(Side):
    name = "minitorch_alexnet"

    def __init__(self, net: Graph, images, labels):
        self.net, self.labels, self.array = net, labels, net.device.array
        self.images, self.clock = self.array(images), Clock()
        if net.device.kind == "cuda":
            from cupy import cuda

            self.clock = Clock(cuda.Event, cuda.get_elapsed_time)
        self.loss, self.matmul = layers.SoftmaxCrossEntropy(), array_module(self.images).matmul
        self.sgd = SGD(net.named_parameters(), RATE, MOMENTUM, DECAY)

    def forward(self):
        self.value = self.loss.forward(self.net.forward(self.images), self.labels)

    def backward(self):
        self.net.backward(self.loss.backward())

    def stages(self) -> dict:
        """What has a forward and a backward, in order."""
        loss = SimpleNamespace(
            forward=lambda logits: (self.loss.forward(logits, self.labels), None),
            backward=lambda dy, cache, need_dx: (self.loss.backward(), {}),
        )
        return {name: node.layer for name, node in self.net.nodes.items()} | {"loss": loss}

    def gradients(self) -> list:
        return [Device("cpu").array(p.grad) for p in self.net.named_parameters().values()]


class Theirs(Side):
    name = "PyTorch eager"

    def __init__(self, net: Graph, images, labels):
        self.array = partial(torch.tensor, device=str(net.device))
        self.images, self.labels, self.clock = self.array(images), self.array(labels), Clock()
        if net.device.kind == "cuda":
            new_event = partial(torch.cuda.Event, enable_timing=True)
            self.clock = Clock(new_event, torch.cuda.Event.elapsed_time)
        self.net, self.matmul = peer.twin(net).to(str(net.device)), torch.matmul
        self.sgd = peer.sgd(net, self.net, RATE, MOMENTUM, DECAY)

    def forward(self):
        self.value = F.cross_entropy(self.net(self.images), self.labels)

    def backward(self):
        self.sgd.zero_grad()
        self.value.backward()

    def stages(self) -> dict:
        stages = {name: peer.Stage(m, m.parameters()) for name, m in self.net.named_children()}
        return stages | {"loss": peer.Stage(partial(F.cross_entropy, target=self.labels))}

    def gradients(self) -> list:
        return [p.grad.cpu().numpy() for p in self.net.parameters()]


# ---- what is measured --------------------------------------------------------------------------


def two_sides(model: str, batch: int, device: Device) -> tuple[Ours, Theirs]:
    """Both with the same weights and the same batch; dropout is off."""
    net, rng = build(model, devices=str(device), dropout=0), np.random.default_rng(0)
    spread = 64 if net.input_shape[0] == 3 else 1  # photographs less their mean; or standardised
    images = spread * rng.standard_normal((batch, *net.input_shape), np.float32)
    (classes,) = net.nodes["fc8"].shape
    labels = rng.integers(0, classes, batch)
    return Ours(net, images, labels), Theirs(net, images, labels)


def differences(ours: Ours, theirs: Theirs) -> tuple[float, float]:
    """How far two steps go apart: the losses, and the parameters' gradients by their length.

    By length, for rounding may move the maximum of a pool's window to a neighbour, and with it
    all that a single pixel gave to a gradient.
    """
    losses, length = [], np.linalg.norm
    for _ in range(2):  # the second feels the first one's update
        for side in (ours, theirs):
            side.step()
        losses.append(abs(ours.value.item() / theirs.value.item() - 1))
    pairs = zip(ours.gradients(), theirs.gradients(), strict=True)
    return max(losses), max(length(a - b) / length(b) for a, b in pairs)


def in_turn(sides, repeats: int, measure) -> list[np.ndarray]:
    """For each side its results, (repeats, …), round by round; two rounds more are to warm up."""
    rounds = [[measure(side) for side in sides] for _ in range(2 + repeats)]
    return [np.array(results) for results in zip(*rounds[2:], strict=True)]


def floors(net: Graph, batch: int, flop_rate: float, byte_rate: float) -> dict[str, float]:
    """The least milliseconds of each layer: what its arithmetic takes or its memory, if longer.

    Each layer by itself reads its input and weights and writes its output; then it reads dy and
    its input again (and its weights for dx), and writes dx and the weights' gradient. The update
    reads three arrays of the weights' size and writes two. A convolution can be below that where
    it does with fewer products than the formula's (Winograd, FFT), or with better code than the
    large product's that was measured.
    """
    result, shape, weights, products = {}, net.input_shape, 0, timing.flop(net)
    for name, node in net.nodes.items():
        own = sum(p.data.size for p in node.layer.params.values())
        passes = 3 if result else 2  # nobody asks for the derivative by the images
        flop = batch * sum(products[name])
        moved = 4 * (passes * (batch * math.prod(shape) + own) + 2 * batch * math.prod(node.shape))
        if isinstance(node.layer, layers.Flatten):
            moved = 0  # another view of the same numbers
        result[name] = 1000 * max(flop / flop_rate, moved / byte_rate)
        shape, weights = node.shape, weights + own
    return result | {"loss": 0.0, "update": 1000 * 4 * 5 * weights / byte_rate}


def steady(side: Side, device: Device) -> float:
    """Milliseconds a step by the clock on the wall, when nobody reads a result in between."""
    device.wait()
    start = time.perf_counter()
    for _ in range(STEADY_STEPS):
        side.step()
    device.wait()
    return 1000 * (time.perf_counter() - start) / STEADY_STEPS


def steady_on_gpu(ours: Ours, theirs: Theirs, device: Device) -> tuple[list[float], str]:
    """What `steady` says of both; and a line about memory."""
    import cupy

    pool = cupy.get_default_memory_pool()
    before = pool.total_bytes()
    walls = [steady(ours, device)]
    grown = pool.total_bytes() - before
    torch.cuda.reset_peak_memory_stats()
    walls.append(steady(theirs, device))
    peak, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return walls, (
        f"- memory: CuPy's pool {before / 2**30:.2f} GiB; {STEADY_STEPS} steps later "
        + (f"{grown / 2**20:+.1f} MiB" if grown else "flat")
        + f". PyTorch's peak {peak / 2**30:.2f} GiB, with {reserved / 2**30:.2f} GiB reserved"
    )


def busy_line(sides, walls: list[float], product_ms: float) -> str:
    """How much of the wall's time the GPU has to do something."""
    for side, wall in zip(sides, walls, strict=True):
        side.held = math.ceil(max(50, 3 * wall) / product_ms)  # longer than the host will need
    own = [np.median(times) for times in in_turn(sides, 10, Side.device_time)]
    return f"- {STEADY_STEPS} steps without reading anything back: " + "; ".join(
        f"{side.name} {wall:.2f} ms a step by the wall's clock, {ms:.2f} of them the GPU's own"
        f" ({ms / wall:.0%} busy)"
        for side, wall, ms in zip(sides, walls, own, strict=True)
    )


# ---- the report --------------------------------------------------------------------------------


def table(rows) -> list[str]:
    """In Markdown; the first row is the header."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:], ""]


def about(device: Device) -> str:
    """The machine, the date and the versions."""
    place, versions = f"CPU, {os.cpu_count()} cores", f"NumPy {np.__version__}"
    if device.kind == "cuda":
        import cupy

        ask = f"nvidia-smi --id={device.index} --query-gpu=driver_version --format=csv,noheader"
        driver = subprocess.run(ask, shell=True, capture_output=True, text=True).stdout.strip()
        place = f"{torch.cuda.get_device_name()}, driver {driver or 'unknown'}"
        versions += f", CuPy {cupy.__version__} (CUDA {cupy.cuda.runtime.runtimeGetVersion()})"
        versions += f", cuDNN {torch.backends.cudnn.version()}"
    return (
        f"{place}; {datetime.date.today()}; minitorch_alexnet {__version__}, {versions}, PyTorch"
        f" {torch.__version__}, Python {platform.python_version()}"
    )


@contextlib.contextmanager
def precision(name: str):
    """Meanwhile products are made in that of PRECISIONS."""
    ours, convolutions, others = PRECISIONS[name]
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, others
    with tf32() if ours else contextlib.nullcontext():
        yield


def first_table(times: dict[str, list[np.ndarray]]) -> list[str]:
    """A row a precision: the whole steps of both sides."""
    rows = [
        ("ms a step, median (quartiles)", "minitorch_alexnet", "PyTorch eager", "theirs / ours")
    ]
    for name, sides in times.items():
        whole = [np.percentile(rounds[:, -1], (25, 50, 75)) for rounds in sides]
        cells = [f"{m:.2f} ({a:.2f}–{b:.2f})" for a, m, b in whole]
        rows.append((name, *cells, f"{whole[1][1] / whole[0][1]:.2f}"))
    return table(rows)


def step_table(sides, batch: int, times: list[np.ndarray]) -> list[str]:
    rows = [("ms, median (quartiles)", "forward", "backward", "update", "step", "images/s")]
    for side, rounds in zip(sides, times, strict=True):
        low, middle, high = np.percentile(rounds, (25, 50, 75), axis=0)
        cells = (f"{m:.2f} ({a:.2f}–{b:.2f})" for a, m, b in zip(low, middle, high, strict=True))
        rows.append((side.name, *cells, f"{1000 * batch / middle[-1]:,.0f}"))
    ratios = [f"{ratio:.2f}" for ratio in np.divide(*np.median(times, axis=1)[::-1])]
    return table([*rows, ("PyTorch's time / ours", *ratios, "")])


def layer_table(names, times: list[np.ndarray], least: dict[str, float]) -> list[str]:
    rows = [("ms", "forward", "PyTorch's", "backward", "PyTorch's", "PyTorch's / ours", "least")]
    # (side, layer, forward or backward): backward was timed from the last layer to the first
    pairs = [np.stack((t[: len(names)], t[: len(names) - 1 : -1]), 1) for t in times]
    ours, theirs = (np.vstack((p, p.sum(axis=0))) for p in pairs)
    for i, name in enumerate([*names, "all"]):
        cells = (ours[i, 0], theirs[i, 0], ours[i, 1], theirs[i, 1])
        ratio = theirs[i].sum() / ours[i].sum()
        floor = least.get(name, sum(least[n] for n in names))
        rows.append((name, *(f"{ms:.3f}" for ms in cells), f"{ratio:.2f}", f"{floor:.3f}"))
    return table(rows)


def report(model: str, batch: int, repeats: int, device: Device) -> tuple[str, bool]:
    """In every precision that the device has; and were the nets the same in each?"""
    steps, sections, same = {}, [], True
    for name in PRECISIONS if device.kind == "cuda" else ("float32",):
        with precision(name):
            try:
                steps[name], lines = section(model, batch, repeats, name, device)
            except NotTheSame as error:
                lines, same = [f"No times: {error}."], False
        sections += [f"#### {name}", "", *lines, ""]
        if device.kind == "cuda":
            device.release()
            torch.cuda.empty_cache()
    head = [f"### {model}, batch {batch}", "", about(device) + ".", "", *first_table(steps)]
    return "\n".join([*head, *sections]), same


class NotTheSame(Exception):
    """The two nets have other losses, or other gradients."""


def section(model: str, batch: int, repeats: int, name: str, device: Device) -> tuple:
    """The rounds of both sides' steps, and the lines of the report, in one precision."""
    sides = ours, theirs = two_sides(model, batch, device)
    in_loss, in_gradients = differences(ours, theirs)
    apart = f"the losses differ by {in_loss:.1e}, gradients by {in_gradients:.1e} of their length"
    # A wrong layer is off by more; TF32 has ten bits, and more pools whose winner moves.
    if not in_loss < 1e-3 or not in_gradients < (0.02 if name == "float32" else 0.2):
        raise NotTheSame(f"not the same net, {apart}")
    for layer in (*(node.layer for node in ours.net.nodes.values()), *theirs.net):
        if isinstance(layer, (layers.Dropout, nn.Dropout)):
            layer.p = 0.5
    steps = in_turn(sides, repeats, Side.step_times)
    walls, memory = [], ""
    if device.kind == "cuda":
        walls, memory = steady_on_gpu(ours, theirs, device)
    square = np.random.default_rng(0).standard_normal((SIZE[device.kind],) * 2, np.float32)
    for side in sides:
        side.take_square(square)
    # The quicker library's: what the device can do.
    product, copy = np.median(in_turn(sides, 10, Side.rate_times), axis=1).min(axis=0)
    busy = busy_line(sides, walls, product) if walls else ""
    by_layer = [np.median(times, axis=0) for times in in_turn(sides, repeats, Side.layer_times)]
    flop_rate, byte_rate = 2000 * len(square) ** 3 / product, 2000 * square.nbytes / copy
    least = floors(ours.net, batch, flop_rate, byte_rate)
    total = sum(least.values())
    lines = [
        f"With dropout off {apart}.",
        "",
        *step_table(sides, batch, steps),
        *layer_table(list(ours.stages()), by_layer, least),
        f"- the least for a step is {total:.2f} ms, {least['update']:.2f} of them the update, at"
        f" {flop_rate / 1e12:.3g} TFLOP/s (the quicker of the two sides' large products) and"
        f" {byte_rate / 1e9:,.0f} GB/s, as measured: that is"
        f" {total / np.median(steps[0], axis=0)[-1]:.0%} of our step",
        busy,
        memory,
    ]
    return steps, lines if walls else lines[:-2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="or cpu, for a dry run")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--model", choices=peer.MODEL_NAMES, default="alexnet-merged")
    parser.add_argument("--repeats", type=int, default=20, help="rounds, in turn")
    parser.add_argument("--out", type=Path, help="a Markdown file to append to")
    arguments = parser.parse_args()
    os.environ.pop("CUPY_TF32", None)  # PRECISIONS says which
    torch.backends.cudnn.benchmark = True
    try:
        device = Device(arguments.device)
    except UserError as error:
        sys.exit(str(error))
    if device.kind == "cuda":
        torch.cuda.set_device(device.index)
    with device.current():
        text, same = report(arguments.model, arguments.batch, arguments.repeats, device)
    print(text)
    if arguments.out:
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write("\n" + text)
    sys.exit(not same)


if __name__ == "__main__":
    main()
