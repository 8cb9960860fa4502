"""minitorch-alexnet bench: every layer is named, the picture is there, mistakes are explained."""

import re

import numpy as np
import pytest
from matplotlib.image import imread

from minitorch_alexnet import timing
from minitorch_alexnet.cli.main import main
from minitorch_alexnet.models import build


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def known(net, batch, seconds, rng, processes):
    """Instead of measure: every step takes 0.2 + 0.5 + 0.1 s, inference 0.1 s."""
    layers = {name: np.tile((0.01, 0.03), (3, 1)) for name in net.nodes}
    layers["conv2"][:] = 0.04, 0.08
    steps = np.tile((0.2, 0.5, 0.1), (3, 1))
    return timing.Timing(net, batch, steps, np.full(3, 0.1), layers, np.full(3, 1e11))


def test_bench_prints_what_was_measured(monkeypatch, capsys):
    monkeypatch.setattr("minitorch_alexnet.cli.bench.measure", known)
    assert main(["bench", "--batch-size", "16", "--out", "times.png"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"training +20\.0 images/s: a step of 800\.0 ms \(800\.0 to 800\.0 in 3", text)
    assert "forward 200.0, backward 500.0, update 100.0" in text
    assert re.search(r"inference +160\.0 images/s", text)
    rows = {words[0]: words for line in text.splitlines() if (words := line.split())}
    assert rows["conv2"][1:4] == ["40.00", "80.00", "1,843,200"]
    # 16 images · 6 · 1,843,200 FLOP in 0.12 s, of 1e11 a second
    assert rows["conv2"][4:] == ["1%", "█" * 12 + "░" * 24]
    assert rows["relu1"][1:] == ["10.00", "30.00", "███░░░░░░░░░"]
    assert rows.keys() >= build("fashion").nodes.keys()
    assert imread("times.png").ndim == 3


def test_bench_measures(tmp_path, capsys):
    assert main(["bench", "fashion", "--batch-size", "2", "--seconds", "0"]) == 0
    assert (tmp_path / "bench-fashion.png").stat().st_size > 1000
    words = capsys.readouterr().out.split()
    assert float(words[words.index("training") + 1].replace(",", "")) > 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope"], "unknown model 'nope'"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--seconds", "-1"], "--seconds must be at least 0, got -1"),
        (["--seconds", "nan"], "--seconds must be at least 0, got nan"),
        (["--out", "times.jpg"], "--out must end with .png or .svg, got times.jpg"),
    ],
)
def test_bench_refuses(arguments, says, capsys, tmp_path):
    assert main(["bench", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_more_than_the_limit_is_explained(monkeypatch, capsys):
    monkeypatch.setattr("minitorch_alexnet.cli.bench.measure", known)
    assert main(["bench", "--batch-size", "16"]) == 0
    assert "100 %" not in capsys.readouterr().out
    assert main(["bench", "--batch-size", "1200"]) == 0  # conv2: 111 GFLOP/s, of 100; all: 59
    assert "More than 100 %: " in capsys.readouterr().out
