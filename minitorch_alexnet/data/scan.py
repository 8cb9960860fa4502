"""Which image files a folder of photographs holds, of which splits and classes, told by names."""

import os
import posixpath
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..words import printable, some_of
from .image_folder import SPLITS
from .splits import find_splits, is_no_class, is_whole, names_a_part
from .walk import LINKED, Found, Walk, passed_by

LAYOUTS = (
    "expected image files in train/CLASS/ and val/CLASS/, in train/CLASS/ alone, or in CLASS/; "
    "or Tiny-ImageNet's folders"
)
IF_A_CLASS = "if it is a class, put all classes into one folder train"
TABLE = "val_annotations.txt"
EMPTY = "a folder without image files"
SHOWN = 5  # names in a note or an error


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
    notes: list[str]  # how it was understood, where that is not plain: to be told


def list_files(source: Path) -> Listing:
    """The image files below `source`, by their names; DataError on a layout that is not known."""
    try:
        if not source.is_dir():
            raise DataError(f"there is no folder {source}; {LAYOUTS}")
        return _Reading(source).listing()
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from error


class _Reading:
    """How the folders below `source` are understood.

    parts: those in the source that hold the splits, "" being the source itself
    train, val: those that hold the class folders, which may be further down
    A val of None means that images of train are held out.
    """

    def __init__(self, source: Path):
        self.source, self.walk = source, Walk(source)
        self.notes: list[str] = []
        self.parts = self._parts()
        self.train, self.val = self._unwrapped(*self.parts)

    def listing(self) -> Listing:
        classes = self._classes()
        held_out = self._validation(classes) or self._tenths(classes)
        names = sorted(classes)
        files = [
            File(split, label, *file)
            for split, found in zip(SPLITS, (classes, held_out), strict=True)
            for label, name in enumerate(names)
            for file in found.get(name, [])
        ]
        self._tell_missing(names, held_out)
        self._leave_the_rest({file.path for file in files})
        rows = [self._row(path, why) for path, why in self.walk.aside.items()]
        return Listing(names, files, rows, self.notes)

    def _folders_in(self, folder: str | None) -> dict[str, list[Found]]:
        return {} if folder is None else _folders_in(self.walk.files, folder)

    # ---- where the classes are ----------------------------------------------------------------

    def _parts(self) -> tuple[str, str | None]:
        """The folders for training and validation by their names; reads what is in them."""
        with os.scandir(self.source) as entries:
            beside = {entry.name: entry.is_dir() for entry in entries if not passed_by(entry.name)}
        folders = [name for name in beside if beside[name]]
        splits = find_splits(folders)
        if any(len(names) > 1 for names in splits.values()):
            raise DataError(
                f"{_some(chain(*splits.values()))} in {self.source}: which are for training and"
                f" which for validation? Name two of them train and val; {IF_A_CLASS}"
            )
        train, val, test = (splits.get(split, [""])[0] for split in ("train", "val", "test"))
        if not train and (val or test):
            raise DataError(
                f"{self.source} has a folder {val or test}, but no train; {LAYOUTS}; {IF_A_CLASS}"
            )
        if not is_whole(splits):
            self.walk.read("")
            self._expect_alone(train)
            self._tell_no_folders(beside.keys() - set(folders))
            return train, None
        self.walk.read(train, val or test)
        if val and test:
            self.notes.append(f"{test} is left aside: {val} is what a training is tested with.")
        if others := set(folders) - {train, val, test}:
            self.notes.append(f"Left aside beside {train}: {_some(others)}.")
        for name in beside.keys() - {train, val or test}:
            self.walk.aside[name] = f"neither {train} nor {val or test}"
        return train, val or test

    def _expect_alone(self, train: str) -> None:
        """One folder for training, and none for validation, should not stand among classes."""
        if train and (others := self._folders_in("").keys() - {train}):
            raise DataError(
                f"{self.source / train} is no class, it seems, but stands beside {_some(others)}:"
                f" to train on what is in it, give {self.source / train}; {IF_A_CLASS}"
            )

    def _tell_no_folders(self, names: set[str]) -> None:
        """A file called val, or val.zip, or a link of this name that leads nowhere."""
        for name in sorted(names):
            if find_splits([posixpath.splitext(name)[0]]):
                self.notes.append(f"{printable(name)} is left aside: it is no folder.")

    def _unwrapped(self, train: str, val: str | None) -> tuple[str, str | None]:
        """train/images and val/images, where these hold the same classes."""
        if val is not None:
            *_, inner = _only_ones(self.walk.files, train)
            for held_out in _only_ones(self.walk.files, val):
                if self._folders_in(inner).keys() & self._folders_in(held_out).keys():
                    return inner, held_out
        return train, val

    # ---- the classes --------------------------------------------------------------------------

    def _classes(self) -> dict[str, list[Found]]:
        place, folders = self.source / self.train, self._folders_in(self.train)
        if not folders:
            loose = [path for path, _ in self.walk.files if posixpath.dirname(path) == self.train]
            unsorted = f", but images, such as {_some(loose[:1])}, whose class nothing says"
            raise DataError(
                f"{place} holds no folder with image files{unsorted * bool(loose)}"
                f"{self._instead()}; {LAYOUTS}" + f"; {IF_A_CLASS}" * bool(self.train)
            )
        self._expect_no_set(self.train, folders)
        for name, files in folders.items():
            for inner in _only_ones(files, posixpath.join(self.train, name)):
                self._expect_no_set(inner, _folders_in(files, inner))
        if len(folders) < 2:
            raise DataError(
                f"{place} holds images in one folder alone, {_some(folders)}, and one class is"
                f" nothing to tell apart{self._instead()}; {self._deeper(inner) or LAYOUTS}"
            )
        if wrong := [name for name in folders if is_no_class(name) or self._is_part(name)]:
            deeper = self._deeper(posixpath.join(self.train, wrong[0]))
            raise DataError(
                f"{_some(wrong)} in {place} is no class, it seems: {deeper or LAYOUTS}; if it is"
                " one, give it another name"
            )
        self._tell_inner(folders)
        return self._named(folders)

    def _is_part(self, name: str) -> bool:
        """A folder of folders beside others, named for a part of the set: seg_train."""
        return not self.train and names_a_part(name) and bool(self._deeper(name))

    def _deeper(self, folder: str) -> str:
        """The way out where a folder holds several with images, or ""."""
        several = len(_folders_in(self.walk.files, folder)) > 1
        return f"if the folders in {self.source / folder} are the classes, give that" * several

    def _tell_inner(self, folders: dict[str, list[Found]]) -> None:
        """color/apple and grey/apple, or cat/masks beside the images: which are the classes?

        DataError if a class holds several folders that are named as those beside it.
        """
        inner = []
        for name, files in folders.items():
            folder = posixpath.join(self.train, name)
            places = _folders_in(files, folder)
            if len(again := sorted((places.keys() & folders.keys()) - {name})) > 1:
                raise DataError(
                    f"{self.source / folder} holds {_some(again)}, as {self.source / self.train}"
                    " does: move the one away that is not meant"
                )
            if len(places) + any(posixpath.dirname(file.path) == folder for file in files) > 1:
                inner += [f"{name}/{place}" for place in places]
        if inner:
            self.notes.append(
                f"All images in a class are taken, also those in {_some(inner)}: if these folders"
                " are classes, give the one that holds them; if they hold something else, such as"
                " masks, move them away."
            )

    def _expect_no_set(self, folder: str, inner: dict) -> None:
        """DataError if there are folders for training and for validation in it."""
        splits = find_splits(inner)
        if is_whole(splits):
            place = self.source / folder
            raise DataError(
                f"{place} is a data set of its own, with {_some(chain(*splits.values()))} in it:"
                f" give {place}, or put the images of each class into train/CLASS/ and val/CLASS/"
            )

    def _instead(self) -> str:
        """What there is that is no image, for an error."""
        return f"; {why}" if (why := self.walk.why("")) else ""

    def _named(self, folders: dict[str, list[Found]]) -> dict[str, list[Found]]:
        """By names as they can be printed, an é the same however it is put together."""
        named: dict[str, list[Found]] = {}
        for name, files in folders.items():
            if (shown := _class_name(name)) in named:
                raise DataError(
                    f"two folders in {self.source} would be the class {shown}: rename one"
                )
            named[shown] = files
        return named

    # ---- what is held out ---------------------------------------------------------------------

    def _validation(self, classes: dict) -> dict[str, list[Found]] | None:
        """The validation images of each class; None if there is no folder for them."""
        if self.val is None:
            return None
        folders, told = self._folders_in(self.val), {}
        table = f"{self.parts[1]}/{TABLE}"
        if (self.source / table).is_file():
            try:
                images = [] if "images" in classes else folders.pop("images", [])
                told = self._annotated(table, images)
            except DataError as error:
                if not folders:
                    raise
                self.notes.append(
                    f"{self.val} is sorted into classes; {TABLE} is left aside: {error}."
                )
        held_out = self._named(folders)
        for name, files in told.items():
            held_out[name] = sorted(held_out.get(name, []) + files)
        strange = held_out.keys() - classes.keys()
        if "test" in find_splits([posixpath.dirname(table)]) and len(strange) == len(held_out) < 2:
            self.notes.append(f"{self.val} is left aside: it holds no folders of the classes.")
            self.val = None
            return None
        place = self.source / self.val
        if not held_out:
            raise DataError(f"{place} holds no folder with image files{self._instead()}; {LAYOUTS}")
        if strange:
            raise DataError(
                f"{place} holds classes without images in {self.source / self.train}:"
                f" {_some(strange)}{self._instead()}"
            )
        return held_out

    def _annotated(self, table: str, images: list[Found]) -> dict[str, list[Found]]:
        """Tiny-ImageNet's validation files, whose classes stand in a table."""
        place, folder = self.source / table, f"{posixpath.dirname(table)}/images"
        there, gone = {file.path: file for file in images}, []
        found: dict[str, list[Found]] = {}
        for number, line in enumerate(place.read_bytes().splitlines(), 1):
            name, *fields = os.fsdecode(line).split("\t")
            if file := there.pop(f"{folder}/{name}", None) if fields else None:
                found.setdefault(_class_name(fields[0]), []).append(file)
            elif fields:
                gone.append(f"{folder}/{name}")
            elif name.strip():
                raise DataError(f"{place}, line {number}: expected a file, a tab and its class")
        if not found:
            raise DataError(f"{place} names no image in {self.source / folder}")
        del self.walk.aside[table]
        self.walk.aside |= dict.fromkeys(gone, f"in {TABLE}, but not there")
        self.walk.aside |= dict.fromkeys(there, f"not in {TABLE}")
        return found

    def _tenths(self, classes: dict[str, list[Found]]) -> dict[str, list[Found]]:
        """Every tenth image of a class, taken from it."""
        held_out = {name: files[9::10] for name, files in classes.items()}
        for files in classes.values():
            del files[9::10]
        if not any(held_out.values()):
            raise DataError(
                f"{self.source / self.train} has no class of ten images to hold every tenth out"
                " from: add some, or put those for validation in val/CLASS/ and the others in"
                " train/CLASS/"
            )
        self.notes.append("Every tenth image of a class is held out for validation.")
        return held_out

    # ---- what is told -------------------------------------------------------------------------

    def _tell_missing(self, names: list[str], held_out: dict) -> None:
        if (self.train, self.val) not in (("train", "val"), ("train", None), ("", None)):
            validation = f", for validation {self.val}" * (self.val is not None)
            self.notes.insert(0, printable(f"Taken for training: {self.train}{validation}."))
        if missing := [name for name in names if not held_out.get(name)]:
            few = " (they have fewer than ten)" * (self.val is None)
            self.notes.append(
                f"{len(missing):,} of {len(names):,} classes have no validation image{few}:"
                f" {_some(missing)}."
            )

    def _leave_the_rest(self, used: set[str]) -> None:
        aside = self.walk.aside
        for path, _ in self.walk.files:
            if path not in used:
                aside.setdefault(path, "not in the folder of a class")
        full = {self.train: self._folders_in(self.train), self.val: self._folders_in(self.val)}
        for folder in filter(None, self.walk.folders):
            within, name = posixpath.split(folder)
            if name not in full.get(within, [name]):
                aside[folder] = EMPTY
        no_classes = sorted(
            path
            for path, why in aside.items()
            if posixpath.dirname(path) == self.train and why in (EMPTY, LINKED)
        )
        if no_classes:
            some = [f"{_some([p])} ({self.walk.why(p) or aside[p]})" for p in no_classes[:SHOWN]]
            some += ["…"] * (len(no_classes) > SHOWN)
            self.notes.append(f"No classes, but left aside: {'; '.join(some)}.")

    def _row(self, path: str, why: str) -> Row:
        for split, part in zip(SPLITS, self.parts, strict=True):
            if part is not None and f"{path}/".startswith(part and f"{part}/"):
                return Row(split, printable(path), "no", why)
        return Row("", printable(path), "no", why)


def _folders_in(files: list[Found], folder: str) -> dict[str, list[Found]]:
    """The files of each folder in a folder, at any depth."""
    within = folder and f"{folder}/"
    found: dict[str, list[Found]] = {}
    for file in files:
        if file.path.startswith(within):
            name, *rest = file.path[len(within) :].split("/", 1)
            if rest:
                found.setdefault(name, []).append(file)
    return found


def _only_ones(files: list[Found], folder: str) -> Iterator[str]:
    """A folder, the only one in it that holds files, the only one in that, …"""
    yield folder
    while len(inner := _folders_in(files, folder)) == 1:
        yield (folder := posixpath.join(folder, *inner))


def _class_name(folder: str) -> str:
    return printable(unicodedata.normalize("NFC", folder))


def _some(names: Iterable[str]) -> str:
    """The first of them, as they can be printed."""
    return some_of(sorted(map(printable, names)), SHOWN)
