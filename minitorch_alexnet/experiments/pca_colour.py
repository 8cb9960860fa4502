"""Section 4.1: does a shift of the training images' colours lower the test error?"""

from dataclasses import replace

from .experiment import Experiment, expect_colour, fewer_errors


class PCAColour(Experiment):
    name = "pca-colour"
    title = "Colour shifts along the principal components"
    section = "4.1"
    claim = "Shifting each training image's colours at random lowers the test error."
    arms = ("with shifts", "without")
    measures = (
        fewer_errors(
            more="without",
            less="with shifts",
            paper="more than 1 point of top-1, some 3 % of the errors",
            size=1.0,
            counts=0.5,
            spread=0.9,
        ),
    )
    ours = (
        "The shifts have a tenth of the colours' own standard deviation, √λ along each principal"
        " component, as in the authors' code; the paper's formula has λ. They are the only"
        " augmentation here: no random parts and no reflections, which the paper's net had as well."
    )

    data, rates = "cifar-10", (0.01, 0.02, 0.04)

    def config(self, study, training):
        expect_colour(study.shape)
        noise = 0.1 if training.net == "with shifts" else 0.0
        return replace(super().config(study, training), colour_noise=noise)
