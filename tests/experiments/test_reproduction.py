"""Plans, budgets, and going on after an interruption as if there had been none."""

import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from minitorch_alexnet.data import Data
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.experiments import experiment as experiment_module
from minitorch_alexnet.experiments import find, reproduction
from minitorch_alexnet.experiments.experiment import (
    TRIAL_SEEDS,
    Experiment,
    Measure,
    Training,
)
from minitorch_alexnet.experiments.kept import digest
from minitorch_alexnet.experiments.outcome import Outcome, could_see
from minitorch_alexnet.experiments.plan import Plan
from minitorch_alexnet.experiments.report import csv_text
from minitorch_alexnet.experiments.reproduction import Reproduction
from minitorch_alexnet.files import Lock
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Flatten, Linear
from minitorch_alexnet.machine import made_with
from minitorch_alexnet.processes import Processes
from minitorch_alexnet.train import Trainer


def data_of(images=72, brightness=0):
    rng = np.random.default_rng(0)

    def split(count):
        labels = np.arange(count) % 3
        pixels = rng.integers(0, 40, (count, 1, 24, 24)) + 60 * labels[:, None, None, None]
        return ArrayDataset(np.uint8(pixels + brightness), labels)

    return Data("/some/where/noise", split(images), split(30))


TRAINED = []  # by Toys, in this test


class Toy(Experiment):
    """Two arms that are not trained: what they get follows from arm and seed."""

    name, title, section, claim, ours = "toy", "Toys", "0", "Blue is better.", "Toys."
    arms = ("blue", "red")
    measures = (
        Measure("test_error", "test error", "%", "red", "blue", "1 point", 1.0, 0.5, 0.8),
        Measure("epochs", "epochs", "", "blue", "red", "2 times", 2.0, 1.5, 0.3, ratio=True),
    )
    images, epochs, pairs, rates = 60, 3, 4, (0.1, 0.2)
    tells: ClassVar = {"shade": (), "epochs": (), "curve": (None, 2), "kernels": (4, 3, None, None)}
    colours: ClassVar = {"blue": "blue", "red": "red"}

    def config(self, study, training):
        return replace(super().config(study, training), note=self.colours[training.net])

    def net(self, study, training):
        net = Graph(study.shape, seed=None)
        (features,) = net.add("flatten", Flatten())
        net.add("fc1", Linear(features, 3, rng=np.random.default_rng(training.seed)))
        return net

    def train(self, trainer, study, training, on_step):
        TRAINED.append(training)
        on_step(trainer)
        trainer.epoch, trainer.batch = 1, len(trainer.train_loader) // 2
        on_step(trainer)
        colour, seed = trainer.config.note, training.seed
        if training.trial:
            score = 10 * training.rate
            return {training.net: {"score": score, "failed": False, "rate": training.rate}}
        number = 10 + seed + (3 + seed if colour == "red" else 0)
        epochs = {"blue": 8, "red": 2}.get(colour, 1) * (1 + seed)
        told = {"test_error": number, "epochs": epochs, "rate": training.rate, "failed": False}
        return {training.net: told | {"shade": seed}}


TRIALS = 2 * 2 * 3  # nets, rates, seeds


@pytest.fixture(autouse=True)
def trained():
    TRAINED.clear()
    return TRAINED


@pytest.fixture
def tmp_path(tmp_path):
    """A folder with none of another test's experiments beside it."""
    (tmp_path / "alone").mkdir()
    return tmp_path / "alone"


class Stop(BaseException):
    """Ctrl-C at a chosen step."""


def stop_after(steps):
    left = [steps]

    def on_step(run, share):
        left[0] -= 1
        if not left[0]:
            raise Stop

    return on_step


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


# ---- results -----------------------------------------------------------------------------------


