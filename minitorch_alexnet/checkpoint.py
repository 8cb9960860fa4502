"""One .npz with everything a run needs to go on: arrays by name, and a JSON text beside them."""

import contextlib
import errno
import json
import math
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from .errors import CheckpointError, UserError
from .files import open_file, parse_json, whole_file

FORMAT = 1


def save(path: str | Path, arrays: dict[str, np.ndarray], meta: dict) -> None:
    """Write arrays and meta (whatever JSON can say) to path, whole or not at all.

    Raises UserError if it cannot be written; an older checkpoint at path then stays.
    """
    text = json.dumps({"format": FORMAT, "arrays": sorted(arrays), **meta})
    everything: dict = {"meta": np.array(text), **arrays}
    with whole_file(path) as file:
        np.savez(file, **everything)


def load(path: str | Path, without: str = "") -> tuple[dict[str, np.ndarray], dict]:
    """(arrays, meta) as they were saved. Raises CheckpointError on anything else.

    without: arrays whose name starts so are left unread
    """
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            members = _members(archive, os.fstat(file.fileno()).st_size)
            wanted = [name for name in members if not (without and name.startswith(without))]
            arrays = {name: _read(archive, members[name]) for name in wanted}
        meta = parse_json(str(arrays.pop("meta")))
        if (version := meta.pop("format")) != FORMAT:
            raise CheckpointError(f"it has format {version}, this version reads {FORMAT}")
        if sorted([*meta.pop("arrays"), "meta"]) != sorted(members):
            raise CheckpointError("some of its arrays are missing")
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except PermissionError:
        raise CheckpointError(f"{path} may not be read: see to its permissions") from None
    except MemoryError:  # the machine's: no array is larger than the file
        raise
    except Exception as error:  # damaged bytes make the readers raise all sorts of things
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, errno.EISDIR):
            raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{path} is not a whole checkpoint of ours ({reason}); use another one, or train anew"
        ) from error
    return arrays, meta


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Its arrays by name. ValueError unless they are stored as they are, and fit into the file."""
    members = {file.filename.removesuffix(".npy"): file for file in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise ValueError("it has two arrays of one name")
    stored = all(file.compress_type == zipfile.ZIP_STORED for file in members.values())
    if not stored or sum(file.file_size for file in members.values()) > size:
        raise ValueError("it is compressed, and ours are not")
    return members


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:  # what the header asks for is there, before room is made
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("it has arrays of another format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.kind not in "biufU" or not dtype.itemsize:
            raise ValueError(f"it has an array of {dtype}")
        if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"it has an array of another size than {shape}")
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        file.read()  # to the end, where the check sum is due
    return array


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Whatever is missing or odd in a checkpoint's contents becomes a CheckpointError."""
    try:
        yield
    except UserError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{path} is not a run's: {type(error).__name__} {error}") from error


def expect_like(found, example, what: str) -> None:
    """CheckpointError unless `found`, from JSON, is made as the example is: names and types.

    Numbers are at least 0, and finite where the example is.
    """
    if isinstance(example, Mapping):
        if not isinstance(found, dict) or found.keys() != example.keys():
            raise CheckpointError(f"{what} must have {', '.join(example) or 'nothing'}")
        for name, value in example.items():
            expect_like(found[name], value, f"{what}: {name}")
    elif isinstance(example, int | float) and not isinstance(example, bool):
        whole = isinstance(example, int)
        if isinstance(found, bool) or not isinstance(found, int if whole else int | float):
            raise CheckpointError(f"{what} must be a {'whole ' * whole}number")
        if not found >= 0 or not (whole or example == math.inf or found <= sys.float_info.max):
            raise CheckpointError(f"{what} must be a number from 0 on, got {found}")
    elif not isinstance(found, type(example)):
        raise CheckpointError(f"{what} must be a {type(example).__name__}")
