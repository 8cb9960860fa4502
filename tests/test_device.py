"""Devices on the host: their names, and what is a copy. test_neutral.py has the others."""

import numpy as np
import pytest

from minitorch_alexnet.device import Device, array_module, fuse
from minitorch_alexnet.errors import UserError


def test_devices_by_name():
    assert Device("cpu") == Device("cpu:0") == Device(Device("cpu")) == Device(" cpu ")
    assert len({Device("cpu"), Device("cpu:0"), Device("cpu:1")}) == 2
    assert str(Device("cpu:1")) == "cpu:1"
    for name in ("", "gpu", "cpu:x", "cpu:-1"):
        with pytest.raises(UserError, match="unknown device"):
            Device(name)


def test_copy_is_a_copy_and_array_is_not():
    x = np.arange(3.0)
    assert Device("cpu:1").array(x) is x
    y = Device("cpu:1").copy(x)
    assert not np.shares_memory(x, y)
    np.testing.assert_array_equal(x, y)


def test_a_copy_keeps_the_order_in_memory():
    x = np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)
    assert Device("cpu:1").copy(x).strides == x.strides


def test_on_the_host_all_is_at_once():
    x, here = np.arange(3.0), Device("cpu")
    assert here.upload(x, here.queue())() is x
    assert Device.of(x) == here
    assert array_module(x) is np
    with here.current():
        here.wait()


def test_fused_maths_is_the_function_itself_on_the_host():
    @fuse
    def shifted(x, y):
        """x² + y"""
        return x * x + y

    assert shifted(np.arange(3.0), 1.0).tolist() == [1, 2, 5]
    assert (shifted.__name__, shifted.__doc__) == ("shifted", "x² + y")
