"""minitorch-alexnet train"""

import argparse
import contextlib
import itertools
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .. import data
from ..config import FOLDER_MODEL, FOLDER_RECIPE, RECIPES, SCHEDULES, Config, expect_within
from ..data.image_folder import is_prepared
from ..data.prepare import is_begun
from ..errors import UserError
from ..evaluate import Evaluation
from ..models import MODELS, options_of
from ..processes import processes
from ..results import keep_results
from ..run import as_folder, expect_run_folder, is_kept, read_config
from ..summary import place
from ..train import Trainer, absent
from ..words import command, crops_each, duration, some_of
from .bar import Bar
from .interrupt import first_ctrl_c
from .numbers import decimal, whole
from .prepare import prepared
from .say import say

# Settings that the command line can change: each with its type, the name of its value and its
# help. Those of a recipe come first.
RECIPES_SETTINGS = {
    "epochs": (whole, "INT", "passes over the training set"),
    "batch_size": (whole, "INT", "images a step"),
    "lr": (decimal, "FLOAT", "the highest learning rate; lower in proportion for a smaller batch"),
    "schedule": (str, "STR", "how the rate changes: " + ", ".join(SCHEDULES)),
}
SETTINGS = {
    "devices": (
        str,
        "A[,B]",
        "where the net lives: auto, cpu, cuda:0, …; for alexnet two (default: cpu:0,cpu:1)",
    ),
    "size": (
        whole,
        "S",
        "the side of the images that fashion and alexnet-small read (default: all)",
    ),
    "freeze": (str, "LAYERS", "layers that do not learn: conv1,conv2"),
    "seed": (whole, "N", f"decides every random choice (default: {Config.seed})"),
}
SWITCHES = ("augment", "tf32")
# What --resume leaves to the command line.
MAY_CHANGE = ("resume", "threads", "devices", "data", "data_dir", "epochs")
LONG = 1e13  # multiply-adds of a training: what takes minutes, and is announced
SHOWN = 10  # classes to name on screen


def add_commands(add_command) -> None:
    text = "Train a net and keep the run in a folder."
    parser = add_command("train", train, text, together=True)
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="the net (default: fashion, for a folder alexnet); any of " + ", ".join(MODELS),
    )
    parser.add_argument(
        "--data",
        metavar="NAME|DIR",
        help=f"{', '.join(data.DATASETS)}, or a folder with train/CLASS/* and val/CLASS/* (default:"
        " auto, which is Fashion-MNIST if it can be had, else drawn silhouettes)",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="a folder with Fashion-MNIST's files")
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        help="what the options below start from (default: quick, for a folder small-set)",
    )
    for name, (kind, metavar, text) in RECIPES_SETTINGS.items():
        defaults = (f"{r} {RECIPES[r].get(name, getattr(Config, name))}" for r in RECIPES)
        told = f"{text} (default: {', '.join(defaults)})"
        parser.add_argument(_option(name), type=kind, metavar=metavar, help=told)
    parser.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        help="random parts and reflections of the images, or not (default: the recipe's)",
    )
    parser.add_argument(
        "--tf32", action="store_true", default=None, help="a GPU's matrix products in TF32"
    )
    parser.add_argument(
        "--from", dest="source", metavar="RUN", help="start with this run's weights where they fit"
    )
    for name, (kind, metavar, text) in SETTINGS.items():
        parser.add_argument(_option(name), type=kind, metavar=metavar, help=text)
    parser.add_argument("--out", metavar="DIR", help="the run's folder (default: runs/<date>)")
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with this run folder; its own options hold, but for --epochs, which makes it"
        " longer, for --devices, and for --data or --data-dir if the images have moved",
    )


def _option(name: str) -> str:
    return "--" + {"source": "from"}.get(name, name).replace("_", "-")


