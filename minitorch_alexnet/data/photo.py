"""One image file, made into what a net was trained on."""

import contextlib
import functools
import importlib
import io
import logging
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..errors import DataError, UserError
from . import deep

MAX_PIXELS = 100_000_000
MAX_BYTES = 16 * MAX_PIXELS  # of a file: more than any of so many pixels
# What Pillow may take a file for, whatever its name: pictures alone, none of which runs a program
FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "HEIF", "JXL"),
    *("QOI", "PCX", "SGI", "SUN", "PSD", "TGA"),
)
PLUGINS = ("pillow_heif", "pillow_avif", "pillow_jxl")  # used where they are installed
OTHER_TIFF = (
    "Pillow does not read such a TIFF: save it as grey or RGB of 8 or 16 bits, or grey floats of 32"
)
UNKNOWN = {  # what such a file starts with, and what to do
    b"ftypavif": "it is AVIF, which this Pillow does not read: update Pillow",
    **dict.fromkeys((b"ftypisom", b"ftypmp4", b"ftypqt", b"ftypM4V"), "it is a video"),
    b"ftyp": "it is HEIC or the like, which takes a plugin: pip install pillow-heif",
    **dict.fromkeys(
        (b"JXL ", b"\xff\x0a"), "it is JPEG XL, which takes a plugin: pip install pillow-jxl-plugin"
    ),
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), OTHER_TIFF),
    b"version https://": "it stands for a file of Git LFS, which is not here yet: git lfs pull",
    **dict.fromkeys((b"<!DOCTYPE", b"<!doctype", b"<html"), "it is a web page, not an image"),
}
KINDS = {"1": "1 bit", "L": "greyscale", "LA": "greyscale", "P": "palette", "F": "floating point"}
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else on the screen, a line a file


class ReadError(DataError):
    """The system could not read a file, which may be good: a disk, a network, memory failed."""


def read_photo(path: str | Path, whites: Mapping[str, float] = {}) -> Image.Image:
    """An image file of one of FORMATS, turned upright by its EXIF tag, in mode L, RGB or RGBA.

    whites: the levels that the set it belongs to counts as white, as an ImageFolder has them
    Raises DataError if it is missing, not an image, damaged, or larger than MAX_PIXELS.
    """
    return examine(path, whites)[0]


def examine(path: str | Path, whites: Mapping[str, float] = {}) -> tuple[Image.Image, list[str]]:
    """read_photo's image, and what makes the file no plain upright RGB: "converted from CMYK", …

    Raises ReadError where the system fails, and else DataError.
    """
    content = _content(path)
    with _decoding(path):
        image, white = _opened(content), None
        mode, is_deep = image.mode, deep.kind_of(image)  # before it is loaded
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        if is_deep:
            scaled, white = deep.to_8_bits(image, _lower(content, image), whites)
            if turn := image.getexif().get(ExifTags.Base.Orientation):  # which is yet to be done
                scaled.getexif()[ExifTags.Base.Orientation] = turn
            image = scaled
        photo = _common_mode(ImageOps.exif_transpose(image))
        return photo, _remarks(mode, photo, orientation, white)


def measure(path: str | Path) -> deep.Largest | None:
    """The largest value, if the file has more than 8 bits and does not say which one is white.

    Raises ReadError where the system fails; what is no image holds nothing.
    """
    try:
        if not deep.may_be_deep(_content(path, 26)):
            return None
        content = _content(path)
        with _decoding(path):
            image = _opened(content)
            return deep.largest(image, _lower(content, image)) if deep.kind_of(image) else None
    except ReadError:
        raise
    except DataError:
        return None


@functools.cache
def formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow and its plugins read."""
    for plugin in PLUGINS:
        with contextlib.suppress(ImportError):
            getattr(importlib.import_module(plugin), "register_heif_opener", lambda: None)()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _content(path: str | Path, count: int = -1) -> bytes:
    """The first bytes of a file, or all. That they cannot be had is never the image's fault."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe could keep us waiting for ever
            raise DataError(f"cannot read {path} as an image: it is not a regular file")
        if status.st_size > MAX_BYTES:
            raise DataError(f"{path} has more than {MAX_BYTES:,} bytes; make it smaller")
        with open(path, "rb") as file:
            return file.read(count)
    except FileNotFoundError:
        raise ReadError(f"there is no image {path}") from None
    except (OSError, MemoryError) as error:
        raise _failure(path, error) from error


def _failure(path: str | Path, error: OSError | MemoryError) -> ReadError:
    reason = error.strerror if isinstance(error, OSError) else "there is too little memory"
    return ReadError(f"cannot read {path}: {reason}")


