"""Every image once an epoch, in an order that can be had again, and no thread left behind."""

import threading

import numpy as np
import pytest

from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.loader import AHEAD, Loader
from minitorch_alexnet.data.transforms import FlipAndShift, Normalize
from minitorch_alexnet.errors import UserError

N = 23
AS_IT_IS = Normalize(np.zeros((1, 3, 4)))


def dataset(n=N):
    """Image i is full of i + 1, and so is its label of i."""
    images = np.repeat(np.arange(1, n + 1, dtype=np.uint8), 12).reshape(n, 1, 3, 4)
    return ArrayDataset(images, np.arange(n))


def loader(batch_size=5, **options):
    return Loader(dataset(), batch_size, AS_IT_IS, **options)


def order(batches):
    return np.concatenate([labels for _, labels in batches]).tolist()


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("loader")]


@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
@pytest.mark.parametrize("seed", [None, 0])
def test_every_image_comes_once_with_its_label(batch_size, seed):
    batches = list(loader(batch_size, seed=seed).epoch(4))
    assert sorted(order(batches)) == list(range(N))
    for images, labels in batches:
        expected = np.broadcast_to(labels[:, None, None, None] + 1, (len(labels), 1, 3, 4))
        np.testing.assert_array_equal(images, expected)
        assert images.dtype == np.float32


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(5, [5, 5, 5, 5, 3]), (23, [23]), (22, [22, 1]), (100, [23]), (1, [1] * 23)],
)
def test_the_last_batch_is_what_is_left(batch_size, sizes):
    loading = loader(batch_size, seed=1)
    assert [len(labels) for _, labels in loading.epoch(0)] == sizes
    assert len(loading) == len(sizes)


def test_order_depends_on_seed_and_epoch_alone():
    first = order(loader(seed=3).epoch(1))
    loading = loader(7, seed=3)
    order(loading.epoch(0))
    np.random.default_rng(0).random(100)
    assert order(loading.epoch(1)) == first  # another batch size, and after another epoch
    assert order(loading.epoch(1)) == first
    assert order(loading.epoch(2)) != first
    assert order(loader(seed=4).epoch(1)) != first


def test_no_seed_keeps_the_data_sets_order():
    assert order(loader().epoch(0)) == order(loader().epoch(5)) == list(range(N))


def test_iterating_is_epoch_0():
    assert order(loader(seed=3)) == order(loader(seed=3).epoch(0)) != list(range(N))


@pytest.mark.parametrize("start", [0, 1, 3, 4, 5])
def test_start_goes_on_with_identical_batches(start):
    def batches(start):
        return list(loader(seed=2, augment=FlipAndShift(2, 1)).epoch(3, start=start))

    whole, rest = batches(0), batches(start)
    assert len(rest) == len(whole) - start
    for (x, y), (x_again, y_again) in zip(whole[start:], rest, strict=True):
        np.testing.assert_array_equal(x, x_again)
        np.testing.assert_array_equal(y, y_again)


def test_augment_is_told_epoch_indices_and_total():
    told = []

    def augment(images, epoch, index, total):
        told.append((images[:, 0, 0, 0].tolist(), epoch, index.tolist(), total))
        return images + 100

    batches = list(loader(seed=0, augment=augment).epoch(6))
    assert [(index, epoch, total) for _, epoch, index, total in told] == [
        (labels.tolist(), 6, N) for _, labels in batches
    ]
    assert all(pixels == [i + 1 for i in index] for pixels, _, index, _ in told)
    assert all((x[:, 0, 0, 0] == y + 101).all() for x, y in batches)


def test_images_are_normalized():
    normalize = Normalize(np.full((1, 3, 4), 3.0), scale=2)
    for x, y in Loader(dataset(), 5, normalize):
        np.testing.assert_array_equal(x[:, 0, 0, 0], (y + 1 - 3) / 2)


def test_reads_only_so_far_ahead():
    picked = []

    def augment(images, epoch, index, total):
        picked.append(len(index))
        return images

    batches = loader(1, augment=augment).epoch(0)
    next(batches)
    batches.close()
    assert 1 <= len(picked) <= AHEAD + 1


@pytest.mark.parametrize("taken", [1, 3])
def test_an_abandoned_epoch_leaves_no_thread(taken):
    batches = loader(2, seed=0).epoch(0)
    for _ in range(taken):
        next(batches)
    assert loader_threads()  # it did read ahead in one
    batches.close()
    assert loader_threads() == []


def test_a_finished_epoch_leaves_no_thread():
    assert len(list(loader(2))) == 12
    assert loader_threads() == []


@pytest.mark.parametrize("bad", [0, 1, 4], ids=["first", "second", "last"])
def test_an_exception_in_augment_reaches_the_consumer(bad):
    def augment(images, epoch, index, total):
        if bad * 5 in index:
            raise ZeroDivisionError("planted")
        return images

    seen = []
    with pytest.raises(ZeroDivisionError, match="planted"):
        seen.extend(labels for _, labels in loader(augment=augment))
    assert loader_threads() == []


@pytest.mark.parametrize("bad", [0, -3])
def test_batch_size_below_1(bad):
    with pytest.raises(UserError, match=f"batch size must be at least 1, got {bad}"):
        loader(bad)


def test_unknown_device():
    with pytest.raises(UserError, match="unknown device 'tpu'"):
        loader(device="tpu")
