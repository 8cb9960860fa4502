"""What every layer is."""

import numpy as np

from ..errors import ShapeError, UserError


class Parameter:
    """Numbers a layer learns, and their gradient.

    data:     the weights
    grad:     the loss's derivative by them, same shape; set (not added to) by each backward
    lr_scale: times the learning rate; 0 freezes: neither gradient nor update
    decay:    times the weight decay; the paper's nets have 1 on weights, 0 on biases
    """

    def __init__(self, data, lr_scale: float = 1.0, decay: float = 1.0):
        if data.ndim == 0:
            raise ShapeError("a parameter needs an axis: give a single number the shape (1,)")
        self.data, self.grad = data, None
        self.lr_scale, self.decay = lr_scale, decay

    @property
    def frozen(self) -> bool:
        return self.lr_scale == 0

    def set_grad(self, grad) -> None:
        self.grad = None if self.frozen else grad

    def __repr__(self) -> str:
        return f"Parameter({self.data.shape}, {self.data.dtype})"


class Layer:
    """A function of arrays and its derivative.

    Arrays are (n, C, H, W) or (n, features), floating point; the dtype that comes in goes out.
    A layer does not move data, print, change its inputs, or know its name. One that draws random
    numbers keeps its generator in `rng`, where a checkpoint looks for it.
    """

    def __init__(self):
        self.params: dict[str, Parameter] = {}
        self.cache = None  # what backward needs; forward(train=True) writes it

    def output_shape(self, *input_shapes: tuple) -> tuple:
        """The shape of the output, given the inputs', all without the batch axis.

        Raises ShapeError where they do not fit the layer.
        """
        (shape,) = input_shapes
        return shape

    def multiply_adds(self, *input_shapes: tuple) -> int:
        """Multiplications with an addition, for one image forward."""
        return 0

    def forward(self, *inputs, train: bool = True):
        raise NotImplementedError(f"{type(self).__name__} needs a forward")

    def backward(self, dy, need_dx: bool = True):
        """The loss's derivative by the inputs, given that by the output; sets the params' grad.

        Returns one array (a tuple if there are several inputs), or None if not need_dx.
        Raises RuntimeError without a forward(train=True) before it.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a backward")

    def take_cache(self):
        """The cache, which is used up by this; RuntimeError if forward left none."""
        cache, self.cache = self.cache, None
        if cache is None:
            raise RuntimeError(
                f"{type(self).__name__}: backward needs a forward(train=True) before it"
            )
        return cache

    def forget(self) -> None:
        """What a graph calls in place of a backward that nobody needs: no cache, no gradients."""
        self.cache = None
        for parameter in self.params.values():
            parameter.grad = None

    def check(self, *inputs) -> tuple:
        """Refuse inputs that the layer cannot take; return its output's shape without the batch.

        Raises ShapeError on a wrong shape, UserError on a dtype that is not floating point or
        not the parameters'.
        """
        for x in inputs:
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
        return f"{type(self).__name__}()"


def as_pair(value) -> tuple:
    """A number, or a (vertical, horizontal) pair, as a pair; ShapeError on anything else."""
    if np.ndim(value) == 0:
        return value, value
    if len(value) != 2:
        raise ShapeError(f"expected a number or a (vertical, horizontal) pair, got {value}")
    return tuple(value)


def as_padding(value) -> tuple[tuple[int, int], tuple[int, int]]:
    """An int, a (vertical, horizontal) pair, or ((top, bottom), (left, right)), as the last."""
    vertical, horizontal = (value, value) if np.ndim(value) == 0 else value
    return as_pair(vertical), as_pair(horizontal)


def short(value):
    """The shortest that as_pair or as_padding reads as the same: ((2, 2), (2, 2)) is 2."""
    if not isinstance(value, tuple):
        return value
    first, second = map(short, value)
    if isinstance(first, tuple) or isinstance(second, tuple):
        return value  # ((0, 3), (0, 3)) is not (0, 3), which pads left and right
    return first if first == second else (first, second)


def expect_maps(layer: Layer, shape: tuple, channels: int | None = None) -> None:
    """ShapeError unless shape is (C, H, W), with that many channels if given."""
    if len(shape) != 3:
        raise ShapeError(f"{layer!r}: expected images (C, H, W), got shape {shape}")
    if channels is not None and shape[0] != channels:
        raise ShapeError(f"{layer!r}: expected {channels} input channels, got {shape[0]}")
