"""The way through a net and back to the pixels, against Graph's own and finite differences."""

import numpy as np
import pytest
from small import tiny
from strict import strict_cupy

from minitorch_alexnet.device import Device
from minitorch_alexnet.graph import IMAGE
from minitorch_alexnet.layers import Dropout
from minitorch_alexnet.look.walk import Walk
from minitorch_alexnet.models import build


def in_float64(net, seed=0):
    """With weights that nothing dies of."""
    rng = np.random.default_rng(seed)
    for parameter in net.named_parameters().values():
        shape = parameter.data.shape
        parameter.data = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return net


NETS = {
    "towers": lambda: in_float64(tiny(dropout=0.4)),
    "fashion": lambda: in_float64(build("fashion", dropout=0.3)),
    "no dropout": lambda: in_float64(tiny(dropout=0.0)),
}


def image_for(net):
    return np.random.default_rng(5).standard_normal((1, *net.input_shape))


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_the_values_are_those_of_a_test(net):
    net = net()
    image = image_for(net)
    _, kept = net.forward(image, train=False, keep=tuple(net.nodes))
    values = Walk(net, image).values
    assert values.keys() == kept.keys() | {IMAGE}
    for name, value in kept.items():
        np.testing.assert_allclose(values[name], value, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("rescale", ["test", "train"])
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_the_gradient_is_the_slope(net, rescale):
    net = net()
    for node in net.nodes.values():
        if isinstance(node.layer, Dropout):
            node.layer.rescale = rescale
    image, rng, label, h = image_for(net), np.random.default_rng(6), 1, 1e-5
    gradient = Walk(net, image).gradient(label)
    assert gradient.shape == net.input_shape
    for _ in range(12):
        way = rng.standard_normal(image.shape)
        up, down = (net(image + step * way)[0, label] for step in (h, -h))
        slope = float((gradient * way[0]).sum())
        assert slope == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-9)
    assert np.abs(gradient).max() > 1e-3


def test_the_gradient_is_pytorchs(torch):
    """Of one tower's first layers: what a convolution and a max-pool say of their image."""
    net = in_float64(build("fashion"))
    image = image_for(net)
    x = torch.tensor(image, requires_grad=True)
    weights = {name: torch.tensor(value) for name, value in net.state_dict().items()}
    F = torch.nn.functional

    def conv(y, name, **how):
        return F.relu(F.conv2d(y, weights[f"{name}.weight"], weights[f"{name}.bias"], **how))

    def norm(y):  # PyTorch divides α by the size; two groups
        halves = y.chunk(2, dim=1)
        return torch.cat(
            [F.local_response_norm(half, 5, 5e-4, 0.75, 2.0) for half in halves], dim=1
        )

    def pool(y):
        return F.max_pool2d(y, 3, 2, ceil_mode=True)

    y = pool(norm(conv(x, "conv1")))
    y = pool(norm(conv(y, "conv2", padding=2, groups=2)))
    y = conv(conv(y, "conv3", padding=1), "conv4", padding=1, groups=2)
    y = pool(conv(y, "conv5", padding=1, groups=2)).flatten(1)
    for name in "fc6", "fc7":
        y = 0.5 * F.relu(F.linear(y, weights[f"{name}.weight"], weights[f"{name}.bias"]))
    F.linear(y, weights["fc8.weight"], weights["fc8.bias"])[0, 4].backward()
    np.testing.assert_allclose(
        Walk(net, image).gradient(4), x.grad[0].numpy(), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("devices", ["cuda:0,cuda:1", "cuda:1,cpu"])
def test_it_walks_on_any_devices(devices):
    image = np.random.default_rng(5).standard_normal((1, 3, 16, 16), np.float32)
    on_cpu = Walk(tiny(dropout=0.4), image)
    with strict_cupy():
        walk = Walk(tiny(dropout=0.4, devices=devices), image)
        np.testing.assert_allclose(walk.gradient(2), on_cpu.gradient(2), rtol=1e-5, atol=1e-7)
        for name, value in walk.values.items():
            there = Device("cpu").array(value)
            np.testing.assert_allclose(there, on_cpu.values[name], rtol=1e-5, atol=1e-5)


def test_it_leaves_the_net_as_it_was():
    net = build("fashion")
    before = {name: state.copy() for name, state in net.state_dict().items()}
    states, seen = str(net.generator_states()), dict(net.images_seen)
    Walk(net, image_for(net).astype(np.float32)).gradient(0)
    assert all(p.grad is None for p in net.named_parameters().values())
    assert (str(net.generator_states()), net.images_seen) == (states, seen)
    for name, state in net.state_dict().items():
        np.testing.assert_array_equal(state, before[name])
