"""Shares of a batch, sums of gradients, masks, devices: the parts of several processes, in one."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from small import RAW, photographs, tiny
from strict import Array, state, strict_cupy

from minitorch_alexnet.cli.bar import Bar
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.loader import Loader
from minitorch_alexnet.data.transforms import Normalize
from minitorch_alexnet.device import Device
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.layers import Parameter
from minitorch_alexnet.processes import ALONE, Gradients, Processes, Started, draw_for_all
from minitorch_alexnet.train import Trainer


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
        assert [p.weight(count) for p in several] == [(s.stop - s.start) / count for s in shares]
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


def test_a_loader_picks_its_own_images_of_each_batch():
    images = np.arange(11, dtype=np.uint8).reshape(11, 1, 1, 1)
    whole, found = ArrayDataset(images, np.arange(11)), []
    for rank in range(3):
        mine = type("", (Processes,), {"rank": rank, "size": 3})()
        normalize = Normalize(np.zeros((1, 1, 1)))
        loader = Loader(whole, 5, normalize, seed=1, processes=mine)
        found.append([labels.tolist() for _, labels in loader.epoch(2)])
    alone = Loader(whole, 5, normalize, seed=1)
    *batches, (last,) = [labels.tolist() for _, labels in alone.epoch(2)]
    for number, batch in enumerate(batches):
        assert [label for theirs in found for label in theirs[number]] == batch
    assert [batches[-1] for batches in found] == [[last]] * 3  # two of them for company


def test_a_bar_waits_for_what_several_read_together():
    trainer = Trainer(photographs(), RAW, net=tiny())
    with Bar(total=3, disable=True) as bar:
        bar.step(trainer)  # on GPUs nothing is read before the twentieth step


def test_a_test_is_shared_out():
    class Other(Processes):
        """Of two; it hears what the other one has found, by name."""

        size = 2

        def __init__(self, rank, others):
            self.rank, self.others = rank, others

        def gather(self, value):
            self.mine = value
            return [value, self.others] if self.rank == 0 else [self.others, value]

    trainer = Trainer(photographs(), RAW, net=tiny())
    data = photographs(7, seed=3)
    wanted = trainer.test(data)
    second = Other(1, np.empty((0, 3), np.float32))
    trainer.run.test(data, 1, second)
    first = Other(0, second.mine)
    found = trainer.run.test(data, 1, first)
    assert (len(first.mine), len(second.mine)) == (3, 4)
    np.testing.assert_allclose(found.logits, wanted.logits, rtol=1e-5)
    np.testing.assert_array_equal(found.labels, wanted.labels)
    one = photographs(1, seed=3)  # the second one has none of it
    second = Other(0, np.empty((0, 3), np.float32))
    assert trainer.run.test(one, 1, Other(1, second.others)).logits.shape == (1, 3)
    trainer.run.test(one, 1, second)
    assert second.mine.shape == (0, 3)
