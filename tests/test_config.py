"""A training's settings check themselves; recipes."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minitorch_alexnet import build
from minitorch_alexnet.config import RECIPES, Config
from minitorch_alexnet.device import Device
from minitorch_alexnet.errors import UserError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"lr": float("nan")}, "lr must be at least 0, got nan"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"validation": 1.0}, "validation must be a share"),
        ({"schedule": "cosine"}, "unknown schedule 'cosine': expected one of one-cycle"),
        ({"momentum": "much"}, "momentum must be like 0.9, got 'much'"),
        ({"batch_size": 2.5}, "batch_size must be like 128, got 2.5"),
        ({"data_dir": Path("images")}, "data_dir must be text, got .*Path"),
        ({"crops": 5}, "crops must be 1, the centre, or 10, got 5"),
        ({"init": "ones"}, "unknown init 'ones': expected one of model"),
    ],
)
def test_impossible_configs_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Config(**options)


def test_a_changed_config_is_checked_too():
    with pytest.raises(UserError, match="epochs must be at least 1"):
        replace(Config(), epochs=0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_with_changes(recipe):
    config = Config(recipe=recipe, epochs=3)
    assert (config.recipe, config.epochs) == (recipe, 3)
    for name, value in RECIPES[recipe].items():
        assert name == "epochs" or getattr(config, name) == value


def test_an_unknown_recipe():
    with pytest.raises(UserError, match="unknown recipe 'slow': expected one of quick, full"):
        Config(recipe="slow")


def test_devices_are_a_string_or_a_sequence():
    assert Config(devices=("cpu:0", "cpu:1")) == Config(devices="cpu:0,cpu:1")
    assert Config(devices=[Device("cpu:1")]).devices == "cpu:1"
    with pytest.raises(UserError, match="devices"):
        Config(devices=3)
    for devices in ("cpu:1", ["cpu:1"], (Device("cpu:1"),)):
        assert build("fashion", devices=devices, seed=None).device == Device("cpu:1")


@pytest.mark.parametrize("given", [{"epochs": 3}, ["quick"], None])
def test_no_recipe(given):
    with pytest.raises(UserError, match="unknown recipe"):
        Config(given)


def test_an_unknown_setting():
    with pytest.raises(UserError, match="unknown setting 'epoch': expected one of recipe, model"):
        Config(epoch=3)


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        ({}, 0.08),
        ({"batch_size": 32}, 0.02),
        ({"batch_size": 32, "lr": 0.08}, 0.08),
        ({"batch_size": 512}, 0.08),
        ({"recipe": "small-set", "batch_size": 8}, 0.00025),
        ({"recipe": "paper", "batch_size": 64}, 0.005),
    ],
)
def test_a_smaller_batch_has_a_lower_rate_if_none_is_said(said, rate):
    assert Config(**said).lr == pytest.approx(rate, rel=1e-12)
    assert replace(Config(**said), epochs=7).lr == Config(**said).lr


def test_numpys_numbers_are_numbers():
    config = Config(epochs=np.int64(3), lr=np.float32(0.5), augment=np.bool_(True), seed=2**100)
    assert config == Config(epochs=3, lr=0.5, augment=True, seed=2**100)
    assert [type(v) for v in (config.epochs, config.lr, config.augment)] == [int, float, bool]
    assert type(Config(lr=1).lr) is int  # as it was said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((n, v) for n in ("lr", "weight_decay", "colour_noise") for v in (-0.1, math.nan)),
        *((n, math.inf) for n in ("lr", "weight_decay", "colour_noise", "momentum", "dropout")),
        *((n, v) for n in ("momentum", "dropout") for v in (-0.1, 1, math.nan)),
        *((n, 10**400) for n in ("lr", "epochs", "batch_size", "size", "seed", "momentum")),
        ("validation", math.nan),
        ("epochs", True),
        ("lr", True),
        ("augment", 1),
    ],
)
def test_numbers_that_cannot_be(name, value):
    with pytest.raises(UserError, match=name):
        Config(**{name: value})
