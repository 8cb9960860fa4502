"""A net as a list of named nodes: forward walks the list, backward walks it reversed."""

import contextlib
import math
from dataclasses import dataclass

import numpy as np

from .device import Device
from .errors import CheckpointError, ShapeError, UserError
from .layers import Copy, Layer, Parameter

IMAGE = "image"  # the name of the graph's input


@dataclass(frozen=True)
class Node:
    """A layer in its place. shape: its output's, without the batch axis."""

    name: str
    layer: Layer
    sources: tuple[str, ...]
    shape: tuple[int, ...]
    device: Device
    tower: str

    @property
    def joined_name(self) -> str:
        """The name that the same layer has in every tower: conv1 for conv1a and conv1b."""
        return self.name.removesuffix(self.tower)


class Graph:
    """Layers by name, each reading the outputs of earlier ones.

    input_shape: (C, H, W) of an image; the input's name is "image"
    device: where the images arrive. A node lives where its sources live; only Copy changes that.
    """

    def __init__(self, input_shape: tuple, device: Device | str = "cpu"):
        self.input_shape = tuple(input_shape)
        self.device = Device(device)
        self.nodes: dict[str, Node] = {}

    def __getitem__(self, name: str) -> Layer:
        return self.nodes[name].layer

    # ---- building ----------------------------------------------------------------------------

    def add(self, name: str, layer: Layer, source: str | tuple | None = None, tower: str = ""):
        """Append a layer; return its output's shape without the batch axis.

        source: the node, or the nodes, it reads; default: the one added before it
        tower: the letter of a parallel part of the net; the node is then called name + tower

        Raises UserError on a name taken or unknown, on two devices without a Copy between them,
        and ShapeError where the shapes do not fit.
        """
        full = name + tower
        if full in self.nodes or full == IMAGE:
            raise UserError(f"{full}: there is a node of that name already")
        if not full.isascii() or not full.isidentifier():
            raise UserError(f"{full}: a node's name is made of ASCII letters, digits and _")
        if any(layer is node.layer for node in self.nodes.values()):
            raise UserError(f"{full}: this layer is in the net already; make a new one")
        if source is None:
            source = next(reversed(self.nodes), IMAGE)
        sources = (source,) if isinstance(source, str) else tuple(source)
        for s in sources:
            if s != IMAGE and s not in self.nodes:
                raise UserError(f"{full}: there is no node {s} to read; nodes: {_list(self.nodes)}")
        device = self._device_of(sources[0])
        for s in sources:
            if self._device_of(s) != device:
                raise UserError(
                    f"{full}: {sources[0]} lives on {device} but {s} lives on"
                    f" {self._device_of(s)}; add a Copy"
                )
        shapes = [self._shape_of(s) for s in sources]
        with self._naming(full, sources, shapes):
            shape = layer.output_shape(*shapes)
        if isinstance(layer, Copy):
            device = layer.to
        for parameter in layer.params.values():
            parameter.data = device.array(parameter.data)
        self.nodes[full] = Node(full, layer, sources, shape, device, tower)
        return shape

    def _device_of(self, name):
        return self.device if name == IMAGE else self.nodes[name].device

    def _shape_of(self, name):
        return self.input_shape if name == IMAGE else self.nodes[name].shape

    @contextlib.contextmanager
    def _naming(self, name, sources, shapes):
        """A layer's error gets the name of its node and what the node reads."""
        try:
            yield
        except UserError as error:
            text = f"{name}: {error}; input shape {_list(shapes)} from {_list(sources)}"
            raise type(error)(text) from None

    # ---- forward and backward ----------------------------------------------------------------

    def forward(self, images, train: bool = True, keep: tuple[str, ...] = ()):
        """The last node's output for images (n, C, H, W).

        train: dropout drops, and the layers remember what backward needs
        keep: names of nodes; if any, returns (output, {name: its output}) instead
        """
        if images.shape[1:] != self.input_shape:
            raise ShapeError(
                f"the net takes images (n, {', '.join(map(str, self.input_shape))}),"
                f" got {images.shape}"
            )
        if unknown := set(keep) - self.nodes.keys():
            raise UserError(f"keep: there is no node {min(unknown)}; nodes: {_list(self.nodes)}")
        if len(images) == 0:
            raise ShapeError("the net needs at least one image, got an empty batch")
        last_reader = {s: node.name for node in self.nodes.values() for s in node.sources}
        values, kept = {IMAGE: self.device.array(images)}, {}
        for node in self.nodes.values():
            shapes = [values[s].shape for s in node.sources]
            with self._naming(node.name, node.sources, shapes), node.device.current():
                value = node.layer.forward(*(values[s] for s in node.sources), train=train)
            values[node.name] = value
            if node.name in keep:
                kept[node.name] = value
            for s in node.sources:
                if last_reader[s] == node.name:
                    values.pop(s, None)  # a layer that needs it again holds it in its cache
        return (value, kept) if keep else value

    def backward(self, dy) -> None:
        """Set every parameter's gradient, given the loss's derivative by the output."""
        last = next(reversed(self.nodes.values()))
        if dy.shape[1:] != last.shape:
            raise ShapeError(
                f"backward needs the loss's derivative by {last.name}'s output,"
                f" (n, {_list(last.shape)}), got {dy.shape}"
            )
        learns = self.learning_nodes()
        gradients = {last.name: dy}
        for node in reversed(self.nodes.values()):
            dy = gradients.pop(node.name, None)
            if dy is None or node.name not in learns:
                node.layer.forget()
                continue
            need_dx = any(s in learns for s in node.sources)
            with node.device.current():
                dxs = node.layer.backward(dy, need_dx=need_dx)
            if not need_dx:
                continue
            for s, dx in zip(node.sources, dxs if len(node.sources) > 1 else (dxs,), strict=True):
                if dx.shape != (expected := (len(dy), *self._shape_of(s))):
                    raise ShapeError(
                        f"{node.name}: its backward gave {dx.shape} for {s}, expected {expected}"
                    )
                with self._device_of(s).current():
                    gradients[s] = gradients[s] + dx if s in gradients else dx

    def learning_nodes(self) -> set[str]:
        """The nodes at or behind a parameter that learns: the only ones that need a gradient."""
        learns: set[str] = set()
        for node in self.nodes.values():
            own = any(not p.frozen for p in node.layer.params.values())
            if own or any(s in learns for s in node.sources):
                learns.add(node.name)
        return learns

    @property
    def output_device(self) -> Device:
        """Where the output lives, and the loss."""
        return next(reversed(self.nodes.values())).device

    def predict(self, images, batch_size: int = 128) -> np.ndarray:
        """The output for any number of images (n, C, H, W), as in testing; on the host."""
        if len(images) == 0:
            raise ShapeError("predict needs at least one image, got none")
        starts = range(0, len(images), batch_size)
        outputs = [self.forward(images[i : i + batch_size], train=False) for i in starts]
        return np.concatenate([Device("cpu").array(y) for y in outputs])

    # ---- parameters --------------------------------------------------------------------------

    def named_parameters(self) -> dict[str, Parameter]:
        """Each parameter by node and kind: "conv1.weight", with towers "conv1a.weight"."""
        return {
            f"{node.name}.{kind}": parameter
            for node in self.nodes.values()
            for kind, parameter in node.layer.params.items()
        }

    def join(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays by named_parameters' names -> host copies with the towers joined along axis 0.

        "conv1a.weight" and "conv1b.weight" become "conv1.weight", as in a net without towers.
        """
        joined: dict[str, list] = {}
        for name, value in values.items():
            joined.setdefault(self._joined_name(name), []).append(Device("cpu").array(value))
        return {name: np.concatenate(pieces) for name, pieces in joined.items()}

    def split(self, joined: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The reverse of join: copies of the pieces, by named_parameters' names.

        Raises CheckpointError if a name is missing or too much, or a shape differs.
        """
        pieces, used = {}, dict.fromkeys(joined, 0)
        for name, parameter in self.named_parameters().items():
            key = self._joined_name(name)
            if key not in joined:
                raise CheckpointError(f"{key} is missing: these are weights of another model")
            start, size = used[key], len(parameter.data)
            pieces[name] = joined[key][start : start + size].copy()
            used[key] += size
            if pieces[name].shape != parameter.data.shape:
                raise CheckpointError(
                    f"{key}: expected {parameter.data.shape}, got {pieces[name].shape}:"
                    " these are weights of another model"
                )
        for key, rows in used.items():
            if rows != len(joined[key]):
                raise CheckpointError(
                    f"{key}: {len(joined[key])} rows, of which the net has {rows}"
                )
        return pieces

    def _joined_name(self, name):
        node, _, kind = name.rpartition(".")
        return f"{self.nodes[node].joined_name}.{kind}"

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter on the host, towers joined: fits the net on any devices."""
        return self.join({name: p.data for name, p in self.named_parameters().items()})

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take parameters from state_dict(). CheckpointError, and no change, if they do not fit."""
        pieces = self.split(state)
        for node in self.nodes.values():
            for kind, parameter in node.layer.params.items():
                piece = pieces[f"{node.name}.{kind}"].astype(parameter.data.dtype, copy=False)
                parameter.data = node.device.array(piece)

    def generator_states(self) -> dict[str, dict]:
        """The state of each random layer's generator, as JSON can hold it."""
        return {
            name: node.layer.rng.bit_generator.state
            for name, node in self.nodes.items()
            if hasattr(node.layer, "rng")
        }

    def set_generator_states(self, states: dict[str, dict]) -> None:
        for name, state in states.items():
            self.nodes[name].layer.rng.bit_generator.state = state

    # ---- looking at it -----------------------------------------------------------------------

    def ledger(self) -> list[dict]:
        """What has crossed between devices so far: one row a Copy, with its edge and its bytes."""
        return [
            self._crossing(node, node.layer.bytes_forward, node.layer.bytes_backward)
            for node in self.nodes.values()
            if isinstance(node.layer, Copy)
        ]

    def clear_ledger(self) -> None:
        for node in self.nodes.values():
            if isinstance(node.layer, Copy):
                node.layer.bytes_forward = node.layer.bytes_backward = 0

    def crossings(self, itemsize: int = 4) -> list[dict]:
        """What one image will move in a training step: rows as the ledger's.

        itemsize: bytes a number, 4 for float32. Nothing comes back to a source behind which
        nothing learns, such as the image.
        """
        rows, learns = [], self.learning_nodes()
        for node in self.nodes.values():
            if isinstance(node.layer, Copy):
                size = itemsize * math.prod(node.shape)
                rows.append(self._crossing(node, size, size if node.sources[0] in learns else 0))
        return rows

    def _crossing(self, node, bytes_forward, bytes_backward):
        return {
            "edge": f"{node.sources[0]} -> {node.name}",
            "devices": f"{self._device_of(node.sources[0])} -> {node.device}",
            "bytes_forward": bytes_forward,
            "bytes_backward": bytes_backward,
        }

    def multiply_adds(self) -> dict[str, int]:
        """Each node's multiplications with an addition, for one image forward."""
        return {
            name: node.layer.multiply_adds(*map(self._shape_of, node.sources))
            for name, node in self.nodes.items()
        }

    def summary(self) -> str:
        """A table: node, layer, output shape, parameters, multiply-adds an image, device.

        With Copies in the net, a second one: what crosses, in bytes an image.
        """
        rows = [("node", "layer", "output", "parameters", "multiply-adds", "device")]
        rows.append((IMAGE, "", _times(self.input_shape), "", "", str(self.device)))
        totals, products = [0, 0], self.multiply_adds()
        for node in self.nodes.values():
            counts = sum(p.data.size for p in node.layer.params.values()), products[node.name]
            totals = [total + count for total, count in zip(totals, counts, strict=True)]
            numbers = (f"{count:,}" if count else "" for count in counts)
            rows.append(
                (node.name, repr(node.layer), _times(node.shape), *numbers, str(node.device))
            )
        rows.append(("total", "", "", *(f"{total:,}" for total in totals), ""))
        copies = any(isinstance(node.layer, Copy) for node in self.nodes.values())
        return _table(rows) + ("\n\n" + self._crossings_table() if copies else "")

    def _crossings_table(self) -> str:
        kinds: dict[str, list] = {"the image": [0, 0], "the maps": [0, 0]}
        rows = []
        for edge, devices, *sizes in map(dict.values, self.crossings()):
            rows.append((edge, devices, "", *(f"{size:,}" for size in sizes)))
            kind = "the image" if edge.startswith(f"{IMAGE} ->") else "the maps"
            kinds[kind] = [a + b for a, b in zip(kinds[kind], sizes, strict=True)]
        for kind, sizes in kinds.items():
            rows.append((f"total of {kind}", "", "", *(f"{size:,}" for size in sizes)))
        return _table([("bytes an image, float32", "devices", "", "forward", "backward"), *rows])


def _table(rows) -> str:
    """Rows of words as lines; the fourth and fifth columns hold numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in (3, 4) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _list(items):
    return ", ".join(str(item) for item in items)


def _times(shape):
    return "×".join(map(str, shape))
