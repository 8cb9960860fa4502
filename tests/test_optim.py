"""SGD against hand-worked numbers and PyTorch; schedules against their definitions."""

import numpy as np
import pytest

from minitorch_alexnet.errors import UserError
from minitorch_alexnet.layers import Parameter
from minitorch_alexnet.models import build
from minitorch_alexnet.optim import SGD, OneCycle, PlateauDecay, StepDecay


def one(value, grad, **options):
    parameter = Parameter(np.array([value]), **options)
    parameter.grad = np.array([grad])
    return parameter


def test_two_steps_across_a_drop_of_the_rate_by_hand():
    # v1 = -0.0005·0.1·2 - 0.1·3 = -0.3001                    w1 = 1.6999
    # v2 = 0.9·v1 - 0.0005·0.01·w1 - 0.01·5 = -0.3200984995   w2 = 1.3798015005
    w = one(2.0, 3.0)
    sgd = SGD({"w": w}, lr=0.1, momentum=0.9, weight_decay=0.0005)
    sgd.step()
    assert w.data[0] == pytest.approx(1.6999, rel=1e-14)
    sgd.lr, w.grad = 0.01, np.array([5.0])
    sgd.step()
    assert sgd.velocity["w"][0] == pytest.approx(-0.3200984995, rel=1e-13)
    assert w.data[0] == pytest.approx(1.3798015005, rel=1e-13)


def test_rate_and_decay_of_one_parameter():
    weight, bias = one(2.0, 3.0, lr_scale=2.0, decay=0.5), one(2.0, 3.0, decay=0)
    SGD({"w": weight, "b": bias}, lr=0.1, momentum=0, weight_decay=0.01).step()
    assert weight.data[0] == pytest.approx(2 - 0.2 * 3 - 0.2 * 0.01 * 0.5 * 2, rel=1e-14)
    assert bias.data[0] == pytest.approx(2 - 0.1 * 3, rel=1e-14)


def test_frozen_parameters_stay_and_need_no_gradient():
    frozen = Parameter(np.ones(3), lr_scale=0)
    SGD({"w": frozen}, lr=0.1).step()
    np.testing.assert_array_equal(frozen.data, 1)


def test_a_missing_gradient_is_named():
    with pytest.raises(RuntimeError, match=r"conv1\.weight has no gradient"):
        SGD({"conv1.weight": Parameter(np.ones(3))}).step()


def test_equals_pytorch_while_the_rate_stays(torch):
    rng = np.random.default_rng(0)
    start, grads = rng.standard_normal((5, 7)), rng.standard_normal((4, 5, 7))
    ours, theirs = Parameter(start.copy()), torch.nn.Parameter(torch.tensor(start))
    sgd = SGD({"w": ours}, lr=0.02, momentum=0.8, weight_decay=0.03)
    other = torch.optim.SGD([theirs], lr=0.02, momentum=0.8, weight_decay=0.03)
    for grad in grads:
        ours.grad, theirs.grad = grad, torch.tensor(grad)
        sgd.step()
        other.step()
    np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-13)


def test_large_parameters_are_updated_everywhere_and_in_place():
    rng = np.random.default_rng(0)
    start = rng.standard_normal((300, 4000), dtype=np.float32)
    w = Parameter(start.copy())
    w.grad = rng.standard_normal(start.shape, dtype=np.float32)
    before = w.data, w.grad.copy()
    SGD({"w": w}, lr=0.5, momentum=0.9, weight_decay=0.1).step()
    assert w.data is before[0]
    np.testing.assert_array_equal(w.grad, before[1])
    np.testing.assert_allclose(w.data, start - 0.5 * (w.grad + 0.1 * start), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": -1},
        {"lr": "0.1"},
        {"lr": None},
        {"lr": float("nan")},
        {"momentum": 1},
        {"momentum": [0.9]},
        {"weight_decay": -1},
    ],
)
def test_impossible_settings_are_refused(options):
    with pytest.raises(UserError, match="expected lr ≥ 0"):
        SGD({"w": one(1.0, 1.0)}, **options)


@pytest.mark.parametrize(
    "parameters", [None, [one(1.0, 1.0)], {"w": one(1.0, 1.0)}.values(), build("fashion")]
)
def test_parameters_come_by_name(parameters):
    with pytest.raises(UserError, match=r"net.named_parameters\(\)"):
        SGD(parameters)


def test_there_is_something_to_learn():
    with pytest.raises(UserError, match="nothing to learn"):
        SGD({})
    with pytest.raises(UserError, match="w must be a Parameter, got an array"):
        SGD({"w": np.ones(3)})


def test_step_decay():
    schedule = StepDecay(0.8, (2, 3), factor=0.5)
    assert [schedule.rate(p) for p in (0, 1.99, 2, 2.5, 3, 9)] == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]


def test_plateau_decay_drops_three_times_then_stops():
    schedule = PlateauDecay(1.0, factor=0.1, patience=2, drops=3)
    errors = [0.5, 0.4, 0.4, 0.41, 0.3, 0.3, 0.3, 0.35, 0.3, 0.2, 0.2, 0.2]
    rates, stops = [], []
    for error in errors:
        stops.append(schedule.epoch_done(error))
        rates.append(round(schedule.rate(0), 10))
    assert rates[:9] == [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001]
    assert stops == [False] * 11 + [True]


def test_plateau_decay_goes_on_from_its_state():
    first, second = PlateauDecay(1.0, patience=3), PlateauDecay(1.0, patience=3)
    for error in (0.5, 0.6, 0.7):
        first.epoch_done(error)
    second.load_state_dict(first.state_dict())
    for schedule in (first, second):
        schedule.epoch_done(0.6)
    assert first.rate(0) == second.rate(0) == pytest.approx(0.1)


def test_one_cycle_rises_to_the_rate_and_falls_to_nothing():
    schedule = OneCycle(0.4, epochs=10, rise=0.25)
    rates = [schedule.rate(p) for p in (0, 1.25, 2.5, 6.25, 10, 11)]
    np.testing.assert_allclose(rates, [0, 0.2, 0.4, 0.2, 0, 0], atol=1e-15)


def test_a_plateau_after_the_last_drop_ends_it_again_and_again():
    schedule = PlateauDecay(1.0, patience=1, drops=1)
    told = [schedule.epoch_done(0.5) for _ in range(4)]
    assert told == [False, False, True, True]
    assert schedule.rate(0) == pytest.approx(0.1)


def test_the_state_of_another_schedule_is_refused():
    schedule = PlateauDecay(0.1)
    for state in ({}, {"lr": 1.0}, {**schedule.state_dict(), "epoch_done": 1}):
        with pytest.raises(UserError, match="PlateauDecay keeps"):
            schedule.load_state_dict(state)
    assert schedule.state_dict() == PlateauDecay(0.1).state_dict()
