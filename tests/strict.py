"""A stand-in for CuPy that forgives less: what runs on it is neutral about where arrays live.

Its arrays are NumPy's in a box. They refuse plain NumPy arrays beside them, NumPy's functions, the
host unasked, another device than the current one, and matrix products of more than two axes. In
a fused function they refuse all but elementwise maths.
"""

import contextlib
import operator
import sys
import threading
from types import SimpleNamespace

import numpy as np
from threadpoolctl import threadpool_limits

from minitorch_alexnet import device, kernels
from minitorch_alexnet.kernels import cpu

# What CuPy 14.2 has as well; test_neutral.py, with -m gpu, asks the CuPy that is there.
ELEMENTWISE = ["divide", "exp", "log", "maximum", "add", "multiply", "sqrt", "subtract", "tanh"]
FUNCTIONS = [*ELEMENTWISE, "arange", "broadcast_to", "concatenate", "ones", "zeros", "zeros_like"]
ATTRIBUTES = ["dtype", "itemsize", "nbytes", "ndim", "shape", "size", "strides"]
METHODS = [
    *("argmax", "astype", "copy", "max"),
    *("mean", "reshape", "sum", "transpose"),
]


class Stranger(AssertionError):
    """Something that would fail, be slow or be wrong on a GPU."""


def refuse(condition, text):
    if condition:
        raise Stranger(text)


class State(threading.local):
    """Each thread has a current device of its own.

    waits: how often the host has asked for a number, for which the GPU has to finish its work
    """

    def __init__(self):
        self.devices, self.fusing, self.fused, self.waits = [0], False, set(), 0


state = State()


