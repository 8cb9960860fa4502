"""CIFAR-10's loader on records made here: two images a file instead of ten thousand."""

import gzip
import io
import os
import tarfile

import numpy as np
import pytest

from minitorch_alexnet import data
from minitorch_alexnet.data import cifar10
from minitorch_alexnet.errors import DataError

FILES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cifar10, "RECORDS", 2)


def record(label, file, number):
    """A label, then 1024 red, 1024 green and 1024 blue pixels, row by row."""
    planes = [np.full((32, 32), 10 * file + 2 * number + channel) for channel in range(3)]
    planes[0][3, 5] = 201  # row 3, column 5, red
    planes[2][31, 0] = 202
    return bytes([label]) + np.uint8(planes).tobytes()


@pytest.fixture
def contents():
    """The six files' bytes; labels 0, 1; 2, 3; … 9, 9 for the test."""
    made = {name: record(2 * i, i, 0) + record(2 * i + 1, i, 1) for i, name in enumerate(FILES[:5])}
    return made | {"test_batch.bin": record(9, 5, 0) + record(9, 5, 1)}


@pytest.fixture
def folder(tmp_path, contents):
    place = tmp_path / "cifar-10-batches-bin"
    place.mkdir()
    for name, content in contents.items():
        (place / name).write_bytes(content)
    (place / "batches.meta.txt").write_text("\n".join(cifar10.CLASS_NAMES) + "\n\n")
    return place


@pytest.fixture
def archive(tmp_path, contents):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in [*contents.items(), ("readme.html", b"<html>")]:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def check(train, test):
    assert train.images.shape == (10, 3, 32, 32)
    assert test.images.shape == (2, 3, 32, 32)
    assert train.images.dtype == np.uint8
    np.testing.assert_array_equal(train.labels, range(10))
    np.testing.assert_array_equal(test.labels, [9, 9])
    assert train.class_names == test.class_names == cifar10.CLASS_NAMES
    for i, image in enumerate(train.images):
        value = 10 * (i // 2) + 2 * (i % 2)
        np.testing.assert_array_equal(image[:, 9, 9], [value, value + 1, value + 2])
    assert (train.images[:, 0, 3, 5] == 201).all()
    assert (train.images[:, 2, 31, 0] == 202).all()
    assert (train.images > 200).sum() == 20
    np.testing.assert_array_equal(test.images[:, :, 9, 9], [[50, 51, 52], [52, 53, 54]])


def test_the_folder(folder):
    check(*cifar10.load(folder))


def test_the_folder_above_it(folder):
    check(*cifar10.load(folder.parent))


def test_the_archive(archive):
    check(*cifar10.load(archive))
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]  # none unpacked


def test_the_folder_that_the_archive_is_in(archive):
    check(*cifar10.load(str(archive.parent)))


def test_what_is_unpacked_comes_before_the_archive(folder, archive):
    archive.write_bytes(b"not one")
    check(*cifar10.load(folder.parent))


def test_names_are_the_papers():
    assert len(cifar10.CLASS_NAMES) == 10
    assert cifar10.CLASS_NAMES[3] == "cat"
    assert cifar10.CLASS_NAMES[9] == "truck"


@pytest.mark.parametrize("missing", FILES)
def test_a_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(DataError, match=f"has no {missing}: expected .* https://www.cs.toronto"):
        cifar10.load(folder)


@pytest.mark.parametrize(("change", "got"), [(-1, "6,145"), (-3073, "3,073"), (+1, "more")])
@pytest.mark.parametrize("name", FILES[4:])
def test_a_wrong_length(folder, contents, name, change, got):
    content = contents[name][:change] if change < 0 else contents[name] + b"x"
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: expected 6,146 bytes, got {got}: fetch"):
        cifar10.load(folder)


def test_a_wrong_length_in_the_archive(archive, contents, monkeypatch):
    monkeypatch.setattr(cifar10, "RECORDS", 3)
    with pytest.raises(DataError, match=r"data_batch_1.bin: expected 9,219 bytes, got 6,146"):
        cifar10.load(archive)


