"""Numbers, names and commands in words."""

import difflib
import os
import shlex
import string
from collections.abc import Iterable, Sequence

PLAIN = f"{string.ascii_letters}{string.digits}/._-"  # to any shell

LISTED = 40  # of the names that would do: there are sets of a thousand classes

COUNTS = {2: "two", 6: "six", 10: "ten"}


def duration(seconds: float) -> str:
    """In the largest unit that there are two of."""
    for unit, length in ("days", 86400), ("hours", 3600), ("minutes", 60):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def crops_each(count: int) -> str:
    """Over how many views of an image its answers are averaged; nothing of one."""
    return f", {COUNTS.get(count, count)} crops each" if count > 1 else ""


def printable(text: str) -> str:
    """Text of strangers (names of files, of classes) as it can be printed, drawn and kept.

    What would steer a terminal or break a file (control characters, marks of direction, bytes
    that are no UTF-8) becomes a backslash and a number.
    """
    return "".join(c if c.isprintable() else escaped(c) for c in text)


def printable_lines(text: str) -> str:
    """The same of our own text with theirs in it, whose lines stay."""
    return "\n".join(map(printable, text.split("\n")))


def escaped(character: str) -> str:
    """A backslash and its number."""
    return character.encode("unicode_escape").decode()


def some_of(names: Sequence[str], count: int) -> str:
    """So many of them: "cat, dog, …"."""
    return ", ".join(names[:count]) + ", …" * (len(names) > count)


def data_set(dataset) -> str:
    """What a data set is, in a line."""
    shape, names = dataset.images.shape, dataset.class_names
    few = some_of([printable(str(name)) for name in names], 3)
    return (
        f"{type(dataset).__name__}({shape[0]:,} images {shape[1:]} {dataset.images.dtype},"
        f" {len(names)} class{'es' * (len(names) != 1)}: {few})"
    )


def kind_of(value) -> str:
    """What came, for an error that expected something else: "a list", "the class ReLU"."""
    if value is None or isinstance(value, type):
        return "None" if value is None else f"the class {value.__name__}"
    name = type(value).__name__.removeprefix("nd")  # array
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def unknown(kind: str, name, known: Iterable[str], others: str = "") -> str:
    """For an error: unknown model 'fashon': expected one of fashion, …; did you mean fashion?

    others: what else would do, such as ", or a folder"
    """
    near = difflib.get_close_matches(str(name).lower(), known := list(known), 1, cutoff=0.75)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"unknown {kind} {name!r}: expected one of {some_of(known, LISTED)}{others}{meant}"


def command(*words) -> str:
    """A command of ours as it can be typed: command("train", "--resume", folder)."""
    return " ".join(["minitorch-alexnet", *(_quoted(str(word)) for word in words)])


def _quoted(word: str) -> str:
    """For a shell; a word that cannot be printed as bytes: $'caf\\351'."""
    if word.isprintable():
        return shlex.quote(word)
    letters = (chr(b) if chr(b) in PLAIN else f"\\{b:03o}" for b in os.fsencode(word))
    return f"$'{''.join(letters)}'"
