"""The models, by name."""

import inspect

import numpy as np

from ..device import joined
from ..errors import UserError
from ..graph import Graph
from ..words import unknown
from . import alexnet as family
from .fashion import fashion

MODELS = {
    "fashion": fashion,
    "alexnet": family.alexnet,
    "alexnet-merged": family.alexnet_merged,
    "alexnet-as-trained": family.alexnet_as_trained,
    "alexnet-one-column": family.alexnet_one_column,
    "alexnet-glorot": family.alexnet_glorot,
    "alexnet-control": family.alexnet_control,
    "alexnet-small": family.alexnet_small,
    "caffenet": family.caffenet,
    "torchvision": family.torchvision,
    "fashion-alexnet": family.fashion_alexnet,
}

# The models whose weights start for pixels of deviation 1; the others' for 0-255.
FOR_STANDARDIZED = ("fashion", "fashion-alexnet")


def options_of(name: str) -> list[str]:
    """What build can set of a model. UserError on an unknown name."""
    if not isinstance(name, str) or name not in MODELS:
        raise UserError(unknown("model", name, MODELS))
    return list(inspect.signature(MODELS[name]).parameters)


def build(name: str, **options) -> Graph:
    """A fresh net: build("fashion", num_classes=10, seed=0). UserError on what there is not.

    devices: "cpu:0,cpu:1", or a sequence of such names
    """
    known = options_of(name)
    if "devices" in options:
        options["devices"] = joined(options["devices"])
    if others := options.keys() - set(known):
        raise UserError(f"{name} has no {min(others)} to choose, but {', '.join(known)}")
    for size in options.keys() & {"num_classes", "channels", "size"}:
        if not isinstance(options[size], int | np.integer):
            raise UserError(f"{size} must be a whole number, got {options[size]!r}")
    return MODELS[name](**options)
