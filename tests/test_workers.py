"""The parts of a batch, the threads that work on them, and what both promise."""

import contextlib
import gc
import heapq
import itertools
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from reference import assert_close, normal
from threadpoolctl import threadpool_info, threadpool_limits

from minitorch_alexnet import workers
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Conv2d, Layer
from minitorch_alexnet.workers import (
    LEAST_PART,
    PART_BYTES,
    PIECE_BYTES,
    deal,
    get_workers,
    granted_cores,
    pieces,
    product,
    usable_cores,
)

EIGHT = list(range(8))  # parts


def blas_threads(*_):
    return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}


# ---- the parts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("image_bytes", [1, 1000, 30_000, PART_BYTES // 8, PART_BYTES, 10**9])
def test_every_image_is_in_one_part_and_the_sizes_are_as_said(image_bytes):
    for images in (*range(1, 70), 100, 128, 256, 1000, 1001):
        parts = deal(images, image_bytes)
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(images))
        sizes = [part.stop - part.start for part in parts]
        assert min(sizes) > 0
        size = max(sizes)
        assert size <= max(LEAST_PART, images / 2)
        assert size <= LEAST_PART or size * image_bytes <= PART_BYTES
        if images >= 4 * LEAST_PART:
            large = sizes[: sizes.count(size)]
            assert images * 3 / 4 - size < sum(large) <= images * 3 / 4  # three quarters
            rest = sizes[len(large) :]
            assert max(rest) - min(rest) <= 1  # equal, and about half as large
            assert size // 3 <= min(rest) <= max(rest) <= (size + 1) / 2


def test_small_images_make_larger_parts():
    sizes = {b: max(p.stop - p.start for p in deal(1024, b)) for b in (PART_BYTES, 10_000)}
    assert sizes == {PART_BYTES: LEAST_PART, 10_000: PART_BYTES // 10_000}


def test_parts_do_not_depend_on_the_threads(set_threads):
    dealt = []
    for threads in (1, 2, 16):
        set_threads(threads)
        dealt.append([deal(images) for images in range(1, 200)])
    assert dealt[0] == dealt[1] == dealt[2]


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 5, 6, 7, 8, 12, 16])
def test_cores_are_busy(cores):
    """Whoever is free takes the next part: of the time until the last is done, how much is work?"""
    ends = [0] * cores
    for part in deal(128):
        heapq.heappush(ends, heapq.heappop(ends) + part.stop - part.start)
    assert 128 / (cores * max(ends)) >= 0.85


