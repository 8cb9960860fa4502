"""The CUDA loops where there is no GPU: run as C++ against NumPy's, and compiled to machine code.

The kernels have no barriers, and each thread has numbers of its own to write: one after another,
in whatever order, does as well. kernels/cuda.py gets a stand-in for CuPy that runs them so, with
poison round every array and in every new one.
"""

import ctypes
import functools
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import normal, pool_size

from minitorch_alexnet import kernels
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.kernels import REALS, cpu, cuda_text

FOLDER = Path(kernels.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.cu"))
VARIANTS = list(product(REALS, (False, True)))  # dtype, 64-bit integers

# ---- a GPU of one thread ---------------------------------------------------------------------

CPP = """
#include <math.h>
struct Three {{ unsigned x, y, z; }};
static Three blockIdx, threadIdx, blockDim, gridDim;
#define __global__
#define __device__
{text}
extern "C" void launch(
    unsigned first, unsigned blocks, unsigned threads, int backwards, void **arguments)
{{
    gridDim.x = blocks, blockDim.x = threads;
    const unsigned long long all = (unsigned long long)blocks * threads;
    for (unsigned long long k = 0; k < all; k++) {{
        const unsigned long long at = backwards ? all - 1 - k : k;
        blockIdx.x = first + at / threads, threadIdx.x = at % threads;
        {name}({arguments});
    }}
}}
"""
GUARD = 1 << 14  # numbers before and after each array
# nans like no other, and places that no window has
NAN = {"float32": 0x7FC00000, "float64": 0x7FF8000000000000, "float16": 0x7E00, "int32": 0x7FFF0000}
UNWRITTEN, OUTSIDE = 0xA5, 0x5A  # added to it: of a new array, round an input


def poisoned(array, by):
    return array.view(f"u{array.itemsize}") == NAN[array.dtype.name] + by


class Huge(np.ndarray):
    """An array that says it is one that 32 bits cannot count."""

    size = 2**31


class OneThreadGPU:
    """What kernels/cuda.py needs of CuPy."""

    def __init__(self):
        self.huge = self.backwards = False
        self.first_block = 0
        self.buffers = {}  # with their poison, by the address of the array inside
        self.launches = []  # the names

    def empty(self, shape, dtype, poison=UNWRITTEN):
        dtype, size = np.dtype(dtype), int(np.prod(shape))
        bits = np.full(size + 2 * GUARD, NAN[dtype.name] + poison, f"u{dtype.itemsize}")
        array = bits.view(dtype)[GUARD : GUARD + size].reshape(shape)
        self.buffers[array.ctypes.data] = bits.view(dtype), poison
        return array

    def array(self, x):
        y = self.empty(x.shape, x.dtype, OUTSIDE)
        y[...] = x
        return y

    def ascontiguousarray(self, x):
        x = x if x.flags.c_contiguous else self.array(x)
        return x.view(Huge) if self.huge else x

    def RawKernel(self, code, name):
        types, integer, real, launch = compiled(code, name)

        def run(grid, block, arguments):
            (blocks,), (threads,) = grid, block
            assert blocks >= 1, "CUDA refuses an empty grid"
            assert len(arguments) == len(types)
            cells, written = [], []
            for kind, value in zip(types, arguments, strict=True):
                if kind.endswith("*"):
                    assert value.dtype == (np.int32 if "int " in kind else real)
                    assert value.flags.c_contiguous
                    cells.append(ctypes.c_void_p(value.ctypes.data))
                    if "const" not in kind:
                        written.append(value.view(np.ndarray))
                else:
                    assert type(value) is {"integer": integer, "real": real}[kind]
                    cells.append(np.ctypeslib.as_ctypes_type(type(value))(value))
            pointers = (ctypes.c_void_p * len(cells))(*map(ctypes.addressof, cells))
            launch(self.first_block, blocks, threads, self.backwards, pointers)
            self.launches.append(name)
            for array in written:
                buffer, poison = self.buffers[array.ctypes.data]
                assert poisoned(buffer[:GUARD], poison).all(), "written before the array"
                assert poisoned(buffer[GUARD + array.size :], poison).all(), "written behind it"
                assert not poisoned(array, OUTSIDE).any(), "read outside an array"

        return run


@functools.cache
def compiled(text, name):
    """The types of a kernel's parameters, its integer, its real, and what launches it."""
    (parameters,) = re.findall(rf'extern "C" __global__ void {name}\((.*?)\)', text, re.DOTALL)
    types = [re.sub(r"\w+$", "", p.strip()).strip() for p in parameters.split(",")]
    arguments = ", ".join(f"*({kind} *)arguments[{i}]" for i, kind in enumerate(types))
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, f"{name}.cpp"), Path(folder, f"{name}.so")
        source.write_text(CPP.format(text=text, name=name, arguments=arguments), "utf-8")
        command = ["g++", "-O1", "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run(command, check=True)
        launch = ctypes.CDLL(str(library)).launch
    launch.argtypes = [*[ctypes.c_uint] * 3, ctypes.c_int, ctypes.c_void_p]
    launch.restype = None
    integer = np.int64 if "typedef long long integer;" in text else np.int32
    return types, integer, np.float64 if "typedef double real;" in text else np.float32, launch


@pytest.fixture(scope="session")
def gpu():
    if shutil.which("g++") is None:
        pytest.skip("no g++: the CUDA kernels are not run")
    return OneThreadGPU()


@pytest.fixture(scope="session")
def cuda(gpu):
    """kernels/cuda.py itself, on the stand-in."""
    spec = importlib.util.spec_from_file_location(f"{kernels.__name__}.cuda", FOLDER / "cuda.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", gpu)
        spec.loader.exec_module(module)
    with ThreadPoolExecutor() as pool:  # g++ runs beside itself
        variants = [(name, *variant) for name in NAMES for variant in VARIANTS]
        list(pool.map(lambda variant: compiled(cuda_text(*variant), variant[0]), variants))
    return module


# ---- the same values as NumPy's --------------------------------------------------------------

some = settings(max_examples=300, deadline=None, derandomize=True)
DTYPES = st.sampled_from([np.float32, np.float64])


@st.composite
def manners(draw):
    """How to run: dtype, 64-bit integers, the last thread first, and how inputs lie in memory."""
    layout = draw(st.sampled_from(["plain", "transposed", "strided", "flipped"]))
    return draw(DTYPES), draw(st.booleans()), draw(st.booleans()), layout


def assert_written(got, wanted):
    """Everywhere, and what was wanted."""
    assert got.dtype == wanted.dtype
    assert not poisoned(np.ascontiguousarray(got), UNWRITTEN).any()
    np.testing.assert_array_equal(got, wanted)


def on_gpu(gpu, manner, *arrays):
    """The arrays as the manner wants them, amid poison."""
    _, gpu.huge, gpu.backwards, layout = manner
    gpu.buffers.clear()
    for x in arrays:
        if layout == "transposed":
            yield gpu.array(x.T).T
        elif layout == "strided":
            y = gpu.empty([2 * size for size in x.shape], x.dtype)[(slice(1, None, 2),) * x.ndim]
            y[...] = x
            yield y
        elif layout == "flipped":
            yield gpu.array(x[..., ::-1])[..., ::-1]
        else:
            yield gpu.array(x)


KINDS = ("normal", "ties", "negative", "nan")


@st.composite
def values(draw, kinds=KINDS):
    """A function of shape and dtype; ties are equal numbers, and extremes infinite ones and nan."""
    kind, seed = draw(st.sampled_from(kinds)), draw(st.integers(0, 99))

    def drawn(shape, dtype):
        x = normal(*shape, seed=seed, dtype=dtype)
        if kind == "ties":
            return x.round()
        if kind == "negative":
            return -1 - abs(x)
        rng = np.random.default_rng(seed)
        if kind == "nan":
            x[rng.random(shape) < 0.1] = np.nan
        if kind in ("infinite", "extremes"):
            some = [-np.inf, -np.inf, -1, 0, np.inf] + [np.nan] * (kind == "extremes")
            x = rng.choice(np.array(some, dtype), shape)
        return x

    return drawn


@st.composite
def problems(draw, pooling=False):
    """(n, C, H, W), kernel, stride, padding, (oh, ow); pooling: no window in the padding alone."""
    kernel = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    stride = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    most = [k - 1 if pooling else 3 for k in kernel]
    padding = tuple((draw(st.integers(0, m)), draw(st.integers(0, m))) for m in most)
    least = [max(1, k - sum(pads)) for k, pads in zip(kernel, padding, strict=True)]
    shape = [draw(st.integers(1, 3)), draw(st.integers(1, 4))]
    shape += [draw(st.integers(low, low + 11)) for low in least]
    ceil = pooling and draw(st.booleans())
    axes = zip(shape[2:], kernel, stride, padding, strict=True)
    return tuple(shape), kernel, stride, padding, tuple(pool_size(*axis, ceil) for axis in axes)


@some
@given(problem=problems(), manner=manners(), values=values())
def test_columns_hold_what_numpys_hold(cuda, gpu, problem, manner, values):
    shape, *how, size = problem
    x = values(shape, manner[0])
    columns = cuda.im2col(*on_gpu(gpu, manner, x), *how)
    assert columns.shape == (shape[1] * np.prod(how[0]), shape[0] * np.prod(size))
    maps = shape[0], len(columns), *size
    wanted = cpu.from_columns(cpu.im2col(x, *how), maps)
    assert_written(cuda.from_columns(columns, maps), wanted)


@some
@given(problem=problems(), manner=manners(), values=values(), onto=st.booleans())
def test_pixels_sum_what_numpys_sum_and_in_the_same_order(cuda, gpu, problem, manner, values, onto):
    shape, *how, size = problem
    maps = values((shape[0], shape[1] * how[0][0] * how[0][1], *size), manner[0])
    wanted = onto * normal(*shape, seed=1, dtype=manner[0])  # what they are added to
    columns, x = on_gpu(gpu, manner, cuda.to_columns(maps), wanted)
    cuda.col2im(columns, x, *how)
    cpu.col2im(cpu.to_columns(maps), wanted, *how)
    assert_written(x, wanted)


def test_columns_have_the_pixels_innermost(cuda):
    maps = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    columns = cuda.to_columns(maps)
    assert columns.shape == (3, 2 * 4 * 5)
    for image, o, row, column in product(*map(range, maps.shape)):
        assert columns[o, (image * 4 + row) * 5 + column] == maps[image, o, row, column]
    np.testing.assert_array_equal(cuda.from_columns(columns, maps.shape), maps)


@some
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (3, 6, 4, 5))),
    window=st.tuples(st.integers(0, 13), st.integers(0, 13), st.integers(1, 3)),
    a=st.sampled_from([1e-4, 0.3]),
    manner=manners(),
    values=values(),
    seed=st.integers(0, 99),
)
def test_what_is_normalised_is_numpys(cuda, gpu, shape, window, a, manner, values, seed):
    shape = shape[0], window[2] * shape[1], *shape[2:]
    x, dy = values(shape, manner[0]), normal(*shape, seed=seed, dtype=manner[0])
    for got, wanted in zip(
        cuda.lrn(*on_gpu(gpu, manner, x), *window, 2.0, a, 0.75),
        cpu.lrn(x, *window, 2.0, a, 0.75),
        strict=True,
    ):
        assert_written(got, wanted)
    s = wanted
    dx = cuda.lrn_backward(*on_gpu(gpu, manner, dy, x, s), *window, a, 0.75)
    assert_written(dx, cpu.lrn_backward(dy, x, s, *window, a, 0.75))


