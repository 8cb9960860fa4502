"""The figures show the numbers they were given, in the right place, and can be read."""

import io
import math
import subprocess
import sys
from itertools import combinations, pairwise
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.font_manager import findfont, get_font
from matplotlib.image import imread
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from minitorch_alexnet import viz
from minitorch_alexnet.errors import ShapeError, UserError
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import (
    Concat,
    Conv2d,
    Copy,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Tanh,
    Upsample,
)
from minitorch_alexnet.models import MODELS, build
from minitorch_alexnet.summary import crossings
from minitorch_alexnet.timing import Timing
from minitorch_alexnet.viz import text as lettering
from minitorch_alexnet.viz.text import inches

LONG = ["T-shirt/top", "Ankle boot", "$a_b$", "price $5", "Ελληνικά", "été", "x", "M" * 30]


def texts(figure):
    """Every text that is drawn, and its box in pixels."""
    drawn = {}  # once each: drawing may go over a figure twice
    draw = Text.draw

    def record(text, renderer):
        if text.get_visible() and text.get_text().strip():
            drawn[id(text)] = text
        draw(text, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        figure.draw_without_rendering()
    return [(text.get_text(), text.get_window_extent()) for text in drawn.values()]


def assert_apart(boxes):
    for (one, a), (other, b) in combinations(boxes, 2):
        assert not a.overlaps(b), (one, other)


def assert_inside(figure):
    width, height = figure.bbox.size
    for text, box in texts(figure):
        assert box.x0 > -1, text
        assert box.y0 > -1, text
        assert box.x1 < width + 1, text
        assert box.y1 < height + 1, text


def make_history(epochs):
    return [
        {
            "epoch": e,
            "train_loss": 2 / e,
            "train_accuracy": 1 - 0.5 / e,
            "validation_loss": 2.1 / e,
            "validation_accuracy": 1 - 0.6 / e,
            "learning_rate": 0.01 if e <= epochs[len(epochs) // 2] else 0.001,
            "seconds": 1.5,
        }
        for e in epochs
    ]


HISTORIES = [[1], [1, 2], list(range(1, 91)), [0.25, 0.5, 0.75]]


@pytest.mark.parametrize("epochs", HISTORIES, ids=["1", "2", "90", "fractions"])
def test_curves_draw_the_history(epochs):
    history = make_history(epochs)
    figure = viz.curves(history)
    loss, accuracy, rate = figure.axes
    for axes, name, scale in (loss, "loss", 1), (accuracy, "accuracy", 100):
        for line, part in zip(axes.lines, ("train", "validation"), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), epochs)
            expected = [scale * row[f"{part}_{name}"] for row in history]
            np.testing.assert_allclose(line.get_ydata(), expected)
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["train", "validation"]
    (line,) = rate.lines
    np.testing.assert_array_equal(line.get_ydata(), [row["learning_rate"] for row in history])
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "loss (nats)",
        "accuracy (%)",
        "learning\nrate",
    ]
    assert rate.get_xlabel() == "epoch"


@pytest.mark.parametrize("epochs", HISTORIES, ids=["1", "2", "90", "fractions"])
def test_curves_can_be_read(epochs):
    figure = viz.curves(make_history(epochs))
    assert_inside(figure)
    assert_apart(texts(figure))
    bottom, top = figure.axes[0].get_ylim()
    assert bottom == 0
    assert 1 < top / (2.1 / epochs[0]) < 1.2  # the largest loss fills the panel
    low, high = figure.axes[2].get_xlim()
    assert low < epochs[0]
    assert epochs[-1] < high
    ticks = [x for x in figure.axes[2].get_xticks() if low <= x <= high]
    assert ticks
    assert all(x == round(x) for x in ticks)
    if len(epochs) <= 2:  # points, as there is hardly a line
        assert figure.axes[0].lines[0].get_marker() == "o"


def test_the_two_curves_look_the_same_in_both_panels_and_differ_from_one_another():
    loss, accuracy, _ = viz.curves(make_history([1, 2, 3])).axes
    assert [line.get_color() for line in loss.lines] == [x.get_color() for x in accuracy.lines]
    assert loss.lines[0].get_color() != loss.lines[1].get_color()
    assert loss.lines[0].get_linestyle() != loss.lines[1].get_linestyle()


@pytest.mark.parametrize(
    ("rates", "names"),
    [
        ([0.1, 0.01, 0.001, 0.0001], ["0.0001", "0.001", "0.01", "0.1"]),
        ([0.1, 0.01, 0.0095, 0.001], ["0.001", "0.1"]),  # two in the middle would overlap
        ([0.1, 0.01, 1e-3, 1e-4, 1e-5], ["1e-05", "0.1"]),
        ([0.1, 0.05, 0.0], ["0", "0.05", "0.1"]),
        ([0.01] * 4, ["0.01"]),
    ],
    ids=str,
)
def test_learning_rates_are_named_as_room_allows(rates, names):
    history = make_history(range(1, len(rates) + 1))
    figure = viz.curves(
        [{**row, "learning_rate": x} for row, x in zip(history, rates, strict=True)]
    )
    assert_apart(texts(figure))
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == names


def test_curves_without_rows():
    with pytest.raises(UserError, match="no rows"):
        viz.curves([])


def tile(figure, k, columns, height, width, block=0):
    """The shades (height, width, 3) of a block's kernel k: one picture element of each weight."""
    picture = figure.axes[block].images[0].get_array()
    y, x = k // columns * (6 * height + 2), k % columns * (6 * width + 2)
    return np.asarray(picture[y : y + 6 * height, x : x + 6 * width][3::6, 3::6])