def test_all_pairs_are_done_and_kept(tmp_path):
    heard, steps = [], []
    reproduction = Reproduction(Toy(), data_of(), tmp_path, seeds=2)
    assert len(reproduction.pending) == TRIALS + 4
    outcome = reproduction.go(
        lambda run, share: steps.append((run, share)), lambda run, r: heard.append((run, r))
    )
    trials = [
        Training(net, seed, rate)
        for net in ("blue", "red")
        for rate in (0.1, 0.2)
        for seed in TRIAL_SEEDS
    ]
    judged = [Training(net, seed) for net in ("blue", "red") for seed in (0, 1)]
    assert [run for run, _ in heard] == trials + judged
    assert [(run.net, run.seed) for run, _ in steps[::2]] == [run[:2] for run in trials + judged]
    assert [share for _, share in steps[:2]] == [0, pytest.approx((1 + 0 / 1) / 2)]  # of a trial
    assert [(r["arm"], r["seed"], r["test_error"]) for r in outcome.rows] == [
        ("blue", 0, 10),
        ("blue", 1, 11),
        ("red", 0, 13),
        ("red", 1, 15),
    ]
    assert [row["rate"] for row in outcome.rows] == [0.1] * 4  # the better one
    kept = read(tmp_path, "results.json")
    assert {name: result["arms"] for name, result in kept.items()} == {
        str(run): result["arms"] for run, result in heard
    }
    assert outcome.seconds == pytest.approx(sum(result["seconds"] for result in kept.values()))
    assert (outcome.test_images, outcome.shared) == (30, 0)
    assert reproduction.pending == []


def test_effects_are_paired_and_point_where_the_paper_does(tmp_path):
    outcome = Reproduction(Toy(), data_of(), tmp_path, seeds=6).go()
    error, epochs = Toy.measures
    assert outcome.values(error).tolist() == [[13, 15, 17, 19, 21, 23], [10, 11, 12, 13, 14, 15]]
    found = outcome.effect(error)  # red - blue: 3, 4, … 8
    half = 2.571 * math.sqrt(3.5 / 6)
    assert (found.middle, found.low) == (5.5, pytest.approx(5.5 - half))
    assert outcome.verdict(error) == "agrees"
    found = outcome.effect(epochs)  # blue / red: 4 each time
    assert (found.middle, found.low, found.high) == pytest.approx([math.log(4)] * 3)
    assert outcome.verdict(epochs) == "agrees"


def of_rows(blue, red):
    """An outcome with those epochs; None: not arrived in 60."""
    rows = [
        {"arm": arm, "seed": seed, "epochs": epochs or 60, "arrived": epochs is not None}
        for arm, found in (("blue", blue), ("red", red))
        for seed, epochs in enumerate(found)
    ]
    return Outcome(Toy(), None, 0, rows, 0.0, "", {}, [], 0)


def test_what_does_not_arrive_is_later_than_anything():
    epochs = Toy.measures[1]
    outcome = of_rows([None] * 6, [2, 3, 4, 5, 6, 10])  # blue has more of it
    assert outcome.arrived(epochs).tolist() == [[False] * 6, [True] * 6]
    found = outcome.effect(epochs)
    assert (found.low, found.high) == (pytest.approx(math.log(6)), math.inf)
    outcome = of_rows([2, 3, 4, 5, 6, 10], [None] * 6)
    found = outcome.effect(epochs)
    assert (found.low, found.high) == (-math.inf, pytest.approx(math.log(1 / 6)))
    assert outcome.verdict(epochs) == "the opposite"
    found = of_rows([None] * 6, [None] * 6).effect(epochs)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_a_net_no_better_than_a_guess_has_not_arrived_and_its_error_stands():
    error, epochs = Toy.measures
    outcome = of_rows([2, 3, 4, 5, 6, 10], [1, 2, 2, 2, 2, 2])
    outcome = replace(outcome, plan=SimpleNamespace(epochs=60))
    for row in outcome.rows:
        row |= {"failed": (row["arm"], row["seed"]) == ("red", 0), "test_error": 90.0}
    assert outcome.arrived(epochs).tolist() == [[True] * 6, [False] + [True] * 5]
    assert outcome.effect(epochs).low == -math.inf
    assert outcome.arrived(error).all()


@pytest.mark.parametrize(
    ("times", "verdict"),
    [(3.0, "agrees"), (1.9, "there, but smaller"), (1.2, "cannot tell"), (0.6, "opposite")],
)
def test_a_ratio_counts_and_is_compared_as_a_ratio(times, verdict):
    red = np.array([2.0, 3, 4, 5, 6, 7])
    assert verdict in of_rows(times * red, red).verdict(Toy.measures[1])


def test_a_forecast_is_of_the_measures_own_kind():
    error, epochs = Toy.measures
    assert could_see(error, 4) == pytest.approx((3.182 + 0.978) * 0.8 / 2)
    assert 1 < could_see(epochs, 20) < could_see(epochs, 8) < 2
    assert could_see(error, 1) == could_see(epochs, 5) == math.inf


