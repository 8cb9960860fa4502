"""An experiment's arms differ in the one thing that it is about, and start and see the same."""

import functools
import math
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from minitorch_alexnet.config import Config
from minitorch_alexnet.data import Data
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.transforms import ten_crops
from minitorch_alexnet.errors import Diverged, UserError
from minitorch_alexnet.experiments import EXPERIMENTS, dropout, find, relu_vs_tanh
from minitorch_alexnet.experiments.experiment import (
    TRIAL_SEEDS,
    Experiment,
    Study,
    Training,
    model_for,
    parameters,
    percent_wrong,
    sizes,
)
from minitorch_alexnet.experiments.rebuild import rebuilt
from minitorch_alexnet.experiments.specialisation import colour_share, tower_means
from minitorch_alexnet.layers import LocalResponseNorm
from minitorch_alexnet.layers.loss import log_softmax
from minitorch_alexnet.run import in_words
from minitorch_alexnet.train import Trainer

GREY_TOO = [name for name in EXPERIMENTS if name not in ("pca-colour", "specialisation")]
SEVERAL = [name for name in EXPERIMENTS if len(EXPERIMENTS[name].nets) > 1]


def data_of(channels, size, images=48, seed=0):
    """Ten classes of noise, each brighter than the one before."""
    rng = np.random.default_rng(seed)

    def split(count):
        labels = np.arange(count) % 10
        noise = rng.integers(0, 40, (count, channels, size, size))
        return ArrayDataset(np.uint8(noise + 20 * labels[:, None, None, None]), labels)

    return Data("noise", split(images), split(20))


@pytest.fixture(scope="module")
def grey():
    return Study.of(data_of(1, 28), 40, 2)


@pytest.fixture(scope="module")
def colour():
    return Study.of(data_of(3, 32), 40, 2)


@functools.cache
def pair(name, study, seed=4):
    """The trainers of all nets; tests only look at them."""
    return trainers(name, study, seed)


def trainers(name, study, seed=4):
    experiment = find(name)
    return [experiment.trainer(study, Training(net, seed, 0.02)) for net in experiment.nets]


def changed_layers(first, second):
    """Names -> what they are in the two nets, where that differs; None: not there."""
    first, second = dict(in_words(first)), dict(in_words(second))
    names = [*first, *(name for name in second if name not in first)]
    return {
        name: (first.get(name), second.get(name))
        for name in names
        if first.get(name) != second.get(name)
    }


# ---- pairing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEVERAL)
def test_weights_that_several_arms_have_start_alike(name, colour):
    first, *others = (trainer.net.state_dict() for trainer in pair(name, colour))
    for other in others:
        shared = [key for key in first if key in other and first[key].shape == other[key].shape]
        assert len(shared) >= 6
        if name == "relu-vs-tanh":  # its arms differ in their start, but for the activation
            continue
        for key in shared:
            np.testing.assert_array_equal(first[key], other[key], err_msg=key)
        if name == "two-devices":
            assert {"fc6", "fc7", "fc8"} <= {key.split(".")[0] for key in shared}
        elif name != "depth":
            assert shared == list(first) == list(other)


def test_both_units_of_the_released_start_have_the_same_weights(colour):
    first, second, he, glorot = (t.net.state_dict() for t in pair("relu-vs-tanh", colour))
    for key, weight in first.items():
        np.testing.assert_array_equal(weight, second[key], err_msg=key)
        if key.endswith("bias"):
            assert not any(np.any(start[key]) for start in (first, he, glorot))
    # N(0, .0001²) and N(0, .01²); He's 2 / fan-in; Glorot's 2 / (fan-in + fan-out)
    for start, conv1, conv3, fc4 in (
        (first, 1e-4, 1e-2, 1e-2),
        (he, math.sqrt(2 / 75), math.sqrt(2 / 800), 1e-2),
        (glorot, math.sqrt(2 / (75 + 800)), math.sqrt(2 / (800 + 1600)), 1e-2),
    ):
        for name, deviation in ("conv1", conv1), ("conv3", conv3), ("fc4", fc4):
            assert start[f"{name}.weight"].std() == pytest.approx(deviation, rel=0.06)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_another_seed_starts_otherwise(name, colour):
    net = find(name).nets[0]
    first, second = (find(name).net(colour, Training(net, seed)).state_dict() for seed in (0, 1))
    assert not any(np.array_equal(first[k], second[k]) for k in first if k.endswith("weight"))


