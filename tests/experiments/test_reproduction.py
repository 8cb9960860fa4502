"""Plans, budgets, and going on after an interruption as if there had been none."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from minitorch_alexnet.data import Data
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.experiments import find
from minitorch_alexnet.experiments.experiment import Experiment, Measure, Training
from minitorch_alexnet.experiments.report import csv_text
from minitorch_alexnet.experiments.reproduction import Outcome, Plan, Reproduction
from minitorch_alexnet.files import Lock
from minitorch_alexnet.train import Trainer


def data_of(images=72, brightness=0):
    rng = np.random.default_rng(0)

    def split(count):
        labels = np.arange(count) % 3
        pixels = rng.integers(0, 40, (count, 1, 24, 24)) + 60 * labels[:, None, None, None]
        return ArrayDataset(np.uint8(pixels + brightness), labels)

    return Data("/some/where/noise", split(images), split(30))


class Toy(Experiment):
    """Two arms that are not trained: what they get follows from arm and seed."""

    name, title, section, claim, ours = "toy", "Toys", "0", "Blue is better.", "Toys."
    arms = ("blue", "red")
    measures = (
        Measure("test_error", "test error", "%", larger=1, paper="1 point"),
        Measure("epochs", "epochs", "", larger=0, paper="2 times", ratio=True),
    )
    images, epochs = 60, 3

    def train(self, study, run, results, on_step):
        trainer = self.trainer(study, run)
        on_step(trainer)
        trainer.epoch, trainer.batch = 1, len(trainer.train_loader) // 2
        on_step(trainer)
        number = 10 + run.seed + (3 + run.seed if run.net == "red" else 0)
        epochs = {"blue": 8, "red": 2}[run.net] * (1 + run.seed)
        return {run.net: {"test_error": number, "epochs": epochs, "seen": sorted(results)}}


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
    assert len(reproduction.pending) == 4
    outcome = reproduction.go(
        lambda run, share: steps.append((run, share)), lambda run, r: heard.append((run, r))
    )
    runs = [Training("blue", 0), Training("red", 0), Training("blue", 1), Training("red", 1)]
    assert [run for run, _ in heard] == [run for run, _ in steps[::2]] == runs
    assert [share for _, share in steps[:2]] == [0, pytest.approx((1 + 0 / 1) / 3)]
    assert [(r["arm"], r["seed"], r["test_error"]) for r in outcome.rows] == [
        ("blue", 0, 10),
        ("red", 0, 13),
        ("blue", 1, 11),
        ("red", 1, 15),
    ]
    assert outcome.rows[2]["seen"] == ["blue, seed 0", "red, seed 0"]
    kept = read(tmp_path, "results.json")
    assert {name: result["arms"] for name, result in kept.items()} == {
        str(run): result["arms"] for run, result in heard
    }
    assert outcome.seconds == pytest.approx(sum(result["seconds"] for result in kept.values()))
    assert outcome.test_images == 30
    assert reproduction.pending == []


def test_effects_are_paired_and_point_where_the_paper_does(tmp_path):
    outcome = Reproduction(Toy(), data_of(), tmp_path, seeds=3).go()
    error, epochs = Toy.measures
    np.testing.assert_array_equal(outcome.values(error), [[10, 11, 12], [13, 15, 17]])
    found = outcome.effect(error)  # red - blue: 3, 4, 5
    assert (found.mean, found.low) == (4, pytest.approx(4 - 4.303 / math.sqrt(3)))
    assert found.verdict == "agrees"
    found = outcome.effect(epochs)  # blue / red: 4 each time
    assert (found.mean, found.low, found.high) == pytest.approx([math.log(4)] * 3)


def test_runs_that_try_a_rate_are_not_judged(tmp_path):
    class Tuned(Toy):
        def trainings(self, seeds):
            return [Training("red", 99, 0.1), *super().trainings(seeds)]

    reproduction = Reproduction(Tuned(), data_of(), tmp_path, seeds=1)
    outcome = reproduction.go()
    assert "red, seed 99, trying rate 0.1" in reproduction.results
    assert [row["seed"] for row in outcome.rows] == [0, 0]


# ---- going on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 3, 6, 8])
def test_after_an_interruption_the_rest_is_done_and_nothing_twice(tmp_path, steps):
    there, here = tmp_path / "undisturbed", tmp_path / "interrupted"
    undisturbed = Reproduction(Toy(), data_of(), there, seeds=2).go()
    with pytest.raises(Stop):
        Reproduction(Toy(), data_of(), here, seeds=2).go(stop_after(steps))
    heard = []
    again = Reproduction(Toy(), data_of(), here, seeds=2)
    assert len(again.pending) == 4 - (steps - 1) // 2  # of two steps each
    outcome = again.go(on_result=lambda run, result: heard.append(run))
    assert heard == again.trainings[(steps - 1) // 2 :]
    assert csv_text(outcome) == csv_text(undisturbed)
    assert read(here, "plan.json") == read(there, "plan.json")


def test_a_real_experiment_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    experiment, data = find("depth"), data_of()
    monkeypatch.setattr(type(experiment), "epochs", 2)
    there, here = tmp_path / "undisturbed", tmp_path / "interrupted"
    undisturbed = Reproduction(experiment, data, there, seeds=1).go()
    steps = 2 * 2 + 3  # two epochs of two batches, and a part of the second run
    with pytest.raises(Stop):
        Reproduction(experiment, data, here, seeds=1).go(stop_after(steps))
    again = Reproduction(experiment, data, here, seeds=1)
    assert again.pending == [Training("without conv4", 0)]
    assert csv_text(again.go()) == csv_text(undisturbed)


def test_a_finished_one_is_not_done_again(tmp_path):
    first = Reproduction(Toy(), data_of(), tmp_path, seeds=2).go()
    again = Reproduction(Toy(), data_of(), tmp_path, seeds=2).go(stop_after(1))
    assert replace(again, experiment=first.experiment) == first


# ---- the plan ----------------------------------------------------------------------------------


def test_the_plan_is_written_before_the_first_run(tmp_path):
    with pytest.raises(Stop):
        Reproduction(Toy(), data_of(), tmp_path, seeds=2).go(stop_after(1))
    plan = Plan(**read(tmp_path, "plan.json"))
    assert (plan.experiment, plan.data, plan.seeds, plan.budget) == ("toy", "noise", 2, None)
    assert (plan.images, plan.epochs) == (60, 3)
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
        ({"experiment": find("depth")}, "its experiment is toy, this one's depth"),
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


def test_another_recipe_or_version_is_refused(tmp_path, monkeypatch):
    Reproduction(Toy(), data_of(), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Toy, "recipe", lambda *a: "slower")
        with pytest.raises(UserError, match="its recipe is"):
            Reproduction(Toy(), data_of(), tmp_path)
    monkeypatch.setattr(np, "__version__", "9.9")
    with pytest.raises(UserError, match=r"its versions is .* this one's .*NumPy 9\.9"):
        Reproduction(Toy(), data_of(), tmp_path)


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

    config = Toy.config
    monkeypatch.setattr(
        Toy, "config", lambda *a: replace(config(*a), note=a[-1].net), raising=False
    )
    monkeypatch.setattr(Trainer, "estimate", estimate)


def planned(folder, budget, images=2400, seeds=2):
    plan = Reproduction(Toy(), data_of(images), folder, seeds, budget).plan
    return plan.images, plan.epochs


def test_a_budget_buys_images(tmp_path, slow):
    # 4 minutes buy two pairs, 0.08 s an image: 3000 images each; 30 test images cost 10, the 200
    # held out 200/3 an epoch: 2990 / 3 - 66.7 = 930
    assert planned(tmp_path, 4) == (930, 3)


def test_a_longer_budget_buys_epochs_once_it_has_all_images(tmp_path, slow):
    # 2200 can be learnt from; 40 minutes: (30000 - 10) / (2200 + 66.7) = 13.2 epochs
    assert planned(tmp_path, 40) == (2200, 13)


def test_a_budget_that_is_too_small_says_what_would_do(tmp_path, slow):
    # 100 images: 3 · (100 + 66.7) + 10 = 510 a run, · 0.08 s = 40.8 s
    with pytest.raises(UserError, match=r"too small for 4 trainings; 0.68 would do for 100 images"):
        planned(tmp_path, 0.5)
    assert planned(tmp_path, 0.69)[0] >= 100


def test_more_seeds_share_the_budget(tmp_path, slow):
    assert planned(tmp_path / "a", 4, seeds=2) == planned(tmp_path / "b", 8, seeds=4)


def test_a_plan_with_a_budget_is_kept_however_fast_the_machine_is_then(tmp_path, slow, monkeypatch):
    assert planned(tmp_path, 4) == (930, 3)
    monkeypatch.setattr(Trainer, "estimate", lambda trainer: (1e9, 0))
    assert planned(tmp_path, 4) == (930, 3)


def test_an_outcomes_arms_come_by_seed():
    rows = [{"arm": arm, "seed": seed, "test_error": seed} for seed in (0, 1) for arm in Toy.arms]
    outcome = Outcome(Toy(), None, 0, rows, 0.0, "")
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


def resigned(folder, result):
    """The result as a stranger would write it who knows how."""
    reproduction = once_more(folder)
    return {**result, "sha256": reproduction._digest(reproduction.trainings[0], result)}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("seconds", value) for value in (math.nan, math.inf, "1", None, True)),
        *(("date", value) for value in ("yesterday", 2012, None)),
        *(("arms", value) for value in (None, [], {}, {"green": {}}, {"blue": None})),
        *(
            ("arms", {"blue": {"test_error": 10, "epochs": 8, **numbers}})
            for numbers in (
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
        {"surprise": 1},
        {"seeds": 2.0},
        {"recipe": None},
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
    for text in "[]", "3", "[" * 100_000:
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
