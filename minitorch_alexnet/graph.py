"""A net as a list of named nodes: forward walks the list, backward walks it reversed.

The batch is dealt out once. Up to the first node that wants the whole batch, each part of the
images goes through all nodes on one core, and back again: data parallel, where the images are
large. The rest see the whole batch, and their products deal out the weights: model parallel, where
those are. This is 'one weird trick' (Krizhevsky 2014, arXiv:1404.5997).
"""

import contextlib
import math
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from .device import Device, array_module
from .errors import CheckpointError, ShapeError, UserError
from .init import he
from .kernels import in_order
from .layers import Copy, Layer, Parameter
from .layers.base import (
    expect_call,
    expect_drawn,
    expect_gradients,
    expect_layer,
    expect_pair,
    is_array,
    undrawn,
)
from .streams import stream
from .words import kind_of
from .workers import deal, get_workers

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

    input_shape: (C, H, W) of one image, or (features,); the input's name is "image"
    device: where the images arrive. A node lives where its sources live; only Copy changes that.
    seed: draws a layer's weight as He when it is added, from a stream of its node's name; None
          leaves it to `initialise` or load_state_dict. Random layers get their generators likewise.

    images_seen: how many have gone forward, and how many gradients back
    """

    def __init__(self, input_shape: tuple, device: Device | str = "cpu", seed: int | None = 0):
        self.input_shape = _image_shape(input_shape)
        self.device, self.seed = Device(device), seed
        self.nodes: dict[str, Node] = {}
        # What backward needs, which forward leaves: the tape, and the output's dtype.
        self._tape: tuple[list[_Stretch], np.dtype] | None = None
        self.forget_images_seen()

    @classmethod
    def of(
        cls,
        input_shape: tuple,
        layers: Sequence[Layer],
        *more,
        device: Device | str = "cpu",
        seed: int | None = 0,
    ) -> "Graph":
        """A plain column: the layers of a list in its order, called conv2d1, relu1, conv2d2, …

        input_shape, device, seed: as a Graph's. Raises UserError as `add` does.
        """
        if more or not isinstance(layers, Iterable):
            raise UserError("Graph.of takes the layers in one list: [Conv2d(…), ReLU(), …]")
        net = cls(input_shape, device, seed)
        count: Counter[str] = Counter()
        for layer in layers:
            kind = type(layer).__name__.lower()
            count[kind] += 1
            net.add(f"{kind}{count[kind]}", layer)
        return net

    def __call__(self, images):
        """The output for images (n, C, H, W), as in testing."""
        return self.forward(images, train=False)

    def __getitem__(self, name: str) -> Layer:
        if name not in self.nodes:
            raise UserError(f"there is no node {name!r}; nodes: {_list(self.nodes)}")
        return self.nodes[name].layer

    def __repr__(self) -> str:
        count = sum(p.data.size for p in self.named_parameters().values())
        return (
            f"Graph({self.input_shape}, nodes: {len(self.nodes)}, parameters: {count:,},"
            f" on {_list(self.devices)})"
        )

    # ---- building ----------------------------------------------------------------------------

    def add(self, name: str, layer: Layer, source: str | tuple | None = None, tower: str = ""):
        """Append a layer; return its output's shape without the batch axis.

        source: the node, or the nodes, it reads; default: the one added before it
        tower: the letter of a parallel part of the net; the node is then called name + tower

        Raises UserError on a name taken or unknown, on two devices without a Copy between them,
        or a number of them that the layer does not read, and ShapeError where shapes do not fit.
        """
        full = self._new_name(name, tower)
        expect_layer(layer, full)
        if any(layer is node.layer for node in self.nodes.values()):
            raise UserError(f"{full}: this layer is in the net already; make a new one")
        if source is None:
            source = next(reversed(self.nodes), IMAGE)
        sources = (source,) if isinstance(source, str) else source
        if not isinstance(sources, tuple | list) or not sources:
            raise UserError(f"{full}: what it reads must be a node's name, or a tuple of names")
        for s in sources:
            if s not in (IMAGE, *self.nodes):
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
            expect_call(layer, "output_shape", *shapes)
            expect_call(layer, "forward", *shapes, train=True)
            expect_call(layer, "backward", "dy", "cache", need_dx=True)
            shape = layer.output_shape(*shapes)
        self._expect_twins(full, name, tower, layer)
        if isinstance(layer, Copy):
            device = layer.to
        for kind, p in layer.params.items():
            if not p.drawn and self.seed is not None:
                p.data = he(stream(self.seed, "weights", f"{full}.{kind}"), p.data.shape)
            p.data = device.array(p.data) if p.drawn else undrawn(p.data.shape, device)
        if getattr(layer, "rng", 0) is None:
            layer.rng = stream(self.seed or 0, "dropout", full)
        self.nodes[full] = Node(full, layer, tuple(sources), shape, device, tower)
        return shape

    def _new_name(self, name: str, tower: str) -> str:
        """name + tower. UserError unless a new node can be called that."""
        if not isinstance(name, str) or not isinstance(tower, str):
            raise UserError(f"a node's name and tower are text, got {name!r} and {tower!r}")
        full = name + tower
        if not full.isascii() or not (name.isidentifier() and full.isidentifier()):
            raise UserError(
                f"{name!r}: a node's name is made of ASCII letters, digits and _, and begins with"
                " no digit"
            )
        if full in self.nodes or full == IMAGE:
            raise UserError(f"{full}: there is a node of that name already")
        return full

    def _expect_twins(self, full: str, name: str, tower: str, layer: Layer) -> None:
        """UserError unless layers of one name, whose weights are joined, are towers' twins."""
        for node in self.nodes.values():
            if node.joined_name != name:
                continue
            if not node.tower or not tower:
                raise UserError(
                    f"{full}: its weights and those of {node.name} would both be called {name}:"
                    " give both a tower, or other names"
                )
            for kind in layer.params.keys() & node.layer.params.keys():
                shapes = [each.params[kind].data.shape for each in (layer, node.layer)]
                if shapes[0][1:] != shapes[1][1:]:
                    raise ShapeError(
                        f"{full}: its {kind} {shapes[0]} cannot be joined with {node.name}'s,"
                        f" {shapes[1]}; name the two apart"
                    )

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
        """The last node's output for images (n, C, H, W), of the weights' dtype.

        train: dropout drops, and the layers remember what backward needs
        keep: names of nodes; if any, returns (output, {name: its output}) instead

        Raises UserError on what is no such array, ShapeError on one of another shape.
        """
        self._tape = None  # also where this forward fails
        self._expect_images(images)
        keep = (keep,) if isinstance(keep, str) else keep
        if unknown := set(keep) - self.nodes.keys():
            raise UserError(f"keep: there is no node {min(unknown)}; nodes: {_list(self.nodes)}")
        if not isinstance(train, bool | np.bool_):
            raise UserError(
                f"train must be True or False, got {kind_of(train)}; labels: the loss's"
            )
        return self._conduct(lambda: self._forward(images, train, keep))

    def _expect_images(self, images) -> None:
        if not self.nodes:
            raise UserError("the net has no layers yet: add some")
        wanted = f"the net takes images (n, {', '.join(map(str, self.input_shape))})"
        if not is_array(images):
            raise UserError(
                f"{wanted} as one array, got {kind_of(images)}: give it np.asarray(images,"
                " np.float32), or the batches of a Loader one by one"
            )
        if images.shape[1:] != self.input_shape or not images.ndim:
            axes = "; the axes are images, channels, rows, columns" * (len(self.input_shape) == 3)
            raise ShapeError(f"{wanted}, got {images.shape}{axes}")
        if len(images) == 0:
            raise ShapeError("the net needs at least one image, got an empty batch")
        if not np.issubdtype(images.dtype, np.floating):
            raise UserError(
                f"{wanted} in floating point, normalised as in its training, got {images.dtype}:"
                " trainer.predict and load_run(folder).predict take pictures as they are"
            )
        for node in self.nodes.values():
            expect_layer(node.layer, node.name)
        dtypes = {p.data.dtype for p in self.named_parameters().values()}
        if len(dtypes) == 1 and images.dtype not in dtypes:
            (dtype,) = dtypes
            raise UserError(
                f"the net's weights are {dtype} but the images are {images.dtype}: give it"
                f" images.astype(np.{dtype})"
            )

    def _forward(self, images, train, keep):
        values, tape = {IMAGE: self.device.array(images)}, []
        for stretch in self._stretches(len(images), keep):

            def some(part, stretch=stretch, values=values):
                here = {s: stretch.part_of(values[s], part) for s in stretch.reads}
                return self._through(stretch, here, train)

            outputs, stretch.caches = zip(*stretch.run(some, stretch.parts), strict=True)
            for name in stretch.gives:
                values[name] = _joined([output[name] for output in outputs])
            tape.append(stretch)
        y = values[self.last.name]
        self._tape = (tape, y.dtype) if train else None
        self.images_seen["forward"] += len(images)
        return (y, {name: values[name] for name in keep}) if keep else y

    def _through(self, stretch, values, train) -> tuple[dict, dict]:
        """A stretch's nodes forward, in order: what it gives, by name, and the nodes' caches."""
        last_reader = {s: node.name for node in stretch.nodes for s in node.sources}
        caches = {}
        for node in stretch.nodes:
            inputs = [values[s] for s in node.sources]
            with self._naming(node.name, node.sources, [x.shape for x in inputs]):
                with node.device.current():
                    answer = node.layer.forward(*inputs, train=train)
                y, cache = expect_pair(node.layer, answer, "forward must return y and a cache")
                expected = (len(inputs[0]), *node.shape)
                if (shape := getattr(y, "shape", None)) != expected:
                    raise ShapeError(f"its forward gave {shape}, but output_shape says {expected}")
            values[node.name], caches[node.name] = y, cache if train else None
            del inputs, answer, y, cache
            for s in node.sources:
                if last_reader[s] == node.name and s not in stretch.gives:
                    values.pop(s, None)  # a layer that needs it again holds it in its cache
        return {name: values[name] for name in stretch.gives}, caches

    def backward(self, dy, then: Callable[[list[Parameter]], None] = lambda found: None) -> None:
        """Set every parameter's gradient, given the loss's derivative by the output.

        dy: of the output's shape and dtype, such as loss.backward()
        then: hears of the parameters whose gradients are found, the last layers' first
        Raises RuntimeError without a forward(train=True) before it.
        """
        if self._tape is None:
            raise RuntimeError(
                "the net's backward needs a forward(train=True) before it, a new one each time"
            )
        tape, dtype = self._tape
        if not is_array(dy):
            raise UserError(
                "the net's backward takes the loss's derivative by its output, such as"
                f" loss.backward() gives, got {kind_of(dy)}"
            )
        if dy.shape != (expected := (tape[-1].images, *self.last.shape)):
            raise ShapeError(
                f"backward needs the loss's derivative by {self.last.name}'s output, {expected},"
                f" got {dy.shape}"
            )
        if dy.dtype != dtype:
            raise UserError(
                f"the net's output was {dtype} but the loss's derivative by it is {dy.dtype}: give"
                f" backward dy.astype(np.{dtype})"
            )
        self._tape = None
        self._conduct(lambda: self._backward(dy, tape, then))

    def _backward(self, dy, tape, then):
        learns, gradients = self.learning_nodes(), {self.last.name: dy}
        while tape:
            stretch, totals = tape.pop(), {}
            given = [name for name in stretch.gives if name in gradients]
            pieces = {}

            def some(part_and_caches, stretch=stretch, given=given):
                part, caches = part_and_caches
                here = {name: stretch.part_of(gradients[name], part) for name in given}
                if stretch.dealt:
                    here = {name: in_order(dy) for name, dy in here.items()}
                return self._back_through(stretch, here, caches, learns)

            def add(found, stretch=stretch, pieces=pieces, totals=totals):
                dxs, grads = found
                for s, dx in dxs.items():
                    pieces.setdefault(s, []).append(dx)
                for name, grad in grads.items():
                    if name in totals:
                        totals[name] += grad
                    else:
                        totals[name] = grad if len(stretch.parts) == 1 else np.copy(grad)

            parts, stretch.caches = list(zip(stretch.parts, stretch.caches, strict=True)), ()
            stretch.run(some, parts, add)
            for s in pieces:
                self._add(gradients, s, _joined(pieces[s]))
            for node in reversed(stretch.nodes):
                for kind, parameter in node.layer.params.items():
                    grad = None if parameter.frozen else totals.get(f"{node.name}.{kind}")
                    with node.device.current():
                        parameter.grad = None if grad is None else _contiguous(grad)
                then(list(node.layer.params.values()))
        self.images_seen["backward"] += len(dy)

    def _back_through(self, stretch, gradients, caches, learns) -> tuple[dict, dict]:
        """The same nodes backward: the gradients of what they read, and of their parameters."""
        grads: dict = {}
        for node in reversed(stretch.nodes):
            dy, cache = gradients.pop(node.name, None), caches.pop(node.name)
            if dy is None or node.name not in learns:
                continue
            need_dx = any(s in learns for s in node.sources)
            with node.device.current():
                answer = node.layer.backward(dy, cache, need_dx=need_dx)
            dxs, found = expect_gradients(node.layer, answer, len(node.sources))
            for kind, parameter in node.layer.params.items():
                if not parameter.frozen:
                    _expect_given(node, found.get(kind), parameter.data.shape, f"its {kind}")
            grads |= {f"{node.name}.{kind}": grad for kind, grad in found.items()}
            if not need_dx:
                continue
            for s, dx in zip(node.sources, dxs, strict=True):
                _expect_given(node, dx, (len(dy), *self._shape_of(s)), s)
                if s in learns:
                    self._add(gradients, s, dx)
        return gradients, grads

    def _add(self, gradients, source, dx) -> None:
        """A value that several nodes read gets the sum of what they say."""
        with self._device_of(source).current():
            gradients[source] = gradients[source] + dx if source in gradients else dx

    def _stretches(self, images: int, keep: tuple) -> list["_Stretch"]:
        """The nodes in runs: those that are dealt out, and those that take the batch whole.

        Dealt out are nodes on the CPU up to the first, wherever it is, that wants the whole batch.
        """
        nodes = list(self.nodes.values())
        whole = next((n.name for n in nodes if not n.layer.per_image), None)
        reached = False

        def dealt(node: Node) -> bool:
            nonlocal reached
            reached = reached or node.name == whole
            devices = {node.device.kind, *(self._device_of(s).kind for s in node.sources)}
            return not reached and devices == {"cpu"}

        largest = max(math.prod(node.shape) for node in nodes) * np.dtype(np.float32).itemsize
        parts = {True: deal(images, largest), False: [slice(0, images)]}
        runs = [(key, list(run)) for key, run in groupby(nodes, dealt)]
        stretches: list[_Stretch] = []
        wanted = {self.last.name, *keep}
        for key, run in reversed(runs):
            stretches.insert(0, _Stretch(run, key, parts[key], wanted))
            wanted = wanted | set(stretches[0].reads)
        return stretches

    def _conduct(self, function: Callable):
        """Call it where Ctrl-C and BLAS's own threads cannot come between; a GPU needs no such."""
        on_cpu = any(node.device.kind == "cpu" for node in self.nodes.values())
        return get_workers().conduct(function) if on_cpu else function()

    def learning_nodes(self) -> set[str]:
        """The nodes at or behind a parameter that learns: the only ones that need a gradient."""
        learns: set[str] = set()
        for node in self.nodes.values():
            own = any(not p.frozen for p in node.layer.params.values())
            if own or any(s in learns for s in node.sources):
                learns.add(node.name)
        return learns

    @property
    def last(self) -> Node:
        """The node whose output is the net's."""
        if not self.nodes:
            raise UserError("the net has no layers yet: add some")
        return next(reversed(self.nodes.values()))

    @property
    def devices(self) -> list[Device]:
        """Where it lives: the input's device, then the others as its nodes name them."""
        return list(dict.fromkeys((self.device, *(n.device for n in self.nodes.values()))))

    @property
    def output_device(self) -> Device:
        """Where the output lives, and the loss."""
        return self.last.device

    def forget_images_seen(self) -> None:
        self.images_seen = {"forward": 0, "backward": 0}

    def multiply_adds(self) -> dict[str, int]:
        """Each node's multiplications with an addition, for one image forward."""
        return {
            name: node.layer.multiply_adds(*map(self._shape_of, node.sources))
            for name, node in self.nodes.items()
        }

    def predict(self, images, batch_size: int = 128) -> np.ndarray:
        """The output for any number of images (n, C, H, W), as in testing; on the host.

        images: floats, normalised as in the net's training. trainer.predict and
                load_run(folder).predict take pictures as they are.
        """
        self._expect_images(images)
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise UserError(f"batch_size must be a whole number from 1, got {batch_size!r}")
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
        joined = {key: _numbers(key, value) for key, value in _items(joined)}
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

    def state_shapes(self) -> dict[str, tuple]:
        """state_dict's shapes and dtypes, by the same names."""
        shapes: dict[str, tuple] = {}
        for name, p in self.named_parameters().items():
            joined = self._joined_name(name)
            rows = shapes.get(joined, ((0,),))[0][0] + len(p.data)
            shapes[joined] = ((rows, *p.data.shape[1:]), p.data.dtype)
        return shapes

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter on the host, towers joined: fits the net on any devices.

        Raises UserError if one has no numbers yet.
        """
        for node in self.nodes.values():
            expect_drawn(node.name, node.layer.params)
        return self.join({name: p.data for name, p in self.named_parameters().items()})

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take parameters from state_dict(), or from arrays or lists by the same names.

        Raises CheckpointError, and changes nothing, if they do not fit.
        """
        pieces = self.split(state)
        for node in self.nodes.values():
            for kind, parameter in node.layer.params.items():
                piece = pieces[f"{node.name}.{kind}"].astype(parameter.data.dtype, copy=False)
                parameter.data = node.device.array(piece)

    def generator_states(self) -> dict[str, Mapping]:
        """The state of each random layer's generator, as JSON can hold it."""
        return {
            name: node.layer.rng.bit_generator.state
            for name, node in self.nodes.items()
            if hasattr(node.layer, "rng")
        }

    def set_generator_states(self, states: dict[str, Mapping]) -> None:
        for name, state in states.items():
            self.nodes[name].layer.rng.bit_generator.state = state


