"""Stochastic gradient descent in the paper's form, and ways to change its rate (section 5).

    v ← m·v - d·ε·w - ε·∂L/∂w        w ← w + v

The rate ε is inside the velocity v: after a drop of ε the old velocity is not scaled down.
"""

from collections.abc import Mapping
from numbers import Real

from .device import Device, fuse
from .errors import UserError
from .layers import Parameter
from .words import kind_of
from .workers import get_workers, pieces


class SGD:
    """One `step()` an iteration, on gradients that are means over the batch.

    parameters: by name (Graph.named_parameters()); each one's lr_scale multiplies the rate, its
                decay the weight decay (biases have none)
    lr: ε;  momentum: m;  weight_decay: d
    velocity: v by the same names; kept between steps, and part of a checkpoint
    """

    def __init__(
        self,
        parameters: dict[str, Parameter],
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
    ):
        if not isinstance(parameters, Mapping):
            raise UserError(
                f"SGD takes parameters by name, net.named_parameters(), got {kind_of(parameters)}"
            )
        numbers = all(isinstance(x, Real) for x in (lr, momentum, weight_decay))
        if not numbers or not lr >= 0 or not 0 <= momentum < 1 or not weight_decay >= 0:
            raise UserError(
                "SGD: expected lr ≥ 0, 0 ≤ momentum < 1 and weight_decay ≥ 0,"
                f" got {lr!r}, {momentum!r} and {weight_decay!r}"
            )
        if not parameters:
            raise UserError("SGD: there is nothing to learn: the net has no layer with parameters")
        for name, p in parameters.items():
            if not isinstance(p, Parameter):
                raise UserError(f"SGD: {name} must be a Parameter, got {kind_of(p)}")
        self.parameters = parameters
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.velocity = {}
        for name, p in parameters.items():
            with Device.of(p.data).current():
                self.velocity[name] = 0 * p.data

    def step(self) -> None:
        """Update every parameter that is not frozen, in place."""
        dealt: list[tuple[str, slice]] = []
        for name, parameter in self.parameters.items():
            if parameter.frozen:
                continue
            if parameter.grad is None:
                raise RuntimeError(
                    f"SGD: {name} has no gradient: call backward before step, and see that its"
                    " layer leads to the output"
                )
            if Device.of(parameter.data).kind == "cpu":
                dealt += [(name, rows) for rows in pieces(parameter.data)]
            else:
                self._update(name, slice(None))
        get_workers().run(lambda piece: self._update(*piece), dealt)

    def _update(self, name: str, rows: slice) -> None:
        parameter, velocity = self.parameters[name], self.velocity[name]
        number = velocity.dtype.type
        rate = number(self.lr * parameter.lr_scale)
        decay = number(self.weight_decay * parameter.decay)
        with Device.of(velocity).current():
            w, v, g = parameter.data[rows], velocity[rows], parameter.grad[rows]
            descend(w, v, g, number(self.momentum), rate, decay)


@fuse
def descend(w, v, g, momentum, rate, decay):
    """Section 5's update, in place; on a GPU one pass: three arrays read, two written."""
    v *= momentum
    v -= rate * (decay * w + g)
    w += v


class Schedule:
    """A learning rate over time. Rates are asked for before a step, errors told after an epoch.

    A step counts by its middle, so that no step has a rate of 0 where a line starts or ends there.
    """

    def rate(self, progress: float) -> float:
        """ε for the step whose middle is at `progress` epochs (2.5: half-way through the third)."""
        raise NotImplementedError(f"{type(self).__name__} needs a rate")

    def epoch_done(self, error: float) -> bool:
        """Hear an epoch's validation error (0 … 1); True asks to stop the training."""
        return False

    def state_dict(self) -> dict:
        """What a checkpoint has to keep, as plain numbers."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state_dict() of the same kind of schedule; UserError on another."""
        if state.keys() != self.state_dict().keys():
            raise UserError(f"{type(self).__name__} keeps {list(self.state_dict())}, got {state}")
        self.__dict__.update(state)


class StepDecay(Schedule):
    """lr, multiplied by factor at each of these epochs."""

    def __init__(self, lr: float, milestones: tuple[float, ...], factor: float = 0.1):
        self.lr, self.milestones, self.factor = lr, tuple(milestones), factor

    def rate(self, progress):
        return self.lr * self.factor ** sum(progress >= epoch for epoch in self.milestones)


class PlateauDecay(Schedule):
    """The paper's rule: lr, multiplied by factor when the validation error stops improving.

    patience: this many epochs in a row without a new best are a plateau
    drops: how often it may fall (the paper: three times); the plateau after that ends training
    """

    def __init__(self, lr: float, factor: float = 0.1, patience: int = 5, drops: int = 3):
        self.lr, self.factor, self.patience, self.drops = lr, factor, patience, drops
        self.best, self.waited, self.dropped = float("inf"), 0, 0

    def rate(self, progress):
        return self.lr * self.factor**self.dropped

    def epoch_done(self, error):
        if error < self.best:
            self.best, self.waited = error, 0
            return False
        self.waited += 1
        if self.waited < self.patience:
            return False
        self.waited = 0
        if self.dropped == self.drops:
            return True
        self.dropped += 1
        return False

    def state_dict(self):
        return {"best": self.best, "waited": self.waited, "dropped": self.dropped}


class OneCycle(Schedule):
    """Up in a straight line to lr, then down to nothing: good in few epochs (Smith 2018).

    epochs: the length of the whole;  rise: the share of it that goes up
    """

    def __init__(self, lr: float, epochs: float, rise: float = 0.3):
        self.lr, self.epochs, self.rise = lr, epochs, rise

    def rate(self, progress):
        done = min(progress / self.epochs, 1.0)
        return self.lr * (done / self.rise if done < self.rise else (1 - done) / (1 - self.rise))
