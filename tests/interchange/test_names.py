"""Weights from other libraries by name: taken by a twin's answers, refused by name."""

import re

import numpy as np
import pytest
from twins import torchvisions

import minitorch_alexnet as ma
from minitorch_alexnet.errors import CheckpointError
from minitorch_alexnet.interchange.names import load_weights


def twin(torch):
    """A small net of ours in PyTorch, under our names."""
    net = torch.nn.Sequential()
    net.add_module("conv1", torch.nn.Conv2d(3, 4, 3, stride=2))
    net.add_module("relu1", torch.nn.ReLU())
    net.add_module("flatten", torch.nn.Flatten())
    net.add_module("fc8", torch.nn.Linear(4 * 4 * 4, 5))
    return net


def ours(towers=False):
    net = ma.Graph((3, 9, 9))
    for tower in "ab" if towers else [""]:
        net.add("conv1", ma.layers.Conv2d(3, 4 // (1 + towers), 3, stride=2), "image", tower=tower)
        net.add("relu1", ma.layers.ReLU(), tower=tower)
    if towers:
        net.add("both1", ma.layers.Concat(), ("relu1a", "relu1b"))
    net.add("flatten", ma.layers.Flatten())
    net.add("fc8", ma.layers.Linear(64, 5))
    return net


def as_torchvisions(state):
    names = {"conv1": "features.0", "fc8": "classifier.6"}
    return {f"{names[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in state.items()}


@pytest.mark.parametrize("towers", [False, True])
@pytest.mark.parametrize("names", [dict, as_torchvisions])
def test_a_twin_with_the_same_weights_gives_the_same_answers(torch, names, towers):
    theirs, mine = twin(torch), ours(towers)
    load_weights(mine, names(theirs.state_dict()))
    x = np.random.default_rng(0).standard_normal((6, 3, 9, 9), np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(mine(x), expected, rtol=1e-4, atol=1e-5)
    other = twin(torch)
    other.load_state_dict({name: torch.from_numpy(w) for name, w in mine.state_dict().items()})
    with torch.no_grad():
        np.testing.assert_array_equal(other(torch.from_numpy(x)).numpy(), expected)


@pytest.mark.slow
def test_torchvisions_whole_net(torch):
    torch.manual_seed(0)
    theirs, mine = torchvisions(torch), ma.build("torchvision", seed=None)
    load_weights(mine, theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((3, 3, 224, 224), np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    assert np.abs(mine(x) - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_tensors_of_any_floating_point(torch, kind):
    state = twin(torch).to(getattr(torch, kind)).state_dict()
    mine = ours()
    load_weights(mine, state)
    for name, weight in mine.state_dict().items():
        assert weight.dtype == np.float32
        np.testing.assert_array_equal(weight, state[name].float().numpy())


def test_parameters_that_have_gradients(torch):
    theirs, mine = twin(torch), ours()
    load_weights(mine, dict(theirs.named_parameters()))
    weight = theirs.conv1.weight.detach().numpy()
    np.testing.assert_array_equal(mine.state_dict()["conv1.weight"], weight)


def changed(**changes):
    return ours().state_dict() | {name.replace("__", "."): value for name, value in changes.items()}


REFUSED = {
    "missing": (lambda: {"conv1.bias": np.zeros(4)}, "conv1.weight is missing"),
    "too much": (lambda: changed(fc9__bias=np.zeros(2)), "the net has no fc9.bias"),
    "another shape": (
        lambda: changed(fc8__weight=np.zeros((5, 65))), r"fc8.weight: expected (5, 64), got (5, 65)"
    ),
    "theirs": (
        lambda: as_torchvisions(changed(fc8__bias=np.zeros(6))),
        "classifier.6.bias (fc8.bias): expected (5,), got (6,)",
    ),
    "nan": (lambda: changed(fc8__bias=np.full(5, np.nan)), "fc8.bias holds nan"),
    "too large": (lambda: changed(fc8__bias=np.full(5, 1e300)), "fc8.bias holds nan or inf"),
    "texts": (lambda: changed(fc8__bias=np.array(list("12345"))), "fc8.bias is no tensor of num"),
    "complex": (lambda: changed(fc8__bias=np.zeros(5, complex)), "fc8.bias is no tensor of num"),
    "ragged": (lambda: changed(fc8__bias=[[1], [2, 3]]), "fc8.bias is no tensor of numbers"),
    "twice": (lambda: changed() | as_torchvisions(changed()), "a tensor twice"),
    "a list": (lambda: [1, 2], "expected tensors by name, got a list"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["complex64", "bool"])
def test_torchs_tensors_of_no_real_numbers(torch, kind):
    bias = torch.ones(5, dtype=getattr(torch, kind))
    with pytest.raises(CheckpointError, match=r"fc8\.bias is no tensor of numbers"):
        load_weights(ours(), twin(torch).state_dict() | {"fc8.bias": bias})


def test_whole_numbers_are_numbers(torch):
    mine = ours()
    load_weights(mine, twin(torch).state_dict() | {"fc8.bias": torch.arange(5)})
    np.testing.assert_array_equal(mine.state_dict()["fc8.bias"], range(5))


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_named_and_changes_nothing(name):
    make, word = REFUSED[name]
    net = ours()
    before = net.state_dict()
    with pytest.raises(CheckpointError, match=re.escape(word)):
        load_weights(net, make())
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
