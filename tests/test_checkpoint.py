"""A checkpoint comes back bit for bit, or CheckpointError says in one line that it does not."""

import errno
import gc
import io
import json
import math
import os
import warnings
import zipfile

import numpy as np
import pytest

from minitorch_alexnet import checkpoint
from minitorch_alexnet.errors import CheckpointError, UserError

ARRAYS = {
    "weights/conv1.weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "odd": np.array([np.nan, -np.inf, -0.0, 5e-324]),
    "count": np.array(2**63 - 1),
    "empty": np.zeros((0, 3), np.uint8),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
}
META = {
    "epoch": 3,
    "loss": 0.1 + 0.2,
    "names": ["été", "T-shirt/top"],
    "state": {"big": 2**127 + 1, "none": None},
}


def same(loaded, arrays, meta):
    """Whether load's answer is these arrays, bit for bit, and this meta."""
    got, said = loaded
    return {k: said.get(k) for k in meta} == meta and {
        name: (a.dtype, a.shape, a.tobytes()) for name, a in got.items()
    } == {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()}


@pytest.fixture
def path(tmp_path):
    """A small whole checkpoint."""
    path = tmp_path / "checkpoint.npz"
    checkpoint.save(path, ARRAYS, META)
    return path


def refusal(path):
    """What load says against this file: one line, with its name."""
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


# ---- whole -----------------------------------------------------------------------------------


def test_round_trip_is_exact(path):
    assert same(checkpoint.load(path), ARRAYS, META)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("as_text", [True, False])
def test_paths_may_be_text(as_text, tmp_path):
    path = tmp_path / "no suffix"
    path = str(path) if as_text else path
    checkpoint.save(path, ARRAYS, META)
    assert same(checkpoint.load(path), ARRAYS, META)


def test_saving_again_replaces_it(path):
    checkpoint.save(path, {"a": np.ones(2)}, {"epoch": 4})
    assert same(checkpoint.load(path), {"a": np.ones(2)}, {"epoch": 4})


