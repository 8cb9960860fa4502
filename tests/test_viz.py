"""The figures show the numbers they were given, in the right place, and can be read."""

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.text import Text

from minitorch_alexnet import viz
from minitorch_alexnet.errors import UserError

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


def tile(figure, k, columns, height, width):
    """The shades (height, width, 3) of kernel k: one picture element out of each weight."""
    picture = figure.axes[0].images[0].get_array()
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
    assert f"{number} of {height}×{width}×{channels}; mid-grey is 0" in figure.axes[0].get_title()


@pytest.mark.parametrize(("sign", "shade"), [(1, 1.0), (-1, 0.0)])
def test_the_largest_weight_is_white_or_black_and_zero_is_mid_grey(sign, shade):
    weight = np.zeros((4, 1, 2, 3), np.float32)
    weight[2, 0, 1, 0] = sign * 0.25
    figure = viz.filters(weight)
    expected = np.full((2, 3, 3), 0.5)
    expected[1, 0] = shade
    np.testing.assert_array_equal(tile(figure, 2, 2, 2, 3), expected)
    np.testing.assert_array_equal(tile(figure, 1, 2, 2, 3), 0.5)
    assert "−0.25 … +0.25" in figure.axes[0].get_title()


def test_filters_all_zero():
    np.testing.assert_array_equal(tile(viz.filters(np.zeros((1, 3, 2, 2))), 0, 1, 2, 2), 0.5)


@pytest.mark.parametrize("shape", [(8, 2, 3, 3), (8, 27), (0, 1, 3, 3)])
def test_filters_refuse_what_is_no_picture(shape):
    with pytest.raises(ValueError, match="kernels"):
        viz.filters(np.ones(shape))


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
    with pytest.raises(ValueError, match="counts"):
        viz.confusion(MATRIX, ["a", "b"])


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


@pytest.mark.parametrize(
    "make",
    [
        lambda: viz.curves(make_history([1, 2, 3])),
        lambda: viz.filters(np.random.default_rng(4).normal(size=(6, 3, 3, 3))),
        lambda: viz.confusion(MATRIX, ["a", "b", "c"]),
        lambda: viz.mistakes(*make_answers(), LONG, 4),
    ],
    ids=["curves", "filters", "confusion", "mistakes"],
)
def test_a_saved_figure_is_not_blank(make, tmp_path):
    make().savefig(tmp_path / "figure.png", dpi=50)
    pixels = imread(tmp_path / "figure.png")[..., :3]
    assert (pixels.mean(axis=2) < 0.6).mean() > 0.002
    assert len(np.unique(pixels)) > 20


def test_pyplot_stays_out():
    code = "import sys, minitorch_alexnet.viz; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