@pytest.mark.parametrize("name", SEVERAL)
def test_all_arms_see_the_same_batches_in_the_same_order(name, colour):
    first, *others = (trainer.train_loader for trainer in pair(name, colour))
    if name == "relu-vs-tanh":  # of each start
        pairs = [(first, others[0]), (others[1], others[2])]
    else:
        pairs = [(first, other) for other in others]
    for one, other in pairs:
        for epoch in (0, 1):
            batches = zip(one.epoch(epoch), other.epoch(epoch), strict=True)
            for (images, labels), (twins, same) in batches:
                np.testing.assert_array_equal(labels, same)
                if name == "pca-colour":  # each image of the one arm is shifted by one colour
                    shift = (images - twins) - (images - twins)[:, :, :1, :1]
                    np.testing.assert_allclose(shift, 0, atol=1e-5)
                    assert np.abs(images - twins).max() > 0.01
                else:
                    np.testing.assert_array_equal(images, twins)


def test_the_papers_start_has_the_papers_pixels(colour):
    released, _, he, _ = (trainer.train_loader for trainer in pair("relu-vs-tanh", colour))
    (raw, labels), (divided, same) = (next(loader.epoch(0)) for loader in (released, he))
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_allclose(raw, divided * colour.train.deviation, rtol=1e-4, atol=1e-3)
    assert 30 < raw.std() < 90  # of 0 … 255
    order = [int(label) for label in labels]
    assert order != list(colour.train.labels[: len(order)])


@pytest.mark.parametrize("name", [n for n in SEVERAL if n not in ("relu-vs-tanh", "lrn")])
def test_all_arms_drop_the_same_units(name, colour):
    first, *others = trainers(name, colour)
    images = next(iter(first.train_loader))[0]
    assert first.net.generator_states()
    for other in others:
        assert first.net.generator_states() == other.net.generator_states()
    for trainer in (first, *others):
        trainer.net.forward(images)
    for other in others:
        assert first.net.generator_states() == other.net.generator_states()


@pytest.mark.parametrize("name", SEVERAL)
def test_all_arms_have_the_same_images(name, grey, colour):
    study = grey if name in GREY_TOO else colour
    for trainer in pair(name, study):
        assert trainer.train_loader.dataset is study.train
        assert trainer.validation is study.validation


