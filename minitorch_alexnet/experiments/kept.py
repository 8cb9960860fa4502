"""What an experiment's folder holds: plan.json, and results.json with a digest of each training.

Both are read as a stranger's files: what does not fit is refused, not repaired.
"""

import hashlib
import json
import time
from dataclasses import asdict, fields
from itertools import starmap
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import Lock, read_json, write_json
from .experiment import Experiment, Training
from .plan import MOST_MINUTES, Plan

TOLD = {"rate": (), "train_error": (), "parameters": ()}  # by any arm; shapes, as in `tells`
RESULT = {"seconds", "date", "made_with", "identity", "arms", "sha256"}


class Kept:
    """The folder of an experiment."""

    def __init__(self, folder: Path, experiment: Experiment):
        self.folder, self.experiment = folder, experiment

    def lock(self) -> Lock:
        """For the time in which no other process may write there. UserError if one does."""
        return Lock(self.folder)

    # ---- the plan ----------------------------------------------------------------------------

    def plan(self, asked: dict, may_be) -> Plan | None:
        """The plan that is kept there, None if there is none yet.

        asked: what it must say, by name
        may_be: (pairs, images, epochs) -> is that a size which such a plan can have?

        Raises UserError if it says something else.
        """
        kept = self._read("plan.json")
        if kept is None:
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
        pairs, images, epochs = size = kept["pairs"], kept["images"], kept["epochs"]
        whole = all(type(number) is int and number > 0 for number in size)
        if not isinstance(kept["versions"], str) or not isinstance(kept["made_with"], dict):
            raise self._damaged("plan.json", "it does not say what it was made with")
        if not whole or not may_be(*size):
            raise self._damaged(
                "plan.json", f"no plan has {pairs} pairs, {images} images and {epochs} epochs"
            )
        return Plan(**kept)

    def write_plan(self, plan: Plan) -> None:
        write_json(self.folder / "plan.json", asdict(plan))

    # ---- results -----------------------------------------------------------------------------

    def results(self, plan: Plan, trainings: list[Training]) -> dict[str, dict]:
        """By str(Training). Raises UserError if they are not those of the plan's trainings."""
        results, known = self._read("results.json") or {}, {str(t): t for t in trainings}
        for name, result in results.items():
            if name not in known:
                raise self._damaged("results.json", f"{name} is no training of this experiment")
            if not self.fits(plan, known[name], result):
                raise self._damaged("results.json", f"{name} is not as it was written")
        self._expect_rates([known[name] for name in results], results)
        return results

    def _expect_rates(self, done: list[Training], results: dict[str, dict]) -> None:
        """UserError if one was not done with the rate that the trials choose."""
        arms = {name: result["arms"] for name, result in results.items()}
        for training in done:
            try:
                rate = self.experiment.rate(training, arms)
            except KeyError:  # trials are missing
                rate = None
            if any(numbers["rate"] != rate for numbers in arms[str(training)].values()):
                raise self._damaged(
                    "results.json", f"{training} was not done with the rate that the trials choose"
                )

    def write_results(self, results: dict[str, dict]) -> None:
        write_json(self.folder / "results.json", results)

    def fits(self, plan: Plan, training: Training, result) -> bool:
        """Is it a signed result of this training by this plan?"""
        has_numbers = _has_score if training.trial else self._has_measures
        return (
            isinstance(result, dict)
            and result.get("sha256") == digest(asdict(plan), str(training), result)
            and result.keys() - {"from"} == RESULT
            and _is_number(result["seconds"])
            and 0 <= result["seconds"] <= 60 * MOST_MINUTES
            and _is_date(result["date"])
            and isinstance(result["made_with"], dict)
            and isinstance(result.get("from", ""), str)
            and isinstance(result["arms"], dict)
            and result["arms"].keys() == set(self.experiment.decides(training))
            and all(map(has_numbers, result["arms"].values()))
        )

    def _has_measures(self, numbers) -> bool:
        """Does an arm have all its numbers, and nothing else than what it may tell?"""
        measures = self.experiment.measures
        shapes = TOLD | self.experiment.tells | {measure.key: () for measure in measures}

        def is_told(name, found):
            if name in ("failed", "arrived"):
                return isinstance(found, bool)
            if name == "start":  # {layer: (signal, gradient)}
                return isinstance(found, dict) and _is_array(list(found.values()), (None, 2))
            return name in shapes and _is_array(found, shapes[name])

        return (
            isinstance(numbers, dict)
            and {"rate", "failed", *(measure.key for measure in measures)} <= numbers.keys()
            and all(starmap(is_told, numbers.items()))
            and all(numbers[measure.key] > 0 for measure in measures if measure.ratio)
        )

    def beside(self) -> dict[str, dict]:
        """What the experiments in the folders beside this one have done, by identity."""
        found: dict[str, dict] = {}
        for path in self.folder.absolute().parent.glob("*/results.json"):
            folder = path.parent
            if folder == self.folder.absolute():
                continue
            try:
                plan, results = (read_json(folder / f"{n}.json") for n in ("plan", "results"))
                for name, result in results.items():
                    if result["sha256"] == digest(plan, name, result):
                        kept = {k: v for k, v in result.items() if k != "sha256"}
                        kept.setdefault("from", folder.name)
                        found[result["identity"]] = kept
            except (OSError, UserError, AttributeError, KeyError, TypeError):
                continue  # none of ours, or a damaged one
        return found

    # ---- both --------------------------------------------------------------------------------

    def _read(self, name: str) -> dict | None:
        """What the file of that name says; None if there is none."""
        path = self.folder / name
        try:
            found = read_json(path)
        except FileNotFoundError:
            return None
        except UserError as error:
            raise UserError(f"{error}: take another --out") from error
        if not isinstance(found, dict):
            raise self._damaged(name, "it holds no names with values")
        return found

    def _damaged(self, name: str, what: str) -> UserError:
        return UserError(f"{self.folder / name} is damaged ({what}): take another --out")


def signed(plan: Plan, training: Training, result: dict) -> dict:
    """The result with its digest."""
    return result | {"sha256": digest(asdict(plan), str(training), result)}


def digest(plan: dict, training: str, result: dict) -> str:
    """Of the plan, the training and its result: a number that changed on disk is found."""
    said = {name: value for name, value in result.items() if name != "sha256"}
    text = json.dumps([plan, training, said], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _has_score(numbers) -> bool:
    """Of a trial."""
    return (
        isinstance(numbers, dict)
        and _is_number(numbers.get("score"))
        and _is_number(numbers.get("rate"))
        and isinstance(numbers.get("failed"), bool)
    )


def _is_array(found, shape: tuple) -> bool:
    """Finite numbers in lists of that shape; None is any length."""
    try:
        array = np.asarray(found)
    except ValueError:  # ragged
        return False
    return (
        array.dtype.kind in "if"
        and array.ndim == len(shape)
        and all(wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True))
        and array.size > 0
        and bool(np.isfinite(array).all())
    )


def _is_number(found) -> bool:
    return _is_array(found, ())


def _is_date(found) -> bool:
    try:
        return isinstance(found, str) and bool(time.strptime(found, "%Y-%m-%d"))
    except ValueError:
        return False
