"""A run's folder: what is kept, read back, and refused."""

import csv
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from small import RAW, a_small_net, photographs, tiny

from minitorch_alexnet import checkpoint
from minitorch_alexnet.config import Config
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.transforms import View
from minitorch_alexnet.errors import CheckpointError, UserError
from minitorch_alexnet.evaluate import evaluate
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Dropout, Flatten, Linear, Tanh
from minitorch_alexnet.models import MODELS
from minitorch_alexnet.run import METRICS, load_run, normalize_of, read_config
from minitorch_alexnet.train import Trainer

CONFIG = Config(epochs=3, batch_size=32, augment=True, seed=5)


def test_load_run_gives_the_trained_net_and_its_preparation(garments, tmp_path):
    trainer = Trainer(garments, Config(epochs=1), tmp_path)
    trainer.fit()
    run = load_run(tmp_path)
    assert run.config == trainer.config == read_config(tmp_path)
    assert run.class_names == garments.class_names
    images = run.normalize(garments.images[:5], run.net.device)
    np.testing.assert_array_equal(images, trainer.normalize(garments.images[:5], run.net.device))
    np.testing.assert_array_equal(run.net.predict(images), trainer.net.predict(images))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not a run folder: there is no config.json"),
        ("{", "is not a run's config"),
        (json.dumps({"epoch": 3}), "is not a run's config"),
    ],
)
def test_read_config_refuses_what_is_not_one(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path)


def test_a_checkpoint_of_another_config_is_refused(garments, tmp_path):
    Trainer(garments, Config(epochs=1), tmp_path, net=a_small_net()).fit()
    with pytest.raises(CheckpointError, match="another config"):
        Trainer(garments, Config(epochs=1, momentum=0.8), tmp_path, net=a_small_net()).resume()


def test_a_run_of_another_net_or_on_other_images_is_refused(garments, tmp_path):
    Trainer(garments, CONFIG, tmp_path, net=a_small_net()).fit()
    other = a_small_net()
    other.nodes["relu1"].layer.__class__ = Tanh
    with pytest.raises(CheckpointError, match="this is a run of another net"):
        Trainer(garments, CONFIG, tmp_path, net=other).resume()
    others = ArrayDataset(255 - garments.images, garments.labels, garments.class_names)
    with pytest.raises(CheckpointError, match="this is a run on other images"):
        Trainer(others, CONFIG, tmp_path, net=a_small_net()).resume()


def test_trained_on_two_devices_it_answers_alike_on_one_and_the_other_way_round(
    tiny_models, tmp_path
):
    data = photographs()
    for model, other, devices in ("tiny", "tiny-merged", "cpu"), ("tiny-merged", "tiny", "cpu,cpu"):
        Trainer(data, replace(RAW, model=model), tmp_path / model).fit()
        mine, theirs = load_run(tmp_path / model), load_run(tmp_path / model, other, devices)
        assert theirs.net.nodes.keys() != mine.net.nodes.keys()
        view = View(2, 2, 16, 16)(data.images)
        answers = [r.net.predict(r.normalize(view, r.net.device)) for r in (mine, theirs)]
        np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-5)


def test_a_run_without_a_folder_says_that_it_keeps_nothing(garments):
    trainer = Trainer(garments, CONFIG, net=a_small_net())
    with pytest.raises(UserError, match="without a folder"):
        trainer.run.write_records([])
    with pytest.raises(UserError, match="without a folder"):
        trainer.run.save_net()


def test_metrics_csv_is_rewritten_from_the_checkpoint(garments, tmp_path):
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    trainer.fit()
    right = (tmp_path / "metrics.csv").read_text()
    (tmp_path / "metrics.csv").write_text(right + "9,9,9,9,9,9,9\n")
    assert Trainer(garments, CONFIG, tmp_path, net=a_small_net()).resume()
    assert (tmp_path / "metrics.csv").read_text() == right
    losses = [row["validation_loss"] for row in csv.DictReader(right.splitlines())]
    assert losses == [str(row["validation_loss"]) for row in trainer.history]


def test_the_rules_of_a_recipe_start_the_weights(tiny_models):
    start = Trainer(photographs(), replace(RAW, init="paper")).net.state_dict()
    assert start["conv1.weight"].std() == pytest.approx(0.01, rel=0.15)
    assert start["fc8.weight"].std() == pytest.approx(0.01, rel=0.15)
    small = Trainer(photographs(), replace(RAW, init="small-set")).net.state_dict()
    own = tiny().state_dict()
    assert all(np.array_equal(small[name], own[name]) for name in own)


