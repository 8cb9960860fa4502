"""Section 3.5 and 7: does the net need each of its middle layers?"""

from .experiment import Experiment, fewer_errors


class Depth(Experiment):
    name = "depth"
    title = "Depth"
    section = "7"
    claim = "Without one of its middle convolutions the net errs more."
    arms = ("five convolutions", "without conv4")
    measures = (fewer_errors("about 2 points of top-1"),)
    ours = "conv4 and its ReLU are left out; conv3 gives as many maps, so that conv5 fits."

    def change(self, node, study, arm):
        if arm == "without conv4" and node.name in ("conv4", "relu4"):
            return None
        return node.layer
