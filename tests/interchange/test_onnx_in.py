"""Graphs of others against onnxruntime: whole nets, each layer, and what is refused."""

import itertools
import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_graphs import as_model, as_tensor, caffes, rows_worked_out, run

from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.errors import CheckpointError, UserError
from minitorch_alexnet.interchange import import_file, onnx_constants, onnx_file
from minitorch_alexnet.interchange.onnx_in import read_onnx
from minitorch_alexnet.run import load_run

SMALL = {"side": 67, "maps": (8, 12, 10, 8, 8), "units": (20, 16, 7)}
MEAN = (104.00698793, 116.66876762, 122.67891434)  # blue, green, red


def saved(model, folder):
    path = folder / "net.onnx"
    onnx.save(model, path)
    return path


def made_of(net):
    return {name: repr(node.layer) for name, node in net.nodes.items()}


def blue_first(photos):
    """What Caffe's nets read of photographs (n, 3, H, W)."""
    return (photos[:, ::-1] - np.array(MEAN)[:, None, None]).astype(np.float32)


# ---- whole nets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [True, False], ids=["LRN, pool", "pool, LRN"])
@pytest.mark.parametrize("opset", [7, 9, 12, 13, 17, 21])
def test_caffes_alexnet_says_what_onnxruntime_says(tmp_path, opset, norm_first):
    ways = {"way": ("raw", "field")[opset % 2], "as_nodes": opset == 17, "rows": opset != 13}
    model = caffes(opset, norm_first=norm_first, **SMALL, **ways)
    onnx.checker.check_model(model, full_check=True)
    assert import_file(saved(model, tmp_path), tmp_path / "run")[1] == "caffe"
    found = load_run(tmp_path / "run")
    photos = np.random.default_rng(1).integers(0, 256, (4, 3, 67, 67), np.uint8)
    expected = np.concatenate([run(model, blue_first(photo[None])) for photo in photos])
    np.testing.assert_allclose(found.predict(photos).probabilities, expected, rtol=1e-4)


def test_the_middle_of_photographs_of_256(tmp_path):
    side = 224  # as the model zoo's bvlcalexnet, whose pools round up
    thin = {"maps": (24, 64, 96, 96, 64), "units": (64, 64, 100)}
    model = caffes(side=side, softmax=False, **thin)
    import_file(saved(model, tmp_path), tmp_path / "run")
    found = load_run(tmp_path / "run")
    photos = np.random.default_rng(2).integers(0, 256, (2, 3, 256, 256), np.uint8)
    at = (256 - side) // 2
    middle = blue_first(photos[:, :, at : at + side, at : at + side])
    expected = np.concatenate([run(model, x[None]) for x in middle])
    ((images, _),) = found.views(ArrayDataset(photos, np.zeros(2, int), found.class_names))[0]
    logits = found.net(images)
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


def test_nodes_are_called_as_in_the_models(tmp_path):
    net, pixels, told = read_onnx(saved(caffes(**SMALL), tmp_path))
    assert (pixels, told) == (None, {})
    assert " ".join(net.nodes) == (
        "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 conv3 relu3 conv4 relu4 conv5 relu5 pool5"
        " flatten5 fc6 relu6 drop6 fc7 relu7 drop7 fc8"
    )
    norm = "LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1, alpha_over_size=True)"
    layers = made_of(net)
    assert layers["norm1"] == layers["norm2"] == norm
    assert layers["conv2"] == "Conv2d(8, 12, 5, padding=2, groups=2)"
    assert layers["drop6"] == "Dropout(0.5, rescale='train')"


def test_first_kernels_are_turned_round_once(tmp_path):
    path = saved(caffes(**SMALL), tmp_path)
    theirs = read_onnx(path)[0].state_dict()["conv1.weight"]
    for name, expected in {"caffe": theirs[:, ::-1], "plain": theirs}.items():
        import_file(path, tmp_path / name, pixels=name)
        mine = load_run(tmp_path / name).net.state_dict()["conv1.weight"]
        np.testing.assert_array_equal(mine, expected)


