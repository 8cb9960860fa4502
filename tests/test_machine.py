"""What a training's last digits depend on is recorded as it is."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from minitorch_alexnet import machine


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with a package; machine.py believes that it is in it."""
    package = tmp_path / "package"
    package.mkdir()
    shutil.copy(machine.__file__, package / "machine.py")
    monkeypatch.setattr(machine, "__file__", str(package / "machine.py"))
    return package


def test_the_commit_and_whether_there_are_changes(checkout):
    commit = machine.commit.__wrapped__  # each time anew
    assert commit() == "none"
    git(checkout.parent, "init", "-q")
    assert commit() == "none"  # it lies in a repository that is not its own
    git(checkout.parent, "add", ".")
    git(checkout.parent, "commit", "-qm", "first")
    short = git(checkout, "rev-parse", "HEAD")[:12]
    assert commit() == short
    (checkout.parent / "notes.txt").touch()  # outside of the package
    assert commit() == short
    (checkout / "graph.py").touch()
    assert commit().startswith(f"{short} and changes ")
    told = set()
    for words in "# one\n", "# another\n":
        (checkout / "machine.py").write_text(words)
        told.add(commit())
    assert len(told) == 2


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(checkout))
    assert machine.commit.__wrapped__() == "none"


def test_the_processor_and_the_libraries(set_threads):
    set_threads(2)
    found = machine.made_with()
    assert list(found) == ["commit", "blas", "cpu", "threads"]
    assert found["threads"] == "2"
    assert found["cpu"]
    names = Path("/proc/cpuinfo")
    if names.exists() and "model name" in names.read_text(errors="replace"):
        assert f": {found['cpu']}\n" in names.read_text(errors="replace")
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    if "openblas" in blas["name"]:
        assert f"openblas {blas['version'][:3]}" in found["blas"]


def test_a_system_that_tells_no_processor_is_asked_for_its_kind(monkeypatch):
    def missing(path):
        raise FileNotFoundError

    monkeypatch.setattr(machine, "open_file", missing)
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "abacus")
    assert machine.cpu() == "abacus"
