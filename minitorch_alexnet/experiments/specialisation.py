"""Section 6.1 and Figure 3: do the two towers share the work, one seeing colours, one not?"""

from typing import ClassVar

import numpy as np

from ..init import STANDARDIZED, initialise
from ..layers import Conv2d
from .experiment import Experiment, Measure, expect_colour
from .rebuild import rebuilt

KERNELS = 48  # of conv1, half of them a tower's
DEALS = 1000  # random ways to deal them out


class Specialisation(Experiment):
    name = "specialisation"
    title = "The towers' specialisation"
    section = "6.1, Figure 3"
    claim = "The first layer's kernels are about colours in one tower, and not in the other."
    arms = ("as trained", "dealt out anew")
    nets = ("two towers",)
    measures = (
        Measure(
            "difference",
            "difference between the towers' colour shares",
            "%",
            more="as trained",
            less="dealt out anew",
            paper="no number: 'in every run'",
            size=None,
            counts=5.0,
            spread=8.0,
        ),
    )
    ours = (
        "A kernel's colour share is the part of its squared weights that lies off the grey axis;"
        f" {KERNELS} kernels, a tower's share is the mean of its own. Against it stands the mean"
        f" difference when the same kernels are dealt out to two towers at random, {DEALS} times:"
        " what chance alone would give. In a tower that is blind to colours the share would be near"
        " 0; kernels of random numbers have 67 %."
    )

    tells: ClassVar = {"tower_a": (), "tower_b": (), "kernels": (KERNELS, 3, None, None)}
    data, rates = "cifar-10", (0.01, 0.02, 0.04)
    pairs = 6

    def config(self, study, training):
        expect_colour(study.shape)
        return super().config(study, training)

    def net(self, study, training):
        net = rebuilt(super().net(study, training), _more_kernels)
        initialise(net, training.seed, STANDARDIZED)
        return net

    def judge(self, trainer, study, training):
        kernels = trainer.net.state_dict()["conv1.weight"]
        shares = 100 * colour_share(kernels)
        a, b = tower_means(shares)
        rng = np.random.default_rng(training.seed)
        deals = [tower_means(rng.permutation(shares)) for _ in range(DEALS)]
        by_chance = float(np.mean([abs(first - second) for first, second in deals]))
        shown = {"kernels": kernels.round(4).tolist()} if training.seed == 0 else {}
        return {
            "as trained": {"difference": abs(a - b), "tower_a": a, "tower_b": b, **shown},
            "dealt out anew": {"difference": by_chance},
        }

    def remarks(self, rows):
        own = [row for row in rows if {"tower_a", "tower_b"} <= row.keys()]
        towers = (f"{row['tower_a']:.1f} and {row['tower_b']:.1f}" for row in own)
        shares = np.sort([[row["tower_a"], row["tower_b"]] for row in own])
        by_chance = {row["seed"]: row["difference"] for row in rows if row["arm"] == self.arms[1]}
        more = sum(row["difference"] > by_chance[row["seed"]] for row in own)
        if not own:
            return []
        lower, higher = shares.mean(axis=0)
        return [
            f"The less colourful tower of a net has {lower:.1f} % on average, the other one"
            f" {higher:.1f} %. In the paper's Figure 3 one tower has next to no colour; the verdict"
            " says only whether two towers differ by more than chance makes them.",
            f"Colour shares of towers a and b, in % and by seed: {'; '.join(towers)}.",
            f"In {more} of {len(own)} nets they differ by more than chance makes them on average,"
            " which chance itself does in four of ten. The paper saw the two kinds in every net.",
        ]


def _more_kernels(node):
    layer = node.layer
    if node.name == "conv1":
        return Conv2d(3, KERNELS, layer.kernel_size, layer.stride, layer.padding)
    if node.name == "conv2":
        return Conv2d(
            KERNELS, layer.out_channels, layer.kernel_size, padding=layer.padding, groups=2
        )
    return layer


def colour_share(weight: np.ndarray) -> np.ndarray:
    """Kernels (O, 3, kh, kw) -> (O,): the share of their squares off the axis (1, 1, 1)/√3."""
    weight = weight.astype(np.float64)
    grey = np.square(weight.sum(axis=1)).sum(axis=(1, 2)) / 3  # the projection's squares
    return 1 - grey / np.square(weight).sum(axis=(1, 2, 3))


def tower_means(shares: np.ndarray) -> tuple[float, float]:
    """The mean of the first half, tower a, and that of the second."""
    a, b = np.split(shares, 2)
    return float(a.mean()), float(b.mean())
