"""What is done with a finished run: evaluate, predict; and how damaged ones are refused."""

import re

import numpy as np
import pytest
from command import call, read_json
from PIL import Image

from minitorch_alexnet import checkpoint
from minitorch_alexnet.config import Config
from minitorch_alexnet.data import fashion_mnist, silhouettes
from minitorch_alexnet.data.fashion_mnist import CLASS_NAMES
from minitorch_alexnet.evaluate import evaluate
from minitorch_alexnet.run import load_run
from minitorch_alexnet.train import Trainer

# ---- damaged runs ----------------------------------------------------------------------------


def doctor_checkpoint(folder, change):
    """Rewrites the checkpoint as change(arrays, meta) leaves them."""
    arrays, meta = checkpoint.load(folder / "checkpoint.npz")
    change(arrays, meta)
    checkpoint.save(folder / "checkpoint.npz", arrays, meta)


def set_to(name, value):
    return lambda arrays, meta: (arrays if name in arrays else meta).update({name: value})


def drop(name):
    return lambda arrays, meta: (arrays if name in arrays else meta).pop(name)


WEIGHT = "weights/fc8.weight"
DAMAGES = {
    "truncated": (lambda data: data[:1000], "is not a whole checkpoint of ours"),
    "text": (lambda data: b"hello\n", "is not a whole checkpoint of ours"),
    "empty": (lambda data: b"", "is not a whole checkpoint of ours"),
    "missing": (None, "there is no checkpoint"),
    "other shape": (set_to(WEIGHT, np.ones((7, 256), np.float32)), "weights of another model"),
    "other width": (set_to(WEIGHT, np.ones((10, 9), np.float32)), "weights of another model"),
    "scalar": (set_to(WEIGHT, np.float32(1)), "fc8.weight|checkpoint"),
    "text for numbers": (set_to(WEIGHT, np.full((10, 256), "x")), "fc8.weight|checkpoint"),
    "weight missing": (drop(WEIGHT), "fc8.weight is missing: these are weights of another model"),
    "weight too many": (
        lambda arrays, meta: arrays.update({"weights/x.bias": np.ones(2)}),
        "x.bias",
    ),
    "format": (set_to("format", 9), "has format 9, this version reads 1"),
    "config missing": (drop("config"), "config"),
    "config odd": (lambda arrays, meta: meta["config"].update(wings=2), "wings|another config"),
    "config no dict": (set_to("config", None), "checkpoint"),
    "model unknown": (
        lambda arrays, meta: meta["config"].update(model="resnet"),
        "unknown model 'resnet'|another config",
    ),
}
FOR_SHOWING = {
    "mean missing": (drop("normalize/mean"), "normalize/mean"),
    "mean of another size": (
        set_to("normalize/mean", np.zeros((1, 28, 9), np.float32)),
        "mean|checkpoint",
    ),
    "names missing": (drop("class_names"), "class_names"),
    "scale missing": (drop("scale"), "scale"),
    "scale no number": (set_to("scale", "x"), "scale|checkpoint"),
}
FOR_RESUMING = {
    "velocity missing": (drop("velocity/fc8.bias"), "fc8.bias is missing"),
    "generators missing": (drop("generators"), "generators"),
    "generators unknown": (set_to("generators", {"drop9": {}}), "drop9|checkpoint"),
    "schedule missing": (drop("schedule"), "schedule"),
    "epoch missing": (drop("epoch"), "epoch"),
}


def damage(folder, how):
    path = folder / "checkpoint.npz"
    if how is None:
        path.unlink()
    elif how.__code__.co_varnames == ("data",):
        path.write_bytes(how(path.read_bytes()))
    else:
        doctor_checkpoint(folder, how)


SHOWING = DAMAGES | FOR_SHOWING


@pytest.mark.parametrize(("how", "message"), SHOWING.values(), ids=SHOWING)
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_damaged_run_is_not_shown(refused, copied, command, how, message):
    damage(copied, how)
    Image.new("L", (28, 28)).save("x.png")
    told = refused(command, copied, *(["x.png"] if command == "predict" else []))
    assert re.search(message, told)


RESUMING = {k: v for k, v in (DAMAGES | FOR_RESUMING).items() if k != "missing"}


@pytest.mark.parametrize(("how", "message"), RESUMING.values(), ids=RESUMING)
def test_a_damaged_run_is_not_resumed(refused, copied, how, message):
    damage(copied, how)
    before = (copied / "checkpoint.npz").read_bytes()
    told = refused("train", "--resume", copied)
    assert re.search(message, told)
    assert (copied / "checkpoint.npz").read_bytes() == before


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_missing_folder(refused, command):
    images = ["x.png"] if command == "predict" else []
    assert refused(command, "nowhere", *images) == "there is no checkpoint nowhere/checkpoint.npz"


def test_a_sound_run_is_found_sound_by_the_same_means(copied, capsys):
    """What the tests above do to a checkpoint does no harm in itself."""
    doctor_checkpoint(copied, lambda arrays, meta: None)
    assert call("evaluate", copied) == 0
    assert "accuracy" in capsys.readouterr().out


# ---- evaluate --------------------------------------------------------------------------------


def test_evaluate_says_what_training_said(finished, capsys):
    assert call("evaluate", finished) == 0
    lines = capsys.readouterr().out.splitlines()
    result = read_json(finished / "result.json")
    run, test = load_run(finished), silhouettes.load("test")
    logits = run.net.predict(run.normalize(test.images, run.net.device))
    assert lines[0] == (
        "fashion on silhouettes, 40 test images: accuracy"
        f" {result['test_accuracy']:.2%}, loss {result['test_loss']:.4f}"
    )
    assert len(lines) == 12
    assert lines[-1] == f"All classes are in {finished}: classes.csv, confusion.png."
    for k, (name, line) in enumerate(zip(CLASS_NAMES, lines[1:-1], strict=True)):
        share = (logits.argmax(axis=1) == k)[test.labels == k].mean()
        assert line.split() == [
            *name.split(),
            f"{share:.2%}",
            *["█" * round(40 * share)][: int(share > 0)],
        ]


