"""The paper's net and its relatives: counts worked out by hand, order, crossings, the start.

What they compute is compared in test_alexnet_equals.py.
"""

import math
from collections import Counter

import numpy as np
import pytest
from reference import assert_close

from minitorch_alexnet import init
from minitorch_alexnet.errors import ShapeError, UserError
from minitorch_alexnet.layers import Dropout, LocalResponseNorm, MaxPool2d
from minitorch_alexnet.models import MODELS, build, options_of
from minitorch_alexnet.summary import crossings, summary

ALONE = [name for name in MODELS if name != "alexnet"]  # those that live on one device


def undrawn(name, **options):
    return build(name, seed=None, **options)


def of_kind(net, kind):
    return [node.layer for node in net.nodes.values() if type(node.layer) is kind]


# ---- counts --------------------------------------------------------------------------------

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
FC = (37_752_832, 16_781_312, 4_097_000)
FC_PRODUCTS = (37_748_736, 16_777_216, 4_096_000)
FC_OF_6400 = (26_214_400, 16_777_216, 4_096_000)

# parameters of each layer, its multiply-adds, and what both sum up to
GROUPED = (
    (34_944, 307_456, 885_120, 663_936, 442_624, *FC),
    (105_415_200, 223_948_800, 149_520_384, 112_140_288, 74_760_192, *FC_PRODUCTS),
    (60_965_224, 724_406_816),
)
UNGROUPED = (
    (34_944, 614_656, 885_120, 1_327_488, 884_992, *FC),
    (105_415_200, 447_897_600, 149_520_384, 224_280_576, 149_520_384, *FC_PRODUCTS),
    (62_378_344, 1_135_256_096),
)
TORCHVISION = (
    (23_296, 307_392, 663_936, 884_992, 590_080, *FC),
    (70_276_800, 223_948_800, 112_140_288, 149_520_384, 99_680_256, *FC_PRODUCTS),
    (61_100_840, 714_188_480),
)
GLOROT = (
    (*UNGROUPED[0][:5], 26_218_496, 16_781_312, 4_097_000),
    (101_616_768, 415_334_400, 127_401_984, 191_102_976, 127_401_984, *FC_OF_6400),
    (50_844_008, 1_009_945_728),
)
GLOROT_OF_TEN = (*GLOROT[0][:7], 40_970), (*GLOROT[1][:7], 40_960), (46_787_978, 1_005_890_688)
CONTROL = (
    (17_472, 153_728, 221_376, 331_968, 442_624, *FC),
    (52_707_600, 111_974_400, 37_380_096, 56_070_144, 74_760_192, *FC_PRODUCTS),
    (59_798_312, 391_514_384),
)
SMALL = (  # of 64 pixels, 200 classes
    (7_104, 76_928, 221_376, 166_080, 110_720, 1_180_672, 1_049_600, 205_000),
    (7_225_344, 17_280_000, 10_838_016, 8_128_512, 5_419_008, 1_179_648, 1_048_576, 204_800),
    (3_017_480, 51_323_904),
)
FASHION = (
    (416, 12_864, 55_392, 41_568, 27_712, 147_712, 65_792, 2_570),
    (230_400, 1_843_200, 1_990_656, 1_492_992, 995_328, 147_456, 65_536, 2_560),
    (354_026, 6_768_128),
)
FASHION_ALEXNET = (  # no colours, 10 classes
    (11_712, *GROUPED[0][1:7], 40_970),
    (35_138_400, *GROUPED[1][1:7], 40_960),
    (56_885_962, 650_074_976),
)
COUNTS = {
    "fashion": FASHION,
    "alexnet": GROUPED,
    "alexnet-merged": GROUPED,
    "alexnet-as-trained": GROUPED,
    "alexnet-one-column": UNGROUPED,
    "alexnet-glorot": GLOROT,
    "alexnet-control": CONTROL,
    "alexnet-small": SMALL,
    "caffenet": GROUPED,
    "torchvision": TORCHVISION,
    "fashion-alexnet": FASHION_ALEXNET,
}


