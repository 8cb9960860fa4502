"""The command line's entrance: one parser, one place where errors become one line."""

import argparse
import sys
from itertools import pairwise

from .. import __version__
from ..errors import UserError
from ..processes import ALONE, processes
from ..workers import keep_freed_memory, set_threads
from . import bench, inspect, interchange, prepare, reproduce, runs, train
from .numbers import whole
from .say import say
from .streams import NOT_HEARD, streams
from .together import let_the_first_answer, let_the_first_speak, settle


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows an option's default where it has one to show."""

    def _get_help_string(self, action):
        if any(action.default is nothing for nothing in (None, False, "", argparse.SUPPRESS)):
            return action.help
        return super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    """Says whatever it says, or an error tells why not."""

    def error(self, message):
        let_the_first_speak(processes())
        super().error(message)

    def exit(self, status=0, message=None):
        sys.stdout.flush()
        super().exit(status, message)


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="minitorch-alexnet",
        description="AlexNet (2012) from scratch: train it, look into it, check its gradients.",
        epilog="Start with: minitorch-alexnet train",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add_command(name, do, text, together=False):
        """together: is the command one that several processes do?"""
        command = commands.add_parser(name, help=text, description=text, formatter_class=_Help)
        command.set_defaults(do=do, together=together)
        command.add_argument(
            "--threads",
            type=whole,
            metavar="N",
            help="workers to compute with (default: $MINITORCH_ALEXNET_THREADS, else one a core)",
        )
        return command

    for group in (train, prepare, runs, interchange, reproduce, bench, inspect):
        group.add_commands(add_command)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command; return 0, 1 (a check failed), 2 (wrong input), 130 (Ctrl-C) or 141.

    141: nobody heard it to its end, as in `minitorch-alexnet train | head`.
    """
    with streams() as stdout:
        status = _status(sys.argv[1:] if argv is None else argv)
        return NOT_HEARD if stdout.gone and not status else status


def _status(argv: list[str]) -> int:
    together = ALONE
    try:
        together = processes()
        let_the_first_answer(together)
        _expect_no_blanks(argv)
        arguments = make_parser().parse_args(argv)
        keep_freed_memory()
        if arguments.threads is not None:
            set_threads(arguments.threads)
        settle(together, argv, arguments)
        return arguments.do(arguments)
    except (UserError, OSError, MemoryError) as error:
        let_the_first_speak(together)
        text = str(error) or "there is not enough memory"
        say(f"minitorch-alexnet: {text}", file=sys.stderr)
        together.abort(2)
        return 2
    except SystemExit as error:  # argparse's
        if error.code:
            together.abort(2)
        raise
    except KeyboardInterrupt:
        let_the_first_speak(together)
        say("minitorch-alexnet: interrupted", file=sys.stderr)
        together.abort(130)
        return 130


def _expect_no_blanks(argv: list[str]) -> None:
    """What a shell makes of "$RUN" where RUN is not set must not count as not given."""
    for before, word in pairwise(["", *argv]):
        option, equals, value = word.partition("=")
        if not word.strip():
            where = f"after {before}" if before else "to begin with"
            raise UserError(f"there is an empty word {where}: give a value, or leave it out")
        if option.startswith("--") and equals and not value.strip():
            raise UserError(f"{option} is empty: give it a value, or leave it out")
