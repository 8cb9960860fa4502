"""Training steps and inference of ours and of PyTorch on the CPU, in turn; how ours grow.

    python benchmarks/cpu.py                               (the paper's net, batch 128: minutes)
    python benchmarks/cpu.py --model fashion --best
    python benchmarks/cpu.py --batch 64 --inference
    python benchmarks/cpu.py --growth --out benchmarks/RESULTS.md

Each side has a process of its own, so that neither's threads nor memory touch the other's, and
waits while the other works. Both have the same layers, weights, images, threads and update, and
in both malloc keeps what is freed, as in a training by the command line.
First their losses and gradients are compared: if they differ, the exit status is 1.
"""

import argparse
import datetime
import multiprocessing
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from minitorch_alexnet import SGD, __version__, build, keep_freed_memory, set_threads, timing
from minitorch_alexnet.workers import get_workers

RATE, MOMENTUM, DECAY = 1e-4, 0.9, 5e-4
BURST = 0.5  # seconds that a side works on at least, before it is the other's turn
PAUSE = 0.5  # seconds before that: OpenMP's and OpenBLAS's threads go on spinning after their work
EAGER = "PyTorch eager"
BEST = ("PyTorch channels-last", "PyTorch compiled", "PyTorch compiled, channels-last")


# ---- the two sides, each in its own process ------------------------------------------------------


class Ours(timing.Task):
    def __init__(self, model: str, batch: int, threads: int, options: dict):
        set_threads(threads)
        net = build(model, **options)
        super().__init__(net, batch, np.random.default_rng(0))
        self.images *= 64 if net.input_shape[0] == 3 else 1  # photographs less their mean
        self.sgd = SGD(net.named_parameters(), RATE, MOMENTUM, DECAY)

    def gradients(self) -> list:
        return [p.grad for p in self.net.named_parameters().values()]

    def layers(self) -> np.ndarray:
        """Seconds, (layers, 2): forward and backward."""
        with timing.layer_times(self.net) as spent:
            self.step()
        return np.array(list(spent.values()))

    def limit(self) -> float:
        return timing.product_rate(self.net.device)

    def flop(self) -> int:
        return len(self.images) * sum(map(sum, timing.flop(self.net).values()))

    def version(self) -> str:
        return f"minitorch_alexnet {__version__}, NumPy {np.__version__}"


class Theirs:
    def __init__(self, kind: str, model: str, batch: int, threads: int, options: dict):
        import peer
        import torch

        torch.set_num_threads(threads)
        ours = Ours(model, batch, threads, options)
        self.net = peer.twin(ours.net)
        self.images, self.labels = torch.tensor(ours.images), torch.tensor(ours.labels)
        if "channels-last" in kind:
            self.net = self.net.to(memory_format=torch.channels_last)
            self.images = self.images.to(memory_format=torch.channels_last)
        self.sgd = peer.sgd(ours.net, self.net, RATE, MOMENTUM, DECAY)
        self.run = torch.compile(self.net) if "compiled" in kind else self.net
        self.torch, self.peer = torch, peer

    def step(self) -> list[float]:
        marks = [time.perf_counter()]
        loss = self.torch.nn.functional.cross_entropy(self.run(self.images), self.labels)
        marks.append(time.perf_counter())
        self.sgd.zero_grad()
        loss.backward()
        marks.append(time.perf_counter())
        self.sgd.step()
        marks.append(time.perf_counter())
        return np.diff(marks).tolist()

    def infer(self) -> float:
        self.net.eval()
        with self.torch.inference_mode():
            start = time.perf_counter()
            self.run(self.images)
            seconds = time.perf_counter() - start
        self.net.train()
        return seconds

    def gradients(self) -> list:
        return [p.grad.numpy() for p in self.net.parameters()]

    def layers(self) -> np.ndarray:
        stages = [self.peer.Stage(m, m.parameters()) for m in self.net]
        spent, value, caches = np.zeros((len(stages), 2)), self.images, []
        for i, stage in enumerate(stages):
            start = time.perf_counter()
            value, cache = stage.forward(value)
            caches.append(cache)
            spent[i, 0] = time.perf_counter() - start
        value = self.torch.ones_like(value) / value.numel()
        for i in reversed(range(len(stages))):
            start = time.perf_counter()
            value, _ = stages[i].backward(value, caches.pop(), need_dx=i > 0)
            spent[i, 1] = time.perf_counter() - start
        return spent

    def version(self) -> str:
        return f"PyTorch {self.torch.__version__}"


