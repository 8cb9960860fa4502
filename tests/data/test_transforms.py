"""Normalising against NumPy in float64; flips and shifts against a loop, image by image."""

import numpy as np
import pytest

from minitorch_alexnet.data.transforms import FlipAndShift, Normalize
from minitorch_alexnet.device import Device

CPU = Device("cpu")


def pictures(n, c=1, h=7, w=6, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (n, c, h, w), np.uint8)  # no zeros


# ---- normalising -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_normalize_of_is_the_mean_image_and_the_overall_deviation(dtype):
    x = pictures(50, 3).astype(dtype)
    normalize = Normalize.of(x)
    exact = x.astype(np.float64)
    mean = exact.mean(axis=0)
    np.testing.assert_allclose(normalize.mean, mean, rtol=1e-6)
    assert normalize.mean.shape == (3, 7, 6)
    assert normalize.scale == pytest.approx(np.sqrt(((exact - mean) ** 2).mean()), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_normalize_subtracts_and_divides_in_float32(dtype):
    x = pictures(5, 2).astype(dtype)
    before = x.copy()
    normalize = Normalize(np.full((2, 7, 6), 10.0), scale=4)
    y = normalize(x, CPU)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, (before.astype(np.float64) - 10) / 4, rtol=1e-6)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(normalize(x, CPU), y)  # and the mean is as it was


def test_normalized_training_set_has_mean_0_and_deviation_1():
    x = pictures(200)
    y = Normalize.of(x)(x, CPU).astype(np.float64)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-6)
    assert y.std() == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_constant_images_are_not_divided_by_zero(value):
    x = np.full((9, 1, 4, 4), value, np.uint8)
    normalize = Normalize.of(x)
    assert normalize.scale == 1
    np.testing.assert_array_equal(normalize(x, CPU), np.zeros(x.shape))


def test_scale_1_leaves_the_range_of_the_pixels():
    x = np.array([[[[0, 255]]]], np.uint8)
    np.testing.assert_array_equal(Normalize(np.zeros((1, 1, 2)))(x, CPU), [[[[0.0, 255.0]]]])


# ---- flips and shifts ------------------------------------------------------------------------


def possible(image, reach):
    """{(flipped, down, right): the image so flipped, then shifted, zeros coming in}."""
    _, height, width = image.shape
    found = {}
    for flipped in (False, True):
        source = image[:, :, ::-1] if flipped else image
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                moved = np.zeros_like(image)
                for y in range(height):
                    for x in range(width):
                        if 0 <= y - down < height and 0 <= x - right < width:
                            moved[:, y, x] = source[:, y - down, x - right]
                found[flipped, down, right] = moved
    return found


def which(image, result, reach):
    """What befell an image: the one (flipped, down, right) that gives this result."""
    found = [k for k, moved in possible(image, reach).items() if np.array_equal(moved, result)]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(("reach", "c"), [(2, 1), (1, 3), (0, 2)])
def test_every_image_is_flipped_or_not_and_shifted_with_zeros_coming_in(reach, c):
    x = pictures(60, c)
    before = x.copy()
    y = FlipAndShift(3, reach)(x, 0, np.arange(60), 60)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    np.testing.assert_array_equal(x, before)
    for image, result in zip(x, y, strict=True):
        which(image, result, reach)  # asserts that there is one


def test_half_are_flipped_and_all_shifts_occur_equally_often_and_independently():
    image = pictures(1)[0]
    table = {moved.tobytes(): key for key, moved in possible(image, 2).items()}
    n = 5000
    y = FlipAndShift(0, reach=2)(np.repeat(image[None], n, 0), 0, np.arange(n), n)
    keys, counts = np.unique([table[r.tobytes()] for r in y], axis=0, return_counts=True)
    assert len(keys) == 2 * 5 * 5  # every combination
    assert set(keys[:, 1]) == set(keys[:, 2]) == {-2, -1, 0, 1, 2}
    assert counts.min() > 60  # of 100 expected, with a deviation of 10
    assert counts.max() < 140
    assert 0.47 < counts[keys[:, 0] == 1].sum() / n < 0.53


def test_what_befalls_an_image_depends_on_seed_epoch_and_index_alone():
    x = pictures(40)
    flip = FlipAndShift(5)
    whole = flip(x, 2, np.arange(40), 40)
    rng = np.random.default_rng(1)
    for index in (rng.permutation(40), np.array([7]), np.array([39, 3, 3]), np.arange(10, 20)):
        np.testing.assert_array_equal(flip(x[index], 2, index, 40), whole[index])
    np.testing.assert_array_equal(FlipAndShift(5)(x, 2, np.arange(40), 40), whole)


@pytest.mark.parametrize(("seed", "epoch"), [(5, 3), (6, 2)], ids=["epoch", "seed"])
def test_another_epoch_or_seed_treats_images_in_another_way(seed, epoch):
    x = pictures(40)
    one = FlipAndShift(5)(x, 2, np.arange(40), 40)
    other = FlipAndShift(seed)(x, epoch, np.arange(40), 40)
    same = (one == other).all(axis=(1, 2, 3)).mean()
    assert same < 0.2  # 1 in 50 by chance
