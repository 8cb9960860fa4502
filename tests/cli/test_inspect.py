"""minitorch-alexnet summary, gradcheck, doctor; and the entrance: help, errors in one line."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import call

from minitorch_alexnet import __version__
from minitorch_alexnet.data import fashion_mnist
from minitorch_alexnet.gpu import why_no_gpu
from minitorch_alexnet.layers import ReLU
from minitorch_alexnet.models import build
from minitorch_alexnet.workers import usable_cores

COMMANDS = (
    "train", "prepare", "evaluate", "predict", "neighbours", "filters", "look", "reproduce",
    "bench", "summary", "graph", "gradcheck", "doctor", "import", "export",
)  # fmt: skip


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
    assert message.startswith("unknown layer Softplus: expected any of Concat, Conv2d, Copy")


def test_gradcheck_with_a_negative_seed(refused):
    assert "seed" in refused("gradcheck", "ReLU", "--seed", "-1")


def test_gradcheck_finds_a_wrong_layer(capsys, monkeypatch):
    def backward(layer, dy, y, need_dx=True):
        return dy * (y > 0.5), {}

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
    assert lines["threads"] == f"3 workers on {len(usable_cores())} cores"
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
    [(OSError("planted"), "planted"), (MemoryError(), "there is not enough memory")],
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


def test_gradcheck_offers_the_layers_that_are_meant(refused):
    assert refused("gradcheck", "Conv") == "unknown layer Conv: expected any of Conv2d"
