"""Weights by name: ours, and those that torchvision's `alexnet` has."""

from collections.abc import Mapping

import numpy as np

from ..errors import CheckpointError
from ..graph import Graph
from ..words import kind_of

# The places of its layers in torchvision's two lists, and what they are called in models/.
TORCHVISION = {
    "features.0": "conv1",
    "features.3": "conv2",
    "features.6": "conv3",
    "features.8": "conv4",
    "features.10": "conv5",
    "classifier.1": "fc6",
    "classifier.4": "fc7",
    "classifier.6": "fc8",
}


def our_name(name: str) -> str:
    """conv1.weight for features.0.weight, or module.features.0.weight; ours stay.

    module: what torch.nn.DataParallel, which ImageNet's examples train with, calls the whole net
    """
    layer, dot, kind = name.removeprefix("module.").rpartition(".")
    return TORCHVISION.get(layer, layer) + dot + kind


def is_torchvisions(name: str) -> bool:
    return our_name(name) != name.removeprefix("module.")


def load_weights(net: Graph, mapping: Mapping) -> None:
    """Give a net weights by our names, as net.state_dict() has them, or by torchvision's.

    mapping: NumPy arrays or torch tensors, of any floating point, as torch's state_dict() and
             safetensors' load_file give them

    The other way round, state_dict() loads into a twin of the net in PyTorch that has its names:
    twin.load_state_dict({name: torch.from_numpy(x) for name, x in net.state_dict().items()}).
    Raises CheckpointError, and changes nothing, if a tensor is missing, too much, of another
    shape or not finite.
    """
    if not isinstance(mapping, Mapping):
        raise CheckpointError(f"expected tensors by name, got {kind_of(mapping)}")
    theirs = {our_name(str(name)): str(name) for name in mapping}
    if len(theirs) < len(mapping):
        raise CheckpointError("it has a tensor twice, by our name and by torchvision's")
    shapes = net.state_shapes()
    if missing := shapes.keys() - theirs.keys():
        raise CheckpointError(f"{min(missing)} is missing: these are weights of another model")
    if others := theirs.keys() - shapes.keys():
        raise CheckpointError(f"the net has no {theirs[min(others)]}")
    for name, (shape, _) in shapes.items():
        if (found := shape_of(theirs[name], mapping[theirs[name]])) != shape:
            raise CheckpointError(f"{_both(theirs[name])}: expected {shape}, got {found}")
    net.load_state_dict({name: _numbers(theirs[name], mapping[theirs[name]]) for name in shapes})


def shape_of(name: str, tensor) -> tuple[int, ...]:
    """CheckpointError if it has none."""
    try:
        return tuple(getattr(tensor, "shape", None) or np.shape(tensor))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{_both(name)} is no tensor of numbers: {error}") from None


def _both(name: str) -> str:
    """A tensor's name in an error: theirs, and ours where that is another."""
    return name if name == our_name(name) else f"{name} ({our_name(name)})"


def _numbers(name: str, tensor) -> np.ndarray:
    """A tensor of any library in float32. CheckpointError if it is none of finite numbers."""
    try:
        if hasattr(tensor, "detach"):  # torch's, which may be on a GPU, or of 16 bits
            tensor = tensor.detach().cpu()
            tensor = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        array = np.asarray(tensor)
        if array.dtype.kind not in "fiuV":  # V: bfloat16, as safetensors has it
            raise TypeError(f"it is of {array.dtype}")
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{_both(name)} is no tensor of numbers: {error}") from None
    if not np.isfinite(array).all():
        raise CheckpointError(f"{_both(name)} holds nan or inf")
    return array
