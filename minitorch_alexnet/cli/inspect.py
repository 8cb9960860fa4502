"""Looking in: minitorch-alexnet summary, gradcheck, doctor"""

import platform
from pathlib import Path

import numpy as np

from .. import __version__, machine
from ..config import LIMITS, expect_within
from ..data import fashion_mnist
from ..errors import UserError
from ..files import write_figure
from ..gpu import why_no_gpu
from ..gradcheck import check_layer
from ..graph import Graph
from ..layers.cases import cases
from ..models import MODELS, build
from ..run import is_kept, load_run
from ..summary import summary as summary_of
from ..workers import blas_can_be_limited, get_workers, usable_cores
from .numbers import whole
from .runs import picture_path
from .say import say


def add_commands(add_command) -> None:
    command = add_command("summary", summary, "Print a net's layers, shapes and counts.")
    _add_model(command)
    command = add_command("graph", graph, "Draw a net, with what crosses between devices.")
    _add_model(command)
    command.add_argument(
        "--out",
        metavar="FILE",
        help="a .png or .svg (default: MODEL.png in this folder, or RUN/graph.png)",
    )
    command = add_command(
        "gradcheck", gradcheck, "Hold the layers' gradients against finite differences."
    )
    command.add_argument("layers", metavar="LAYER", nargs="*", help="Conv2d, …; default: all")
    command.add_argument("--seed", type=whole, default=0, help="draws the inputs")
    add_command("doctor", doctor, "Say what this machine has, and what is missing.")


def _add_model(command) -> None:
    command.add_argument(
        "model", metavar="MODEL|RUN", help=f"one of {', '.join(MODELS)}, or a run folder"
    )
    command.add_argument(
        "--classes", type=whole, metavar="N", help="outputs (default: the model's own, 1000 or 10)"
    )
    command.add_argument("--devices", metavar="A[,B]", help="where it lives: cpu:0,cpu:1")


def _build(arguments) -> Graph:
    if arguments.classes is not None:
        expect_within("--classes", arguments.classes, 1, 10**6)
    if _is_run(arguments.model):
        if arguments.classes is not None:
            raise UserError("a run has its classes: leave out --classes")
        return load_run(arguments.model, devices=arguments.devices or "").net
    options = {"num_classes": arguments.classes, "devices": arguments.devices}
    said = {k: v for k, v in options.items() if v is not None}
    return build(arguments.model, seed=None, **said)  # shapes are all that is shown


def _is_run(model: str) -> bool:
    """Is it the folder of a run, and none of the models?"""
    return model not in MODELS and is_kept(Path(model))


def summary(arguments) -> int:
    say(summary_of(_build(arguments)))
    return 0


def graph(arguments) -> int:
    from .. import viz  # matplotlib is slow to import

    model = arguments.model
    usual = Path(model, "graph.png") if _is_run(model) else Path(f"{model}.png")
    out = picture_path(arguments.out, usual)
    write_figure(out, viz.network(_build(arguments)))
    say(f"Drawn in {out}")
    return 0


def gradcheck(arguments) -> int:
    expect_within("--seed", arguments.seed, *LIMITS["seed"])
    rng = np.random.default_rng(arguments.seed)
    known = cases(rng)
    names = sorted({type(layer).__name__ for layer, _ in known})
    asked = {name.lower() for name in arguments.layers}
    for name in arguments.layers:
        if name.lower() not in map(str.lower, names):
            near = [n for n in names if name.lower() in n.lower()] or names
            raise UserError(f"unknown layer {name}: expected any of {', '.join(near)}")
    width = max(len(repr(layer)) for layer, _ in known)
    failed = 0
    say(f"{'layer':{width}}  largest error  verdict")
    for layer, shapes in known:
        if asked and type(layer).__name__.lower() not in asked:
            continue
        report = check_layer(layer, *(rng.standard_normal((2, *s)) for s in shapes), rng=rng)
        failed += not report.passed
        verdict = "ok" if report.passed else "WRONG"
        say(f"{layer!r:{width}}  {report.error:13.1e}  {verdict}")
        if not report.passed:
            say(str(report))
    return 1 if failed else 0


def doctor(arguments) -> int:
    say(f"minitorch_alexnet  {__version__}")
    say(f"Python             {platform.python_version()} on {platform.platform()}")
    say(f"NumPy              {np.__version__}")
    say(f"CPU                {machine.cpu()}")
    for blas in machine.blas():
        say(f"BLAS               {blas}")
    say(f"threads            {get_workers().threads} workers on {len(usable_cores())} cores")
    if not blas_can_be_limited():
        say("                   this BLAS cannot be held to one thread: one worker is the default")
    say(f"GPU                {why_no_gpu() or 'cuda:0 can be used'}")
    place, tried = fashion_mnist.find()
    say(f"Fashion-MNIST      {place or 'not found: ' + '; '.join(tried)}")
    say("silhouettes        built in")
    return 0
