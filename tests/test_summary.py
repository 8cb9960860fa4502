"""A net in numbers: what crosses between devices, foretold and counted, and the table."""

import numpy as np
import pytest
from nets import batch, in_float64, merged, towers

from minitorch_alexnet.layers import Copy
from minitorch_alexnet.models import build
from minitorch_alexnet.summary import crossings, ledger, place, summary


@pytest.fixture
def moved(monkeypatch):
    """What Copies have moved: (the layer, its way, bytes) for each part of a batch."""
    seen, forward, backward = [], Copy.forward, Copy.backward

    def spy_forward(layer, x, train=True):
        y, cache = forward(layer, x, train)
        seen.append((layer, "bytes_forward", y.nbytes))
        return y, cache

    def spy_backward(layer, dy, cache, need_dx=True):
        dx, grads = backward(layer, dy, cache, need_dx)
        seen.append((layer, "bytes_backward", 0 if dx is None else dx.nbytes))
        return dx, grads

    monkeypatch.setattr(Copy, "forward", spy_forward)
    monkeypatch.setattr(Copy, "backward", spy_backward)
    return seen


def test_ledger_counts_what_crossed():
    net = towers()
    images = np.random.default_rng(0).standard_normal((2, 3, 11, 11), dtype=np.float32)
    assert [row["bytes_forward"] for row in ledger(net)] == [0] * 4
    net.backward(net.forward(images))
    rows = {row["edge"]: row for row in ledger(net)}
    assert set(rows) == {
        "image -> image_b",
        "conv2b -> to_a",
        "conv2a -> to_b",
        "drop3b -> drop3_to_a",
    }
    assert rows["image -> image_b"]["bytes_forward"] == 2 * 3 * 11 * 11 * 4
    assert rows["image -> image_b"]["bytes_backward"] == 0  # nothing learns upstream of it
    assert rows["conv2b -> to_a"]["devices"] == "cpu:1 -> cpu:0"
    for edge, floats in (("conv2b -> to_a", 4 * 2 * 2), ("drop3b -> drop3_to_a", 3 * 2 * 2)):
        assert rows[edge]["bytes_forward"] == rows[edge]["bytes_backward"] == 2 * floats * 4
    net(images)  # forward alone
    again = {row["edge"]: row for row in ledger(net)}["conv2b -> to_a"]
    assert again["bytes_forward"] == 2 * again["bytes_backward"] == 4 * 16 * 4
    net.forget_images_seen()
    assert {row["bytes_forward"] + row["bytes_backward"] for row in ledger(net)} == {0}


def freeze(net, *names):
    for name in names:
        for parameter in net[name].params.values():
            parameter.lr_scale = 0


def test_crossings_by_hand():
    there, back = "cpu:0 -> cpu:1", "cpu:1 -> cpu:0"
    assert [tuple(row.values()) for row in crossings(towers())] == [
        ("image -> image_b", there, 3 * 11 * 11 * 4, 0),  # nothing learns upstream of it
        ("conv2b -> to_a", back, 4 * 2 * 2 * 4, 4 * 2 * 2 * 4),
        ("conv2a -> to_b", there, 4 * 2 * 2 * 4, 4 * 2 * 2 * 4),
        ("drop3b -> drop3_to_a", back, 3 * 2 * 2 * 4, 3 * 2 * 2 * 4),
    ]
    assert crossings(merged()) == []


@pytest.mark.parametrize(
    ("frozen", "back"),
    [
        ("", [0, 64, 64, 48]),
        ("conv1a conv1b", [0, 64, 64, 48]),
        ("conv1a conv2a", [0, 64, 0, 48]),
        ("conv1a conv1b conv2a conv2b", [0, 0, 0, 48]),
        ("conv1a conv1b conv2a conv2b conv3b", [0, 0, 0, 0]),
        ("conv3a conv3b fc4", [0, 64, 64, 48]),  # what is frozen downstream lets gradients through
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ledger_is_what_moves_whatever_is_frozen(frozen, back, dtype, moved):
    net = towers() if dtype == np.float32 else in_float64(towers(), np.random.default_rng(0))
    freeze(net, *frozen.split())
    itemsize = np.dtype(dtype).itemsize
    rows = crossings(net, itemsize)
    assert [4 * row["bytes_backward"] for row in rows] == [itemsize * b for b in back]
    for n in (2, 19):
        images, _ = batch(np.random.default_rng(0), n)
        net.backward(net.forward(images.astype(dtype)))
    for row, foretold in zip(ledger(net), rows, strict=True):
        copy = net[row["edge"].split()[-1]]
        for way in ("bytes_forward", "bytes_backward"):
            assert row[way] == 21 * foretold[way]
            assert row[way] == sum(b for layer, w, b in moved if (layer, w) == (copy, way))


def test_one_parameter_that_learns_is_enough_for_a_gradient_to_cross():
    net = towers()
    freeze(net, "conv1a", "conv1b", "conv2a", "conv2b")
    net["conv1b"].params["bias"].lr_scale = 1
    assert [row["bytes_backward"] for row in crossings(net)] == [0, 64, 0, 48]


def test_summary_has_shapes_counts_devices_and_totals():
    lines = summary(towers()).partition("\n\n")[0].splitlines()
    assert lines[0].split() == ["node", "layer", "output", "parameters", "multiply-adds", "device"]
    rows = {line.split()[0]: line for line in lines[1:]}
    weights = 4 * 3 * 3 * 3
    assert rows["conv1b"].split()[-4:] == ["4×5×5", str(weights + 4), f"{weights * 25:,}", "cpu:1"]
    assert rows["fc4"].split()[-4:] == ["5", "125", "120", "cpu:0"]
    parameters = sum(p.data.size for p in towers().named_parameters().values())
    multiply_adds = 2 * (weights * 25 + 4 * 4 * 9 * 4 + 3 * 8 * 4) + 24 * 5
    assert rows["total"].split()[1:] == [f"{parameters:,}", f"{multiply_adds:,}"]


def test_summary_ends_with_what_crosses_if_anything_does():
    net = towers()
    assert summary(net).partition("\n\n")[2].splitlines() == [
        "bytes an image, float32  devices           forward  backward",
        "image -> image_b         cpu:0 -> cpu:1      1,452         0",
        "conv2b -> to_a           cpu:1 -> cpu:0         64        64",
        "conv2a -> to_b           cpu:0 -> cpu:1         64        64",
        "drop3b -> drop3_to_a     cpu:1 -> cpu:0         48        48",
        "total of the image                           1,452         0",
        "total of the maps                              176       176",
    ]
    freeze(net, "conv1a", "conv2a")
    assert summary(net).splitlines()[-1].split()[-2:] == ["176", "112"]
    assert summary(merged()).splitlines()[-1].startswith("total ")


def test_places(set_threads):
    set_threads(1)
    assert place(build("fashion", seed=None)) == "1 thread"
    set_threads(3)
    assert place(build("fashion", devices="cpu:2", seed=None)) == "on cpu:2, 3 threads"


def test_copies_within_a_device_cross_nothing():
    told = summary(towers(("cpu:0", "cpu:0")))
    assert told.endswith("Nothing crosses: all is on cpu:0.")
    assert "->" not in told
