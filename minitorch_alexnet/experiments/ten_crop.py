"""Section 4.1, testing: are ten parts of an image worth more than its centre?"""

from dataclasses import replace

from .experiment import Experiment, fewer_errors, percent_wrong


class TenCrop(Experiment):
    name = "ten-crop"
    title = "Ten crops"
    section = "4.1"
    claim = "Averaging over ten parts of a test image lowers the error."
    arms = ("ten crops", "centre alone")
    nets = ("one net",)  # judged both ways
    measures = (
        fewer_errors("1.5 points of top-1, 1.3 of top-5 (39.0 and 18.3 % to 37.5 and 17.0 %)"),
    )
    ours = (
        "The net reads parts of seven eighths of an image's side, as 224 of 256 are, and trains on"
        " random ones and their reflections. Each net is judged both ways."
    )
    tests = 11

    def config(self, study, training):
        part = study.shape[-1] * 7 // 8
        return replace(super().config(study, training), size=part, augment=True)

    def judge(self, trainer, study, training):
        return {
            "ten crops": {"test_error": percent_wrong(trainer, study.test, crops=10)},
            "centre alone": {"test_error": percent_wrong(trainer, study.test)},
        }