def test_a_window_of_more_channels_than_32_bits_count_holds_all(cuda, gpu):
    (x,) = on_gpu(gpu, (np.float32, False, False, "plain"), normal(1, 3, 2, 2, dtype=np.float32))
    for got, wanted in zip(
        cuda.lrn(x, 2**40, 2**40, 1, 2.0, 0.3, 0.75),
        cpu.lrn(x, 3, 3, 1, 2.0, 0.3, 0.75),
        strict=True,
    ):
        assert_written(got, wanted)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.3])
@pytest.mark.parametrize("dtype", REALS)
def test_other_powers_are_numpys_but_for_rounding(cuda, gpu, beta, dtype):
    x, dy = (normal(2, 6, 3, 3, seed=seed, dtype=np.dtype(dtype)) for seed in (1, 2))
    wanted, s = cpu.lrn(x, 2, 1, 2, 1.0, 0.3, beta)
    x, dy, s = on_gpu(gpu, (dtype, False, False, "plain"), x, dy, s)
    rounding = {"rtol": 0, "atol": 1e-6 if dtype == "float32" else 1e-14}
    np.testing.assert_allclose(cuda.lrn(x, 2, 1, 2, 1.0, 0.3, beta)[0], wanted, **rounding)
    wanted = cpu.lrn_backward(dy, x, s, 2, 1, 2, 0.3, beta)
    np.testing.assert_allclose(cuda.lrn_backward(dy, x, s, 2, 1, 2, 0.3, beta), wanted, **rounding)


