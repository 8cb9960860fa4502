"""Dropout: the paper's form and the inverted one, with masks that are known."""

import math

import numpy as np
import pytest
from reference import assert_close, layer_results, normal, output

from minitorch_alexnet.errors import UserError
from minitorch_alexnet.layers import Dropout

both_forms = pytest.mark.parametrize("rescale", ["test", "train"])


class Fixed:
    """A generator whose numbers are known: silent below p = 0.4 are the first and the fourth."""

    def random(self, shape, dtype):
        return np.array([[0.39, 0.41, 0.9, 0.0, 0.4]], dtype).reshape(shape)


@pytest.mark.parametrize(
    ("rescale", "in_training", "in_testing"), [("test", 1, 0.6), ("train", 1 / 0.6, 1)]
)
def test_a_known_mask(rescale, in_training, in_testing):
    layer = Dropout(0.4, rescale, rng=Fixed())
    x, dy = np.array([[1.0, 2, 3, 4, 5]]), np.array([[10.0, 20, 30, 40, 50]])
    y, dx = layer_results(layer, dy, x)
    mask = np.array([[0, 1, 1, 0, 1]])
    assert_close(y, mask * x * in_training, 1e-15)
    assert_close(dx, mask * dy * in_training, 1e-15)
    assert_close(output(layer, x, train=False), x * in_testing, 1e-15)


@both_forms
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_expectation(rescale, p):
    x = 1 + np.abs(normal(100, 2000, seed=1))
    layer = Dropout(p, rescale, rng=np.random.default_rng(2))
    y = output(layer, x)
    spread = math.sqrt(p * (1 - p) / x.size)
    assert np.mean(y == 0) == pytest.approx(p, abs=4 * spread)
    tested = output(layer, x, train=False)
    assert y.mean() / tested.mean() == pytest.approx(1, abs=6 * spread / (1 - p))
    assert tested.mean() / x.mean() == pytest.approx(1 - p if rescale == "test" else 1, rel=1e-12)


@both_forms
def test_backward_drops_what_forward_dropped(rescale):
    layer = Dropout(0.5, rescale, rng=np.random.default_rng(3))
    x, dy = normal(50, 40, seed=4), normal(50, 40, seed=5)
    y, dx = layer_results(layer, dy, x)
    assert_close(dx, dy * (y / x), 1e-15)


@both_forms
def test_every_value_and_every_step_has_its_own_draw(rescale):
    layer, x = Dropout(0.5, rescale, rng=np.random.default_rng(6)), np.ones((20, 30, 5, 5))
    first, second = output(layer, x) > 0, output(layer, x) > 0
    for one, other in [
        (first, second),
        (first[0], first[1]),
        (first[:, 0], first[:, 1]),
        (first[..., 0], first[..., 1]),
    ]:
        assert np.mean(one == other) == pytest.approx(0.5, abs=0.1)


@both_forms
def test_one_seed_one_mask_whatever_the_dtype(rescale):
    masks = [
        output(Dropout(0.5, rescale, np.random.default_rng(seed)), np.ones((9, 9), dtype)) > 0
        for seed, dtype in [(7, np.float64), (7, np.float64), (7, np.float32), (8, np.float64)]
    ]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])
    assert (masks[0] != masks[3]).any()


@both_forms
def test_testing_draws_nothing(rescale):
    layer, x = Dropout(0.5, rescale, np.random.default_rng(9)), np.ones((4, 5))
    output(layer, x, train=False)
    after = output(layer, x)
    fresh = output(Dropout(0.5, rescale, np.random.default_rng(9)), x)
    np.testing.assert_array_equal(after, fresh)


@both_forms
def test_nothing_is_dropped_at_zero(rescale):
    layer = Dropout(0, rescale, rng=np.random.default_rng(10))
    x, dy = normal(4, 5), normal(4, 5, seed=1)
    for result, wanted in zip(layer_results(layer, dy, x), (x, dy), strict=True):
        np.testing.assert_array_equal(result, wanted)
    np.testing.assert_array_equal(output(layer, x, train=False), x)


def test_the_inverted_form_is_pytorchs_in_testing(torch):
    x = normal(4, 5)
    theirs = torch.nn.Dropout(0.3).eval()(torch.tensor(x)).numpy()
    np.testing.assert_array_equal(output(Dropout(0.3, "train"), x, train=False), theirs)


@pytest.mark.parametrize("p", [-0.1, 1, 1.5, math.nan])
def test_bad_probabilities(p):
    with pytest.raises(UserError, match=f"Dropout: p must be .*{p}"):
        Dropout(p)


def test_without_a_generator_it_is_for_testing_alone():
    layer, x = Dropout(0.5), normal(4, 5)
    np.testing.assert_array_equal(output(layer, x, train=False), x / 2)
    with pytest.raises(UserError, match=r"Dropout\(.*give it an rng"):
        layer.forward(x)


def test_bad_rescale():
    with pytest.raises(UserError, match=r"Dropout: rescale must be .*'never'"):
        Dropout(rescale="never")


def test_the_defaults_are_the_papers():
    assert repr(Dropout()) == "Dropout(0.5, rescale='test')"
