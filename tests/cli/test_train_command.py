"""minitorch-alexnet train: what it prints and leaves, how it refuses, stops and goes on."""

import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from command import FILES, SHORT, call, listed, picture, read_json, read_metrics, timeless, weights

from minitorch_alexnet import __version__, workers
from minitorch_alexnet.cli.interrupt import first_ctrl_c
from minitorch_alexnet.config import RECIPES, Config
from minitorch_alexnet.data import silhouettes
from minitorch_alexnet.files import Lock
from minitorch_alexnet.run import load_run

# ---- train -----------------------------------------------------------------------------------


def test_train_leaves_its_files_and_nothing_else(finished):
    assert listed(finished) == FILES
    for path in finished.glob("*.png"):
        pixels = picture(path).mean(axis=2)
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


def test_result(finished):
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


def test_train_says_what_it_does_and_what_to_do_next(said):
    folder, told = said
    lines = told.splitlines()
    assert lines[0].startswith("Note: drawn silhouettes take the place of Fashion-MNIST")
    assert "Training fashion on silhouettes: 110 images, 2 epochs of 3 steps" in told
    assert re.search(
        r"^epoch 1: loss \d.*accuracy .*%; validation loss .*%; \d+ s, \d+\.\d waiting for images$",
        told,
        re.M,
    )
    accuracy = read_json(folder / "result.json")["test_accuracy"]
    assert f"Test accuracy {accuracy:.2%} on 40 images of silhouettes after 2 epochs" in told
    assert [line.strip() for line in lines[-3:]] == [
        f"Next:  minitorch-alexnet evaluate {folder}",
        f"minitorch-alexnet predict {folder} YOUR_IMAGE.png",
        "minitorch-alexnet train --recipe full",
    ]


def test_without_out_the_folder_has_the_date(unfit, capsys):
    assert call("train") == 130
    (folder,) = Path("runs").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}", folder.name)
    assert f"train --resume {folder}" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_bits_with_another_number_of_threads(finished, place):
    assert call(*SHORT, "--out", "threads", "--threads", "3") == 0
    assert weights(place / "threads") == weights(finished)
    assert timeless(read_metrics(place / "threads")) == timeless(read_metrics(finished))
    again, first = (read_json(f / "result.json") for f in (place / "threads", finished))
    assert again["threads"] == 3
    assert again["test_accuracy"] == first["test_accuracy"]
    assert again["test_loss"] == first["test_loss"]


def test_another_seed_starts_otherwise(unfit, place):
    for seed in "01":
        assert call(*SHORT, "--out", seed, "--seed", seed) == 130
    assert weights(place / "0")["weights/fc8.weight"] != weights(place / "1")["weights/fc8.weight"]


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
        (("--model", "alexnet-small"), "takes images of 56 to 128 pixels, got 28"),
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
    monkeypatch.setattr(workers, "_workers", None)
    monkeypatch.setenv("MINITORCH_ALEXNET_THREADS", value)
    assert message in refused("train", "--out", "run")


@pytest.mark.parametrize("below", ["file", "file/run", "file/deep/run"])
def test_an_output_folder_that_cannot_be_written(refused, place, below):
    (place / "file").write_text("in the way")
    message = refused("train", "--out", below)
    assert below in message
    assert (place / "file").read_text() == "in the way"


@pytest.mark.filterwarnings("ignore:.* encountered in ")
def test_a_rate_at_which_the_loss_explodes(refused):
    message = refused("train", "--lr", "1e30", "--schedule", "step", "--out", "run")
    assert re.match(
        r"the loss is not finite in epoch \d, batch \d: the first .* that of \w+", message
    )
    assert "train anew with a lower lr (its highest rate was 1e+30)" in message


# ---- train --resume --------------------------------------------------------------------------


def test_a_folder_with_a_run_is_not_written_over(refused, copied):
    before = {file.name: file.read_bytes() for file in copied.iterdir()}
    message = refused("train", "--epochs", "1", "--out", copied)
    assert f"{copied} holds a run already" in message
    assert {file.name: file.read_bytes() for file in copied.iterdir()} == before


def test_resuming_a_finished_run_changes_nothing_in_it(copied, finished, capsys):
    for name in ("curves.png", "filters.png", "result.json"):
        (copied / name).unlink()
    assert call("train", "--resume", copied) == 0
    assert weights(copied) == weights(finished)
    assert read_metrics(copied) == read_metrics(finished)
    assert listed(copied) == FILES  # the pictures are drawn anew
    one, other = (read_json(f / "result.json") for f in (copied, finished))
    for name in ("note", "epochs", "test_accuracy"):
        assert one[name] == other[name]
    told = capsys.readouterr().out
    assert "epoch 3" not in told  # of 2
    assert f"Next:  minitorch-alexnet evaluate {copied}" in told


def test_resuming_a_run_that_has_no_checkpoint_yet_starts_it(copied, finished):
    for file in FILES - {"config.json"}:
        (copied / file).unlink()
    assert call("train", "--resume", copied) == 0
    assert weights(copied) == weights(finished)
    assert listed(copied) == FILES


