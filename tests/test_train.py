"""Training: what it learns, what it keeps, and that stopping leaves no trace in the numbers."""

import csv
import signal
from dataclasses import replace

import numpy as np
import pytest
from small import RAW, a_small_net, assert_same, photographs, tiny

import minitorch_alexnet.train as train_module
from minitorch_alexnet.config import Config
from minitorch_alexnet.data import silhouettes
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.transforms import View
from minitorch_alexnet.device import Device
from minitorch_alexnet.errors import UserError
from minitorch_alexnet.evaluate import evaluate
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.layers import Flatten, Linear, ReLU, SoftmaxCrossEntropy
from minitorch_alexnet.models import build
from minitorch_alexnet.optim import SGD
from minitorch_alexnet.run import load_run, read_config
from minitorch_alexnet.summary import ledger
from minitorch_alexnet.train import Trainer, absent
from minitorch_alexnet.workers import get_workers, set_threads

CONFIG = Config(epochs=3, batch_size=32, augment=True, seed=5)


def test_one_batch_is_learnt_by_heart():
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((16, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, 16)
    net = build("fashion", dropout=0.0)
    sgd = SGD(net.named_parameters(), lr=0.01, momentum=0.9, weight_decay=0)
    loss = SoftmaxCrossEntropy()
    losses = []
    for _ in range(45):
        losses.append(float(loss.forward(net.forward(images), labels)))
        net.backward(loss.backward())
        sgd.step()
    assert losses[0] == pytest.approx(np.log(10), abs=0.15)
    assert losses[-1] < 0.02


def test_it_learns_garments_it_has_not_seen():
    config = Config(epochs=4, batch_size=16, dropout=0.1, lr=0.02)
    trainer = Trainer(silhouettes.load("train", count=400), config)
    trainer.fit()
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3, 4]
    test = evaluate(trainer.net, *trainer.views(silhouettes.load("test", count=300)))
    assert test.accuracy > 0.5  # by chance 0.1
    assert trainer.history[-1]["train_loss"] < trainer.history[0]["train_loss"]


def test_ones_own_arrays_train_in_a_few_lines_with_any_number_of_classes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    images = rng.random((120, 2, 28, 28)) * 0.1
    images[np.arange(120), 0, labels] += 1.0  # the class is the bright row
    trainer = Trainer(ArrayDataset(images, labels), Config(epochs=4, batch_size=16, lr=0.02))
    trainer.fit()
    assert trainer.net.predict(trainer.normalize(images, trainer.net.device)).shape == (120, 3)
    assert trainer.history[-1]["validation_accuracy"] > 0.9


@pytest.mark.parametrize("stop_after", [1, 4, 5, 6, 12])  # 5 steps an epoch
def test_stopped_and_resumed_equals_never_stopped(garments, tmp_path, stop_after):
    whole = Trainer(garments, CONFIG, tmp_path / "whole", net=a_small_net())
    whole.fit()

    steps = []

    def stop_once(trainer):
        steps.append(1)
        if len(steps) == stop_after:
            trainer.stop()

    first = Trainer(garments, CONFIG, tmp_path / "run", net=a_small_net())
    first.fit(on_step=stop_once)
    assert not first.finished
    assert len(steps) == stop_after
    second = Trainer(garments, CONFIG, tmp_path / "run", net=a_small_net())
    assert second.resume()
    second.fit()
    assert_same(second, whole)
    tables = [(tmp_path / run / "metrics.csv").read_text() for run in ("whole", "run")]
    rows = [list(csv.DictReader(table.splitlines())) for table in tables]
    assert [r["train_loss"] for r in rows[0]] == [r["train_loss"] for r in rows[1]]
    assert [r["epoch"] for r in rows[1]] == ["1", "2", "3"]


def test_a_checkpoint_within_an_epoch_is_as_good(garments, tmp_path, monkeypatch):
    whole = Trainer(garments, CONFIG, net=a_small_net())
    whole.fit()
    monkeypatch.setattr(train_module, "SAVE_SECONDS", -1)  # after every step

    class Killed(BaseException):
        pass

    first = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    backward = first.net.backward

    def kill(*given):
        if (first.epoch, first.batch) == (1, 3):
            raise Killed
        return backward(*given)

    monkeypatch.setattr(first.net, "backward", kill)
    with pytest.raises(Killed):
        first.fit()
    again = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    assert again.resume()
    assert (again.epoch, again.batch) == (1, 3)
    again.fit()
    assert_same(again, whole)


