"""Arrays become a data set only if images, labels and names fit; its statistics against NumPy."""

import copy
import re
import tracemalloc

import numpy as np
import pytest

from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.brought import BY_VALUE
from minitorch_alexnet.data.transforms import Normalize
from minitorch_alexnet.device import Device
from minitorch_alexnet.errors import DataError


def images(*shape, dtype=np.uint8):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_keeps_images_and_labels(dtype):
    x, y = images(4, 3, 5, 6, dtype=dtype), np.array([2, 0, 1, 2], np.uint8)
    dataset = ArrayDataset(x, y)
    np.testing.assert_array_equal(dataset.images, x)
    assert dataset.images.dtype == dtype
    np.testing.assert_array_equal(dataset.labels, [2, 0, 1, 2])
    assert dataset.labels.dtype == np.int64
    assert dataset.class_names == ("0", "1", "2")
    assert (len(dataset), dataset.num_classes) == (4, 3)


def test_images_of_three_dimensions_gain_a_channel():
    x = images(4, 5, 6)
    dataset = ArrayDataset(x, np.zeros(4, int))
    assert dataset.images.shape == (4, 1, 5, 6)
    np.testing.assert_array_equal(dataset.images[:, 0], x)


def test_class_names_set_the_number_of_classes():
    dataset = ArrayDataset(images(2, 5, 5), np.array([0, 1]), ["a", "b", "never seen"])
    assert dataset.class_names == ("a", "b", "never seen")
    assert dataset.num_classes == 3