def expect_graph(net, who: str) -> None:
    """UserError unless it is a Graph."""
    if not isinstance(net, Graph):
        raise UserError(f'{who} takes a Graph, such as build("alexnet"), got {kind_of(net)}')


class _Stretch:
    """Nodes that a batch goes through together, in parts if it is dealt out to them.

    reads, gives: the values from before that they read, and theirs that are wanted afterwards
    caches: of each part, by node, once forward has left them
    """

    def __init__(self, nodes: list[Node], dealt: bool, parts: list[slice], wanted: set[str]):
        self.nodes, self.dealt, self.parts = nodes, dealt, parts
        names = [node.name for node in nodes]
        self.reads = list(dict.fromkeys(s for n in nodes for s in n.sources if s not in names))
        self.gives = [name for name in names if name in wanted]
        self.caches: Sequence[dict] = ()

    @property
    def images(self) -> int:
        return self.parts[-1].stop

    def part_of(self, value, part: slice):
        return value[part] if self.dealt else value

    def run(self, work: Callable, parts: list, then: Callable | None = None) -> list:
        """Workers.run, if the batch is dealt out."""
        if self.dealt:
            return get_workers().run(work, parts, then)
        results = [work(part) for part in parts]
        return [then(result) for result in results] if then else results


def _image_shape(shape) -> tuple[int, ...]:
    """(C, H, W) or (features,); ShapeError on anything else."""
    sizes = tuple(shape) if isinstance(shape, tuple | list | np.ndarray) else ()
    whole = all(isinstance(size, int | np.integer) and size > 0 for size in sizes)
    if len(sizes) not in (1, 3) or not whole:
        raise ShapeError(
            "input_shape must be (channels, rows, columns) of one image, such as (1, 28, 28),"
            f" without a batch axis, or (features,); got {reprlib.repr(shape)}"
        )
    return tuple(map(int, sizes))


def _expect_given(node: Node, gradient, shape: tuple, of: str) -> None:
    """ShapeError unless a backward's gradient of what it names has that shape."""
    given = getattr(gradient, "shape", None)
    if given != shape:
        raise ShapeError(f"{node.name}: its backward gave {given} for {of}, expected {shape}")


def _items(state):
    if not isinstance(state, Mapping):
        raise CheckpointError(f"expected arrays by name, as state_dict() has, got {kind_of(state)}")
    return state.items()


def _numbers(key: str, value) -> np.ndarray:
    """The value, which may be lists or another library's array, on the host."""
    try:
        array = Device("cpu").array(value)
    except (TypeError, ValueError, RuntimeError) as error:  # lists of two lengths, foreign arrays
        raise CheckpointError(f"{key} is no array of numbers: {error}") from None
    if array.dtype.kind not in "fiu" or not array.ndim:
        raise CheckpointError(
            f"{key} is no array of numbers but {kind_of(value)} ({array.dtype} {array.shape})"
        )
    return array


def _joined(pieces: list):
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _contiguous(x):
    return array_module(x).ascontiguousarray(x)


def _list(items):
    return ", ".join(str(item) for item in items)
