"""Softmax cross-entropy: the formula, PyTorch, and logits that overflow a naive exp."""

import math

import numpy as np
import pytest
from reference import assert_close, normal, softmax_cross_entropy, torch_results

from minitorch_alexnet.errors import ShapeError, UserError
from minitorch_alexnet.gradcheck import check_layer
from minitorch_alexnet.layers import Layer, SoftmaxCrossEntropy
from minitorch_alexnet.layers.loss import log_softmax


def results(logits, labels):
    loss = SoftmaxCrossEntropy()
    return loss.forward(logits, labels), loss.backward()


def make(n, classes, scale=3.0):
    labels = np.random.default_rng(1).integers(0, classes, n)
    return scale * normal(n, classes, seed=2), labels


SIZES = [(1, 2), (1, 1), (5, 10), (19, 3), (8, 1000)]


@pytest.mark.parametrize("sizes", SIZES[:4])
def test_equals_its_formula(sizes):
    logits, labels = make(*sizes)
    value, dz = results(logits, labels)
    wanted_value, wanted_dz = softmax_cross_entropy(logits, labels)
    assert_close(value, wanted_value)
    assert_close(dz, wanted_dz)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("scale", [1e-3, 3.0, 1e4])
def test_equals_pytorch(sizes, scale, torch):
    logits, labels = make(*sizes, scale)
    cross_entropy = torch.nn.functional.cross_entropy
    wanted = torch_results(
        torch, lambda z: cross_entropy(z, torch.tensor(labels)), np.float64(1), logits
    )
    for result, other in zip(results(logits, labels), wanted, strict=True):
        assert_close(result, other)


class _AsLayer(Layer):
    def forward(self, logits, train=True):
        loss = SoftmaxCrossEntropy()
        return loss.forward(logits, np.arange(len(logits)) % logits.shape[1]), loss

    def backward(self, dy, loss, need_dx=True):
        return dy * loss.backward(), {}


@pytest.mark.parametrize("sizes", SIZES[2:4])
def test_gradients_are_the_finite_differences(sizes):
    report = check_layer(_AsLayer(), make(*sizes)[0], tolerance=1e-7)
    assert report.passed, str(report)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("label", "wanted", "dz"), [(0, 0, [0, 0, 0]), (1, 2e4, [1, -1, 0]), (2, 1e4, [1, 0, -1])]
)
def test_huge_logits(dtype, label, wanted, dz):
    value, gradient = results(np.array([[1e4, -1e4, 0]], dtype), [label])
    assert value == wanted
    assert gradient.tolist() == [dz]
    assert value.dtype == gradient.dtype == dtype


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("level", [0.0, -1e4, 1e4])
def test_equal_logits_cost_the_logarithm_of_the_classes(classes, level):
    value, dz = results(np.full((3, classes), level), [0, 1, 0])
    assert value == pytest.approx(math.log(classes), rel=1e-14)
    assert dz[1, 1] == pytest.approx((1 / classes - 1) / 3, rel=1e-12)
    assert dz[1, 0] == pytest.approx(1 / classes / 3, rel=1e-12)


def test_a_shift_of_all_logits_changes_nothing():
    logits, labels = make(5, 10)
    shifted = results(logits + 2.0**9, labels)
    for result, other in zip(shifted, results(logits, labels), strict=True):
        assert_close(result, other, 1e-12)


def test_the_gradient_sums_to_nothing_in_each_row():
    _, dz = results(*make(19, 7))
    assert np.abs(dz).max() > 0.01
    np.testing.assert_allclose(dz.sum(axis=1), 0, atol=1e-16)


def test_log_softmax_is_normalised():
    p = np.exp(log_softmax(make(5, 7)[0]))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_inputs_and_views(dtype):
    logits, labels = make(19, 7)
    logits = logits.astype(dtype)
    before = logits.tobytes(), labels.tobytes()
    value, dz = results(logits, labels)
    assert value.shape == ()
    assert value.dtype == dz.dtype == dtype
    assert (logits.tobytes(), labels.tobytes()) == before
    view = np.repeat(logits, 2, axis=1)[:, ::2]
    doubled = np.repeat(labels.astype(np.uint8), 2)[::2]
    for result, other in zip(results(view, doubled), (value, dz), strict=True):
        assert_close(result, other, 1e-6 if dtype == np.float32 else 1e-14)


def test_backward_needs_a_forward_and_uses_it_up():
    loss = SoftmaxCrossEntropy()
    with pytest.raises(RuntimeError, match=r"SoftmaxCrossEntropy.*forward"):
        loss.backward()
    loss.forward(*make(3, 4))
    loss.backward()
    with pytest.raises(RuntimeError, match=r"SoftmaxCrossEntropy.*forward"):
        loss.backward()


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 4], UserError, r"labels must be in 0…3, got 0…4"),
        ([-1, 0], UserError, r"labels must be in 0…3, got -1…0"),
        ([0.0, 1.0], UserError, "labels must be integers, got float64"),
        ([True, False], UserError, "labels must be integers, got bool"),
        ([0, 1, 2], ShapeError, r"labels \(n,\).*\(2, 4\) and \(3,\)"),
        ([[0], [1]], ShapeError, r"\(2, 4\) and \(2, 1\)"),
        ([[1, 0, 0, 0], [0, 1, 0, 0]], ShapeError, r"\(2, 4\) and \(2, 4\)"),
        (1, ShapeError, r"\(2, 4\) and \(\)"),
    ],
    ids=str,
)
def test_bad_labels(labels, error, message):
    with pytest.raises(error, match=f"^SoftmaxCrossEntropy: .*{message}"):
        SoftmaxCrossEntropy().forward(normal(2, 4), labels)


def test_logits_must_be_a_table_of_floating_point():
    with pytest.raises(ShapeError, match=r"expected logits \(n, classes\).*\(4,\)"):
        SoftmaxCrossEntropy().forward(normal(4), [0, 1, 2, 3])
    with pytest.raises(UserError, match="floating"):
        SoftmaxCrossEntropy().forward(np.ones((2, 4), np.int64), [0, 1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(3), r"labels.argmax\(axis=1\)"),
        (np.array([[0], [1], [2]]), r"labels.ravel\(\)"),
        ([[0], [1, 2], [0]], "labels must be"),
        (None, r"labels \(n,\)"),
        ([0.0, 1.0, 2.0], "integers"),
        (["a", "b", "c"], "integers"),
        ([1, 2, 3], "0…2, got 1…3"),
    ],
)
def test_labels_in_another_form_are_refused_with_the_way_out(labels, message):
    with pytest.raises(UserError, match=message):
        SoftmaxCrossEntropy().forward(np.eye(3), labels)


@pytest.mark.parametrize("logits", [[[1.0, 2.0]], None, 1.0])
def test_logits_are_an_array(logits):
    with pytest.raises(UserError, match="logits must be an array"):
        SoftmaxCrossEntropy().forward(logits, [0])


def test_of_no_image_there_is_no_loss():
    with pytest.raises(ShapeError, match="at least one image"):
        SoftmaxCrossEntropy().forward(np.zeros((0, 3)), [])
