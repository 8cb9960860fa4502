"""What a finished training leaves beside its checkpoint: how good its net is, and pictures."""

import contextlib
import platform
from pathlib import Path

import numpy as np

from . import __version__
from .data.arrays import ArrayDataset
from .data.image_folder import ImageFolder
from .errors import ShapeError, UserError
from .evaluate import Evaluation
from .files import write_csv, write_figure, write_json
from .graph import Graph
from .summary import place
from .train import Trainer
from .workers import get_workers


def keep_results(trainer: Trainer, dataset: ArrayDataset | ImageFolder) -> Evaluation:
    """Test a trainer's net on a data set, and keep in its folder how it did.

    Writes result.json, curves.png, filters.png, mistakes.png, and what keep_classes writes; no
    picture of what is none, such as images of two channels. Raises UserError if the run has no
    folder, or not one whole epoch behind it.
    """
    from . import viz  # matplotlib is slow to import

    if not (trainer.folder or trainer.processes.rank):
        raise UserError("a run without a folder keeps no results")
    if not trainer.history:
        raise UserError("there are no rows in the history to keep: train for an epoch first")
    test = trainer.test(dataset, trainer.config.crops)
    if not trainer.folder:  # the first process has it
        return test
    figures = {"curves": viz.curves(trainer.history)}
    with contextlib.suppress(ShapeError):
        figures["filters"] = draw_filters(trainer.net)
    with contextlib.suppress(ShapeError):
        figures["mistakes"] = viz.mistakes(
            dataset.images,
            test.labels,
            test.probabilities,
            dataset.class_names,
            ends=dataset.span.scale,
        )
    write_json(trainer.folder / "result.json", _result(trainer, dataset, test))
    for name, figure in figures.items():
        write_figure(trainer.folder / f"{name}.png", figure)
    keep_classes(trainer.folder, dataset.class_names, test)
    return test


def _result(trainer: Trainer, dataset, test: Evaluation) -> dict:
    config = trainer.config
    images = trainer.epoch * len(trainer.train_loader.dataset)
    return {
        "dataset": config.data,
        "note": config.note,
        "model": config.model,
        "recipe": config.recipe,
        "tested_on": "validation" if dataset is trainer.validation else "test",
        "test_accuracy": test.accuracy,
        "test_top5": test.top5,
        "test_crops": test.views,
        "test_loss": test.loss,
        "epochs": trainer.epoch,
        "seconds": round(trainer.seconds, 2),
        "images_per_second": round(images / trainer.seconds, 1),
        "seed": config.seed,
        "devices": place(trainer.net),
        "tf32": config.tf32,
        "threads": get_workers().threads,
        "versions": {
            "minitorch_alexnet": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }


def keep_classes(folder: Path, names: tuple[str, ...], test: Evaluation) -> None:
    """Write classes.csv, each class's accuracy, and confusion.png."""
    from . import viz

    rows = zip(names, *test.by_class(), strict=True)
    told = [(name, count, f"{share:.4f}") for name, share, count in rows]
    write_csv(folder / "classes.csv", [("class", "images", "accuracy"), *told])
    write_figure(folder / "confusion.png", viz.confusion(test.confusion(), names))


def draw_filters(net: Graph):
    """The figure of the first weight's kernels, a block a tower. ShapeError if it has none."""
    from . import viz

    first = next((node for node in net.nodes.values() if "weight" in node.layer.params), None)
    if not first:
        raise ShapeError("no layer has a weight to draw")
    twins = [node for node in net.nodes.values() if node.joined_name == first.joined_name]
    names = [f"tower {node.tower}, {node.device}" if node.tower else "" for node in twins]
    return viz.filters(net.state_dict()[f"{first.joined_name}.weight"], names)