def test_towers_side_by_side_are_called_a_and_b(tmp_path):
    rng = np.random.default_rng(0)
    constants = [
        as_tensor(rng.standard_normal((2, 3, 3, 3), np.float32), "wa"),
        as_tensor(rng.standard_normal((2, 3, 3, 3), np.float32), "wb"),
        as_tensor(rng.standard_normal((64, 5), np.float32), "w"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "wa"], ["a"]),
        helper.make_node("Conv", ["x", "wb"], ["b"]),
        helper.make_node("Relu", ["a"], ["c"]),
        helper.make_node("Tanh", ["b"], ["d"]),
        helper.make_node("Concat", ["c", "d"], ["e"], axis=1),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("MatMul", ["g", "w"], ["y"]),
    ]
    model = as_model(nodes, constants, ("n", 3, 6, 6))
    net, *_ = read_onnx(saved(model, tmp_path))
    assert " ".join(net.nodes) == "conv1a conv1b relu1a tanh1b both1 relu1_2 flatten1 fc2"
    assert net.state_shapes()["conv1.weight"][0] == (4, 3, 3, 3)
    x = rng.standard_normal((3, 3, 6, 6), np.float32)
    np.testing.assert_allclose(net(x), run(model, x), rtol=1e-4, atol=1e-5)


# ---- layer by layer ------------------------------------------------------------------------------


def compare(tmp_path, nodes, constants, shape, opset=13):
    """The graph's last maps as ours and as onnxruntime's."""
    model = as_model(nodes, constants, ("n", *shape), opset)
    onnx.checker.check_model(model)
    net, *_ = read_onnx(saved(model, tmp_path))
    x = np.random.default_rng(9).standard_normal((2, *shape), np.float32)
    expected = run(model, x)
    assert net(x).shape == expected.shape
    np.testing.assert_allclose(net(x), expected, rtol=1e-4, atol=1e-5)
    return net


CONVS = [
    {"pads": (2, 0, 1, 3)},
    {"strides": (2, 3), "pads": (1, 1, 1, 1)},
    {"auto_pad": "SAME_UPPER", "strides": (2, 2)},
    {"auto_pad": "SAME_LOWER", "strides": (3, 2)},
    {"auto_pad": "VALID", "dilations": (1, 1)},
    {"group": 2, "kernel_shape": (4, 3)},
]