def test_evaluate_with_a_data_dir_of_ones_own(refused, finished, copied, monkeypatch):
    """A run on Fashion-MNIST is tested on that of --data-dir."""
    doctor_checkpoint(copied, lambda a, meta: meta["config"].update(data="fashion-mnist"))
    asked, test = [], silhouettes.load("test")
    monkeypatch.setattr(fashion_mnist, "load", lambda *a: asked.append(a) or test)
    assert call("evaluate", copied, "--data-dir", "mine") == 0
    assert asked == [("train", "mine"), ("test", "mine")]


# ---- predict ---------------------------------------------------------------------------------


def test_predict_prints_classes_with_bars(finished, place, capsys):
    images = silhouettes.load("test").images[:2]
    for i, image in enumerate(images):
        Image.fromarray(image[0]).save(place / f"{i}.png")
    assert call("predict", finished, "0.png", "1.png", "--top", "4") == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[5], len(lines)) == ("0.png", "1.png", 10)
    run = load_run(finished)
    logits = run.net.predict(run.normalize(images, run.net.device)).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for p, told in zip(shares, (lines[1:5], lines[6:]), strict=True):
        for k, line in zip(np.argsort(-p)[:4], told, strict=True):
            name, percent, bar = re.fullmatch(r"  (\S.*?) +([\d.]+)%  (█*)", line).groups()
            assert name == CLASS_NAMES[k]
            assert float(percent) == pytest.approx(100 * p[k], abs=0.011)
            assert len(bar) == pytest.approx(40 * p[k], abs=0.51)


@pytest.mark.parametrize(("top", "shown"), [((), 3), (("--top", "1"), 1), (("--top", "99"), 10)])
def test_predict_shows_so_many(finished, capsys, top, shown):
    Image.new("RGB", (300, 200), "white").save("x.png")
    assert call("predict", finished, "x.png", *top) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + shown


def test_predict_refuses_what_is_no_image(refused, finished, place):
    (place / "x.jpg").write_text("not an image")
    assert "cannot read x.jpg as an image" in refused("predict", finished, "x.jpg")
    assert "there is no image y.jpg" in refused("predict", finished, "y.jpg")
    assert "cannot read . as an image" in refused("predict", finished, ".")


def test_predict_goes_on_after_what_it_cannot_read(finished, place, capsys):
    (place / "x.jpg").write_text("not an image")
    Image.new("L", (28, 28)).save("y.png")
    assert call("predict", finished, "x.jpg", "y.png", "z.png", "--top", "1") == 2
    told = capsys.readouterr()
    first, second = told.err.splitlines()
    assert "cannot read x.jpg" in first
    assert "no image z.png" in second
    assert told.out.splitlines()[0] == "y.png"
    assert len(told.out.splitlines()) == 2


@pytest.fixture
def of_arrays(tmp_path):
    """A run whose images were arrays."""
    trainer = Trainer(silhouettes.load("train"), Config(epochs=1), tmp_path / "mine")
    trainer.save()
    return trainer


@pytest.mark.parametrize("command", ["evaluate", "predict", "neighbours", "look"])
def test_a_run_on_arrays_is_told_what_to_do_in_python(of_arrays, refused, command):
    images = [] if command == "evaluate" else ["x.png"]
    Image.new("L", (28, 28)).save("x.png")
    told = refused(command, of_arrays.folder, *images)
    assert f"load_run({str(of_arrays.folder)!r})" in told
    assert "predict(pictures)" in told


def test_what_the_sentence_on_arrays_says_works(of_arrays):
    run, dataset = load_run(of_arrays.folder), silhouettes.load("test")
    result = evaluate(run.net, *run.views(dataset))
    np.testing.assert_array_equal(run.predict(dataset.images).labels, result.logits.argmax(axis=1))


def test_a_run_on_arrays_is_tested_on_data_of_the_same_classes(of_arrays, capsys):
    assert call("evaluate", of_arrays.folder, "--data", "silhouettes") == 0
    assert "on silhouettes, 40 test images: accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["evaluate", "predict", "neighbours", "filters", "look"])
def test_weights_that_are_not_finite(refused, copied, command):
    doctor_checkpoint(copied, set_to("weights/fc8.bias", np.full(10, np.nan, np.float32)))
    Image.new("L", (28, 28)).save("x.png")
    images = ["x.png"] if command in ("predict", "neighbours", "look") else []
    assert "not finite" in refused(command, copied, *images)


def test_a_figure_holds_so_many_neighbours(refused, finished, capsys):
    """More would take minutes; and more than there are images there are not."""
    Image.new("L", (28, 28)).save("x.png")
    for images, top in (["x.png"], 300), (["x.png"] * 50, 6):
        told = refused("neighbours", finished, *images, "--top", top)
        assert "at most" in told
        assert "--top" in told


def test_two_crops_are_said_to_be_two(finished, capsys):
    """Images without pixels to spare have a centre and its reflection."""
    assert call("evaluate", finished, "--crops", "10") == 0
    assert "40 test images, two crops each: accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("top", ["0", "-1"])
def test_predict_refuses_to_show_nothing(refused, finished, top):
    Image.new("L", (28, 28)).save("x.png")
    message = f"--top must be at least 1, got {top}"
    assert message in refused("predict", finished, "x.png", "--top", top)