@pytest.mark.parametrize(("standardize", "conv1"), [(True, (2 / 25) ** 0.5), (False, 0.01)])
def test_the_start_fits_the_pixels(garments, standardize, conv1):
    trainer = Trainer(garments, Config(standardize=standardize))
    weight = trainer.net.state_dict()["conv1.weight"]
    assert weight.std() == pytest.approx(conv1, rel=0.15)


@pytest.mark.parametrize("shape", [(1, 28, 30), (1, 30, 28), (3, 25, 33), (1, 32, 24)])
def test_high_and_wide_images_are_as_good(shape):
    images = np.zeros((20, *shape), np.uint8)
    trainer = Trainer(ArrayDataset(images, np.arange(20) % 2), Config(epochs=1))
    assert trainer.net.input_shape == (shape[0], min(shape[1:]), min(shape[1:]))
    assert trainer.predict(images).labels.shape == (20,)


@pytest.mark.parametrize(
    ("shape", "config", "words"),
    [
        ((1, 40, 40), Config(), ["24 to 32", "fashion with size 32", "--size", "fashion-alexnet"]),
        ((3, 80, 64), Config(), ["24 to 32", "that take them: alexnet-small;"]),
        ((3, 64, 64), Config(model="alexnet"), ["takes images of 3×224×224", "alexnet-small"]),
        ((3, 230, 240), Config(), ["alexnet, ", "alexnet-small with size 128", "torchvision"]),
        ((1, 28, 28), Config(size=40), ["got 40", "that take them: fashion, fashion-alexnet;"]),
        ((1, 10, 10), Config(), ["24 to 32", "28×28", "prepare --size"]),
    ],
)
def test_images_that_a_model_does_not_take_are_told_of_one_that_does(shape, config, words):
    images = ArrayDataset(np.zeros((20, *shape), np.uint8), np.arange(20) % 2)
    with pytest.raises(UserError) as error:
        Trainer(images, config)
    assert [word for word in words if word not in str(error.value)] == []


def test_a_net_for_other_images_is_refused():
    def images(*shape):
        return ArrayDataset(np.zeros((20, *shape), np.uint8), np.arange(20) % 10)

    for shape in (1, 9, 9), (1, 27, 30), (2, 28, 28), (1, 56, 56):
        with pytest.raises(
            UserError, match="takes images of 1×28×28.*these have " + "×".join(map(str, shape))
        ):
            Trainer(images(*shape), net=a_small_net())
    assert Trainer(images(1, 55, 28), net=a_small_net()).train_loader.crop == View(13, 0, 28, 28)


# ---- predictions -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trainer on photographs of 20×20, whose net reads 16×16 of them; its folder is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "tiny", tiny)
        config = replace(RAW, standardize=True, lr=0.05)
        trainer = Trainer(photographs(), config, tmp_path_factory.mktemp("runs"))
        trainer.fit()
        yield trainer


def test_pictures_as_they_are_are_seen_as_in_the_test(trained):
    test = photographs(40, seed=1)
    logits = evaluate(trained.net, *trained.views(test)).logits
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    for run in trained, trained.run, load_run(trained.folder):
        for pictures in test.images, test.images.astype(np.float32), list(test.images):
            told = run.predict(pictures)
            np.testing.assert_allclose(told.probabilities, shares, rtol=1e-4, atol=1e-6)
            assert told.probabilities.dtype == np.float32
            np.testing.assert_array_equal(told.labels, logits.argmax(axis=1))
            assert told.names == [str(label) for label in told.labels]
    assert (told.labels == test.labels).mean() > 0.9
    assert "1: " in str(told)
    assert "… and 20 more" in str(told)


def test_the_best_classes_come_first(trained):
    told = trained.predict(photographs(5).images)
    for row, best in zip(told.probabilities, told.best(2), strict=True):
        order = np.argsort(-row)
        assert best == [(str(k), row[k]) for k in order[:2]]
    assert [len(best) for best in told.best(9)] == [3] * 5


def test_one_picture_is_seen_as_it_is_among_others(trained):
    images = photographs(3).images
    among = trained.predict(images).probabilities
    np.testing.assert_allclose(trained.predict(images[1]).probabilities, among[1:2], rtol=1e-4)
    wide = np.pad(images, ((0, 0), (0, 0), (3, 3), (1, 1)))  # its centre is looked at
    np.testing.assert_allclose(trained.predict(wide).probabilities, among, rtol=1e-4)


