"""What tests/test_many_processes.py has mpiexec run: python together.py TASK FOLDER."""

import itertools
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

from minitorch_alexnet import Config, Graph, Trainer, set_threads
from minitorch_alexnet.data import Data, silhouettes
from minitorch_alexnet.experiments import find
from minitorch_alexnet.experiments.reproduction import Reproduction
from minitorch_alexnet.layers import (
    Concat,
    Conv2d,
    Copy,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from minitorch_alexnet.processes import processes


def towers():
    """A narrow net of the paper's kind on two devices, with dropout."""
    net = Graph((1, 28, 28), device="cpu:0")
    net.add("image_b", Copy(to="cpu:1"), "image")
    for tower, image in ("a", "image"), ("b", "image_b"):
        net.add("conv1", Conv2d(1, 6, 5, stride=2), image, tower=tower)
        net.add("relu1", ReLU(), tower=tower)
        net.add("norm1", LocalResponseNorm(5), tower=tower)
        net.add("pool1", MaxPool2d(3, stride=2), tower=tower)
    net.add("pool1b_to_a", Copy(to="cpu:0"), "pool1b")
    net.add("both", Concat(), ("pool1a", "pool1b_to_a"))
    net.add("flatten", Flatten())
    net.add("fc2", Linear(12 * 5 * 5, 64))
    net.add("relu2", ReLU())
    net.add("drop2", Dropout(0.5))
    net.add("fc3", Linear(64, 10))
    return net


def trainer(folder=None):
    """161 images in batches of 32: the last batch is of one, for two or three processes."""
    data = silhouettes.load("train", count=179)
    config = Config(epochs=3, batch_size=32, lr=0.005, augment=True)
    return Trainer(data, config, folder, net=towers(), processes=processes())


def numbers(folder):
    """Every step's loss, the history and the weights of a training, in FOLDER/SIZE.npz."""
    learning, losses = trainer(), []
    learning.fit(on_step=lambda t: losses.append(t.loss_sum))
    names = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    if processes().rank == 0:
        history = [[row[name] for name in names] for row in learning.history]
        state = learning.net.state_dict()
        path = folder / f"{processes().size}.npz"
        np.savez(path, losses=losses, history=history, steps=learning.steps, **state)


def go_on(folder):
    """A run in the folder; it goes on where it was killed. One may be told to kill itself."""
    learning = trainer(folder / "run")
    learning.resume()
    if os.environ.get("DIE_AT"):
        step, ranks = map(int, os.environ["DIE_AT"].split(","))

        def die(t):
            if t.steps == step and processes().rank < ranks:
                os.kill(os.getpid(), 9)
            t._saved_at = -1e9  # so that each step is kept

        learning.fit(on_step=die)
    learning.fit()
    if processes().rank == 0:
        np.savez(folder / "end.npz", steps=learning.steps, **learning.net.state_dict())


def experiment(folder):
    """relu-vs-tanh, which tries rates first, on a few images. The second may kill itself."""
    small = find("relu-vs-tanh")
    small.images, small.epochs = 60, 1
    small.rates_of = lambda net: (0.01,)
    noise = Data("noise", silhouettes.load("train", count=80), silhouettes.load("test", count=30))
    steps, last = itertools.count(1), int(os.environ.get("DIE_AT", "0"))

    def die(training, share):
        if next(steps) == last and processes().rank == 1:
            os.kill(os.getpid(), 9)

    Reproduction(small, noise, folder, seeds=2, processes=processes()).go(die)


def stop(folder):
    """The last one is asked to stop, by itself or by another thread; all say where they are."""
    learning, last = trainer(), processes().rank == processes().size - 1
    when = os.environ["STOP"]
    ask = learning.stop if last else lambda: None
    if when == "thread":
        asking = threading.Thread(target=lambda: (time.sleep(0.3), ask()))
        asking.start()
        learning.fit(on_step=lambda t: time.sleep(0.1))
        asking.join()
    elif when == "before":
        ask()
        learning.fit()
    else:
        learning.fit(**{f"on_{when}": lambda t: ask()})
    where = processes().gather((learning.epoch, learning.batch, learning.finished))
    assert len(set(where)) == 1, where
    assert not learning.finished
    learning.fit()
    assert learning.finished
    assert learning.steps == 18


def save(folder):
    """All save, and go on in another training."""
    learning = trainer(folder / "run")
    learning.fit(on_step=lambda t: t.save() or t.stop())
    again = trainer(folder / "run")
    assert again.resume()
    assert again.steps == 1
    again.fit()


def differ(folder):
    """One of them has something else: what DIFFER says."""
    odd, what = processes().rank == 1, os.environ["DIFFER"]
    data = silhouettes.load("train", count=150 if odd and what == "images" else 179)
    config = Config(batch_size=32, seed=int(odd and what == "configs"))
    Trainer(data, config, net=towers(), processes=processes())


def fail(folder):
    """One of them meets an error of its own."""
    learning = trainer()

    def stumble(t):
        if t.steps == 2 and processes().rank == 1:
            raise ZeroDivisionError("stumbled")

    learning.fit(on_step=stumble)


if __name__ == "__main__":
    set_threads(1)
    globals()[sys.argv[1]](Path(sys.argv[2]))