@pytest.mark.parametrize(
    ("option", "value"),
    [
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


def test_the_devices_are_said(unfit, capsys):
    for flags, told in ((), "steps, 3 threads."), (("--devices", "cpu:2"), "on cpu:2, 3 threads."):
        assert call(*SHORT, "--threads", "3", *flags, "--out", f"run{len(flags)}") == 130
        assert told in capsys.readouterr().out


# ---- signals ---------------------------------------------------------------------------------

# Epochs enough for a signal to come before the last one.
LONG = ("train", "--model", "fashion", "--epochs", "12", "--batch-size", "6", "--lr", "1e-4")


@pytest.fixture(scope="module")
def tiny_photographs(photographs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals") / "prepared"
    assert call("prepare", photographs, folder, "--size", "28", "--processes", "1") == 0
    return folder


@contextlib.contextmanager
def heard(signum):
    """Processes that start meanwhile hear the signal, even where we were told to ignore it."""
    before = signal.signal(signum, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signum, before)


def stopped(data, signum) -> tuple[int, int]:
    """Trains into the folder `run`, and is sent a signal; the epoch and batch it stopped after."""
    with heard(signum):
        training = subprocess.Popen(
            [
                sys.executable,
                "-u",
                "-m",
                "minitorch_alexnet",
                *LONG,
                "--data",
                data,
                "--out",
                "run",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    with training:
        for line in training.stdout:
            if line.startswith("epoch 1:"):
                break
        training.send_signal(signum)
        rest, error = training.communicate(timeout=30)
    assert (training.returncode, error) == (130, "")
    *_, told, advice = rest.splitlines()
    epoch, batch = map(int, re.findall(r"\d+", told))
    assert told == f"Stopped in epoch {epoch} after batch {batch}; all is saved."
    assert advice == "Go on with:  minitorch-alexnet train --resume run"
    assert listed(Path("run")) == {"config.json", "metrics.csv", "checkpoint.npz"}
    assert len(read_metrics(Path("run"))) == epoch - 1
    return epoch, batch


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_stops_training_and_resume_finishes_it(place, tiny_photographs, capsys):
    epoch, batch = stopped(tiny_photographs, signal.SIGINT)
    assert call("train", "--resume", "run") == 0
    assert f"Going on with run in epoch {epoch}, batch {batch + 1}." in capsys.readouterr().out
    assert listed(Path("run")) == FILES
    assert call(*LONG, "--data", tiny_photographs, "--out", "never stopped") == 0
    assert weights(place / "run") == weights(place / "never stopped")
    rows = [read_metrics(place / folder) for folder in ("run", "never stopped")]
    assert timeless(rows[0]) == timeless(rows[1])


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_stop_training(place, tiny_photographs, name):
    stopped(tiny_photographs, getattr(signal, name))


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_nohup_is_heeded():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        heard = []
        with first_ctrl_c(lambda: heard.append(1)):
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
        assert heard == [1]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


# ---- more epochs, two at once --------------------------------------------------------------------


def test_resume_with_more_epochs(copied, capsys):
    assert call("train", "--resume", copied) == 0
    assert "--epochs N goes on" in capsys.readouterr().out
    assert call("train", "--resume", copied, "--epochs", "3") == 0
    told = capsys.readouterr().out
    assert "Going on with" in told
    assert "the rate is" in told
    assert [row["epoch"] for row in read_metrics(copied)] == [1, 2, 3]
    assert read_json(copied / "result.json")["epochs"] == 3
    assert call("train", "--resume", copied) == 0
    assert [row["epoch"] for row in read_metrics(copied)] == [1, 2, 3]


def test_resume_with_fewer_epochs(copied, refused):
    assert "epoch 2 is done already" in refused("train", "--resume", copied, "--epochs", "1")


def test_two_trainings_of_one_second_have_a_folder_each(place, unfit, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda form: "runs/now")
    for _ in range(3):
        assert call("train", "--epochs", "1") == 130
    assert listed(Path("runs")) == {"now", "now-2", "now-3"}
    assert all("checkpoint.npz" in listed(folder) for folder in Path("runs").iterdir())


def test_a_training_that_cannot_begin_leaves_no_folder(place, refused):
    refused("train", "--freeze", "conv9")
    assert not list(place.glob("runs/*"))


@pytest.mark.parametrize("made", [Path.touch, lambda runs: runs.symlink_to("nowhere")])
def test_where_there_can_be_no_dated_folder(place, refused, made):
    made(place / "runs")
    assert "cannot make runs" in (message := refused("train"))
    assert "--out" in message


def test_a_run_that_somebody_trains_is_left_alone(copied, refused):
    with Lock(copied):
        assert "another process is at work" in refused("train", "--resume", copied)


def test_a_folder_of_another_kind_is_not_written_into(place, refused):
    (place / "thesis").mkdir()
    (place / "thesis/curves.png").write_text("mine")
    assert "holds other files already" in refused("train", "--out", "thesis")
    assert (place / "thesis/curves.png").read_text() == "mine"


def test_a_run_that_never_came_to_a_checkpoint_makes_room(copied):
    for file in FILES - {"config.json"}:
        (copied / file).unlink()
    assert call(*SHORT, "--lr", "0.01", "--out", copied) == 0
    assert read_json(copied / "config.json")["lr"] == 0.01


def test_classes_that_are_not_watched_are_said(unfit, capsys):
    call(*SHORT, "--out", "run")
    assert "Of 3 classes there is no image to watch it on: Coat" in capsys.readouterr().out
