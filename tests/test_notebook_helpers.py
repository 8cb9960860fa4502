"""What the notebooks share: figures come with their words, a check can fail."""

import base64
import io

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib import pyplot
from PIL import Image

from minitorch_alexnet import notebook
from minitorch_alexnet.layers import ReLU, Tanh, activation
from minitorch_alexnet.notebook import agree, animate, show, source


@pytest.fixture
def shown(monkeypatch):
    """Calls a function and returns what the one thing that it displays is in a notebook."""

    def displayed(function, *arguments):
        things = []
        monkeypatch.setattr(notebook, "display", things.append)
        function(*arguments)
        (thing,) = things
        return DisplayFormatter().format(thing)

    return displayed


@pytest.fixture
def picture(shown):
    """The same for a PNG: (image, its alt text)."""

    def displayed(function, *arguments):
        data, metadata = shown(function, *arguments)
        image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
        assert image.format == "PNG"
        return image, metadata["image/png"]["alt"]

    return displayed


@pytest.fixture
def figure():
    yield pyplot.figure(figsize=(2, 1), dpi=100)
    pyplot.close("all")


# ---- agree ---------------------------------------------------------------------------------------


def test_what_agrees_is_printed(capsys):
    agree("dx", np.array([1.0, 2.0]), [1.0, 2.0 + 1e-13])
    assert capsys.readouterr().out.split() == ["dx", "largest", "difference", "5.0e-14"]


def test_the_difference_is_relative_to_the_largest_number_wanted():
    agree("large", [1e6, 1.0], [1e6, 1.1], tolerance=1e-6)
    with pytest.raises(AssertionError, match=r"small: they differ by 1\.0e-01"):
        agree("small", [1.1, 0.5], [1.0, 0.5], tolerance=1e-6)
    with pytest.raises(AssertionError, match="below"):
        agree("below", [-1.0, 0.5], [-1.0, 1.5])
    agree("of nothing", [0.0], [0.0])
    with pytest.raises(AssertionError, match="of nothing"):
        agree("of nothing", [1e-3], [0.0])


@pytest.mark.parametrize("got", [[np.nan, 1.0], [np.inf, 1.0]])
@pytest.mark.parametrize("tolerance", [1e-12, 1e12])
def test_what_is_no_number_does_not_agree(got, tolerance):
    with pytest.raises(AssertionError, match="x: they differ by"):
        agree("x", got, [1.0, 1.0], tolerance)


def test_one_nan_is_not_another():
    with pytest.raises(AssertionError, match="x: they differ by nan"):
        agree("x", [np.nan], [np.nan])


def test_shapes_that_would_broadcast_do_not_agree():
    with pytest.raises(AssertionError, match=r"y: shape \(2, 1\), expected \(2,\)"):
        agree("y", np.ones((2, 1)), np.ones(2))


# ---- show ----------------------------------------------------------------------------------------


def test_a_figure_is_shown_once_with_its_words(figure, picture):
    image, alt = picture(show, figure, "a line that rises to 3")
    assert image.size == (200, 100)
    assert alt == "a line that rises to 3"
    assert not pyplot.fignum_exists(figure.number)  # or the cell's end would show it again


# ---- animate -------------------------------------------------------------------------------------

COLOURS = [(255, 0, 0), (0, 128, 0), (0, 0, 255), (200, 100, 50)]


def fill(figure, colour):
    figure.add_axes((0, 0, 1, 1)).imshow(np.array(colour, np.uint8)[None, None], aspect="auto")


def test_each_frame_is_drawn_alone_and_in_its_colours(figure, picture):
    image, alt = picture(animate, figure, lambda c: fill(figure, c), COLOURS, "four colours", 0.1)
    assert alt == "four colours"
    assert image.n_frames == 4
    assert image.info["loop"] == 0  # for ever
    for number, colour in enumerate(COLOURS):
        image.seek(number)
        assert image.info["duration"] == (2000 if number == 3 else 100)
        assert image.convert("RGB").getpixel((100, 50)) == colour
        assert len(figure.axes) == 1
    assert not pyplot.fignum_exists(figure.number)


def test_an_animation_of_one_frame_is_a_picture(figure, picture):
    image, _ = picture(animate, figure, lambda c: fill(figure, c), COLOURS[:1], "red")
    assert image.size == (200, 100)
    assert image.convert("RGB").getpixel((100, 50)) == (255, 0, 0)


def test_an_animation_beyond_a_megabyte_is_refused(figure):
    rng = np.random.default_rng(0)
    figure.set_size_inches(5, 5)

    def noise(_):
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(rng.integers(0, 256, (500, 500, 3), np.uint8), interpolation="nearest")

    with pytest.raises(ValueError, match=r"an animation of [\d,]+ bytes: fewer frames"):
        animate(figure, noise, range(6), "noise")
    assert notebook.MOST_BYTES == 1_000_000


# ---- source --------------------------------------------------------------------------------------


def test_source_shows_the_code_as_it_stands(shown):
    data, _ = shown(source, ReLU.forward, Tanh)
    before, code = data["text/markdown"].split("```python\n")
    assert before == ""
    assert code.startswith("def forward(self, x, train=True):\n    ")  # as far left as it goes
    assert code.endswith("\n```")
    names = {}
    exec(code.removesuffix("```"), dict(vars(activation)), names)
    assert list(names) == ["forward", "Tanh"]
    x = np.array([-1.0, 2.0])
    assert names["forward"](ReLU(), x)[0].tolist() == [0, 2]
