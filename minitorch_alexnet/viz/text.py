"""Names of strangers, as a figure can show them: no formulas, no control characters, no boxes.

A character that the usual font lacks is drawn in an installed font that has it. Those are gone
through once, and only where such a character comes.
"""

import contextlib
import functools
import warnings
from collections.abc import Iterable

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.textpath import text_to_path

from ..words import escaped, printable

USUAL = ("sans-serif",)  # matplotlib's default family


def plain(text: str) -> str:
    """A legible text as it is drawn: a $ begins no formula."""
    return text.replace("$", r"\$")


def legible(text: str) -> str:
    """The text; what no font has, or is no character to print, as a backslash and its number."""
    text = printable(text)
    boxes = [c for c in _lacking(text, USUAL) if ord(c) not in _homes()]
    for c in boxes:
        text = text.replace(c, escaped(c))
    if boxes:
        warnings.warn(
            "no installed font has the characters of some names, which are drawn as numbers"
            " (\\u732b): install a font that has them, such as fonts-noto-cjk",
            stacklevel=1,  # this line is shown once
        )
    return text


def families(text: str, usual: Iterable[str] = USUAL) -> list[str]:
    """The font families to draw a text with: the usual ones, and one for what they lack."""
    usual = tuple(usual)
    others = (_homes().get(ord(c)) for c in _lacking(text, usual))
    return [*usual, *dict.fromkeys(filter(None, others))]


def fit(text: str, room: float, size: float, weight: str = "normal") -> str:
    """The text, legible and cut to so many inches' width at a font size in points."""
    cut = legible(text[:100])
    while len(cut) > 1 and inches(cut, size, weight) > room:
        cut = cut[:-2] + "…"
    return cut


def inches(text: str, size: float, weight: str = "normal") -> float:
    """How wide a legible text will be."""
    font = FontProperties(family=families(text), size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def _lacking(text: str, usual: tuple[str, ...]) -> list[str]:
    """The characters that the usual fonts lack, each once."""
    if text.isascii():
        return []
    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in usual]
    return [
        c
        for c in dict.fromkeys(text)
        if not c.isspace() and not any(font.get_char_index(ord(c)) for font in fonts)
    ]


@functools.cache
def _homes() -> dict[int, str]:
    """The family of an installed font for each character's number: the plainest that has it."""
    homes: dict[int, str] = {}
    for font in sorted(fontManager.ttflist, key=_fanciness):
        if font.name.startswith("Last Resort"):  # which has a box for everything
            continue
        with contextlib.suppress(OSError, RuntimeError):  # a font that is gone, or damaged
            for code in get_font(font.fname).get_charmap():
                homes.setdefault(code, font.name)
    return homes


def _fanciness(font) -> tuple:
    return font.style != "normal", font.weight != 400, "Sans" not in font.name, font.name
