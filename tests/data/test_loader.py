"""Every image once an epoch, in an order that can be had again, and no thread left behind."""

import threading
import types
import weakref
from itertools import pairwise

import numpy as np
import pytest

from minitorch_alexnet.data import loader as loader_module
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.image_folder import ImageFolder, Shards
from minitorch_alexnet.data.loader import AHEAD, Loader
from minitorch_alexnet.data.transforms import ColourNoise, CropAndFlip, Normalize, View
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


def test_images_are_normalized():
    normalize = Normalize(np.full((1, 3, 4), 3.0), scale=2)
    for x, y in Loader(dataset(), 5, normalize):
        np.testing.assert_array_equal(x[:, 0, 0, 0], (y + 1 - 3) / 2)


def photos(n=N, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 8, 7), np.uint8)


COVARIANCE = np.array([[900.0, 500, 100], [500, 800, 300], [100, 300, 700]])
MEAN = np.random.default_rng(1).uniform(0, 255, (3, 8, 7))


def colourful(data, batch_size=5, seed=2):
    """Shuffled, cropped at random and shifted in colour."""
    crop, colour = CropAndFlip(3, (5, 4)), ColourNoise(4, COVARIANCE)
    return Loader(data, batch_size, Normalize(MEAN, 50), seed=seed, crop=crop, colour=colour)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_crop_and_colour_are_those_of_the_image_however_shuffled(batch_size):
    images = photos()
    for x, labels in colourful(ArrayDataset(images, np.arange(N)), batch_size).epoch(6):
        assert (x.shape, x.dtype) == ((len(labels), 3, 5, 4), np.float32)
        for pixels, i in zip(x, labels, strict=True):
            one = np.array([i])
            part = CropAndFlip(3, (5, 4))(images[one], 6, one, N)[0]
            shift = ColourNoise(4, COVARIANCE)(6, one, N)[0]
            expected = (part - MEAN[:, 1:6, 1:5] + shift) / 50
            np.testing.assert_allclose(pixels, expected, rtol=1e-4, atol=1e-5)


def test_colour_shifts_all_pixels_of_an_image_alike_and_anew_each_epoch():
    data = ArrayDataset(photos(), np.arange(N))
    plain = Loader(data, 5, Normalize(MEAN))
    shifted = Loader(data, 5, Normalize(MEAN), colour=ColourNoise(4, COVARIANCE))
    found = []
    for epoch in range(2):
        pairs = zip(shifted.epoch(epoch), plain.epoch(epoch), strict=True)
        shifts = np.concatenate([x - y for (x, _), (y, _) in pairs])
        np.testing.assert_allclose(shifts, shifts[..., :1, :1] + 0 * shifts, atol=1e-4)
        found.extend(shifts[:, 0, 0, 0].round(2))
    assert len(set(found)) > 0.9 * 2 * N


@pytest.mark.parametrize("start", [0, 1, 3, 4, 5])
def test_start_goes_on_with_identical_batches(start):
    def batches(start):
        data = ArrayDataset(photos(), np.arange(N))
        return list(colourful(data).epoch(3, start=start))

    whole, rest = batches(0), batches(start)
    assert len(rest) == len(whole) - start
    for (x, y), (x_again, y_again) in zip(whole[start:], rest, strict=True):
        np.testing.assert_array_equal(x, x_again)
        np.testing.assert_array_equal(y, y_again)


@pytest.mark.parametrize("flip", [False, True])
def test_a_view_shows_that_part_of_every_image(flip):
    images = photos()
    loading = Loader(
        ArrayDataset(images, np.arange(N)), 5, Normalize(MEAN), seed=1, crop=View(3, 0, 5, 4, flip)
    )
    for x, labels in loading:
        part = images[labels, :, 3:, :4]
        expected = (np.flip(part, axis=3) if flip else part) - MEAN[:, 1:6, 1:5]
        np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-4)


def test_crop_is_told_epoch_indices_and_total():
    told = []

    def crop(images, epoch, index, total):
        told.append((images[:, 0, 0, 0].tolist(), epoch, index.tolist(), total))
        return images + 100

    batches = list(loader(seed=0, crop=crop).epoch(6))
    assert [(index, epoch, total) for _, epoch, index, total in told] == [
        (labels.tolist(), 6, N) for _, labels in batches
    ]
    assert all(pixels == [i + 1 for i in index] for pixels, _, index, _ in told)
    assert all((x[:, 0, 0, 0] == y + 101).all() for x, y in batches)


# ---- images on disk --------------------------------------------------------------------------


def image_folder(images, n=N):
    """A data set of what stands for images on disk; image i's label is i."""
    return ImageFolder(images, np.arange(n), tuple(map(str, range(n))), MEAN, 50.0, COVARIANCE)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
