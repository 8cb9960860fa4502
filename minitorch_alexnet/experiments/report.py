"""What an experiment has found, as a table, a page of Markdown and a CSV."""

import csv
import io
import math
import re

import numpy as np

from ..words import command, duration, printable
from .experiment import TRIAL_SEEDS, Experiment, Measure
from .outcome import Outcome, could_see
from .plan import Plan
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
            *(f"- {in_words(outcome, measure)}" for measure in experiment.measures),
            "",
            *_table(outcome),
            "",
            "![The arms, seed by seed](figure.png)",
            "",
            "A grey line is a seed, a bar an arm's mean (of durations the median), an open mark a"
            " training that did not arrive.",
            "",
            *_kernels(outcome),
            "## How",
            "",
            f"- Ours: {experiment.ours}",
            *(f"- Training, {nets}: {recipe}." for recipe, nets in _by_recipe(plan.recipe)),
            f"- Data: {markdown(plan.data)}; {plan.images:,} training images,"
            f" {plan.epochs} epochs{' at most' * any(m.ratio for m in experiment.measures)},"
            f" {outcome.test_images:,} test images.",
            f"- Seeds: {plan.pairs}. Behind ± stands their standard deviation; of durations there"
            " is the median, with the shortest and the longest.",
            *(
                f"- {line}"
                for line in [*_too_few(outcome), *_late(outcome), *experiment.remarks(outcome.rows)]
            ),
            f"- Time: {duration(outcome.seconds)}, added up, for {count - outcome.shared}"
            f" trainings{shared};"
            f" {outcome.date}; {markdown(plan.versions)}.",
            *(f"- With {_with(machine)}." for machine in outcome.made_with),
            f"- Again: {_code(_command(plan))}. Seed by seed: [results.csv](results.csv).",
            "",
            *_trials(outcome),
            *_start(outcome),
            "## The rule",
            "",
            *(f"- {line}" for line in RULE),
            "",
        ]
    )


def in_words(outcome: Outcome, measure: Measure) -> str:
    """A sentence: what was found, what the paper says, the verdict and what is left out."""
    paper = f"The paper: {measure.paper}."
    return (
        f"{str(measure)[0].upper()}{str(measure)[1:]}:"
        f" {difference(outcome, measure)}{_share(outcome, measure)}. {paper}"
        f" **{outcome.verdict(measure)}**{_left_out(outcome, measure)}."
    )


def judged(outcome: Outcome, measure: Measure) -> str:
    """The verdict, and what an unclear interval says all the same."""
    return f"{outcome.verdict(measure)}{_left_out(outcome, measure)}"


def _left_out(outcome: Outcome, measure: Measure) -> str:
    said = outcome.leaves_out(measure)
    return f"; the interval says: {', '.join(said)}" if said else ""


def _share(outcome: Outcome, measure: Measure) -> str:
    """How large a part of the errors a difference is."""
    if measure.ratio or not measure.key.endswith("error"):
        return ""
    more, less = (values.mean() for values in outcome.values(measure))
    return f", {100 * (more - less) / more:.1f} % of the errors".replace("-", "−") if more else ""


def _command(plan: Plan) -> str:
    seeds = () if plan.seeds is None else ("--seeds", plan.seeds)
    budget = () if plan.budget is None else ("--budget", f"{plan.budget}".removesuffix(".0"))
    where = ("--data-dir", "DIR") if plan.data == "cifar-10" else ()
    return command("reproduce", plan.experiment, "--data", plan.data, *where, *seeds, *budget)


