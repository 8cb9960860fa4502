"""A file is whole or what it was, and nothing else is left lying about."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from minitorch_alexnet import checkpoint, files
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.files import (
    Lock,
    expect_ours,
    is_ours,
    open_file,
    read_json,
    whole_file,
    write_figure,
    write_json,
    write_text,
)


def put(path, content=b"new"):
    with whole_file(path) as file:
        file.write(content)


@pytest.fixture
def old(tmp_path):
    """A file with something in it."""
    path = tmp_path / "file.txt"
    path.write_text("old")
    return path


def assert_unchanged(old):
    assert old.read_text() == "old"
    assert os.listdir(old.parent) == [old.name]


@pytest.mark.parametrize("as_text", [True, False])
def test_writes_a_file_and_its_folders(tmp_path, as_text):
    path = tmp_path / "a" / "b" / "file"
    put(str(path) if as_text else path, b"\0\xff")
    assert path.read_bytes() == b"\0\xff"
    assert os.listdir(path.parent) == ["file"]


def test_replaces_a_file_only_when_done(old):
    with whole_file(old) as file:
        file.write(b"new")
        file.flush()
        assert old.read_text() == "old"
    assert old.read_text() == "new"
    assert os.listdir(old.parent) == [old.name]


def test_is_on_the_disk_before_it_takes_its_name(old, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append("fsync") or fsync(file))
    monkeypatch.setattr(os, "replace", lambda a, b: done.append("replace") or replace(a, b))
    put(old)
    assert done == ["fsync", "replace"]


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, UserError])
def test_an_exception_inside_leaves_the_old_file(old, kind):
    def write():
        with whole_file(old) as file:
            file.write(b"half")
            raise kind("planted")

    with pytest.raises(kind, match="planted"):
        write()
    assert_unchanged(old)


@pytest.mark.parametrize("below", ["x", "folder/x"], ids=["parent", "grandparent"])
def test_a_file_in_the_place_of_the_folder(old, below):
    with pytest.raises(UserError) as error:
        put(old / below)
    assert str(error.value).startswith(f"cannot write {old / below}: ")
    assert ".part" not in str(error.value)
    assert_unchanged(old)


def test_a_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / "x" / "y").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot write .*x: .*directory"):
        put(tmp_path / "x")
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_the_place_of_the_file(tmp_path):
    os.mkfifo(tmp_path / "x")
    with pytest.raises(UserError, match=r"cannot write .*x: .*device"):
        put(tmp_path / "x")
    assert (tmp_path / "x").is_fifo()


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_disk_that_fills_up_at_the_end(old, monkeypatch, function):
    def fail(*arguments):
        raise FULL

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(UserError) as error:
        put(old)
    assert str(error.value) == (
        f"cannot write {old}: {os.strerror(errno.ENOSPC)}; what was there before is unchanged"
    )
    assert_unchanged(old)


def test_a_folder_that_cannot_be_made(old, monkeypatch):
    def fail(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(UserError, match=r"cannot write .*Permission denied"):
        put(old)
    assert_unchanged(old)


@contextlib.contextmanager
def no_file_larger_than(size):
    """The system itself refuses to write on from there, as it does on a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    "write",
    [
        lambda path: put(path, b"x" * 100_000),
        lambda path: checkpoint.save(path, {"a": np.zeros(100_000)}, {"epoch": 1}),
        lambda path: write_json(path, ["x"] * 20_000),
    ],
    ids=["bytes", "checkpoint", "json"],
)
def test_a_disk_that_fills_up_midway(old, write):
    with no_file_larger_than(20_000), pytest.raises(UserError) as error:
        write(old)
    assert str(error.value) == (
        f"cannot write {old}: {os.strerror(errno.EFBIG)}; what was there before is unchanged"
    )
    assert_unchanged(old)


def test_text_is_utf_8_as_it_is(tmp_path):
    write_text(tmp_path / "x", "été\n×")
    assert (tmp_path / "x").read_bytes() == "été\n×".encode()