@pytest.mark.parametrize(
    ("shape", "columns"),
    [((96, 3, 11, 11), 12), ((32, 1, 5, 5), 8), ((22, 3, 3, 2), 6), ((97, 1, 3, 3), 11)],
    ids=str,
)
def test_filters_show_each_kernel_in_its_place_on_one_scale(shape, columns):
    weight = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    weight[3] *= 0.01  # a faint kernel stays faint
    weight[5] = 0
    figure = viz.filters(weight)
    number, channels, height, width = shape
    for k in range(number):
        expected = 0.5 + 0.5 * weight[k].transpose(1, 2, 0) / np.abs(weight).max()
        expected = np.broadcast_to(expected, (height, width, 3))
        np.testing.assert_allclose(tile(figure, k, columns, height, width), expected, atol=1e-6)
    picture = figure.axes[0].images[0].get_array()
    rows = -(-number // columns)
    assert picture.shape == (rows * (6 * height + 2) - 2, columns * (6 * width + 2) - 2, 3)
    assert (picture[:, 6 * width : 6 * width + 2] == 1).all()  # the gap
    assert f"{number} of {height}×{width}×{channels}; mid-grey is 0" in figure.get_suptitle()


@pytest.mark.parametrize(("sign", "shade"), [(1, 1.0), (-1, 0.0)])
def test_the_largest_weight_is_white_or_black_and_zero_is_mid_grey(sign, shade):
    weight = np.zeros((4, 1, 2, 3), np.float32)
    weight[2, 0, 1, 0] = sign * 0.25
    figure = viz.filters(weight)
    expected = np.full((2, 3, 3), 0.5)
    expected[1, 0] = shade
    np.testing.assert_array_equal(tile(figure, 2, 2, 2, 3), expected)
    np.testing.assert_array_equal(tile(figure, 1, 2, 2, 3), 0.5)
    assert "−0.25 … +0.25" in figure.get_suptitle()


def test_filters_all_zero():
    np.testing.assert_array_equal(tile(viz.filters(np.zeros((1, 3, 2, 2))), 0, 1, 2, 2), 0.5)


@pytest.mark.parametrize("shape", [(8, 2, 3, 3), (8, 27), (0, 1, 3, 3)])
def test_filters_refuse_what_is_no_picture(shape):
    with pytest.raises(ValueError, match="kernels"):
        viz.filters(np.ones(shape))


@pytest.mark.parametrize(
    ("shape", "names", "columns"),
    [
        ((96, 3, 11, 11), ["tower a, cpu:0", "tower b, cpu:1"], 16),  # the paper's 3 rows a GPU
        ((64, 1, 3, 4), ["a", "$b$"], 16),
        ((14, 3, 3, 3), ["a", "b"], 7),
        ((30, 3, 3, 3), ["a", "b", "c" * 200], 10),
        ((4, 1, 2, 2), ("a", "b", "c", "d"), 1),
    ],
    ids=["paper", "64", "14", "30", "4"],
)
def test_filters_of_towers_stand_in_blocks_on_one_scale(shape, names, columns):
    weight = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    weight[-1] *= 9  # the last tower's sets the scale of the first's
    figure = viz.filters(weight, names)
    assert len(figure.axes) == len(names)
    each = len(weight) // len(names)
    for k in range(len(weight)):
        expected = 0.5 + 0.5 * weight[k].transpose(1, 2, 0) / np.abs(weight).max()
        expected = np.broadcast_to(expected, (*shape[2:], 3))
        shades = tile(figure, k % each, columns, *shape[2:], block=k // each)
        np.testing.assert_allclose(shades, expected, atol=1e-6)
    assert f"kernels: {len(weight)} of " in figure.get_suptitle()
    assert_inside(figure)
    assert_apart(texts(figure))
    heads = [axes.get_title() for axes in figure.axes]
    for head, name in zip(heads, names, strict=True):
        assert head.replace("\\", "").rstrip("…") == name[:59]
    blocks = [axes.images[0].get_window_extent() for axes in figure.axes]
    for above, below in pairwise(blocks):
        assert above.y0 - below.y1 > 15  # pixels, 120 an inch; the gap between kernels is 2
        assert (above.x0, above.x1) == pytest.approx((below.x0, below.x1), abs=1)


@pytest.mark.parametrize("names", [["a", "b", "c"], []])
def test_kernels_that_are_not_equal_parts(names):
    with pytest.raises(ShapeError, match=f"8 kernels are not {len(names)} equal parts"):
        viz.filters(np.ones((8, 3, 2, 2)), names)


MATRIX = np.array([[90, 8, 2], [0, 5, 5], [0, 0, 0]])


def test_confusion_writes_counts_names_and_accuracies():
    figure = viz.confusion(MATRIX, ["T-shirt/top", "Ankle boot", "été"])
    axes = figure.axes[0]
    written = {
        (int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts
    }
    assert written == {(y, x): str(n) for (y, x), n in np.ndenumerate(MATRIX) if n}
    for ticks in axes.get_xticklabels(), axes.get_yticklabels():
        assert [tick.get_text() for tick in ticks] == ["T-shirt/top", "Ankle boot", "été"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "predicted class")
    (edge,) = axes.child_axes
    assert [t.get_text() for t in edge.get_yticklabels()] == ["90.0 %", "50.0 %", "–"]
    assert "95 of 110 = 86.36 %" in axes.get_title()


def test_confusion_colours_shares_of_the_row_and_leaves_the_diagonal_out():
    image = viz.confusion(MATRIX, list("abc")).axes[0].images[0]
    shares = image.get_array()
    np.testing.assert_array_equal(shares.mask, np.eye(3, dtype=bool))
    np.testing.assert_allclose(shares.data, [[90, 8, 2], [0, 50, 50], [0, 0, 0]])
    assert (image.norm.vmin, image.norm.vmax) == (0, 50)  # the worst error takes the darkest colour
    colors = image.to_rgba(shares)
    np.testing.assert_allclose(colors[0, 0, :3], 0.85)
    light = colors[..., :3].mean(axis=2)
    assert light[1, 2] < light[0, 1] < light[0, 2] < light[1, 0]


def test_counts_stand_out_from_their_cells():
    def luminance(color):
        linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    matrix = np.arange(1, 401).reshape(20, 20)
    axes = viz.confusion(matrix, [str(k) for k in range(20)]).axes[0]
    cells = axes.images[0].to_rgba(axes.images[0].get_array())
    assert {t.get_color() for t in axes.texts} == {"black", "white"}
    for text in axes.texts:
        x, y = text.get_position()
        cell, ink = luminance(cells[y, x, :3]), float(text.get_color() == "white")
        assert (max(cell, ink) + 0.05) / (min(cell, ink) + 0.05) > 4  # WCAG's contrast ratio


@pytest.mark.parametrize("classes", [21, 1000])
def test_a_large_confusion_has_no_cell_texts_and_few_ticks(classes):
    names = [f"class {k}" for k in range(classes)]
    axes = viz.confusion(np.eye(classes, dtype=int), names).axes[0]
    assert not axes.texts
    assert not axes.child_axes
    assert 10 <= len(axes.get_xticks()) <= 20
    for axis in axes.xaxis, axes.yaxis:
        labels = [label.get_text() for label in axis.get_ticklabels()]
        assert labels == [names[int(k)] for k in axis.get_ticklocs()]


@pytest.mark.parametrize(("classes", "name"), [(1, "Abcdef"), (2, "A"), (3, "Abcdef"), (20, "Bag")])
def test_confusion_of_any_size_stays_inside(classes, name):
    assert_inside(viz.confusion(np.ones((classes, classes), int), [name] * classes))


@pytest.mark.parametrize("classes", [1, 2, 8])
def test_confusion_with_odd_names_stays_inside_and_draws_no_formula(classes):
    matrix = np.random.default_rng(2).integers(0, 60000, (classes, classes))
    figure = viz.confusion(matrix, LONG[-classes:])
    assert_inside(figure)
    labels = figure.axes[0].get_yticklabels()
    assert_apart([(label.get_text(), label.get_window_extent()) for label in labels])
    # A formula loses its dollars, and with them its width.
    widths = {label.get_text(): label.get_window_extent().width for label in labels}
    if classes == 8:
        assert widths[r"\$a_b\$"] > 1.3 * widths["été"]
    assert labels[-1].get_text() == ("M" * 23 + "…")


def test_confusion_refuses_names_that_do_not_fit():
    with pytest.raises(ShapeError, match="2 class names do not fit 3 classes"):
        viz.confusion(MATRIX, ["a", "b"])
    for names in ("abc", None, 3):
        with pytest.raises(UserError, match="class_names must be a list"):
            viz.confusion(MATRIX, names)


def make_answers(number=40, channels=1):
    """Answers to pictures whose every pixel is the picture's own number."""
    rng = np.random.default_rng(3)
    pixels = np.arange(number, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(pixels, (number, channels, 4, 5))
    labels = rng.integers(0, 8, number)
    probabilities = rng.dirichlet(np.full(8, 0.2), number).astype(np.float32)
    return images, labels, probabilities


def shown(figure):
    return [int(axes.images[0].get_array()[0, 0].flat[0]) for axes in figure.axes]


@pytest.mark.parametrize("count", [1, 5, 24, 100])
def test_mistakes_are_the_surest_wrong_answers_in_order(count):
    images, labels, probabilities = make_answers()
    wrong = [i for i in range(40) if probabilities[i].argmax() != labels[i]]
    assert 24 < len(wrong) < 40
    expected = sorted(wrong, key=lambda i: -probabilities[i].max())[:count]
    figure = viz.mistakes(images, labels, probabilities, [*LONG[:7], "bag"], count)
    assert shown(figure) == expected
    assert f"{len(wrong)} in 40 images, the surest {len(expected)}" in figure.get_suptitle()


def test_mistakes_say_true_predicted_and_how_sure():
    images = np.zeros((3, 1, 4, 4), np.uint8)
    probabilities = np.array([[0.03, 0.97, 0], [0.9, 0.1, 0], [0.2, 0.2, 0.6]])
    figure = viz.mistakes(images, np.array([0, 0, 1]), probabilities, ["Shirt", "$1", "a_b"])
    assert [axes.get_title() for axes in figure.axes] == ["Shirt\n→ \\$1 97 %", "\\$1\n→ a_b 60 %"]


@pytest.mark.parametrize("count", [1, 2, 3, 24])
def test_mistakes_texts_do_not_overlap(count):
    names = ["T-shirt/top", "Ankle boot", "CHECKERED OVERCOATS", "long-sleeved pullover"] * 2
    figure = viz.mistakes(*make_answers(), names, count)
    assert {axes.get_subplotspec().get_gridspec().ncols for axes in figure.axes} == {min(count, 6)}
    assert_inside(figure)
    assert_apart(texts(figure))


def test_mistakes_in_colour_and_in_grey():
    images, labels, probabilities = make_answers(channels=3)
    images = images * np.array([1, 2, 3], np.uint8)[:, None, None]
    images[:, :, 1, 3] = 255
    color = viz.mistakes(images, labels, probabilities, LONG)
    for axes in color.axes:
        picture = axes.images[0].get_array()
        assert picture.shape == (4, 5, 3)
        i = picture[0, 0, 0]
        np.testing.assert_array_equal(picture, images[i].transpose(1, 2, 0))
    image = viz.mistakes(*make_answers(), LONG).axes[0].images[0]
    assert (image.get_cmap().name, image.norm.vmin, image.norm.vmax) == ("gray", 0, 255)
    with pytest.raises(ValueError, match="1 or 3"):
        viz.mistakes(images[:, :2], labels, probabilities, LONG)


def test_no_mistakes_says_so():
    images, _, probabilities = make_answers()
    figure = viz.mistakes(images, probabilities.argmax(axis=1), probabilities, LONG)
    assert not figure.axes
    assert [text for text, _ in texts(figure)] == ["no mistakes in 40 images"]
    assert_inside(figure)


def make_sheet(sizes=((3, 4, 5), (1, 6, 6)), counts=(3, 2)):
    """A query a row and its finds, every image filled with a number of its own."""
    value = iter(range(1, 256))

    def image(k):
        return np.full(sizes[k % len(sizes)], next(value), np.uint8)

    queries = [image(i) for i in range(len(counts))]
    found = [[image(k) for k in range(number)] for number in counts]
    titles = [[f"class {i}{k}\n{k / 8:.4g}" for k in range(n)] for i, n in enumerate(counts)]
    return queries, [f"photo {i}" for i in range(len(counts))], found, titles


def test_neighbours_stand_in_the_row_of_their_query_each_with_its_title():
    queries, names, found, titles = make_sheet()
    found[0][0][:] = np.arange(60).reshape(3, 4, 5)
    figure = viz.neighbours(queries, names, found, titles)
    figure.draw_without_rendering()
    rows = {}
    for axes in figure.axes:
        box = axes.get_window_extent()
        rows.setdefault(round(box.y0 + box.height / 2), []).append((box.x0, axes))
    assert len(rows) == 2
    for i, middle in enumerate(sorted(rows, reverse=True)):
        shown = [axes for _, axes in sorted(rows[middle], key=lambda place: place[0])]
        assert [axes.get_title() for axes in shown] == [names[i], *titles[i]]
        for axes, image in zip(shown, [queries[i], *found[i]], strict=True):
            drawn = axes.images[0]
            np.testing.assert_array_equal(drawn.get_array(), image.transpose(1, 2, 0).squeeze())
            assert (drawn.get_cmap().name, drawn.norm.vmin, drawn.norm.vmax) == ("gray", 0, 255)


def test_a_gap_sets_the_queries_apart():
    figure = viz.neighbours(*make_sheet(sizes=[(3, 8, 8)], counts=(4, 4)))
    figure.draw_without_rendering()
    boxes = [axes.get_window_extent() for axes in figure.axes[:5]]
    gaps = [right.x0 - left.x1 for left, right in pairwise(boxes)]
    assert gaps[0] > 30
    assert max(gaps[1:]) < 15
    assert {round(box.width) for box in boxes} == {round(boxes[0].width)}


@pytest.mark.parametrize("counts", [(1,), (0, 0), (6, 0, 6), (1, 3)], ids=str)
def test_neighbours_with_odd_titles_can_be_read(counts):
    queries, names, found, titles = make_sheet(sizes=[(3, 9, 6), (1, 3, 9)], counts=counts)
    names = [f"{'M' * 40}.jpg" for _ in names]
    odd = ["M" * 40 + "\n1.5", "price $5 or $6\n2", "", "$a_b$\n3", "été, " * 9, "x\ny\nz"]
    titles = [odd[: len(row)] for row in titles]
    figure = viz.neighbours(queries, names, found, titles)
    assert_inside(figure)
    assert_apart(texts(figure))
    drawn = [text for text, _ in texts(figure)]
    assert sum("M…" in text for text in drawn) == len(counts) + sum(n > 0 for n in counts)
    if counts == (6, 0, 6):
        assert r"price \$5 or \$6" + "\n2" in drawn


def test_neighbours_refuse_what_they_cannot_draw():
    queries, names, found, titles = make_sheet()
    with pytest.raises(UserError, match="no image"):
        viz.neighbours([], [], [], [])
    with pytest.raises(ShapeError, match="a title an image"):
        viz.neighbours(queries, names, found, [titles[0], titles[1][:1]])
    found[1][0] = np.zeros((2, 4, 4), np.uint8)
    with pytest.raises(ShapeError, match=r"1 or 3, H, W\) to draw, got \(2, 4, 4\)"):
        viz.neighbours(queries, names, found, titles)


# ---- nets --------------------------------------------------------------------------------------


class Own(Layer):
    """A layer of a user's own, with a repr of a user's own."""

    def __init__(self, text):
        super().__init__()
        self.text = text

    def __repr__(self):
        return self.text


class Leaky(ReLU):
    """Not a ReLU, though made from one."""


def two_towers(devices=("cpu:0", "cpu:1")):
    """Towers that meet once both ways and once one way; b has a layer more before conv2."""
    a, b = devices
    net = Graph((3, 16, 16), device=a)
    net.add("image_b", Copy(to=b), "image")
    for tower, source in ("a", "image"), ("b", "image_b"):
        net.add("conv1", Conv2d(3, 4, 3, stride=2, padding=1), source, tower=tower)
        net.add("relu1", ReLU(), tower=tower)
        net.add("pool1", MaxPool2d(2), tower=tower)
    net.add("extra", Conv2d(4, 4, 1), tower="b")
    net.add("to_a", Copy(to=a), "extrab")
    net.add("to_b", Copy(to=b), "pool1a")
    net.add("both", Concat(), ("pool1a", "to_a"), tower="a")
    net.add("both_b", Concat(), ("to_b", "extrab"))  # b's, without saying so
    for tower, source in ("a", "botha"), ("b", "both_b"):
        net.add("conv2", Conv2d(8, 2, 3), source, tower=tower)
        net.add("flat", Flatten(), tower=tower)
    net.add("flatb_to_a", Copy(to=a), "flatb")
    net.add("join", Concat(), ("flata", "flatb_to_a"))
    net.add("fc3", Linear(16, 5))
    net.add("last", Copy(to=b))
    return net


def sequential():
    net = Graph((1, 12, 9))
    net.add("enlarge", Upsample(2))
    net.add("M" * 60, Conv2d(1, 6, (3, 2), stride=(2, 1)))
    for i in range(9):
        net.add(f"drop{i}", Dropout(0.25))
    net.add("tanh", Tanh())
    net.add("norm", LocalResponseNorm(3, groups=2))
    net.add("conv2", Conv2d(6, 4, 1, groups=2))
    net.add("own", Own("Own($a_b$,\n   c)"))
    net.add("long", Own("M" * 200))
    net.add("leaky", Leaky())
    net.add("flat", Flatten())
    net.add("fc", Linear(4 * 11 * 17, 1500))
    return net


def branches():
    """One column with two paths, and ways round."""
    net = Graph((4, 6, 6))
    net.add("left", Conv2d(4, 2, 1), "image")
    net.add("left2", Conv2d(2, 2, 1))
    net.add("right", Conv2d(4, 3, 1), "image")
    net.add("cat", Concat(), ("left2", "right", "left2"))
    net.add("out", Conv2d(7, 1, 1))
    net.add("again", Concat(), ("out", "left", "image"))
    net.add("end", Own("End()"))
    return net


def copies():
    """Copies as they seldom are: to the same device, of a copy, for two readers, for none."""
    net = Graph((2, 6, 6), device="cpu:0")
    net.add("conv1", Conv2d(2, 3, 1))
    net.add("same", Copy(to="cpu:0"))
    net.add("conv2", Conv2d(3, 3, 3))
    net.add("first", Copy(to="cpu:1"))
    net.add("second", Copy(to="cpu:2"))
    net.add("conv3", Conv2d(3, 5, 1))
    net.add("back", Copy(to="cpu:0"))
    net.add("one", Conv2d(5, 1, 1), "back")
    net.add("other", Conv2d(5, 1, 1), "back")
    net.add("late", Copy(to="cpu:0"), "conv3")
    net.add("cat", Concat(), ("one", "late", "other"))
    net.add("fc", Own("fc()"))
    net.add("again", Copy(to="cpu:0"))
    net.add("last", Copy(to="cpu:3"))
    return net


def three_towers():
    net = Graph((2, 6, 6), device="cpu:0")
    for i, tower in enumerate("abc"):
        if i:
            net.add(f"image_{tower}", Copy(to=f"cpu:{i}"), "image")
        net.add("conv1", Conv2d(2, 3, 1), f"image_{tower}" if i else "image", tower=tower)
    for i, tower in enumerate("abc"):
        sources = [f"conv1{tower}"]
        for other in "abc".replace(tower, ""):
            net.add(f"{other}_to_{tower}", Copy(to=f"cpu:{i}"), f"conv1{other}")
            sources.append(f"{other}_to_{tower}")
        net.add("both", Concat(), sources, tower=tower)
        net.add("conv2", Conv2d(9, 1, 1), tower=tower)
    return net


def uneven():
    """Towers of different make after a stem."""
    net = Graph((3, 6, 6))
    net.add("conv0", Conv2d(3, 3, 1))
    net.add("conv1", Conv2d(3, 3, 1), "conv0", tower="a")
    net.add("conv1", Conv2d(3, 3, 1), "conv0", tower="b")
    net.add("more", Conv2d(3, 3, 1), tower="b")
    net.add("twice", Concat(), ("conv1a", "conv1a"), tower="a")
    net.add("conv2", Conv2d(6, 2, 1), tower="a")
    net.add("pair", Concat(), ("moreb", "conv1b"), tower="b")
    net.add("conv2", Conv2d(6, 2, 1), tower="b")
    net.add("relu2", ReLU(), "conv2a", tower="b")
    net.add("cat", Concat(), ("conv2b", "relu2b"))
    net.add("end", Own("End()"))
    return net


def contrary():
    """The same names in two orders; one device, and no Copies."""
    net = Graph((3, 6, 6))
    for tower, names in ("a", "pq"), ("b", "qp"):
        for name, source in zip(names, ("image", None), strict=True):
            net.add(name, Conv2d(3, 3, 1), source, tower=tower)
    net.add("cat", Concat(), ("qa", "pb"))
    net.add("end", Own("End()"))
    return net


GRAPHS = {
    "two towers": two_towers,
    "one device": lambda: two_towers(("cpu", "cpu")),
    "sequential": sequential,
    "branches": branches,
    "copies": copies,
    "three towers": three_towers,
    "uneven": uneven,
    "contrary": contrary,
    "image alone": lambda: Graph((7,)),
}
WORDS = {
    ReLU: "ReLU",
    Tanh: "tanh",
    LocalResponseNorm: "LRN",
    MaxPool2d: "max-pool",
    Dropout: "dropout",
    Flatten: "flatten",
    Concat: "concat",
    Upsample: "enlarge",
}
BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#737373"


@pytest.fixture(scope="module")
def nets():
    """Every model, with weights that nobody drew and that take no memory; and the graphs above."""
    models = {name: build(name, seed=None) for name in MODELS}
    return models | {name: make() for name, make in GRAPHS.items()}


class Drawing:
    """A figure of a net taken apart. Lengths in inches, y downwards."""

    def __init__(self, net):
        self.figure = viz.network(net)
        self.figure.draw_without_rendering()
        (axes,) = self.figure.axes
        kinds = Rectangle, FancyArrowPatch, Polygon
        rectangles, self.arrows, self.solids = (
            [patch for patch in axes.patches if type(patch) is kind] for kind in kinds
        )
        self.boxes = [(r.get_bbox(), r) for r in rectangles if r.get_width() > 1]
        self.swatches = [r for r in rectangles if r.get_width() < 1]
        self.texts = {text: self.place(text) for text in axes.texts}
        self.cells = {}  # by name, or the first words of one that has no box
        for cell in self.stacks():
            inside = self.inside(cell)
            named = [text for text in inside if text.get_fontsize() == 10]
            assert len(named) < 2
            self.cells.setdefault([*named, *inside][0].get_text(), []).append(cell)

    def place(self, text):
        (x0, y0), (x1, y1) = text.get_window_extent().get_points() / self.figure.dpi
        height = self.figure.get_figheight()
        return Bbox([[x0, height - y1], [x1, height - y0]])

    def stacks(self):
        """Boxes that stand on one another, as one."""
        stacks = []
        for x0, y0, x1, y1 in sorted((b.x0, b.y0, b.x1, b.y1) for b, _ in self.boxes):
            if stacks and stacks[-1].x0 == x0 and abs(stacks[-1].y1 - y0) < 1e-6:
                stacks[-1] = Bbox([stacks[-1].p0, (x1, y1)])
            else:
                stacks.append(Bbox([(x0, y0), (x1, y1)]))
        return stacks

    def inside(self, cell):
        """A cell's texts in the order of reading."""
        texts = [text for text, place in self.texts.items() if contains(cell, place)]
        return sorted(
            texts, key=lambda text: (round(text.get_position()[1], 3), text.get_position())
        )

    def says(self, name):
        (cell,) = self.cells[name]
        return [text.get_text() for text in self.inside(cell)]

    def find(self, wanted):
        """The one text that reads so."""
        (text,) = [text for text in self.texts if text.get_text() == wanted]
        return text

    def edges(self):
        """Every arrow as (from, to, colour), by the names of the cells that it touches."""
        edges = []
        for arrow in self.arrows:
            touched = [
                [name for name, cells in self.cells.items() for cell in cells if near(cell, point)]
                for point in (way_of(arrow)[0], way_of(arrow)[-1])
            ]
            ((source,), (target,)) = touched
            edges.append((source, target, to_hex(arrow.get_edgecolor())))
        return sorted(edges)


def way_of(arrow):
    """The corners of an arrow, from its beginning to its tip."""
    line, head = arrow.get_path().to_polygons(closed_only=False)
    return [*line[:-1], head[1]]


def contains(box, other):
    return box.x0 <= other.x0 and other.x1 <= box.x1 and box.y0 <= other.y0 and other.y1 <= box.y1


def near(box, point):
    return contains(box.padded(0.03), Bbox([point, point]))


def times(shape):
    return "×".join(map(str, shape))


@pytest.fixture(scope="module")
def drawings(nets):
    return {name: Drawing(net) for name, net in nets.items()}


every_net = pytest.mark.parametrize("name", [*MODELS, *GRAPHS])


@every_net
def test_a_net_can_be_read(drawings, name):
    drawing = drawings[name]
    page = Bbox([(0, 0), drawing.figure.get_size_inches()])
    assert_apart([(text.get_text(), place) for text, place in drawing.texts.items()])
    for text, place in drawing.texts.items():
        assert contains(page, place), text.get_text()
        assert text.get_fontsize() >= 8
        for box, _ in drawing.boxes:  # in a box or beside it, never across its edge
            assert contains(box, place) or not box.overlaps(place), text.get_text()
    for (one, _), (other, _) in combinations(drawing.boxes, 2):
        assert not one.padded(-0.001).overlaps(other.padded(-0.001))
    for solid in drawing.solids:
        extent = solid.get_path().get_extents()
        assert any(contains(box, extent) for box, _ in drawing.boxes)
        assert not any(extent.overlaps(place) for place in drawing.texts.values())
    for arrow in drawing.arrows:
        for (x0, y0), (x1, y1) in pairwise(way_of(arrow)):
            way = Bbox([(min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))])
            assert not any(way.overlaps(box.padded(-0.01)) for box, _ in drawing.boxes)
            assert contains(page, way)


@every_net
def test_a_net_tells_of_every_layer(nets, drawings, name):
    drawing = drawings[name]
    nodes = nets[name].nodes.values()
    words = [word for text in drawing.texts for word in text.get_text().split(" · ")]
    for kind, word in WORDS.items():
        number = sum(type(node.layer) is kind for node in nodes)
        assert sum(text.startswith(word) for text in words) == number, word
    for node in nodes:
        if type(node.layer) not in {*WORDS, Copy}:
            (called,) = [
                n for n in drawing.cells if n == node.name or (n[0] + "…" == node.name[0] + n[-1])
            ]
            assert times(node.shape) in drawing.says(called)
    boxes = sum(type(node.layer) not in {*WORDS, Copy} for node in nodes)
    assert len(drawing.solids) == 3 * (boxes + 1)  # three faces; the image has one too


@every_net
def test_a_net_tells_what_crosses(nets, drawings, name):
    net, drawing = nets[name], drawings[name]
    texts = [text.get_text() for text in drawing.texts]
    rows = crossings(net)
    totals = {True: [0, 0], False: [0, 0]}
    for row in rows:
        source, _, target = row["edge"].split()
        there, back = row["bytes_forward"], row["bytes_backward"]
        texts.remove(f"{times(net.nodes[target].shape)}, {there:,} bytes")
        texts.remove(f"{back:,} bytes back" if back else "nothing back")
        totals[source == "image"][0] += there
        totals[source == "image"][1] += back
    told = [text for text in texts if text.endswith(" back")]
    expected = []
    if totals[False][0]:
        expected = [
            f"maps in all: {totals[False][0]:,} bytes forward, {totals[False][1]:,} bytes back"
        ]
    if totals[True][0]:
        expected += [f"the image itself: {totals[True][0]:,} bytes forward, nothing back"]
    assert told == expected
    colored = [color for *_, color in drawing.edges() if color != GREY]
    assert len(colored) == len(rows)


def test_the_net_of_the_paper_at_a_glance(drawings):
    drawing = drawings["alexnet"]
    width, height = drawing.figure.get_size_inches()
    assert 10 < width < 11
    assert height / width < 2**0.5  # fills a page of A4
    for text in (
        "60,965,224 parameters, 724,406,816 multiply-adds an image",
        "maps in all: 234,496 bytes forward, 234,496 bytes back",
        "the image itself: 602,112 bytes forward, nothing back",
    ):
        drawing.find(text)
    assert drawing.says("conv1a") == [
        "conv1a",
        "48×55×55",
        "kernels: 48 of 3×11×11, stride 4",
        "17,472 parameters, 52.7 M multiply-adds",
        "ReLU · LRN · max-pool 3/2",
        "48×27×27",
    ]
    assert drawing.says("fc6b")[:5] == [
        "concat",
        "9216",
        "fc6b",
        "2048",
        "units: 2048 of 9216 inputs",
    ]


LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
EDGES = {
    "alexnet": [
        *((f"{one}{t}", f"{two}{t}", GREY) for one, two in pairwise(LAYERS) for t in "ab"),
        ("image", "conv1a", GREY),
        ("image", "conv1b", BLUE),
        ("conv2a", "conv3b", BLUE),
        ("conv2b", "conv3a", VERMILION),
        ("conv5a", "fc6b", BLUE),
        ("conv5b", "fc6a", VERMILION),
        ("fc6a", "fc7b", BLUE),
        ("fc6b", "fc7a", VERMILION),
        ("fc7a", "fc8", GREY),
        ("fc7b", "fc8", VERMILION),
    ],
    "torchvision": [(one, two, GREY) for one, two in pairwise(["image", *LAYERS, "fc8"])],
    "two towers": [
        ("image", "conv1a", GREY),
        ("image", "conv1b", BLUE),
        ("conv1b", "extrab", GREY),
        ("conv1a", "conv2a", GREY),
        ("conv1a", "conv2b", BLUE),
        ("extrab", "conv2b", GREY),
        ("extrab", "conv2a", VERMILION),
        ("conv2a", "fc3", GREY),
        ("conv2b", "fc3", VERMILION),
        ("fc3", "copy to cpu:1", BLUE),
    ],
    "branches": [
        ("image", "left", GREY),
        ("left", "left2", GREY),
        ("image", "right", GREY),
        ("left2", "out", GREY),
        ("right", "out", GREY),
        ("out", "end", GREY),
        ("left", "end", GREY),
        ("image", "end", GREY),
    ],
    "copies": [
        ("image", "conv1", GREY),
        ("conv1", "conv2", BLUE),
        ("conv2", "copy to cpu:1", BLUE),
        ("copy to cpu:1", "conv3", VERMILION),
        ("conv3", "copy to cpu:0", GREEN),
        ("copy to cpu:0", "one", GREY),
        ("copy to cpu:0", "other", GREY),
        ("conv3", "fc", GREEN),
        ("one", "fc", GREY),
        ("other", "fc", GREY),
        ("fc", "copy to cpu:0", BLUE),
        ("copy to cpu:0", "copy to cpu:3", BLUE),
    ],
    "three towers": [
        ("image", "conv1a", GREY),
        ("image", "conv1b", BLUE),
        ("image", "conv1c", BLUE),
        *((f"conv1{t}", f"conv2{t}", GREY) for t in "abc"),
        *(("conv1a", f"conv2{t}", BLUE) for t in "bc"),
        *(("conv1b", f"conv2{t}", VERMILION) for t in "ac"),
        *(("conv1c", f"conv2{t}", GREEN) for t in "ab"),
    ],
    "uneven": [
        ("image", "conv0", GREY),
        ("conv0", "conv1a", GREY),
        ("conv0", "conv1b", GREY),
        ("conv1a", "conv2a", GREY),
        ("conv1b", "moreb", GREY),
        ("moreb", "conv2b", GREY),
        ("conv1b", "conv2b", GREY),
        ("conv2a", "ReLU", GREY),
        ("ReLU", "end", GREY),
        ("conv2b", "end", GREY),
    ],
    "contrary": [
        ("image", "pa", GREY),
        ("pa", "qa", GREY),
        ("image", "qb", GREY),
        ("qb", "pb", GREY),
        ("qa", "end", GREY),
        ("pb", "end", GREY),
    ],
}
EDGES["one device"] = [*EDGES["two towers"][:-1], ("fc3", "copy to cpu:0", BLUE)]


@pytest.mark.parametrize("name", EDGES)
def test_arrows_lead_from_what_is_read_to_its_reader(drawings, name):
    assert drawings[name].edges() == sorted(EDGES[name])


@every_net
def test_arrows_come_from_above_unless_something_lies_between(drawings, name):
    drawing = drawings[name]
    cells = [cell for cells in drawing.cells.values() for cell in cells]
    for arrow in drawing.arrows:
        *_, before, end = way_of(arrow)
        (target,) = (cell for cell in cells if near(cell, end))
        between = [
            cell
            for cell in cells
            if cell.x0 == target.x0 and way_of(arrow)[0][1] < cell.y0 and cell.y1 < target.y0
        ]
        assert (before[0] == pytest.approx(end[0])) == (not between)


def test_what_crosses_is_written_at_its_arrow(drawings):
    drawing = drawings["alexnet"]
    (a,), (b,) = (drawing.cells[name] for name in ("conv1a", "conv1b"))
    labels = []
    for arrow in drawing.arrows:
        if to_hex(arrow.get_edgecolor()) != GREY:
            _, (_, lane), *_ = way_of(arrow)
            above, below = (
                [
                    text.get_text()
                    for text, place in drawing.texts.items()
                    if contains(
                        Bbox([(a.x1, lane - 0.19 * up), (b.x0, lane + 0.19 * (1 - up))]), place
                    )
                ]
                for up in (1, 0)
            )
            labels.append((*above, *below))
    assert labels == [
        ("3×224×224, 602,112 bytes", "nothing back"),
        *[("128×13×13, 86,528 bytes", "86,528 bytes back")] * 2,
        *[("4608, 18,432 bytes", "18,432 bytes back")] * 2,
        *[("2048, 8,192 bytes", "8,192 bytes back")] * 3,
    ]


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("alexnet", ["tower a, cpu:0", "tower b, cpu:1"]),
        ("fashion", ["cpu:0"]),
        ("two towers", ["tower a, cpu:0", "tower b, cpu:1"]),
        ("one device", ["tower a, cpu:0", "tower b, cpu:0"]),
        ("copies", ["cpu:0", "cpu:1", "cpu:2", "cpu:3"]),
        ("three towers", ["tower a, cpu:0", "tower b, cpu:1", "tower c, cpu:2"]),
        ("uneven", ["tower a, cpu:0", "tower b, cpu:0"]),
        ("contrary", ["tower a, cpu:0", "tower b, cpu:0"]),
    ],
)
def test_a_column_a_tower_with_twins_at_one_height(nets, drawings, name, columns):
    net, drawing = nets[name], drawings[name]
    heads = [drawing.find(head) for head in columns]
    assert [to_hex(head.get_color()) for head in heads] == [BLUE, VERMILION, GREEN, PURPLE][
        : len(heads)
    ]
    middles = [drawing.texts[head].p0[0] + drawing.texts[head].width / 2 for head in heads]
    assert middles == sorted(middles)
    for called, cells in drawing.cells.items():
        for cell in cells:
            (place,) = (
                head
                for head, middle in zip(columns, middles, strict=True)
                if abs(middle - cell.x0 - cell.width / 2) < 0.02
            )
            if called in net.nodes:
                assert str(net.nodes[called].device) in place
                assert f"tower {net.nodes[called].tower}" in place or not net.nodes[called].tower
            elif called.startswith("copy to"):
                assert called.split()[-1] in place
    if name != "contrary":  # whose twins cannot be at one height
        heights = {}
        for node in net.nodes.values():
            if node.tower and node.name in drawing.cells:
                _, y = drawing.find(node.name).get_position()
                heights.setdefault(node.joined_name, []).append(y)
        assert all(max(ys) - min(ys) < 1e-6 for ys in heights.values())


@pytest.mark.parametrize("name", ["fc8", "image"])
def test_what_has_no_tower_stands_with_what_it_reads(drawings, name):
    ((cell,), (other,)) = (drawings["alexnet"].cells[n] for n in (name, "conv1a"))
    assert (cell.x0, cell.x1) == (other.x0, other.x1)


def test_layers_of_a_users_own(drawings):
    drawing = drawings["sequential"]
    assert drawing.says("own") == ["own", "4×11×17", "Own($a_b$, c)"]
    literal = drawing.texts[drawing.find("Own($a_b$, c)")].width
    assert literal > 1.03 * inches("Own(a_b, c)", 8.5)  # a formula has no dollars
    *_, text = drawing.says("long")
    assert text == "M" * (len(text) - 1) + "…"
    assert drawing.says("leaky") == ["leaky", "4×11×17", "Leaky()", "flatten", "748"]


def test_small_layers_share_a_line_until_the_shape_changes_or_the_line_is_full(drawings):
    drawing = drawings["sequential"]
    assert drawing.says("image") == ["image", "1×12×9", "enlarge 2×", "1×24×18"]
    (called,) = [name for name in drawing.cells if name[0] == "M"]
    _, _, _, _, *lines = drawing.says(called)
    assert 3 < len(lines) < 6
    many = ["dropout 0.25"] * 9 + ["tanh", "LRN, 2 groups"]
    assert " · ".join(lines).split(" · ") == many
    assert drawing.says(called)[2] == "kernels: 6 of 1×3×2, stride (2, 1)"
    assert drawing.says("conv2")[2] == "kernels: 4 of 3×1×1, 2 groups"
    caffenet = drawings["caffenet"].says("conv1")
    assert caffenet[4:] == ["ReLU · max-pool 3/2", "96×27×27", "LRN"]


def test_solids_have_the_size_of_their_output(drawings):
    drawing = drawings["sequential"]

    def size(name):
        (cell,) = drawing.cells[name]
        front, top, side = (
            face for s in drawing.solids if contains(cell, face := s.get_path().get_extents())
        )
        assert (front.x0, front.y0, front.y0) == pytest.approx(
            (top.x0, top.y1, side.y0 + top.height)
        )
        return front.width, front.height, side.width

    image, maps, units = (size(name) for name in ("image", "conv2", "fc"))  # 1×12×9, 4×11×17, 1500
    assert maps[0] / image[0] == pytest.approx(math.log2(5) / math.log2(2))
    assert units[0] / image[0] == pytest.approx(math.log2(1501))
    assert maps[1] / image[1] == pytest.approx(math.sqrt(11 / 12))
    assert maps[2] / image[2] == pytest.approx(math.sqrt(17 / 9))
    assert units[1] / image[1] == pytest.approx(math.sqrt(1 / 12))


def test_the_legend_has_the_colours_of_the_boxes(drawings):
    drawing = drawings["sequential"]
    box_of = {"convolution": "conv2", "fully connected": "fc", "another layer": "own"}
    colors = {}
    for kind, name in box_of.items():
        x, y = drawing.find(name).get_position()
        (box,) = [patch for box, patch in drawing.boxes if box.contains(x, y)]
        x, y = drawing.find(kind).get_position()
        (swatch,) = [s for s in drawing.swatches if s.get_bbox().padded(0.15).contains(x, y)]
        assert swatch.get_facecolor() == box.get_facecolor()
        colors[kind] = box.get_facecolor()
    assert len({*colors.values()}) == 3
    told = {text.get_text() for text in drawings["fashion"].texts} & box_of.keys()
    assert told == {"convolution", "fully connected"}


# ---- all of them -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: viz.curves(make_history([1, 2, 3])),
        lambda: viz.filters(np.random.default_rng(4).normal(size=(6, 3, 3, 3))),
        lambda: viz.confusion(MATRIX, ["a", "b", "c"]),
        lambda: viz.mistakes(*make_answers(), LONG, 4),
        lambda: viz.neighbours(*make_sheet(counts=(1,))),
        lambda: viz.network(branches()),
    ],
    ids=["curves", "filters", "confusion", "mistakes", "neighbours", "network"],
)
def test_a_saved_figure_is_not_blank(make, tmp_path):
    make().savefig(tmp_path / "figure.png", dpi=50)
    pixels = imread(tmp_path / "figure.png")[..., :3]
    assert (pixels.mean(axis=2) < 0.6).mean() > 0.002
    assert len(np.unique(pixels)) > 20


