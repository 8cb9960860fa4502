"""Where arrays live, and how a batch is dealt out to the cores.

A layer says what to do with *some* images; `for_each_part` says which images and on which
worker. The parts depend on the data alone, never on the number of workers, and their results
come back in part order: one seed gives the same bits with 1, 2 or 16 threads.
"""

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice, pairwise

import numpy as np
from threadpoolctl import ThreadpoolController

from .errors import UserError

MAX_PARTS = 8  # enough for a free core to help out a slow one; more only cost hand-overs
MIN_PART_BYTES = 128 * 1024  # less than this is done sooner than it is handed over
BLOCK_BYTES = 4 * 1024 * 1024  # what a core keeps in its own cache while it works


class Device:
    """A place for arrays, by name: "cpu" (the same as "cpu:0"), "cpu:1", …

    Devices of one kind share their memory's kind, yet the graph keeps them apart: data goes
    from one to the other through the layer `Copy` alone. Raises UserError on an unknown name.
    """

    def __init__(self, name: "str | Device" = "cpu"):
        kind, _, index = str(name).partition(":")
        if kind != "cpu" or not (index or "0").isdecimal():
            raise UserError(f"unknown device {str(name)!r}: expected cpu, cpu:0, cpu:1, …")
        self.kind, self.index = kind, int(index or 0)

    @staticmethod
    def of(x) -> "Device":
        """The device that x's memory belongs to."""
        return Device("cpu")

    def array(self, x):
        """x on this device; x itself if it is there already."""
        return np.asarray(x)

    def copy(self, x):
        """A copy of x on this device."""
        return np.array(x)

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}"

    def __repr__(self) -> str:
        return f"Device({str(self)!r})"

    def __eq__(self, other) -> bool:
        return isinstance(other, Device) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


def array_module(x):
    """The namespace whose functions work on x (numpy or cupy), by convention called `xp`."""
    return sys.modules["cupy"] if type(x).__module__.partition(".")[0] == "cupy" else np


# ---- workers -------------------------------------------------------------------------------


def usable_cores() -> list[int]:
    """The cores this process may use (its affinity), which can be fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Hold the calling thread to one core meanwhile, where the system lets it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Workers:
    """One thread a core. While they work, each has BLAS to itself on one thread.

    Left to themselves some schedulers keep two busy threads on one core and leave another idle,
    so each is told its core for as long as it works, where the system lets it (Linux).
    """

    def __init__(self, threads: int):
        self.threads = threads
        self._pool = ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="worker")
        self._blas = ThreadpoolController().select(user_api="blas")
        self._lock = threading.Lock()  # BLAS's thread count is the whole process's

    def run(self, work: Callable, parts: list) -> list:
        """[work(part) for part in parts]; a free worker takes the next part."""
        if not parts:
            return []
        results = [None] * len(parts)
        waiting = deque(enumerate(parts))

        def worker(core: int) -> None:
            with on_core(core):
                while waiting:
                    try:
                        i, part = waiting.popleft()
                    except IndexError:  # another worker was quicker
                        return
                    results[i] = work(part)

        cores = list(islice(cycle(usable_cores()), min(self.threads, len(parts))))
        with self._lock, self._blas.limit(limits=1):
            helpers = [self._pool.submit(worker, core) for core in cores[1:]]
            try:
                worker(cores[0])
            finally:
                for helper in helpers:
                    helper.result()
        return results


_workers: Workers | None = None


def set_threads(threads: int) -> None:
    """Use this many workers from now on (1 or more)."""
    global _workers
    if threads < 1:
        raise UserError(f"the number of threads must be at least 1, got {threads}")
    _workers = Workers(threads)


def get_workers() -> Workers:
    """The workers; first use starts $MINITORCH_ALEXNET_THREADS of them, else one a usable core."""
    if _workers is None:
        asked = os.environ.get("MINITORCH_ALEXNET_THREADS", "")
        if asked and not asked.isdecimal():
            raise UserError(f"MINITORCH_ALEXNET_THREADS must be a whole number, got {asked!r}")
        best = len(usable_cores()) if blas_can_be_limited() else 1
        set_threads(int(asked) if asked else best)
    return _workers


def blas_can_be_limited() -> bool:
    """False with a BLAS that threadpoolctl cannot hold to one thread (Apple's Accelerate)."""
    return bool(ThreadpoolController().select(user_api="blas").lib_controllers)


def for_each_part(work: Callable[[slice], object], x) -> list:
    """Deal the rows of x (its first axis) to the workers; return what `work` said of each part.

    work: called with a slice of rows, in any order and on any thread; not to deal out itself
    """
    count = min(MAX_PARTS, len(x), max(1, x.nbytes // MIN_PART_BYTES))
    ends = [len(x) * i // count for i in range(count + 1)] if count else [0]
    return get_workers().run(work, [slice(a, b) for a, b in pairwise(ends)])


def blocks(part: slice, row_bytes: int) -> Iterator[slice]:
    """Cut a part into blocks of rows whose working memory, row_bytes each, stays in cache."""
    rows = max(1, BLOCK_BYTES // max(1, row_bytes))
    for start in range(part.start, part.stop, rows):
        yield slice(start, min(start + rows, part.stop))