def test_the_outcome_says_what_trials_came_to(tmp_path):
    outcome = Reproduction(Toy(), data_of(), tmp_path, seeds=1).go()
    assert outcome.trials == [
        {"net": net, "rate": rate, "score": 10 * rate, "failed": 0, "chosen": rate == 0.1}
        for net in ("blue", "red")
        for rate in (0.1, 0.2)
    ]


# ---- sharing -----------------------------------------------------------------------------------


class Other(Toy):
    """Its second arm is the first of Toy."""

    name, arms = "other", ("green", "sky")
    measures = (Measure("test_error", "test error", "%", "green", "sky", "1 point", 1.0, 0.5, 0.8),)
    colours: ClassVar = {"green": "green", "sky": "blue"}


def trained_by(experiment, folder, data=None, seeds=2):
    """Which trainings it did itself, and the outcome."""
    TRAINED.clear()
    outcome = Reproduction(experiment, data or data_of(), folder, seeds).go()
    return list(TRAINED), outcome


def test_an_arm_that_two_experiments_have_is_trained_once(tmp_path):
    _, toy = trained_by(Toy(), tmp_path / "toy")
    own, outcome = trained_by(Other(), tmp_path / "other")
    assert {training.net for training in own} == {"green"}
    assert len(own) == TRIALS // 2 + 2
    assert outcome.shared == TRIALS // 2 + 2
    sky, blue = outcome.of_arm("sky"), toy.of_arm("blue")
    assert [{**row, "arm": "blue"} for row in sky] == blue
    kept = read(tmp_path / "other", "results.json")
    assert {kept[name].get("from") for name in kept if name.startswith("sky")} == {"toy"}
    assert {kept[name].get("from") for name in kept if name.startswith("green")} == {None}
    own_seconds = sum(result["seconds"] for result in kept.values() if "from" not in result)
    assert outcome.seconds == pytest.approx(own_seconds)
    assert Reproduction(Other(), data_of(), tmp_path / "other", 2).pending == []  # it is ours
    shutil.rmtree(tmp_path / "toy")
    own, again = trained_by(Toy(), tmp_path / "toy")  # and back; it is the other's then
    assert {training.net for training in own} == {"red"}
    assert again.of_arm("blue") == blue


def test_a_third_one_names_the_first(tmp_path):
    class Third(Other):
        name = "third"

    trained_by(Toy(), tmp_path / "of toy")
    trained_by(Other(), tmp_path / "of other")
    shutil.rmtree(tmp_path / "of toy")
    trained_by(Third(), tmp_path / "of third")
    kept = read(tmp_path / "of third", "results.json")
    assert kept["sky, seed 0"]["from"] == "of toy"
    assert kept["green, seed 0"]["from"] == "of other"


@pytest.mark.parametrize(
    ("name", "value"),
    [("images", 50), ("epochs", 4), ("rates", (0.15, 0.25))],
)
def test_what_is_trained_otherwise_is_not_shared(tmp_path, monkeypatch, name, value):
    trained_by(Toy(), tmp_path / "toy")
    monkeypatch.setattr(Other, name, value)
    own, outcome = trained_by(Other(), tmp_path / "other")
    assert (len(own), outcome.shared) == (TRIALS + 4, 0)


def test_another_start_is_not_shared(tmp_path, monkeypatch):
    trained_by(Toy(), tmp_path / "toy")
    monkeypatch.setattr(Other, "net", lambda *a: Toy.net(*a[:2], a[2]._replace(seed=77)))
    own, _ = trained_by(Other(), tmp_path / "other")
    assert len(own) == TRIALS + 4


def test_other_images_seeds_and_ways_to_judge_are_not_shared(tmp_path, monkeypatch):
    trained_by(Toy(), tmp_path / "toy")
    own, _ = trained_by(Other(), tmp_path / "bright", data_of(brightness=1))
    assert len(own) == TRIALS + 4
    own, _ = trained_by(Other(), tmp_path / "other", seeds=3)
    assert Training("sky", 2, 0.1) in own
    assert Training("sky", 1, 0.1) not in own

    def judge(self, trainer, study, training):
        raise AssertionError

    monkeypatch.setattr(Other, "judge", judge)
    own, _ = trained_by(Other(), tmp_path / "judged otherwise", seeds=1)
    assert len(own) == TRIALS + 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"test_error": 1', '"test_error": 2'),
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "{}",
        lambda text: '{"blue, seed 0": 3}',
    ],
)
def test_a_damaged_neighbour_is_ignored(tmp_path, damage):
    trained_by(Toy(), tmp_path / "toy")
    path = tmp_path / "toy" / "results.json"
    path.write_text(damage(path.read_text()))
    (tmp_path / "notes.txt").touch()
    own, outcome = trained_by(Other(), tmp_path / "other")
    judged = [training for training in own if not training.trial]
    assert {training.net for training in judged} == {"green", "sky"}
    assert [row["test_error"] for row in outcome.of_arm("sky")] == [10, 11]


