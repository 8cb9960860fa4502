"""A prepared folder reads like an array, and says so where it is not whole."""

import errno
import io
import json
import os
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minitorch_alexnet.data.image_folder import ImageFolder, Shards, is_prepared, load
from minitorch_alexnet.data.prepare import statistics
from minitorch_alexnet.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 3, 4, 4), np.uint8)
LABELS = np.arange(10) % 3
LENGTHS = {"train": (3, 0, 4), "val": (2, 1)}


def write(folder):
    """What `prepare` leaves: seven training images in three shards, three others in two."""
    start, facts = 0, {"format": 1, "size": 4, "class_names": ["ant", "bee", "été"]}
    for split, lengths in LENGTHS.items():
        facts[split] = {"images": sum(lengths), "shards": len(lengths)}
        for number, length in enumerate(lengths):
            here = slice(start, start := start + length)
            np.save(folder / f"{split}-{number:04}.npy", IMAGES[here])
            np.savez(folder / f"{split}-{number:04}.npz", labels=LABELS[here])
    pixels = IMAGES[:7].transpose(1, 0, 2, 3).reshape(3, -1).astype(int)
    found = statistics(7, IMAGES[:7].sum(axis=0, dtype=np.int64), pixels @ pixels.T)
    np.savez(folder / "statistics.npz", **found)
    (folder / "prepared.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def prepared(tmp_path):
    return write(tmp_path)


@pytest.fixture
def shards():
    return Shards([IMAGES[:3], IMAGES[3:3], IMAGES[3:9], IMAGES[9:]])


# ---- shards ----------------------------------------------------------------------------------


def test_shards_look_like_an_array(shards):
    assert (len(shards), shards.shape, shards.ndim) == (10, (10, 3, 4, 4), 4)
    assert shards.dtype == np.uint8


@pytest.mark.parametrize(
    "index",
    [
        *range(-10, 10),
        np.int64(4),
        slice(None),
        slice(2, 4),
        slice(None, None, -3),
        slice(5, 5),
        slice(8, 100),
        [9, 0, 3, 3, -1, 2, -7],
        np.array([8, 1], np.uint8),
        np.array([], np.int64),
        np.arange(10) % 4 == 1,
    ],
    ids=str,
)
def test_every_index_picks_what_an_array_would(shards, index):
    found = shards[index]
    np.testing.assert_array_equal(found, IMAGES[index])
    assert found.dtype == np.uint8
    found[...] = 0  # it is the caller's own
    np.testing.assert_array_equal(shards[:], IMAGES)


@pytest.mark.parametrize("index", [10, -11, [0, 10], 1.5, "a", (0, 1)], ids=str)
def test_no_other_index_does(shards, index):
    with pytest.raises(IndexError):
        shards[index]


@pytest.mark.parametrize("index", [slice(1, 9, 2), [7, 0, 7], np.array([], int)], ids=str)
def test_subsets_of_subsets(shards, index):
    subset, expected = shards.subset(slice(None, None, -1)), IMAGES[::-1]
    subset, expected = subset.subset(index), expected[index]
    assert subset.shape == expected.shape
    np.testing.assert_array_equal(subset[:], expected)
    np.testing.assert_array_equal(subset.subset([0, -1] if len(expected) else [])[:1], expected[:1])


def test_a_subset_reads_nothing():
    class Unreadable(np.ndarray):
        def __getitem__(self, index):
            pytest.fail("it was read")

    assert len(Shards([IMAGES.view(Unreadable)]).subset([1, 2])) == 2


def test_many_threads_at_once(shards):
    def check(seed):
        index = np.random.default_rng(seed).integers(0, 10, 50)
        return np.array_equal(shards[index], IMAGES[index])

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(check, range(200)))


# ---- the folder ------------------------------------------------------------------------------


def test_load(prepared):
    train, val = load(str(prepared))
    np.testing.assert_array_equal(train.images[:], IMAGES[:7])
    np.testing.assert_array_equal(val.images[:], IMAGES[7:])
    np.testing.assert_array_equal(train.labels, LABELS[:7])
    np.testing.assert_array_equal(val.labels, LABELS[7:])
    assert (len(train), len(val)) == (7, 3)
    for split in (train, val):
        assert split.labels.dtype == np.int64
        assert split.class_names == ("ant", "bee", "été")
        assert split.num_classes == 3
        np.testing.assert_allclose(split.mean, IMAGES[:7].mean(axis=0), rtol=1e-6)
        assert split.deviation == pytest.approx(np.sqrt(IMAGES[:7].var(axis=0).mean()))
        assert split.covariance.shape == (3, 3)


