"""Threads that compute, one a core, while BLAS keeps to one thread itself.

The caller's thread only waits. Python delivers Ctrl-C to the main thread alone, so wherever it
lands, the threads here finish what they are at and leave BLAS as it was.
"""

import contextlib
import contextvars
import ctypes
import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from .device import array_module
from .errors import UserError

LEAST_PART = 8  # images: enough for long rows in memory
PART_BYTES = 1024 * 1024  # of an image's largest maps, for all images of a part
PIECE_BYTES = 1024 * 1024  # to work on less is done sooner than handed over
MOST_PIECES = 16  # of a product
MOST_THREADS = 1024


def deal(images: int, image_bytes: int = PART_BYTES) -> list[slice]:
    """The parts of a batch: the same ones on any number of cores.

    image_bytes: of the largest maps that an image has on its way

    Some three quarters of the batch go into equal parts, the rest into parts about half as large,
    for the cores that are done first. A part has LEAST_PART images, or as many as PART_BYTES hold
    if the batch is large enough: between two of a part's loops Python goes on in one thread alone.
    """
    size = max(LEAST_PART, min(images // 2, PART_BYTES // image_bytes))
    size = min(size, -(-images // 2))
    large = images * 3 // 4 // size
    rest = images - large * size
    return [
        *cut(0, large * size, large),
        *cut(large * size, images, min(rest, -(-2 * rest // size))),
    ]


def cut(start: int, stop: int, count: int) -> list[slice]:
    """From start to stop in `count` slices, as equal as can be."""
    ends = [start + (stop - start) * i // count for i in range(count + 1)] if count else [start]
    return [slice(a, b) for a, b in pairwise(ends)]


def pieces(x, most: int = 2**31) -> list[slice]:
    """x's first axis in pieces that are worth handing over and not too large for a cache."""
    return cut(0, len(x), max(1, min(most, len(x), x.nbytes // PIECE_BYTES)))


def product(a, b):
    """a @ b; on the CPU the longer axis of the result is dealt out.  (m, k) @ (k, n) -> (m, n)"""
    if array_module(a) is not np:
        return a @ b
    out = np.empty((len(a), b.shape[1]), a.dtype)
    rows, other, by_rows = (a, b, out) if len(a) > b.shape[1] else (b.T, a.T, out.T)
    get_workers().run(
        lambda i: np.matmul(rows[i], other, out=by_rows[i]), pieces(rows, MOST_PIECES)
    )
    return out


# ---- threads -------------------------------------------------------------------------------------

_here = threading.local()  # .job: the thread is at that one; .dealt: at a part; .cores: held to


class _Job:
    """A function for the conductor to call in the caller's context (np.errstate is part of it)."""

    def __init__(self, function: Callable):
        self.function, self.context = function, contextvars.copy_context()
        self.cancelled = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.done: SimpleQueue[None] = SimpleQueue()

    def do(self) -> None:
        _here.job = self
        try:
            self.result = self.context.run(self.function)
        except BaseException as error:
            self.error = error
        _here.job = None


class _Deal:
    """Parts to work on, for whoever is free.

    then: hears the results one at a time, in the order of the parts
    """

    def __init__(self, work: Callable, parts: list, then: Callable):
        self.work, self.then, self.job = work, then, _here.job
        self.waiting, self.heard, self.lock = deque(enumerate(parts)), 0, threading.Lock()
        self.finished: dict[int, Any] = {}
        self.error: BaseException | None = None
        self.left: SimpleQueue[None] = SimpleQueue()

    def take_parts(self) -> None:
        """Work until no part is left."""
        _here.dealt = True
        try:
            while not self.job.cancelled and (numbered := self._next()):
                number, part = numbered
                self._hear(number, self.work(part))
        except BaseException as error:
            self.error = error
            self.waiting.clear()
        _here.dealt = False
        self.left.put(None)

    def _next(self) -> tuple | None:
        with contextlib.suppress(IndexError):
            return self.waiting.popleft()
        return None

    def _hear(self, number: int, result) -> None:
        with self.lock:
            self.finished[number] = result
            while self.heard in self.finished:
                self.then(self.finished.pop(self.heard))
                self.heard += 1


class Workers:
    """The conductor, who does what callers ask for, one job after the other, and its helpers.

    Left to themselves some schedulers keep two busy threads on one core and leave another idle, so
    where every core has its worker and every worker a part, each is held to its own.

    Their threads know the queues alone, and end when nobody knows the Workers: whoever still asks
    those that set_threads has replaced gets an answer.
    """

    def __init__(self, threads: int):
        self.threads = threads
        self._cores = usable_cores()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._deals: SimpleQueue[tuple | None] = SimpleQueue()
        _start(_conduct, self._jobs, ThreadpoolController().select(user_api="blas"))
        for number in range(1, threads):
            _start(_help, self._deals, number, self._cores)
        weakref.finalize(self, _end, self._jobs, self._deals, threads).atexit = False

    def conduct(self, function: Callable):
        """function(), called by the conductor while BLAS is held to one thread.

        After Ctrl-C no further part is begun, and those under way end before it is raised.
        """
        if getattr(_here, "job", None) or getattr(_here, "dealt", False):  # a net in a layer
            return function()
        job = _Job(function)
        try:
            self._jobs.put(job)
            job.done.get()
        except BaseException:
            job.cancelled = True
            after = _Job(lambda: None)  # done once the job is, if that was put in at all
            self._jobs.put(after)
            after.done.get()
            job.error = None
            raise
        _raise_error_of(job)
        return job.result

    def run(self, work: Callable, parts: list, then: Callable | None = None) -> list:
        """[work(part) for part in parts]; a free worker takes the next part.

        then: hears the results, in that order, as soon as can be, in place of the list
        """
        results: list = []
        then = then or results.append
        if getattr(_here, "dealt", False):  # a deal within a part
            for part in parts:
                then(work(part))
        else:
            self.conduct(lambda: self._deal(work, parts, then))
        return results

    def _deal(self, work: Callable, parts: list, then: Callable) -> None:
        dealt = _Deal(work, parts, then)
        all_busy = self.threads == len(self._cores) <= len(parts)
        helpers = min(self.threads, len(parts)) - 1
        for _ in range(helpers):
            self._deals.put((contextvars.copy_context(), dealt, all_busy))
        _hold(0, self._cores, all_busy)
        dealt.take_parts()
        for _ in range(helpers + 1):
            dealt.left.get()
        if dealt.job.cancelled:
            raise InterruptedError("nobody waits for this any more")
        _raise_error_of(dealt)


def _conduct(jobs: SimpleQueue, blas) -> None:
    while job := jobs.get():
        with _conducting, blas.limit(limits=1):
            job.do()
        job.done.put(None)
        del job  # and with it the arrays that it knows of


def _help(deals: SimpleQueue, number: int, cores: list[int]) -> None:
    while task := deals.get():
        context, dealt, all_busy = task
        _hold(number, cores, all_busy)
        context.run(dealt.take_parts)
        del task, context, dealt


def _end(jobs: SimpleQueue, deals: SimpleQueue, threads: int) -> None:
    jobs.put(None)
    for _ in range(1, threads):
        deals.put(None)


def _hold(number: int, cores: list[int], all_busy: bool) -> None:
    """Hold this thread to its own of the cores, or to all, where the system lets it (Linux)."""
    cores = cores[number : number + 1] if all_busy else cores
    if hasattr(os, "sched_setaffinity") and cores != getattr(_here, "cores", None):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cores)
            _here.cores = cores


def _raise_error_of(work: "_Job | _Deal") -> None:
    """Raise the error, if there is one, and forget it.

    An error knows the frames that it went through. If one of those knew it, all their arrays would
    wait for Python to look for circles.
    """
    error, work.error = work.error, None
    try:
        if error:
            raise error
    finally:
        del error


def _start(function: Callable, *arguments) -> None:
    threading.Thread(target=function, args=arguments, name="worker", daemon=True).start()


_workers: Workers | None = None
_conducting = threading.Lock()  # BLAS is the process's: one job at a time sets it and sets it back


def _forget_workers() -> None:
    """A forked process has none of its parent's threads."""
    global _workers, _conducting
    _workers, _conducting = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def set_threads(threads: int) -> None:
    """Compute with this many threads from now on, 1 to MOST_THREADS; UserError on any other."""
    global _workers
    if not isinstance(threads, int) or threads < 1:
        raise UserError(f"the number of threads must be at least 1, got {threads!r}")
    if threads > MOST_THREADS:
        raise UserError(f"the number of threads must be at most {MOST_THREADS}, got {threads}")
    _workers = Workers(threads)


def get_workers() -> Workers:
    """The workers; first use starts $MINITORCH_ALEXNET_THREADS of them, else one a usable core."""
    if workers := _workers:
        return workers
    asked = os.environ.get("MINITORCH_ALEXNET_THREADS", "")
    if asked and not (asked.isdecimal() and len(asked) < 10):  # of thousands of digits int() fails
        raise UserError(f"MINITORCH_ALEXNET_THREADS must be a whole number, got {asked[:40]!r}")
    set_threads(int(asked) if asked else usual_threads())
    return get_workers()


def usual_threads() -> int:
    """One a usable core, as far as the container grants them; one where BLAS keeps its own."""
    return math.ceil(min(len(usable_cores()), granted_cores())) if blas_can_be_limited() else 1


def blas_can_be_limited() -> bool:
    """False with a BLAS that threadpoolctl cannot hold to one thread (Apple's Accelerate)."""
    return bool(ThreadpoolController().select(user_api="blas").lib_controllers)


# ---- cores and memory ----------------------------------------------------------------------------


def usable_cores() -> list[int]:
    """The cores this process may use (its affinity), which can be fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(os.getpid()))  # not those that a worker is held to
    return list(range(os.cpu_count() or 1))


def granted_cores(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> float:
    """How many cores' time the process's container grants it, inf without a limit (Linux)."""
    granted = float("inf")
    with contextlib.suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            top = cgroups if not controllers else cgroups / "cpu"
            if not controllers or "cpu" in controllers.split(","):
                place = top / path.strip("/")
                for folder in (place, *place.parents):
                    if folder.is_relative_to(top):
                        granted = min(granted, _limit(folder))
    return granted


def _limit(folder: Path) -> float:
    """What one control group grants, by version 2 or version 1 of Linux's."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError):
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if int(quota) > 0:  # version 2 says "max", version 1 says -1
                return int(quota) / int(period)
    return float("inf")


def keep_freed_memory() -> None:
    """Let malloc keep what arrays free, in this process, for the next step's arrays.

    A page fresh from the system takes several times as long as to fill it. The command line does
    this; from Python it is for whoever wants it, before the first step. It is glibc's, and so
    Linux's alone.
    """
    trim_threshold, mmap_max, arena_max = -1, -4, -8  # malloc.h
    with contextlib.suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, -1)  # never
        libc.mallopt(mmap_max, 0)
        libc.mallopt(arena_max, 1)  # what one thread frees serves the others