@pytest.mark.parametrize("options", CONVS, ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_conv(tmp_path, options, bias):
    rng = np.random.default_rng(0)
    constants = [
        as_tensor(rng.standard_normal((6, 4 // options.get("group", 1), 4, 3), np.float32), "w"),
        as_tensor(rng.standard_normal(6, np.float32), "b"),
    ][: 1 + bias]
    names = ["x", "w", "b"][: 2 + bias]
    compare(tmp_path, [helper.make_node("Conv", names, ["y"], **options)], constants, (4, 11, 10))


@pytest.mark.parametrize("opset", [7, 12])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": (2, 2)},
        {"strides": (2, 1), "pads": (1, 0, 0, 2)},
        {"strides": (2, 2), "auto_pad": "SAME_UPPER"},
        {"strides": (2, 3), "auto_pad": "SAME_LOWER"},
        {"strides": (2, 2), "ceil_mode": 1},
        {"strides": (3, 2), "pads": (1, 1, 1, 1), "ceil_mode": 1},
    ],
    ids=str,
)
def test_max_pool(tmp_path, options, opset):
    if opset == 7 and "ceil_mode" in options:
        options = {**options, "pads": (0, 0, 1, 1)}
        del options["ceil_mode"]
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=(3, 3), **options)
    for side in (8, 9, 10):
        compare(tmp_path, [node], [], (2, side, 11), opset)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_lrn_divides_alpha_by_the_size_and_starts_at_the_bias(tmp_path, size):
    numbers = {"alpha": 0.3, "beta": 0.6, "bias": 1.5}
    node = helper.make_node("LRN", ["x"], ["y"], size=size, **numbers)
    net = compare(tmp_path, [node], [], (7, 4, 3))
    assert made_of(net)["norm0"] == (
        f"LocalResponseNorm({size}, alpha=0.3, beta=0.6, k=1.5, alpha_over_size=True)"
    )
    compare(tmp_path, [helper.make_node("LRN", ["x"], ["y"], size=size)], [], (7, 4, 3))


def row(name, *shape, seed=0):
    return as_tensor(np.random.default_rng(seed).standard_normal(shape, np.float32), name)


FLAT = helper.make_node("Flatten", ["x"], ["rows"])


@pytest.mark.parametrize(
    ("options", "constants", "opset"),
    [
        ({"transB": 1}, [row("w", 5, 24), row("b", 5)], 7),
        ({}, [row("w", 24, 5), row("b", 1, 5)], 9),
        ({"alpha": 0.5, "beta": 3.0, "transB": 1}, [row("w", 5, 24), row("b", 1)], 13),
        ({"alpha": 2.0}, [row("w", 24, 5)], 13),
    ],
    ids=["transposed", "as it is", "both factors", "no bias"],
)
def test_gemm(tmp_path, options, constants, opset):
    names = ["rows", *(tensor.name for tensor in constants)]
    compare(
        tmp_path,
        [FLAT, helper.make_node("Gemm", names, ["y"], **options)],
        constants,
        (2, 3, 4),
        opset,
    )


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_what_is_added_to_a_product_is_its_bias(tmp_path, order):
    nodes = [
        FLAT,
        helper.make_node("MatMul", ["rows", "w"], ["a"]),
        helper.make_node("Add", order, ["y"]),
    ]
    net = compare(tmp_path, nodes, [row("w", 24, 5), row("b", 5)], (2, 3, 4))
    assert list(net.nodes) == ["flatten0", "fc1"]


def test_what_is_added_to_maps_is_their_bias(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w", "own"], ["a"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    for shape in ((6, 1, 1), (1, 6, 1, 1)):
        constants = [row("w", 6, 2, 2, 2), row("own", 6), row("b", *shape)]
        net = compare(tmp_path, nodes, constants, (2, 5, 4))
    assert list(net.nodes) == ["conv1"]


@pytest.mark.parametrize(
    ("target", "options", "opset"),
    [((-1, 24), {}, 7), ((0, 24), {}, 13), ((0, -1), {}, 13), ((-1, 24), {"allowzero": 1}, 17)],
)
def test_a_reshape_to_rows(tmp_path, target, options, opset):
    rows = as_tensor(np.array(target, np.int64), "rows")
    node = helper.make_node("Reshape", ["x", "rows"], ["y"], **options)
    net = compare(tmp_path, [node], [rows], (2, 3, 4), opset)
    assert made_of(net) == {"flatten0": "Flatten()"}


def test_what_changes_nothing_is_left_out(tmp_path):
    nodes = [
        helper.make_node("Identity", ["x"], ["a"]),
        helper.make_node("AveragePool", ["a"], ["b"], kernel_shape=(1, 1)),
        helper.make_node("Flatten", ["b"], ["c"], axis=-3),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Cast", ["d"], ["e"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["w"], ["v"]),
        helper.make_node("MatMul", ["e", "v"], ["y"]),
    ]
    net = compare(tmp_path, nodes, [row("w", 24, 5)], (2, 3, 4))
    assert list(net.nodes) == ["flatten0", "fc1"]


def test_numbers_that_scale_the_image_are_its_pixels(tmp_path):
    rng = np.random.default_rng(0)
    mean, scale = rng.uniform(100, 140, (3, 6, 6)), rng.uniform(20, 60, (3, 1, 1))
    constants = [
        as_tensor(np.float32(255), "white"),
        as_tensor((mean / 255).astype(np.float32)[None], "mean"),
        as_tensor((255 / scale).astype(np.float32), "factor"),
        row("one", 3, 1, 1),
    ]
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["a", "white"], ["b"]),
        helper.make_node("Sub", ["b", "mean"], ["c"]),
        helper.make_node("Mul", ["factor", "c"], ["d"]),
        helper.make_node("Add", ["d", "one"], ["e"]),
        helper.make_node("Flatten", ["e"], ["y"]),
    ]
    model = as_model(nodes, constants, ("n", 3, 6, 6), kind=TensorProto.UINT8)
    net, normalize, _ = read_onnx(saved(model, tmp_path))
    x = rng.integers(0, 256, (4, 3, 6, 6), np.uint8)
    np.testing.assert_allclose(net(normalize(x, net.device)), run(model, x), rtol=1e-4, atol=1e-5)
    assert list(net.nodes) == ["flatten0"]
    assert tuple(normalize.span) == (0, 255)