def test_a_neighbours_plan_is_part_of_what_is_checked(tmp_path):
    trained_by(Toy(), tmp_path / "toy")
    plan = read(tmp_path / "toy", "plan.json")
    (tmp_path / "toy" / "plan.json").write_text(json.dumps({**plan, "data": "others"}))
    own, _ = trained_by(Other(), tmp_path / "other")
    assert len(own) == TRIALS + 4


@pytest.mark.parametrize(
    ("first", "second", "colours"),
    [
        (("overlap", "3×3, stride 2"), ("two-devices", "two towers"), 1),
        (("depth", "five convolutions"), ("pca-colour", "without"), 3),
    ],
)
def test_a_baseline_is_one_training_on_any_number_of_threads(
    tmp_path, set_threads, monkeypatch, first, second, colours
):
    rng, found = np.random.default_rng(0), []
    images = np.uint8(rng.integers(0, 256, (72, colours, 28, 28)))
    split = ArrayDataset(images, np.arange(72) % 3)
    monkeypatch.setattr(Experiment, "epochs", 2)
    for threads, (name, arm) in enumerate((first, second), start=1):
        set_threads(threads)
        doing = Reproduction(find(name), Data("noise", split, split), tmp_path / name)
        for seed in (1, 2010):
            training = Training(arm, seed, 0.02)
            trainer = doing.experiment.trainer(doing.study, training)
            identity = doing._identity(training, trainer)
            numbers = doing.experiment.train(trainer, doing.study, training, lambda t: None)
            found.append((identity, numbers[arm]))
    assert found[:2] == found[2:]
    assert found[0][0] != found[1][0]


# ---- going on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 3, 24, 25, 30])
def test_after_an_interruption_the_rest_is_done_and_nothing_twice(tmp_path, steps):
    there, here = tmp_path / "1" / "undisturbed", tmp_path / "2" / "interrupted"
    undisturbed = Reproduction(Toy(), data_of(), there, seeds=2).go()
    with pytest.raises(Stop):
        Reproduction(Toy(), data_of(), here, seeds=2).go(stop_after(steps))
    heard, done = [], (steps - 1) // 2  # of two steps each
    again = Reproduction(Toy(), data_of(), here, seeds=2)
    assert len(again.pending) == TRIALS + 4 - done
    outcome = again.go(on_result=lambda run, result: heard.append(run))
    assert heard == again.trainings[done:]
    assert csv_text(outcome) == csv_text(undisturbed)
    assert read(here, "plan.json") == read(there, "plan.json")


@pytest.fixture
def one_trial(monkeypatch):
    """One rate, tried once."""
    monkeypatch.setattr(experiment_module, "TRIAL_SEEDS", (2010,))
    monkeypatch.setattr(Experiment, "rates", (0.02,))


def test_a_real_experiment_goes_on_to_the_same_numbers(tmp_path, monkeypatch, one_trial):
    experiment, data = find("overlap"), data_of()
    monkeypatch.setattr(Experiment, "epochs", 2)
    there, here = tmp_path / "1" / "undisturbed", tmp_path / "2" / "interrupted"
    undisturbed = Reproduction(experiment, data, there, seeds=1).go()
    steps = 2 * 2 + 2 * 2 + 3  # two trials of an epoch, two batches each, and three of a training
    with pytest.raises(Stop):
        Reproduction(experiment, data, here, seeds=1).go(stop_after(steps))
    again = Reproduction(experiment, data, here, seeds=1)
    assert again.pending == [Training("2×2, stride 2", 0)]
    assert csv_text(again.go()) == csv_text(undisturbed)


def test_a_finished_one_is_not_done_again(tmp_path):
    first = Reproduction(Toy(), data_of(), tmp_path, seeds=2).go()
    again = Reproduction(Toy(), data_of(), tmp_path, seeds=2).go(stop_after(1))
    assert replace(again, experiment=first.experiment) == first


