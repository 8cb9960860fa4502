"""benchmarks/cost.py, and what scale.py makes of it, against numbers worked out by hand."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Conv2d, Copy, Dropout, Flatten, Linear, ReLU
from minitorch_alexnet.models import build

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import cost
import scale
from cost import Link, Split, Work

LINK = Link(bandwidth=1000, latency=0.5)


@pytest.mark.parametrize(
    ("devices", "seconds"),
    [
        (1, 0),
        (2, 2 * 1 / 2 * 6000 / 1000 + 2 * 0.5),  # 7
        (3, 8 + 4 * 0.5),  # two thirds of it, twice: 8000 bytes, in 4 messages
        (6, 10 + 10 * 0.5),
    ],
)
def test_a_ring(devices, seconds):
    assert cost.ring_seconds(6000, devices, LINK) == pytest.approx(seconds)


def test_a_ring_against_its_steps_one_by_one():
    """p - 1 times a piece to add to, p - 1 times a piece that is done, each of 1/p."""
    for devices in range(2, 40):
        clock = 0.0
        for _ in range(2):
            for _ in range(devices - 1):
                clock += LINK.latency + 6000 / devices / LINK.bandwidth
        assert cost.ring_seconds(6000, devices, LINK) == pytest.approx(clock)


def test_a_step_of_data_parallelism():
    # 120 images on 3 devices, 10 a second each: 4 s, and a ring of 10 s
    assert cost.data_seconds(120, 3, 10, Work(6000), LINK) == pytest.approx(14)
    assert cost.data_seconds(120, 3, 10, Work(6000, behind=0.5), LINK) == pytest.approx(12)
    assert cost.data_seconds(1200, 3, 10, Work(6000, behind=0.5), LINK) == pytest.approx(40)
    assert cost.data_seconds(120, 1, 10, Work(6000), LINK) == pytest.approx(12)


def test_a_step_of_split_layers():
    # 60 images' worth of computing each, at 10 a second; 120 × 20 bytes; 8 messages
    assert cost.split_seconds(120, 10, Split(20, 8), LINK) == pytest.approx(6 + 2.4 + 4)


def test_a_training():
    assert cost.training_seconds(1000, 90, 128, 0.5) == 90 * 8 * 0.5  # the eighth batch has 104
    assert cost.training_seconds(1024, 90, 128, 0.5) == 90 * 8 * 0.5


def test_crossovers_by_hand():
    # n·20/1000 + 8·0.5 = 6000/1000 + 2·0.5 - 0.5·n/(2·10)  =>  n (0.02 + 0.025) = 3
    work, split = Work(6000, behind=0.5), Split(20, 8)
    assert cost.crossover_batch(10, work, split, LINK) == pytest.approx(3 / 0.045)
    # at n = 100: (6000 - 2000) / B = 6·0.5 + 0.5·100/20 = 5.5
    assert cost.crossover_bandwidth(100, 10, work, split, 0.5) == pytest.approx(4000 / 5.5)


@pytest.mark.parametrize("behind", [0, 0.6])
@pytest.mark.parametrize("latency", [0, 1e-5])
@pytest.mark.parametrize("bandwidth", [1e8, 6e9])
def test_where_they_cross_both_take_as_long(behind, latency, bandwidth):
    work, split, rate = Work(2.4e8, behind), Split(2.4e5, 8), 300.0
    link = Link(bandwidth, latency)
    batch = cost.crossover_batch(rate, work, split, link)
    took = [
        (cost.split_seconds(n, rate, split, link), cost.data_seconds(n, 2, rate, work, link))
        for n in (batch, 0.9 * batch, 1.1 * batch)
    ]
    assert took[0][0] == pytest.approx(took[0][1])
    assert took[1][0] < took[1][1]
    assert took[2][0] > took[2][1]
    if behind or latency:
        width = cost.crossover_bandwidth(batch, rate, work, split, latency)
        assert width == pytest.approx(bandwidth)


def test_a_split_that_never_or_always_pays():
    work, split = Work(6000), Split(20, 8)
    for latency in (0, 0.5):  # as many bytes as gradients
        assert cost.crossover_bandwidth(300, 10, work, split, latency) == 0
    assert cost.crossover_bandwidth(299, 10, work, split, 0) == math.inf
    assert cost.crossover_batch(10, work, split, replace(LINK, latency=1.5)) == 0


# ---- what a net asks -------------------------------------------------------------------------


def test_what_alexnet_asks():
    """61 million parameters; 0.59: two thirds of the convolutions' products, without conv1's dx."""
    net = build("alexnet-merged", seed=None)
    assert cost.work_of(net) == Work(4 * 60_965_224)
    assert cost.work_of(net, itemsize=2).gradients == 2 * 60_965_224
    macs = [105_415_200, 223_948_800, 149_520_384, 112_140_288, 74_760_192]  # conv1 to conv5
    rest = 37_748_736 + 16_777_216 + 4_096_000
    behind = (macs[0] + 2 * sum(macs[1:])) / (2 * macs[0] + 3 * (sum(macs[1:]) + rest))
    assert cost.work_of(net, overlap=True).behind == pytest.approx(behind)


def test_what_crosses_in_the_papers_net():
    """By tower, each way: 128 maps of 13×13 before conv3, 128 of 6×6, 2048 and, one way, 2048."""
    net = build("alexnet", devices="cpu:0,cpu:1", seed=None)
    one_way = 4 * (128 * 13 * 13 + 128 * 6 * 6 + 2048 + 2048)
    assert cost.split_of(net) == Split(2 * one_way, 8)
    # forward the way to b is the fuller one then: 5 messages less fc8's, and the image
    to_b = 4 * (3 * 224 * 224 + 128 * 13 * 13 + 128 * 6 * 6 + 2048)
    assert cost.split_of(net, with_image=True) == Split(to_b + one_way, 8)


def test_the_fuller_way_counts():
    net = Graph((2, 6, 6), device="cpu:0")
    net.add("conv1", Conv2d(2, 4, 3))  # 4×4×4
    net.add("there", Copy(to="cpu:1"))
    net.add("relu1", ReLU())
    net.add("back", Copy(to="cpu:0"))
    net.add("flatten", Flatten())
    net.add("drop", Dropout(0.5))
    net.add("fc2", Linear(64, 3))
    assert cost.split_of(net) == Split(2 * 4 * 64, 2)
    # conv1: 16·4·18 products, and as many for its weights; fc2: 192, and twice as many
    work = cost.work_of(net, overlap=True)
    assert work.behind == pytest.approx(1152 / (2 * 1152 + 3 * 192))
    assert work.gradients == 4 * (4 * 18 + 4 + 3 * 64 + 3)


def test_nothing_comes_back_to_the_image():
    net = Graph((2, 6, 6), device="cpu:0")
    net.add("there", Copy(to="cpu:1"), "image")
    net.add("flatten", Flatten())
    net.add("fc1", Linear(72, 3))
    assert cost.split_of(net, with_image=True) == Split(4 * 72, 1)
    assert cost.split_of(net) == Split(0, 0)


# ---- what scale.py makes of it ---------------------------------------------------------------


@pytest.mark.parametrize("devices", [2, 3])
def test_a_link_is_found_by_its_sums(devices):
    link = Link(2e9, 1e-3)
    sums = np.array([[cost.ring_seconds(size, devices, link) for size in scale.SIZES]])
    found = scale.fitted(np.concatenate([sums, 3 * sums, sums]), devices)
    assert found.bandwidth == pytest.approx(link.bandwidth)
    assert found.latency == pytest.approx(link.latency, rel=1e-3)  # the least size, too, takes time


def test_published_figures_by_hand():
    """108 million images in 5 days, 432,000 s, on two: 125 a second each; in 6 days: 104.17."""
    net = build("alexnet-merged", seed=None)
    table = scale.published_table(net, Split(0, 0))
    rates = [row.split(" | ")[4] for row in table if "201" in row]
    assert rates == ["104 to 125", "190", "495", "2,641"]
    # 128,116,700 images in 660 s on 1024; 121,710,865 in 240 s on 1024, in 90 s on 512
    together = 410.2 * scale.V100
    assert together == pytest.approx(121_710_865 / 90)
