"""Which image files a folder of photographs holds, told by their names: none is opened."""

import os
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ..errors import DataError
from ..words import printable
from .image_folder import SPLITS

LIKE_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
LAYOUTS = (
    "expected image files in train/CLASS/ and val/CLASS/, in train/CLASS/ alone, or in CLASS/; "
    "or Tiny-ImageNet's folders"
)


class File(NamedTuple):
    split: str
    label: int
    path: str  # below the source, with /
    bytes: int


class Row(NamedTuple):
    """Of the report: a file, whether it is used ("yes" or "no"), and why not or what was done."""

    split: str
    file: str
    used: str
    what: str


class Listing(NamedTuple):
    class_names: list[str]
    files: list[File]  # sorted
    aside: list[Row]  # what else was found


def list_files(source: Path) -> Listing:
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
        if splits := sorted(name for name in classes if name.lower() in LIKE_SPLITS):
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
    return Listing([printable(name) for name in names], files, scan.aside)


class Scan:
    """Looks for image files below `source`, and notes in `aside` what it passes by.

    A file found is (its path below `source`, its size in bytes).
    """

    def __init__(self, source: Path):
        self.source = source
        self.aside: list[Row] = []
        self.endings = Image.registered_extensions()

    def classes(self, split: str, folder: Path) -> dict[str, list]:
        """The files of each class folder; a folder without any is left aside."""
        found: dict[str, list] = {}
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
        files = dict(self._files("val", val / "images"))
        found: dict[str, list] = {}
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
        self.aside.append(Row(split, printable(path), "no", why))


def _raise(error: OSError) -> None:
    raise error
