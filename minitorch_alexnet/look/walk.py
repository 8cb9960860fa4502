"""One image's way through a net as in testing, and back to its pixels.

Graph.backward stops before the image, for nothing there learns. Here nothing learns at all: the
gradient by the image is what is wanted, of the net as it answers (no unit dropped).
"""

import numpy as np

from ..device import Device
from ..graph import IMAGE, Graph


class Walk:
    """values: each node's output, by name, and "image": on the node's device, (1, …)"""

    def __init__(self, net: Graph, image):
        """image: (1, C, H, W), as `net.forward` takes it"""
        self.net, self.values, self._caches = net, {IMAGE: net.device.array(image)}, {}
        for node in net.nodes.values():
            inputs = [self.values[s] for s in node.sources]
            with node.device.current():
                y, self._caches[node.name] = node.layer.forward(*inputs, train=False)
            self.values[node.name] = y

    def gradient(self, label: int) -> np.ndarray:
        """Of one output, before the softmax, by the image: (C, H, W), on the host."""
        net = self.net
        logits = self.values[net.last.name]
        with net.output_device.current():
            dy = 0 * logits
            dy[0, label] = 1
        gradients = {net.last.name: dy}
        for node in reversed(net.nodes.values()):
            dy = gradients.pop(node.name, None)
            if dy is None:  # nothing reads it
                continue
            with node.device.current():
                dxs, _ = node.layer.backward(dy, self._caches[node.name])
            for s, dx in zip(node.sources, dxs if isinstance(dxs, tuple) else (dxs,), strict=True):
                with Device.of(dx).current():
                    gradients[s] = gradients[s] + dx if s in gradients else dx
        return Device("cpu").array(gradients[IMAGE])[0]