class Side:
    """A side by its name, and the process that it lives in."""

    def __init__(self, name: str, *arguments):
        self.name = name
        make = Ours if name == "minitorch_alexnet" else partial(Theirs, name)
        spawn = multiprocessing.get_context("spawn")
        self.process = ProcessPoolExecutor(1, spawn, initializer=_make, initargs=(make, arguments))

    def ask(self, what: str):
        return self.process.submit(_call, what).result()

    def time(self, what: str):
        time.sleep(PAUSE)
        return self.process.submit(_time, what).result()

    def peak(self) -> float:
        """The process's peak of memory so far, in GB, since the last time this was asked."""
        return self.process.submit(_peak).result()


def _make(make, arguments) -> None:
    global _side
    keep_freed_memory()
    _side = make(*arguments)


def _call(what: str):
    return getattr(_side, what)()


def _time(what: str):
    """A method's seconds: the median over a burst of calls, the first of which warms up."""
    results, end = [], time.perf_counter() + BURST
    while not results or time.perf_counter() < end:
        results.append(getattr(_side, what)())
    return np.median(results[1:] or results, axis=0)


def _peak() -> float:
    """VmHWM of Linux, which is then set back to what is held now."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


# ---- what is measured ----------------------------------------------------------------------------


def differences(ours: Side, theirs: Side) -> float:
    """How far the gradients of a step go apart, by their length.

    By length, for rounding may move the maximum of a pool's window to a neighbour, and with it
    all that a single pixel gave to a gradient.
    """
    pairs = zip(ours.ask("gradients"), theirs.ask("gradients"), strict=True)
    return max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs)


def compare(arguments, sides: list[Side]) -> list[str]:
    """The tables for one model and batch."""
    ours, eager = sides[:2]
    for side in sides:
        side.ask("step")
    apart = differences(ours, eager)
    if not apart < 0.02:  # a wrong layer is off by more
        sys.exit(f"{arguments.model}: not the same net, gradients differ by {apart:.1e}")
    for side in sides:
        side.peak()
    steps, limits = [], []
    for _ in range(arguments.repeats):
        steps.append([side.time("step") for side in sides])
        limits.append(ours.time("limit"))
    steps, limits = np.array(steps), np.array(limits)  # (rounds, sides, parts)
    peaks = [side.peak() for side in sides]
    layers = [[side.time("layers") for side in sides[:2]] for _ in range(arguments.repeats)]
    flop, whole = ours.ask("flop"), steps[:, 0].sum(axis=1)
    shares = flop / whole / limits
    return [
        *step_table(arguments.batch, sides, steps, peaks),
        f"- gradients differ by {apart:.0e} of their length; {flop / 1e9:,.0f} GFLOP a step",
        f"- of the GEMM limit, {np.median(limits) / 1e9:.0f} GFLOP/s measured between the steps"
        f" ({limits.min() / 1e9:.0f} to {limits.max() / 1e9:.0f}), our step reaches"
        f" {np.median(shares):.0%} ({shares.min():.0%} to {shares.max():.0%})",
        "",
        *layer_table(arguments, np.median(layers, axis=0)),
    ]


def infer(arguments, sides: list[Side]) -> list[str]:
    """The table of inference."""
    for side in sides:
        side.ask("infer")
        side.peak()
    times = np.array([[s.time("infer") for s in sides] for _ in range(arguments.repeats)])
    rows = [("inference", "ms, median (range)", "images/s", "peak GB", "time / ours")]
    for side, own, ratio in zip(sides, times.T, _ratios(times), strict=True):
        rate = f"{arguments.batch / np.median(own):,.0f}"
        rows.append((side.name, _spread(1000 * own), rate, f"{side.peak():.2f}", ratio))
    return table(rows)


def grow(model: str, threads: int, batch: int, options: dict, repeats: int) -> tuple:
    """A row of the table of growth: seconds an image, and the peak of memory."""
    side = Side("minitorch_alexnet", model, batch, threads, options)
    side.ask("infer")
    side.ask("step")
    side.peak()
    inference = np.median([side.time("infer") for _ in range(repeats)])
    step = np.median([sum(side.time("step")) for _ in range(repeats)])
    peak = side.peak()
    side.process.shutdown()
    size = "×".join(map(str, build(model, **options).input_shape))
    return (
        f"{model}, {size}",
        str(threads),
        str(batch),
        *(f"{1000 * seconds / batch:.2f}" for seconds in (step, inference)),
        f"{peak:.2f}",
    )


def growth(arguments) -> list[str]:
    threads, repeats = arguments.threads, arguments.repeats
    header = ("model, input", "threads", "batch", "step, ms an image", "inference", "peak GB")
    rows = [header]
    for count in range(1, threads):
        rows += [grow(name, count, 32, {}, repeats) for name in ("alexnet-merged", "fashion")]
    for name in ("alexnet-merged", "fashion"):
        rows += [grow(name, threads, 4**i, {}, repeats) for i in range(5)]
    rows += [grow("alexnet-small", threads, 32, {"size": s}, repeats) for s in (64, 96, 128)]
    return table(rows)


# ---- the report ----------------------------------------------------------------------------------


def table(rows) -> list[str]:
    """In Markdown; the first row is the header."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:], ""]


