"""Crops against all there could be, colour shifts against a covariance, normalising in float64."""

import numpy as np
import pytest

from minitorch_alexnet.data.transforms import (
    ColourNoise,
    CropAndFlip,
    Normalize,
    View,
    centre,
    ten_crops,
)
from minitorch_alexnet.device import Device
from minitorch_alexnet.errors import ShapeError

CPU = Device("cpu")


def pictures(n, c=1, h=7, w=6, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (n, c, h, w), np.uint8)  # no zeros


# ---- normalising -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_normalize_subtracts_shifts_and_divides_in_float32(dtype):
    rng = np.random.default_rng(0)
    x = pictures(5, 2).astype(dtype)
    mean, shift = rng.uniform(0, 255, (2, 7, 6)), rng.normal(0, 30, (5, 2, 1, 1))
    before = x.copy(), mean.copy(), shift.copy()
    normalize = Normalize(mean, scale=4)
    for _ in range(2):  # the second time with the mean as it was
        for given in (None, shift, shift.astype(np.float32)):
            y = normalize(x, CPU, given)
            assert y.dtype == np.float32
            exact = (before[0].astype(np.float64) - mean + (0 if given is None else shift)) / 4
            np.testing.assert_allclose(y, exact, rtol=1e-5, atol=1e-5)
    for now, then in zip((x, mean, shift), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("place", [(0, 0), (5, 2), (3, 1)], ids=["top", "bottom", "between"])
def test_from_smaller_images_the_centre_of_the_mean_is_subtracted(place):
    mean = np.random.default_rng(1).uniform(0, 255, (3, 9, 8))
    whole, (top, left) = pictures(4, 3, 9, 8), place
    x = whole[:, :, top : top + 4, left : left + 6]
    y = Normalize(mean, 2)(x, CPU)
    np.testing.assert_allclose(y, (x - mean[:, 2:6, 1:7]) / 2, rtol=1e-4, atol=1e-4)


def test_a_scale_a_channel():
    x, mean = pictures(4, 3), np.random.default_rng(0).uniform(0, 255, (3, 7, 6))
    scale = (58.395, 57.12, 0.5)
    y = Normalize(mean, scale)(x, CPU)
    assert y.dtype == np.float32
    exact = (x - mean) / np.array(scale)[:, None, None]
    np.testing.assert_allclose(y, exact, rtol=1e-5, atol=1e-5)


def test_scale_1_leaves_the_range_of_the_pixels():
    x = np.array([[[[0, 255]]]], np.uint8)
    np.testing.assert_array_equal(Normalize(np.zeros((1, 1, 2)))(x, CPU), [[[[0.0, 255.0]]]])


# ---- parts at fixed places -------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_a_view_is_these_pixels_of_every_image_in_every_epoch(flip):
    rng = np.random.default_rng(2)
    images = pictures(3, 2, 9, 7)
    for _ in range(30):
        (top, left) = rng.integers(0, (9, 7))
        (height, width) = rng.integers(1, (10 - top, 8 - left))
        view = View(top, left, height, width, flip)
        part = view(images)
        assert part.shape == (3, 2, height, width)
        for y in range(height):
            for x in range(width):
                column = left + (width - 1 - x if flip else x)
                np.testing.assert_array_equal(part[:, :, y, x], images[:, :, top + y, column])
        np.testing.assert_array_equal(view(images, 5, np.arange(3), 3), part)
        np.testing.assert_array_equal(view(images[0]), part[0])
        assert np.shares_memory(part, images)


@pytest.mark.parametrize(
    ("shape", "part", "top", "left"),
    [
        ((256, 256), (224, 224), 16, 16),
        ((9, 6), (4, 6), 2, 0),
        ((5, 8), (5, 3), 0, 2),
        ((7, 7), (7, 7), 0, 0),
    ],
)
def test_centre(shape, part, top, left):
    assert centre(shape, part) == View(top, left, *part, flip=False)
    assert centre((10, 3, *shape), (3, *part)) == centre(shape, part)


@pytest.mark.parametrize(
    ("shape", "part", "corners"),
    [
        ((256, 256), (224, 224), [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]),
        ((12, 7), (4, 5), [(0, 0), (0, 2), (8, 0), (8, 2), (4, 1)]),
        ((5, 12), (4, 5), [(0, 0), (0, 7), (1, 0), (1, 7), (0, 3)]),
        ((6, 5), (6, 5), 5 * [(0, 0)]),
    ],
)
def test_ten_crops_are_the_corners_and_the_centre_and_their_reflections(shape, part, corners):
    images, (h, w) = pictures(2, 3, *shape), part
    plain = [images[:, :, top : top + h, left : left + w] for top, left in corners]
    expected = plain + [np.flip(x, axis=3) for x in plain]
    found = [view(images) for view in ten_crops(images.shape, (3, h, w))]
    assert sorted(x.tobytes() for x in found) == sorted(x.tobytes() for x in expected)
    assert all(x.shape == (2, 3, h, w) for x in found)


# ---- parts at random -------------------------------------------------------------------------


def parts_of(image, size, padding=0):
    """{(top, left, flipped): that part of an image (C, H, W) with zeros around it}."""
    (c, height, width), (h, w), p = image.shape, size, padding
    padded = np.zeros((c, height + 2 * p, width + 2 * p), image.dtype)
    padded[:, p : p + height, p : p + width] = image
    found = {}
    for top in range(height + 2 * p - h + 1):
        for left in range(width + 2 * p - w + 1):
            part = padded[:, top : top + h, left : left + w]
            found[top, left, False], found[top, left, True] = part, part[:, :, ::-1]
    return found


def which(image, result, size, padding=0):
    """The one (top, left, flipped) that gives this result."""
    parts = parts_of(image, size, padding)
    found = [place for place, part in parts.items() if np.array_equal(part, result)]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("shape", "size", "padding"),
    [
        ((1, 9, 8), (5, 6), 0),
        ((3, 7, 6), (7, 6), 1),
        ((2, 6, 9), (7, 5), 2),
        ((3, 5, 4), (5, 4), 0),
    ],
    ids=["grey", "padded", "smaller-and-padded", "whole"],
)
def test_every_result_is_one_part_of_its_own_image(shape, size, padding, dtype):
    x = pictures(60, *shape).astype(dtype)
    before = x.copy()
    y = CropAndFlip(3, size, padding)(x, 0, np.arange(60), 60)
    assert (y.shape, y.dtype) == ((60, shape[0], *size), dtype)
    np.testing.assert_array_equal(x, before)
    places = {which(*pair, size, padding) for pair in zip(x, y, strict=True)}
    assert len(places) > min(20, len(parts_of(x[0], size, padding)) - 1)  # by no means always one


