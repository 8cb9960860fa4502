"""What an experiment has found, as a table, a page of Markdown and a CSV."""

import csv
import io
import math
import re

import numpy as np

from ..words import command, duration, printable
from .experiment import Experiment, Measure
from .reproduction import Outcome, Plan, could_see
from .statistics import RULE

PAGE = "# The paper's claims, tried"  # how that of all experiments begins


def report(outcome: Outcome) -> str:
    """The experiment's page, beside which lie figure.png and results.csv."""
    experiment, plan = outcome.experiment, outcome.plan
    count = len(experiment.trainings(plan.pairs))
    shared = f", and {outcome.shared} more of other experiments" * bool(outcome.shared)
    return "\n".join(
        [
            f"# {experiment.title}",
            "",
            f"The paper, section {experiment.section}: {experiment.claim}",
            "",
            f"**Verdict: {outcome.verdict(experiment.measures[0])}.**",
            "",
            *_table(outcome),
            "",
            "![The arms, seed by seed](figure.png)",
            "",
            *_kernels(outcome),
            f"- Ours: {experiment.ours}",
            *(f"- Training, {nets}: {recipe}." for recipe, nets in _by_recipe(plan.recipe)),
            *(f"- Rate, {net}: {said}." for net, said in outcome.chosen.items()),
            f"- Data: {markdown(plan.data)}; {plan.images:,} training images,"
            f" {plan.epochs} epochs at most, {outcome.test_images:,} test images.",
            f"- Seeds: {plan.pairs}. The spread (±) is their standard deviation; the test images"
            " are the same for all.",
            *(f"- {line}" for line in [*_late(outcome), *experiment.remarks(outcome.rows)]),
            *_start(outcome),
            f"- The rule: {RULE}",
            f"- Time: {duration(outcome.seconds)} for {count - outcome.shared} trainings{shared};"
            f" {outcome.date}; {plan.versions}.",
            *(f"- With: {_with(machine)}." for machine in outcome.made_with),
            f"- Again: {_code(_command(plan))}. Seed by seed: [results.csv](results.csv).",
            "",
        ]
    )


def _command(plan: Plan) -> str:
    seeds = () if plan.seeds is None else ("--seeds", plan.seeds)
    budget = () if plan.budget is None else ("--budget", f"{plan.budget:g}")
    return command("reproduce", plan.experiment, "--data", plan.data, *seeds, *budget)


