"""Runs made of others' files: the net, its pixels and classes; and ours there and back."""

import json

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx_graphs import caffes, run
from twins import torchvisions

from minitorch_alexnet import checkpoint
from minitorch_alexnet.config import Config
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.data.span import BYTES
from minitorch_alexnet.data.transforms import Normalize
from minitorch_alexnet.errors import CheckpointError, UserError
from minitorch_alexnet.files import MAKER
from minitorch_alexnet.graph import Graph
from minitorch_alexnet.interchange import export_run, import_file, imported
from minitorch_alexnet.interchange.pixels import PIXELS
from minitorch_alexnet.layers import Conv2d, Flatten, Linear
from minitorch_alexnet.models import MODELS, build
from minitorch_alexnet.models.alexnet import torchvision as whole_torchvision
from minitorch_alexnet.run import Run, load_run, read_config
from minitorch_alexnet.train import Trainer

SMALL = {"side": 67, "maps": (8, 12, 10, 8, 8), "units": (20, 16, 7)}


@pytest.fixture
def garment_weights(tmp_path):
    """Of a fashion net, by our names."""
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(build("fashion", num_classes=4, seed=3).state_dict(), path)
    return path


def some_photographs(count):
    """(count, 3, 256, 256) uint8: large patches of colour, with noise on them."""
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 200, (count, 3, 8, 8)).repeat(32, axis=2).repeat(32, axis=3)
    return (patches + rng.integers(0, 56, patches.shape)).astype(np.uint8)


