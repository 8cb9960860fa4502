"""Where arrays live: one name for each device, and the way from one to another."""

import contextlib
import functools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from .errors import UserError
from .gpu import why_no_gpu


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

    def free(self) -> int:
        """The bytes of it that nobody has."""
        return _cupy().cuda.Device(self.index).mem_info[0]

    def held(self) -> int:
        """The bytes of it that CuPy holds, in use now or kept for the next use."""
        with self.current():
            return _cupy().get_default_memory_pool().total_bytes()

    def release(self) -> None:
        """Give a GPU back what CuPy keeps for the next use alone."""
        if self.kind == "cuda":
            with self.current():
                _cupy().get_default_memory_pool().free_all_blocks()

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

    def queue(self):
        """Where this thread's work for a GPU goes; None on the CPU."""
        if self.kind == "cpu":
            return None
        with self.current():
            return _cupy().cuda.get_current_stream()

    def upload(self, x, working) -> Callable:
        """Start to bring x, from the host, to this device; what is returned gives it, arrived.

        It travels in a queue of its own, while the device works on what is in `working`, the queue
        that y is for and no other. Any thread may ask for it.
        """
        if self.kind == "cpu":
            return lambda: x
        cupy = _cupy()
        with self.current():
            way = _way_to(self.index, working.ptr)
            with way.queue as travelling:
                # A GPU fetches by itself what lies in pinned memory, in its own order of bytes.
                dtype = x.dtype.newbyteorder("=")
                pinned = np.ndarray(x.shape, dtype, cupy.cuda.alloc_pinned_memory(x.nbytes))
                pinned[...] = x
                y = cupy.empty(x.shape, dtype)
                travelling.wait_event(working.record())  # y's memory was freed, but may be in use
                y.set(pinned)
                arrived = travelling.record()
        way.keep(pinned, arrived)

        def arrive():
            with self.current():  # whose null stream it may be
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


def joined(devices: str | Device | Iterable) -> str:
    """Devices in one string, "cpu:0,cpu:1", from that or from a sequence of them."""
    if isinstance(devices, str | Device):
        return str(devices)
    if not isinstance(devices, Iterable):
        raise UserError(f"devices must be like 'cpu:0,cpu:1' or ('cpu:0', 'cpu:1'), got {devices}")
    return ",".join(map(str, devices))


def _cupy():
    import cupy

    return cupy


class _Way:
    """From the host to a GPU: a queue of its own, and what the GPU has yet to fetch."""

    def __init__(self):
        self.queue = _cupy().cuda.Stream(non_blocking=True)
        self.waiting = deque()
        self.lock = threading.Lock()

    def keep(self, x, fetched) -> None:
        """Keep x where it is until that event."""
        with self.lock:
            while self.waiting and self.waiting[0][1].done:
                self.waiting.popleft()
            self.waiting.append((x, fetched))


_ways: dict[tuple, _Way] = {}
_lock = threading.Lock()


def _way_to(index: int, working: int) -> _Way:
    """To a GPU's queue: memory that came this way comes back, and waits for that queue alone."""
    with _lock:
        if (index, working) not in _ways:
            _ways[index, working] = _Way()
        return _ways[index, working]


@contextlib.contextmanager
def tf32() -> Iterator[None]:
    """Meanwhile products of float32 on GPUs round their factors to TF32: ten bits, and faster.

    For the whole process: what another thread multiplies meanwhile is in TF32, too.
    """
    core = _cupy()._core  # its public switch, CUPY_TF32, is looked at once a process
    with _lock:
        if not _before_tf32:
            before = core.get_compute_type(np.float32)
            core.set_compute_type(np.float32, core._routines_linalg.COMPUTE_TYPE_TF32)
        else:
            before = _before_tf32[0]
        _before_tf32.append(before)
    try:
        yield
    finally:
        with _lock:
            _before_tf32.pop()
            if not _before_tf32:
                core.set_compute_type(np.float32, before)


_before_tf32: list = []  # how products were made before, once for each who is within tf32()


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
