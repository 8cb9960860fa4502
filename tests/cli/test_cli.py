"""The commands, as a user meets them: what they print, what they leave, how they refuse."""

import csv
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minitorch_alexnet import __version__, checkpoint, device
from minitorch_alexnet.cli.main import main
from minitorch_alexnet.config import RECIPES, Config
from minitorch_alexnet.data import fashion_mnist, silhouettes
from minitorch_alexnet.data.fashion_mnist import CLASS_NAMES
from minitorch_alexnet.device import why_no_gpu
from minitorch_alexnet.errors import DataError
from minitorch_alexnet.layers import ReLU
from minitorch_alexnet.models import build
from minitorch_alexnet.run import load_run
from minitorch_alexnet.train import Trainer

COMMANDS = (
    "train", "prepare", "evaluate", "predict", "neighbours", "filters",
    "summary", "graph", "gradcheck", "doctor",
)  # fmt: skip
FILES = {
    "config.json", "metrics.csv", "result.json", "checkpoint.npz",
    "curves.png", "filters.png", "confusion.png", "mistakes.png", "classes.csv",
}  # fmt: skip
COUNTS = {"train": 120, "test": 40}
SHORT = ("train", "--epochs", "2", "--batch-size", "40", "--lr", "0.02")


def call(*arguments):
    """The command's exit status."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse's
        return stop.code


def small_data(patch):
    """Fashion-MNIST is not to be had, and the silhouettes that take its place are few."""
    draw = silhouettes.load

    def refuse(split, data_dir=None):
        raise DataError("planted: no Fashion-MNIST here")

    patch.setattr(silhouettes, "load", lambda split: draw(split, count=COUNTS[split]))
    patch.setattr(fashion_mnist, "load", refuse)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory, small data, and the workers as they were."""
    small_data(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINITORCH_ALEXNET_THREADS", raising=False)
    monkeypatch.setattr(device, "_workers", device._workers)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run's folder, which tests only read."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    with pytest.MonkeyPatch.context() as patch:
        small_data(patch)
        assert call(*SHORT, "--out", folder) == 0
    return folder


@pytest.fixture
def copied(finished, place):
    """A copy of it to meddle with."""
    return shutil.copytree(finished, place / "copied")


@pytest.fixture
def refused(capsys):
    """Calls a command that has to refuse: status 2, one line on stderr; that line."""

    def refused(*arguments):
        capsys.readouterr()
        assert call(*arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("minitorch-alexnet: ")
        assert error.count("\n") == 1
        assert "Traceback" not in error
        return error.removeprefix("minitorch-alexnet: ").rstrip("\n")

    return refused


@pytest.fixture
def unfit(monkeypatch):
    """Training stops before the first step, all saved."""
    monkeypatch.setattr(Trainer, "fit", lambda trainer, **hooks: trainer.save())


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_metrics(folder):
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def timeless(rows):
    return [{k: v for k, v in row.items() if k not in ("seconds", "waited")} for row in rows]


def weights(folder):
    with np.load(folder / "checkpoint.npz") as file:
        return {n: file[n].tobytes() for n in file.files if n.startswith(("weights/", "velocity/"))}


# ---- train -----------------------------------------------------------------------------------


def test_train_leaves_its_files_and_nothing_else(finished):
    assert set(os.listdir(finished)) == FILES
    for picture in finished.glob("*.png"):
        with Image.open(picture) as image:
            pixels = np.asarray(image.convert("L"))
        assert min(pixels.shape) > 200
        assert pixels.std() > 5  # something is drawn


def test_train_keeps_config_and_metrics(finished):
    config = Config(data="silhouettes", epochs=2, batch_size=40, lr=0.02)
    note = read_json(finished / "result.json")["note"]
    assert read_json(finished / "config.json") == asdict(config) | {"note": note}
    rows = read_metrics(finished)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(0 <= row["validation_accuracy"] <= 1 for row in rows)
    assert 0 < rows[0]["seconds"] < rows[1]["seconds"]


def test_result(finished, capsys):
    result = read_json(finished / "result.json")
    assert result["note"].startswith("drawn silhouettes take the place of Fashion-MNIST: planted")
    assert result["versions"] == {
        "minitorch_alexnet": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    expected = {
        "dataset": "silhouettes", "model": "fashion", "recipe": "quick", "epochs": 2, "seed": 0,
    }  # fmt: skip
    assert {key: result[key] for key in expected} == expected
    assert result["threads"] >= 1
    run, test = load_run(finished), silhouettes.load("test")
    logits = run.net.predict(run.normalize(test.images, run.net.device)).astype(np.float64)
    assert result["test_accuracy"] == (logits.argmax(axis=1) == test.labels).mean()
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), test.labels]
    assert result["test_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    # 110 of the 120 images are trained on, twice; the seconds are rounded
    assert result["images_per_second"] * result["seconds"] == pytest.approx(220, rel=0.05)


def test_train_says_what_it_does_and_what_to_do_next(capsys):
    assert call(*SHORT, "--epochs", "1", "--out", "a run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Note: drawn silhouettes take the place of Fashion-MNIST")
    told = "\n".join(lines)
    assert "Training fashion on silhouettes: 110 images, 1 epochs of 3 steps" in told
    assert re.search(
        r"^epoch 1: loss \d.*accuracy .*%; validation loss .*%; \d+ s, \d+\.\d waiting for images$",
        told,
        re.M,
    )
    accuracy = read_json(Path("a run/result.json"))["test_accuracy"]
    assert f"Test accuracy {accuracy:.2%} on 40 images of silhouettes after 1 epochs" in told
    assert [line.strip() for line in lines[-3:]] == [
        "Next:  minitorch-alexnet evaluate a run",
        "minitorch-alexnet predict a run YOUR_IMAGE.png",
        "minitorch-alexnet train --recipe full",
    ]


def test_without_out_the_folder_has_the_date(unfit, capsys):
    assert call("train") == 130
    (folder,) = Path("runs").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}", folder.name)
    assert f"train --resume {folder}" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(finished, place):
    assert call(*SHORT, "--out", "again") == 0
    assert weights(place / "again") == weights(finished)
    again, first = (timeless(read_metrics(f)) for f in (place / "again", finished))
    assert again == first
    for key in ("test_accuracy", "test_loss"):
        assert (
            read_json(place / "again/result.json")[key] == read_json(finished / "result.json")[key]
        )


def test_another_seed_and_another_number_of_threads(finished, place):
    assert call(*SHORT, "--out", "threads", "--threads", "3") == 0
    assert weights(place / "threads") == weights(finished)
    assert read_json(place / "threads/result.json")["threads"] == 3
    assert call(*SHORT, "--epochs", "1", "--out", "seed", "--seed", "1") == 0
    assert read_metrics(place / "seed")[0]["train_loss"] != read_metrics(finished)[0]["train_loss"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), Config()),
        (("--recipe", "full"), Config(recipe="full", **RECIPES["full"])),
        (
            ("--recipe", "full", "--epochs", "3", "--batch-size", "7", "--lr", "0.5"),
            replace(Config(recipe="full", **RECIPES["full"]), epochs=3, batch_size=7, lr=0.5),
        ),
        (("--schedule", "step", "--seed", "9"), Config(schedule="step", seed=9)),
        (("--lr", "0", "--data", "silhouettes"), Config(lr=0)),
    ],
    ids=["default", "full", "changed", "schedule", "lr 0"],
)
def test_options_land_in_config(unfit, place, flags, expected):
    assert call("train", *flags, "--out", "run") == 130
    found = read_json(place / "run/config.json")
    assert found.pop("note").startswith("drawn silhouettes") is ("--data" not in flags)
    assert found == {k: v for k, v in asdict(expected).items() if k != "note"} | {
        "data": "silhouettes"
    }