def thin_torchvision(num_classes=1000, seed=0, channels=3, dropout=0.5, devices="cpu"):
    """models/alexnet.py's with an eighth of its maps and units."""
    net = Graph((channels, 224, 224), device=devices, seed=seed)
    for node in whole_torchvision(num_classes, seed=None).nodes.values():
        layer = node.layer
        if isinstance(layer, Conv2d):
            maps = net.nodes[node.sources[0]].shape[0] if net.nodes else channels
            kernel, stride, padding = layer.kernel_size, layer.stride, layer.padding
            layer = Conv2d(maps, layer.out_channels // 8, kernel, stride, padding)
        if isinstance(layer, Linear):
            last = layer.out_features == num_classes
            layer = Linear(net.last.shape[0], layer.out_features // (1 if last else 8))
        net.add(node.name, layer)
    return net


# ---- PyTorch's net, each way ---------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter that needs nothing more
def test_torchvisions_net_each_way(torch, tmp_path, monkeypatch):
    """As .pth, safetensors and ONNX: logits equal torch's, and onnxruntime's, on photographs.

    With an eighth of its maps; test_names.py has it whole.
    """
    monkeypatch.setitem(MODELS, "torchvision", thin_torchvision)
    torch.manual_seed(0)
    theirs = torchvisions(torch, width=1 / 8)
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    tensors = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    safetensors.numpy.save_file(tensors, tmp_path / "a.safetensors")
    example = torch.zeros(1, 3, 224, 224)
    axes = {"image": {0: "n"}}
    torch.onnx.export(
        theirs, (example,), tmp_path / "a.onnx", dynamo=False, input_names=["image"],
        dynamic_axes=axes,
    )  # fmt: skip
    photos = some_photographs(4)
    middle = torch.from_numpy(photos[:, :, 16:240, 16:240] / 255).float()
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    x = (middle - mean) / deviation
    with torch.no_grad():
        expected = theirs(x).numpy()
    largest = np.abs(expected).max()
    assert np.abs(run(onnx.load(tmp_path / "a.onnx"), x.numpy()) - expected).max() < 1e-4 * largest
    for ending in "pth", "safetensors", "onnx":
        folder = tmp_path / ending
        assert import_file(tmp_path / f"a.{ending}", folder)[1] == "torchvision"
        found = load_run(folder)
        dataset = ArrayDataset(photos, np.zeros(len(photos), int), found.class_names)
        ((seen, _),) = found.views(dataset)[0]
        assert np.abs(found.net(seen) - expected).max() < 1e-4 * largest
        (tmp_path / f"a.{ending}").unlink()


# ---- which net, which pixels, which classes ------------------------------------------------------


def test_the_model_is_the_one_whose_names_and_shapes_they_are(garment_weights, tmp_path):
    found, pixels = import_file(garment_weights, tmp_path / "run")
    assert (found.config.model, pixels) == ("fashion", "plain")
    again = load_run(tmp_path / "run")
    expected = build("fashion", num_classes=4, seed=3)
    x = np.random.default_rng(0).integers(0, 256, (5, 1, 28, 28), np.uint8)
    np.testing.assert_array_equal(
        again.net(again.normalize(x, again.net.device)), expected(x.astype(np.float32))
    )
    assert again.class_names == ("0", "1", "2", "3")
    assert read_config(tmp_path / "run") == found.config
    assert (tmp_path / "run/metrics.csv").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("model", "word"),
    [
        ("alexnet-small", r"conv1.weight: expected \(48, 1, 7, 7\), got \(16, 1, 5, 5\)"),
        ("resnet", "unknown model 'resnet'"),
    ],
)
def test_a_model_that_they_do_not_fit(garment_weights, tmp_path, model, word):
    with pytest.raises(CheckpointError, match=word):
        import_file(garment_weights, tmp_path / "run", model)
    assert not (tmp_path / "run").exists()


def test_weights_of_none_of_the_models_or_of_several(garment_weights, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "other", MODELS["fashion"])
    with pytest.raises(CheckpointError, match="fit fashion, other: say which with --model"):
        import_file(garment_weights, tmp_path / "run")
    import_file(garment_weights, tmp_path / "run", "other")
    tensors = safetensors.numpy.load_file(garment_weights)
    for change, word in (
        ({"conv9.weight": np.zeros((2, 2), np.float32)}, "none of the models"),
        ({"conv1.weight": np.zeros((2, 2), np.float32)}, "conv1.weight with four axes"),
        ({"fc8.bias": np.zeros((0,), np.float32)}, "empty"),
    ):
        safetensors.numpy.save_file(tensors | change, garment_weights)
        with pytest.raises(CheckpointError, match=word):
            import_file(garment_weights, tmp_path / "another")


def test_tensors_that_repeat_their_numbers_are_no_memory_bomb(torch, tmp_path):
    tensors = {name: torch.from_numpy(w) for name, w in build("fashion").state_dict().items()}
    tensors["fc8.weight"] = torch.zeros(1, 1).expand(10**7, 256)
    torch.save(tensors, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="larger than the file"):
        import_file(tmp_path / "a.pth", tmp_path / "run")


@pytest.mark.parametrize("pixels", PIXELS)
def test_pixels_that_are_said(tmp_path, pixels):
    onnx.save(caffes(**SMALL), tmp_path / "a.onnx")
    found, said = import_file(tmp_path / "a.onnx", tmp_path / "run", pixels=pixels)
    assert said == pixels
    assert load_run(tmp_path / "run").resized == {
        "torchvision": "bilinear", "caffe": "warped", "plain": "as in the paper"
    }[pixels]  # fmt: skip
    again, expected = load_run(tmp_path / "run").normalize, PIXELS[pixels].normalize((3, 67, 67))
    for normalize in (again, found.normalize):
        np.testing.assert_array_equal(normalize.mean, expected.mean)
        np.testing.assert_allclose(normalize.scale, expected.scale)
        assert normalize.span == (0, 255)


def test_classes_by_name(garment_weights, tmp_path):
    classes = tmp_path / "classes.txt"
    classes.write_text("crane\n tench, Tinca tinca \ncrane\n大鹏\n\n", "utf-8")
    found, _ = import_file(garment_weights, tmp_path / "run", classes=classes)
    assert found.class_names == ("crane", "tench, Tinca tinca", "crane (2)", "大鹏")
    pictures = np.zeros((2, 28, 28), np.uint8)
    assert set(load_run(tmp_path / "run").predict(pictures).names) <= set(found.class_names)
    few = b"a\nb\n", "has 2 names, a line each; the net has 4"
    for content, word in (few, (b"\xff", "UTF-8")):
        classes.write_bytes(content)
        with pytest.raises(UserError, match=word):
            import_file(garment_weights, tmp_path / "other", classes=classes)
    with pytest.raises(UserError, match="cannot read"):
        import_file(garment_weights, tmp_path / "other", classes=tmp_path / "none")


def test_folders_that_hold_something_stay_as_they_are(garment_weights, tmp_path):
    import_file(garment_weights, tmp_path / "run")
    before = (tmp_path / "run/checkpoint.npz").read_bytes()
    with pytest.raises(UserError, match="holds a run already"):
        import_file(garment_weights, tmp_path / "run")
    assert (tmp_path / "run/checkpoint.npz").read_bytes() == before
    with pytest.raises(UserError, match="holds other files"):
        import_file(garment_weights, tmp_path)
    with pytest.raises(UserError, match=r"ends with \.safetensors"):
        import_file(tmp_path / "run/config.json", tmp_path / "other")
    with pytest.raises(UserError, match=r"unknown pixels 'cafe'.*did you mean caffe"):
        import_file(garment_weights, tmp_path / "other", pixels="cafe")


def test_a_folder_of_anothers_with_a_config_is_left_alone(garment_weights, tmp_path):
    theirs = tmp_path / "theirs"  # as Hugging Face lays it out
    theirs.mkdir()
    (theirs / "config.json").write_text('{"architectures": ["AlexNet"]}')
    with pytest.raises(UserError, match="not a run's config"):
        import_file(garment_weights, theirs)
    assert [p.name for p in theirs.iterdir()] == ["config.json"]
    assert "architectures" in (theirs / "config.json").read_text()


def test_of_two_at_once_the_first_to_end_stays(garment_weights, tmp_path, monkeypatch):
    read = imported.READERS[".safetensors"]

    def slowly(path, model):
        monkeypatch.setitem(imported.READERS, ".safetensors", read)
        import_file(garment_weights, tmp_path / "run", pixels="plain")
        return read(path, model)

    monkeypatch.setitem(imported.READERS, ".safetensors", slowly)
    classes = tmp_path / "classes.txt"
    classes.write_text("a\nb\nc\nd\n")
    with pytest.raises(UserError, match="holds a run already"):
        import_file(garment_weights, tmp_path / "run", classes=classes)
    assert load_run(tmp_path / "run").class_names == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("names", "apart"),
    [
        (("a", "a", "a (1)", "a"), ("a", "a (1)", "a (1) (2)", "a (3)")),
        (("a (2)", "a", "a", "b"), ("a (2)", "a", "a (3)", "b")),
    ],
)
def test_names_are_told_apart_from_all_others(garment_weights, tmp_path, names, apart):
    classes = tmp_path / "classes.txt"
    classes.write_text("\n".join(names), "utf-8-sig")  # as Windows writes it
    import_file(garment_weights, tmp_path / "run", classes=classes)
    found = load_run(tmp_path / "run")
    assert found.class_names == apart
    found.predict(np.zeros((2, 28, 28), np.uint8))