def test_224_of_256_is_one_of_2178_parts():
    x = pictures(4, 1, 256, 256)
    assert len(parts_of(x[0], (224, 224))) == 33 * 33 * 2 == 2178
    for image, result in zip(x, CropAndFlip(0, (224, 224))(x, 0, np.arange(4), 4), strict=True):
        which(image, result, (224, 224))


def statistic(counts):
    """Pearson's chi-square against equal chances, in deviations from what is to be expected."""
    expected, degrees = counts.mean(), counts.size - 1
    return (((counts - expected) ** 2).sum() / expected - degrees) / np.sqrt(2 * degrees)


def test_all_2178_parts_occur_equally_often():
    """32 pixels to spare both ways, as in 224 of 256; each part of 2×2 pixels tells its place."""
    n = 2178 * 30
    image = np.arange(34 * 34, dtype=np.int16).reshape(1, 34, 34)
    y = CropAndFlip(1, (2, 2))(np.broadcast_to(image, (n, 1, 34, 34)), 0, np.arange(n), n)
    flipped = (y[:, 0, 0, 0] > y[:, 0, 0, 1]).astype(int)
    tops, lefts = np.divmod(y[:, 0, 0].min(axis=1), 34)
    counts = np.zeros((33, 33, 2), int)
    np.add.at(counts, (tops, lefts, flipped), 1)  # an offset above 32 is an IndexError
    assert counts.min() > 0
    for axes in ((), (1, 2), (0, 2), (0, 1), (0,), (1,), (2,)):
        assert abs(statistic(counts.sum(axis=axes))) < 5, axes


@pytest.mark.parametrize(("padding", "places"), [(0, 2 * 5), (1, 4 * 7)])
def test_rows_and_columns_have_ranges_of_their_own(padding, places):
    image = pictures(1, 1, 5, 9)[0]
    y = CropAndFlip(0, (4, 5), padding)(np.repeat(image[None], 999, 0), 0, np.arange(999), 999)
    table = {part.tobytes(): place for place, part in parts_of(image, (4, 5), padding).items()}
    assert len({table[result.tobytes()] for result in y}) == len(table) == 2 * places


def test_what_befalls_an_image_depends_on_seed_epoch_and_index_alone():
    x = pictures(40, 3, 12, 12)
    crop = CropAndFlip(5, (7, 7))
    whole = crop(x, 2, np.arange(40), 40)
    rng = np.random.default_rng(1)
    for index in (rng.permutation(40), np.array([7]), np.array([39, 3, 3]), np.arange(10, 20)):
        for epoch in (3, 4, 0, 2):  # others in between
            again = crop(x[index], epoch, index, 40)
        np.testing.assert_array_equal(again, whole[index])
    np.testing.assert_array_equal(CropAndFlip(5, (7, 7))(x, 2, np.arange(40), 40), whole)


