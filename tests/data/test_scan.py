"""Which files of a folder are its images, of which splits and classes, whatever else lies there."""

import errno
import os
import re
import sys
import unicodedata

import pytest

from minitorch_alexnet.data import walk
from minitorch_alexnet.data.scan import File, Listing, Row, list_files
from minitorch_alexnet.errors import DataError


def folder(root, *paths):
    """Files at these paths below `root`; none can be opened as an image, as they are empty."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def found(source):
    """[(split, class, path)] of a listing, in its order."""
    names, files, *_ = list_files(source)
    return [(file.split, names[file.label], file.path) for file in files]


def test_train_and_val(tmp_path):
    train = ["dog/b.png", "dog/a.PNG", "dog/deep/er/c.png", "cat/x.png", "eel/y.png"]
    folder(tmp_path, *(f"train/{path}" for path in train), "val/eel/z.png", "val/dog/z.png")
    (tmp_path / "train" / "cat" / "x.png").write_bytes(b"seven b")
    assert list_files(tmp_path) == Listing(
        ["cat", "dog", "eel"],
        [
            File("train", 0, "train/cat/x.png", 7),
            File("train", 1, "train/dog/a.PNG", 0),
            File("train", 1, "train/dog/b.png", 0),
            File("train", 1, "train/dog/deep/er/c.png", 0),
            File("train", 2, "train/eel/y.png", 0),
            File("val", 1, "val/dog/z.png", 0),
            File("val", 2, "val/eel/z.png", 0),
        ],
        aside=[],
        notes=[
            "All images in a class are taken, also those in dog/deep: if these folders are classes,"
            " give the one that holds them; if they hold something else, such as masks, move them"
            " away.",
            "1 of 3 classes have no validation image: cat.",
        ],
    )


@pytest.mark.parametrize("below", ["train/", ""])
def test_without_val_every_tenth_file_is_held_out(tmp_path, below):
    counts = {"cat": 30, "dog": 11, "eel": 9}
    files = [(name, i) for name, count in counts.items() for i in range(1, count + 1)]
    folder(tmp_path, *(f"{below}{name}/{i:02}.png" for name, i in files))
    held_out = [("cat", 10), ("cat", 20), ("cat", 30), ("dog", 10)]
    rest = [file for file in files if file not in held_out]
    assert found(tmp_path) == [
        (split, name, f"{below}{name}/{i:02}.png")
        for split, part in (("train", rest), ("val", held_out))
        for name, i in part
    ]


def tiny_imagenet(root, table):
    folder(root, *(f"train/n{i}/images/n{i}_{j}.JPEG" for i in (1, 2) for j in (1, 2)))
    folder(root, *(f"train/n{i}/n{i}_boxes.txt" for i in (1, 2)))
    folder(root, *(f"val/images/{name}.JPEG" for name in ("val_0", "val_1", "val_2", "été 3")))
    (root / "val" / "val_annotations.txt").write_text(table, encoding="utf-8")
    return root


def test_tiny_imagenet(tmp_path):
    table = {"val_2.JPEG": "n1", "été 3.JPEG": "n2", "val_1.JPEG": "n1", "val_9.JPEG": "n1"}
    lines = [f"{name}\t{wnid}\t0\t32\t44\t62\n" for name, wnid in table.items()]
    source = tiny_imagenet(tmp_path, "".join(lines))
    assert found(source) == [
        *(("train", f"n{i}", f"train/n{i}/images/n{i}_{j}.JPEG") for i in (1, 2) for j in (1, 2)),
        ("val", "n1", "val/images/val_1.JPEG"),
        ("val", "n1", "val/images/val_2.JPEG"),
        ("val", "n2", "val/images/été 3.JPEG"),
    ]
    assert sorted(list_files(source).aside) == [
        Row("train", "train/n1/n1_boxes.txt", "no", "not the name of an image file"),
        Row("train", "train/n2/n2_boxes.txt", "no", "not the name of an image file"),
        Row("val", "val/images/val_0.JPEG", "no", "not in val_annotations.txt"),
        Row("val", "val/images/val_9.JPEG", "no", "in val_annotations.txt, but not there"),
    ]


def test_tiny_imagenets_table_must_have_tabs(tmp_path):
    source = tiny_imagenet(tmp_path, "val_0.JPEG\tn1\nval_1.JPEG n1\n")
    with pytest.raises(DataError, match=r"val_annotations.txt, line 2: expected a file, a tab"):
        list_files(source)


def aside(source):
    """{path: why} of what a listing leaves aside."""
    rows = list_files(source).aside
    assert {row.used for row in rows} <= {"no"}
    assert {row.split for row in rows} <= {"train", "val", ""}
    for row in rows:
        first = row.file.split("/")[0]
        assert row.split == (first if first in ("train", "val") else ""), row
    return {row.file: row.what for row in rows}


def test_what_is_no_image_file_is_left_aside(tmp_path):
    folder(tmp_path, "train/cat/a.png", "val/cat/d.png", "elsewhere/cat/e.png", "train/readme.png")
    folder(
        tmp_path, "train/cat/.hidden.png", "train/cat/.git/b.png", "train/.x/c.png", "train/d/i.png"
    )
    folder(tmp_path, "train/cat/notes.txt", "train/cat/noending")
    for empty in ("train/void", "train/dog/none", "val/dog"):
        (tmp_path / empty).mkdir(parents=True)
    (tmp_path / "train/cat/gone.png").symlink_to("nowhere.png")
    assert found(tmp_path) == [
        ("train", "cat", "train/cat/a.png"),
        ("train", "d", "train/d/i.png"),
        ("val", "cat", "val/cat/d.png"),
    ]
    name, void = "not the name of an image file", "a folder without image files"
    assert aside(tmp_path) == {
        "elsewhere": "neither train nor val",
        "train/.x": "hidden",
        "train/cat/.git": "hidden",
        "train/cat/.hidden.png": "hidden",
        "train/cat/gone.png": "neither a file nor a folder, nor a link to one",
        "train/cat/noending": name,
        "train/cat/notes.txt": name,
        "train/dog": void,
        "train/readme.png": "not in the folder of a class",
        "train/void": void,
        "val/dog": void,
    }


def told(source):
    """A listing's notes, in one text."""
    return "\n".join(list_files(source).notes)


