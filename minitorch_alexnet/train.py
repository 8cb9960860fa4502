"""Training: four lines a step, and what it takes to stop and go on as if never stopped."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import checkpoint, timing
from .config import SCHEDULES, Config
from .data.arrays import ArrayDataset
from .data.image_folder import ImageFolder
from .data.loader import Loader
from .data.transforms import ColourNoise, CropAndFlip, Normalize, View, centre
from .device import Device, tf32
from .errors import CheckpointError, Diverged, UserError
from .evaluate import Evaluation, Prediction, first_not_finite
from .finetune import freeze, start_from, used_to
from .graph import Graph
from .layers import SoftmaxCrossEntropy
from .optim import SGD
from .processes import ALONE, Gradients, Processes, draw_for_all
from .run import (
    Run,
    as_folder,
    build_net,
    check_images,
    expect_run_folder,
    fingerprint,
    is_kept,
    load_run,
)
from .streams import stream
from .words import kind_of

PROGRESS = ("epoch", "batch", "seen", "correct", "loss_sum", "seconds", "finished", "history")
READ_STEPS = 20  # losses that a GPU may owe us
GUESSING_STEPS = 100  # so long a net may be no better than guessing
SAVE_SECONDS = 300  # of training between two checkpoints; where epochs end, a tenth of it will do


class Trainer:
    """Trains a net on a data set, watched on images that it does not learn from.

    folder: where the run is kept (config.json, metrics.csv, checkpoint.npz), or None; what a
            finished one leaves there besides, results.keep_results writes
    net: the net to train; default: config.model, built for the data set. Given one, what config
         says of model, size, devices, init and dropout counts for nothing
    validation: the data set to watch it on; default: a part of the first, held out
    processes: those that share the work (see processes.py). Each makes its Trainer, with the same
               arguments, and whatever one calls of it, fit, validate, test, resume or save, all
               call; the first one alone has the folder
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
        processes: Processes = ALONE,
    ):
        _expect_trainable(dataset, config, net, validation)
        config = config or Config()
        if validation is None:
            dataset, validation = _hold_out(dataset, config)
        if processes.rank:
            folder = None
        if folder is not None:
            folder = as_folder(folder)
            expect_run_folder(folder)
        resumable = processes.broadcast(is_kept(folder))  # then the weights are there
        shape = dataset.images.shape[1:]
        if net is None:
            net = build_net(config, dataset.num_classes, shape, draw=not resumable)
        for images in (dataset.images, validation.images):
            check_images(net, images.shape[1:])
        divisor = (config.standardize and dataset.deviation) or 1.0
        normalize = Normalize(dataset.mean, divisor, dataset.span)
        normalize.expect(validation.span)
        run = Run(
            folder,
            config,
            net,
            normalize,
            dataset.class_names,
            fingerprint(dataset),
            getattr(dataset, "whites", {}),
        )
        _expect_same(processes, run)
        self.taken: list[str] = []
        if config.source and not resumable:
            source = load_run(config.source)
            self.taken = start_from(source, net, dataset.class_names)
            run.normalize = used_to(source, normalize)
        if processes.size > 1 and not resumable:
            net.load_state_dict(processes.broadcast(net.state_dict()))
        freeze(net, config.freeze, self.taken)
        self._tf32 = config.tf32 and any(device.kind == "cuda" for device in net.devices)
        if config.tf32 and not (self._tf32 or resumable):
            raise UserError("tf32 is for products on a GPU: leave it out, or take --devices cuda:0")
        self.run, self.config, self.folder = run, config, run.folder
        self.net, self.normalize, self.class_names = net, run.normalize, run.class_names
        self.train_loader = Loader(
            dataset,
            config.batch_size,
            self.normalize,
            net.device,
            seed=config.seed,
            crop=_crop(config, net.input_shape, dataset.images.shape),
            colour=_colour(config, dataset),
            processes=processes,
        )
        self.processes, self.gradients = processes, Gradients(processes)
        self._masks = draw_for_all(net, processes)
        self.validation = validation
        self.loss = SoftmaxCrossEntropy()
        self.sgd = SGD(net.named_parameters(), config.lr, config.momentum, config.weight_decay)
        self.schedule = SCHEDULES[config.schedule](config)
        self.epoch, self.finished, self.stopping = 0, False, False
        self._asked = False
        self._fitting, self._kept = False, (0, 0)
        self.history: list[dict] = []
        self.seconds = self._saved_at = 0.0  # spent training, in all sessions
        self._begin_epoch()

    def __repr__(self) -> str:
        done = f"{self.epoch} of {self.config.epochs} epochs done"
        return f"Trainer({done}, {self.net!r}, {self.train_loader.dataset!r})"

    def _begin_epoch(self) -> None:
        self.batch = self.seen = self.correct = 0
        self.loss_sum = self.train_loader.waited = 0.0
        self._unread: list[tuple] = []

    # ---- the loop ----------------------------------------------------------------------------

    def fit(
        self,
        on_step: Callable[["Trainer"], None] = lambda trainer: None,
        on_epoch: Callable[["Trainer"], None] = lambda trainer: None,
    ) -> None:
        """Train to the end, or to stop(), in all the processes.

        Raises UserError when the loss is no longer finite, the training has ended before, or its
        folder is another's.
        """
        if self.finished:
            raise UserError(
                f"the training has ended, after {self.epoch} epochs: extend(epochs) makes it longer"
            )
        with self.run.lock, self._alone():
            self._claim_folder()
            self._agreed()
            while not (self.finished or self.stopping):
                self._learn_epoch(on_step)
                if not self.stopping:
                    self._end_epoch()
                    self._tell(on_epoch)
                    self._agreed()
            if self.stopping:
                self._keep()
            self._asked = self.stopping = False

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """UserError where fit is at work: called by itself, or in another thread."""
        if self._fitting:
            raise UserError("fit is at work already: wait for its end, or stop() it")
        self._fitting = True
        try:
            yield
        finally:
            self._fitting = False

    def _learn_epoch(self, on_step: Callable) -> None:
        """The rest of the epoch's steps, or those until stop()."""
        clock = time.perf_counter()
        with timing.room_for(self.net, self.config.batch_size, self._what_fits()):
            for images, labels in self.train_loader.epoch(self.epoch, start=self.batch):
                self.sgd.lr = self.rate
                with self._precision():
                    self._learn(images, labels)
                now = time.perf_counter()
                self.seconds, clock = self.seconds + now - clock, now
                self._tell(on_step)
                save = self._agreed(self._unsaved_seconds() > SAVE_SECONDS)
                if self.stopping:
                    return
                if save:
                    self._keep()

    def _what_fits(self) -> str:
        """What to do where a batch has no room."""
        safe = ". The last checkpoint is safe" if is_kept(self.folder) else ""
        return f"; train anew with that --batch-size{safe}"

    def _precision(self) -> contextlib.AbstractContextManager:
        """Of a training step's products; what watches the net has all bits."""
        return tf32() if self._tf32 else contextlib.nullcontext()

    def _tell(self, callback: Callable) -> None:
        """Whatever it raises (its terminal is gone, say), no step is lost."""
        try:
            callback(self)
        except BaseException:
            if self.processes.size == 1:
                self._keep()
            raise

    def _learn(self, images, labels) -> None:
        batch = self._batch_size()
        self.gradients.weight = self.processes.weight(batch)
        self._masks.images = batch
        logits = self.net.forward(images)
        self._unread.append((self.loss.forward(logits, labels), logits, labels, batch))
        if self.net.output_device.kind == "cpu" or len(self._unread) == READ_STEPS:
            self._read_progress(images)
        self.net.backward(self.loss.backward(), self.gradients.take)
        self.gradients.finish()
        self._masks.images = None
        self.sgd.step()
        self.batch += 1

    def _batch_size(self) -> int:
        """Of the next step's batch, the whole."""
        done = self.batch * self.config.batch_size
        return min(self.config.batch_size, len(self.train_loader.dataset) - done)

    def _agreed(self, save: bool = False) -> bool:
        """Does one of the processes want to save? And all stop if one of them was asked to."""
        self.stopping, save = self.processes.any(self._asked, save)
        if self.stopping or save:
            self._read_progress()
        return save

    def read_progress(self) -> None:
        """Bring seen, loss_sum and correct up to date. A GPU, which must catch up, is asked rarely.

        Several processes do so at their own times. Raises UserError if a loss was not finite.
        """
        if self.processes.size == 1:
            self._read_progress()

    def _read_progress(self, images=None) -> None:
        """images: those of the last loss, if nothing was learnt from it yet"""
        unread, self._unread = self._unread, []
        sums, diverged = np.zeros(3), ""
        for loss, logits, labels, batch in unread:
            share = self.processes.share(batch)
            count = share.stop - share.start  # of the labels; an image for company is another's
            if not np.isfinite(float(loss)):
                diverged = self._what_diverged(images if loss is unread[-1][0] else None)
                break
            right = (Device("cpu").array(logits).argmax(axis=1) == labels)[:count]
            sums += count, right.sum(), float(loss) * count
        if diverged := next(filter(None, self.processes.gather(diverged)), ""):
            raise Diverged(diverged)
        self.processes.sum(sums)()
        self.seen, self.correct = self.seen + int(sums[0]), self.correct + int(sums[1])
        self.loss_sum += float(sums[2])

    def _end_epoch(self) -> None:
        self._read_progress()
        validation = self.validate()
        if not np.isfinite(validation.loss):
            raise Diverged(self._what_diverged(next(iter(self.views(self.validation)[0]))[0]))
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
        self._begin_epoch()
        if self.finished or self.epoch == 1 or self._unsaved_seconds() > SAVE_SECONDS / 10:
            self._keep()
        elif self.folder:
            self.run.write_records(self.history)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self._rate(self.batch)

    def _rate(self, batch: int) -> float:
        """The rate for a batch of this epoch."""
        return self.schedule.rate(self.epoch + (batch + 0.5) / len(self.train_loader))

    def _what_diverged(self, images) -> str:
        advice = f"train anew with a lower lr (its highest rate was {self.config.lr:g})"
        if is_kept(self.folder):
            advice += (
                f", into another folder: {self.folder} keeps the net as it was at its last"
                " checkpoint, and would come here again"
            )
        if images is None:  # the weights are spoilt by now
            return (
                f"the loss is not finite in epoch {self.epoch + 1}, in the last {READ_STEPS}"
                f" batches or so; {advice}"
            )
        return (
            f"the loss is not finite in epoch {self.epoch + 1}, batch {self.batch + 1}: the first"
            f" output that is not finite is that of {first_not_finite(self.net, images)}; {advice}"
        )

    # ---- stopping and going on ---------------------------------------------------------------

    def stop(self) -> None:
        """Ask fit to save and return after the step it is in, or before its first."""
        self._asked = True

    def save(self) -> None:
        """Write the run's folder. Raises UserError if there is none, or it holds another run."""
        if not (self.folder or self.processes.rank):
            raise UserError("a run without a folder keeps nothing: give Trainer a folder")
        with self.run.lock:
            self._claim_folder()
            self._read_progress()
            self._keep()

    def _claim_folder(self) -> None:
        """From here on the run can be resumed."""
        if not self.folder:
            return
        if is_kept(self.folder) and self._found() != self._kept:
            raise UserError(
                f"{self.folder} holds a run already: call resume() first, or take another folder"
            )
        self.run.write_records(self.history)

    def _found(self) -> tuple[int, int]:
        """Which checkpoint is in the folder: another training's is another file."""
        file = os.stat(self.run.path)
        return file.st_ino, file.st_mtime_ns

    def _keep(self) -> None:
        """Save, if there is a folder."""
        self._saved_at = self.seconds
        if self.folder:
            self.read_progress()
            self.run.save(self.sgd, self.schedule, self._progress())
            self._kept = self._found()

    def _progress(self) -> dict:
        return {name: getattr(self, name) for name in PROGRESS}

    def resume(self) -> bool:
        """Go on from the folder's checkpoint; False, and nothing changed, if there is none yet.

        A config of another number of epochs than the run's makes it longer, or shorter.
        Raises CheckpointError on a damaged checkpoint or one of another run, UserError if the
        run has no folder, or has those epochs behind it already.
        """
        if not (self.folder or self.processes.rank):
            raise UserError("a run without a folder keeps nothing to resume")
        with self.run.lock:
            if not self.processes.broadcast(is_kept(self.folder)):
                return False
            loaded = self.processes.broadcast(self.folder and checkpoint.load(self.run.path))
            before, progress = self.run.resume(loaded, self.sgd, self.schedule, self._progress())
            found = self._found() if self.folder else (0, 0)
        self._expect_possible(progress, before.epochs)
        vars(self).update(progress)
        self._saved_at, self._kept = self.seconds, found
        if self.config.epochs != before.epochs:
            self.extend(self.config.epochs)
        return True

    def _expect_possible(self, progress: dict, epochs: int) -> None:
        """CheckpointError on a progress that a training of so many epochs cannot have made."""
        epoch, batch = progress["epoch"], progress["batch"]
        seen = min(batch * self.config.batch_size, len(self.train_loader.dataset))
        if (
            not epoch == len(progress["history"]) <= epochs
            or batch > len(self.train_loader)
            or not progress["correct"] <= progress["seen"] == seen
        ):
            where = self.run.path if self.folder else "the checkpoint"
            raise CheckpointError(f"{where} tells of more than this training can have done")

    def extend(self, epochs: int) -> None:
        """Let the training have so many epochs in all. Raises UserError if as many are done.

        A schedule that depends on the length is that of the new length from here on: one-cycle
        rises again, step has its steps later. A plateau that has ended the training waits for the
        next one.
        """
        config = replace(self.config, epochs=epochs)
        done = self.epoch + (self.batch > 0)
        if epochs < done or (self.finished and epochs == done):
            raise UserError(f"epoch {self.epoch} is done already: ask for more than {epochs}")
        self.config = self.run.config = config
        state = self.schedule.state_dict()
        self.schedule = SCHEDULES[self.config.schedule](self.config)
        self.schedule.load_state_dict(state)
        self.finished = False

    def _unsaved_seconds(self) -> float:
        return self.seconds - self._saved_at

    # ---- looking at it -----------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """How many are done."""
        return self.epoch * len(self.train_loader) + self.batch

    def views(self, dataset: ArrayDataset | ImageFolder, crops: int = 1) -> list[Loader]:
        """Loaders that show a data set in the way the net is trained to see it."""
        return self.run.views(dataset, crops)

    def predict(self, pictures) -> Prediction:
        """What the net sees in pictures as they are: see Run.predict."""
        return self.run.predict(pictures)

    def validate(self) -> Evaluation:
        """The net's answers to the images that were held out."""
        return self.test(self.validation)

    def test(self, dataset: ArrayDataset | ImageFolder, crops: int = 1) -> Evaluation:
        """The net's answers to a data set, of which each process looks at its share."""
        return self.run.test(dataset, crops, self.processes)

    def estimate(self) -> tuple[float, int]:
        """About how many seconds the rest will take, and how many bytes of memory it will hold.

        Takes the time of a step's forward and backward, from which nothing is learnt. Of a GPU's
        memory, what other nets of this process have there counts, too.
        """
        batch = min(self.config.batch_size, len(self.train_loader.dataset))
        batch = max(1, batch // self.processes.size)
        for device in self.net.devices:
            device.release()
        with timing.room_for(self.net, batch, self._what_fits()), self._precision():
            seconds = timing.learning_seconds(self.net, batch)
        epochs = self.config.epochs - self.epoch
        steps = epochs * len(self.train_loader) - self.batch
        tests = (
            epochs * len(self.validation) / batch / self.processes.size / 3
        )  # of which forward is the third part
        if all(device.kind == "cuda" for device in self.net.devices):
            memory = sum(device.held() for device in self.net.devices)  # now, and from now on
        else:  # with a folder there are a checkpoint's copies, too
            weights, image = timing.memory(self.net)
            memory = weights * 5 // 3 + image * batch
        return (steps + tests) * seconds, memory

    @property
    def guessing(self) -> bool:
        """Is the loss still about ln(classes), that of guessing, where it should long have left?"""
        late = self.epoch * len(self.train_loader) >= GUESSING_STEPS
        return late and self.history[-1]["train_loss"] > 0.98 * math.log(len(self.class_names))


# ---- the images ------------------------------------------------------------------------------


def _expect_trainable(dataset, config, net, validation) -> None:
    """UserError where a Trainer is given something else than it takes, or what does not fit."""
    data = ArrayDataset | ImageFolder
    for value, kinds, what in (
        (dataset, data, "the first must be a data set, such as ArrayDataset(images, labels)"),
        (config, Config | None, "config must be a Config"),
        (net, Graph | None, 'net must be a Graph, such as build("fashion")'),
        (validation, data | None, "validation must be a data set, such as the first"),
    ):
        if not isinstance(value, kinds):
            raise UserError(f"Trainer: {what}, got {kind_of(value)}")
    if net and len(shape := net.last.shape) != 1:
        raise UserError(f"Trainer: the net's output must be (classes,), got {shape}: add a Linear")
    if net and shape[0] != dataset.num_classes:
        raise UserError(
            f"Trainer: the net has {shape[0]} outputs for {dataset.num_classes} classes: give it as"
            " many, or name all classes in class_names"
        )
    if dataset.num_classes < 2:
        raise UserError(f"there is one class alone, {dataset.class_names[0]}: nothing to tell")
    if validation is not None and validation.class_names != dataset.class_names:
        raise UserError("the validation set has other classes than the training set")


def _expect_same(processes: Processes, run: Run) -> None:
    """UserError unless all processes have been given the same to train on, in the same way."""
    labels, mean = run.images
    config = replace(run.config, devices="", data="", data_dir=None)
    kinds = [device.kind for device in run.net.devices]
    given = {"configs": config, "images": (labels, mean.tobytes()), "kinds of devices": kinds}
    for rank, theirs in enumerate(all_given := processes.gather(given)):
        if differing := [name for name in given if theirs[name] != all_given[0][name]]:
            raise UserError(f"processes 0 and {rank} have different {' and '.join(differing)}")


def _hold_out(dataset: ArrayDataset | ImageFolder, config: Config) -> tuple:
    """What remains to learn from, and a random part to watch the net on."""
    order = stream(config.seed, "validation").permutation(len(dataset))
    held_out = max(1, round(len(dataset) * config.validation))
    if held_out >= len(dataset):
        raise UserError(f"{len(dataset)} images are too few to hold {held_out} out")
    return dataset.subset(order[held_out:]), dataset.subset(order[:held_out])


def absent(dataset: ArrayDataset | ImageFolder) -> list[str]:
    """The classes that a data set has no image of."""
    counts = np.bincount(dataset.labels, minlength=dataset.num_classes)
    return [name for name, n in zip(dataset.class_names, counts, strict=True) if not n]


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
