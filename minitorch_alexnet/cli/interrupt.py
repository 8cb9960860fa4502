"""Ctrl-C."""

import contextlib
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def first_ctrl_c(stop: Callable[[], None]) -> Iterator[None]:
    """Meanwhile the first Ctrl-C (or SIGTERM) calls stop(); a second one ends all at once."""

    def hear(signum, frame):
        restore()
        stop()

    def restore():
        for s, handler in before.items():
            signal.signal(s, handler)

    before = {s: signal.signal(s, hear) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        restore()