def classes(*names, below="", count=1):
    return [f"{below}{name}/{i:02}.png" for name in names for i in range(count)]


PETS = ("cat", "dog")


# ---- one level off -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "give"),
    [
        ([f"imagenet-mini/{s}/{c}/a.png" for s in ("train", "val") for c in PETS], "imagenet-mini"),
        ([f"a/b/{s}/{c}/a.png" for s in ("Train", "Test") for c in PETS], "a/b"),
        ([f"{s}/{p}/{c}/a.png" for s in "AB" for p in ("train", "val") for c in PETS], "A"),
        ([f"train/{s}/{c}/a.png" for s in ("train", "val") for c in PETS], "train"),
        (classes(*PETS, below="Images/", count=10), "Images"),
        (classes(*PETS, below="train/images/", count=10), "train/images"),
        (classes(*PETS, below="x/y/train/", count=10), "x/y/train"),
        ([*classes(*PETS, below="Images/"), "readme.png", "Annotation/cat/a"], "Images"),
        ([*classes(*PETS, below="images/"), *classes(*PETS, below="masks/")], "images"),
        (["train/1.png", *classes("train/cat", "docs", count=10)], "train"),
    ],
)
def test_a_folder_one_level_off_is_refused_and_the_right_one_named(tmp_path, files, give):
    with pytest.raises(DataError, match=rf"give (.*/)?{give}\b|{give} are the classes, give that"):
        list_files(folder(tmp_path, *files))


@pytest.mark.parametrize("below", ["", "train/", "train/images/"])
def test_one_class_is_nothing_to_learn(tmp_path, below):
    source = folder(tmp_path, *classes("cat/2023", "cat/2024", below=below, count=10))
    with pytest.raises(DataError, match=r"one folder alone, (cat|images), and one class"):
        list_files(source)


