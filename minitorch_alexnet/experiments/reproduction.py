"""Doing an experiment: its plan and size, the trainings one after the other, and going on later."""

import hashlib
import json
import math
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path

import numpy as np

from .. import __version__
from ..data import Data
from ..errors import UserError
from ..files import Lock, expect_ours, read_json, write_json
from ..processes import ALONE, Processes
from ..train import Trainer
from .experiment import Experiment, Measure, Study, Training, available
from .statistics import Effect, effect

MOST_SEEDS, MOST_MINUTES = 1000, 366 * 24 * 60
FEWEST = 100  # images to learn from: a budget for less is refused


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first training: what was asked for, and the size that follows.

    fingerprint: of the images;  budget: minutes, or None;  recipe: of each net, in words
    images, epochs: of a training
    """

    experiment: str
    data: str
    fingerprint: str
    seeds: int
    budget: float | None
    recipe: dict[str, str]
    versions: str
    images: int
    epochs: int


@dataclass(frozen=True)
class Outcome:
    """What a finished experiment has found.

    rows: {"arm": …, "seed": …, and numbers by name, among them each measure's}
    seconds: that all trainings took;  date: of the last one
    """

    experiment: Experiment
    plan: Plan
    test_images: int
    rows: list[dict]
    seconds: float
    date: str

    def of_arm(self, arm: str) -> list[dict]:
        """Its rows, by seed."""
        return [row for row in self.rows if row["arm"] == arm]

    def values(self, measure: Measure) -> np.ndarray:
        """(2, seeds): a row an arm."""
        arms = self.experiment.arms
        return np.array([[row[measure.key] for row in self.of_arm(arm)] for arm in arms], float)

    def effect(self, measure: Measure) -> Effect:
        """The paired differences'; where the measure is a ratio, those of the logarithms."""
        values = np.log(self.values(measure)) if measure.ratio else self.values(measure)
        return effect(values[measure.larger] - values[1 - measure.larger])


class Reproduction:
    """An experiment on a data set, kept in plan.json and, training by training, in results.json.

    seeds: 0 … seeds-1, each a pair of trainings
    budget: minutes for all trainings together; default: the experiment's own size
    processes: those that share the trainings out. Each makes its Reproduction, with the same
               arguments; the first one alone writes

    Raises UserError if the images do not suit the experiment, the budget is too small, or the
    folder holds another plan.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Data,
        folder: str | Path,
        seeds: int = 5,
        budget: float | None = None,
        processes: Processes = ALONE,
    ):
        if seeds < 1 or (budget is not None and not budget > 0):
            raise UserError(f"expected seeds ≥ 1 and a budget > 0, got {seeds} and {budget}")
        if seeds > MOST_SEEDS or (budget is not None and budget > MOST_MINUTES):
            raise UserError(
                f"expected at most {MOST_SEEDS} seeds and a budget of {MOST_MINUTES:,} minutes, got"
                f" {seeds} and {budget}"
            )
        expect_ours(folder, "plan.json")
        if why := experiment.why_not(data):
            raise UserError(f"{experiment.name}: {why}")
        self.experiment, self.data, self.folder = experiment, data, Path(folder)
        self.processes = processes
        self.trainings = experiment.trainings(seeds)
        study = Study.of(data, experiment.images, experiment.epochs)
        asked = {
            "experiment": experiment.name,
            "data": Path(data.name).name,  # of a folder; where it stands may change
            "fingerprint": _fingerprint(data),
            "seeds": seeds,
            "budget": budget,
            "recipe": {net: experiment.recipe(study, Training(net, 0)) for net in experiment.nets},
            "versions": f"minitorch_alexnet {__version__}, NumPy {np.__version__},"
            f" Python {platform.python_version()}",
        }
        first = processes.rank == 0
        plan = (self._plan_kept(asked, study) or self._plan_anew(asked, study)) if first else None
        self.plan: Plan = processes.broadcast(plan)
        self.study = Study.of(data, self.plan.images, self.plan.epochs)
        self.results = processes.broadcast(self._results_kept() if first else {})

    @property
    def pending(self) -> list[Training]:
        return [training for training in self.trainings if str(training) not in self.results]

    def go(
        self,
        on_step: Callable[[Training, float], None] = lambda training, share: None,
        on_result: Callable[[Training, dict], None] = lambda training, result: None,
    ) -> Outcome:
        """Do what is left of the trainings; each result is on disk before the next one begins.

        Several processes each do a training of their own at a time.

        on_step: hears after each step of its training which share of it is done, 0 … 1
        on_result: hears of each one its result, {"seconds", "date", "arms": {arm: its numbers}},
                   with a digest

        Raises UserError if another process does so in the folder.
        """
        if self.processes.rank:
            self._go_on(on_step, on_result)
            return self.outcome()
        with Lock(self.folder):
            self.results = self._results_kept()  # another process may have been here
            self._go_on(on_step, on_result)
        return self.outcome()

    def _go_on(self, on_step, on_result) -> None:
        self.results = self.processes.broadcast(self.results)
        rank, size = self.processes.rank, self.processes.size
        for _, alike in groupby(self.pending, lambda t: t.rate is None):  # a rate's trials first
            trainings = list(alike)
            for start in range(0, len(trainings), size):
                some = trainings[start : start + size]
                mine = self._do(some[rank], on_step) if rank < len(some) else None
                for training, result in zip(some, self.processes.gather(mine), strict=False):
                    self.results[str(training)] = result
                    if rank == 0:
                        write_json(self.folder / "results.json", self.results)
                        on_result(training, result)

    def _do(self, training: Training, on_step) -> dict:
        before = {name: result["arms"] for name, result in self.results.items()}
        clock = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a trainer says where it overflowed
            arms = self.experiment.train(
                self.study,
                training,
                before,
                lambda trainer: on_step(training, _share_done(trainer)),
            )
        seconds = round(time.perf_counter() - clock, 2)
        result = {"seconds": seconds, "date": time.strftime("%Y-%m-%d"), "arms": arms}
        return result | {"sha256": self._digest(training, result)}

    def outcome(self) -> Outcome:
        """Of trainings that are all done."""
        rows = [
            {"arm": arm, "seed": training.seed, **numbers}
            for training in self.trainings
            if training.rate is None
            for arm, numbers in self.results[str(training)]["arms"].items()
        ]
        seconds = sum(result["seconds"] for result in self.results.values())
        date = max(result["date"] for result in self.results.values())
        return Outcome(self.experiment, self.plan, len(self.data.test), rows, seconds, date)

    # ---- what is kept -------------------------------------------------------------------------

    def _read(self, name: str) -> dict:
        """What the file of that name says; nothing if there is none."""
        path = self.folder / name
        try:
            found = read_json(path)
        except FileNotFoundError:
            return {}
        except UserError as error:
            raise UserError(f"{error}: take another --out") from error
        if not isinstance(found, dict):
            raise self._damaged(name, "it holds no names with values")
        return found

    def _damaged(self, name: str, what: str) -> UserError:
        return UserError(f"{self.folder / name} is damaged ({what}): take another --out")

    def _results_kept(self) -> dict[str, dict]:
        results, trainings = self._read("results.json"), {str(t): t for t in self.trainings}
        for name, result in results.items():
            if name not in trainings:
                raise self._damaged("results.json", f"{name} is no training of this experiment")
            if not self._is_ours(result, trainings[name]):
                raise self._damaged("results.json", f"{name} is not as it was written")
        return results

    def _is_ours(self, result, training: Training) -> bool:
        """Is it what `_do` has made of this training, by this plan?"""
        arms = set(self.experiment.arms)
        arms = arms & {training.net} or arms
        return (
            isinstance(result, dict)
            and result.get("sha256") == self._digest(training, result)
            and result.keys() == {"seconds", "date", "arms", "sha256"}
            and _is_number(result["seconds"])
            and _is_date(result["date"])
            and isinstance(result["arms"], dict)
            and result["arms"].keys() == arms
            and all(map(self._has_measures, result["arms"].values()))
        )

    def _has_measures(self, numbers) -> bool:
        return isinstance(numbers, dict) and all(
            _is_number(numbers.get(measure.key)) and (numbers[measure.key] > 0 or not measure.ratio)
            for measure in self.experiment.measures
        )

    def _digest(self, training: Training, result: dict) -> str:
        """Of the plan, the training and its result: a number that changed on disk is found."""
        said = {name: value for name, value in result.items() if name != "sha256"}
        text = json.dumps([asdict(self.plan), str(training), said], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    # ---- the plan ----------------------------------------------------------------------------

    def _plan_kept(self, asked: dict, usual: Study) -> Plan | None:
        kept = self._read("plan.json")
        if not kept:
            return None
        if kept.keys() != {field.name for field in fields(Plan)}:
            raise self._damaged("plan.json", "other entries are expected")
        for name, value in asked.items():
            if json.dumps(kept[name]) != json.dumps(value):
                raise UserError(
                    f"{self.folder} holds an experiment with another plan: its {name} is"
                    f" {kept[name]}, this one's {value}. Repeat the command that began it, or take"
                    " another --out"
                )
        images, epochs = kept["images"], kept["epochs"]
        fits = type(images) is type(epochs) is int and epochs > 0 < images <= available(self.data)
        if not fits or (asked["budget"] is None and (images, epochs) != _size(usual)):
            raise self._damaged("plan.json", f"no plan has {images} images and {epochs} epochs")
        return Plan(**kept)

    def _plan_anew(self, asked: dict, usual: Study) -> Plan:
        images, epochs = _size(usual)
        if asked["budget"] is not None:
            images, epochs = self._affordable(60 * asked["budget"], usual)
        plan = Plan(**asked, images=images, epochs=epochs)
        with Lock(self.folder):
            if kept := self._plan_kept(asked, usual):  # of another process, meanwhile
                return kept
            write_json(self.folder / "plan.json", asdict(plan))
        return plan

    def _affordable(self, budget: float, usual: Study) -> tuple[int, int]:
        """Images and epochs for so many seconds, from the time that a step of each net takes.

        Time buys images first, and further epochs when it has bought them all.
        """
        # Counted in images learnt from; one only looked at costs a third.
        watching, testing = len(usual.validation) / 3, self.experiment.tests * len(usual.test) / 3
        seconds = {}  # an image, by net
        for net in self.experiment.nets:
            whole, _ = self.experiment.trainer(usual, Training(net, 0)).estimate()
            seconds[net] = whole / (usual.epochs * (len(usual.train) + watching))
        of_each = sum(seconds[training.net] for training in self.trainings) / self.processes.size
        room = budget / of_each - testing
        images, most = int(room / usual.epochs - watching), available(self.data)
        if images > most:
            return most, int(room / (most + watching))
        if images < (least := min(FEWEST, most)):
            needed = of_each * (usual.epochs * (least + watching) + testing) / 60
            raise UserError(
                f"{self.experiment.name}: a budget of {budget / 60:g} minutes is too small for"
                f" {len(self.trainings)} trainings; {needed:.2g} would do for {least} images"
            )
        return images, usual.epochs


def _size(study: Study) -> tuple[int, int]:
    return len(study.train), study.epochs


def _is_number(found) -> bool:
    return type(found) in (int, float) and -math.inf < found < math.inf


def _is_date(found) -> bool:
    try:
        return isinstance(found, str) and bool(time.strptime(found, "%Y-%m-%d"))
    except ValueError:
        return False


def _fingerprint(data: Data) -> str:
    """Of the classes, the labels and what the training images are like."""
    parts = (data.train.labels, data.test.labels, np.asarray(data.train.mean, np.float32))
    found = hashlib.sha256(json.dumps(list(data.train.class_names)).encode())
    for part in parts:
        found.update(part.tobytes())
    return found.hexdigest()


def _share_done(trainer: Trainer) -> float:
    return trainer.steps / len(trainer.train_loader) / trainer.config.epochs
