"""Numbers, names and commands in words."""

import shlex

import numpy as np
import pytest

from minitorch_alexnet.words import command, duration, kind_of, printable, printable_lines, unknown


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


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("été 猫 😀 a/b\\c", "été 猫 😀 a/b\\c"),
        ("\x1b[31mred\r\n", r"\x1b[31mred\r\n"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udcff", r"\udcff"),
    ],
)
def test_names_of_strangers(name, told):
    assert printable(name) == told
    assert printable_lines(f"{name}\n{name}".replace("\r\n", "")).count("\n") == 1


def test_a_command_can_be_typed():
    assert shlex.split(command("train", "--resume", "my runs/it's")) == [
        "minitorch-alexnet", "train", "--resume", "my runs/it's",
    ]  # fmt: skip


def test_a_name_that_cannot_be_printed_can_be_typed_in_a_command():
    name = "é'/\udce9 \n"
    assert command("evaluate", name) == (
        r"minitorch-alexnet evaluate $'\303\251\047/\351\040\012'"  # as bash, zsh and ksh read it
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "None"),
        (int, "the class int"),
        ([], "a list"),
        (3, "an int"),
        (np.zeros(3), "an array"),
    ],
)
def test_what_came(value, told):
    assert kind_of(value) == told


@pytest.mark.parametrize(
    ("name", "meant"), [("APPLE", "apple"), ("appel", "apple"), ("pears", "pear"), ("fig", None)]
)
def test_what_was_meant(name, meant):
    told = unknown("fruit", name, ("apple", "pear"), ", or a nut")
    assert told.startswith(f"unknown fruit '{name}': expected one of apple, pear, or a nut")
    assert told.endswith(f"; did you mean {meant}?" if meant else "or a nut")


def test_of_very_many_that_would_do_some_are_told():
    names = [f"class {i}" for i in range(1000)]
    told = unknown("class", "class 99x", names)
    assert 10 < told.count("class ") < 60
    assert told.endswith("…; did you mean class 99?")
