"""Doing an experiment: its plan and size, the trainings one after the other, and going on later."""

import hashlib
import json
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .. import __version__
from ..data import Data
from ..errors import UserError
from ..files import write_json
from ..train import Trainer
from .experiment import Experiment, Measure, Study, Training, available
from .statistics import Effect, effect

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
    """An experiment on a data set, kept in a folder: plan.json and, training by training,
    results.json.

    seeds: 0 … seeds-1, each a pair of trainings
    budget: minutes for all trainings together; default: the experiment's own size

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
    ):
        if seeds < 1 or (budget is not None and not budget > 0):
            raise UserError(f"expected seeds ≥ 1 and a budget > 0, got {seeds} and {budget}")
        if why := experiment.why_not(data):
            raise UserError(f"{experiment.name}: {why}")
        self.experiment, self.data, self.folder = experiment, data, Path(folder)
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
        self.plan = self._plan_kept(asked) or self._plan_anew(asked, study)
        self.study = Study.of(data, self.plan.images, self.plan.epochs)
        self.results: dict[str, dict] = self._read("results.json") or {}

    @property
    def pending(self) -> list[Training]:
        return [training for training in self.trainings if str(training) not in self.results]

    def go(
        self,
        on_step: Callable[[Training, float], None] = lambda training, share: None,
        on_result: Callable[[Training, dict], None] = lambda training, result: None,
    ) -> Outcome:
        """Do what is left of the trainings; each result is on disk before the next one begins.

        on_step: hears after each step of a training which share of it is done, 0 … 1
        on_result: hears of each one its result: {"seconds", "date", "arms": {arm: its numbers}}
        """
        for training in self.pending:
            result = self._do(training, on_step)
            self.results[str(training)] = result
            write_json(self.folder / "results.json", self.results)
            on_result(training, result)
        return self.outcome()

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
        return {"seconds": seconds, "date": time.strftime("%Y-%m-%d"), "arms": arms}

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

    # ---- the plan ----------------------------------------------------------------------------

    def _read(self, name: str) -> dict | None:
        path = self.folder / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}): take another --out") from error

    def _plan_kept(self, asked: dict) -> Plan | None:
        kept = self._read("plan.json")
        for name, value in asked.items():
            if kept and kept[name] != value:
                raise UserError(
                    f"{self.folder} holds an experiment with another plan: its {name} is"
                    f" {kept[name]}, this one's {value}. Repeat the command that began it, or take"
                    " another --out"
                )
        return Plan(**kept) if kept else None

    def _plan_anew(self, asked: dict, usual: Study) -> Plan:
        images, epochs = len(usual.train), usual.epochs
        if asked["budget"] is not None:
            images, epochs = self._affordable(60 * asked["budget"], usual)
        plan = Plan(**asked, images=images, epochs=epochs)
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
        of_each = sum(seconds[training.net] for training in self.trainings)
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


def _fingerprint(data: Data) -> str:
    """Of the classes, the labels and what the training images are like."""
    parts = (data.train.labels, data.test.labels, np.asarray(data.train.mean, np.float32))
    found = hashlib.sha256(json.dumps(list(data.train.class_names)).encode())
    for part in parts:
        found.update(part.tobytes())
    return found.hexdigest()


def _share_done(trainer: Trainer) -> float:
    return trainer.steps / len(trainer.train_loader) / trainer.config.epochs