def test_a_folder_without_a_checkpoint_starts_at_step_0(garments, tmp_path):
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    assert not trainer.resume()
    assert (trainer.epoch, trainer.batch, trainer.history) == (0, 0, [])


def test_the_plateau_schedule_ends_a_run_and_survives_a_stop(garments, tmp_path):
    config = Config(epochs=60, batch_size=64, schedule="plateau", lr=0.02, seed=1)
    whole = Trainer(garments, config, net=a_small_net())
    whole.fit()
    assert whole.epoch < 60
    rates = {row["learning_rate"] for row in whole.history}
    np.testing.assert_allclose(sorted(rates), [2e-5, 2e-4, 2e-3, 2e-2])

    def stop(trainer):
        if trainer.epoch == dropped_in:
            trainer.stop()

    dropped_in = 1 + next(i for i, row in enumerate(whole.history) if row["learning_rate"] < 0.01)
    Trainer(garments, config, tmp_path, net=a_small_net()).fit(on_step=stop)
    again = Trainer(garments, config, tmp_path, net=a_small_net())
    again.resume()
    again.fit()
    assert_same(again, whole)


def test_a_loss_that_is_not_finite_stops_names_the_layer_and_keeps_the_checkpoint(
    garments, tmp_path
):
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net())

    def spoil(trainer):
        if (trainer.epoch, trainer.batch) == (1, 2):
            trainer.net["fc2"].params["bias"].data[3] = np.nan

    with pytest.raises(UserError, match=r"epoch 2, batch 3: .* that of fc2; .* lower lr"):
        trainer.fit(on_step=spoil)
    good = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    assert good.resume()
    assert (good.epoch, good.batch) == (1, 0)
    assert all(np.isfinite(v).all() for v in good.net.state_dict().values())


def test_the_held_out_images_are_not_trained_on(garments):
    trainer = Trainer(garments, CONFIG, net=a_small_net())
    trained = {image.tobytes() for image in trainer.train_loader.dataset.images}
    held = {image.tobytes() for image in trainer.validation.images}
    assert len(held) == round(150 / 12)
    assert len(trained) == 150 - len(held)
    assert not trained & held
    mean = trainer.train_loader.dataset.images.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(trainer.normalize.mean, mean, rtol=1e-6)
    (view,) = trainer.views(trainer.validation)
    assert view.crop == View(0, 0, 28, 28)
    assert view.colour is None


