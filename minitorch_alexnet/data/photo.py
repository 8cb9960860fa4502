"""One image file, made into what a 28×28 net was trained on."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..errors import DataError

MAX_PIXELS = 100_000_000


def read_photo(path: str | Path) -> Image.Image:
    """Any file that Pillow reads, turned upright by its EXIF tag.

    Raises DataError if it is missing, not an image, damaged, or larger than MAX_PIXELS.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's on size; ours is the one that counts
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(
                        f"{path} has {image.width}×{image.height} pixels, more than"
                        f" {MAX_PIXELS:,}; make it smaller first"
                    )
                return ImageOps.exif_transpose(image)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no image {path}") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is too large an image; make it smaller first") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DataError(f"cannot read {path} as an image: {error}") from error


def as_garment(photo: Image.Image, size: int = 28) -> np.ndarray:
    """A photo the way Fashion-MNIST's were made: (1, size, size) uint8, bright on black.

    Grey, inverted if its border is bright, the longer side scaled to `size`, centred on black.
    """
    if photo.has_transparency_data:
        white = Image.new("RGBA", photo.size, "white")
        photo = Image.alpha_composite(white, photo.convert("RGBA"))
    if photo.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip
        photo = Image.fromarray((np.asarray(photo, np.float64) / 257).astype(np.uint8))
    grey = photo.convert("L")
    pixels = np.asarray(grey)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if np.median(border) > 127:
        grey = ImageOps.invert(grey)
    return np.asarray(ImageOps.pad(grey, (size, size), Image.Resampling.LANCZOS, color=0))[None]
