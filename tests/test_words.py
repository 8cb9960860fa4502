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


def test_places():
    assert place(build("fashion")).endswith(" threads")
    assert place(build("fashion", devices="cpu:2")).startswith("on cpu:2, ")
