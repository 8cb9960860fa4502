"""Arrays become a data set only if images, labels and names fit; its statistics against NumPy."""

import numpy as np
import pytest

from minitorch_alexnet.data.arrays import ArrayDataset
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
    ({"labels": np.array([0, -2, 9, 1]), "class_names": None}, "label -2 is outside 0…9"),
    ({"images": images(0, 1, 5, 5), "labels": np.zeros(0, int)}, "at least one image, got none"),
    ({"images": [], "labels": []}, "got shape (0,)"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_refuses(change, message):
    with pytest.raises(DataError) as error:
        ArrayDataset(**GOOD | change)
    assert message in str(error.value)


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