def test_pyplot_stays_out():
    code = "import sys, minitorch_alexnet.viz; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_notebook_shows_every_figure_without_pyplot(tmp_path):
    formatters = pytest.importorskip("IPython.core.formatters")
    figure = viz.curves(make_history([1]))
    data, _ = formatters.DisplayFormatter().format(figure)  # what becomes of a cell's last value
    shown = imread(io.BytesIO(data["image/png"]))
    figure.savefig(tmp_path / "kept.png")
    np.testing.assert_array_equal(shown, imread(tmp_path / "kept.png"))
    for module in viz.experiments, viz.graph, viz.run, viz.timing:
        assert module.Figure is viz.figure.Figure


def test_a_net_stays_where_it_is_drawn_whatever_rcparams_say():
    with matplotlib.rc_context({"figure.constrained_layout.use": True}):
        assert viz.network(build("fashion")).get_layout_engine() is None


# ---- where a step's time goes ----------------------------------------------------------------


def make_timing():
    net = build("fashion")
    layers = {name: np.full((3, 2), (i + 1, 2 * i)) / 1000 for i, name in enumerate(net.nodes)}
    layers["conv1"][0] = 5  # one slow round changes nothing
    return Timing(net, 64, np.ones((3, 3)), np.ones(3), layers, np.full(3, 2e11))


