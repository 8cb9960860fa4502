"""A map that deals its work out to processes, which end when their parent does."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from ..errors import UserError

CHUNK = 8  # jobs a process is given at once: few, as Ctrl-C waits for them


@contextlib.contextmanager
def process_map(processes: int) -> Iterator[Callable]:
    """A `map` that deals out to so many processes, or the plain one if that is one."""
    if processes == 1:
        yield map
        return
    spawn = multiprocessing.get_context("spawn")  # forking a process with threads can hang
    pool = ProcessPoolExecutor(processes, spawn, _start_process)
    try:
        yield partial(_map_some, pool, 4 * processes * CHUNK)
    except BrokenProcessPool as error:
        raise UserError(
            "a process that reads images could not start or was ended, perhaps for want of memory; "
            "what is done is kept: repeat it with fewer processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _map_some(pool: ProcessPoolExecutor, some: int, read: Callable, jobs: list) -> Iterator:
    """pool.map, but at most `some` results wait in memory where the parent is the slower one."""
    for start in range(0, len(jobs), some):
        try:
            results = pool.map(read, jobs[start : start + some], chunksize=CHUNK)
        except OSError as error:
            raise UserError(
                f"a process that reads images cannot start: {error.strerror}; what is done is"
                " kept: repeat it with fewer processes"
            ) from error
        yield from results


def _start_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its processes."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
