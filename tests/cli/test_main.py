"""The command line as a whole: words that are empty, numbers that are none, nobody who listens."""

import os
import subprocess
import sys

import pytest
from command import call

from minitorch_alexnet.cli.main import make_parser

FULL = "/dev/full"

# ---- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", ["", " ", "\t"])
@pytest.mark.parametrize(
    ("before", "said"),
    [
        (("train", "--resume"), "after --resume"),
        (("train", "--from"), "after --from"),
        (("train", "--data"), "after --data"),
        (("train", "--out"), "after --out"),
        (("train", "--data-dir"), "after --data-dir"),
        (("evaluate", "run", "--model"), "after --model"),
        (("reproduce", "depth", "--out"), "after --out"),
        (("prepare", "photos"), "after photos"),
        (("predict", "run", "a.png"), "after a.png"),
        ((), "to begin with"),
    ],
)
def test_an_empty_word_is_not_left_out(place, refused, before, said, blank):
    assert f"empty word {said}: give a value" in refused(*before, blank)
    assert os.listdir(place) == []


def test_an_empty_value_behind_an_equals_sign(place, refused):
    assert "--out is empty" in refused("train", "--out=")
    assert "--resume is empty" in refused("train", "--epochs", "1", "--resume= ")


# ---- numbers -------------------------------------------------------------------------------------


def numeric():
    """(command, option) of all that takes a number."""
    (commands,) = (a for a in make_parser()._actions if isinstance(a.choices, dict))
    for name, parser in commands.choices.items():
        for action in parser._actions:
            if getattr(action.type, "__name__", "") in ("whole", "decimal", "int", "float"):
                yield name, action.option_strings[-1], action.type.__name__


ARGUMENTS = {
    "evaluate": ["nowhere"], "predict": ["nowhere", "x"], "neighbours": ["nowhere", "x"],
    "filters": ["nowhere"], "look": ["nowhere", "x"], "bench": ["fashion"],
    "reproduce": ["depth", "--data", "silhouettes"],
    "summary": ["fashion"], "graph": ["fashion"], "prepare": ["nowhere", "out"],
    "train": ["--data", "silhouettes"], "import": ["nowhere.onnx", "out"],
    "export": ["nowhere", "out.onnx"],
}  # fmt: skip


@pytest.mark.parametrize(("command", "option", "kind"), list(numeric()))
def test_what_is_no_number_or_cannot_be_one(place, capsys, command, option, kind):
    never = ["nan", "inf", "-inf", "1_000", "\u0663", "x", "9" * 5000, "-1", "1e308", "9" * 30]
    if kind == "decimal":
        never[-2:] = ["1e999"]
    if (command, option) in (("train", "--seed"), ("gradcheck", "--seed")):
        never.remove("9" * 30)  # a number like any other
    for value in never:
        assert call(command, *ARGUMENTS.get(command, []), option, value) == 2
        told = capsys.readouterr().err
        assert "Traceback" not in told
        last = told.splitlines()[-1]
        name = option[2:].replace("-", "_")
        assert any(word in last for word in (option, name, option[2:])), (value, last)
    assert [name for name in os.listdir(place) if name != "runs"] == []


# ---- nobody listens ------------------------------------------------------------------------------

RUN = [sys.executable, "-m", "minitorch_alexnet"]


def shell(command):
    """Its exit status, its output and its errors; $RUN is the command line."""
    buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("$RUN", f"'{RUN[0]}' -m {RUN[2]}")],
        capture_output=True,
        text=True,
        timeout=120,
        env=buffered,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("$RUN summary fashion >&-", 0, ""),
        ("$RUN summary fashion 2>&- | tail -n 1 >/dev/null", 0, ""),
        ("$RUN summary nothing 2>&-", 2, ""),
        ("$RUN summary nothing >&- 2>&-", 2, ""),
        (f"$RUN summary fashion >{FULL}", 2, "cannot print: No space left on device"),
        (f"$RUN --version >{FULL}", 2, "cannot print: No space left on device"),
        (f"$RUN summary nothing 2>{FULL}", 2, ""),
        ("$RUN summary fashion | sleep 0", 141, ""),
        ("$RUN gradcheck ReLU | true", 141, ""),
        ("($RUN summary nothing 2>&1) | true", 2, ""),
    ],
)
def test_nobody_listens(command, status, said):
    code, _, errors = shell(command)
    assert code == status
    assert errors.strip() == (said and f"minitorch-alexnet: {said}")


TRAIN = """
import sys
from minitorch_alexnet.cli.main import main
from minitorch_alexnet.data import silhouettes

draw = silhouettes.load
silhouettes.load = lambda split: draw(split, count=60)
sys.exit(main(["train", "--data", "silhouettes", "--epochs", "2", "--batch-size", "30"]
              + ["--out", sys.argv[1]]))
"""


@pytest.mark.parametrize(
    ("ending", "status"), [("| head -n 1", 141), (">&-", 0), ("2>&-", 0), (">&- 2>&-", 0)]
)
def test_a_training_goes_on_when_nobody_listens(tmp_path, ending, status):
    (tmp_path / "program.py").write_text(TRAIN)
    program = f"'{sys.executable}' '{tmp_path / 'program.py'}' '{tmp_path / 'run'}'"
    code, out, errors = shell(f"{program} {ending}")
    assert (code, errors) == (status, "")
    assert {"checkpoint.npz", "result.json"} <= set(os.listdir(tmp_path / "run"))
    if ending.startswith("|"):
        assert out.startswith("Training fashion on silhouettes")
