"""What every layer is."""

import inspect
from typing import Any

import numpy as np

from ..device import Device, array_module
from ..errors import ShapeError, UserError
from ..init import he
from ..words import kind_of


class Parameter:
    """Numbers a layer learns, and their gradient.

    data:     the weights
    grad:     the loss's derivative by them, same shape; Graph.backward sets it (and does not add)
    lr_scale: times the learning rate; 0 freezes: neither gradient nor update
    decay:    times the weight decay; the paper's nets have 1 on weights, 0 on biases
    """

    def __init__(self, data, lr_scale: float = 1.0, decay: float = 1.0):
        if np.ndim(data) == 0:
            raise ShapeError("a parameter needs an axis: give a single number the shape (1,)")
        expect_array(data, "a parameter's data")
        self.data = data
        self.grad: Any = None
        self.lr_scale, self.decay = lr_scale, decay

    @property
    def frozen(self) -> bool:
        return self.lr_scale == 0

    @property
    def drawn(self) -> bool:
        """Has it numbers? Before that, data is zeros that take no memory and cannot be written."""
        return any(self.data.strides)

    def __repr__(self) -> str:
        return f"Parameter({self.data.shape}, {self.data.dtype})"


class Layer:
    """A function of arrays and its derivative: two methods that know only what they are given.

    Arrays are (n, C, H, W) or (n, features), floating point; the dtype that comes in goes out. A
    layer holds its params, and in `rng` its generator if it draws random numbers; a call changes
    nothing else, so that it may be called twice, from several threads, for a part of a batch. It
    does not move data, print, change its inputs, or know its name.

    per_image: each image's output is its own affair, and the params are small beside the images:
               then a graph may deal the batch out in parts
    """

    params: dict[str, Parameter]
    rng: np.random.Generator  # of layers that draw, and only of those; a Graph gives it
    per_image = True

    def __init__(self):
        self.params = {}

    def output_shape(self, *input_shapes: tuple) -> tuple:
        """The shape of the output, given the inputs', all without the batch axis.

        Raises ShapeError where they do not fit the layer.
        """
        if len(input_shapes) != 1:
            raise ShapeError(f"{self!r}: expected one input, got {len(input_shapes)}")
        return input_shapes[0]

    def multiply_adds(self, *input_shapes: tuple) -> int:
        """Multiplications with an addition, for one image forward."""
        return 0

    def forward(self, *inputs, train: bool = True):
        """-> y, cache: the output, and whatever backward needs to know."""
        raise NotImplementedError(f"{type(self).__name__} needs a forward")

    def backward(self, dy, cache, need_dx: bool = True):
        """-> dx, grads: the loss's derivatives by the inputs and by the params, given that by y.

        dx: one array, a tuple if there are several inputs, or None if not need_dx
        grads: by the params' names, {"weight": …}
        """
        raise NotImplementedError(f"{type(self).__name__} needs a backward")

    def check(self, *inputs) -> tuple:
        """Refuse inputs that the layer cannot take; return its output's shape without the batch.

        Raises ShapeError on a wrong shape, UserError on a dtype that is not floating point or
        not the parameters', and on parameters that nobody has drawn.
        """
        expect_drawn(self, self.params)
        for x in inputs:
            expect_array(x, f"{type(self).__name__}'s input")
            if not np.issubdtype(x.dtype, np.floating):
                raise UserError(f"{self!r}: expected floating-point input, got {x.dtype}")
            for name, parameter in self.params.items():
                if parameter.data.dtype != x.dtype:
                    raise UserError(
                        f"{self!r}: its {name} is {parameter.data.dtype} but the input is"
                        f" {x.dtype}; convert one of them"
                    )
        return self.output_shape(*(x.shape[1:] for x in inputs))

    def __repr__(self) -> str:
        settings = {k: v for k, v in vars(self).items() if k not in ("params", "rng")}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"


def expect_layer(layer, name: str) -> None:
    """UserError unless it is a layer with params."""
    if not isinstance(layer, Layer):
        raise UserError(f"{name}: expected a layer, such as ReLU(), got {kind_of(layer)}")
    params = getattr(layer, "params", None)
    if params is None:
        raise UserError(f"{name}: the __init__ of {type(layer).__name__} needs super().__init__()")
    for kind, parameter in params.items():
        if not isinstance(parameter, Parameter):
            raise UserError(f"{name}: its {kind} must be a Parameter(…), got {kind_of(parameter)}")
        expect_array(parameter.data, f"{name}: the data of its {kind}")


def expect_call(layer: Layer, method: str, *inputs, **options) -> None:
    """UserError unless a layer's method, "forward" say, can be called with so many inputs."""
    try:
        inspect.signature(getattr(layer, method)).bind(*inputs, **options)
    except TypeError as error:
        takes = " and ".join([f"{len(inputs)} input" + "s" * (len(inputs) != 1), *options])
        raise UserError(f"{layer!r}: its {method} does not take {takes}: {error}") from None