def test_what_made_the_numbers_is_recorded_and_another_commit_goes_on(tmp_path, monkeypatch):
    made = {"commit": "one", "blas": "b", "cpu": "c", "threads": "2"}
    monkeypatch.setattr(reproduction, "made_with", lambda: made)
    with pytest.raises(Stop):
        Reproduction(Toy(), data_of(), tmp_path, seeds=1).go(stop_after(2 * TRIALS + 3))
    other = {**made, "commit": "two"}
    monkeypatch.setattr(reproduction, "made_with", lambda: other)
    outcome = Reproduction(Toy(), data_of(), tmp_path, seeds=1).go()
    first = "6 trials of “blue”; 6 trials of “red”; 1 of “blue”"
    done = [{**made, "trainings": first}, {**other, "trainings": "1 of “red”"}]
    assert outcome.made_with == done
    assert outcome.plan.made_with == read(tmp_path, "plan.json")["made_with"] == made
    kept = read(tmp_path, "results.json")
    assert (kept["blue, seed 0"]["made_with"], kept["red, seed 0"]["made_with"]) == (made, other)


def test_a_plan_that_another_machine_made_meanwhile_is_taken(tmp_path, monkeypatch):
    def meanwhile():
        monkeypatch.setattr(reproduction, "made_with", lambda: {"commit": "other"})
        Reproduction(Toy(), data_of(), tmp_path)
        return {"commit": "one"}

    monkeypatch.setattr(reproduction, "made_with", meanwhile)
    assert Reproduction(Toy(), data_of(), tmp_path).plan.made_with == {"commit": "other"}


# ---- the plan ----------------------------------------------------------------------------------


def test_the_plan_is_written_before_the_first_run(tmp_path):
    with pytest.raises(Stop):
        Reproduction(Toy(), data_of(), tmp_path, seeds=2).go(stop_after(1))
    plan = Plan(**read(tmp_path, "plan.json"))
    assert (plan.experiment, plan.data, plan.seeds, plan.budget) == ("toy", "noise", 2, None)
    assert (plan.pairs, plan.images, plan.epochs) == (2, 60, 3)
    assert plan.counts == {
        "test error of “red” against “blue”": 0.5,
        "epochs of “blue” against “red”": 1.5,
    }
    assert plan.made_with == made_with()
    assert plan.made_with.keys() == {"commit", "blas", "cpu", "threads"}
    assert plan.recipe.keys() == {"blue", "red"}
    assert "NumPy" in plan.versions
    assert "/some/where" not in (tmp_path / "plan.json").read_text()
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": 3}, "its seeds is 2, this one's 3"),
        ({"budget": 50.0}, "its budget is None, this one's 50.0"),
        ({"data": data_of(brightness=1)}, "its fingerprint is"),
        ({"data": data_of(images=60)}, "its fingerprint is"),
        ({"data": replace(data_of(), name="other")}, "its data is noise, this one's other"),
        ({"experiment": find("overlap")}, "its experiment is toy, this one's overlap"),
    ],
)
def test_another_plan_is_refused_and_nothing_is_changed(tmp_path, change, said):
    asked = {"experiment": Toy(), "data": data_of(), "seeds": 2}
    Reproduction(folder=tmp_path, **asked).go()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError) as error:
        Reproduction(folder=tmp_path, **{**asked, **change})
    assert said in str(error.value)
    assert "another --out" in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_counts_cannot_be_said_afterwards(tmp_path, monkeypatch):
    Reproduction(Toy(), data_of(), tmp_path)
    error, epochs = Toy.measures
    monkeypatch.setattr(Toy, "measures", (replace(error, counts=0.1), epochs))
    with pytest.raises(UserError, match="its counts is"):
        Reproduction(Toy(), data_of(), tmp_path)


def test_another_recipe_or_version_is_refused(tmp_path, monkeypatch):
    Reproduction(Toy(), data_of(), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Toy, "recipe", lambda *a: "slower")
        with pytest.raises(UserError, match="its recipe is"):
            Reproduction(Toy(), data_of(), tmp_path)
    monkeypatch.setattr(np, "__version__", "9.9")
    with pytest.raises(UserError, match=r"begun with .* this is .*NumPy 9\.9"):
        Reproduction(Toy(), data_of(), tmp_path)


def test_a_finished_one_is_told_by_later_versions_too(tmp_path, monkeypatch):
    first = Reproduction(Toy(), data_of(), tmp_path, seeds=1).go()
    monkeypatch.setattr(np, "__version__", "9.9")
    assert Reproduction(Toy(), data_of(), tmp_path, seeds=1).outcome().rows == first.rows


