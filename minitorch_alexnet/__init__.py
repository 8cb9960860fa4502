"""AlexNet (2012) from scratch in NumPy: to read, to check, to run."""

from .config import Config
from .data.arrays import ArrayDataset
from .gradcheck import check_graph, check_layer
from .graph import Graph
from .models import build
from .optim import SGD
from .run import load_run
from .train import Trainer

__version__ = "0.1.0"
__all__ = [
    "SGD",
    "ArrayDataset",
    "Config",
    "Graph",
    "Trainer",
    "build",
    "check_graph",
    "check_layer",
    "load_run",
]
