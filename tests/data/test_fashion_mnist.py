"""Fashion-MNIST: what is read is what was published, and nothing damaged is ever trusted."""

import contextlib
import errno
import gzip
import hashlib
import http.server
import os
import socket
import struct
import tempfile
import threading
import time
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minitorch_alexnet.data import fashion_mnist as fm
from minitorch_alexnet.errors import DataError

REAL_DEBIAN_DIR = fm.DEBIAN_DIR
IMAGES, LABELS = fm.FILES["train"]


def idx(array):
    """`array` (uint8) as the bytes of an IDX file."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def forged(seed=0):
    """The four files of a tiny Fashion-MNIST, {name: IDX bytes}: 6 and 4 images."""
    rng = np.random.default_rng(seed)
    files = {}
    for split, n in {"train": 6, "test": 4}.items():
        images, labels = fm.FILES[split]
        files[images] = idx(rng.integers(0, 256, (n, 28, 28), np.uint8))
        files[labels] = idx(rng.integers(0, 10, n, np.uint8))
    return files


def put(folder, files, zipped=True):
    """Write `files` into `folder` as .gz or plain; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The forged files, which the module now takes for the true ones; no place holds any yet."""
    files = forged()
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    monkeypatch.setattr(fm, "SHA256", hashes)
    monkeypatch.setattr(fm, "DEBIAN_DIR", tmp_path / "debian")
    monkeypatch.setattr(fm, "MIRRORS", ())
    monkeypatch.setenv("MINITORCH_ALEXNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return files


def check(dataset, files, split="train"):
    """`dataset` holds exactly the images and labels of the forged `files`."""
    images, labels = (files[name] for name in fm.FILES[split])
    assert dataset.images.dtype == np.uint8
    assert dataset.images.shape == (len(dataset), 1, 28, 28)
    assert dataset.images.tobytes() == images[16:]
    assert dataset.labels.astype(np.uint8).tobytes() == labels[8:]
    assert dataset.class_names == fm.CLASS_NAMES


# --- the parser ---------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4)])
def test_read_idx_gives_back_the_array(tmp_path, shape, zipped):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    put(tmp_path, {"a": idx(array)}, zipped)
    got = fm.read_idx(tmp_path / ("a.gz" if zipped else "a"))
    np.testing.assert_array_equal(got, array, strict=True)
    got[0] = 1  # may be written to


GOOD = idx(np.arange(12, dtype=np.uint8).reshape(3, 4))
ZIP = gzip.compress(GOOD)
BAD = {
    "empty": ("a", b"", "expected IDX"),
    "web page": ("a", b"<!DOCTYPE html>", "expected IDX"),
    "float values": ("a", b"\0\0\x0d\1\0\0\0\1\0\0\0\0", "expected IDX"),
    "no dimensions": ("a", b"\0\0\x08\0\7", "expected IDX"),
    "nine dimensions": ("a", b"\0\0\x08\x09" + bytes(36), "expected IDX"),
    "cut in the header": ("a", GOOD[:9], "expected a whole file"),
    "cut in the values": ("a", GOOD[:-1], r"expected 12 values of shape \(3, 4\), got 11"),
    "no values": ("a", GOOD[:12], r"expected 12 values of shape \(3, 4\), got 0"),
    "over-long": ("a", GOOD + b"\0", "expected 12 values .*got more"),
    "over-long in gzip": ("a.gz", gzip.compress(GOOD + b"\0"), "expected 12 values .*got more"),
    "short in gzip": ("a.gz", gzip.compress(GOOD[:-1]), "expected 12 values .*got 11"),
    "dimension of zero": ("a", b"\0\0\x08\2\0\0\0\0\xff\xff\xff\xff", "header says"),
    "header of 2^96": ("a", b"\0\0\x08\3" + b"\xff" * 12, "header says"),
    "not gzip": ("a.gz", GOOD, "expected a whole file.*Not a gzipped file"),
    "empty gzip": ("a.gz", b"", "expected IDX"),
    "gzip without its tail": ("a.gz", ZIP[:-8], "expected a whole file"),
    "gzip cut in the middle": ("a.gz", ZIP[: len(ZIP) // 2], "expected a whole file"),
    "gzip with a wrong CRC": ("a.gz", ZIP[:-8] + bytes(4) + ZIP[-4:], "whole file.*CRC"),
    "gzip with a bad stream": ("a.gz", ZIP[:10] + b"\xff" * 8 + ZIP[18:], "expected a whole file"),
    "gzip and rubbish": ("a.gz", ZIP + b"rubbish", "expected a whole file"),
}


@pytest.mark.parametrize(("name", "data", "message"), BAD.values(), ids=BAD)
def test_read_idx_refuses(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as raised:
        fm.read_idx(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_read_idx_refuses_what_it_cannot_open(tmp_path):
    with pytest.raises(DataError, match="absent: cannot be read: No such file"):
        fm.read_idx(tmp_path / "absent")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        fm.read_idx(tmp_path)


def test_read_idx_reads_no_further_than_the_header_says(tmp_path, monkeypatch):
    """A gzip bomb is given up after one value too many, not unpacked."""
    unpacked = []
    read = gzip.GzipFile.read

    def counting(self, size=-1):
        unpacked.append(len(data := read(self, size)))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", counting)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(5, np.uint8)) + bytes(2**22)))
    with pytest.raises(DataError, match="got more"):
        fm.read_idx(path)
    assert sum(unpacked) == 4 + 4 + 5 + 1


def test_read_idx_checks_the_hash_of_the_unpacked_file(tmp_path):
    put(tmp_path, {"a": GOOD})
    digest = hashlib.sha256(GOOD).hexdigest()
    assert fm.read_idx(tmp_path / "a.gz", digest).shape == (3, 4)
    with pytest.raises(DataError, match=rf"a\.gz: expected SHA-256 0{{8}}…, got {digest[:8]}…"):
        fm.read_idx(tmp_path / "a.gz", "0" * 64)


@given(st.binary(max_size=40), st.booleans(), st.booleans())
@example(b"\0\0\x08\3" + b"\0\x80\0\0" * 3, False, False)
def test_read_idx_gives_an_array_or_a_data_error(tmp_path_factory, data, headed, zipped):
    path = tmp_path_factory.getbasetemp() / ("any.gz" if zipped else "any")
    path.write_bytes(b"\0\0\x08\1" + data if headed else data)
    with contextlib.suppress(DataError):
        assert fm.read_idx(path).nbytes == len(data) - 4


# --- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("zipped", [False, True])
def test_load_from_a_given_folder(tmp_path, files, split, zipped):
    folder = put(tmp_path / "mine", files, zipped)
    check(fm.load(split, folder), files, split)
    check(fm.load(split, str(folder)), files, split)


def test_load_refuses_an_unknown_split(files):
    with pytest.raises(DataError, match='split must be "train" or "test", got \'val\''):
        fm.load("val")


def test_the_cache_comes_before_debian_and_debian_before_the_network(tmp_path, files, monkeypatch):
    monkeypatch.setattr(fm, "_download", lambda *_: pytest.fail("went to the network"))
    debian = put(tmp_path / "debian", files)
    place, tried = fm.find()
    assert place == debian
    assert len(tried) == 1
    assert str(fm.cache_dir()) in tried[0]
    check(fm.load("train"), files)

    cache = put(fm.cache_dir(), files)
    assert fm.find() == (cache, [])
    (debian / f"{IMAGES}.gz").unlink()
    check(fm.load("train"), files)


def test_a_damaged_cache_is_passed_over(tmp_path, files):
    put(fm.cache_dir(), forged(seed=1))
    debian = put(tmp_path / "debian", files)
    place, tried = fm.find()
    assert place == debian
    assert "expected SHA-256" in tried[0]
    check(fm.load("train"), files)


def test_damaged_debian_files_are_refused(tmp_path, files):
    put(tmp_path / "debian", forged(seed=1))
    with pytest.raises(DataError, match=r"debian.*expected SHA-256"):
        fm.load("train")


def test_find_wants_both_splits_but_load_only_its_own(files):
    put(fm.cache_dir(), {name: files[name] for name in fm.FILES["test"]})
    assert fm.find()[0] is None
    check(fm.load("test", download=False), files, "test")


@pytest.mark.parametrize("trouble", ["missing", "a file", "empty", "another data set"])
def test_a_given_folder_is_the_only_one_tried(tmp_path, files, monkeypatch, trouble):
    monkeypatch.setattr(fm, "_download", lambda *_: pytest.fail("went to the network"))
    put(fm.cache_dir(), files)
    put(tmp_path / "debian", files)
    mine = tmp_path / "mine"
    if trouble == "a file":
        mine.touch()
    if trouble == "empty":
        mine.mkdir()
    if trouble == "another data set":
        put(mine, forged(seed=1))
    with pytest.raises(DataError) as raised:
        fm.load("train", mine)
    message = str(raised.value)
    assert message.startswith(str(mine))
    assert "--data-dir" in message
    if trouble == "another data set":
        assert f"{IMAGES}.gz: expected SHA-256 {fm.SHA256[IMAGES][:8]}…, got " in message
        assert "fetch it anew" in message
    place, tried = fm.find(mine)
    assert place is None
    assert len(tried) == 1


def test_labels_must_be_as_many_as_images(tmp_path, files, monkeypatch):
    files[LABELS] = idx(np.zeros(5, np.uint8))
    monkeypatch.setitem(fm.SHA256, LABELS, hashlib.sha256(files[LABELS]).hexdigest())
    folder = put(tmp_path / "mine", files)
    with pytest.raises(DataError, match=r"mine: train images \(6, 28, 28\).*labels \(5,\)"):
        fm.load("train", folder)


def test_the_message_says_what_was_tried_and_the_three_ways(tmp_path, files):
    with pytest.raises(DataError) as raised:
        fm.load("train", download=False)
    message = str(raised.value)
    for part in (
        str(fm.cache_dir()),
        str(tmp_path / "debian"),
        "download: not asked for",
        "apt install dataset-fashion-mnist",
        "run once with a network",
        "--data-dir",
    ):
        assert part in message
    assert "\n" not in message


def test_cache_dir_follows_the_environment(monkeypatch):
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("MINITORCH_ALEXNET_CACHE", "/m")
    assert fm.cache_dir() == Path("/m/fashion-mnist")
    monkeypatch.setenv("MINITORCH_ALEXNET_CACHE", "")
    assert fm.cache_dir() == Path("/x/minitorch_alexnet/fashion-mnist")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert fm.cache_dir() == Path("/h/.cache/minitorch_alexnet/fashion-mnist")


# --- the download -------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(bodies, cut=None):
    """A mirror on this machine; `bodies`: {file name: bytes}, anything else is a 404.

    With `cut`, the connection is dropped after so many bytes of a body.  Yields its
    address and a list that fills with the requests, as "GET name".
    """
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.split("/")[-1]
            asked.append(f"{self.command} {name}")
            if name not in bodies:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(bodies[name])))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(bodies[name][:cut])

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", asked
        finally:
            server.shutdown()
            thread.join()


def zipped(files):
    return {f"{name}.gz": gzip.compress(data) for name, data in files.items()}


def left_in_cache():
    return sorted(path.name for path in fm.cache_dir().rglob("*"))


def test_a_download_fills_the_cache_once(files, monkeypatch, capfd):
    with serving(zipped(files)) as (url, asked):
        monkeypatch.setattr(fm, "MIRRORS", (url,))
        check(fm.load("train"), files)
        assert f"GET {IMAGES}.gz" in asked
    assert left_in_cache() == [f"{IMAGES}.gz", f"{LABELS}.gz"]
    out, err = capfd.readouterr()
    assert out == ""
    assert f"{IMAGES}.gz: 100%" in err
    check(fm.load("train"), files)  # the mirror is gone
    with pytest.raises(DataError, match="Connection refused"):
        fm.load("test")


def test_a_damaged_cache_is_replaced(files, monkeypatch):
    put(fm.cache_dir(), forged(seed=1), zipped=False)
    put(fm.cache_dir(), forged(seed=2))
    with serving(zipped(files)) as (url, _):
        monkeypatch.setattr(fm, "MIRRORS", (url,))
        check(fm.load("train"), files)
    check(fm.load("train", download=False), files)


WRONG = {
    "another data set": zipped(forged(seed=1)),
    "a web page": {f"{name}.gz": b"<html>Please log in</html>" for name in forged()},
    "no such file": {},
}


@pytest.mark.parametrize("bodies", WRONG.values(), ids=WRONG)
def test_a_bad_mirror_gives_way_to_the_next(files, monkeypatch, bodies):
    with serving(bodies) as (bad, _), serving(zipped(files)) as (good, _):
        monkeypatch.setattr(fm, "MIRRORS", (bad, good))
        check(fm.load("train"), files)
        monkeypatch.setattr(fm, "MIRRORS", (bad,))
        with pytest.raises(DataError, match=r"download: 127\.0\.0\.1:\d+: .*(expected|404)"):
            fm.load("test")
    assert left_in_cache() == [f"{IMAGES}.gz", f"{LABELS}.gz"]


def test_the_first_mirror_is_the_one_used(files, monkeypatch):
    with serving(zipped(files)) as (first, asked1), serving(zipped(files)) as (second, asked2):
        monkeypatch.setattr(fm, "MIRRORS", (first, second))
        fm.load("train")
    assert f"GET {IMAGES}.gz" in asked1
    assert f"GET {IMAGES}.gz" not in asked2


def test_a_get_that_fails_after_a_good_head(files, monkeypatch):
    with serving(zipped(files)) as (url, _):
        monkeypatch.setattr(fm, "MIRRORS", (url,))
        monkeypatch.setattr(fm, "_ask_mirrors", lambda file: [(f"{url}absent/{file}x", "")])
        with pytest.raises(DataError, match="404"):
            fm.load("train")
    assert left_in_cache() == []


@pytest.mark.parametrize("cut", [0, 10, 1000])
def test_a_dropped_connection_leaves_nothing(files, monkeypatch, cut):
    with serving(zipped(files), cut=cut) as (url, _):
        monkeypatch.setattr(fm, "MIRRORS", (url,))
        monkeypatch.setattr(fm, "FILES", {"train": (IMAGES,)})  # the labels are too short to cut
        with pytest.raises(DataError, match="download: 127"):
            fm.load("train")
    assert left_in_cache() == []


@pytest.mark.parametrize("moment", ["fetch", "verify", "rename"])
def test_an_interrupt_leaves_nothing(files, monkeypatch, moment):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    if moment == "fetch":
        monkeypatch.setattr(fm.tqdm, "update", interrupt)
    if moment == "verify":
        monkeypatch.setattr(fm.hashlib, "sha256", interrupt)
    if moment == "rename":
        monkeypatch.setattr(fm.os, "replace", interrupt)
    with serving(zipped(files)) as (url, _):
        monkeypatch.setattr(fm, "MIRRORS", (url,))
        with pytest.raises(KeyboardInterrupt):
            fm.load("train")
    assert left_in_cache() == []


@pytest.mark.parametrize("moment", ["write", "verify", "rename"])
def test_what_a_killed_download_leaves_is_not_trusted(files, monkeypatch, moment):
    """As an interrupt, but nothing is tidied up: what lies about is not where `load` looks."""

    def kill(path, *_):
        if moment == "write":
            Path(path).touch()
        raise KeyboardInterrupt

    def never_removed(prefix, dir):  # noqa: A002
        return contextlib.nullcontext(tempfile.mkdtemp(prefix=prefix, dir=dir))

    with serving(zipped(files)) as (url, _), monkeypatch.context() as patch:
        monkeypatch.setattr(fm, "MIRRORS", (url,))
        patch.setattr(fm.tempfile, "TemporaryDirectory", never_removed)
        if moment == "write":
            patch.setattr(Path, "write_bytes", kill)
        if moment == "verify":
            patch.setattr(fm.hashlib, "sha256", kill)
        if moment == "rename":
            patch.setattr(fm.os, "replace", kill)
        with pytest.raises(KeyboardInterrupt):
            fm.load("train")
        patch.undo()
        assert [name for name in left_in_cache() if name.startswith("part-")]
        assert not list(fm.cache_dir().glob("*ubyte*"))
        with pytest.raises(DataError):
            fm.load("train", download=False)
        check(fm.load("train"), files)


def test_an_endless_body_is_given_up(files, monkeypatch):
    monkeypatch.setattr(fm, "MAX_BYTES", 2**17)
    endless = {f"{name}.gz": bytes(2**23) for name in files}
    with serving(endless) as (url, _):
        data = fm._fetch(f"{url}{IMAGES}.gz")
    assert 2**17 < len(data) <= 2**17 + 2**16


def test_a_stalled_download_is_given_up(files, monkeypatch):
    """The mirror answers the question but then sends nothing."""
    monkeypatch.setattr(fm, "STALL_SECONDS", 0.2)
    with listening() as url:
        monkeypatch.setattr(fm, "_ask_mirrors", lambda file: [(url + file, "")])
        assert "timed out" in fails_within_five_seconds()


def test_a_cache_that_cannot_be_made(tmp_path, files, monkeypatch):
    (tmp_path / "cache").touch()  # a file where the folder should be
    with serving(zipped(files)) as (url, asked):
        monkeypatch.setattr(fm, "MIRRORS", (url,))
        with pytest.raises(DataError, match=r"cannot write to .*fashion-mnist: Not a directory"):
            fm.load("train")
        assert asked == []


def test_a_full_disk(files, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with serving(zipped(files)) as (url, asked):
        monkeypatch.setattr(fm, "MIRRORS", (url, url + "again/"))
        with pytest.raises(DataError, match=r"cannot write to .*: No space left on device"):
            fm.load("train")
        assert len([line for line in asked if line.startswith("GET")]) == 1
    assert left_in_cache() == []


# --- strangers on the network -------------------------------------------------------------------


@contextlib.contextmanager
def answering(answer):
    """A server that gives the same answer, as bytes, to whatever is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        end = threading.Event()

        def serve():
            while not end.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(2**16)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            end.set()
            thread.join()


