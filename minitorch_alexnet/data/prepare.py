"""Photographs made once into arrays, which training then reads without decoding anything.

The images come in shards, each a train-0000.npy of uint8 (n, 3, size, size) and a train-0000.npz
with labels, sums in exact integers and what there is to report. A shard is done when its .npz is
there: a run that was stopped goes on with the next one, and ends with the same bytes.
"""

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import DataError, UserError
from ..files import whole_file, write_json, write_text
from ..words import printable
from ..workers import usable_cores
from .image_folder import FORMAT, SPLITS, is_prepared, reading, reading_arrays, shard_file
from .photo import as_photo, examine
from .processes import process_map
from .scan import File, Listing, Row, list_files

SHARD = 2048  # files
CLAIM = "plan.json"  # in a folder: what it is being filled with


@dataclass(frozen=True)
class Summary:
    """What became of the files.

    train, val: images made; unusable: image files that could not be read
    aside: files that were not tried, and class folders without any image
    report: the CSV file that names them all, and the images that something was done to
    class_names: in the order of their numbers
    notes: how the folders were understood, where that is not plain
    """

    train: int
    val: int
    unusable: int
    aside: int
    report: Path
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


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
    Raises DataError if the layout is none of these or a split has no usable image, and UserError
    if `out` was begun for something else, lies below `source` or cannot be written.
    """
    source, out = Path(source), Path(out)
    processes = len(usable_cores()) if processes is None else processes
    if size < 1 or processes < 1:
        raise UserError(f"size and processes must be at least 1, got {size} and {processes}")
    if out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{out} lies in {source}, among the images: name a folder outside of it")
    listing = list_files(source)
    claim = _begin(out, listing, size)
    if is_prepared(out):
        return _summary(out, listing)
    shards, done, total = list(_shards(listing)), 0, len(listing.files)
    with process_map(processes) as mapped:
        for split, number, files in shards:
            if not shard_file(out, split, number, "npz").exists():
                results = mapped(_read, [(source, file.path, size) for file in files])
                results = _counted(results, done, total, on_image)
                _make_shard(out, split, number, files, results, size)
            done += len(files)
    _finish(out, claim, listing, shards)
    return _summary(out, listing)


def is_begun(folder: str | Path) -> bool:
    """Does `prepare` fill this folder, or has it?"""
    return os.path.exists(Path(folder, CLAIM))


# ---- reading them --------------------------------------------------------------------------


def _read(job: tuple[Path, str, int]) -> tuple[np.ndarray | None, str]:
    """The image (3, size, size), or None, of the file `path` below `source`; what to report."""
    source, path, size = job
    try:
        photo, remarks = examine(source / path)
    except DataError as error:
        return None, str(error).replace(f"{source}{os.sep}", "")
    if min(photo.size) < size:
        remarks.append("enlarged from {}×{}".format(*photo.size))
    return as_photo(photo, size), ", ".join(remarks)


def _counted(results: Iterable, done: int, total: int, on_image: Callable) -> Iterator:
    for count, result in enumerate(results, done + 1):
        on_image(count, total)
        yield result


# ---- writing -------------------------------------------------------------------------------


def _begin(out: Path, listing: Listing, size: int) -> dict:
    """Claim the folder `out` for this preparation; UserError if it is another's."""
    digest = hashlib.sha256()
    for part in ([SHARD, listing.class_names], *listing.files):
        digest.update(json.dumps(part).encode())
    wanted = {"format": FORMAT, "size": size, "files": digest.hexdigest()}
    path = out / CLAIM
    if not is_begun(out) and not any(out.glob("*.npz")):
        write_json(path, wanted)
        return wanted
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        begun = f"size {found['size']}, not {size}" if found["size"] != size else "other files"
    except (OSError, ValueError, TypeError, KeyError):
        found, begun = None, "something else"
    if found != wanted:
        raise UserError(f"{out} was begun for {begun}: name another folder, or delete this one")
    return wanted


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
    labels, report = [], []
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
                total += image
                rgb = image.reshape(3, -1).astype(np.int64)
                products += np.einsum("ip,jp->ij", rgb, rgb)  # faster than @ on integers
        npy.seek(0)
        _write_header(npy, (len(labels), 3, size, size))  # as long as before: NumPy leaves room
    with whole_file(shard_file(out, split, number, "npz")) as npz:
        np.savez(
            npz,
            labels=np.array(labels, np.int64),
            sum=total,
            products=products,
            report=np.array(json.dumps(report)),
        )


def _write_header(npy: BinaryIO, shape: tuple) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(npy, header)


def _finish(out: Path, claim: dict, listing: Listing, shards: list) -> None:
    """Sum up the shards; prepared.json comes last, and says that all is there."""
    facts, report = {split: {"images": 0, "shards": 0} for split in SPLITS}, []
    total = np.zeros((3, claim["size"], claim["size"]), np.int64)
    products = np.zeros((3, 3), np.int64)
    for split, number, _ in shards:
        with reading_arrays(shard_file(out, split, number, "npz")) as arrays:
            facts[split]["images"] += len(arrays["labels"])
            facts[split]["shards"] += 1
            report += [Row(*row) for row in json.loads(str(arrays["report"]))]
            if split == "train":
                total += arrays["sum"]
                products += arrays["products"]
    table = io.StringIO()
    csv.writer(table).writerows([Row._fields, *sorted(report + listing.aside)])
    write_text(out / "report.csv", table.getvalue())
    for split in SPLITS:
        if not facts[split]["images"]:
            raise DataError(f"not one {split} image can be used: {out / 'report.csv'} says why")
    with whole_file(out / "statistics.npz") as npz:
        np.savez(npz, **statistics(facts["train"]["images"], total, products))
    others = {
        "unusable": sum(row.used == "no" for row in report),
        "aside": len(listing.aside),
        "class_names": listing.class_names,
    }
    write_json(out / "prepared.json", claim | facts | others)


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
    with reading(out / "prepared.json") as path:
        facts = json.loads(path.read_text(encoding="utf-8"))
        train, val = (facts[split]["images"] for split in SPLITS)
        counts = train, val, facts["unusable"], facts["aside"]
        names = tuple(facts["class_names"])
        return Summary(*counts, out / "report.csv", names, tuple(listing.notes))
