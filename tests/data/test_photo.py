"""Any image file becomes a picture like Fashion-MNIST's, or DataError says why not."""

import io
import os
import pickle
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from deep_files import tiff
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from minitorch_alexnet.data import silhouettes
from minitorch_alexnet.data.photo import (
    MAX_BYTES,
    RESIZED,
    ReadError,
    as_garment,
    as_photo,
    examine,
    formats,
    measure,
    read_photo,
)
from minitorch_alexnet.errors import DataError

ORIENTATION = 0x0112


def picture(border=0, inside=200, size=(28, 28)):
    """An L of one tone on another, greyscale."""
    width, height = size
    pixels = np.full((height, width), border, np.uint8)
    pixels[height // 7 : -height // 7, width // 7 : width // 3] = inside
    pixels[-height // 3 : -height // 7, width // 7 : -width // 4] = inside
    return pixels


def garment(photo, tmp_path, suffix="png", **options):
    """What becomes of a photo that is kept in a file."""
    path = tmp_path / f"photo.{suffix}"
    photo.save(path, **options)
    return as_garment(read_photo(path))


# ---- what a picture becomes ------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif"])
def test_a_picture_in_fashion_mnists_form_comes_back_unchanged(tmp_path, suffix):
    for image in silhouettes.load("test", count=20).images:
        result = garment(Image.fromarray(image[0]), tmp_path, suffix)
        np.testing.assert_array_equal(result, image)
        assert (result.shape, result.dtype) == ((1, 28, 28), np.uint8)


def opaque(pixels, mode):
    return Image.fromarray(pixels).convert(mode)


KINDS = {
    "greyscale": lambda p: Image.fromarray(p),
    "RGB": lambda p: opaque(p, "RGB"),
    "palette": lambda p: opaque(p, "P"),
    "opaque RGBA": lambda p: opaque(p, "RGBA"),
    "opaque LA": lambda p: opaque(p, "LA"),
    "16 bits": lambda p: Image.fromarray(p.astype(np.uint16) * 257),
    "32 bits": lambda p: Image.fromarray(p.astype(np.int32) * 257),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_kinds_that_hold_grey_exactly(tmp_path, make):
    pixels = picture(30, 200)
    np.testing.assert_array_equal(garment(make(pixels), tmp_path, "tif")[0], pixels)
    if make is not KINDS["32 bits"]:
        np.testing.assert_array_equal(garment(make(pixels), tmp_path, "png")[0], pixels)


def test_one_bit(tmp_path):
    pixels = picture(0, 255)
    np.testing.assert_array_equal(garment(Image.fromarray(pixels > 0), tmp_path)[0], pixels)


@pytest.mark.parametrize(
    ("mode", "suffix", "error"), [("CMYK", "tif", 2), ("CMYK", "jpg", 40), ("L", "jpg", 40)]
)
def test_kinds_that_hold_grey_roughly(tmp_path, mode, suffix, error):
    pixels = picture(30, 200)
    result = garment(opaque(pixels, mode), tmp_path, suffix)[0]
    np.testing.assert_allclose(result.astype(int), pixels, atol=error)


def test_colours_become_grey(tmp_path):
    colours = np.zeros((28, 28, 3), np.uint8)
    colours[8:20, 8:20] = (200, 100, 50)
    result = garment(Image.fromarray(colours), tmp_path)[0]
    assert result[10, 10] == pytest.approx(0.299 * 200 + 0.587 * 100 + 0.114 * 50, abs=1)


def transparent(mode):
    """A dark garment on nothing, the nothing painted black as many programs leave it."""
    alpha = picture(0, 255)
    if mode == "P":
        photo = Image.fromarray((alpha > 0).astype(np.uint8)).convert("P")
        photo.putpalette([0, 0, 0, 40, 40, 40])
        return photo, {"transparency": 0}
    bands = [picture(0, 40)] * (len(mode) - 1) + [alpha]
    return Image.merge(mode, [Image.fromarray(band) for band in bands]), {}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_is_background(tmp_path, mode):
    photo, options = transparent(mode)
    np.testing.assert_array_equal(garment(photo, tmp_path, **options)[0], picture(0, 255 - 40))


@pytest.mark.parametrize(
    ("border", "inside", "inverted"),
    [
        (255, 40, True),
        (200, 50, True),
        (128, 0, True),
        (127, 255, False),
        (0, 200, False),
        (100, 20, False),
    ],
)
def test_a_bright_border_means_inverted(border, inside, inverted):
    pixels = picture(border, inside)
    expected = 255 - pixels if inverted else pixels
    np.testing.assert_array_equal(as_garment(Image.fromarray(pixels))[0], expected)


def test_the_borders_median_decides_not_its_mean_or_the_inside():
    pixels = np.full((28, 28), 250, np.uint8)
    pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1] = 0, 0, 0, 0
    np.testing.assert_array_equal(as_garment(Image.fromarray(pixels))[0], pixels)
    pixels[:, -1] = pixels[0] = 0
    pixels[20:, -1] = 255  # a bright corner on a dark border
    np.testing.assert_array_equal(as_garment(Image.fromarray(pixels))[0], pixels)


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((56, 28), slice(7, 21), slice(0, 28)),
        ((28, 56), slice(0, 28), slice(7, 21)),
        ((280, 80), slice(10, 18), slice(0, 28)),
        ((14, 7), slice(7, 21), slice(0, 28)),
        ((3, 3), slice(0, 28), slice(0, 28)),
    ],
    ids=str,
)
def test_keeps_proportions_and_is_centred_on_black(size, rows, columns):
    expected = np.zeros((28, 28), np.uint8)
    expected[rows, columns] = 100
    np.testing.assert_array_equal(as_garment(Image.new("L", size, 100))[0], expected)


