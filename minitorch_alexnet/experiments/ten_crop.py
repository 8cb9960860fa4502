"""Section 4.1, testing: are ten parts of an image worth more than its centre?"""

from dataclasses import replace

import numpy as np

from ..data.arrays import ArrayDataset
from .experiment import Experiment, fewer_errors, parameters, percent_wrong

ROOM = 32  # the side that smaller images are brought to, by zeros around them


class TenCrop(Experiment):
    name = "ten-crop"
    title = "Ten crops"
    section = "4.1"
    claim = "Averaging over ten parts of a test image lowers the error."
    arms = ("ten crops", "centre alone")
    nets = ("one net",)  # judged both ways
    measures = (
        fewer_errors(
            more="centre alone",
            less="ten crops",
            paper="1.5 points of top-1, 3.8 % of the errors (39.0 to 37.5 %); 1.3 of top-5",
            size=1.5,
            counts=0.2,
            spread=0.4,
        ),
    )
    ours = (
        "The net reads parts of seven eighths of an image's side, as 224 of 256 are, and trains on"
        f" random ones and their reflections; images of less than {ROOM} pixels have zeros put"
        " around them first, so that the centre is the whole picture. Each net is judged both ways."
    )
    tests, pairs, epochs = 11, 8, 12

    def prepared(self, data):
        return replace(data, train=padded(data.train), test=padded(data.test))

    def config(self, study, training):
        part = study.shape[-1] * 7 // 8
        return replace(super().config(study, training), size=part, augment=True)

    def judge(self, trainer, study, training):
        told = {"parameters": parameters(trainer.net)}
        return {
            "ten crops": {"test_error": percent_wrong(trainer, study.test, crops=10), **told},
            "centre alone": {"test_error": percent_wrong(trainer, study.test), **told},
        }


def padded(dataset):
    """Images of ROOM pixels at least, zeros around those that are smaller."""
    height, width = dataset.images.shape[2:]
    if min(height, width) >= ROOM:
        return dataset
    zeros = [max(0, ROOM - side) for side in (height, width)]
    around = [(zero // 2, zero - zero // 2) for zero in zeros]
    images = np.pad(np.asarray(dataset.images), ((0, 0), (0, 0), *around))
    return ArrayDataset(images, dataset.labels, dataset.class_names)