def _spread(values) -> str:
    return f"{np.median(values):.1f} ({values.min():.1f}–{values.max():.1f})"


def _ratios(times) -> list[str]:
    """Of (rounds, sides): each side's time to ours in the same round, median and range."""
    ratios = times / times[:, :1]
    return ["", *(f"{np.median(r):.2f} ({r.min():.2f}–{r.max():.2f})" for r in ratios.T[1:])]


def step_table(batch: int, sides, steps: np.ndarray, peaks: list[float]) -> list[str]:
    whole = steps.sum(axis=2)
    rows = [("ms", *timing.PARTS, "step (range)", "images/s", "peak GB", "step / ours (range)")]
    for i, (side, ratio) in enumerate(zip(sides, _ratios(whole), strict=True)):
        parts = (f"{ms:.1f}" for ms in 1000 * np.median(steps[:, i], axis=0))
        rate = f"{batch / np.median(whole[:, i]):,.1f}"
        spread = _spread(1000 * whole[:, i])
        rows.append((side.name, *parts, spread, rate, f"{peaks[i]:.2f}", ratio))
    return table(rows)


def layer_table(arguments, layers: np.ndarray) -> list[str]:
    """layers: (2, layers, 2) seconds, ours and PyTorch's."""
    net = build(arguments.model)
    kinds: dict[str, list[int]] = {}
    for i, node in enumerate(net.nodes.values()):
        kinds.setdefault(f"all {type(node.layer).__name__}", []).append(i)
    single = {name: [i] for i, name in enumerate(net.nodes) if net.multiply_adds()[name]}
    rows = [("ms", "forward", "PyTorch's", "backward", "PyTorch's", "PyTorch's / ours")]
    for name, which in (single | kinds | {"all": list(range(len(net.nodes)))}).items():
        ours, theirs = 1000 * layers[:, which].sum(axis=1)
        cells = (f"{ms:.2f}" for ms in (ours[0], theirs[0], ours[1], theirs[1]))
        rows.append((name, *cells, f"{theirs.sum() / ours.sum():.2f}"))
    return table(rows)


def processor() -> str:
    """Its name, where Linux tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    vectors = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    return f"{names[0]}, {vectors}" if names else platform.processor() or platform.machine()


def report(arguments) -> str:
    what = "growth" if arguments.growth else f"{arguments.model}, batch {arguments.batch}"
    lines = [f"### {what}, {arguments.threads} threads, float32", ""]
    about = f"{processor()}, {os.cpu_count()} cores; {datetime.date.today()}; Python"
    about += f" {platform.python_version()}"
    if arguments.growth:
        return "\n".join([*lines, f"{about}. Ours alone.", "", *growth(arguments)])
    names = ["minitorch_alexnet", EAGER, *(BEST if arguments.best else ())]
    setting = arguments.model, arguments.batch, arguments.threads, {"dropout": 0}
    sides = [Side(name, *setting) for name in names]
    versions = [side.ask("version") for side in sides[:2]]
    measured = (infer if arguments.inference else compare)(arguments, sides)
    return "\n".join([*lines, f"{about}, {', '.join(versions)}.", "", *measured])


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from peer import MODEL_NAMES

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODEL_NAMES, default="alexnet-merged")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=get_workers().threads)
    parser.add_argument("--repeats", type=int, default=5, help="rounds, in turn")
    parser.add_argument("--best", action="store_true", help="PyTorch in three more ways")
    parser.add_argument("--inference", action="store_true", help="forward only")
    parser.add_argument("--growth", action="store_true", help="ours by threads, batch and input")
    parser.add_argument("--out", type=Path, help="a Markdown file to append to")
    arguments = parser.parse_args()
    text = report(arguments)
    print(text)
    if arguments.out:
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write("\n" + text)


if __name__ == "__main__":
    main()
