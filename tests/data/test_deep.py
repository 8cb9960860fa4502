"""What a file of more than 8 bits holds becomes 0 … 255, by one level for a whole set."""

import io
import tracemalloc

import numpy as np
import pytest
from deep_files import png16, tiff
from PIL import Image

from minitorch_alexnet.data.deep import Largest, white_level
from minitorch_alexnet.data.photo import examine, measure, read_photo
from minitorch_alexnet.errors import DataError

GREY = np.arange(256, dtype=np.uint16).reshape(16, 16)  # what shall come out
COLOURS = np.stack([GREY, GREY[::-1], GREY.T], axis=-1)
ALIKE = np.stack([np.full_like(GREY, 255), GREY[::-1], GREY.T], axis=-1)  # in one band
INTEGERS = [255, 1023, 4095, 16383, 65535]


def scaled(levels, pixels=GREY):
    """Of 0 … 255, whole numbers from 0 to `levels`."""
    return (pixels * (levels / 255)).round().astype(np.uint16)


def read(tmp_path, content, whites=None):
    path = tmp_path / "photo"
    path.write_bytes(content)
    return np.asarray(read_photo(path, whites or {}))


WRITERS = {
    "png": png16,
    "tiff": tiff,
    "big-endian": lambda pixels: tiff(pixels, ">"),
    "compressed": lambda pixels: tiff(pixels, compressed=True),
    "compressed big-endian": lambda pixels: tiff(pixels, ">", compressed=True),
}


@pytest.mark.parametrize("levels", INTEGERS)
@pytest.mark.parametrize("pixels", [GREY, COLOURS], ids=["grey", "colours"])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_integers_of_16_bits(tmp_path, levels, pixels, write):
    content = write(scaled(levels, pixels))
    np.testing.assert_array_equal(read(tmp_path, content), pixels)


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.int32])
@pytest.mark.parametrize("levels", [255, 4095, 16383])
def test_other_integers(tmp_path, dtype, levels):
    content = tiff(scaled(levels).astype(dtype))
    np.testing.assert_array_equal(read(tmp_path, content), GREY)


@pytest.mark.parametrize("levels", [1, 255, 1023, 65535, 3.7, 1e6, 0.99, 1.02], ids=str)
@pytest.mark.parametrize("order", "<>")
def test_floats(tmp_path, levels, order):
    content = tiff((GREY / 255 * levels).astype(np.float32), order)
    expected = GREY * (0.99 if levels == 0.99 else 1)
    np.testing.assert_allclose(read(tmp_path, content), expected, atol=0.51)


@pytest.mark.parametrize(
    ("found", "white"),
    [
        (("integers", 0), 255),
        (("integers", 9), 255),
        (("integers", 256), 1023),
        (("integers", 1024), 4095),
        (("integers", 65535), 65535),
        (("integers", 65536), 65536),
        (("floats", 0), 1),
        (("floats", 0.2), 1),
        (("floats", 1.001), 1.001),
        (("floats", 63), 63),
        (("floats", 64), 255),
        (("floats", 300), 1023),
        (("floats", 1e30), 1e30),
    ],
    ids=str,
)
def test_levels(found, white):
    assert white_level(Largest(*found)) == white


def test_the_sets_level_counts_and_more_has_its_own(tmp_path):
    dark = scaled(4095) // 16
    expected = np.floor(dark * (255 / 4095) + 0.5)
    np.testing.assert_array_equal(read(tmp_path, png16(dark), {"integers": 4095}), expected)
    np.testing.assert_array_equal(read(tmp_path, png16(dark), {"floats": 4095}), dark)
    more = png16(scaled(65535))
    np.testing.assert_array_equal(read(tmp_path, more, {"integers": 4095}), GREY)


@pytest.mark.parametrize(("maximum", "value"), [(4095, 100), (65535, 1000), (1000, 17)])
def test_a_file_that_says_what_is_white(tmp_path, maximum, value):
    content = b"P5 4 4 %d\n" % maximum + np.full((4, 4), value, ">u2").tobytes()
    expected = round(value / maximum * 255)
    assert (read(tmp_path, content) == expected).all()
    assert (read(tmp_path, content, {"integers": 10**6}) == expected).all()
    assert measure(tmp_path / "photo") is None


