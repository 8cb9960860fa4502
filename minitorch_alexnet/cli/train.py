"""minitorch-alexnet train"""

import contextlib
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
from ..config import RECIPES, SCHEDULES, Config, read_config
from ..device import get_workers
from ..errors import UserError
from ..evaluate import Evaluation, evaluate
from ..files import whole_file, write_json
from ..models import MODELS
from ..train import Trainer

# Settings of a recipe that the command line can change: each with its type and its help.
SETTINGS = {
    "epochs": (int, "passes over the training set"),
    "batch_size": (int, "images a step"),
    "lr": (float, "the highest learning rate"),
    "schedule": (str, "how the rate changes: " + ", ".join(SCHEDULES)),
}
# The other options, as they are when nobody says a word.
DEFAULTS = {
    "model": Config.model,
    "data": "auto",
    "recipe": Config.recipe,
    "seed": Config.seed,
}


def add_commands(add_command) -> None:
    command = add_command("train", run, "Train a net and keep the run in a folder.")
    command.set_defaults(**DEFAULTS)
    command.add_argument("--model", choices=MODELS, help="the net")
    command.add_argument(
        "--data",
        choices=data.DATASETS,
        help="auto: Fashion-MNIST if it can be had, else drawn silhouettes",
    )
    command.add_argument("--data-dir", metavar="DIR", help="a folder with Fashion-MNIST's files")
    command.add_argument("--recipe", choices=RECIPES, help="what the options below start from")
    for name, (kind, text) in SETTINGS.items():
        recipes = {r: RECIPES[r].get(name, getattr(Config, name)) for r in RECIPES}
        command.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            metavar=kind.__name__.upper(),
            help=f"{text} (default: {', '.join(f'{r} {value}' for r, value in recipes.items())})",
        )
    command.add_argument("--seed", type=int, help="decides every random choice")
    command.add_argument("--out", metavar="DIR", help="the run's folder (default: runs/<date>)")
    command.add_argument(
        "--resume", metavar="RUN", help="go on with this run folder; its own options hold"
    )


def run(arguments) -> int:
    if arguments.resume:
        untold = dict.fromkeys([*SETTINGS, "out", "data_dir"]) | DEFAULTS
        for name, default in untold.items():
            if getattr(arguments, name) != default:
                option = name.replace("_", "-")
                raise UserError(f"--resume goes on with the run's settings: leave out --{option}")
        folder = Path(arguments.resume)
        config = read_config(folder)
        loaded = data.load(config.data, config.data_dir)
    else:
        folder = Path(arguments.out or time.strftime("runs/%Y-%m-%d-%H%M%S"))
        if (folder / "config.json").exists():
            raise UserError(f"{folder} holds a run already: --resume {folder}, or another --out")
        loaded = data.load(arguments.data, arguments.data_dir)
        config = _config(arguments, loaded)
    if config.note:
        print(f"Note: {config.note}\n")
    trainer = Trainer(loaded.train, config, folder)
    if arguments.resume and trainer.resume() and not trainer.finished:
        print(f"Going on with {folder} in epoch {trainer.epoch + 1}, batch {trainer.batch + 1}.")
    print(
        f"Training {config.model} on {loaded.name}: {len(trainer.train_loader.dataset):,} images,"
        f" {config.epochs} epochs of {len(trainer.train_loader)} steps,"
        f" {get_workers().threads} threads. Run folder: {folder}"
    )
    with _bar(trainer) as bar, _ctrl_c(trainer), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the trainer says where it overflowed
        trainer.fit(on_step=bar.step, on_epoch=bar.epoch)
    if not trainer.finished:
        print(
            f"Stopped in epoch {trainer.epoch + 1} after batch {trainer.batch}; all is saved."
            f"\nGo on with:  minitorch-alexnet train --resume {folder}"
        )
        return 130
    test = evaluate(trainer.net, trainer.loader(loaded.test))
    _keep_result(trainer, loaded, test)
    _draw(trainer, loaded, test)
    print(
        f"\nTest accuracy {test.accuracy:.2%} on {len(test.labels):,} images of {loaded.name}"
        f" after {trainer.epoch} epochs and {trainer.seconds:.0f} s of training."
        f"\nPictures, metrics and the net are in {folder}: curves.png, filters.png,"
        " confusion.png, mistakes.png, metrics.csv, result.json, checkpoint.npz."
        f"\nNext:  minitorch-alexnet evaluate {folder}"
        f"\n       minitorch-alexnet predict {folder} YOUR_IMAGE.png"
        + ("\n       minitorch-alexnet train --recipe full" if config.recipe == "quick" else "")
    )
    return 0


def _config(arguments, loaded: data.Data) -> Config:
    """The recipe, changed by what the command line says."""
    config = Config(
        model=arguments.model,
        data=loaded.name,
        note=loaded.note,
        data_dir=arguments.data_dir and str(Path(arguments.data_dir).resolve()),
        recipe=arguments.recipe,
        seed=arguments.seed,
        **RECIPES[arguments.recipe],
    )
    said = {name: getattr(arguments, name) for name in SETTINGS}
    said = {name: value for name, value in said.items() if value is not None}
    return replace(config, **said)


class _Bar(tqdm):
    """Progress over the whole run, in images."""

    def step(self, trainer: Trainer) -> None:
        loss, accuracy = trainer.loss_sum / trainer.seen, trainer.correct / trainer.seen
        epoch = f"epoch {trainer.epoch + 1}/{trainer.config.epochs}"
        self.set_description_str(epoch, refresh=False)
        self.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.1%}", refresh=False)
        self.update(_images_done(trainer) - self.n)

    def epoch(self, trainer: Trainer) -> None:
        row = trainer.history[-1]
        self.write(
            f"epoch {row['epoch']}: loss {row['train_loss']:.4f}, accuracy"
            f" {row['train_accuracy']:.2%}; validation loss {row['validation_loss']:.4f},"
            f" accuracy {row['validation_accuracy']:.2%}; {row['seconds']:.0f} s",
            file=sys.stdout,
        )
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
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
            "epochs": trainer.epoch,
            "seconds": round(trainer.seconds, 2),
            "images_per_second": round(images / trainer.seconds, 1),
            "seed": trainer.config.seed,
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
    first = next(iter(trainer.net.state_dict().values()))
    figures = {
        "curves": viz.curves(trainer.history),
        "filters": viz.filters(first),
        "confusion": viz.confusion(test.confusion(), names),
        "mistakes": viz.mistakes(loaded.test.images, test.labels, test.probabilities, names),
    }
    for name, figure in figures.items():
        with whole_file(trainer.folder / f"{name}.png") as file:
            figure.savefig(file, format="png")
