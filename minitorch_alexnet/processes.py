"""Processes that train one net together, each on its share of every batch.

    mpiexec -n 4 minitorch-alexnet train

graph.py deals a batch out to cores; here it is dealt out once more, before that, to processes. Each
has the whole net; the gradients are summed, and all take the same step. MPI (mpi4py) lets them find
each other and sums on the host; between GPUs NCCL sums, through CuPy.
"""

import functools
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterable

import numpy as np

from .device import Device, array_module
from .errors import UserError
from .layers import Parameter

HEARD = 0.5  # seconds in which mpiexec hears what was said last
BUFFER_BYTES = 32 * 1024 * 1024  # of gradients that travel together


class Processes:
    """This one alone: a program that nobody has started several times.

    rank: its number, from 0;  size: how many there are
    local_rank, local_size: the same among those on its machine
    """

    rank, size, local_rank, local_size = 0, 1, 0, 1

    def share(self, count: int) -> slice:
        """Which of `count` things in a row are this process's: none, if there are too few."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def images(self, batch: int) -> slice:
        """Which of a batch's images it works on: its share; if that is none, the first one."""
        share = self.share(batch)
        return share if share.start < share.stop else slice(0, 1)

    def weight(self, batch: int) -> float:
        """How much the mean over its images counts in that over the whole batch: 0 if it has none
        of its own and only borrows one."""
        share = self.share(batch)
        return (share.stop - share.start) / batch

    def own(self, devices: str) -> str:
        """This process's, of devices that are named for the first one of a machine.

        Where that has cuda:0, or cuda:0,cuda:1, the second has cuda:1, or cuda:2,cuda:3.
        """
        if self.local_size == 1 or not devices:
            return devices
        named = [Device(name) for name in devices.split(",")]
        step = self.local_rank * len({device for device in named if device.kind == "cuda"})
        return ",".join(
            f"cuda:{device.index + step}" if device.kind == "cuda" else str(device)
            for device in named
        )

    def sum(self, x) -> Callable[[], None]:
        """Start to add x up over the processes, in place; what is returned waits for it."""
        return lambda: None

    def broadcast(self, value):
        """Process 0's value, for all."""
        return value

    def gather(self, value) -> list:
        """Everybody's value, by rank, for all."""
        return [value]

    def any(self, *flags: bool) -> list[bool]:
        """Of each flag, whether it is up in any of them."""
        return [bool(flag) for flag in flags]

    def abort(self, status: int) -> None:
        """End all the others, too."""


class Started(Processes):
    """One of those that mpiexec has started."""

    def __init__(self):
        if importlib.util.find_spec("mpi4py") is None:
            _end_before(
                f"this is one of {_started()} processes, but mpi4py is missing, by which they would"
                " find each other: pip install 'minitorch_alexnet[mpi]'"
            )
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:  # it is of another MPI, or there is none
            first = str(error).splitlines()[0]
            _end_before(
                f"mpi4py finds no MPI here ({first}): install it and its MPI into this Python,"
                " pip install 'minitorch_alexnet[mpi]'"
            )

        self._mpi, self._all = MPI, MPI.COMM_WORLD
        self.rank, self.size = self._all.rank, self._all.size
        if self.size != _started():
            raise UserError(
                f"mpiexec has started {_started()} processes, but mpi4py's MPI sees {self.size}:"
                " they are of two MPIs. Take the mpiexec of the one that mpi4py was made for"
            )
        here = self._all.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = here.rank, here.size
        self._between_gpus: dict[Device, _NCCL] = {}
        shown = sys.excepthook

        def end_all(*error):
            shown(*error)
            self.abort(1)

        sys.excepthook = end_all

    def sum(self, x):
        if array_module(x) is np:
            self._all.Allreduce(self._mpi.IN_PLACE, x)
            return lambda: None
        return self._of(Device.of(x), array_module(x).cuda).sum(x)

    def _of(self, device: Device, cuda) -> "_NCCL":
        """Who sums between this GPU and those that have its place in the other processes."""
        if device not in self._between_gpus:
            self._between_gpus[device] = _NCCL(self, device, cuda)
        return self._between_gpus[device]

    def broadcast(self, value):
        return self._all.bcast(value)

    def gather(self, value):
        return self._all.allgather(value)

    def any(self, *flags):
        up = np.array(flags, np.int32)
        self.sum(up)
        return [bool(count) for count in up]

    def abort(self, status):
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(HEARD)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI has nothing to add
        self._all.Abort(status)


