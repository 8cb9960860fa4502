"""Which files of a folder are its images, of which splits and classes, whatever else lies there."""

import errno
import os

import pytest

from minitorch_alexnet.data.scan import File, Row, list_files
from minitorch_alexnet.errors import DataError


def folder(root, *paths):
    """Files at these paths below `root`; none can be opened as an image, as they are empty."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def found(source):
    """[(split, class, path)] of a listing, in its order."""
    names, files, _ = list_files(source)
    return [(file.split, names[file.label], file.path) for file in files]


def test_train_and_val(tmp_path):
    train = ["dog/b.png", "dog/a.PNG", "dog/deep/er/c.png", "cat/x.png", "eel/y.png"]
    folder(tmp_path, *(f"train/{path}" for path in train), "val/eel/z.png", "val/dog/z.png")
    (tmp_path / "train" / "cat" / "x.png").write_bytes(b"seven b")
    assert list_files(tmp_path) == (
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
        [],
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


def test_what_is_no_image_file_is_left_aside(tmp_path):
    folder(tmp_path, "train/cat/a.png", "val/cat/d.png", "elsewhere/cat/e.png", "train/readme.png")
    folder(tmp_path, "train/cat/.hidden.png", "train/cat/.git/b.png", "train/.x/c.png")
    folder(tmp_path, "train/cat/notes.txt", "train/cat/noending")
    for empty in ("train/void", "train/dog/none", "val/dog"):
        (tmp_path / empty).mkdir(parents=True)
    (tmp_path / "train/cat/gone.png").symlink_to("nowhere.png")
    (tmp_path / "train/cat/circle").symlink_to(tmp_path / "train", target_is_directory=True)
    (tmp_path / "train/cat/linked.png").symlink_to("a.png")
    assert found(tmp_path) == [
        ("train", "cat", "train/cat/a.png"),
        ("train", "cat", "train/cat/linked.png"),
        ("val", "cat", "val/cat/d.png"),
    ]
    aside = list_files(tmp_path).aside
    link, name, void = (
        "neither a file nor a link to one",
        "not the name of an image file",
        "a folder without image files",
    )
    assert {row.used for row in aside} == {"no"}
    assert sorted((row.file, row.split, row.what) for row in aside) == [
        ("elsewhere", "", "neither train nor val"),
        ("train/cat/circle", "train", link),
        ("train/cat/gone.png", "train", link),
        ("train/cat/noending", "train", name),
        ("train/cat/notes.txt", "train", name),
        ("train/dog", "train", void),
        ("train/readme.png", "train", "not in the folder of a class"),
        ("train/void", "train", void),
        ("val/dog", "val", void),
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no folder with image files; expected image files in train/CLASS/ and val/"),
        (["a.png"], "holds no folder with image files"),
        (["cat/a.txt"], "holds no folder with image files"),
        ([f"cat/{i}.png" for i in range(9)], "has no class of ten images to hold every tenth"),
        (["train/a.png"], "train holds no folder with image files"),
        (["val/cat/a.png"], "has a folder val, but no train; expected image files in"),
        (["train/cat/a.png", "val/b.png"], "val holds no folder with image files"),
        (
            [
                "train/cat/a.png",
                "train/fox/a.txt",
                "val/fox/a.png",
                "val/cat/a.png",
                "val/ant/a.png",
            ],
            "val holds classes without images in .*train: ant, fox$",
        ),
    ],
)
def test_an_unknown_layout_is_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        list_files(folder(tmp_path, *files))


@pytest.mark.parametrize("name", ["training", "validation", "test", "Training", "TEST"])
def test_a_split_of_another_name_is_not_taken_for_a_class(tmp_path, name):
    source = folder(tmp_path, f"{name}/cat/a.png", "dogs/b.png")
    with pytest.raises(DataError, match=f"{name} in .* is no class, it seems; expected"):
        list_files(source)


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