def expect_pair(layer: Layer, answer, what: str) -> tuple:
    """The answer of a layer's forward or backward; UserError unless it is the pair in `what`."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise UserError(f"{type(layer).__name__}: its {what}, and nothing else")
    return answer


def expect_gradients(layer: Layer, answer, inputs: int) -> tuple[tuple, dict]:
    """A backward's dx, as one a input, and grads; UserError unless they are that."""
    name = type(layer).__name__
    dx, grads = expect_pair(layer, answer, "backward must return dx and grads")
    if not isinstance(grads, dict):
        raise UserError(f"{name}: its backward's grads must be a dict, got {kind_of(grads)}")
    dxs = dx if isinstance(dx, tuple) else (dx,)
    if dx is not None and len(dxs) != inputs:
        raise UserError(f"{name}: its backward must give a dx an input, {inputs}, got {len(dxs)}")
    return dxs, grads


def expect_drawn(who, params: dict[str, Parameter]) -> None:
    """UserError if one of a layer's, or a node's, parameters has no numbers."""
    for name, parameter in params.items():
        if not parameter.drawn:
            raise UserError(
                f"{who}: its {name} has no numbers yet: give the layer an rng, add it to a"
                " Graph with a seed, or load the net's weights"
            )


def is_array(x) -> bool:
    """Is x an array, of NumPy's or CuPy's?"""
    return isinstance(x, np.ndarray) or array_module(x) is not np


def expect_array(x, what: str) -> None:
    """UserError unless x is one."""
    if not is_array(x):
        raise UserError(
            f"{what} must be an array, got {kind_of(x)}; np.asarray(…, np.float32) makes one of"
            " lists of numbers"
        )


def undrawn(shape: tuple, device: Device | str = "cpu"):
    """What a Parameter has as its data before it is drawn: zeros that take no memory."""
    device = Device(device)
    zero = device.array(np.zeros((), np.float32))
    with device.current():
        return array_module(zero).broadcast_to(zero, shape)


def affine(shape: tuple, rng: np.random.Generator | None) -> dict[str, Parameter]:
    """A weight of that shape, which rng draws as He or a Graph will, and a bias of zeros."""
    expect_rng(rng)
    weight = he(rng, shape) if rng else undrawn(shape)
    return {
        "weight": Parameter(weight),
        "bias": Parameter(np.zeros(shape[0], np.float32), decay=0),
    }


def expect_rng(rng) -> None:
    """UserError unless it draws as a NumPy Generator does, or is None."""
    if rng is not None and not hasattr(rng, "random"):
        raise UserError(f"rng must be like np.random.default_rng(0), got {kind_of(rng)}")


def expect_whole(layer: Layer, **sizes) -> None:
    """ShapeError unless a layer's sizes, by name, are whole numbers."""
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer):
            raise ShapeError(f"{type(layer).__name__}: {name} must be a whole number, got {size!r}")


def as_pair(value) -> tuple:
    """A whole number, or a (vertical, horizontal) pair, as a pair; ShapeError on anything else."""
    if isinstance(value, int | np.integer):
        return value, value
    if not _is_pair(value) or not all(isinstance(size, int | np.integer) for size in value):
        raise ShapeError(f"expected a whole number or a (vertical, horizontal) pair, got {value!r}")
    return tuple(value)


def _is_pair(value) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def as_padding(value) -> tuple[tuple[int, int], tuple[int, int]]:
    """An int, a (vertical, horizontal) pair, or ((top, bottom), (left, right)), as the last."""
    vertical, horizontal = value if _is_pair(value) else (value, value)
    return as_pair(vertical), as_pair(horizontal)


def short(value):
    """The shortest that as_pair or as_padding reads as the same: ((2, 2), (2, 2)) is 2."""
    if not isinstance(value, tuple):
        return value
    first, second = map(short, value)
    if isinstance(first, tuple) or isinstance(second, tuple):
        return value  # ((0, 3), (0, 3)) is not (0, 3), which pads left and right
    return first if first == second else (first, second)


def exact(number) -> str:
    """The shortest text of a number that reads as the same: 2, 0.0001, 0.1234567."""
    text = f"{number:g}"
    return text if float(text) == number else repr(float(number))


def expect_maps(layer: Layer, shape: tuple, channels: int | None = None) -> None:
    """ShapeError unless shape is (C, H, W), with that many channels if given."""
    if len(shape) != 3:
        raise ShapeError(f"{layer!r}: expected images (C, H, W), got shape {shape}")
    if channels is not None and shape[0] != channels:
        raise ShapeError(f"{layer!r}: expected {channels} input channels, got {shape[0]}")
