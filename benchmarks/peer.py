"""The same net in PyTorch, for the benchmarks to hold ours against."""

from collections import OrderedDict

import torch
from torch import nn

from minitorch_alexnet import Graph, layers
from minitorch_alexnet.device import Device
from minitorch_alexnet.models import MODELS

# One is no chain of layers, the other starts with a layer that learns nothing.
MODEL_NAMES = [name for name in MODELS if name not in ("alexnet", "fashion-alexnet")]


def twin(net: Graph) -> nn.Sequential:
    """A net that is a chain of layers, with its weights, in PyTorch and on the host."""
    result = nn.Sequential(OrderedDict((n, in_torch(node.layer)) for n, node in net.nodes.items()))
    ours = net.named_parameters().values()
    for mine, theirs in zip(ours, result.parameters(), strict=True):
        theirs.data.copy_(torch.tensor(Device("cpu").array(mine.data)))
    return result


def sgd(net: Graph, theirs: nn.Module, lr: float, momentum: float, decay: float):
    """PyTorch's SGD with the rates and decays of our net's parameters."""
    groups: dict[tuple, list] = {}  # few of them: PyTorch updates a group at a stroke
    for mine, its in zip(net.named_parameters().values(), theirs.parameters(), strict=True):
        groups.setdefault((mine.lr_scale, mine.decay), []).append(its)
    options = [
        {"params": p, "lr": lr * r, "weight_decay": decay * d} for (r, d), p in groups.items()
    ]
    return torch.optim.SGD(options, momentum=momentum)


class GroupedLRN(nn.LocalResponseNorm):
    """Each group of channels by itself, as if it were an image."""

    def __init__(self, *args, groups: int):
        super().__init__(*args)
        self.groups = groups

    def forward(self, x):
        n, c, h, w = x.shape
        return super().forward(x.reshape(n * self.groups, -1, h, w)).reshape(n, c, h, w)


def in_torch(layer) -> nn.Module:
    """The same layer in torch.nn. PyTorch's LRN divides alpha by size."""
    match layer:
        case layers.Conv2d():
            (top, bottom), (left, right) = layer.padding
            sizes = layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride
            if (top, left) == (bottom, right):
                return nn.Conv2d(*sizes, padding=(top, left), groups=layer.groups)
            pad = nn.ZeroPad2d((left, right, top, bottom))  # Conv2d pads both sides alike
            return nn.Sequential(pad, nn.Conv2d(*sizes, groups=layer.groups))
        case layers.LocalResponseNorm():
            alpha = layer.alpha * (1 if layer.alpha_over_size else layer.size)
            return GroupedLRN(layer.size, alpha, layer.beta, layer.k, groups=layer.groups)
        case layers.MaxPool2d():
            pads = tuple(before for before, _ in layer.padding)
            return nn.MaxPool2d(layer.kernel_size, layer.stride, pads, ceil_mode=layer.ceil_mode)
        case layers.Linear():
            return nn.Linear(layer.in_features, layer.out_features)
        case layers.Dropout():
            return nn.Dropout(layer.p)
    return {layers.Flatten: nn.Flatten, layers.ReLU: nn.ReLU}[type(layer)]()


class Stage:
    """A function of PyTorch's as the pair that a layer of ours is."""

    def __init__(self, function, parameters=()):
        self.function, self.parameters = function, list(parameters)

    def forward(self, x):
        x = x.detach().requires_grad_()
        y = self.function(x)
        return y.detach(), (x, y)

    def backward(self, dy, cache, need_dx=True):
        x, y = cache
        found = torch.autograd.grad(y, [x] * need_dx + self.parameters, dy)
        return (found[0] if need_dx else None), found[need_dx:]
