"""Work dealt out to processes comes back in order, and none of them outlives its parent."""

import os
import signal
import time

import pytest

from minitorch_alexnet.data import processes
from minitorch_alexnet.data.processes import process_map
from minitorch_alexnet.errors import UserError


def chunk(_):
    return processes.CHUNK


def test_processes_leave_ctrl_c_to_their_parent_and_end_soon(monkeypatch):
    monkeypatch.setattr(processes, "CHUNK", 1)
    began = time.monotonic()
    with process_map(2) as mapped:
        assert list(mapped(signal.getsignal, [signal.SIGINT])) == [signal.SIG_IGN]
        assert list(mapped(chunk, [None])) == [8]  # they started afresh: none is a fork
        assert list(mapped(abs, range(-40, 0))) == list(range(40, 0, -1))
        next(mapped(time.sleep, [0.05] * 400))  # what is left of this is dropped
    assert time.monotonic() - began < 5


def test_a_process_that_dies():
    match = "what is done is kept: repeat it with fewer processes"
    with pytest.raises(UserError, match=match), process_map(2) as mapped:
        list(mapped(os._exit, [1]))