def test_silhouettes_when_asked_for_need_no_note(unfit, capsys):
    assert call("train", "--data", "silhouettes", "--out", "run") == 130
    assert "Note" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--epochs", "0"), "epochs must be at least 1, got 0"),
        (("--lr", "-1"), "lr must be at least 0, got -1.0"),
        (("--lr", "nan"), "lr must be at least 0, got nan"),
        (("--batch-size", "0"), "batch_size must be at least 1, got 0"),
        (("--seed", "-1"), "seed must be at least 0, got -1"),
        (("--schedule", "x"), "unknown schedule 'x': expected one of one-cycle, step, plateau"),
        (("--threads", "0"), "the number of threads must be at least 1, got 0"),
        (("--model", "resnet"), "unknown model 'resnet': expected one of fashion"),
        (("--model", "alexnet"), "the net takes images of 1×224×224"),
        (("--devices", "cpu:0,cpu:1"), "unknown device 'cpu:0,cpu:1'"),
        (("--size", "40"), "fashion takes images of 24 to 32 pixels, got 40"),
        (("--freeze", "conv9"), "freeze: 'conv9' is none of the layers conv1, conv2"),
        (("--from", "nowhere"), "there is no checkpoint"),
        (("--data", "nowhere"), "unknown data set 'nowhere': expected one of auto"),
        (("--data", "fashion-mnist"), "planted: no Fashion-MNIST here"),
        (("--data-dir", "nowhere"), "planted: no Fashion-MNIST here"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_bad_options(refused, place, flags, message):
    assert message in refused("train", *flags, "--out", "run")
    assert not (place / "run").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ("--epochs", "x"),
        ("--recipe", "x"),
        ("--wings",),
    ],
    ids=lambda flags: flags[0],
)
def test_options_that_argparse_refuses(capsys, place, flags):
    assert call("train", *flags) == 2
    error = capsys.readouterr().err
    assert (
        f"error: {'unrecognized arguments: ' if len(flags) == 1 else 'argument '}{flags[0]}"
        in error
    )
    assert os.listdir(place) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [("abc", "must be a whole number, got 'abc'"), ("-2", "got '-2'"), ("0", "at least 1, got 0")],
)
def test_bad_thread_count_in_the_environment(refused, monkeypatch, value, message):
    monkeypatch.setattr(device, "_workers", None)
    monkeypatch.setenv("MINITORCH_ALEXNET_THREADS", value)
    assert message in refused("train", "--out", "run")


