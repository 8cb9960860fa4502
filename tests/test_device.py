"""The parts, the workers, and what they promise."""

import os
import platform
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from minitorch_alexnet import device
from minitorch_alexnet.device import (
    MAX_PARTS,
    Device,
    blocks,
    for_each_block,
    for_each_part,
    set_threads,
)
from minitorch_alexnet.errors import UserError


@pytest.fixture(autouse=True)
def _workers_as_before(monkeypatch):
    monkeypatch.setattr(device, "_workers", None)
    monkeypatch.delenv("MINITORCH_ALEXNET_THREADS", raising=False)


@pytest.mark.parametrize(("rows", "count"), [(0, 0), (1, 1), (3, 2), (7, 4), (8, 8), (100, 8)])
@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_parts_cover_every_row_once_in_order_whatever_the_threads(rows, count, threads):
    set_threads(threads)
    x = np.zeros((rows, 150_000))
    parts = for_each_part(lambda part: part, x)
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(rows))
    assert len(parts) == count


def test_small_arrays_are_not_dealt_out():
    assert for_each_part(lambda part: part, np.zeros((100, 4))) == [slice(0, 100)]


def test_as_many_workers_as_asked_take_part():
    set_threads(3)
    meet = threading.Barrier(3)  # passes only with three workers at it at once

    def work(part):
        if part.start < 3:
            meet.wait(timeout=10)
        return threading.get_ident()

    assert len(set(for_each_part(work, np.zeros((4, 150_000))))) == 3


def test_a_free_worker_takes_the_next_part():
    set_threads(2)

    def work(part):
        time.sleep(0.2 if part.start == 0 else 0)
        return threading.get_ident()

    takers = for_each_part(work, np.zeros((8, 150_000)))
    assert takers.count(takers[0]) < 4


def test_blas_has_one_thread_while_workers_work_and_its_own_number_after():
    def blas_threads(part=None):
        return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}

    set_threads(2)
    before = blas_threads()
    seen = for_each_part(blas_threads, np.zeros((8, 150_000)))
    assert all(s == {1} for s in seen)
    assert blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux alone can hold threads")
def test_workers_have_a_core_each_and_let_go_of_it():
    set_threads(len(device.usable_cores()))
    before = os.sched_getaffinity(0)
    meet = threading.Barrier(len(before))

    def work(part):
        meet.wait(timeout=10)
        return os.sched_getaffinity(0)

    if len(before) in (1, 2, 4, MAX_PARTS):  # a part each
        cores = for_each_part(work, np.zeros((len(before), 150_000)))
        assert sorted(core for held in cores for core in held) == sorted(before)
    assert os.sched_getaffinity(0) == before


def test_an_error_in_a_part_reaches_the_caller_and_the_next_deal_works():
    set_threads(2)

    def fail(part):
        raise ValueError(f"part {part.start}")

    with pytest.raises(ValueError, match="part"):
        for_each_part(fail, np.zeros((8, 150_000)))
    assert sum(for_each_part(lambda p: p.stop - p.start, np.zeros((8, 150_000)))) == 8


def test_threads_come_from_the_environment_else_from_the_affinity(monkeypatch):
    monkeypatch.setenv("MINITORCH_ALEXNET_THREADS", "5")
    assert device.get_workers().threads == 5
    monkeypatch.setattr(device, "_workers", None)
    monkeypatch.delenv("MINITORCH_ALEXNET_THREADS")
    assert device.get_workers().threads == len(device.usable_cores())
    monkeypatch.setattr(device, "_workers", None)
    monkeypatch.setenv("MINITORCH_ALEXNET_THREADS", "many")
    with pytest.raises(UserError, match="THREADS must be a whole number, got 'many'"):
        device.get_workers()
    with pytest.raises(UserError, match="at least 1, got 0"):
        set_threads(0)


def test_what_needs_much_working_memory_is_dealt_out_however_small():
    parts = for_each_part(lambda part: part, np.zeros((100, 4)), row_bytes=device.MIN_PART_BYTES)
    assert len(parts) == MAX_PARTS


def test_each_block_covers_every_row_once_and_stays_in_budget():
    row_bytes = device.BLOCK_BYTES // 5
    seen = []
    for_each_block(seen.append, np.zeros((100, 4)), row_bytes)
    assert sorted(row for rows in seen for row in range(rows.start, rows.stop)) == list(range(100))
    assert max(rows.stop - rows.start for rows in seen) == 5


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc's settings are glibc's")
def test_the_memory_that_arrays_free_serves_the_next_ones():
    text = """
import resource
import numpy as np
from minitorch_alexnet.device import set_threads

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(40 * 2**20, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = pages()
set_threads(1)
pages()
print(first, pages())
"""
    fresh, reused = map(int, subprocess.check_output([sys.executable, "-c", text]).split())
    assert fresh >= 10
    assert reused < fresh / 5


def test_blocks_cover_a_part_and_stay_in_budget():
    cut = list(blocks(np.zeros(20), slice(3, 20), device.BLOCK_BYTES // 5))
    assert [row for b in cut for row in range(b.start, b.stop)] == list(range(3, 20))
    assert max(b.stop - b.start for b in cut) == 5
    assert list(blocks(np.zeros(2), slice(0, 2), 10 * device.BLOCK_BYTES)) == [
        slice(0, 1),
        slice(1, 2),
    ]


def test_devices_by_name():
    assert Device("cpu") == Device("cpu:0") == Device(Device("cpu"))
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


def test_a_deal_within_a_part_is_done_there():
    set_threads(2)
    inner = for_each_part(
        lambda p: for_each_part(lambda q: q, np.zeros((4, 150_000))), np.zeros((8, 150_000))
    )
    assert all(
        [row for q in rows for row in range(q.start, q.stop)] == [0, 1, 2, 3] for rows in inner
    )


def test_after_an_error_nobody_starts_another_part_and_all_have_stopped():
    set_threads(3)
    started, running = [], set()

    def work(part):
        started.append(part.start)
        running.add(part.start)
        try:
            time.sleep(0.05)
            raise ValueError("no")
        finally:
            running.discard(part.start)

    with pytest.raises(ValueError, match="no"):
        for_each_part(work, np.zeros((8, 150_000)))
    assert len(started) <= 3
    assert not running


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_workers_of_its_own():
    set_threads(2)
    for_each_part(lambda p: p, np.zeros((8, 150_000)))
    child = os.fork()
    if child == 0:
        set_threads(2)
        os._exit(0 if len(for_each_part(lambda p: p, np.zeros((8, 150_000)))) == 8 else 1)
    for _ in range(100):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the forked process hangs")
    assert status == 0