@pytest.mark.parametrize("kind", ["Sub", "Mul", "Cast"])
def test_steps_on_the_image_take_no_memory(tmp_path, kind):
    """40 of them, of small numbers, held 40 images in float64."""
    node = {"to": TensorProto.FLOAT} if kind == "Cast" else {}
    names = ["x", *(f"v{i}" for i in range(6)), "y"]
    nodes = [
        helper.make_node(kind, [a] if node else [a, "one"], [b], **node)
        for a, b in itertools.pairwise(names)
    ]
    nodes[-1] = helper.make_node("MaxPool", [names[-2]], ["y"], kernel_shape=(2000, 2000))
    constants = [] if node else [as_tensor(np.float32(1), "one")]
    model = as_model(nodes, constants, (1, 3, 2000, 2000), kind=TensorProto.UINT8)
    tracemalloc.start()
    read_onnx(saved(model, tmp_path))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * 3 * 2000 * 2000 * 8


def test_many_steps_on_the_image_are_refused(tmp_path):
    nodes = [helper.make_node("Sub", ["x", "mean"], [f"v{i}"]) for i in range(40)]
    nodes.append(helper.make_node("Flatten", ["v39"], ["y"]))
    model = as_model(nodes, [row("mean", 2, 3, 4)], (1, 2, 3, 4))
    with pytest.raises(CheckpointError, match="more than 8 nodes scale the image"):
        read_onnx(saved(model, tmp_path))


@pytest.mark.parametrize("shape", [(4,), (1, 1, 4), (4, 1), (1, 1, 1, 4), (1, 1, 4, 1, 1)])
def test_numbers_along_the_width_are_no_bias(tmp_path, shape):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    model = as_model(nodes, [row("w", 4, 2, 2, 2), row("b", *shape)], ("n", 2, 5, 5))
    with pytest.raises(CheckpointError, match=r"must be \(1, 4, 1, 1\)"):
        read_onnx(saved(model, tmp_path))


def test_a_column_is_no_bias_of_rows(tmp_path):
    nodes = [FLAT, *(helper.make_node(k, *v) for k, v in PRODUCT.items())]
    model = as_model(nodes, [row("w", 24, 5), row("b", 5, 1)], (5, 2, 3, 4))
    with pytest.raises(CheckpointError, match=r"must be \(1, 5\)"):
        read_onnx(saved(model, tmp_path))


PRODUCT = {"MatMul": (["rows", "w"], ["a"]), "Add": (["a", "b"], ["y"])}
ALIASES = {
    "twice": ["Add a b y", "Relu a c"],
    "Identity": ["Identity a o", "Add o b y", "Relu a c"],
    "AveragePool": ["AveragePool a o", "Add o b y", "Relu a c"],
    "parts and back": ["Reshape a apart p", "Reshape p joined o", "Add o b y", "Relu a c"],
    "read by both names": ["Identity a o", "Add a b y", "Relu o c"],
    "Identity of it later": ["Add a b y", "Identity a o", "Relu o c"],
}


@pytest.mark.parametrize("name", ALIASES)
def test_a_sum_of_what_others_read_too_is_no_bias(tmp_path, name):
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"])]
    for told in ALIASES[name]:
        kind, *inputs, output = told.split()
        options = {"kernel_shape": (1, 1)} if kind == "AveragePool" else {}
        nodes.append(helper.make_node(kind, inputs, [output], **options))
    nodes.append(helper.make_node("Concat", ["y", "c"], ["z"], axis=1))
    constants = [
        row("w", 4, 2, 2, 2),
        row("b", 4, 1, 1),
        as_tensor(np.array([-1, 2, 4, 4]), "apart"),
        as_tensor(np.array([-1, 4, 4, 4]), "joined"),
    ]
    model = as_model(nodes, constants, ("n", 2, 5, 5), outputs=("z",))
    with pytest.raises(CheckpointError, match=r"\(Add\): here numbers"):
        read_onnx(saved(model, tmp_path))


def test_a_sum_beside_the_output_is_no_bias(tmp_path):
    nodes = [FLAT, *(helper.make_node(k, *v) for k, v in PRODUCT.items())]
    model = as_model(nodes, [row("w", 24, 5), row("b", 5)], ("n", 2, 3, 4), outputs=("a",))
    with pytest.raises(CheckpointError, match=r"\(Add\): here numbers"):
        read_onnx(saved(model, tmp_path))


