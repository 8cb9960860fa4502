"""A model of how long a training takes on many devices. Nothing is measured here.

A device computes a step of n images in n / rate seconds. Data parallel, the gradients are summed
by a ring: each of p devices sends and receives 2(p-1) pieces of 1/p of them, so

    2(p-1)/p · bytes / bandwidth  +  2(p-1) · latency

(Patarasuk and Yuan 2009). Sums may hide behind the part of backward that is still to do. The
paper's split puts half of each layer on each of two devices: activations cross, which everybody
waits for, and no gradients. Images that are read, the update and uneven devices cost nothing here.
"""

import math
from dataclasses import dataclass

from minitorch_alexnet import Graph, timing
from minitorch_alexnet.layers import Linear
from minitorch_alexnet.summary import crossings


@dataclass(frozen=True)
class Link:
    """Between two devices. bandwidth: bytes a second, each way at once; latency: seconds"""

    bandwidth: float
    latency: float = 0.0

    def seconds(self, size: float, messages: int) -> float:
        return size / self.bandwidth + messages * self.latency


@dataclass(frozen=True)
class Work:
    """What a net asks of whoever trains it.

    gradients: bytes that are summed in a step
    behind: the share of a step's computing, 0 … 1, that sums may hide behind
    """

    gradients: float
    behind: float = 0.0


@dataclass(frozen=True)
class Split:
    """What crosses between two devices that share a net's layers, one way, in a step.

    image_bytes: bytes an image;  messages: how often all wait for some, a step
    """

    image_bytes: float
    messages: int


# ---- what a net asks -----------------------------------------------------------------------------


def work_of(net: Graph, itemsize: int = 4, overlap: bool = False) -> Work:
    """itemsize: bytes a number travels as;  overlap: may sums go on while backward does?

    Sums hide behind the backward of all that comes before the first Linear: those layers' weights
    are nearly all there are, and their gradients are found first.
    """
    size = itemsize * sum(p.data.size for p in net.named_parameters().values())
    if not overlap:
        return Work(size)
    flop, later = timing.flop(net), 0
    for name, node in net.nodes.items():
        if isinstance(node.layer, Linear):
            break
        later += flop[name][1]
    return Work(size, later / sum(map(sum, flop.values())))


def split_of(net: Graph, with_image: bool = False) -> Split:
    """Of a net on two devices, forward and backward. Both ways are used at once: the fuller counts.

    with_image: the images come by way of the first device, as in our graph, not from the host
    """
    rows = [r for r in crossings(net) if with_image or not r["edge"].startswith("image ")]
    size = messages = 0
    for phase in ("bytes_forward", "bytes_backward"):
        ways: dict[str, list[int]] = {}
        for row in rows:
            if row[phase]:
                ways.setdefault(row["devices"], []).append(row[phase])
        size += max(map(sum, ways.values()), default=0)
        messages += max(map(len, ways.values()), default=0)
    return Split(size, messages)


# ---- seconds -------------------------------------------------------------------------------------


def ring_seconds(size: float, devices: int, link: Link) -> float:
    """Of a sum of `size` bytes over so many devices."""
    return link.seconds(2 * (devices - 1) / devices * size, 2 * (devices - 1))


def data_seconds(batch: float, devices: int, rate: float, work: Work, link: Link) -> float:
    """Of a step, every device with its share of the batch.  rate: images a second, one device"""
    computing = batch / devices / rate
    summing = ring_seconds(work.gradients, devices, link)
    return computing + max(0.0, summing - work.behind * computing)


def split_seconds(batch: float, rate: float, split: Split, link: Link) -> float:
    """Of a step, two devices with half of each layer."""
    return batch / 2 / rate + link.seconds(batch * split.image_bytes, split.messages)


def training_seconds(images: int, epochs: int, batch: int, step: float) -> float:
    """Of so many epochs in steps of `step` seconds; an epoch's last batch may be smaller."""
    return epochs * math.ceil(images / batch) * step


# ---- which of the two ----------------------------------------------------------------------------


def crossover_batch(rate: float, work: Work, split: Split, link: Link) -> float:
    """The split is faster on smaller batches than this, data parallelism on larger ones.

    From split_seconds = data_seconds for two devices, which is linear in the batch n:
    n · a / B + m · L  =  G / B + 2 · L - h · n / (2 · rate)
    """
    more_messages = (split.messages - 2) * link.latency
    slope = split.image_bytes / link.bandwidth + work.behind / (2 * rate)
    return max(0.0, (work.gradients / link.bandwidth - more_messages) / slope)


def crossover_bandwidth(
    batch: float, rate: float, work: Work, split: Split, latency: float
) -> float:
    """The split is faster on slower links than this, in bytes a second; the same equation.

    0: on none;  inf: on all, where nothing hides and there is no latency
    """
    fewer = work.gradients - batch * split.image_bytes
    saved = (split.messages - 2) * latency + work.behind * batch / (2 * rate)
    if fewer <= 0:
        return 0.0
    return fewer / saved if saved > 0 else math.inf
