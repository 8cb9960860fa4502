"""The command line's entrance: one parser, one place where errors become one line."""

import argparse
import sys

from .. import __version__
from ..errors import UserError
from ..workers import keep_freed_memory, set_threads
from . import bench, inspect, prepare, reproduce, runs, train
from .say import say


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows an option's default where it has one to show."""

    def _get_help_string(self, action):
        if any(action.default is nothing for nothing in (None, False, "", argparse.SUPPRESS)):
            return action.help
        return super()._get_help_string(action)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minitorch-alexnet",
        description="AlexNet (2012) from scratch: train it, look into it, check its gradients.",
        epilog="Start with: minitorch-alexnet train",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add_command(name, do, text):
        command = commands.add_parser(name, help=text, description=text, formatter_class=_Help)
        command.set_defaults(do=do)
        command.add_argument(
            "--threads",
            type=int,
            metavar="N",
            help="workers to compute with (default: $MINITORCH_ALEXNET_THREADS, else one a core)",
        )
        return command

    for group in (train, prepare, runs, reproduce, bench, inspect):
        group.add_commands(add_command)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command; return 0, 1 (a check failed), 2 (wrong input) or 130 (Ctrl-C)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without our characters shows ? for them
            stream.reconfigure(errors="replace")
    arguments = make_parser().parse_args(argv)
    keep_freed_memory()
    try:
        if arguments.threads is not None:
            set_threads(arguments.threads)
        return arguments.do(arguments)
    except (UserError, OSError, MemoryError) as error:
        text = str(error) or type(error).__name__
        say(f"minitorch-alexnet: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("minitorch-alexnet: interrupted", file=sys.stderr)
        return 130