@pytest.mark.parametrize("name", ["plan.json", "results.json"])
def test_a_damaged_file_is_named(tmp_path, name):
    Reproduction(Toy(), data_of(), tmp_path).go()
    (tmp_path / name).write_text('{"half a')
    with pytest.raises(UserError, match=f"{name} is damaged"):
        Reproduction(Toy(), data_of(), tmp_path)


def test_images_that_do_not_suit_leave_no_plan(tmp_path):
    with pytest.raises(UserError, match=r"pca-colour: .* these images are grey"):
        Reproduction(find("pca-colour"), data_of(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("seeds", "budget"), [(0, None), (2, 0.0), (2, -1.0), (2, math.nan)])
def test_numbers_that_cannot_be(tmp_path, seeds, budget):
    with pytest.raises(UserError, match="expected seeds ≥ 1 and a budget > 0"):
        Reproduction(Toy(), data_of(), tmp_path, seeds, budget)


# ---- the budget --------------------------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch):
    """An image of a step takes a hundredth of a second for blue, three hundredths for red."""

    def estimate(trainer):
        seen = trainer.config.epochs * (
            len(trainer.train_loader.dataset) + len(trainer.validation) / 3
        )
        dearer = 3 if trainer.config.note == "red" else 1
        return 0.01 * dearer * seen, 0

    monkeypatch.setattr(Toy, "images", 600)
    monkeypatch.setattr(Trainer, "estimate", estimate)


def planned(folder, budget, seeds=None, processes=None):
    asked = {} if processes is None else {"processes": processes}
    plan = Reproduction(Toy(), data_of(2400), folder, seeds, budget, **asked).plan
    return plan.pairs, plan.images, plan.epochs


# A training has 3 epochs of 600 images; the 200 that are held out cost a third, 66.7 an epoch, the
# 30 test images 10: 2010. The two nets' six trials have two epochs of the three and count as four
# trainings. A pair takes 0.04 s an image.


def test_a_budget_buys_pairs(tmp_path, slow):
    # 15 minutes: 900 / (0.04 · 2010) = 11.2, less 4
    assert planned(tmp_path / "a", 15) == (7, 600, 3)
    assert planned(tmp_path / "b", 13.5) == (6, 600, 3)  # 10.07 - 4


def test_one_that_buys_no_six_buys_six_shorter_ones(tmp_path, slow):
    # 8.11 minutes buy 2.05 pairs; 486.6 / (0.04 · 10) = 1216.5, less 10; / 3 - 66.7 = 335.5
    assert planned(tmp_path, 8.11) == (6, 335, 3)


def test_a_budget_for_so_many_seeds_buys_images(tmp_path, slow):
    # 240 / (0.04 · 6) - 10 = 990; / 3 - 66.7 = 263
    assert planned(tmp_path, 4, seeds=2) == (2, 263, 3)


def test_a_longer_budget_buys_epochs_once_it_has_all_images(tmp_path, slow):
    # 2200 can be learnt from: (80 · 60 / 0.24 - 10) / (2200 + 66.7) = 8.8
    assert planned(tmp_path, 80, seeds=2) == (2, 2200, 8)


def test_a_budget_that_is_too_small_says_what_would_do(tmp_path, slow):
    # 100 images: 3 · (100 + 66.7) + 10 = 510 a training, · 0.04 s · 6 = 122 s, or 2.04 minutes
    with pytest.raises(UserError, match=r"too small for 16 trainings; 2.1 would do for 100 images"):
        planned(tmp_path / "a", 1, seeds=2)
    assert planned(tmp_path / "a", 2.1, seeds=2)[1] >= 100
    with pytest.raises(UserError, match=r"too small for 24 trainings; 3.6 would do for 100 images"):
        planned(tmp_path / "b", 1)  # six pairs


def test_more_seeds_share_the_budget(tmp_path, slow):
    # with the trials: 4 + 2 and 4 + 8 pairs
    (_, *two), (_, *eight) = (
        planned(tmp_path / str(seeds), budget, seeds) for seeds, budget in ((2, 4), (8, 8))
    )
    assert two == eight


def test_two_processes_buy_twice_as_much(tmp_path, slow):
    class Two(Processes):
        size = 2

    assert planned(tmp_path / "a", 6.5, processes=Two()) == planned(tmp_path / "b", 13)


def test_a_budget_buys_no_more_pairs_than_there_may_be(tmp_path, slow, monkeypatch):
    monkeypatch.setattr("minitorch_alexnet.experiments.plan.MOST_SEEDS", 7)
    assert planned(tmp_path, 1000) == (7, 600, 3)


def test_a_plan_with_a_budget_is_kept_however_fast_the_machine_is_then(tmp_path, slow, monkeypatch):
    assert planned(tmp_path, 15) == (7, 600, 3)
    monkeypatch.setattr(Trainer, "estimate", lambda trainer: (1e9, 0))
    assert planned(tmp_path, 15) == (7, 600, 3)


@pytest.mark.parametrize(
    ("budget", "seeds", "other"),
    [
        (15, None, {"pairs": 5}),  # fewer than six are not bought
        (15, None, {"pairs": 1001}),
        (15, None, {"epochs": 2}),
        (15, None, {"epochs": 4}),  # with all images alone
        (15, None, {"images": 2201}),
        (80, 2, {"pairs": 3}),
        (80, 2, {"epochs": 2}),
    ],
)
def test_sizes_that_no_budget_buys(tmp_path, slow, budget, seeds, other):
    planned(tmp_path, budget, seeds)
    plan = {**read(tmp_path, "plan.json"), **other}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(UserError, match=r"plan\.json is damaged \(no plan has"):
        planned(tmp_path, budget, seeds)


def test_an_outcomes_arms_come_by_seed():
    rows = [{"arm": arm, "seed": seed, "test_error": seed} for seed in (0, 1) for arm in Toy.arms]
    outcome = Outcome(Toy(), None, 0, rows, 0.0, "", {}, [], 0)
    assert [row["seed"] for row in outcome.of_arm("red")] == [0, 1]


# ---- what somebody else has left there -----------------------------------------------------------


def once_more(folder, **asked):
    return Reproduction(Toy(), data_of(), folder, **{"seeds": 2, **asked})


@pytest.fixture
def done(tmp_path):
    """A folder where all is done; and a function that changes one of its files."""
    once_more(tmp_path).go()

    def change(name, changed):
        found = changed(read(tmp_path, name))
        (tmp_path / name).write_text(json.dumps(found))

    return tmp_path, change


def test_results_without_their_plan(done):
    folder, _ = done
    (folder / "plan.json").unlink()
    with pytest.raises(UserError, match=r"holds other files already, such as results\.json"):
        once_more(folder)


def test_a_folder_of_others(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"holds other files already, such as notes\.txt"):
        once_more(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


FIRST = "blue, seed 0"
AS_DONE = {"test_error": 10, "epochs": 8, "rate": 0.1, "failed": False, "shade": 0}


def resigned(folder, result):
    """The result as a stranger would write it who knows how."""
    return {**result, "sha256": digest(read(folder, "plan.json"), FIRST, result)}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("seconds", value) for value in (math.nan, math.inf, -1, 1e308, "1", None, True)),
        *(("date", value) for value in ("yesterday", 2012, None)),
        *(("arms", value) for value in (None, [], {}, {"green": {}}, {"blue": None})),
        *(("made_with", value) for value in (None, "me", [])),
        *(
            ("arms", {"blue": {k: v for k, v in AS_DONE.items() if k != missing}})
            for missing in ("rate", "failed", "test_error", "epochs")
        ),
        ("from", 1),
        *(
            ("arms", {"blue": AS_DONE | numbers})
            for numbers in (
                {"rate": 0.2},  # not the one that the trials choose
                {"rate": None},
                {"failed": 0},
                {"arrived": "no"},
                {"shade": "dark"},
                {"more": 1},  # nothing that is told
                {"test_error": 10**400},
                {"start": {}},
                {"start": {"conv1": [1.0]}},
                {"start": {"conv1": [1.0, "2"]}},
                {"start": [[1.0, 2.0]]},
                {"curve": []},
                {"curve": [[1.0], [1.0, 2.0]]},
                {"curve": [[1.0, math.nan]]},
                {"kernels": [[1.0]]},
                {"kernels": np.ones((3, 3, 1, 1)).tolist()},
                {"kernels": np.ones((4, 3, 1, 0)).tolist()},
                {"test_error": math.nan},
                {"test_error": math.inf},
                {"test_error": "10"},
                {"test_error": [10]},
                {"epochs": 0},
                {"epochs": None},
            )
        ),
    ],
)
def test_results_that_cannot_be(done, name, value, signed):
    folder, change = done

    def changed(results):
        result = {**results[FIRST], name: value}
        return {**results, FIRST: resigned(folder, result) if signed else result}

    change("results.json", changed)
    with pytest.raises(UserError, match=r"results\.json is damaged .*another --out"):
        once_more(folder)


