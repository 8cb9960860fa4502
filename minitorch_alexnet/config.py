"""What decides a run: its settings, the recipes for them, and reading them back."""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from .errors import CheckpointError, UserError
from .optim import OneCycle, PlateauDecay, Schedule, StepDecay


@dataclass(frozen=True)
class Config:
    """Everything that decides a run's numbers. The same config on the same data: the same bits."""

    model: str = "fashion"
    data: str = "arrays"  # what the images are, for the record
    note: str = ""  # why they are not the ones hoped for
    data_dir: str | None = None
    recipe: str = "quick"
    epochs: int = 4
    batch_size: int = 128
    lr: float = 0.08  # the highest rate of the schedule
    schedule: str = "one-cycle"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    dropout: float = 0.1  # four epochs are too short to overfit
    augment: bool = False  # flips and shifts
    validation: float = 1 / 12  # the share of the training set that is held out
    seed: int = 0


RECIPES: dict[str, dict] = {
    "quick": {},
    "full": {"epochs": 20, "augment": True, "dropout": 0.2},
}
SCHEDULES: dict[str, Callable[[Config], Schedule]] = {
    "one-cycle": lambda c: OneCycle(c.lr, c.epochs),
    "step": lambda c: StepDecay(c.lr, (c.epochs / 2, c.epochs * 3 / 4)),
    "plateau": lambda c: PlateauDecay(c.lr, patience=max(1, c.epochs // 8)),
}


def check_config(config: Config) -> None:
    """UserError on a setting that is of the wrong type or cannot be."""
    for field in fields(config):
        value, default = getattr(config, field.name), field.default
        kinds = {float: float | int, type(None): str | None}
        if not isinstance(value, kinds.get(type(default), type(default))):
            raise UserError(f"{field.name} must be like {default!r}, got {value!r}")
    for name, low in (("epochs", 1), ("batch_size", 1), ("lr", 0), ("seed", 0)):
        if not getattr(config, name) >= low:
            raise UserError(f"{name} must be at least {low}, got {getattr(config, name)}")
    if not 0 < config.validation < 1:
        raise UserError(f"validation must be a share between 0 and 1, got {config.validation}")
    if config.schedule not in SCHEDULES:
        raise UserError(
            f"unknown schedule {config.schedule!r}: expected one of {', '.join(SCHEDULES)}"
        )


def read_config(folder: str | Path) -> Config:
    """The Config of a run folder. Raises CheckpointError if it is not one."""
    path = Path(folder) / "config.json"
    try:
        config = Config(**json.loads(path.read_text(encoding="utf-8")))
        check_config(config)
        return config
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is not a run folder: there is no config.json") from None
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is not a run's config: {error}") from error
