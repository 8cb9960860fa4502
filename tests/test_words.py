"""Numbers and places in words."""

import pytest

from minitorch_alexnet.models import build
from minitorch_alexnet.words import duration, place


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (7.4, "7 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (754, "13 minutes"),
        (8000, "2 hours"),
        (1e6, "12 days"),
    ],
)
def test_durations(seconds, told):
    assert duration(seconds) == told


def test_places(set_threads):
    set_threads(1)
    assert place(build("fashion", seed=None)) == "1 thread"
    set_threads(3)
    assert place(build("fashion", devices="cpu:2", seed=None)) == "on cpu:2, 3 threads"