def _table(outcome: Outcome) -> list[str]:
    lines = [
        "| | less of it | more of it | difference, 95 % interval | could have seen | counts from"
        " | the paper | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for measure in outcome.experiment.measures:
        more, less = (_spread(values) for values in outcome.values(measure))
        lines.append(
            f"| {_with_unit(measure)} | {measure.less}: {less} | {measure.more}: {more} |"
            f" {difference(outcome, measure)} | {seen(outcome, measure)} |"
            f" {measure.counts:g} {_units(measure)} | {measure.paper} |"
            f" {outcome.verdict(measure)} |"
        )
    return lines


def _late(outcome: Outcome) -> list[str]:
    """Who never arrived, and whose training failed."""
    lines = []
    for arm in outcome.experiment.arms:
        rows = outcome.of_arm(arm)
        late = sum(not row.get("arrived", True) for row in rows)
        failed = sum(row.get("failed", False) for row in rows)
        if late:
            lines.append(f"{arm}: {late} of {len(rows)} did not arrive, and count as later.")
        if failed:
            lines.append(f"{arm}: {failed} of {len(rows)} failed (a loss that is not finite).")
    return lines


def _start(outcome: Outcome) -> list[str]:
    """A table of the sizes of signals and gradients before the first step, by arm."""
    arms = outcome.experiment.arms
    sizes = {arm: row["start"] for arm in arms for row in outcome.of_arm(arm)[:1] if "start" in row}
    if len(outcome.experiment.nets) == 1 or not sizes:
        return []
    layers = dict.fromkeys(layer for start in sizes.values() for layer in start)
    return [
        "- At the start, seed 0: the root mean square of what each layer reads / of its weight's"
        " gradient.",
        "",
        f"| | {' | '.join(sizes)} |",
        f"|---|{'---|' * len(sizes)}",
        *(
            f"| {layer} | "
            + " | ".join(
                f"{start[layer][0]:.3g} / {start[layer][1]:.2g}" if layer in start else ""
                for start in sizes.values()
            )
            + " |"
            for layer in layers
        ),
        "",
    ]


def _kernels(outcome: Outcome) -> list[str]:
    if not any("kernels" in row for row in outcome.rows):
        return []
    return ["![The first layer's kernels, tower by tower, seed 0](kernels.png)", ""]


def _with(machine: dict[str, str]) -> str:
    """A machine, in words: "commit 0123, openblas 0.3 (SkylakeX), a CPU, 2 threads"."""
    return markdown(", ".join(f"{name} {value}" for name, value in machine.items()))


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
    """The effect in words: "0.41 [0.12, 0.70] points", or "2.10 [1.70, ∞] times"."""
    found = outcome.effect(measure)
    numbers = [found.middle, found.low, found.high]
    if measure.ratio:
        numbers = [math.exp(number) for number in numbers]
    middle, low, high = (_number(number) for number in numbers)
    interval = f" [{low}, {high}]" if math.isfinite(found.low) or math.isfinite(found.high) else ""
    return f"{middle}{interval} {_units(measure)}"


def seen(outcome: Outcome, measure: Measure) -> str:
    """The effect that the design could have seen, by the spread that was found."""
    found = outcome.effect(measure).seen
    if not math.isfinite(found):
        return "none"
    return f"{_number(math.exp(found) if measure.ratio else found)} {_units(measure)}"


def forecast(measure: Measure, pairs: int) -> str:
    """What counts, and what so many pairs can show, before the first training."""
    told, units = could_see(measure, pairs), _units(measure)
    compared = f"{measure.name}, {measure.more} against {measure.less}"
    shown = f"would show {_number(told)}" if math.isfinite(told) else "show nothing"
    return f"{compared}: {measure.counts:g} {units} count; {pairs} pairs {shown} (4 times in 5)"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−") if math.isfinite(value) else "∞"


def _units(measure: Measure) -> str:
    if measure.ratio:
        return "times"
    return "points" if measure.unit == "%" else measure.unit


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
    rows = [{k: v for k, v in row.items() if np.isscalar(v)} for row in outcome.rows]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def page(outcomes: list[Outcome], left_out: dict[Experiment, str]) -> str:
    """All experiments on one page, each with a link to its own.

    outcomes: at least one;  left_out: what was not done, with the reasons
    """
    plans, seconds = [o.plan for o in outcomes], sum(outcome.seconds for outcome in outcomes)
    versions = "; ".join(dict.fromkeys(plan.versions for plan in plans))
    lines = [
        PAGE,
        "",
        f"{duration(seconds)} of training in all; {versions}.",
        "",
        "| | claim | the paper | here, 95 % interval | could have seen | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        experiment, plan = outcome.experiment, outcome.plan
        where = f"{markdown(plan.data)}, {plan.pairs} seeds"
        head = f"[{experiment.title}]({experiment.name}/report.md), {where} | {experiment.claim}"
        for measure in experiment.measures:
            what = measure.name if measure.ratio else f"{measure.name}, {measure.more}"
            lines.append(
                f"| {head} | {what}: {measure.paper} | {difference(outcome, measure)} |"
                f" {seen(outcome, measure)} | {outcome.verdict(measure)} |"
            )
            head = " | "  # said once
    lines += ["", f"- The rule: {RULE}"]
    lines += [f"- Left out: {e.title}. Reason: {markdown(why)}." for e, why in left_out.items()]
    return "\n".join(lines) + "\n"
