"""Where arrays live, and how a batch is dealt out to the cores.

A layer says what to do with *some* images; `for_each_part` says which images and on which
worker. The parts depend on the data alone, never on the number of workers, and their results
come back in part order: one seed gives the same bits with 1, 2 or 16 threads.
"""

import contextlib
import ctypes
import functools
import importlib.metadata
import importlib.util
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from threadpoolctl import ThreadpoolController

from .errors import UserError

MAX_PARTS = 8  # enough for a free core to help out a slow one; more only cost hand-overs
MIN_PART_BYTES = 1024 * 1024  # to work on less is done sooner than handed over
BLOCK_BYTES = 8 * 1024 * 1024  # small enough to stay in cache, large enough for long rows
GPU_BLOCK_BYTES = 512 * 1024 * 1024  # what a GPU has to spare for working memory


class Device:
    """A place for arrays, by name: "cpu" (the same as "cpu:0"), "cpu:1", …, "cuda:0", …

    "auto" is the first GPU if it can be used, and else the CPU. Devices of one kind share their
    memory's kind, yet the graph keeps them apart: data goes from one to the other through the
    layer `Copy` alone. Raises UserError on an unknown name or a GPU that cannot be used.
    """

    def __init__(self, name: "str | Device" = "cpu"):
        name = str(name).strip()
        if name == "auto":
            name = "cpu" if why_no_gpu() else "cuda"
        kind, _, index = name.partition(":")
        if kind not in ("cpu", "cuda") or not (index or "0").isdecimal():
            raise UserError(
                f"unknown device {name!r}: expected auto, cpu, cpu:0, cpu:1, …, cuda:0, cuda:1, …"
            )
        self.kind, self.index = kind, int(index or 0)
        if kind == "cuda" and (reason := why_no_gpu(self.index)):
            raise UserError(f"{self} cannot be used: {reason}")

    @staticmethod
    def of(x) -> "Device":
        """The device that x's memory belongs to."""
        return Device("cpu" if array_module(x) is np else f"cuda:{x.device.id}")

    def current(self) -> contextlib.AbstractContextManager:
        """Meanwhile CuPy makes its arrays, and runs, on this device."""
        return contextlib.nullcontext() if self.kind == "cpu" else _cupy().cuda.Device(self.index)

    def wait(self) -> None:
        """Until all is done that was asked of the device; a GPU works through a queue."""
        if self.kind == "cuda":
            _cupy().cuda.Device(self.index).synchronize()

    def memory(self) -> int:
        """A GPU's memory in bytes."""
        return _cupy().cuda.Device(self.index).mem_info[1]

    def array(self, x):
        """x on this device; x itself if it is there already."""
        if self.kind == "cpu":
            return np.asarray(x) if array_module(x) is np else x.get()
        return x if Device.of(x) == self else self.copy(x)

    def copy(self, x):
        """A copy of x on this device. From the host it is queued, through pinned memory."""
        if self.kind == "cpu":
            return np.array(x) if array_module(x) is np else x.get()
        with self.current():
            if array_module(x) is np or x.device.id == self.index:
                return _cupy().array(x)
        return self._copy_from_gpu(x)

    def upload(self, x) -> Callable:
        """Start to bring x, from the host, to this device; what is returned gives it, arrived.

        It travels in a queue of its own, while the device works on what it had been asked before.
        """
        if self.kind == "cpu":
            return lambda: x
        cuda = _cupy().cuda
        with self.current():
            working = cuda.get_current_stream()
            with _copy_stream(self.index) as travelling:
                travelling.wait_event(working.record())  # memory that was freed may be in use yet
                y = _cupy().array(x)
                arrived = travelling.record()

        def arrive():
            working.wait_event(arrived)
            return y

        return arrive

    def _copy_from_gpu(self, x):
        """Each GPU has a queue: here waits for x to be there, and there for it to be fetched."""
        stream = _cupy().cuda.get_current_stream
        with x.device:
            x = _cupy().ascontiguousarray(x)
            ready = stream().record()
        with self.current():
            stream().wait_event(ready)
            y = x.copy()
            fetched = stream().record()
        with x.device:
            stream().wait_event(fetched)
        return y

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}"

    def __repr__(self) -> str:
        return f"Device({str(self)!r})"

    def __eq__(self, other) -> bool:
        return isinstance(other, Device) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


