"""Arrays become a data set only if images, labels and names fit together."""

import numpy as np
import pytest

from minitorch_alexnet.data.arrays import ArrayDataset
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


GOOD = {"images": images(4, 1, 5, 5), "labels": np.array([0, 1, 2, 1]), "class_names": "abc"}
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
    ({"labels": np.array([0, -2, 9, 1]), "class_names": ()}, "label -2 is outside 0…9"),
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