class Array:
    """cupy.ndarray, as far as it goes."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, host, device=None):
        self._host, self._id = np.asarray(host), state.devices[-1] if device is None else device

    @property
    def device(self):
        return Device(self._id)

    @property
    def T(self):
        return self.transpose()

    def get(self):
        return self._host.copy()

    def set(self, host):
        refuse(host.dtype != self.dtype, f"{host.dtype} set into {self.dtype}")
        _unboxed(self)[...] = host

    def __len__(self):
        return len(self._host)

    def __getitem__(self, key):
        refuse(state.fusing, "indexing in a fused function")
        return Array(self._host[_unboxed(key)], self._id)

    def __setitem__(self, key, value):
        refuse(state.fusing, "indexing in a fused function")
        _unboxed(self)[_unboxed(key)] = _unboxed(value)

    def __array__(self, *args, **kwargs):
        raise Stranger("brought to the host unasked")

    def __array_function__(self, function, *rest):
        raise Stranger(f"numpy.{function.__name__} of a GPU's array")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        """A NumPy scalar to the left of an operator ends here; nothing else may."""
        scalars = any(isinstance(x, np.generic) for x in inputs)
        refuse(method != "__call__" or kwargs or not scalars, f"numpy.{ufunc.__name__}")
        return _boxed(ufunc)(*inputs)

    def __iter__(self):
        raise Stranger("a kernel for each row")

    def _awaited(kind):
        def value(self):
            state.waits += 1
            return kind(self._host)

        return value

    __bool__, __int__, __float__ = map(_awaited, (bool, int, float))


Array.__module__, Array.__name__, Array.__qualname__ = "cupy", "ndarray", "ndarray"


def _unboxed(x):
    """What is in the box, of an array on the current device; scalars and slices as they are."""
    if isinstance(x, Array):
        refuse(x._id != state.devices[-1], f"on device {x._id}, not {state.devices[-1]}")
        return x._host
    if isinstance(x, (tuple, list)):
        return type(x)(map(_unboxed, x))
    refuse(isinstance(x, np.ndarray) and x.ndim, "a NumPy array beside a GPU's")
    return x


def _in_a_box(result):
    """The reverse; what is no array, such as the bands of a convolution, stays as it is."""
    if isinstance(result, tuple):
        return tuple(map(_in_a_box, result))
    return Array(result) if isinstance(result, (np.ndarray, np.generic)) else result


def _boxed(function, elementwise=True):
    """The function on boxes."""

    def call(*args, **kwargs):
        refuse(state.fusing and not elementwise, f"{function.__name__} in a fused function")
        out = kwargs.get("out")
        result = function(*map(_unboxed, args), **{k: _unboxed(v) for k, v in kwargs.items()})
        return _in_a_box(result) if out is None else out

    return call


def _matmul(a, b, **kwargs):
    refuse(max(a.ndim, b.ndim) > 2, "matmul of more than two axes")
    return np.matmul(a, b, **kwargs)


def _method(name):
    return _boxed(lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs), elementwise=False)


def _in_place(function):
    def call(self, other):
        function(_unboxed(self), _unboxed(other))
        return self

    return call


for _name in ATTRIBUTES:
    setattr(Array, _name, property(lambda self, name=_name: getattr(self._host, name)))
for _name in METHODS:
    setattr(Array, _name, _method(_name))
for _name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]:
    _function = getattr(operator, f"__{_name}__")
    setattr(Array, f"__{_name}__", _boxed(_function))
    setattr(Array, f"__r{_name}__", _boxed(lambda a, b, f=_function: f(b, a)))
    setattr(Array, f"__i{_name}__", _in_place(getattr(operator, f"__i{_name}__")))
for _name in ["lt", "le", "gt", "ge", "eq", "ne", "neg", "abs"]:
    setattr(Array, f"__{_name}__", _boxed(getattr(operator, f"__{_name}__")))
Array.__matmul__ = _boxed(_matmul, elementwise=False)


class Device:
    """cupy.cuda.Device."""

    def __init__(self, index):
        self.id = index

    def __enter__(self):
        state.devices.append(self.id)

    def __exit__(self, *error):
        state.devices.pop()

    def synchronize(self):
        state.waits += 1

    mem_info = 2**33, 2**34  # bytes free, bytes


class Stream:
    """A queue of work; here all is done at once, so that there is nothing to wait for."""

    def __init__(self, non_blocking=False):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    ptr = 0

    def record(self):
        return Event()

    def wait_event(self, event):
        refuse(not isinstance(event, Event), "waits for what is no event")


class Event:
    done = True


HELD = 1000, 2000, 3000  # bytes, by device
COMPUTE = {np.dtype(np.float32): "all bits"}  # how products are made


def _copied(x, device):
    """To a device, from the host or from another one."""
    return Array(np.array(x._host if isinstance(x, Array) else x), device)


def _asarray(x):
    return x if isinstance(x, Array) else _copied(x, state.devices[-1])


def _empty(shape, dtype):
    refuse(not np.dtype(dtype).isnative, f"an array of {np.dtype(dtype).str}")
    return Array(np.empty(shape, dtype))


class Pinned(bytearray):
    """Memory that a GPU fetches from."""

    __hash__ = object.__hash__


def fuse(function):
    def call(*arguments):
        refuse(any(isinstance(a, np.ndarray) for a in arguments), "a NumPy array, fused")
        for a in arguments:
            refuse(type(a) is int, "an int, fused: it would make a float64")
        state.fused.add(function.__qualname__)
        outer, state.fusing = state.fusing, True
        try:
            return function(*arguments)
        finally:
            state.fusing = outer

    return call


def _forget_fused():
    """device.py keeps what CuPy made of a function, and its streams; another CuPy has its own."""
    device._ways.clear()
    for module in [m for name, m in sys.modules.items() if name.startswith("minitorch_alexnet")]:
        for value in list(vars(module).values()):
            for cell in getattr(value, "__closure__", None) or ():
                getattr(cell.cell_contents, "cache_clear", bool)()


cupy = SimpleNamespace(
    **{name: _boxed(getattr(np, name), name in ELEMENTWISE) for name in FUNCTIONS},
    ndarray=Array,
    array=lambda x: _copied(x, state.devices[-1]),
    asarray=_asarray,
    empty=_empty,
    ascontiguousarray=_boxed(np.ascontiguousarray),
    fuse=fuse,
    _core=SimpleNamespace(
        get_compute_type=lambda dtype: COMPUTE[np.dtype(dtype)],
        set_compute_type=lambda dtype, kind: COMPUTE.update({np.dtype(dtype): kind}),
        _routines_linalg=SimpleNamespace(COMPUTE_TYPE_TF32="tf32"),
    ),
    get_default_memory_pool=lambda: SimpleNamespace(
        total_bytes=lambda: HELD[state.devices[-1]], free_all_blocks=lambda: None
    ),
    cuda=SimpleNamespace(
        Device=Device,
        Stream=Stream,
        get_current_stream=Stream,
        alloc_pinned_memory=Pinned,
    ),
)
cupy.matmul = _boxed(_matmul, elementwise=False)
# CuPy copies to the current device, whatever the source's
Array.copy = lambda self: _copied(self, state.devices[-1])

loops = SimpleNamespace(
    **{name: _boxed(getattr(cpu, name), elementwise=False) for name in kernels.__all__}
)


@contextlib.contextmanager
def strict_cupy():
    """Meanwhile there are GPUs, as many as one asks for, and this is CuPy."""
    before = sys.modules.get("cupy"), device.why_no_gpu, kernels._module
    sys.modules["cupy"] = cupy
    device.why_no_gpu = lambda index=0: ""
    kernels._module = lambda x: cpu if device.array_module(x) is np else loops
    state.devices[:], state.fusing, state.waits = [0], False, 0
    state.fused.clear()
    _forget_fused()
    try:
        with threadpool_limits(1):  # as GPU's products they run outside of the workers
            yield
    finally:
        _forget_fused()
        sys.modules["cupy"], device.why_no_gpu, kernels._module = before
        if before[0] is None:
            del sys.modules["cupy"]