def test_a_sum_behind_another_name_alone_is_a_bias(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Identity", ["a"], ["o"]),
        helper.make_node("Add", ["o", "b"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["y"]),
    ]
    compare(tmp_path, nodes, [row("w", 4, 2, 2, 2), row("b", 4, 1, 1)], (2, 5, 5))


@pytest.mark.parametrize("number", [1.0, 0.5, 0.7, 0.999999])
def test_a_factor_is_the_papers_dropout(tmp_path, number):
    nodes = [FLAT, helper.make_node("Mul", ["rows", "k"], ["y"])]
    net = compare(tmp_path, nodes, [as_tensor(np.float32(number), "k")], (2, 3, 4))
    assert list(net.nodes) == ["flatten0", "drop0"]


@pytest.mark.parametrize("number", [1.5e-6, 0.12345678, np.ones((1, 1, 1)), 0.0, -0.5, 1.5, np.nan])
def test_factors_that_are_no_share_are_refused(tmp_path, number):
    nodes = [FLAT, helper.make_node("Mul", ["rows", "k"], ["y"])]
    model = as_model(nodes, [as_tensor(np.float32(number), "k")], ("n", 2, 3, 4))
    with pytest.raises(CheckpointError, match=r"node 1 \(Mul\): here numbers"):
        read_onnx(saved(model, tmp_path))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.UINT8])
def test_a_cast_says_the_pixels_of_bytes_alone(tmp_path, kind):
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["a"], ["y"]),
    ]
    pixels = read_onnx(saved(as_model(nodes, [], ("n", 3, 3, 4), kind=kind), tmp_path))[1]
    if kind == TensorProto.FLOAT:
        assert pixels is None
    else:
        assert (pixels.mean == 0).all()
        assert (pixels.scale == 1).all()


def test_twenty_seven_towers(tmp_path):
    nodes = [helper.make_node("Conv", ["x", f"w{i}"], [f"a{i}"]) for i in range(27)]
    nodes.append(helper.make_node("Concat", [f"a{i}" for i in range(27)], ["y"], axis=-3))
    constants = [row(f"w{i}", 1, 2, 2, 2) for i in range(27)]
    with pytest.raises(CheckpointError, match=r"\(Conv\): 27 layers with weights"):
        read_onnx(saved(as_model(nodes, constants, ("n", 2, 3, 4)), tmp_path))
    nodes, constants = [*nodes[1:27], nodes[27]], constants[1:]
    del nodes[-1].input[0]
    compare(tmp_path, nodes, constants, (2, 3, 4))


@pytest.mark.parametrize("opset", [9, 12, 13, 17])
def test_rows_of_a_shape_that_is_worked_out(tmp_path, opset):
    nodes, constants = rows_worked_out("x", opset)
    nodes.append(helper.make_node("Reshape", ["x", "rows"], ["y"]))
    model = as_model(nodes, constants, ("n", 2, 3, 4), opset)
    net, *_ = read_onnx(saved(model, tmp_path))
    assert made_of(net) == {"flatten0": "Flatten()"}
    x = np.random.default_rng(0).standard_normal((3, 2, 3, 4), np.float32)
    np.testing.assert_array_equal(net(x), run(model, x))


def test_rows_as_many_as_a_shape_begins_with(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["ns"], start=0, end=1),
        helper.make_node("Concat", ["ns", "rest"], ["rows"], axis=0),
        helper.make_node("Reshape", ["x", "rows"], ["y"], allowzero=1),
    ]
    rest = as_tensor(np.array([-1]), "rest")
    assert list(compare(tmp_path, nodes, [rest], (2, 3, 4), 17).nodes) == ["flatten0"]


@pytest.mark.parametrize(
    ("batch", "target", "taken"),
    [(1, (1, -1), True), (4, (4, -1), True), (4, (4, 24), True), (4, (1, -1), False),
     (4, (2, -1), False), (1, (-1, -1), False), ("n", (1, -1), False)],
)  # fmt: skip
def test_rows_of_so_many_images(tmp_path, batch, target, taken):
    rows = as_tensor(np.array(target, np.int64), "rows")
    node = helper.make_node("Reshape", ["x", "rows"], ["y"])
    path = saved(as_model([node], [rows], (batch, 2, 3, 4)), tmp_path)
    if not taken:
        with pytest.raises(CheckpointError, match=r"\(Reshape\)"):
            read_onnx(path)
        return
    net, *_ = read_onnx(path)
    x = np.random.default_rng(0).standard_normal((batch, 2, 3, 4), np.float32)
    np.testing.assert_array_equal(net(x), run(onnx.load(path), x))


