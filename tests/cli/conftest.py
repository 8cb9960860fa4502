"""What the commands' tests share: an empty folder to be in, small data, a finished run."""

import contextlib
import io
import shutil

import numpy as np
import pytest
from command import COLOURS, COUNTS, SHORT, call
from PIL import Image

from minitorch_alexnet.data import fashion_mnist, silhouettes
from minitorch_alexnet.errors import DataError
from minitorch_alexnet.train import Trainer
from minitorch_alexnet.workers import get_workers, set_threads


def small_data(patch):
    """Fashion-MNIST is not to be had, and the silhouettes that take its place are few."""
    draw = silhouettes.load

    def refuse(split, data_dir=None):
        raise DataError("planted: no Fashion-MNIST here")

    patch.setattr(silhouettes, "load", lambda split: draw(split, count=COUNTS[split]))
    patch.setattr(fashion_mnist, "load", refuse)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory, small data, and afterwards the workers as they were."""
    threads = get_workers().threads
    small_data(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINITORCH_ALEXNET_THREADS", raising=False)
    yield tmp_path
    monkeypatch.undo()
    if get_workers().threads != threads:
        set_threads(threads)


@pytest.fixture(scope="session")
def said(tmp_path_factory):
    """A finished run's folder, which tests only read; and what was printed."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as told:
        small_data(patch)
        assert call(*SHORT, "--out", folder) == 0
    return folder, told.getvalue()


@pytest.fixture(scope="session")
def finished(said):
    return said[0]


@pytest.fixture
def copied(finished, place):
    """A copy of it to meddle with."""
    return shutil.copytree(finished, place / "copied")


@pytest.fixture
def unfit(monkeypatch):
    """Training stops before the first step, all saved."""
    monkeypatch.setattr(Trainer, "fit", lambda trainer, **hooks: trainer.save())


@pytest.fixture
def refused(capsys):
    """Calls a command that has to refuse: status 2, one line on stderr; that line."""

    def refused(*arguments):
        capsys.readouterr()
        assert call(*arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("minitorch-alexnet: ")
        assert error.count("\n") == 1
        assert "Traceback" not in error
        return error.removeprefix("minitorch-alexnet: ").rstrip("\n")

    return refused


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of noise around a colour a class: 12 to learn from, 4 to test with; one damaged."""
    folder, rng = tmp_path_factory.mktemp("photos") / "mine", np.random.default_rng(0)
    for split, count in ("train", 12), ("val", 4):
        for name, colour in COLOURS.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(rng.normal(colour, 60, (80, 96, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    (folder / "train/grün/damaged.jpg").write_bytes(b"\xff\xd8 no more")
    return folder