def _cupy():
    import cupy

    return cupy


@functools.cache
def _copy_stream(index: int):
    return _cupy().cuda.Stream(non_blocking=True)


def array_module(x):
    """The namespace whose functions work on x (numpy or cupy), by convention called `xp`."""
    return sys.modules["cupy"] if type(x).__module__.partition(".")[0] == "cupy" else np


def fuse(function: Callable) -> Callable:
    """Elementwise maths: on CuPy's arrays one pass over memory (cupy.fuse), on NumPy's as it is."""

    @functools.cache
    def fused() -> Callable:
        return _cupy().fuse(function)

    @functools.wraps(function)
    def call(*arguments):
        on_gpu = any(array_module(a) is not np for a in arguments)
        return (fused() if on_gpu else function)(*arguments)

    return call


@functools.cache
def why_no_gpu(index: int = 0) -> str:
    """Why the GPU of that number cannot be used, and what to do about it; "" if it can."""
    if importlib.util.find_spec("cupy") is None:
        return (
            "CuPy is not installed: pip install 'cupy-cuda13x[ctk]', or cuda12x for an older driver"
        )
    names = (d.metadata["Name"] for d in importlib.metadata.distributions())
    packages = sorted({name for name in names if name and name.startswith("cupy")} - {"cupyx"})
    if len(packages) > 1:
        return (
            f"{' and '.join(packages)} break each other: pip uninstall {' '.join(packages)}, then"
            " install one of them"
        )
    try:
        cupy = _cupy()
        count = cupy.cuda.runtime.getDeviceCount()
        if index >= count:
            return f"there are {count} GPUs, numbered from 0"
        with cupy.cuda.Device(index):
            (cupy.arange(3, dtype=np.float32) + 1).get()  # compiles a kernel and runs it
    except Exception as error:  # whatever is missing shows itself here, each time in another way
        return _what_ails(error, packages)
    return ""


def _what_ails(error: Exception, packages: list[str]) -> str:
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    for sign, advice in (
        (
            "InsufficientDriver",
            "no NVIDIA driver, or too old a one for this CuPy: see nvidia-smi; update it, or"
            " install CuPy for an older CUDA (cuda12)",
        ),
        ("NoDevice", "no NVIDIA GPU is visible: see CUDA_VISIBLE_DEVICES and nvidia-smi"),
        ("nvrtc", f"the CUDA compiler is missing: pip install '{packages[0]}[ctk]'"),
        ("libcuda", "install the NVIDIA driver"),
    ):
        if sign.lower() in text.lower():
            return f"{advice} ({text})"
    return f"{text}; nvidia-smi says whether there is a driver, and for which CUDA"


# ---- workers -------------------------------------------------------------------------------


def usable_cores() -> list[int]:
    """The cores this process may use (its affinity), which can be fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def hold_to(core: int | None) -> None:
    """Hold the calling thread to one core, where the system lets it (Linux)."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Hold the calling thread to one core meanwhile."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        hold_to(core)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)


_dealing = threading.Lock()  # BLAS's thread count is the whole process's
_here = threading.local()  # .working: this thread is at a part


