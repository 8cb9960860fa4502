"""What the commands print."""

import sys
from typing import TextIO

from ..words import printable_lines


def say(text: str, file: TextIO | None = None) -> None:
    """Print, for whoever reads along in a file, too; names of strangers cannot steer a terminal."""
    print(printable_lines(text), file=file or sys.stdout, flush=True)
