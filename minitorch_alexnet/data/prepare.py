"""Photographs made once into arrays, which training then reads without decoding anything.

The images come in shards, each a train-0000.npy of uint8 (n, 3, size, size) and a train-0000.npz
with labels, sums in exact integers and what there is to report. A shard is done when its .npz is
there: a run that was stopped goes on with the next one, and ends with the same bytes.
"""

import contextlib
import csv
import hashlib
import io
import json
import math
import numbers
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import DataError, UserError
from ..files import Lock, expect_ours, open_file, whole_file, write_json, write_text
from ..words import printable
from ..workers import usable_cores
from . import deep
from .image_folder import (
    FORMAT,
    SPLITS,
    check_whites,
    is_prepared,
    load,
    read_facts,
    reading,
    reading_arrays,
    shard_file,
)
from .photo import MAX_PIXELS, ReadError, as_photo, examine, measure
from .processes import process_map
from .scan import File, Listing, Row, list_files

SHARD = 2048  # files
CLAIM = "plan.json"  # in a folder, before all else: what it is being filled with
WHITES = "whites.json"  # then, before the first shard: the levels that count as white
PROCESSES = 256  # at most
PAUSES = (0.1, 1.0)  # seconds, before a file that could not be read is tried again
REPORT = "report.csv"
FLAT = "almost no shades"
SHADES = 20  # of 256: a flat image has fewer in each channel. 12 bits in 16 give 17


@dataclass(frozen=True)
class Summary:
    """What became of the files.

    train, val: images made; unusable: image files that could not be read
    aside: files that were not tried, and class folders without any image
    report: the CSV file that names them all, and the images that something was done to
    class_names: in the order of their numbers
    notes: how the folders were understood, where that is not plain
    refused: the report's rows of what is not used, sorted
    flat: images made that have almost no shades: no channel's pixels differ by SHADES or more
    whites: the level that counts as white, in "integers" and "floats" of more than 8 bits
    """

    train: int
    val: int
    unusable: int
    aside: int
    report: Path
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    refused: tuple[Row, ...] = ()
    flat: int = 0
    whites: Mapping[str, float] = field(default_factory=dict)