@pytest.mark.parametrize("shape", [(1, 1), (300, 1000), (3, 10**6), (10**5, 1000)])
def test_pieces_cover_the_first_axis_and_are_worth_handing_over(shape):
    x = np.broadcast_to(np.float32(0), shape)
    for most in (1, 7, 16, 10**6):
        cut = pieces(x, most)
        assert [row for p in cut for row in range(p.start, p.stop)] == [*range(shape[0])]
        assert len(cut) <= most
        assert len(cut) == 1 or x.nbytes / len(cut) >= PIECE_BYTES
    assert len(cut) == max(1, min(len(x), x.nbytes // PIECE_BYTES))


# ---- products ----------------------------------------------------------------------------------

PRODUCTS = {  # (m, k, n)
    "wide": (5, 300, 4000),
    "tall": (4000, 300, 5),
    "both": (700, 300, 900),
    "long sums": (30, 20_000, 40),
    "small": (3, 4, 2),
    "a vector": (1, 1000, 2000),
    "empty": (0, 3, 4),
    "no sum": (3, 0, 4),
}
ORDERS = {
    "plain": np.ascontiguousarray,
    "transposed": np.asfortranarray,
    "every second": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", PRODUCTS.values(), ids=PRODUCTS)
def test_a_product_is_numpys_whatever_the_order_and_the_threads(sizes, dtype, set_threads):
    m, k, n = sizes
    plain = normal(m, k, dtype=dtype), normal(k, n, seed=1, dtype=dtype)
    with threadpool_limits(1):
        wanted = plain[0] @ plain[1]
    found = {}
    for threads in (1, 3):
        set_threads(threads)
        for order, laid_out in ORDERS.items():
            c = found[threads, order] = product(*map(laid_out, plain))
            assert c.dtype == dtype
            assert_close(c, wanted, 1e-5 if dtype == np.float32 else 1e-13)
    for order in ORDERS:
        np.testing.assert_array_equal(found[1, order], found[3, order])


# ---- who works ---------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_parts(set_threads):
    set_threads(3)

    def work(part):
        time.sleep(0.02 if part % 3 == 0 else 0)
        return part, threading.get_ident()

    heard = []
    results = get_workers().run(work, EIGHT)
    assert get_workers().run(work, EIGHT, heard.append) == []
    assert [part for part, _ in results] == [part for part, _ in heard] == EIGHT


def test_as_many_workers_as_asked_take_part(set_threads):
    set_threads(3)
    meet = threading.Barrier(3)  # passes only with three workers at it at once

    def work(part):
        if part < 3:
            meet.wait(timeout=10)
        return threading.get_ident()

    found = get_workers().run(work, EIGHT)
    assert len(set(found)) == 3
    assert threading.get_ident() not in found


def test_a_free_worker_takes_the_next_part(set_threads):
    set_threads(2)
    busy = threading.Event()

    def work(part):
        if part == 0:
            assert busy.wait(10)  # until the other one has done the rest
        elif part == 7:
            busy.set()
        return threading.get_ident()

    takers = get_workers().run(work, EIGHT)
    assert takers.count(takers[0]) == 1


def test_a_deal_within_a_part_is_done_there(set_threads):
    set_threads(2)

    def work(part):
        return [threading.get_ident(), *get_workers().run(lambda _: threading.get_ident(), EIGHT)]

    assert [len(set(threads)) for threads in get_workers().run(work, EIGHT)] == [1] * 8


def test_calls_from_several_threads_are_each_answered(set_threads):
    set_threads(2)
    answers = {}

    def call(i):
        answers[i] = [get_workers().run(lambda part: (i, part), EIGHT) for _ in range(20)]

    callers = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert answers == {i: [[(i, part) for part in EIGHT]] * 20 for i in range(4)}


def test_what_the_caller_has_set_for_numpy_holds_for_the_workers(set_threads):
    set_threads(2)
    meet = threading.Barrier(2)

    def work(part):
        meet.wait(timeout=10)  # both of them take part
        return np.geterr()

    for settings in ({"over": "raise", "divide": "ignore"}, {}):
        with np.errstate(**settings):
            assert get_workers().run(work, EIGHT) == [np.geterr()] * 8


def test_blas_has_one_thread_in_the_parts_and_its_own_number_after(set_threads):
    set_threads(2)
    before = blas_threads()
    assert get_workers().run(blas_threads, EIGHT) == [{1}] * 8
    assert get_workers().conduct(blas_threads) == {1}
    assert blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux alone can hold threads")
def test_workers_have_a_core_each_where_every_core_has_a_part(set_threads):
    before = os.sched_getaffinity(0)
    set_threads(len(before))

    def cores(parts):
        meet = threading.Barrier(min(parts, len(before)))

        def work(part):
            if part < meet.parties:
                meet.wait(timeout=10)
            return os.sched_getaffinity(0)

        return get_workers().run(work, list(range(parts)))[: meet.parties]

    held = cores(len(before))
    assert sorted(core for one in held for core in one) == sorted(before)
    if len(before) > 1:
        assert cores(len(before) - 1) == [before] * (len(before) - 1)  # some core is free
    assert os.sched_getaffinity(0) == before


def test_workers_that_are_replaced_still_answer_and_then_end(set_threads):
    """Somebody may have asked for them just before, or wait in their queue."""
    set_threads(3)
    answers = []

    def ask(replaced):
        answers.append(replaced.run(lambda part: 2 * part, EIGHT))

    asking = threading.Thread(target=ask, args=[get_workers()], daemon=True)
    set_threads(1)
    asking.start()
    asking.join(timeout=10)
    assert answers == [[2 * part for part in EIGHT]]
    for _ in range(500):
        if [t.name for t in threading.enumerate()].count("worker") == 1:
            return
        time.sleep(0.02)
    raise AssertionError(threading.enumerate())


def test_two_threads_compute_while_a_third_sets_how_many(set_threads):
    before, counts, ends = blas_threads(), [0, 0], time.monotonic() + 1

    def compute(me):
        while time.monotonic() < ends:
            assert get_workers().run(lambda part: blas_threads(), EIGHT) == [{1}] * 8
            counts[me] += 1

    computing = [threading.Thread(target=compute, args=(me,), daemon=True) for me in (0, 1)]
    for thread in computing:
        thread.start()
    while time.monotonic() < ends:
        set_threads(2)
    for thread in computing:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in computing)
    assert min(counts) > 0
    assert blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux alone can hold threads")
def test_workers_started_from_a_worker_have_all_cores(set_threads):
    cores = os.sched_getaffinity(0)
    set_threads(len(cores))
    get_workers().run(lambda part: set_threads(len(cores)), EIGHT)
    assert get_workers().run(lambda part: os.sched_getaffinity(0), [0]) == [cores]


def test_an_error_holds_no_memory_once_it_is_dealt_with(set_threads):
    set_threads(2)
    held = []

    def work(part):
        large = normal(1000)
        held.append(weakref.ref(large))
        raise ValueError(part)

    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            get_workers().run(work, EIGHT)
        time.sleep(0.1)  # a helper may be on its way out
        assert held
        assert not any(large() is not None for large in held)
    finally:
        gc.enable()


# ---- how many ----------------------------------------------------------------------------------


def test_threads_come_from_the_environment_else_one_a_core(set_threads, monkeypatch):
    monkeypatch.setattr(workers, "_workers", None)
    monkeypatch.setenv("MINITORCH_ALEXNET_THREADS", "5")
    assert get_workers().threads == 5
    monkeypatch.setattr(workers, "_workers", None)
    monkeypatch.setenv("MINITORCH_ALEXNET_THREADS", "many")
    with pytest.raises(UserError, match="THREADS must be a whole number, got 'many'"):
        get_workers()
    for many in "9" * 9, "9" * 5000:
        monkeypatch.setenv("MINITORCH_ALEXNET_THREADS", many)
        with pytest.raises(UserError, match=r"at most 1024|a whole number"):
            get_workers()
    monkeypatch.delenv("MINITORCH_ALEXNET_THREADS")
    assert get_workers().threads == workers.usual_threads()
    with pytest.raises(UserError, match="at least 1, got 0"):
        set_threads(0)


@pytest.mark.parametrize(
    ("cores", "granted", "held", "threads"),
    [
        (8, float("inf"), True, 8),
        (8, 2.5, True, 3),
        (8, 0.5, True, 1),
        (2, 6, True, 2),
        (8, 8, False, 1),
    ],
)
def test_one_thread_a_core_as_far_as_granted(cores, granted, held, threads, monkeypatch):
    monkeypatch.setattr(workers, "usable_cores", lambda: list(range(cores)))
    monkeypatch.setattr(workers, "granted_cores", lambda: granted)
    monkeypatch.setattr(workers, "blas_can_be_limited", lambda: held)
    assert workers.usual_threads() == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone has affinities")
def test_usable_cores_are_those_of_the_affinity():
    before = os.sched_getaffinity(0)
    assert usable_cores() == sorted(before)
    try:
        os.sched_setaffinity(0, {max(before)})
        assert usable_cores() == [max(before)]
    finally:
        os.sched_setaffinity(0, before)


def group(folder: Path, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("cpu_", "cpu.")).write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("lines", "groups", "granted"),
    [
        # version 2: the tightest limit on the way up counts
        ("0::/a/b", {"a/b": {"cpu_max": "150000 100000"}}, 1.5),
        ("0::/a/b", {"a/b": {"cpu_max": "max 100000"}, "a": {"cpu_max": "50000 100000"}}, 0.5),
        ("0::/a", {"a": {"cpu_max": "400000 100000"}, "": {"cpu_max": "200000 100000"}}, 2),
        ("0::/", {"": {"cpu_max": "300000 100000"}}, 3),
        ("0::/a", {"a": {"cpu_max": "max 100000"}}, float("inf")),
        ("0::/a", {"other": {"cpu_max": "100000 100000"}}, float("inf")),
        # version 1, where each controller has a tree; -1 is no limit
        (
            "5:memory:/x\n4:cpu,cpuacct:/x",
            {"cpu/x": {"cpu_cfs_quota_us": 250000, "cpu_cfs_period_us": 100000}},
            2.5,
        ),
        (
            "4:cpu:/x/y",
            {
                "cpu/x/y": {"cpu_cfs_quota_us": -1, "cpu_cfs_period_us": 100000},
                "cpu/x": {"cpu_cfs_quota_us": 100000, "cpu_cfs_period_us": 50000},
            },
            2,
        ),
        (
            "3:cpuset:/tight\n4:cpu:/x",
            {
                "cpu/tight": {"cpu_cfs_quota_us": 100000, "cpu_cfs_period_us": 100000},
                "cpu/x": {"cpu_cfs_quota_us": 200000, "cpu_cfs_period_us": 100000},
            },
            2,
        ),
        # within a container the path may be the host's, and the group's own files at the top
        (
            "4:cpuacct,cpu:/docker/0a1b",
            {"cpu": {"cpu_cfs_quota_us": 100000, "cpu_cfs_period_us": 100000}},
            1,
        ),
        ("0::/docker/0a1b", {"": {"cpu_max": "100000 100000"}}, 1),
        # what cannot be read grants all
        ("0::/a", {"a": {"cpu_max": "nonsense"}}, float("inf")),
        ("5:memory:/a", {"cpu/a": {"cpu_cfs_quota_us": 1, "cpu_cfs_period_us": 1}}, float("inf")),
        (None, {"": {"cpu_max": "100000 100000"}}, float("inf")),
    ],
)
def test_cores_that_a_container_grants(tmp_path, lines, groups, granted):
    if lines is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(f"{lines}\n")
    for folder, files in groups.items():
        group(tmp_path / "cgroup" / folder, **files)
    assert granted_cores(tmp_path / "proc", tmp_path / "cgroup") == granted


# ---- when something goes wrong -----------------------------------------------------------------


def test_an_error_in_a_part_reaches_the_caller_and_the_next_deal_works(set_threads):
    set_threads(2)
    before = blas_threads()

    def fail(part):
        raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part"):
        get_workers().run(fail, EIGHT)
    with pytest.raises(ZeroDivisionError):
        get_workers().run(lambda part: part, EIGHT, lambda result: 1 / 0)
    assert blas_threads() == before
    assert sum(get_workers().run(lambda part: part, EIGHT)) == 28


def test_after_an_error_nobody_starts_another_part_and_all_have_stopped(set_threads):
    set_threads(3)
    started, running, meet = [], set(), threading.Barrier(3)

    def work(part):
        started.append(part)
        running.add(part)
        meet.wait(timeout=10)
        if part == 1:
            running.discard(part)
            raise ValueError("no")
        time.sleep(0.1)
        running.discard(part)

    with pytest.raises(ValueError, match="no"):
        get_workers().run(work, EIGHT)
    assert sorted(started) == [0, 1, 2]
    assert not running


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="Windows has no such signals")
def test_after_ctrl_c_no_part_is_begun_and_those_under_way_end_first(set_threads):
    set_threads(2)
    before, started, ended = blas_threads(), [], []

    def work(part):
        started.append(part)
        if part == 1:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.1)
        ended.append(part)

    with pytest.raises(KeyboardInterrupt):
        get_workers().run(work, EIGHT)
    assert len(started) <= 4
    assert sorted(ended) == sorted(started)
    assert blas_threads() == before
    assert sum(get_workers().run(lambda part: part, EIGHT)) == 28