@pytest.mark.parametrize("below", ["file", "file/run", "file/deep/run"])
def test_an_output_folder_that_cannot_be_written(refused, place, below):
    (place / "file").write_text("in the way")
    message = refused("train", "--out", below)
    assert message.startswith(f"cannot write {below}")
    assert (place / "file").read_text() == "in the way"


@pytest.mark.filterwarnings("ignore:.* encountered in ")
def test_a_rate_at_which_the_loss_explodes(refused):
    message = refused("train", "--lr", "1e30", "--schedule", "step", "--out", "run")
    assert re.match(
        r"the loss is not finite in epoch \d, batch \d: the first .* that of \w+", message
    )
    assert "train anew with a lower --lr" in message


# ---- train --resume --------------------------------------------------------------------------


def test_a_folder_with_a_run_is_not_written_over(refused, copied):
    before = {file.name: file.read_bytes() for file in copied.iterdir()}
    message = refused("train", "--epochs", "1", "--out", copied)
    assert f"{copied} holds a run already: --resume {copied}, or another --out" in message
    assert {file.name: file.read_bytes() for file in copied.iterdir()} == before


def test_resuming_a_finished_run_changes_nothing_in_it(copied, finished, capsys):
    for picture in copied.glob("*.png"):
        picture.unlink()
    assert call("train", "--resume", copied) == 0
    assert weights(copied) == weights(finished)
    assert read_metrics(copied) == read_metrics(finished)
    assert set(os.listdir(copied)) == FILES  # the pictures are drawn anew
    one, other = (read_json(f / "result.json") for f in (copied, finished))
    assert one["test_accuracy"] == other["test_accuracy"]
    assert one["epochs"] == 2
    assert f"Next:  minitorch-alexnet evaluate {copied}" in capsys.readouterr().out


def test_a_finished_run_is_not_said_to_go_on(copied, capsys):
    assert call("train", "--resume", copied) == 0
    assert "epoch 3" not in capsys.readouterr().out  # of 2


