"""minitorch-alexnet train"""

import argparse
import contextlib
import os
import platform
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import __version__, data
from ..config import FOLDER_MODEL, FOLDER_RECIPE, RECIPES, SCHEDULES, Config, read_config
from ..data.image_folder import is_prepared
from ..errors import UserError
from ..evaluate import Evaluation, evaluate
from ..files import write_json
from ..graph import Graph
from ..models import MODELS, options_of
from ..train import Trainer
from ..workers import get_workers
from .prepare import prepared
from .runs import draw_filters, keep_classes, save_figure

# Settings of a recipe that the command line can change: each with its type and its help.
SETTINGS = {
    "epochs": (int, "passes over the training set"),
    "batch_size": (int, "images a step"),
    "lr": (float, "the highest learning rate"),
    "schedule": (str, "how the rate changes: " + ", ".join(SCHEDULES)),
}
# Other settings of a run, with their type, the name of their value and their help.
CHOICES = {
    "devices": (
        str,
        "A[,B]",
        "where the net lives: auto, cpu, cuda:0, …; for alexnet two (default: cpu:0,cpu:1)",
    ),
    "size": (int, "S", "the side of the images that fashion and alexnet-small read (default: all)"),
    "freeze": (str, "LAYERS", "layers that do not learn: conv1,conv2"),
    "seed": (int, "N", f"decides every random choice (default: {Config.seed})"),
}
# What --resume leaves to the command line.
MAY_CHANGE = ("command", "run", "resume", "threads", "devices", "data", "data_dir")
LONG = 1e13  # multiply-adds of a training: what takes minutes, and is announced


def add_commands(add_command) -> None:
    command = add_command("train", run, "Train a net and keep the run in a folder.")
    command.add_argument(
        "--model",
        metavar="NAME",
        help="the net (default: fashion, for a folder alexnet); any of " + ", ".join(MODELS),
    )
    command.add_argument(
        "--data",
        metavar="NAME|DIR",
        help=f"{', '.join(data.DATASETS)}, or a folder with train/CLASS/* and val/CLASS/* (default:"
        " auto, which is Fashion-MNIST if it can be had, else drawn silhouettes)",
    )
    command.add_argument("--data-dir", metavar="DIR", help="a folder with Fashion-MNIST's files")
    command.add_argument(
        "--recipe",
        choices=RECIPES,
        help="what the options below start from (default: quick, for a folder small-set)",
    )
    for name, (kind, text) in SETTINGS.items():
        recipes = {r: RECIPES[r].get(name, getattr(Config, name)) for r in RECIPES}
        command.add_argument(
            _option(name),
            type=kind,
            metavar=kind.__name__.upper(),
            help=f"{text} (default: {', '.join(f'{r} {value}' for r, value in recipes.items())})",
        )
    command.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        help="random parts and reflections of the images, or not (default: the recipe's)",
    )
    command.add_argument(
        "--tf32", action="store_true", default=None, help="a GPU's matrix products in TF32"
    )
    command.add_argument(
        "--from", dest="source", metavar="RUN", help="start with this run's weights where they fit"
    )
    for name, (kind, metavar, text) in CHOICES.items():
        command.add_argument(_option(name), type=kind, metavar=metavar, help=text)
    command.add_argument("--out", metavar="DIR", help="the run's folder (default: runs/<date>)")
    command.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with this run folder; its own options hold, but for --devices, and for --data"
        " or --data-dir if the images have moved",
    )


def _option(name: str) -> str:
    return "--" + {"source": "from"}.get(name, name).replace("_", "-")


