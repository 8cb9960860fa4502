"""Section 4.2: dropout against overfitting, and what it costs."""

from dataclasses import replace
from typing import ClassVar

import numpy as np

from ..layers import Linear
from .experiment import Experiment, Measure, fewer_errors, judged, parameters, percent_wrong
from .rebuild import refitted

WIDTH = 1024  # units of fc6 and fc7


class DropoutExperiment(Experiment):
    name = "dropout"
    title = "Dropout"
    section = "4.2"
    claim = "Without dropout the net overfits; with it, it takes about twice the iterations."
    arms = ("dropout 0.5", "without")
    measures = (
        fewer_errors(
            more="without",
            less="dropout 0.5",
            paper="no number: 'substantial overfitting'",
            size=None,
            counts=0.5,
            spread=0.7,
        ),
        Measure(
            "test_loss",
            "test loss",
            "nats",
            more="without",
            less="dropout 0.5",
            paper="no number",
            size=None,
            counts=0.03,
            spread=0.05,
        ),
        Measure(
            "epochs",
            "epochs to converge",
            "",
            more="dropout 0.5",
            less="without",
            paper="about 2 times",
            size=2.0,
            counts=1.25,
            spread=0.4,
            ratio=True,
        ),
    )
    ours = (
        f"Few images and wide layers, {WIDTH:,} units in fc6 and fc7, so that there is something to"
        " overfit; the paper's schedule: the rate falls to a tenth when the validation error stops"
        " improving. To have converged is to have the lowest validation error before the rate first"
        " falls; where it never fell, later than that. Each arm has its own rate, and with dropout"
        " a net stands a higher one (Srivastava and others 2014): the epochs speak of both."
        " Judged by test images; the gap to the training error, which a net that only trains worse"
        " has too, is told beside it."
    )
    tells: ClassVar = {"gap": ()}
    rates = (0.01, 0.02, 0.04, 0.08)
    images, epochs = 2000, 30

    def trial_epochs(self, epochs):
        return epochs  # how long a plateau is hangs on the length

    def config(self, study, training):
        return replace(
            super().config(study, training),
            dropout=0.5 if training.net == "dropout 0.5" else 0.0,
            schedule="plateau",
        )

    def net(self, study, training):
        def change(node):
            layer = node.layer
            if node.name == "fc6":
                return Linear(layer.in_features, WIDTH)
            if node.name in ("fc7", "fc8"):
                return Linear(WIDTH, WIDTH if node.name == "fc7" else layer.out_features)
            return layer

        return refitted(super().net(study, training), change, training.seed)

    def judge(self, trainer, study, training):
        test, train = judged(trainer, study.test), percent_wrong(trainer, study.train)
        error = round(100 * (1 - test.accuracy), 4)
        epochs, fell = epochs_to_converge(trainer.history)
        return {
            training.net: {
                "test_error": error,
                "test_loss": round(test.loss, 5),
                "train_error": train,
                "gap": round(error - train, 4),
                "epochs": epochs,
                "arrived": fell,
                "parameters": parameters(trainer.net),
            }
        }

    def remarks(self, rows):
        rows = [row for row in rows if "gap" in row]  # those that diverged have none
        gaps = {arm: [row["gap"] for row in rows if row["arm"] == arm] for arm in self.arms}
        told = " and ".join(f"{np.mean(gap):.2f} ({arm})" for arm, gap in gaps.items() if gap)
        return [f"Test error less training error, on average: {told} points."] if rows else []


def epochs_to_converge(history: list[dict]) -> tuple[int, bool]:
    """The epoch, from 1 on, of the highest validation accuracy before the rate first fell; or of
    all, and False, if it never did."""
    first_rate = history[0]["learning_rate"]
    before = [row for row in history if row["learning_rate"] == first_rate]
    fell = len(before) < len(history)
    return max(before, key=lambda row: row["validation_accuracy"])["epoch"], fell
