"""What is told of an experiment: the page, the table, the figure."""

import csv
import io
import re
import shlex
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from minitorch_alexnet import viz
from minitorch_alexnet.experiments import EXPERIMENTS, find
from minitorch_alexnet.experiments.report import csv_text, difference, page, report
from minitorch_alexnet.experiments.reproduction import Outcome, Plan
from minitorch_alexnet.experiments.statistics import RULE
from minitorch_alexnet.words import printable


def plan_of(experiment, seeds=3):
    return Plan(
        experiment=experiment.name,
        data="garments",
        fingerprint="f",
        seeds=seeds,
        budget=None,
        recipe=dict.fromkeys(experiment.nets, "gently"),
        versions="version 1",
        images=12_345,
        epochs=7,
    )


def outcome_of(name, numbers, seeds=3, **more):
    """numbers: by measure, a pair of lists, one an arm;  more: for the first arm's rows."""
    experiment = find(name)
    rows = [
        {
            "arm": arm,
            "seed": seed,
            **{key: values[side][seed] for key, values in numbers.items()},
            **(more if side == 0 else {}),
        }
        for seed in range(seeds)
        for side, arm in enumerate(experiment.arms)
    ]
    return Outcome(experiment, plan_of(experiment, seeds), 1000, rows, 754.0, "2012-12-03")


@pytest.fixture
def lrn():
    return outcome_of("lrn", {"test_error": ([11, 12, 13], [12, 14, 16])})  # 1, 2, 3


@pytest.fixture
def dropout():
    numbers = {
        "test_error": ([10, 11, 12], [13, 14.5, 16]),
        "gap": ([5, 6, 7], [9, 8, 7]),
        "epochs": ([20, 40, 30], [10, 20, 15]),
    }
    return outcome_of("dropout", numbers)


def test_the_report_repeats_the_budget(lrn):
    asked = replace(lrn, plan=replace(lrn.plan, budget=7.5))
    assert "reproduce lrn --data garments --seeds 3 --budget 7.5`." in report(asked)


def test_the_report_says_all_that_one_has_to_know(lrn):
    text = report(lrn)
    assert text.startswith("# Local response normalisation\n")
    assert len(text.splitlines()) < 40
    for part in (
        "section 3.3",
        lrn.experiment.claim,
        "**Verdict: too small to tell.**",
        "| | with LRN | without | difference, 95 % interval | the paper | verdict |",
        "| test error, % | 12.00 ± 1.00 | 14.00 ± 2.00 | 2.00 [−0.48, 4.48] points | 1.4 points of",
        "(figure.png)",
        "(results.csv)",
        "garments; 12,345 training images, 7 epochs at most, 1,000 test images",
        "Seeds: 3.",
        "Again: `minitorch-alexnet reproduce lrn --data garments --seeds 3`.",
        "- Training, with LRN and without: gently.",
        RULE,
        "13 minutes for 6 trainings; 2012-12-03; version 1",
    ):
        assert part in text
    assert text.count("gently") == 1  # both arms are trained in one way


def test_arms_with_recipes_of_their_own_each_say_it(lrn):
    plan = replace(lrn.plan, recipe={"with LRN": "gently", "without": "roughly"})
    text = report(replace(lrn, plan=plan))
    assert "- Training, with LRN: gently." in text
    assert "- Training, without: roughly." in text


def test_differences_in_words(lrn, dropout):
    gap, error, epochs = dropout.experiment.measures
    assert difference(lrn, lrn.experiment.measures[0]) == "2.00 [−0.48, 4.48] points"
    assert difference(dropout, error) == "3.50 [2.26, 4.74] points"
    assert difference(dropout, gap) == "2.00 [−2.97, 6.97] points"
    assert difference(dropout, epochs) == "2.00 [2.00, 2.00] times"


def test_each_measure_has_its_verdict(dropout):
    lines = [line for line in report(dropout).splitlines() if line.startswith("| ")]
    assert [line.split("|")[-2].strip() for line in lines[1:]] == [
        "too small to tell",
        "agrees",
        "agrees",
    ]


def test_one_seed_has_neither_spread_nor_interval():
    text = report(outcome_of("lrn", {"test_error": ([11], [12])}, seeds=1))
    assert "| test error, % | 11.00 | 12.00 | 1.00 points |" in text
    assert "too small to tell" in text


def test_the_csv_has_a_row_an_arm_and_seed():
    outcome = outcome_of("lrn", {"test_error": ([11, 12], [12, 14])}, 2, extra=5, curve=[[0, 1]])
    rows = list(csv.DictReader(io.StringIO(csv_text(outcome))))
    assert rows == [
        {"arm": "with LRN", "seed": "0", "test_error": "11", "extra": "5"},
        {"arm": "without", "seed": "0", "test_error": "12", "extra": ""},
        {"arm": "with LRN", "seed": "1", "test_error": "12", "extra": "5"},
        {"arm": "without", "seed": "1", "test_error": "14", "extra": ""},
    ]