def test_images_of_a_class_may_lie_in_folders_of_their_own(tmp_path):
    source = folder(tmp_path, *classes("cat/2023", "cat/2024", "dog/a/b", "dog/test", count=5))
    assert list_files(source).class_names == ["cat", "dog"]
    assert len(found(source)) == 20


@pytest.mark.parametrize(
    ("files", "inner"),
    [
        (classes("color/fir", "color/oak", "grey/fir", "grey/oak", count=10), "color/fir, color"),
        (classes("a/abbey", "a/attic", "b/bar", count=10), "a/abbey, a/attic: if these folders"),
        (classes("cat", "dog", "dog/masks", below="train/", count=10), "dog/masks: if"),
    ],
)
def test_folders_in_a_class_that_may_be_the_classes_are_said(tmp_path, files, inner):
    assert f"All images in a class are taken, also those in {inner}" in told(
        folder(tmp_path, *files)
    )


def test_a_set_that_stands_in_itself_once_more(tmp_path):
    source = folder(tmp_path, *classes("no", "yes", "all/no", "all/yes", count=10))
    with pytest.raises(DataError, match=r"all holds no, yes, as .* does: move the one away"):
        list_files(source)


def test_classes_of_which_both_were_for_training(tmp_path):
    source = folder(tmp_path, *classes("train_cats", "train_dogs", count=10))
    assert list_files(source).class_names == ["train_cats", "train_dogs"]


def test_one_folder_in_a_class_is_nothing_to_say(tmp_path):
    assert "All images" not in told(folder(tmp_path, *classes("a/images", "b/x/images", count=10)))


@pytest.mark.parametrize("inner", [("images", "images"), ("train", "val"), ("x/y", "images")])
def test_both_splits_one_level_off_are_taken(tmp_path, inner):
    train, val = (f"{split}/{name}" for split, name in zip(("train", "val"), inner, strict=True))
    folder(tmp_path, *classes(*PETS, below=f"{train}/"), *classes("cat", below=f"{val}/"))
    assert found(tmp_path) == [
        ("train", "cat", f"{train}/cat/00.png"),
        ("train", "dog", f"{train}/dog/00.png"),
        ("val", "cat", f"{val}/cat/00.png"),
    ]
    assert f"Taken for training: {train}, for validation {val}." in told(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        *[("images", "masks"), ("images_001", "images_002"), ("JPEGImages", "x")],
        *[("part 1", "part 2"), ("unlabeled", "x"), ("100CANON", "101_PANA"), ("DCIM", "x")],
    ],
)
def test_folders_that_every_data_set_has_are_no_classes(tmp_path, names):
    with pytest.raises(DataError, match=rf"{names[0]}.* is no class, it seems"):
        list_files(folder(tmp_path, *classes(*names, count=10)))


# ---- the names of splits ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("Train", "Test"),
        ("TRAIN", "VAL"),
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("train_images", "test_images"),
        ("trainset", "valset"),
        ("TrainImages", "Hold-Out Images"),
        ("train2017", "val2017"),
        ("birds-train-v2", "birds-validation-v2"),
        ("train", "eval_data"),
        ("my training photos", "dev"),
        ("birdsTrain", "birdsTest"),
        ("trn", "tst"),
        ("train_augmented", "test_original"),
        ("train_256_standard", "val_256"),
        ("Trainingsdaten", "Testdaten"),
        ("Training", "Validierung"),
        ("entrenamiento", "prueba"),
        ("treino", "teste"),
        ("entraînement", "test"),
        ("训练集", "测试集"),
    ],
)
def test_splits_of_other_names_are_taken_and_said(tmp_path, train, val):
    folder(tmp_path, *classes(*PETS, below=f"{train}/"), *classes(*PETS, below=f"{val}/"))
    assert [row[:2] for row in found(tmp_path)] == [(s, c) for s in ("train", "val") for c in PETS]
    assert f"training: {train}, for validation {val}." in told(tmp_path)
    assert {row.split for row in list_files(folder(tmp_path, f"{val}/cat/a.txt")).aside} == {"val"}