def test_layer_bars_show_the_medians_of_both_directions():
    timing = make_timing()
    layers, figure = timing.layers, viz.layer_bars(timing, "fashion, 1 thread")
    (axes,) = figure.axes
    forward, backward = axes.containers
    assert [bar.get_width() for bar in forward] == pytest.approx(range(1, 1 + len(layers)))
    assert [bar.get_width() for bar in backward] == pytest.approx(range(0, 2 * len(layers), 2))
    assert [bar.get_x() for bar in backward] == [bar.get_width() for bar in forward]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(layers)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first layer on top
    assert "fashion, 1 thread" in axes.get_title(loc="left")
    assert "200 GFLOP/s" in axes.get_title(loc="left")
    assert "64" in axes.get_xlabel()
    drawn = [box for text, box in texts(figure) if text in layers]
    assert not any(a.overlaps(b) for a, b in combinations(drawn, 2))


# ---- names of strangers ------------------------------------------------------------------------

AWKWARD = [
    "\x00",
    "\x1b[31mred",
    "\ud800",
    "\ufffe",
    "two\nlines",
    "<&>\"'",
    "]]>",
    "--",
    "$x$",
    r"$\frac{$",
    "100 %",
    "M" * 5000,
    "",
    "猫",
    "سلام",
    "\u202egpj.exe",
]


