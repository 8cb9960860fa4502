"""Training: four lines a step, and what it takes to stop and go on as if never stopped."""

import csv
import hashlib
import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from . import checkpoint
from .config import SCHEDULES, Config, check_config
from .data.arrays import ArrayDataset
from .data.image_folder import ImageFolder
from .data.loader import Loader
from .data.transforms import ColourNoise, CropAndFlip, Normalize, View, centre
from .device import Device
from .errors import CheckpointError, UserError
from .evaluate import Evaluation, evaluate, views
from .files import write_json, write_text
from .graph import Graph
from .layers import SoftmaxCrossEntropy
from .optim import SGD
from .run import Run, build_net, check_images, in_words, load_run, under
from .streams import stream

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
PROGRESS = ["epoch", "batch", "seen", "correct", "loss_sum", "seconds", "finished", "history"]
READ_STEPS = 20  # losses that a GPU may owe us
GUESSING_STEPS = 100  # so long a net may be no better than guessing
SAVE_SECONDS = 300  # of training between two checkpoints; where epochs end, a tenth of it will do


class Trainer:
    """Trains a net on a data set, watched on images that it does not learn from.

    folder: where the run is kept (config.json, metrics.csv, checkpoint.npz), or None
    net: the net to train; default: config.model, built for the data set. Given one, what config
         says of model, size, devices, init and dropout counts for nothing
    validation: the data set to watch it on; default: a part of the first, held out
    Raises UserError if config, net and data sets do not fit together.

    epoch, batch: how many whole epochs, and batches of the next one, are done
    history: a row an epoch: its number, losses, accuracies (0 … 1), rate, the seconds trained so
             far, and those that this epoch waited for images
    taken: the names of the parameters that came from config.source
    """

    def __init__(
        self,
        dataset: ArrayDataset | ImageFolder,
        config: Config | None = None,
        folder: str | Path | None = None,
        net: Graph | None = None,
        validation: ArrayDataset | ImageFolder | None = None,
    ):
        config = config or Config()
        check_config(config)
        self.config, self.folder = config, Path(folder) if folder else None
        self.class_names = dataset.class_names
        if validation and validation.class_names != dataset.class_names:
            raise UserError("the validation set has other classes than the training set")
        if validation is None:
            dataset, validation = _hold_out(dataset, config)
        self.net = net or build_net(config, dataset.num_classes, dataset.images.shape[1:])
        for images in (dataset.images, validation.images):
            check_images(self.net, images.shape[1:])
        self._images = _fingerprint(dataset), np.asarray(dataset.mean, np.float32)
        self.normalize = Normalize(dataset.mean, (config.standardize and dataset.deviation) or 1.0)
        self.taken: list[str] = []
        if config.source and not (self.folder and self.checkpoint_path.exists()):
            self._start_from(load_run(config.source))
        self._freeze(config.freeze)
        self.train_loader = Loader(
            dataset,
            config.batch_size,
            self.normalize,
            self.net.device,
            seed=config.seed,
            crop=_crop(config, self.net.input_shape, dataset.images.shape),
            colour=_colour(config, dataset),
        )
        self.validation = validation
        self.loss = SoftmaxCrossEntropy()
        self.sgd = SGD(self.net.named_parameters(), config.lr, config.momentum, config.weight_decay)
        self.schedule = SCHEDULES[config.schedule](config)
        self.epoch = self.batch = 0
        self.history: list[dict] = []
        self.finished = False
        self.seconds = 0.0  # spent training, in all sessions
        self._saved_at = 0.0
        self._forget_epoch()

    def views(self, dataset: ArrayDataset | ImageFolder, crops: int = 1) -> list[Loader]:
        """Loaders that show a data set in the way the net is trained to see it."""
        return views(dataset, self.net, self.normalize, self.config.batch_size, crops)

    def estimate(self) -> tuple[float, int]:
        """About how many seconds the rest will take, and how many bytes of memory it will hold.

        Takes the time of a step's forward and backward, from which nothing is learnt.
        """
        batch = min(self.config.batch_size, len(self.train_loader.dataset))
        generators = self.net.generator_states()
        images = self.net.device.array(np.zeros((batch, *self.net.input_shape), np.float32))
        for _ in range(2):  # the first is slow
            clock = time.perf_counter()
            self.loss.forward(self.net.forward(images), np.zeros(batch, int))
            self.net.backward(self.loss.backward())
            self.net.output_device.wait()
            seconds = time.perf_counter() - clock
        self.net.set_generator_states(generators)
        self.net.forget_images_seen()
        epochs = self.config.epochs - self.epoch
        steps = epochs * len(self.train_loader) - self.batch
        tests = epochs * len(self.validation) / batch / 3  # of which forward is the third part
        weights, image = self._needs()
        # With a folder there are a checkpoint's copies, too.
        return (steps + tests) * seconds, weights * 5 // 3 + image * batch

    def _needs(self) -> tuple[int, int]:
        """Bytes of weights, velocities and gradients; bytes an image of a batch takes besides."""
        weights = sum(p.data.nbytes for p in self.net.named_parameters().values())
        outputs = sum(math.prod(node.shape) for node in self.net.nodes.values())
        return 3 * weights, 5 * outputs  # four bytes a number, and a quarter more in passing

    def _what_fits(self) -> str:
        """Which batch a GPU would have room for, for want of which this one failed."""
        device = self.net.output_device
        weights, image = self._needs()
        fits = (0.9 * device.memory() - weights) // image
        return (
            f"{device} has no room for a batch of {self.config.batch_size}: about"
            f" {max(1, min(int(fits), self.config.batch_size * 3 // 4))} would fit; train anew with"
            " that --batch-size. The last checkpoint is safe"
        )

    @property
    def guessing(self) -> bool:
        """Is the loss still about ln(classes), that of guessing, where it should long have left?"""
        late = self.epoch * len(self.train_loader) >= GUESSING_STEPS
        return late and self.history[-1]["train_loss"] > 0.98 * math.log(len(self.class_names))

    def _start_from(self, run: Run) -> None:
        """Take the layers of another run that fit, but for the last, and its pixels' scale."""
        mine, theirs = self.net.state_dict(), run.net.state_dict()
        layers: dict[str, list[str]] = {}
        for name in mine:
            layers.setdefault(name.rpartition(".")[0], []).append(name)
        del layers[next(reversed(layers))]
        self.taken = [
            name
            for names in layers.values()
            if all(n in theirs and theirs[n].shape == mine[n].shape for n in names)
            for name in names
        ]
        if not self.taken:
            raise UserError(
                f"no layer of {self.config.source} ({run.config.model}) but the last fits"
                f" {self.config.model}: start from a run of the same model"
            )
        self.net.load_state_dict(mine | {name: theirs[name] for name in self.taken})
        same = run.normalize.mean.shape == self.normalize.mean.shape
        mean = run.normalize.mean if same else self.normalize.mean
        self.normalize = Normalize(mean, run.normalize.scale)  # what the weights are used to

    def _freeze(self, layers: str) -> None:
        nodes = self.net.nodes.values()
        for name in filter(None, (name.strip() for name in layers.split(","))):
            chosen = [p for n in nodes if name == n.joined_name for p in n.layer.params.values()]
            if not chosen:
                can = dict.fromkeys(n.joined_name for n in nodes if n.layer.params)
                raise UserError(f"freeze: {name!r} is none of the layers {', '.join(can)}")
            if self.taken and f"{name}.weight" not in self.taken:
                raise UserError(f"freeze: {name} starts anew and has to learn")
            for parameter in chosen:
                parameter.lr_scale = 0
        if all(p.frozen for p in self.net.named_parameters().values()):
            raise UserError("freeze: no layer is left that learns")

    # ---- the loop ----------------------------------------------------------------------------

    def fit(
        self,
        on_step: Callable[["Trainer"], None] = lambda trainer: None,
        on_epoch: Callable[["Trainer"], None] = lambda trainer: None,
    ) -> None:
        """Train to the end, or to stop(). Raises UserError when the loss is no longer finite."""
        self.stopping = False
        if self.folder:
            if not self.epoch and not self.batch and self.checkpoint_path.exists():
                raise UserError(
                    f"{self.folder} holds a run already: call resume() first, or take another"
                    " folder"
                )
            self._write_records()  # a run can be resumed from here on
        clock = time.perf_counter()
        while not self.finished:
            for images, labels in self.train_loader.epoch(self.epoch, start=self.batch):
                self.sgd.lr = self._rate(self.batch)
                self._step(images, labels)
                now = time.perf_counter()
                self.seconds, clock = self.seconds + now - clock, now
                on_step(self)
                if self.stopping:
                    self.save()
                    return
                if self._unsaved_seconds() > SAVE_SECONDS:
                    self.save()
            self._end_epoch()
            if self.finished or self.epoch == 1 or self._unsaved_seconds() > SAVE_SECONDS / 10:
                self.save()
            elif self.folder:
                self._write_records()
            on_epoch(self)
            clock = time.perf_counter()

    def _step(self, images, labels) -> None:
        try:
            self._learn(images, labels)
        except Exception as error:
            if type(error).__name__ != "OutOfMemoryError":  # CuPy's
                raise
            raise UserError(self._what_fits()) from error
        self.batch += 1
        self.seen += len(labels)

    def _learn(self, images, labels) -> None:
        logits = self.net.forward(images)
        self._unread.append((self.loss.forward(logits, labels), logits, labels))
        if self.net.output_device.kind == "cpu":
            self.read_progress(images)
        elif len(self._unread) == READ_STEPS:
            self.read_progress()
        self.net.backward(self.loss.backward())
        self.sgd.step()

    def read_progress(self, images=None) -> None:
        """Bring loss_sum and correct up to date. A GPU is asked rarely, for it has to catch up.

        images: those of the last loss, if nothing was learnt from it yet
        Raises UserError if a loss was not finite.
        """
        unread, self._unread = self._unread, []
        for loss, logits, labels in unread:
            if not np.isfinite(float(loss)):
                raise UserError(self._what_diverged(images))
            self.loss_sum += float(loss) * len(labels)
            self.correct += int((Device("cpu").array(logits).argmax(axis=1) == labels).sum())

    def _rate(self, batch: int) -> float:
        """The rate for a batch of this epoch."""
        return self.schedule.rate(self.epoch + batch / len(self.train_loader))

    def _end_epoch(self) -> None:
        self.read_progress()
        validation = self.validate()
        if not np.isfinite(validation.loss):
            raise UserError(self._what_diverged(next(iter(self.views(self.validation)[0]))[0]))
        self.history.append(
            {
                "epoch": self.epoch + 1,
                "train_loss": self.loss_sum / self.seen,
                "train_accuracy": self.correct / self.seen,
                "validation_loss": validation.loss,
                "validation_accuracy": validation.accuracy,
                "learning_rate": self._rate(len(self.train_loader) - 1),
                "seconds": round(self.seconds, 3),
                "waited": round(self.train_loader.waited, 3),
            }
        )
        self.epoch += 1
        enough = self.schedule.epoch_done(1 - validation.accuracy)
        self.finished = enough or self.epoch >= self.config.epochs
        self._forget_epoch()

    def _forget_epoch(self) -> None:
        self.batch = self.seen = self.correct = 0
        self.loss_sum = self.train_loader.waited = 0.0
        self._unread: list[tuple] = []

    def stop(self) -> None:
        """Ask fit to save and return after the step it is in."""
        self.stopping = True

    def validate(self) -> Evaluation:
        """The net's answers to the images that were held out."""
        return evaluate(self.net, *self.views(self.validation))

    def _what_diverged(self, images) -> str:
        advice = f"train anew with a lower --lr (it was {self.sgd.lr:g})"
        if images is None:  # the weights are spoilt by now
            return (
                f"the loss is not finite in epoch {self.epoch + 1}, in the last {READ_STEPS}"
                f" batches or so; {advice}"
            )
        _, outputs = self.net.forward(images, keep=tuple(self.net.nodes))
        values = {name: Device("cpu").array(y) for name, y in outputs.items()}
        bad = (name for name, y in values.items() if not np.isfinite(y).all())
        return (
            f"the loss is not finite in epoch {self.epoch + 1}, batch {self.batch + 1}: the first"
            f" output that is not finite is that of {next(bad, 'the loss')}; {advice}"
        )

    # ---- stopping and going on ---------------------------------------------------------------

    @property
    def checkpoint_path(self) -> Path | None:
        return self.folder / "checkpoint.npz" if self.folder else None

    def _unsaved_seconds(self) -> float:
        return self.seconds - self._saved_at if self.folder else 0.0

    def save(self) -> None:
        """Write checkpoint.npz, then config.json and metrics.csv, which follow from it."""
        self._saved_at = self.seconds
        if not self.folder:
            return
        self.read_progress()
        arrays = {f"weights/{name}": value for name, value in self.net.state_dict().items()}
        velocity = self.net.join(self.sgd.velocity)
        arrays |= {f"velocity/{name}": value for name, value in velocity.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise UserError(
                "the weights are not finite; the checkpoint before stays. Train anew with a lower"
                f" --lr (it was {self.sgd.lr:g})"
            )
        fingerprint, mean = self._images
        arrays |= {"normalize/mean": self.normalize.mean, "images/mean": mean}
        meta = {
            "config": asdict(self.config),
            "layers": in_words(self.net),
            "class_names": self.class_names,
            "images": fingerprint,
            "scale": self.normalize.scale,
            **{name: getattr(self, name) for name in PROGRESS},
            "schedule": self.schedule.state_dict(),
            "generators": self.net.generator_states(),
        }
        checkpoint.save(self.checkpoint_path, arrays, meta)
        self._write_records()

    def resume(self) -> bool:
        """Go on from the folder's checkpoint; False, and nothing changed, if there is none yet.

        Raises CheckpointError on a damaged checkpoint or one of another run, UserError if the
        run has no folder.
        """
        if not self.folder:
            raise UserError("a run without a folder keeps nothing to resume")
        if not self.checkpoint_path.exists():
            return False
        arrays, meta = checkpoint.load(self.checkpoint_path)
        with checkpoint.reading(self.checkpoint_path):
            if replace(Config(**meta["config"]), **_whereabouts(self.config)) != self.config:
                raise CheckpointError("this is a run of another config")
            if in_words(self.net) != meta["layers"]:
                raise CheckpointError("this is a run of another net")
            fingerprint, mean = self._images
            if meta["images"] != fingerprint or not np.array_equal(arrays["images/mean"], mean):
                raise CheckpointError("this is a run on other images, or with other classes")
            self.normalize.mean, self.normalize.scale = arrays["normalize/mean"], meta["scale"]
            self.net.load_state_dict(under("weights/", arrays))
            for name, velocity in self.net.split(under("velocity/", arrays)).items():
                self.sgd.velocity[name] = Device.of(self.sgd.velocity[name]).array(velocity)
            self.net.set_generator_states(meta["generators"])
            self.schedule.load_state_dict(meta["schedule"])
            for name in PROGRESS:
                setattr(self, name, meta[name])
        self._saved_at = self.seconds
        self._write_records()
        return True

    def _write_records(self) -> None:
        write_json(self.folder / "config.json", asdict(self.config))
        text = io.StringIO()
        rows = csv.DictWriter(text, METRICS, lineterminator="\n")
        rows.writeheader()
        rows.writerows(self.history)
        write_text(self.folder / "metrics.csv", text.getvalue())


def _hold_out(dataset: ArrayDataset | ImageFolder, config: Config) -> tuple:
    """What remains to learn from, and a random part to watch the net on."""
    order = stream(config.seed, "validation").permutation(len(dataset))
    held_out = max(1, round(len(dataset) * config.validation))
    if held_out >= len(dataset):
        raise UserError(f"{len(dataset)} images are too few to hold {held_out} out")
    return dataset.subset(order[held_out:]), dataset.subset(order[:held_out])


def _fingerprint(dataset: ArrayDataset | ImageFolder) -> str:
    """Of the classes and labels; what the images are like, their mean tells."""
    text = json.dumps([list(dataset.class_names), dataset.labels.tolist()])
    return hashlib.sha256(text.encode()).hexdigest()


def _whereabouts(config: Config) -> dict:
    """What may change between two sessions of a run: where the net lives, and where the images."""
    return {name: getattr(config, name) for name in ("devices", "data", "data_dir", "note")}


def _crop(config: Config, part: tuple, shape: tuple) -> View | CropAndFlip:
    """How to cut what the net reads, `part`, out of a training image."""
    if not config.augment:
        return centre(shape, part)
    spare = shape[-2:] != part[-2:]
    return CropAndFlip(config.seed, part[-2:], padding=0 if spare else part[-1] // 28)


def _colour(config: Config, dataset: ArrayDataset | ImageFolder) -> ColourNoise | None:
    if not config.colour_noise:
        return None
    return ColourNoise(config.seed, dataset.covariance, config.colour_noise)
