"""Libraries that only this room takes."""

import importlib
from types import ModuleType

from ..errors import UserError


def library(name: str) -> ModuleType:
    """onnx, safetensors, … UserError, saying what to install, if it is not there."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"this takes the library {name.partition('.')[0]} ({error}):"
            " pip install 'minitorch_alexnet[interchange]'"
        ) from None