def _table(outcome: Outcome) -> list[str]:
    lines = [
        "| | one arm | the other | difference, 95 % interval | smallest that counts |"
        " smallest that would have been noticed | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for measure in outcome.experiment.measures:
        more, less = (_spread(outcome, measure, side) for side in (0, 1))
        lines.append(
            f"| {_with_unit(measure)} | {measure.less}: {less} | {measure.more}: {more} |"
            f" {difference(outcome, measure)} | {counts(measure)} |"
            f" {seen(outcome, measure)} | {judged(outcome, measure)} |"
        )
    return lines


def _too_few(outcome: Outcome) -> list[str]:
    """Of which measures more seeds are needed to see what counts."""
    measures = outcome.experiment.measures
    weak = [str(m) for m in measures if round(noticed(outcome, m), _digits(m)) > m.counts]
    missed = "More than one of five repetitions would not tell a difference that counts from 0"
    return [f"{missed}: {'; '.join(weak)}."] if weak else []


def _trials(outcome: Outcome) -> list[str]:
    """A table of the rates that were tried."""
    experiment, epochs = outcome.experiment, outcome.plan.epochs
    shorter = experiment.trial_epochs(epochs) < epochs
    may_differ = ", and what is best for it need not be best for the whole" * shorter
    return [
        "## The rates that were tried",
        "",
        f"The median of {len(TRIAL_SEEDS)} seeds that are not judged: {experiment.score}. Such a"
        f" trial has {experiment.trial_epochs(epochs)} of {epochs} epochs{may_differ}."
        " A rate at which one of them failed, being no better than a guess, is out, unless all"
        " are.",
        "",
        "| | rate | median | failed | |",
        "|---|---|---|---|---|",
        *(
            f"| {row['net']} | {row['rate']:g} | {row['score']:.2f} | {row['failed'] or ''} |"
            f" {_chosen(outcome, row)} |"
            for row in outcome.trials
        ),
        "",
    ]


def _chosen(outcome: Outcome, row: dict) -> str:
    """Is it the rate that was chosen, and may a better one lie beyond?"""
    if not row["chosen"]:
        return ""
    rates = [other["rate"] for other in outcome.trials if other["net"] == row["net"]]
    at_the_end = len(rates) > 1 and row["rate"] in (min(rates), max(rates))
    return "chosen; a better one may lie beyond" if at_the_end else "chosen"


def _late(outcome: Outcome) -> list[str]:
    """Who never arrived, and whose training failed."""
    lines = []
    for arm in outcome.experiment.arms:
        rows = outcome.of_arm(arm)
        late = sum(not row.get("arrived", True) for row in rows)
        failed = sum(row.get("failed", False) for row in rows)
        if late:
            lines.append(f"{arm}: {late} of {len(rows)} did not arrive: later than any that did.")
        if failed:
            lines.append(
                f"{arm}: {failed} of {len(rows)} were no better than a guess: of epochs the whole"
                " length or more, and of one that diverged a guess's errors."
            )
    return lines


def _start(outcome: Outcome) -> list[str]:
    """A table of the sizes of signals and gradients before the first step, by arm."""
    arms = outcome.experiment.arms
    sizes = {arm: row["start"] for arm in arms for row in outcome.of_arm(arm)[:1] if "start" in row}
    if len(outcome.experiment.nets) == 1 or not sizes:
        return []
    layers = dict.fromkeys(layer for start in sizes.values() for layer in start)
    return [
        "## At the start",
        "",
        "Seed 0, the first batch: the root mean square of what a layer reads / of its weight's"
        " gradient. Where they differ, a rate does not mean the same to the arms; each has its"
        " own.",
        "",
        f"| | {' | '.join(sizes)} |",
        f"|---|{'---|' * len(sizes)}",
        *(
            f"| {markdown(layer)} | "
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
    return [(recipe, " and ".join(f"“{n}”" for n in names)) for recipe, names in nets.items()]


def _with_unit(measure: Measure) -> str:
    return f"{measure.name}, {measure.unit}" if measure.unit else measure.name


def _spread(outcome: Outcome, measure: Measure, side: int) -> str:
    """Mean and standard deviation; of durations the median, and from where to where."""
    values, arrived = outcome.values(measure)[side], outcome.arrived(measure)[side]
    if measure.ratio:
        ends = [
            f"{value:.1f}{'' if came else ' or more'}"
            for value, came in zip(values, arrived, strict=True)
        ]
        order = np.lexsort((~arrived, values))  # of equal ones the late one comes last
        middle = order[(len(order) - 1) // 2 : len(order) // 2 + 1]
        more = "" if arrived[middle].all() else " or more"
        return f"{np.median(values):.1f}{more} ({ends[order[0]]} to {ends[order[-1]]})"
    deviation = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{deviation}"


def difference(outcome: Outcome, measure: Measure) -> str:
    """The effect in words: "0.41 [0.12, 0.70] points", or "2.10 [1.70, ∞] times"."""
    found = outcome.effect(measure)
    if found.bound == "not known":
        return found.bound
    numbers = [found.middle, found.low, found.high]
    if measure.ratio:
        numbers = [math.exp(number) for number in numbers]
    middle, low, high = (_number(number, measure) for number in numbers)
    interval = f" [{low}, {high}]" if math.isfinite(found.low) or math.isfinite(found.high) else ""
    return f"{found.bound} {middle}{interval} {_units(measure)}".lstrip()


def noticed(outcome: Outcome, measure: Measure) -> float:
    """The difference, or ratio, that the design could have seen by the spread that was found; by
    the one that was assumed, if nobody knows what it was."""
    found = outcome.effect(measure).seen
    if not math.isfinite(found):
        return could_see(measure, outcome.plan.pairs)
    return math.exp(found) if measure.ratio else found


def seen(outcome: Outcome, measure: Measure) -> str:
    """The same in words."""
    told = noticed(outcome, measure)
    if not math.isfinite(told):
        return "not known"
    assumed = "" if math.isfinite(outcome.effect(measure).seen) else " (assumed)"
    return f"{_number(told, measure)} {_units(measure)}{assumed}"


def forecast(measure: Measure, pairs: int) -> str:
    """What counts, and what so many pairs can show, before the first training."""
    told = could_see(measure, pairs)
    seeds = "1 seed" if pairs == 1 else f"{pairs} seeds"
    shown = f"would show {_number(told, measure)} {_units(measure)}, 4 times in 5"
    if not math.isfinite(told):
        shown = "cannot tell anything"
    return f"{measure}: {counts(measure)} or more count; {seeds} {shown}"


def counts(measure: Measure) -> str:
    """The smallest difference, or ratio, that does."""
    units = _units(measure)
    return f"{measure.counts:g} {'point' if (measure.counts, units) == (1, 'points') else units}"


def _number(value: float, measure: Measure) -> str:
    if not math.isfinite(value):
        return "∞"
    text = f"{value:.{_digits(measure)}f}"
    if value and not float(text):  # which side of 0 it is matters
        text = f"{value:.0e}"
    return text.replace("-", "−")


def _digits(measure: Measure) -> int:
    return 3 if measure.unit == "nats" else 2


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
    versions = "; ".join(dict.fromkeys(markdown(plan.versions) for plan in plans))
    lines = [
        PAGE,
        "",
        f"{duration(seconds)} of training in all; {versions}.",
        "",
        "| | claim | the paper | here, 95 % interval | counts from | would have been noticed from |"
        " verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        experiment, plan = outcome.experiment, outcome.plan
        where = f"{markdown(plan.data)}, {plan.pairs} seeds"
        head = f"[{experiment.title}]({experiment.name}/report.md), {where} | {experiment.claim}"
        for measure in experiment.measures:
            lines.append(
                f"| {head} | {measure}: {measure.paper} | {difference(outcome, measure)} |"
                f" {counts(measure)} | {seen(outcome, measure)} | {judged(outcome, measure)} |"
            )
            head = " | "  # said once
    lines += ["", *(f"- {line}" for line in RULE)]
    lines += [
        "- Of twenty such intervals one is expected to miss its truth; some here share an arm.",
    ]
    lines += [f"- Left out: {e.title}. Reason: {markdown(why)}." for e, why in left_out.items()]
    return "\n".join(lines) + "\n"
