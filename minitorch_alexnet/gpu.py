"""Why a GPU cannot be used, and what to do about it."""

import functools
import importlib.metadata
import importlib.util

import numpy as np


@functools.cache
def why_no_gpu(index: int = 0) -> str:
    """Why the GPU of that number cannot be used, and what to do about it; "" if it can."""
    if importlib.util.find_spec("cupy") is None:
        return (
            "CuPy is not installed: pip install 'cupy-cuda13x[ctk]', or cuda12x for an older driver"
        )
    names = (d.metadata["Name"] for d in importlib.metadata.distributions())
    packages = sorted({name for name in names if name and name.startswith("cupy")} - {"cupyx"})
    if len(packages) > 1:
        return (
            f"{' and '.join(packages)} break each other: pip uninstall {' '.join(packages)}, then"
            " install one of them"
        )
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
        if index >= count:
            return f"there are {count} GPUs, numbered from 0"
        with cupy.cuda.Device(index):
            # A kernel is compiled and runs, and cuBLAS multiplies; a product of float32 would
            # settle for the whole process whether products are in TF32.
            numbers = cupy.arange(4, dtype=np.float64).reshape(2, 2) + 1
            (numbers @ numbers).get()  # (2, 2) @ (2, 2)
    except Exception as error:  # whatever is missing shows itself here, each time in another way
        return _what_ails(error, packages)
    return ""


def _what_ails(error: Exception, packages: list[str]) -> str:
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    for sign, advice in (
        (
            "InsufficientDriver",
            "no NVIDIA driver, or too old a one for this CuPy: see nvidia-smi; update it, or"
            " install CuPy for an older CUDA (cuda12)",
        ),
        ("NoDevice", "no NVIDIA GPU is visible: see CUDA_VISIBLE_DEVICES and nvidia-smi"),
        ("nvrtc", f"the CUDA compiler is missing: pip install '{packages[0]}[ctk]'"),
        ("cublas", f"CUDA's library of products is missing: pip install '{packages[0]}[ctk]'"),
        ("libcuda", "install the NVIDIA driver"),
    ):
        if sign.lower() in text.lower():
            return f"{advice} ({text})"
    return f"{text}; nvidia-smi says whether there is a driver, and for which CUDA"
