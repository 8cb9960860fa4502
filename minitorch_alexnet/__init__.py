"""AlexNet (2012) from scratch in NumPy: to read, to check, to run."""

from . import data, layers
from .config import Config
from .data.arrays import ArrayDataset
from .gradcheck import check_graph, check_layer
from .graph import Graph
from .interchange import load_weights
from .layers import SoftmaxCrossEntropy
from .models import build
from .optim import SGD
from .run import load_run
from .summary import summary
from .train import Trainer
from .workers import keep_freed_memory, set_threads

__version__ = "0.5.0"
__all__ = [
    "SGD",
    "ArrayDataset",
    "Config",
    "Graph",
    "SoftmaxCrossEntropy",
    "Trainer",
    "build",
    "check_graph",
    "check_layer",
    "data",
    "keep_freed_memory",
    "layers",
    "load_run",
    "load_weights",
    "set_threads",
    "summary",
]
