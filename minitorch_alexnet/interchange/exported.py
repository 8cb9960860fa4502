"""A run's net as a file for other libraries."""

import json
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import MAKER, is_ours, whole_file
from ..run import Run
from .library import library
from .onnx_out import to_onnx
from .weights import MEAN, SCALE


def export_run(run: Run, path: str | Path) -> None:
    """Write a run's net, by the file's ending.

    .onnx: a graph that takes the pixels of photographs, (n, C, H, W) of what the net reads of
        them, its middle, and gives logits. Their scale comes first in it, dropout is left out.
    .safetensors: the weights by our names, as net.state_dict() has them, with pixels.mean and
        pixels.scale beside them: the net reads (pixels - mean) / scale. What else import_file
        needs to make the run again is in the file's metadata.

    Raises UserError on another ending, a file there that is not ours, a layer of one's own.
    """
    path = Path(path)
    write = WRITERS.get(path.suffix.lower())
    if not write:
        raise UserError(f"{path}: expected a file that ends with {', '.join(WRITERS)}")
    try:
        others = path.exists() and not (path.is_file() and is_ours(path))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    if others:
        raise UserError(f"{path} is there and was not exported from here: name another file")
    content = write(run)
    with whole_file(path) as file:
        file.write(content)


def to_safetensors(run: Run) -> bytes:
    tensors = run.net.state_dict()
    tensors |= {MEAN: run.normalize.mean, SCALE: run.normalize.scale.astype(np.float32)}
    about = {"model": run.config.model} | run.told()
    return library("safetensors.numpy").save(tensors, {MAKER: json.dumps(about)})


WRITERS = {".onnx": to_onnx, ".safetensors": to_safetensors}