def train(arguments) -> int:
    together = processes()
    begin = _old_run if arguments.resume else _new_run
    folder, config = together.broadcast(None if together.rank else begin(arguments))
    loaded = data.load(config.data, config.data_dir)
    config = replace(config, data=loaded.name, note=config.note or loaded.note)
    config = replace(config, devices=together.own(config.devices))
    if config.note:
        say(f"Note: {config.note}\n")
    with contextlib.nullcontext() if together.rank else _made(folder) as folder:
        trainer = Trainer(
            loaded.train, config, folder, validation=loaded.validation, processes=together
        )
    with trainer.run.lock:
        if arguments.resume and trainer.resume():
            _go_on(trainer, arguments.epochs)
        if not trainer.finished and not _fit(trainer):
            start = f"mpiexec -n {together.size} " if together.size > 1 else ""
            say(
                f"Stopped in epoch {trainer.epoch + 1} after batch {trainer.batch}; all is saved."
                f"\nGo on with:  {start}{command('train', '--resume', folder)}"
            )
            return 130
        test = keep_results(trainer, loaded.test)
    _conclude(trainer, "Validation" if loaded.validation is loaded.test else "Test", test)
    return 0


def _go_on(trainer: Trainer, epochs: int | None) -> None:
    """Say where; epochs: how many were asked for."""
    if trainer.finished:
        say(f"{trainer.folder} ended after epoch {trainer.epoch}; --epochs N goes on. Its test:")
        return
    say(f"Going on with {trainer.folder} in epoch {trainer.epoch + 1}, batch {trainer.batch + 1}.")
    if epochs is not None and trainer.history:
        say(
            f"It has {epochs} epochs now, over which the schedule {trainer.config.schedule} goes:"
            f" the rate is {trainer.rate:g} next, and was {trainer.history[-1]['learning_rate']:g}."
        )


def _fit(trainer: Trainer) -> bool:
    """Train, with a bar; did it come to the end?"""
    _announce(trainer)
    with first_ctrl_c(trainer.stop), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the trainer says where it overflowed
        if trainer.processes.rank:
            trainer.fit()
        else:
            with Bar.of(trainer) as bar:
                trainer.fit(on_step=bar.step, on_epoch=bar.epoch)
    return trainer.finished


@contextlib.contextmanager
def _made(folder: Path | None) -> Iterator[Path]:
    """The folder, or a new one with the date for its name, which goes again after an error."""
    if folder:
        yield folder
        return
    dated = _dated_folder()
    try:
        yield dated
    except BaseException:
        dated.rmdir()
        raise


def _dated_folder() -> Path:
    name = time.strftime("runs/%Y-%m-%d-%H%M%S")
    try:
        Path(name).parent.mkdir(exist_ok=True)
        for number in itertools.count(1):
            folder = Path(name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):  # another training of this second
                folder.mkdir()
                break
    except OSError as error:
        raise UserError(f"cannot make {name}: {error.strerror}; name another by --out") from error
    return folder


def _new_run(arguments) -> tuple[Path | None, Config]:
    """Its folder, if one is said, and the recipe, changed by what the command line says."""
    folder = arguments.out and Path(arguments.out)
    if is_kept(folder):
        raise UserError(
            f"{folder} holds a run already: {command('train', '--resume', folder)} goes on with it,"
            " for a new one take another --out"
        )
    if folder:
        expect_run_folder(folder)
    if arguments.size is not None:
        expect_within("--size", arguments.size, 1, 4096)
    name = arguments.data or "auto"
    photos = name not in data.DATASETS
    said = {n: getattr(arguments, n) for n in (*RECIPES_SETTINGS, *SETTINGS, *SWITCHES)}
    config = Config(
        arguments.recipe or (FOLDER_RECIPE if photos else Config.recipe),
        model=arguments.model or (FOLDER_MODEL if photos else Config.model),
        data=name,
        data_dir=_absolute(arguments.data_dir),
        source=_absolute(arguments.source) or "",
        **{name: value for name, value in said.items() if value is not None},
    )
    if photos and Path(name).is_dir():
        _check_before_preparing(config)
        config = replace(config, data=prepared(name))
    return folder, config


