"""The figures of a run, from plain arrays."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import MaxNLocator, NullLocator

from ..errors import ShapeError, UserError
from .figure import COLOURS, DPI, Figure, expect_names, numbers, pixels
from .text import fit, legible, plain

TRAIN, VALIDATION = COLOURS["blue"], COLOURS["vermilion"]
PARTS = ("train", "validation")
CURVES = ("epoch", "learning_rate", *(f"{p}_{of}" for p in PARTS for of in ("loss", "accuracy")))
MAX_WRITTEN = 20  # with more classes than this a confusion matrix is colours alone


def curves(history: list[dict]) -> Figure:
    """Loss, accuracy and learning rate by epoch, one above the other.

    history: a row per epoch with epoch (1, 2, …), train_loss, train_accuracy, validation_loss,
             validation_accuracy (0 … 1, drawn in %) and learning_rate
    """
    if not history:
        raise UserError("the history has no rows: train for an epoch first")
    try:
        column = {key: np.array([row[key] for row in history], float) for key in CURVES}
    except (KeyError, TypeError, ValueError, IndexError):
        raise UserError(f"expected a trainer's history, rows of {', '.join(CURVES)}") from None
    if not all(np.isfinite(column[key]).all() for key in ("epoch", "learning_rate")):
        raise UserError("epochs and learning rates must be finite")
    epochs, rates = column["epoch"], column["learning_rate"]
    look = {"marker": "o" if len(history) <= 20 else "", "ms": 4}  # one epoch makes no line

    figure = Figure((7, 7), DPI, layout="constrained")
    loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=[4, 4, 1.3])
    for part, color, style in ("train", TRAIN, "--"), ("validation", VALIDATION, "-"):
        loss.plot(epochs, column[f"{part}_loss"], style, color=color, label=part, **look)
        accuracy.plot(epochs, 100 * column[f"{part}_accuracy"], style, color=color, **look)
    rate.plot(epochs, rates, color="0.3", **look)  # at each epoch's end

    loss.set(ylabel="loss (nats)", ylim=(0, None))
    loss.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    accuracy.set(ylabel="accuracy (%)")
    steps, log = np.unique(rates), rates.min() > 0
    gaps = np.diff(np.log(steps) if log else steps)
    if (gaps < gaps.sum() / 3.5).any():  # too many rates to name, or too close
        steps = steps[[0, -1]]
    rate.set(xlabel="epoch", ylabel="learning\nrate", yscale="log" if log else "linear")
    rate.set_yticks(steps, [f"{step:.3g}" for step in steps])
    rate.yaxis.set_minor_locator(NullLocator())
    rate.margins(y=0.25)
    room = max(0.5, 0.02 * np.ptp(epochs))
    rate.set_xlim(epochs.min() - room, epochs.max() + room)
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in loss, accuracy, rate:
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    figure.align_ylabels()
    return figure


def filters(weight: np.ndarray, names: Sequence[str] = ("",)) -> Figure:
    """A first layer's kernels side by side, kernel 0 at the top left, as in the paper's Figure 3.

    weight: (O, C, kh, kw) floats, C = 1 (drawn grey) or 3 (RGB). One scale holds for all kernels.
    names: of the towers, each with an equal share of the kernels, drawn below one another

    Raises ShapeError on kernels that are no pictures, or not as many for each tower.
    """
    weight = numbers(weight, "kernels")
    names = (names,) if isinstance(names, str) else names
    if weight.ndim != 4 or weight.shape[1] not in (1, 3) or not weight.size:
        raise ShapeError(f"expected kernels (O, 1 or 3, kh, kw) to draw, got {weight.shape}")
    if not np.isfinite(weight).all():
        raise ShapeError("kernels with nan or inf are no pictures")
    if not names or len(weight) % len(names):
        raise ShapeError(f"{len(weight)} kernels are not {len(names)} equal parts: {names}")
    number, channels, height, width = weight.shape
    peak = float(np.abs(weight).max())
    shades = 0.5 + 0.5 * weight.transpose(0, 2, 3, 1) / (peak or 1)  # a weight of 0 gives 0.5
    blocks = [_tiled(part, len(names)) for part in np.split(shades, len(names))]

    tall = len(names) * blocks[0].shape[0] / blocks[0].shape[1]
    figure = Figure((8, 8 * tall + 0.2 + 0.25 * sum(map(bool, names))), DPI, layout="constrained")
    for i, (name, block) in enumerate(zip(names, blocks, strict=True), start=1):
        axes = figure.add_subplot(len(names), 1, i)
        axes.imshow(block, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(_label(name, 60), fontsize=9)
    size = f"kernels: {number} of {height}×{width}×{channels}"
    scale = "black to white" if channels == 1 else "red, green and blue each"
    title = f"{size}; mid-grey is 0; {scale} −{peak:.3g} … +{peak:.3g}"
    figure.suptitle(title, fontsize=9)
    return figure


def _tiled(shades: np.ndarray, blocks: int) -> np.ndarray:
    """Kernels (n, kh, kw, C) -> one picture (rows, columns, 3), wider the more blocks there are."""
    number, height, width, _ = shades.shape
    near = math.ceil(math.isqrt(number) / blocks)
    rows = next((r for r in range(near, near // 2, -1) if number % r == 0), near)  # full, if any
    columns = math.ceil(number / rows)
    fine, gap = 6, 2  # picture elements a weight, and between two kernels
    down, right = fine * height + gap, fine * width + gap
    picture = np.ones((rows * down - gap, columns * right - gap, 3))
    for k, shade in enumerate(shades):
        y, x = k // columns * down, k % columns * right
        tile = shade.repeat(fine, axis=0).repeat(fine, axis=1)
        picture[y : y + fine * height, x : x + fine * width] = tile
    return picture


def confusion(matrix: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Who is taken for whom. Colours show the errors alone: a good net's diagonal drowns them.

    matrix: (K, K) int counts, row the true class, column the predicted one; a colour is a
            count's share of its row. Up to 20 classes the counts and accuracies are written out.
    """
    matrix = numbers(matrix, "counts")
    classes = len(matrix) if matrix.ndim else 0
    if matrix.shape != (classes, classes) or not classes or not (matrix >= 0).all():
        raise ShapeError(f"expected counts (classes, classes), none negative, got {matrix.shape}")
    expect_names(class_names, classes)
    seen, right = matrix.sum(axis=1), matrix.trace()
    shares = 100.0 * matrix / np.maximum(seen, 1)[:, None]
    errors = np.ma.array(shares, mask=np.eye(classes, dtype=bool))

    written = classes <= MAX_WRITTEN
    side = 5 + 0.4 * classes if written else 8 + classes / 200  # inches; a pixel or more a class
    figure = Figure((side, side - 1.3), DPI, layout="constrained")
    axes = figure.subplots()
    colors = matplotlib.colormaps["Oranges"].with_extremes(bad="0.85")  # bad: masked, the diagonal
    top = errors.filled(0).max() or 100
    image = axes.imshow(errors, colors, PowerNorm(0.5, vmin=0, vmax=top), aspect="auto")
    figure.colorbar(image, ax=axes, label="errors (% of the true class)", shrink=0.8, aspect=30)
    ticks = range(0, classes, math.ceil(classes / MAX_WRITTEN))
    names = [_label(class_names[k], 24) for k in ticks]
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(ticks, names, fontsize=9)
    axes.set(xlabel="predicted class", ylabel="true class")
    total = seen.sum()
    axes.set_title(f"right (grey): {right} of {total} = {100 * right / max(total, 1):.2f} %")
    if written:
        for (y, x), light in np.ndenumerate(image.to_rgba(errors) @ [0.3, 0.6, 0.1, 0]):
            if matrix[y, x]:  # an empty cell is a 0
                ink = "black" if light > 0.45 else "white"
                axes.text(x, y, str(matrix[y, x]), ha="center", va="center", color=ink, fontsize=8)
        edge = axes.secondary_yaxis("right")
        accuracies = zip(shares.diagonal(), seen, strict=True)
        edge.set_yticks(ticks, [f"{a:.1f} %" if n else "–" for a, n in accuracies], fontsize=9)
        edge.set_ylabel("accuracy of the class")
        edge.tick_params(length=0)
    return figure


