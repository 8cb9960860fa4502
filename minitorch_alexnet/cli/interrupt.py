"""Ctrl-C."""

import contextlib
import signal
from collections.abc import Callable, Iterator

# Ctrl-C, kill, and a terminal that is closed (which Windows tells in another way).
SIGNALS = [getattr(signal, s) for s in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, s)]


@contextlib.contextmanager
def first_ctrl_c(stop: Callable[[], None]) -> Iterator[None]:
    """Meanwhile the first of SIGNALS (Ctrl-C) calls stop(); a second one ends all at once."""

    def hear(signum, frame):
        restore()
        stop()

    def restore():
        for s, handler in before.items():
            signal.signal(s, handler)

    heard = [s for s in SIGNALS if signal.getsignal(s) != signal.SIG_IGN]  # by nohup, say
    before = {s: signal.signal(s, hear) for s in heard}
    try:
        yield
    finally:
        restore()
