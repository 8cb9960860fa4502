"""The figure that every function here returns, and checks of what they are given."""

import io

import matplotlib.figure
import numpy as np
from matplotlib.text import Text

from ..data.span import Span
from ..errors import ShapeError, UserError
from ..words import kind_of
from .text import families

DPI = 120
COLOURS = {  # Okabe and Ito's, told apart by every kind of eye
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
}


class Figure(matplotlib.figure.Figure):
    """matplotlib's; a notebook shows it even without pyplot, which sees to that elsewhere."""

    def draw(self, renderer) -> None:
        """As matplotlib draws, with each text in fonts that have its characters."""
        for text in self.findobj(Text):
            text.set_fontfamily(families(text.get_text(), text.get_fontfamily()))
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """What IPython asks a cell's last value for."""
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()


def numbers(values, what: str) -> np.ndarray:
    """An array of numbers, of that or of lists. Raises UserError on anything else."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):  # lists of two lengths, another library's arrays
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise UserError(f"expected {what}, an array of numbers, got {kind_of(values)}")
    return array


def expect_names(names, number: int) -> None:
    """UserError unless they are names, as many as the classes."""
    if isinstance(names, str) or not hasattr(names, "__len__"):
        raise UserError(f"class_names must be a list of names, got {kind_of(names)}")
    if len(names) != number:
        raise ShapeError(f"{len(names)} class names do not fit {number} classes")


def pixels(images: np.ndarray, ends: tuple[float, float] | None = None) -> np.ndarray:
    """Images as uint8. ends: black and white; default: of the usual scale that they are on."""
    if images.dtype == np.uint8:
        return images
    black, white = ends or Span.of(images).scale
    shades = 255.0 * (images - np.float64(black)) / (white - black or 1)
    return shades.clip(0, 255).round().astype(np.uint8)