def test_results_may_hold_more_that_is_known(done):
    folder, change = done
    more = {"start": {"fc1": [1.0, 2]}, "curve": [[0, 90.0]], "arrived": True, "parameters": 7}
    more["kernels"] = np.ones((4, 3, 2, 2)).tolist()

    def changed(results):
        result = {**results[FIRST], "arms": {"blue": AS_DONE | more}}
        return {**results, FIRST: resigned(folder, result)}

    change("results.json", changed)
    assert once_more(folder).outcome().of_arm("blue")[0]["curve"] == [[0, 90.0]]


def test_a_judged_training_without_its_trials(done):
    folder, change = done
    name = "red, seed 2011, rate 0.2"
    change("results.json", lambda results: {k: v for k, v in results.items() if k != name})
    with pytest.raises(UserError, match=r"results\.json is damaged .*rate that the trials choose"):
        once_more(folder)


@pytest.mark.parametrize(
    "numbers",
    [
        None,
        {},
        {"score": 1.0, "rate": 0.1},
        {"failed": False, "rate": 0.1},
        {"score": 1.0, "failed": False},
        {"score": math.nan, "failed": False, "rate": 0.1},
        {"score": "1", "failed": False, "rate": 0.1},
        {"score": 1.0, "failed": 0, "rate": 0.1},
        {"score": 1.0, "failed": False, "rate": 0.2},
    ],
)
def test_trials_that_cannot_be(done, numbers):
    folder, change = done
    name = "blue, seed 2010, rate 0.1"

    def changed(results):
        result = {**results[name], "arms": {"blue": numbers}}
        made = digest(read(folder, "plan.json"), name, result)
        return {**results, name: {**result, "sha256": made}}

    change("results.json", changed)
    with pytest.raises(UserError, match=r"results\.json is damaged .*another --out"):
        once_more(folder)


