"""Files and command lines that nobody meant: a right answer, or a word that says what is wrong?

    python tests/fuzzing.py --count 2000 archive command      figures of a long run

Each kind of input is mutated over and over. What may come is what came without the mutation, or a
UserError (of a command: status 2 and one line); never a traceback, a warning, a wait without end,
or another number.
"""

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tarfile
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import onnx_graphs
from PIL import Image

from minitorch_alexnet import timing
from minitorch_alexnet.cli import bench, main, reproduce
from minitorch_alexnet.config import Config
from minitorch_alexnet.data import Data, cifar10, fashion_mnist, image_folder, silhouettes
from minitorch_alexnet.data import prepare as preparing
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.loader import Loader
from minitorch_alexnet.data.photo import as_photo, examine
from minitorch_alexnet.data.prepare import prepare
from minitorch_alexnet.data.transforms import Normalize
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.experiments.experiment import Experiment, Measure
from minitorch_alexnet.experiments.report import csv_text, report
from minitorch_alexnet.experiments.reproduction import Reproduction
from minitorch_alexnet.files import MAKER
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.interchange.exported import to_safetensors
from minitorch_alexnet.interchange.imported import import_file
from minitorch_alexnet.layers import Flatten, Linear, ReLU
from minitorch_alexnet.models import build
from minitorch_alexnet.run import Run, load_run, read_config
from minitorch_alexnet.train import Trainer

LONGEST = 20  # seconds that one input may take

# ---- mutations ---------------------------------------------------------------------------------


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """Some of them flipped, cut out, put in, repeated or blanked."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        a = rng.randrange(len(data) + 1)
        b = min(len(data), a + rng.choice((1, 2, 4, 16, 300)))
        kind = rng.randrange(8)
        if kind < 3 and b > a:
            data[a] ^= 1 << rng.randrange(8)
        elif kind == 3 and b > a:
            data[a] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 4:
            del data[a:b]
        elif kind == 5:
            data[a:a] = data[a:b] or rng.randbytes(4)
        elif kind == 6:
            data[a:b] = bytes(b - a)
        elif kind == 7 and rng.random() < 0.2:
            del data[a:]
    return bytes(data)


DEEP, HUGE = "a deep one", "a huge one"  # places for what json.dumps cannot write
ODD = (
    *(None, True, False, -1, 0, 1, 2, 3, 1.5, -0.0, 1e308, -1e308, 10**30, -(10**30)),
    *(float("nan"), float("inf"), "", "x", "0", "\x1b[31m", "\0", "\ud800", "../..", "/dev/null"),
    *([], {}, [[]], [None], {"x": 1}, ["x"] * 50, DEEP, HUGE),
)


def mutated_json(text: str, rng: random.Random) -> str:
    """A value or a name somewhere in it is another, is gone, is there twice or at another place."""
    holder = [json.loads(text)]
    for _ in range(rng.choice((1, 1, 1, 2))):
        places = list(_places(holder))
        where, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind < 3:
            where[key] = rng.choice(ODD)
        elif kind == 3 and where is not holder:
            del where[key]
        elif kind == 4:
            there, other = rng.choice(places)
            where[key] = json.loads(json.dumps(there[other]))
        elif isinstance(where, dict):
            where[rng.choice(("x", "", "format", key + "x"))] = where.pop(key)
        elif isinstance(where[key], int | float):
            where[key] += rng.choice((-1, 1, 0.5))
    text = json.dumps(holder[0])
    text = text.replace(json.dumps(DEEP), "[" * 100_000 + "]" * 100_000)
    return text.replace(json.dumps(HUGE), rng.choice("123456789") * 5000)


def _places(value) -> Iterator[tuple]:
    """(container, key) of each value in there."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


# ---- what is tried -----------------------------------------------------------------------------


class Kind:
    """A kind of input, in an empty folder.

    answer(): what comes of the files as they are now; it is asked for once before any mutation
    mutate(rng): changes the files
    exact: is another answer than before wrong?
    """

    exact = True

    def __init__(self, folder: Path):
        self.folder = folder

    def answer(self):
        raise NotImplementedError

    def mutate(self, rng: random.Random) -> None:
        raise NotImplementedError