def test_weights_that_are_turned_and_cast_first(tmp_path):
    weight = np.random.default_rng(0).standard_normal((5, 24)).astype(np.float16)
    nodes = [
        FLAT,
        helper.make_node("Transpose", ["w"], ["a"], perm=(1, 0)),
        helper.make_node("Cast", ["a"], ["v"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["rows", "v"], ["y"]),
    ]
    net = compare(tmp_path, nodes, [as_tensor(weight, "w")], (2, 3, 4))
    np.testing.assert_array_equal(net.state_dict()["fc1.weight"], weight.astype(np.float32))
    del nodes[1].attribute[:]
    compare(tmp_path, nodes, [as_tensor(weight, "w")], (2, 3, 4))


@pytest.mark.parametrize(
    ("kind", "options", "word"),
    [
        ("Concat", {"axis": 0}, "more than 64 numbers"),
        ("Cast", {"to": TensorProto.STRING}, "its to is 8"),
        ("Transpose", {"perm": (0, 0)}, "do not fit"),
        ("Transpose", {"slope": 1}, "slope is not known"),
        ("Sin", {}, "no such layer"),
    ],
)
def test_constants_that_are_not_worked_out(tmp_path, kind, options, word):
    node = helper.make_node(kind, ["w"] * (1 + (kind == "Concat")), ["v"], **options)
    model = as_model([node, FLAT], [row("w", 5, 24)], ("n", 2, 3, 4), outputs=("rows",))
    with pytest.raises(CheckpointError, match=rf"\({kind}\): .*{word}"):
        read_onnx(saved(model, tmp_path))


def test_constants_that_are_worked_out_over_and_over(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_constants, "MOST_FOLDED", 8 * 120 * 3)
    for count in (3, 4):
        nodes = [helper.make_node("Identity", ["w"], [f"v{i}"]) for i in range(count)]
        model = as_model([*nodes, FLAT], [row("w", 5, 24)], ("n", 2, 3, 4), outputs=("rows",))
        path = saved(model, tmp_path)
        if count == 3:
            read_onnx(path)
    with pytest.raises(CheckpointError, match=r"node 3 \(Identity\): .* bytes in all"):
        read_onnx(path)


def test_a_constant_that_there_is_already(tmp_path):
    nodes = [helper.make_node("Identity", ["w"], ["v"]) for _ in range(2)]
    model = as_model([*nodes[1:], FLAT], [row("w", 5, 24)], ("n", 2, 3, 4), outputs=("rows",))
    model.graph.node.insert(0, nodes[0])
    with pytest.raises(CheckpointError, match="gives v, which there is already"):
        read_onnx(saved(model, tmp_path))


def test_the_opset_under_both_its_names(tmp_path):
    model = as_model([FLAT], [], ("n", 2, 3, 4), outputs=("rows",))
    model.opset_import.append(helper.make_opsetid("ai.onnx", 13))
    read_onnx(saved(model, tmp_path))
    model.opset_import[-1].version = 12
    with pytest.raises(CheckpointError, match=r"opset is 1\d and 1\d, expected 7 to 21"):
        read_onnx(saved(model, tmp_path))


# ---- weights beside the file ---------------------------------------------------------------------


def beside(tmp_path, **said):
    """A graph whose weights are in another file, about which it says that."""
    (tmp_path / "inside").mkdir()
    path = tmp_path / "inside" / "net.onnx"
    weight = np.random.default_rng(0).standard_normal((24, 5)).astype(np.float32)
    model = as_model(
        [FLAT, helper.make_node("MatMul", ["rows", "w"], ["y"])],
        [as_tensor(weight, "w")],
        ("n", 2, 3, 4),
    )
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "weights.bin"} | said).items():
        tensor.external_data.add(key=key, value=str(value))
    for folder in (tmp_path, path.parent):
        (folder / "weights.bin").write_bytes(bytes(8) + weight.tobytes())
    path.write_bytes(model.SerializeToString())
    return path, weight


@pytest.mark.parametrize("said", [{}, {"length": 480}])
def test_weights_in_a_file_beside_it(tmp_path, said):
    path, weight = beside(tmp_path, offset=8, **said)
    np.testing.assert_array_equal(read_onnx(path)[0].state_dict()["fc1.weight"], weight.T)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"location": "../weights.bin"}, "outside the file's folder"),
        ({"location": "/etc/passwd"}, "outside the file's folder"),
        ({"location": "none.bin"}, "no such file"),
        ({"location": "."}, "no such file"),
        ({"offset": 9}, "has fewer"),
        ({"offset": -8}, "has fewer"),
        ({"length": 479}, "has fewer"),
        ({"length": 10**12}, "has fewer"),
    ],
)
def test_weights_elsewhere_or_too_few_are_refused(tmp_path, said, word):
    path, _ = beside(tmp_path, **said)
    with pytest.raises(CheckpointError, match=word):
        read_onnx(path)


