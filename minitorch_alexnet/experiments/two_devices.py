"""Section 3.2: two towers, half of them on each device, against the net of one device."""

from ..init import STANDARDIZED, initialise
from ..layers import Conv2d, LocalResponseNorm
from .experiment import Experiment, fewer_errors
from .rebuild import rebuilt


class TwoDevices(Experiment):
    name = "two-devices"
    title = "Two towers on two devices"
    section = "3.2"
    claim = "Two towers err less than one with half the kernels in each convolution."
    arms = ("two towers", "one tower")
    measures = (fewer_errors("1.7 points of top-1, 1.2 of top-5"),)
    ours = (
        "The two towers are in one graph, where a group is a tower: the same mathematics as on two"
        " devices. The one tower has half the kernels in conv1 to conv4, all of conv5's, as in the"
        " paper, and no groups. conv5 and the fully connected layers, of one shape in both, start"
        " alike."
    )

    def net(self, study, training):
        net = super().net(study, training)
        return net if training.net == "two towers" else one_tower(net, training.seed)

    def judge(self, trainer, study, training):
        (numbers,) = super().judge(trainer, study, training).values()
        parameters = sum(p.data.size for p in trainer.net.named_parameters().values())
        return {training.net: numbers | {"parameters": parameters}}

    def remarks(self, rows):
        two, one = (next(r["parameters"] for r in rows if r["arm"] == arm) for arm in self.arms)
        return [
            f"Parameters: {two:,} and {one:,}, a ratio of {one / two:.2f}; in the paper 60,965,224"
            " and 59,798,312, or 0.98, for there the fully connected layers outweigh the others."
        ]


def one_tower(net, seed):
    """The control net: as `net`, but for half the kernels in conv1 to conv4 and no groups."""

    def change(node):
        layer = node.layer
        if isinstance(layer, LocalResponseNorm):
            return LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
        if not isinstance(layer, Conv2d):
            return layer
        inputs = layer.in_channels if node.name == "conv1" else layer.in_channels // 2
        outputs = layer.out_channels if node.name == "conv5" else layer.out_channels // 2
        return Conv2d(inputs, outputs, layer.kernel_size, layer.stride, layer.padding)

    control = rebuilt(net, change)
    initialise(control, seed, STANDARDIZED)
    start, twin = control.state_dict(), net.state_dict()
    control.load_state_dict(
        {name: twin[name] if twin[name].shape == w.shape else w for name, w in start.items()}
    )
    return control