def counts(net):
    """(parameters, multiply-adds) of each layer, by its name, the towers added up."""
    parameters, products = Counter(), Counter()
    shapes = {"image": net.input_shape} | {name: n.shape for name, n in net.nodes.items()}
    for node in net.nodes.values():
        if node.layer.params:
            inputs = [shapes[source] for source in node.sources]
            parameters[node.joined_name] += sum(p.data.size for p in node.layer.params.values())
            products[node.joined_name] += node.layer.multiply_adds(*inputs)
    return parameters, products


def assert_counts(net, wanted):
    parameters, products = counts(net)
    assert parameters == dict(zip(LAYERS, wanted[0], strict=True))
    assert products == dict(zip(LAYERS, wanted[1], strict=True))
    assert (parameters.total(), products.total()) == wanted[2]
    total = summary(net).partition("\ntotal ")[2].split()[:2]
    assert total == [f"{count:,}" for count in wanted[2]]


@pytest.mark.parametrize("name", MODELS)
def test_parameters_and_multiply_adds(name):
    assert_counts(undrawn(name), COUNTS[name])


def test_counts_of_ten_classes_and_of_two_towers_on_one_device():
    assert_counts(undrawn("alexnet-glorot", num_classes=10), GLOROT_OF_TEN)
    assert_counts(undrawn("alexnet", devices="cpu"), GROUPED)


@pytest.mark.parametrize("name", ["alexnet", "alexnet-merged"])
def test_a_training_step_of_the_paper_takes_529_gflop(name):
    _, products = counts(undrawn(name))
    # forward, dx and dW; not dx of conv1
    assert 128 * 2 * (3 * products.total() - products["conv1"]) == 529_358_143_488


# ---- shapes --------------------------------------------------------------------------------

MAPS = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
SIZES = (55, 27, 27, 13, 13, 13, 13, 6)
WIDE, HALF = (96, 256, 384, 384, 256), (48, 128, 192, 192, 128)


def with_pools(conv):
    """Of conv1 … conv5, of MAPS."""
    return conv[0], conv[0], conv[1], *conv[1:], conv[4]


@pytest.mark.parametrize(
    ("name", "options", "channels", "sizes"),
    [
        ("alexnet", {}, HALF, SIZES),  # each tower
        ("alexnet-merged", {}, WIDE, SIZES),
        ("alexnet-as-trained", {}, WIDE, SIZES),
        ("alexnet-one-column", {}, WIDE, SIZES),
        ("alexnet-control", {}, (48, 128, 192, 192, 256), SIZES),
        ("caffenet", {}, WIDE, SIZES),
        ("torchvision", {}, (64, 192, 384, 256, 256), SIZES),
        ("fashion-alexnet", {}, WIDE, SIZES),
        ("alexnet-glorot", {}, WIDE, (54, 26, 26, 12, 12, 12, 12, 5)),
        ("alexnet-small", {"size": 56}, HALF, (28, 13, 13, 6, 6, 6, 6, 2)),
        ("alexnet-small", {}, HALF, (32, 15, 15, 7, 7, 7, 7, 3)),
        ("alexnet-small", {"size": 128}, HALF, (64, 31, 31, 15, 15, 15, 15, 7)),
        ("fashion", {"size": 24}, (16, 64, 96, 96, 64), (20, 10, 10, 5, 5, 5, 5, 2)),
        ("fashion", {"size": 32}, (16, 64, 96, 96, 64), (28, 14, 14, 7, 7, 7, 7, 3)),
    ],
    ids=str,
)
def test_shapes(name, options, channels, sizes):
    net = undrawn(name, **options)
    maps = dict(zip(MAPS, zip(with_pools(channels), sizes, strict=True), strict=True))
    towers = "ab" if name == "alexnet" else [""]
    for tower in towers:
        got = {node: net.nodes[node + tower].shape for node in MAPS}
        assert got == {node: (c, size, size) for node, (c, size) in maps.items()}
        assert net.nodes[f"flatten{tower}"].shape == (channels[4] * sizes[-1] ** 2,)
    if name != "fashion":
        hidden = 1024 if name == "alexnet-small" else 4096
        for node in ("fc6", "fc7"):
            assert sum(net.nodes[node + tower].shape[0] for tower in towers) == hidden


