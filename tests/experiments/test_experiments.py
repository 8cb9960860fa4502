"""An experiment's arms differ in the one thing that it is about, and start and see the same."""

import functools
from dataclasses import asdict, replace

import numpy as np
import pytest

from minitorch_alexnet.config import Config
from minitorch_alexnet.data import Data
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.transforms import ten_crops
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.experiments import EXPERIMENTS, dropout, find, relu_vs_tanh
from minitorch_alexnet.experiments.experiment import Study, Training, model_for, percent_wrong
from minitorch_alexnet.experiments.specialisation import colour_share, tower_means
from minitorch_alexnet.layers import LocalResponseNorm
from minitorch_alexnet.layers.loss import log_softmax
from minitorch_alexnet.run import in_words

GREY_TOO = [name for name in EXPERIMENTS if name not in ("pca-colour", "specialisation")]
TWO_NETS = [name for name in EXPERIMENTS if len(EXPERIMENTS[name].nets) == 2]


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
    """The trainers of both nets; tests only look at them."""
    rate = 0.02 if name == "relu-vs-tanh" else None
    experiment = find(name)
    return [experiment.trainer(study, Training(net, seed, rate)) for net in experiment.nets]


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


@pytest.mark.parametrize("name", TWO_NETS)
def test_weights_that_both_arms_have_start_alike(name, colour):
    first, second = (trainer.net.state_dict() for trainer in pair(name, colour))
    shared = [key for key in first if key in second and first[key].shape == second[key].shape]
    assert len(shared) >= 6
    for key in shared:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)
    if name == "two-devices":
        assert {key.split(".")[0] for key in shared} == {"conv5", "fc6", "fc7", "fc8"}
    elif name != "depth":
        assert shared == list(first) == list(second)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_another_seed_starts_otherwise(name, colour):
    net = find(name).nets[0]
    first, second = (find(name).net(colour, Training(net, seed)).state_dict() for seed in (0, 1))
    assert not any(np.array_equal(first[k], second[k]) for k in first if k.endswith("weight"))


@pytest.mark.parametrize("name", TWO_NETS)
def test_both_arms_see_the_same_batches_in_the_same_order(name, colour):
    first, second = (trainer.train_loader for trainer in pair(name, colour))
    for epoch in (0, 1):
        batches = zip(first.epoch(epoch), second.epoch(epoch), strict=True)
        for (images, labels), (others, same) in batches:
            np.testing.assert_array_equal(labels, same)
            if name == "pca-colour":  # each image of the one arm is shifted by one colour
                shift = (images - others) - (images - others)[:, :, :1, :1]
                np.testing.assert_allclose(shift, 0, atol=1e-5)
                assert np.abs(images - others).max() > 0.01
            else:
                np.testing.assert_array_equal(images, others)


@pytest.mark.parametrize("name", TWO_NETS)
def test_both_arms_drop_the_same_units(name, colour):
    first, second = pair.__wrapped__(name, colour)
    assert first.net.generator_states() == second.net.generator_states()
    images = next(iter(first.train_loader))[0]
    first.net.forward(images)
    second.net.forward(images)
    assert first.net.generator_states() == second.net.generator_states()


@pytest.mark.parametrize("name", TWO_NETS)
def test_both_arms_have_the_same_images(name, grey, colour):
    study = grey if name in GREY_TOO else colour
    first, second = pair(name, study)
    assert first.train_loader.dataset is second.train_loader.dataset is study.train
    assert first.validation is second.validation is study.validation


# ---- the one thing -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", TWO_NETS)
def test_the_arms_configs_differ_where_the_experiment_says(name, colour):
    first, second = (asdict(trainer.config) for trainer in pair(name, colour))
    differing = {key for key in first if first[key] != second[key]}
    assert differing == {"dropout": {"dropout"}, "pca-colour": {"colour_noise"}}.get(name, set())
    assert find("dropout").config(colour, Training("dropout 0.5", 0)).dropout == 0.5
    assert find("dropout").config(colour, Training("without", 0)).dropout == 0
    assert find("pca-colour").config(colour, Training("with shifts", 0)).colour_noise == 0.1
    assert find("pca-colour").config(colour, Training("without", 0)).colour_noise == 0