def test_a_resumed_runs_result_still_says_which_data_it_was_not(copied, finished):
    (copied / "result.json").unlink()
    assert call("train", "--resume", copied) == 0
    assert read_json(copied / "result.json")["note"] == read_json(finished / "result.json")["note"]


def test_resuming_a_run_that_has_no_checkpoint_yet_starts_it(copied, finished):
    for file in FILES - {"config.json"}:
        (copied / file).unlink()
    assert call("train", "--resume", copied) == 0
    assert weights(copied) == weights(finished)
    assert set(os.listdir(copied)) == FILES


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--epochs", "3"),
        ("--lr", "3"),
        ("--out", "3"),
        ("--seed", "3"),
        ("--recipe", "full"),
        ("--freeze", "conv1"),
        ("--tf32", None),
        ("--no-augment", None),
    ],
)
def test_resuming_with_other_settings_is_refused(copied, refused, option, value):
    said = [option] if value is None else [option, value]
    assert f"leave out {option.replace('no-', '')}" in refused("train", "--resume", copied, *said)


def test_resuming_on_other_images_is_refused(copied, refused, monkeypatch):
    draw = silhouettes.load
    monkeypatch.setattr(silhouettes, "load", lambda split: draw(split).subset(slice(1, None)))
    message = refused("train", "--resume", copied, "--data", "silhouettes")
    assert "this is a run on other images, or with other classes" in message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "is not a run folder: there is no config.json"),
        ("", "is not a run's config"),
        ("{", "is not a run's config"),
        ("[1]", "is not a run's config"),
        ('{"epochs": 2, "wings": 3}', "wings"),
        ('{"model": "resnet", "data": "silhouettes"}', "unknown model 'resnet': expected one of"),
        ('{"data": "birds"}', "unknown data set 'birds'"),
        ('{"schedule": "x", "data": "silhouettes"}', "unknown schedule 'x': expected one of"),
        ('{"epochs": "two", "data": "silhouettes"}', "epochs"),
        ('{"batch_size": 2.5, "data": "silhouettes"}', "batch_size"),
    ],
)
def test_resuming_what_is_not_a_run(refused, place, config, message):
    (place / "odd").mkdir()
    if config is not None:
        (place / "odd/config.json").write_text(config)
    assert message in refused("train", "--resume", "odd")


def test_resuming_a_missing_folder(refused):
    assert "nowhere is not a run folder" in refused("train", "--resume", "nowhere")


def test_resuming_with_another_runs_checkpoint(refused, copied):
    config = read_json(copied / "config.json")
    (copied / "config.json").write_text(json.dumps(config | {"lr": 0.5}))
    assert "this is a run of another config" in refused("train", "--resume", copied)


# ---- damaged runs ----------------------------------------------------------------------------


def doctor_checkpoint(folder, change):
    """Rewrites the checkpoint as change(arrays, meta) leaves them."""
    arrays, meta = checkpoint.load(folder / "checkpoint.npz")
    change(arrays, meta)
    checkpoint.save(folder / "checkpoint.npz", arrays, meta)


def set_to(name, value):
    return lambda arrays, meta: (arrays if name in arrays else meta).update({name: value})


def drop(name):
    return lambda arrays, meta: (arrays if name in arrays else meta).pop(name)


