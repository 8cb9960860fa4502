"""Losses, accuracies, ten views and neighbours against plain loops and the net itself."""

import math
from itertools import pairwise

import numpy as np
import pytest
from test_graph import towers

from minitorch_alexnet.config import Config
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.image_folder import ImageFolder, Shards
from minitorch_alexnet.data.loader import Loader
from minitorch_alexnet.data.transforms import Normalize
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.evaluate import Evaluation, evaluate, features, nearest, views
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Conv2d, Dropout, Flatten, Linear, ReLU
from minitorch_alexnet.train import Trainer

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


def test_evaluate_reads_a_loader(net):
    rng = np.random.default_rng(3)
    dataset = ArrayDataset(rng.integers(0, 256, (9, 3, 4), np.uint8), np.arange(9) % 5)
    normalize = Normalize(dataset.mean, dataset.deviation)
    result = evaluate(net, Loader(dataset, 4, normalize))
    np.testing.assert_array_equal(result.labels, dataset.labels)
    expected = net.predict(normalize(dataset.images, net.device))
    np.testing.assert_allclose(result.logits, expected, rtol=1e-5, atol=1e-6)


# ---- several views ---------------------------------------------------------------------------


def as_it_is(classes):
    """A net whose logits are the pixels."""
    net = Graph((classes, 1, 1))
    net.add("flatten", Flatten())
    return net


def saying(*logits, labels=(0,)):
    """Batches of one image each, of which the net as_it_is says this."""
    rows = np.array(logits, np.float32)
    return [
        (row.reshape(1, -1, 1, 1), np.array([label]))
        for row, label in zip(rows, labels, strict=True)
    ]


