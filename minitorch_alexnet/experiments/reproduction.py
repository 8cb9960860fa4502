"""Doing an experiment: its trainings one after the other, and going on later."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from ..data import Data
from ..described import in_words
from ..errors import UserError
from ..files import expect_ours
from ..machine import made_with
from ..processes import ALONE, Processes
from ..train import Trainer
from .experiment import Experiment, Study, Training, available
from .kept import Kept, signed
from .outcome import Outcome
from .plan import FEW_PAIRS, MOST_MINUTES, MOST_SEEDS, Plan, affordable, asked_for, versions


class Reproduction:
    """An experiment on a data set, kept in plan.json and, training by training, in results.json.

    seeds: 0 … seeds-1, each trained in all arms; default: the experiment's own number
    budget: minutes for all trainings together; default: as long as they take. Without seeds it
            buys pairs of whole trainings, or, if not six of them, six pairs on fewer images;
            with seeds it buys images, and then epochs
    processes: those that share the trainings out. Each makes its Reproduction, with the same
               arguments; the first one alone writes

    A training that an experiment in a folder beside this one has done as well is not done again.

    Raises UserError if the images do not suit the experiment, the budget is too small, or the
    folder holds another plan, or one that was begun with other versions and is not done.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Data,
        folder: str | Path,
        seeds: int | None = None,
        budget: float | None = None,
        processes: Processes = ALONE,
    ):
        if (seeds is not None and seeds < 1) or (budget is not None and not budget > 0):
            raise UserError(f"expected seeds ≥ 1 and a budget > 0, got {seeds} and {budget}")
        if (seeds or 0) > MOST_SEEDS or (budget is not None and budget > MOST_MINUTES):
            raise UserError(
                f"expected at most {MOST_SEEDS} seeds and a budget of {MOST_MINUTES:,} minutes, got"
                f" {seeds} and {budget}"
            )
        expect_ours(folder, "plan.json")
        if why := experiment.why_not(data):
            raise UserError(f"{experiment.name}: {why}")
        data = experiment.prepared(data)
        self.experiment, self.data, self.processes = experiment, data, processes
        self.kept = Kept(Path(folder), experiment)
        first = processes.rank == 0
        self.plan: Plan = processes.broadcast(self._plan(seeds, budget) if first else None)
        self.trainings = experiment.trainings(self.plan.pairs)
        self.study = Study.of(data, self.plan.images, self.plan.epochs)
        self.results = processes.broadcast(self._results() if first else {})
        if self.pending and self.plan.versions != versions():
            raise UserError(
                f"{folder} holds an experiment that was begun with {self.plan.versions}, and this"
                f" is {versions()}: end it with those, or take another --out"
            )

    def _plan(self, seeds: int | None, budget: float | None) -> Plan:
        """The one that is kept there, or a new one."""
        experiment, most = self.experiment, available(self.data)
        usual = Study.of(self.data, experiment.images, experiment.epochs)
        size = seeds or experiment.pairs, len(usual.train), usual.epochs
        asked = asked_for(experiment, self.data, usual, seeds, budget)

        def may_be(pairs, images, epochs):
            if budget is None:
                return (pairs, images, epochs) == size
            asked_or_bought = pairs == seeds if seeds else FEW_PAIRS <= pairs <= MOST_SEEDS
            longer = images == most and epochs > usual.epochs  # that is bought last
            return asked_or_bought and images <= most and (epochs == usual.epochs or longer)

        if kept := self.kept.plan(asked, may_be):
            return kept
        if budget is not None:
            count = self.processes.size
            size = affordable(experiment, usual, most, count, 60 * budget, seeds)
        pairs, images, epochs = size
        made = {"versions": versions(), "made_with": made_with()}
        plan = Plan(**asked | made, pairs=pairs, images=images, epochs=epochs)
        with self.kept.lock():
            if kept := self.kept.plan(asked, may_be):  # of another process, meanwhile
                return kept
            self.kept.write_plan(plan)
        return plan

    def _results(self) -> dict[str, dict]:
        return self.kept.results(self.plan, self.trainings)

    @property
    def pending(self) -> list[Training]:
        return [training for training in self.trainings if str(training) not in self.results]

    def go(
        self,
        on_step: Callable[[Training, float], None] = lambda training, share: None,
        on_result: Callable[[Training, dict], None] = lambda training, result: None,
    ) -> Outcome:
        """Do what is left of the trainings; each result is on disk before the next one begins.

        Several processes each do a training of their own at a time, and the results of those are
        on disk when all are done.

        on_step: hears after each step of its training which share of it is done, 0 … 1
        on_result: hears of each one its result, as results.json has it: {"arms": {arm: its
                   numbers}, "seconds", …}

        Raises UserError if another process does so in the folder.
        """
        if self.processes.rank:
            self._go_on(on_step, on_result)
            return self.outcome()
        with self.kept.lock():
            self.results = self._results()  # another process may have been here
            self._go_on(on_step, on_result)
        return self.outcome()

    def _go_on(self, on_step, on_result) -> None:
        rank, size = self.processes.rank, self.processes.size
        shelf = self.kept.beside() if rank == 0 else None
        self.results, shelf = self.processes.broadcast((self.results, shelf))
        for _, alike in groupby(self.pending, lambda training: training.trial):  # trials first
            trainings = list(alike)
            for start in range(0, len(trainings), size):
                some = trainings[start : start + size]
                mine = self._do(some[rank], shelf, on_step) if rank < len(some) else None
                for training, result in zip(some, self.processes.gather(mine), strict=False):
                    self.results[str(training)] = result
                    if rank == 0:
                        self.kept.write_results(self.results)
                        on_result(training, result)

    def _do(self, training: Training, shelf: dict, on_step) -> dict:
        before = {name: result["arms"] for name, result in self.results.items()}
        training = training._replace(rate=self.experiment.rate(training, before))
        trainer = self.experiment.trainer(self.study, training)
        identity = self._identity(training, trainer)
        if identity in shelf:
            arms = shelf[identity]["arms"]
            if len(arms) == 1:  # another experiment may call it by another name
                arms = {training.net: next(iter(arms.values()))}
            taken = signed(self.plan, training, shelf[identity] | {"arms": arms})
            if self.kept.fits(self.plan, training, taken):
                return taken
        done = self._train(training, trainer, on_step)
        return signed(self.plan, training, done | {"identity": identity})

    def _train(self, training: Training, trainer: Trainer, on_step) -> dict:
        clock = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a trainer says where it overflowed
            arms = self.experiment.train(
                trainer,
                self.study,
                training,
                lambda trainer: on_step(training, _share_done(trainer)),
            )
        return {
            "seconds": round(time.perf_counter() - clock, 2),
            "date": time.strftime("%Y-%m-%d"),
            "made_with": made_with(),
            "arms": arms,
        }

    def _identity(self, training: Training, trainer: Trainer) -> str:
        """Of all that decides a training's numbers: two alike need be done once."""
        weights = hashlib.sha256()
        for name, array in trainer.net.state_dict().items():
            weights.update(name.encode() + array.tobytes())
        parts = (
            in_words(trainer.net),
            weights.hexdigest(),
            asdict(trainer.config),
            [type(trainer.schedule).__name__, vars(trainer.schedule)],
            [self.plan.fingerprint, self.plan.images, self.plan.epochs, self.plan.versions],
            [self.experiment.train.__qualname__, self.experiment.judge.__qualname__],
            training.trial,
            {name: value for name, value in made_with().items() if name != "threads"},
        )
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def outcome(self) -> Outcome:
        """Of trainings that are all done."""
        return Outcome.of(self.experiment, self.plan, self.results, len(self.data.test))


def _share_done(trainer: Trainer) -> float:
    return trainer.steps / len(trainer.train_loader) / trainer.config.epochs