def few_silhouettes():
    """Meanwhile there are few, and they are all there is."""
    draw, counts = silhouettes.load, {"train": 120, "test": 40}
    return mock.patch.object(silhouettes, "load", lambda split: draw(split, count=counts[split]))


class RunBytes(Kind):
    """A run's checkpoint, byte by byte: the net, and going on."""

    def __init__(self, folder):
        super().__init__(folder)
        with few_silhouettes():
            self.images, self.test = silhouettes.load("train"), silhouettes.load("test")
        config = Config(epochs=2, batch_size=40, lr=0.02, data="silhouettes", schedule="plateau")
        trainer = Trainer(self.images, config, folder / "run")
        trainer.fit(lambda trainer: trainer.steps == 4 and trainer.stop())
        trainer.save()
        self.path = folder / "run" / "checkpoint.npz"

    def answer(self):
        run = load_run(self.folder / "run")
        found = run.predict(self.test.images)
        trainer = Trainer(self.images, read_config(self.folder / "run"), self.folder / "run")
        trainer.resume()
        trainer.fit()
        weights = [value.tobytes() for value in trainer.net.state_dict().values()]
        return (
            found.probabilities.tobytes(),
            run.class_names,
            hashlib.sha256(b"".join(weights)).digest(),
        )

    def mutate(self, rng):
        self.path.write_bytes(mutated_bytes(self.path.read_bytes(), rng))


class RunMeta(RunBytes):
    """What a run's checkpoint and config.json say, in JSON."""

    exact = False  # a seed that is another is another run's

    def mutate(self, rng):
        path = self.folder / "run" / "config.json"
        if rng.random() < 0.25:
            path.write_text(mutated_json(path.read_text("utf-8"), rng), "utf-8")
            return
        with np.load(self.path) as arrays:
            found = dict(arrays)
        found["meta"] = np.array(mutated_json(str(found["meta"]), rng))
        np.savez(self.path, **found)


class Prepared(Kind):
    """A prepared folder, and an epoch of reading it."""

    def __init__(self, folder):
        super().__init__(folder)
        rng = np.random.default_rng(0)
        for split, count in ("train", 5), ("val", 3):
            for name in "ab":
                (folder / "photos" / split / name).mkdir(parents=True)
                for number in range(count):
                    pixels = rng.integers(0, 256, (24, 26, 3), np.uint8)
                    path = folder / "photos" / split / name / f"{number}.png"
                    Image.fromarray(pixels).save(path)
        prepare(folder / "photos", folder / "made", 24, processes=1)

    def answer(self):
        told = []
        for split in image_folder.load(self.folder / "made"):
            told += [split.num_classes, split.deviation, split.covariance.tobytes()]
            for images, labels in Loader(split, 4, Normalize(split.mean, split.deviation), seed=0):
                told += [images.tobytes(), labels.tolist()]
        return told

    def mutate(self, rng):
        path = rng.choice(sorted((self.folder / "made").glob("*.np?")))
        if rng.random() < 0.5:
            path = self.folder / "made" / "prepared.json"
        if path.suffix == ".json" and rng.random() < 0.8:
            path.write_text(mutated_json(path.read_text("utf-8"), rng), "utf-8")
        else:
            path.write_bytes(mutated_bytes(path.read_bytes(), rng))


class Toy(Experiment):
    """Two arms that are not trained."""

    name, title, section, claim, ours = "toy", "Toys", "0", "Blue is better.", "Toys."
    arms = ("blue", "red")
    measures = (
        Measure("test_error", "test error", "%", "red", "blue", "1 point", 1.0, 0.5, 0.8),
        Measure("epochs", "epochs", "", "blue", "red", "2 times", 2.0, 1.5, 0.3, ratio=True),
    )
    rates, tells = (0.1,), {"curve": (None, 2)}

    def train(self, trainer, study, training, on_step):
        told = {"rate": training.rate, "failed": False}
        if training.trial:
            return {training.net: {"score": 1.0, **told}}
        number = 2 + training.seed + (training.net == "red")
        told |= {"test_error": number + 0.5, "epochs": number, "curve": [[0, 1]]}
        return {training.net: told}


