"""Section 4.2: dropout against overfitting, and what it costs."""

from dataclasses import replace

from .experiment import Experiment, Measure, fewer_errors, percent_wrong


class DropoutExperiment(Experiment):
    name = "dropout"
    title = "Dropout"
    section = "4.2"
    claim = "Without dropout the net overfits; with it, it takes about twice the iterations."
    arms = ("dropout 0.5", "without")
    measures = (
        Measure(
            "gap",
            "test error less training error",
            "%",
            larger=1,
            paper="no number: 'substantial overfitting'",
        ),
        fewer_errors("no number"),
        Measure("epochs", "epochs to converge", "", larger=0, paper="about 2 times", ratio=True),
    )
    ours = (
        "Few images, so that there is something to overfit, and the paper's schedule: the rate"
        " falls to a tenth when the validation error stops improving. To have converged is to have"
        " the lowest validation error before the rate first falls. Training errors are measured"
        " at the end, with all units."
    )
    images, epochs = 2000, 30

    def config(self, study, training):
        return replace(
            super().config(study, training),
            dropout=0.5 if training.net == "dropout 0.5" else 0.0,
            schedule="plateau",
            lr=0.02,
        )

    def judge(self, trainer, study, training):
        test, train = percent_wrong(trainer, study.test), percent_wrong(trainer, study.train)
        return {
            training.net: {
                "test_error": test,
                "train_error": train,
                "gap": round(test - train, 4),
                "epochs": epochs_to_converge(trainer.history),
            }
        }


def epochs_to_converge(history: list[dict]) -> int:
    """The epoch, from 1 on, of the highest validation accuracy before the rate first fell."""
    first_rate = history[0]["learning_rate"]
    before = [row for row in history if row["learning_rate"] == first_rate]
    return max(before, key=lambda row: row["validation_accuracy"])["epoch"]
