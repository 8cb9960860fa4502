"""Section 3.1 and Figure 1: how much sooner do rectified units learn than tanh ones?"""

import contextlib
from dataclasses import replace

from ..errors import UserError
from ..graph import Graph
from ..init import constant, glorot, initialise
from ..layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Tanh
from ..optim import StepDecay
from .experiment import Experiment, Measure, Training, percent_wrong

RATES = (0.04, 0.02, 0.08, 0.01)  # those likely to be the best first: a slow trial ends early
TRIAL_SEED = 2012  # not a judged one
SAMPLE = 1000  # training images on which the error is measured …
EVERY = 10  # … after so many steps


class ReLUVsTanh(Experiment):
    name = "relu-vs-tanh"
    title = "ReLU against tanh"
    section = "3.1, Figure 1"
    claim = "A net of ReLUs reaches a given training error several times sooner than one of tanh."
    arms = ("ReLU", "tanh")
    measures = (
        Measure("epochs", "epochs to the threshold", "", larger=1, paper="6 times", ratio=True),
    )
    ours = (
        "Four layers: convolutions of 16, 32 and 32 maps with 5×5 kernels, each pooled, and a"
        " linear one. No regularisation of any kind; the weights start as Glorot and Bengio"
        " advise for tanh. The threshold is 25 % training error for colour images, the paper's"
        " on CIFAR-10; for grey ones, which are easier, 10 %. Each arm has the constant rate that"
        f" was the fastest of {', '.join(f'{rate:g}' for rate in sorted(RATES))} on a seed that is"
        f" not judged. The error is that on {SAMPLE:,} training images, every {EVERY} steps. One"
        " that never gets there counts as if it had at its end, which makes the ratio smaller."
    )
    images, epochs = 10_000, 12

    def trainings(self, seeds):
        trials = [Training(arm, TRIAL_SEED, rate) for arm in self.arms for rate in RATES]
        return trials + super().trainings(seeds)

    def config(self, study, training):
        return replace(super().config(study, training), batch_size=128, weight_decay=0.0)

    def net(self, study, training):
        return four_layers(study, training.seed, ReLU if training.net == "ReLU" else Tanh)

    def train(self, study, training, results, on_step):
        keys = [str(Training(training.net, TRIAL_SEED, rate)) for rate in RATES]
        trials = [results[key][training.net] for key in keys if key in results]
        last = study.epochs
        if training.rate is None:
            best = min(trials, key=lambda trial: (not trial["reached"], trial["epochs"]))
            training = training._replace(rate=best["rate"])
        else:  # once the best rate so far was there, the slower ones are of no interest
            last = min([last, *(trial["epochs"] for trial in trials)])
        trainer = self.trainer(study, training)
        trainer.schedule = StepDecay(training.rate, milestones=())
        sample = study.train.subset(slice(SAMPLE))
        curve = [(0.0, percent_wrong(trainer, sample))]

        def watch(trainer):
            on_step(trainer)
            if trainer.steps % EVERY == 0:
                epochs = trainer.steps / len(trainer.train_loader)
                curve.append((epochs, percent_wrong(trainer, sample)))
                if curve[-1][1] <= self.threshold(study) or epochs >= last:
                    trainer.stop()

        with contextlib.suppress(UserError):  # the loss is not finite: the rate is too high
            trainer.fit(watch)
        epochs, error = curve[-1]
        reached = error <= self.threshold(study)
        return {
            training.net: {
                "epochs": epochs if reached else study.epochs,
                "reached": reached,
                "rate": training.rate,
                "curve": curve,
            }
        }

    def recipe(self, study, training):
        c = self.config(study, training)
        tried = ", ".join(f"{rate:g}" for rate in sorted(RATES))
        return (
            f"batches of {c.batch_size}, the fastest of the constant rates {tried}, momentum"
            f" {c.momentum:g}, until {self.threshold(study):g} % training error"
        )

    def remarks(self, rows):
        own = {arm: [row for row in rows if row["arm"] == arm] for arm in self.arms}
        return [
            f"{arm}: rate {rows[0]['rate']:g}; {sum(not row['reached'] for row in rows)} of"
            f" {len(rows)} never got there."
            for arm, rows in own.items()
        ]

    @staticmethod
    def threshold(study) -> float:
        """Percent."""
        return 25.0 if study.shape[0] == 3 else 10.0


def four_layers(study, seed: int, Activation) -> Graph:
    """conv, conv, conv, linear; Activation, a class of layers, is what follows the first three."""
    net = Graph(study.shape, seed=None)
    maps = study.shape[0]
    for number, kernels in (1, 16), (2, 32), (3, 32):
        net.add(f"conv{number}", Conv2d(maps, kernels, 5, padding=2))
        net.add(f"act{number}", Activation())
        net.add(f"pool{number}", MaxPool2d(3, stride=2, ceil_mode=True))
        maps = kernels
    (features,) = net.add("flatten", Flatten())
    net.add("fc4", Linear(features, study.train.num_classes))
    initialise(net, seed, {"weight": glorot, "bias": constant(0)})
    return net
