"""Processes that train one net together: the numbers of one, whatever ends them, what they say."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small import tiny
from strict import Array, state, strict_cupy

from minitorch_alexnet.device import Device
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.layers import Parameter
from minitorch_alexnet.processes import ALONE, Gradients, Processes, Started, draw_for_all

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
    done = run(3, *COMMAND, "train", "--resume", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Test accuracy") == 1
    told = [run(size, *COMMAND, "evaluate", folder).stdout for size in (1, 2)]
    assert told[0] == told[1]
    assert "accuracy" in told[0]


def test_an_experiments_trainings_are_dealt_out(tmp_path):
    """Each is one process's whole: the numbers are those of one."""
    results = []
    for size in (1, 3):
        folder = tmp_path / str(size)
        done = task(size, "experiment", folder)
        assert done.returncode == 0, done.stderr
        kept = json.loads((folder / "results.json").read_text())
        results.append({name: result["arms"] for name, result in kept.items()})
    assert results[0] == results[1]


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
    done = run(1, sys.executable, "-c", program, PMI_SIZE="2")
    assert done.returncode == 2
    assert "minitorch_alexnet[mpi]" in done.stderr


def test_alone_mpi_is_not_imported():
    program = "import sys; from minitorch_alexnet.cli.main import main; main(['doctor'])"
    done = run(1, sys.executable, "-c", program + "; print('mpi4py' in sys.modules)")
    assert done.stdout.endswith("False\n")


# ---- the parts, without MPI ------------------------------------------------------------------


class Mirror(Processes):
    """Two processes, the other of which has the same as this one."""

    def __init__(self, rank=0):
        self.rank, self.size, self.sums = rank, 2, 0

    def sum(self, x):
        self.sums += 1
        x *= 2
        return lambda: None


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_shares_are_a_deal(count, size):
    several = [type("", (Processes,), {"rank": k, "size": size})() for k in range(size)]
    shares = [p.share(count) for p in several]
    assert [i for s in shares for i in range(count)[s]] == list(range(count))
    assert max(s.stop - s.start for s in shares) - min(s.stop - s.start for s in shares) <= 1
    if count:
        assert sum(p.weight(count) for p in several) == pytest.approx(1)
        assert all(len(range(count)[p.images(count)]) for p in several)


def test_gradients_become_the_mean_over_all(monkeypatch):
    monkeypatch.setattr("minitorch_alexnet.processes.BUFFER_BYTES", 100)
    rng, mirror = np.random.default_rng(0), Mirror()
    gradients = Gradients(mirror)
    gradients.weight = 0.25
    parameters = [Parameter(np.zeros(shape)) for shape in ((2, 3), (4, 5), (7,), (1,))]
    wanted = []
    for p in parameters:
        p.grad = rng.standard_normal(p.data.shape)
        wanted.append(p.grad / 2)
    frozen = Parameter(np.zeros(2))
    frozen.grad = None
    gradients.take([*parameters[:2], frozen])
    assert mirror.sums == 1  # under way, while the others are looked for
    gradients.take(parameters[2:])
    gradients.finish()
    assert mirror.sums == 2
    for p, mean in zip(parameters, wanted, strict=True):
        np.testing.assert_array_equal(p.grad, mean)


@pytest.fixture
def nccl(monkeypatch):
    """CuPy's nccl, which checks what it is asked for, and adds up two processes with the same."""
    asked = []

    class Communicator:
        def __init__(self, size, name, rank):
            assert (size, name, rank) == (2, "a name", 0)
            self.device = state.devices[-1]

        def allReduce(self, there, back, size, kind, op, queue):
            x = arrays[there]
            assert there == back
            assert state.devices[-1] == self.device == x._id
            assert (size, kind, op) == (x.size, f"nccl {x.dtype}", "sum")
            asked.append((queue, x.nbytes))
            x._host *= 2

    arrays: dict = {}

    def data(x):
        arrays[id(x)] = x
        return SimpleNamespace(ptr=id(x))

    stand_in = SimpleNamespace(
        get_unique_id=lambda: "a name",
        NcclCommunicator=Communicator,
        NCCL_FLOAT32="nccl float32",
        NCCL_FLOAT64="nccl float64",
        NCCL_SUM="sum",
    )
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", stand_in)
    monkeypatch.setattr(Array, "data", property(data), raising=False)
    with strict_cupy():
        yield asked


class OnGPUs(Started):
    """The first of two, without MPI."""

    def __init__(self):
        self.rank, self.size, self._between_gpus = 0, 2, {}

    def broadcast(self, value):
        return value


def test_between_gpus_nccl_sums(nccl):
    gradients = Gradients(OnGPUs())
    gradients.weight = 0.25
    parameters, wanted = [], []
    for number, dtype in ((0, np.float32), (1, np.float32), (1, np.float64), (0, np.float32)):
        x = np.random.default_rng(number).standard_normal((3, 2)).astype(dtype)
        p = Parameter(x)
        p.data = Device(f"cuda:{number}").array(x)
        p.grad = Device(f"cuda:{number}").array(x)
        parameters.append(p)
        wanted.append(x / 2)
    gradients.take(parameters)
    gradients.finish()
    assert [size for _, size in nccl] == [2 * 24, 24, 48]  # a buffer a GPU and dtype
    for p, mean in zip(parameters, wanted, strict=True):
        assert Device.of(p.grad) == Device.of(p.data)
        np.testing.assert_array_equal(Device("cpu").array(p.grad), mean)


def test_without_nccl_it_says_what_to_install(nccl, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", None)
    x = Device("cuda:0").array(np.ones(3, np.float32))
    with pytest.raises(UserError, match="pip install nvidia-nccl"):
        OnGPUs().sum(x)


def test_masks_are_rows_of_the_whole_batchs():
    alone, first, second = (tiny() for _ in range(3))
    masks = [draw_for_all(net, p) for net, p in ((first, Mirror(0)), (second, Mirror(1)))]
    assert draw_for_all(alone, ALONE).processes is ALONE
    names = [name for name, node in alone.nodes.items() if hasattr(node.layer, "rng")]
    assert names
    for mask in masks:
        mask.images = 7
    for name in names:
        whole = alone[name].rng.random((7, 4), np.float32)
        rows = [net[name].rng.random((n, 4), np.float32) for net, n in ((first, 3), (second, 4))]
        np.testing.assert_array_equal(np.concatenate(rows), whole)
    assert first.generator_states() == second.generator_states() == alone.generator_states()


@pytest.mark.parametrize(
    ("named", "own"),
    [("cpu", "cpu:0"), ("cpu:0,cpu:1", "cpu:0,cpu:1"), ("cuda:0", "cuda:2"), ("", "")],
)
def test_devices_are_named_for_the_first_of_a_machine(named, own, monkeypatch):
    monkeypatch.setattr("minitorch_alexnet.device.why_no_gpu", lambda index=0: "")
    third = Processes()
    third.local_rank, third.local_size = 2, 4
    assert third.own(named) == own
    assert ALONE.own(named) == named


def test_a_pair_of_gpus_each(monkeypatch):
    monkeypatch.setattr("minitorch_alexnet.device.why_no_gpu", lambda index=0: "")
    second = Processes()
    second.local_rank, second.local_size = 1, 2
    assert second.own("cuda:0,cuda:1") == "cuda:2,cuda:3"
    assert second.own("cpu,cuda:0") == "cpu:0,cuda:1"
    assert second.own("auto") == "cuda:1"