@some
@given(problem=problems(pooling=True), manner=manners(), values=values((*KINDS, "extremes")))
def test_the_maximum_is_numpys(cuda, gpu, problem, manner, values):
    shape, *how, size = problem
    x = values(shape, manner[0])
    y, winners = cuda.max_pool(*on_gpu(gpu, manner, x), *how, size)
    assert_written(y, cpu.max_pool(x, *how, size)[0])
    assert not poisoned(winners, UNWRITTEN).any()


@some
@given(
    problem=problems(pooling=True),
    manner=manners(),
    values=values(("normal", "ties", "negative", "infinite")),  # of two nans each has its own
    seed=st.integers(0, 99),
)
def test_the_winners_are_numpys(cuda, gpu, problem, manner, values, seed):
    shape, *how, size = problem
    x = values(shape, manner[0])
    y, winners = cpu.max_pool(x, *how, size)
    dy = normal(*y.shape, seed=seed, dtype=manner[0])
    wanted = cpu.max_pool_backward(dy, winners, shape, *how)
    _, winners = cuda.max_pool(*on_gpu(gpu, manner, x), *how, size)
    dx = cuda.max_pool_backward(*on_gpu(gpu, manner, dy, winners), shape, *how)
    assert_written(dx, wanted)


def test_a_batch_of_many_blocks(cuda, gpu):
    how = (3, 2), (2, 1), ((1, 0), (0, 1))
    x, sums = on_gpu(
        gpu,
        (np.float32, False, False, "plain"),
        normal(9, 5, 12, 11, dtype=np.float32),
        np.zeros((9, 5, 12, 11), np.float32),
    )
    columns = cuda.im2col(x, *how)
    y, winners = cuda.max_pool(x, *how, (6, 11))
    wanted, winners_here = cpu.max_pool(x, *how, (6, 11))
    assert_written(y, wanted)
    maps = cpu.from_columns(cpu.im2col(x, *how), (9, 30, 6, 11))
    assert_written(cuda.from_columns(columns, maps.shape), maps)
    back = np.zeros_like(x)
    cpu.col2im(cpu.to_columns(maps), back, *how)
    cuda.col2im(columns, sums, *how)
    assert_written(sums, back)
    for got, normalised in zip(
        cuda.lrn(x, 2, 1, 1, 2.0, 0.3, 0.75), cpu.lrn(x, 2, 1, 1, 2.0, 0.3, 0.75), strict=True
    ):
        assert_written(got, normalised)
    back = cpu.lrn_backward(sums, x, normalised, 2, 1, 1, 0.3, 0.75)
    assert_written(cuda.lrn_backward(sums, x, normalised, 2, 1, 1, 0.3, 0.75), back)
    dx = cpu.max_pool_backward(y, winners_here, x.shape, *how)
    assert_written(cuda.max_pool_backward(y, winners, x.shape, *how), dx)