IMAGES = {
    "fashion": (1, 28),
    "alexnet-one-column": (3, 227),
    "alexnet-small": (3, 64),
    "caffenet": (3, 227),
    "fashion-alexnet": (1, 28),
}


@pytest.mark.parametrize("name", MODELS)
def test_images_and_classes(name):
    net = undrawn(name)
    channels, size = IMAGES.get(name, (3, 224))
    assert net.input_shape == (channels, size, size)
    classes = {"alexnet-small": 200, "fashion": 10, "fashion-alexnet": 10}.get(name, 1000)
    assert net.nodes["fc8"].shape == (classes,)
    other = undrawn(name, num_classes=7, channels=5)
    assert other.input_shape == (5, size, size)
    assert other.nodes["fc8"].shape == (7,)


def test_the_paper_has_659272_neurons():
    net = undrawn("alexnet")
    neurons = [math.prod(n.shape) for n in net.nodes.values() if n.joined_name in LAYERS]
    assert sum(neurons) == 659_272
    assert math.prod(net.input_shape) == 150_528


# ---- order, and the layers' arguments ------------------------------------------------------

PAPER_ORDER = (
    "conv relu norm pool  conv relu norm pool  conv relu  conv relu  conv relu pool"
    "  flatten  fc relu drop  fc relu drop  fc"
)
ORDER = {
    "fashion": PAPER_ORDER,
    "alexnet-merged": PAPER_ORDER,
    "alexnet-one-column": PAPER_ORDER,
    "alexnet-control": PAPER_ORDER,
    "alexnet-small": PAPER_ORDER,
    "fashion-alexnet": f"enlarge  {PAPER_ORDER}",
    "alexnet-as-trained": PAPER_ORDER.replace("conv relu norm pool", "conv norm pool relu", 1),
    "caffenet": PAPER_ORDER.replace("norm pool", "pool norm"),
    "alexnet-glorot": PAPER_ORDER.replace("norm ", ""),
    "torchvision": PAPER_ORDER.replace("norm ", "").replace(
        "fc relu drop  fc relu drop  fc", "drop fc relu  drop fc relu  fc"
    ),
}
KINDS = {
    "Conv2d": "conv",
    "ReLU": "relu",
    "LocalResponseNorm": "norm",
    "MaxPool2d": "pool",
    "Flatten": "flatten",
    "Linear": "fc",
    "Dropout": "drop",
    "Upsample": "enlarge",
}


@pytest.mark.parametrize("name", ALONE)
def test_order_of_the_layers(name):
    net = undrawn(name)
    kinds = [KINDS[type(node.layer).__name__] for node in net.nodes.values()]
    assert kinds == ORDER[name].split()
    assert [node.rstrip("12345678") for node in net.nodes] == kinds  # names say what they are
    before = ["image", *net.nodes]
    assert [n.sources for n in net.nodes.values()] == [(b,) for b in before[:-1]]


def test_order_of_a_towers_layers():
    net = undrawn("alexnet")
    for tower in "ab":
        layers = [type(n.layer).__name__ for n in net.nodes.values() if n.tower == tower]
        order = [KINDS[kind] for kind in layers if kind != "Concat"]
        assert order == PAPER_ORDER.split()[:-1]  # fc8 has no towers


def test_the_towers_meet_at_conv3_and_in_front_of_every_fc_layer():
    net = undrawn("alexnet")
    reads = {name: node.sources for name, node in net.nodes.items()}
    for reader, joined, node in (
        ("conv3", "both2", "pool2"),
        ("fc6", "both5", "flatten"),
        ("fc7", "both6", "drop6"),
    ):
        assert reads[f"{reader}a"] == (f"{joined}a",)
        assert reads[f"{reader}b"] == (f"{joined}b",)
        assert reads[f"{joined}a"] == (f"{node}a", f"{node}b_to_a")  # a, then b, in both
        assert reads[f"{joined}b"] == (f"{node}a_to_b", f"{node}b")
    assert reads["fc8"] == ("both7",)
    assert reads["both7"] == ("drop7a", "drop7b_to_a")
    assert reads["conv1a"] == ("image",)
    assert reads["conv1b"] == ("image_b",)
    for reader in ("conv2", "conv4", "conv5"):  # their own tower's
        for tower in "ab":
            assert net.nodes[reads[reader + tower][0]].tower == tower
    at_home = {"b": "cpu:1"}
    for node in net.nodes.values():
        if node.tower:
            assert str(node.device) == at_home.get(node.tower, "cpu:0")
    assert str(net.nodes["fc8"].device) == "cpu:0"