@pytest.mark.parametrize("within", [None, "state_dict", "model"])
def test_tensors_as_training_scripts_keep_them(torch, tmp_path, within):
    """Of torch.nn.DataParallel, and inside of a dict."""
    state = build("fashion", num_classes=4, seed=3).state_dict()
    tensors = {f"module.{name}": torch.from_numpy(w) for name, w in state.items()}
    torch.save({"epoch": 1, within: tensors} if within else tensors, tmp_path / "a.pth")
    found, _ = import_file(tmp_path / "a.pth", tmp_path / "run")
    for name, weight in state.items():
        np.testing.assert_array_equal(found.net.state_dict()[name], weight)


def test_other_nets_tensors_are_named(tmp_path):
    path = tmp_path / "a.safetensors"
    for tensors, word in (
        ({"vit.pos": np.zeros((2, 3), np.float32)}, r"its tensors are vit.pos \(2, 3\)"),
        ({}, "its tensors are none"),
    ):
        safetensors.numpy.save_file(tensors, path)
        with pytest.raises(CheckpointError, match=word):
            import_file(path, tmp_path / "run")


@pytest.mark.parametrize(("k", "pixels"), [(1.0, "caffe"), (2.0, "plain")])
def test_lrn_that_starts_at_1_is_caffes(tmp_path, k, pixels):
    model = caffes(**SMALL)
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "LRN" and attribute.name == "bias":
                attribute.f = k
    onnx.save(model, tmp_path / "a.onnx")
    assert import_file(tmp_path / "a.onnx", tmp_path / "run")[1] == pixels