WEIGHT = "weights/fc8.weight"
DAMAGES = {
    "truncated": (lambda data: data[:1000], "is not a whole checkpoint of ours"),
    "text": (lambda data: b"hello\n", "is not a whole checkpoint of ours"),
    "empty": (lambda data: b"", "is not a whole checkpoint of ours"),
    "missing": (None, "there is no checkpoint"),
    "other shape": (set_to(WEIGHT, np.ones((7, 256), np.float32)), "weights of another model"),
    "other width": (set_to(WEIGHT, np.ones((10, 9), np.float32)), "weights of another model"),
    "scalar": (set_to(WEIGHT, np.float32(1)), "fc8.weight|checkpoint"),
    "text for numbers": (set_to(WEIGHT, np.full((10, 256), "x")), "fc8.weight|checkpoint"),
    "weight missing": (drop(WEIGHT), "fc8.weight is missing: these are weights of another model"),
    "weight too many": (
        lambda arrays, meta: arrays.update({"weights/x.bias": np.ones(2)}),
        "x.bias",
    ),
    "format": (set_to("format", 9), "has format 9, this version reads 1"),
    "config missing": (drop("config"), "config"),
    "config odd": (lambda arrays, meta: meta["config"].update(wings=2), "wings|another config"),
    "config no dict": (set_to("config", None), "checkpoint"),
    "model unknown": (
        lambda arrays, meta: meta["config"].update(model="resnet"),
        "unknown model 'resnet'|another config",
    ),
}
FOR_SHOWING = {
    "mean missing": (drop("normalize/mean"), "normalize/mean"),
    "mean of another size": (
        set_to("normalize/mean", np.zeros((1, 28, 9), np.float32)),
        "mean|checkpoint",
    ),
    "names missing": (drop("class_names"), "class_names"),
    "scale missing": (drop("scale"), "scale"),
    "scale no number": (set_to("scale", "x"), "scale|checkpoint"),
}
FOR_RESUMING = {
    "velocity missing": (drop("velocity/fc8.bias"), "fc8.bias is missing"),
    "generators missing": (drop("generators"), "generators"),
    "generators unknown": (set_to("generators", {"drop9": {}}), "drop9|checkpoint"),
    "schedule missing": (drop("schedule"), "schedule"),
    "epoch missing": (drop("epoch"), "epoch"),
}


def damage(folder, how):
    path = folder / "checkpoint.npz"
    if how is None:
        path.unlink()
    elif how.__code__.co_varnames == ("data",):
        path.write_bytes(how(path.read_bytes()))
    else:
        doctor_checkpoint(folder, how)


SHOWING = DAMAGES | FOR_SHOWING


@pytest.mark.parametrize(("how", "message"), SHOWING.values(), ids=SHOWING)
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_damaged_run_is_not_shown(refused, copied, command, how, message):
    damage(copied, how)
    Image.new("L", (28, 28)).save("x.png")
    told = refused(command, copied, *(["x.png"] if command == "predict" else []))
    assert re.search(message, told)


RESUMING = {k: v for k, v in (DAMAGES | FOR_RESUMING).items() if k != "missing"}


@pytest.mark.parametrize(("how", "message"), RESUMING.values(), ids=RESUMING)
def test_a_damaged_run_is_not_resumed(refused, copied, how, message):
    damage(copied, how)
    before = (copied / "checkpoint.npz").read_bytes()
    told = refused("train", "--resume", copied)
    assert re.search(message, told)
    assert (copied / "checkpoint.npz").read_bytes() == before


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_missing_folder(refused, command):
    images = ["x.png"] if command == "predict" else []
    assert refused(command, "nowhere", *images) == "there is no checkpoint nowhere/checkpoint.npz"


def test_a_sound_run_is_found_sound_by_the_same_means(copied, capsys):
    """What the tests above do to a checkpoint does no harm in itself."""
    doctor_checkpoint(copied, lambda arrays, meta: None)
    assert call("evaluate", copied) == 0
    assert "accuracy" in capsys.readouterr().out


# ---- evaluate --------------------------------------------------------------------------------


def test_evaluate_says_what_training_said(finished, capsys):
    assert call("evaluate", finished) == 0
    lines = capsys.readouterr().out.splitlines()
    result = read_json(finished / "result.json")
    run, test = load_run(finished), silhouettes.load("test")
    logits = run.net.predict(run.normalize(test.images, run.net.device))
    top = np.mean([y in np.argsort(-z)[:5] for z, y in zip(logits, test.labels, strict=True)])
    assert lines[0] == (
        "fashion on silhouettes, 40 test images: accuracy"
        f" {result['test_accuracy']:.2%}, top-5 {top:.2%}, loss {result['test_loss']:.4f}"
    )
    assert len(lines) == 12
    assert lines[-1] == f"All classes are in {finished}: classes.csv, confusion.png."
    for k, (name, line) in enumerate(zip(CLASS_NAMES, lines[1:-1], strict=True)):
        share = (logits.argmax(axis=1) == k)[test.labels == k].mean()
        assert line.split() == [
            *name.split(),
            f"{share:.2%}",
            *["█" * round(40 * share)][: int(share > 0)],
        ]