REDIRECTS = (
    "http://[::1", "http://", "http:///x", "http://127.0.0.1:port/", "http://127.0.0.1:99999/",
    "http://127.0.0.1:-1/", "http://a b/", "http://127.0.0.1/a b\x01", f"http://{'a' * 300}.b/",
    "http://..x/", "http://\u00e9/", "ftp://127.0.0.1/x", "file:///etc/passwd", "data:,x",
    "javascript:x", "//", "", "http://[v1.x]/", "http://127.0.0.1:1/", "https://127.0.0.1:1/",
)  # fmt: skip


@pytest.mark.parametrize("to", REDIRECTS, ids=ascii)
def test_wherever_a_mirror_sends_us(files, monkeypatch, to):
    answer = f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
    with answering(answer) as url, warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(fm, "MIRRORS", (url,))
        assert "download: 127.0.0.1" in fails_within_five_seconds()
        with pytest.raises(DataError):
            fm._fetch(url)


def test_no_redirect_leads_away_from_the_web(monkeypatch):
    answer = b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n"
    with answering(answer) as url, pytest.raises(DataError, match="it redirects to ftp://"):
        fm._fetch(url)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 999 x\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\nabc",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a" * 100_000,
        b"HTTP/1.1 401 x\r\nWWW-Authenticate: Digest\r\n\r\n",
    ],
)
def test_answers_that_are_none(files, monkeypatch, answer):
    with answering(answer) as url:
        monkeypatch.setattr(fm, "MIRRORS", (url,))
        assert "download: 127.0.0.1" in fails_within_five_seconds()


