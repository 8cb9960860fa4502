"""Local response normalisation: golden values, the formula's whole Jacobian, PyTorch.

α is about 0.3 wherever a gradient is looked at: at the paper's 1e-4 a gradient without its
cross-channel term passes an ordinary tolerance.
"""

from functools import partial
from itertools import product

import numpy as np
import pytest
from reference import assert_close, layer_results, lrn, normal, output, torch_results

from minitorch_alexnet.errors import ShapeError
from minitorch_alexnet.gradcheck import check_layer
from minitorch_alexnet.layers import LocalResponseNorm

RAMP = np.arange(100.0, 800, 100).reshape(1, 7, 1, 1)


def test_golden_values():
    y = output(LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0), RAMP).ravel()
    wanted = [12.5, 14.86508894, 14.46155897, 13.46539572, 12.48617964, 15.76680779, 20.33220702]
    assert y[0] == 12.5
    np.testing.assert_allclose(y, wanted, rtol=1e-9)


@pytest.mark.parametrize(("k", "wanted"), [(2, 30.83678352), (1, 36.74195852)])
@pytest.mark.parametrize("options", [{"alpha": 2e-5}, {"alpha": 1e-4, "alpha_over_size": True}])
def test_golden_values_with_the_original_codes_alpha(k, wanted, options):
    y = output(LocalResponseNorm(5, k=k, **options), RAMP)
    assert y[0, 0, 0, 0] == pytest.approx(wanted, rel=1e-9)


def test_the_defaults_are_the_papers():
    np.testing.assert_array_equal(
        output(LocalResponseNorm(), RAMP),
        output(LocalResponseNorm(5, 1e-4, 0.75, 2.0, alpha_over_size=False, groups=1), RAMP),
    )


# 8 channels, or two groups of 4: sizes 7 to 16 reach over the ends
SETTINGS = list(product([0.3, 1e-4], [0.75, 0.5, 1.3], [1, 2], [1, 2]))  # alpha, beta, k, groups
every_size = pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 15, 16])


def assert_all_close(settings, dy, x, wanted):
    *arguments, groups = settings
    results = layer_results(LocalResponseNorm(*arguments, groups=groups), dy, x)
    for result, other in zip(results, wanted, strict=True):
        assert_close(result, other)


@every_size
def test_equals_its_formula(size):
    x, dy = normal(2, 8, 3, 2, seed=1), normal(2, 8, 3, 2, seed=2)
    for settings in SETTINGS:
        assert_all_close((size, *settings), dy, x, lrn(x, dy, size, *settings))


@every_size
def test_equals_pytorch(size, torch):
    x, dy = normal(2, 8, 3, 2, seed=3), normal(2, 8, 3, 2, seed=4)

    def normalise(x, alpha, beta, k, groups):
        normalised = [
            torch.nn.functional.local_response_norm(part, size, alpha * size, beta, k)
            for part in torch.chunk(x, groups, dim=1)
        ]
        return torch.cat(normalised, dim=1)

    for settings in SETTINGS:
        named = dict(zip(("alpha", "beta", "k", "groups"), settings, strict=True))
        wanted = torch_results(torch, partial(normalise, **named), dy, x)
        assert_all_close((size, *settings), dy, x, wanted)


@pytest.mark.parametrize("size", [4, 5])
def test_alpha_over_size_is_pytorchs(size, torch):
    x, dy = normal(2, 7, 3, 3, seed=5), normal(2, 7, 3, 3, seed=6)
    results = layer_results(LocalResponseNorm(size, 0.3, k=1, alpha_over_size=True), dy, x)
    theirs = torch.nn.LocalResponseNorm(size, 0.3, beta=0.75, k=1.0)
    for result, other in zip(results, torch_results(torch, theirs, dy, x), strict=True):
        assert_close(result, other)


@pytest.mark.parametrize("size", [2, 5, 6, 20])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("alpha_over_size", [False, True])
def test_gradients_are_the_finite_differences(size, k, alpha_over_size):
    layer = LocalResponseNorm(size, 0.3, k=k, alpha_over_size=alpha_over_size, groups=2)
    report = check_layer(layer, normal(2, 8, 2, 3, seed=7), tolerance=1e-8)
    assert report.passed, str(report)


def test_an_even_window_reaches_one_further_down():
    x = np.zeros((1, 7, 1, 1))
    x[0, 3] = 1
    layer = LocalResponseNorm(4, alpha=1.0, beta=1.0, k=1.0)
    x[0, :] += 1e-9  # to see in y which windows hold channel 3
    seen = output(layer, x).ravel() / x.ravel() < 0.9
    assert seen.tolist() == [False, False, True, True, True, True, False]  # i-2 … i+1


def test_groups_only_matter_at_their_border():
    x = normal(1, 96, 2, 2, seed=8)
    joined = output(LocalResponseNorm(5, 0.3), x)
    split = output(LocalResponseNorm(5, 0.3, groups=2), x)
    differs = (joined != split).any(axis=(0, 2, 3))
    assert np.flatnonzero(differs).tolist() == [46, 47, 48, 49]


@pytest.mark.parametrize("arguments", [{"size": 0}, {"size": -3}, {"groups": 0}])
def test_bad_arguments(arguments):
    with pytest.raises(ShapeError, match=r"LocalResponseNorm.*size and groups must be"):
        LocalResponseNorm(**arguments)


def test_groups_that_do_not_divide_the_channels():
    layer = LocalResponseNorm(groups=2)
    with pytest.raises(ShapeError, match=r"LocalResponseNorm.*2 groups must divide 7 channels"):
        layer.forward(RAMP)


def test_repr_tells_whose_formula():
    text = "LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=2, alpha_over_size=False"
    assert repr(LocalResponseNorm()) == text + ")"
    assert repr(LocalResponseNorm(groups=2)) == text + ", groups=2)"
