"""What the processes that mpiexec has started settle before they do one command together."""

import os
import platform
import sys
import time

from ..errors import UserError
from ..processes import Processes
from ..workers import set_threads, usable_cores, usual_threads

LATER = 1.5  # seconds: what they all have found, process 0 says meanwhile, and ends the others


def settle(together: Processes, argv: list[str], arguments) -> None:
    """Share the machine's cores out.

    Raises UserError where they were started with different words, or for a command that is for one.
    """
    if together.size == 1:
        return
    if not arguments.together:
        raise UserError(f"{arguments.command} is for one process: leave mpiexec out")
    words = together.gather(argv)
    for rank, theirs in enumerate(words):
        if theirs != words[0]:
            raise UserError(
                "the processes were started with different options. Process 0:"
                f" {' '.join(words[0])}; process {rank}: {' '.join(theirs)}"
            )
    if arguments.threads is None:
        set_threads(min(len(_cores(together)), usual_threads()))


def _cores(together: Processes) -> list[int]:
    """The process's own: if nobody has held it to some, it holds itself to its part of them."""
    machine, cores = platform.node(), usable_cores()
    others = [theirs for name, theirs in together.gather((machine, cores)) if name == machine]
    if any(theirs != cores for theirs in others):
        return cores
    count, k = together.local_size, together.local_rank
    own = cores[len(cores) * k // count : len(cores) * (k + 1) // count] or [cores[k % len(cores)]]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, own)
    return own


def let_the_first_answer(together: Processes) -> None:
    """What a command prints, process 0 prints."""
    if together.rank:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, until the end


def let_the_first_speak(together: Processes) -> None:
    """Before an error is told: if process 0 has found it, too, its Abort ends this one now."""
    if together.rank:
        time.sleep(LATER)
