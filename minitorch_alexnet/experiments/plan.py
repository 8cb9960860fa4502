"""An experiment's plan: what was asked for, and the size that follows; what a budget buys."""

import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import __version__
from ..data import Data
from ..errors import UserError
from .experiment import Experiment, Study, Training

MOST_SEEDS, MOST_MINUTES = 1000, 366 * 24 * 60
FEWEST = 100  # images to learn from: a budget for less is refused
FEW_PAIRS = 6  # a budget that buys fewer whole ones buys so many shorter ones


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first training.

    seeds, budget: asked for, or None;  fingerprint: of the images;  recipe: of each net, in words
    counts: the smallest difference (of ratios: ratio) that does, by the measure's arms
    versions, made_with: what the last digits hang on, as it was when the plan was made
    pairs: seeds;  images, epochs: of a training
    """

    experiment: str
    data: str
    fingerprint: str
    seeds: int | None
    budget: float | None
    recipe: dict[str, str]
    counts: dict[str, float]
    versions: str
    made_with: dict[str, str]
    pairs: int
    images: int
    epochs: int


def asked_for(
    experiment: Experiment, data: Data, usual: Study, seeds: int | None, budget: float | None
) -> dict:
    """What a plan says besides its size and what it is made with: the same for the same command."""
    return {
        "experiment": experiment.name,
        "data": Path(data.name).name,  # of a folder; where it stands may change
        "fingerprint": _fingerprint(data),
        "seeds": seeds,
        "budget": budget and float(budget),
        "recipe": {net: experiment.recipe(usual, Training(net, 0)) for net in experiment.nets},
        "counts": {str(m): m.counts for m in experiment.measures},
    }


def versions() -> str:
    """Of what trains here."""
    return (
        f"minitorch_alexnet {__version__}, NumPy {np.__version__},"
        f" Python {platform.python_version()}"
    )


def affordable(
    experiment: Experiment,
    usual: Study,
    most: int,
    processes: int,
    budget: float,
    seeds: int | None,
) -> tuple[int, int, int]:
    """Pairs, images and epochs for so many seconds, from the time that a step of each net takes.

    most: images that there are;  processes: that share the trainings out

    Raises UserError if it is too small for a training that tells anything.
    """
    # Counted in images learnt from; one only looked at costs a third.
    watching, testing = len(usual.validation) / 3, experiment.tests * len(usual.test) / 3
    seconds = {}  # an image, by net
    for net in experiment.nets:
        whole, _ = experiment.trainer(usual, Training(net, 0)).estimate()
        seconds[net] = whole / (usual.epochs * (len(usual.train) + watching))

    def of_each(pairs):
        """An image's seconds in all trainings together; a trial is shorter."""
        short = experiment.trial_epochs(usual.epochs) / usual.epochs
        trainings = experiment.trainings(pairs)
        return sum(seconds[t.net] * (short if t.trial else 1) for t in trainings) / processes

    if not seeds:
        whole = usual.epochs * (len(usual.train) + watching) + testing
        pairs = int((budget / whole - of_each(0)) / (of_each(1) - of_each(0)))
        if pairs >= FEW_PAIRS:
            return min(pairs, MOST_SEEDS), len(usual.train), usual.epochs
        seeds = FEW_PAIRS
    room = budget / of_each(seeds) - testing
    images = int(room / usual.epochs - watching)
    if images > most:
        return seeds, most, int(room / (most + watching))
    if images < (least := min(FEWEST, most)):
        needed = of_each(seeds) * (usual.epochs * (least + watching) + testing) / 60
        needed *= 1.05  # said with two digits it is enough
        raise UserError(
            f"{experiment.name}: a budget of {budget / 60:g} minutes is too small for"
            f" {len(experiment.trainings(seeds))} trainings; {needed:.2g} would do for"
            f" {least} images"
        )
    return seeds, images, usual.epochs


def _fingerprint(data: Data) -> str:
    """Of the classes, the labels, what the training images are like, and some test images."""
    some = np.asarray(data.test.images[:100])
    parts = (data.train.labels, data.test.labels, np.asarray(data.train.mean, np.float32), some)
    found = hashlib.sha256(json.dumps(list(data.train.class_names)).encode())
    for part in parts:
        found.update(part.tobytes())
    return found.hexdigest()