def test_lrn_differs_in_alpha_alone(grey):
    first, second = (trainer.net for trainer in pair("lrn", grey))
    assert changed_layers(first, second).keys() == {"norm1", "norm2"}
    for name in ("norm1", "norm2"):
        with_lrn, without = vars(first[name]), vars(second[name])
        assert with_lrn["alpha"] == 1e-4 * grey.train.deviation**2
        assert {k for k in with_lrn if with_lrn[k] != without[k]} == {"alpha"}
        assert without["alpha"] == 0
        assert with_lrn["groups"] == 2


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


def test_depth_leaves_one_convolution_out(grey):
    first, second = (trainer.net for trainer in pair("depth", grey))
    assert changed_layers(first, second) == {
        "conv4": ("Conv2d(96, 96, 3, padding=1, groups=2)", None),
        "relu4": ("ReLU()", None),
    }


def test_dropout_differs_in_the_share_of_silent_units(grey):
    first, second = (trainer.net for trainer in pair("dropout", grey))
    assert changed_layers(first, second) == dict.fromkeys(
        ("drop6", "drop7"), ("Dropout(0.5, rescale='test')", "Dropout(0, rescale='test')")
    )


def test_tanh_takes_the_place_of_relu(grey):
    first, second = (trainer.net for trainer in pair("relu-vs-tanh", grey))
    assert changed_layers(first, second) == dict.fromkeys(
        ("act1", "act2", "act3"), ("ReLU()", "Tanh()")
    )
    assert sum(bool(node.layer.params) for node in first.nodes.values()) == 4  # layers
    assert pair("relu-vs-tanh", grey)[0].sgd.weight_decay == 0


def test_the_one_tower_is_the_papers_control(grey):
    """Half the kernels in conv1 to conv4, conv5 whole, no groups; as models.alexnet_control."""
    two, one = (trainer.net for trainer in pair("two-devices", grey))
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


def test_two_devices_tells_the_parameters(grey):
    experiment = find("two-devices")
    rows = [
        {"arm": "two towers", "parameters": 354_026},
        {"arm": "one tower", "parameters": 285_082},
    ]
    (remark,) = experiment.remarks(rows)
    assert "354,026 and 285,082, a ratio of 0.81" in remark


# ---- what is measured --------------------------------------------------------------------------


def test_percent_wrong(grey):
    (trainer, _) = pair("lrn", grey)
    logits = trainer.net.predict(trainer.normalize(grey.test.images, trainer.net.device))
    wrong = (logits.argmax(axis=1) != grey.test.labels).sum()
    assert 0 < wrong < 20  # of 20
    assert percent_wrong(trainer, grey.test) == pytest.approx(100 * wrong / 20)
    judged = find("lrn").judge(trainer, grey, Training("without", 0))
    assert judged == {"without": {"test_error": percent_wrong(trainer, grey.test)}}


@pytest.mark.parametrize(("size", "part"), [(28, 24), (32, 28)])
def test_one_net_is_judged_by_its_centre_and_by_ten_parts(size, part):
    study = Study.of(data_of(1, size), 40, 1)
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


def test_convergence_is_the_lowest_error_before_the_rate_falls(grey, monkeypatch):
    errors = [(0.6, 0.1), (0.2, 0.1), (0.19, 0.1), (0.3, 0.1), (0.19, 0.1), (0.1, 0.01)]
    (trainer, _) = pair.__wrapped__("dropout", grey)
    trainer.history = [
        {"epoch": epoch, "validation_accuracy": 1 - error, "learning_rate": rate}
        for epoch, (error, rate) in enumerate(errors, start=1)
    ]
    given = {id(grey.test): 25.0, id(grey.train): 5.5}
    monkeypatch.setattr(dropout, "percent_wrong", lambda trainer, dataset: given[id(dataset)])
    judged = find("dropout").judge(trainer, grey, Training("without", 0))["without"]
    assert judged == {"test_error": 25.0, "train_error": 5.5, "gap": 19.5, "epochs": 3}


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
    experiment, run = find("specialisation"), Training("two towers", 0)
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
    (remark,) = experiment.remarks([{"arm": "as trained", **judged["as trained"]}])
    assert remark.endswith(f"0.0 and {judged['as trained']['tower_b']:.1f}.")


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
    monkeypatch.setattr(relu_vs_tanh, "RATES", (0.02, 0.01))
    experiment = find("relu-vs-tanh")
    monkeypatch.setattr(type(experiment), "threshold", staticmethod(lambda study: 10.0))
    config = type(experiment).config
    monkeypatch.setattr(type(experiment), "config", lambda *a: replace(config(*a), batch_size=8))
    return experiment, Study.of(Data("quarters", quarters(69), quarters(20)), 64, 2)


