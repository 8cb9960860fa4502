"""The models, by name."""

from ..errors import UserError
from ..graph import Graph
from .fashion import fashion

MODELS = {"fashion": fashion}


def build(name: str, **options) -> Graph:
    """A fresh net: build("fashion", num_classes=10, seed=0). UserError on an unknown name."""
    if name not in MODELS:
        raise UserError(f"unknown model {name!r}: expected one of {', '.join(MODELS)}")
    return MODELS[name](**options)