def test_a_validation_set_on_another_scale_is_refused(garments):
    shares = ArrayDataset(garments.images / 255, garments.labels, garments.class_names)
    levels = ArrayDataset(garments.images * 1.0, garments.labels, garments.class_names)
    dark = ArrayDataset(garments.images // 90, garments.labels, garments.class_names)
    for data, validation, way in (garments, shares, "255"), (shares, garments, "255"):
        with pytest.raises(UserError, match=way):
            Trainer(data, CONFIG, net=a_small_net(), validation=validation)
    for data, validation in (garments, levels), (levels, garments), (garments, dark):
        assert Trainer(data, CONFIG, net=a_small_net(), validation=validation).run.normalize.span


def test_one_class_alone_is_refused(garments):
    one = ArrayDataset(garments.images, garments.labels * 0, ["imagenet-mini"])
    with pytest.raises(UserError, match="one class alone, imagenet-mini"):
        Trainer(one, CONFIG)


def test_holding_out_copies_no_images(garments):
    trainer = Trainer(garments, CONFIG, net=a_small_net())
    for part in trainer.train_loader.dataset, trainer.validation:
        assert np.shares_memory(part.images[0], garments.images)


def test_the_rate_follows_the_schedule_within_an_epoch(garments):
    trainer = Trainer(garments, CONFIG, net=a_small_net())
    rates = []
    trainer.fit(on_step=lambda t: rates.append(t.sgd.lr))
    progress = (np.arange(15) + 0.5) / 5
    np.testing.assert_allclose(
        rates, [0.02 * (p / 0.9 if p < 0.9 else (3 - p) / 2.1) for p in progress], atol=1e-12
    )


def test_the_same_bits_with_one_two_and_three_threads(garments):
    before = get_workers().threads
    states = []
    for threads in (1, 2, 3):
        set_threads(threads)
        trainer = Trainer(garments, Config(epochs=1, batch_size=64))
        trainer.fit()
        states.append({**trainer.net.state_dict(), "history": trainer.history[0]["train_loss"]})
    set_threads(before)
    for state in states[1:]:
        for name, value in states[0].items():
            np.testing.assert_array_equal(state[name], value, err_msg=name)


def test_a_run_is_not_written_over(garments, tmp_path):
    Trainer(garments, CONFIG, tmp_path, net=a_small_net()).fit()
    before = (tmp_path / "checkpoint.npz").read_bytes()
    with pytest.raises(UserError, match="holds a run already: call resume"):
        Trainer(garments, CONFIG, tmp_path, net=a_small_net()).fit()
    assert (tmp_path / "checkpoint.npz").read_bytes() == before
    with pytest.raises(UserError, match="without a folder"):
        Trainer(garments, CONFIG, net=a_small_net()).resume()


def test_weights_that_are_not_finite_never_replace_a_checkpoint(garments, tmp_path):
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net())

    def spoil(trainer):
        if (trainer.epoch, trainer.batch) == (1, 5):  # after the epoch's last step
            trainer.net["fc1"].params["weight"].data[0, 0] = np.nan

    with pytest.raises(UserError, match=r"epoch 2.* that of fc1"):
        trainer.fit(on_step=spoil)
    with pytest.raises(UserError, match="the checkpoint before stays"):
        trainer.save()
    good = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    assert good.resume()
    assert (good.epoch, good.batch) == (1, 0)


# ---- photographs, other devices ------------------------------------------------------------------


def test_pixels_are_divided_by_their_deviation_or_not():
    data = photographs()
    raw, divided = (Trainer(data, replace(RAW, standardize=s), net=tiny()) for s in (False, True))
    assert raw.normalize.scale == 1
    assert divided.normalize.scale == pytest.approx(divided.train_loader.dataset.deviation)
    assert divided.normalize.scale > 30


def test_a_validation_set_of_its_own_leaves_the_training_set_whole():
    train, other = photographs(), photographs(10, seed=1)
    trainer = Trainer(train, RAW, net=tiny(), validation=other)
    assert trainer.train_loader.dataset is train
    np.testing.assert_array_equal(trainer.validate().labels, other.labels)


def test_augmentation_crops_larger_images_and_shifts_others():
    config = replace(RAW, augment=True, colour_noise=0.1)
    larger = Trainer(photographs(), config, net=tiny()).train_loader
    assert (larger.crop.size, larger.crop.padding) == ((16, 16), 0)
    assert larger.colour.std == 0.1
    np.testing.assert_allclose(
        larger.colour.axes @ larger.colour.axes.T, larger.dataset.covariance, rtol=1e-9
    )
    equal = Trainer(silhouettes.load("train", count=40), Config(augment=True)).train_loader
    assert (equal.crop.size, equal.crop.padding, equal.colour) == ((28, 28), 1, None)
    assert Trainer(photographs(), RAW, net=tiny()).train_loader.crop == View(2, 2, 16, 16)


def test_a_run_goes_on_with_other_devices(tiny_models, tmp_path):
    config = replace(RAW, dropout=0.4)
    whole = Trainer(photographs(), config)
    whole.fit()
    first = Trainer(photographs(), config, tmp_path)
    first.fit(on_step=lambda trainer: trainer.stop())
    second = Trainer(photographs(), replace(config, devices="cpu:3,cpu:2"), tmp_path)
    assert second.resume()
    second.fit()
    assert second.net.nodes["conv1b"].device == Device("cpu:2")
    assert_same(second, whole)


