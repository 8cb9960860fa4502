"""The drawn data set: repeatable, balanced, varied, and neither too easy nor too hard."""

import numpy as np
import pytest

from minitorch_alexnet.data import silhouettes
from minitorch_alexnet.data.fashion_mnist import CLASS_NAMES
from minitorch_alexnet.errors import DataError


@pytest.fixture(scope="module")
def train():
    return silhouettes.load("train", count=2000)


def test_the_same_seed_gives_the_same_bits_whatever_the_global_random_state():
    first = silhouettes.load("train", seed=3, count=50)
    np.random.seed(1)  # noqa: NPY002 - the global state must not matter
    again = silhouettes.load("train", seed=3, count=50)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)


@pytest.mark.parametrize(("split", "seed"), [("train", 1), ("test", 0)])
def test_another_seed_or_split_gives_other_images_in_another_order(split, seed):
    first = silhouettes.load("train", seed=0, count=100)
    other = silhouettes.load(split, seed=seed, count=100)
    seen = {image.tobytes() for image in first.images}
    assert not any(image.tobytes() in seen for image in other.images)
    assert (first.labels != other.labels).any()


def test_shapes_dtypes_and_names(train):
    assert train.images.shape == (2000, 1, 28, 28)
    assert train.images.dtype == np.uint8
    assert train.labels.shape == (2000,)
    assert train.labels.dtype == np.int64
    assert train.class_names == CLASS_NAMES


def test_every_class_has_its_garment_in_the_order_of_the_names():
    names = [name.lower().replace("-", "_").replace(" ", "_") for name in CLASS_NAMES]
    garments = [garment.__name__ for garment in silhouettes.GARMENTS]
    assert garments == [name.removesuffix("/top") for name in names]


def test_the_test_split_has_its_full_size_by_default():
    test = silhouettes.load("test")
    assert len(test) == silhouettes.SPLITS["test"] == 2000
    np.testing.assert_array_equal(np.bincount(test.labels), np.full(10, 200))


def test_classes_are_balanced_and_shuffled(train):
    np.testing.assert_array_equal(np.bincount(train.labels), np.full(10, 200))
    assert len(np.unique(train.labels[:100])) == 10
    assert (np.diff(train.labels) < 0).mean() > 0.3  # sorted: 0; one class after another: 0.1
    uneven = silhouettes.load("test", count=23)
    assert set(np.bincount(uneven.labels, minlength=10)) == {2, 3}


@pytest.mark.parametrize("label", range(10), ids=CLASS_NAMES)
def test_images_are_bright_garments_on_black_and_all_differ(train, label):
    images = train.images[train.labels == label, 0]
    assert len({image.tobytes() for image in images}) == len(images)
    garment = (images > 64).mean(axis=(1, 2))
    assert 0.05 < np.median(garment) < 0.6
    assert garment.max() < 0.9  # never a canvas full of cloth
    assert (images.max(axis=(1, 2)) > 64).all()  # never blank
    assert (images == 255).mean() < 0.15  # not washed out
    assert images[:, :2].mean() < 20  # the margin is black, but for noise and a few long garments
    assert images.std(axis=0).mean() > 20  # the class is no single picture


def accuracy_of_least_squares(train, test):
    """A linear classifier: ridge regression from centred pixels to one-hot labels."""
    pixels = train.images.reshape(len(train), -1) / 255
    mean = pixels.mean(axis=0)
    pixels -= mean
    gram = pixels.T @ pixels + 30 * np.eye(pixels.shape[1])
    weights = np.linalg.solve(gram, pixels.T @ (np.eye(10)[train.labels] - 0.1))
    scores = (test.images.reshape(len(test), -1) / 255 - mean) @ weights
    return (scores.argmax(axis=1) == test.labels).mean()


def test_a_linear_classifier_learns_something_but_not_everything(train):
    test = silhouettes.load("test", count=1000)
    assert 0.4 < accuracy_of_least_squares(train, test) < 0.65


def test_poses_flip_turn_scale_and_shift():
    rng = np.random.default_rng(0)
    square = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    poses = np.stack([silhouettes.pose(square, rng) for _ in range(200)])
    across, down = (poses[:, 1] - poses[:, 0]).T  # where the square's upper edge has gone
    assert 0.3 < (across > 0).mean() < 0.7
    assert 0.1 < np.std(down / across) < 0.3
    assert np.std(np.hypot(across, down)) > 0.05 * silhouettes.CANVAS
    centres = poses.mean(axis=1)
    np.testing.assert_allclose(centres.mean(axis=0), silhouettes.CANVAS / 2, atol=2)
    assert (centres.std(axis=0) > 0.04 * silhouettes.CANVAS).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"split": "valid"}, "split must be"), ({"split": "test", "count": 0}, "count must be")],
)
def test_wrong_arguments_are_told(arguments, message):
    with pytest.raises(DataError, match=message):
        silhouettes.load(**arguments)
