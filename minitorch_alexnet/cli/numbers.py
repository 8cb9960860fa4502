"""Numbers on the command line: what argparse reads them with."""

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Callable


def whole(least: int, most: int) -> Callable[[str], int]:
    """A reader of whole numbers from least to most."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,100}", text):
            raise ArgumentTypeError(f"must be a whole number, got {text[:40]!r}")
        return _expect(int(text), least, most)

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """A reader of numbers from least to most."""

    def read(text: str) -> float:
        try:
            value = float(text if re.fullmatch(r"[0-9.eE+-]+", text) else "nan")
        except ValueError:
            value = math.nan
        if math.isnan(value):
            raise ArgumentTypeError(f"must be a number, got {text[:40]!r}")
        return _expect(value, least, most)

    return read


def _expect(value, least, most):
    if value < least:
        raise ArgumentTypeError(f"must be at least {least}, got {value}")
    if value > most:
        raise ArgumentTypeError(f"must be at most {most}, got {value}")
    return value
