"""The learning rate, by hand."""

import math

import keras
import pytest

from faceseg.params import Schedule as ScheduleParams
from faceseg.training.schedule import Schedule


def params(name: str, **changes: float) -> ScheduleParams:
    values = {"warmup_epochs": 0, "final_fraction": 0.1, "patience": 2, "factor": 0.5, "decay": 0.01, "power": 0.9}
    values |= changes
    return ScheduleParams.model_validate({"name": name, **values})


def test_warm_up_rises_in_a_straight_line() -> None:
    schedule = Schedule(params("constant", warmup_epochs=2), 0.4, epochs=10, steps=5)
    assert [schedule.rate(progress) for progress in (0.5, 1.0, 2.0, 7.0)] == pytest.approx([0.1, 0.2, 0.4, 0.4])


def test_cosine_ends_at_the_final_fraction() -> None:
    schedule = Schedule(params("cosine", warmup_epochs=2), 1.0, epochs=10, steps=5)
    # Halfway between the warm-up's end (2) and the last epoch (10), cos(pi / 2) = 0: the mean of 1 and 0.1.
    assert schedule.rate(6) == pytest.approx(0.55)
    assert schedule.rate(4) == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert schedule.rate(10) == pytest.approx(0.1)


def test_plateau_halves_after_two_epochs_without_a_better_loss() -> None:
    schedule = Schedule(params("plateau"), 1.0, epochs=99, steps=5)
    rates = []
    for loss in (5.0, 4.0, 4.0, 4.5, 3.0, 3.1, 3.2, 3.3, 3.4):
        schedule.end_epoch(loss)
        rates.append(schedule.rate(1))
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_plateau_goes_on_from_its_state() -> None:
    first, second = Schedule(params("plateau"), 1.0, 99, 5), Schedule(params("plateau"), 1.0, 99, 5)
    for loss in (5.0, 5.0):
        first.end_epoch(loss)
    second.restore(first.state())
    for schedule in (first, second):
        schedule.end_epoch(5.0)
    assert first.rate(1) == second.rate(1) == 0.5


def test_plateau_needs_a_validation_loss() -> None:
    with pytest.raises(ValueError, match=r"set split\.val above 0"):
        Schedule(params("plateau"), 1.0, 99, 5).end_epoch(None)


@pytest.mark.parametrize("warmup", [0, 2])
def test_inverse_time_is_that_of_keras(warmup: int) -> None:
    schedule = Schedule(params("inverse_time", warmup_epochs=warmup), 0.4, epochs=10, steps=5)
    theirs = keras.optimizers.schedules.InverseTimeDecay(0.4, decay_steps=1, decay_rate=0.01)
    for step in range((10 - warmup) * 5):
        assert schedule.rate(warmup + (step + 1) / 5) == pytest.approx(float(theirs(step)), rel=1e-6)


@pytest.mark.parametrize("warmup", [0, 2])
def test_polynomial_is_that_of_keras(warmup: int) -> None:
    schedule = Schedule(params("polynomial", warmup_epochs=warmup), 0.4, epochs=10, steps=5)
    steps = (10 - warmup) * 5
    theirs = keras.optimizers.schedules.PolynomialDecay(0.4, steps, 0.04, power=0.9)
    for step in range(1, steps + 1):
        assert schedule.rate(warmup + step / 5) == pytest.approx(float(theirs(step)), rel=1e-6)


@pytest.mark.parametrize("name", ["constant", "inverse_time", "plateau", "cosine", "polynomial"])
def test_every_schedule_warms_up(name: str) -> None:
    schedule = Schedule(params(name, warmup_epochs=2), 0.4, epochs=10, steps=5)
    assert [schedule.rate(progress) for progress in (0.5, 1.0)] == pytest.approx([0.1, 0.2])
