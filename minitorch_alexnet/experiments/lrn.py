"""Section 3.3: does local response normalisation lower the test error?"""

from ..layers import LocalResponseNorm
from .experiment import Experiment, fewer_errors


class LRN(Experiment):
    name = "lrn"
    title = "Local response normalisation"
    section = "3.3"
    claim = "Dividing a map by its neighbours' activity lowers the test error."
    arms = ("with LRN", "without")
    measures = (
        fewer_errors("1.4 points of top-1 and 1.2 of top-5 on ImageNet; 13 % to 11 % on CIFAR-10"),
    )
    ours = (
        "The paper's α = 0.0001 is for pixels of 0 to 255. Ours are divided by their standard"
        " deviation s, and with them all that follows: α·s² is the same formula in their units"
        " (with 0.0001 LRN would do nothing). Without LRN means α = 0: the division by k^β stays,"
        " so that both arms start with signals of one size and one number differs."
    )

    def change(self, node, study, arm):
        layer = node.layer
        if not isinstance(layer, LocalResponseNorm):
            return layer
        alpha = layer.alpha * study.train.deviation**2 if arm == "with LRN" else 0.0
        return LocalResponseNorm(layer.size, alpha, layer.beta, layer.k, groups=layer.groups)
