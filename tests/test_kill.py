"""SIGKILL at any moment: the resumed run's weights equal the uninterrupted run's, bit for bit."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

# A real run of the real model, small, saving after every step so that kills also hit the saving.
PROGRAM = """
import sys
import minitorch_alexnet.train as train
from minitorch_alexnet.data import silhouettes

train.SAVE_SECONDS = -1
config = train.Config(epochs=2, batch_size=32, augment=True, seed=7)
trainer = train.Trainer(silhouettes.load("train", count=260), config, sys.argv[1])
trainer.resume()
print("running", flush=True)
if not trainer.finished:
    trainer.fit()
"""


def start(folder: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "running\n"
    return process


def finish(process: subprocess.Popen) -> None:
    with process:
        assert process.wait(timeout=120) == 0


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "checkpoint.npz") as file:
        return {name: file[name] for name in file.files if name != "meta"}


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_and_resumed(tmp_path, kills):
    whole, run = tmp_path / "whole", tmp_path / "run"
    began = time.monotonic()
    finish(start(whole))
    takes = time.monotonic() - began
    moments = random.Random(kills)
    killed = 0
    while killed < kills:
        with start(run) as process:
            try:
                process.wait(timeout=moments.uniform(0, takes / 4))
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
                continue
        (run / "checkpoint.npz").unlink()  # finished before the kill: once more from the start
        takes /= 2
    finish(start(run))
    expected, found = arrays(whole), arrays(run)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