class Results(Kind):
    """An experiment's plan and results."""

    def __init__(self, folder):
        super().__init__(folder)
        images = np.random.default_rng(0).integers(0, 256, (60, 24, 24), np.uint8)
        split = ArrayDataset(images, np.arange(60) % 3)
        self.data = Data("noise", split, split)
        self.folder = folder / "toy"
        self.answer()

    def answer(self):
        outcome = Reproduction(Toy(), self.data, self.folder, seeds=2).go()
        # The seconds and the day of what is done anew are others.
        told = [line for line in report(outcome).splitlines() if not line.startswith("- Time")]
        return csv_text(outcome), told

    def mutate(self, rng):
        path = self.folder / rng.choice(("plan.json", "results.json"))
        if rng.random() < 0.1:
            path.unlink()
        elif rng.random() < 0.7:
            path.write_text(mutated_json(path.read_text("utf-8"), rng), "utf-8")
        else:
            path.write_bytes(mutated_bytes(path.read_bytes(), rng))


class CifarArchive(Kind):
    """CIFAR-10's archive: the bytes of the .tar.gz."""

    def __init__(self, folder):
        super().__init__(folder)
        self.path, rng = folder / cifar10.ARCHIVE, np.random.default_rng(0)
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for name in cifar10.TRAIN + cifar10.TEST:
                records = rng.integers(0, 10, (2, cifar10.RECORD), np.uint8)
                member = tarfile.TarInfo(f"{cifar10.FOLDER}/{name}")
                member.size = records.size
                tar.addfile(member, io.BytesIO(records.tobytes()))
        self.tar = content.getvalue()
        self.path.write_bytes(gzip.compress(self.tar))

    def answer(self):
        with mock.patch.object(cifar10, "RECORDS", 2):
            splits = cifar10.load(self.path)
        return [(s.images.tobytes(), s.labels.tolist()) for s in splits]

    def mutate(self, rng):
        self.path.write_bytes(mutated_bytes(self.path.read_bytes(), rng))


class CifarTar(CifarArchive):
    """A stranger's archive: whole, of a tar file that is not."""

    exact = False

    def mutate(self, rng):
        tar = bytearray(self.tar)
        if rng.random() < 0.7:  # in a header, whose check sum then fits
            at = 512 * ((512 + 2 * cifar10.RECORD + 511) // 512) * rng.randrange(6)
            tar[at : at + 512] = mutated_bytes(tar[at : at + 512], rng)[:512].ljust(512, b"\0")
            total = sum(tar[at : at + 512]) - sum(tar[at + 148 : at + 156]) + 8 * ord(" ")
            tar[at + 148 : at + 156] = b"%06o\0 " % total
        else:
            tar = mutated_bytes(tar, rng)
        self.path.write_bytes(gzip.compress(tar, 1))


class Idx(Kind):
    """Fashion-MNIST's files, gzipped or not."""

    def __init__(self, folder):
        super().__init__(folder)
        rng, self.digests = np.random.default_rng(0), {}
        shapes = {"images": (6, 28, 28), "labels": (6,)}
        for name in fashion_mnist.FILES["train"]:
            shape = shapes["images" if "images" in name else "labels"]
            header = bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)
            content = header + rng.integers(0, 10, shape, np.uint8).tobytes()
            self.digests[name] = hashlib.sha256(content).hexdigest()
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))

    def answer(self):
        with mock.patch.dict(fashion_mnist.SHA256, self.digests):
            split = fashion_mnist.load("train", self.folder)
        for path in self.folder.glob("train-*"):  # without a digest to hold it against
            with contextlib.suppress(UserError):
                fashion_mnist.read_idx(path)
        return split.images.tobytes(), split.labels.tolist()

    def mutate(self, rng):
        path = self.folder / f"{rng.choice(list(self.digests))}.gz"
        if rng.random() < 0.5:
            content = gzip.decompress(path.read_bytes())
            path.unlink()
            path = path.with_suffix("")
            path.write_bytes(content)
        path.write_bytes(mutated_bytes(path.read_bytes(), rng))