def test_a_subset_of_a_split(prepared):
    train, _ = load(prepared)
    subset = train.subset([5, 0, 6])
    assert isinstance(subset, ImageFolder)
    np.testing.assert_array_equal(subset.images[:], IMAGES[[5, 0, 6]])
    np.testing.assert_array_equal(subset.labels, LABELS[[5, 0, 6]])
    assert (len(subset), subset.class_names) == (3, train.class_names)
    assert (subset.mean is train.mean, subset.deviation) == (True, train.deviation)
    assert len(train) == 7


def test_images_stay_on_disk(prepared):
    """What is on disk is what is read, whenever it is read: nothing is mapped or kept open."""
    train, _ = load(prepared)
    other = IMAGES[::-1][3:7]
    np.save(prepared / "train-0002.npy", other)
    np.testing.assert_array_equal(train.images[3:], other)


@pytest.fixture
def summed(prepared):
    """As prepare leaves it since 0.3, with a checksum for each image."""
    for path in prepared.glob("*-*.npy"):
        rewrite(path.with_suffix(".npz"), checksums=[zlib.crc32(image) for image in np.load(path)])
    return prepared


def rewrite(path, **changes):
    with np.load(path) as arrays:
        everything = dict(arrays) | changes
    np.savez(path, **everything)


def test_checksums_let_pass_what_was_made(summed):
    train, val = load(summed)
    np.testing.assert_array_equal(train.images[[6, 0, 3, 3]], IMAGES[[6, 0, 3, 3]])
    np.testing.assert_array_equal(val.images[::-1], IMAGES[:6:-1])


@pytest.mark.parametrize("bit", [0, 5, 8 * 47])
def test_a_bit_that_flips_is_found_in_its_image_alone(summed, bit):
    path = summed / "train-0002.npy"
    content = bytearray(path.read_bytes())
    content[-2 * 48 + bit // 8] ^= 1 << bit % 8  # in the third of four images
    path.write_bytes(content)
    train, _ = load(summed)
    np.testing.assert_array_equal(train.images[[4, 6, 0]], IMAGES[[4, 6, 0]])
    for index in (5, -2, slice(None), [0, 5]):
        with pytest.raises(DataError, match=r"train-0002.npy is not whole: image 2 is not the one"):
            train.images[index]


def test_black_images_are_found(summed):
    np.save(summed / "val-0000.npy", np.zeros((2, 3, 4, 4), np.uint8))
    _, val = load(summed)
    with pytest.raises(DataError, match=r"val-0000.npy is not whole"):
        val.images[:]


def test_bits_that_flip_beside_the_images(summed):
    """In labels, checksums and statistics: refused, or without effect."""
    expected = [(split.images[:], split.labels, split.mean) for split in load(summed)]
    rng, refused = np.random.default_rng(0), 0
    for name in ("train-0002.npz", "statistics.npz"):
        good = (summed / name).read_bytes()
        for _ in range(60):
            content = bytearray(good)
            content[rng.integers(len(good))] ^= 1 << rng.integers(8)
            (summed / name).write_bytes(content)
            try:
                for split, arrays in zip(load(summed), expected, strict=True):
                    for found, wanted in zip(
                        (split.images[:], split.labels, split.mean), arrays, strict=True
                    ):
                        np.testing.assert_array_equal(found, wanted)
            except DataError:
                refused += 1
        (summed / name).write_bytes(good)
    assert refused > 20


@pytest.mark.parametrize("length", [0, 100, 128 + 2 * 48, 128 + 4 * 48 - 1])
def test_a_shard_that_is_cut_while_it_is_in_use(prepared, length):
    """With a map of the file it was a bus error, which ends the process."""
    train, _ = load(prepared)
    np.testing.assert_array_equal(train.images[:], IMAGES[:7])
    os.truncate(prepared / "train-0002.npy", length)
    np.testing.assert_array_equal(train.images[:3], IMAGES[:3])
    with pytest.raises(DataError, match=r"train-0002.npy is not whole: it has become shorter"):
        train.images[[0, 6]]


def test_a_shard_that_vanishes_while_it_is_in_use(prepared):
    train, _ = load(prepared)
    (prepared / "train-0002.npy").unlink()
    np.testing.assert_array_equal(train.images[:3], IMAGES[:3])
    with pytest.raises(DataError, match=r"train-0002.npy is not whole: it is missing"):
        train.images[:]


def test_a_disk_that_fails_in_use_is_no_reason_to_delete_anything(prepared, monkeypatch):
    train, _ = load(prepared)
    failing(monkeypatch, prepared / "train-0002.npy", OSError(5, "Input/output error"))
    with pytest.raises(DataError) as error:
        train.images[:]
    assert str(error.value) == f"cannot read {prepared / 'train-0002.npy'}: Input/output error"


def test_nothing_is_held_open_or_in_memory(tmp_path):
    size, count = 64, 200
    facts = {"format": 1, "size": size, "class_names": ["a"]}
    for split in ("train", "val"):
        facts[split] = {"images": count, "shards": 1}
        np.save(tmp_path / f"{split}-0000.npy", np.zeros((count, 3, size, size), np.uint8))
        np.savez(tmp_path / f"{split}-0000.npz", labels=np.zeros(count, np.int64))
    mean = np.zeros((3, size, size), np.float32)
    np.savez(tmp_path / "statistics.npz", mean=mean, deviation=1.0, covariance=np.eye(3))
    (tmp_path / "prepared.json").write_text(json.dumps(facts))
    tracemalloc.start()
    train, _ = load(tmp_path)
    for start in range(0, count, 10):
        train.images[start : start + 10]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6  # all images take 2.5 MB


def test_is_prepared(prepared, tmp_path):
    assert is_prepared(prepared)
    assert is_prepared(str(prepared))
    assert not is_prepared(tmp_path / "nowhere")
    (prepared / "prepared.json").unlink()
    assert not is_prepared(prepared)


@pytest.mark.parametrize("begun", [True, False])
def test_a_folder_that_is_not_prepared(prepared, tmp_path, begun):
    (prepared / "prepared.json").unlink()
    folder = prepared if begun else tmp_path / "nowhere"
    with pytest.raises(DataError) as error:
        load(folder)
    assert str(error.value) == (
        f"{folder} is not a prepared folder, or not wholly: prepare it first"
    )


def failing(monkeypatch, path, error):
    """Opening this file raises that."""
    real = io.open

    def opened(file, *arguments, **options):
        if str(file) == str(path):
            raise error
        return real(file, *arguments, **options)

    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.setattr("io.open", opened)


FILES = [
    "prepared.json",
    "statistics.npz",
    "train-0000.npy",
    "train-0002.npz",
    "val-0001.npy",
    "val-0001.npz",
]
HARM = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "emptied": lambda path: path.write_bytes(b""),
    "overwritten": lambda path: path.write_bytes(b"[1, 2, 3]" * 100),
    "missing": lambda path: path.unlink(),
}


