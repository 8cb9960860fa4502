"""minitorch-alexnet reproduce"""

import sys
from pathlib import Path

from tqdm import tqdm

from .. import data
from ..errors import UserError
from ..experiments import EXPERIMENTS, Experiment, find
from ..experiments.report import PAGE, csv_text, difference, page, report
from ..experiments.reproduction import Outcome, Reproduction
from ..files import open_file, write_figure, write_text
from ..processes import processes
from ..words import duration
from .numbers import decimal, whole
from .say import say

SEEDS = 5


def add_commands(add_command) -> None:
    text = "Try a claim of the paper on small nets and images."
    command = add_command("reproduce", reproduce, text, together=True)
    command.add_argument(
        "name", metavar="NAME", nargs="?", help="an experiment, or all: --list names them"
    )
    command.add_argument("--list", action="store_true", help="say which experiments there are")
    command.add_argument(
        "--data",
        default="auto",
        metavar="NAME|DIR",
        help=f"{', '.join(data.DATASETS)}, or a folder made by prepare with --size 32 or 64",
    )
    command.add_argument(
        "--data-dir", metavar="DIR", help="a folder with the files of Fashion-MNIST or CIFAR-10"
    )
    command.add_argument(
        "--seeds", type=whole, default=SEEDS, metavar="N", help="pairs of trainings an experiment"
    )
    command.add_argument(
        "--budget",
        type=decimal,
        metavar="MINUTES",
        help="for all that the command does (default: each experiment's own size)",
    )
    command.add_argument(
        "--out",
        default="reproduce",
        metavar="DIR",
        help="where each experiment gets a folder of its name; the same command goes on there",
    )


def reproduce(arguments) -> int:
    if arguments.list:
        _list()
        return 0
    if arguments.name is None:
        raise UserError("say which experiment: reproduce NAME, or all; reproduce --list names them")
    experiment = None if arguments.name == "all" else find(arguments.name)
    loaded = data.load(arguments.data, arguments.data_dir)
    if loaded.note:
        say(f"Note: {loaded.note}\n")
    if experiment:
        _do(experiment, loaded, arguments, arguments.budget)
    else:
        _do_all(loaded, arguments)
    return 0


def _list() -> None:
    width = max(map(len, EXPERIMENTS))
    for name, experiment in EXPERIMENTS.items():
        say(f"{name:{width}}  {experiment.claim}")
        for measure in experiment.measures:
            say(f"{'':{width}}  Section {experiment.section}: {measure.name}, {measure.paper}")


def _do_all(loaded: data.Data, arguments) -> None:
    """Do the experiments that the images suit, and write a page about all of them."""
    why_not = {e: e.why_not(loaded) for e in EXPERIMENTS.values()}
    left_out = {e: why for e, why in why_not.items() if why}
    fitting = [e for e in why_not if e not in left_out]
    if not fitting:
        raise UserError(f"no experiment suits these images: {next(iter(left_out.values()))}")
    for experiment, why in left_out.items():
        say(f"{experiment.name} is left out: {why}")
    path = Path(arguments.out, "README.md")
    _expect_our_page(path)
    share = arguments.budget and arguments.budget / len(fitting)
    outcomes = [_do(experiment, loaded, arguments, share) for experiment in fitting]
    if processes().rank == 0:
        write_text(path, page(outcomes, left_out))
    say(f"\nAll on one page: {path}")


def _expect_our_page(path: Path) -> None:
    """UserError if another README.md is there, before hours of training."""
    try:
        with open_file(path) as file:
            ours = file.read(100).startswith(PAGE.encode())
    except (FileNotFoundError, NotADirectoryError):  # no folder: the experiments will say so
        return
    if not ours:
        raise UserError(f"{path} is there and no page of ours: name another folder with --out")


def _do(experiment: Experiment, loaded: data.Data, arguments, budget: float | None) -> Outcome:
    """Do one experiment, or what is left of it, and write its report, figure and table."""
    folder = Path(arguments.out, experiment.name)
    together = processes()
    reproduction = Reproduction(experiment, loaded, folder, arguments.seeds, budget, together)
    plan, total = reproduction.plan, len(reproduction.trainings)
    done = total - len(reproduction.pending)
    say(
        f"{experiment.name}: {total} trainings, {done} of them done; each on"
        f" {plan.images:,} images of {plan.data}, epochs: {plan.epochs}. Folder: {folder}"
    )
    try:
        outcome = _with_bar(reproduction)
    except KeyboardInterrupt:
        say(f"{folder} has the trainings that are done; the same command goes on with the rest.")
        raise
    if together.rank == 0:
        _write(folder, outcome)
    for measure in experiment.measures:
        say(
            f"{measure.name}: {difference(outcome, measure)}; the paper: {measure.paper}."
            f" Verdict: {outcome.effect(measure).verdict}."
        )
    say(f"{duration(outcome.seconds)} in all; report.md, figure.png and results.csv in {folder}.")
    return outcome


def _with_bar(reproduction: Reproduction) -> Outcome:
    """Go through the trainings with a bar over all of them, and a line for each that is done."""
    measures, total = reproduction.experiment.measures, len(reproduction.trainings)
    done = total - len(reproduction.pending)
    with tqdm(
        total=total,
        initial=done,
        bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left",
        disable=None,  # where nobody looks (no terminal), only the trainings' lines
        dynamic_ncols=True,
    ) as bar:

        def on_step(training, share):
            bar.set_description_str(str(training), refresh=False)
            bar.update(done + share - bar.n)

        def on_result(training, result):
            nonlocal done
            done += 1
            bar.update(done - bar.n)
            told = [str(training)]
            for arm, numbers in result["arms"].items():
                values = (
                    f"{m.name} {numbers[m.key]:.2f}{m.unit and f' {m.unit}'}" for m in measures
                )
                told.append(("" if arm == training.net else f"{arm} ") + ", ".join(values))
            bar.write(f"{'; '.join(told)}; {result['seconds']:.0f} s", file=sys.stdout)
            sys.stdout.flush()  # for whoever reads along in a file

        return reproduction.go(on_step, on_result)


def _write(folder: Path, outcome: Outcome) -> None:
    from .. import viz  # matplotlib is slow to import, and the other commands do without

    write_figure(folder / "figure.png", viz.experiment(outcome))
    write_text(folder / "results.csv", csv_text(outcome))
    write_text(folder / "report.md", report(outcome))
