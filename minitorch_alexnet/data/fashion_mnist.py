"""Fashion-MNIST: find it or download it, check its SHA-256 (of the IDX unpacked), read it.

60,000 training and 10,000 test pictures of clothes, grey, 28 × 28, in ten classes of equal size.
Source: https://github.com/zalandoresearch/fashion-mnist (MIT licence; arXiv:1708.07747).
"""

import gzip
import hashlib
import math
import os
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import numpy as np
from tqdm import tqdm

from ..errors import DataError
from ..files import open_file
from .arrays import ArrayDataset

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
FILES = {"train": tuple(SHA256)[:2], "test": tuple(SHA256)[2:]}  # each: images, labels
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)
DEBIAN_DIR = Path("/usr/share/datasets/fashion-mnist")
MAX_BYTES = 64 * 2**20  # the largest file is 47 MB unpacked; anything beyond this is refused
PROBE_SECONDS = 3.5  # for all mirrors together to show a sign of life
STALL_SECONDS = 15.0  # for the next bytes of a download under way
SLOWEST = 10_000  # bytes a second, once it is older than that
NETWORK_ERRORS = (OSError, HTTPException, ValueError)  # the last: of addresses that are none


def load(split: str, data_dir: str | Path | None = None, download: bool = True) -> ArrayDataset:
    """One split, "train" or "test": images uint8 (N, 1, 28, 28), labels int64 (N,).

    With `data_dir`, that folder alone is looked in.  Without, the cache, then Debian's package,
    then (unless `download` is False) the mirrors, into the cache.
    Raises DataError if the split is not to be had: what was tried, and the ways to get it.
    """
    if split not in FILES:
        raise DataError(f'split must be "train" or "test", got {split!r}')
    _, tried, found = _search([split], data_dir)
    if found:
        return found[0]
    if data_dir is not None:
        raise DataError(f"{tried[0]}; --data-dir needs a folder with Fashion-MNIST's four files")
    try:
        if not download:
            raise DataError("not asked for")
        for name in reversed(FILES[split]):  # the small file first
            _download(name, cache_dir())
        return _read_split(cache_dir(), split)
    except DataError as error:
        raise DataError(
            f"Fashion-MNIST is not to be had. Tried: {'; '.join(tried)}; download: {error}. "
            "Ways to get it: on Debian or Ubuntu, apt install dataset-fashion-mnist; or run once "
            "with a network; or put the four files in a folder and pass it with --data-dir"
        ) from error


def find(data_dir: str | Path | None = None) -> tuple[Path | None, list[str]]:
    """Where `load` finds both splits without a network, or None; and what is wrong elsewhere."""
    return _search(FILES, data_dir)[:2]