def run(arguments) -> int:
    if arguments.resume:
        for name, value in vars(arguments).items():
            if value is not None and name not in MAY_CHANGE:
                raise UserError(
                    f"--resume goes on with the run's settings: leave out {_option(name)}"
                )
        folder = Path(arguments.resume)
        config = read_config(folder)
        loaded = data.load(
            arguments.data or config.data, _absolute(arguments.data_dir) or config.data_dir
        )
        config = replace(
            config,
            devices=arguments.devices or config.devices,
            data=loaded.name,
            data_dir=_absolute(arguments.data_dir) or config.data_dir,
        )
    else:
        folder = Path(arguments.out or time.strftime("runs/%Y-%m-%d-%H%M%S"))
        if (folder / "config.json").exists():
            raise UserError(f"{folder} holds a run already: --resume {folder}, or another --out")
        name = arguments.data or "auto"
        if name not in data.DATASETS and Path(name).is_dir():
            _check_before_preparing(arguments, name)
            name = prepared(name)
        loaded = data.load(name, arguments.data_dir)
        config = _config(arguments, loaded)
    if config.note:
        print(f"Note: {config.note}\n")
    if config.tf32:
        os.environ["CUPY_TF32"] = "1"  # CuPy looks at it before its first product
    trainer = Trainer(loaded.train, config, folder, validation=loaded.validation)
    if arguments.resume and trainer.resume() and not trainer.finished:
        print(f"Going on with {folder} in epoch {trainer.epoch + 1}, batch {trainer.batch + 1}.")
    if not trainer.finished:
        _announce(trainer, loaded)
    with _bar(trainer) as bar, _ctrl_c(trainer), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the trainer says where it overflowed
        trainer.fit(on_step=bar.step, on_epoch=bar.epoch)
    if not trainer.finished:
        print(
            f"Stopped in epoch {trainer.epoch + 1} after batch {trainer.batch}; all is saved."
            f"\nGo on with:  minitorch-alexnet train --resume {folder}"
        )
        return 130
    test = evaluate(trainer.net, *trainer.views(loaded.test, config.crops))
    _keep_result(trainer, loaded, test)
    _draw(trainer, loaded, test)
    top5 = f", top-5 {test.top(5):.2%}," if len(trainer.class_names) > 10 else ""
    print(
        f"\n{_part(loaded)} accuracy {test.accuracy:.2%}{top5} on {len(test.labels):,} images of"
        f" {loaded.name}"
        + (", ten crops each," if config.crops == 10 else "")
        + f" after {trainer.epoch} epochs and {trainer.seconds:.0f} s of training."
        f"\nPictures, metrics and the net are in {folder}: curves.png, filters.png,"
        " confusion.png, mistakes.png, metrics.csv, classes.csv, result.json, checkpoint.npz."
        f"\nNext:  minitorch-alexnet evaluate {folder}"
        f"\n       minitorch-alexnet predict {folder} YOUR_IMAGE.png"
        + ("\n       minitorch-alexnet train --recipe full" if _may_do_better(config) else "")
    )
    return 0


def _config(arguments, loaded: data.Data) -> Config:
    """The recipe, changed by what the command line says."""
    folder = loaded.name not in data.DATASETS
    recipe = arguments.recipe or (FOLDER_RECIPE if folder else Config.recipe)
    config = Config(
        model=arguments.model or (FOLDER_MODEL if folder else Config.model),
        data=loaded.name,
        note=loaded.note,
        data_dir=_absolute(arguments.data_dir),
        recipe=recipe,
        source=_absolute(arguments.source) or "",
        **RECIPES[recipe],
    )
    said = {name: getattr(arguments, name) for name in [*SETTINGS, *CHOICES, "augment", "tf32"]}
    said = {name: value for name, value in said.items() if value is not None}
    return replace(config, **said)


def _absolute(path: str | None) -> str | None:
    return path and str(Path(path).resolve())


def _check_before_preparing(arguments, folder: str) -> None:
    """What is wrong with the options should be said before hours of preparing."""
    model = arguments.model or FOLDER_MODEL
    if arguments.source and not Path(arguments.source, "checkpoint.npz").exists():
        raise UserError(f"--from: there is no run in {arguments.source}")
    if "size" in options_of(model) and not is_prepared(folder):
        raise UserError(
            f"{model} reads small images: minitorch-alexnet prepare {folder} OUT --size 64, then"
            " train --data OUT"
        )


def _part(loaded: data.Data) -> str:
    """What the images of the test are: a folder's val is all there is."""
    return "Validation" if loaded.validation is loaded.test else "Test"


def _may_do_better(config: Config) -> bool:
    return config.recipe == "quick" and config.data in data.DATASETS and config.model == "fashion"


def _announce(trainer: Trainer, loaded: data.Data) -> None:
    config, dataset = trainer.config, trainer.train_loader.dataset
    if trainer.taken:
        anew = trainer.net.state_dict().keys() - set(trainer.taken)
        print(f"From {config.source}: all weights but {', '.join(sorted(anew))}, which start anew.")
    print(
        f"Training {config.model} on {loaded.name}: {len(dataset):,} images,"
        f" {config.epochs} epochs of {len(trainer.train_loader)} steps,"
        f" {place(trainer.net)}. Run folder: {trainer.folder}"
    )
    if trainer.net.output_device.kind == "cuda":
        print("The first step compiles the CUDA kernels; CuPy keeps them for the next time.")
    images = len(dataset) * (config.epochs - trainer.epoch)
    if 3 * sum(trainer.net.multiply_adds().values()) * images > LONG:
        seconds, memory = trainer.estimate()
        print(f"This will take about {_duration(seconds)} and {memory / 1e9:.1f} GB of memory.")
    sys.stdout.flush()  # for whoever reads along in a file