def test_a_short_answer_says_so():
    with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc") as url,
        pytest.raises(DataError, match="ended 997 bytes too early"),
    ):
        fm._fetch(url)


def test_a_download_that_drips_is_given_up(files, monkeypatch):
    clock = iter(range(0, 10**6, 10))  # ten seconds from look to look
    monkeypatch.setattr(fm, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    with serving({"x": bytes(2**20)}) as (url, _):
        monkeypatch.setattr(fm, "SLOWEST", 1)
        assert len(fm._fetch(url + "x")) == 2**20
        monkeypatch.setattr(fm, "SLOWEST", 10**9)
        with pytest.raises(DataError, match="too slowly"):
            fm._fetch(url + "x")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / f"{IMAGES}.gz")
    with pytest.raises(DataError, match="a pipe or a device"):
        fm.load("train", tmp_path)


# --- no network ---------------------------------------------------------------------------------


@contextlib.contextmanager
def listening():
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def fails_within_five_seconds():
    start = time.monotonic()
    with pytest.raises(DataError) as raised:
        fm.load("train")
    assert time.monotonic() - start < 5
    return str(raised.value)


def wait_for_threads():
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.main_thread() and "ask" in thread.name:
            thread.join(10)
            assert not thread.is_alive()


def test_without_a_network_that_answers_at_all(files, monkeypatch):
    """Silent mirrors are given up together: one after the other would take nine seconds."""
    assert fm.PROBE_SECONDS < 5
    monkeypatch.setattr(fm, "PROBE_SECONDS", 0.3)
    with listening() as silent:
        monkeypatch.setattr(fm, "MIRRORS", [f"{silent}{number}/" for number in range(30)])
        message = fails_within_five_seconds()
        wait_for_threads()
    assert message.count("no answer in") + message.count("timed out") == 30


