"""Mutations of all that a user brings: see fuzzing.py."""

import os
import random
from unittest import mock

import pytest
from fuzzing import KINDS, fuzz, mutated_bytes, mutated_json

from minitorch_alexnet.data import cifar10
from minitorch_alexnet.experiments.kept import Kept

COUNTS = {
    "checkpoint": 100, "meta": 100, "prepared": 300, "results": 300, "archive": 1000, "tar": 600,
    "idx": 600, "pictures": 600, "safetensors": 200, "torch": 100, "onnx": 200, "commands": 400,
}  # fmt: skip
TIMES = int(os.environ.get("MINITORCH_ALEXNET_FUZZ", 1))  # as many, for a long run


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_right_answer_or_a_clear_word(kind, request):
    if kind == "torch":
        request.getfixturevalue("torch")
    figures, wrong = fuzz(kind, TIMES * COUNTS[kind])
    assert wrong == []
    assert figures["refused"] > 0
    assert figures["as before"] > 0


def test_the_fuzzers_can_fail():
    with mock.patch.object(cifar10, "_expect_whole"):
        _, wrong = fuzz("archive", 30)
    assert any("another answer" in line for line in wrong)
    with mock.patch.object(Kept, "fits", return_value=True):
        _, wrong = fuzz("results", 30)
    assert any("Error" in line for line in wrong)


def test_a_mutation_is_repeated_by_its_seed():
    data, text = bytes(range(200)), '{"a": [1, {"b": "c"}], "d": null}'
    for change, given in (mutated_bytes, data), (mutated_json, text):
        made = [change(given, random.Random(seed)) for seed in range(50)]
        assert made == [change(given, random.Random(seed)) for seed in range(50)]
        assert len({made[i] for i in range(50)}) > 25