@pytest.mark.parametrize("seed", [None, 2])
@pytest.mark.parametrize("ends", [[0, 0, 4, 5, 16, N], [0, 9, 9, N], [0, N]])  # some are empty
def test_a_folder_in_shards_gives_what_the_same_arrays_give(batch_size, seed, ends):
    images = photos()
    shards = Shards([images[a:b] for a, b in pairwise(ends)])
    folder, arrays = image_folder(shards), ArrayDataset(images, np.arange(N))
    chosen = np.random.default_rng(0).permutation(N)[:17]
    for ours, theirs in ((folder, arrays), (folder.subset(chosen), arrays.subset(chosen))):
        pair = (colourful(data, batch_size, seed) for data in (ours, theirs))
        for (x, y), (x_wanted, y_wanted) in zip(*pair, strict=True):
            np.testing.assert_array_equal(y, y_wanted)
            np.testing.assert_array_equal(x, x_wanted)


class OnDisk:
    """Images that cannot be had all at once; remembers how many batches were held at a time."""

    def __init__(self, images):
        self._images, self.batches, self.most = images, [], 0

    def __array__(self, *args, **kwargs):
        raise AssertionError("all images were asked for at once")

    def __getitem__(self, index):
        batch = self._images[index]
        self.batches.append(weakref.ref(batch))
        self.most = max(self.most, sum(held() is not None for held in self.batches))
        return batch


def test_no_more_is_held_in_memory_than_is_read_ahead():
    images = OnDisk(photos(100))
    for crop in (CropAndFlip(0, (5, 4)), View(0, 0, 5, 4), None):
        for _ in Loader(image_folder(images, 100), 2, Normalize(MEAN), seed=0, crop=crop):
            assert images.most <= AHEAD + 2
    assert len(images.batches) == 3 * 50


# ---- reading ahead ---------------------------------------------------------------------------


class SlowImages:
    """Images of which a batch takes 3 s to read, on a clock that stands still otherwise.

    Reading begins when somebody looks at the clock to see how long it takes, and not before.
    """

    def __init__(self, images):
        self._images, self.time, self.looks = images, 0.0, 0
        self._may_read = threading.Semaphore(0)

    def perf_counter(self):
        self.looks += 1
        if self.looks % 2:
            self._may_read.release()
        return self.time

    def __getitem__(self, index):
        assert self._may_read.acquire(timeout=10)
        self.time += 3
        return self._images[index]


def test_waited_sums_up_what_the_iterating_one_waited_for_images(monkeypatch):
    clock = SlowImages(photos())
    monkeypatch.setattr(loader_module, "time", clock)
    loading = Loader(image_folder(clock), 5, Normalize(MEAN), seed=0)
    assert loading.waited == 0
    for epoch in range(2):
        for i, _ in enumerate(loading.epoch(epoch), 1):
            assert loading.waited == 3 * (5 * epoch + i)
            clock.time += 1000  # the net at work


def test_what_was_read_while_the_net_worked_is_not_waited_for(monkeypatch):
    clock, read = types.SimpleNamespace(time=0.0), threading.Semaphore(0)
    clock.perf_counter = lambda: clock.time
    monkeypatch.setattr(loader_module, "time", clock)

    def crop(images, epoch, index, total):
        clock.time += 3
        read.release()
        return images

    loading = loader(-(-N // (AHEAD + 1)), crop=crop)
    batches = loading.epoch(0)
    next(batches)
    for _ in range(AHEAD + 1):
        assert read.acquire(timeout=10)  # now all of the epoch has been read
    waited = loading.waited
    assert len(list(batches)) == AHEAD
    assert loading.waited == waited


def test_reads_only_so_far_ahead():
    picked = []

    def crop(images, epoch, index, total):
        picked.append(len(index))
        return images

    batches = loader(1, crop=crop).epoch(0)
    next(batches)
    batches.close()
    assert 2 <= len(picked) <= AHEAD + 2  # that one, the next, and those made ready


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
def test_an_exception_in_crop_reaches_the_consumer(bad):
    def crop(images, epoch, index, total):
        if bad * 5 in index:
            raise ZeroDivisionError("planted")
        return images

    seen = []
    with pytest.raises(ZeroDivisionError, match="planted"):
        seen.extend(labels for _, labels in loader(crop=crop))
    assert loader_threads() == []


@pytest.mark.parametrize("bad", [0, -3])
def test_batch_size_below_1(bad):
    with pytest.raises(UserError, match=f"batch size must be a whole number from 1, got {bad}"):
        loader(bad)


def test_unknown_device():
    with pytest.raises(UserError, match="unknown device 'tpu'"):
        loader(device="tpu")


def test_each_iteration_is_the_next_epoch():
    batches = loader(seed=3)
    for epoch in range(3):
        assert order(batches) == order(loader(seed=3).epoch(epoch))
    assert order(batches) != order(batches)
