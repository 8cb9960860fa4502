"""The commands on a folder of photographs: prepare, train, and all that is done with a run."""

import csv
import os
import re
import shutil
import sys

import numpy as np
import pytest
from command import COLOURS, call, picture, read_json
from PIL import Image
from small import any_size, wide

from minitorch_alexnet import checkpoint, data
from minitorch_alexnet.cli import train as train_command
from minitorch_alexnet.config import RECIPES
from minitorch_alexnet.data.image_folder import is_prepared
from minitorch_alexnet.evaluate import evaluate, views
from minitorch_alexnet.models import MODELS
from minitorch_alexnet.run import load_run, read_config

SIZE = 72
TRAIN = ("train", "--model", "alexnet-small", "--size", "64", "--epochs", "2", "--batch-size", "8")


@pytest.fixture(scope="module")
def prepared(photographs, tmp_path_factory):
    out = tmp_path_factory.mktemp("photos") / "prepared"
    assert call("prepare", photographs, out, "--size", SIZE, "--processes", "1") == 0
    return out


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """A finished run's folder, which tests only read."""
    run = tmp_path_factory.mktemp("runs") / "finished"
    assert call(*TRAIN, "--data", prepared, "--augment", "--out", run) == 0
    return run


@pytest.fixture
def wide_models(monkeypatch):
    """The names of two large models stand for one that is small but for its images."""
    for name in ("alexnet", "alexnet-control"):
        monkeypatch.setitem(MODELS, name, wide)


# ---- prepare -----------------------------------------------------------------------------------


def test_prepare_says_what_came_of_the_files(photographs, place, capsys):
    for _ in range(2):  # the second time all is there
        assert call("prepare", photographs, "out", "--size", "24", "--processes", "1") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == (
            "24 training and 8 validation images in out, of 2 classes: grün, rot und rund"
        )
        assert lines[1].startswith("1 images could not be used, 0 other")
        assert re.match(r"  train/grün/damaged.jpg: .", lines[2])
        assert lines[3:] == ["Next:  minitorch-alexnet train --data out"]
    with np.load(place / "out/statistics.npz") as file:
        assert file["mean"].shape == (3, 24, 24)


