"""Losses, accuracies and confusions against plain loops; evaluate against the net itself."""

import math

import numpy as np
import pytest

from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.loader import Loader
from minitorch_alexnet.data.transforms import Normalize
from minitorch_alexnet.evaluate import Evaluation, evaluate
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Dropout, Flatten, Linear

CLASSES = 6


@pytest.fixture(params=[1, 50], ids=["one image", "50 images"])
def answers(request):
    rng = np.random.default_rng(request.param)
    logits = rng.normal(0, 3, (request.param, CLASSES)).astype(np.float32)
    return Evaluation(logits, rng.integers(0, CLASSES, request.param))


def test_probabilities_and_loss(answers):
    losses = []
    for logits, label, p in zip(answers.logits, answers.labels, answers.probabilities, strict=True):
        powers = [math.exp(z) for z in logits]
        np.testing.assert_allclose(p, np.array(powers) / sum(powers), rtol=1e-5)
        losses.append(-math.log(powers[label] / sum(powers)))
    assert answers.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert isinstance(answers.loss, float)


def test_loss_of_huge_logits_is_finite():
    evaluation = Evaluation(np.array([[0, 1e4], [1e4, 0]], np.float32), np.array([0, 0]))
    assert evaluation.loss == 5e3
    np.testing.assert_array_equal(evaluation.probabilities, [[0, 1], [1, 0]])


def test_accuracy_and_top(answers):
    for k in range(1, CLASSES + 2):
        hits = 0
        for logits, label in zip(answers.logits, answers.labels, strict=True):
            hits += label in sorted(range(CLASSES), key=lambda i: -logits[i])[:k]
        assert answers.top(k) == hits / len(answers.labels)
    assert answers.accuracy == answers.top(1)
    assert answers.top(CLASSES) == answers.top(CLASSES + 1) == 1


def test_accuracy_of_known_answers():
    logits = np.array([[3, 2, 1], [3, 2, 1], [1, 2, 3], [1, 3, 2.0]])
    evaluation = Evaluation(logits, np.array([0, 1, 0, 1]))
    assert evaluation.accuracy == 0.5
    assert evaluation.top(2) == 0.75
    np.testing.assert_array_equal(evaluation.confusion(), [[1, 0, 1], [1, 1, 0], [0, 0, 0]])


def test_of_equal_logits_the_first_counts_once():
    """A net that says nothing is not right in every case."""
    evaluation = Evaluation(np.zeros((4, 4)), np.arange(4))
    assert evaluation.accuracy == evaluation.top(1) == 0.25
    assert evaluation.top(3) == 0.75
    evaluation = Evaluation(np.zeros((3, 4)), np.array([0, 0, 1]))
    assert evaluation.accuracy == evaluation.top(1) == 2 / 3
    assert evaluation.top(2) == 1


def test_confusion(answers):
    counts = [[0] * CLASSES for _ in range(CLASSES)]
    for logits, label in zip(answers.logits, answers.labels, strict=True):
        counts[label][max(range(CLASSES), key=lambda i: logits[i])] += 1
    np.testing.assert_array_equal(answers.confusion(), counts)
    assert answers.confusion().trace() == round(answers.accuracy * len(answers.labels))


@pytest.fixture
def net():
    net = Graph((1, 3, 4))
    net.add("flatten", Flatten())
    net.add("drop", Dropout(0.5, rng=np.random.default_rng(0)))
    net.add("fc", Linear(12, 5))
    rng = np.random.default_rng(1)
    for parameter in net.named_parameters().values():
        parameter.data = rng.standard_normal(parameter.data.shape).astype(np.float32)
    return net


def test_evaluate_is_the_nets_answer_without_dropout(net):
    rng = np.random.default_rng(2)
    images = rng.standard_normal((23, 1, 3, 4)).astype(np.float32)
    labels = rng.integers(0, 5, 23)
    state = net["drop"].rng.bit_generator.state
    batches = [(images[i : i + 10], labels[i : i + 10]) for i in range(0, 23, 10)]
    result = evaluate(net, batches)
    np.testing.assert_array_equal(result.logits, net.predict(images, batch_size=10))
    weight, bias = net["fc"].params["weight"].data, net["fc"].params["bias"].data
    expected = 0.5 * images.reshape(23, 12) @ weight.T + bias
    np.testing.assert_allclose(result.logits, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(result.labels, labels)
    assert net["drop"].rng.bit_generator.state == state  # nothing was drawn
    assert all(node.layer.cache is None for node in net.nodes.values())  # or kept


def test_evaluate_reads_a_loader(net):
    rng = np.random.default_rng(3)
    dataset = ArrayDataset(rng.integers(0, 256, (9, 3, 4), np.uint8), np.arange(9) % 5)
    normalize = Normalize.of(dataset.images)
    result = evaluate(net, Loader(dataset, 4, normalize))
    np.testing.assert_array_equal(result.labels, dataset.labels)
    expected = net.predict(normalize(dataset.images, net.device))
    np.testing.assert_allclose(result.logits, expected, rtol=1e-5, atol=1e-6)
