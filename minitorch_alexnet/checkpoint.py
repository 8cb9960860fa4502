"""One .npz with everything a run needs to go on: arrays by name, and a JSON text beside them."""

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .errors import CheckpointError
from .files import whole_file

FORMAT = 1


def save(path: str | Path, arrays: dict[str, np.ndarray], meta: dict) -> None:
    """Write arrays and meta (whatever JSON can say) to path, whole or not at all.

    Raises UserError if it cannot be written; an older checkpoint at path then stays.
    """
    text = json.dumps({"format": FORMAT, **meta})
    with whole_file(path) as file:
        np.savez(file, meta=np.array(text), **arrays)


def load(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """(arrays, meta) as they were saved. Raises CheckpointError on anything else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(str(arrays.pop("meta")))
        version = meta["format"]
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise CheckpointError(
            f"{path} is not a whole checkpoint of ours ({error}); use another one, or train anew"
        ) from error
    if version != FORMAT:
        raise CheckpointError(f"{path} has format {version}, this version reads {FORMAT}")
    return arrays, meta
