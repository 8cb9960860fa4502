"""The errors a user can cause. The command line prints them as one line and exits with status 2."""


class UserError(ValueError):
    """Something the user can mend: the message says what was expected, what came and what to do."""


class ShapeError(UserError):
    """An array, or a layer's arguments, do not fit together."""


class Diverged(UserError):
    """A training's loss is no longer finite."""


class DataError(UserError):
    """A data set or an image is missing, damaged or not what it says it is."""


class CheckpointError(UserError):
    """A checkpoint is damaged, or belongs to another model."""