def test_weights_beside_it_of_more_bytes_than_any_alexnets(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 479)
    with pytest.raises(CheckpointError, match="more than 479 bytes"):
        read_onnx(beside(tmp_path)[0])


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    path, _ = beside(tmp_path, location="link.bin")
    (path.parent / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(CheckpointError, match="outside the file's folder"):
        read_onnx(path)


# ---- what is refused -----------------------------------------------------------------------------

CONV = {"kernel_shape": (2, 2)}
KERNEL, TWO = (1, 2, 2, 2), as_tensor(np.float32(2), "b")
NAN = np.full((1, 2, 1, 1), np.nan, np.float32)
REFUSED = {
    "an unknown layer": ([("Sigmoid", "x")], [], r"node 0 \(Sigmoid\): .*no such layer"),
    "another domain's": ([("Relu", "x", {"domain": "ai.mine"})], [], "no such layer"),
    "dilated": ([("Conv", "x w", {"dilations": (2, 2)})], [row("w", 1, 2, 2, 2)], "dilations"),
    "kernel_shape": ([("Conv", "x w", CONV)], [row("w", 1, 2, 3, 3)], "kernel_shape is"),
    "a kernel of one axis": ([("Conv", "x w")], [row("w", 1, 2, 3)], "kernels must be"),
    "channels": ([("Conv", "x w")], [row("w", 1, 4, 2, 2)], "expected 4 input channels"),
    "groups": ([("Conv", "x w", {"group": 2})], [row("w", 3, 1, 2, 2)], "groups must divide"),
    "bias": ([("Conv", "x w b")], [row("w", 3, 2, 2, 2), row("b", 2)], r"must be \(3,\)"),
    "no constant": ([("Relu", "x"), ("Conv", "v0 v0")], [], "must be a constant"),
    "auto_pad": ([("MaxPool", "x", {"kernel_shape": (2, 2), "auto_pad": "MORE"})], [], "MORE"),
    "columns": ([("MaxPool", "x", {"kernel_shape": (2, 2), "storage_order": 1})], [], "storage"),
    "an average": ([("AveragePool", "x", {"kernel_shape": (2, 2)})], [], "kernel_shape is"),
    "an even LRN": ([("LRN", "x", {"size": 4})], [], "must be odd"),
    "Gemm turned": (
        [("Flatten", "x"), ("Gemm", "v0 w", {"transA": 1})], [row("w", 24, 5)], "transA is 1"
    ),
    "Gemm of maps": ([("Gemm", "x w")], [row("w", 24, 5)], "add a Flatten before it"),
    "Flatten": ([("Flatten", "x", {"axis": 2})], [], "axis is 2"),
    "Reshape": ([("Reshape", "x s")], [as_tensor(np.array([-1, 12]), "s")], "maps become rows"),
    "zeros": ([("Reshape", "x s", {"allowzero": 1})], [as_tensor(np.array([0, 24]), "s")], "noth"),
    "Softmax within": ([("Flatten", "x"), ("Softmax", "v0"), ("Relu", "v1")], [], "at the end"),
    "Softmax of maps": ([("Softmax", "x")], [], "at the end"),
    "Concat": ([("Concat", "x x", {"axis": 2})], [], "axis is 2"),
    "a mask that is read": ([("Dropout", "x"), ("Relu", "v7")], [], "no node before it gives"),
    "a sum of two": ([("Relu", "x"), ("Add", "v0 x")], [], "must be a constant"),
    "a sum behind a ReLU": ([("Relu", "x"), ("Add", "v0 b")], [row("b", 1)], "alone"),
    "a factor": ([("Relu", "x"), ("Mul", "v0 b")], [TWO], "alone"),
    "a mean of nan": ([("Sub", "x b"), ("Relu", "v0")], [as_tensor(NAN[0], "b")], "nan or inf"),
    "a scale of 0": ([("Div", "x b"), ("Relu", "v0")], [as_tensor(np.float32(0), "b")], "above 0"),
    "a scale a pixel": ([("Mul", "x b"), ("Relu", "v0")], [row("b", 2, 3, 4)], "scale"),
    "an unknown attribute": ([("Relu", "x", {"slope": 1})], [], "slope is not known"),
    "no numbers": ([("Conv", "x w")], [as_tensor(np.zeros(KERNEL, bool), "w")], "bool"),
    "not finite": ([("Conv", "x w")], [as_tensor(NAN, "w")], "holds nan"),
    "shared weights": (
        [("Conv", "x w"), ("Conv", "v0 w")], [row("w", 2, 2, 1, 1)], "another layer already"
    ),
    "two scales of the image": (
        [("Div", "x b"), ("Relu", "x"), ("Relu", "v0")], [TWO], "another scale"
    ),
    "parts of images": (
        [("Reshape", "x s"), ("Relu", "v0")], [as_tensor(np.array([-1, 1, 3, 4]), "s")], "an LRN"
    ),
    "an output within": ([("Relu", "x"), ("Relu", "v0"), ("Relu", "v0")], [], "last layer"),
    "too large": ([("Conv", "x w", {"pads": (9000,) * 4})], [row("w", 1, 2, 2, 2)], "too large"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_has_that_we_lack_is_named(tmp_path, name):
    told, constants, word = REFUSED[name]
    nodes = [
        helper.make_node(kind, inputs.split(), [f"v{i}"], **(more[0] if more else {}))
        for i, (kind, inputs, *more) in enumerate(told)
    ]
    last = "v1" if name == "an output within" else f"v{len(nodes) - 1}"
    model = as_model(nodes, constants, ("n", 2, 3, 4), outputs=(last,))
    with pytest.raises(UserError, match=word):
        read_onnx(saved(model, tmp_path))


def test_a_value_that_two_nodes_give_is_refused(tmp_path):
    nodes = [helper.make_node(kind, ["x"], ["y"]) for kind in ("Relu", "Tanh")]
    model = as_model(nodes[:1], [], ("n", 2, 3, 4))
    model.graph.node.append(nodes[1])
    with pytest.raises(CheckpointError, match="gives y, which there is already"):
        read_onnx(saved(model, tmp_path))


def test_weights_of_no_size_are_no_memory_bomb(tmp_path):
    for shape in ((10**12, 0), (0, 10**12)):
        tensor = as_tensor(np.zeros((0, 0), np.float32), "w")
        model = as_model([FLAT, helper.make_node("Gemm", ["rows", "w"], ["y"])], [], (1, 2, 3, 4))
        tensor.dims[:] = shape
        model.graph.initializer.append(tensor)
        with pytest.raises(CheckpointError, match="must be at least 1"):
            read_onnx(saved(model, tmp_path))


def test_a_node_of_ones_own_name_is_named_by_it(tmp_path):
    node = helper.make_node("Elu", ["x"], ["y"], name="/features/1/Elu")
    with pytest.raises(CheckpointError, match=r"^node /features/1/Elu "):
        read_onnx(saved(as_model([node], [], ("n", 2, 3, 4)), tmp_path))


@pytest.mark.parametrize("opset", [6, 22])
def test_other_opsets_are_refused(tmp_path, opset):
    model = as_model([FLAT], [], ("n", 2, 3, 4), outputs=("rows",))
    model.opset_import[0].version = opset
    with pytest.raises(CheckpointError, match=f"opset is {opset}, expected 7 to 21"):
        read_onnx(saved(model, tmp_path))


@pytest.mark.parametrize(
    ("shape", "outputs", "word"),
    [
        (("n", 3, "h", "w"), ("rows",), "the last three said"),
        (("n", 3, 0, 4), ("rows",), "the last three said"),
        (("n", 24), ("rows",), "the last three said"),
        (("n", 10**6, 10**6, 10**6), ("rows",), "too large"),
        (("n", 2, 3, 4), ("rows", "x"), "one input and one output"),
    ],
)
def test_images_of_no_size_and_several_outputs_are_refused(tmp_path, shape, outputs, word):
    with pytest.raises(CheckpointError, match=word):
        read_onnx(saved(as_model([FLAT], [], shape, outputs=outputs), tmp_path))


def test_a_file_that_tells_of_more_numbers_than_it_holds(tmp_path):
    model = as_model(
        [helper.make_node("Conv", ["x", "w"], ["y"])], [row("w", 1, 2, 2, 2)], (1, 2, 3, 4)
    )
    model.graph.initializer[0].dims[0] = 10**12
    path = saved(model, tmp_path)
    with pytest.raises(CheckpointError, match="damaged"):
        import_file(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()