def with_awkward_names(count):
    images, names = np.zeros((count, 1, 4, 4), np.uint8), AWKWARD[:count]
    titles = [[f"{name}\n1.5" for name in names]]
    wrong = np.roll(np.eye(count), 1, axis=1)
    net = Graph((1, 4, 4))
    for i, name in enumerate(names):
        net.add(f"own{i}", Own(f"Own({name})"))
    return {
        "confusion": lambda: viz.confusion(np.ones((count, count), int), names),
        "mistakes": lambda: viz.mistakes(images, np.arange(count), wrong, names),
        "neighbours": lambda: viz.neighbours(images[:1], names[:1], [images], titles),
        "filters": lambda: viz.filters(np.ones((count, 1, 2, 2)), names),
        "network": lambda: viz.network(net),
        "layer_bars": lambda: viz.layer_bars(make_timing(), title="".join(names)),
    }


@pytest.fixture
def no_other_fonts(monkeypatch):
    monkeypatch.setattr(lettering, "_homes", dict)


@pytest.fixture
def stix(monkeypatch):
    """A font that comes with matplotlib, and has characters that the usual one has not."""
    has, usual = (get_font(findfont(name)).get_charmap() for name in ("STIXGeneral", "DejaVu Sans"))
    found = sorted(c for c in map(chr, has.keys() - usual.keys()) if c.isprintable())
    monkeypatch.setattr(lettering, "_homes", lambda: {ord(c): "STIXGeneral" for c in found})
    return "".join(found[:3])


