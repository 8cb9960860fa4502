"""Files that are whole or not there, and folders that are ours and one process's at a time."""

import contextlib
import csv
import errno
import io
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from .errors import UserError

PARTS = f".{16 * '[0-9a-f]'}.part"  # the names of files that are being written


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file to write; it takes its name when the block ends well, else leaves nothing.

    Whatever stood at `path` stays until then. Raises UserError if it cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{secrets.token_hex(8)}.part")  # nobody else's
    try:
        if path.exists() and not path.is_file():  # a device, say, in whose place a file would be
            raise OSError(errno.EEXIST, "a directory or a device is there")
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:  # new: it follows no link
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; what was there before is unchanged"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


class Lock:
    """Of a folder, which is made: `with` it, one process at a time is at work in there.

    Whoever holds it may enter it again; a process that is killed holds it no longer.
    Raises UserError if another process (or another Lock) holds it, or there can be no folder.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._file = FileLock(self.folder / ".lock", timeout=0, thread_local=False)

    def __enter__(self) -> "Lock":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file.acquire()
            for part in self.folder.glob(PARTS):  # of processes that were killed
                part.unlink(missing_ok=True)
        except Timeout:
            raise UserError(
                f"another process is at work in {self.folder}: wait for its end, or name another"
                " folder"
            ) from None
        except OSError as error:
            raise UserError(f"cannot write in {self.folder}: {error.strerror or error}") from error
        return self

    def __exit__(self, *error) -> None:
        self._file.release()


def expect_ours(folder: str | Path, mark: str) -> None:
    """UserError if a folder holds files that we may not have made: it has any, but no `mark`.

    mark: the file of ours that is written before any other; hidden files count for nothing
    """
    folder = Path(folder)
    try:
        holds = [name for name in os.listdir(folder) if name[0] != "."]
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{folder} cannot be a folder for this: {error.strerror}") from error
    if holds and mark not in holds:
        raise UserError(
            f"{folder} holds other files already, such as {min(holds)}: name a new folder"
        )


def open_file(path: str | Path) -> BinaryIO:
    """A file to read. OSError on what is none: a folder, a device, a pipe, which would hang."""
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a name with a zero byte
        raise OSError(errno.EINVAL, str(error)) from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is not a file, but a pipe or a device")
    return open(path, "rb")  # a folder's error is the system's


def parse_json(text: str):
    """What a text in JSON says. Raises ValueError on any other."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: str | Path):
    """What a file in JSON says. FileNotFoundError if there is none, UserError on any other."""
    try:
        with open_file(path) as file:
            return parse_json(file.read().decode())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error})") from error


def write_text(path: str | Path, text: str) -> None:
    """In UTF-8. What is no text in a name of a file becomes \\udcff, as JSON has it."""
    with whole_file(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def write_json(path: str | Path, value) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: str | Path, rows: Iterable) -> None:
    """rows: sequences, the first of which is the header."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


MAKER = "minitorch_alexnet"  # what made them, as our pictures and files of weights say


def write_figure(path: str | Path, figure) -> None:
    """A matplotlib Figure, in the format that the path's ending says: .png or .svg."""
    kind = Path(path).suffix[1:].lower()
    made_by = {"Creator" if kind == "svg" else "Software": MAKER}
    with whole_file(path) as file:
        figure.savefig(file, format=kind, metadata=made_by)


def is_ours(path: str | Path) -> bool:
    """Does the file say, at its beginning, that MAKER made it?"""
    with open(path, "rb") as file:
        return MAKER.encode() in file.read(4096)
