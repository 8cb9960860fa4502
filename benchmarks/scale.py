"""One training on several processes: what it gains here, and what a model says of many GPUs.

    python benchmarks/scale.py                             (about five minutes)
    python benchmarks/scale.py --rounds 2 --models fashion (a dry run)
    python benchmarks/scale.py --rounds 0                  (the model alone)

Every side has its own processes, which mpiexec starts, and sleeps while another side works. All
have the same net, weights and images, of which each process takes its share; the machine's cores
are shared out. First the gradients of one and of several processes are compared: if they differ,
the exit status is 1. The model is that of cost.py.
"""

import argparse
import contextlib
import datetime
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from cost import (
    Link,
    crossover_bandwidth,
    crossover_batch,
    data_seconds,
    ring_seconds,
    split_of,
    split_seconds,
    training_seconds,
    work_of,
)
from cpu import processor, table

from minitorch_alexnet import SGD, __version__, build, keep_freed_memory, set_threads, timing
from minitorch_alexnet.cli.together import settle
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.layers import SoftmaxCrossEntropy
from minitorch_alexnet.models import MODELS
from minitorch_alexnet.processes import Gradients, Processes, draw_for_all, processes
from minitorch_alexnet.workers import usable_cores

NETS = ["fashion", "alexnet-merged"]
BURST = 0.5  # seconds that a side works on at least, before it is the other's turn
PAUSE = 0.5  # seconds before that: threads go on spinning after their work
SIZES = [1024 * 4**i for i in range(10)]  # bytes, 1 KiB to 256 MiB


# ---- a side's process ----------------------------------------------------------------------------


class Learner:
    """A net, and this process's share of a batch of noise. The rate is 0, so its weights stay."""

    def __init__(self, together: Processes, model: str, batch: int):
        self.net, self.together, rng = build(model), together, np.random.default_rng(0)
        own = together.images(batch)
        self.images = rng.standard_normal((batch, *self.net.input_shape), np.float32)[own]
        self.labels = rng.integers(0, self.net.last.shape[0], batch)[own]
        self.gradients = Gradients(together)
        self.gradients.weight = together.weight(batch)
        draw_for_all(self.net, together).images = batch
        self.loss = SoftmaxCrossEntropy()
        self.sgd = SGD(self.net.named_parameters(), lr=0)

    def step(self) -> None:
        self.loss.forward(self.net.forward(self.images), self.labels)
        self.net.backward(self.loss.backward(), self.gradients.take)
        self.gradients.finish()
        self.sgd.step()

    def burst(self) -> float:
        """Seconds a step: the median over a burst of them, the first of which warms up."""
        times, end = [], time.perf_counter() + BURST
        while not self.together.any(bool(times) and time.perf_counter() > end)[0]:
            start = time.perf_counter()
            self.step()
            times.append(time.perf_counter() - start)
        return float(np.median(times[1:] or times))

    def lengths(self) -> list[float]:
        """Those of a step's gradients."""
        self.step()
        return [float(np.linalg.norm(p.grad)) for p in self.net.named_parameters().values()]