def test_grey_pictures_have_no_axis_of_channels(garments):
    trainer = Trainer(garments, CONFIG, net=a_small_net())
    expected = trainer.predict(garments.images[:4]).probabilities
    images = garments.images[:4, 0]
    np.testing.assert_array_equal(trainer.predict(images).probabilities, expected)
    one = trainer.predict(images[2]).probabilities
    np.testing.assert_allclose(one, expected[2:3], rtol=1e-5)


@pytest.mark.parametrize("count", [1, 40])
def test_predictions_take_a_batch_at_a_time(trained, count, monkeypatch):
    seen, forward = [], trained.net.forward
    monkeypatch.setattr(
        trained.net, "forward", lambda x, **o: seen.append(len(x)) or forward(x, **o)
    )
    trained.predict(photographs(count).images)
    assert seen == ([1] if count == 1 else [16, 16, 8])


WRONG = {
    "shares": (lambda x: x / 255, r"0 … 0.\d+, .* 0 … 255: images \* 255"),
    "about 0": (lambda x: x / 127.5 - 1, "127.5"),
    "channels last": (lambda x: x.transpose(0, 2, 3, 1), "transpose"),
    "one, channels last": (lambda x: x[0].transpose(1, 2, 0), r"transpose\(2, 0, 1\)\[None\]"),
    "grey": (lambda x: x[:, :1], "takes images of 3×16×16.*these have 1×20×20"),
    "small": (lambda x: x[:, :, :15], "these have 3×15×20"),
    "integers": (lambda x: x.astype(int), "astype"),
    "none": (lambda x: x[:0], "at least one"),
    "nan": (lambda x: x * np.nan, "nan"),
    "rows": (lambda x: x.reshape(len(x), -1), "got shape"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_pictures_unlike_those_of_the_training_are_refused(trained, change, message):
    with pytest.raises(UserError, match=message):
        load_run(trained.folder).predict(change(photographs(5).images))


def test_the_scale_of_floats_is_kept(garments, tmp_path):
    images = (garments.images / 255).astype(np.float32)
    trainer = Trainer(
        ArrayDataset(images, garments.labels, garments.class_names), CONFIG, tmp_path, a_small_net()
    )
    trainer.save()
    run = load_run(tmp_path, net=a_small_net())
    np.testing.assert_array_equal(
        run.predict(images).probabilities, trainer.predict(images).probabilities
    )
    with pytest.raises(UserError, match="images / 255"):
        run.predict(garments.images)


def test_of_older_runs_the_scale_is_not_known(trained, tmp_path):
    arrays, meta = checkpoint.load(trained.folder / "checkpoint.npz")
    assert meta.pop("span") == [0, 255]
    checkpoint.save(tmp_path / "checkpoint.npz", arrays, meta)
    run, images = load_run(tmp_path), photographs(5).images
    np.testing.assert_array_equal(
        run.predict(images).probabilities, trained.predict(images).probabilities
    )
    run.predict(images / 255)


def test_a_data_set_of_other_classes_is_not_shown(trained):
    other = ArrayDataset(photographs().images, photographs().labels, ["a", "b", "c"])
    with pytest.raises(UserError, match="other classes"):
        trained.views(other)
    with pytest.raises(UserError, match=r"other classes .*\(2, not 3\)"):
        trained.views(ArrayDataset(photographs().images, photographs().labels % 2))


# ---- a net of one's own, and what is damaged -----------------------------------------------------


def test_a_run_with_a_net_of_ones_own_is_read_with_that_net(garments, tmp_path):
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    trainer.fit()
    net = a_small_net()
    run = load_run(tmp_path, net=net)
    assert run.net is net
    np.testing.assert_array_equal(
        run.predict(garments.images).probabilities, trainer.predict(garments.images).probabilities
    )
    other = a_small_net()
    other.nodes["relu1"].layer.__class__ = Tanh
    with pytest.raises(CheckpointError, match="another net"):
        load_run(tmp_path, net=other)
    with pytest.raises(UserError, match="devices already"):
        load_run(tmp_path, net=a_small_net(), devices="cpu")


def test_a_net_of_ones_own_for_images_that_no_model_takes(tmp_path):
    images = ArrayDataset(np.zeros((20, 1, 5, 5), np.uint8), np.arange(20) % 2)
    net = Graph.of((1, 5, 5), [Flatten(), Linear(25, 2)])
    trainer = Trainer(images, CONFIG, tmp_path, net=net)
    trainer.save()
    found, expected = (r.predict(images.images) for r in (load_run(tmp_path), trainer))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_a_net_with_a_layer_of_ones_own_has_to_be_given(tmp_path):
    class Halved(Dropout):  # whose words are Dropout's
        pass

    images = ArrayDataset(np.zeros((20, 1, 5, 5), np.uint8), np.arange(20) % 2)
    net = Graph.of((1, 5, 5), [Flatten(), Halved(), Linear(25, 2)])
    Trainer(images, CONFIG, tmp_path, net=net).save()
    with pytest.raises(CheckpointError, match=r"net of its own: .*load_run\(folder, net=net\)"):
        load_run(tmp_path)
    assert load_run(tmp_path, net=net).net is net


def test_a_checkpoint_of_before_nets_were_described_whole(trained, tmp_path):
    arrays, meta = checkpoint.load(trained.folder / "checkpoint.npz")
    del meta["wiring"]
    checkpoint.save(tmp_path / "checkpoint.npz", arrays, meta)
    found, expected = (load_run(f).net.state_dict() for f in (tmp_path, trained.folder))
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize(
    "scale",
    [0, -1, [1, 2], [1, 0, 1], [1, 1, float("nan")], "1", None, [[1, 1, 1]], True, 1e39, 1e-60],
)
def test_a_scale_that_cannot_be_is_refused(trained, tmp_path, scale):
    arrays, meta = checkpoint.load(trained.folder / "checkpoint.npz")
    checkpoint.save(tmp_path / "checkpoint.npz", arrays, meta | {"scale": scale})
    with pytest.raises(CheckpointError, match="scale must be"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    "span", [[1, 0], [0], [0, 1, 2], [0, float("inf")], [-float("inf"), 0], "ab", [True, False]]
)
def test_a_span_that_cannot_be_is_refused(trained, tmp_path, span):
    arrays, meta = checkpoint.load(trained.folder / "checkpoint.npz")
    checkpoint.save(tmp_path / "checkpoint.npz", arrays, meta | {"span": span})
    with pytest.raises(CheckpointError, match="span must be"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    "mean", [np.ones((1, 2, 2), complex), np.full((1, 2, 2), 1e300), np.ones((1, 2, 2), bool)]
)
def test_a_mean_that_cannot_be_is_refused(mean):
    with pytest.raises(CheckpointError, match="mean"):
        normalize_of(mean, 1.0, None)


def test_how_photographs_are_resized_is_kept(trained, tmp_path):
    arrays, meta = checkpoint.load(trained.folder / "checkpoint.npz")
    for resized in (None, "bilinear", "turned"):
        told = meta if resized is None else meta | {"resized": resized}
        checkpoint.save(tmp_path / "checkpoint.npz", arrays, told)
        if resized == "turned":
            with pytest.raises(CheckpointError, match="resized must be one of"):
                load_run(tmp_path)
        else:
            assert load_run(tmp_path).resized == (resized or "as in the paper")
    del meta["resized"]  # as up to version 0.2
    checkpoint.save(tmp_path / "checkpoint.npz", arrays, meta)
    assert load_run(tmp_path).resized == "as in the paper"


@pytest.mark.parametrize("name", ["weights/fc8.weight", "normalize/mean"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(trained, tmp_path, name, value):
    arrays, meta = checkpoint.load(trained.folder / "checkpoint.npz")
    arrays[name].flat[-1] = value
    checkpoint.save(tmp_path / "checkpoint.npz", arrays, meta)
    with pytest.raises(CheckpointError, match="not finite"):
        load_run(tmp_path)


@pytest.mark.parametrize("changed", ["labels", "names", "pixels"])
def test_a_run_does_not_go_on_with_other_data(tiny_models, tmp_path, changed):
    data = photographs()
    Trainer(data, RAW, tmp_path).fit(on_step=lambda trainer: trainer.stop())
    images, labels, names = data.images.copy(), data.labels.copy(), ["0", "1", "2"]
    if changed == "labels":
        labels = (labels + 1) % 3
    elif changed == "names":
        names[1] = "dog"
    else:
        images[0, 0, 0, 0] += 1
    with pytest.raises(CheckpointError, match="other images, or with other classes"):
        Trainer(ArrayDataset(images, labels, names), RAW, tmp_path).resume()
    assert Trainer(photographs(), replace(RAW, data="elsewhere"), tmp_path).resume()  # it moved


# ---- a stranger's -----------------------------------------------------------------------------


@pytest.fixture
def half_way(garments, tmp_path):
    """A run's folder that stopped in epoch 2; and a function that changes its meta and arrays."""
    config = replace(CONFIG, epochs=2, schedule="plateau", augment=False)
    trainer = Trainer(garments, config, tmp_path)
    trainer.fit(lambda trainer: trainer.steps == 6 and trainer.stop())

    def change(arrays=None, **meta):
        with np.load(tmp_path / "checkpoint.npz") as file:
            found = {**file, **(arrays or {})}
        found["meta"] = np.array(json.dumps({**json.loads(str(found["meta"])), **meta}))
        np.savez(tmp_path / "checkpoint.npz", **found)

    def resumed():
        trainer = Trainer(garments, config, tmp_path)
        trainer.resume()
        return trainer

    change()
    assert (resumed().epoch, resumed().batch) == (1, 1)
    return tmp_path, change, resumed


@pytest.mark.parametrize(
    "meta",
    [
        {"scale": 0},
        {"scale": float("nan")},
        {"scale": "1"},
        {"class_names": "T-shirt"},
        {"class_names": [1] * 10},
        {"class_names": None},
        {"config": None},
        {"config": {"epochs": 1.5}},
        {"config": {"surprise": 1}},
        {"layers": 3},
        {"images": ["x"]},
        *({"span": span} for span in ("x", [0, "1"], [0, None], [0, float("inf")], {"a": 1})),
    ],
    ids=str,
)
def test_what_no_run_says(half_way, meta):
    folder, change, resumed = half_way
    change(**meta)
    for read in (resumed, lambda: load_run(folder)):
        with pytest.raises(CheckpointError, match=r"checkpoint\.npz"):
            read()


ROW = dict.fromkeys(METRICS, 1)


@pytest.mark.parametrize(
    "meta",
    [
        {"epoch": 0},
        {"epoch": 3, "history": [ROW] * 3},  # of two
        {"epoch": 10**400},
        {"batch": -1},
        {"batch": 10**6},
        {"batch": 2},
        {"batch": 10**6, "seen": 138},  # all there are
        {"batch": 1.0},
        {"seen": 10**6},
        {"correct": 33},
        {"loss_sum": float("nan")},
        {"seconds": "long"},
        {"finished": "no"},
        {"history": [{**ROW, "seconds": None}]},
        {"history": [{**ROW, "more": 1}]},
        {"history": [[1] * len(METRICS)]},
        {"schedule": {"rate": 1}},
        {"schedule": {"best": "low", "waited": 0, "dropped": 0}},
        {"schedule": {"best": 0.1, "waited": 0, "dropped": 0, "epoch_done": 1}},
        {"generators": {}},
        {"generators": {"drop6": 1, "drop7": 2}},
    ],
    ids=str,
)
def test_what_no_training_says(half_way, meta):
    folder, change, resumed = half_way
    change(**meta)
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz"):
        resumed()
    assert load_run(folder).config.epochs == 2  # it needs none of that


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(half_way, value):
    folder, change, resumed = half_way
    weight = load_run(folder).net.state_dict()["fc8.weight"]
    weight[1, 2] = value
    change({"weights/fc8.weight": weight})
    for read in (resumed, lambda: load_run(folder)):
        with pytest.raises(CheckpointError, match=r"fc8.* is not finite"):
            read()


@pytest.mark.parametrize("mean", [np.zeros(()), np.zeros((1, 28)), np.zeros((1, 28, 28), int)])
def test_a_mean_that_is_no_image(half_way, mean):
    folder, change, _ = half_way
    change({"normalize/mean": mean})
    with pytest.raises(CheckpointError, match=r"the pixels' mean must be|mean is not finite"):
        load_run(folder)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"epochs": ' + "9" * 5000 + "}", '{"lr": NaN}', '{"lr": 1e999}', "[]"]
)
def test_a_config_that_nobody_wrote(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="is not a run's config"):
        read_config(tmp_path)


def test_a_pipe_for_a_config(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match="a pipe or a device"):
        read_config(tmp_path)