def test_meta_that_json_cannot_say_leaves_the_old_one(path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        checkpoint.save(path, {}, {"bad": object()})
    assert same(checkpoint.load(path), ARRAYS, META)


def test_an_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        checkpoint.save(tmp_path / "file" / "checkpoint.npz", ARRAYS, META)


# ---- not whole -------------------------------------------------------------------------------


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped(**texts):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, text in texts.items():
            file.writestr(name, text)
    return buffer.getvalue()


NOT_OURS = {
    "empty": b"",
    "text": b"epoch,train_loss\n1,2.3\n" * 50,
    "npy": npy(np.ones(3)),
    "pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00]\x94K\x01a.",
    "empty zip": zipped(),
    "zip of texts": zipped(meta='{"format": 1}', other="x"),
    "no meta": npz(a=np.ones(3)),
    "meta a number": npz(meta=np.array(3)),
    "meta not JSON": npz(meta=np.array("{'format': 1}")),
    "meta a list": npz(meta=np.array("[1]")),
    "meta a JSON text": npz(meta=np.array('"format"')),
    "meta null": npz(meta=np.array("null")),
    "meta without format": npz(meta=np.array('{"epoch": 1}')),
    "meta too deep": npz(meta=np.array("[" * 100_000)),
}


@pytest.mark.parametrize("content", NOT_OURS.values(), ids=NOT_OURS)
def test_a_file_that_is_not_a_checkpoint(content, tmp_path):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(content)
    assert "not a whole checkpoint of ours" in refusal(path)


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("name", ["meta", "a"])
def test_a_pickle_inside_is_never_run(name, tmp_path):
    arrays = {"meta": np.array('{"format": 1}'), "a": np.ones(2)}
    arrays[name] = np.array([Trap(tmp_path / "sprung")], object)
    (tmp_path / "checkpoint.npz").write_bytes(npz(**arrays))
    assert "not a whole checkpoint of ours" in refusal(tmp_path / "checkpoint.npz")
    assert not (tmp_path / "sprung").exists()


def test_missing(tmp_path):
    assert "there is no checkpoint" in refusal(tmp_path / "checkpoint.npz")


def test_a_folder_of_that_name(tmp_path):
    assert "not a whole checkpoint of ours" in refusal(tmp_path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format(version, tmp_path):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(npz(meta=np.array(json.dumps({"format": version}))))
    assert f"it has format {version}, this version reads 1" in refusal(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 not a zip", npz(a=np.ones(3))[:200]])
def test_a_refused_file_is_closed_again(content, tmp_path):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert "not a whole checkpoint of ours" in refusal(path)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def wrong_answers(path, changed):
    """Where load neither refuses nor gives what was saved: [(name of the change, what it did)]."""
    wrong = []
    for name, content in changed:
        path.write_bytes(content)
        try:
            if not same(checkpoint.load(path), ARRAYS, META):
                wrong.append((name, "loaded other data"))
        except CheckpointError as error:
            if "\n" in str(error):
                wrong.append((name, str(error)))
        except Exception as error:
            wrong.append((name, repr(error)))
    return wrong


def test_every_truncation_is_refused(path):
    good = path.read_bytes()
    lengths = [*range(0, len(good), 7), *range(len(good) - 100, len(good))]
    assert wrong_answers(path, ((n, good[:n]) for n in lengths)) == []
    for n in (0, 1, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:n])
        assert "not a whole checkpoint of ours" in refusal(path)


@pytest.mark.parametrize("flip", [0x01, 0xFF], ids=["one bit", "all bits"])
def test_every_damaged_byte_is_refused_or_does_no_harm(path, flip):
    good = path.read_bytes()

    def damaged():
        for i in range(len(good)):
            yield i, good[:i] + bytes([good[i] ^ flip]) + good[i + 1 :]

    assert wrong_answers(path, damaged()) == []


def test_random_damage_is_refused_or_does_no_harm(path):
    good, rng = np.frombuffer(path.read_bytes(), np.uint8), np.random.default_rng(0)

    def damaged():
        for i in range(1000):
            content = good.copy()
            where = rng.integers(0, len(good), rng.integers(1, 5))
            content[where] ^= 1 << rng.integers(0, 8, len(where), dtype=np.uint8)
            yield i, content.tobytes()

    assert wrong_answers(path, damaged()) == []


def directory_entry(content, name):
    """Where the zip's central directory tells of this member."""
    at = content.index(b"PK\x01\x02")
    while content[at + 46 : at + 46 + len(name)] != name:
        at = content.index(b"PK\x01\x02", at + 1)
    return at


@pytest.mark.parametrize(
    ("offset", "value"), [(6, 80), (8, 1), (8, 32), (10, 99)], ids=lambda number: str(number)
)
@pytest.mark.parametrize("name", [b"meta.npy", b"count.npy"])
def test_a_zip_that_asks_too_much(path, name, offset, value):
    """A version to come, a password, a patch, a compression nobody knows."""
    content = bytearray(path.read_bytes())
    content[directory_entry(content, name) + offset] = value
    path.write_bytes(content)
    assert "not a whole checkpoint of ours" in refusal(path)


def test_an_entry_that_swallows_those_after_it(path):
    """Its comment is said to be so long that it ends where the directory ends."""
    content = bytearray(path.read_bytes())
    at, end = directory_entry(content, b"odd.npy"), content.index(b"PK\x05\x06")
    size = end - at - 46 - len(b"odd.npy")
    content[at + 32 : at + 34] = size.to_bytes(2, "little")
    path.write_bytes(content)
    assert "not a whole checkpoint of ours" in refusal(path)


@pytest.mark.parametrize("shape", [b"(000, 100)", b"(100, 100)", b"(200,  50)"])
def test_a_damaged_shape_of_a_large_array(tmp_path, shape):
    """NumPy then stops reading early, before the zip's check sum is due."""
    path = tmp_path / "checkpoint.npz"
    checkpoint.save(path, {"weights/a": np.ones((200, 100))}, META)
    content = path.read_bytes()
    assert content.count(b"(200, 100)") == 1
    path.write_bytes(content.replace(b"(200, 100)", shape))
    assert "not a whole checkpoint of ours" in refusal(path)


def test_some_arrays_can_be_left_unread(path):
    wanted = {name: array for name, array in ARRAYS.items() if not name.startswith("weights/")}
    assert same(checkpoint.load(path, without="weights/"), wanted, META)
    content = path.read_bytes()
    pixels = ARRAYS["weights/conv1.weight"].tobytes()
    assert content.count(pixels) == 1
    path.write_bytes(content.replace(pixels, bytes(len(pixels))))
    assert same(checkpoint.load(path, without="weights/"), wanted, META)
    assert "not a whole checkpoint of ours" in refusal(path)


# ---- a stranger's -----------------------------------------------------------------------------


def as_text(text):
    return npy(np.array(text))


OURS = '{"format": 1, "arrays": ["a"]}'


def rezipped(compression=zipfile.ZIP_STORED, **contents):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in contents.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def header_of(shape, descr="<f8"):
    buffer = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def test_what_is_compressed_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.npz"
    noise = np.random.default_rng(0).integers(0, 256, 2**20, np.uint8)  # it does not shrink
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        bomb = rezipped(kind, meta=as_text(OURS), a=npy(noise))
        path.write_bytes(bomb)
        with monkeypatch.context() as patch:
            patch.setattr(zipfile.ZipFile, "open", lambda *a: pytest.fail("unpacked"))
            assert "it is compressed, and ours are not" in refusal(path)
    path.write_bytes(rezipped(zipfile.ZIP_DEFLATED, meta=as_text(OURS), a=npy(np.zeros(2**20))))
    assert "it is compressed" in refusal(path)
    path.write_bytes(rezipped(meta=as_text(OURS), a=npy(np.zeros(2))))
    assert checkpoint.load(path)[0]["a"].tolist() == [0, 0]


@pytest.mark.parametrize(
    "array",
    [
        header_of((10**15,)) + bytes(16),  # 8 petabytes, so it says
        header_of((1,)) + bytes(16),
        header_of((-1, -2)) + bytes(16),
        header_of((), "<c16") + bytes(16),
        header_of((2,), "|O") + bytes(16),
        header_of((2,), "<M8[s]") + bytes(16),
        header_of((2,), [("x", "<f8")]) + bytes(16),
        b"\x93NUMPY\x03" + header_of((2,))[7:] + bytes(16),
    ],
)
def test_an_array_that_is_none_of_ours(tmp_path, array):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(rezipped(meta=as_text(OURS), a=array))
    assert "not a whole checkpoint of ours" in refusal(path)


def test_two_arrays_of_one_name(tmp_path):
    path = tmp_path / "checkpoint.npz"
    with zipfile.ZipFile(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in (
            ("meta", as_text(OURS)),
            ("a", npy(np.ones(1))),
            ("a", npy(np.ones(1))),
        ):
            file.writestr(f"{name}.npy", content)
    assert "two arrays of one name" in refusal(path)


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "checkpoint.npz")
    assert "a pipe or a device" in refusal(tmp_path / "checkpoint.npz")


def test_what_fails_in_the_machine_is_not_the_files_fault(path, monkeypatch):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(np.lib.format, "read_array", fail)
    error = OSError(errno.EIO, "planted")
    assert "cannot read" in refusal(path)
    error = MemoryError()
    with pytest.raises(MemoryError):
        checkpoint.load(path)


EXAMPLE = {"epoch": 1, "loss": 0.5, "best": math.inf, "done": False, "who": "PCG64", "rows": []}


def test_meta_that_is_made_as_it_should_be():
    for found in (EXAMPLE, {**EXAMPLE, "loss": 3, "best": 0.1, "rows": [1]}):
        checkpoint.expect_like({"state": found}, {"state": EXAMPLE}, "meta")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epoch", value) for value in (1.0, True, -1, "1", None, [])),
        *(("loss", value) for value in (math.nan, math.inf, 10**400, -0.5, "0.5", True)),
        *(("best", value) for value in (math.nan, -1, "inf")),
        *(("done", value) for value in (0, None, "no")),
        *(("who", value) for value in (1, None)),
        *(("rows", value) for value in ({}, "", 0)),
        ("other", 1),
    ],
)
def test_meta_that_is_not(name, value):
    with pytest.raises(CheckpointError, match="meta: state"):
        checkpoint.expect_like({"state": {**EXAMPLE, name: value}}, {"state": EXAMPLE}, "meta")
    with pytest.raises(CheckpointError, match="meta: state"):
        checkpoint.expect_like({"state": list(EXAMPLE)}, {"state": EXAMPLE}, "meta")
