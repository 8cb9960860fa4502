"""Files of tensors by name: .safetensors, and PyTorch's .pth and .pt."""

import contextlib
import importlib
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from ..errors import CheckpointError, UserError
from ..files import open_file
from .library import library

MEAN, SCALE = "pixels.mean", "pixels.scale"  # in our files of safetensors, beside the weights
KINDS = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")
MOST_BYTES = 2**31  # of a file: four times the largest AlexNet's in float64


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a stranger's file becomes a CheckpointError of one line."""
    try:
        with open_file(path) as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise CheckpointError(f"it has more than {MOST_BYTES:,} bytes")
            file.read(1)  # a folder can be opened
        yield
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}") from None
    except UserError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except MemoryError:  # the machine's: no tensor is larger than the file
        raise
    except Exception as error:  # damaged bytes make the readers raise all sorts of things
        if isinstance(error, OSError) and error.errno is not None:
            raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{path} is damaged, or no such file as its ending says: {reason:.200}"
        ) from None


def read_safetensors(path: Path) -> tuple[dict, dict[str, str]]:
    """The tensors by name, NumPy's arrays, and what the file says beside them."""
    safe_open = library("safetensors").safe_open
    library("ml_dtypes")  # gives NumPy bfloat16
    with safe_open(path, framework="np") as file:
        names = file.keys()  # it is no dict
        for name in names:
            if (kind := file.get_slice(name).get_dtype()) not in KINDS:
                raise CheckpointError(f"{name} is of {kind}, which is none of {', '.join(KINDS)}")
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


WITHIN = ("state_dict", "model")  # under which names training scripts keep the tensors

# All that a pickle of tensors calls by name. PyTorch lets more pass with weights_only, such as a
# bytearray of any size.
TENSORS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch \w+Storage"
)
CALLS = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")


def read_torch(path: Path) -> dict:
    """The tensors by name, torch's, of what torch.save(net.state_dict(), path) has written.

    Raises UserError, saying how to do without it, if PyTorch is not installed.
    """
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            "it is no file of PyTorch 1.6 or later; of an older one's,"
            ' torch.save(torch.load("OLD.pth", weights_only=True), "NEW.pth") makes such'
        )
    _expect_tensors(path)
    torch = _torch(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = torch.load(path, map_location="cpu", weights_only=True)
    state = found
    for key in WITHIN:
        state = state.get(key, state) if isinstance(state, dict) else None
    if not isinstance(state, dict):
        raise CheckpointError("it holds no tensors by name: torch.save(net.state_dict(), FILE)")
    return state


def _expect_tensors(path: Path) -> None:
    """CheckpointError unless the archive is as torch.save writes it, of tensors alone."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        stored = all(m.compress_type == zipfile.ZIP_STORED for m in members)
        if not stored or sum(m.file_size for m in members) > path.stat().st_size:
            raise CheckpointError("it is compressed, and PyTorch's are not")
        if len({m.filename for m in members}) < len(members):
            raise CheckpointError("it has two members of one name")
        for member in members:
            if member.filename.endswith(".pkl"):
                _expect_harmless(archive.read(member))


def _expect_harmless(pickle: bytes) -> None:
    for code, name, _ in pickletools.genops(pickle):
        others = code.name == "GLOBAL" and not TENSORS.fullmatch(str(name))
        if others or code.name in CALLS:
            raise CheckpointError(
                f"it holds more than tensors ({name or code.name}): save net.state_dict() alone"
            )


def _torch(path: Path) -> ModuleType:
    try:
        return importlib.import_module("torch")
    except ImportError:
        new = f"{path.stem}.safetensors"
        raise CheckpointError(
            "it is read by PyTorch, which is not installed here; where it is,"
            f' w = torch.load("{path.name}", weights_only=True);'
            f' safetensors.torch.save_file(w.get("state_dict", w), "{new}")'
            " makes a file of it that is read without"
        ) from None