class Pictures(Kind):
    """Image files of the usual formats."""

    exact = False
    FORMATS = ("JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP", "PPM")

    def __init__(self, folder):
        super().__init__(folder)
        x = np.linspace(0, 255, 40)
        pixels = np.stack([x[:, None] + 0 * x, x + 0 * x[:, None], 255 - x + 0 * x[:, None]], -1)
        for kind in self.FORMATS:
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(folder / f"a.{kind.lower()}", kind)
        Image.fromarray((pixels[..., 0] * 257).astype(np.uint16)).save(folder / "b.png")
        Image.fromarray(pixels[..., 0].astype(np.float32)).save(folder / "b.tiff")
        Image.fromarray(pixels.astype(np.uint8)).quantize(7).save(folder / "b.gif", transparency=2)
        self.path = folder / "a.png"

    def answer(self):
        return as_photo(examine(self.path)[0], 16).tobytes()

    def mutate(self, rng):
        self.path = rng.choice(sorted(self.folder.iterdir()))
        self.path.write_bytes(mutated_bytes(self.path.read_bytes(), rng))


class Weights(Kind):
    """A file of weights that others trained: imported, and asked what it sees."""

    exact = False
    ENDING, BEYOND = "", 2**30  # bytes of memory that a file of less than a million may take

    def __init__(self, folder):
        super().__init__(folder)
        self.path = folder / f"net{self.ENDING}"
        self.path.write_bytes(self.content())

    def content(self) -> bytes:
        raise NotImplementedError

    def answer(self):
        with memory_limit(self.BEYOND):
            folder = self.folder / "run"
            shutil.rmtree(folder, ignore_errors=True)
            import_file(self.path, folder)
            run = load_run(folder)
            side = run.normalize.mean.shape
            pictures = np.random.default_rng(0).integers(0, 256, (2, *side), np.uint8)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # weights may be huge numbers
                return run.predict(pictures).probabilities.tobytes()

    def mutate(self, rng):
        self.path.write_bytes(mutated_bytes(self.path.read_bytes(), rng))


class Safetensors(Weights):
    """Of ours, with all that they say besides."""

    ENDING = ".safetensors"

    def content(self):
        net = Graph.of((1, 28, 28), [Flatten(), Linear(784, 4), ReLU(), Linear(4, 3)])
        normalize = Normalize(np.zeros((1, 28, 28)), 50)
        run = Run(None, Config(), net, normalize, ("a", "b", "c"), ("", normalize.mean))
        return to_safetensors(run)

    def mutate(self, rng):
        content = self.path.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        header, rest = content[8:end], content[end:]
        if rng.random() < 0.3:
            return super().mutate(rng)
        if rng.random() < 0.5:
            told = json.loads(header)
            told["__metadata__"] = {MAKER: mutated_json(told["__metadata__"][MAKER], rng)}
            header = json.dumps(told).encode()
        else:
            header = mutated_json(header.decode(), rng).encode()
        self.path.write_bytes(len(header).to_bytes(8, "little") + header + rest)


