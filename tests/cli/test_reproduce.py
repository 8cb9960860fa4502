"""minitorch-alexnet reproduce, as a user meets it."""

import json
import re

import numpy as np
import pytest

from minitorch_alexnet import data
from minitorch_alexnet.cli import reproduce
from minitorch_alexnet.cli.main import main
from minitorch_alexnet.data import cifar10, silhouettes
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.errors import DataError
from minitorch_alexnet.experiments import EXPERIMENTS, dropout
from minitorch_alexnet.experiments import experiment as experiment_module
from minitorch_alexnet.experiments.experiment import Experiment

GREY = ("--data", "silhouettes")
FILES = {"plan.json", "results.json", "results.csv", "report.md", "figure.png"}
IN_COLOUR = {"pca-colour", "specialisation"}  # alone


def call(*arguments):
    """The command's exit status."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse's
        return stop.code


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory, few silhouettes, trainings of an epoch, one rate tried once."""
    draw = silhouettes.load
    counts = {"train": 48, "test": 16}
    monkeypatch.setattr(silhouettes, "load", lambda split: draw(split, count=counts[split]))
    monkeypatch.setattr(experiment_module, "TRIAL_SEEDS", (2010,))
    monkeypatch.setattr(dropout, "WIDTH", 32)
    for experiment in EXPERIMENTS.values():
        monkeypatch.setattr(type(experiment), "epochs", 1)
        monkeypatch.setattr(type(experiment), "rates_of", lambda self, net: (0.01,))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(capsys):
    """Calls a command that has to refuse: status 2, one line on stderr; that line."""

    def refused(*arguments):
        assert call(*arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("minitorch-alexnet: ")
        assert error.count("\n") == 1
        return error

    return refused


def names(folder):
    return {path.name for path in folder.iterdir() if path.name != ".lock"}


def test_the_list_names_every_experiment_with_its_claim(capsys):
    assert call("reproduce", "--list") == 0
    told = capsys.readouterr().out
    for name, experiment in EXPERIMENTS.items():
        assert f"\n{name} " in f"\n{told}"
        assert experiment.claim in told
        assert all(measure.paper in told for measure in experiment.measures)
        assert f"Section {experiment.section}; on {experiment.data}\n" in told


def test_an_experiment_from_end_to_end(place, capsys):
    assert call("reproduce", "depth", *GREY, "--seeds", "2") == 0
    told = capsys.readouterr().out
    folder = place / "reproduce" / "depth"
    assert names(folder) == FILES
    assert (
        "depth: seeds: 2; 6 trainings with those that choose rates, 0 of them done; each on 44"
        " images of silhouettes, epochs: 1." in told
    )
    # (12.706 + 1.376) · 0.9 / √2
    assert (
        "  test error of “four” against “five convolutions”: 1 point or more count; 2"
        " seeds would show 8.96 points, 4 times in 5\n" in told
    )
    trial = r"four, seed 2010, rate 0\.01; score"
    whole = r"four, seed 1; test error"
    assert re.search(rf"^{trial} \d+\.\d\d; \d+ s$", told, re.MULTILINE)
    assert re.search(rf"^{whole} \d+\.\d\d %; \d+ s$", told, re.MULTILINE)
    assert f"; the paper: {EXPERIMENTS['depth'].measures[0].paper}. Verdict: " in told
    rows = (folder / "results.csv").read_text().splitlines()
    assert rows[0] == "arm,seed,rate,failed,train_error,test_error,parameters"
    assert [row.split(",")[:2] for row in rows[1:]] == [
        [arm, seed] for arm in EXPERIMENTS["depth"].arms for seed in "01"
    ]
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "# Depth\n" in (folder / "report.md").read_text(encoding="utf-8")
    for name in ("plan.json", "results.json", "results.csv", "report.md"):
        assert str(place) not in (folder / name).read_text(encoding="utf-8")


def test_interrupted_it_keeps_what_is_done_and_the_same_command_goes_on(place, capsys, monkeypatch):
    command = ("reproduce", "overlap", *GREY, "--seeds", "1")
    assert call(*command, "--out", "undisturbed") == 0
    assert names(place) == {"undisturbed"}
    with monkeypatch.context() as patch:
        train, done = Experiment.train, []

        def second_stops(self, trainer, study, which, on_step):
            if len(done) == 3:  # two trials and the first training
                raise KeyboardInterrupt
            done.append(which)
            return train(self, trainer, study, which, on_step)

        patch.setattr(Experiment, "train", second_stops)
        assert call(*command) == 130
    told = capsys.readouterr()
    assert "the same command goes on with the rest" in told.out
    assert told.err.endswith("interrupted\n")
    folder = place / "reproduce" / "overlap"
    assert names(folder) == {"plan.json", "results.json"}
    assert call(*command) == 0
    told = capsys.readouterr().out
    assert "3 of them done" in told
    assert "3×3, stride 2, seed 0;" not in told  # not again
    assert "2×2, stride 2, seed 0; test error" in told
    undisturbed = place / "undisturbed" / "overlap" / "results.csv"
    assert (folder / "results.csv").read_bytes() == undisturbed.read_bytes()


def test_the_same_command_once_more_changes_nothing(place):
    command = ("reproduce", "overlap", *GREY, "--seeds", "1")
    assert call(*command) == 0
    folder = place / "reproduce" / "overlap"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert call(*command) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_another_experiment_has_trained_is_said_to_be_its(place, capsys):
    assert call("reproduce", "overlap", *GREY, "--seeds", "1") == 0
    capsys.readouterr()
    assert call("reproduce", "two-devices", *GREY, "--seeds", "1") == 0
    told = capsys.readouterr().out
    assert re.search(r"^two towers, seed 0; test error [\d.]+ %; as in overlap$", told, re.M)
    assert re.search(r"^two towers, seed 2010, rate 0\.01; score .*; as in overlap$", told, re.M)
    assert told.count("as in overlap") == 2
    text = (place / "reproduce" / "two-devices" / "report.md").read_text(encoding="utf-8")
    assert "for 4 trainings, and 2 more of other experiments;" in text
    first, second = (
        (place / "reproduce" / name / "results.csv").read_text().splitlines()[1]
        for name in ("overlap", "two-devices")
    )
    assert first.startswith('"3×3, stride 2",0,')
    assert first.split(",")[2:] == second.split(",")[1:]


def test_all_makes_one_page_and_says_what_is_left_out(place, capsys):
    assert call("reproduce", "all", *GREY, "--seeds", "1", "--out", "paper") == 0
    told = capsys.readouterr().out
    fitting = EXPERIMENTS.keys() - IN_COLOUR
    assert names(place / "paper") == {"README.md", *fitting}
    assert "pca-colour is left out: this experiment is about colours" in told
    text = (place / "paper" / "README.md").read_text(encoding="utf-8")
    for name, experiment in EXPERIMENTS.items():
        assert (f"[{experiment.title}]({name}/report.md)" in text) == (name in fitting)
        assert (f"Left out: {experiment.title}" in text) == (name not in fitting)
        if name in fitting:
            assert names(place / "paper" / name) == FILES


def test_all_without_cifar_10_leaves_out_what_is_for_it(place, capsys, monkeypatch):
    """Each experiment has its own data set, and --data-dir is CIFAR-10's."""
    asked, done, small = [], [], data.load("silhouettes")

    def load(name, folder=None):
        asked.append((name, folder))
        if name == "cifar-10":
            raise DataError("CIFAR-10 is not in nowhere")
        return small

    monkeypatch.setattr(data, "load", load)
    monkeypatch.setattr(reproduce, "_do", lambda experiment, *rest: done.append(experiment.name))
    monkeypatch.setattr(reproduce, "page", lambda outcomes, left_out: str(left_out.values()))
    assert call("reproduce", "all", "--data-dir", "nowhere", "--out", "paper") == 0
    assert done == [n for n, e in EXPERIMENTS.items() if e.data == "fashion-mnist"]
    assert sorted(asked) == [("cifar-10", "nowhere"), ("fashion-mnist", None)]  # once each
    told = capsys.readouterr().out
    for name, experiment in EXPERIMENTS.items():
        left_out = f"{name} is left out: CIFAR-10 is not in nowhere\n" in told
        assert left_out == (experiment.data == "cifar-10")
    assert "CIFAR-10 is not in nowhere" in (place / "paper" / "README.md").read_text()


def test_one_that_is_for_cifar_10_asks_for_it(refused):
    told = refused("reproduce", "depth")
    assert "depth is for CIFAR-10, which is not downloaded for you: --data-dir says where" in told


def test_images_that_suit_no_experiment(place, refused, monkeypatch):
    monkeypatch.setattr(silhouettes, "load", lambda split: squares(40))
    told = refused("reproduce", "all", *GREY, "--budget", "5")
    assert "no experiment suits these images: the experiments' nets take images of 24" in told
    assert list(place.iterdir()) == []


def squares(size):
    return ArrayDataset(np.zeros((9, size, size), np.uint8), np.arange(9) % 3)


def test_of_all_the_one_that_does_not_go_is_said_before_the_first_training(place, refused):
    assert call("reproduce", "depth", *GREY, "--seeds", "2") == 0
    assert "depth holds an experiment" in refused("reproduce", "all", *GREY, "--seeds", "1")
    assert not (place / "reproduce" / "two-devices" / "results.json").exists()


def test_a_budget_is_for_all_that_the_command_does(monkeypatch, capsys):
    asked = {}

    def done(experiment, loaded, arguments, budget):
        asked[experiment.name] = budget

    monkeypatch.setattr(reproduce, "_do", done)
    monkeypatch.setattr(reproduce, "page", lambda outcomes, left_out: "")
    assert call("reproduce", "all", *GREY, "--budget", "70") == 0
    assert asked == dict.fromkeys(EXPERIMENTS.keys() - IN_COLOUR, 10)
    assert call("reproduce", "depth", *GREY, "--budget", "70") == 0
    assert asked["depth"] == 70


@pytest.mark.parametrize("name", ["pca-colour", "specialisation"])
def test_what_is_about_colours(place, refused, name, monkeypatch):
    assert "these images are grey" in refused("reproduce", name, *GREY)
    assert not (place / "reproduce").exists()
    monkeypatch.setattr(cifar10, "RECORDS", 8)
    rng = np.random.default_rng(0)
    for file in cifar10.TRAIN + cifar10.TEST:
        records = rng.integers(0, 10, (8, 3073), np.uint8)
        (place / file).write_bytes(records.tobytes())
    command = ("reproduce", name, "--data", "cifar-10", "--data-dir", ".", "--seeds", "1")
    assert call(*command) == 0
    kernels = {"kernels.png"} if name == "specialisation" else set()
    assert names(place / "reproduce" / name) == FILES | kernels
    plan = json.loads((place / "reproduce" / name / "plan.json").read_text())
    assert (plan["data"], plan["images"]) == ("cifar-10", 37)


def test_another_plan_in_the_folder(refused):
    assert call("reproduce", "overlap", *GREY, "--seeds", "1") == 0
    told = refused("reproduce", "overlap", *GREY, "--seeds", "2")
    assert "its seeds is 1, this one's 2" in told


def test_wrong_input(place, refused):
    assert "reproduce --list names them" in refused("reproduce")
    assert "there is no experiment 'lr': expected all, or one of" in refused("reproduce", "lr")
    assert "expected seeds ≥ 1" in refused("reproduce", "depth", *GREY, "--seeds", "0")
    assert "unknown data set" in refused("reproduce", "depth", "--data", "nothing")
    assert "too small for 14 trainings" in refused("reproduce", "depth", *GREY, "--budget", "1e-6")
    assert "is not downloaded for you" in refused("reproduce", "depth", "--data", "cifar-10")
    assert list(place.iterdir()) == []


def test_a_readme_of_others_stays(place, refused):
    (place / "README.md").write_text("# My project")
    told = refused("reproduce", "all", *GREY, "--seeds", "1", "--out", ".")
    assert "README.md is there and no page of ours" in told
    assert (place / "README.md").read_text() == "# My project"
    assert names(place) == {"README.md"}