def softmax(logits):
    powers = np.exp(np.asarray(logits, np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


def test_of_several_views_the_softmax_is_averaged_and_not_the_logits():
    p = np.array([[0.90, 0.05, 0.05], [0.001, 0.40, 0.599]])
    assert p.mean(axis=0).argmax() == 0
    assert np.log(p).mean(axis=0).argmax() == 2  # what averaged logits would answer
    result = evaluate(as_it_is(3), *(saying(np.log(view)) for view in p))
    np.testing.assert_allclose(result.probabilities, p.mean(axis=0)[None], rtol=1e-5)
    assert result.loss == pytest.approx(-math.log((0.90 + 0.001) / 2), rel=1e-5)
    assert result.accuracy == 1
    assert (result.confusion() == np.diag([1, 0, 0])).all()


def test_a_constant_added_to_one_views_logits_gives_it_no_more_weight():
    a, b = [1.0, 2.0, 0.5], [0.5, -1.0, 3.0]
    plain = evaluate(as_it_is(3), saying(a), saying(b))
    raised = evaluate(as_it_is(3), saying(np.add(a, 70)), saying(b))
    np.testing.assert_allclose(raised.probabilities, plain.probabilities, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_losses_and_accuracies_of_several_views(count):
    rng = np.random.default_rng(count)
    logits, labels = rng.normal(0, 3, (count, 40, CLASSES)), rng.integers(0, CLASSES, 40)
    result = evaluate(as_it_is(CLASSES), *(saying(*view, labels=labels) for view in logits))
    p = sum(map(softmax, logits)) / count
    np.testing.assert_allclose(result.probabilities, p, rtol=1e-4)
    if count > 1:
        np.testing.assert_allclose(result.logits, np.log(p), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(result.labels, labels)
    picked = p[np.arange(40), labels]
    assert result.loss == pytest.approx(-np.log(picked).mean(), rel=1e-5)
    for k in range(1, CLASSES):
        larger = (p > picked[:, None]).sum(axis=1)
        assert result.top(k) == (larger < k).mean()
    assert 0 < result.accuracy == result.top(1) < result.top(3) < 1


@pytest.mark.parametrize("value", [700.0, -700.0])
def test_of_one_view_the_logits_are_kept_as_they_are(value):
    logits = np.array([[0, value, 3]], np.float32)
    np.testing.assert_array_equal(evaluate(as_it_is(3), saying(*logits)).logits, logits)


def test_views_that_are_sure_beyond_float32_agree_as_one_of_them_does():
    one = evaluate(as_it_is(2), saying([0, 200]))
    assert one.loss == 200
    assert evaluate(as_it_is(2), saying([0, 200]), saying([0, 200])).loss == pytest.approx(200)


@pytest.fixture(params=["arrays", "shards"])
def data(request):
    """13 images of 2×8×6, and their pixels' mean."""
    rng = np.random.default_rng(4)
    images, labels = rng.integers(0, 256, (13, 2, 8, 6), np.uint8), rng.integers(0, 5, 13)
    dataset = ArrayDataset(images, labels, tuple("abcde"))
    if request.param == "arrays":
        return dataset
    shards = Shards([images[a:b] for a, b in pairwise([0, 0, 4, 5, 13])])
    return ImageFolder(shards, labels, tuple("abcde"), dataset.mean, 1.0, np.eye(2))


def reader(seed=5):
    """A net that reads 2×5×4 pixels."""
    net, rng = Graph((2, 5, 4)), np.random.default_rng(seed)
    net.add("flatten", Flatten())
    net.add("fc1", Linear(40, 7))
    net.add("drop1", Dropout(0.5, rng=np.random.default_rng(0)))
    net.add("fc2", Linear(7, 5))
    for parameter in net.named_parameters().values():
        parameter.data = rng.normal(0, 0.3, parameter.data.shape).astype(np.float32)
    return net


@pytest.mark.parametrize("batch_size", [1, 4, 128])
def test_views_are_the_centre_or_ten_parts_of_every_image_in_order(data, batch_size):
    net, normalize = reader(), Normalize(data.mean, 60)
    images, mean = data.images[:].astype(float), data.mean[:, 1:6, 1:5]
    corners = [(1, 1), (0, 0), (0, 2), (3, 0), (3, 2)]
    plain = [(images[:, :, t : t + 5, x : x + 4] - mean) / 60 for t, x in corners]
    mirrored = [
        (np.flip(images[:, :, t : t + 5, x : x + 4], axis=3) - mean) / 60 for t, x in corners
    ]
    for crops, expected in ((1, plain[:1]), (10, plain + mirrored)):
        loaders = views(data, net, normalize, batch_size, crops)
        assert len(loaders) == crops
        answers = []
        for loader in loaders:
            batches = list(loader)
            assert len(batches) == -(-13 // batch_size)
            np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), data.labels)
            shown = np.concatenate([x for x, _ in batches])
            fits = [np.allclose(shown, part, atol=1e-5) for part in expected]
            assert sum(fits) == 1
            answers.append(fits.index(True))
        assert sorted(answers) == list(range(crops))  # each of them once
        p = sum(softmax(net.predict(part.astype(np.float32))) for part in expected) / crops
        result = evaluate(net, *loaders)
        np.testing.assert_allclose(result.probabilities, p, rtol=1e-4)
        np.testing.assert_array_equal(result.labels, data.labels)


def test_the_centre_is_what_is_shown_unless_asked_otherwise(data):
    loaders = views(data, reader(), Normalize(data.mean))
    ((x, _),) = loaders[0]
    assert len(loaders) == 1
    np.testing.assert_allclose(
        x, data.images[:][:, :, 1:6, 1:5] - data.mean[:, 1:6, 1:5], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("crops", [0, 2, 5, 11, -1])
def test_other_numbers_of_crops_are_refused(crops, data):
    with pytest.raises(UserError, match=f"crops must be 1, the centre, or 10, got {crops}"):
        views(data, reader(), Normalize(data.mean), crops=crops)


# ---- what the last layer reads ---------------------------------------------------------------


def test_features_are_what_the_last_layer_reads_in_testing():
    net, x = reader(), np.random.default_rng(6).normal(size=(9, 2, 5, 4)).astype(np.float32)
    fc1 = net["fc1"].params
    expected = 0.5 * (x.reshape(9, 40) @ fc1["weight"].data.T + fc1["bias"].data)
    found = features(net, x)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_features_of_two_towers_are_joined():
    net, x = towers(), np.random.default_rng(7).normal(size=(4, 3, 11, 11)).astype(np.float32)
    values = {"image": x}
    for name, node in list(net.nodes.items())[:-1]:
        values[name], _ = node.layer.forward(*(values[s] for s in node.sources), train=False)
    both = np.concatenate([values["drop3a"], values["drop3b"]], axis=1)
    found = features(net, x)
    np.testing.assert_allclose(found, both.reshape(4, 24), rtol=1e-5, atol=1e-6)
    fc4 = net["fc4"].params
    answer = found @ fc4["weight"].data.T + fc4["bias"].data
    np.testing.assert_allclose(answer, net.forward(x, train=False), rtol=1e-5, atol=1e-6)


def test_features_of_maps_are_rows():
    net = Graph((2, 5, 4))
    net.add("conv1", Conv2d(2, 3, 2))
    net.add("relu1", ReLU())
    x = np.random.default_rng(8).normal(size=(6, 2, 5, 4)).astype(np.float32)
    expected, _ = net["conv1"].forward(x, train=False)
    np.testing.assert_allclose(features(net, x), expected.reshape(6, -1), rtol=1e-5, atol=1e-6)


# ---- neighbours ------------------------------------------------------------------------------


def pixels_as_features(shape, classes=3):
    net = Graph(shape)
    net.add("flatten", Flatten())
    net.add("fc", Linear(math.prod(shape), classes))
    return net


def neighbours(queries, images, count):
    """By brute force: (distance, number) of the `count` nearest, of equals the first."""
    rows = [
        sorted((math.dist(query, image.ravel()), i) for i, image in enumerate(images))[:count]
        for query in queries
    ]
    distances, numbers = np.array(rows).transpose(2, 0, 1)
    return distances, numbers


@pytest.mark.parametrize("sizes", [[30], [1] * 30, [7, 7, 7, 9], [2, 25, 3]])
@pytest.mark.parametrize("count", [1, 6, 30, 99])
def test_nearest_against_all_distances(sizes, count):
    """Small whole numbers, so that many distances are the same."""
    rng = np.random.default_rng(count)
    images = rng.integers(0, 3, (30, 1, 2, 2)).astype(np.float32)
    queries = np.concatenate([images[[17, 3]].reshape(2, 4), rng.integers(0, 3, (3, 4))])
    ends = np.cumsum([0, *sizes])
    batches = [(images[a:b], np.zeros(b - a)) for a, b in pairwise(ends)]
    distances, numbers = nearest(pixels_as_features((1, 2, 2)), queries, batches, count)
    wanted = neighbours(queries, images, count)
    assert distances.shape == numbers.shape == (5, min(count, 30))
    np.testing.assert_allclose(distances, wanted[0], rtol=1e-6)
    np.testing.assert_array_equal(numbers, wanted[1])
    assert np.issubdtype(numbers.dtype, np.integer)


def test_nearest_among_a_data_set_are_its_numbers(data):
    """The features are those of the hidden layer, not the answers."""
    net, normalize = reader(), Normalize(data.mean, 60)
    (loader,) = views(data, net, normalize, batch_size=4)
    x = normalize(data.images[:][:, :, 1:6, 1:5], net.device)
    found = features(net, x)
    distances, numbers = nearest(net, found[[3, 11]], loader)
    wanted = neighbours(found[[3, 11]].astype(float), found.astype(float), 6)
    np.testing.assert_array_equal(numbers, wanted[1])
    np.testing.assert_allclose(distances, wanted[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(numbers[:, 0], [3, 11])  # an image is nearest to itself


def test_it_takes_batches(garments):
    trainer = Trainer(garments, Config(epochs=1))
    views = trainer.views(garments)
    for given in ([], [garments], [views], [garments.images], [[]]):
        with pytest.raises(UserError, match=r"evaluate\(net, \*trainer.views\(dataset\)\)"):
            evaluate(trainer.net, *given)
    with pytest.raises(UserError, match="evaluate takes a Graph"):
        evaluate(trainer, *views)
