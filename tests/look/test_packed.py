"""What a page carries, unpacked by other means."""

import base64
import io
import struct

import numpy as np
import pytest
from PIL import Image

from minitorch_alexnet.look.packed import EXACT, exact, float32, packed, picture


def unpacked(told, shape):
    """The numbers of `packed`, and what each can be wrong by: (C, …) both."""
    if "floats" in told:
        content = base64.b64decode(told["floats"])
        values = np.array(struct.unpack(f"<{len(content) // 4}f", content))
        return values.reshape(shape), np.zeros(shape)
    content = np.array(list(base64.b64decode(told["bytes"]))).reshape(shape)
    each = (-1,) + (1,) * (len(shape) - 1)
    low, step = (np.array(told[name]).reshape(each) for name in ("low", "step"))
    return (low + step * (content - 0.5) * (content > 0)).astype(np.float32), step / 2 * (
        content > 0
    )


def test_few_numbers_are_exact():
    maps = np.random.default_rng(0).standard_normal((4, 25, 100), np.float32)
    assert maps.size == EXACT
    values, _ = unpacked(packed(maps), maps.shape)
    np.testing.assert_array_equal(values, maps)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_of_many_each_is_within_half_a_level(scale):
    rng = np.random.default_rng(1)
    maps = scale * rng.standard_normal((5, 40, 60), np.float32)
    maps[1] *= 1000  # another map's values are its own affair
    maps[2] = maps[2].clip(0)
    maps[3] = 7 * scale
    values, bound = unpacked(packed(maps), maps.shape)
    assert (np.abs(values - maps) <= bound * (1 + 1e-4)).all()
    reach = maps.max(axis=(1, 2)) - maps.min(axis=(1, 2))
    np.testing.assert_allclose(bound.max(axis=(1, 2)), reach / 510, rtol=1e-6)
    np.testing.assert_array_equal(
        (values == maps) & (bound == 0), maps == maps.min((1, 2), keepdims=True)
    )
    np.testing.assert_array_equal(values[3], maps[3])


def test_floats_are_told_in_full():
    values = np.random.default_rng(2).standard_normal(500, np.float32)
    assert [np.float32(float32(value)) for value in values] == list(values)
    assert base64.b64decode(exact(values[:3])) == struct.pack("<3f", *values[:3])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_comes_back(channels):
    pixels = np.random.default_rng(3).integers(0, 256, (channels, 9, 13), dtype=np.uint8)
    head, content = picture(pixels).split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        array = np.asarray(image)
    np.testing.assert_array_equal(
        array if channels == 1 else array.transpose(2, 0, 1), pixels.squeeze()
    )