class TorchFile(Weights):
    """PyTorch's, and pickles in it that are not."""

    ENDING = ".pth"

    def content(self):
        import torch

        state = build("fashion").state_dict()
        file = io.BytesIO()
        torch.save({name: torch.from_numpy(array) for name, array in state.items()}, file)
        return file.getvalue()

    def mutate(self, rng):
        if rng.random() < 0.3:
            return super().mutate(rng)
        with zipfile.ZipFile(self.path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = rng.choice([name for name in members if "/data/" not in name])
        members[name] = mutated_bytes(members[name], rng)
        with zipfile.ZipFile(self.path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)


class Onnx(Weights):
    """Caffe's AlexNet in small, its bytes and its fields."""

    ENDING = ".onnx"

    def content(self):
        sizes = {"side": 67, "maps": (8, 8, 8, 8, 8), "units": (8, 8, 5)}
        return onnx_graphs.caffes(**sizes, rows=False).SerializeToString()

    def mutate(self, rng):
        if rng.random() < 0.3:
            return super().mutate(rng)
        model = onnx_graphs.onnx.load(self.path)
        for _ in range(rng.choice((1, 1, 2))):
            self._mutate_message(model, rng)
        self.path.write_bytes(model.SerializeToString())

    def _mutate_message(self, message, rng):
        """A field somewhere in it has another value, is gone, or is there again."""
        fields = message.ListFields()
        if not fields:
            return
        field, value = rng.choice(fields)
        many = not isinstance(value, int | float | str | bytes) and hasattr(value, "__len__")
        if field.message_type and rng.random() < 0.9:
            self._mutate_message(rng.choice(value) if many else value, rng)
        elif rng.random() < 0.25:
            message.ClearField(field.name)
        elif field.message_type:
            value.append(rng.choice(value)) if many else value.Clear()
        else:
            place = rng.randrange(len(value)) if many else 0
            new = self._another(value[place] if many else value, rng)
            with contextlib.suppress(ValueError):  # protobuf knows the numbers that kinds have
                if many:
                    value[place] = new
                else:
                    setattr(message, field.name, new)

    def _another(self, old, rng):
        if isinstance(old, str | bytes):
            return "x" if isinstance(old, str) else mutated_bytes(old, rng)
        return rng.choice((-(2**31), -1, 0, 1, 2, 3, 7, 2**20, 2**31 - 1))


class Commands(Kind):
    """Command lines of options that there are, with values that cannot be meant."""

    exact = False
    VALUES = (
        *("0", "-1", "1", "2", "3", "24", "1e308", "-1e308", "1e-320", "9" * 30, "9" * 5000, "nan"),
        *("inf", "-inf", "", " ", "1_000", "0x10", "1e3", "٣", "½", "x", "é", "\udc80", "\x1b[2J"),
        *(
            "-",
            "=",
            "%s",
            "{0}",
            "\n",
            "a" * 300,
            "a" * 5000,
            ".",
            "..",
            "x/y",
            "/dev/null",
            "fifo",
        ),
        *(
            "run",
            "photos",
            "photo.png",
            "x.png",
            "x.onnx",
            "x.pt",
            "x.safetensors",
            "plain",
            "cpu",
            "cpu:0,cpu:1",
            "cpu:9999999999",
            "cuda:0",
        ),
        *("cpu:", ",", "conv1", "conv1,,", "fashion", "alexnet", "alexnet-small", "tiny"),
        *(
            "silhouettes",
            "cifar-10",
            "fashion-mnist",
            "quick",
            "paper",
            "one-cycle",
            "depth",
            "all",
        ),
    )

    def __init__(self, folder):
        super().__init__(folder)
        with few_silhouettes():
            config = Config(epochs=1, batch_size=60, data="silhouettes")
            trainer = Trainer(silhouettes.load("train"), config, folder / "run")
            trainer.fit()
        pixels = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
        for split in "train", "val":
            for name in "ab":
                (folder / "photos" / split / name).mkdir(parents=True)
                Image.fromarray(pixels).save(folder / "photos" / split / name / "1.png")
        Image.fromarray(pixels).save(folder / "photo.png")
        os.mkfifo(folder / "fifo")
        self.words = ["doctor"]
        (commands,) = (a for a in main.make_parser()._actions if isinstance(a.choices, dict))
        self.commands = commands.choices

    def mutate(self, rng):
        name = rng.choice(sorted(self.commands.keys() - {"doctor"}))
        options = [a for a in self.commands[name]._actions if a.dest != "help"]
        likely = {"folder": "run", "images": "photo.png", "model": "fashion", "source": "photos"}
        words = [name]
        for action in options:
            value = rng.choice(self.VALUES)
            if not action.option_strings:
                meant = likely.get(action.dest, value)
                words.append(meant if rng.random() < 0.7 else value)
        for action in rng.sample(options, rng.randrange(1, min(4, len(options)))):
            if action.option_strings:
                words.append(rng.choice(action.option_strings))
                if action.nargs != 0 and not isinstance(action, argparse.BooleanOptionalAction):
                    words.append(rng.choice(self.VALUES))
        self.words = words

    def answer(self):
        out, err = io.StringIO(), io.StringIO()
        here = os.getcwd()
        with contextlib.ExitStack() as stack:
            for patch in (
                few_silhouettes(),
                mock.patch.object(fashion_mnist, "find", return_value=(None, ["planted"])),
                mock.patch.object(fashion_mnist, "load", side_effect=UserError("planted")),
                mock.patch.object(Trainer, "fit", lambda trainer, **hooks: trainer.save()),
                mock.patch.object(
                    preparing, "process_map", return_value=contextlib.nullcontext(map)
                ),
                mock.patch.object(bench, "measure", side_effect=UserError("planted")),
                mock.patch.object(reproduce, "_with_bar", side_effect=UserError("planted")),
                mock.patch.object(timing, "learning_seconds", return_value=1.0),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                stack.enter_context(patch)
            os.chdir(self.folder)
            try:
                status = main.main(self.words)
            except SystemExit as stop:
                status = stop.code
            finally:
                os.chdir(here)
        if status == 2:
            told = err.getvalue().strip().splitlines()
            if not told or not ("error: " in told[-1] or len(told) == 1):
                raise AssertionError(f"status 2, said {err.getvalue()!r}")
            raise UserError(told[-1])
        if status not in (0, 130):
            raise AssertionError(f"status {status}")


KINDS: dict[str, Callable[[Path], Kind]] = {
    "checkpoint": RunBytes,
    "meta": RunMeta,
    "prepared": Prepared,
    "results": Results,
    "archive": CifarArchive,
    "tar": CifarTar,
    "idx": Idx,
    "pictures": Pictures,
    "safetensors": Safetensors,
    "torch": TorchFile,
    "onnx": Onnx,
    "commands": Commands,
}

# ---- trying ------------------------------------------------------------------------------------


class TooMuch(Exception):
    """Memory."""


@contextlib.contextmanager
def memory_limit(more: int):
    """Meanwhile the process may have so many bytes more. Raises TooMuch where they do not do."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    try:
        yield
    except MemoryError as error:
        raise TooMuch from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Endless(BaseException):
    """It takes longer than LONGEST."""


@contextlib.contextmanager
def time_limit():
    def stop(signum, frame):
        raise Endless

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(kind: str, count: int, seed: int = 0) -> tuple[Counter, list[str]]:
    """How often each thing came, and what must not come: with the seed that repeats it."""
    figures, wrong = Counter(), []
    with tempfile.TemporaryDirectory() as base, warnings.catch_warnings():
        warnings.simplefilter("error")
        first, now = Path(base, "first"), Path(base, "now")
        first.mkdir()
        subject = KINDS[kind](first)
        shutil.copytree(first, now, symlinks=True, copy_function=_copy)
        _move(subject, first, now)
        expected = subject.answer()
        for number in range(seed, seed + count):
            shutil.rmtree(now)
            shutil.copytree(first, now, symlinks=True, copy_function=_copy)
            subject.mutate(random.Random(f"{kind} {number}"))
            try:
                with time_limit():
                    found = subject.answer()
                came = "as before" if found == expected else "another answer"
                if subject.exact and found != expected:
                    wrong.append(f"{kind} {number}: another answer")
            except (UserError, MemoryError) as error:
                came = "refused"
                if "\n" in str(error):
                    wrong.append(f"{kind} {number}: {error!r}")
            except (Exception, Endless) as error:
                came = type(error).__name__
                said = getattr(subject, "words", "")
                wrong.append(f"{kind} {number}: {said} {''.join(_last_lines(error))}")
            figures[came] += 1
    return figures, wrong


def _copy(source, target):
    if Path(source).is_fifo():
        os.mkfifo(target)
    else:
        shutil.copy2(source, target)


def _move(subject: Kind, first: Path, now: Path) -> None:
    for name, value in vars(subject).items():
        if isinstance(value, Path):
            setattr(subject, name, now / value.relative_to(first))


def _last_lines(error: BaseException) -> list[str]:
    return traceback.format_exception(error)[-4:]


def main_(arguments=None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="mutations a kind")
    parser.add_argument("--seed", type=int, default=0, help="the first one's number")
    asked = parser.parse_args(arguments)
    bad = 0
    for kind in asked.kinds or KINDS:
        figures, wrong = fuzz(kind, asked.count, asked.seed)
        told = ", ".join(f"{what} {count:,}" for what, count in figures.most_common())
        print(f"{kind}: {told}; wrong {len(wrong):,}", flush=True)
        for line in wrong[:20]:
            print("  " + line.replace("\n", "\n    "))
        bad += len(wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main_())
