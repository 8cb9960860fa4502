"""What the notebooks share: code beside the text, figures with words, animations, a check.

IPython is needed, which every notebook has; the package does without this module.
"""

import inspect
import io
import os
import textwrap
from collections.abc import Callable, Iterable

import numpy as np
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure
from PIL import Image as Picture

from .viz.figure import COLOURS

QUICK = bool(os.environ.get("MINITORCH_ALEXNET_QUICK"))  # smaller sizes, for the tests
STYLE = {  # for plt.rcParams.update
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": f"cycler('color', {list(COLOURS.values())})",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
MOST_BYTES = 1_000_000  # of an animation


def source(*things) -> None:
    """Show the code of classes, methods or functions as it stands in the package now."""
    texts = [textwrap.dedent(inspect.getsource(thing)).rstrip() for thing in things]
    display(Markdown("```python\n" + "\n\n".join(texts) + "\n```"))


def show(figure: Figure, alt: str) -> None:
    """Show a figure, with what it shows in words for those who do not see it."""
    display(Image(_png(figure), format="png", alt=alt))
    _close(figure)


def animate(
    figure: Figure, draw: Callable, frames: Iterable, alt: str, seconds: float = 0.25
) -> None:
    """Show an animation, a PNG of several pictures, that begins again and again.

    draw: called with each of the frames, draws it into the (cleared) figure;  seconds: of each
    alt: what it shows, in words

    Raises ValueError if it grows beyond a megabyte.
    """
    pictures = []
    for frame in frames:
        figure.clear()
        draw(frame)
        pictures.append(np.asarray(Picture.open(io.BytesIO(_png(figure))).convert("RGB")))
    height, width, _ = pictures[0].shape
    strip = Picture.fromarray(np.concatenate(pictures))  # all in one, for one palette is all
    strip = strip.quantize(128, dither=Picture.Dither.NONE)  # that a PNG has
    tops = range(0, strip.height, height)
    first, *others = (strip.crop((0, top, width, top + height)) for top in tops)
    milliseconds = [1000 * seconds] * len(others) + [2000]  # the last one stays a while
    animation = io.BytesIO()
    first.save(
        animation,
        format="png",
        save_all=True,
        append_images=others,
        duration=milliseconds,
        optimize=True,
    )
    if animation.tell() > MOST_BYTES:
        raise ValueError(f"an animation of {animation.tell():,} bytes: fewer frames, or smaller")
    display(Image(animation.getvalue(), format="png", alt=alt))
    _close(figure)


def agree(what: str, got, wanted, tolerance: float = 1e-12) -> None:
    """Print the largest difference, relative to the largest number wanted.

    Raises AssertionError if the shapes differ, or the numbers by more than the tolerance.
    """
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape, f"{what}: shape {got.shape}, expected {wanted.shape}"
    difference = np.abs(got - wanted).max() / (np.abs(wanted).max() or 1)
    print(f"{what:32} largest difference {difference:.1e}")
    assert difference <= tolerance, f"{what}: they differ by {difference:.1e}"


def _png(figure: Figure) -> bytes:
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def _close(figure: Figure) -> None:
    """pyplot forgets it, else a notebook would show it once more at the cell's end."""
    from matplotlib import pyplot

    pyplot.close(figure)
