"""The command line, as tests call it, and what they read of the runs that it leaves."""

import csv
import json

import numpy as np
from PIL import Image

from minitorch_alexnet.cli.main import main

FILES = {
    "config.json", "metrics.csv", "result.json", "checkpoint.npz",
    "curves.png", "filters.png", "confusion.png", "mistakes.png", "classes.csv",
}  # fmt: skip
COUNTS = {"train": 120, "test": 40}  # images
SHORT = ("train", "--epochs", "2", "--batch-size", "40", "--lr", "0.02")
COLOURS = {"grün": (30, 200, 60), "rot und rund": (210, 40, 30)}  # a class's usual colour


def call(*arguments) -> int:
    """The command's exit status."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse's
        return stop.code


def read_json(path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def read_metrics(folder) -> list[dict]:
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def timeless(rows) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "waited")} for row in rows]


def weights(folder) -> dict[str, bytes]:
    with np.load(folder / "checkpoint.npz") as file:
        return {n: file[n].tobytes() for n in file.files if n.startswith(("weights/", "velocity/"))}


def picture(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(float)


def listed(folder) -> set[str]:
    """What stands in a folder, but for hidden files."""
    return {path.name for path in folder.iterdir() if path.name[0] != "."}