class Adder:
    """Sums of arrays, without a net."""

    def __init__(self, together: Processes):
        self.together = together

    def sums(self) -> list[float]:
        """Seconds of a sum, by SIZES: medians of several."""
        return [self._seconds(np.ones(size // 4, np.float32)) for size in SIZES]

    def _seconds(self, x) -> float:
        times = []
        for _ in range(3 if x.nbytes > 2e7 else 20):
            self.together.any(False)  # all are here
            start = time.perf_counter()
            self.together.sum(x)()
            times.append(time.perf_counter() - start)
        return float(np.median(times))


def hear(together: Processes) -> str:
    """The next word from the parent; who waits for it sleeps, where MPI would keep a core busy."""
    word = sys.stdin.readline().strip() if together.rank == 0 else ""
    if together.size > 1:
        from mpi4py import MPI

        heard = MPI.COMM_WORLD.Ibarrier()
        while not heard.Test():
            time.sleep(0.01)
    return together.broadcast(word)


def work(arguments) -> None:
    """What a side's process does until the parent has no more to ask."""
    keep_freed_memory()
    together = processes()
    settle(together, sys.argv, arguments)
    set_threads(arguments.threads)
    model, batch = arguments.side
    side = Learner(together, model, int(batch)) if model != "sums" else Adder(together)
    while word := hear(together):
        answer = getattr(side, word)()
        if together.rank == 0:
            print(answer, flush=True)


class Side:
    """So many processes of so many threads each, and what they work on."""

    def __init__(self, count: int, threads: int, model: str, batch: int = 0):
        start = [_mpiexec(), "-n", str(count)] if count > 1 else []
        this = [sys.executable, __file__, "--threads", str(threads), "--side", model, str(batch)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([*start, *this], stdin=pipe, stdout=pipe, text=True)

    def ask(self, word: str) -> np.ndarray:
        time.sleep(PAUSE)
        with contextlib.suppress(BrokenPipeError):
            print(word, file=self.process.stdin, flush=True)
        if not (line := self.process.stdout.readline()):
            sys.exit("a side's processes have ended: see above")
        return np.array(line.strip(" []\n").split(","), float)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.communicate()  # nothing more to ask


def _mpiexec() -> str:
    """That of this Python, if it has one."""
    own = str(Path(sys.executable).parent)
    found = shutil.which("mpiexec", path=own) or shutil.which("mpiexec")
    return found or sys.exit("there is no mpiexec: pip install 'minitorch_alexnet[mpi]'")


# ---- what is measured ----------------------------------------------------------------------------


def measure_steps(model: str, arguments) -> np.ndarray:
    """Seconds a step, (rounds, 4): of one process with all threads; of several that share them;
    of one with its share; of several, each with as much to do as that one."""
    count, threads, batch = arguments.processes, arguments.threads, arguments.batch
    with (
        Side(1, count * threads, model, batch) as whole,
        Side(count, threads, model, batch) as several,
        Side(1, threads, model, batch) as one,
        Side(count, threads, model, count * batch) as more,
    ):
        wanted, found = whole.ask("lengths"), several.ask("lengths")
        apart = abs(found / wanted - 1).max()
        if not apart < 1e-3:  # rounding moves a few winners of pools
            sys.exit(f"{model}: not the same gradients, their lengths differ by {apart:.1e}")
        sides = (whole, several, one, more)
        for side in sides:
            side.ask("burst")
        return np.array([[side.ask("burst")[0] for side in sides] for _ in range(arguments.rounds)])


def measure_sums(arguments) -> np.ndarray:
    """Seconds, (rounds, sizes)."""
    with Side(arguments.processes, arguments.threads, "sums") as side:
        side.ask("sums")
        return np.array([side.ask("sums") for _ in range(arguments.rounds)])


def fitted(sums: np.ndarray, devices: int) -> Link:
    """The link by which a ring takes as long for the least size, and for the largest, as here."""
    seconds = np.median(sums, axis=0)
    latency = seconds[0] / (2 * (devices - 1))
    moved = 2 * (devices - 1) / devices * (SIZES[-1] - SIZES[0])
    return Link(moved / (seconds[-1] - seconds[0]), latency)


# ---- the report ----------------------------------------------------------------------------------


def spread(values: np.ndarray, digits: int = 2) -> str:
    low, middle, high = (f"{v:,.{digits}f}" for v in np.percentile(values, (0, 50, 100)))
    return f"{middle} ({low}–{high})"


def steps_table(times: dict[str, np.ndarray], arguments) -> list[str]:
    p, t = arguments.processes, arguments.threads
    header = (
        f"steps a second, batch {arguments.batch}",
        f"1 process, {p * t} threads",
        f"{p} processes, {t} each",
        "processes / threads",
        f"1 process, {t}",
        "strong efficiency",
        "weak efficiency",
    )
    rows = [header]
    for model, seconds in times.items():
        whole, several, one, more = seconds.T
        rates = [spread(1 / s, 2 if s.mean() < 1 else 3) for s in (whole, several, one)]
        ratios = [spread(r) for r in (whole / several, one / (p * several), one / more)]
        rows.append((model, *rates[:2], ratios[0], rates[2], *ratios[1:]))
    return table(rows)


def sums_table(sums: np.ndarray, link: Link, devices: int) -> list[str]:
    rows = [("a sum of", "ms, measured (range)", "GB/s", "ms, model")]
    for size, seconds in zip(SIZES, sums.T, strict=True):
        rate = size / np.median(seconds) / 1e9
        model = 1000 * ring_seconds(size, devices, link)
        name = f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB"
        rows.append((name, spread(1000 * seconds, 3), f"{rate:.2f}", f"{model:.3f}"))
    return table(rows)


def measured(arguments) -> list[str]:
    p, batch = arguments.processes, arguments.batch
    times = {model: measure_steps(model, arguments) for model in arguments.models}
    sums = measure_sums(arguments)
    link = fitted(sums, p)
    lines = [
        "### Measured",
        "",
        f"{processor()}, {len(usable_cores())} cores; {datetime.date.today()}; Python"
        f" {platform.python_version()}, minitorch_alexnet {__version__}, NumPy {np.__version__}."
        f" Medians (ranges) of {arguments.rounds} rounds in turn; the ratios are of one round."
        " Strong efficiency: what one process of as many threads takes for the whole batch, to"
        f" what {p} take, times {p}. Weak: the same with {p} batches for {p} processes, so that"
        " each has as much to do as the one. Processes share the cores and their memory's"
        " bandwidth, so this is what a machine gains, not a cluster.",
        "",
        *steps_table(times, arguments),
        f"Sums over {p} processes. The last column is the model's ring with the latency of the"
        f" least size and the bandwidth of the largest: {1e6 * link.latency:.0f} µs and"
        f" {link.bandwidth / 1e9:.2f} GB/s.",
        "",
        *sums_table(sums, link, p),
    ]
    for model, seconds in times.items():
        whole = np.median(seconds, axis=0)
        size = work_of(build(model, seed=None)).gradients
        said = data_seconds(batch, p, batch / whole[2], work_of(build(model, seed=None)), link)
        lines.append(
            f"- {model}: gradients of {size / 1e6:,.3g} MB; from the step of one process and these"
            f" sums the model says {1000 * said:.0f} ms for {p} processes; measured were"
            f" {1000 * whole[1]:.0f}"
        )
    return [*lines, ""]


# ---- the model's report --------------------------------------------------------------------------

IMAGES, EPOCHS = 1_281_167, 90  # ImageNet 2012's training images
# From their speed-up over one GPU and their minutes: 95 epochs, 410.2 times as fast on 512.
SUN_MINUTES, SUN_EPOCHS, SUN_SPEED_UP, SUN_GPUS = 1.5, 95, 410.2, 512
V100 = SUN_EPOCHS * IMAGES / (60 * SUN_MINUTES) / SUN_SPEED_UP  # images a second
NETWORK = Link(56e9 / 8, 5e-6)  # 56 Gbit/s is that of their 64 GPUs; the latency is assumed
A_GPU, WHOLE = 128, 1024  # images of a batch: a GPU's, where it grows with them; all GPUs'
GTX_580 = 512 * 2 * 1.544e9  # FLOP a second at most: cores, two a multiply-add, clock
REACHED = 0.3  # of that, assumed
PCIE = Link(6e9, 10e-6)  # of the standard's 8 GB/s (2.0, 16 lanes) and a copy's start, assumed
PAPER_IMAGES = 1_200_000


def as_time(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def growth_table(net) -> list[str]:
    """Weak in three ways, and strong."""
    half = work_of(net, itemsize=2, overlap=True)
    ways = [  # images a GPU, or of the whole batch
        ("float32", A_GPU, 0, work_of(net)),
        ("float32, overlapped", A_GPU, 0, work_of(net, overlap=True)),
        ("float16, overlapped", A_GPU, 0, half),
        (f"the same, {WHOLE:,} images in all", 0, WHOLE, half),
    ]
    rows = [("GPUs", f"batch, {A_GPU} a GPU", *(way[0] for way in ways))]
    for devices in (2**i for i in range(10)):
        cells = []
        for _, each, whole, asked in ways:
            batch = whole or each * devices
            step = data_seconds(batch, devices, V100, asked, NETWORK)
            efficiency = batch / devices / V100 / step
            seconds = training_seconds(IMAGES, EPOCHS, batch, step)
            cells.append(f"{as_time(seconds)} ({efficiency:.0%})")
        rows.append((str(devices), f"{devices * A_GPU:,}", *cells))
    return table(rows)


def published_table(net, split) -> list[str]:
    """Published runs; what follows from their own figures; what the model says."""
    flop = sum(map(sum, timing.flop(net).values()))
    half = work_of(net, itemsize=2, overlap=True)
    batch = SUN_GPUS * A_GPU
    paper = split_seconds(128, REACHED * GTX_580 / flop, split, PCIE)
    sun = data_seconds(batch, SUN_GPUS, V100, half, NETWORK)
    runs = [  # who, on how many, of what, images, epochs, minutes, the model's seconds
        ("Krizhevsky et al. 2012", 2, "GTX 580", PAPER_IMAGES, 90, (5 * 1440, 6 * 1440),
         training_seconds(PAPER_IMAGES, 90, 128, paper)),
        ("You et al. 2017, arXiv:1709.05011", 1024, "CPUs", IMAGES, 100, (11,), None),
        ("Jia et al. 2018, arXiv:1807.11205", 1024, "P40", IMAGES, 95, (4,), None),
        ("Sun et al. 2019, arXiv:1902.06855", SUN_GPUS, "V100", IMAGES, SUN_EPOCHS, (SUN_MINUTES,),
         training_seconds(IMAGES, SUN_EPOCHS, batch, sun)),
    ]  # fmt: skip
    rows = [("published", "on", "epochs", "took", "so images/s, each", "so TFLOP/s, each", "model")]
    for who, devices, kind, images, epochs, minutes, said in runs:
        rates = [epochs * images / (60 * m) / devices for m in reversed(minutes)]
        cells = (
            " to ".join(as_time(60 * m) for m in minutes),
            " to ".join(f"{rate:,.0f}" for rate in rates),
            " to ".join(f"{rate * flop / 1e12:.2g}" for rate in rates),
            as_time(said) if said else "",
        )
        rows.append((who, f"{devices} {kind}", str(epochs), *cells))
    return table(rows)


def crossover_table(net, towers) -> list[str]:
    """When the paper's split of the layers pays against data parallelism, for two devices."""
    split, flop = split_of(towers), sum(map(sum, timing.flop(net).values()))
    links = [Link(1e9 * gigabytes) for gigabytes in (1, 6, 50)]
    heads = (f"{link.bandwidth / 1e9:.0f} GB/s" for link in links)
    rows = [
        ("split pays for", *(f"batches below, at {h}" for h in heads), "batch 128 on links below")
    ]
    for name, rate, latency in (
        ("two GTX 580", REACHED * GTX_580 / flop, PCIE.latency),
        ("two V100", V100, NETWORK.latency),
    ):
        for how, asked in (("", work_of(net)), (", sums overlapped", work_of(net, overlap=True))):
            batches = [
                crossover_batch(rate, asked, split, replace(link, latency=latency))
                for link in links
            ]
            width = crossover_bandwidth(128, rate, asked, split, latency)
            most = f"{width / 1e9:,.2g} GB/s" if width < 1e12 else "any"
            rows.append((name + how, *(f"{batch:,.0f}" for batch in batches), most))
    return table(rows)


def modelled() -> list[str]:
    net = build("alexnet-merged", seed=None)
    towers = build("alexnet", devices="cpu:0,cpu:1", seed=None)
    split, by_way = split_of(towers), split_of(towers, with_image=True)
    asked = work_of(net, overlap=True)
    plain = A_GPU / V100 / data_seconds(64 * A_GPU, 64, V100, work_of(net), NETWORK)
    equal, with_image = (asked.gradients / s.image_bytes for s in (split, by_way))
    return [
        "### Model",
        "",
        "Computed by `cost.py`, not measured: a step is images / rate, and a ring's sum of the"
        f" gradients, {asked.gradients / 1e6:,.0f} MB in float32. Overlapped, it hides behind the"
        f" backward of the convolutions, {asked.behind:.0%} of a step's arithmetic. Loading, the"
        " update and stragglers are free, and a GPU is as fast on few images as on many; what a"
        " large batch does to the accuracy is another matter.",
        "",
        f"AlexNet, {IMAGES:,} images, {EPOCHS} epochs, on V100s of {V100:,.0f} images/s (from Sun"
        f" et al.'s own speed-up: {SUN_EPOCHS} epochs in {SUN_MINUTES} min,"
        f" {SUN_SPEED_UP} times one GPU's speed), a ring of {8e-9 * NETWORK.bandwidth:.0f} Gbit/s"
        f" (that of their 64 GPUs) and {1e6 * NETWORK.latency:.0f} µs a message (assumed). In"
        " brackets the efficiency.",
        "",
        *growth_table(net),
        "Beside it what was published. Images and TFLOP a second follow from the published figures"
        " alone (forward and backward of our net). The model takes"
        f" {REACHED:.0%} of a GTX 580's {GTX_580 / 1e12:.2f} TFLOP/s, assumed (the published days"
        f" imply about as much), and the paper's split over {PCIE.bandwidth / 1e9:.0f} GB/s; for"
        f" Sun et al. the rate and network above, {A_GPU} images a GPU (assumed), float16,"
        " overlapped. Their rate is their"
        f" own, so what it says is the efficiency: theirs is {SUN_SPEED_UP / SUN_GPUS:.0%}, and"
        " they send only a part of the gradients. A ring at the network's full speed is a best"
        " case: other systems were 2.5 times as fast on 64 GPUs as on one, they write, where the"
        f" model says {64 * plain:.0f} times in float32 without overlap.",
        "",
        *published_table(net, split),
        "The paper's split against data parallelism, a step of two devices. The split moves"
        f" {split.image_bytes:,.0f} bytes an image each way and waits {split.messages} times; data"
        f" parallelism moves {asked.gradients:,.0f} bytes each way, whatever the batch. So without"
        f" latency and overlap they are equal at a batch of {equal:,.0f} on any link, or of"
        f" {with_image:,.0f} where the second device has its images by way of the first, as in our"
        " graph. Faster links help both; latency and overlap speak for data parallelism. The"
        " paper's own reason was neither: its net did not fit into 3 GB.",
        "",
        *crossover_table(net, towers),
    ]


def report(arguments) -> str:
    lines = ["## One training on many processes", ""]
    if arguments.rounds:
        lines += measured(arguments)
    return "\n".join([*lines, *modelled()])


def main() -> None:
    cores = len(usable_cores())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=NETS)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, help="a process's; default: its share of the cores")
    parser.add_argument("--rounds", type=int, default=9, help="in turn")
    parser.add_argument("--out", type=Path, help="a Markdown file to append to")
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)  # a side's process: model, batch
    parser.set_defaults(together=True)  # for settle
    arguments = parser.parse_args()
    if arguments.processes < 2:
        parser.error("--processes: two at least")
    arguments.threads = arguments.threads or max(1, cores // arguments.processes)
    if arguments.side:
        try:
            work(arguments)
        except UserError as error:
            sys.exit(str(error))
        return
    text = report(arguments)
    print(text)
    if arguments.out:
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write("\n" + text)


if __name__ == "__main__":
    main()