GOOD = {
    "images": images(4, 1, 5, 5),
    "labels": np.array([0, 1, 2, 1]),
    "class_names": ["a", "b", "c"],
}
BAD = [
    ({"images": images(20, 5)}, "(N, C, H, W) or (N, H, W), got shape (20, 5)"),
    ({"images": images(1, 4, 1, 5, 5)}, "got shape (1, 4, 1, 5, 5)"),
    ({"images": images(4, 1, 5, 5, dtype=np.int64)}, "uint8 or floating point, got int64"),
    ({"images": images(4, 1, 5, 5, dtype=np.int8)}, "got int8"),
    ({"images": images(4, 1, 5, 5, dtype=bool)}, "got bool"),
    ({"images": images(4, 1, 5, 5, dtype=complex)}, "got complex128"),
    ({"labels": np.array([0, 1, 2])}, "one integer an image, (4,), got shape (3,)"),
    ({"labels": np.zeros((4, 1), int)}, "(4,), got shape (4, 1)"),
    ({"labels": np.array(1)}, "(4,), got shape ()"),
    ({"labels": np.array([0.0, 1.0, 2.0, 1.0])}, "labels must be integers, got float64"),
    ({"labels": np.array(list("abca"))}, "labels must be integers, got <U1"),
    ({"labels": np.array([0, 1, 3, 1])}, "label 3 is outside 0…2 (3 classes)"),
    ({"labels": np.array([0, -1, 2, 1])}, "label -1 is outside 0…2 (3 classes)"),
    ({"labels": np.array([0, -2, 9, 1]), "class_names": None}, "4 different ones in -2…9"),
    ({"images": images(4, 5, 5, 3)}, "got shape (4, 5, 5, 3): images.transpose(0, 3, 1, 2)"),
    ({"images": images(9, 9, 3)}, "got shape (9, 9, 3): images.transpose(2, 0, 1)[None]"),
    ({"images": images(5, 5, 4)}, "for 4 labels: images.transpose(2, 0, 1)"),
    ({"images": images(5, 5, 3, 4)}, "for 4 labels: images.transpose(3, 2, 0, 1)"),
    ({"images": images(5, 5), "labels": 0}, "images[None] if they are one"),
    ({"images": images(3, 5, 5), "labels": [0]}, "images[None] if they are one"),
    ({"images": images(4, 0, 5)}, "must have pixels"),
    ({"images": [np.zeros((5, 5))] * 3 + [np.zeros((5, 6))]}, "one size, then np.stack"),
    ({"images": np.array([None] * 4)}, "one size, then np.stack"),
    ({"images": np.ma.masked_equal(images(4, 5, 5), 3)}, "masked"),
    ({"images": images(4, 1, 5, 5, dtype=np.int32)}, ": images.astype(np.uint8)"),
    ({"images": images(4, 1, 5, 5, dtype=np.int16) - 1}, ": images.astype(np.float32)"),
    ({"images": images(4, 1, 5, 5, dtype=np.uint16) + 200}, ": images.astype(np.float32)"),
    ({"images": images(4, 1, 5, 5, dtype=bool)}, ": images.astype(np.float32)"),
    ({"labels": [[0], [1], [2], [1]]}, ": np.ravel(labels)"),
    ({"labels": np.eye(3)[[0, 1, 2, 1]]}, ": np.argmax(labels, axis=1)"),
    ({"labels": [0.0, 1.0, 2.0, 1.0]}, ": labels.astype(int)"),
    ({"labels": [True, False, True, True]}, ": labels.astype(int)"),
    ({"labels": [0.0, 1.0, np.nan, 1.0]}, "leave out the images whose label is nan"),
    ({"labels": [0.0, 1.0, np.inf, 1.0]}, "np.unique(labels, return_inverse=True)"),
    ({"labels": [0.0, 1.0, 1e300, 1.0]}, "np.unique(labels, return_inverse=True)"),
    ({"labels": None}, "labels must be an array, got None"),
    ({"labels": {0, 1, 2}}, "labels must be an array, got a set"),
    ({"labels": iter([0, 1, 2, 1])}, "labels must be an array, got a list_iterator"),
    ({"images": "photo.jpg"}, "images must be an array, got a str"),
    ({"labels": [0.5, 1.0, 2.0, 1.0]}, "np.unique(labels, return_inverse=True)"),
    ({"labels": np.array(list("abca"), object)}, "np.unique(labels, return_inverse=True)"),
    ({"labels": [[0], [1, 2], 2, 1]}, "got shape (0,)"),
    ({"labels": [1, 2, 3, 1]}, "(3 classes): these count from 1: labels - 1"),
    ({"labels": [0, 1, 2, 255]}, "label 255 is outside 0…2 (3 classes): leave those images out"),
    ({"class_names": "abc"}, "must be a list of names, in the order"),
    ({"class_names": {0: "a", 1: "b", 2: "c"}}, "must be a list of names, in the order"),
    ({"class_names": {"a", "b", "c"}}, "must be a list of names, in the order"),
    ({"class_names": 3}, "must be a list of names, in the order"),
    ({"class_names": []}, "must name each class, got none"),
    ({"class_names": ["a", "b", "a"]}, "must differ, got 'a' 2 times"),
    ({"class_names": [b"a", b"b", b"c"]}, "must be text, a name a class, got b'a'"),
    ({"class_names": ["a", "b", None]}, "must be text, a name a class, got None"),
    ({"class_names": np.array([["a", "b", "c"]])}, "must be text, a name a class"),
    ({"images": images(0, 1, 5, 5), "labels": np.zeros(0, int)}, "at least one image, got none"),
    ({"images": [], "labels": []}, "got shape (0,)"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_refuses(change, message):
    with pytest.raises(DataError) as error:
        ArrayDataset(**GOOD | change)
    assert message in str(error.value)


def test_other_libraries_say_themselves_why_theirs_is_no_array():
    class Elsewhere:
        def __array__(self, *arguments, **options):
            raise TypeError("it is on a GPU: use .get()")

    for brought in {"images": Elsewhere()}, {"labels": Elsewhere()}:
        with pytest.raises(DataError, match=r"it is on a GPU: use .get\(\)"):
            ArrayDataset(**GOOD | brought)


# ---- labels of all kinds ---------------------------------------------------------------------

LABELS = {
    "from 1": ([1, 2, 10, 9, 8, 7, 6, 5, 4, 3], "labels - 1"),
    "one class, not the first": ([1] * 10, "labels - 1"),
    "gaps": ([10, 20, 30, 10, 20, 30, 10, 20, 30, 10], "np.unique(labels, return_inverse=True)"),
    "unknown": ([0, 1, 2, 255, 0, 1, 2, 255, 0, 1], "labels != 255"),
    "unknown, below": ([0, 1, 2, -1, 0, 1, 2, -1, 0, 1], "labels != -1"),
    "signs": ([-1, 1] * 5, "np.unique(labels, return_inverse=True)"),
    "ids": ([3_000_000, 3_000_001] * 5, "np.unique(labels, return_inverse=True)"),
    "a class without an image": ([0, 1, 3, 4] * 2 + [0, 1], "class_names"),
}


@pytest.mark.parametrize(("labels", "way"), LABELS.values(), ids=LABELS)
def test_without_names_labels_leave_no_class_out(labels, way):
    x = images(10, 5, 5)
    with pytest.raises(DataError) as error:
        ArrayDataset(x, np.array(labels))
    assert way in str(error.value)
    names, numbers = np.unique(labels, return_inverse=True)
    dataset = ArrayDataset(x, numbers, names)  # the way out
    assert [int(dataset.class_names[label]) for label in dataset.labels] == labels


@pytest.mark.parametrize(
    "labels",
    [[0.5, 1.5, 0.5], [b"b", b"a", b"b"], ["a", "b", "c"], np.array(["2020-01-01"] * 3, "M8[D]")],
    ids=["floats", "bytes", "texts", "days"],
)
def test_the_way_out_for_values_leads_there(labels):
    labels = np.array(labels)
    with pytest.raises(DataError, match=re.escape(BY_VALUE)):
        ArrayDataset(images(3, 5, 5), labels)
    said: dict = {"np": np, "labels": labels}
    way, _, names = BY_VALUE.partition(", and class_names=")
    exec(way, said)
    dataset = ArrayDataset(images(3, 5, 5), said["labels"], eval(names, said))
    assert [dataset.class_names[label] for label in dataset.labels] == labels.astype(str).tolist()


@pytest.mark.parametrize(
    "names",
    [("a", "b", "c"), np.array(["a", "b", "c"]), np.array(["a", "b", "c"], object), iter("abc")],
    ids=["tuple", "array", "object array", "iterator"],
)
def test_names_as_they_come(names):
    dataset = ArrayDataset(**GOOD | {"class_names": names})
    assert dataset.class_names == ("a", "b", "c")
    assert {type(name) for name in dataset.class_names} == {str}


@pytest.mark.parametrize("index", [slice(1, 3), np.array([2, 0, 2])], ids=["slice", "array"])
def test_subset_picks_and_keeps_the_classes(index):
    dataset = ArrayDataset(**GOOD)
    part = dataset.subset(index)
    np.testing.assert_array_equal(part.images, GOOD["images"][index])
    np.testing.assert_array_equal(part.labels, GOOD["labels"][index])
    assert part.class_names == ("a", "b", "c")  # even those that are not in it


def test_an_empty_subset_is_refused():
    with pytest.raises(DataError, match="at least one image, got none"):
        ArrayDataset(**GOOD).subset(slice(2, 2))


# ---- subsets, without a copy -------------------------------------------------------------------

INDICES = {
    "slice": slice(3, 17, 2),
    "integers": np.array([7, 0, 7, 19]),
    "list": [4, 2, 9],
    "mask": np.arange(20) % 3 == 0,
    "backwards": slice(None, None, -1),
}


@pytest.mark.parametrize("first", INDICES.values(), ids=INDICES)
@pytest.mark.parametrize("second", [slice(1, None), np.array([1, 0, 1])], ids=["slice", "array"])
def test_a_subset_of_a_subset_is_what_numpy_picks(first, second):
    x, y = images(20, 2, 3, 4), np.arange(20) % 5
    once = ArrayDataset(x, y).subset(first)
    for part, mine, labels in (
        (once, x[first], y[first]),
        (once.subset(second), x[first][second], y[first][second]),
    ):
        np.testing.assert_array_equal(part.labels, labels)
        np.testing.assert_array_equal(part.images, mine)
        np.testing.assert_array_equal(np.stack(list(part.images)), mine)
        assert (part.images.shape, part.images.dtype, part.images.ndim) == (mine.shape, "u1", 4)
        assert len(part.images) == len(part) == len(mine)
        for index in 1, -1, slice(0, 2), [1, 0], labels == labels[0], ..., np.s_[:, 1], np.s_[0, 0]:
            np.testing.assert_array_equal(part.images[index], mine[index])
        np.testing.assert_allclose(part.mean, mine.mean(axis=0))


def test_whatever_else_arrays_can_do_the_images_of_a_subset_can():
    x = images(20, 2, 3, 4)
    part, mine = ArrayDataset(x, np.arange(20) % 5).subset([3, 4]).images, x[[3, 4]]
    assert part.reshape(2, -1).shape == (2, 24)
    assert part.max() == mine.max()
    np.testing.assert_array_equal(part / 255, mine / 255)
    np.testing.assert_array_equal(x[0] - part, x[0] - mine)
    np.testing.assert_array_equal(np.add.reduce(part), mine.sum(axis=0, dtype=np.uint64))
    np.testing.assert_array_equal(np.asarray(part, np.float32), mine)
    np.testing.assert_array_equal(copy.copy(part), mine)
    with pytest.raises(AttributeError):
        part._nothing  # noqa: B018


def test_a_subset_keeps_names_and_scale_of_the_whole():
    dataset = ArrayDataset(np.linspace(0, 1, 100).reshape(4, 1, 5, 5), [0, 1, 2, 1])
    part = dataset.subset([0])
    assert (part.class_names, part.span, part.labels.tolist()) == (("0", "1", "2"), (0, 1), [0])


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_no_copy_is_made_of_a_large_set(kind, tmp_path):
    """Neither taking it, nor splitting it, nor its statistics hold a tenth of it."""
    x = np.random.default_rng(0).random((400, 1, 64, 64), np.float32)
    np.save(tmp_path / "x.npy", x)
    if kind == "disk":
        x = np.load(tmp_path / "x.npy", mmap_mode="r")
    order = np.random.default_rng(1).permutation(400)
    tracemalloc.start()
    whole = ArrayDataset(x, np.arange(400) % 3)
    parts = whole.subset(order[40:]), whole.subset(order[:40])
    _ = [(part.mean, part.deviation, part.covariance) for part in (whole, *parts)]
    parts[0].images[np.arange(8)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes / 10
    assert np.shares_memory(whole.images, x)


# ---- what the pixels are like ----------------------------------------------------------------


def correlated_pictures(c, dtype, n=40):
    """Images whose channels go together and whose pixels have means of their own."""
    rng = np.random.default_rng(c)
    x = rng.normal(size=(n, c, 5, 6))
    x = 120 + 20 * (x + 1.5 * x.mean(axis=1, keepdims=True) + rng.normal(size=(c, 5, 6)))
    return x.clip(0, 255).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("c", [1, 3])
def test_mean_deviation_and_covariance(c, dtype):
    x = correlated_pictures(c, dtype)
    dataset = ArrayDataset(x, np.zeros(len(x), int))
    exact = x.astype(np.float64)
    assert dataset.mean.shape == (c, 5, 6)
    np.testing.assert_allclose(dataset.mean, exact.mean(axis=0), rtol=1e-12)
    deviation = np.sqrt(((exact - exact.mean(axis=0)) ** 2).mean())
    assert dataset.deviation == pytest.approx(deviation, rel=1e-12)
    assert isinstance(dataset.deviation, float)
    colours = exact.transpose(1, 0, 2, 3).reshape(c, -1)  # (C, N·H·W)
    expected = np.cov(colours, bias=True).reshape(c, c)
    np.testing.assert_allclose(dataset.covariance, expected, rtol=1e-10)
    np.testing.assert_array_equal(dataset.images, x)


def test_covariance_of_large_and_close_values_keeps_its_digits():
    x = 1e6 + np.random.default_rng(0).normal(size=(30, 3, 5, 6))
    covariance = ArrayDataset(x, np.zeros(30, int)).covariance
    expected = np.cov(x.transpose(1, 0, 2, 3).reshape(3, -1), bias=True)
    np.testing.assert_allclose(covariance, expected, atol=1e-8)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_of_constant_images_the_deviation_is_1_so_that_nothing_is_divided_by_zero(value):
    dataset = ArrayDataset(np.full((9, 3, 4, 4), value, np.uint8), np.zeros(9, int))
    assert dataset.deviation == 1
    np.testing.assert_array_equal(dataset.covariance, np.zeros((3, 3)))
    np.testing.assert_array_equal(dataset.mean, np.full((3, 4, 4), value))


def test_normalized_by_its_own_mean_and_deviation_a_set_has_mean_0_and_deviation_1():
    dataset = ArrayDataset(correlated_pictures(3, np.uint8), np.zeros(40, int))
    x = Normalize(dataset.mean, dataset.deviation)(dataset.images, Device()).astype(np.float64)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-5)
    assert x.std() == pytest.approx(1, rel=1e-6)


def test_a_subset_has_a_mean_of_its_own():
    dataset = ArrayDataset(correlated_pictures(1, np.uint8), np.zeros(40, int))
    assert dataset.mean is dataset.mean  # worked out once
    part = dataset.subset(slice(0, 7))
    np.testing.assert_allclose(part.mean, dataset.images[:7].mean(axis=0), rtol=1e-12)