CASES = [(name, harm) for name in FILES for harm in HARM if (name, harm) != (FILES[0], "missing")]


@pytest.mark.parametrize(("name", "harm"), CASES)
def test_a_file_that_is_not_whole_is_named(prepared, name, harm):
    HARM[harm](prepared / name)
    with pytest.raises(DataError) as error:
        load(prepared)
    message = str(error.value)
    assert message.startswith(f"{prepared / name} is not whole: ")
    assert message.endswith(f"; delete the folder {prepared} and prepare it again")
    assert ("it is missing" in message) == (harm == "missing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", [name for name in FILES if name != "prepared.json"])
def test_a_pipe_is_not_waited_for(prepared, name):
    (prepared / name).unlink()
    os.mkfifo(prepared / name)
    with pytest.raises(DataError, match=f"{name} is not whole: .*a pipe or a device"):
        load(prepared)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("name", FILES)
def test_a_systems_failure_is_no_reason_to_delete_anything(prepared, monkeypatch, name, number):
    failing(monkeypatch, prepared / name, OSError(number, os.strerror(number)))
    with pytest.raises(DataError) as error:
        load(prepared)
    assert str(error.value) == f"cannot read {prepared / name}: {os.strerror(number)}"


def test_too_little_memory_is_no_reason_to_delete_anything(prepared, monkeypatch):
    failing(monkeypatch, prepared / "train-0000.npz", MemoryError())
    with pytest.raises(DataError, match=r"train-0000.npz takes more memory than there is"):
        load(prepared)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (IMAGES[:2], r"expected shape (3, 3, 4, 4), got (2, 3, 4, 4)"),
        (IMAGES[:4], r"expected shape (3, 3, 4, 4), got (4, 3, 4, 4)"),
        (IMAGES[:3, :, :2], r"expected shape (3, 3, 4, 4), got (3, 3, 2, 4)"),
        (IMAGES[:3].astype(np.int8), "expected dtype uint8, got int8"),
    ],
)
def test_a_shard_of_something_else(prepared, array, message):
    np.save(prepared / "train-0000.npy", array)
    with pytest.raises(DataError) as error:
        load(prepared)
    assert f"train-0000.npy is not whole: {message}; delete" in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "expected format 1, got 2"),
        ({"size": 5}, "train-0000.npy is not whole: expected shape (3, 3, 5, 5), got (3, 3, 4, 4)"),
        ({"size": 10**30}, "train-0000.npy is not whole: expected shape"),
        ({"train": None}, "prepared.json is not whole"),
        ({"train": {"images": 7}}, "prepared.json is not whole"),
        ({"train": {"images": 8, "shards": 3}}, "prepared.json is not whole: expected train image"),
        ({"train": {"images": 7, "shards": 10**18}}, "train-0003.npz is not whole: it is missing"),
        ({"train": {"images": 7, "shards": -1}}, "expected train shards to be a number of at"),
        ({"val": {"images": 0, "shards": 0}}, "expected val images to be a number of at least 1"),
        ({"val": {"images": True, "shards": 2}}, "expected val images to be a number"),
        ({"val": {"images": 3.0, "shards": 2}}, "expected val images to be a number"),
        *(
            ({"size": size}, "expected size to be a number of at least 1")
            for size in (0, -4, 4.0, "4", None, [4], True)
        ),
        *(
            ({"class_names": names}, "expected class_names to be a list of texts")
            for names in (None, [], "antbee", {"ant": 0, "bee": 1, "cat": 2}, ["ant", 1, "b"], 3)
        ),
        ({"class_names": ["ant", "bee"]}, "train-0000.npz is not whole: expected labels from 0"),
        ({"class_names": ["ant", "bee", "ant"]}, "two classes have the same name"),
        *(
            ({"whites": whites}, "expected levels of white")
            for whites in (
                None,
                [],
                3,
                {"integers": -1},
                {"floats": "1"},
                {"x": 1},
                {"floats": [1]},
            )
        ),
        ({"whites": {"floats": float("nan")}}, "expected levels of white"),
        ({"whites": {"floats": float("inf")}}, "expected levels of white"),
    ],
    ids=str,
)
def test_facts_of_something_else(prepared, change, message):
    path = prepared / "prepared.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError) as error:
        load(prepared)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["[" * 10**5, '{"format": ' + "1" * 5000 + "}", "[]", "1", "é"])
