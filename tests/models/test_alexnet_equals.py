"""Full-size nets against other nets: two devices against one, and ours against PyTorch's."""

import dataclasses
from collections import OrderedDict

import numpy as np
import pytest
from reference import assert_close

from minitorch_alexnet.layers import Dropout, SoftmaxCrossEntropy
from minitorch_alexnet.models import build
from minitorch_alexnet.optim import SGD

pytestmark = pytest.mark.slow

CLASSES = 7


def photos(n, size, dtype=np.float64):
    """Coloured squares and noise, as loud as photographs are after the mean is subtracted."""
    rng = np.random.default_rng(n)
    squares = np.kron(rng.normal(0, 60, (n, 3, 8, 8)), np.ones((32, 32)))[:, :, :size, :size]
    return (squares + rng.normal(0, 10, squares.shape)).astype(dtype)


def louder(net, seed, dtype=np.float64):
    """Give it weights that let something through: from the models' own gradients are near 0."""
    rng = np.random.default_rng(seed)
    for name, parameter in net.named_parameters().items():
        std = 0.7 * (2 / parameter.data[0].size) ** 0.5 if name.endswith("weight") else 0.1
        std = {"conv1.weight": 0.01, "fc8.weight": 0.003}.get(name, std)
        parameter.data = rng.standard_normal(parameter.data.shape, dtype)
        parameter.data *= dtype(std)
    return net


# ---- two devices against one ---------------------------------------------------------------


class SameMasks(Dropout):
    """Drops the units `of` a mask drawn for a whole layer of 4096."""

    def __init__(self, seed, of):
        super().__init__(0.5, rng=np.random.default_rng(seed))
        self.of = of

    def forward(self, x, train=True):
        if not train:
            return super().forward(x, train)
        mask = (self.rng.random((len(x), 4096))[:, self.of] >= 0.5).astype(x.dtype)
        return x * mask, mask


def two_and_one(dtype):
    """`alexnet` and `alexnet-merged` with the same weights and masks."""
    names = "alexnet", "alexnet-merged"
    nets = [build(name, num_classes=CLASSES, seed=None) for name in names]
    for net in nets:
        louder(net, 1, dtype)
    units = {"": slice(0, 4096), "a": slice(0, 2048), "b": slice(2048, 4096)}
    for net in nets:
        for name, node in net.nodes.items():
            if isinstance(node.layer, Dropout):
                masks = SameMasks(int(name[4]), units[node.tower])
                net.nodes[name] = dataclasses.replace(node, layer=masks)
    nets[0].load_state_dict(nets[1].state_dict())
    return nets


def learn(net, images, labels):
    """Set the gradients of a batch; return its output and loss."""
    loss = SoftmaxCrossEntropy()
    y = net.forward(images)
    value = float(loss.forward(y, labels))
    net.backward(loss.backward())
    return y, value


def assert_equal_parameters(two, one, kind, tolerance):
    """kind: "data" or "grad" of each parameter; the towers' put together by hand."""
    parts = {}
    for name, parameter in two.named_parameters().items():
        node, _, ending = name.rpartition(".")
        parts.setdefault(f"{two.nodes[node].joined_name}.{ending}", []).append(parameter)
    others = one.named_parameters()
    assert parts.keys() == others.keys()
    for name, parameters in parts.items():
        wanted = getattr(others[name], kind)
        assert np.abs(wanted).max() > 1e-6, name  # no comparison of zeros
        assert_close(np.concatenate([getattr(p, kind) for p in parameters]), wanted, tolerance)


def test_two_devices_equal_one_through_ten_steps_of_training():
    two, one = nets = two_and_one(np.float64)
    optimisers = [SGD(net.named_parameters(), lr=0.01) for net in nets]
    images, labels = photos(8, 224), np.arange(8) % CLASSES
    losses = []
    for step in range(10):
        (y, value), (wanted, other) = (learn(net, images, labels) for net in nets)
        assert_close(y, wanted)
        assert value == pytest.approx(other, rel=1e-12)
        if step in (0, 9):
            assert_equal_parameters(two, one, "grad", 1e-12)
        for sgd in optimisers:
            sgd.step()
        losses.append(value)
    assert_equal_parameters(two, one, "data", 1e-12)
    assert min(losses) < losses[0] - 0.3

    # one's weights have moved to two devices before the first step; now back
    del optimisers
    for parameter in one.named_parameters().values():
        parameter.data[:] = 0
    one.load_state_dict(two.state_dict())
    assert_equal_parameters(two, one, "data", 0)
    assert_close(*(net(images) for net in nets))


def test_two_devices_equal_one_in_float32_within_rounding():
    two, one = nets = two_and_one(np.float32)
    images, labels = photos(8, 224, np.float32), np.arange(8) % CLASSES
    (y, _), (wanted, _) = (learn(net, images, labels) for net in nets)
    assert y.dtype == np.float32
    assert_close(y, wanted, 1e-5)
    assert_equal_parameters(two, one, "grad", 1e-4)


# ---- against PyTorch -----------------------------------------------------------------------


