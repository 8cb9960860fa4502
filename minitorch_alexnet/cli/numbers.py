"""Numbers on the command line: what argparse reads them with."""

from argparse import ArgumentTypeError


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
