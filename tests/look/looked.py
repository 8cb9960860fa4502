"""Runs to look into, and their pages taken apart."""

import json
from html.parser import HTMLParser

import numpy as np

from minitorch_alexnet.config import Config
from minitorch_alexnet.data.transforms import Normalize
from minitorch_alexnet.graph import IMAGE, Graph
from minitorch_alexnet.init import SMALL_SET, initialise
from minitorch_alexnet.layers import Concat, Conv2d, Flatten, Linear, MaxPool2d
from minitorch_alexnet.models import build
from minitorch_alexnet.run import Run


def a_run(model, names, channels=3, seed=0, **options):
    """Of no training, with weights that give every layer something to say."""
    config = Config(model=model)
    options |= {"num_classes": len(names), "channels": channels, "dropout": config.dropout}
    net = build(model, seed=None, **options)
    initialise(net, seed, SMALL_SET)
    rng, spare = np.random.default_rng(seed), 32 if net.input_shape[1] > 100 else 0
    mean = rng.uniform(90, 130, (channels, *(size + spare for size in net.input_shape[1:])))
    return Run(None, config, net, Normalize(mean), tuple(names), ("", mean))


def a_run_of_three_towers(names):
    """With long names; at the corners of its first maps padding alone is seen."""
    net = Graph((1, 12, 12), seed=4)
    for tower in "abc":
        net.add("convolution_of_the_first_", Conv2d(1, 3, 1, padding=1), IMAGE, tower=tower)
        net.add("WWWWWWWWWWWW", MaxPool2d(2), tower=tower)
    net.add("concatenation", Concat(), [f"WWWWWWWWWWWW{tower}" for tower in "abc"])
    net.add("flatten", Flatten())
    net.add("fc", Linear(9 * 7 * 7, len(names)))
    mean = np.full((1, 12, 12), 100.0)
    return Run(None, Config(), net, Normalize(mean), tuple(names), ("", mean))


def a_photo(run, seed=1):
    """A blob in noise, as the run's images are: (C, H, W) uint8."""
    rng, (channels, height, width) = np.random.default_rng(seed), run.normalize.mean.shape
    rows, columns = np.ogrid[:height, :width]
    blob = np.exp(-(((rows - height / 3) / 40) ** 2) - ((columns - width / 2) / 30) ** 2)
    colours = rng.uniform(60, 200, (channels, 1, 1))
    noise = rng.normal(0, 12, (channels, height, width))
    return (colours * blob + 40 + noise).clip(0, 255).astype(np.uint8)


class Parsed(HTMLParser):
    """tags: [(name, attributes)];  scene: what the script reads;  text: all that is to be read"""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self._inside, self._scripts = [], "", "", {}
        self.feed(html)
        self.close()
        self.scene = json.loads(self._scripts["scene"])

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._inside = tag
        if tag == "script":
            self._script = attributes.get("id", "code")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self._scripts[self._script] = self._scripts.get(self._script, "") + data
        elif self._inside != "style":
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]
