"""Rows of time as equal intervals: gaps are no zeros, and the week is the router's own."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator

import numpy as np
import pytest

from ipsecmon.agent.compare_bins import as_bins, step_of, week_seconds
from ipsecmon.model import CounterKey, Direction, ObservationPoint
from ipsecmon.store import Happened, Span, Timeline

NS = 10**9
WEB = CounterKey("web", Direction.IN, ObservationPoint.WIRE)
GONE = CounterKey("wan0", Direction.IN, ObservationPoint.RULES_GONE)
HOUR_S, DAY_S = 3600, 86400


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def timeline(*spans: tuple[int, int], resolution_s: int = 0, **more: list[Happened]) -> Timeline:
    """Of spans in seconds, with 100 octets a second of web where nothing else is said."""
    rows = more.get("web") or [
        Happened(place, 100 * (end - first), end - first, 0, 0) for place, (first, end) in enumerate(spans)
    ]
    counters = {WEB: rows, **({GONE: more["gone"]} if "gone" in more else {})}
    return Timeline(resolution_s, [Span(first * NS, end * NS) for first, end in spans], counters, {}, {})


def test_a_gap_is_left_out() -> None:
    bins = as_bins(timeline((0, 10), (10, 20), (50, 60)), 10)
    assert (bins.start_ns / NS).tolist() == [0, 10, 50]
    assert bins.counters[WEB].octets.tolist() == [1000, 1000, 1000]


def test_intervals_of_another_length_are_put_together_to_the_longer_one() -> None:
    short = timeline(*((one, one + 10) for one in range(0, 120, 10)))
    long = timeline((0, 60), (60, 120))
    step_s = step_of([short, long])
    assert step_s == 60
    assert as_bins(short, step_s).counters[WEB].octets.tolist() == [6000, 6000]
    assert as_bins(short, step_s).window.seconds.tolist() == [60, 60]


def test_an_interval_of_which_less_than_half_is_known_is_left_out() -> None:
    bins = as_bins(timeline((6, 10), (10, 16), (20, 30)), 10)
    assert bins.window.seconds.tolist() == [6, 10]
    assert bins.counters[WEB].octets.tolist() == [600, 1000]


def test_intervals_without_our_rules_are_left_out() -> None:
    bins = as_bins(timeline((0, 10), (10, 20), (20, 30), gone=[Happened(1, 500, 5, 0, 0)]), 10)
    assert (bins.start_ns / NS).tolist() == [0, 20]
    assert bins.gone == 1


def test_what_passed_while_no_agent_ran_is_in_no_rate() -> None:
    bins = as_bins(timeline((0, 10), web=[Happened(0, 9000, 90, 8000, 80)]), 10)
    assert bins.counters[WEB].octets.tolist() == [1000]
    assert bins.bridged_octets == 8000


def test_a_counter_is_not_known_before_its_first_interval() -> None:
    bins = as_bins(timeline((0, 10), (10, 20), (20, 30), web=[Happened(1, 1000, 10, 0, 0)]), 10)
    np.testing.assert_array_equal(bins.counters[WEB].octets, [np.nan, 1000, 0])


def test_an_empty_range_has_no_interval() -> None:
    empty = Timeline(0, [], {}, {}, {})
    bins = as_bins(empty, step_of([empty]))
    assert (len(bins.start_ns), bins.seconds, bins.end_ns) == (0, 0, 0)


@pytest.mark.parametrize("zone", ["+01:00", "+02:00"])
def test_the_week_begins_on_monday_by_local_time(berlin: None, zone: str) -> None:
    """In winter and in summer: the same hour of the week, another one by UTC."""
    day = {"+01:00": "2026-01-12", "+02:00": "2026-07-13"}[zone]  # Mondays
    moment = datetime.datetime.fromisoformat(f"{day}T14:30:00{zone}")
    assert week_seconds(np.array([int(moment.timestamp())])).tolist() == [14 * HOUR_S + 1800]


def test_the_hours_of_the_days_when_daylight_saving_time_changes(berlin: None) -> None:
    """2026-03-29 has no hour from 2 to 3, 2026-10-25 has it twice; both are Sundays."""

    def hours(day: str, count: int) -> list[int]:
        first_s = int(datetime.datetime.fromisoformat(day).astimezone().timestamp())
        starts = np.arange(count) * HOUR_S + first_s
        return [int(one) // HOUR_S - 6 * 24 for one in week_seconds(starts)]

    assert hours("2026-03-29", 5) == [0, 1, 3, 4, 5]
    assert hours("2026-10-25", 5) == [0, 1, 2, 2, 3]
