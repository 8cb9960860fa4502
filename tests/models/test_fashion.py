"""The small net: its shapes and counts worked out by hand, its start, its seeds."""

import numpy as np
import pytest

from minitorch_alexnet.errors import UserError
from minitorch_alexnet.layers import SoftmaxCrossEntropy
from minitorch_alexnet.models import MODELS, build

PARAMETERS = {
    "conv1": 16 * 1 * 25 + 16,
    "conv2": 64 * 8 * 25 + 64,  # two groups: 8 of the 16 maps each
    "conv3": 96 * 64 * 9 + 96,  # reads all 64
    "conv4": 96 * 48 * 9 + 96,
    "conv5": 64 * 48 * 9 + 64,
    "fc6": 256 * 576 + 256,
    "fc7": 256 * 256 + 256,
    "fc8": 10 * 256 + 10,
}
SHAPES = {
    "conv1": (16, 24, 24),
    "pool1": (16, 12, 12),
    "conv2": (64, 12, 12),
    "pool2": (64, 6, 6),
    "conv3": (96, 6, 6),
    "conv4": (96, 6, 6),
    "conv5": (64, 6, 6),
    "pool5": (64, 3, 3),
    "flatten": (576,),
    "fc6": (256,),
    "fc7": (256,),
    "fc8": (10,),
}


def test_shapes_and_parameters():
    net = build("fashion")
    for name, shape in SHAPES.items():
        assert net.nodes[name].shape == shape
    for name, count in PARAMETERS.items():
        assert sum(p.data.size for p in net[name].params.values()) == count
    assert sum(p.data.size for p in net.named_parameters().values()) == sum(PARAMETERS.values())
    x = np.zeros((2, 1, 28, 28), np.float32)
    _, kept = net.forward(x, keep=tuple(SHAPES))
    assert {name: y.shape for name, y in kept.items()} == {n: (2, *s) for n, s in SHAPES.items()}


def test_the_layers_are_the_papers():
    net = build("fashion")
    assert [net[f"conv{i}"].groups for i in range(1, 6)] == [1, 2, 1, 2, 2]
    for i, groups in ((1, 2), (2, 2)):
        norm = net[f"norm{i}"]
        assert (norm.size, norm.alpha, norm.beta, norm.k) == (5, 1e-4, 0.75, 2)
        assert (norm.alpha_over_size, norm.groups) == (False, groups)
    for i in (1, 2, 5):
        assert (net[f"pool{i}"].kernel_size, net[f"pool{i}"].stride) == ((3, 3), (2, 2))
    for name, parameter in net.named_parameters().items():
        assert parameter.decay == (0 if name.endswith("bias") else 1)


@pytest.mark.parametrize("classes", [2, 10, 37])
def test_it_starts_near_ln_of_the_classes(classes):
    rng = np.random.default_rng(0)
    net = build("fashion", num_classes=classes, channels=3)
    images = rng.standard_normal((64, 3, 28, 28), dtype=np.float32)
    value = SoftmaxCrossEntropy().forward(net.forward(images), rng.integers(0, classes, 64))
    assert float(value) == pytest.approx(np.log(classes), abs=0.1)


def test_a_seed_is_a_net():
    states = [build("fashion", seed=seed).state_dict() for seed in (1, 1, 2)]
    assert all(np.array_equal(states[0][k], states[1][k]) for k in states[0])
    assert not np.array_equal(states[0]["conv1.weight"], states[2]["conv1.weight"])


def test_an_unknown_model_is_refused_with_the_names_there_are():
    with pytest.raises(
        UserError, match=f"unknown model 'resnet': expected one of {'.*'.join(MODELS)}"
    ):
        build("resnet")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Fashion", "fashion"),
        ("ALEXNET", "alexnet"),
        ("alexnet_small", "alexnet-small"),
        ("cafenet", "caffenet"),
    ],
)
def test_a_name_that_is_nearly_one_is_told(name, meant):
    with pytest.raises(UserError, match=rf"did you mean {meant}\?"):
        build(name)


@pytest.mark.parametrize("name", [None, 3, ["fashion"], build])
def test_a_models_name_is_text(name):
    with pytest.raises(UserError, match="unknown model"):
        build(name)


@pytest.mark.parametrize("option", ["num_classes", "channels", "size"])
@pytest.mark.parametrize("value", [10.0, "28", None, (28, 28)])
def test_numbers_to_build_with_are_whole(option, value):
    with pytest.raises(UserError, match=f"{option} must be a whole number"):
        build("fashion", **{option: value})
    assert build("fashion", num_classes=np.int64(3)).last.shape == (3,)