def test_evaluate_with_a_data_dir_of_ones_own(refused, finished, copied, monkeypatch):
    """A run on Fashion-MNIST is tested on that of --data-dir."""
    doctor_checkpoint(copied, lambda a, meta: meta["config"].update(data="fashion-mnist"))
    asked, test = [], silhouettes.load("test")
    monkeypatch.setattr(fashion_mnist, "load", lambda *a: asked.append(a) or test)
    assert call("evaluate", copied, "--data-dir", "mine") == 0
    assert asked == [("train", "mine"), ("test", "mine")]


# ---- predict ---------------------------------------------------------------------------------


def test_predict_prints_classes_with_bars(finished, place, capsys):
    images = silhouettes.load("test").images[:2]
    for i, image in enumerate(images):
        Image.fromarray(image[0]).save(place / f"{i}.png")
    assert call("predict", finished, "0.png", "1.png", "--top", "4") == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[5], len(lines)) == ("0.png", "1.png", 10)
    run = load_run(finished)
    logits = run.net.predict(run.normalize(images, run.net.device)).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for p, told in zip(shares, (lines[1:5], lines[6:]), strict=True):
        for k, line in zip(np.argsort(-p)[:4], told, strict=True):
            name, percent, bar = re.fullmatch(r"  (\S.*?) +([\d.]+)%  (█*)", line).groups()
            assert name == CLASS_NAMES[k]
            assert float(percent) == pytest.approx(100 * p[k], abs=0.011)
            assert len(bar) == pytest.approx(40 * p[k], abs=0.51)


@pytest.mark.parametrize(("top", "shown"), [((), 3), (("--top", "1"), 1), (("--top", "99"), 10)])
def test_predict_shows_so_many(finished, capsys, top, shown):
    Image.new("RGB", (300, 200), "white").save("x.png")
    assert call("predict", finished, "x.png", *top) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + shown


def test_predict_refuses_what_is_no_image(refused, finished, place):
    (place / "x.jpg").write_text("not an image")
    assert "cannot read x.jpg as an image" in refused("predict", finished, "x.jpg")
    assert "there is no image y.jpg" in refused("predict", finished, "y.jpg")
    assert "cannot read . as an image" in refused("predict", finished, ".")


@pytest.mark.parametrize("top", ["0", "-1"])
def test_predict_refuses_to_show_nothing(refused, finished, top):
    Image.new("L", (28, 28)).save("x.png")
    message = f"--top must be at least 1, got {top}"
    assert message in refused("predict", finished, "x.png", "--top", top)


# ---- summary, gradcheck, doctor --------------------------------------------------------------


def conv(side, inputs, outputs, kernel, groups):
    """(parameters, multiply-adds) of a layer whose maps come out side × side."""
    weights = outputs * (inputs // groups) * kernel**2
    return weights + outputs, weights * side**2


def linear(inputs, outputs):
    return inputs * outputs + outputs, inputs * outputs


@pytest.mark.parametrize("classes", [10, 37])
def test_summary_prints_the_totals(capsys, classes):
    layers = {
        "conv1": conv(24, 1, 16, 5, 1),
        "conv2": conv(12, 16, 64, 5, 2),
        "conv3": conv(6, 64, 96, 3, 1),
        "conv4": conv(6, 96, 96, 3, 2),
        "conv5": conv(6, 96, 64, 3, 2),
        "fc6": linear(64 * 3 * 3, 256),
        "fc7": linear(256, 256),
        "fc8": linear(256, classes),
    }
    assert call("summary", "fashion", "--classes", classes) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    for name, (parameters, adds) in layers.items():
        assert f" {parameters:,} " in lines[name]
        assert f" {adds:,} " in lines[name]
    totals = [sum(column) for column in zip(*layers.values(), strict=True)]
    assert lines["total"].split() == ["total", f"{totals[0]:,}", f"{totals[1]:,}"]
    net = build("fashion", num_classes=classes)
    assert totals[0] == sum(p.data.size for p in net.named_parameters().values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet",), "unknown model 'resnet': expected one of fashion"),
        (("fashion", "--classes", "0"), "at least 1"),
    ],
)
def test_summary_refuses(refused, arguments, message):
    assert message in refused("summary", *arguments)


