"""Pixels on one scale are told from those on another; dark, bright and sharpened ones are not."""

import numpy as np
import pytest

from minitorch_alexnet.data.span import BYTES, Span
from minitorch_alexnet.errors import DataError

SHADES = np.random.default_rng(0).integers(0, 256, (9, 1, 8, 8), np.uint8)
SHADES[0, 0, 0, :2] = 0, 255
SCALES = {
    "uint8": lambda x: x.astype(np.uint8),
    "bytes": lambda x: x.astype(np.float32),
    "unit": lambda x: x / 255,
    "signed": lambda x: x / 127.5 - 1,
    "mnist": lambda x: (x / 255 - 0.1307) / 0.3081,
    "imagenet": lambda x: (x / 255 - 0.45) / 0.225,
    "centred": lambda x: x - 120.0,
    "12 bits": lambda x: x * 16.0,
    "divided twice": lambda x: x / 255**2,
}
SAME = {("uint8", "bytes"), ("bytes", "uint8")}
# Both are about 0, and from -1 to 1 both may lie: it cannot be told.
UNKNOWN = {("imagenet", "signed"), ("imagenet", "mnist"), ("mnist", "signed")}


def span(scale, shades=SHADES):
    return Span.of(SCALES[scale](shades))


@pytest.mark.parametrize(
    ("mine", "theirs"), [(a, b) for a in SCALES for b in SCALES if (a, b) not in UNKNOWN]
)
def test_scales_are_told_apart(mine, theirs):
    assert span(mine).takes(span(theirs)) == (mine == theirs or (mine, theirs) in SAME)


DARK, BRIGHT = SHADES // 8, 255 - SHADES // 8
OTHERS = {"dark": DARK, "bright": BRIGHT, "one colour": np.full((1, 1, 8, 8), 200, np.uint8)}


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("shades", [*OTHERS.values(), BRIGHT * 0 + 255], ids=[*OTHERS, "white"])
def test_dark_and_bright_images_are_on_the_scale(name, shades):
    assert span(name).takes(span(name, shades))


@pytest.mark.parametrize("name", ["uint8", "bytes", "unit"])
def test_black_is_black_on_every_scale_and_uint8_says_its_own(name):
    assert span(name).takes(span(name, SHADES * 0))
    assert span("uint8").takes(span("uint8", SHADES // 200))


@pytest.mark.parametrize("name", ["bytes", "unit", "signed", "mnist"])
def test_a_scale_is_left_a_little_by_sharpening(name):
    x = SCALES[name](SHADES.astype(float))
    wider = x + 0.3 * (x - x.mean())
    for mine, theirs in (x, wider), (wider, x):
        assert Span.of(mine).takes(Span.of(theirs))


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [(a, b) for a in ("uint8", "unit", "signed") for b in ("uint8", "bytes", "unit", "signed")],
)
def test_the_way_out_leads_there(mine, theirs):
    images = SCALES[theirs](SHADES)
    if not span(mine).takes(span(theirs)):
        made = eval(span(mine).way_from(span(theirs)), {"images": images})
        np.testing.assert_allclose(made, SCALES[mine](SHADES), atol=1e-4)
        assert span(mine).takes(Span.of(made))


def test_of_an_unusual_scale_below_0_no_factor_is_known():
    assert Span(-0.5, 0.5).way_from(BYTES) == "prepare them as the training images were"
    assert "before any standardising" in BYTES.way_from(Span(-0.5, 0.5))


def test_dark_floats_may_come_as_uint8():
    assert "as uint8" in BYTES.way_from(Span(0, 4))
    assert "standardising" in BYTES.way_from(Span(-2, 2.6))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_of_the_values_of_all_blocks(dtype, monkeypatch):
    monkeypatch.setattr("minitorch_alexnet.data.span.BLOCK", 20)
    x = np.random.default_rng(1).normal(size=(23, 1, 3, 4)).astype(dtype)
    assert Span.of(x) == (x.min(), x.max())
    for bad in np.nan, np.inf, -np.inf:
        for place in 0, 22:
            spoilt = x.copy()
            spoilt[place, 0, 2, 3] = bad
            with pytest.raises(DataError, match="nan or inf"):
                Span.of(spoilt)


def test_uint8_is_not_read():
    assert Span.of(np.full((3, 1, 2, 2), 7, np.uint8)) == (0, 255)