@pytest.mark.parametrize(
    ("devices", "homes"),
    [
        ("cpu", ["cpu:0", "cpu:0"]),
        ("cpu:2,cpu:1", ["cpu:2", "cpu:1"]),
        (("cpu:0", "cpu:1"), ["cpu:0", "cpu:1"]),
        (["cpu:1"], ["cpu:1", "cpu:1"]),
    ],
)
def test_the_towers_live_where_they_are_told(devices, homes):
    net = undrawn("alexnet", devices=devices)
    assert [str(net.nodes[node].device) for node in ("conv1a", "conv1b")] == homes
    assert str(net.device) == str(net.nodes["fc8"].device) == homes[0]


CEIL = "stride=4, padding=((0, 3), (0, 3))"  # 11×11 with the paper's three zeros
ALL, EACH = (1, 1, 1, 1, 1), (1, 2, 1, 2, 2)  # groups of conv1 … conv5
PAPERS_NORM = {"alpha": 1e-4, "beta": 0.75, "k": 2, "alpha_over_size": False}
ARGUMENTS = {  # conv1, groups of the conv layers, the norms', rescale of the dropouts
    "fashion": ("Conv2d(1, 16, 5)", EACH, PAPERS_NORM | {"groups": 2}, "test"),
    "alexnet": (f"Conv2d(3, 48, 11, {CEIL})", ALL, PAPERS_NORM | {"groups": 1}, "test"),
    "alexnet-merged": (f"Conv2d(3, 96, 11, {CEIL})", EACH, PAPERS_NORM | {"groups": 2}, "test"),
    "alexnet-as-trained": (
        f"Conv2d(3, 96, 11, {CEIL})",
        EACH,
        PAPERS_NORM | {"alpha_over_size": True, "groups": 2},
        "test",
    ),
    "alexnet-one-column": (
        "Conv2d(3, 96, 11, stride=4)",
        ALL,
        PAPERS_NORM | {"groups": 1},
        "test",
    ),
    "alexnet-glorot": ("Conv2d(3, 96, 11, stride=4)", ALL, None, "train"),
    "alexnet-control": (f"Conv2d(3, 48, 11, {CEIL})", ALL, PAPERS_NORM | {"groups": 1}, "test"),
    "alexnet-small": (
        "Conv2d(3, 48, 7, stride=2, padding=3)",
        EACH,
        PAPERS_NORM | {"groups": 2},
        "test",
    ),
    "caffenet": (
        "Conv2d(3, 96, 11, stride=4)",
        EACH,
        PAPERS_NORM | {"k": 1, "alpha_over_size": True, "groups": 1},
        "train",
    ),
    "torchvision": ("Conv2d(3, 64, 11, stride=4, padding=2)", ALL, None, "train"),
    "fashion-alexnet": (f"Conv2d(1, 96, 11, {CEIL})", EACH, PAPERS_NORM | {"groups": 2}, "test"),
}