def place(net: Graph) -> str:
    devices = dict.fromkeys(str(d) for d in (net.device, *(n.device for n in net.nodes.values())))
    threads = f"{get_workers().threads} threads"
    return threads if list(devices) == ["cpu:0"] else f"on {' and '.join(devices)}, {threads}"


def _duration(seconds: float) -> str:
    for unit, length in ("days", 86400), ("hours", 3600), ("minutes", 60):
        if seconds > 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _why(trainer: Trainer) -> str:
    """Why a net may not have learnt anything yet."""
    if trainer.config.recipe == "paper":
        return (
            "From the paper's small weights a small data set needs very many steps: train --recipe"
            " small-set starts otherwise."
        )
    return "The rate may be too high or too low (--lr), or the labels may not go with the images."


class _Bar(tqdm):
    """Progress over the whole run, in images."""

    warned = False
    told = 0.0  # when

    def step(self, trainer: Trainer) -> None:
        if time.monotonic() - self.told < 0.2:  # a GPU must stop and think to tell its loss
            return
        trainer.read_progress()
        self.told = time.monotonic()
        loss, accuracy = trainer.loss_sum / trainer.seen, trainer.correct / trainer.seen
        epoch = f"epoch {trainer.epoch + 1}/{trainer.config.epochs}"
        self.set_description_str(epoch, refresh=False)
        self.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.1%}", refresh=False)
        self.update(_images_done(trainer) - self.n)

    def epoch(self, trainer: Trainer) -> None:
        row = trainer.history[-1]
        self.update(_images_done(trainer) - self.n)
        self.write(
            f"epoch {row['epoch']}: loss {row['train_loss']:.4f}, accuracy"
            f" {row['train_accuracy']:.2%}; validation loss {row['validation_loss']:.4f},"
            f" accuracy {row['validation_accuracy']:.2%}; {row['seconds']:.0f} s,"
            f" {row['waited']:.1f} waiting for images",
            file=sys.stdout,
        )
        if trainer.guessing and not self.warned:
            self.warned = True
            self.write(f"Note: the loss is still that of guessing. {_why(trainer)}", sys.stdout)
        sys.stdout.flush()  # for whoever reads along in a file


def _bar(trainer: Trainer) -> _Bar:
    total = trainer.config.epochs * len(trainer.train_loader.dataset)
    return _Bar(
        total=total,
        initial=_images_done(trainer),
        unit=" images",
        disable=None,  # where nobody looks (no terminal), only the epochs' lines
        dynamic_ncols=True,
    )


def _images_done(trainer: Trainer) -> int:
    return trainer.epoch * len(trainer.train_loader.dataset) + trainer.seen


@contextlib.contextmanager
def _ctrl_c(trainer: Trainer) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) stops after the step under way, a second one at once."""

    def stop(signum, frame):
        for s, handler in before.items():
            signal.signal(s, handler)
        trainer.stop()

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def _keep_result(trainer: Trainer, loaded: data.Data, test: Evaluation) -> None:
    images = trainer.epoch * len(trainer.train_loader.dataset)
    write_json(
        trainer.folder / "result.json",
        {
            "dataset": loaded.name,
            "note": trainer.config.note,
            "model": trainer.config.model,
            "recipe": trainer.config.recipe,
            "tested_on": _part(loaded).lower(),
            "test_accuracy": test.accuracy,
            "test_top5": test.top(5),
            "test_crops": trainer.config.crops,
            "test_loss": test.loss,
            "epochs": trainer.epoch,
            "seconds": round(trainer.seconds, 2),
            "images_per_second": round(images / trainer.seconds, 1),
            "seed": trainer.config.seed,
            "devices": place(trainer.net),
            "tf32": trainer.config.tf32,
            "threads": get_workers().threads,
            "versions": {
                "minitorch_alexnet": __version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
            },
        },
    )


def _draw(trainer: Trainer, loaded: data.Data, test: Evaluation) -> None:
    from .. import viz  # matplotlib is slow to import, and the other commands do without

    names = loaded.test.class_names
    figures = {
        "curves": viz.curves(trainer.history),
        "filters": draw_filters(trainer.net),
        "mistakes": viz.mistakes(loaded.test.images, test.labels, test.probabilities, names),
    }
    for name, figure in figures.items():
        save_figure(trainer.folder / f"{name}.png", figure)
    keep_classes(trainer.folder, names, test)
