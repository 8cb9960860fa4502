"""Weights of other libraries' nets in, and ours out: safetensors, PyTorch's files, ONNX.

Whatever comes in is a stranger's: nothing of it is run, and its sizes are checked before there is
room made for them.
"""

from .exported import export_run
from .imported import import_file
from .names import load_weights

__all__ = ["export_run", "import_file", "load_weights"]
