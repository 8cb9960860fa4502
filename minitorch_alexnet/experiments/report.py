"""What an experiment has found, as a table, a page of Markdown and a CSV."""

import csv
import io
import math
import re

from ..words import command, duration, printable
from .experiment import Experiment, Measure
from .reproduction import Outcome, Plan
from .statistics import RULE

PAGE = "# The paper's claims, tried"  # how that of all experiments begins


def report(outcome: Outcome) -> str:
    """The experiment's page, beside which lie figure.png and results.csv."""
    experiment, plan = outcome.experiment, outcome.plan
    count = len(experiment.trainings(plan.seeds))
    return "\n".join(
        [
            f"# {experiment.title}",
            "",
            f"The paper, section {experiment.section}: {experiment.claim}",
            "",
            f"**Verdict: {verdict(outcome)}.**",
            "",
            *_table(outcome),
            "",
            "![The arms, seed by seed](figure.png)",
            "",
            f"- Ours: {experiment.ours}",
            *(f"- Training, {nets}: {recipe}." for recipe, nets in _by_recipe(plan.recipe)),
            f"- Data: {markdown(plan.data)}; {plan.images:,} training images,"
            f" {plan.epochs} epochs at most, {outcome.test_images:,} test images.",
            f"- Seeds: {plan.seeds}. The spread (±) is their standard deviation; the test images"
            " are the same for all.",
            *(f"- {line}" for line in experiment.remarks(outcome.rows)),
            f"- The rule: {RULE}",
            f"- Time: {duration(outcome.seconds)} for {count} trainings; {outcome.date};"
            f" {plan.versions}.",
            f"- Again: {_code(_command(plan))}. Seed by seed: [results.csv](results.csv).",
            "",
        ]
    )


def _command(plan: Plan) -> str:
    budget = () if plan.budget is None else ("--budget", f"{plan.budget:g}")
    options = ("--data", plan.data, "--seeds", plan.seeds, *budget)
    return command("reproduce", plan.experiment, *options)


def verdict(outcome: Outcome) -> str:
    """That of the first measure."""
    return outcome.effect(outcome.experiment.measures[0]).verdict


def _table(outcome: Outcome) -> list[str]:
    first, second = outcome.experiment.arms
    lines = [
        f"| | {first} | {second} | difference, 95 % interval | the paper | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for measure in outcome.experiment.measures:
        arms = " | ".join(_spread(values) for values in outcome.values(measure))
        lines.append(
            f"| {_with_unit(measure)} | {arms} | {difference(outcome, measure)} |"
            f" {measure.paper} | {outcome.effect(measure).verdict} |"
        )
    return lines


def _by_recipe(recipes: dict[str, str]) -> list[tuple[str, str]]:
    """Each recipe once, with the nets that it is for."""
    nets = {recipe: [n for n, r in recipes.items() if r == recipe] for recipe in recipes.values()}
    return [(recipe, " and ".join(names)) for recipe, names in nets.items()]


def _with_unit(measure: Measure) -> str:
    return f"{measure.name}, {measure.unit}" if measure.unit else measure.name


def _spread(values) -> str:
    deviation = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{deviation}"


def difference(outcome: Outcome, measure: Measure) -> str:
    """The effect in words: "0.41 [0.12, 0.70] points", or "2.10 [1.70, 2.60] times"."""
    found = outcome.effect(measure)
    numbers = [found.mean, found.low, found.high]
    if measure.ratio:
        numbers = [math.exp(number) for number in numbers]
    mean, low, high = (f"{number:.2f}".replace("-", "−") for number in numbers)
    interval = f" [{low}, {high}]" if math.isfinite(found.low) else ""
    return f"{mean}{interval} {'times' if measure.ratio else 'points'}"


def markdown(text: str) -> str:
    """Text with names of strangers as Markdown shows it: in one line, which begins nothing."""
    return re.sub(r"[\\`|<*\[\]]", r"\\\g<0>", printable(text))


def _code(text: str) -> str:
    """A span of code, whatever stands in it."""
    text, fence = printable(text), "`"
    while fence in text:
        fence += "`"
    return f"`{text}`" if fence == "`" else f"{fence} {text} {fence}"


def csv_text(outcome: Outcome) -> str:
    """A row an arm and seed; numbers that an arm does not have are left empty."""
    rows = [{k: v for k, v in row.items() if k != "curve"} for row in outcome.rows]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def page(outcomes: list[Outcome], left_out: dict[Experiment, str]) -> str:
    """All experiments on one page, each with a link to its own.

    outcomes: at least one, of one data set;  left_out: what was not done, with the reasons
    """
    plan, seconds = outcomes[0].plan, sum(outcome.seconds for outcome in outcomes)
    lines = [
        PAGE,
        "",
        f"On {markdown(plan.data)}, {plan.seeds} seeds, {duration(seconds)} in all;"
        f" {plan.versions}.",
        "",
        "| | claim | the paper | here, 95 % interval | verdict |",
        "|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        experiment = outcome.experiment
        head = f"[{experiment.title}]({experiment.name}/report.md) | {experiment.claim}"
        for measure in experiment.measures:
            lines.append(
                f"| {head} | {measure.name}: {measure.paper} | {difference(outcome, measure)} |"
                f" {outcome.effect(measure).verdict} |"
            )
            head = " | "  # said once
    lines += ["", f"- The rule: {RULE}"]
    lines += [f"- Left out: {e.title}. Reason: {markdown(why)}." for e, why in left_out.items()]
    return "\n".join(lines) + "\n"
