"""minitorch-alexnet prepare"""

import csv
from pathlib import Path

from tqdm import tqdm

from ..data.image_folder import is_prepared
from ..data.prepare import Summary, is_begun, prepare
from ..errors import UserError
from .numbers import expect, whole
from .say import say

SHOWN = 10  # unusable files to name on screen


def add_commands(add_command) -> None:
    command = add_command(
        "prepare", prepare_folder, "Make a folder of photographs ready for training, once."
    )
    command.add_argument("source", metavar="DIR", help="with train/CLASS/* and val/CLASS/*")
    command.add_argument("out", metavar="OUT", help="a new folder for what is made of them")
    command.add_argument("--size", type=whole, default=256, metavar="S", help="S×S pixels an image")
    command.add_argument(
        "--processes",
        type=whole,
        metavar="N",
        help="that read images (default: one a core)",
    )


def prepare_folder(arguments) -> int:
    out = Path(arguments.out)
    expect("--size", arguments.size, 1, 4096)
    if arguments.processes is not None:
        expect("--processes", arguments.processes, 1, 256)
    say(_told(_with_bar(arguments.source, out, arguments.size, arguments.processes), out))
    say(f"Next:  minitorch-alexnet train --data {out}")
    return 0


def prepared(folder: str) -> str:
    """The folder itself if it is a prepared one, else one beside it that is made of it."""
    source = Path(folder)
    if is_prepared(source):
        return folder
    if is_begun(source):
        raise UserError(f"{folder} is prepared in part only: repeat the prepare that began it")
    out = source.resolve().with_name(source.resolve().name + "-prepared")
    if not is_prepared(out):
        say(f"{source} is prepared first, in {out}")
    say(_told(_with_bar(source, out), out))
    return str(out)


def _with_bar(source, out, size=256, processes=None) -> Summary:
    with tqdm(unit=" files", disable=None, dynamic_ncols=True) as bar:

        def on_image(done: int, total: int) -> None:
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
        f" {len(names):,} classes: {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"
    ]
    if summary.unusable or summary.aside:
        lines.append(
            f"{summary.unusable:,} images could not be used, {summary.aside:,} other files or"
            f" folders were left aside; {summary.report} names them:"
        )
        with open(summary.report, encoding="utf-8", newline="") as file:
            refused = [row for row in csv.DictReader(file) if row["used"] == "no"]
        lines += [f"  {row['file']}: {row['what']}" for row in refused[:SHOWN]]
        lines += [f"  … and {len(refused) - SHOWN:,} more"] * (len(refused) > SHOWN)
    return "\n".join(lines)
