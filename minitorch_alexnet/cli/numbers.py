"""Numbers on the command line: what argparse reads them with, and what they may be."""

from argparse import ArgumentTypeError

from ..errors import UserError


def whole(text: str) -> int:
    return _read(int, "a whole number", text)


def decimal(text: str) -> float:
    return _read(float, "a number", text)


def _read(kind, what: str, text: str):
    try:
        if "_" in text or not text.isascii():  # Python takes 1_000 and other scripts' digits
            raise ValueError
        return kind(text)
    except ValueError:
        raise ArgumentTypeError(f"must be {what}, got {text[:40]!r}") from None


def expect(option: str, value: float, least: float, most: float) -> None:
    """UserError unless the option's value is one from least to most."""
    if not value >= least:
        raise UserError(f"{option} must be at least {least}, got {value}")
    if not value <= most:
        raise UserError(f"{option} must be at most {most:,}, got {value}")