@pytest.mark.parametrize("budget", [1, 2000, 10**9])
def test_blocks_of_images_cover_the_batch_and_stay_in_budget(cuda, monkeypatch, budget):
    monkeypatch.setattr(cuda, "BAND_BYTES", budget)
    x, y = np.zeros((7, 2, 4, 5), np.float32), np.zeros((7, 3, 3, 3), np.float32)
    image, padding = 2 * 6 * 9 * 4, ((0, 0), (1, 0))
    images = []
    for there, here, pads in cuda.bands(x, y, (2, 3), (1, 1), padding):
        assert (there, pads) == (here, padding)
        images += range(7)[there]
        assert len(x[there]) == 1 or len(x[there]) * image <= budget
    assert images == list(range(7))


def every_loop(cuda, x):
    """Calls of the loops, by name; each gives what the kernel writes."""
    how = (2, 2), (1, 1), ((0, 0), (0, 0))
    n, c, h, w = x.shape

    def col2im():
        cuda.col2im(np.zeros((c, n * h * w), x.dtype), x, (1, 1), *how[1:])
        return x

    winners = np.zeros(x.shape, np.int32)
    return {
        "im2col": lambda: cuda.im2col(x, *how),
        "col2im": col2im,
        "lrn": lambda: cuda.lrn(x, 1, 1, 1, 2.0, 0.3, 0.75)[0],
        "lrn_backward": lambda: cuda.lrn_backward(x, x, x, 1, 1, 1, 0.3, 0.75),
        "max_pool": lambda: cuda.max_pool(x, *how, (h - 1, w - 1))[0],
        "max_pool_backward": lambda: cuda.max_pool_backward(x, winners, x.shape, (1, 1), *how[1:]),
    }