@pytest.mark.parametrize("levels", [4095, 65535])
@pytest.mark.parametrize("pixels", [GREY, ALIKE], ids=["grey", "colours"])
def test_a_transparent_value(tmp_path, levels, pixels):
    """What has just this value is clear, and all else is as it was."""
    values = scaled(levels, pixels)
    result = read(tmp_path, png16(values, values[3, 4]))
    alone = np.ones((16, 16), bool)
    alone[3, 4] = False
    expected = np.dstack([*[pixels] * (3 if pixels is GREY else 1), alone * 255])
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("levels", INTEGERS)
@pytest.mark.parametrize("write", [png16, tiff])
def test_alpha_has_a_level_of_its_own(tmp_path, levels, write):
    pixels = np.dstack([scaled(4095, COLOURS), scaled(levels)])
    result = read(tmp_path, write(pixels))
    np.testing.assert_array_equal(result, np.dstack([COLOURS, GREY]))


@pytest.mark.parametrize("levels", INTEGERS)
def test_grey_with_alpha(tmp_path, levels):
    content = png16(np.dstack([scaled(levels), scaled(4095, GREY.T)]))
    np.testing.assert_array_equal(read(tmp_path, content), np.dstack([GREY, GREY, GREY, GREY.T]))
    assert measure(tmp_path / "photo") == Largest("integers", levels)


def test_32_bits_without_a_sign(tmp_path):
    content = tiff((GREY * (2**32 / 256)).astype(np.uint32))
    np.testing.assert_array_equal(read(tmp_path, content), GREY)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_tiff_whose_zero_is_white(tmp_path, dtype):
    content = tiff(GREY.astype(dtype), white_is_zero=True)
    np.testing.assert_array_equal(read(tmp_path, content), 255 - GREY)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("turn", [6, 3])
def test_turned_by_exif(tmp_path, kind, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / "photo"
    Image.fromarray(scaled(4095)[4:]).save(path, kind, exif=exif)
    photo, remarks = examine(path)
    np.testing.assert_array_equal(np.asarray(photo), np.rot90(GREY[4:], {6: -1, 3: 2}[turn]))
    assert remarks[-1] == "turned by its EXIF tag"


def test_a_photo_that_is_longer_once_it_is_turned(tmp_path):
    """Pillow turns a TIFF as it loads it; its largest value stands in the last row then."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((8, 16), np.uint16)
    pixels[-1, -1] = 4095
    Image.fromarray(pixels).save(tmp_path / "photo.tif", exif=exif)
    assert measure(tmp_path / "photo.tif") == ("integers", 4095)


def test_the_order_of_tiles_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.setattr("minitorch_alexnet.data.deep.TILE", 5)
    for pixels in (GREY[:9], COLOURS[:, :9]):
        content = png16(scaled(4095, pixels))
        expected = np.floor(scaled(4095, pixels) * (255 / 4095) + 0.5)
        np.testing.assert_array_equal(read(tmp_path, content, {"integers": 4095}), expected)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, "no numbers or infinite"),
        (np.inf, "no numbers or infinite"),
        (-np.inf, "no numbers or infinite"),
        (-0.25, "negative values"),
        (-1, "negative values"),
    ],
)
@pytest.mark.parametrize("where", [0, 100, 255])
def test_values_that_are_no_brightness(tmp_path, value, words, where):
    pixels = GREY.astype(np.int32 if value == -1 else np.float32)
    pixels.flat[where] = value
    with pytest.raises(DataError, match=f"cannot read .*photo as an image: .*{words}"):
        read(tmp_path, tiff(pixels))
    assert measure(tmp_path / "photo") is None


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (png16(scaled(4095) // 2), ("integers", 2047)),
        (png16(scaled(1023, COLOURS)), ("integers", 1023)),
        (png16(np.dstack([COLOURS, GREY * 257])), ("integers", 255)),
        (tiff(GREY.astype(np.float32)), ("floats", 255)),
        (tiff(GREY.astype(np.uint8)), None),
        (tiff(COLOURS.astype(np.uint8)), None),
        (tiff(GREY)[:-9], None),
        (png16(GREY)[:60], None),
        (b"", None),
        (b"II*\0", None),
    ],
)
def test_measured(tmp_path, content, found):
    """Whatever the file's name says."""
    (tmp_path / "photo.jpg").write_bytes(content)
    assert measure(tmp_path / "photo.jpg") == found


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", "BMP", "GIF"])
def test_8_bits_are_not_decoded_to_be_measured(tmp_path, monkeypatch, kind):
    Image.new("RGB", (9, 9)).save(tmp_path / "photo", kind)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("decoded"))
    assert measure(tmp_path / "photo") is None


def test_few_values_are_held_as_numbers(tmp_path):
    """Beside Pillow's images, of 2 bytes a pixel and of 1."""
    pixels, buffer = np.full((3000, 4000), 4095, np.uint16), io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    (tmp_path / "photo.png").write_bytes(buffer.getvalue())
    tracemalloc.start()
    read_photo(tmp_path / "photo.png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * pixels.size