def ran(race, run, results=()):
    experiment, study = race
    ((arm, numbers),) = experiment.train(study, run, dict(results), lambda trainer: None).items()
    assert arm == run.net
    return numbers


def trial(arm, rate, epochs, reached=True):
    numbers = {"epochs": epochs, "reached": reached, "rate": rate}
    return str(Training(arm, relu_vs_tanh.TRIAL_SEED, rate)), {arm: numbers}


def test_each_arm_tries_all_rates_on_a_seed_that_is_not_judged(race):
    experiment, _ = race
    runs = experiment.trainings(2)
    assert runs[:4] == [
        Training(arm, 2012, rate) for arm in ("ReLU", "tanh") for rate in (0.02, 0.01)
    ]
    assert runs[4:] == [Training(arm, seed) for seed in (0, 1) for arm in ("ReLU", "tanh")]


def test_a_run_ends_when_the_error_is_first_at_the_threshold(race):
    found = ran(race, Training("tanh", 2012, 0.02))
    epochs, errors = np.transpose(found["curve"])
    assert found["reached"]
    assert found["epochs"] == epochs[-1] < 2
    assert errors[-1] <= 10
    assert min(errors[:-1]) > 10
    np.testing.assert_allclose(epochs, np.arange(len(epochs)) / 8)  # eight steps an epoch


def test_the_rate_is_constant(race):
    experiment, study = race
    rates = []
    experiment.train(
        study, Training("tanh", 2012, 0.01), {}, lambda trainer: rates.append(trainer.sgd.lr)
    )
    assert set(rates) == {0.01}


def test_judged_runs_take_their_arms_fastest_rate(race):
    results = dict(
        [
            trial("ReLU", 0.02, 3.0),
            trial("ReLU", 0.01, 2.0),
            trial("tanh", 0.02, 1.0),
            trial("tanh", 0.01, 5.0),
        ]
    )
    assert ran(race, Training("ReLU", 0), results)["rate"] == 0.01
    assert ran(race, Training("tanh", 0), results)["rate"] == 0.02


def test_a_rate_that_never_got_there_is_not_the_fastest(race):
    results = [trial("ReLU", 0.02, 2, reached=False), trial("ReLU", 0.01, 2)]
    assert ran(race, Training("ReLU", 0), results)["rate"] == 0.01


def test_a_trial_ends_where_the_best_before_it_was_done(race):
    found = ran(race, Training("ReLU", 2012, 0.01), [trial("ReLU", 0.02, 0.25)])
    assert len(found["curve"]) == 1 + 2
    assert (found["reached"], found["epochs"]) == (False, 2)
    found = ran(race, Training("ReLU", 2012, 0.01), [trial("tanh", 0.02, 0.25)])  # another arm's
    assert len(found["curve"]) > 1 + 2


def test_a_run_that_never_gets_there_counts_as_its_whole_length(race, monkeypatch):
    experiment, _ = race
    monkeypatch.setattr(type(experiment), "threshold", staticmethod(lambda study: -1.0))
    found = ran(race, Training("tanh", 2012, 0.0))
    assert (found["reached"], found["epochs"], len(found["curve"])) == (False, 2, 1 + 16)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # reproduction.py does
def test_a_rate_that_is_far_too_high_is_a_slow_one(race):
    found = ran(race, Training("ReLU", 2012, 1e30))
    assert (found["reached"], found["epochs"]) == (False, 2)


def test_the_threshold_is_the_papers_for_colours(grey, colour):
    experiment = find("relu-vs-tanh")
    assert (experiment.threshold(colour), experiment.threshold(grey)) == (25.0, 10.0)


def test_remarks_say_the_rates_and_who_never_got_there():
    rows = [
        {"arm": arm, "rate": rate, "reached": reached}
        for arm, rate in (("ReLU", 0.04), ("tanh", 0.02))
        for reached in (True, arm == "ReLU")
    ]
    assert find("relu-vs-tanh").remarks(rows) == [
        "ReLU: rate 0.04; 0 of 2 never got there.",
        "tanh: rate 0.02; 1 of 2 never got there.",
    ]


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
        f"fashion, batches of 64, rate 0.04 (one-cycle), momentum {defaults.momentum:g}, weight"
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