def test_gradcheck_checks_every_layer(capsys):
    assert call("gradcheck") == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert all(line.endswith("  ok") for line in lines)
    assert {line.split("(")[0] for line in lines} == {
        "Conv2d", "LocalResponseNorm", "MaxPool2d", "ReLU", "Tanh", "Dropout", "Linear",
        "Flatten", "Copy", "Concat", "Upsample",
    }  # fmt: skip


def test_gradcheck_checks_only_what_is_asked(capsys):
    assert call("gradcheck", "relu", "Linear", "--seed", "3") == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split("(")[0] for line in lines] == ["ReLU", "Linear"]


def test_gradcheck_of_an_unknown_layer(refused):
    message = refused("gradcheck", "ReLU", "Softplus")
    assert message.startswith("unknown layer softplus: expected any of Concat, Conv2d, Copy")


def test_gradcheck_with_a_negative_seed(refused):
    assert "seed" in refused("gradcheck", "ReLU", "--seed", "-1")


def test_gradcheck_finds_a_wrong_layer(capsys, monkeypatch):
    def backward(layer, dy, need_dx=True):
        (y,) = layer.take_cache()
        return dy * (y > 0.5)

    monkeypatch.setattr(ReLU, "backward", backward)
    assert call("gradcheck", "ReLU", "Tanh") == 1
    told = capsys.readouterr().out
    assert re.search(r"^ReLU\(\) .*  WRONG$", told, re.M)
    assert re.search(r"^  input 0\[\d+, \d+\]: backward .*differences", told, re.M)
    assert re.search(r"^Tanh\(\) .*  ok$", told, re.M)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ((Path("some/place"), ["cache: none"]), "some/place"),
        ((None, ["cache: none", "Debian: none"]), "not found: cache: none; Debian: none"),
    ],
    ids=["found", "not found"],
)
def test_doctor(capsys, monkeypatch, found, told):
    monkeypatch.setattr(fashion_mnist, "find", lambda: found)
    assert call("doctor", "--threads", "3") == 0
    lines = dict(re.split(r"  +", s, maxsplit=1) for s in capsys.readouterr().out.splitlines())
    assert lines["minitorch_alexnet"] == __version__
    assert lines["Python"].startswith(platform.python_version())
    assert lines["NumPy"] == np.__version__
    assert lines["threads"] == f"3 workers on {len(device.usable_cores())} cores"
    assert lines["GPU"] == (why_no_gpu() or "cuda:0 can be used")
    assert lines["Fashion-MNIST"] == told
    assert lines["silhouettes"] == "built in"


def test_doctor_says_what_keeps_a_gpu_from_being_used(capsys, monkeypatch):
    for reason in "", "planted: no driver":
        monkeypatch.setattr(
            "minitorch_alexnet.cli.inspect.why_no_gpu", lambda reason=reason: reason
        )
        assert call("doctor") == 0
        assert re.search(f"GPU +{reason or 'cuda:0 can be used'}", capsys.readouterr().out)


def test_doctor_says_where_blas_takes_all_cores(capsys, monkeypatch):
    monkeypatch.setattr("minitorch_alexnet.cli.inspect.blas_can_be_limited", lambda: False)
    assert call("doctor") == 0
    assert "this BLAS cannot be held to one thread" in capsys.readouterr().out


# ---- the entrance ----------------------------------------------------------------------------


def help_of(capsys, monkeypatch, *command):
    monkeypatch.setenv("COLUMNS", "200")
    assert call(*command, "--help") == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(capsys, monkeypatch, command):
    told = help_of(capsys, monkeypatch, command)
    assert told.startswith(f"usage: minitorch-alexnet {command}")
    assert "--threads N" in told
    assert told.count("(default: None)") == told.count("(default: False)") == 0
    summary = told.split("\n\n")[1]
    assert summary in help_of(capsys, monkeypatch)  # the overview says the same


