"""One .npz with everything a run needs to go on: arrays by name, and a JSON text beside them."""

import contextlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import CheckpointError, UserError
from .files import whole_file

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
        with zipfile.ZipFile(path) as archive:
            names = [file.removesuffix(".npy") for file in archive.namelist()]
            wanted = [name for name in names if not (without and name.startswith(without))]
            arrays = {name: _read(archive, f"{name}.npy") for name in wanted}
        meta = json.loads(str(arrays.pop("meta")))
        if (version := meta.pop("format")) != FORMAT:
            raise CheckpointError(f"it has format {version}, this version reads {FORMAT}")
        if sorted([*meta.pop("arrays"), "meta"]) != sorted(names):
            raise CheckpointError("some of its arrays are missing")
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except PermissionError:
        raise CheckpointError(f"{path} may not be read: see to its permissions") from None
    except Exception as error:  # damaged bytes make the readers raise all sorts of things
        raise CheckpointError(
            f"{path} is not a whole checkpoint of ours ({error}); use another one, or train anew"
        ) from error
    return arrays, meta


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as file:
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
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a run's: {type(error).__name__} {error}") from error