def test_an_onnx_says_its_layers_itself(tmp_path):
    onnx.save(caffes(**SMALL), tmp_path / "a.onnx")
    with pytest.raises(CheckpointError, match="leave out --model"):
        import_file(tmp_path / "a.onnx", tmp_path / "run", "caffenet")


# ---- ours, there and back ------------------------------------------------------------------------


@pytest.fixture
def trained(garments, tmp_path):
    """A run of a net with towers' worth of odd settings, a mean of its own, its classes."""
    config = Config(epochs=1, batch_size=50, dropout=0.3)
    trainer = Trainer(garments, config, tmp_path / "trained")
    trainer.fit()
    return load_run(tmp_path / "trained")


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_a_run_exported_and_imported_is_the_same(trained, garments, tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    export_run(trained, path)
    _, pixels = import_file(path, tmp_path / "run")
    again = load_run(tmp_path / "run")
    assert pixels == "the file's own"
    assert again.class_names == trained.class_names
    assert again.normalize.span == trained.normalize.span
    np.testing.assert_allclose(again.normalize.mean, trained.normalize.mean)
    np.testing.assert_allclose(again.normalize.scale, trained.normalize.scale, rtol=1e-6)
    for name, weight in trained.net.state_dict().items():
        np.testing.assert_array_equal(again.net.state_dict()[name], weight)
    answers = [r.predict(garments.images).probabilities for r in (again, trained)]
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-6)
    with pytest.raises(CheckpointError, match="leave out --pixels"):
        import_file(path, tmp_path / "other", pixels="plain")


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_nothing_that_is_not_ours_is_overwritten(trained, tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    for content in (b"", b"mine"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="name another file"):
            export_run(trained, path)
        assert path.read_bytes() == content
    path.unlink()
    export_run(trained, path)
    first = path.read_bytes()
    export_run(trained, path)
    assert len(path.read_bytes()) == len(first)


def test_a_path_that_may_not_be_looked_at(trained, tmp_path, monkeypatch):
    def forbidden(path, **more):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(type(tmp_path), "exists", forbidden)
        with pytest.raises(UserError, match=r"cannot write .*a\.onnx: Permission denied"):
            export_run(trained, tmp_path / "a.onnx")


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_the_side_of_the_photographs_comes_back(tmp_path, ending):
    """Of a net that reads the middle of somewhat larger ones, brought to size in a way."""
    net = Graph((3, 7, 8))
    net.add("flatten", Flatten())
    net.add("fc8", Linear(168, 2))
    normalize = Normalize(np.full((3, 10, 13), 5.0), 2.0, BYTES)
    net_run = Run(None, Config(), net, normalize, ("a", "b"), ("", normalize.mean), {}, "warped")
    export_run(net_run, tmp_path / f"a.{ending}")
    import_file(tmp_path / f"a.{ending}", tmp_path / "run")
    again = load_run(tmp_path / "run")
    np.testing.assert_array_equal(again.normalize.mean, normalize.mean)
    assert again.resized == "warped"
    x = np.random.default_rng(0).integers(0, 256, (4, 3, 10, 13), np.uint8)
    np.testing.assert_allclose(
        again.predict(x).probabilities, net_run.predict(x).probabilities, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("sides", "word"), [([64, 9], "takes images"), ([9.0, 9], "whole"), ([9], "damaged")]
)
def test_sides_that_cannot_be(trained, tmp_path, sides, word):
    export_run(trained, tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    told = json.loads(model.metadata_props[0].value)
    onnx.helper.set_model_props(model, {MAKER: json.dumps(told | {"sides": sides})})
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(CheckpointError, match=word):
        import_file(tmp_path / "a.onnx", tmp_path / "run")


def test_other_endings_are_refused(trained, tmp_path):
    with pytest.raises(UserError, match=r"ends with \.onnx, \.safetensors"):
        export_run(trained, tmp_path / "a.pth")


def test_a_file_of_ours_that_was_meddled_with(trained, tmp_path):
    path = tmp_path / "a.safetensors"
    export_run(trained, path)
    tensors, said = safetensors.numpy.load_file(path), None
    with safetensors.safe_open(path, "np") as file:
        said = json.loads(file.metadata()[MAKER])
    for change, arrays, word in (
        ({"class_names": ["a"]}, {}, "class_names must be 10 texts"),
        ({"class_names": [1] * 10}, {}, "class_names must be 10 texts"),
        ({"layers": said["layers"][1:]}, {}, "conv1"),
        ({"span": [0, float("inf")]}, {}, "pixels' span"),
        ({"span": [255, 0]}, {}, "pixels' span"),
        ({"model": "nonsense"}, {}, "unknown model 'nonsense'"),
        ({"model": ""}, {}, "unknown model"),
        ({"model": "\x1b[2J"}, {}, "unknown model"),
        ({"model": ["fashion"]}, {}, "unknown model"),
        ({"resized": "cut"}, {}, "resized must be one of as in the paper, bilinear, warped"),
        ({"resized": []}, {}, "resized must be one of"),
        ({}, {"pixels.scale": np.zeros((), np.float32)}, "pixels' scale"),
        ({}, {"pixels.scale": np.ones((), bool)}, "pixels' scale"),
        ({}, {"pixels.mean": np.full((1, 28, 28), 1e300)}, "finite"),
        ({}, {"pixels.mean": np.zeros((1, 9, 9), np.float32)}, "takes images of"),
        ({}, {"pixels.mean": np.zeros(28, np.float32)}, "pixels' mean"),
    ):
        meta = {MAKER: json.dumps(said | change)}
        safetensors.numpy.save_file(tensors | arrays, path, meta)
        with pytest.raises(CheckpointError, match=word):
            import_file(path, tmp_path / "run")


def test_an_imported_run_is_not_gone_on_with(garment_weights, tmp_path, garments):
    import_file(garment_weights, tmp_path / "run")
    _, meta = checkpoint.load(tmp_path / "run/checkpoint.npz")
    assert meta["history"] == []
    with pytest.raises(CheckpointError):
        Trainer(garments, read_config(tmp_path / "run"), tmp_path / "run").resume()


@pytest.mark.slow
def test_a_fashion_run_is_as_good_in_onnxruntime(tmp_path):
    """On the 10,000 test images; the training is a short one."""
    import onnxruntime

    from minitorch_alexnet.data import DataError, fashion_mnist
    from minitorch_alexnet.evaluate import evaluate

    try:
        train, test = (fashion_mnist.load(split) for split in ("train", "test"))
    except DataError:
        pytest.skip("dataset-fashion-mnist is not installed")
    config = Config(epochs=1, batch_size=16)
    trainer = Trainer(train.subset(slice(4000)), config, tmp_path / "run")
    trainer.fit()
    export_run(load_run(tmp_path / "run"), tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    batches = np.split(test.images, 20)
    logits = [session.run(None, {"image": images})[0] for images in batches]
    accuracy = (np.concatenate(logits).argmax(axis=1) == test.labels).mean()
    ours = evaluate(trainer.net, *trainer.views(test)).accuracy
    assert accuracy == pytest.approx(ours, abs=1.5e-4)  # an image, in which two are as likely
    assert ours > 0.5
