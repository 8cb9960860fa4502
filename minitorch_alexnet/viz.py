"""The figures of a run, from plain arrays: learning curves, kernels, confusions and mistakes.

Every function returns a `matplotlib.figure.Figure`: show it in a notebook, or keep it with
`figure.savefig(path)`. pyplot stays out of it, so no window and no global state is touched.
"""

import math

import matplotlib
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from .errors import ShapeError, UserError

TRAIN, VALIDATION = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermilion
DPI = 120
MAX_WRITTEN = 20  # with more classes than this a confusion matrix is colours alone


def curves(history: list[dict]) -> Figure:
    """Loss, accuracy and learning rate by epoch, one above the other.

    history: a row per epoch with epoch (1, 2, …), train_loss, train_accuracy, validation_loss,
             validation_accuracy (0 … 1, drawn in %) and learning_rate
    """
    if not history:
        raise UserError("the history has no rows: train for an epoch first")
    column = {key: np.array([row[key] for row in history], float) for key in history[0]}
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


def filters(weight: np.ndarray) -> Figure:
    """A first layer's kernels side by side, kernel 0 at the top left, as in the paper's Figure 3.

    weight: (O, C, kh, kw) floats, C = 1 (drawn grey) or 3 (RGB). One scale holds for all kernels.
    """
    if weight.ndim != 4 or weight.shape[1] not in (1, 3) or not weight.size:
        raise ShapeError(f"expected kernels (O, 1 or 3, kh, kw) to draw, got {weight.shape}")
    number, channels, height, width = weight.shape
    near = math.isqrt(number)  # rows and columns all full if they can be, and about as many
    rows = next((r for r in range(near, near // 2, -1) if number % r == 0), near)
    columns = math.ceil(number / rows)
    peak = float(np.abs(weight).max())
    shades = 0.5 + 0.5 * weight.transpose(0, 2, 3, 1) / (peak or 1)  # a weight of 0 gives 0.5

    fine, gap = 6, 2  # picture elements a weight, and between two kernels
    down, right = fine * height + gap, fine * width + gap
    picture = np.ones((rows * down - gap, columns * right - gap, 3))
    for k, shade in enumerate(shades):
        y, x = k // columns * down, k % columns * right
        tile = shade.repeat(fine, axis=0).repeat(fine, axis=1)
        picture[y : y + fine * height, x : x + fine * width] = tile

    figure = Figure((8, 8 * len(picture) / picture.shape[1] + 0.2), DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
    size = f"kernels: {number} of {height}×{width}×{channels}"
    scale = "black to white" if channels == 1 else "red, green and blue each"
    axes.set_title(f"{size}; mid-grey is 0; {scale} −{peak:.3g} … +{peak:.3g}", fontsize=9)
    return figure


def confusion(matrix: np.ndarray, class_names: list[str]) -> Figure:
    """Who is taken for whom. Colours show the errors alone: a good net's diagonal drowns them.

    matrix: (K, K) int counts, row the true class, column the predicted one; a colour is a
            count's share of its row. Up to 20 classes the counts and accuracies are written out.
    """
    classes = len(class_names)
    if matrix.shape != (classes, classes):
        raise ShapeError(f"expected counts {(classes, classes)}, got {matrix.shape}")
    seen, right = matrix.sum(axis=1), matrix.trace()
    shares = 100 * matrix / np.maximum(seen, 1)[:, None]
    errors = np.ma.array(shares, mask=np.eye(classes))

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
                axes.text(x, y, matrix[y, x], ha="center", va="center", color=ink, fontsize=8)
        edge = axes.secondary_yaxis("right")
        accuracies = zip(shares.diagonal(), seen, strict=True)
        edge.set_yticks(ticks, [f"{a:.1f} %" if n else "–" for a, n in accuracies], fontsize=9)
        edge.set_ylabel("accuracy of the class")
        edge.tick_params(length=0)
    return figure


def mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: list[str],
    count: int = 24,
) -> Figure:
    """The pictures the net got wrong and was surest of, the surest first.

    images: (N, 1 or 3, H, W) uint8;  labels: (N,) int;  probabilities: (N, K) floats, 0 … 1
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ShapeError(f"expected images (N, 1 or 3, H, W) to draw, got {images.shape}")
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
    for place, i in enumerate(shown, start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.set_axis_off()
        axes.imshow(images[i].transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
        true, answer = (_label(class_names[k], 16) for k in (labels[i], answers[i]))
        axes.set_title(f"{true}\n→ {answer} {100 * sureness[i]:.0f} %", fontsize=8)
    return figure


def _label(name: str, longest: int) -> str:
    """The name as plain text: cut to so many characters, and a $ begins no formula."""
    return (name if len(name) <= longest else name[: longest - 1] + "…").replace("$", r"\$")
