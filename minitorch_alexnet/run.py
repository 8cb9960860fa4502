"""A run is the folder of a training: config.json, metrics.csv, checkpoint.npz."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from . import checkpoint
from .config import IMPORTED, INITS, Config
from .data.arrays import ArrayDataset
from .data.brought import as_array, channels_last
from .data.image_folder import ImageFolder, check_whites
from .data.loader import Loader
from .data.photo import check_resized
from .data.span import Span
from .data.transforms import Normalize
from .described import from_words, in_words, wiring
from .device import Device
from .errors import CheckpointError, ShapeError, UserError
from .evaluate import Evaluation, Prediction, evaluate, views
from .files import Lock, expect_ours, read_json, write_csv, write_json
from .graph import Graph, expect_graph
from .init import SMALL_SET, STANDARDIZED, initialise
from .models import FOR_STANDARDIZED, MODELS, build, options_of
from .optim import SGD, Schedule
from .processes import ALONE, Processes
from .words import kind_of, printable

METRICS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "seconds",
    "waited",
)


@dataclass
class Run:
    """A net that is trained or in training, what it takes to show it images, and its folder.

    folder: None keeps nothing
    images: the fingerprint of those that it learns from
    whites: which level counts as white in their files of more than 8 bits (see data/deep.py)
    resized: how photographs are brought to the images' size, one of data/photo.py's RESIZED
    """

    folder: Path | None
    config: Config
    net: Graph
    normalize: Normalize
    class_names: tuple[str, ...]
    images: tuple[str, np.ndarray]
    whites: Mapping[str, float] = field(default_factory=dict)
    resized: str = "as in the paper"

    @cached_property
    def lock(self) -> contextlib.AbstractContextManager:
        """Of the folder."""
        return Lock(self.folder) if self.folder else contextlib.nullcontext()

    def __repr__(self) -> str:
        where = printable(str(self.folder))
        return f"Run({where}, {len(self.class_names)} classes, {self.config.model}: {self.net!r})"

    def file(self, name: str) -> Path:
        """Of that name in the folder. Raises UserError if there is none."""
        if not self.folder:
            raise UserError("a run without a folder keeps nothing")
        return self.folder / name

    @property
    def path(self) -> Path:
        """Of the checkpoint."""
        return self.file("checkpoint.npz")

    def expect(self, dataset: ArrayDataset | ImageFolder) -> None:
        """UserError unless a data set's classes, and its images' size and scale, are the net's."""
        if not isinstance(dataset, ArrayDataset | ImageFolder):
            raise UserError(
                f"expected a data set, such as ArrayDataset(images, labels), got {kind_of(dataset)}"
            )
        if dataset.class_names != self.class_names:
            theirs, mine = len(dataset.class_names), len(self.class_names)
            raise UserError(
                "these images have other classes than the net was trained on"
                + (f" ({theirs}, not {mine})" if theirs != mine else "")
                + "; of arrays, class_names says which there are"
            )
        check_images(self.net, dataset.images.shape[1:])
        self.normalize.expect(dataset.span)

    def views(self, dataset: ArrayDataset | ImageFolder, crops: int = 1) -> list[Loader]:
        """Loaders that show a data set in the way the net is trained to see it."""
        self.expect(dataset)
        return views(dataset, self.net, self.normalize, self.config.batch_size, crops)

    def test(
        self, dataset: ArrayDataset | ImageFolder, crops: int = 1, processes: Processes = ALONE
    ) -> Evaluation:
        """The net's answers to a data set, of which each of the processes looks at its share."""
        self.expect(dataset)
        mine = processes.share(len(dataset))
        part = dataset.subset(np.arange(len(dataset))[mine if mine.start < mine.stop else slice(1)])
        found = evaluate(self.net, *self.views(part, crops))
        logits = np.concatenate(processes.gather(found.logits[: mine.stop - mine.start]))
        return Evaluation(logits, np.asarray(dataset.labels), found.views)

    def predict(self, pictures) -> Prediction:
        """What the net sees in pictures as they are, of the training images' scale or uint8.

        pictures: (n, C, H, W), of grey ones also (n, H, W), or one without the n; of larger ones
                  the centre is looked at
        Raises UserError if they are not such as the net was trained on.
        """
        x = as_array("pictures", pictures)
        if x.ndim == (2 if self.net.input_shape[0] == 1 else 3) and not channels_last(x):
            x = x[None]  # one
        dataset = ArrayDataset(x, np.zeros(x.shape[:1], int), self.class_names)
        result = evaluate(self.net, *self.views(dataset))
        return Prediction(result.probabilities, self.class_names)

    def save(self, sgd: SGD, schedule: Schedule, progress: dict) -> None:
        """Write checkpoint.npz, then config.json and metrics.csv, which follow from it.

        progress: whatever else going on takes, as JSON can say it; its "history" is the metrics
        Raises UserError, and the checkpoint before stays, if the weights are not finite.
        """
        velocity = self.net.join(sgd.velocity)
        arrays = {f"velocity/{name}": value for name, value in velocity.items()}
        meta = {"schedule": schedule.state_dict(), "generators": self.net.generator_states()}
        self._write(arrays, meta | progress)

    def save_net(self) -> None:
        """Write a run of weights that were not trained here: all but what going on takes.

        Raises UserError as save does.
        """
        self._write({}, {"history": []})

    def _write(self, arrays: dict[str, np.ndarray], meta: dict) -> None:
        """The net and what its images are like, and that besides; meta's history is the metrics."""
        arrays |= {f"weights/{name}": value for name, value in self.net.state_dict().items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise UserError(
                "the weights are not finite; the checkpoint before stays. Train anew with a lower"
                f" lr (its highest rate was {self.config.lr:g})"
            )
        labels, mean = self.images
        arrays |= {"normalize/mean": self.normalize.mean, "images/mean": mean}
        meta |= self.told() | {
            "config": asdict(self.config),
            "images": labels,
            "whites": self.whites,
            "scale": self.normalize.scale.tolist(),
        }
        checkpoint.save(self.path, arrays, meta)
        self.write_records(meta["history"])

    def told(self) -> dict:
        """What others need to know of a net, beside its numbers, as JSON can say it."""
        return {
            "layers": in_words(self.net),
            "wiring": wiring(self.net),
            "class_names": self.class_names,
            "span": self.normalize.span,
            "resized": self.resized,
        }

    def resume(
        self, loaded: tuple, sgd: SGD, schedule: Schedule, progress: dict
    ) -> tuple[Config, dict]:
        """Bring net, normalize, sgd and schedule to where save() left them.

        loaded: the checkpoint's arrays and meta
        progress: what it is at the start
        Returns the config then, which may differ in its epochs and places, and the progress.
        Raises CheckpointError on a damaged checkpoint or one of another run.
        """
        arrays, meta = loaded
        with checkpoint.reading(self.path if self.folder else "the checkpoint"):
            _expect_sound(arrays, meta)
            states = {"schedule": schedule.state_dict(), "generators": self.net.generator_states()}
            for name, example in (states | progress).items():
                checkpoint.expect_like(meta[name], example, name)
            for row in meta["history"]:
                checkpoint.expect_like(row, dict.fromkeys(METRICS, 0.0), "history")
            before = Config(**meta["config"])
            if replace(before, **_may_change(self.config)) != self.config:
                raise CheckpointError("this is a run of another config")
            if in_words(self.net) != meta["layers"]:
                raise CheckpointError("this is a run of another net")
            labels, mean = self.images
            if meta["images"] != labels or not np.array_equal(arrays["images/mean"], mean):
                raise CheckpointError("this is a run on other images, or with other classes")
            kept = normalize_of(arrays["normalize/mean"], meta["scale"], meta.get("span"))
            self.normalize.mean, self.normalize.scale = kept.mean, kept.scale
            self.net.load_state_dict(under("weights/", arrays))
            for name, velocity in self.net.split(under("velocity/", arrays)).items():
                sgd.velocity[name] = Device.of(sgd.velocity[name]).array(velocity)
            self.net.set_generator_states(meta["generators"])
            schedule.load_state_dict(meta["schedule"])
            found = {name: meta[name] for name in progress}
            if self.folder:
                self.write_records(found["history"])
        return before, found

    def write_records(self, history: list[dict]) -> None:
        """Write config.json and metrics.csv: a row an epoch."""
        write_json(self.file("config.json"), asdict(self.config))
        write_csv(self.file("metrics.csv"), [METRICS, *map(dict.values, history)])


def as_folder(given: str | Path) -> Path:
    """A folder as users write it, ~ too. Raises UserError on what names none."""
    if given == "" or not isinstance(given, str | os.PathLike):
        raise UserError(f"a folder is named by a text or a Path, got {given!r:.80}")
    folder = Path(os.path.expanduser(given))
    if os.path.isfile(folder):
        raise UserError(f"{folder} is a file: name the folder")
    return folder


def is_kept(folder: Path | None) -> bool:
    """Has the folder a checkpoint?"""
    return folder is not None and os.path.exists(folder / "checkpoint.npz")


def expect_run_folder(folder: Path) -> None:
    """UserError if a folder, which may be new or empty, holds anything but a run."""
    if not is_kept(folder):
        expect_ours(folder, "config.json")
        if (folder / "config.json").exists():
            read_config(folder)


def read_config(folder: str | Path) -> Config:
    """The Config of a run folder. Raises CheckpointError if it is not one."""
    path = Path(folder) / "config.json"
    try:
        return Config(**read_json(path))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is not a run folder: there is no config.json") from None
    except (UserError, TypeError) as error:
        raise CheckpointError(f"{path} is not a run's config: {error}") from error


def load_run(
    folder: str | Path, model: str = "", devices: str = "", net: Graph | None = None
) -> Run:
    """The net of a run folder's checkpoint. Raises CheckpointError if there is none, or damaged.

    model: another model with the same weights, such as alexnet-merged for alexnet
    devices: where it shall live; default: the model's own
    net: takes the weights, if it was trained with a net of its own: the same, built anew
    """
    if net is not None:
        expect_graph(net, "load_run")
        if model or devices:
            raise UserError("load_run: a net of one's own has its model and devices already")
    folder = as_folder(folder)
    path = folder / "checkpoint.npz"
    arrays, meta = checkpoint.load(path, without="velocity/")
    with checkpoint.reading(path):
        _expect_sound(arrays, meta)
        normalize = normalize_of(arrays["normalize/mean"], meta["scale"], meta.get("span"))
        trained = Config(**meta["config"])
        config = replace(trained, model=model or trained.model, devices=devices)
        names = tuple(meta["class_names"])
        if net and in_words(net) != meta["layers"]:
            raise CheckpointError("it was trained with another net than this")
        net = net or _net_of(config, trained, names, normalize.mean.shape, meta)
        net.load_state_dict(under("weights/", arrays))
        images = meta["images"], arrays["images/mean"]
        # up to version 0.2 there was neither
        whites = check_whites(meta.get("whites", {}))
        resized = check_resized(meta.get("resized", Run.resized))
        return Run(folder, config, net, normalize, names, images, whites, resized)


def normalize_of(mean: np.ndarray, scale: ArrayLike, span: Sequence | None) -> Normalize:
    """What turns pixels into what a net reads, as a file says it. CheckpointError if it cannot be.

    mean: (C, H, W);  scale: a number above 0, or (C,);  span: (low, high), or None
    """
    scale = np.asarray(scale)
    if mean.dtype.kind != "f" or mean.ndim != 3:
        raise CheckpointError("the pixels' mean must be an image")
    if scale.dtype.kind not in "fi" or scale.shape not in ((), mean.shape[:1]):
        raise CheckpointError("the pixels' scale must be a number, or one a channel")
    with np.errstate(over="ignore", under="ignore"):
        mean, small = mean.astype(np.float32), scale.astype(np.float32)
    if not np.isfinite(mean).all() or not (np.isfinite(small) & (small > 0)).all():
        raise CheckpointError("the pixels' scale must be above 0, and it and their mean finite")
    if span is None:
        return Normalize(mean, scale)
    ends = np.asarray(span)
    if (
        ends.dtype.kind not in "fi"
        or ends.shape != (2,)
        or not -np.inf < ends[0] <= ends[1] < np.inf
    ):
        raise CheckpointError("the pixels' span must be their lowest and their highest number")
    return Normalize(mean, scale, Span(*map(float, span)))


def _net_of(config: Config, trained: Config, names: tuple, shape: tuple, meta: dict) -> Graph:
    """The net that a config names, or the one of its own that was trained, by what it is made of.

    CheckpointError if the words for that are missing, or tell of layers of one's own.
    """
    if config.model != trained.model:
        return build_net(config, len(names), shape, draw=False)
    if config.model != IMPORTED:
        with contextlib.suppress(ShapeError):
            net = build_net(config, len(names), shape, draw=False)
            if in_words(net) == meta["layers"]:
                return net
    if wires := meta.get("wiring"):
        net = from_words(meta["layers"], wires, config.devices)
        check_images(net, shape)
        return net
    raise CheckpointError(
        "it was trained with a net of its own: in Python, build that net and read the run with"
        " load_run(folder, net=net)"
    )


def _expect_sound(arrays: dict[str, np.ndarray], meta: dict) -> None:
    """CheckpointError unless they are of the kinds that Run.save keeps."""
    spoilt = [n for n, a in arrays.items() if a.dtype.kind != "f" or not np.isfinite(a).all()]
    if spoilt:
        raise CheckpointError(f"{spoilt[0]} is not finite: train anew with a lower rate")
    for name, example in {"class_names": [], "images": ""}.items():
        checkpoint.expect_like(meta[name], example, name)
    if not all(isinstance(name, str) for name in meta["class_names"]):
        raise CheckpointError("class_names must be texts")


def build_net(config: Config, num_classes: int, image_shape: tuple, draw: bool = True) -> Graph:
    """The net that a config names, for images (C, H, W).

    draw: False leaves the weights to load_state_dict
    Raises UserError, before anything is drawn, if the net does not take such images.
    """
    options = {"num_classes": num_classes, "channels": image_shape[0], "dropout": config.dropout}
    if config.devices:
        options["devices"] = config.devices
    if config.size or "size" in options_of(config.model):
        options["size"] = config.size or min(image_shape[1:])
    try:
        net = build(config.model, seed=None, **options)
        check_images(net, image_shape)
    except ShapeError as error:
        raise ShapeError(f"{error}; {_ways_out(image_shape)}") from None
    rules = INITS[config.init]
    if config.init == "model" and config.standardize != (config.model in FOR_STANDARDIZED):
        rules = STANDARDIZED if config.standardize else SMALL_SET  # for pixels as they come
    if draw and rules:
        initialise(net, config.seed, rules)
    elif draw:
        net = build(config.model, seed=config.seed, **options)
    return net


def check_images(net: Graph, shape: tuple) -> None:
    """ShapeError unless images (C, H, W) are what the net takes, or somewhat larger."""
    fits = shape[0] == net.input_shape[0] and all(
        wanted <= has < 2 * wanted
        for wanted, has in zip(net.input_shape[1:], shape[1:], strict=True)
    )
    if not fits:
        wanted, has = ("×".join(map(str, s)) for s in (net.input_shape, shape))
        raise ShapeError(
            f"the net takes images of {wanted}, or parts of somewhat larger ones; these have {has};"
            " bring them to that size"
        )


def _ways_out(shape: tuple) -> str:
    """What to do about images (C, H, W) that a model does not take."""
    if models := list(_models_for(shape)):
        return f"models that take them: {', '.join(models)}; or prepare them with another --size"
    return "no model takes them; bring them to 28×28, 64×64 or 256×256 (prepare --size)"


def _models_for(shape: tuple) -> Iterator[str]:
    """The models that take images (C, H, W), with the size to give where it is not theirs."""
    side = min(shape[1:])
    for name in MODELS:
        sizes = range(side, side // 2, -1) if "size" in options_of(name) else [0]
        for size in sizes:
            with contextlib.suppress(UserError):
                options = {"size": size} if size else {}
                check_images(build(name, seed=None, channels=shape[0], **options), shape)
                yield name + (f" with size {size} (--size {size})" if 0 < size < side else "")
                break


def fingerprint(dataset) -> tuple[str, np.ndarray]:
    """What tells images from others: of their classes and labels a hash, and their mean."""
    text = json.dumps([list(dataset.class_names), dataset.labels.tolist()])
    return hashlib.sha256(text.encode()).hexdigest(), np.asarray(dataset.mean, np.float32)


def under(prefix: str, arrays: dict) -> dict:
    """The arrays whose name starts with prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _may_change(config: Config) -> dict:
    """What may, between two sessions of a run: its length, and where net and images are."""
    names = ("epochs", "devices", "data", "data_dir", "note")
    return {name: getattr(config, name) for name in names}