def paper_dropout(nn):
    class PaperDropout(nn.Module):
        """The paper's with p = 0 while training: nothing; but half of everything in testing."""

        def forward(self, x):
            return x if self.training else x / 2

    return PaperDropout()


def one_column(nn):
    return OrderedDict(
        conv1=nn.Conv2d(3, 96, 11, stride=4),
        relu1=nn.ReLU(),
        norm1=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2),
        pool1=nn.MaxPool2d(3, 2),
        conv2=nn.Conv2d(96, 256, 5, padding=2),
        relu2=nn.ReLU(),
        norm2=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2),
        pool2=nn.MaxPool2d(3, 2),
        conv3=nn.Conv2d(256, 384, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 384, 3, padding=1),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(384, 256, 3, padding=1),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, 2),
        flatten=nn.Flatten(),
        fc6=nn.Linear(256 * 6 * 6, 4096),
        relu6=nn.ReLU(),
        drop6=paper_dropout(nn),
        fc7=nn.Linear(4096, 4096),
        relu7=nn.ReLU(),
        drop7=paper_dropout(nn),
        fc8=nn.Linear(4096, CLASSES),
    )


def caffenet(nn):
    return OrderedDict(
        conv1=nn.Conv2d(3, 96, 11, stride=4),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, 2),
        norm1=nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1),
        conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(3, 2),
        norm2=nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1),
        conv3=nn.Conv2d(256, 384, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, 2),
        flatten=nn.Flatten(),
        fc6=nn.Linear(256 * 6 * 6, 4096),
        relu6=nn.ReLU(),
        drop6=nn.Dropout(0),
        fc7=nn.Linear(4096, 4096),
        relu7=nn.ReLU(),
        drop7=nn.Dropout(0),
        fc8=nn.Linear(4096, CLASSES),
    )


def torchvision(nn):
    """As torchvision.models.alexnet has it, with our names."""
    return OrderedDict(
        conv1=nn.Conv2d(3, 64, 11, stride=4, padding=2),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, 2),
        conv2=nn.Conv2d(64, 192, 5, padding=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(3, 2),
        conv3=nn.Conv2d(192, 384, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 256, 3, padding=1),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(256, 256, 3, padding=1),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, 2),
        pool6=nn.AdaptiveAvgPool2d((6, 6)),
        flatten=nn.Flatten(),
        drop6=nn.Dropout(0),
        fc6=nn.Linear(256 * 6 * 6, 4096),
        relu6=nn.ReLU(),
        drop7=nn.Dropout(0),
        fc7=nn.Linear(4096, 4096),
        relu7=nn.ReLU(),
        fc8=nn.Linear(4096, CLASSES),
    )


def as_trained(nn):
    """The authors' net 145; its LRN keeps to each device's maps."""

    class GroupedNorm(nn.LocalResponseNorm):
        def forward(self, x):
            n, c, h, w = x.shape
            return super().forward(x.reshape(2 * n, c // 2, h, w)).reshape(n, c, h, w)

    layers = caffenet(nn)
    layers |= {name: GroupedNorm(5, 1e-4, 0.75, 2) for name in ("norm1", "norm2")}
    layers |= {name: paper_dropout(nn) for name in ("drop6", "drop7")}
    first = ("conv1", "norm1", "pool1", "relu1", "conv2", "relu2", "norm2", "pool2")
    order = [*first, *(name for name in layers if name not in first)]
    ceil = OrderedDict(zeros=nn.ZeroPad2d((0, 3, 0, 3)))
    return ceil | OrderedDict((name, layers[name]) for name in order)


PYTORCHS = {
    "alexnet-one-column": (one_column, 227),
    "caffenet": (caffenet, 227),
    "torchvision": (torchvision, 224),
    "alexnet-as-trained": (as_trained, 224),
}


@pytest.mark.parametrize("name", PYTORCHS)
def test_equals_the_same_net_in_pytorch(torch, name):
    layers, size = PYTORCHS[name]
    net = louder(build(name, num_classes=CLASSES, seed=None), 2)
    with torch.device("meta"):  # shapes alone
        theirs = torch.nn.Sequential(layers(torch.nn))
    weights = {key: torch.tensor(value) for key, value in net.state_dict().items()}
    theirs.load_state_dict(weights, assign=True)
    images = photos(3, size)

    theirs.eval()
    with torch.no_grad():
        wanted = theirs(torch.tensor(images)).numpy()
    assert_close(net(images), wanted)

    for drop in ("drop6", "drop7"):
        net[drop].p = 0.0
    theirs.train().requires_grad_(True)
    dy = np.random.default_rng(3).standard_normal((3, CLASSES))
    wanted = theirs(torch.tensor(images))
    wanted.backward(torch.tensor(dy))
    assert_close(net.forward(images), wanted.detach().numpy())
    net.backward(dy)
    ours = net.named_parameters()
    gradients = {key: p.grad.numpy() for key, p in theirs.named_parameters()}
    assert ours.keys() == gradients.keys()
    for key, gradient in gradients.items():
        assert np.abs(gradient).max() > 1e-6, key
        assert_close(ours[key].grad, gradient)