def test_an_estimate_leaves_no_trace_and_is_of_the_right_size(tiny_models):
    config = replace(RAW, dropout=0.4)
    asked, silent = Trainer(photographs(), config), Trainer(photographs(), config)
    seconds, memory = asked.estimate()
    assert seconds > 0
    outputs = 768 + 2 * (4 * 144) + 144 + 288 + 3  # image_b, the towers, the copy, both, fc8
    parameters = 8 * 75 + 8 + 288 * 3 + 3
    assert memory == 4 * (5 * parameters + 1.25 * 16 * outputs)
    assert [row["bytes_forward"] for row in ledger(asked.net)] == [0, 0]
    asked.fit()
    silent.fit()
    assert_same(asked, silent)


def test_an_estimate_leaves_the_ledger_as_it_is(tiny_models):
    trainer = Trainer(photographs(), RAW)
    trainer.fit()
    before = ledger(trainer.net)
    trainer.estimate()
    assert ledger(trainer.net) == before


def test_a_step_that_is_interrupted_and_done_again_is_not_counted_as_more_than_right(monkeypatch):
    labels = np.repeat(np.arange(3), 8)
    images = np.zeros((24, 1, 4, 4), np.uint8)
    images[np.arange(24), 0, 0, labels] = 255
    easy = ArrayDataset(images, labels)
    net = Graph.of((1, 4, 4), [Flatten(), Linear(16, 3)])
    trainer = Trainer(easy, Config(epochs=2, batch_size=24), net=net, validation=easy)
    net["linear1"].params["weight"].data[:] = 0
    for label in range(3):
        net["linear1"].params["weight"].data[label, label] = 9  # it knows them all
    backward = net.backward
    for _ in range(3):
        monkeypatch.setattr(net, "backward", lambda *given: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            trainer.fit()
    monkeypatch.setattr(net, "backward", backward)
    trainer.fit()
    assert [row["train_accuracy"] for row in trainer.history] == [1, 1]


def test_a_net_that_only_guesses_is_found_out(tiny_models):
    config = replace(RAW, lr=0.0, epochs=35)  # three steps an epoch
    trainer = Trainer(photographs(), config, net=tiny())
    trainer.net.load_state_dict({n: 0 * v for n, v in trainer.net.state_dict().items()})
    said = []
    trainer.fit(on_epoch=lambda t: said.append(t.guessing))
    assert said == [False] * 33 + [True] * 2  # from step 102 on
    trainer = Trainer(photographs(), replace(config, lr=1e-3), net=tiny())
    trainer.fit()
    assert not trainer.guessing


def test_a_gpu_without_room_says_which_batch_would_fit(tiny_models, monkeypatch, tmp_path):
    class OutOfMemoryError(Exception):  # as CuPy's
        pass

    def fail(images):
        raise OutOfMemoryError("planted")

    trainer = Trainer(photographs(), RAW, tmp_path)
    monkeypatch.setattr(Device, "memory", lambda device: 200_000)
    monkeypatch.setattr(trainer.net, "forward", fail)
    weights, image = 3 * 4 * (8 * 75 + 8 + 288 * 3 + 3), 5 * (768 + 2 * (4 * 144) + 144 + 288 + 3)
    fits = int((180_000 - weights) / image)
    assert 1 < fits < 16
    with pytest.raises(UserError, match=f"room for a batch of 16: about {min(fits, 12)} would fit"):
        trainer.fit()


def test_a_validation_set_that_does_not_go_with_the_training_set_is_refused():
    other = photographs(10, seed=1)
    more = ArrayDataset(other.images, other.labels, ["a", "b", "c", "d"])
    with pytest.raises(UserError, match="other classes"):
        Trainer(photographs(), RAW, net=tiny(), validation=more)
    with pytest.raises(UserError, match="these have 3×12×12"):
        Trainer(photographs(), RAW, net=tiny(), validation=photographs(10, side=12))


# ---- what is accepted has an effect --------------------------------------------------------------


def test_a_single_step_learns(garments):
    trainer = Trainer(garments, Config(epochs=1, batch_size=1000), net=a_small_net())
    before = trainer.net.state_dict()
    assert len(trainer.train_loader) == 1
    trainer.fit()
    after = trainer.net.state_dict()
    assert all((after[name] != before[name]).any() for name in before)


def test_a_training_that_has_ended_is_extended_or_says_so(garments, tmp_path):
    config = replace(CONFIG, schedule="step", epochs=2)
    trainer = Trainer(garments, config, tmp_path, net=a_small_net())
    trainer.fit()
    with pytest.raises(UserError, match=r"has ended, after 2 epochs: extend"):
        trainer.fit()
    with pytest.raises(UserError, match="epoch 2 is done already"):
        trainer.extend(2)
    trainer.extend(3)
    rates = []
    trainer.fit(on_step=lambda t: rates.append(t.sgd.lr))
    lr = config.lr  # falls at 1.5 and 2.25 of three epochs
    np.testing.assert_allclose(rates, [lr * 0.1] + [lr * 0.01] * 4, rtol=1e-12)
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3]
    again = Trainer(garments, replace(config, epochs=3), tmp_path, net=a_small_net())
    assert again.resume()
    assert again.finished
    assert_same(again, trainer)