@contextlib.contextmanager
def _decoding(path: str | Path) -> Iterator[None]:
    """Whatever goes wrong with the bytes of a file becomes a DataError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's on size; ours is the one that counts
            yield
    except MemoryError as error:
        raise _failure(path, error) from error
    except Image.DecompressionBombError:
        raise DataError(f"{path} has more than {MAX_PIXELS:,} pixels; make it smaller") from None
    except Exception as error:  # damaged bytes make the readers raise all sorts of things
        if isinstance(error, OSError) and error.errno is not None:  # the system's, not a reader's
            raise _failure(path, error) from error
        raise DataError(f"cannot read {path} as an image: {error}") from error


def _opened(content: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content), formats=formats())
    except UnidentifiedImageError:
        raise ValueError(_unknown(content)) from None
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    return image


def _unknown(content: bytes) -> str:
    if not content:
        return "it is empty"
    for signature, hint in UNKNOWN.items():
        if signature in content[:16]:
            return hint
    return "its content is none of the kinds of images that are read here"


def _lower(content: bytes, image: Image.Image) -> Image.Image | None:
    """The lower bytes of 16-bit colours."""
    return deep.exchange_bytes(_opened(content)) if image.mode.startswith("RGB") else None


def _common_mode(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode == "L" else image.convert("RGB")


def _remarks(mode: str, photo: Image.Image, orientation, white: float | None) -> list[str]:
    remarks = []
    if white is not None:
        kind = KINDS.get(mode, "16 bit")
        remarks.append(f"converted from {kind} with {white:g} as white")
    elif mode not in ("RGB", "RGBA"):
        remarks.append(f"converted from {KINDS.get(mode, mode)}")
    if photo.mode == "RGBA" and photo.getchannel("A").getextrema() != (255, 255):
        remarks.append("transparency laid on white")
    if orientation in range(2, 9):
        remarks.append("turned by its EXIF tag")
    return remarks


def _on_white(photo: Image.Image) -> Image.Image:
    """What is transparent counts as white paper."""
    if photo.mode != "RGBA":
        return photo
    return Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)


def as_photo(photo: Image.Image, size: int = 256, resized: str = "as in the paper") -> np.ndarray:
    """A photo the way a net's images were made: (3, size, size) uint8.

    photo: as read_photo gives it
    resized: one of RESIZED
    """
    resample, box = RESIZED[resized]
    square = _on_white(photo).resize((size, size), resample, box=box(*photo.size, size))
    return np.ascontiguousarray(np.asarray(square.convert("RGB")).transpose(2, 0, 1))


Box = tuple[float, float, float, float]


def _middle(width: int, height: int, size: int) -> Box:
    """The central square (section 2); cut first, so that a sliver of a photo does not grow huge."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2  # whole: no blur at scale 1
    return left, top, left + side, top + side


def _middle_scaled(width: int, height: int, size: int) -> Box:
    """As if the photo were scaled first, to whole pixels, and the middle then cut out of that."""
    side = min(width, height)
    across, down = (size * length // side for length in (width, height))
    left, top = round((across - size) / 2), round((down - size) / 2)
    right, bottom = left + size, top + size
    return (
        left * width / across, top * height / down, right * width / across, bottom * height / down
    )  # fmt: skip


def _whole(width: int, height: int, size: int) -> Box:
    return 0, 0, width, height


# How a photograph becomes a square: Pillow's filter, and which part of it.
RESIZED: dict[str, tuple[Image.Resampling, Callable[[int, int, int], Box]]] = {
    "as in the paper": (Image.Resampling.LANCZOS, _middle),
    "bilinear": (Image.Resampling.BILINEAR, _middle_scaled),
    "warped": (Image.Resampling.LANCZOS, _whole),
}


def check_resized(resized) -> str:
    """UserError unless it is one of RESIZED."""
    if resized not in list(RESIZED):
        raise UserError(f"resized must be one of {', '.join(RESIZED)}, got {resized!r:.80}")
    return resized


def as_garment(photo: Image.Image, size: int = 28) -> np.ndarray:
    """A photo the way Fashion-MNIST's were made: (1, size, size) uint8, bright on black.

    photo: as read_photo gives it. Grey, inverted if its border is bright, the longer side
    scaled to `size`, centred on black; what is transparent counts as white paper.
    """
    grey = _on_white(photo).convert("L")
    pixels = np.asarray(grey)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if np.median(border) > 127:
        grey = ImageOps.invert(grey)
    scale = size / max(grey.size)
    width, height = (max(1, round(side * scale)) for side in grey.size)
    garment = Image.new("L", (size, size))
    small = grey.resize((width, height), Image.Resampling.LANCZOS)
    garment.paste(small, ((size - width) // 2, (size - height) // 2))
    return np.asarray(garment)[None]
