"""The small nets of the authors' released code for CIFAR-10: three convolutions, a last layer."""

from ..graph import Graph
from ..init import constant, gaussian, glorot, he, initialise
from ..layers import Conv2d, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU

# How their weights start: as the released nets' do, for pixels of 0 to 255 less their mean …
RELEASED = {"weight": gaussian(0.01), "bias": constant(0), "conv1.weight": gaussian(0.0001)}
# … or so that pixels of deviation 1 give signals of one size, by the rule for ReLU or for tanh, and
# a last layer that begins with no opinion.
HE = {"weight": he, "bias": constant(0), "fc4.weight": gaussian(0.01)}
GLOROT = {"weight": glorot, "bias": constant(0), "fc4.weight": gaussian(0.01)}


def small_net(study, seed: int, rules: dict, Activation=ReLU, norms: bool = False) -> Graph:
    """Images (C, H, W) -> logits; layers-18pct.cfg of the released code, but for its pools.

    Activation: the class of layers that follows the three convolutions
    norms: are the first two pools followed by the paper's normalisation?

    All pools take the largest; there the second and third take the mean.
    """
    net = Graph(study.shape, seed=None)
    maps = study.shape[0]
    for number, kernels in (1, 32), (2, 32), (3, 64):
        net.add(f"conv{number}", Conv2d(maps, kernels, 5, padding=2))
        net.add(f"act{number}", Activation())
        net.add(f"pool{number}", MaxPool2d(3, stride=2, ceil_mode=True))
        if norms and number < 3:
            net.add(f"norm{number}", LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2))
        maps = kernels
    (features,) = net.add("flatten", Flatten())
    net.add("fc4", Linear(features, study.train.num_classes))
    initialise(net, seed, rules)
    return net
