"""What an experiment is: arms that differ in one thing, and what is measured on each."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from ..config import Config
from ..data import Data
from ..data.arrays import ArrayDataset
from ..data.image_folder import ImageFolder
from ..device import Device
from ..errors import Diverged, UserError
from ..evaluate import Evaluation, evaluate
from ..graph import Graph
from ..run import build_net
from ..streams import stream
from ..train import Trainer
from .rebuild import rebuilt

HELD_OUT = 2000  # training images to watch with and to try rates on, at most a twelfth of all
TRIAL_SEEDS = (2010, 2011, 2012)  # not judged ones
AS_BAD_AS_GUESSING = 0.97  # of a guess's error: a net that did not start


@dataclass(frozen=True)
class Measure:
    """A number that arms get for each seed, and what the paper says of it.

    key: its name in results.json and results.csv;  name, unit: for people
    more, less: the arms with more and less of it, according to the paper
    paper: the paper's difference, more minus less, in words; of ratios, more over less
    size: the same as a number, None if the paper gives none
    counts: the smallest difference, or ratio, that we would speak of: said before it is measured
    spread: the standard deviation that differences (of ratios: logarithms) of pairs may have, for
            a forecast of what a number of pairs can tell
    ratio: compare by the ratio, as one does with durations
    claimed: False where the paper does not say that it is so
    """

    key: str
    name: str
    unit: str
    more: str
    less: str
    paper: str
    size: float | None
    counts: float
    spread: float
    ratio: bool = False
    claimed: bool = True

    def __str__(self) -> str:
        return f"{self.name} of “{self.more}” against “{self.less}”"


class Training(NamedTuple):
    """One training. net: which; rate: None where the trials are still to choose it."""

    net: str
    seed: int
    rate: float | None = None

    @property
    def trial(self) -> bool:
        """Does it try a rate, on a seed that is not judged?"""
        return self.seed in TRIAL_SEEDS

    def __str__(self) -> str:
        return f"{self.net}, seed {self.seed}" + (f", rate {self.rate:g}" if self.trial else "")


@dataclass(frozen=True)
class Study:
    """The images of an experiment and the length of its trainings: the same for each of them."""

    train: ArrayDataset | ImageFolder
    validation: ArrayDataset | ImageFolder
    test: ArrayDataset | ImageFolder
    epochs: int

    @classmethod
    def of(cls, data: Data, images: int, epochs: int) -> "Study":
        """images: how many of the training set to learn from, drawn the same way each time."""
        order = stream(0, "validation").permutation(len(data.train))
        held_out = len(order) - available(data)
        train = data.train.subset(order[held_out:][:images])
        return cls(train, data.train.subset(order[:held_out]), data.test, epochs)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        return self.train.images.shape[1:]


def available(data: Data) -> int:
    """How many training images there are to learn from; the others are held out."""
    return len(data.train) - min(HELD_OUT, max(1, len(data.train) // 12))


class Experiment:
    """A claim of the paper. One experiment a file; each says what its arms change.

    arms: the paper's way first;  nets: what is trained for each seed
    measures: each has its verdict
    data: the data set that it is for;  model: the net in words, where it is not the config's
    pairs: seeds, if nobody says how many
    rates: each net chooses from;  score: what a trial is judged by, the less the better
    images, epochs: of a training, if no budget says otherwise;  tests: passes over the test set
    ours: what differs from the paper's own experiment
    tells: what else an arm may tell: the shape of an array, None for any length, () for a number
    """

    name: str
    title: str
    section: str
    claim: str
    arms: tuple[str, ...]
    measures: tuple[Measure, ...]
    ours: str
    tells: ClassVar[dict[str, tuple]] = {}
    data, model = "fashion-mnist", ""
    rates: tuple[float, ...] = (0.02, 0.04, 0.08)
    score = "error on training images that were held out, %"
    pairs, images, epochs, tests = 10, 10_000, 8, 1

    @property
    def nets(self) -> tuple[str, ...]:
        return self.arms

    def trainings(self, seeds: int) -> list[Training]:
        """All trainings, in order. Those of a net follow one another: they take equally long, so
        that processes that do one each at a time wait little for each other."""
        trials = [
            Training(net, seed, rate)
            for net in self.nets
            for rate in self.rates_of(net)
            for seed in TRIAL_SEEDS
        ]
        return trials + [Training(net, seed) for net in self.nets for seed in range(seeds)]

    def decides(self, training: Training) -> tuple[str, ...]:
        """The arms whose numbers it gives; of a trial, its own net's name."""
        return (training.net,) if training.trial or training.net in self.arms else self.arms

    def rates_of(self, net: str) -> tuple[float, ...]:
        return self.rates

    def rate(self, training: Training, results: dict[str, dict]) -> float:
        """The trial's own; else the one whose trials were best in the median. One at which any
        trial failed is out."""

        def rank(rate):
            score, failed = self.trials(training.net, rate, results)
            return failed > 0, score

        return training.rate or min(self.rates_of(training.net), key=rank)

    def trials(self, net: str, rate: float, results: dict[str, dict]) -> tuple[float, int]:
        """The median of their scores, and how many failed."""
        trials = [results[str(Training(net, seed, rate))] for seed in TRIAL_SEEDS]
        numbers = [next(iter(trial.values())) for trial in trials]
        return statistics.median(n["score"] for n in numbers), sum(n["failed"] for n in numbers)

    def trial_epochs(self, epochs: int) -> int:
        """Of a trial, where a training has so many: half."""
        return -(-epochs // 2)

    def prepared(self, data: Data) -> Data:
        """The images as the experiment's nets see them."""
        return data

    def config(self, study: Study, training: Training) -> Config:
        """How a net is trained. Raises UserError where the images do not suit the experiment."""
        return Config(
            model=model_for(study.shape),
            epochs=self.trial_epochs(study.epochs) if training.trial else study.epochs,
            batch_size=64,
            lr=training.rate or self.rates_of(training.net)[0],
            seed=training.seed,
        )

    def recipe(self, study: Study, training: Training) -> str:
        """The same in words."""
        c = self.config(study, training)
        return (
            f"{self.model or c.model}, batches of {c.batch_size},"
            f" {self.rates_in_words(training.net)} ({c.schedule}),"
            f" momentum {c.momentum:g}, weight decay {c.weight_decay:g}"
            + (f", dropout {c.dropout:g}" if c.dropout else "")
            + (", random parts and reflections" if c.augment else "")
            + (f", colour shifts of {c.colour_noise:g}" if c.colour_noise else "")
        )

    def rates_in_words(self, net: str) -> str:
        rates = ", ".join(f"{rate:g}" for rate in self.rates_of(net))
        return f"the best of the rates {rates} in the median of {len(TRIAL_SEEDS)} trials"

    def net(self, study: Study, training: Training) -> Graph:
        """A fresh net; those of one seed start alike as far as they can."""
        return build_net(self.config(study, training), study.train.num_classes, study.shape)

    def trainer(self, study: Study, training: Training) -> Trainer:
        config, net = self.config(study, training), self.net(study, training)
        return Trainer(study.train, config, net=net, validation=study.validation)

    def train(
        self, trainer: Trainer, study: Study, training: Training, on_step: Callable
    ) -> dict[str, dict]:
        """Train and judge: the numbers of each arm that this training decides.

        training: with its rate
        """
        start, diverged = {} if training.trial else sizes(trainer), False
        try:
            trainer.fit(on_step)
        except Diverged:
            diverged = True
        error = 100.0 if diverged else percent_wrong(trainer, study.validation)
        told: dict = {"rate": training.rate, "failed": error > hardly_started(study)}
        if training.trial:
            return {training.net: {"score": error, **told}}
        if diverged:
            told |= {"parameters": parameters(trainer.net), "start": start}
            guess = as_guessing(study)
            told |= {measure.key: guess[measure.key] for measure in self.measures}
            return dict.fromkeys(self.decides(training), told)
        few = study.train.subset(slice(HELD_OUT))
        told |= {"train_error": percent_wrong(trainer, few), "start": start}
        arms = self.judge(trainer, study, training)
        return {arm: told | numbers for arm, numbers in arms.items()}

    def judge(self, trainer: Trainer, study: Study, training: Training) -> dict[str, dict]:
        """The numbers of a trained net, by arm."""
        error = percent_wrong(trainer, study.test)
        return {training.net: {"test_error": error, "parameters": parameters(trainer.net)}}

    def remarks(self, rows: list[dict]) -> list[str]:
        """Sentences for the report, from its rows."""
        return []

    def why_not(self, data: Data) -> str:
        """Why these images do not suit the experiment; "" if all its nets can be fed with them."""
        try:
            for net in self.nets:
                self.trainer(Study.of(self.prepared(data), 1, 1), Training(net, 0))
        except UserError as error:
            return str(error)
        return ""


def fewer_errors(more: str, less: str, paper: str, size: float | None, **said) -> Measure:
    """The test error, of which the arm `more` has more according to the paper.

    said: counts, spread, and whatever else a Measure says
    """
    return Measure("test_error", "test error", "%", more, less, paper, size, **said)


def hardly_started(study: Study) -> float:
    """The error, in percent, of a net that is about as good as a guess."""
    return AS_BAD_AS_GUESSING * 100 * (1 - 1 / study.train.num_classes)


def as_guessing(study: Study) -> dict:
    """Whatever is measured, of a net that diverged: the numbers of a guess."""
    classes = study.train.num_classes
    error = 100 * (1 - 1 / classes)
    loss, epochs = math.log(classes), study.epochs
    return {"test_error": error, "test_loss": loss, "difference": 0.0, "epochs": epochs}


def judged(trainer: Trainer, dataset: ArrayDataset | ImageFolder, crops: int = 1) -> Evaluation:
    """What the trained net says of the images."""
    return evaluate(trainer.net, *trainer.views(dataset, crops))


def percent_wrong(trainer: Trainer, dataset: ArrayDataset | ImageFolder, crops: int = 1) -> float:
    """Percent of the images that the trained net gets wrong."""
    return round(100 * (1 - judged(trainer, dataset, crops).accuracy), 4)


def sizes(trainer: Trainer) -> dict[str, list[float]]:
    """How large signals and gradients are on the first batch: for each layer with a weight what it
    reads and the weight's gradient, as root mean squares."""
    net = rebuilt(trainer.net, lambda node: node.layer)  # the net's own generators stay
    layers = [node for node in net.nodes.values() if "weight" in node.layer.params]
    images, labels = next(trainer.train_loader.epoch(0))
    read = {node.sources[0] for node in layers} & net.nodes.keys()
    logits, kept = net.forward(images, keep=tuple(read))
    kept["image"] = images
    trainer.loss.forward(logits, labels)
    net.backward(trainer.loss.backward())
    return {
        node.name: [rms(kept[node.sources[0]]), rms(node.layer.params["weight"].grad)]
        for node in layers
    }


def parameters(net: Graph) -> int:
    """How many numbers it learns."""
    return sum(p.data.size for p in net.named_parameters().values())


def rms(values) -> float:
    """The root of the mean square, to four digits."""
    squares = np.square(Device("cpu").array(values), dtype=np.float64)
    return float(f"{np.sqrt(squares.mean()):.4g}")


def model_for(shape: tuple[int, int, int]) -> str:
    """The small AlexNet for images (C, H, W). Raises UserError if there is none."""
    side = min(shape[1:])
    if 24 <= side <= 32:
        return "fashion"
    if 56 <= side <= 128:
        return "alexnet-small"
    raise UserError(
        "the experiments' nets take images of 24 to 32 pixels, or of 56 to 128, these have"
        f" {side}: prepare the photographs with --size 32 or --size 64"
    )


def expect_colour(shape: tuple[int, int, int]) -> None:
    """UserError on grey images."""
    if shape[0] != 3:
        raise UserError(
            "this experiment is about colours, and these images are grey: take CIFAR-10 or a"
            " prepared folder of photographs"
        )