def mistakes(
    images,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    count: int = 24,
    ends: tuple[float, float] | None = None,
) -> Figure:
    """The pictures the net got wrong and was surest of, the surest first.

    images: (N, 1 or 3, H, W);  labels: (N,) int;  probabilities: (N, K) floats, 0 … 1
    ends: black and white, in images that are not uint8; default: of the usual scale they are on

    Raises ShapeError on what is no picture or does not fit, UserError on what is no array.
    """
    if isinstance(images, list | tuple) or not hasattr(images, "ndim"):
        images = numbers(images, "images")
    labels, probabilities = numbers(labels, "labels"), numbers(probabilities, "probabilities")
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ShapeError(f"expected images (N, 1 or 3, H, W) to draw, got {images.shape}")
    if probabilities.ndim != 2 or not labels.shape == probabilities.shape[:1] == (len(images),):
        raise ShapeError(
            f"expected labels (N,) and probabilities (N, classes) of {len(images)} images, got"
            f" {labels.shape} and {probabilities.shape}"
        )
    expect_names(class_names, probabilities.shape[1])
    if ((labels < 0) | (labels >= len(class_names))).any():
        raise ShapeError(f"labels must be in 0…{len(class_names) - 1}")
    if ((probabilities < 0) | (probabilities > 1.001)).any():
        raise ShapeError("probabilities must be in 0 … 1: the softmax of the net's output")
    if count < 1:
        raise UserError(f"count must be at least 1, got {count}")
    answers, sureness = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(answers != labels)
    shown = wrong[np.argsort(-sureness[wrong], kind="stable")][:count]
    columns = min(6, max(1, len(shown)))
    rows = max(1, math.ceil(len(shown) / columns))
    figure = Figure((1.75 * max(3, columns), 2.05 * rows + 0.5), DPI, layout="constrained")
    if not len(wrong):
        figure.text(0.5, 0.5, f"no mistakes in {len(labels)} images", ha="center", va="center")
        return figure
    told = f"mistakes: {len(wrong)} in {len(labels)} images, the surest {len(shown)} here"
    figure.suptitle(f"{told}\ntrue class → predicted class, its probability", fontsize=10)
    pictures = pixels(images[shown], ends)
    for place, (i, picture) in enumerate(zip(shown, pictures, strict=True), start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.set_axis_off()
        axes.imshow(picture.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
        true, answer = (_label(class_names[k], 16) for k in (labels[i], answers[i]))
        axes.set_title(f"{true}\n→ {answer} {100 * sureness[i]:.0f} %", fontsize=8)
    return figure


def neighbours(
    queries: Sequence[np.ndarray],
    query_titles: Sequence[str],
    found: Sequence[Sequence[np.ndarray] | np.ndarray],
    found_titles: Sequence[Sequence[str]],
) -> Figure:
    """A row a query: the image asked about, a gap, and what was found for it, the nearest first.

    Every image is (1 or 3, H, W), of any size, and on a scale of its own if it is not uint8.
    found and found_titles have a list a query.
    Titles may have several lines; each is cut to what there is room for.

    Raises UserError without a query, ShapeError on what is no picture.
    """
    if queries is None or not len(queries):
        raise UserError("there is no image to draw the neighbours of")
    lengths = [len(queries), len(query_titles), len(found), len(found_titles)]
    if len(set(lengths)) > 1 or list(map(len, found)) != list(map(len, found_titles)):
        raise ShapeError("expected a title an image, and a list of what was found a query")
    rows, most = len(queries), max(map(len, found), default=0)
    figure = Figure((1.75 * (most + 1) + 0.4, 2.1 * rows + 0.5), DPI, layout="constrained")
    grid = figure.add_gridspec(rows, most + 2, width_ratios=[1, 0.2, *[1] * most])
    figure.suptitle("left: the image asked about\nright: the nearest to it first", fontsize=10)
    for row, asked in enumerate(zip(queries, query_titles, found, found_titles, strict=True)):
        query, query_title, images, titles = asked
        _draw_image(figure.add_subplot(grid[row, 0]), query, query_title)
        for column, (image, title) in enumerate(zip(images, titles, strict=True), start=2):
            _draw_image(figure.add_subplot(grid[row, column]), image, title)
    return figure


def _draw_image(axes: Axes, image: np.ndarray, title: str) -> None:
    image = numbers(image, "an image")
    if image.ndim != 3 or len(image) not in (1, 3) or not image.size:
        raise ShapeError(f"expected images (1 or 3, H, W) to draw, got {image.shape}")
    image = pixels(image)
    axes.set_axis_off()
    axes.imshow(image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
    lines = (plain(fit(line, 1.65, 8)) for line in str(title).splitlines())
    axes.set_title("\n".join(lines), fontsize=8)


def _label(name: str, longest: int) -> str:
    """The name as plain text, cut to so many characters."""
    name = legible(str(name))
    return plain(name if len(name) <= longest else name[: longest - 1] + "…")
