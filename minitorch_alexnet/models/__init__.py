"""The models, by name."""

import inspect

from ..device import joined
from ..errors import UserError
from ..graph import Graph
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
    if name not in MODELS:
        raise UserError(f"unknown model {name!r}: expected one of {', '.join(MODELS)}")
    return list(inspect.signature(MODELS[name]).parameters)


def build(name: str, **options) -> Graph:
    """A fresh net: build("fashion", num_classes=10, seed=0). UserError on what there is not.

    devices: "cpu:0,cpu:1", or a sequence of such names
    """
    known = options_of(name)
    if "devices" in options:
        options["devices"] = joined(options["devices"])
    if unknown := options.keys() - set(known):
        raise UserError(f"{name} has no {min(unknown)} to choose, but {', '.join(known)}")
    return MODELS[name](**options)