@pytest.mark.filterwarnings("ignore:no installed font")
@pytest.mark.parametrize("kind", list(with_awkward_names(1)))
@pytest.mark.parametrize("count", [len(AWKWARD)])
def test_a_figure_with_any_names_is_xml_and_stays_inside(kind, count, no_other_fonts):
    figure = with_awkward_names(count)[kind]()
    svg = io.BytesIO()
    figure.savefig(svg, format="svg")  # a box for a character would be a warning, and that an error
    ElementTree.fromstring(svg.getvalue())
    assert_inside(figure)


def test_a_character_that_the_usual_font_lacks_is_drawn_in_one_that_has_it(stix):
    figure = viz.confusion(np.ones((2, 2), int), [stix, "été"])
    figure.draw_without_rendering()
    lacking, usual = figure.axes[0].get_yticklabels()
    assert lacking.get_text() == stix
    assert lacking.get_fontfamily() == ["sans-serif", "STIXGeneral"]
    assert usual.get_fontfamily() == ["sans-serif"]
    assert inches(stix * 9, 10) > inches("i" * 9, 10)
    assert lettering.fit(stix * 9, inches(stix * 4, 10), 10).startswith(stix * 2)


def test_a_character_that_no_font_has_is_drawn_as_its_number(no_other_fonts):
    with pytest.warns(UserWarning, match="no installed font"):
        figure = viz.confusion(np.ones((2, 2), int), ["猫 cat", "dog"])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [r"\u732b cat", "dog"]


