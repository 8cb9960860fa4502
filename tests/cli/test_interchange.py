"""minitorch-alexnet import and export, and every command on what was imported."""

import shutil

import numpy as np
import onnx
import pytest
import safetensors.numpy
from command import COLOURS, call, listed, picture
from onnx_graphs import caffes
from PIL import Image

from minitorch_alexnet.graph import Graph
from minitorch_alexnet.interchange import import_file
from minitorch_alexnet.layers import Conv2d, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU
from minitorch_alexnet.models import MODELS
from minitorch_alexnet.run import Run, load_run

SMALL = {"side": 67, "maps": (8, 12, 10, 8, 8), "units": (20, 16, len(COLOURS))}


@pytest.fixture(scope="module")
def prepared(photographs, tmp_path_factory):
    out = tmp_path_factory.mktemp("photos") / "prepared"
    assert call("prepare", photographs, out, "--size", 67, "--processes", "1") == 0
    return out


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """A run of Caffe's AlexNet in small, which tests only read."""
    folder = tmp_path_factory.mktemp("imported")
    onnx.save(caffes(**SMALL), folder / "net.onnx")
    (folder / "classes.txt").write_text("\n".join(sorted(COLOURS)), "utf-8")
    import_file(folder / "net.onnx", folder / "run", classes=folder / "classes.txt")
    return folder


@pytest.fixture
def copy(brought, place):
    return shutil.copytree(brought / "run", place / "run")


def test_import_says_what_came(brought, place, capsys):
    classes = brought / "classes.txt"
    assert call("import", brought / "net.onnx", "mine", "--classes", classes) == 0
    told = capsys.readouterr().out
    assert "Run folder: mine\nPixels: caffe" in told
    assert "minitorch-alexnet predict mine" in told
    assert listed(place / "mine") == {"config.json", "metrics.csv", "checkpoint.npz"}
    assert call("import", brought / "net.onnx", "plain", "--pixels", "plain") == 0
    weights = [load_run(name).net.state_dict()["conv1.weight"] for name in ("mine", "plain")]
    np.testing.assert_array_equal(weights[0], weights[1][:, ::-1])


def test_import_refuses_in_a_line(brought, place, refused):
    assert "there is no file" in refused("import", "none.onnx", "mine")
    assert "damaged" in refused("import", _cut(brought / "net.onnx", place / "a.onnx"), "mine")
    assert "leave out --model" in refused(
        "import", brought / "net.onnx", "mine", "--model", "caffenet"
    )
    assert not (place / "mine").exists()


def _cut(path, to):
    to.write_bytes(path.read_bytes()[:-100])
    return to


def test_predict_and_evaluate(copy, prepared, photographs, capsys, refused):
    photo = next(photographs.glob("val/*/*.png"))
    assert call("predict", copy, photo) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in COLOURS)
    assert call("evaluate", copy, "--data", prepared) == 0
    assert "imported on " in capsys.readouterr().out
    assert "brought no images: --data" in refused("evaluate", copy)


def test_photographs_are_warped_as_caffe_does_it(copy, place, monkeypatch):
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 400, 3), np.uint8))
    wide.save(place / "wide.png")
    shown, predict = [], Run.predict
    monkeypatch.setattr(Run, "predict", lambda run, x: predict(run, shown.append(x) or x))
    assert call("predict", copy, "wide.png") == 0
    side = load_run(copy).normalize.mean.shape[1]
    expected = np.asarray(wide.resize((side, side), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(shown, [expected.transpose(2, 0, 1)])


def test_neighbours_filters_graph_summary(copy, prepared, photographs, capsys):
    photo = next(photographs.glob("val/*/*.png"))
    assert call("neighbours", copy, photo, "--data", prepared, "--top", "2") == 0
    assert call("filters", copy) == 0
    assert call("graph", copy) == 0
    for name in ("neighbours", "filters", "graph"):
        assert picture(copy / f"{name}.png").std() > 1
    assert call("summary", copy) == 0
    assert "Conv2d(8, 12, 5, padding=2, groups=2)" in capsys.readouterr().out


def test_a_run_has_its_classes(copy, refused):
    assert "leave out --classes" in refused("summary", copy, "--classes", "3")


def like_the_import(num_classes=2, seed=0, channels=3, dropout=0.5, devices="cpu"):
    """What the imported net's weights fit, in an order of its own."""
    net = Graph((channels, 67, 67), device=devices, seed=seed)
    norm = {"k": 1, "alpha_over_size": True}
    net.add("conv1", Conv2d(3, 8, 11, stride=4))
    net.add("relu1", ReLU())
    net.add("pool1", MaxPool2d(3, stride=2, ceil_mode=True))
    net.add("norm1", LocalResponseNorm(5, **norm))
    net.add("conv2", Conv2d(8, 12, 5, padding=2, groups=2))
    net.add("flatten", Flatten())
    net.add("fc8", Linear(net.last.shape[0], num_classes))
    return net


def test_train_from_it(copy, prepared, monkeypatch, capsys, refused):
    monkeypatch.setitem(MODELS, "like", like_the_import)
    options = ("--model", "like", "--epochs", "1", "--batch-size", "8", "--lr", "0")
    assert call("train", "--from", copy, "--data", prepared, *options, "--out", "new") == 0
    assert "From " in capsys.readouterr().out
    new, old = load_run("new"), load_run(copy)
    for name in ("conv1.weight", "conv2.bias"):
        np.testing.assert_array_equal(new.net.state_dict()[name], old.net.state_dict()[name])
    np.testing.assert_array_equal(new.normalize.mean, old.normalize.mean)
    assert "was imported, and not trained here" in refused("train", "--resume", copy)


def test_export_of_a_trained_run(finished, place, capsys, refused):
    assert call("export", finished, "a.safetensors") == 0
    assert call("export", finished, "a.onnx") == 0
    assert "Written: a.onnx, 1." in capsys.readouterr().out
    state = load_run(finished).net.state_dict()
    tensors = safetensors.numpy.load_file("a.safetensors")
    assert tensors.keys() == state.keys() | {"pixels.mean", "pixels.scale"}
    onnx.checker.check_model("a.onnx", full_check=True)
    (place / "mine.onnx").write_text("mine")
    assert "name another file" in refused("export", finished, "mine.onnx")
    assert "ends with .onnx" in refused("export", finished, "a.pth")
