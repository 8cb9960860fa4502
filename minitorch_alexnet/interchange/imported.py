"""A run folder from weights that others trained."""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..config import IMPORTED, Config
from ..data.photo import check_resized
from ..data.transforms import Normalize
from ..described import from_words
from ..errors import CheckpointError, UserError
from ..files import MAKER, open_file, parse_json
from ..graph import Graph
from ..layers import LocalResponseNorm
from ..models import MODELS, build, options_of
from ..run import Run, as_folder, check_images, expect_run_folder, is_kept, normalize_of
from ..words import printable, unknown
from .names import is_torchvisions, load_weights, our_name, shape_of
from .onnx_in import read_onnx
from .pixels import PIXELS, read_red_first
from .weights import MEAN, SCALE, read_safetensors, read_torch, reading

MOST_TEXT = 2**24  # bytes of a file of class names


@dataclass
class Brought:
    """What a file tells: a net with its weights, and perhaps its pixels and classes."""

    net: Graph
    model: str
    normalize: Normalize | None = None
    class_names: tuple[str, ...] | None = None
    resized: str = Run.resized


def import_file(
    path: str | Path,
    folder: str | Path,
    model: str = "",
    classes: str | Path = "",
    pixels: str = "",
) -> tuple[Run, str]:
    """Make a run of a net in a file: .safetensors, PyTorch's .pth and .pt, or .onnx.

    folder: the run's, a new one
    model: the one of models/ whose weights they are; by default the one whose names and shapes
           they have. An .onnx says itself what its layers are.
    classes: a text file, a name a line; default: those in the file, or numbers
    pixels: one of PIXELS; default: what goes with the net. A file of ours says it itself. With
            them comes how photographs are brought to size.

    Returns the run, and what its pixels are. Raises CheckpointError, naming the tensor or the
    node, on what cannot be read or is another net's, UserError if the folder holds something.
    """
    path, folder = Path(path), as_folder(folder)
    _expect_new(folder)
    if pixels and pixels not in PIXELS:
        raise UserError(unknown("pixels", pixels, PIXELS))
    read = READERS.get(path.suffix.lower())
    if not read:
        raise UserError(f"{path}: expected a file that ends with {', '.join(READERS)}")
    with reading(path):
        brought = read(path, model)
        net = brought.net
        if len(net.last.shape) != 1:
            raise CheckpointError(f"its output must be (classes,), got {net.last.shape}")
        (count,) = net.last.shape
        own = brought.class_names or tuple(map(str, range(count)))
        if len(own) != count or not all(isinstance(name, str) for name in own):
            raise CheckpointError(f"its class_names must be {count:,} texts")
        if brought.normalize and pixels:
            raise UserError("it says itself what its pixels are: leave out --pixels")
        pixels = "the file's own" if brought.normalize else pixels or _usual(brought)
        normalize = brought.normalize or PIXELS[pixels].normalize(net.input_shape)
        if pixels in PIXELS and PIXELS[pixels].blue_first:
            read_red_first(net)
        resized = PIXELS[pixels].resized if pixels in PIXELS else brought.resized
    names = _told_apart(_lines(classes, count) if classes else own)
    config = Config("small-set", model=brought.model, data="", crops=1)
    images = "", np.zeros_like(normalize.mean)
    run = Run(folder, config, net, normalize, names, images, resized=resized)
    with run.lock:
        _expect_new(folder)  # still
        run.save_net()
    return run, pixels


def _expect_new(folder: Path) -> None:
    """UserError if a folder holds a run, or anything that we have not made."""
    if is_kept(folder):
        raise UserError(f"{folder} holds a run already: name a new folder")
    expect_run_folder(folder)


def _usual(brought: Brought) -> str:
    """The pixels that go with a net which does not say: Caffe's AlexNets have LRN with k = 1."""
    if brought.net.input_shape[0] != 3:
        return "plain"
    layers = [node.layer for node in brought.net.nodes.values()]
    constants = {layer.k for layer in layers if isinstance(layer, LocalResponseNorm)}
    if constants == {1}:
        return "caffe"
    without_lrn = brought.model in ("torchvision", IMPORTED) and not constants
    return "torchvision" if without_lrn else "plain"


# ---- tensors by name ---------------------------------------------------------------------------


