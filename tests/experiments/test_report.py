"""What is told of an experiment: the page, the table, the figure."""

import csv
import io
import re
import shlex
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from minitorch_alexnet import viz
from minitorch_alexnet.data import DATASETS
from minitorch_alexnet.experiments import EXPERIMENTS, find
from minitorch_alexnet.experiments.outcome import Outcome
from minitorch_alexnet.experiments.plan import Plan
from minitorch_alexnet.experiments.report import csv_text, difference, forecast, page, report, seen
from minitorch_alexnet.experiments.statistics import RULE, median_seen
from minitorch_alexnet.viz.figure import COLOURS
from minitorch_alexnet.words import printable


def plan_of(experiment, seeds=3):
    return Plan(
        experiment=experiment.name,
        data="garments",
        fingerprint="f",
        seeds=seeds,
        budget=None,
        recipe=dict.fromkeys(experiment.nets, "gently"),
        counts={},
        versions="version 1",
        made_with={},
        pairs=seeds,
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
    return Outcome(
        experiment,
        plan_of(experiment, seeds),
        1000,
        rows,
        754.0,
        "2012-12-03",
        trials=[
            {"net": experiment.nets[0], "rate": 0.02, "score": 31.0, "failed": 0, "chosen": True},
            {"net": experiment.nets[0], "rate": 0.5, "score": 90.0, "failed": 2, "chosen": False},
        ],
        made_with=[{"commit": "0123", "blas": "openblas 0.3 (Zen)", "cpu": "a CPU"}],
        shared=0,
    )


@pytest.fixture
def lrn():
    return outcome_of("lrn", {"test_error": ([11, 12, 13], [12, 14, 16])})  # 1, 2, 3


@pytest.fixture
def dropout():
    numbers = {
        "test_error": ([10, 11, 12], [13, 14.5, 16]),
        "test_loss": ([0.5, 0.6, 0.7], [0.6, 0.69, 0.78]),
        "gap": ([5, 6, 7], [9, 8, 7]),
        "epochs": ([20, 40, 36], [10, 20, 15]),
    }
    return outcome_of("dropout", numbers)


@pytest.fixture
def six():
    """Six pairs, in which the first arm is two to four times as slow and in the last never came."""
    epochs = [20, 30, 40, 40, 80, 60], [10, 10, 10, 20, 20, 20]
    numbers = {"test_error": ([10] * 6, [11] * 6), "test_loss": ([1] * 6, [1] * 6), "gap": epochs}
    outcome = outcome_of("dropout", {**numbers, "epochs": epochs}, 6)
    for row in outcome.rows:
        row["arrived"] = (row["arm"], row["seed"]) != ("dropout 0.5", 5)
    return outcome


def test_the_report_repeats_the_budget(lrn):
    asked = replace(lrn, plan=replace(lrn.plan, budget=7.5))
    assert "reproduce lrn --data garments --seeds 3 --budget 7.5`." in report(asked)
    exactly = replace(lrn, plan=replace(lrn.plan, budget=70 / 9))
    assert f"--budget {70 / 9}`." in report(exactly)  # another number were another plan
    whole = replace(lrn, plan=replace(lrn.plan, budget=60.0))
    assert "--budget 60`." in report(whole)


def test_versions_that_somebody_else_wrote_break_no_line(lrn):
    odd = replace(lrn, plan=replace(lrn.plan, versions="1 | <b>\n# x"))
    for text in (report(odd), page([odd], {})):
        assert "; 1 \\| \\<b>" in text
        assert "\n# x" not in text


def test_the_report_says_all_that_one_has_to_know(lrn):
    count = len(lrn.experiment.trainings(3))  # with the trials
    text = report(lrn)
    assert text.startswith("# Local response normalisation\n")
    assert len(text.splitlines()) < 60
    for part in (
        "section 3.3",
        lrn.experiment.claim,
        "- Test error of “without” against “with LRN”: 2.00 [−0.48, 4.48] points, 14.3 % of the"
        " errors. The paper: 2 points on CIFAR-10",
        "ImageNet. **cannot tell**.",
        "| test error, % | with LRN: 12.00 ± 1.00 | without: 14.00 ± 2.00 | 2.00 [−0.48, 4.48]"
        " points | 1 point | 3.10 points | cannot tell |",  # (4.303 + 1.061) / √3
        "| with LRN | 0.02 | 31.00 |  | chosen; a better one may lie beyond |\n"
        "| with LRN | 0.5 | 90.00 | 2 |  |\n",
        "- With commit 0123, blas openblas 0.3 (Zen), cpu a CPU.",
        "(figure.png)",
        "(results.csv)",
        "garments; 12,345 training images, 7 epochs, 1,000 test images",
        "Seeds: 3.",
        "Again: `minitorch-alexnet reproduce lrn --data garments --seeds 3`.",
        "- Training, “with LRN” and “without”: gently.",
        *RULE,
        f"13 minutes, added up, for {count} trainings; 2012-12-03; version 1",
    ):
        assert part in text
    assert text.count("gently") == 1  # both arms are trained in one way


def test_arms_with_recipes_of_their_own_each_say_it(lrn):
    plan = replace(lrn.plan, recipe={"with LRN": "gently", "without": "roughly"})
    text = report(replace(lrn, plan=plan))
    assert "- Training, “with LRN”: gently." in text
    assert "- Training, “without”: roughly." in text


def test_what_others_have_done_is_said(lrn):
    count = len(lrn.experiment.trainings(3))
    text = report(replace(lrn, shared=4, made_with=[{"commit": "a"}, {"commit": "b"}]))
    assert (
        f"13 minutes, added up, for {count - 4} trainings, and 4 more of other experiments;" in text
    )
    assert "- With commit a.\n- With commit b.\n" in text
    assert "other experiments" not in report(lrn)


def test_a_rate_between_two_others_has_none_beyond_it(lrn):
    def chosen(best):
        tried = [
            {**lrn.trials[0], "rate": rate, "score": 31 + abs(rate - best), "chosen": rate == best}
            for rate in (0.02, 0.04, 0.08)
        ]
        return report(replace(lrn, trials=tried))

    assert "| with LRN | 0.04 | 31.00 |  | chosen |\n" in chosen(0.04)
    for end in (0.02, 0.08):
        told = f"| with LRN | {end} | 31.00 |  | chosen; a better one may lie beyond |\n"
        assert told in chosen(end)


def test_what_too_few_seeds_would_miss_is_said(lrn, six):
    missed = "would not tell a difference that counts from 0: test error of “without” against"
    assert missed in report(lrn)
    alike = outcome_of("lrn", {"test_error": ([11, 12, 13], [12, 13, 14.1])})
    assert "would not tell a difference" not in report(alike)
    for row in six.rows:
        row["arrived"] = True
    assert "would not tell a difference that counts from 0: epochs to converge of" in report(six)


def test_what_would_be_missed_by_a_thousandth_of_a_nat_is_said():
    def told(step):
        losses = [step, 0, -step, step, 0, -step], [0] * 6
        numbers = {"test_error": ([1] * 6,) * 2, "epochs": ([1] * 6,) * 2, "test_loss": losses}
        return report(outcome_of("dropout", numbers, 6))

    missed = "would not tell a difference that counts from 0: test loss"
    # (2.571 + 0.920) · √(4/5) / √6 = 1.275 times the step
    assert "| 0.03 nats | 0.031 nats |" in told(0.0243)
    assert missed in told(0.0243)
    assert "| 0.03 nats | 0.030 nats |" in told(0.0235)
    assert missed not in told(0.0235)


def test_how_long_trials_are_is_said(lrn, six):
    assert "Such a trial has 4 of 7 epochs, and what is best for it need not be best" in report(lrn)
    assert "Such a trial has 7 of 7 epochs. A rate" in report(six)  # dropout's
    assert "12,345 training images, 7 epochs, 1,000 test images" in report(lrn)
    assert "12,345 training images, 7 epochs at most, 1,000 test images" in report(six)


def test_of_durations_that_were_not_lived_to_see_the_bounds_are_told():
    epochs = [60, 60, 60, 40, 50, 60], [10] * 6
    numbers = {"test_error": ([1] * 6,) * 2, "test_loss": ([1] * 6,) * 2, "gap": epochs}
    outcome = outcome_of("dropout", {**numbers, "epochs": epochs}, 6)
    for row in outcome.rows:
        row["arrived"] = row["epochs"] < 60 or row["seed"] == 5  # the last came at the very end
    assert "dropout 0.5: 60.0 or more (40.0 to 60.0 or more)" in report(outcome)
    assert "without: 10.0 (10.0 to 10.0)" in report(outcome)


def test_which_side_of_zero_a_small_number_lies_on_is_seen():
    outcome = outcome_of("lrn", {"test_error": ([10, 10, 10], [10.001, 10.001, 10.001])})
    assert difference(outcome, outcome.experiment.measures[0]) == "1e−03 [1e−03, 1e−03] points"


def test_who_came_late_or_failed_is_said(six, lrn):
    for row in six.rows:
        row["failed"] = row["arm"] == "without" and row["seed"] < 2
    text = report(six)
    assert "- dropout 0.5: 1 of 6 did not arrive: later than any that did.\n" in text
    assert "- without: 2 of 6 were no better than a guess: of epochs" in text
    assert text.count("of 6 did not arrive") == text.count("of 6 were no better than") == 1
    assert "of 3 did not arrive" not in report(lrn)
    assert "of 3 were no better" not in report(lrn)


def test_the_start_is_told_by_layer_and_arm(lrn):
    for row in lrn.rows:
        size = {"with LRN": 1.0, "without": 2.0}[row["arm"]] + row["seed"]
        row["start"] = {"conv1": [size, 0.0012345], "fc4": [0.5, 0.25]}
    lines = report(lrn).splitlines()
    place = lines.index("| | with LRN | without |")
    assert lines[place + 1 : place + 4] == [
        "|---|---|---|",
        "| conv1 | 1 / 0.0012 | 2 / 0.0012 |",
        "| fc4 | 0.5 / 0.25 | 0.5 / 0.25 |",
    ]
    del lrn.rows[1]["start"]["fc4"]  # an arm without that layer
    assert "| fc4 | 0.5 / 0.25 |  |" in report(lrn)
    lrn.rows[0]["start"]["a | <b>\n# x"] = [1, 1]  # somebody else's
    assert "\n# x" not in report(lrn)
    assert "| a \\| \\<b>" in report(lrn)
    one_net = outcome_of("ten-crop", {"test_error": ([1, 2, 3], [2, 3, 4])}, start={"a": [1, 1]})
    assert "At the start" not in report(one_net)


def test_differences_in_words(lrn, dropout, six):
    error, loss, epochs = dropout.experiment.measures
    assert difference(lrn, lrn.experiment.measures[0]) == "2.00 [−0.48, 4.48] points"
    assert difference(dropout, error) == "3.50 [2.26, 4.74] points"
    assert difference(dropout, loss) == "0.090 [0.065, 0.115] nats"
    assert difference(dropout, epochs) == "2.00 times"  # three pairs have no median's interval
    assert difference(six, epochs) == "at least 3.00 [2.00, ∞] times"
    assert (seen(dropout, epochs), seen(six, error)) == ("not known", "0.00 points")
    assumed = f"{np.exp(median_seen(0.4, 6)):.2f} times (assumed)"
    assert seen(six, epochs) == assumed  # with one that never came
    for row in six.rows:
        row["arrived"] = True
    deviation = np.std(np.log([2, 3, 4, 2, 4, 3]), ddof=1)
    assert seen(six, epochs) == f"{np.exp(median_seen(deviation, 6)):.2f} times"


def test_the_forecast_says_what_counts_and_what_can_be_shown():
    error, _, epochs = find("dropout").measures
    # (2.262 + 0.883) · 0.7 / √10
    assert forecast(error, 10) == (
        "test error of “without” against “dropout 0.5”: 0.5 points or more count; 10 seeds"
        " would show 0.70 points, 4 times in 5"
    )
    assert forecast(error, 1).endswith("1 seed cannot tell anything")
    shown = np.exp(median_seen(0.4, 10))
    assert f"1.25 times or more count; 10 seeds would show {shown:.2f} times" in forecast(
        epochs, 10
    )


def test_each_measure_has_its_verdict(dropout, six):
    def verdicts(outcome):
        table = report(outcome).split("\n\n## ")[0]
        lines = [line for line in table.splitlines() if line.startswith("| ")]
        return [line.split("|")[-2].strip() for line in lines[1:]]

    assert verdicts(dropout) == ["agrees", "agrees", "cannot tell"]
    unclear = "cannot tell; the interval says: no difference that counts"
    assert verdicts(six) == ["agrees", unclear, "agrees"]
    smaller = outcome_of("lrn", {"test_error": ([10] * 3, [10.9, 11.0, 11.1])})
    assert "**there, but smaller than the paper's**.\n" in report(smaller)
    opposite = outcome_of("lrn", {"test_error": ([10.9, 11.0, 11.1], [10] * 3)})
    assert "**the opposite**" in report(opposite)


def test_where_nobody_arrives_nothing_is_known():
    numbers = {"epochs": ([60] * 6,) * 4}
    outcome = outcome_of("relu-vs-tanh", numbers, 6)
    for row in outcome.rows:
        row["arrived"] = False
    measure = outcome.experiment.measures[0]
    assert difference(outcome, measure) == "not known"
    assert "not known. The paper: 6 times. **cannot tell**." in report(outcome)


def test_of_what_the_paper_does_not_claim_the_interval_takes_no_side():
    errors = {"test_error": ([10.0] * 4, [12.0] * 4, [10.1, 10.12, 10.08, 10.1])}
    outcome = outcome_of("two-devices", errors, 4)
    for row in outcome.rows:
        row["parameters"] = 1
    said = "cannot tell; the interval says: above 0, no difference that counts"
    assert f"not tried. {said.replace('cannot tell', '**cannot tell**')}." in report(outcome)
    for text in (report(outcome), page([outcome], {})):
        assert f"| 0.3 points | 0.03 points | {said} |" in text


def test_a_failed_nets_duration_is_the_whole_length(six):
    for row in six.rows:
        row["failed"] = (row["arm"], row["seed"]) == ("without", 0)
        row["epochs"] = 1 if row["failed"] else row["epochs"]
    six = replace(six, plan=replace(six.plan, epochs=90))
    # 10, 10, 20, 20, 20 and, of the one that failed, 90
    assert "without: 20.0 (10.0 to 90.0 or more)" in report(six)


def test_one_seed_has_neither_spread_nor_interval():
    text = report(outcome_of("lrn", {"test_error": ([11], [12])}, seeds=1))
    told = (
        "| test error, % | with LRN: 11.00 | without: 12.00 | 1.00 points | 1 point | not known |"
    )
    assert told in text
    assert "**cannot tell**." in text


def test_the_csv_has_a_row_an_arm_and_seed():
    outcome = outcome_of(
        "lrn", {"test_error": ([11, 12], [12, 14])}, 2, extra=5, curve=[[0, 1]], start={}
    )
    rows = list(csv.DictReader(io.StringIO(csv_text(outcome))))
    assert rows == [
        {"arm": "with LRN", "seed": "0", "test_error": "11", "extra": "5"},
        {"arm": "without", "seed": "0", "test_error": "12", "extra": ""},
        {"arm": "with LRN", "seed": "1", "test_error": "12", "extra": "5"},
        {"arm": "without", "seed": "1", "test_error": "14", "extra": ""},
    ]


def test_the_page_of_all(lrn, dropout):
    text = page([lrn, dropout], {find("pca-colour"): "these images are grey"})
    assert "25 minutes of training in all; version 1." in text
    assert "| [Local response normalisation](lrn/report.md), garments, 3 seeds | " in text
    assert "| test error of “without” against “with LRN”: 2 points on CIFAR-10" in text
    assert "| 2.00 [−0.48, 4.48] points | 1 point | 3.10 points | cannot tell |" in text
    assert "| [Dropout](dropout/report.md), garments, 3 seeds | " in text
    assert text.count("dropout/report.md") == 1  # and three measures
    assert "about 2 times | 2.00 times | 1.25 times | not known | cannot tell |" in text
    assert all(line in text for line in RULE)
    assert "- Left out: Colour shifts along the principal components." in text
    assert "these images are grey" in text


def test_every_experiment_says_what_it_is():
    for name, experiment in EXPERIMENTS.items():
        assert experiment.name == name
        assert experiment.title
        assert experiment.claim.endswith(".")
        assert experiment.ours.endswith(".")
        assert len(set(experiment.arms)) == len(experiment.arms) >= 2
        assert experiment.data in DATASETS
        for measure in experiment.measures:
            assert len({measure.more, measure.less} & {*experiment.arms}) == 2
            assert measure.counts > (1 if measure.ratio else 0)
            assert measure.size is None or measure.size >= measure.counts
        for net in experiment.nets:
            assert len(experiment.rates_of(net)) >= 3


def test_the_figure_joins_each_seeds_two_values(dropout):
    figure = viz.experiment(dropout)
    assert len(figure.axes) == 3
    error = figure.axes[0]
    pairs = [tuple(line.get_ydata()) for line in error.lines[:3]]
    assert pairs == [(10, 13), (11, 14.5), (12, 16)]
    assert [line.get_ydata()[0] for line in error.lines[3:]] == [11, 14.5]  # the means
    assert [tick.get_text() for tick in error.get_xticklabels()] == ["dropout 0.5", "without"]
    assert error.get_ylabel() == "test error (%)"
    assert error.get_title() == "3.50 [2.26, 4.74] points\nagrees"
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear", "log"]
    epochs = figure.axes[2]
    assert [tick.get_text() for tick in epochs.get_xticklabels()] == ["without", "dropout 0.5"]
    assert [line.get_ydata()[0] for line in epochs.lines[3:]] == [15, 36]  # medians


def test_the_figure_says_what_an_unclear_interval_says():
    outcome = outcome_of("lrn", {"test_error": ([11, 12, 13], [11.2, 12.1, 13.0])})
    (axes,) = viz.experiment(outcome).axes
    number, verdict, *said = axes.get_title().split("\n")
    assert (number, verdict) == ("0.10 [−0.15, 0.35] points", "cannot tell; the interval says:")
    assert said == ["less than the paper's", "no difference that counts"]


def test_an_open_mark_did_not_arrive_and_an_arm_keeps_its_colour(six):
    figure = viz.experiment(six)
    blue, vermilion = (to_rgba(colour) for colour in list(COLOURS.values())[:2])
    error, epochs = figure.axes[0], figure.axes[2]
    (left, right), (first, second) = error.collections, epochs.collections
    assert tuple(left.get_edgecolors()[0]) == tuple(second.get_edgecolors()[0]) == blue
    assert tuple(right.get_edgecolors()[0]) == tuple(first.get_edgecolors()[0]) == vermilion
    assert [tuple(inside) for inside in second.get_facecolors()] == [blue] * 5 + [to_rgba("white")]
    assert {tuple(inside) for inside in first.get_facecolors()} == {vermilion}


def test_the_race_is_drawn_before_its_times():
    experiment, rows = find("relu-vs-tanh"), []
    for place, arm in enumerate(experiment.arms):
        for seed in range(6):
            curve = [[0.1, 80.0 + place], [0.2, 25.0 + place]]
            epochs = (1 + place) * (1 + seed)
            rows.append({"arm": arm, "seed": seed, "epochs": epochs, "curve": curve})
    outcome = replace(outcome_of("relu-vs-tanh", {}, 6), rows=rows)
    race, released, ours = viz.experiment(outcome).axes
    drawn = [tuple(line.get_ydata()) for line in race.lines]
    assert drawn == [(80 + place, 25 + place) for place in range(4) for _ in range(6)]
    assert race.get_xlabel() == "epoch"
    assert [text.get_text() for text in race.get_legend().get_texts()] == list(experiment.arms)
    assert [line.get_color() for line in race.lines[::6]] == list(COLOURS.values())[:4]
    assert released.get_title() == "2.00 [2.00, 2.00] times\nthere, but smaller than the paper's"
    assert ours.get_title().endswith("times\nmore with “tanh, Glorot's start”")


def test_the_kernels_have_a_figure_of_their_own(lrn):
    kernels = np.random.default_rng(0).standard_normal((8, 3, 5, 5)).tolist()
    numbers = {"difference": ([20, 21, 22], [7, 8, 9])}
    outcome = outcome_of("specialisation", numbers, tower_a=1.0, tower_b=2.0)
    outcome.rows[0]["kernels"] = kernels
    outcome.rows[2] |= {"tower_a": 2.0, "tower_b": 1.0}
    assert [axes.get_title() for axes in viz.kernels(outcome).axes] == ["tower a", "tower b"]
    assert "(kernels.png)" in report(outcome)
    assert "kernels" not in csv_text(outcome)
    assert "tower of a net has 1.0 % on average, the other one 2.0 %" in report(outcome)
    assert viz.kernels(lrn) is None
    assert "kernels.png" not in report(lrn)


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
    assert "(lrn/report.md), a\\|b\\\\n# c, 3 seeds | " in text
    assert "Reason: no \\|, no \\<b>\\\\nnot even" in text
    assert len(text.splitlines()) == len(page([lrn], {find("dropout"): "why"}).splitlines())


def test_the_figure_of_data_with_an_odd_name():
    outcome = outcome_of("lrn", {"test_error": ([11, 12, 13], [12, 14, 16])})
    figure = viz.experiment(replace(outcome, plan=replace(outcome.plan, data="$x^2$ \x00 \ud800")))
    svg = io.BytesIO()
    figure.savefig(svg, format="svg")
    ElementTree.fromstring(svg.getvalue())
    assert figure.get_suptitle().endswith(r"\$x^2\$ \x00 \ud800")