def test_a_wrong_label(folder, contents):
    content = contents["data_batch_3.bin"]
    (folder / "data_batch_3.bin").write_bytes(content[:3073] + b"\x0a" + content[3074:])
    with pytest.raises(DataError, match=r"data_batch_3.bin: expected labels 0…9, got 10"):
        cifar10.load(folder)


@pytest.mark.parametrize("cut", [10, 200])
def test_a_damaged_archive(archive, cut):
    archive.write_bytes(archive.read_bytes()[:-cut] if cut > 10 else b"no archive")
    with pytest.raises(DataError, match=r"expected cifar-10-binary.tar.gz, whole, got one dama"):
        cifar10.load(archive)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"nowhere has no data_batch_1.bin"):
        cifar10.load(tmp_path / "nowhere")


def test_without_a_place_one_is_told_where_it_comes_from():
    with pytest.raises(DataError, match=r"is not downloaded for you: fetch https://.* --data-dir"):
        data.load("cifar-10")


def test_by_name(folder):
    loaded = data.load("cifar-10", str(folder))
    assert (loaded.name, loaded.validation, loaded.note) == ("cifar-10", None, "")
    check(loaded.train, loaded.test)


def test_a_data_dir_is_not_for_silhouettes(tmp_path):
    with pytest.raises(DataError, match="for Fashion-MNIST's files or CIFAR-10's, not for silh"):
        data.load("silhouettes", str(tmp_path))


# ---- damaged, or a stranger's -----------------------------------------------------------------


def test_no_flipped_bit_gives_other_pixels(archive):
    whole, refused = archive.read_bytes(), 0
    for bit in range(0, 8 * len(whole), 37):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        archive.write_bytes(content)
        try:
            check(*cifar10.load(archive))
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert refused > 0.8 * len(whole) * 8 / 37


@pytest.mark.parametrize("compressed", ["w", "w:xz", "w:bz2"])
def test_another_compression(archive, contents, compressed):
    with tarfile.open(archive, compressed) as tar:
        member = tarfile.TarInfo("data_batch_1.bin")
        tar.addfile(member, io.BytesIO())
    with pytest.raises(DataError, match=r"expected cifar-10-binary\.tar\.gz, whole"):
        cifar10.load(archive)
    archive.write_bytes(archive.read_bytes()[:100] + bytes(20))
    with pytest.raises(DataError, match=r"expected cifar-10-binary\.tar\.gz, whole"):
        cifar10.load(archive)


def test_what_unpacks_without_end_is_given_up(archive, monkeypatch):
    monkeypatch.setattr(cifar10, "MOST_BYTES", 2**21)
    archive.write_bytes(gzip.compress(gzip.decompress(archive.read_bytes()) + bytes(2**23)))
    read, unpacked = gzip.GzipFile.read, []

    def counted(*arguments):
        some = read(*arguments)
        unpacked.append(len(some))
        return some

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    with pytest.raises(DataError, match="more than 2,097,152 bytes"):
        cifar10.load(archive)
    assert sum(unpacked) <= 2**22


def again(archive, **changes):
    """The archive once more, with other members, by their names' first letters."""
    with tarfile.open(archive) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(archive, "w:gz") as tar:
        for member, content in members:
            name = member.name.rpartition("/")[2]
            for type_, link in changes.get(name[:4], [(tarfile.REGTYPE, "")]):
                member.type, member.linkname = type_, link
                tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"3"])
def test_members_that_are_no_files(archive, kind):
    again(archive, test=[(kind, "data_batch_1.bin")])
    with pytest.raises(DataError, match=r"has no test_batch\.bin"):
        cifar10.load(archive)


def test_two_members_of_one_name(archive):
    again(archive, test=[(tarfile.REGTYPE, "")] * 2)
    with pytest.raises(DataError, match=r"it has two test_batch\.bin"):
        cifar10.load(archive)


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "data_batch_1.bin"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="a pipe or a device"):
        cifar10.load(tmp_path)
