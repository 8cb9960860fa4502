"""One image file, made into what a 28×28 net was trained on."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..errors import DataError

MAX_PIXELS = 100_000_000


def read_photo(path: str | Path) -> Image.Image:
    """Any file that Pillow reads, turned upright by its EXIF tag, in mode L, RGB or RGBA.

    Raises DataError if it is missing, not an image, damaged, or larger than MAX_PIXELS.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's on size; ours is the one that counts
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                return _common_mode(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise DataError(f"there is no image {path}") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path} has more than {MAX_PIXELS:,} pixels; make it smaller") from None
    except Exception as error:  # damaged bytes make the readers raise all sorts of things
        raise DataError(f"cannot read {path} as an image: {error}") from error


def _common_mode(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode.startswith("I"):  # integers of 16 bits, which Pillow would clip to 8
        pixels = np.asarray(image, np.float64) / 257
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return image if image.mode == "L" else image.convert("RGB")


def as_garment(photo: Image.Image, size: int = 28) -> np.ndarray:
    """A photo the way Fashion-MNIST's were made: (1, size, size) uint8, bright on black.

    photo: as read_photo gives it. Grey, inverted if its border is bright, the longer side
    scaled to `size`, centred on black; what is transparent counts as white paper.
    """
    if photo.mode == "RGBA":
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    grey = photo.convert("L")
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
