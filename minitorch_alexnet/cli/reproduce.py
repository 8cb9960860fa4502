"""minitorch-alexnet reproduce"""

import sys
from pathlib import Path

from tqdm import tqdm

from .. import data
from ..errors import DataError, UserError
from ..experiments import EXPERIMENTS, Experiment, find
from ..experiments.outcome import Outcome
from ..experiments.report import PAGE, csv_text, difference, forecast, judged, page, report
from ..experiments.reproduction import Reproduction
from ..files import open_file, write_figure, write_text
from ..processes import processes
from ..run import as_folder
from ..words import duration, printable
from .numbers import decimal, whole
from .say import say


def add_commands(add_command) -> None:
    text = "Try a claim of the paper on small nets and images."
    command = add_command("reproduce", reproduce, text, together=True)
    command.add_argument(
        "name", metavar="NAME", nargs="?", help="an experiment, or all: --list names them"
    )
    command.add_argument("--list", action="store_true", help="say which experiments there are")
    command.add_argument(
        "--data",
        metavar="NAME|DIR",
        help=f"{', '.join(data.DATASETS)}, or a folder made by prepare with --size 32 or 64"
        " (default: the experiment's own)",
    )
    command.add_argument(
        "--data-dir",
        metavar="DIR",
        help="a folder with the files of Fashion-MNIST or CIFAR-10; for all, of CIFAR-10",
    )
    command.add_argument(
        "--seeds",
        type=whole,
        metavar="N",
        help="of each experiment (default: its own number, or what --budget buys)",
    )
    command.add_argument(
        "--budget",
        type=decimal,
        metavar="MINUTES",
        help="for all that the command does; it says what effect that can show (default: each"
        " experiment's own size, one to four hours of two cores)",
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
    arguments.out = as_folder(arguments.out)
    if arguments.name == "all":
        _do_all(arguments)
        return 0
    experiment = find(arguments.name)
    name = arguments.data or experiment.data
    if arguments.data is None and name == "cifar-10" and not arguments.data_dir:
        raise UserError(
            f"{experiment.name} is for CIFAR-10, which is not downloaded for you: --data-dir says"
            " where it is, or --data fashion-mnist takes grey images instead"
        )
    loaded = _load(name, arguments.data_dir)
    _do(experiment, loaded, arguments, arguments.budget)
    return 0


def _load(name: str, data_dir: str | None) -> data.Data:
    loaded = data.load(name, data_dir)
    if loaded.note:
        say(f"Note: {loaded.note}\n")
    return loaded


def _list() -> None:
    width = max(map(len, EXPERIMENTS))
    for name, experiment in EXPERIMENTS.items():
        say(f"{name:{width}}  {experiment.claim}")
        say(f"{'':{width}}  Section {experiment.section}; on {experiment.data}")
        for measure in experiment.measures:
            say(f"{'':{width}}  {measure}: {measure.paper}")


def _do_all(arguments) -> None:
    """Do the experiments that there are images for, and write a page about all of them."""
    fitting, left_out = {}, {}
    sets: dict[str, data.Data | str] = {}  # or why they cannot be had
    for experiment in EXPERIMENTS.values():
        name = arguments.data or experiment.data
        if name not in sets:
            sets[name] = _images(name, arguments)
        images = sets[name]
        if isinstance(images, str):
            left_out[experiment] = images
        elif why := experiment.why_not(images):
            left_out[experiment] = why
        else:
            fitting[experiment] = images
    if not fitting:
        raise UserError(f"no experiment suits these images: {next(iter(left_out.values()))}")
    for experiment, why in left_out.items():
        say(f"{experiment.name} is left out: {why}")
    path = arguments.out / "README.md"
    _expect_our_page(path)
    share = arguments.budget and arguments.budget / len(fitting)
    for experiment, images in fitting.items():  # what does not go is said before hours of training
        _reproduction(experiment, images, arguments, share)
    outcomes = [_do(experiment, images, arguments, share) for experiment, images in fitting.items()]
    if processes().rank == 0:
        write_text(path, page(outcomes, left_out))
    say(f"\nAll on one page: {path}")


def _images(name: str, arguments) -> data.Data | str:
    """The data set that was asked for; an experiment's own, or why it cannot be had."""
    if arguments.data:
        return _load(name, arguments.data_dir)
    try:
        return _load(name, arguments.data_dir if name == "cifar-10" else None)
    except DataError as error:
        return str(error)


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
    folder, together = arguments.out / experiment.name, processes()
    reproduction = _reproduction(experiment, loaded, arguments, budget)
    plan, total = reproduction.plan, len(reproduction.trainings)
    done = total - len(reproduction.pending)
    say(
        f"{experiment.name}: seeds: {plan.pairs}; {total} trainings with those that choose rates,"
        f" {done} of them done; each on {plan.images:,} images of {plan.data}, epochs:"
        f" {plan.epochs}. Folder: {folder}"
    )
    for measure in experiment.measures:
        say(f"  {forecast(measure, plan.pairs)}")
    try:
        outcome = _with_bar(reproduction)
    except KeyboardInterrupt:
        say(f"{folder} has the trainings that are done; the same command goes on with the rest.")
        raise
    if together.rank == 0:
        _write(folder, outcome)
    for measure in experiment.measures:
        say(
            f"{measure}: {difference(outcome, measure)}; the paper: {measure.paper}."
            f" Verdict: {judged(outcome, measure)}."
        )
    say(
        f"{duration(outcome.seconds)} of training, added up; report.md, figure.png and results.csv"
        f" in {folder}."
    )
    return outcome


def _reproduction(experiment, loaded: data.Data, arguments, budget: float | None) -> Reproduction:
    folder = arguments.out / experiment.name
    return Reproduction(experiment, loaded, folder, arguments.seeds, budget, processes())


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
                units = {"score": ""} if training.trial else {m.key: m.unit for m in measures}
                values = (f"{k.replace('_', ' ')} {numbers[k]:.2f} {u}" for k, u in units.items())
                name = "" if arm == training.net else f"{arm} "
                told.append(name + ", ".join(value.rstrip() for value in values))
            took = f"as in {result['from']}" if "from" in result else f"{result['seconds']:.0f} s"
            bar.write(printable(f"{'; '.join(told)}; {took}"), file=sys.stdout)
            sys.stdout.flush()  # for whoever reads along in a file

        return reproduction.go(on_step, on_result)


def _write(folder: Path, outcome: Outcome) -> None:
    from .. import viz  # matplotlib is slow to import, and the other commands do without

    write_figure(folder / "figure.png", viz.experiment(outcome))
    if (kernels := viz.kernels(outcome)) is not None:
        write_figure(folder / "kernels.png", kernels)
    write_text(folder / "results.csv", csv_text(outcome))
    write_text(folder / "report.md", report(outcome))