class _NCCL:
    """Sums between GPUs, one of each process, in a queue of their own: backward goes on."""

    def __init__(self, processes: Processes, device: Device, cuda):
        self.device, self.nccl = device, _nccl()
        with device.current():
            name = processes.broadcast(self.nccl.get_unique_id() if processes.rank == 0 else None)
            self.all = self.nccl.NcclCommunicator(processes.size, name, processes.rank)
            self.queue = cuda.Stream(non_blocking=True)

    def sum(self, x) -> Callable[[], None]:
        kinds = {"float32": self.nccl.NCCL_FLOAT32, "float64": self.nccl.NCCL_FLOAT64}
        kind, total, place = kinds[x.dtype.name], self.nccl.NCCL_SUM, x.data.ptr
        working = self.device.queue()
        with self.device.current():
            self.queue.wait_event(working.record())  # x is there
            self.all.allReduce(place, place, x.size, kind, total, self.queue.ptr)
            done = self.queue.record()

        def finish():
            with self.device.current():  # whose null stream it may be
                working.wait_event(done)
            return x  # which is known until then

        return finish


def _nccl():
    """CuPy's way to NCCL. UserError where NCCL is missing."""
    try:
        return importlib.import_module("cupy.cuda.nccl")
    except ImportError as error:
        raise UserError(
            "between GPUs NCCL sums, and it is missing: pip install nvidia-nccl-cu12, or -cu13, as"
            f" your CuPy is ({error})"
        ) from error


ALONE = Processes()


def _said(*names: str) -> int:
    """The number that mpiexec says by one of these, MPICH's word or Open MPI's; or 0."""
    return next((int(v) for name in names if (v := os.environ.get(name, "")).isdecimal()), 0)


def _started() -> int:
    """How many processes mpiexec has started."""
    return _said("PMI_SIZE", "OMPI_COMM_WORLD_SIZE") or 1


def _end_before(text: str) -> None:
    """UserError, in the first process of each machine; the others end without a word."""
    if _said("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK"):
        sys.exit(2)
    raise UserError(text)


@functools.cache
def processes() -> Processes:
    """This process among those that mpiexec has started; MPI is not imported if it is alone.

    An error that nobody catches ends all of them. That sys.exit does so, too, takes
    `mpiexec -n 4 python -m mpi4py script.py`.
    """
    return Started() if _started() > 1 else ALONE


class Masks:
    """For how many images generators draw now: a whole batch of them, or None.

    Every process draws for all of them, the same as one process alone would, and takes its rows.
    """

    def __init__(self, processes: Processes):
        self.processes = processes
        self.images: int | None = None


class _ForAll:
    """A generator behind Masks. For no batch, as in an estimate, it draws what it is asked for."""

    def __init__(self, rng: np.random.Generator, masks: Masks):
        self.rng, self.masks = rng, masks

    @property
    def bit_generator(self):
        return self.rng.bit_generator

    def random(self, shape: tuple, dtype):
        images = self.masks.images
        if images is None:
            return self.rng.random(shape, dtype)
        return self.rng.random((images, *shape[1:]), dtype)[self.masks.processes.images(images)]


def draw_for_all(net, processes: Processes) -> Masks:
    """Put a net's generators behind Masks, if there are several processes."""
    masks = Masks(processes)
    for node in net.nodes.values() if processes.size > 1 else ():
        if hasattr(node.layer, "rng"):
            node.layer.rng = _ForAll(node.layer.rng, masks)
    return masks


class Gradients:
    """Those of a net on their way to their mean over the whole batch, in a few long arrays.

    Backward finds the last layers' first: while it goes on, they are summed already, where the
    sums are made by somebody else (NCCL).
    """

    def __init__(self, processes: Processes):
        self.processes, self.weight = processes, 1.0
        self.waiting: list[Parameter] = []
        self.under_way: list[Callable[[], None]] = []

    def take(self, parameters: Iterable[Parameter]) -> None:
        """Those whose gradients are found; the same, in the same order, in every process."""
        if self.processes.size > 1:
            self.waiting += [p for p in parameters if p.grad is not None]
            if sum(p.grad.nbytes for p in self.waiting) >= BUFFER_BYTES:
                self._send()

    def finish(self) -> None:
        """Until all of them are means over the whole batch."""
        self._send()
        while self.under_way:
            self.under_way.pop()()

    def _send(self) -> None:
        alike: dict[tuple, list[Parameter]] = {}
        for p in self.waiting:
            alike.setdefault((Device.of(p.grad), p.grad.dtype), []).append(p)
        self.waiting = []
        for (device, dtype), some in alike.items():
            with device.current():
                xp, start = array_module(some[0].grad), 0
                buffer = xp.empty(sum(p.grad.size for p in some), dtype)
                for p in some:
                    part = buffer[start : start + p.grad.size].reshape(p.grad.shape)
                    xp.multiply(p.grad, dtype.type(self.weight), out=part)
                    p.grad, start = part, start + part.size
                self.under_way.append(self.processes.sum(buffer))