def test_a_look_at_the_start_changes_nothing(colour):
    (first, _), (second, _) = trainers("overlap", colour), trainers("overlap", colour)
    found = sizes(first)
    assert first.net.generator_states() == second.net.generator_states()
    for one, other in zip(first.train_loader.epoch(0), second.train_loader.epoch(0), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    assert first.steps == 0
    assert list(found) == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    images, _ = next(second.train_loader.epoch(0))
    assert found["conv1"][0] == pytest.approx(np.sqrt(np.square(images).mean()), rel=1e-3)
    _, kept = second.net.forward(images, keep=("pool1",))
    assert found["conv2"][0] == pytest.approx(np.sqrt(np.square(kept["pool1"]).mean()), rel=1e-3)


# ---- the one thing -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEVERAL)
def test_the_arms_configs_differ_where_the_experiment_says(name, colour):
    first, *others = (asdict(trainer.config) for trainer in pair(name, colour))
    differing = {key for other in others for key in first if first[key] != other[key]}
    expected = {
        "dropout": {"dropout"},
        "pca-colour": {"colour_noise"},
        "relu-vs-tanh": {"standardize"},
    }
    assert differing == expected.get(name, set())
    assert find("dropout").config(colour, Training("dropout 0.5", 0)).dropout == 0.5
    assert find("dropout").config(colour, Training("without", 0)).dropout == 0
    assert find("pca-colour").config(colour, Training("with shifts", 0)).colour_noise == 0.1
    assert find("pca-colour").config(colour, Training("without", 0)).colour_noise == 0


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_trial_is_shorter_and_has_its_own_rate(name, colour):
    experiment = find(name)
    study = replace(colour, epochs=9)
    whole, short = (
        experiment.config(study, Training(experiment.nets[0], seed, 0.3)) for seed in (2, 2011)
    )
    assert (whole.epochs, short.epochs) == (9, 9 if name in ("relu-vs-tanh", "dropout") else 5)
    assert (whole.lr, short.lr, whole.seed, short.seed) == (0.3, 0.3, 2, 2011)


def test_lrn_without_divides_by_one_number(colour):
    first, second = (trainer.net for trainer in pair("lrn", colour))
    assert changed_layers(first, second).keys() == {"norm1", "norm2"}
    x = np.random.default_rng(0).standard_normal((2, 32, 4, 4))
    for name in ("norm1", "norm2"):
        with_lrn, without = vars(first[name]), vars(second[name])
        assert with_lrn["alpha"] == 1e-4 * colour.train.deviation**2
        assert {k for k in with_lrn if with_lrn[k] != without[k]} == {"alpha", "k"}
        assert without["alpha"] == 0
        assert np.ptp(second[name].forward(x)[0] / x) < 1e-12


def start_of_lrn(trainer):
    """Root mean squares after norm1 and norm2, and of the weights' gradients."""
    images, _ = next(trainer.train_loader.epoch(0))
    _, kept = trainer.net.forward(images, train=False, keep=("norm1", "norm2"))
    signals = [np.sqrt(np.square(kept[name]).mean()) for name in ("norm1", "norm2")]
    return np.array(signals), np.array([gradient for _, gradient in sizes(trainer).values()])


def test_lrns_arms_start_alike_and_would_not_if_it_were_left_out(garments):
    study = Study.of(Data("garments", garments, garments), 128, 2)
    first, second = trainers("lrn", study)
    signals, gradients = start_of_lrn(first)
    twins, their_gradients = start_of_lrn(second)
    np.testing.assert_allclose(twins, signals, rtol=2e-3)
    np.testing.assert_allclose(their_gradients, gradients, rtol=0.3)
    second.net = rebuilt(
        first.net, lambda node: None if node.name.startswith("norm") else node.layer
    )
    images, _ = next(second.train_loader.epoch(0))
    _, kept = second.net.forward(images, train=False, keep=("pool1", "pool2"))
    left_out = [np.sqrt(np.square(kept[name]).mean()) for name in ("pool1", "pool2")]
    assert np.all(np.array(left_out) > 1.5 * signals)


def test_lrn_is_the_papers_in_the_units_of_the_pixels():
    """(k + α Σ (s x)²)^(-β) · s x is s times what α·s² makes of x."""
    x, s = np.random.default_rng(0).standard_normal((2, 8, 3, 3)), 75.0
    paper, _ = LocalResponseNorm(5, alpha=1e-4).forward(s * x)
    ours, _ = LocalResponseNorm(5, alpha=1e-4 * s**2).forward(x)
    np.testing.assert_allclose(s * ours, paper, rtol=1e-12)


@pytest.mark.parametrize("size", [24, 28, 32])
def test_overlap_changes_the_pools_and_no_shape(size):
    study = Study.of(data_of(1, size), 40, 1)
    first, second = (trainer.net for trainer in pair("overlap", study))
    assert changed_layers(first, second) == dict.fromkeys(
        ("pool1", "pool2", "pool5"),
        ("MaxPool2d(3, stride=2, ceil_mode=True)", "MaxPool2d(2, stride=2)"),
    )
    for node in first.nodes.values():
        assert node.shape == second.nodes[node.name].shape


def test_depth_leaves_a_middle_convolution_out_and_it_does_not_matter_which(grey):
    whole, without = (trainer.net for trainer in pair("depth", grey))
    assert changed_layers(whole, without) == {
        "conv4": ("Conv2d(96, 96, 3, padding=1, groups=2)", None),
        "relu4": ("ReLU()", None),
    }
    start, kept = whole.state_dict(), without.state_dict()
    assert start.keys() - kept.keys() == {"conv4.weight", "conv4.bias"}
    for name, array in kept.items():
        np.testing.assert_array_equal(array, start[name])

    def shapes(*names):
        return [(whole[n].in_channels, whole[n].out_channels, whole[n].groups) for n in names]

    (reads, middle, one), (_, same, two), (_, gives, _) = shapes("conv3", "conv4", "conv5")
    no_conv3 = [(reads, same, one), *shapes("conv5")]  # conv4 in conv3's place
    no_conv5 = [*shapes("conv3"), (middle, gives, two)]  # conv4 in conv5's place
    assert shapes("conv3", "conv5") == no_conv3 == no_conv5 == [(64, 96, 1), (96, 64, 2)]


def test_dropout_differs_in_the_share_of_silent_units(grey):
    first, second = (trainer.net for trainer in pair("dropout", grey))
    assert changed_layers(first, second) == dict.fromkeys(
        ("drop6", "drop7"), ("Dropout(0.5, rescale='test')", "Dropout(0, rescale='test')")
    )
    for net in first, second:
        assert (net["fc6"].in_features, net["fc6"].out_features) == (576, 1024)
        assert (net["fc7"].in_features, net["fc7"].out_features) == (1024, 1024)
        assert (net["fc8"].in_features, net["fc8"].out_features) == (1024, 10)


def test_tanh_takes_the_place_of_relu(grey):
    nets = [trainer.net for trainer in pair("relu-vs-tanh", grey)]
    for first, second in (nets[:2], nets[2:]):
        assert changed_layers(first, second) == dict.fromkeys(
            ("act1", "act2", "act3"), ("ReLU()", "Tanh()")
        )
        assert sum(bool(node.layer.params) for node in first.nodes.values()) == 4  # layers
    assert pair("relu-vs-tanh", grey)[0].sgd.weight_decay == 0


def test_the_one_tower_is_the_papers_control(grey):
    """Half the kernels in conv1 to conv4, conv5 whole, no groups; as models.alexnet_control."""
    two, one, _ = (trainer.net for trainer in pair("two-devices", grey))
    shapes = {k: w.shape for k, w in one.state_dict().items() if k.endswith("weight")}
    assert shapes == {
        "conv1.weight": (8, 1, 5, 5),
        "conv2.weight": (32, 8, 5, 5),
        "conv3.weight": (48, 32, 3, 3),
        "conv4.weight": (48, 48, 3, 3),
        "conv5.weight": (64, 48, 3, 3),
        "fc6.weight": (256, 576),
        "fc7.weight": (256, 256),
        "fc8.weight": (10, 256),
    }
    assert [one[name].groups for name in ("conv2", "conv4", "conv5", "norm1", "norm2")] == [1] * 5
    assert [two[name].groups for name in ("conv2", "conv4", "conv5", "norm1", "norm2")] == [2] * 5
    counts = [sum(w.size for w in net.state_dict().values()) for net in (two, one)]
    assert counts == [354_026, 285_082]
    # He's deviations, times k^β after an LRN
    for name, gain in (("conv3", 2**0.75), ("conv4", 1), ("conv5", 1)):
        weight = one.state_dict()[f"{name}.weight"]
        expected = gain * np.sqrt(2 / weight[0].size)
        assert weight.std() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_third_arm_has_as_many_parameters(channels, grey, colour):
    two, half, equal = (t.net for t in pair("two-devices", {1: grey, 3: colour}[channels]))
    assert parameters(equal) == pytest.approx(parameters(two), rel=0.02)
    assert parameters(half) < 0.95 * parameters(two)
    assert [equal[name].groups for name in ("conv2", "conv4", "conv5", "norm1", "norm2")] == [1] * 5
    assert half["conv1"].out_channels < equal["conv1"].out_channels < two["conv1"].out_channels
    assert equal["conv5"].out_channels == two["conv5"].out_channels
    assert parameters(two) == sum(w.size for w in two.state_dict().values())


def test_two_devices_tells_the_parameters():
    experiment = find("two-devices")
    counts = 354_026, 285_082, 353_000
    rows = [{"arm": arm, "parameters": n} for arm, n in zip(experiment.arms, counts, strict=True)]
    (remark,) = experiment.remarks(rows)
    assert "354,026, 285,082 and 353,000; the half one has 0.81" in remark


# ---- what is measured --------------------------------------------------------------------------


def test_percent_wrong(grey):
    (trainer, _) = pair("lrn", grey)
    logits = trainer.net.predict(trainer.normalize(grey.test.images, trainer.net.device))
    wrong = (logits.argmax(axis=1) != grey.test.labels).sum()
    assert 0 < wrong < 20  # of 20
    assert percent_wrong(trainer, grey.test) == pytest.approx(100 * wrong / 20)
    judged = find("lrn").judge(trainer, grey, Training("without", 0))
    count = sum(weight.size for weight in trainer.net.state_dict().values())
    assert judged["without"] == {
        "test_error": percent_wrong(trainer, grey.test),
        "parameters": count,
    }


@pytest.mark.parametrize(("size", "part"), [(28, 28), (24, 28), (32, 28), (64, 56)])
def test_one_net_is_judged_by_its_centre_and_by_ten_parts(size, part):
    study = Study.of(find("ten-crop").prepared(data_of(1, size)), 40, 1)
    (trainer,) = pair("ten-crop", study)
    assert trainer.net.input_shape == (1, part, part)
    images, _ = next(iter(trainer.train_loader))
    assert images.shape[1:] == (1, part, part)
    assert trainer.train_loader.crop.size == (part, part)  # at random
    assert trainer.train_loader.crop.padding == 0
    judged = find("ten-crop").judge(trainer, study, Training("one net", 0))
    total = 0
    for view in ten_crops(study.test.images.shape, trainer.net.input_shape):
        seen = trainer.normalize(view(study.test.images), trainer.net.device)
        total = total + np.exp(log_softmax(trainer.net.predict(seen)))
    ten = 100 * (total.argmax(axis=1) != study.test.labels).mean()
    assert judged["ten crops"]["test_error"] == pytest.approx(ten)
    assert judged["centre alone"]["test_error"] == percent_wrong(trainer, study.test)


def test_ten_crops_put_zeros_around_small_images():
    data = data_of(1, 28)
    padded = find("ten-crop").prepared(data)
    for before, after in (data.train, padded.train), (data.test, padded.test):
        assert after.images.shape == (len(before), 1, 32, 32)
        np.testing.assert_array_equal(after.images[:, :, 2:30, 2:30], before.images)
        assert after.images.sum(dtype=int) == before.images.sum(dtype=int)
        np.testing.assert_array_equal(after.labels, before.labels)
        assert after.class_names == before.class_names
    odd = ArrayDataset(np.ones((2, 1, 27, 40), np.uint8), [0, 1])
    wide = find("ten-crop").prepared(Data("wide", odd, odd)).train.images
    assert wide.shape == (2, 1, 32, 40)
    assert wide[0, 0, :, 0].tolist() == [0] * 2 + [1] * 27 + [0] * 3
    large = data_of(1, 32)
    assert find("ten-crop").prepared(large).train is large.train
    assert find("overlap").prepared(data) is data


def test_convergence_is_the_lowest_error_before_the_rate_falls(grey, monkeypatch):
    errors = [(0.6, 0.1), (0.2, 0.1), (0.19, 0.1), (0.3, 0.1), (0.19, 0.1), (0.1, 0.01)]
    (trainer, _) = trainers("dropout", grey)
    trainer.history = [
        {"epoch": epoch, "validation_accuracy": 1 - error, "learning_rate": rate}
        for epoch, (error, rate) in enumerate(errors, start=1)
    ]
    monkeypatch.setattr(
        dropout,
        "judged",
        lambda trainer, dataset: {id(grey.test): SimpleNamespace(loss=1.25, accuracy=0.75)}[
            id(dataset)
        ],
    )
    monkeypatch.setattr(dropout, "percent_wrong", lambda t, d: {id(grey.train): 5.5}[id(d)])
    judged = find("dropout").judge(trainer, grey, Training("without", 0))["without"]
    assert judged.pop("parameters") == parameters(trainer.net)
    told = {"test_error": 25.0, "test_loss": 1.25, "train_error": 5.5, "gap": 19.5}
    assert judged == {**told, "epochs": 3, "arrived": True}
    trainer.history = trainer.history[:5]  # the rate never falls
    judged = find("dropout").judge(trainer, grey, Training("without", 0))["without"]
    assert (judged["epochs"], judged["arrived"]) == (3, False)


def test_dropout_tells_the_gap():
    rows = [
        {"arm": arm, "gap": gap}
        for arm, gaps in (("dropout 0.5", (1, 2)), ("without", (5, 6)))
        for gap in gaps
    ]
    (remark,) = find("dropout").remarks(rows)
    assert "1.50 (dropout 0.5) and 5.50 (without) points" in remark


def test_dropout_trains_with_the_papers_schedule(grey):
    config = find("dropout").config(grey, Training("without", 0))
    assert config.schedule == "plateau"


@pytest.mark.parametrize(
    ("colours", "share"),
    [((1, 1, 1), 0), ((1, -1, 0), 1), ((2, 0, 0), 2 / 3), ((1, 1, 0), 1 / 3)],
)
def test_colour_share(colours, share):
    """Off the grey axis lie 1 - (r + g + b)² / 3 (r² + g² + b²) of a colour's squares."""
    pattern = np.random.default_rng(0).standard_normal((5, 5))
    kernel = np.array(colours)[:, None, None] * pattern
    np.testing.assert_allclose(colour_share(kernel[None].astype(np.float32)), [share], atol=1e-6)


def test_towers_are_the_halves():
    assert tower_means(np.array([1.0, 2.0, 5.0, 7.0])) == (1.5, 6.0)


def test_specialisation_against_dealing_out_anew(colour):
    experiment, run = find("specialisation"), Training("two towers", 0, 0.02)
    trainer = experiment.trainer(colour, run)
    first = trainer.net["conv1"].params["weight"].data
    assert first.shape == (48, 3, 5, 5)
    assert trainer.net["conv2"].groups == trainer.net["norm1"].groups == 2
    first[:24] = first[:24].mean(axis=1, keepdims=True)  # tower a sees grey alone
    judged = experiment.judge(trainer, colour, run)
    assert judged["as trained"]["tower_a"] == pytest.approx(0, abs=1e-4)
    assert judged["as trained"]["tower_b"] == pytest.approx(100 * 2 / 3, abs=4)
    assert (
        judged["as trained"]["difference"]
        == judged["as trained"]["tower_b"] - judged["as trained"]["tower_a"]
    )
    # half of 48 numbers near 0 and near 67: the mean of |difference| is √(2/π) · 67 / √47
    assert judged["dealt out anew"]["difference"] == pytest.approx(7.8, abs=0.8)
    assert experiment.judge(trainer, colour, run) == judged
    np.testing.assert_allclose(judged["as trained"]["kernels"], first, atol=6e-5)
    assert (
        "kernels" not in experiment.judge(trainer, colour, Training("two towers", 1))["as trained"]
    )
    rows = [{"arm": arm, "seed": 0, **numbers} for arm, numbers in judged.items()]
    rows += [{**row, "seed": 1, "difference": 5.0} for row in rows]
    _, shares, how_many = experiment.remarks(rows)
    assert shares.endswith(f"0.0 and {judged['as trained']['tower_b']:.1f}.")
    assert "In 1 of 2 nets they differ by more than chance" in how_many


# ---- Figure 1 ----------------------------------------------------------------------------------


def quarters(images):
    """Four classes, each brighter in a quarter of its own: a net learns them in some ten steps."""
    labels = np.arange(images) % 4
    pixels = np.random.default_rng(0).integers(0, 100, (images, 1, 24, 24))
    for image, label in zip(pixels, labels, strict=True):
        row, column = divmod(label, 2)
        image[0, 12 * row : 12 * row + 8, 12 * column : 12 * column + 8] += 60
    return ArrayDataset(np.uint8(pixels), labels)


@pytest.fixture
def race(monkeypatch):
    """The experiment on 64 easy images: steps of 8, looked at after each, until 10 % are wrong."""
    monkeypatch.setattr(relu_vs_tanh, "EVERY", 1)
    experiment = find("relu-vs-tanh")
    monkeypatch.setattr(type(experiment), "threshold", staticmethod(lambda study: 10.0))
    config = type(experiment).config
    monkeypatch.setattr(type(experiment), "config", lambda *a: replace(config(*a), batch_size=8))
    return experiment, Study.of(Data("quarters", quarters(69), quarters(20)), 64, 2)


HES, TANH = "ReLU, He's start", "tanh, Glorot's start"


def ran(race, run, on_step=lambda trainer: None):
    experiment, study = race
    trainer = experiment.trainer(study, run)
    ((arm, numbers),) = experiment.train(trainer, study, run, on_step).items()
    assert arm == run.net
    return numbers


def test_a_run_ends_when_the_error_is_first_at_the_threshold(race):
    found = ran(race, Training(TANH, 0, 0.02))
    epochs, errors = np.transpose(found["curve"])
    assert (found["arrived"], found["failed"], found["rate"]) == (True, False, 0.02)
    assert found["epochs"] == epochs[-1] < 2
    assert errors[-1] <= 10
    assert min(errors[:-1]) > 10
    np.testing.assert_allclose(epochs, np.arange(len(epochs)) / 8)  # eight steps an epoch
    assert list(found["start"]) == ["conv1", "conv2", "conv3", "fc4"]


def test_the_rate_is_constant(race):
    rates = []
    ran(race, Training(TANH, 2012, 0.001), lambda trainer: rates.append(trainer.sgd.lr))
    assert set(rates) == {0.001}
    assert len(rates) == 16


def test_a_trial_is_as_good_as_its_epochs_and_one_that_came_beats_one_that_did_not(race):
    came = ran(race, Training(TANH, 2012, 0.02))
    assert came["score"] < 2
    assert came == {"score": came["score"], "failed": False, "rate": 0.02}
    experiment, study = race
    slow = ran(race, Training(TANH, 2012, 1e-4))
    trainer = experiment.trainer(study, Training(TANH, 2012, 1e-4))
    trainer.fit()
    wrong = percent_wrong(trainer, study.train)
    assert slow["score"] == pytest.approx(2 + wrong)
    assert wrong > 10


@pytest.mark.parametrize(("limit", "failed"), [(60, False), (-1, True)])
def test_a_trial_that_hardly_started_has_failed(race, monkeypatch, limit, failed):
    monkeypatch.setattr(relu_vs_tanh, "hardly_started", lambda study: limit)
    assert ran(race, Training(TANH, 2012, 0.02))["failed"] is failed


def test_a_run_that_never_gets_there_counts_as_its_whole_length(race, monkeypatch):
    experiment, _ = race
    monkeypatch.setattr(type(experiment), "threshold", staticmethod(lambda study: -1.0))
    found = ran(race, Training(TANH, 0, 0.001))
    assert (found["arrived"], found["epochs"]) == (False, 2)
    assert len(found["curve"]) == 1 + 16


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # reproduction.py does
def test_a_rate_that_is_far_too_high_fails(race):
    found = ran(race, Training(HES, 0, 1e30))
    assert (found["arrived"], found["failed"], found["epochs"]) == (False, True, 2)
    assert ran(race, Training(HES, 2012, 1e30))["failed"]
    ordinary = find("overlap")
    study = Study.of(data_of(1, 28), 40, 1)
    run = Training("2×2, stride 2", 2012, 1e30)
    trainer = ordinary.trainer(study, run)
    found = ordinary.train(trainer, study, run, lambda t: None)
    assert found == {run.net: {"score": 100.0, "failed": True, "rate": 1e30}}
    run = run._replace(seed=3)
    found = ordinary.train(ordinary.trainer(study, run), study, run, lambda t: None)[run.net]
    assert (found["failed"], found["rate"]) == (True, 1e30)
    assert found["test_error"] >= 80


# ---- the rates ---------------------------------------------------------------------------------


class Chosen(Experiment):
    arms = ("a", "b")
    rates = (0.1, 0.2, 0.3)


def trials(scores, failed=()):
    """scores: by rate, three;  failed: the rates of which the second trial failed"""
    return {
        str(Training("a", seed, rate)): {
            "a": {"score": score, "failed": rate in failed and seed == TRIAL_SEEDS[1]}
        }
        for rate, found in scores.items()
        for seed, score in zip(TRIAL_SEEDS, found, strict=True)
    }


# by medians 0.2, by means 0.3, by the best 0.1
SCORES = {0.1: (1, 60, 61), 0.2: (20, 21, 99), 0.3: (40, 40, 40)}


@pytest.mark.parametrize(
    ("failed", "rate"),
    [((), 0.2), ((0.2,), 0.3), ((0.2, 0.3), 0.1), ((0.1, 0.2, 0.3), 0.2)],
)
def test_the_rate_with_the_best_median_of_those_without_a_failure(failed, rate):
    experiment, results = Chosen(), trials(SCORES, failed)
    assert experiment.rate(Training("a", 5), results) == rate
    assert experiment.rate(Training("a", 2010, 0.3), {}) == 0.3  # a trial has its own
    told = {rate: experiment.trials("a", rate, results) for rate in SCORES}
    assert told == {
        rate: (score, int(rate in failed)) for rate, score in ((0.1, 60), (0.2, 21), (0.3, 40))
    }


def test_each_net_has_the_rate_that_is_best_for_it():
    others = {rate: (score,) * 3 for rate, score in ((0.1, 3), (0.2, 30), (0.3, 9))}
    results = trials(SCORES) | {
        name.replace("a, ", "b, "): {"b": trial["a"]} for name, trial in trials(others).items()
    }
    assert [Chosen().rate(Training(net, 5), results) for net in "ab"] == [0.2, 0.1]


def test_each_net_has_trials_of_its_own_on_seeds_that_are_not_judged():
    trainings = Chosen().trainings(2)
    assert len(set(trainings)) == len(trainings) == 2 * 3 * 3 + 2 * 2
    tried = {(t.net, t.rate, t.seed) for t in trainings if t.trial}
    assert tried == {(n, r, s) for n in "ab" for r in (0.1, 0.2, 0.3) for s in TRIAL_SEEDS}
    assert [t.trial for t in trainings] == [True] * 18 + [False] * 4
    assert len(TRIAL_SEEDS) == 3
    nets = [t.net for t in trainings]
    assert nets == sorted(nets[:18]) + sorted(nets[18:])  # one net's follow one another
    assert all(t.rate is None for t in trainings[18:])
    assert str(Training("a", 2010, 0.1)) == "a, seed 2010, rate 0.1"
    assert str(Training("a", 1, 0.1)) == "a, seed 1"


def test_a_trial_is_judged_by_the_images_held_out(grey, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "minitorch_alexnet.experiments.experiment.percent_wrong",
        lambda trainer, dataset: asked.append(dataset) or 87.4,
    )
    experiment, run = find("overlap"), Training("2×2, stride 2", 2010, 0.02)

    def tried():
        trainer = experiment.trainer(grey, run)
        return experiment.train(trainer, grey, run, lambda t: None)[run.net]

    found = tried()
    assert len(asked) == 1
    assert asked[0] is grey.validation
    # of ten classes a guess has 90 % wrong, and 0.97 of that are 87.3
    assert found == {"score": 87.4, "failed": True, "rate": 0.02}
    monkeypatch.setattr(
        "minitorch_alexnet.experiments.experiment.percent_wrong", lambda trainer, dataset: 87.2
    )
    assert tried()["failed"] is False


def test_the_threshold_is_the_papers_for_colours(grey, colour):
    experiment = find("relu-vs-tanh")
    assert (experiment.threshold(colour), experiment.threshold(grey)) == (25.0, 10.0)


# ---- which images suit -------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_grey_images_suit_all_but_what_is_about_colours(name):
    why = find(name).why_not(data_of(1, 28))
    assert (why == "") == (name in GREY_TOO)
    assert why == "" or "these images are grey" in why
    assert find(name).why_not(data_of(3, 32)) == ""


@pytest.mark.parametrize("name", ["depth", "overlap", "ten-crop", "two-devices"])
def test_photographs_of_64_pixels(name):
    why = find(name).why_not(data_of(3, 64, images=12))
    assert (why == "") == (name != "overlap")
    assert why == "" or ("64 pixels" in why and "--size 32" in why)


def test_sizes_that_no_net_takes():
    assert [model_for((3, size, size)) for size in (24, 32, 56, 128)] == [
        *["fashion"] * 2,
        *["alexnet-small"] * 2,
    ]
    for size in (23, 33, 55, 129, 256):
        with pytest.raises(UserError, match=f"these have {size}: prepare"):
            model_for((3, size, size))
    assert "24 to 32 pixels" in find("depth").why_not(data_of(3, 40))


def test_the_split_is_the_same_each_time_and_nothing_is_in_both_parts():
    data = data_of(1, 24, images=60)
    data.train.images[:, 0, 0, 0] = np.arange(60)  # to know them by
    small, large = Study.of(data, 20, 1), Study.of(data, 1000, 1)
    numbers = [set(part.images[:, 0, 0, 0]) for part in (large.train, large.validation)]
    assert [len(part) for part in numbers] == [55, 5]  # a twelfth is held out
    assert numbers[0].isdisjoint(numbers[1])
    np.testing.assert_array_equal(small.train.images, large.train.images[:20])
    np.testing.assert_array_equal(small.validation.images, large.validation.images)
    assert small.test is data.test


def test_recipes_in_words(grey):
    said = find("ten-crop").recipe(grey, Training("one net", 0))
    defaults = Config()
    assert said == (
        "fashion, batches of 64, the best of the rates 0.02, 0.04, 0.08 in the median of 3 trials"
        f" (one-cycle), momentum {defaults.momentum:g}, weight"
        f" decay {defaults.weight_decay:g}, dropout {defaults.dropout:g}, random parts and"
        " reflections"
    )


def test_an_unknown_name():
    with pytest.raises(
        UserError, match="there is no experiment 'lr': expected all, or one of relu"
    ):
        find("lr")


def test_a_model_is_named_by_the_shorter_side():
    assert model_for((1, 28, 40)) == model_for((1, 40, 28)) == "fashion"
    assert model_for((3, 64, 150)) == model_for((3, 150, 64)) == "alexnet-small"
    with pytest.raises(UserError, match="--size 32 or --size 64"):
        model_for((3, 150, 40))


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "relu-vs-tanh"])
def test_judged_nets_that_diverge_have_numbers_and_a_report(name, colour, monkeypatch):
    experiment, rows = find(name), []

    def diverge(trainer, on_step):
        raise Diverged("the loss is not finite")

    monkeypatch.setattr(Trainer, "fit", diverge)
    for net in experiment.nets:
        training = Training(net, 0, 0.02)
        trainer = experiment.trainer(colour, training)
        arms = experiment.train(trainer, colour, training, lambda trainer: None)
        rows += [{"arm": arm, "seed": 0, **numbers} for arm, numbers in arms.items()]
    assert {row["arm"] for row in rows} == set(experiment.arms)
    for row in rows:
        assert row["failed"]
        assert all(np.isfinite(row[measure.key]) for measure in experiment.measures)
    assert all("nan" not in remark for remark in experiment.remarks(rows))
