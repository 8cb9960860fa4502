"""What an experiment is: two arms that differ in one thing, and what is measured on each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ..config import Config
from ..data import Data
from ..data.arrays import ArrayDataset
from ..data.image_folder import ImageFolder
from ..errors import UserError
from ..evaluate import evaluate
from ..graph import Graph, Node
from ..layers import Layer
from ..run import build_net
from ..streams import stream
from ..train import Trainer
from .rebuild import rebuilt

HELD_OUT = 1000  # training images to watch with, at most a twelfth of all


@dataclass(frozen=True)
class Measure:
    """A number that each arm gets for each seed, and what the paper says of it.

    key: its name in results.json and results.csv;  name, unit: for people
    larger: the arm, 0 or 1, that has more of it according to the paper
    paper: the paper's difference, larger minus smaller, in words; of ratios, larger over smaller
    ratio: compare by the ratio, as one does with durations
    """

    key: str
    name: str
    unit: str
    larger: int
    paper: str
    ratio: bool = False


def fewer_errors(paper: str) -> Measure:
    """The test error, smaller in the first arm according to the paper, and by how much."""
    return Measure("test_error", "test error", "%", larger=1, paper=paper)


class Training(NamedTuple):
    """One training. net: which; rate: a learning rate to try, on a seed that is not judged."""

    net: str
    seed: int
    rate: float | None = None

    def __str__(self) -> str:
        trial = "" if self.rate is None else f", trying rate {self.rate:g}"
        return f"{self.net}, seed {self.seed}{trial}"


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

    arms: the paper's way first, then the other;  nets: what is trained for each seed
    measures: the first decides the verdict
    images, epochs: of a training, if no budget says otherwise;  tests: passes over the test set
    ours: what differs from the paper's own experiment
    """

    name: str
    title: str
    section: str
    claim: str
    arms: tuple[str, str]
    measures: tuple[Measure, ...]
    ours: str
    images, epochs, tests = 10_000, 5, 1

    @property
    def nets(self) -> tuple[str, ...]:
        return self.arms

    def trainings(self, seeds: int) -> list[Training]:
        """All trainings, in order: whole pairs as soon as possible."""
        return [Training(net, seed) for seed in range(seeds) for net in self.nets]

    def config(self, study: Study, training: Training) -> Config:
        """How a net is trained. Raises UserError where the images do not suit the experiment."""
        return Config(
            model=model_for(study.shape),
            epochs=study.epochs,
            batch_size=64,
            lr=0.04,
            seed=training.seed,
        )

    def recipe(self, study: Study, training: Training) -> str:
        """The same in words."""
        c = self.config(study, training)
        return (
            f"{c.model}, batches of {c.batch_size}, rate {c.lr:g} ({c.schedule}), momentum"
            f" {c.momentum:g}, weight decay {c.weight_decay:g}, dropout {c.dropout:g}"
            + (", random parts and reflections" if c.augment else "")
            + (f", colour shifts of {c.colour_noise:g}" if c.colour_noise else "")
        )

    def change(self, node: Node, study: Study, arm: str) -> Layer | None:
        """The layer in this node's place in that arm: see rebuild.rebuilt."""
        return node.layer

    def net(self, study: Study, training: Training) -> Graph:
        """A fresh net; arms that differ by `change` alone start from one net."""
        config = self.config(study, training)
        start = build_net(config, study.train.num_classes, study.shape)
        return rebuilt(start, lambda node: self.change(node, study, training.net))

    def trainer(self, study: Study, training: Training) -> Trainer:
        config, net = self.config(study, training), self.net(study, training)
        return Trainer(study.train, config, net=net, validation=study.validation)

    def train(
        self, study: Study, training: Training, results: dict, on_step: Callable[[Trainer], None]
    ) -> dict[str, dict]:
        """Train and judge: the numbers of each arm that this training decides.

        results: what `train` has returned for those before, by str(Training)
        """
        trainer = self.trainer(study, training)
        trainer.fit(on_step)
        return self.judge(trainer, study, training)

    def judge(self, trainer: Trainer, study: Study, training: Training) -> dict[str, dict]:
        """The numbers of a trained net, by arm."""
        return {training.net: {"test_error": percent_wrong(trainer, study.test)}}

    def remarks(self, rows: list[dict]) -> list[str]:
        """Sentences for the report, from its rows."""
        return []

    def why_not(self, data: Data) -> str:
        """Why these images do not suit the experiment; "" if all its nets can be fed with them."""
        try:
            for net in self.nets:
                self.trainer(Study.of(data, 1, 1), Training(net, 0))
        except UserError as error:
            return str(error)
        return ""


def percent_wrong(trainer: Trainer, dataset: ArrayDataset | ImageFolder, crops: int = 1) -> float:
    """Percent of the images that the trained net gets wrong."""
    result = evaluate(trainer.net, *trainer.views(dataset, crops))
    return round(100 * (1 - result.accuracy), 4)


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