def test_there_is_a_test_for_every_text(cuda):
    assert sorted(every_loop(cuda, np.zeros((1, 1, 2, 2)))) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_other_dtypes_are_refused(cuda, name):
    with pytest.raises(UserError, match=f"{name}: expected float32 or float64, got float16"):
        every_loop(cuda, np.zeros((1, 1, 3, 3), np.float16))[name]()


@pytest.mark.parametrize("name", NAMES)
def test_of_nothing_nothing_is_launched(cuda, gpu, name):
    gpu.launches.clear()
    assert every_loop(cuda, np.zeros((0, 2, 3, 3), np.float32))[name]().size == 0
    assert gpu.launches == []


@pytest.mark.parametrize("name", NAMES)
def test_a_block_beyond_32_bits_is_not_taken_for_the_first(cuda, gpu, name, monkeypatch):
    monkeypatch.setattr(gpu, "huge", True)
    monkeypatch.setattr(gpu, "first_block", 2**24)  # of 256 threads
    x = normal(1, 2, 3, 3, dtype=np.float32)
    (there,) = on_gpu(gpu, (np.float32, True, False, "plain"), x)
    result = every_loop(cuda, there)[name]()
    if name == "col2im":  # which adds
        np.testing.assert_array_equal(result, x)
    else:
        assert poisoned(result, UNWRITTEN).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_text_has_no_types_but_its_own(name):
    text = re.sub("//.*", "", (FOLDER / f"{name}.cu").read_text("utf-8"))
    text = re.sub(r"\bint \*winner|\(int\)place", "", text)  # the same for any real and integer
    types = r"\b(?:char|short|int|long|unsigned|size_t|float|double|half|auto)\b"
    assert re.findall(types, text) == []