def prepare(
    source: str | Path,
    out: str | Path,
    size: int = 256,
    processes: int | None = None,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> Summary:
    """Make an image of size × size of every image file below `source`, into the folder `out`.

    source: train/CLASS/… and val/CLASS/…, or by like names, such as Training and Testing, or
        Tiny-ImageNet's val; without val, or with classes right in `source`, every tenth file of a
        class is held out for validation. No file is taken twice, whatever links lead to it
    processes: that read images; default one a usable core. A script that starts more than one
        needs the usual `if __name__ == "__main__":`
    on_image: called as on_image(done, total), in files

    Where `out` has a part of this already (the same file names and sizes), only the rest is made.
    Files of more than 8 bits are measured first: one level counts as white in all of them.
    A file whose bytes can be had and are no image is left out; one that the system fails to read,
    three times, ends the work with a ReadError, and repeating it goes on.
    Raises DataError if the layout is none of these or a split has no usable image, and UserError
    if `out` was begun for something else, is being filled by another process, holds other files,
    lies below `source` or cannot be written.
    """
    source, out = Path(source), Path(out)
    processes = len(usable_cores()) if processes is None else processes
    _expect_whole("size", size, math.isqrt(MAX_PIXELS))
    _expect_whole("processes", processes, PROCESSES)
    if out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{out} lies in {source}, among the images: name a folder outside of it")
    if is_prepared(source):
        raise UserError(f"{source} is prepared already: train on it as it is")
    listing = list_files(source)
    plan = _plan(listing, size)
    if is_prepared(out):  # which can be read where nothing may be written
        _expect_same(out, plan)
        load(out)  # is it whole?
        return _summary(out, listing)
    expect_ours(out, CLAIM)
    little = "there is too little memory; what is done is kept: repeat it with fewer processes"
    with Lock(out), _enough_memory(little):
        if not is_begun(out):
            write_json(out / CLAIM, plan)
        _expect_same(out, plan)
        if not is_prepared(out):  # by the process before
            _make_all(source, out, plan, listing, processes, on_image)
    return _summary(out, listing)


def _make_all(
    source: Path, out: Path, plan: dict, listing: Listing, processes: int, on_image: Callable
) -> None:
    shards, done, total = list(_shards(listing)), 0, len(listing.files)
    with process_map(processes) as mapped:
        begun = (out / WHITES).exists()
        if not begun:
            write_json(out / WHITES, _measured_whites(source, listing.files, mapped))
        whites = _read_whites(out)
        for split, number, files in shards:
            if not begun or not shard_file(out, split, number, "npz").exists():
                jobs = [(source, file.path, plan["size"], whites) for file in files]
                results = _counted(mapped(_read, jobs), done, total, on_image)
                _make_shard(out, split, number, files, results, plan["size"])
            done += len(files)
    _finish(out, plan, listing, shards, whites)


def is_begun(folder: str | Path) -> bool:
    """Does `prepare` fill this folder, or has it?"""
    return os.path.exists(Path(folder, CLAIM))


# ---- reading them --------------------------------------------------------------------------


def _read(job: tuple[Path, str, int, Mapping]) -> tuple[np.ndarray | None, str]:
    """The image (3, size, size), or None, of the file `path` below `source`; what to report."""
    source, path, size, whites = job
    try:
        return _patiently(_made, source / path, size, whites)
    except ReadError:
        raise
    except DataError as error:
        return None, str(error).replace(str(source / path), path)


def _made(path: Path, size: int, whites: Mapping) -> tuple[np.ndarray, str]:
    photo, remarks = examine(path, whites)
    if min(photo.size) < size:
        remarks.append("enlarged from {}×{}".format(*photo.size))
    image = as_photo(photo, size)
    if np.ptp(image, axis=(1, 2)).max() < SHADES:
        remarks.append(FLAT)
    return image, ", ".join(remarks)


def _patiently(read: Callable, path: Path, *arguments):
    """read(path, …), for which a system that fails for a moment gets three chances."""
    for pause in PAUSES:
        with contextlib.suppress(ReadError):
            return _once(read, path, *arguments)
        time.sleep(pause)
    try:
        return _once(read, path, *arguments)
    except ReadError as error:
        raise ReadError(f"{error}; what is done is kept: repeat the command") from error


def _once(read: Callable, path: Path, *arguments):
    with _enough_memory(f"there is too little memory to read {path}"):
        return read(path, *arguments)


def _measured_whites(source: Path, files: list[File], mapped: Callable) -> dict[str, float]:
    """The level of each kind that holds the largest value of all files. JPEGs have 8 bits."""
    jobs = [(source, f.path) for f in files if not f.path.lower().endswith((".jpg", ".jpeg"))]
    most: dict[str, float] = {}
    for found in mapped(_measure, jobs):
        if found:
            most[found.kind] = max(found.value, most.get(found.kind, 0))
    return {kind: deep.white_level(deep.Largest(kind, value)) for kind, value in most.items()}


def _measure(job: tuple[Path, str]) -> deep.Largest | None:
    source, path = job
    return _patiently(measure, source / path)


@contextlib.contextmanager
def _enough_memory(otherwise: str) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise ReadError(otherwise) from error


def _counted(results: Iterable, done: int, total: int, on_image: Callable) -> Iterator:
    for count, result in enumerate(results, done + 1):
        on_image(count, total)
        yield result


# ---- writing -------------------------------------------------------------------------------


def _plan(listing: Listing, size: int) -> dict:
    """What tells a preparation from others."""
    digest = hashlib.sha256()
    for part in ([SHARD, listing.class_names], *listing.files):
        digest.update(json.dumps(part).encode())
    return {"format": FORMAT, "size": int(size), "files": digest.hexdigest()}


def _expect_same(out: Path, plan: dict) -> None:
    """UserError if the folder `out` is filled with something else."""
    try:
        with open_file(out / CLAIM) as file:
            found = json.load(file)
        same_size = found["size"] == plan["size"]
        begun = "other files" if same_size else f"size {found['size']}, not {plan['size']}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        found, begun = None, "something else"
    if found != plan:
        raise UserError(f"{out} was begun for {begun}: name another folder, or delete this one")


def _read_whites(out: Path) -> Mapping[str, float]:
    with reading(out / WHITES) as path, open_file(path) as file:
        return check_whites(json.load(file))


def _shards(listing: Listing) -> Iterator[tuple[str, int, list[File]]]:
    """The split, the number in it and the files of each shard."""
    for split in SPLITS:
        files = [file for file in listing.files if file.split == split]
        for start in range(0, len(files), SHARD):
            yield split, start // SHARD, files[start : start + SHARD]


def _make_shard(
    out: Path, split: str, number: int, files: list[File], results: Iterable, size: int
) -> None:
    """Write a shard as the results of `_read` come in, so that one image at a time is held."""
    labels, report, checksums = [], [], []
    total, products = np.zeros((3, size, size), np.int64), np.zeros((3, 3), np.int64)
    with whole_file(shard_file(out, split, number, "npy")) as npy:
        _write_header(npy, (len(files), 3, size, size))
        for file, (image, what) in zip(files, results, strict=True):
            if what:
                used = "no" if image is None else "yes"
                report.append(Row(split, printable(file.path), used, printable(what)))
            if image is not None:
                npy.write(image)
                labels.append(file.label)
                checksums.append(zlib.crc32(image))
                total += image
                rgb = image.reshape(3, -1).astype(np.int64)
                products += np.einsum("ip,jp->ij", rgb, rgb)  # faster than @ on integers
        npy.seek(0)
        _write_header(npy, (len(labels), 3, size, size))  # as long as before: NumPy leaves room
    with whole_file(shard_file(out, split, number, "npz")) as npz:
        np.savez(
            npz,
            labels=np.array(labels, np.int64),
            checksums=np.array(checksums, np.uint32),
            sum=total,
            products=products,
            report=np.array(json.dumps(report)),
        )


def _write_header(npy: BinaryIO, shape: tuple) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(npy, header)


def _finish(out: Path, plan: dict, listing: Listing, shards: list, whites: Mapping) -> None:
    """Sum up the shards; prepared.json comes last, and says that all is there."""
    facts = {split: {"images": 0, "shards": 0} for split in SPLITS}
    total = np.zeros((3, plan["size"], plan["size"]), np.int64)
    products = np.zeros((3, 3), np.int64)
    for split, number, _ in shards:
        with reading_arrays(shard_file(out, split, number, "npz")) as arrays:
            facts[split]["images"] += len(arrays["labels"])
            facts[split]["shards"] += 1
            if split == "train":
                total += arrays["sum"]
                products += arrays["products"]
    report = _report(out, ((split, number) for split, number, _ in shards))
    _write_report(out, report + listing.aside)
    for split in SPLITS:
        if not facts[split]["images"]:
            raise DataError(f"not one {split} image can be used: {out / REPORT} says why")
    with whole_file(out / "statistics.npz") as npz:
        np.savez(npz, **statistics(facts["train"]["images"], total, products))
    others = {
        "unusable": sum(row.used == "no" for row in report),
        "aside": len(listing.aside),
        "whites": whites,
        "class_names": listing.class_names,
    }
    write_json(out / "prepared.json", plan | facts | others)


def _report(out: Path, shards: Iterable[tuple[str, int]]) -> list[Row]:
    """What the shards, each a split and a number, have to report."""
    rows = []
    for split, number in shards:
        with reading_arrays(shard_file(out, split, number, "npz")) as arrays:
            rows += [Row(*row) for row in json.loads(str(arrays["report"]))]
    return rows


def _write_report(out: Path, rows: list[Row]) -> None:
    table = io.StringIO()
    csv.writer(table).writerows([Row._fields, *sorted(rows)])
    write_text(out / REPORT, table.getvalue())


def statistics(count: int, total: np.ndarray, products: np.ndarray) -> dict:
    """The mean image, the deviation of all pixels from it, and the covariance of R, G and B.

    total: (3, S, S) int64, sum of `count` images; products: (3, 3) int64, of all pixels' RGBᵀ·RGB
    Python's integers, of any size, keep differences of large sums exact until the last division.
    """
    mean, pixels = total / count, count * total[0].size
    total, products = total.astype(object), products.astype(object)
    variance = (count * products.trace() - (total**2).sum()) / (count**2 * total.size)
    rgb = total.sum(axis=(1, 2))
    covariance = (pixels * products - np.outer(rgb, rgb)) / pixels**2
    return {
        "mean": mean.astype(np.float32),
        "deviation": np.float64(math.sqrt(variance)),
        "covariance": covariance.astype(np.float64),
    }


def _summary(out: Path, listing: Listing) -> Summary:
    """Of what was made, not of its report, which may be edited or gone."""
    facts = read_facts(out)
    shards = [(split, i) for split in SPLITS for i in range(facts.shards[split])]
    rows = _report(out, shards)
    unusable = [row for row in rows if row.used == "no"]
    if not (out / REPORT).exists():
        _write_report(out, rows + listing.aside)
    return Summary(
        facts.images["train"],
        facts.images["val"],
        len(unusable),
        len(listing.aside),
        out / REPORT,
        facts.class_names,
        notes=tuple(listing.notes),
        refused=tuple(sorted(unusable + listing.aside)),
        flat=sum(row.used == "yes" and row.what.endswith(FLAT) for row in rows),
        whites=facts.whites,
    )


def _expect_whole(name: str, value, most: int) -> None:
    """UserError unless it is a whole number of at least 1."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not 1 <= value <= most:
        raise UserError(f"{name} must be a whole number from 1 to {most:,}, got {value!r}")