def _from_safetensors(path: Path, model: str) -> Brought:
    tensors, said = read_safetensors(path)
    if MAKER not in said:
        return _from_tensors(path, tensors, model)
    ours = parse_json(said[MAKER])
    if ours["model"] not in [*MODELS, IMPORTED]:
        raise UserError(unknown("model", ours["model"], MODELS))
    normalize = normalize_of(tensors.pop(MEAN), tensors.pop(SCALE), ours["span"])
    if model or not ours["wiring"]:
        brought = _from_tensors(path, tensors, model)
    else:
        brought = Brought(from_words(ours["layers"], ours["wiring"]), ours["model"])
        load_weights(brought.net, tensors)
    check_images(brought.net, normalize.mean.shape)
    return replace(_told(brought, ours), normalize=normalize)


def _told(brought: Brought, ours: dict) -> Brought:
    """What a file of ours tells, too."""
    names, resized = tuple(ours["class_names"]), check_resized(ours["resized"])
    return replace(brought, class_names=names, resized=resized)


def _from_torch(path: Path, model: str) -> Brought:
    return _from_tensors(path, read_torch(path), model)


def _from_tensors(path: Path, tensors: Mapping, model: str) -> Brought:
    shapes = {our_name(str(name)): shape_of(name, tensor) for name, tensor in tensors.items()}
    numbers = sum(map(math.prod, shapes.values()))
    if not all(map(math.prod, shapes.values())) or numbers > path.stat().st_size:
        raise CheckpointError("its tensors are empty, or larger than the file")
    if not model and any(is_torchvisions(str(name)) for name in tensors):
        model = "torchvision"
    if not model:
        model = _model_of(shapes)
    net = _built(model, shapes)
    load_weights(net, tensors)
    return Brought(net, model)


def _built(model: str, shapes: dict[str, tuple]) -> Graph:
    """The model, for as many channels and classes as the tensors have, without weights."""
    options_of(model)  # is there one?
    first, last = shapes.get("conv1.weight", ()), shapes.get("fc8.weight", ())
    if len(first) != 4 or len(last) != 2:
        raise CheckpointError(
            "conv1.weight with four axes and fc8.weight with two belong to each of the models; its"
            f" tensors are {_first(shapes)}"
        )
    return build(model, seed=None, num_classes=last[0], channels=first[1])


def _first(shapes: dict[str, tuple]) -> str:
    told = [f"{name} {shape}" for name, shape in itertools.islice(shapes.items(), 4)]
    return printable(", ".join(told) + ", …" * (len(shapes) > 4)) or "none"


def _model_of(shapes: dict[str, tuple]) -> str:
    fitting = []
    for name in MODELS:
        expected = {n: shape for n, (shape, _) in _built(name, shapes).state_shapes().items()}
        if expected == shapes:
            fitting.append(name)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(f"its tensors fit {', '.join(fitting)}: say which with --model")
    raise UserError(
        "its tensors are those of none of the models: --model NAME says what is amiss for one of"
        f" {', '.join(MODELS)}"
    )


# ---- ONNX --------------------------------------------------------------------------------------


def _from_onnx(path: Path, model: str) -> Brought:
    if model:
        raise UserError("an .onnx says itself what its layers are: leave out --model")
    net, normalize, ours = read_onnx(path)
    brought = Brought(net, IMPORTED, normalize)
    return _told(brought, ours) if ours else brought


READERS = {
    ".safetensors": _from_safetensors,
    ".pth": _from_torch,
    ".pt": _from_torch,
    ".onnx": _from_onnx,
}

# ---- classes -----------------------------------------------------------------------------------


def _lines(path: str | Path, count: int) -> list[str]:
    """So many names, a line each. UserError on any other text."""
    try:
        with open_file(path) as file:
            lines = file.read(MOST_TEXT).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8: {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    if len(names) != count:
        raise UserError(f"{path} has {len(names):,} names, a line each; the net has {count:,}")
    return names


def _told_apart(names: Iterable[str]) -> tuple[str, ...]:
    """Of two alike (ImageNet has two cranes) the second gets its number, or one that is free."""
    told: dict[str, None] = {}
    for number, name in enumerate(names):
        apart = name
        while apart in told:
            apart, number = f"{name} ({number})", number + 1
        told[apart] = None
    return tuple(told)
