"""The layers, each its own lesson: formula, forward, backward."""

from .activation import ReLU, Tanh
from .base import Layer, Parameter
from .conv import Conv2d
from .dropout import Dropout
from .flatten import Flatten
from .join import Concat, Copy
from .linear import Linear
from .loss import SoftmaxCrossEntropy
from .lrn import LocalResponseNorm
from .pool import MaxPool2d
from .upsample import Upsample

__all__ = [
    "Concat",
    "Conv2d",
    "Copy",
    "Dropout",
    "Flatten",
    "Layer",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "Parameter",
    "ReLU",
    "SoftmaxCrossEntropy",
    "Tanh",
    "Upsample",
]
