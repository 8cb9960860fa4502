"""How fast is it, and where does the time go: minitorch-alexnet bench"""

from pathlib import Path

import numpy as np

from ..config import expect_within
from ..files import write_figure
from ..models import MODELS, build
from ..processes import processes
from ..summary import place
from ..timing import PARTS, Timing, flop, measure
from .numbers import decimal, whole
from .runs import picture_path
from .say import say

BAR = 36  # characters of the slowest layer's


def add_commands(add_command) -> None:
    text = "Time a model's training and inference, by layer."
    command = add_command("bench", bench, text, together=True)
    command.add_argument(
        "model", metavar="MODEL", nargs="?", default="fashion", help=f"one of {', '.join(MODELS)}"
    )
    command.add_argument("--batch-size", type=whole, default=128, metavar="N")
    command.add_argument("--devices", metavar="A[,B]", help="where it lives: cpu:0,cpu:1, cuda:0")
    command.add_argument(
        "--seconds", type=decimal, default=10, metavar="S", help="about so long; at least 3 rounds"
    )
    command.add_argument(
        "--out", metavar="FILE", help="a .png or .svg (default: bench-MODEL.png in this folder)"
    )


def bench(arguments) -> int:
    from .. import viz  # matplotlib is slow to import

    expect_within("--batch-size", arguments.batch_size, 1, 2**16)
    expect_within("--seconds", arguments.seconds, 0, 86_400)
    out = picture_path(arguments.out, Path(f"bench-{arguments.model}.png"))
    together = processes()
    options = {"devices": together.own(arguments.devices)} if arguments.devices else {}
    net = build(arguments.model, **options)
    several = f"{together.size} processes, each " if together.size > 1 else ""
    title = f"{arguments.model}, batches of {arguments.batch_size}, {several}{place(net)}"
    say(f"{title}: noise to learn from, some {arguments.seconds:g} seconds …")
    rng = np.random.default_rng(0)
    timing = measure(net, arguments.batch_size, arguments.seconds, rng, together)
    if together.rank:
        return 0
    _print_whole(timing)
    _print_layers(timing)
    write_figure(out, viz.layer_bars(timing, title))
    say(f"Drawn in {out}")
    return 0


def _print_whole(timing: Timing) -> None:
    steps = 1000 * timing.steps.sum(axis=1)
    parts = zip(PARTS, 1000 * np.median(timing.steps, axis=0), strict=True)
    say(
        f"training   {_rate(timing.batch, steps)} images/s: a step of {np.median(steps):.1f} ms"
        f" ({steps.min():.1f} to {steps.max():.1f} in {len(steps)} rounds),"
        f" {', '.join(f'{name} {ms:.1f}' for name, ms in parts)}"
    )
    say(f"inference  {_rate(timing.batch, 1000 * timing.inference)} images/s")
    say(
        f"arithmetic {timing.flop / 1e9:,.1f} GFLOP a step: {timing.share:.0%} of what large"
        f" matrix products reach here, {np.median(timing.limit) / 1e9:,.0f} GFLOP/s"
    )


def _rate(batch: int, ms) -> str:
    return f"{1000 * batch / np.median(ms):9,.1f}"


def _print_layers(timing: Timing) -> None:
    times = {name: 1000 * np.median(ms, axis=0) for name, ms in timing.layers.items()}
    products, work = timing.net.multiply_adds(), flop(timing.net)
    longest = max(sum(ms) for ms in times.values())
    width = max(map(len, times))
    most = 0.0
    say(f"\n{'':{width}}  forward  backward  multiply-adds  of the limit   █ forward ░ backward")
    for name, (forward, backward) in times.items():
        share = ""
        if products[name]:
            rate = timing.batch * sum(work[name]) / (forward + backward) * 1000
            reached = rate / np.median(timing.limit)
            most = max(most, reached)
            share = f"{reached:.0%}"
        bar = "█" * round(BAR * forward / longest) + "░" * round(BAR * backward / longest)
        count = f"{products[name]:,}" if products[name] else ""
        say(f"{name:{width}} {forward:8.2f}  {backward:8.2f}  {count:>13}  {share:>12}   {bar}")
    say(f"{'':{width}}       ms        ms       an image\n")
    if max(most, timing.share) > 1:
        say(
            "More than 100 %: the large product had less of the machine than the layers had."
            " Repeat it when nothing else runs, or with a larger --seconds."
        )
