"""The bar of a training."""

import sys
import time

from tqdm import tqdm

from ..train import Trainer


class Bar(tqdm):
    """Progress over the whole training, in images, and a line an epoch."""

    warned = False
    told = 0.0  # when

    @classmethod
    def of(cls, trainer: Trainer) -> "Bar":
        return cls(
            total=trainer.config.epochs * len(trainer.train_loader.dataset),
            initial=_images_done(trainer),
            unit=" images",
            disable=None,  # where nobody looks (no terminal), only the epochs' lines
            dynamic_ncols=True,
        )

    def step(self, trainer: Trainer) -> None:
        if time.monotonic() - self.told < 0.2:  # a GPU must stop and think to tell its loss
            return
        trainer.read_progress()
        if not trainer.seen:  # of several processes, which read together
            return
        self.told = time.monotonic()
        loss, accuracy = trainer.loss_sum / trainer.seen, trainer.correct / trainer.seen
        epoch = f"epoch {trainer.epoch + 1}/{trainer.config.epochs}"
        self.set_description_str(epoch, refresh=False)
        self.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.1%}", refresh=False)
        self.update(_images_done(trainer) - self.n)

    def epoch(self, trainer: Trainer) -> None:
        row = trainer.history[-1]
        self.update(_images_done(trainer) - self.n)
        self.write(
            f"epoch {row['epoch']}: loss {row['train_loss']:.4f}, accuracy"
            f" {row['train_accuracy']:.2%}; validation loss {row['validation_loss']:.4f},"
            f" accuracy {row['validation_accuracy']:.2%}; {row['seconds']:.0f} s,"
            f" {row['waited']:.1f} waiting for images",
            file=sys.stdout,
        )
        if trainer.guessing and not self.warned:
            self.warned = True
            self.write(f"Note: the loss is still that of guessing. {_why(trainer)}", sys.stdout)
        sys.stdout.flush()  # for whoever reads along in a file


def _images_done(trainer: Trainer) -> int:
    return trainer.epoch * len(trainer.train_loader.dataset) + trainer.seen


def _why(trainer: Trainer) -> str:
    """Why a net may not have learnt anything yet."""
    if trainer.config.recipe == "paper":
        return (
            "From the paper's small weights a small data set needs very many steps: train --recipe"
            " small-set starts otherwise."
        )
    return "The rate may be too high or too low (--lr), or the labels may not go with the images."