def test_of_many_unusable_files_the_first_are_named(photographs, place, capsys):
    shutil.copytree(photographs / "val", place / "mine/val")
    for number in range(15):
        (place / f"mine/val/grün/x{number:02}.jpg").write_text("no image")
    (place / "mine/val/grün/.DS_Store").touch()  # sorted before them, and less of a surprise
    shutil.copytree(photographs / "val", place / "mine/train")
    assert call("prepare", "mine", "out", "--size", "24", "--processes", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("15 images could not be used, 1 other")
    assert [line.split(":")[0] for line in lines[2:12]] == [
        f"  val/grün/x{number:02}.jpg" for number in range(10)
    ]
    assert lines[12] == "  … and 6 more"


def test_the_level_that_counts_as_white_goes_from_the_set_to_predict(place, capsys):
    """12 bits in files of 16: a dark one is as dark as it was in the set."""
    ramp = (np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 4096).astype(np.uint16)
    for split in ("train", "val"):
        for name in "ab":
            (place / "in" / split / name).mkdir(parents=True)
            Image.fromarray(ramp).save(place / "in" / split / name / "bright.png")
    Image.fromarray(ramp // 100).save(place / "in/train/a/dark.png")
    assert call("prepare", "in", "out", "--size", SIZE, "--processes", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "4,095 counts as white in the files of more than 8 bits."
    assert lines[2].startswith("1 images came out with almost no shades")
    assert call(*TRAIN, "--data", "out", "--out", "run") == 0
    run = load_run(place / "run")
    assert run.whites == {"integers": 4095}
    dark = data.load("out").train.subset([1])
    share = evaluate(run.net, *views(dark, run.net, run.normalize)).probabilities.max()
    capsys.readouterr()
    assert call("predict", "run", "in/train/a/dark.png") == 0
    assert f"{share:.2%}" in capsys.readouterr().out
    arrays, meta = checkpoint.load(run.path)
    del meta["whites"]  # as versions up to 0.2 wrote it
    checkpoint.save(run.path, arrays, meta)
    assert load_run(place / "run").whites == {}


def test_ctrl_c_leaves_what_the_same_command_goes_on_with(photographs, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("minitorch_alexnet.cli.prepare.prepare", interrupted)
    assert call("prepare", photographs, "out") == 130
    assert "the same command goes on" in capsys.readouterr().out


def test_training_on_a_folder_prepares_it_first_and_only_once(
    photographs, place, capsys, wide_models
):
    """The default model and recipe of a folder are alexnet and small-set."""
    shutil.copytree(photographs, place / "mine")
    for run in "ab":
        assert call("train", "--data", "mine", "--epochs", "1", "--out", run) == 0
        told = capsys.readouterr().out
        assert ("is prepared first" in told) == (run == "a")
        assert "24 training and 8 validation images" in told
        assert f"on {place / 'mine-prepared'}: 24 images" in told
    assert is_prepared(place / "mine-prepared")
    config = read_config(place / "a")
    assert (config.model, config.recipe, config.init) == ("alexnet", "small-set", "small-set")


def test_it_is_said_how_the_folders_were_understood(photographs, place, capsys):
    shutil.copytree(photographs / "train", place / "mine/seg_train/seg_train")
    shutil.copytree(photographs / "val", place / "mine/seg_test/seg_test")
    (place / "mine/seg_train/seg_train/raw").mkdir()
    (place / "mine/seg_train/seg_train/raw/1.NEF").touch()
    assert call("prepare", "mine", "out", "--size", "24", "--processes", "1") == 0
    told = capsys.readouterr().out
    assert "for training: seg_train/seg_train, for validation seg_test/seg_test." in told
    assert "left aside: seg_train/seg_train/raw (1 file: a camera's raw file" in told


def test_the_command_that_comes_next_can_be_typed(photographs, place, capsys):
    shutil.copytree(photographs / "train", place / "mine/train")
    assert call("prepare", "mine", "my out", "--size", "24", "--processes", "1") == 0
    told = capsys.readouterr().out
    assert "Every tenth image of a class is held out" in told
    assert told.endswith("train --data 'my out'\n")


def test_nothing_is_announced_of_a_folder_without_photographs(place, capsys):
    (place / "empty").mkdir()
    assert call("train", "--data", "empty") == 2
    told = capsys.readouterr()
    assert "prepared first" not in told.out
    assert "empty holds no folder with image files" in told.err
    assert os.listdir(place) == ["empty"]


def test_photographs_that_nothing_can_be_written_beside(
    photographs, prepared, place, refused, monkeypatch
):
    shutil.copytree(photographs, place / "my photos")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK or path != place)
    message = refused("train", "--data", "my photos")
    assert f"nothing can be written in {place}" in message
    assert "prepare elsewhere: minitorch-alexnet prepare 'my photos' OUT" in message
    assert os.listdir(place) == ["my photos"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are always text")
def test_names_that_are_no_text_work_everywhere(photographs, place, capsys, monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", any_size)
    mine, out, run = (os.fsdecode(name) for name in (b"m\xff", b"out\xff", b"run\xff"))
    shutil.copytree(photographs, place / mine)
    for split in "train", "val":
        (place / mine / split / "grün").rename(place / mine / split / os.fsdecode(b"gr\xfcn"))
    folder = place / mine / "train" / os.fsdecode(b"gr\xfcn")
    image = folder / os.fsdecode(b"\xfc.png")
    (folder / "3.png").rename(image)
    (folder / "damaged.jpg").rename(folder / os.fsdecode(b"d\xff.jpg"))
    for _ in range(2):
        assert call("prepare", mine, out, "--size", "24", "--processes", "1") == 0
    told = capsys.readouterr().out
    assert r"gr\udcfcn, rot und rund" in told
    assert r"d\udcff.jpg: " in told
    assert r"train --data $'out\377'" in told
    flags = ("--model", "tiny", "--epochs", "1", "--batch-size", "8")
    assert call("train", *flags, "--data", out, "--out", run) == 0
    assert read_config(place / run).data == str(place / out)
    for command in "evaluate", "filters", ("train", "--resume"):
        assert call(*([command] if isinstance(command, str) else command), run) == 0
    for command in "predict", "neighbours", "look":
        assert call(command, run, image) == 0
    assert call("train", *flags, "--data", out, "--from", run, "--out", "b") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "nowhere", "out"), "nowhere"),
        (("train", "--data", "nowhere"), "unknown data set 'nowhere': expected one of auto"),
    ],
)
def test_a_folder_that_is_not_there(refused, arguments, message):
    assert message in refused(*arguments)


# ---- train -------------------------------------------------------------------------------------


def test_train_on_photographs(finished, prepared):
    config = read_config(finished)
    assert config.recipe == "small-set"
    assert config.data == str(prepared)
    assert (config.augment, config.standardize, config.init) == (True, False, "small-set")
    run = load_run(finished)
    assert run.net.input_shape == (3, 64, 64)
    assert run.normalize.mean.shape == (3, SIZE, SIZE)
    assert run.normalize.scale == 1
    assert run.class_names == tuple(sorted(COLOURS))
    result = read_json(finished / "result.json")
    loaded = data.load(str(prepared))
    again = evaluate(run.net, *views(loaded.test, run.net, run.normalize))
    assert result["test_accuracy"] == again.accuracy
    assert result["test_top5"] is None  # of two classes
    assert picture(finished / "mistakes.png").std() > 1


def test_the_papers_recipe(prepared, place):
    flags = ("--recipe", "paper", "--epochs", "1", "--batch-size", "8")
    assert call(*TRAIN[:5], *flags, "--data", prepared, "--out", "run") == 0
    config = read_config(place / "run")
    for name, value in RECIPES["paper"].items():
        assert getattr(config, name) == {"epochs": 1, "batch_size": 8, "lr": 0.01 / 16}.get(
            name, value
        )
    assert read_json(place / "run/result.json")["test_crops"] == 10


def test_a_net_that_only_guesses_is_told_of_the_other_recipe(prepared, capsys, monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", any_size)
    flags = ("--recipe", "paper", "--schedule", "step", "--lr", "0", "--no-augment")
    counts = ("--epochs", "11", "--batch-size", "2")  # 12 steps an epoch: 100 in the ninth
    out = ("--data", prepared, "--out", "run")
    assert call("train", "--model", "tiny", "--size", "64", *flags, *counts, *out) == 0
    told = capsys.readouterr().out
    assert told.count("train --recipe small-set starts otherwise") == 1
    assert told.index("epoch 9:") < told.index("small-set starts") < told.index("epoch 10:")


def test_a_long_training_is_announced(prepared, capsys, monkeypatch, unfit):
    for long, announced in (1e20, False), (0, True):
        monkeypatch.setattr(train_command, "LONG", long)
        call(*TRAIN, "--data", prepared, "--out", f"run{announced}")
        told = capsys.readouterr().out
        found = re.search(r"will take about \d+ \w+ and \d+\.\d GB of memory\.$", told, re.M)
        assert bool(found) == announced


def test_fine_tuning_with_frozen_layers(finished, prepared, place, capsys):
    flags = ("--from", finished, "--freeze", "conv1,conv2", "--epochs", "1")
    assert call(*TRAIN[:5], *flags, "--data", prepared, "--out", "tuned") == 0
    told = capsys.readouterr().out
    assert f"From {finished}: all weights." in told
    before, after = (load_run(run).net.state_dict() for run in (finished, place / "tuned"))
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert same == {"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"}


def test_images_of_another_size_are_refused(photographs, refused, wide_models):
    assert call("prepare", photographs, "small", "--size", "40", "--processes", "1") == 0
    assert "alexnet-small takes images of 56 to 128 pixels, got 40" in refused(
        "train", "--model", "alexnet-small", "--data", "small"
    )
    message = refused("train", "--model", "alexnet-control", "--data", "small")
    assert "the net takes images of 3×224×224" in message
    assert "--size" in message


# ---- evaluate, predict, neighbours, filters ----------------------------------------------------


def test_evaluate_averages_over_ten_crops(copied, prepared, capsys):
    run, loaded = load_run(copied), data.load(str(prepared))
    for crops in 1, 10:
        assert call("evaluate", copied, "--crops", crops) == 0
        told = capsys.readouterr().out
        expected = evaluate(run.net, *views(loaded.test, run.net, run.normalize, crops=crops))
        assert ("ten crops each" in told) == (crops == 10)
        assert f"accuracy {expected.accuracy:.2%}" in told
        assert f"loss {expected.loss:.4f}" in told


def test_evaluate_on_the_training_images(copied, prepared, capsys):
    before = (copied / "classes.csv").read_bytes()
    assert call("evaluate", copied, "--train") == 0
    run, loaded = load_run(copied), data.load(str(prepared))
    expected = evaluate(run.net, *views(loaded.train, run.net, run.normalize))
    told = capsys.readouterr().out
    assert "24 training images" in told
    assert f"accuracy {expected.accuracy:.2%}" in told
    assert (copied / "classes.csv").read_bytes() == before  # which are of the test images


def test_evaluate_keeps_the_classes(copied, prepared):
    for name in "classes.csv", "confusion.png":
        (copied / name).unlink()
    assert call("evaluate", copied) == 0
    run, loaded = load_run(copied), data.load(str(prepared))
    answers = evaluate(run.net, *views(loaded.test, run.net, run.normalize))
    right = answers.logits.argmax(axis=1) == answers.labels
    with (copied / "classes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == sorted(COLOURS)
    assert [int(row["images"]) for row in rows] == [4, 4]
    assert [float(row["accuracy"]) for row in rows] == [
        right[answers.labels == label].mean() for label in (0, 1)
    ]
    assert picture(copied / "confusion.png").std() > 1


def test_evaluate_on_images_that_have_moved(copied, prepared, place, refused, capsys):
    config = read_json(copied / "config.json")
    shutil.copytree(prepared, place / "moved")
    assert call("evaluate", copied, "--data", place / "moved") == 0
    assert "moved" in capsys.readouterr().out
    assert config["data"] == str(prepared)
    assert "has other classes" in refused("evaluate", copied, "--data", "silhouettes")


def test_predict_reads_a_photograph_as_prepare_does(finished, photographs, prepared, capsys):
    path = photographs / "val/grün/0.png"
    assert call("predict", finished, path, "--top", "2") == 0
    run, loaded = load_run(finished), data.load(str(prepared))
    (_, *lines) = capsys.readouterr().out.splitlines()
    expected = evaluate(run.net, *views(loaded.test, run.net, run.normalize)).probabilities[0]
    told = {line.split("  ")[1]: line for line in lines}
    for name, share in zip(sorted(COLOURS), expected, strict=True):
        assert f"{share:7.2%}" in told[name]


def test_a_training_image_is_its_own_nearest_neighbour(copied, photographs, capsys):
    paths = [photographs / "train/grün/3.png", photographs / "train/rot und rund/5.png"]
    assert call("neighbours", copied, *paths, "--top", "4") == 0
    told, first, second, drawn = capsys.readouterr().out.splitlines()
    assert "distances" in told
    assert first.startswith(f"{paths[0]}: grün 0.000, ")
    assert second.startswith(f"{paths[1]}: rot und rund 0.000, ")
    distances = [float(d) for d in re.findall(r" ([\d.e+-]+)(?:,|$)", first)]
    assert distances == sorted(distances)
    assert len(distances) == 4
    assert distances[1] > 0
    assert drawn == f"Drawn in {copied / 'neighbours.png'}"
    sheet = picture(copied / "neighbours.png").mean(axis=2)
    assert min(sheet.shape) > 200
    assert sheet.std() > 10


def test_filters_are_drawn_where_asked(finished, place):
    assert call("filters", finished, "--out", "f.png") == 0
    assert picture(place / "f.png").std() > 5
    assert np.array_equal(picture(place / "f.png"), picture(finished / "filters.png"))


@pytest.mark.parametrize("command", ["evaluate", "predict", "neighbours", "filters"])
def test_another_model_must_have_the_same_weights(finished, photographs, refused, command):
    images = [photographs / "val/grün/0.png"] if command in ("predict", "neighbours") else []
    message = refused(command, finished, *images, "--model", "fashion")
    assert "the net takes images of" in message or "fashion takes images" in message


# ---- graph -------------------------------------------------------------------------------------


def test_graph_draws_png_and_svg(place, refused):
    assert call("graph", "alexnet-small") == 0
    assert picture(place / "alexnet-small.png").std() > 5
    assert call("graph", "alexnet-small", "--classes", "37", "--out", "net.svg") == 0
    assert "<svg" in (place / "net.svg").read_text(encoding="utf-8")
    assert "--out must end with .png or .svg, got net.doc" in refused(
        "graph", "alexnet-small", "--out", "net.doc"
    )


def test_a_run_whose_images_have_moved_goes_on(prepared, place, capsys, unfit):
    shutil.copytree(prepared, place / "here")
    assert call(*TRAIN, "--data", "here", "--out", "run") == 130
    (place / "here").rename(place / "there")
    assert call("train", "--resume", "run") == 2
    assert "--data says where it is now" in capsys.readouterr().err
    assert call("train", "--resume", "run", "--data", "there") == 130
    assert read_config(place / "run").data == str(place / "there")


def test_what_is_wrong_is_said_before_preparing(photographs, place, refused):
    shutil.copytree(photographs, place / "mine")
    assert "prepare mine OUT --size 64" in refused(
        "train", "--data", "mine", "--model", "alexnet-small"
    )
    assert "unknown model 'alexnt'" in refused("train", "--data", "mine", "--model", "alexnt")
    message = refused("train", "--data", "mine", "--from", "nope")
    assert re.search("there is no run in .*nope", message)
    assert "epochs must be" in refused("train", "--data", "mine", "--epochs", "0")
    assert os.listdir(place) == ["mine"]


def test_a_folder_prepared_in_part_is_no_folder_of_photographs(prepared, place, refused):
    shutil.copytree(prepared, place / "part")
    (place / "part/prepared.json").unlink()
    for model in "caffenet", "fashion":
        message = refused("train", "--data", "part", "--model", model)
        assert "part is prepared in part only" in message


@pytest.mark.parametrize("command", ["filters", "neighbours"])
def test_an_ending_that_is_no_pictures_is_refused_before_the_work(command, refused):
    images = ["photo.jpg"] if command == "neighbours" else []
    message = refused(command, "nowhere", *images, "--out", "x.foo")
    assert message == "--out must end with .png or .svg, got x.foo"
