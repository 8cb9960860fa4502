"""Each layer in each of its manners, small enough for finite differences: `gradcheck` and the tests
hold them all against what a layer promises.
"""

import numpy as np

from .activation import ReLU, Tanh
from .base import Layer
from .conv import Conv2d
from .dropout import Dropout
from .flatten import Flatten
from .join import Concat, Copy
from .linear import Linear
from .lrn import LocalResponseNorm
from .pool import MaxPool2d
from .upsample import Upsample


def cases(rng: np.random.Generator) -> list[tuple[Layer, tuple]]:
    """Fresh layers that draw from rng, each with its inputs' shapes, without the batch axis."""
    return [
        (Conv2d(4, 6, 3, rng=rng), ((4, 6, 6),)),
        (Conv2d(4, 6, (3, 2), (2, 1), ((0, 1), (2, 1)), groups=2, rng=rng), ((4, 6, 5),)),
        (Conv2d(4, 3, 1, rng=rng), ((4, 3, 5),)),
        (LocalResponseNorm(5, alpha=0.3), ((7, 3, 2),)),
        (LocalResponseNorm(4, 0.3, k=1, alpha_over_size=True, groups=2), ((8, 2, 3),)),
        (LocalResponseNorm(3, alpha=0.3, beta=0.6), ((4, 2, 3),)),
        (MaxPool2d(3, stride=2), ((3, 7, 6),)),
        (MaxPool2d((3, 2), (2, 3), ((1, 0), (0, 1)), ceil_mode=True), ((2, 6, 5),)),
        (ReLU(), ((24,),)),
        (Tanh(), ((3, 4, 2),)),
        (Dropout(0.4, rng=rng), ((5, 3),)),
        (Dropout(0.4, rescale="train", rng=rng), ((5, 3),)),
        (Linear(12, 5, rng=rng), ((12,),)),
        (Flatten(), ((3, 2, 4),)),
        (Upsample(2), ((3, 2, 3),)),
        (Copy(to="cpu:1"), ((3, 2, 4),)),
        (Concat(), ((2, 3, 2), (1, 3, 2), (3, 3, 2))),
    ]