@pytest.mark.parametrize(
    "names", [("trains", "testudo"), ("training shoes", "running shoes"), ("trainer", "tester")]
)
def test_classes_that_only_sound_like_splits(tmp_path, names):
    others = "evaluators", "devil", "valley", "set", "party 1", "100 grams", "100grams", "100.Pine"
    source = folder(tmp_path, *classes(*names, *others, count=10))
    assert list_files(source).class_names == sorted([*names, *others])


@pytest.mark.parametrize("names", [("train", "bus"), ("valid", "invalid"), ("test", "control")])
def test_in_a_folder_for_training_they_are_classes(tmp_path, names):
    """The way out that the refusals name."""
    with pytest.raises(DataError, match="if it is a class, put all classes into one folder train"):
        list_files(folder(tmp_path / "a", *classes(*names, count=10)))
    source = folder(tmp_path / "b", *classes(*names, below="train/", count=10))
    assert list_files(source).class_names == sorted(names)


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (("training", "dogs"), "training .*is no class, it seems, but stands beside dogs"),
        (("validation", "dogs"), "has a folder validation, but no train"),
        (("TEST", "dogs"), "has a folder TEST, but no train"),
        (("val", "dogs"), "has a folder val, but no train; expected image files in"),
        (("cats_train", "cats_test", "dogs_train", "dogs_test"), "cats_test, .*: which are for"),
        (("train_a", "train_b", "test_a", "test_b"), "which are for training"),
        (("Train", "train", "val"), "Train, train, val .*: which are for training"),
        (("cat/train", "cat/test", "dog/train", "dog/test"), "cat is a data set of its own"),
    ],
)
def test_splits_are_never_made_classes(tmp_path, names, word):
    with pytest.raises(DataError, match=word):
        list_files(folder(tmp_path, *classes(*names, count=10)))


def test_plain_names_come_before_others(tmp_path):
    for split in "train", "val", "train_masks", "val_masks", "train_small":
        folder(tmp_path, *classes(*PETS, below=f"{split}/"))
    assert {file.path.split("/")[0] for file in list_files(tmp_path).files} == {"train", "val"}
    assert "Left aside beside train: train_masks, train_small, val_masks." in told(tmp_path)


def test_of_three_splits_the_test_is_left_aside(tmp_path):
    for split in "train", "validation", "test", "extra":
        folder(tmp_path, *classes(*PETS, below=f"{split}/"))
    assert {file.path.split("/")[0] for file in list_files(tmp_path).files} == {
        "train",
        "validation",
    }
    assert "test is left aside: validation is" in told(tmp_path)
    assert "Left aside beside train: extra." in told(tmp_path)
    rows = {row.file: row.what for row in list_files(tmp_path).aside}
    assert rows == dict.fromkeys(["extra", "test"], "neither train nor validation")


def test_a_lone_part_beside_other_folders_is_no_class(tmp_path):
    source = folder(tmp_path, *classes(*PETS, below="seg_train/", count=10), "x/a.png", "x/b.png")
    with pytest.raises(DataError, match=r"seg_train in .* is no class.*give that"):
        list_files(source)


def test_a_class_may_sound_like_a_part(tmp_path):
    source = folder(tmp_path, *classes("dog training", "agility", count=10))
    assert list_files(source).class_names == ["agility", "dog training"]


def test_a_test_without_classes_is_no_validation(tmp_path):
    source = folder(tmp_path, *classes(*PETS, below="train/", count=10), "test/images/a.png")
    assert {row[2].split("/")[0] for row in found(source)} == {"train"}
    assert "test is left aside" in told(source)
    assert "Every tenth image" in told(source)


@pytest.mark.parametrize("name", ["val", "val.zip", "Test.tar"])
def test_a_split_that_is_no_folder_is_said(tmp_path, name):
    source = folder(tmp_path, *classes(*PETS, below="train/", count=10), name)
    assert f"{name} is left aside: it is no folder" in told(source)
    assert name in [row.file for row in list_files(source).aside]


def test_val_may_be_a_link_that_leads_nowhere(tmp_path):
    source = folder(tmp_path, *classes(*PETS, below="train/", count=10))
    (source / "val").symlink_to("gone")
    assert "val is left aside" in told(source)