def test_texts_that_are_no_facts(prepared, text):
    (prepared / "prepared.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"prepared.json is not whole: .*; delete the folder"):
        load(prepared)


def test_names_of_classes_can_be_printed(prepared):
    """Earlier versions kept what stood there."""
    path = prepared / "prepared.json"
    names = ["ant\n", "\x1b[2Jbee", "\u202eété"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"class_names": names}))
    assert load(prepared)[0].class_names == ("ant\\n", "\\x1b[2Jbee", "\\u202eété")


@pytest.mark.parametrize(
    "labels",
    [[0, -1, 1], [0, 1, 3], [0, 1, 2**60], [0.0, 1.0, 2.0], [[0, 1, 2]], [0, 1], ["a", "b", "c"]],
    ids=str,
)
def test_labels_of_something_else(prepared, labels):
    np.savez(prepared / "train-0000.npz", labels=labels)
    with pytest.raises(DataError, match=r"train-0000.np[zy] is not whole: expected .*; delete"):
        load(prepared)


def test_checksums_of_another_shard(summed):
    rewrite(summed / "train-0000.npz", checksums=[1, 2])
    with pytest.raises(DataError, match=r"train-0000.npz is not whole: expected checksums \(3,\)"):
        load(summed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", IMAGES[0, :, :2]),
        ("mean", np.full((3, 4, 4), np.nan)),
        ("mean", np.full((3, 4, 4), -1.0)),
        ("mean", np.full((3, 4, 4), 256.0)),
        ("mean", np.full((3, 4, 4), 1j)),
        *(("deviation", value) for value in (np.nan, -1, np.inf, 200, [1, 2], "a")),
        ("covariance", np.eye(2)),
        ("covariance", np.full((3, 3), np.nan)),
        ("covariance", np.diag([1, np.inf, 1])),
        ("covariance", np.diag([9, 1, -2])),
        ("covariance", np.triu(np.ones((3, 3)))),
    ],
    ids=str,
)
def test_statistics_of_something_else(prepared, name, value):
    rewrite(prepared / "statistics.npz", **{name: value})
    with pytest.raises(DataError, match=r"statistics.npz is not whole: .*; delete"):
        load(prepared)


def test_a_shard_too_few(prepared):
    path = prepared / "prepared.json"
    facts = json.loads(path.read_text())
    facts["train"]["shards"] = 2
    path.write_text(json.dumps(facts))
    with pytest.raises(DataError, match="expected train images 7, got 3"):
        load(prepared)
