"""Processes that train one net together: the numbers of one, whatever ends them, what they say."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

TASKS = Path(__file__).with_name("together.py")
MPIEXEC = [shutil.which("mpiexec") or "mpiexec", "-n"]
COMMAND = [sys.executable, "-m", "minitorch_alexnet"]


def run(size, *command, **environment):
    """The finished mpiexec of so many processes, or one process without it."""
    start = [] if size == 1 else [*MPIEXEC, str(size)]
    return subprocess.run(
        [*start, *map(str, command)],
        env={**os.environ, "MINITORCH_ALEXNET_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def task(size, name, folder, **environment):
    return run(size, sys.executable, "-X", "faulthandler", TASKS, name, folder, **environment)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """numbers() of one, two and three processes; of three twice."""
    folder = tmp_path_factory.mktemp("numbers")
    found = {}
    for name, size in (("1", 1), ("2", 2), ("3", 3), ("3 again", 3)):
        done = task(size, "numbers", folder)
        assert done.returncode == 0, done.stderr
        found[name] = dict(np.load(folder / f"{size}.npz"))
    return found


@pytest.mark.parametrize("size", ["2", "3"])
def test_several_learn_what_one_learns(results, size):
    one, several = results["1"], results[size]
    assert several["steps"] == one["steps"] == 3 * 6
    np.testing.assert_allclose(several["losses"], one["losses"], rtol=1e-5)
    np.testing.assert_allclose(several["history"], one["history"], rtol=1e-5)
    for name, wanted in one.items():
        np.testing.assert_allclose(several[name], wanted, rtol=0, atol=1e-5 * abs(wanted).max())


def test_as_many_processes_give_the_same_bits(results):
    for name, wanted in results["3"].items():
        np.testing.assert_array_equal(results["3 again"][name], wanted)


@pytest.mark.parametrize(("sizes", "dies"), [((2, 3), "4,1"), ((3, 1), "7,3"), ((1, 2), "11,1")])
def test_killed_and_resumed_on_another_number_equals_never_killed(results, tmp_path, sizes, dies):
    killed = task(sizes[0], "go_on", tmp_path, DIE_AT=dies)
    assert killed.returncode
    done = task(sizes[1], "go_on", tmp_path)
    assert done.returncode == 0, done.stderr
    end = np.load(tmp_path / "end.npz")
    for name in end.files:
        wanted = results["1"][name]
        np.testing.assert_allclose(end[name], wanted, rtol=0, atol=1e-5 * abs(wanted).max())


def test_one_that_fails_ends_all(tmp_path):
    done = task(3, "fail", tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("ZeroDivisionError: stumbled") == 1


@pytest.mark.parametrize("when", ["before", "step", "epoch", "thread"])
def test_all_stop_where_one_is_asked_to(tmp_path, when):
    done = task(2, "stop", tmp_path, STOP=when)
    assert done.returncode == 0, done.stderr


def test_all_save_and_resume(tmp_path):
    done = task(2, "save", tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", ["images", "configs"])
def test_what_differs_is_said(tmp_path, what):
    done = task(2, "differ", tmp_path, DIFFER=what)
    assert done.returncode == 1
    assert f"processes 0 and 1 have different {what}" in done.stderr


# ---- the command line ------------------------------------------------------------------------

TRAIN = ("train", "--data", "silhouettes", "--batch-size", "64", "--epochs", "1")


def test_the_commands_work_together(tmp_path):
    """One epoch is cut short by Ctrl-C, and goes on in other numbers of processes."""
    folder = tmp_path / "run"
    command = [*MPIEXEC, "2", *COMMAND, *TRAIN, "--out", str(folder)]
    learning = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (folder / "config.json").exists() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(2)
    learning.send_signal(signal.SIGINT)
    out, err = learning.communicate(timeout=60)
    assert out.count("Stopped in epoch 1 after batch") == 1, (out, err)
    assert learning.returncode == 130
    done = run(1, *COMMAND, "train", "--resume", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Test accuracy") == 1
    told = [run(size, *COMMAND, "evaluate", folder).stdout for size in (1, 2)]
    assert told[0] == told[1]
    assert "accuracy" in told[0]


def test_an_experiments_trainings_are_dealt_out(tmp_path):
    """Each is one process's whole: the numbers are those of one, also after one of two has died."""

    def folder(name):
        return tmp_path / name / "alone"  # what stands beside it would be taken, not done

    def kept(name):
        results = json.loads((folder(name) / "results.json").read_text())
        return {name: result["arms"] for name, result in results.items()}

    def do(size, name):
        done = task(size, "experiment", folder(name))
        assert done.returncode == 0, done.stderr

    do(1, "of one")
    do(3, "of three")
    assert kept("of three") == kept("of one")
    assert task(2, "experiment", folder("killed"), DIE_AT="4").returncode
    assert 0 < len(kept("killed")) < len(kept("of one"))
    do(3, "killed")
    assert kept("killed") == kept("of one")


def test_a_shared_step_is_timed(tmp_path):
    done = run(
        2, *COMMAND, "bench", "--batch-size", "7", "--seconds", "0", "--out", tmp_path / "b.png"
    )
    assert done.returncode == 0, done.stderr
    assert "batches of 7, 2 processes" in done.stdout
    assert done.stdout.count("images/s") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((["evaluate", "nowhere"], ["evaluate", "nowhere"]), "there is no checkpoint nowhere"),
        ((["evaluate", "r"], ["evaluate", "r", "--train"]), "different options"),
        ((["predict", "r", "x.png"], ["predict", "r", "x.png"]), "is for one process"),
        ((["train", "--bogus"], ["train", "--bogus"]), "unrecognized arguments: --bogus"),
    ],
)
def test_what_is_wrong_is_said_once(words, said):
    first, second = ([*COMMAND, *w] for w in words)
    done = subprocess.run(
        [*MPIEXEC, "1", *first, ":", "-n", "1", *second], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.count(said) == 1
    assert "Traceback" not in done.stderr


def test_one_without_the_data_says_so_and_ends_all(tmp_path):
    """Another machine's, say: there --data is a folder that is not there."""
    start = [sys.executable, "-c"]
    program = (
        "import os, sys; from minitorch_alexnet import data; from minitorch_alexnet.cli.main import"
        " main\nfrom minitorch_alexnet.errors import DataError\ndef load(*given):\n"
        "    raise DataError('the garments are missing')\n"
        "if os.environ['PMI_RANK'] == '1': data.load = load\n"
        f"sys.exit(main({[*TRAIN, '--out', str(tmp_path / 'run')]}))"
    )
    done = run(2, *start, program)
    assert done.returncode == 2
    assert done.stderr.count("the garments are missing") == 1
    assert "Traceback" not in done.stderr


def test_without_mpi4py_it_says_what_to_install():
    program = "import sys; sys.modules['mpi4py'] = None; import minitorch_alexnet.cli.main as m"
    program += "; sys.exit(m.main(['train']))"
    done = run(2, sys.executable, "-c", program)
    assert done.returncode == 2
    assert done.stderr.count("minitorch_alexnet[mpi]") == 1


def test_alone_mpi_is_not_imported():
    program = "import sys; from minitorch_alexnet.cli.main import main; main(['doctor'])"
    done = run(1, sys.executable, "-c", program + "; print('mpi4py' in sys.modules)")
    assert done.stdout.endswith("False\n")