def test_classes_are_in_the_order_of_their_names(tmp_path):
    """Not of their paths, where a / is more than a -."""
    source = folder(tmp_path, *classes("a-b", "a", "a b", "B", count=10))
    names = list_files(source).class_names
    assert names == ["B", "a", "a b", "a-b"]
    assert all(path.startswith(f"{name}/") for _, name, path in found(source))


# ---- classes -----------------------------------------------------------------------------------


def test_classes_without_validation_images_are_said(tmp_path):
    source = folder(tmp_path, *classes(*"abcdefgh", below="train/"), *classes("c", below="val/"))
    assert "7 of 8 classes have no validation image: a, b, d, e, f, …." in told(source)
    few = folder(tmp_path / "few", *classes("cat", count=9), *classes("dog", "eel", count=10))
    assert "1 of 3 classes have no validation image (they have fewer than ten): cat." in told(few)


SYSTEMS = (
    *("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found"),
    *("Thumbs", "Picasa Originals", ".thumbnails", "@Recycle"),
    *("@sharebin", "~snapshot", "LOST.DIR", "Recycle Bin", "_vti_cnf", "CaptureOne"),
)


@pytest.mark.parametrize("below", ["", "cat/", "cat/2024/"])
def test_what_systems_leave_behind_is_no_class_and_no_image(tmp_path, below):
    folder(tmp_path, *classes(*PETS, count=10), *classes(*SYSTEMS, below=below, count=10))
    folder(tmp_path, f"{below}Thumbs.db", f"{below}._00.png", f"{below}desktop.ini")
    assert len(found(tmp_path)) == 20
    why = {row.file: row.what for row in list_files(tmp_path).aside}
    assert why.keys() == {f"{below}{n}" for n in (*SYSTEMS, "Thumbs.db", "._00.png", "desktop.ini")}
    assert set(why.values()) == {"the system's, not yours", "hidden"}


def test_a_bin_or_a_thumb_can_be_a_class(tmp_path):
    source = folder(tmp_path, *classes("recycled", "thumb", "$20 note", "#1", count=10))
    assert len(list_files(source).class_names) == 4


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("heif", "HEIC.*pip install pillow-heif"),
        ("JXL", "JPEG XL.*pip install pillow-jxl"),
        ("CR2", "raw file: convert"),
        ("dng", "raw file: convert"),
        ("svg", "drawing.*: export"),
        ("xcf", "edited: export"),
        ("mov", "video"),
        ("zip", "archive: unpack"),
    ],
)
def test_a_class_of_other_files_is_said_with_the_way_out(tmp_path, monkeypatch, ending, words):
    monkeypatch.setattr(walk, "formats", lambda: ("PNG", "JPEG"))
    other = [f"train/eel/{i}.{ending}" for i in range(3)]
    source = folder(
        tmp_path, *classes(*PETS, below="train/"), *classes("cat", below="val/"), *other
    )
    assert re.search(rf"left aside: train/eel \(3 files: .*{words}", told(source))
    assert re.search(words, {row.file: row.what for row in list_files(source).aside}[other[0]])
    folder(tmp_path, "val/eel/0.png")
    with pytest.raises(DataError, match=rf"without images in .*train: eel; 3 files: .*{words}"):
        list_files(source)


def test_where_there_is_nothing_else_it_is_said_too(tmp_path, monkeypatch):
    monkeypatch.setattr(walk, "formats", lambda: ("PNG", "JPEG"))
    with pytest.raises(DataError, match="no folder with image files; 2 files: HEIC"):
        list_files(
            folder(tmp_path / "a", "cat/a.heic", "dog/b.HEIC", "dog/c.txt", "dog/d.txt", "e.txt")
        )
    with pytest.raises(DataError, match="one class is nothing to tell apart; 1 file: HEIC"):
        list_files(folder(tmp_path / "b", "cat/a.heic", *classes("dog", count=10)))