def test_a_number_that_changed_on_disk(done):
    folder, _ = done
    text = (folder / "results.json").read_text()
    assert text.count('"test_error": 10,') == 1
    (folder / "results.json").write_text(text.replace('"test_error": 10,', '"test_error": 18,'))
    with pytest.raises(UserError, match=r"results\.json is damaged .*blue, seed 0"):
        once_more(folder)


@pytest.mark.parametrize(
    "changed",
    [
        lambda results: [],
        lambda results: {**results, "green, seed 0": results[FIRST]},
        lambda results: {**results, "red, seed 0": results[FIRST]},
        lambda results: {**results, FIRST: [1]},
        lambda results: {**results, FIRST: {**results[FIRST], "more": 1}},
    ],
)
def test_results_of_another_form(done, changed):
    folder, change = done
    change("results.json", changed)
    with pytest.raises(UserError, match=r"results\.json is damaged"):
        once_more(folder)


@pytest.mark.parametrize(
    "other",
    [
        *({"images": value} for value in (0, -1, 67, 59, "60", 60.0, None, True)),
        *({"epochs": value} for value in (0, 2, 10**9, "3", None)),
        *({"pairs": value} for value in (0, 3, 1001, "2", True, None)),
        {"surprise": 1},
        {"seeds": 2.0},
        {"recipe": None},
        *({"versions": value} for value in (None, ["x"])),
        {"made_with": "me"},
    ],
    ids=str,
)
def test_plans_that_cannot_be(tmp_path, other):
    once_more(tmp_path)
    plan = read(tmp_path, "plan.json")
    assert plan["images"] == 60
    (tmp_path / "plan.json").write_text(json.dumps({**plan, **other}))
    with pytest.raises(UserError, match=r"plan\.json is damaged|another plan: its (seeds|recipe)"):
        once_more(tmp_path)


def test_a_plan_of_nothing(tmp_path):
    once_more(tmp_path)
    for text in "[]", "{}", "3", "[" * 100_000:
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(UserError, match=r"plan\.json is damaged"):
            once_more(tmp_path)


def test_one_process_at_a_time(tmp_path):
    first, second = once_more(tmp_path), once_more(tmp_path)
    with Lock(tmp_path), pytest.raises(UserError, match="another process is at work"):
        second.go()
    first.go()
    heard = []
    second.go(on_result=lambda training, result: heard.append(training))  # it looks again
    assert heard == []


@pytest.mark.parametrize(("seeds", "budget"), [(1001, None), (2, math.inf), (2, 1e308)])
def test_numbers_without_end(tmp_path, seeds, budget):
    with pytest.raises(UserError, match="expected at most 1000 seeds"):
        once_more(tmp_path, seeds=seeds, budget=budget)