@pytest.mark.parametrize("schedule", ["one-cycle", "step", "plateau"])
def test_resuming_with_more_epochs_goes_on_by_the_longer_schedule(garments, tmp_path, schedule):
    short = replace(CONFIG, schedule=schedule, epochs=2)
    long = replace(short, epochs=8)
    Trainer(garments, short, tmp_path, net=a_small_net()).fit()
    trainer = Trainer(garments, long, tmp_path, net=a_small_net())
    assert trainer.resume()
    rates = []
    trainer.fit(on_step=lambda t: rates.append(t.sgd.lr))
    whole = Trainer(garments, long, net=a_small_net())
    expected = [whole.schedule.rate((step + 0.5) / 5) for step in range(10, 40)]
    if schedule == "plateau":  # its rate is what the errors say
        expected = [trainer.config.lr * f for f in (1, 0.1, 0.01, 0.001)]
        assert all(np.isclose(rate, expected, rtol=1e-9).any() for rate in rates)
    else:
        np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert trainer.finished
    assert read_config(tmp_path).epochs == 8


def test_fewer_epochs_than_are_done_are_refused(garments, tmp_path):
    Trainer(garments, CONFIG, tmp_path, net=a_small_net()).fit()
    with pytest.raises(UserError, match="epoch 3 is done already"):
        Trainer(garments, replace(CONFIG, epochs=2), tmp_path, net=a_small_net()).resume()


def test_stop_before_fit_is_heard(garments, tmp_path):
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    trainer.stop()
    trainer.fit()
    assert trainer.steps == 0
    again = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    assert again.resume()
    again.fit(on_step=lambda t: t.stop())
    assert again.steps == 1


def test_stop_between_two_epochs_saves(garments, tmp_path):
    whole = Trainer(garments, CONFIG, net=a_small_net())
    whole.fit()
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    trainer.fit(on_epoch=lambda t: t.stop() if t.epoch == 2 else None)
    again = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    assert again.resume()
    assert (again.epoch, again.batch) == (2, 0)
    again.fit()
    assert_same(again, whole)


def test_a_run_without_a_folder_says_that_it_keeps_nothing(garments):
    with pytest.raises(UserError, match="give Trainer a folder"):
        Trainer(garments, CONFIG, net=a_small_net()).save()


def test_what_a_callback_raises_loses_nothing_that_was_to_be_saved(garments, tmp_path):
    def closed(trainer):  # as a terminal that is gone
        trainer.stop()
        raise OSError("planted")

    with pytest.raises(OSError, match="planted"):
        Trainer(garments, CONFIG, tmp_path, net=a_small_net()).fit(on_step=closed)
    again = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    assert again.resume()
    assert again.steps == 1


def test_tf32_without_a_gpu_has_no_effect_and_is_refused(garments):
    with pytest.raises(UserError, match="tf32 is for products on a GPU"):
        Trainer(garments, replace(CONFIG, tf32=True), net=a_small_net())


