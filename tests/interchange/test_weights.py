"""Files of tensors: read as they were written, refused in one line when they are anything else."""

import json
import pickle
import re
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from minitorch_alexnet.errors import CheckpointError
from minitorch_alexnet.interchange import weights
from minitorch_alexnet.interchange.weights import read_safetensors, read_torch, reading

ARRAYS = {
    "conv1.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "conv1.bias": np.array([1, -2], np.float16),
}


def refused(read, path) -> str:
    """What the reader says of the file: one line, with its name."""
    with pytest.raises(CheckpointError) as error, reading(path):
        read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- safetensors ---------------------------------------------------------------------------------


def test_safetensors_and_what_they_say_besides(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(ARRAYS, path, {"made": "here"})
    tensors, said = read_safetensors(path)
    assert said == {"made": "here"}
    assert tensors.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(tensors[name], array)


def of_kind(kind, content):
    """A file of safetensors with one tensor, written by hand."""
    told = {"a": {"dtype": kind, "shape": [2], "data_offsets": [0, len(content)]}}
    header = json.dumps(told).encode()
    return struct.pack("<Q", len(header)) + header + content


def test_bfloat16_in_a_process_that_has_not_seen_any(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(of_kind("BF16", b"\x80\x3f\x20\xc0"))
    code = (
        "import pathlib; from minitorch_alexnet.interchange.weights import read_safetensors as r;"
        f"print(r(pathlib.Path({str(path)!r}))[0]['a'].astype('f4').tolist())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[1.0, -2.5]\n"


def test_numbers_of_8_bits_are_named(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(of_kind("F8_E4M3", b"\x01\x02"))
    assert "a is of F8_E4M3, which is none of F64" in refused(read_safetensors, path)


WRONG = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-1],
    "cut in its header": lambda content: content[:20],
    "a header of more than there is": lambda content: struct.pack("<Q", 10**8) + content[8:],
    "a header of all there could be": lambda content: b"\xff" * 8 + content[8:],
    "more at its end": lambda content: content + b"\0",
    "a web page": lambda content: b"<!DOCTYPE html><html></html>",
    "two sizes": lambda content: content.replace(b"[2,3,2,2]", b"[9,3,2,2]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_damaged_safetensors(tmp_path, name):
    path = tmp_path / "a.safetensors"
    path.write_bytes(WRONG[name](safetensors.numpy.save(ARRAYS)))
    assert "damaged, or no such file" in refused(read_safetensors, path)


# ---- PyTorch's -----------------------------------------------------------------------------------


@pytest.fixture
def saved(torch, tmp_path):
    path = tmp_path / "a.pth"
    torch.save({name: torch.from_numpy(array) for name, array in ARRAYS.items()}, path)
    return path


def rewritten(path, change, method=zipfile.ZIP_STORED):
    """The same archive with its pickle changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, change(content) if name.endswith(".pkl") else content)
    return path


@pytest.mark.parametrize("within", [False, True])
def test_pytorchs_files(torch, saved, within):
    if within:
        torch.save({"epoch": 3, "state_dict": torch.load(saved)}, saved)
    tensors = read_torch(saved)
    assert tensors.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(tensors[name].numpy(), array)


def test_parameters_are_tensors(torch, tmp_path):
    torch.save(dict(torch.nn.Linear(3, 2).named_parameters()), tmp_path / "a.pt")
    assert read_torch(tmp_path / "a.pt")["weight"].shape == (2, 3)


class Opened:
    """A pickle that opens a file when it is read."""

    def __reduce__(self):
        return open, ("touched", "w")


PICKLES = {
    "that runs": pickle.dumps(Opened(), 2),
    "that runs, later protocol": pickle.dumps(Opened(), 4),
    "of much memory": b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "of an instance": b"(i__builtin__\nobject\n.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_of_anything_else_are_not_read(saved, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rewritten(saved, lambda content: PICKLES[name])
    assert "holds more than tensors" in refused(read_torch, saved)
    assert not (tmp_path / "touched").exists()


def test_a_whole_net_is_more_than_tensors(torch, tmp_path):
    torch.save(torch.nn.Linear(3, 2), tmp_path / "a.pth")
    assert "save net.state_dict() alone" in refused(read_torch, tmp_path / "a.pth")


def test_other_archives_of_pytorchs(torch, saved):
    rewritten(saved, lambda content: content, zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(read_torch, saved)
    torch.save([1, 2], saved)
    assert "no tensors by name" in refused(read_torch, saved)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(archive.namelist()[0], b"")
    assert "two members of one name" in refused(read_torch, saved)


def test_files_of_before_pytorch_1_6(torch, saved):
    torch.save({"a": torch.zeros(2)}, saved, _use_new_zipfile_serialization=False)
    assert "torch.save(torch.load(" in refused(read_torch, saved)


@pytest.mark.parametrize("at", [0.2, 0.9, 0.999])
def test_cut_files_of_pytorchs(saved, at):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * at)])
    refused(read_torch, saved)


def test_without_pytorch_it_says_how_to_do_without(torch, saved, monkeypatch):
    import safetensors.torch

    tensors = torch.load(saved)
    monkeypatch.setitem(sys.modules, "torch", None)
    told = refused(read_torch, saved)
    (line,) = re.findall(r"where it is, (.*\)) makes", told)
    monkeypatch.undo()
    monkeypatch.chdir(saved.parent)
    for content in (tensors, {"epoch": 1, "state_dict": tensors}):
        torch.save(content, saved)
        exec(line, {"torch": torch, "safetensors": safetensors})
        assert read_safetensors(saved.with_suffix(".safetensors"))[0].keys() == tensors.keys()


@pytest.mark.parametrize("name", ["safetensors", "onnx"])
def test_a_library_that_is_missing_is_named_with_the_extra(name, tmp_path, monkeypatch):
    from minitorch_alexnet.interchange import import_file

    (tmp_path / f"a.{name}").write_bytes(b"any")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CheckpointError, match=rf"{name}.*pip install .*\[interchange\]"):
        import_file(tmp_path / f"a.{name}", tmp_path / "run")


# ---- any file ------------------------------------------------------------------------------------


def test_files_that_are_none(tmp_path, monkeypatch):
    assert "there is no file" in refused(read_torch, tmp_path / "none.pth")
    assert "directory" in refused(read_torch, tmp_path)
    monkeypatch.setattr(weights, "MOST_BYTES", 10)
    (tmp_path / "large.pth").write_bytes(bytes(11))
    assert "more than 10 bytes" in refused(read_torch, tmp_path / "large.pth")


def test_a_machine_without_memory_is_not_the_files_fault(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    with pytest.raises(MemoryError), reading(tmp_path / "a"):
        raise MemoryError
    with pytest.raises(CheckpointError, match=r"cannot read .*: Input"), reading(tmp_path / "a"):
        raise OSError(5, "Input/output error")
