"""Which intervals are compared with which, and what they weigh."""

from __future__ import annotations

import numpy as np
import pytest

from ipsecmon.account.compare import Verdict, compare
from ipsecmon.account.pairing import HOUR_S, MAX_UNITS, WEEK_S, Window, pair, slot_length

DAY_S = 86400


def window(*week_s: int, seconds: float = 600.0) -> Window:
    return Window(np.full(len(week_s), seconds), np.array(week_s, np.int64))


def week(first_s: int, length_s: int, step_s: int = 600) -> Window:
    return window(*(one % WEEK_S for one in range(first_s, first_s + length_s, step_s)), seconds=step_s)


def test_a_monday_is_not_compared_with_a_sunday() -> None:
    monday, sunday = window(0, 600), window(6 * DAY_S)
    found = pair(monday, sunday, HOUR_S)
    assert found.units == (0, 0)
    assert not found.before.weight.any() and not found.after.weight.any()
    assert slot_length(monday, sunday, 600) is None


def test_only_what_both_have_is_compared() -> None:
    found = pair(window(0, HOUR_S, 2 * HOUR_S), window(HOUR_S, 2 * HOUR_S, 3 * HOUR_S), HOUR_S)
    assert found.before.weight.tolist() == [0, 600, 600]
    assert found.after.weight.tolist() == [600, 600, 0]
    assert found.before.unit.tolist() == [-1, 0, 1]


def test_three_mondays_weigh_as_much_as_one() -> None:
    found = pair(window(0, HOUR_S, 0, 0), window(0, HOUR_S), HOUR_S)
    assert found.before.weight.tolist() == [200, 600, 200, 200]
    assert found.after.weight.tolist() == [600, 600]


@pytest.mark.parametrize(
    ("length_s", "slot_s"),
    [(7 * DAY_S, HOUR_S), (2 * DAY_S, HOUR_S), (DAY_S, 900), (4 * HOUR_S, 300), (HOUR_S, 60)],
)
def test_slots_are_as_short_as_there_are_enough_of_them(length_s: int, slot_s: int) -> None:
    assert slot_length(week(0, WEEK_S, 10), week(DAY_S, length_s, 10), 10) == slot_s


def test_slots_are_not_shorter_than_intervals() -> None:
    assert slot_length(week(0, WEEK_S, 900), week(0, 2 * HOUR_S, 900), 900) == 900


def test_unmatched_intervals_weigh_as_long_as_they_are_and_are_drawn_with_neighbours() -> None:
    found = pair(window(*range(3 * MAX_UNITS)), Window(np.array([10.0, 5.0]), np.array([0, 10])), None)
    assert found.units == (MAX_UNITS, 2)
    assert found.before.unit[:4].tolist() == [0, 0, 0, 1]
    assert found.after.weight.tolist() == [10, 5]


def test_matching_takes_out_what_only_the_time_of_the_week_makes() -> None:
    """A week against its own last weekend: half of the traffic, and no difference."""
    rng = np.random.default_rng(1)
    before, after = week(0, WEEK_S), week(5 * DAY_S, 2 * DAY_S)
    rates = tuple(
        np.where(one.week_s >= 5 * DAY_S, 5e5, 1e6) * (1 + 0.05 * rng.normal(size=len(one.week_s)))
        for one in (before, after)
    )
    assert compare((before, after), (rates[0], rates[1]), HOUR_S).mean.verdict is Verdict.SAME
    assert compare((before, after), (rates[0], rates[1]), None).mean.difference < -3e5


def test_a_change_is_found_beneath_the_day_s_ups_and_downs() -> None:
    """Three times as much by day as by night, and a tenth more after."""
    rng = np.random.default_rng(1)
    both = week(0, WEEK_S)
    daily = 2e6 + 1e6 * np.sin(2 * np.pi * both.week_s / DAY_S)
    before, after = (factor * daily * (1 + 0.1 * rng.normal(size=len(daily))) for factor in (1.0, 1.1))
    found = compare((both, both), (before, after), HOUR_S).mean
    assert found.verdict is Verdict.MORE
    assert found.low is not None and found.high is not None
    assert found.low < 0.1 * 2e6 < found.high
