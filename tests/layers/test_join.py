"""Concat and Copy."""

import numpy as np
import pytest
from reference import layer_results, normal, torch_results

from minitorch_alexnet.errors import ShapeError, UserError
from minitorch_alexnet.layers import Concat, Copy


def test_concat_lays_channels_side_by_side_in_the_order_given():
    a, b, dy = normal(2, 3, 4, 5, seed=1), normal(2, 1, 4, 5, seed=2), normal(2, 4, 4, 5, seed=3)
    y, da, db = layer_results(Concat(), dy, a, b)
    np.testing.assert_array_equal(y[:, :3], a)
    np.testing.assert_array_equal(y[:, 3], b[:, 0])
    np.testing.assert_array_equal(da, dy[:, :3])
    np.testing.assert_array_equal(db, dy[:, 3:])


@pytest.mark.parametrize("channels", [(2, 3), (1, 4, 2), (3, 3, 3, 3)])
@pytest.mark.parametrize("rest", [(), (2, 3)])
def test_concat_equals_pytorch(channels, rest, torch):
    xs = [normal(2, c, *rest, seed=c) for c in channels]
    dy = normal(2, sum(channels), *rest, seed=9)
    wanted = torch_results(torch, lambda *ts: torch.cat(ts, dim=1), dy, *xs)
    for result, other in zip(layer_results(Concat(), dy, *xs), wanted, strict=True):
        np.testing.assert_array_equal(result, other)


@pytest.mark.parametrize("shapes", [[], [(3, 4, 4)]])
def test_a_join_has_two_sides(shapes):
    with pytest.raises(ShapeError, match=f"two inputs or more, got {len(shapes)}"):
        Concat().output_shape(*shapes)


@pytest.mark.parametrize("shapes", [[(3, 4, 4), (3, 4, 5)], [(3, 4, 4), (3,)], [(), ()]])
def test_concat_of_what_does_not_fit(shapes):
    with pytest.raises(ShapeError, match=r"Concat\(\): inputs must agree"):
        Concat().output_shape(*shapes)


def test_copy_is_a_copy_both_ways():
    layer, x, dy = Copy("cpu:1"), normal(2, 3), normal(2, 3, seed=1)
    y, dx = layer_results(layer, dy, x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, dy)
    assert not np.shares_memory(y, x)
    assert not np.shares_memory(dx, dy)


def test_copy_names_its_device():
    assert repr(Copy("cpu:1")) == "Copy(to='cpu:1')"
    with pytest.raises(UserError, match="unknown device 'moon'"):
        Copy("moon")
