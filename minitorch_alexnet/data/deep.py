"""Images of more than 8 bits a value, brought to 8: 0 stays black, and one level becomes white.

Cameras write 10, 12 or 14 bits into files of 16, programs 0 … 1 or 0 … 255 into floats, and no
file says which. The level is the smallest usual one that holds the largest value: of the whole
set that an image belongs to, so that a dark one stays dark, or of the image alone.
"""

import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

INTEGERS = (255, 1023, 4095, 16383, 65535)
LEVELS = {"integers": INTEGERS, "floats": (1, *INTEGERS)}
STATED = ("PPM", "JPEG2000")  # these say which integer is white; Pillow makes it 65535
TILE = 1024  # pixels, each way: so many are held as numbers at a time
ELSEWHERE = "B" if sys.byteorder == "little" else "L"
OTHER_ORDER = {  # Pillow's names for 16-bit colours, and for the same with the bytes exchanged
    f"{bands};16{order}": f"{bands};16{other}"
    for bands in ("RGB", "RGBX", "RGBA")
    for order, other in (("L", "B"), ("B", "L"), ("N", ELSEWHERE))
}
GREY_ALPHA = "LA;16B"  # of a PNG, in mode RGBA; with no name for the lower bytes alone
OTHER_ORDER[GREY_ALPHA] = "RGBA"  # so all four bytes of a pixel are read


class Largest(NamedTuple):
    """The largest value in an image's colours; kind: one of LEVELS."""

    kind: str
    value: float


def may_be_deep(start: bytes) -> bool:
    """Told by a file's first 26 bytes: can it have more than 8 bits, and not say what is white?"""
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        return start[24:25] == b"\x10"
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") or start[:2] == b"Pf"


def kind_of(image: Image.Image) -> str:
    """The one of LEVELS, or "" for an image of 8 bits."""
    if image.mode == "F":
        return "floats"
    return "integers" if image.mode[0] == "I" or _raw_mode(image) in OTHER_ORDER else ""


def exchange_bytes(image: Image.Image) -> Image.Image:
    """Of 16-bit colours Pillow keeps the upper bytes; of one that is not loaded yet, the lower."""
    grey = _raw_mode(image) == GREY_ALPHA
    image.tile = [  # type: ignore[attr-defined]
        getattr(type(tile), "_make", tuple)((*tile[:3], _exchanged(tile[3])))
        for tile in image.tile  # type: ignore[attr-defined]
    ]
    if not grey:
        return image
    low, alpha = image.getchannel("G"), image.getchannel("A")
    return Image.merge("RGBA", (low, low, low, alpha))


def largest(image: Image.Image, lower: Image.Image | None) -> Largest:
    """Of a deep image. Raises ValueError if it holds what is no brightness.

    lower: of 16-bit colours, what exchange_bytes gives
    """
    extremes = [(colours.min(), colours.max()) for _, colours, _ in _tiles(image, lower)]
    low, high = np.min(extremes), np.max(extremes)
    if not np.isfinite([low, high]).all():
        raise ValueError("it has values that are no numbers or infinite: save it without them")
    if low < 0:
        raise ValueError("it has negative values, so that black is not 0: save it with 0 as black")
    return Largest("floats" if image.mode == "F" else "integers", float(high))


def white_level(found: Largest) -> float:
    """The usual level that just holds the value, or the value itself where none is near."""
    first, *others = LEVELS[found.kind]
    if found.value <= first:
        return first
    return next((level for level in others if level / 4 < found.value <= level), found.value)


def to_8_bits(
    image: Image.Image, lower: Image.Image | None, whites: Mapping[str, float]
) -> tuple[Image.Image, float]:
    """A deep image in mode L, RGB or RGBA, and the level that became white.

    lower: see largest, which also says what is raised
    whites: the set's levels by kind; an image that holds more has its own
    """
    found = largest(image, lower)
    white = max(white_level(found), whites.get(found.kind, 0))
    if found.kind == "integers" and image.format in STATED:
        white = 65535
    alphas = [alpha.max() for _, _, alpha in _tiles(image, lower) if alpha is not None]
    opaque = white_level(Largest("integers", float(max(alphas)))) if alphas else 0
    clear = image.info.get("transparency")
    colour = "RGB" if lower else "L"
    result = Image.new("RGBA" if alphas or clear is not None else colour, image.size)
    for corner, colours, alpha in _tiles(image, lower):
        tile = _scaled(colours, white)
        if alpha is not None:
            tile.putalpha(_scaled(alpha, opaque))
        elif clear is not None:
            differs = colours != np.array(clear)
            tile.putalpha(Image.fromarray(differs.any(axis=-1) if lower else differs).convert("L"))
        result.paste(tile.convert(result.mode), corner)
    if image.format == "TIFF" and image.tag_v2.get(262) == 0:  # type: ignore[attr-defined]
        result = ImageOps.invert(result)  # white is 0, which Pillow knows of 8 bits alone
    return result, white


def _scaled(values: np.ndarray, white: float) -> Image.Image:
    return Image.fromarray((values * (255 / white) + 0.5).astype(np.uint8))


def _tiles(
    image: Image.Image, lower: Image.Image | None
) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray | None]]:
    """Of each part the left upper corner, the values (h, w[, 3]), and those of alpha (h, w)."""
    image.load()  # which turns a TIFF upright
    for left, top in itertools.product(range(0, image.width, TILE), range(0, image.height, TILE)):
        box = left, top, min(left + TILE, image.width), min(top + TILE, image.height)
        values = np.asarray(image.crop(box))
        if lower:
            values = values.astype(np.uint16) * 256 + np.asarray(lower.crop(box))
            alpha = values[..., 3] if values.shape[2] == 4 else None
            yield (left, top), values[..., :3], alpha
        else:
            yield (left, top), values.view(np.uint32) if _unsigned(image) else values, None


def _unsigned(image: Image.Image) -> bool:
    """A TIFF of 32 bits without a sign, which Pillow's mode I has."""
    return (
        (image.format, image.mode) == ("TIFF", "I")
        and image.tag_v2.get(258) == (32,)  # type: ignore[attr-defined]
        and image.tag_v2.get(339, (1,)) == (1,)  # type: ignore[attr-defined]
    )


def _raw_mode(image: Image.Image) -> str:
    """What Pillow calls the values as they are in the file; "" if it does not tell."""
    for *_, arguments in getattr(image, "tile", []):
        name = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
        return name if isinstance(name, str) else ""
    return ""


def _exchanged(arguments):
    if isinstance(arguments, str):
        return OTHER_ORDER[arguments]
    return (OTHER_ORDER[arguments[0]], *arguments[1:])
