"""What we say may find nobody who hears it: closed streams, a pipe whose reader has left."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from ..errors import UserError

GONE = (errno.EPIPE, errno.EIO)  # the reader of a pipe, a terminal
NOT_HEARD = 128 + 13  # the exit status that a shell gives to who is ended by SIGPIPE


class Stream:
    """sys.stdout or sys.stderr, to which no more is written once its reader has gone.

    A training goes on then and keeps what it has learnt. Raises UserError where it cannot be
    written for another reason, such as a full disk; must_be_heard: False leaves that out, too.
    """

    def __init__(self, stream, must_be_heard: bool):
        self.stream, self.must_be_heard, self.gone = stream, must_be_heard, False

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        self._try(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self.stream.flush)

    def _try(self, do, *arguments) -> None:
        try:
            do(*arguments)
        except OSError as error:
            self._turn_away()
            self.gone = error.errno in GONE
            if self.must_be_heard and not self.gone:
                raise UserError(f"cannot print: {error.strerror or error}") from error

    def _turn_away(self) -> None:
        """What waits to be written, and whatever follows, goes nowhere."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def streams() -> Iterator[Stream]:
    """Meanwhile sys.stdout and sys.stderr are such; yields the first."""
    before = sys.stdout, sys.stderr
    for stream in filter(None, before):
        if hasattr(stream, "reconfigure"):  # a terminal without our characters shows ? for them
            stream.reconfigure(errors="replace")
    out, err = (stream or _nowhere() for stream in before)
    sys.stdout, sys.stderr = told = Stream(out, True), Stream(err, False)
    try:
        yield told[0]
    finally:
        sys.stdout, sys.stderr = before


def _nowhere():
    """For a stream that was closed before we started. Its number must not be a file's of ours."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    while nowhere <= 2:
        nowhere = os.dup(nowhere)
    return open(nowhere, "w", encoding="utf-8")