def test_fonts_are_gone_through_only_for_characters_that_the_usual_one_lacks(monkeypatch):
    monkeypatch.setattr(lettering, "_homes", None)
    figure = viz.confusion(np.ones((3, 3), int), ["T-shirt", "été", "Ελληνικά → ×"])
    figure.draw_without_rendering()
    monkeypatch.undo()
    homes = lettering._homes()
    assert homes[ord("a")] != "Last Resort High-Efficiency"
    assert len(homes) < 300_000  # no font has them all, but one that draws boxes


# ---- what cannot be drawn ----------------------------------------------------------------------


@pytest.mark.parametrize("scale", [lambda x: x, lambda x: x / 255, lambda x: (x - 100) / 50])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_scale_show_the_same(scale, channels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, channels, 6, 6), dtype=np.uint8)
    images[:, :, 0, 0], images[:, :, 0, 1] = 0, 255
    labels, probabilities = np.zeros(4, int), np.eye(2)[[1, 1, 1, 1]]
    figures = [
        viz.mistakes(some, labels, probabilities, ["a", "b"])
        for some in (images, scale(images.astype(float)))
    ]
    figures += [
        viz.neighbours(some[:1], ["a"], [some[1:]], [["b"] * 3])
        for some in (images, scale(images.astype(float)))
    ]
    for one, other in (figures[:2], figures[2:]):
        for axes, twin in zip(one.axes, other.axes, strict=True):
            shown, too = (a.images[0].get_array().astype(int) for a in (axes, twin))
            assert abs(shown - too).max() <= 1


