"""Why a GPU cannot be used: with made-up installations, each reason and what to do about it."""

import importlib.metadata
import importlib.util
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minitorch_alexnet import device, gpu
from minitorch_alexnet.device import Device
from minitorch_alexnet.errors import UserError


class Numbers(np.ndarray):
    """What the GPU's arrays can do that NumPy's cannot."""

    def get(self):
        return np.asarray(self)


@pytest.fixture
def machine(monkeypatch):
    """Makes a machine: its packages, and a CuPy with so many GPUs, or that fails with an error."""

    def make(*packages, count=1, error=None, where="arange"):
        def fails(name, answer):
            if error and where == name:
                raise error
            return answer

        def arange(n, dtype):
            assert dtype == np.float64  # float32 would settle what TF32 does
            return fails("arange", np.arange(n, dtype=dtype).view(Numbers))

        class Current:
            def __init__(self, index):
                fails("device", index)

            def __enter__(self):
                pass

            def __exit__(self, *error):
                pass

        runtime = SimpleNamespace(getDeviceCount=lambda: fails("count", count))
        cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, Device=Current), arange=arange)
        names = [SimpleNamespace(metadata={"Name": name}) for name in (*packages, "numpy", None)]
        monkeypatch.setattr(importlib.metadata, "distributions", lambda: names)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: cupy if packages else None)
        monkeypatch.setitem(sys.modules, "cupy", cupy)

    return make


why_no_gpu = gpu.why_no_gpu.__wrapped__  # asks anew each time


def test_a_gpu_that_can_be_used(machine):
    machine("cupy-cuda12x", count=2)
    assert why_no_gpu() == why_no_gpu(1) == ""


def test_cupy_is_not_there(machine):
    machine()
    assert why_no_gpu().startswith("CuPy is not installed: pip install 'cupy-cuda13x[ctk]'")


def test_two_cupys_are_one_too_many(machine):
    machine("cupy-cuda13x", "cupy-cuda12x")
    assert "pip uninstall cupy-cuda12x cupy-cuda13x, then install one" in why_no_gpu()


def test_a_number_there_is_not(machine):
    machine("cupy-cuda12x", count=2)
    assert why_no_gpu(2) == "there are 2 GPUs, numbered from 0"


class CUDARuntimeError(Exception):
    pass


@pytest.mark.parametrize("where", ["count", "device", "arange"])
@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (CUDARuntimeError("cudaErrorInsufficientDriver: too old"), "no NVIDIA driver, or too old"),
        (CUDARuntimeError("cudaErrorNoDevice: none"), "CUDA_VISIBLE_DEVICES"),
        (RuntimeError("libnvrtc.so.12: cannot open"), r"pip install 'cupy-cuda12x\[ctk\]'"),
        (ImportError("libcublas.so.12: cannot open"), r"pip install 'cupy-cuda12x\[ctk\]'"),
        (ImportError("libcuda.so.1: cannot open"), "install the NVIDIA driver"),
        (OSError("who knows\nmore lines"), r"^OSError: who knows; nvidia-smi says"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_fails_is_told_with_what_to_do(machine, error, advice, where):
    machine("cupy-cuda12x", error=error, where=where)
    reason = why_no_gpu()
    assert str(error).splitlines()[0] in reason
    assert "\n" not in reason
    assert re.search(advice, reason)


def test_a_device_that_cannot_be_used_is_refused_with_the_reason(machine, monkeypatch):
    machine()
    monkeypatch.setattr(device, "why_no_gpu", why_no_gpu)
    with pytest.raises(UserError, match=r"^cuda:0 cannot be used: CuPy is not installed"):
        Device("cuda")
    assert Device("auto") == Device("cpu")