def test_two_dtypes_are_refused(cuda):
    x = np.ones((1, 1, 2, 2), np.float32)
    with pytest.raises(UserError, match=r"col2im: expected float32 or float64, got .* and "):
        cuda.col2im(np.ones((1, 4)), x, (1, 1), (1, 1), ((0, 0), (0, 0)))


def test_the_block_that_counts_furthest_still_counts_right(cuda, monkeypatch):
    seen = []
    monkeypatch.setattr(cuda.cupy, "ascontiguousarray", lambda x: x)
    monkeypatch.setattr(cuda, "_kernel", lambda *key: lambda *call: seen.append((*key, *call)))
    for size in (1, 256, 257, 2**31 - 257, 2**31 - 256, 2**31):
        x = np.broadcast_to(np.float32(0), size)
        cuda._launch("some", size, (x,), (7,))
        name, dtype, wide, (blocks,), (threads,), (_, number) = seen.pop()
        assert (name, dtype, threads) == ("some", "float32", 256)
        assert size <= blocks * threads < size + threads
        assert wide or blocks * threads - 1 < 2**31
        assert wide == (size >= 2**31 - 256)
        assert type(number) is (np.int64 if wide else np.int32)


# ---- machine code ----------------------------------------------------------------------------

CHIPS = ("75", "80", "90")


def joined(variant):
    """All kernels of a dtype and an integer in one text."""
    texts = [cuda_text(name, *variant) for name in NAMES]
    types = "".join(re.findall(r"^typedef .*\n", texts[0], re.MULTILINE))
    return types + "".join(text.removeprefix(types) for text in texts)


def by_nvcc(chip, variant):
    with tempfile.TemporaryDirectory() as folder:
        source, code = Path(folder, "all.cu"), Path(folder, "all.cubin")
        source.write_text(joined(variant), "utf-8")
        command = ["nvcc", "-cubin", "-Werror", "all-warnings", f"-arch=sm_{chip}"]
        subprocess.run([*command, str(source), "-o", str(code)], check=True)
        return code.read_bytes()


def by_nvrtc(library, chip, variant):
    """What CuPy does."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    text, nothing = joined(variant).encode(), (ctypes.c_char_p * 0)()
    made = library.nvrtcCreateProgram(ctypes.byref(program), text, b"all.cu", 0, nothing, nothing)
    assert made == 0
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture=sm_{chip}".encode())
    failed = library.nvrtcCompileProgram(program, len(options), options)
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    assert not failed, log.value.decode()
    assert library.nvrtcGetCUBINSize(program, ctypes.byref(size)) == 0
    code = ctypes.create_string_buffer(size.value)
    assert library.nvrtcGetCUBIN(program, code) == 0
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return code.raw


def find_nvrtc():
    """NVRTC from one of NVIDIA's wheels, or None."""
    for name in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu13", "nvidia-cuda-nvrtc-cu12"):
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            if re.fullmatch(r"libnvrtc\.so\.\d+|nvrtc64_\d+_0\.dll", file.name):
                return ctypes.CDLL(str(file.locate()))
    return None


def test_every_kernel_becomes_machine_code():
    library = None if shutil.which("nvcc") else find_nvrtc()
    if library is None and not shutil.which("nvcc"):
        pytest.skip("neither nvcc nor the wheel nvidia-cuda-nvrtc: no CUDA compiler")
    compiler = functools.partial(by_nvrtc, library) if library else by_nvcc
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = list(pool.map(lambda pair: compiler(*pair), product(CHIPS, VARIANTS)))
    assert len(codes) == 12
    for code, name in product(codes, NAMES):
        assert b".text." + name.encode() + b"\0" in code  # by its own name, as it is asked for