def test_black_and_white_may_be_said():
    images = np.array([0.0, 0.25, 1.0, 3.0]).reshape(1, 1, 2, 2)
    figure = viz.mistakes(images, np.zeros(1, int), np.eye(2)[[1]], ["a", "b"], ends=(0, 2))
    assert figure.axes[0].images[0].get_array().ravel().tolist() == [0, 32, 128, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_no_picture(value):
    images = np.full((2, 1, 4, 4), value)
    for draw in (
        lambda: viz.filters(images),
        lambda: viz.mistakes(images, np.zeros(2, int), np.eye(2)[[1, 1]], ["a", "b"]),
        lambda: viz.neighbours(images[:1], ["a"], [[]], [[]]),
    ):
        with pytest.raises(UserError, match="nan or inf"):
            draw()


def test_curves_of_a_training_that_went_wrong():
    history = make_history([1, 2, 3])
    for row in history:
        row["train_loss"] = row["validation_loss"] = np.nan
    history[0]["train_accuracy"] = np.inf
    figure = viz.curves(history)
    assert_inside(figure)
    assert np.isnan(figure.axes[0].lines[0].get_ydata()).all()


@pytest.mark.parametrize(
    "history",
    [
        [{"epoch": 1}],
        {"epoch": [1]},
        [*make_history([1]), {"epoch": 2}],
        [make_history([1])[0] | {"train_loss": "low"}],
        [make_history([1])[0] | {"epoch": np.nan}],
        [make_history([1])[0] | {"learning_rate": np.inf}],
        Graph((1, 4, 4)),
    ],
)
def test_curves_of_what_is_no_history(history):
    with pytest.raises(UserError, match=r"history|finite"):
        viz.curves(history)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda i, k, p: viz.mistakes(i, k[:3], p, ["a", "b"]), r"of 4 images, got \(3,\)"),
        (lambda i, k, p: viz.mistakes(i, k, p[0], ["a", "b"]), "got .* and"),
        (lambda i, k, p: viz.mistakes(i, p, p, ["a", "b"]), "of 4 images, got"),
        (lambda i, k, p: viz.mistakes(i, k, p, ["a"]), "1 class names do not fit 2"),
        (lambda i, k, p: viz.mistakes(i, k, p, "ab"), "list of names, got a str"),
        (lambda i, k, p: viz.mistakes(i, k + 2, p, ["a", "b"]), "labels must be in 0…1"),
        (lambda i, k, p: viz.mistakes(i, k, 9 * p, ["a", "b"]), "softmax"),
        (lambda i, k, p: viz.mistakes(None, k, p, ["a", "b"]), "images, .*None"),
        (lambda i, k, p: viz.mistakes(i, None, p, ["a", "b"]), "labels, .*None"),
        (lambda i, k, p: viz.mistakes(i, k, p, ["a", "b"], count=0), "count"),
        (lambda i, k, p: viz.neighbours(i[:1], ["a", "b"], [[]], [[]]), "a title an image"),
        (lambda i, k, p: viz.neighbours(None, [], [], []), "no image"),
        (lambda i, k, p: viz.confusion(-np.eye(2), ["a", "b"]), "none negative"),
        (lambda i, k, p: viz.confusion(np.eye(2) * np.nan, ["a", "b"]), "none negative"),
        (lambda i, k, p: viz.confusion(np.zeros((0, 0)), []), "counts"),
        (lambda i, k, p: viz.confusion([[1, 2], [3]], ["a", "b"]), "array of numbers"),
        (lambda i, k, p: viz.filters(None), "array of numbers, got None"),
        (lambda i, k, p: viz.filters(build("fashion")["conv1"].params["weight"]), "a Parameter"),
        (lambda i, k, p: viz.network(Graph), "takes a Graph.*the class Graph"),
        (lambda i, k, p: viz.network("alexnet"), "takes a Graph.*a str"),
    ],
)
def test_what_cannot_be_drawn_is_told(draw, message):
    images, labels = np.zeros((4, 1, 3, 3), np.uint8), np.zeros(4, int)
    with pytest.raises(UserError, match=message):
        draw(images, labels, np.full((4, 2), 0.5))


def test_lists_are_drawn_as_the_arrays_they_make():
    weight = np.random.default_rng(0).random((4, 1, 3, 3))
    shown = [viz.filters(w).axes[0].images[0].get_array() for w in (weight, weight.tolist())]
    np.testing.assert_array_equal(*shown)
    assert viz.confusion(MATRIX.tolist(), ["a", "b", "c"]).axes[0].images[0].get_array()[1, 2] == 50


def test_small_integers_do_not_overflow():
    matrix = np.array([[0, 200], [100, 0]], np.uint8)
    shares = viz.confusion(matrix, ["a", "b"]).axes[0].images[0].get_array()
    np.testing.assert_array_equal(shares.data, [[0, 100], [100, 0]])


def test_an_empty_test_and_one_class():
    images, none = np.zeros((0, 1, 4, 4), np.uint8), np.zeros((0, 3))
    figure = viz.mistakes(images, np.zeros(0, int), none, ["a", "b", "c"])
    assert [told for told, _ in texts(figure)] == ["no mistakes in 0 images"]
    assert "0 of 0" in viz.confusion(np.zeros((3, 3), int), ["a", "b", "c"]).axes[0].get_title()
    assert "5 of 5" in viz.confusion(np.array([[5]]), ["a"]).axes[0].get_title()
