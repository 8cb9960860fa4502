"""The paper's claims, one experiment a file, in the order of its sections.

A new one is a file with a subclass of Experiment that says what is claimed, what its arms are, what
differs between them (`change` a layer of the net, or its `config`) and what is measured; and a line
in EXPERIMENTS.

experiment.py says what an experiment is. reproduction.py does one: by its plan (plan.py), keeping
each result (kept.py), and coming to an outcome (outcome.py), which statistics.py judges and
report.py tells. rebuild.py and small.py make the arms' nets.
"""

from ..errors import UserError
from .depth import Depth
from .dropout import DropoutExperiment
from .experiment import Experiment
from .lrn import LRN
from .overlap import Overlap
from .pca_colour import PCAColour
from .relu_vs_tanh import ReLUVsTanh
from .specialisation import Specialisation
from .ten_crop import TenCrop
from .two_devices import TwoDevices

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        ReLUVsTanh(),
        TwoDevices(),
        LRN(),
        Overlap(),
        PCAColour(),
        TenCrop(),
        DropoutExperiment(),
        Specialisation(),
        Depth(),
    )
}


def find(name: str) -> Experiment:
    """The experiment of that name. Raises UserError if there is none."""
    if name not in EXPERIMENTS:
        raise UserError(
            f"there is no experiment {name!r}: expected all, or one of {', '.join(EXPERIMENTS)}"
        )
    return EXPERIMENTS[name]