# ---- whose folder it is --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["notes.txt", "checkpoint", "config.json"])
def test_a_folder_with_other_files_is_not_written_into(garments, tmp_path, name):
    (tmp_path / name).write_text('{"name": "a project of mine"}')
    with pytest.raises(UserError):
        Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_save_does_not_write_over_another_run(garments, tmp_path):
    Trainer(garments, CONFIG, tmp_path, net=a_small_net()).fit()
    before = (tmp_path / "checkpoint.npz").read_bytes()
    with pytest.raises(UserError, match="holds a run already"):
        Trainer(garments, CONFIG, tmp_path, net=a_small_net()).save()
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def test_one_run_is_not_trained_twice_at_once(garments, tmp_path):
    first = Trainer(garments, CONFIG, tmp_path, net=a_small_net())
    second = Trainer(garments, CONFIG, tmp_path, net=a_small_net())

    def meanwhile(trainer):
        for act in (second.fit, second.save, second.resume):
            with pytest.raises(UserError, match="another process is at work"):
                act()

    first.fit(on_step=meanwhile)
    whole = Trainer(garments, CONFIG, net=a_small_net())
    whole.fit()
    assert_same(first, whole)


def test_a_run_that_diverges_late_says_what_its_folder_is_worth(garments, tmp_path):
    trainer = Trainer(garments, CONFIG, tmp_path, net=a_small_net())

    def spoil(trainer):
        if trainer.epoch == 1:
            trainer.net["fc2"].params["bias"].data[3] = np.nan

    with pytest.raises(UserError, match=r"its highest rate was 0.02\), into another folder"):
        trainer.fit(on_step=spoil)


def test_classes_without_an_image_are_known():
    dataset = ArrayDataset(photographs().images, photographs().labels % 2, ["a", "b", "c"])
    assert absent(dataset) == ["c"]
    assert absent(dataset.subset(dataset.labels == 1)) == ["a", "c"]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([a_small_net()], {}, "a data set.* got a Graph"),
        ([photographs().images, photographs().labels], {}, "a data set.* got an array"),
        ([photographs(), {"epochs": 1}], {}, "a Config, got a dict"),
        ([photographs(), "quick"], {}, "a Config, got a str"),
        ([photographs()], {"net": "fashion"}, "a Graph.* got a str"),
        ([photographs()], {"net": Graph}, "a Graph.* the class Graph"),
        ([photographs()], {"validation": 0.1}, "validation must be a data set.* a float"),
        ([photographs()], {"net": Graph((3, 20, 20))}, "no layers"),
        ([photographs()], {"net": Graph.of((3, 20, 20), [ReLU()])}, r"\(classes,\)"),
        ([photographs()], {"net": Graph.of((1200,), [Linear(1200, 2)])}, "2 outputs .* 3 classes"),
        ([photographs()], {"net": tiny(10)}, "10 outputs for 3 classes"),
    ],
)
def test_what_a_trainer_cannot_take_is_named(arguments, options, message):
    with pytest.raises(UserError, match=message):
        Trainer(*arguments, **options)


@pytest.mark.parametrize("folder", ["", 3, b"runs", "a" * 300])
def test_a_folder_is_named(folder):
    with pytest.raises(UserError, match=r"a folder is named by|name too long"):
        Trainer(photographs(), RAW, folder, tiny())


def test_after_its_making_too_it_says_what_it_takes():
    trainer = Trainer(photographs(), RAW, net=tiny())
    with pytest.raises(UserError, match="such as ArrayDataset"):
        trainer.views(photographs().images)
    with pytest.raises(UserError, match="epochs must be"):
        trainer.extend("3")


def test_home_is_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    trainer = Trainer(photographs(), RAW, "~/runs/mine", net=tiny())
    trainer.fit()
    assert (tmp_path / "runs" / "mine" / "checkpoint.npz").exists()
    assert load_run("~/runs/mine", net=tiny()).folder == trainer.folder


def test_what_another_trainer_has_gone_on_with_is_not_overwritten(tmp_path):
    first = Trainer(photographs(), RAW, tmp_path, net=tiny())
    first.fit()
    second = Trainer(photographs(), replace(RAW, epochs=3), tmp_path, net=tiny())
    second.resume()
    second.fit()
    first.extend(4)
    for go_on in first.fit, first.save:
        with pytest.raises(UserError, match=r"call resume\(\) first"):
            go_on()
    first.resume()
    first.fit()
    assert [row["epoch"] for row in first.history] == [1, 2, 3, 4]


def test_fit_is_at_work_once():
    trainer = Trainer(photographs(), RAW, net=tiny())
    with pytest.raises(UserError, match="at work already"):
        trainer.fit(on_step=lambda trainer: trainer.fit())
    trainer.fit()
    assert trainer.finished
