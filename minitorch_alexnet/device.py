"""Where arrays live: one name for each device, and the way from one to another."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable

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
