"""Any folder of photographs becomes shards, whatever some of them are and however often stopped."""

import csv
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from minitorch_alexnet.data import image_folder, processes
from minitorch_alexnet.data import prepare as module
from minitorch_alexnet.data.prepare import Summary, is_begun, statistics
from minitorch_alexnet.data.scan import list_files
from minitorch_alexnet.errors import DataError, UserError
from minitorch_alexnet.files import Lock

SIZE = 8


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """These tests lose processes, never the power."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


PETS = ("train/cat/a.png", "train/dog/a.png", "val/cat/a.png")


def prepare(source, out, size=SIZE, processes=1, **options):
    return module.prepare(source, out, size, processes, **options)


def folder(root, tones):
    """Images at these paths below `root`, one tone each; text where there is none."""
    for path, tone in tones.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if tone is None:
            (root / path).write_text("no image")
        else:
            Image.new("RGB", (SIZE, SIZE), (tone,) * 3).save(root / path)
    return root


def tones(split):
    """[(class, tone)] of a split of images of one tone."""
    pixels = split.images[:].reshape(len(split), -1)
    assert (pixels == pixels[:, :1]).all()
    return [
        (split.class_names[label], tone)
        for label, tone in zip(split.labels, pixels[:, 0].tolist(), strict=True)
    ]


def rows(out):
    """The report: {file: (split, used, what)}, but for the shades that are few here."""
    with open(out / "report.csv", encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["split", "file", "used", "what"]
    assert rows == sorted(rows)
    assert len({row[1] for row in rows}) == len(rows)
    told = {path: (split, used, few_shades(what)) for split, path, used, what in rows}
    return {path: row for path, row in told.items() if row[2]}


def few_shades(what):
    return what.removesuffix("almost no shades").removesuffix(", ")


def contents(out):
    """Without the hidden files: the lock, and the parts that a killed process leaves."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name[0] != "."}


# ---- from a folder to splits -----------------------------------------------------------------


def test_train_and_val(tmp_path):
    source = folder(
        tmp_path / "in",
        {
            "train/dog/b.png": 2,
            "train/dog/a.PNG": 1,
            "train/dog/deep/er/c.png": 3,
            "train/cat/x.png": 4,
            "train/eel/y.png": 5,
            "val/eel/z.png": 7,
            "val/dog/z.png": 6,
        },
    )
    summary = prepare(source, tmp_path / "out")
    train, val = image_folder.load(tmp_path / "out")
    assert train.class_names == val.class_names == ("cat", "dog", "eel")
    assert tones(train) == [("cat", 4), ("dog", 1), ("dog", 2), ("dog", 3), ("eel", 5)]
    assert tones(val) == [("dog", 6), ("eel", 7)]
    report = tmp_path / "out" / "report.csv"
    notes = (summary.notes[0], "1 of 3 classes have no validation image: cat.")
    assert "also those in dog/deep: if" in summary.notes[0]
    assert summary == Summary(5, 2, 0, 0, report, ("cat", "dog", "eel"), notes, (), 7, {})
    assert rows(tmp_path / "out") == {}
    facts = json.loads((tmp_path / "out" / "prepared.json").read_text())
    assert len(facts.pop("files")) == 64  # the listing's SHA-256
    assert facts == {
        "format": 1,
        "size": SIZE,
        "train": {"images": 5, "shards": 1},
        "val": {"images": 2, "shards": 1},
        "unusable": 0,
        "aside": 0,
        "whites": {},
        "class_names": ["cat", "dog", "eel"],
    }


