"""Training: four lines a step, and what it takes to stop and go on as if never stopped."""

import csv
import io
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from . import checkpoint
from .config import SCHEDULES, Config, check_config
from .data.arrays import ArrayDataset
from .data.loader import Loader
from .data.transforms import FlipAndShift, Normalize
from .errors import CheckpointError, UserError
from .evaluate import Evaluation, evaluate
from .files import write_json, write_text
from .graph import Graph
from .layers import SoftmaxCrossEntropy
from .models import build
from .optim import SGD
from .streams import stream

METRICS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "seconds",
)
PROGRESS = ["epoch", "batch", "seen", "correct", "loss_sum", "seconds", "finished", "history"]
SAVE_SECONDS = 300  # within an epoch; at its end a checkpoint is written in any case


class Trainer:
    """Trains a net on a data set, part of which it holds out for validation.

    folder: where the run is kept (config.json, metrics.csv, checkpoint.npz), or None
    net: the net to train; default: config.model, built for the data set
    Raises UserError if config, net and data set do not fit together.

    epoch, batch: how many whole epochs, and batches of the next one, are done
    history: a row an epoch: its number, losses, accuracies (0 … 1), rate and seconds
    """

    def __init__(
        self,
        dataset: ArrayDataset,
        config: Config | None = None,
        folder: str | Path | None = None,
        net: Graph | None = None,
    ):
        config = config or Config()
        check_config(config)
        self.config, self.folder = config, Path(folder) if folder else None
        self.class_names = dataset.class_names
        order = stream(config.seed, "validation").permutation(len(dataset))
        held_out = max(1, round(len(dataset) * config.validation))
        if held_out >= len(dataset):
            raise UserError(f"{len(dataset)} images are too few to hold {held_out} out")
        training = dataset.subset(order[held_out:])
        self.normalize = Normalize.of(training.images)
        self.net = net or _build(config, dataset.num_classes, dataset.images.shape[1])
        if self.net.input_shape != dataset.images.shape[1:]:
            raise UserError(
                f"the net takes images {self.net.input_shape}, the data set's are"
                f" {dataset.images.shape[1:]}"
            )
        self.train_loader = self.loader(
            training,
            seed=config.seed,
            augment=FlipAndShift(config.seed) if config.augment else None,
        )
        self.validation_loader = self.loader(dataset.subset(order[:held_out]))
        self.loss = SoftmaxCrossEntropy()
        self.sgd = SGD(self.net.named_parameters(), config.lr, config.momentum, config.weight_decay)
        self.schedule = SCHEDULES[config.schedule](config)
        self.epoch = self.batch = 0
        self.history: list[dict] = []
        self.finished = False
        self.seconds = 0.0  # spent training, in all sessions
        self._saved_at = 0.0
        self._forget_epoch()

    def loader(self, dataset: ArrayDataset, **options) -> Loader:
        """A Loader that prepares images the way this net is trained on them."""
        return Loader(dataset, self.config.batch_size, self.normalize, self.net.device, **options)

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
            self.save()
            on_epoch(self)
            clock = time.perf_counter()

    def _step(self, images, labels) -> None:
        logits = self.net.forward(images)
        loss = self.loss.forward(logits, labels)
        if not np.isfinite(float(loss)):
            raise UserError(self._what_diverged(images))
        self.net.backward(self.loss.backward())
        self.sgd.step()
        self.batch += 1
        self.seen += len(labels)
        self.loss_sum += float(loss) * len(labels)
        self.correct += int((logits.argmax(axis=1) == labels).sum())

    def _rate(self, batch: int) -> float:
        """The rate for a batch of this epoch."""
        return self.schedule.rate(self.epoch + batch / len(self.train_loader))

    def _end_epoch(self) -> None:
        validation = self.validate()
        if not np.isfinite(validation.loss):
            raise UserError(self._what_diverged(next(iter(self.validation_loader))[0]))
        self.history.append(
            {
                "epoch": self.epoch + 1,
                "train_loss": self.loss_sum / self.seen,
                "train_accuracy": self.correct / self.seen,
                "validation_loss": validation.loss,
                "validation_accuracy": validation.accuracy,
                "learning_rate": self._rate(len(self.train_loader) - 1),
                "seconds": round(self.seconds, 3),
            }
        )
        self.epoch += 1
        enough = self.schedule.epoch_done(1 - validation.accuracy)
        self.finished = enough or self.epoch >= self.config.epochs
        self._forget_epoch()

    def _forget_epoch(self) -> None:
        self.batch = self.seen = self.correct = 0
        self.loss_sum = 0.0

    def stop(self) -> None:
        """Ask fit to save and return after the step it is in."""
        self.stopping = True

    def validate(self) -> Evaluation:
        """The net's answers to the images that were held out."""
        return evaluate(self.net, self.validation_loader)

    def _what_diverged(self, images) -> str:
        _, outputs = self.net.forward(images, keep=tuple(self.net.nodes))
        bad = (name for name, y in outputs.items() if not np.isfinite(y).all())
        where = next(bad, "the loss")
        return (
            f"the loss is not finite in epoch {self.epoch + 1}, batch {self.batch + 1}: the first"
            f" output that is not finite is that of {where}; train anew with a lower --lr"
            f" (it was {self.sgd.lr:g})"
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
        arrays = {f"weights/{name}": value for name, value in self.net.state_dict().items()}
        velocity = self.net.join(self.sgd.velocity)
        arrays |= {f"velocity/{name}": value for name, value in velocity.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise UserError(
                "the weights are not finite; the checkpoint before stays. Train anew with a lower"
                f" --lr (it was {self.sgd.lr:g})"
            )
        arrays |= {"normalize/mean": self.normalize.mean}
        meta = {
            "config": asdict(self.config),
            "layers": _layers(self.net),
            "class_names": self.class_names,
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
            if Config(**meta["config"]) != self.config:
                raise CheckpointError("this is a run of another config")
            if _layers(self.net) != meta["layers"]:
                raise CheckpointError("this is a run of another net")
            if not np.array_equal(arrays["normalize/mean"], self.normalize.mean):
                raise CheckpointError("this is a run on other images")
            self.net.load_state_dict(_under("weights/", arrays))
            self.sgd.velocity = self.net.split(_under("velocity/", arrays))
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


@dataclass(frozen=True)
class Run:
    """A trained net and what it takes to show it images."""

    config: Config
    net: Graph
    normalize: Normalize
    class_names: tuple[str, ...]


def load_run(folder: str | Path) -> Run:
    """The net of a run folder's checkpoint. Raises CheckpointError if there is none, or damaged."""
    path = Path(folder) / "checkpoint.npz"
    arrays, meta = checkpoint.load(path)
    with checkpoint.reading(path):
        config, mean = Config(**meta["config"]), arrays["normalize/mean"]
        names = tuple(meta["class_names"])
        net = _build(config, len(names), len(mean))
        if _layers(net) != meta["layers"]:
            raise CheckpointError(
                "it was trained with a net of its own: build that, and give it the weights with"
                " load_state_dict"
            )
        if mean.shape != net.input_shape:
            raise CheckpointError(f"its mean image is {mean.shape}, not {net.input_shape}")
        net.load_state_dict(_under("weights/", arrays))
        return Run(config, net, Normalize(mean, meta["scale"]), names)


def _build(config: Config, num_classes: int, channels: int) -> Graph:
    return build(
        config.model,
        num_classes=num_classes,
        channels=channels,
        seed=config.seed,
        dropout=config.dropout,
    )


def _layers(net: Graph) -> list[list[str]]:
    """What a net is made of, in words."""
    return [[name, repr(node.layer)] for name, node in net.nodes.items()]


def _under(prefix: str, arrays: dict) -> dict:
    """The arrays whose name starts with prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