@pytest.mark.parametrize(("seed", "epoch"), [(5, 3), (6, 2)], ids=["epoch", "seed"])
def test_another_epoch_or_seed_cuts_in_another_way(seed, epoch):
    x = pictures(40, 1, 12, 12)
    crop = CropAndFlip(5, (7, 7))
    one = crop(x, 2, np.arange(40), 40)
    other = (crop if seed == 5 else CropAndFlip(seed, (7, 7)))(x, epoch, np.arange(40), 40)
    same = (one == other).all(axis=(1, 2, 3)).mean()
    assert same < 0.15  # 1 in 72 by chance


# ---- colours ---------------------------------------------------------------------------------


def correlated(c, seed=0):
    """The covariance of c channels that go together, at the scale of 0-255."""
    mixing = np.random.default_rng(seed).uniform(5, 60, (c, c))
    return mixing @ mixing.T


def shifts(n, covariance, seed=0, epoch=0, **options):
    return ColourNoise(seed, covariance, **options)(epoch, np.arange(n), n)


@pytest.mark.parametrize("std", [0.1, 2.5])
@pytest.mark.parametrize("c", [1, 2, 3])
def test_shifts_have_the_covariance_of_the_pixels_times_the_variance_of_alpha(c, std):
    n, wanted = 40_000, std**2 * correlated(c)
    x = shifts(n, correlated(c), std=std)
    assert (x.shape, x.dtype) == ((n, c, 1, 1), np.float32)
    x = x.reshape(n, c).astype(np.float64)
    found = x.T @ x / n  # about a mean of 0
    variances = np.diag(wanted)
    deviation = np.sqrt((wanted**2 + np.outer(variances, variances)) / n)  # of a normal's x·y
    assert (abs(found - wanted) < 5 * deviation).all()
    assert (abs(x.mean(axis=0)) < 5 * np.sqrt(variances / n)).all()


def test_along_each_component_the_shifts_are_normal_of_variance_lambda_and_independent():
    n, covariance = 40_000, correlated(3, seed=1)
    components, variances, _ = np.linalg.svd(covariance)
    assert variances[0] > 5 * variances[1] > 25 * variances[2]  # the components differ
    alphas = shifts(n, covariance)[:, :, 0, 0] @ components / np.sqrt(variances)
    np.testing.assert_allclose(np.cov(alphas.T), 0.01 * np.eye(3), atol=5 * 0.01 * np.sqrt(2 / n))
    for times, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        within = (abs(alphas) < times * 0.1).mean(axis=0)
        np.testing.assert_allclose(within, share, atol=5 * np.sqrt(share * (1 - share) / n))


def test_a_shift_depends_on_seed_epoch_and_index_alone():
    noise = ColourNoise(5, correlated(3))
    whole = noise(2, np.arange(40), 40)
    rng = np.random.default_rng(1)
    for index in (rng.permutation(40), np.array([7]), np.array([39, 3, 3]), np.arange(10, 20)):
        for epoch in (3, 4, 0, 2):  # others in between
            again = noise(epoch, index, 40)
        np.testing.assert_allclose(again, whole[index], rtol=1e-6)
    np.testing.assert_array_equal(shifts(40, correlated(3), seed=5, epoch=2), whole)
    assert len(np.unique(whole, axis=0)) == 40


def test_every_epoch_and_seed_shifts_anew():
    n = 4000
    drawn = [
        shifts(n, [[1.0]], seed=seed, epoch=epoch).ravel()
        for seed, epoch in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    ]
    np.testing.assert_allclose(np.corrcoef(drawn), np.eye(5), atol=5 / np.sqrt(n))


def test_channels_that_vary_together_shift_together():
    """Of rank one: what is left besides is rounding, with eigenvalues a little below zero."""
    direction = np.array([1.0, 2.0, -3.0])
    covariance = 700 * np.outer(direction, direction)
    x = shifts(500, covariance)[:, :, 0, 0]
    np.testing.assert_allclose(x, np.outer(x[:, 0], direction), rtol=1e-5, atol=1e-4)
    assert x[:, 0].std() == pytest.approx(0.1 * np.sqrt(700), rel=0.2)


def test_pixels_that_never_vary_are_not_shifted():
    np.testing.assert_array_equal(shifts(9, np.zeros((3, 3))), np.zeros((9, 3, 1, 1)))


def test_an_eigenvalue_just_below_zero_is_one_of_zero():
    np.testing.assert_array_equal(shifts(9, np.diag([-1e-9, 4.0]))[:, 0], np.zeros((9, 1, 1)))


@pytest.mark.parametrize("view", [View(-1, 0, 4, 4), View(0, 0, 4, 4), View(1, 0, 3, 3)])
def test_a_part_beyond_the_edge_is_refused(view):
    with pytest.raises(ShapeError, match=r"does not lie in images of shape \(2, 3, 3\)"):
        view(np.zeros((2, 3, 3)))


def test_images_larger_than_their_mean_are_refused():
    with pytest.raises(ShapeError, match="does not lie in"):
        Normalize(np.zeros((1, 3, 3)))(np.zeros((1, 1, 4, 4), np.uint8), Device("cpu"))