@pytest.mark.parametrize("name", MODELS)
def test_arguments_of_the_layers(name):
    net = undrawn(name, dropout=0.25)
    first, groups, norm, rescale = ARGUMENTS[name]
    towers = "ab" if name == "alexnet" else [""]
    for tower in towers:
        assert repr(net[f"conv1{tower}"]) == first
        convs = [net[f"conv{i}{tower}"] for i in range(1, 6)]
        assert tuple(conv.groups for conv in convs) == groups
        for conv, kernel in zip(convs[1:], (5, 3, 3, 3), strict=True):
            assert (conv.kernel_size, conv.stride) == ((kernel, kernel), (1, 1))
            assert conv.padding == ((kernel // 2,) * 2,) * 2
    norms = of_kind(net, LocalResponseNorm)
    assert len(norms) == (2 * len(towers) if norm else 0)
    for layer in norms:
        assert layer.size == 5
        assert {key: getattr(layer, key) for key in norm} == norm
    ceil = ", ceil_mode=True" if name == "fashion" else ""
    pools = [repr(pool) for pool in of_kind(net, MaxPool2d)]
    assert pools == [f"MaxPool2d(3, stride=2{ceil})"] * 3 * len(towers)
    drops = of_kind(net, Dropout)
    assert [(drop.p, drop.rescale) for drop in drops] == [(0.25, rescale)] * 2 * len(towers)


def test_the_enlarged_images_are_eight_times_as_large():
    net = undrawn("fashion-alexnet")
    assert repr(net["enlarge"]) == "Upsample(8)"
    assert net.nodes["enlarge"].shape == (1, 224, 224)


# ---- what crosses --------------------------------------------------------------------------

TO_A, TO_B = "cpu:1 -> cpu:0", "cpu:0 -> cpu:1"
CROSSINGS = [  # bytes of float32, an image
    ("image -> image_b", TO_B, 602_112, 0),
    ("pool2b -> pool2b_to_a", TO_A, 86_528, 86_528),
    ("pool2a -> pool2a_to_b", TO_B, 86_528, 86_528),
    ("flattenb -> flattenb_to_a", TO_A, 18_432, 18_432),
    ("flattena -> flattena_to_b", TO_B, 18_432, 18_432),
    ("drop6b -> drop6b_to_a", TO_A, 8_192, 8_192),
    ("drop6a -> drop6a_to_b", TO_B, 8_192, 8_192),
    ("drop7b -> drop7b_to_a", TO_A, 8_192, 8_192),
]


def test_what_the_paper_moves_between_its_devices():
    net = undrawn("alexnet")
    rows = crossings(net)
    assert [tuple(row.values()) for row in rows] == CROSSINGS
    forward, backward = (
        sum(r[key] for r in rows[1:]) for key in ("bytes_forward", "bytes_backward")
    )
    assert forward == backward == 234_496
    assert 128 * (forward + backward) == 60_030_976
    assert [row["bytes_forward"] for row in crossings(net, 8)] == [2 * c[2] for c in CROSSINGS]
    totals = [line.split()[2:] for line in summary(net).splitlines()[-2:]]
    assert totals == [["the", "image", "602,112", "0"], ["the", "maps", "234,496", "234,496"]]


@pytest.mark.parametrize(
    ("frozen", "silent"),
    [
        ("", ["image_b"]),
        ("conv1a conv2a", ["image_b", "pool2a_to_b"]),
        ("conv1a conv1b conv2a conv2b", ["image_b", "pool2b_to_a", "pool2a_to_b"]),
        ("conv1b conv2b fc6a fc6b fc8", ["image_b", "pool2b_to_a"]),
    ],
)
def test_nothing_comes_back_to_where_nothing_learns(frozen, silent):
    net = undrawn("alexnet")
    for name in frozen.split():
        for parameter in net[name].params.values():
            parameter.lr_scale = 0
    rows = crossings(net)
    assert [r["edge"].split()[-1] for r in rows if not r["bytes_backward"]] == silent


@pytest.mark.parametrize("name", ALONE)
def test_nothing_crosses_on_one_device(name):
    net = undrawn(name)
    assert crossings(net) == []
    assert "bytes" not in summary(net)


# ---- the start -----------------------------------------------------------------------------

HE = ("fashion", "fashion-alexnet")
ONES = ("conv2", "conv4", "conv5", "fc6", "fc7")  # the paper's biases of 1
OTHER_STD = {
    "alexnet-as-trained": dict.fromkeys(("conv3", "conv4", "conv5"), 0.03),
    "caffenet": dict.fromkeys(("fc6", "fc7"), 0.005),
}


def assert_normal(w, std):
    """As near to N(0, std²) as so many numbers are, within six deviations."""
    root = math.sqrt(w.size)
    assert abs(w.mean()) < 6 * std / root
    assert w.std() == pytest.approx(std, rel=6 / (math.sqrt(2) * root))
    assert np.mean(np.abs(w) < std) == pytest.approx(0.6827, abs=3 / root)


def assert_uniform(w, limit):
    """U(-limit, limit): both ends nearly reached, and as many in the inner half as outside."""
    root = math.sqrt(w.size)
    assert np.abs(w).max() <= limit * (1 + 1e-6)
    assert min(w.max(), -w.min()) > limit * (1 - 16 / w.size)
    assert np.mean(np.abs(w) < limit / 2) == pytest.approx(0.5, abs=3 / root)


@pytest.fixture
def asked(monkeypatch):
    """(seed, rules) of each model that asks for its weights; they are not drawn."""
    calls = []
    monkeypatch.setattr(init, "initialise", lambda net, *rest: calls.append(rest))
    return calls


def first_rows(net, rules, layer):
    """A layer's weights and biases as the rules draw them, of 200 outputs; all for Glorot, who
    looks at their number.
    """
    for kind in ("weight", "bias"):
        shape, _ = net.state_shapes()[f"{layer}.{kind}"]
        rule = rules.get(f"{layer}.{kind}") or rules[kind]
        outs = shape[0] if rule is init.glorot else min(shape[0], 200)
        yield rule(np.random.default_rng(5), (outs, *shape[1:]))


@pytest.mark.parametrize("name", MODELS)
def test_how_weights_start(asked, name):
    net = build(name, seed=5)
    ((seed, rules),) = asked
    assert seed == 5
    for layer in LAYERS:
        weight, bias = first_rows(net, rules, layer)
        fan_in = weight[0].size
        if name == "torchvision":
            assert_uniform(weight, 1 / math.sqrt(fan_in))
            assert_uniform(bias, 1 / math.sqrt(fan_in))
        elif name == "alexnet-glorot":
            fan_out = len(weight) * weight[0, 0].size
            assert_uniform(weight, math.sqrt(6 / (fan_in + fan_out)))
            assert (bias == 0).all()
        elif name in HE:
            after_norm = 2**0.75 if layer in ("conv2", "conv3") else 1
            assert_normal(weight, 0.01 if layer == "fc8" else math.sqrt(2 / fan_in) * after_norm)
            assert (bias == 0).all()
        else:
            assert_normal(weight, OTHER_STD.get(name, {}).get(layer, 0.01))
            assert (bias == (layer in ONES)).all()


def test_torchvisions_bounds_are_those_of_pytorchs_layers(torch, asked):
    net = build("torchvision")
    ((_, rules),) = asked
    torch.manual_seed(0)
    for layer in LAYERS:
        weight, bias = first_rows(net, rules, layer)
        outs, ins = weight.shape[:2]
        theirs = (
            torch.nn.Linear(ins, outs)
            if weight.ndim == 2
            else torch.nn.Conv2d(ins, outs, weight.shape[2])
        )
        for ours, other in (weight, theirs.weight), (bias, theirs.bias):
            other = other.detach().numpy()
            assert ours.shape == other.shape
            assert np.abs(ours).max() == pytest.approx(np.abs(other).max(), rel=20 / ours.size)


@pytest.mark.parametrize("name", MODELS)
def test_rates_and_decay(name):
    for key, parameter in undrawn(name).named_parameters().items():
        is_bias = key.endswith(".bias")
        assert parameter.decay == (0 if is_bias or name == "alexnet-glorot" else 1)
        double = is_bias and name in ("alexnet-as-trained", "caffenet")
        assert parameter.lr_scale == (2 if double else 1)


@pytest.mark.parametrize("name", ["fashion", "alexnet-small"])
def test_a_seed_is_a_net(name):
    one, same, other = (build(name, seed=seed) for seed in (1, 1, 2))
    weights, wanted, others = (net.state_dict() for net in (one, same, other))
    for key, value in weights.items():
        np.testing.assert_array_equal(value, wanted[key])
        assert not value.std() or np.mean(value == others[key]) < 1e-3
    draws = [[d.rng.random() for d in of_kind(net, Dropout)] for net in (one, same, other)]
    assert draws[0] == draws[1]
    assert len({*draws[0], *draws[2]}) == 2 * len(draws[0])  # no two dropouts are alike


@pytest.mark.parametrize("name", MODELS)
def test_without_a_seed_nothing_is_drawn(name):
    for key, parameter in undrawn(name).named_parameters().items():
        assert parameter.drawn == key.endswith(".bias")
        assert key.endswith(".weight") or not parameter.data.any()


def test_two_devices_and_one_answer_the_same_with_the_same_weights():
    two, one = (undrawn(name, num_classes=7) for name in ("alexnet", "alexnet-merged"))
    rng, rows = np.random.default_rng(3), Counter()
    for key, parameter in one.named_parameters().items():
        deviation = 0.03 if key.endswith(".weight") else 1
        parameter.data = rng.standard_normal(parameter.data.shape, np.float32)
        parameter.data *= np.float32(deviation)
    for node in two.nodes.values():  # each tower has its rows of the whole
        for kind, parameter in node.layer.params.items():
            key, start = f"{node.joined_name}.{kind}", rows[node.joined_name, kind]
            rows[node.joined_name, kind] += len(parameter.data)
            parameter.data = one.named_parameters()[key].data[start : start + len(parameter.data)]
    images = np.random.default_rng(4).normal(0, 60, (2, 3, 224, 224)).astype(np.float32)
    y, wanted = (net(images) for net in (two, one))
    assert_close(y, wanted, 1e-5)
    assert np.ptp(wanted, axis=0).max() > 0.05 * np.abs(wanted).max()  # two images, two answers


@pytest.mark.slow
def test_two_devices_and_one_start_from_the_same_weights():
    two, one = (build(name, num_classes=7, seed=3) for name in ("alexnet", "alexnet-merged"))
    ours, theirs = two.state_dict(), one.state_dict()
    assert list(ours) == [f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")]
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        np.testing.assert_array_equal(value, theirs[key], err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_one_seed_is_the_same_bits_another_is_others(name):
    one = build(name, num_classes=7, seed=1).state_dict()
    same = build(name, num_classes=7, seed=1).state_dict()
    assert all(np.array_equal(one[key], same[key]) for key in one)
    del same
    other = build(name, num_classes=7, seed=2).state_dict()
    for key, value in one.items():
        if value.std():
            assert np.mean(value == other[key]) < 1e-3


# ---- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("alexnett", {}, "^unknown model 'alexnett': expected one of fashion, alexnet, .*, caff"),
        ("alexnet", {"size": 64}, "^alexnet has no size to .* num_classes, seed, .*devices"),
        ("alexnet-small", {"width": 1, "depth": 9}, "^alexnet-small has no depth to .* size"),
        ("alexnet", {"devices": "cpu,cpu:1,cpu:2"}, "two towers: expected two .* cpu,cpu:1,cpu:2"),
        ("alexnet", {"devices": "cpu,tpu"}, "unknown device 'tpu': expected auto, cpu"),
        ("alexnet-merged", {"devices": "cpu:0,cpu:1"}, "unknown device 'cpu:0,cpu:1': expected"),
        ("alexnet-small", {"size": 55}, "^alexnet-small takes images of 56 to 128 .*, got 55$"),
        ("alexnet-small", {"size": 129}, "^alexnet-small takes images of 56 to 128 .*, got 129$"),
        ("fashion", {"size": 23}, "^fashion takes images of 24 to 32 pixels, got 23$"),
        ("fashion", {"size": 33}, "^fashion takes images of 24 to 32 pixels, got 33$"),
        ("caffenet", {"dropout": 1}, "p must be in 0 ≤ p < 1, got 1"),
        ("torchvision", {"num_classes": 0}, r"Linear\(4096, 0\): both sizes must be at least 1"),
    ],
)
def test_what_there_is_not_is_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        undrawn(name, **options)


def test_what_build_can_set():
    shared = ["num_classes", "seed", "channels", "dropout", "devices"]
    for name in MODELS:
        own = ["size"] if name in ("fashion", "alexnet-small") else []
        assert options_of(name) == shared + own
    with pytest.raises(UserError, match="unknown model 'vgg': expected one of fashion, alexnet"):
        options_of("vgg")


@pytest.mark.parametrize("name", ["alexnet", "alexnet-one-column"])
def test_images_of_another_size_are_refused(name):
    net = undrawn(name)
    size = net.input_shape[1]
    with pytest.raises(ShapeError, match=rf"takes images \(n, 3, {size}, {size}\), got .*225"):
        net.forward(np.zeros((1, 3, 225, 225), np.float32))