def _check_before_preparing(config: Config) -> None:
    """What is wrong with the options should be said before hours of preparing."""
    if config.source and not Path(config.source, "checkpoint.npz").exists():
        raise UserError(f"--from: there is no run in {config.source}")
    begun = is_prepared(config.data) or is_begun(config.data)
    if "size" in options_of(config.model) and not begun:
        raise UserError(
            f"{config.model} reads small images:"
            f" {command('prepare', config.data, 'OUT', '--size', 64)}, then train --data OUT"
        )


def _old_run(arguments) -> tuple[Path, Config]:
    """The folder to go on in, and its config; the net and the images may have moved."""
    for name, value in vars(arguments).items():
        if value is not None and name not in (*MAY_CHANGE, "command", "do", "together"):
            raise UserError(f"--resume goes on with the run's settings: leave out {_option(name)}")
    folder = as_folder(arguments.resume)
    config = read_config(folder)
    if not config.data:
        raise UserError(
            f"{folder} was imported, and not trained here:"
            f" {command('train', '--from', folder, '--data', 'DIR')} starts from its weights"
        )
    moved = {
        "devices": arguments.devices,
        "data": arguments.data,
        "data_dir": _absolute(arguments.data_dir),
        "epochs": arguments.epochs,
    }
    return folder, replace(
        config, **{name: value for name, value in moved.items() if value is not None}
    )


def _absolute(path: str | None) -> str | None:
    return path and str(Path(path).resolve())


def _announce(trainer: Trainer) -> None:
    config, dataset = trainer.config, trainer.train_loader.dataset
    if trainer.taken:
        anew = sorted(trainer.net.state_dict().keys() - set(trainer.taken))
        but = f" but {', '.join(anew)}, which start anew" if anew else ""
        say(f"From {config.source}: all weights{but}.")
    size = trainer.processes.size
    several = f"on {size} processes, each " if size > 1 else ""
    say(
        f"Training {config.model} on {config.data}: {len(dataset):,} images,"
        f" {config.epochs} epochs of {len(trainer.train_loader)} steps,"
        f" {several}{place(trainer.net)}. Highest rate: {config.lr:g}. Run folder: {trainer.folder}"
    )
    if config.batch_size > len(dataset):
        say(f"A batch of {config.batch_size:,} is more than there are: each step sees all images.")
    for doing, part in ("learn from", dataset), ("watch it on", trainer.validation):
        if names := absent(part):
            say(f"Of {len(names)} classes there is no image to {doing}: {some_of(names, SHOWN)}")
    if trainer.net.output_device.kind == "cuda":
        say("The first step compiles the CUDA kernels; CuPy keeps them for the next time.")
    images = len(dataset) * (config.epochs - trainer.epoch)
    if 3 * sum(trainer.net.multiply_adds().values()) * images > LONG:
        seconds, memory = trainer.estimate()
        each = " in each" if size > 1 else ""
        say(f"This will take about {duration(seconds)} and {memory / 1e9:.1f} GB of memory{each}.")


def _conclude(trainer: Trainer, part: str, test: Evaluation) -> None:
    """part: what the images of the test are; a folder's val is all there is."""
    config, folder = trainer.config, trainer.folder
    top5 = "" if test.top5 is None else f", top-5 {test.top5:.2%},"
    crops = crops_each(test.views)
    quick = (config.recipe, config.model) == ("quick", "fashion") and config.data in data.DATASETS
    say(
        f"\n{part} accuracy {test.accuracy:.2%}{top5} on {len(test.labels):,} images of"
        f" {config.data}"
        + (crops and f"{crops},")
        + f" after {trainer.epoch} epochs and {trainer.seconds:.0f} s of training."
        f"\nPictures, metrics and the net are in {folder}: curves.png, filters.png,"
        " confusion.png, mistakes.png, metrics.csv, classes.csv, result.json, checkpoint.npz."
        f"\nNext:  {command('evaluate', folder)}"
        f"\n       {command('predict', folder, 'YOUR_IMAGE.png')}"
        + (f"\n       {command('train', '--recipe', 'full')}" if quick else "")
    )