def test_an_unknown_layout_is_refused_before_any_work(tmp_path):
    with pytest.raises(DataError, match="holds no folder with image files"):
        prepare(folder(tmp_path / "in", {"a.png": 1}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [0, -1, 10**9, 10**30, 2.5, 8.0, True, "8", float("nan")])
@pytest.mark.parametrize("name", ["size", "processes"])
def test_settings_that_make_no_sense(tmp_path, name, value):
    source = folder(tmp_path / "in", {"train/cat/a.png": 1})
    with pytest.raises(UserError, match=rf"{name} must be a whole number from 1 to .*, got"):
        prepare(source, tmp_path / "out", **{name: value})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("below", ["", "train", "train/cat", "val/x", "new"])
def test_out_may_not_lie_among_the_images(tmp_path, below):
    source = folder(tmp_path / "in", {"train/cat/a.png": 1})
    before = sorted(source.rglob("*"))
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(UserError, match=r"lies in .*, among the images: name a folder outside"):
        prepare(source, tmp_path / "link" / below)
    assert sorted(source.rglob("*")) == before


# ---- files as they come ----------------------------------------------------------------------

COLOURS = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def save(path, pixels, mode=None, **options):
    photo = Image.fromarray(pixels)
    (photo.convert(mode) if mode else photo).save(path, **options)


def huge(path):
    """A PNG that says it has 30,000 × 30,000 pixels of 1 bit."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(3_751 * 100)))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def awkward(tmp_path):
    """A folder of files as one finds them, and what must become of each: (pixels, what)."""
    cat, dog = tmp_path / "in" / "train" / "cat", tmp_path / "in" / "train" / "dog, big"
    cat.mkdir(parents=True)
    dog.mkdir()
    folder(tmp_path / "in", {"val/cat/v.png": 5})
    (tmp_path / "in" / "train" / "empty").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    flat = (SIZE, SIZE, 3)
    clear = np.dstack([COLOURS, np.where(np.arange(SIZE) < 4, 0, 255)[None].repeat(SIZE, 0)])
    on_white = np.where(clear[..., 3:] == 0, 255, COLOURS)

    save(cat / "1.png", COLOURS)
    save(cat / "16.png", COLOURS[..., 0].astype(np.uint16) * 257)
    save(cat / "clear.png", clear.astype(np.uint8))
    save(cat / "exif.png", COLOURS, exif=exif)
    save(cat / "grey.png", COLOURS[..., 1])
    palette = Image.fromarray(
        (np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 2).astype(np.uint8), "P"
    )
    palette.putpalette([0, 0, 0, 10, 200, 30])
    palette.save(cat / "palette.png", transparency=0)
    save(cat / "print.jpg", np.full(flat, (200, 120, 40), np.uint8), "CMYK", quality=95)
    save(cat / "small.png", np.full((2, 3, 3), (9, 8, 7), np.uint8))
    save(cat / "thin.png", np.full((30, 5), 70, np.uint8))
    save(dog / 'été ☀, "1" .png', COLOURS)
    save(dog / "naïve\nname.png", COLOURS[..., 2])

    noise = np.random.default_rng(1).integers(0, 256, (90, 90, 3), np.uint8)
    save(dog / "cut.jpg", noise)
    (dog / "cut.jpg").write_bytes((dog / "cut.jpg").read_bytes()[:2000])
    (dog / "nothing.png").touch()
    (dog / "text.jpg").write_text("no image at all\n")
    huge(dog / "vast.png")

    two = np.array([[255] * 3, [10, 200, 30]])
    return tmp_path / "in", {
        "cat/1.png": (COLOURS, None),
        "cat/16.png": (COLOURS[..., [0] * 3], "converted from 16 bit with 65535 as white"),
        "cat/clear.png": (on_white, "transparency laid on white"),
        "cat/exif.png": (np.rot90(COLOURS, -1), "turned by its EXIF tag"),
        "cat/grey.png": (COLOURS[..., [1] * 3], "converted from greyscale"),
        "cat/palette.png": (
            two[np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 2],
            "converted from palette, transparency laid on white",
        ),
        "cat/print.jpg": (np.full(flat, (200, 120, 40)), "converted from CMYK"),
        "cat/small.png": (np.full(flat, (9, 8, 7)), "enlarged from 3×2"),
        "cat/thin.png": (np.full(flat, 70), "converted from greyscale, enlarged from 5×30"),
        "dog, big/cut.jpg": (None, "cannot read train/dog, big/cut.jpg as an image: "),
        "dog, big/naïve\nname.png": (COLOURS[..., [2] * 3], "converted from greyscale"),
        "dog, big/nothing.png": (None, "cannot read train/dog, big/nothing.png as an image: "),
        "dog, big/text.jpg": (None, "cannot read train/dog, big/text.jpg as an image: "),
        "dog, big/vast.png": (None, "train/dog, big/vast.png has more than 100,000,000 pixels"),
        'dog, big/été ☀, "1" .png': (COLOURS, None),
    }


def test_what_becomes_of_awkward_files(tmp_path, awkward):
    source, expected = awkward
    summary = prepare(source, tmp_path / "out")
    train, _ = image_folder.load(tmp_path / "out")
    made = [(name, pixels) for name, (pixels, _) in expected.items() if pixels is not None]
    assert train.class_names == ("cat", "dog, big")
    assert train.labels.tolist() == [name.startswith("dog") for name, _ in made]
    for image, (name, pixels) in zip(train.images[:], made, strict=True):
        tolerance = 3 if name == "cat/print.jpg" else 0
        found = image.transpose(1, 2, 0).astype(int)
        np.testing.assert_allclose(found, pixels, atol=tolerance, err_msg=name)
    report = rows(tmp_path / "out")
    assert report.pop("train/empty") == ("train", "no", "a folder without image files")
    names = {name for name, (_, what) in expected.items() if what}
    assert report.keys() == {f"train/{name}".replace("\n", "\\n") for name in names}
    for path, (split, used, what) in report.items():
        pixels, words = expected[path.removeprefix("train/").replace("\\n", "\n")]
        assert (split, used) == ("train", "no" if pixels is None else "yes")
        assert what == words if used == "yes" else what.startswith(words)
        assert str(tmp_path) not in what
    assert (summary.train, summary.val, summary.unusable, summary.aside) == (11, 1, 4, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are no text")
def test_names_that_are_no_text(tmp_path):
    source = folder(tmp_path / "in", {"train/cat/a.png": 1, "val/cat/a.png": 2})
    odd = os.path.join(os.fsencode(source), b"train", b"d\xffg")
    os.mkdir(odd)
    Image.new("L", (SIZE, SIZE), 7).save(source / "grey.png")
    os.rename(source / "grey.png", os.path.join(odd, b"\xe9.png"))
    (source / "train" / os.fsdecode(b"void\xfe")).mkdir()
    prepare(source, tmp_path / "out")
    train, _ = image_folder.load(tmp_path / "out")
    assert train.class_names == ("cat", "d\\udcffg")
    assert tones(train) == [("cat", 1), ("d\\udcffg", 7)]
    assert rows(tmp_path / "out") == {
        "train/d\\udcffg/\\udce9.png": ("train", "yes", "converted from greyscale"),
        "train/void\\udcfe": ("train", "no", "a folder without image files"),
    }


def test_a_class_without_any_usable_file_stays_a_class(tmp_path):
    files = {"train/ant/a.png": None, "train/bee/b.png": 2}
    files |= {"val/ant/c.png": None, "val/bee/d.png": 3}
    summary = prepare(folder(tmp_path / "in", files), tmp_path / "out")
    train, val = image_folder.load(tmp_path / "out")
    assert train.class_names == ("ant", "bee")
    assert (tones(train), tones(val)) == ([("bee", 2)], [("bee", 3)])
    assert train.labels.tolist() == val.labels.tolist() == [1]
    assert list(rows(tmp_path / "out")) == ["train/ant/a.png", "val/ant/c.png"]
    assert (summary.train, summary.val, summary.unusable) == (1, 1, 2)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_any_usable_image(tmp_path, split):
    paths = [f"{split}/{name}/a.png" for split in ("train", "val") for name in ("ant", "bee")]
    bad = [path for path in paths if path.startswith(split)]
    source = folder(tmp_path / "in", dict.fromkeys(paths, 1) | dict.fromkeys(bad))
    for _ in range(2):
        with pytest.raises(DataError, match=rf"not one {split} image can be used: .*report.csv"):
            prepare(source, tmp_path / "out")
        assert list(rows(tmp_path / "out")) == bad
        assert not image_folder.is_prepared(tmp_path / "out")


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are no text")
def test_a_bad_picture_whose_name_is_no_text(tmp_path):
    """Its name is in the message, too; all the work was lost by this, at its end."""
    source = folder(tmp_path / "in", dict.fromkeys(PETS, 1))
    with open(os.path.join(os.fsencode(source), b"train/cat/\xe9.png"), "wb") as file:
        file.write(b"no image")
    for _ in range(2):
        summary = prepare(source, tmp_path / "out")
        assert [row.file for row in summary.refused] == ["train/cat/\\udce9.png"]
        assert "train/cat/\\udce9.png as an image" in summary.refused[0].what
    assert list(rows(tmp_path / "out")) == ["train/cat/\\udce9.png"]


def test_a_source_whose_name_ends_another(tmp_path, monkeypatch):
    """From "in", "train/" was left as "tra" in messages."""
    files = {f"{split}/{name}/a.png": 7 for split in ("train", "val") for name in ("cat", "dog")}
    folder(tmp_path / "in", files | {"train/cat/b.png": None})
    monkeypatch.chdir(tmp_path)
    (row,) = prepare("in", "out").refused
    assert row.what.startswith("cannot read train/cat/b.png as an image: ")


def test_almost_no_shades(tmp_path):
    """Images within 20 of 256 in each channel are counted and named; two tones far apart do."""
    files = {"dark": (0, 19, 0), "enough": (0, 20, 0), "mask": (0, 255, 0), "even": (9, 9, 200)}
    for name, (low, high, blue) in files.items():
        pixels = np.full((SIZE, SIZE, 3), blue, np.uint8)
        pixels[..., :2] = low
        pixels[0, 0, :2] = high
        place = tmp_path / "in" / "train" / ("cat" if high <= 20 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        save(place / f"{name}.png", pixels)
    shutil.copytree(tmp_path / "in" / "train", tmp_path / "in" / "val")
    for _ in range(2):
        assert prepare(tmp_path / "in", tmp_path / "out").flat == 4
    with open(tmp_path / "out" / "report.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1:] == [
            [split, f"{split}/cat/{name}.png", "yes", "almost no shades"]
            for split in ("train", "val")
            for name in ("dark", "even")
        ]


# ---- files of more than 8 bits -----------------------------------------------------------------


@pytest.fixture
def deep(tmp_path):
    """12 bits in files of 16 and floats of 0 … 1: in each class one image is bright, one dark."""
    source = folder(tmp_path / "in", {"val/cat/v.png": 5, "train/cat/v.jpg": 6})
    ramp = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) * 65
    assert ramp.max() == 4095
    (source / "train" / "dog").mkdir()
    for name, part in (("bright", 1), ("dark", 64)):
        save(source / "train" / "cat" / f"{name}.png", (ramp // part).astype(np.uint16))
        save(source / "train" / "dog" / f"{name}.tif", (ramp / 4095 / part).astype(np.float32))
    save(source / "val" / "cat" / "dim.png", (ramp // 2).astype(np.uint16))
    return source


def tops(split):
    return split.images[:].max(axis=(1, 2, 3)).tolist()


@pytest.mark.parametrize("processes", [1, 2])
def test_one_level_counts_as_white_in_a_whole_set(tmp_path, deep, processes):
    for _ in range(2):
        summary = prepare(deep, tmp_path / "out", processes=processes)
        assert summary.whites == {"integers": 4095, "floats": 1}
        assert summary.flat == 2 + 2  # the dark ones, and those of 8 bits of one tone
    train, val = image_folder.load(tmp_path / "out")
    assert train.whites == val.whites == train.subset([0]).whites == summary.whites
    assert tops(train) == [255, 4, 6, 255, 4]
    assert tops(val) == [127, 5]
    what = rows(tmp_path / "out")["train/cat/dark.png"][2]
    assert what == "converted from 16 bit with 4095 as white"


def test_a_value_that_is_no_brightness_is_told(tmp_path, deep):
    save(deep / "train" / "dog" / "nan.tif", np.full((SIZE, SIZE), np.nan, np.float32))
    save(deep / "train" / "dog" / "minus.tif", np.full((SIZE, SIZE), -7, np.int32))
    summary = prepare(deep, tmp_path / "out")
    assert [row.file for row in summary.refused] == ["train/dog/minus.tif", "train/dog/nan.tif"]
    assert "negative values" in summary.refused[0].what
    assert summary.whites == {"integers": 4095, "floats": 1}


def test_what_counts_as_white_is_measured_once(tmp_path, deep, small, monkeypatch):
    prepare(deep, tmp_path / "whole")

    def stop(done, total):
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(deep, tmp_path / "out", on_image=stop)
    monkeypatch.setattr(module, "measure", lambda path: pytest.fail("measured again"))
    prepare(deep, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_shards_of_a_version_that_measured_nothing_are_made_again(tmp_path, deep, small):
    """Up to 0.2: they have another scale."""
    prepare(deep, tmp_path / "whole")
    out = shutil.copytree(tmp_path / "whole", tmp_path / "out")
    for name in ("prepared.json", "whites.json"):
        (out / name).unlink()
    np.save(out / "train-0000.npy", np.zeros((4, 3, SIZE, SIZE), np.uint8))
    prepare(deep, out)
    assert contents(out) == contents(tmp_path / "whole")


def test_jpegs_are_not_opened_to_be_measured(tmp_path, monkeypatch):
    files = {f"{split}/{name}": 7 for split in ("train", "val") for name in ("a/a.jpg", "b/b.JPEG")}
    monkeypatch.setattr(module, "measure", lambda path: pytest.fail("opened"))
    prepare(folder(tmp_path / "in", files), tmp_path / "out")


@pytest.mark.parametrize("text", ["", "[]", '{"integers": 0}', '{"other": 1}', '{"floats": "1"}'])
def test_levels_that_are_none(tmp_path, deep, text):
    prepare(deep, tmp_path / "out")
    (tmp_path / "out" / "prepared.json").unlink()
    (tmp_path / "out" / "whites.json").write_text(text)
    with pytest.raises(DataError, match=r"whites.json is not whole: .*; delete the folder"):
        prepare(deep, tmp_path / "out")


# ---- a system that fails -----------------------------------------------------------------------

FAILURES = [
    *(OSError(number, os.strerror(number)) for number in (5, 12, 13, 23, 24, 110, 116)),
    MemoryError(),
]


@pytest.fixture
def failing(monkeypatch):
    """failing(name, error, times): opening files of that name raises it so many times."""
    pauses = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)

    def fail(name, error, times):
        left, real = [error] * times, open

        def opened(file, *arguments, **options):
            if left and os.path.basename(os.fspath(file)) == name:
                raise left.pop()
            return real(file, *arguments, **options)

        monkeypatch.setattr("builtins.open", opened)
        return pauses

    return fail


@pytest.mark.parametrize("error", FAILURES, ids=repr)
@pytest.mark.parametrize("times", [1, 2])
def test_a_failure_that_passes_changes_nothing(tmp_path, small, failing, error, times):
    source = photographs(tmp_path / "in", 11)
    prepare(source, tmp_path / "whole")
    pauses = failing("006.png", error, times)
    prepare(source, tmp_path / "out")
    assert len(pauses) == times
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_a_failure_that_stays_ends_the_work_and_keeps_what_is_done(
    tmp_path, deep, small, failing, error
):
    prepare(deep, tmp_path / "whole")
    out, done = tmp_path / "out", {"plan.json"}
    for name in ("bright.tif", "v.jpg"):  # while it is measured, and while it is read
        failing(name, error, 3)
        with pytest.raises(DataError, match=f"{name}.*; what is done is kept: repeat the command"):
            prepare(deep, out)
        assert contents(out).keys() == done
        done |= {"whites.json"}
    prepare(deep, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError()], ids=repr)
@pytest.mark.parametrize("function", ["as_photo", "examine"])
def test_a_failure_while_an_image_is_made(tmp_path, monkeypatch, error, function):
    source = folder(tmp_path / "in", dict.fromkeys(PETS, 1))
    monkeypatch.setattr(module, "PAUSES", ())

    def fail(*arguments):
        raise error if isinstance(error, MemoryError) else module.ReadError(str(error))

    monkeypatch.setattr(module, function, fail)
    with pytest.raises(module.ReadError, match="what is done is kept: repeat"):
        prepare(source, tmp_path / "out")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_file_that_vanishes(tmp_path, monkeypatch, processes):
    """A disk that is no longer there is not a folder of bad pictures."""
    source = photographs(tmp_path / "in", 11)
    gone = source / "train" / "b" / "006.png"

    def listed(source):
        listing = list_files(source)
        gone.rename(tmp_path / "006.png")
        return listing

    with monkeypatch.context() as patched:
        patched.setattr(module, "list_files", listed)
        with pytest.raises(DataError, match=r"there is no image .*006.png; what is done is kept"):
            prepare(source, tmp_path / "out", processes=processes)
    (tmp_path / "006.png").rename(gone)
    assert prepare(source, tmp_path / "out").unusable == 2


def test_a_process_that_cannot_start(tmp_path, monkeypatch):
    """And not: that a shard cannot be written."""

    def fail(*arguments, **options):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor.map", fail)
    source = photographs(tmp_path / "in", 11)
    with pytest.raises(UserError, match=r"cannot start: Resource temporarily .* fewer processes"):
        prepare(source, tmp_path / "out", processes=2)


# ---- whose folder it is ------------------------------------------------------------------------


def test_two_at_once(tmp_path):
    source, out = photographs(tmp_path / "in", 9), tmp_path / "out"
    with Lock(out):
        with pytest.raises(UserError, match="another process is at work in"):
            prepare(source, out)
        assert contents(out) == {}
    prepare(source, out)
    with Lock(out):  # what is done can be read all the time
        assert prepare(source, out).train == 6


def test_a_prepared_folder_is_not_prepared_again(tmp_path):
    prepare(photographs(tmp_path / "in", 9), tmp_path / "out")
    with pytest.raises(UserError, match="out is prepared already: train on it as it is"):
        prepare(tmp_path / "out", tmp_path / "more")


@pytest.mark.parametrize("name", ["train-0000.npy", "val-0000.npz", "statistics.npz"])
def test_what_is_complete_but_no_longer_whole_is_said(tmp_path, name):
    source, out = photographs(tmp_path / "in", 9), tmp_path / "out"
    prepare(source, out)
    (out / name).unlink()
    with pytest.raises(DataError, match=f"{name} is not whole: it is missing"):
        prepare(source, out)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["plan.json", "whites.json"])
def test_a_pipe_in_out_is_not_waited_for(tmp_path, name):
    source, out = photographs(tmp_path / "in", 9), tmp_path / "out"
    prepare(source, out)
    (out / "prepared.json").unlink()
    (out / name).unlink()
    os.mkfifo(out / name)
    with pytest.raises(UserError, match=r"was begun for something else|a pipe or a device"):
        prepare(source, out)


@pytest.mark.parametrize("name", ["prepared.txt", "report.csv", "train-0000.npy", "photos/a.png"])
def test_files_of_others_stay(tmp_path, name):
    source, out = photographs(tmp_path / "in", 9), tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    with pytest.raises(UserError, match="holds other files already, such as"):
        prepare(source, out)
    assert [path for path in out.rglob("*") if path.is_file()] == [out / name]
    assert (out / name).read_text() == "mine"


@pytest.mark.parametrize("text", [None, "\ufeffsplit;file;used\r\ntrain;b\xe4d.png;no\r\n", "\0"])
def test_the_report_is_not_read_again(tmp_path, text):
    """A spreadsheet may have saved it, in its own way, or someone deleted it."""
    source = photographs(tmp_path / "in", 11)
    (source / "train" / "note.txt").touch()
    first, path = prepare(source, tmp_path / "out"), tmp_path / "out" / "report.csv"
    whole = path.read_bytes()
    assert [row.file for row in first.refused] == [
        "train/a/009.png",
        "train/b/004.png",
        "train/note.txt",
    ]
    path.unlink() if text is None else path.write_text(text, encoding="cp1252", errors="replace")
    assert prepare(source, tmp_path / "out") == first
    assert (path.read_bytes() == whole) == (text is None)


# ---- statistics ------------------------------------------------------------------------------


def photographs(root, count, shape=(11, 13)):
    """Noise of several tones, in two classes and both splits; every fifth file is no image."""
    rng = np.random.default_rng(count)
    for i in range(count):
        path = root / ("val" if i % 4 == 3 else "train") / "ab"[i // 4 % 2] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i % 5 == 4:
            path.write_bytes(b"no image")
        else:
            scale = rng.integers(1, 256, 3)
            save(path, (rng.random((*shape, 3)) * scale).astype(np.uint8))
    return root


def test_statistics_are_those_of_the_training_images_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD", 7)
    prepare(photographs(tmp_path / "in", 40), tmp_path / "out")
    train, val = image_folder.load(tmp_path / "out")
    assert (len(train), len(val)) == (24, 8)
    images = train.images[:].astype(np.float64)
    for split in (train, val):
        np.testing.assert_allclose(split.mean, images.mean(axis=0), rtol=1e-6)
        assert split.deviation == pytest.approx(np.sqrt(images.var(axis=0).mean()), rel=1e-12)
        pixels = images.transpose(1, 0, 2, 3).reshape(3, -1)
        np.testing.assert_allclose(split.covariance, np.cov(pixels, bias=True), rtol=1e-12)
    assert (train.mean.dtype, train.covariance.dtype) == (np.float32, np.float64)
    assert isinstance(train.deviation, float)


def test_statistics_of_more_images_than_fit_in_64_bits():
    """A million images, half of them white: the squares of their sums have 68 bits."""
    count, side = 2_000_000, 200
    total = np.full((3, side, side), count // 2 * 255)
    products = np.full((3, 3), count // 2 * 255**2 * side**2)
    found = statistics(count, total, products)
    assert (found["mean"] == 127.5).all()
    assert found["deviation"] == 127.5
    assert (found["covariance"] == 127.5**2).all()


def test_images_all_alike_have_no_deviation(tmp_path):
    files = {f"train/{name}/a.png": 77 for name in ("cat", "dog")} | {"val/cat/a.png": 50}
    prepare(folder(tmp_path / "in", files), tmp_path / "out")
    train, _ = image_folder.load(tmp_path / "out")
    with np.load(tmp_path / "out" / "statistics.npz") as file:
        assert file["deviation"] == 0
    assert train.deviation == 1  # which can be divided by
    assert (train.mean == 77).all()
    assert (train.covariance == 0).all()


# ---- shards ----------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(module, "SHARD", 4)
    monkeypatch.setattr(processes, "CHUNK", 1)


def test_a_shard_has_the_images_of_so_many_files(tmp_path, small):
    prepare(photographs(tmp_path / "in", 21), tmp_path / "out")  # 16 and 5 files, 13 and 4 images
    lengths = {
        path.name: np.load(path, mmap_mode="r").shape for path in (tmp_path / "out").glob("*.npy")
    }
    assert {name: shape[0] for name, shape in lengths.items()} == {
        "train-0000.npy": 4,
        "train-0001.npy": 3,
        "train-0002.npy": 3,
        "train-0003.npy": 3,
        "val-0000.npy": 3,
        "val-0001.npy": 1,
    }
    assert {shape[1:] for shape in lengths.values()} == {(3, SIZE, SIZE)}
    names = {f"{name[:-4]}.npz" for name in lengths} | lengths.keys()
    others = {"plan.json", "whites.json", "statistics.npz", "report.csv", "prepared.json"}
    assert contents(tmp_path / "out").keys() == names | others


def test_the_header_makes_room_for_what_is_unusable(tmp_path):
    """Ten files give nine images: a number with a digit less."""
    files = {f"train/{'cd'[i // 5]}/{i}.png": i or None for i in range(10)} | {"val/c/a.png": 1}
    prepare(folder(tmp_path / "in", files), tmp_path / "out")
    train, _ = image_folder.load(tmp_path / "out")
    assert tones(train) == [("cd"[i // 5], i) for i in range(1, 10)]
    whole = 128 + 9 * 3 * SIZE * SIZE
    assert (tmp_path / "out" / "train-0000.npy").stat().st_size == whole


def test_progress_is_told_file_by_file(tmp_path, small):
    told = []
    source = photographs(tmp_path / "in", 11)
    prepare(source, tmp_path / "out", on_image=lambda done, total: told.append((done, total)))
    assert told == [(i, 11) for i in range(1, 12)]


def test_several_processes_make_the_same_bytes(tmp_path, small):
    """And what they report and damaged files come through as well."""
    source, told = photographs(tmp_path / "in", 21), []
    one = prepare(source, tmp_path / "one")
    two = prepare(
        source, tmp_path / "two", processes=2, on_image=lambda done, total: told.append(done)
    )
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert (one.train, one.unusable) == (two.train, two.unusable) == (13, 4)
    assert told == list(range(1, 22))


def test_one_process_a_core_is_the_default(tmp_path, monkeypatch):
    asked, process_map = [], module.process_map
    monkeypatch.setattr(module, "usable_cores", lambda: [0, 3, 5])
    monkeypatch.setattr(module, "process_map", lambda count: asked.append(count) or process_map(1))
    source = photographs(tmp_path / "in", 9)
    prepare(source, tmp_path / "out", processes=None)
    assert asked == [3]


def test_nothing_in_the_files_tells_the_time(tmp_path, small):
    prepare(photographs(tmp_path / "in", 11), tmp_path / "out")
    for path in (tmp_path / "out").glob("*.npz"):
        times = {info.date_time for info in zipfile.ZipFile(path).infolist()}
        assert times == {(1980, 1, 1, 0, 0, 0)}


def test_a_shards_images_are_not_held_in_memory(tmp_path):
    files = {f"{'cd'[i % 2]}/{i:03}.png": i % 256 for i in range(300)}
    folder(tmp_path / "in", files)
    prepare(tmp_path / "in", tmp_path / "warm")
    tracemalloc.start()
    prepare(tmp_path / "in", tmp_path / "out", size=64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6  # the training images take 3.3 MB


# ---- going on --------------------------------------------------------------------------------


def test_what_is_complete_is_left_alone(tmp_path):
    source = photographs(tmp_path / "in", 11)
    first = prepare(source, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert prepare(source, tmp_path / "out", on_image=None) == first  # no image is read
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_shards_that_are_done_are_not_made_again(tmp_path, small, monkeypatch):
    source = photographs(tmp_path / "in", 21)
    prepare(source, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "out")
    for name in ("prepared.json", "report.csv", "train-0001.npz", "val-0000.npz", "val-0000.npy"):
        (tmp_path / "out" / name).unlink()
    read, told, examine = [], [], module.examine
    monkeypatch.setattr(module, "examine", lambda path, _: read.append(path) or examine(path))
    prepare(source, tmp_path / "out", on_image=lambda done, total: told.append(done))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    files = [source / file.path for file in list_files(source).files]
    assert read == files[4:8] + files[16:20]
    assert told == [5, 6, 7, 8, 17, 18, 19, 20]


def change(source, how):
    path = source / "train" / "a" / "000.png"
    if how == "one file more":
        shutil.copy(path, path.with_name("new.png"))
    elif how == "one file less":
        path.unlink()
    elif how == "another name":
        path.rename(path.with_name("new.png"))
    elif how == "another class":
        path.rename(source / "train" / "b" / path.name)
    elif how == "another split":
        path.rename(source / "val" / "a" / path.name)
    elif how == "another size":
        path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "begun"])
@pytest.mark.parametrize(
    "how",
    [
        "one file more",
        "one file less",
        "another name",
        "another class",
        "another split",
        "another size",
    ],
)
def test_other_files_are_refused(tmp_path, how, complete):
    source, out = photographs(tmp_path / "in", 9), tmp_path / "out"
    prepare(source, out)
    if not complete:
        (out / "prepared.json").unlink()
    change(source, how)
    before = contents(out)
    with pytest.raises(UserError) as error:
        prepare(source, out)
    assert str(error.value) == (
        f"{out} was begun for other files: name another folder, or delete this one"
    )
    assert contents(out) == before


def test_another_size_is_refused(tmp_path):
    source, out = photographs(tmp_path / "in", 9), tmp_path / "out"
    prepare(source, out)
    with pytest.raises(UserError, match=r"out was begun for size 8, not 9: name another folder"):
        prepare(source, out, size=9)


def test_another_length_of_shards_is_refused(tmp_path, monkeypatch):
    source, out = photographs(tmp_path / "in", 9), tmp_path / "out"
    prepare(source, out)
    monkeypatch.setattr(module, "SHARD", 3)
    with pytest.raises(UserError, match=r"out was begun for other files"):
        prepare(source, out)


@pytest.mark.parametrize("claim", [None, "", "[1]", '{"size": 8}', "\0", "[" * 10**5, "1" * 5000])
def test_a_folder_with_something_else_is_refused(tmp_path, claim):
    source, out = photographs(tmp_path / "in", 9), tmp_path / "out"
    prepare(source, out)
    (out / "plan.json").unlink() if claim is None else (out / "plan.json").write_text(claim)
    with pytest.raises(UserError, match=r"out was begun for (something else|other files): name"):
        prepare(source, out)


def test_a_source_that_was_moved_is_the_same(tmp_path):
    source, out = photographs(tmp_path / "in", 9), tmp_path / "out"
    first = prepare(source, out)
    (out / "prepared.json").unlink()
    before = contents(out)
    assert prepare(source.rename(tmp_path / "moved"), out) == first
    assert before.items() <= contents(out).items()


def test_a_damaged_shard_is_named(tmp_path, small):
    source, out = photographs(tmp_path / "in", 9), tmp_path / "out"
    prepare(source, out)
    (out / "prepared.json").unlink()
    (out / "train-0001.npz").write_bytes(b"damage")
    with pytest.raises(DataError, match=r"train-0001.npz is not whole: .*; delete the folder"):
        prepare(source, out)


# ---- stopped ---------------------------------------------------------------------------------

PROGRAM = """
import os, sys
from minitorch_alexnet.data import prepare, processes

source, out, count, moment, kill, number = sys.argv[1:]
prepare.SHARD, processes.CHUNK = 4, 1
events = 0

def event(*ignored):
    global events
    events += 1
    if events == int(moment):
        getattr(os, kill)(os.getpid(), int(number))

def after_event(function):
    return lambda *arguments: event() or function(*arguments)

os.fsync, os.replace = event, after_event(os.replace)
prepare.prepare(source, out, 8, int(count), event)
"""


def stopped(source, out, processes, moment, number=9, kill="kill"):
    """Runs `prepare` until its moment comes, and returns when no process of it is left.

    The moments are each image, and before each file is on disk and before it takes its name.
    """
    arguments = map(str, (source, out, processes, moment, kill, int(number)))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=20)  # all of them hold the pipe's other end
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == -number, said


BEGUN = ["plan.json", "train-0000.npy", "train-0000.npz", "whites.json"]
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@needs_signals
def test_killed_again_and_again_and_repeated(tmp_path, small):
    """Four training shards and two for validation, of 8 moments each: 4 images, 2 files."""
    source, out = photographs(tmp_path / "in", 21), tmp_path / "out"
    prepare(source, tmp_path / "whole")
    for moment, done in (
        (1, 0),  # nothing there yet but the start of plan.json
        (4, 0),  # what counts as white is known, under another name
        (2 + 8 + 3, 1),  # amid the second shard
        (8 + 6, 2),  # the third has all its images, under another name
        (7, 2),  # they have their name, and no labels
        (8, 2),  # the labels too are there, under another name
        (4 * 8 - 3 + 4, 6),  # all shards are done, and statistics.npz is on disk
        (6, 6),  # prepared.json is all that lacks its name
    ):
        stopped(source, out, 1, moment)
        assert len(list(out.glob("*-*.npz"))) == done
        assert len(list(out.glob(".*.part"))) == 1  # that of the process before is gone
        assert not image_folder.is_prepared(out)
    prepare(source, out)
    assert contents(out) == contents(tmp_path / "whole")


@needs_signals
@pytest.mark.parametrize(
    ("number", "kill"),
    [(signal.SIGKILL, "kill"), (signal.SIGINT, "killpg")],
    ids=["kill", "ctrl-c"],
)
def test_stopped_with_several_processes(tmp_path, small, number, kill):
    """They end with their parent; Ctrl-C, which comes to all of them, leaves no half file."""
    source, out = photographs(tmp_path / "in", 60), tmp_path / "out"
    prepare(source, tmp_path / "whole")
    stopped(source, out, 2, 4 + 8 + 3, number, kill)
    assert sorted(contents(out)) == BEGUN
    assert len(list(out.glob(".*.part"))) == (number == signal.SIGKILL)
    prepare(source, out)
    assert contents(out) == contents(tmp_path / "whole")


def test_an_exception_leaves_no_half_file(tmp_path, small):
    source, out = photographs(tmp_path / "in", 21), tmp_path / "out"

    def stop(done, total):
        if done == 7:
            raise KeyboardInterrupt

    assert not is_begun(out)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, out, on_image=stop)
    assert is_begun(out)
    assert sorted(contents(out)) == BEGUN


def test_an_out_that_cannot_be_written(tmp_path):
    source = photographs(tmp_path / "in", 9)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match=r"out cannot be a folder for this: Not a directory"):
        prepare(source, tmp_path / "out", on_image=None)  # no image is read


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_disk_that_fills_up(tmp_path):
    import resource

    source, out = photographs(tmp_path / "in", 30), tmp_path / "out"
    prepare(source, tmp_path / "whole")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*train-0000.npy: File too large"):
            prepare(source, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(contents(out)) == ["plan.json", "whites.json"]
    prepare(source, out)
    assert contents(out) == contents(tmp_path / "whole")