INTERRUPTS = """
import random, signal, sys
import numpy as np
from threadpoolctl import threadpool_info
from minitorch_alexnet import SGD, Graph, SoftmaxCrossEntropy, set_threads
from minitorch_alexnet.layers import Conv2d, Dropout, Flatten, Linear, ReLU

def interrupt(*_):
    raise KeyboardInterrupt

def step():
    value = loss.forward(net.forward(images), labels)
    net.backward(loss.backward())
    sgd.step()
    return value

def blas():
    return [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]

signal.signal(signal.SIGALRM, interrupt)
set_threads(2)
layers = [Conv2d(1, 4, 3), ReLU(), Flatten(), Linear(144, 300), Dropout(0.5), Linear(300, 5)]
net = Graph.of((1, 8, 8), layers)
loss, sgd = SoftmaxCrossEntropy(), SGD(net.named_parameters(), lr=1e-3)
rng, before = np.random.default_rng(0), blas()
images, labels = rng.standard_normal((16, 1, 8, 8), np.float32), rng.integers(0, 5, 16)
first, seen = step(), 0
random.seed(int(sys.argv[2]))
for _ in range(int(sys.argv[1])):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 6e-3))
        while True:
            step()
    except KeyboardInterrupt:
        seen += 1
    assert blas() == before, (blas(), before)
    assert 0 < step() < 2 * first
print(seen)
"""