def test_json_is_readable_and_ends_its_line(tmp_path):
    value = {"name": "été", "list": [1, 2.5, None, True]}
    write_json(tmp_path / "x", value)
    text = (tmp_path / "x").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.startswith('{\n  "name": "été"')
    assert text.endswith("}\n")


def test_names_of_files_that_are_no_text(tmp_path):
    """JSON gives them back; elsewhere they can be read, in UTF-8 like all else."""
    name = os.fsdecode(b"gr\xfcn \xff") + "é"
    write_json(tmp_path / "x", {name: [name]})
    assert json.loads((tmp_path / "x").read_text(encoding="utf-8")) == {name: [name]}
    write_text(tmp_path / "x", name)
    assert (tmp_path / "x").read_text(encoding="utf-8") == r"gr\udcfcn \udcff" + "é"


def test_a_planted_link_in_the_place_of_the_part_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "known")
    (tmp_path / "private").write_text("old")
    (tmp_path / ".known.part").symlink_to(tmp_path / "private")
    with pytest.raises(UserError, match=r"cannot write"):
        put(tmp_path / "x")
    assert (tmp_path / "private").read_text() == "old"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with whole_file(tmp_path / "x") as first, whole_file(tmp_path / "x") as second:
        first.write(b"first")
        second.write(b"second")
    assert (tmp_path / "x").read_bytes() == b"first"  # whose block ended last
    assert os.listdir(tmp_path) == ["x"]


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path):
    mine, others = Lock(tmp_path / "new"), Lock(tmp_path / "new")
    with mine:
        with mine:
            pass
        with pytest.raises(UserError, match=r"another process is at work in .*new"), others:
            pass
    with others, pytest.raises(UserError, match=r"another process"), mine:
        pass


def test_a_killed_process_leaves_no_lock_and_its_parts_are_cleared_away(tmp_path):
    text = (
        "import sys, time; from minitorch_alexnet.files import Lock, whole_file\n"
        "with Lock(sys.argv[1]), whole_file(sys.argv[1] + '/x') as file:\n"
        "    print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", text, tmp_path], stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    with pytest.raises(UserError, match=r"another process"), Lock(tmp_path):
        pass
    assert len(list(tmp_path.glob(".*.part"))) == 1
    process.kill()
    process.communicate()
    (tmp_path / ".film.part").touch()  # somebody else's
    with Lock(tmp_path):
        assert [path.name for path in tmp_path.glob(".*.part")] == [".film.part"]


@pytest.mark.parametrize(
    ("holds", "ours"),
    [(None, True), ([], True), ([".DS_Store"], True), (["m", "x"], True), (["x"], False)],
)
def test_whose_a_folder_is(tmp_path, holds, ours):
    folder = tmp_path / "folder"
    if holds is not None:
        folder.mkdir()
    for name in holds or []:
        (folder / name).touch()
    if ours:
        assert expect_ours(folder, "m") is None
    else:
        with pytest.raises(UserError, match=r"folder holds other files already, such as x: name"):
            expect_ours(folder, "m")


def test_a_file_is_no_folder_of_ours(old):
    with pytest.raises(UserError, match="cannot be a folder"):
        expect_ours(old, "m")


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_our_figures_are_known(tmp_path, ending):
    figure = Figure()
    write_figure(tmp_path / f"ours.{ending}", figure)
    figure.savefig(tmp_path / f"other.{ending}")
    assert is_ours(tmp_path / f"ours.{ending}")
    assert not is_ours(tmp_path / f"other.{ending}")


# ---- reading what may be anything ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"9" * 5000, "is damaged"),
        (b"", "is damaged"),
    ],
)
def test_json_that_is_none(tmp_path, content, says):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.json.*{says}"):
        read_json(path)


def test_json_comes_back(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, 0.1, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1, 0.1, None]}
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "b.json")
    with pytest.raises(UserError, match=r"cannot read .*: Is a directory"):
        read_json(tmp_path)


@pytest.mark.parametrize("path", ["pipe", "/dev/zero", "a\0b"])
def test_what_is_no_file_is_not_waited_for(tmp_path, path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"a pipe or a device|null"):
        open_file(tmp_path / path)
    with pytest.raises(UserError, match="cannot read"):
        read_json(tmp_path / path)