def cache_dir() -> Path:
    """$MINITORCH_ALEXNET_CACHE/fashion-mnist, or that in minitorch_alexnet in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    base = os.environ.get("MINITORCH_ALEXNET_CACHE") or os.path.join(home, "minitorch_alexnet")
    return Path(base, "fashion-mnist")


def read_idx(path: str | Path, sha256: str | None = None) -> np.ndarray:
    """The uint8 array, of 1 to 3 dimensions, in an IDX file, gzipped if its name ends in .gz.

    IDX: two zero bytes, the type (8: uint8), the number of dimensions, each dimension as a
    big-endian uint32, then the values in C order.
    Raises DataError if the file cannot be read, is not IDX, is shorter or longer than its header
    says, is larger than MAX_BYTES, or is not the one with this `sha256` (of the unpacked bytes).
    """
    try:
        zipped = str(path).endswith(".gz")
        with open_file(path) as stored, gzip.open(stored) if zipped else stored as file:
            magic = file.read(4)
            if magic not in (b"\0\0\x08\1", b"\0\0\x08\2", b"\0\0\x08\3"):
                raise DataError(f"{path}: expected IDX (00 00 08, then 01–03), got {magic!r}")
            sizes = file.read(4 * magic[3])
            shape = struct.unpack(f">{magic[3]}I", sizes)
            if not 0 < (expected := math.prod(shape)) <= MAX_BYTES:
                raise DataError(f"{path}: expected 1 to {MAX_BYTES} values, header says {shape}")
            values = file.read(expected + 1)  # one more shows a file that is too long
    except (gzip.BadGzipFile, zlib.error, EOFError, struct.error) as error:
        raise DataError(f"{path}: expected a whole file, got one damaged: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(values) != expected:
        got = "more" if len(values) > expected else len(values)
        raise DataError(f"{path}: expected {expected} values of shape {shape}, got {got}")
    digest = hashlib.sha256(magic + sizes + values).hexdigest()
    if sha256 not in (None, digest):  # damaged, or MNIST, which has the same file names
        raise DataError(f"{path}: expected SHA-256 {sha256[:8]}…, got {digest[:8]}…; fetch it anew")
    return np.frombuffer(values, np.uint8).reshape(shape).copy()  # the copy can be written to


def _search(splits: Iterable[str], data_dir: str | Path | None) -> tuple:
    """The first folder that holds all `splits`, why each before it does not, and the splits."""
    tried: list[str] = []
    for place in [cache_dir(), DEBIAN_DIR] if data_dir is None else [Path(data_dir)]:
        try:
            return place, tried, [_read_split(place, split) for split in splits]
        except DataError as error:  # noqa: PERF203 (two places)
            tried.append(str(error))
    return None, tried, []


def _read_split(place: Path, split: str) -> ArrayDataset:
    """The split as the folder `place` holds it, verified; DataError says why not."""
    files = {name: place / f"{name}.gz" for name in FILES[split]}
    files |= {n: place / n for n, gz in files.items() if not os.path.exists(gz)}
    images, labels = (read_idx(file, SHA256[name]) for name, file in files.items())
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(f"{place}: {split} images {images.shape} do not fit labels {labels.shape}")
    return ArrayDataset(images, labels, CLASS_NAMES)


def _download(name: str, cache: Path) -> None:
    """Put `name`.gz in the cache.  It gets there only once verified: nothing half-done stays."""
    failures = []
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="part-", dir=cache) as part:
            file = Path(part, f"{name}.gz")
            for url, silence in _ask_mirrors(file.name):
                try:
                    if silence:
                        raise DataError(silence)
                    file.write_bytes(_fetch(url))
                    read_idx(file, SHA256[name])
                    os.replace(file, cache / file.name)
                    return
                except DataError as error:  # noqa: PERF203 (three mirrors)
                    failures.append(f"{url.split('/')[2]}: {error}".replace(f"{part}{os.sep}", ""))
    except OSError as error:
        raise DataError(f"cannot write to {cache}: {error.strerror or error}") from error
    raise DataError("; ".join(failures))


def _ask_mirrors(file: str) -> Iterator[tuple[str, str]]:
    """Yield each mirror's address of `file`, in order, and why it is no use ("" if it answers).

    All at once, in threads, as no time-out ends a name look-up: it takes PROBE_SECONDS at the most.
    """
    said = {}

    def ask(url: str) -> None:
        try:
            with _open(Request(url, method="HEAD"), PROBE_SECONDS):
                said[url] = ""
        except NETWORK_ERRORS as error:
            said[url] = str(error) or type(error).__name__

    urls = [mirror + file for mirror in MIRRORS]
    threads = {url: threading.Thread(target=ask, args=[url], daemon=True) for url in urls}
    deadline = time.monotonic() + PROBE_SECONDS
    for thread in threads.values():
        thread.start()
    for url, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        yield url, said.get(url, f"no answer in {PROBE_SECONDS} s")


def _fetch(url: str) -> bytes:
    """The bytes at `url`, with a progress bar; DataError if the network or the server fails."""
    data, start = bytearray(), time.monotonic()
    try:
        with (
            _open(Request(url), STALL_SECONDS) as answer,
            tqdm(total=answer.length, unit="B", unit_scale=True, desc=url.split("/")[-1]) as bar,
        ):
            while len(data) <= MAX_BYTES and (chunk := answer.read1(2**16)):
                data += chunk
                bar.update(len(chunk))
                if (seconds := time.monotonic() - start) > max(STALL_SECONDS, len(data) / SLOWEST):
                    raise DataError(f"it sends too slowly: {len(data):,} bytes in {seconds:.0f} s")
            if answer.length and len(data) <= MAX_BYTES:
                raise DataError(f"the connection ended {answer.length:,} bytes too early")
    except DataError:
        raise
    except NETWORK_ERRORS as error:
        raise DataError(str(error) or type(error).__name__) from error
    return bytes(data)


class _Redirects(HTTPRedirectHandler):
    """To other web addresses alone: urllib follows them to FTP servers, too."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise URLError(f"it redirects to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(request: Request, timeout: float):
    return build_opener(_Redirects).open(request, timeout=timeout)