def test_without_a_name_server_that_answers(files, monkeypatch):
    """The name look-up hangs, and no time-out can reach it."""
    end = threading.Event()

    def hang(*_, **__):
        end.wait(30)
        raise socket.gaierror("no name server")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(fm, "PROBE_SECONDS", 0.3)
    monkeypatch.setattr(fm, "MIRRORS", ("http://a.invalid/", "http://b.invalid/"))
    try:
        message = fails_within_five_seconds()
    finally:
        end.set()
        wait_for_threads()
    assert message.count(f"no answer in {fm.PROBE_SECONDS} s") == 2
    assert "run once with a network" in message


def test_a_silent_first_mirror_does_not_hide_the_second(files, monkeypatch):
    monkeypatch.setattr(fm, "PROBE_SECONDS", 0.3)
    with listening() as silent, serving(zipped(files)) as (good, _):
        monkeypatch.setattr(fm, "MIRRORS", (silent, good))
        check(fm.load("train"), files)
        wait_for_threads()


# --- the real thing -----------------------------------------------------------------------------


def test_the_published_files():
    """Debian's copy: hashes as published (read_idx compares them), shapes, balanced classes."""
    if not REAL_DEBIAN_DIR.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have dataset-fashion-mnist; {REAL_DEBIAN_DIR} is missing")
        pytest.skip("dataset-fashion-mnist is not installed")
    for split, n in {"train": 60_000, "test": 10_000}.items():
        data = fm.load(split, REAL_DEBIAN_DIR)
        assert data.images.shape == (n, 1, 28, 28)
        assert data.images.dtype == np.uint8
        assert data.num_classes == 10
        assert (np.bincount(data.labels) == n // 10).all()
        assert data.class_names[data.labels[0]] == "Ankle boot"  # the first of both splits