def test_formats_of_plugins_are_taken(tmp_path, monkeypatch):
    known = {".png": "PNG", ".eps": "EPS"}

    def formats():
        known.update({".heic": "HEIF", ".jxl": "JXL"})  # as a plugin does
        return "PNG", "HEIF", "JXL"

    monkeypatch.setattr(walk.Image, "registered_extensions", lambda: known)
    monkeypatch.setattr(walk, "formats", formats)
    source = folder(tmp_path, "train/a/x.heic", "train/b/y.JXL", "val/a/z.png", "val/b/q.eps")
    paths = [path for _, _, path in found(source)]
    assert paths == ["train/a/x.heic", "train/b/y.JXL", "val/a/z.png"]


# ---- Tiny-ImageNet's table -----------------------------------------------------------------------


@pytest.mark.parametrize("left", [[], ["val/images/val_9.JPEG"]])
def test_a_table_beside_what_is_sorted_is_left_aside(tmp_path, left):
    table = "val_0.JPEG\tn1\t0\t0\t9\t9\n"
    sorted_in = [f"val/n{i}/images/val_{i}.JPEG" for i in (1, 2)]
    source = folder(tmp_path, *classes("n1", "n2", below="train/"), *sorted_in, *left)
    (source / "val/val_annotations.txt").write_text(table)
    assert [row for row in found(source) if row[0] == "val"] == [
        ("val", f"n{i}", f"val/n{i}/images/val_{i}.JPEG") for i in (1, 2)
    ]
    assert "val is sorted into classes; val_annotations.txt is left aside" in told(source)


def test_what_is_half_sorted_is_all_used(tmp_path):
    source = folder(
        tmp_path, *classes("n1", "n2", below="train/"), "val/n1/a.png", "val/images/b.png"
    )
    folder(source, "val/images/c.png")
    (source / "val/val_annotations.txt").write_text("c.png\tn1\nb.png\tn2\na.png\tn1\n\n")
    assert [row for row in found(source) if row[0] == "val"] == [
        ("val", "n1", "val/images/c.png"),
        ("val", "n1", "val/n1/a.png"),
        ("val", "n2", "val/images/b.png"),
    ]


def test_a_table_of_other_files_alone_is_refused(tmp_path):
    source = folder(tmp_path, *classes("n1", "n2", below="train/"), "val/images/b.png")
    (source / "val/val_annotations.txt").write_text("c.png\tn1\n")
    with pytest.raises(DataError, match=r"val_annotations.txt names no image in .*val/images"):
        list_files(source)


# ---- links --------------------------------------------------------------------------------------


def test_no_image_comes_twice_through_links(tmp_path):
    source = folder(tmp_path / "in", *classes(*PETS, below="train/"), "val/cat/v.png")
    folder(tmp_path, "outside/a.png", "outside/more/b.png")
    (tmp_path / "outside/back").symlink_to("../in/train")
    links = {
        "train/all": ".",
        "train/up": "..",
        "train/feline": "cat",
        "train/fox": "../../outside",
        "train/zorro": "../../outside",
        "train/cat/circle": "../../train",
        "train/cat/higher": "../../..",
        "train/cat/same.png": "00.png",
        "train/dog/cat.png": "../cat/00.png",
        "train/dog/val.png": "../../val/cat/v.png",
        "train/dog/fox.png": "../../../outside/more/b.png",
        "val/dog": "../train/dog",
    }
    for link, target in links.items():
        (source / link).symlink_to(target)
    (source / "train/cat/self.png").symlink_to("self.png")
    os.link(source / "train/cat/00.png", source / "train/dog/hard.png")
    assert [path for _, _, path in found(source)] == [
        "train/cat/00.png",
        "train/dog/00.png",
        "train/fox/a.png",
        "train/fox/more/b.png",
        "val/cat/v.png",
    ]
    why = aside(source)
    assert why.pop("train/cat/self.png").startswith("neither a file nor a folder")
    twice = links.keys() - {"train/fox"} | {"train/dog/hard.png", "train/fox/back"}
    assert why == dict.fromkeys(twice, "a link to what is here already")
    assert "train/all (a link to what is here already)" in told(source)