@pytest.mark.parametrize(
    ("command", "option", "default"),
    [
        ("train", "--model", "fashion"),
        ("train", "--data", "auto"),
        ("train", "--recipe", "quick"),
        ("train", "--seed", "0"),
        ("train", "--out", "runs/<date>"),
        ("predict", "--top", "3"),
        ("summary", "--classes", "the model's own"),
        ("gradcheck", "--seed", "0"),
        ("doctor", "--threads", "$MINITORCH_ALEXNET_THREADS, else one a core"),
    ],
)
def test_help_shows_defaults(capsys, monkeypatch, command, option, default):
    told = help_of(capsys, monkeypatch, command).split("options:\n")[1]
    (entry,) = (e for e in re.split(r"\n  (?=-)", told) if e.strip().startswith(f"{option} "))
    assert f"(default: {default}" in " ".join(entry.split())


@pytest.mark.parametrize(("arguments", "status"), [((), 2), (("fly",), 2), (("train", "x"), 2)])
def test_no_or_an_unknown_command(capsys, arguments, status):
    assert call(*arguments) == status
    assert "usage: minitorch-alexnet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError("planted"), "planted"), (MemoryError(), "MemoryError")],
    ids=["OSError", "MemoryError"],
)
def test_errors_of_the_system_are_one_line(refused, monkeypatch, error, told):
    def fail(name, **options):
        raise error

    monkeypatch.setattr("minitorch_alexnet.cli.inspect.build", fail)
    assert refused("summary", "fashion") == told


def test_ctrl_c_outside_of_training(capsys, monkeypatch):
    def interrupt(name, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("minitorch_alexnet.cli.inspect.build", interrupt)
    assert call("summary", "fashion") == 130
    assert capsys.readouterr().err == "minitorch-alexnet: interrupted\n"


def test_python_m():
    done = subprocess.run(
        [sys.executable, "-m", "minitorch_alexnet", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


# Runs the command on the tests' small data; before epoch 2's first step it awaits the signal.
DRIVER = f"""
import sys, time
from minitorch_alexnet.cli.main import main
from minitorch_alexnet.data import fashion_mnist, silhouettes
from minitorch_alexnet.errors import DataError
from minitorch_alexnet.train import Trainer

def refuse(split, data_dir=None):
    raise DataError("planted: no Fashion-MNIST here")

def wait_and_step(trainer, images, labels):
    deadline = time.monotonic() + 20
    while trainer.epoch == 1 and not trainer.stopping and time.monotonic() < deadline:
        time.sleep(0.01)
    step(trainer, images, labels)

draw, step = silhouettes.load, Trainer._step
silhouettes.load = lambda split: draw(split, count={COUNTS}[split])
fashion_mnist.load = refuse
Trainer._step = wait_and_step
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_stops_training_and_resume_finishes_it(place, finished, capsys, signum):
    with subprocess.Popen(
        [sys.executable, "-u", "-c", DRIVER, *SHORT, "--out", "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as training:
        for line in training.stdout:
            if line.startswith("epoch 1:"):
                break
        training.send_signal(signum)
        rest, error = training.communicate(timeout=30)
    assert (training.returncode, error) == (130, "")
    assert rest.splitlines() == [
        "Stopped in epoch 2 after batch 1; all is saved.",
        "Go on with:  minitorch-alexnet train --resume run",
    ]
    assert set(os.listdir("run")) == {"config.json", "metrics.csv", "checkpoint.npz"}
    assert len(read_metrics(place / "run")) == 1
    assert call("train", "--resume", "run") == 0
    assert "Going on with run in epoch 2, batch 2." in capsys.readouterr().out
    assert set(os.listdir("run")) == FILES
    assert weights(place / "run") == weights(finished)  # which was never stopped
    rows, never_stopped = read_metrics(place / "run"), read_metrics(finished)
    assert timeless(rows) == timeless(never_stopped)
