"""Nodes of an ONNX graph that make constants of constants, and what Shape says of a value.

Exporters write them for x.view(x.size(0), -1), and before weights that were kept in 16 bits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UserError
from .onnx_file import KINDS
from .onnx_maker import Maker
from .onnx_nodes import Said

FEW = 64  # numbers: what is put together is a shape
MOST_FOLDED = 2**30  # bytes, in all: twice an AlexNet's weights in float64


def fold(made: Maker, node) -> bool:
    """Is it such a node? Then its output is a constant. Raises UserError if it is out of bounds."""
    file, said = made.file, Said(made.file, node)
    if node.op_type == "Shape":
        shape = np.array([file.batch, *made.shape(made.value(node.input[0]))])
        start, end = said.get("start", 0), said.get("end", len(shape))
        array = shape[start:end]
    elif node.op_type in FOLDS and all(map(file.is_constant, node.input)):
        arrays = [file.constant(name) for name in node.input]
        _expect_few(made, node, sum(array.size for array in arrays))
        try:
            with np.errstate(all="ignore"):
                array = FOLDS[node.op_type](made, said, *arrays)
        except (ValueError, TypeError, IndexError) as error:
            raise UserError(f"its constants do not fit: {error}") from None
    else:
        return False
    said.expect_read()
    file.keep(node.output[0], array)
    return True


def _expect_few(made: Maker, node, numbers: int) -> None:
    """UserError if they, in 8 bytes each, are too many."""
    made.folded += 8 * numbers
    if made.folded > MOST_FOLDED:
        raise UserError(f"the constants that it makes have more than {MOST_FOLDED:,} bytes in all")
    if numbers > FEW and node.op_type not in ("Identity", "Cast", "Transpose"):
        raise UserError(f"it makes a constant of more than {FEW} numbers")


def _cast(made: Maker, said: Said, x: np.ndarray) -> np.ndarray:
    kinds = {made.file.onnx.TensorProto.DataType.Value(kind) for kind in KINDS}
    if (to := said.get("to", 0)) not in kinds:
        raise UserError(f"its to is {to}, none of {', '.join(KINDS)}")
    return x.astype(made.file.onnx.helper.tensor_dtype_to_np_dtype(to))


def _unsqueeze(made: Maker, said: Said, x: np.ndarray, *axes: np.ndarray) -> np.ndarray:
    """axes: an attribute up to opset 12"""
    return np.expand_dims(x, tuple(axes[0].tolist()) if axes else said.get("axes", ()))


def _transpose(made: Maker, said: Said, x: np.ndarray) -> np.ndarray:
    return x.transpose(said.get("perm", tuple(range(x.ndim)[::-1])))


def _gather(made: Maker, said: Said, x: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take(x, index, said.get("axis", 0))


def _concat(made: Maker, said: Said, *xs: np.ndarray) -> np.ndarray:
    return np.concatenate(xs, said.get("axis", 0))


FOLDS: dict[str, Callable[..., Any]] = {
    "Identity": lambda made, said, x: x,
    "Cast": _cast,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Gather": _gather,
    "Concat": _concat,
}
