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
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from ..errors import DataError, UserError
from ..files import whole_file, write_json, write_text
from ..workers import usable_cores
from .image_folder import FORMAT, is_prepared, reading, reading_arrays, shard_file
from .photo import as_photo, examine

SHARD = 2048  # files
CHUNK = 8  # files a process is given at once: few, as Ctrl-C waits for them
SPLITS = ("train", "val")
LIKE_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
LAYOUTS = (
    "expected image files in train/CLASS/ and val/CLASS/, in train/CLASS/ alone, or in CLASS/; "
    "or Tiny-ImageNet's folders"
)


@dataclass(frozen=True)
class Summary:
    """What became of the files.

    train, val: images made; unusable: image files that could not be read
    aside: files that were not tried, and class folders without any image
    report: the CSV file that names them all, and the images that something was done to
    class_names: in the order of their numbers
    """

    train: int
    val: int
    unusable: int
    aside: int
    report: Path
    class_names: tuple[str, ...]


def prepare(
    source: str | Path,
    out: str | Path,
    size: int = 256,
    processes: int | None = None,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> Summary:
    """Make an image of size × size of every image file below `source`, into the folder `out`.

    source: train/CLASS/… and val/CLASS/…, or Tiny-ImageNet's val; without val, or with classes
        right in `source`, every tenth file of a class is held out for validation
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
    plan = make_plan(source)
    claim = _begin(out, plan, size)
    if is_prepared(out):
        return _summary(out)
    shards, done, total = list(_shards(plan)), 0, len(plan.files)
    with _mapping(processes) as mapping:
        for split, number, files in shards:
            if not shard_file(out, split, number, "npz").exists():
                results = mapping(_read, [(source, file.path, size) for file in files])
                results = _counted(results, done, total, on_image)
                _make_shard(out, split, number, files, results, size)
            done += len(files)
    _finish(out, claim, plan, shards)
    return _summary(out)


# ---- which files ---------------------------------------------------------------------------


class File(NamedTuple):
    split: str
    label: int
    path: str  # below the source, with /
    bytes: int


class Plan(NamedTuple):
    class_names: list[str]
    files: list[File]  # sorted
    aside: list[tuple]  # rows of the report on what is left aside


def make_plan(source: Path) -> Plan:
    """The image files below `source`, by their names; DataError on a layout that is not known."""
    scan, train, val = Scan(source), source / "train", source / "val"
    try:
        if not source.is_dir():
            raise DataError(f"there is no folder {source}; {LAYOUTS}")
        if val.is_dir() and not train.is_dir():
            raise DataError(f"{source} has a folder val, but no train; {LAYOUTS}")
        if train.is_dir():
            scan.leave_others(train, val)
        else:
            train = source
        classes = scan.classes("train", train)
        if splits := sorted(classes.keys() & LIKE_SPLITS):
            raise DataError(f"{splits[0]} in {train} is no class, it seems; {LAYOUTS}")
        if not val.is_dir():
            held_out = {name: files[9::10] for name, files in classes.items()}
            for files in classes.values():
                del files[9::10]
        elif (val / "val_annotations.txt").is_file():
            held_out = scan.annotated(val)
        else:
            held_out = scan.classes("val", val)
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from error
    for folder, found in ((train, classes), (val, held_out)):
        if not found:
            raise DataError(f"{folder} holds no folder with image files; {LAYOUTS}")
    if strange := sorted(held_out.keys() - classes.keys()):
        raise DataError(f"{val} holds classes without images in {train}: {', '.join(strange[:5])}")
    if not any(held_out.values()):
        raise DataError(
            f"{train} has no class of ten images to hold every tenth out from: add some, "
            "or put those for validation in val/CLASS/ and the others in train/CLASS/"
        )
    names = sorted(classes)
    files = [
        File(split, label, *file)
        for split, found in zip(SPLITS, (classes, held_out), strict=True)
        for label, name in enumerate(names)
        for file in found.get(name, [])
    ]
    return Plan([_printable(name) for name in names], files, scan.aside)


class Scan:
    """Looks for image files below `source`, and notes in `aside` what it passes by.

    A file found is (its path below `source`, its size in bytes).
    """

    def __init__(self, source: Path):
        self.source, self.aside = source, []
        self.endings = Image.registered_extensions()

    def classes(self, split: str, folder: Path) -> dict[str, list]:
        """The files of each class folder; a folder without any is left aside."""
        found = {}
        for place in folder.iterdir():
            if place.name[0] == ".":
                continue
            if not place.is_dir():
                self._leave(split, self._below(place), "not in the folder of a class")
            elif files := self._files(split, place):
                found[place.name] = files
            else:
                self._leave(split, self._below(place), "a folder without image files")
        return found

    def leave_others(self, *known: Path) -> None:
        """What stands beside train and val."""
        for place in sorted(self.source.iterdir()):
            if place not in known and place.name[0] != ".":
                self._leave("", self._below(place), "neither train nor val")

    def annotated(self, val: Path) -> dict[str, list]:
        """Tiny-ImageNet's validation files, whose classes stand in a table."""
        table = val / "val_annotations.txt"
        files, found = dict(self._files("val", val / "images")), {}
        for number, line in enumerate(table.read_bytes().splitlines(), 1):
            name, *fields = os.fsdecode(line).split("\t")
            if not fields:
                raise DataError(f"{table}, line {number}: expected a file, a tab and its class")
            path = f"val/images/{name}"
            if path in files:
                found.setdefault(fields[0], []).append((path, files.pop(path)))
            else:
                self._leave("val", path, "in val_annotations.txt, but not there")
        for path in files:
            self._leave("val", path, "not in val_annotations.txt")
        return {name: sorted(files) for name, files in found.items()}

    def _files(self, split: str, folder: Path) -> list[tuple[str, int]]:
        """The image files in a folder and in those below it, sorted."""
        found = []
        for place, folders, names in os.walk(folder, onerror=_raise):
            below = self._below(Path(place))
            links = [name for name in folders if os.path.islink(os.path.join(place, name))]
            folders[:] = [name for name in folders if name[0] != "."]
            for name in names + links:  # walk does not follow these: they could lead in circles
                path = os.path.join(place, name)
                if name[0] == ".":
                    continue
                if not os.path.isfile(path):
                    self._leave(split, f"{below}/{name}", "neither a file nor a link to one")
                elif os.path.splitext(name)[1].lower() not in self.endings:
                    self._leave(split, f"{below}/{name}", "not the name of an image file")
                else:
                    found.append((f"{below}/{name}", os.path.getsize(path)))
        return sorted(found)

    def _below(self, path: Path) -> str:
        return path.relative_to(self.source).as_posix()

    def _leave(self, split: str, path: str, why: str) -> None:
        self.aside.append((split, _printable(path), "no", why))


def _raise(error: OSError) -> None:
    raise error


def _printable(name: str) -> str:
    """A file's name in valid Unicode: bytes that are none of it become backslash and number."""
    return name.encode("utf-8", "backslashreplace").decode()


# ---- reading them --------------------------------------------------------------------------


@contextlib.contextmanager
def _mapping(processes: int) -> Iterator[Callable]:
    """A `map` that deals out to so many processes, or the plain one if that is one."""
    if processes == 1:
        yield map
        return
    spawn = multiprocessing.get_context("spawn")  # forking a process with threads can hang
    pool = ProcessPoolExecutor(processes, spawn, _start_process)
    try:
        yield partial(_map_some, pool, 4 * processes * CHUNK)
    except BrokenProcessPool as error:
        raise UserError(
            "a process that reads images could not start or was ended, perhaps for want of memory; "
            "what is done is kept: repeat it with fewer processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _map_some(pool: ProcessPoolExecutor, some: int, read: Callable, jobs: list) -> Iterator:
    """pool.map, but at most `some` results wait in memory where the parent is the slower one."""
    for start in range(0, len(jobs), some):
        yield from pool.map(read, jobs[start : start + some], chunksize=CHUNK)


def _start_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its processes."""
    multiprocessing.parent_process().join()
    os._exit(1)


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


def _begin(out: Path, plan: Plan, size: int) -> dict:
    """Claim the folder `out` for this preparation; UserError if it is another's."""
    digest = hashlib.sha256()
    for part in ([SHARD, plan.class_names], *plan.files):
        digest.update(json.dumps(part).encode())
    wanted = {"format": FORMAT, "size": size, "files": digest.hexdigest()}
    path = out / "plan.json"
    if not os.path.exists(path) and not any(out.glob("*.npz")):
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


def _shards(plan: Plan) -> Iterator[tuple[str, int, list[File]]]:
    """The split, the number in it and the files of each shard."""
    for split in SPLITS:
        files = [file for file in plan.files if file.split == split]
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
                report.append((split, _printable(file.path), used, what))
            if image is not None:
                npy.write(image)
                labels.append(file.label)
                total += image
                rgb = image.reshape(3, -1).astype(np.int64)
                products += np.einsum("ip,jp->ij", rgb, rgb)  # faster than @ on integers
        npy.seek(0)
        _write_header(npy, (len(labels), 3, size, size))  # as long as before: NumPy leaves room
    arrays = {"labels": np.array(labels, np.int64), "sum": total, "products": products}
    with whole_file(shard_file(out, split, number, "npz")) as npz:
        np.savez(npz, **arrays, report=np.array(json.dumps(report)))


def _write_header(npy: BinaryIO, shape: tuple) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(npy, header)


def _finish(out: Path, claim: dict, plan: Plan, shards: list) -> None:
    """Sum up the shards; prepared.json comes last, and says that all is there."""
    facts, report = {split: {"images": 0, "shards": 0} for split in SPLITS}, []
    total = products = 0
    for split, number, _ in shards:
        with reading_arrays(shard_file(out, split, number, "npz")) as arrays:
            facts[split]["images"] += len(arrays["labels"])
            facts[split]["shards"] += 1
            report += json.loads(str(arrays["report"]))
            if split == "train":
                total = total + arrays["sum"]
                products = products + arrays["products"]
    table = io.StringIO()
    rows = sorted([*map(tuple, report), *plan.aside])
    csv.writer(table).writerows([("split", "file", "used", "what"), *rows])
    write_text(out / "report.csv", table.getvalue())
    for split in SPLITS:
        if not facts[split]["images"]:
            raise DataError(f"not one {split} image can be used: {out / 'report.csv'} says why")
    with whole_file(out / "statistics.npz") as npz:
        np.savez(npz, **statistics(facts["train"]["images"], total, products))
    facts["unusable"] = sum(used == "no" for _, _, used, _ in report)
    facts["aside"] = len(plan.aside)
    write_json(out / "prepared.json", {**claim, **facts, "class_names": plan.class_names})


def statistics(count: int, total: np.ndarray, products: np.ndarray) -> dict[str, np.ndarray]:
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


def _summary(out: Path) -> Summary:
    with reading(out / "prepared.json") as path:
        facts = json.loads(path.read_text(encoding="utf-8"))
        train, val = (facts[split]["images"] for split in SPLITS)
        counts = train, val, facts["unusable"], facts["aside"]
        return Summary(*counts, out / "report.csv", tuple(facts["class_names"]))