def test_linked_folders_and_files_are_found(tmp_path):
    folder(tmp_path / "real", *classes(*PETS, "eel", below="train/", count=2), "val/cat/a.png")
    source = tmp_path / "in"
    (source / "train").mkdir(parents=True)
    (source / "val").symlink_to(tmp_path / "real/val")
    (source / "train/cat").symlink_to(tmp_path / "real/train/cat")
    (source / "train/dog").mkdir()
    (source / "train/dog/x.png").symlink_to(tmp_path / "real/train/dog/00.png")
    (source / "train/dog/more").symlink_to(tmp_path / "real/train/eel")
    assert [path for _, _, path in found(source)] == [
        "train/cat/00.png",
        "train/cat/01.png",
        "train/dog/more/00.png",
        "train/dog/more/01.png",
        "train/dog/x.png",
        "val/cat/a.png",
    ]
    assert list_files(source).aside == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files on this system")
def test_pipes_and_devices_are_not_touched(tmp_path):
    source = folder(tmp_path, *classes(*PETS, below="train/"), "val/cat/a.png")
    for place in "train/cat/pipe.png", "train/pipe", "pipe":
        os.mkfifo(source / place)
    (source / "train/cat/null.png").symlink_to(os.devnull)
    assert len(found(source)) == 3
    assert aside(source).keys() == {
        "train/cat/pipe.png",
        "train/pipe",
        "pipe",
        "train/cat/null.png",
    }


# ---- names -----------------------------------------------------------------------------------


def odd(root, *paths):
    for path in paths:
        place = os.path.join(os.fsencode(root), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        open(place, "w").close()
    return root


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are always text")
def test_names_that_are_no_text(tmp_path):
    source = folder(tmp_path, *classes("cat", below="train/"), *classes("cat", below="val/"))
    odd(source, b"train/caf\xe9/a\xff.png", b"train/caf\xe9/b\xff.txt")
    names, files, rows, notes = list_files(source)
    assert names == ["caf\\udce9", "cat"]
    assert os.fsencode(source / files[0].path).endswith(b"train/caf\xe9/a\xff.png")
    for text in names + [row.file for row in rows] + notes:
        assert text.isprintable()
    odd(source, b"train/caf\\udce9/a.png")
    with pytest.raises(DataError, match=r"two folders in .* would be the class"):
        list_files(source)


def test_an_accent_is_one_however_it_is_put_together(tmp_path):
    """Macs take it apart: the splits of one set can come by two ways."""
    together, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    source = folder(tmp_path, *classes(together, "dog", below="train/"), f"val/{apart}/a.png")
    assert list_files(source).class_names == [together, "dog"]
    folder(tmp_path, f"train/{apart}/b.png")
    if len(os.listdir(tmp_path / "train")) == 3:  # not where the system makes them one
        with pytest.raises(
            DataError, match=r"two folders in .* would be the class café: rename one"
        ):
            list_files(source)


# ---- refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no folder with image files; expected image files in train/CLASS/ and val/"),
        (["a.png"], "holds no folder with image files"),
        (["cat/a.txt"], "holds no folder with image files"),
        (classes(*PETS, count=9), "has no class of ten images to hold every tenth"),
        (["train/a.png"], "train holds no folder with image files, but images, such as train/a"),
        (["cat.1.png"], "files, but images, such as cat.1.png, whose class nothing says; expected"),
        (["val/cat/a.png"], "has a folder val, but no train; expected image files in"),
        ([*classes(*PETS, below="train/"), "val/b.png"], "val holds no folder with image files"),
        (
            [
                *classes(*PETS, below="train/"),
                "train/fox/a.txt",
                *classes("fox", "cat", "ant", below="val/"),
            ],
            "val holds classes without images in .*train: ant, fox",
        ),
    ],
)
def test_an_unknown_layout_is_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        list_files(folder(tmp_path, *files))


def test_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*nowhere; expected image files in"):
        list_files(tmp_path / "nowhere")


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    source, scandir = folder(tmp_path, "train/cat/a.png"), os.scandir

    def refuse(path):
        if str(path).endswith("cat"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"cannot read .*cat: Permission denied"):
        list_files(source)