class Workers:
    """One thread a core. While they work, each has BLAS to itself on one thread.

    Left to themselves some schedulers keep two busy threads on one core and leave another idle,
    so where every core has its worker, each is held to its own: the helpers always, the thread
    that deals for as long as it works.
    """

    def __init__(self, threads: int):
        self.threads = threads
        cores = usable_cores()
        self._own_core, *others = cores if threads == len(cores) else [None] * threads
        self._cores_left = deque(others)  # for helpers that have not worked yet
        self._pool = ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="worker")
        self._blas = ThreadpoolController().select(user_api="blas")

    def run(self, work: Callable, parts: list) -> list:
        """[work(part) for part in parts]; a free worker takes the next part."""
        if getattr(_here, "working", False):  # a layer within a layer's part
            return [work(part) for part in parts]
        results = [None] * len(parts)
        waiting = deque(enumerate(parts))

        def take_parts() -> None:
            _here.working = True
            try:
                while (job := _take(waiting)) is not None:
                    i, part = job
                    results[i] = work(part)
            finally:
                _here.working = False

        def help_out() -> None:
            if not getattr(_here, "settled", False):
                self._settle()
            take_parts()

        count = min(self.threads, len(parts))
        core = self._own_core if count > 1 else None
        with _dealing, self._blas.limit(limits=1), on_core(core):
            helpers = [self._pool.submit(help_out) for _ in range(count - 1)]
            try:
                take_parts()
            finally:
                waiting.clear()  # after an error nobody starts another part
                errors = [helper.exception() for helper in helpers]  # waits for all
        for error in filter(None, errors):
            raise error
        return results

    def _settle(self) -> None:
        """What a helper does once, before its first part."""
        _here.settled = True
        hold_to(self._cores_left.popleft())
        self._blas.limit(limits=1)  # MKL counts by thread


def _take(waiting: deque):
    """The next of what is waiting, or None: another worker may have been quicker."""
    try:
        return waiting.popleft()
    except IndexError:
        return None


_workers: Workers | None = None


def _forget_workers() -> None:
    """A forked process has none of its parent's threads."""
    global _workers, _dealing
    _workers, _dealing = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def set_threads(threads: int) -> None:
    """Use this many workers from now on (1 or more)."""
    global _workers
    if threads < 1:
        raise UserError(f"the number of threads must be at least 1, got {threads}")
    _workers = Workers(threads)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let malloc keep what arrays free, in this process, for the next step's arrays.

    A page fresh from the system takes several times as long as to fill it. This is glibc's, and
    so Linux's alone.
    """
    trim_threshold, mmap_max = -1, -4  # malloc.h
    with contextlib.suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_max, 0)


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


def for_each_part(work: Callable[[slice], object], x, row_bytes: int = 0) -> list:
    """Deal the rows of x (its first axis) to the workers; return what `work` said of each part.

    work: called with a slice of rows, in any order and on any thread; on a GPU once, with all
    row_bytes: the working memory that a row needs, if more than its own
    """
    if array_module(x) is not np:
        return [work(slice(0, len(x)))]
    whole = max(x.nbytes, len(x) * row_bytes)
    most = min(MAX_PARTS, len(x), max(1, whole // MIN_PART_BYTES))
    count = 1 << most.bit_length() >> 1  # 1, 2, 4, 8: the usual numbers of cores share them evenly
    ends = [len(x) * i // count for i in range(count + 1)] if count else [0]
    return get_workers().run(work, [slice(a, b) for a, b in pairwise(ends)])


def blocks(x, part: slice, row_bytes: int) -> Iterator[slice]:
    """Cut a part of x into blocks of rows that need row_bytes of working memory each.

    On the CPU a block's stays in a core's cache; a GPU takes what it has room for.
    """
    room = BLOCK_BYTES if array_module(x) is np else GPU_BLOCK_BYTES
    rows = max(1, room // max(1, row_bytes))
    for start in range(part.start, part.stop, rows):
        yield slice(start, min(start + rows, part.stop))


def for_each_block(work: Callable[[slice], object], x, row_bytes: int) -> None:
    """for_each_part, with the parts cut into blocks, for work that has nothing to return."""

    def some(part):
        for rows in blocks(x, part, row_bytes):
            work(rows)

    for_each_part(some, x, row_bytes)