@pytest.mark.parametrize("size", [14, 32])
def test_other_sizes(size):
    assert as_garment(Image.fromarray(picture()), size).shape == (1, size, size)
    result = as_garment(Image.fromarray(picture(0, 200, (4 * size, 4 * size))), size)[0]
    expected = picture(0, 200, (4 * size, 4 * size)).reshape(size, 4, size, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(result, expected, atol=40)  # Lanczos overshoots at edges


@pytest.mark.parametrize(("tone", "result"), [(0, 0), (90, 90), (200, 55), (255, 0)])
def test_one_pixel(tmp_path, tone, result):
    photo = garment(Image.new("L", (1, 1), tone), tmp_path)
    np.testing.assert_array_equal(photo, np.full((1, 28, 28), result))


@pytest.mark.parametrize("size", [(2000, 3), (3, 2000), (100, 2)])
def test_a_sliver_stays_in_sight(tmp_path, size):
    result = garment(Image.new("L", size, 100), tmp_path)[0]
    if size[1] > size[0]:
        result = result.T
    assert result.shape == (28, 28)
    assert result[13:15].max() == 100  # a row in the middle, not none
    assert result[:13].max() == result[15:].max() == 0


def test_larger_numbers_than_16_bits_are_white_not_dark():
    pixels = np.zeros((28, 28), np.int32)
    pixels[8:20, 8:20] = 100_000
    assert as_garment(Image.fromarray(pixels))[0, 14, 14] == 255


# ---- the paper's way -------------------------------------------------------------------------


def lanczos(length, start, side, size):
    """(size, length): Lanczos-3 weights that make `side` pixels from `start` on into `size`."""
    scale = side / size
    centres = start + (np.arange(size) + 0.5) * scale
    distance = (np.arange(length) + 0.5 - centres[:, None]) / max(scale, 1)
    weights = np.where(abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("height", "width"),
    [(40, 40), (40, 61), (95, 40), (16, 16), (16, 23), (9, 7), (3, 2), (1, 1), (1, 5000)],
)
def test_the_central_square_is_scaled(height, width):
    pixels, side, size = noise(height, width, 3), min(height, width), 16
    rows = lanczos(height, (height - side) // 2, side, size)
    columns = lanczos(width, (width - side) // 2, side, size)
    across = np.einsum("jw,hwc->chj", columns, pixels).clip(0, 255)
    expected = (rows @ across).clip(0, 255)
    result = as_photo(Image.fromarray(pixels), size)
    assert (result.shape, result.dtype) == ((3, size, size), np.uint8)
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, expected, atol=2)  # Pillow rounds after each axis


def test_pixels_stay_as_they_are_where_the_shorter_side_fits():
    pixels = noise(256, 301, 3)
    expected = pixels[:, 22:278].transpose(2, 0, 1)
    np.testing.assert_array_equal(as_photo(Image.fromarray(pixels)), expected)


@pytest.mark.parametrize("shape", [(300, 457), (611, 402), (256, 301), (90, 131), (300, 300)])
def test_bilinear_as_torchvision_does_it(shape):
    """Resize(256), then CenterCrop(224), of which its documentation tells."""
    photo = Image.fromarray(noise(*shape, 3))
    width, height = photo.size
    short = min(photo.size)
    scaled = photo.resize(
        (int(256 * width / short), int(256 * height / short)), Image.Resampling.BILINEAR
    )
    left, top = round((scaled.width - 224) / 2), round((scaled.height - 224) / 2)
    expected = np.asarray(scaled)[top : top + 224, left : left + 224].transpose(2, 0, 1)
    result = as_photo(photo, 256, "bilinear")[:, 16:240, 16:240].astype(int)
    assert np.abs(result - expected).max() <= 1


def test_warped_the_whole_photograph_is_there():
    photo = Image.fromarray(noise(200, 300, 3))
    expected = np.asarray(photo.resize((64, 64), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    np.testing.assert_array_equal(as_photo(photo, 64, "warped"), expected)


@pytest.mark.parametrize("resized", RESIZED)
def test_a_sliver_does_not_grow_huge(resized):
    """Scaled as a whole, this one would be 256 × 51,200,000."""
    result = as_photo(Image.new("RGB", (1, 200_000), (9, 8, 7)), 256, resized)
    assert (result == np.array([9, 8, 7])[:, None, None]).all()


def test_greyscale_becomes_three_equal_channels():
    np.testing.assert_array_equal(as_photo(Image.fromarray(picture()), 28), [picture()] * 3)


def test_transparent_is_white_paper():
    colour, alpha = np.array([30, 60, 90]), np.array([0, 128, 255])
    pixels = np.empty((3, 3, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = colour, alpha
    expected = 255 + (colour[:, None] - 255) * alpha / 255
    result = as_photo(Image.fromarray(pixels), 3)
    np.testing.assert_allclose(result, np.stack([expected] * 3, axis=1), atol=1)


# ---- upright ---------------------------------------------------------------------------------

TURNS = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = picture(0, 200, (28, 14))
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    upright = np.asarray(read_photo(tmp_path / "photo.png"))
    np.testing.assert_array_equal(upright, TURNS[orientation](pixels))


@pytest.mark.parametrize(
    ("tag", "kind", "count"),
    [(0x010E, 5, 1), (0x010E, 11, 1), (0x011A, 1, 1), (0x011A, 2, 1), (0x0100, 1, 1)],
)
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_with_a_tag_of_the_wrong_type(tmp_path, suffix, tag, kind, count):
    """Such a photo is upright too, or refused."""
    entries = [(ORIENTATION, 3, 1, 6), (tag, kind, count, 0)]
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", 2)
    tiff += b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries)) + bytes(4)
    path = tmp_path / f"photo.{suffix}"
    Image.new("L", (20, 10)).save(path, exif=b"Exif\0\0" + tiff)
    try:
        assert read_photo(path).size == (10, 20)
    except DataError as error:
        assert f"cannot read {path} as an image" in str(error)  # noqa: PT017 (either will do)


# ---- what there is to say of a file ------------------------------------------------------------


def turned(stored=6):
    exif = Image.Exif()
    exif[ORIENTATION] = stored
    return {"exif": exif}


RGB = noise(6, 6, 3)
REMARKS = {
    "plain.png": (RGB, "RGB", {}, []),
    "plain.jpg": (RGB, "RGB", {}, []),
    "bits.png": (RGB, "1", {}, ["converted from 1 bit"]),
    "grey.jpg": (RGB, "L", {}, ["converted from greyscale"]),
    "palette.png": (RGB, "P", {}, ["converted from palette"]),
    "print.jpg": (RGB, "CMYK", {}, ["converted from CMYK"]),
    "float.tif": (RGB, "F", {}, ["converted from floating point with 255 as white"]),
    "16.png": (
        RGB[..., 0].astype(np.uint16),
        None,
        {},
        ["converted from 16 bit with 255 as white"],
    ),
    "opaque.png": (RGB, "RGBA", {}, []),
    "clear.png": (np.dstack([RGB, RGB[..., 0]]), None, {}, ["transparency laid on white"]),
    "glass.png": (
        RGB[..., 0],
        "P",
        {"transparency": int(RGB[0, 0, 0]), **turned()},
        ["converted from palette", "transparency laid on white", "turned by its EXIF tag"],
    ),
    "turned.jpg": (RGB, "RGB", turned(8), ["turned by its EXIF tag"]),
    "turned.tif": (RGB, "RGB", turned(2), ["turned by its EXIF tag"]),
    "upright.jpg": (RGB, "RGB", turned(1), []),
    "odd.jpg": (RGB, "RGB", turned(9), []),
}


@pytest.mark.parametrize("name", REMARKS)
def test_remarks(tmp_path, name):
    pixels, mode, options, remarks = REMARKS[name]
    photo = Image.fromarray(pixels)
    (photo.convert(mode) if mode else photo).save(tmp_path / name, **options)
    image, said = examine(tmp_path / name)
    assert said == remarks
    assert image == read_photo(tmp_path / name)


# ---- refused ---------------------------------------------------------------------------------


def refusal(path):
    with pytest.raises(DataError) as error:
        read_photo(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "webp", "bmp"])
def test_a_truncated_file(tmp_path, suffix):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    Image.fromarray(noise).save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix))
    path = tmp_path / f"photo.{suffix}"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    assert "cannot read" in refusal(path)


@pytest.mark.parametrize(
    "content", [b"", b"not a picture\n", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]
)
def test_a_file_that_is_no_image(tmp_path, content):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    assert "cannot read" in refusal(path)


def test_missing_and_folder(tmp_path):
    assert refusal(tmp_path / "photo.jpg") == f"there is no image {tmp_path / 'photo.jpg'}"
    assert "cannot read" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("side", "message"),
    [
        ((30_000, 30_000), "photo.png has more than 100,000,000 pixels; make it smaller"),
        ((11_000, 10_000), "photo.png has more than 100,000,000 pixels; make it smaller"),
        ((1_000_000, 101), "photo.png has more than 100,000,000 pixels; make it smaller"),
    ],
    ids=str,
)
def test_a_huge_image_is_refused_before_it_takes_memory(tmp_path, monkeypatch, side, message):
    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", *side, 1, 0, 0, 0, 0)  # 1 bit a pixel
    rows = zlib.compress(bytes((side[0] // 8 + 1) * 100))
    path = tmp_path / "photo.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    assert message in refusal(path)


@pytest.mark.parametrize("name", ["photo.eps", "photo.png", "photo.jpg"])
def test_no_file_starts_a_program(tmp_path, monkeypatch, name):
    """PostScript, under whatever name, is for Ghostscript to run: here a stand-in for it."""
    for program in ("gs", "gswin32c", "gswin64c"):
        (tmp_path / program).write_text(f"#!/bin/sh\ntouch {tmp_path}/it-was-run\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / name).write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    assert "cannot read" in refusal(tmp_path / name)
    assert not (tmp_path / "it-was-run").exists()


def test_formats_are_pictures_and_here():
    assert {"JPEG", "PNG", "TIFF", "WEBP", "PPM"} <= set(formats()) <= set(Image.OPEN)
    assert not {"EPS", "WMF", "FPX", "MPEG", "HDF5", "GRIB", "BUFR"} & set(formats())


@pytest.mark.parametrize("name", ["photo.png", "photo", "photo.eps", "photo.txt"])
def test_a_file_is_what_it_holds_not_what_its_name_says(tmp_path, name):
    Image.fromarray(picture()).save(tmp_path / name, "GIF")
    np.testing.assert_array_equal(as_garment(read_photo(tmp_path / name))[0], picture())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC .* pip install pillow-heif"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL, .* pip install pillow-jxl-plugin"),
        (b"\xff\x0a" + bytes(40), "JPEG XL, .* pip install pillow-jxl-plugin"),
        (tiff(np.ones((2, 2))), "such a TIFF: save it as grey or RGB of 8"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "it is a video"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS, .*: git lfs pull"),
        (b"<!DOCTYPE html>\n<title>404", "it is a web page"),
        (b"<svg/>", "none of the kinds of images that are read here"),
    ],
)
def test_what_is_not_read_is_told_the_same_each_time(tmp_path, content, words):
    (tmp_path / "photo").write_bytes(content)
    assert re.search(words, message := refusal(tmp_path / "photo"))
    assert refusal(tmp_path / "photo") == message


def test_pillow_does_not_speak_to_the_screen(tmp_path):
    (tmp_path / "photo.tif").write_bytes(tiff(np.ones((2, 2, 13), np.uint16)))
    code = "import sys; from minitorch_alexnet.data.photo import measure; measure(sys.argv[1])"
    command = [sys.executable, "-c", code, tmp_path / "photo.tif"]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "it is not a regular file" in refusal(tmp_path / "pipe.png")


def test_a_file_larger_than_any_picture(tmp_path):
    with open(tmp_path / "photo.tif", "wb") as file:
        file.truncate(MAX_BYTES + 1)  # takes no room
    assert "more than 1,600,000,000 bytes" in refusal(tmp_path / "photo.tif")
    assert measure(tmp_path / "photo.tif") is None


@pytest.mark.parametrize("text", [b"x" * 10**8, b"x" * 10**6], ids=["one", "many"])
def test_texts_in_a_png_that_grow_huge(tmp_path, text):
    chunks = PngInfo()
    for number in range(10**8 // len(text)):
        chunks.add_text(f"k{number}", text, zip=True)
    Image.new("L", (2, 2)).save(tmp_path / "photo.png", pnginfo=chunks)
    assert "cannot read" in refusal(tmp_path / "photo.png")


FAILURES = [
    *map(OSError, [5, 12, 13, 23, 24, 110, 116], ["EIO and its kin"] * 7),
    MemoryError(),
]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
@pytest.mark.parametrize("function", ["builtins.open", "os.stat", "PIL.ImageFile.ImageFile.load"])
def test_a_systems_failure_is_not_the_files(tmp_path, monkeypatch, error, function):
    """Nor does the message say that it is no image."""
    path = tmp_path / "photo.png"
    Image.fromarray(picture()).save(path)

    def fail(*arguments, **options):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(function, fail)
        with pytest.raises(ReadError) as refused:
            examine(path)
    reason = "too little memory" if isinstance(error, MemoryError) else "EIO and its kin"
    assert str(path) in str(refused.value)
    assert reason in str(refused.value)
    assert "as an image" not in str(refused.value)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)
    examine(path)


def test_a_files_fault_is_not_the_systems(tmp_path):
    """Pillow, too, raises OSError, without a number."""
    path = tmp_path / "photo.jpg"
    Image.fromarray(noise(90, 90, 3)).save(path)
    for content in (b"no image", path.read_bytes()[:2000]):
        path.write_bytes(content)
        with pytest.raises(DataError) as refused:
            examine(path)
        assert not isinstance(refused.value, ReadError)


def test_random_damage_is_refused_or_read(tmp_path):
    """Nothing but DataError, on damage anywhere in files of several kinds."""
    rng, wrong = np.random.default_rng(0), []
    photo = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        buffer = io.BytesIO()
        photo.save(buffer, kind)
        good = np.frombuffer(buffer.getvalue(), np.uint8)
        for i in range(60):
            content = good.copy()
            where = rng.integers(0, len(good) if i % 2 else 100, 3)
            content[where] = rng.integers(0, 256, 3)
            path = tmp_path / f"{kind}{i}"
            path.write_bytes(content.tobytes())
            try:
                assert as_garment(read_photo(path)).shape == (1, 28, 28)
            except DataError as error:
                if str(path) not in str(error) or "\n" in str(error):
                    wrong.append((path.name, str(error)))
            except Exception as error:
                wrong.append((path.name, repr(error)))
    assert wrong == []