def test_the_page_of_all(lrn, dropout):
    text = page([lrn, dropout], {find("pca-colour"): "these images are grey"})
    assert "On garments, 3 seeds, 25 minutes in all; version 1." in text
    assert "| [Local response normalisation](lrn/report.md) | " in text
    assert "| 2.00 [−0.48, 4.48] points | too small to tell |" in text
    assert "| [Dropout](dropout/report.md) | " in text
    assert text.count("dropout/report.md") == 1  # and three measures
    assert "epochs to converge: about 2 times | 2.00 [2.00, 2.00] times | agrees |" in text
    assert RULE in text
    assert "- Left out: Colour shifts along the principal components." in text
    assert "these images are grey" in text


def test_every_experiment_says_what_it_is():
    for name, experiment in EXPERIMENTS.items():
        assert experiment.name == name
        assert experiment.title
        assert experiment.claim.endswith(".")
        assert experiment.ours.endswith(".")
        assert len(experiment.arms) == 2
        assert all(measure.larger in (0, 1) for measure in experiment.measures)


def test_the_figure_joins_each_seeds_two_values(dropout):
    figure = viz.experiment(dropout)
    assert len(figure.axes) == 3
    error = figure.axes[1]
    pairs = [tuple(line.get_ydata()) for line in error.lines[:3]]
    assert pairs == [(10, 13), (11, 14.5), (12, 16)]
    assert [line.get_ydata()[0] for line in error.lines[3:]] == [11, 14.5]  # the means
    assert [tick.get_text() for tick in error.get_xticklabels()] == ["dropout 0.5", "without"]
    assert error.get_ylabel() == "test error (%)"
    assert error.get_title() == "3.50 [2.26, 4.74] points\nagrees"
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear", "log"]
    middle = [line.get_ydata()[0] for line in figure.axes[2].lines[3:]]
    np.testing.assert_allclose(middle, [24000 ** (1 / 3), 3000 ** (1 / 3)])  # geometric


def test_the_race_is_drawn_before_its_times():
    curve = [[0.1, 80.0], [0.2, 25.0]]
    outcome = outcome_of("relu-vs-tanh", {"epochs": ([1, 2, 3], [6, 12, 18])}, curve=curve)
    for row in outcome.rows:
        row.setdefault("curve", [[0.1, 85.0], [0.3, 24.0]])
    figure = viz.experiment(outcome)
    race, times = figure.axes
    assert [tuple(line.get_ydata()) for line in race.lines] == [(80, 25)] * 3 + [(85, 24)] * 3
    assert race.get_xlabel() == "epoch"
    assert [text.get_text() for text in race.get_legend().get_texts()] == ["ReLU", "tanh"]
    assert times.get_title() == "6.00 [6.00, 6.00] times\nagrees"


AWKWARD = ["a|b", "`c`", "``", "<b>", "d\ne", "\x1b[31m", "*f*", "[g](h)", "i\\j", "k l", "\udce9"]


@pytest.mark.parametrize("name", AWKWARD, ids=ascii)
def test_the_name_of_the_data_changes_nothing_in_the_page(lrn, name):
    plain = report(lrn)
    text = report(replace(lrn, plan=replace(lrn.plan, data=name)))
    text.encode()
    assert len(text.splitlines()) == len(plain.splitlines())
    assert [line.count("|") for line in text.splitlines() if line[0:1] == "|"] == [
        line.count("|") for line in plain.splitlines() if line[0:1] == "|"
    ]
    (data,) = (line for line in text.splitlines() if line.startswith("- Data: "))
    shown = data.removeprefix("- Data: ").split("; 12,345")[0]
    assert re.sub(r"\\(.)", r"\1", shown) == printable(name)  # as Markdown shows it
    assert not re.search(r"(?<!\\)[`|<*\[\]]", shown.replace("\\\\", ""))
    (again,) = (line for line in text.splitlines() if line.startswith("- Again: "))
    fence, code = re.match(r"- Again: (`+) ?(.*?) ?\1(?!`)\. Seed", again).groups()
    assert fence not in code
    if name == printable(name):
        assert shlex.split(code)[-4:] == ["--data", name, "--seeds", "3"]


def test_the_page_of_all_has_names_and_reasons_that_change_nothing(lrn):
    odd = replace(lrn, plan=replace(lrn.plan, data="a|b\n# c"))
    text = page([odd], {find("dropout"): "no |, no <b>\nnot even two lines"})
    assert "On a\\|b\\\\n# c, 3 seeds" in text
    assert "Reason: no \\|, no \\<b>\\\\nnot even" in text
    assert len(text.splitlines()) == len(page([lrn], {find("dropout"): "why"}).splitlines())


def test_the_figure_of_data_with_an_odd_name():
    outcome = outcome_of("lrn", {"test_error": ([11, 12, 13], [12, 14, 16])})
    figure = viz.experiment(replace(outcome, plan=replace(outcome.plan, data="$x^2$ \x00 \ud800")))
    svg = io.BytesIO()
    figure.savefig(svg, format="svg")
    ElementTree.fromstring(svg.getvalue())
    assert figure.get_suptitle().endswith(r"\$x^2\$ \x00 \ud800")
