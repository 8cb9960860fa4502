"""One image file, made into what a net was trained on."""

import contextlib
import functools
import importlib
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from ..errors import DataError

MAX_PIXELS = 100_000_000
# What Pillow may take a file for, whatever its name: pictures alone, none of which runs a program
FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "HEIF", "JXL"),
    *("QOI", "PCX", "SGI", "SUN", "PSD", "TGA"),
)
PLUGINS = ("pillow_heif", "pillow_avif", "pillow_jxl")  # used where they are installed
KINDS = {"1": "1 bit", "L": "greyscale", "LA": "greyscale", "P": "palette", "F": "floating point"}


def read_photo(path: str | Path) -> Image.Image:
    """Any file that Pillow reads, turned upright by its EXIF tag, in mode L, RGB or RGBA.

    Raises DataError if it is missing, not an image, damaged, or larger than MAX_PIXELS.
    """
    return examine(path)[0]


def examine(path: str | Path) -> tuple[Image.Image, list[str]]:
    """read_photo's image, and what makes the file no plain upright RGB: "converted from CMYK", …"""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's on size; ours is the one that counts
            with Image.open(path, formats=formats()) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                orientation = image.getexif().get(ExifTags.Base.Orientation)
                photo = _common_mode(ImageOps.exif_transpose(image))
                return photo, _remarks(image.mode, photo, orientation)
    except FileNotFoundError:
        raise DataError(f"there is no image {path}") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path} has more than {MAX_PIXELS:,} pixels; make it smaller") from None
    except Exception as error:  # damaged bytes make the readers raise all sorts of things
        raise DataError(f"cannot read {path} as an image: {error}") from error


@functools.cache
def formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow and its plugins read."""
    for plugin in PLUGINS:
        with contextlib.suppress(ImportError):
            getattr(importlib.import_module(plugin), "register_heif_opener", lambda: None)()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _common_mode(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode.startswith("I"):  # integers of 16 bits, which Pillow would clip to 8
        pixels = np.asarray(image, np.float64) / 257
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return image if image.mode == "L" else image.convert("RGB")


def _remarks(mode: str, photo: Image.Image, orientation) -> list[str]:
    remarks = []
    if mode not in ("RGB", "RGBA"):
        kind = "16 bit" if mode.startswith("I") else KINDS.get(mode, mode)
        remarks.append(f"converted from {kind}")
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


def as_photo(photo: Image.Image, size: int = 256) -> np.ndarray:
    """A photo the way the paper's were made (section 2): (3, size, size) uint8.

    photo: as read_photo gives it. The shorter side is scaled to `size` and the central square
    cut out; here the square is cut first, so that a sliver of a photo does not grow huge.
    """
    side = min(photo.size)
    left, top = ((length - side) // 2 for length in photo.size)  # whole: no blur at scale 1
    square = _on_white(photo).resize(
        (size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side)
    )
    return np.ascontiguousarray(np.asarray(square.convert("RGB")).transpose(2, 0, 1))


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
