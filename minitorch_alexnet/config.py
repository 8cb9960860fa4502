"""What decides a training: its settings, and the recipes for them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from .device import joined
from .errors import UserError
from .init import PAPER, SMALL_SET
from .optim import OneCycle, PlateauDecay, Schedule, StepDecay
from .words import unknown


@dataclass(frozen=True, init=False)
class Config:
    """Everything that decides a training's numbers: the same config and data give the same bits.

    Config(recipe="paper", model="alexnet"): what is not said is the recipe's, or else the default
    below. A smaller batch than the recipe's has a lower rate in proportion, if lr is not said.
    dataclasses.replace says all settings anew: the rate stays, and of a recipe the name changes.
    Raises UserError on a setting that is unknown, of the wrong type or cannot be.
    """

    recipe: str = "quick"

    model: str = "fashion"
    devices: str = ""  # where the net lives, such as "cpu:0,cpu:1"; "": the model's default
    size: int = 0  # the side of the images the net reads, for models of any size; 0: the data's
    data: str = "arrays"  # what the images are, or their prepared folder; "" of imported weights
    note: str = ""  # why they are not the ones hoped for
    data_dir: str | None = None
    source: str = ""  # the run whose weights to start from; its pixels' scale then holds, too
    freeze: str = ""  # the layers that do not learn, such as "conv1,conv2"
    init: str = "model"  # how the weights start otherwise: INITS
    standardize: bool = True  # divide pixels by their standard deviation; the paper does not
    epochs: int = 4
    batch_size: int = 128
    lr: float = 0.08  # the highest rate of the schedule
    schedule: str = "one-cycle"
    tf32: bool = False  # a GPU's products while it learns in TF32: faster, and of ten bits
    momentum: float = 0.9
    weight_decay: float = 5e-4
    dropout: float = 0.1  # four epochs are too short to overfit
    augment: bool = False  # random parts, or shifts, and reflections
    colour_noise: float = 0.0  # the standard deviation of α in the paper's section 4.1
    validation: float = 1 / 12  # the share of the training set held out, where nothing else is
    crops: int = 1  # parts of an image to average over in the test: 1 or 10
    seed: int = 0

    def __init__(self, recipe: str = recipe, **said):
        _expect_known("recipe", recipe, RECIPES)
        usual = {field.name: field.default for field in fields(self)} | RECIPES[recipe]
        for name in said:
            _expect_known("setting", name, usual)
        vars(self).update(usual | said | {"recipe": recipe})  # the class is frozen
        vars(self)["devices"] = joined(self.devices)  # it may be a sequence
        self._check()
        if "lr" not in said:
            vars(self)["lr"] *= min(1, self.batch_size / usual["batch_size"])

    def _check(self) -> None:
        for field in fields(self):
            value, default = getattr(self, field.name), field.default
            if isinstance(value, np.generic):
                value = value.item()
                vars(self)[field.name] = value
            kinds = {float: float | int, type(None): str | None}
            fits = isinstance(value, kinds.get(type(default), type(default)))
            if not fits or isinstance(value, bool) != isinstance(default, bool):
                like = "text" if default is None else f"like {default!r}"
                raise UserError(f"{field.name} must be {like}, got {value!r}")
        for name, (least, most) in LIMITS.items():
            expect_within(name, getattr(self, name), least, most)
        if not (self.momentum < 1 and self.dropout < 1):
            raise UserError(
                f"momentum and dropout must be less than 1, got {self.momentum} and {self.dropout}"
            )
        if not 0 < self.validation < 1:
            raise UserError(f"validation must be a share between 0 and 1, got {self.validation}")
        if self.crops not in (1, 10):
            raise UserError(f"crops must be 1, the centre, or 10, got {self.crops}")
        _expect_known("schedule", self.schedule, SCHEDULES)
        _expect_known("init", self.init, INITS)

    def __repr__(self) -> str:
        """The recipe, and what is not as it says."""
        usual = vars(Config(self.recipe))
        changed = [f", {name}={v!r}" for name, v in vars(self).items() if v != usual[name]]
        return f"Config({self.recipe!r}{''.join(changed)})"


# What a setting is at least and at most; of a rate, at most what is finite.
LIMITS: dict[str, tuple] = {
    "epochs": (1, 10**9),
    "batch_size": (1, 10**9),
    "size": (0, 10**5),
    "seed": (0, 2**128 - 1),
    "lr": (0, sys.float_info.max),
    "momentum": (0, 1),
    "weight_decay": (0, sys.float_info.max),
    "dropout": (0, 1),
    "colour_noise": (0, sys.float_info.max),
}


def expect_within(name: str, value: float, least: float, most: float) -> None:
    """UserError unless a setting's value is one from least to most."""
    if not value >= least:
        raise UserError(f"{name} must be at least {least}, got {value}")
    if not value <= most:
        raise UserError(f"{name} must be at most {most:,}, got {value}")


def _expect_known(kind: str, name: str, known: dict) -> None:
    if not isinstance(name, str) or name not in known:
        raise UserError(unknown(kind, name, known))


RECIPES: dict[str, dict] = {
    "quick": {},
    "full": {"epochs": 20, "augment": True, "dropout": 0.2},
    # Sections 2, 4 and 5 of the paper, together with the start that its nets have of their own.
    "paper": {
        "epochs": 90,
        "batch_size": 128,
        "lr": 0.01,
        "schedule": "plateau",
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "dropout": 0.5,
        "standardize": False,
        "augment": True,
        "colour_noise": 0.1,
        "crops": 10,
    },
    # For hundreds or thousands of photographs, which would leave the paper's at ln(classes).
    "small-set": {
        "epochs": 60,
        "batch_size": 32,
        "lr": 0.001,
        "schedule": "step",
        "dropout": 0.5,
        "standardize": False,
        "init": "small-set",
    },
}
FOLDER_MODEL, FOLDER_RECIPE = "alexnet", "small-set"  # for a folder of photographs
IMPORTED = "imported"  # the model of a net that no builder makes: its checkpoint says its layers
SCHEDULES: dict[str, Callable[[Config], Schedule]] = {
    "one-cycle": lambda c: OneCycle(c.lr, c.epochs),
    "step": lambda c: StepDecay(c.lr, (c.epochs / 2, c.epochs * 3 / 4)),
    "plateau": lambda c: PlateauDecay(c.lr, patience=max(1, c.epochs // 8)),
}
# "model": what the net's builder says, if standardize gives it the pixels that it is made for;
# else init.STANDARDIZED or init.SMALL_SET.
INITS: dict[str, dict | None] = {"model": None, "paper": PAPER, "small-set": SMALL_SET}
