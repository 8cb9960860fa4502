"""minitorch-alexnet prepare"""

import os
from pathlib import Path

from tqdm import tqdm

from ..data.image_folder import is_prepared
from ..data.prepare import Summary, is_begun, prepare
from ..data.walk import QUIET
from ..errors import UserError
from ..words import command, some_of
from .numbers import whole
from .say import say

SHOWN = 10  # unusable files to name on screen


def add_commands(add_command) -> None:
    parser = add_command(
        "prepare", prepare_folder, "Make a folder of photographs ready for training, once."
    )
    parser.add_argument(
        "source", metavar="DIR", help="with train/CLASS/* and val/CLASS/*, or CLASS/*"
    )
    parser.add_argument("out", metavar="OUT", help="a new folder for what is made of them")
    parser.add_argument("--size", type=whole, default=256, metavar="S", help="S×S pixels an image")
    parser.add_argument(
        "--processes", type=whole, metavar="N", help="that read images (default: one a core)"
    )


def prepare_folder(arguments) -> int:
    out = Path(arguments.out)
    say(_told(_with_bar(arguments.source, out, arguments.size, arguments.processes), out))
    say(f"Next:  {command('train', '--data', out)}")
    return 0


def prepared(folder: str) -> str:
    """The folder itself if it is a prepared one, else one beside it that is made of it."""
    source = Path(folder)
    if is_prepared(source):
        return folder
    if is_begun(source):
        raise UserError(f"{folder} is prepared in part only: repeat the prepare that began it")
    there = source.resolve()
    out = there.with_name(f"{there.name}-prepared")
    if not is_prepared(out) and not os.access(out if out.exists() else out.parent, os.W_OK):
        raise UserError(
            f"nothing can be written in {out.parent}; prepare elsewhere:"
            f" {command('prepare', folder, 'OUT')}, then {command('train', '--data', 'OUT')}"
        )
    say(_told(_with_bar(source, out, first=f"{source} is prepared first, in {out}"), out))
    return str(out)


def _with_bar(source, out, size=256, processes=None, first="") -> Summary:
    """first: what to say once there is something to do"""
    with tqdm(unit=" files", disable=None, dynamic_ncols=True, delay=0.1) as bar:

        def on_image(done: int, total: int) -> None:
            if first and not bar.total:
                say(first)
            bar.total = total
            bar.update(done - bar.n)

        try:
            return prepare(source, out, size, processes, on_image)
        except KeyboardInterrupt:
            bar.close()
            say(f"{out} has a part of them; the same command goes on with the rest.")
            raise


def _told(summary: Summary, out: Path) -> str:
    names = summary.class_names
    lines = [
        f"{summary.train:,} training and {summary.val:,} validation images in {out}, of"
        f" {len(names):,} classes: {some_of(names, SHOWN)}"
    ]
    lines += summary.notes
    if summary.unusable or summary.aside:
        lines.append(
            f"{summary.unusable:,} images could not be used, {summary.aside:,} other files or"
            f" folders were left aside; {summary.report} names them:"
        )
        refused = sorted(summary.refused, key=lambda row: row.what in QUIET)
        lines += [f"  {row.file}: {row.what}" for row in refused[:SHOWN]]
        lines += [f"  … and {len(refused) - SHOWN:,} more"] * (len(refused) > SHOWN)
    for kind, white in summary.whites.items():
        deep = "floats" if kind == "floats" else "more than 8 bits"
        lines.append(f"{white:,.10g} counts as white in the files of {deep}.")
    if summary.flat:
        lines.append(
            f"{summary.flat:,} images came out with almost no shades: look at these in"
            f" {summary.report}"
        )
    return "\n".join(lines)
