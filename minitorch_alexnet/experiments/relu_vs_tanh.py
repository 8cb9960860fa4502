"""Section 3.1 and Figure 1: how much sooner do rectified units learn than tanh ones?"""

from dataclasses import replace
from typing import ClassVar

from ..errors import Diverged
from ..layers import ReLU, Tanh
from ..optim import StepDecay
from .experiment import Experiment, Measure, hardly_started, percent_wrong, sizes
from .small import GLOROT, HE, RELEASED, small_net

TRIAL_EPOCHS = 20  # what has not arrived then is judged by its error
SAMPLE = 1000  # training images on which the error is measured …
EVERY = 20  # … after so many steps

# arm: its units, how its weights start, the rates to choose from
ARMS = {
    "ReLU, released start": (ReLU, RELEASED, (0.001, 0.002, 0.004)),
    "tanh, released start": (Tanh, RELEASED, (0.004, 0.008, 0.016)),
    "ReLU, He's start": (ReLU, HE, (0.0025, 0.005, 0.01)),
    "tanh, Glorot's start": (Tanh, GLOROT, (0.01, 0.02, 0.04)),
}


def sooner(arms: tuple[str, ...], paper: str, size: float | None, claimed: bool) -> Measure:
    less, more = arms
    what = "epochs to the threshold"
    return Measure("epochs", what, "", more, less, paper, size, 1.25, 0.3, True, claimed)


class ReLUVsTanh(Experiment):
    name = "relu-vs-tanh"
    title = "ReLU against tanh"
    section = "3.1, Figure 1"
    claim = "A net of ReLUs reaches a given training error several times sooner than one of tanh."
    arms = tuple(ARMS)
    measures = (
        sooner(arms[:2], "6 times", 6, claimed=True),
        sooner(arms[2:], "these starts are not its own", None, claimed=False),
    )
    ours = (
        "Four layers, as in the paper: the three 5×5 convolutions of the released CIFAR-10 nets"
        " (32, 32 and 64 maps, each pooled; our pools take the largest, theirs the mean in the"
        " second and third) and a linear one; no regularisation of any kind; both units from two"
        " starts. The first is that of the authors' released nets, and so the paper's half as far"
        " as one knows (it does not say how Figure 1's net began): pixels of 0 to 255 less their"
        " mean, weights from N(0, .0001²) in conv1 and N(0, .01²) elsewhere. In the second,"
        " pixels are divided by their deviation too, and the convolutions start by He's rule for"
        " ReLU, three years younger than the paper, and by Glorot's for tanh. The threshold is 25 %"
        " training error for colour images, as in the paper; for grey ones, which are easier, 10 %."
        f" It is the error on {SAMPLE:,} training images, every {EVERY} steps. Each arm has a"
        f" constant rate of its own, chosen by trials of {TRIAL_EPOCHS} epochs at most."
    )
    tells: ClassVar = {"curve": (None, 2)}
    data = "cifar-10"
    score = f"epochs to the threshold, or {TRIAL_EPOCHS} and the error in % that was left"
    pairs, images, epochs = 6, 10_000, 60

    def rates_of(self, net):
        return ARMS[net][2]

    def trial_epochs(self, epochs):
        return min(TRIAL_EPOCHS, epochs)

    def config(self, study, training):
        return replace(
            super().config(study, training),
            batch_size=128,
            weight_decay=0.0,
            standardize=ARMS[training.net][1] is not RELEASED,
        )

    def net(self, study, training):
        units, start, _ = ARMS[training.net]
        return small_net(study, training.seed, start, units)

    def trainer(self, study, training):
        trainer = super().trainer(study, training)
        trainer.schedule = StepDecay(trainer.config.lr, milestones=())
        return trainer

    def train(self, trainer, study, training, on_step):
        threshold, sample = self.threshold(study), study.train.subset(slice(SAMPLE))
        start = {} if training.trial else sizes(trainer)
        curve, diverged = [(0.0, percent_wrong(trainer, sample))], False

        def watch(trainer):
            on_step(trainer)
            if trainer.steps % EVERY == 0:
                epochs = trainer.steps / len(trainer.train_loader)
                curve.append((round(epochs, 4), percent_wrong(trainer, sample)))
                if curve[-1][1] <= threshold:
                    trainer.stop()

        try:
            trainer.fit(watch)
        except Diverged:
            diverged = True
        epochs, error = curve[-1]
        arrived = error <= threshold
        told = {"rate": training.rate, "failed": diverged or error > hardly_started(study)}
        if training.trial:
            score = epochs if arrived else trainer.config.epochs + error
            return {training.net: {"score": score, **told}}
        epochs = epochs if arrived else study.epochs
        told |= {"epochs": epochs, "arrived": arrived, "start": start, "curve": curve}
        return {training.net: told}

    def recipe(self, study, training):
        c = self.config(study, training)
        pixels = "pixels of deviation 1" if c.standardize else "pixels of 0 to 255 less their mean"
        return (
            f"{pixels}, batches of {c.batch_size}, {self.rates_in_words(training.net)}, constant,"
            f" momentum {c.momentum:g}, until {self.threshold(study):g} % training error"
        )

    @staticmethod
    def threshold(study) -> float:
        """Percent."""
        return 25.0 if study.shape[0] == 3 else 10.0