def interrupted(count, timeout):
    command = [sys.executable, "-W", "error", "-c", INTERRUPTS, str(count), "1"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert told.stderr == ""
    assert told.stdout == f"{count}\n"


needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer")


@needs_timer
def test_interrupts_at_random_moments_leave_the_next_step_working():
    interrupted(50, timeout=60)


@pytest.mark.slow
@needs_timer
def test_3000_interrupts():
    interrupted(3000, timeout=300)


# ---- the process it lives in -------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_workers_of_its_own(set_threads):
    set_threads(2)
    assert sum(get_workers().run(lambda part: part, EIGHT)) == 28
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(0 if sum(get_workers().run(lambda part: part, EIGHT)) == 28 else 1)
        os._exit(2)
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


def in_a_process_of_its_own(text):
    command = [sys.executable, "-W", "error", "-c", text]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_neither_import_nor_a_step_changes_the_process():
    text = """
import os, signal, sys, threading
import numpy as np
from threadpoolctl import threadpool_info

def settings():
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    handlers = [signal.getsignal(s) for s in signal.valid_signals()]
    blas = [(i["filepath"], i["num_threads"]) for i in threadpool_info()]
    seed = np.random.get_state()[1].tolist()
    return affinity, handlers, blas, seed, dict(os.environ), np.geterr(), sys.getswitchinterval()

np.ones((9, 9)) @ np.ones((9, 9))
before = settings()
from minitorch_alexnet import SoftmaxCrossEntropy, build
assert settings() == before
assert threading.active_count() == 1
net, loss = build("fashion"), SoftmaxCrossEntropy()
loss.forward(net.forward(np.zeros((9, 1, 28, 28), np.float32)), [0] * 9)
net.backward(loss.backward())
assert settings() == before
print("the same")
"""
    assert in_a_process_of_its_own(text) == ["the", "same"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc's settings are glibc's")
def test_freed_memory_goes_back_unless_one_asks_to_keep_it():
    text = """
import resource
import numpy as np
from minitorch_alexnet import Graph, keep_freed_memory
from minitorch_alexnet.layers import Conv2d

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(40 * 2**20, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages()
fresh = pages()
Graph.of((1, 9, 9), [Conv2d(1, 2, 3)])(np.zeros((16, 1, 9, 9), np.float32))
pages()
after_a_forward = pages()
keep_freed_memory()
pages()
print(fresh, after_a_forward, pages())
"""
    fresh, after_a_forward, reused = map(int, in_a_process_of_its_own(text))
    assert min(fresh, after_a_forward) >= 10
    assert reused < fresh / 5


def test_a_net_may_stand_in_a_layer(set_threads):
    """On a helper, too, for whom the conductor waits."""
    inner = Graph.of((1, 4, 4), [Conv2d(1, 2, 3)])
    both = threading.Barrier(2, timeout=10)  # the conductor and its helper are at a part each

    class Net(Layer):
        def output_shape(self, shape):
            return (2, 2, 2)

        def forward(self, x, train=True):
            if next(calls) < 2:
                both.wait()
            return inner(x), None

    calls = itertools.count()
    set_threads(2)
    outer = Graph.of((1, 4, 4), [Net()])
    x = np.random.default_rng(0).standard_normal((64, 1, 4, 4), dtype=np.float32)
    found: list = []
    asking = threading.Thread(target=lambda: found.append(outer(x)), daemon=True)
    asking.start()
    asking.join(30)
    assert found, "each waits for the other"
    np.testing.assert_array_equal(found[0], inner(x))


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", None])
def test_threads_are_a_whole_number(threads, set_threads):
    with pytest.raises(UserError, match="number of threads must be at least 1"):
        set_threads(threads)
