"""Rates out of two readings, and what programs are told of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecmon.agent.control import Totals
from ipsecmon.cli.rates import describe_rates, rates
from ipsecmon.config import load
from ipsecmon.model import CounterKey, Direction, Increment, ObservationPoint

LINE = CounterKey("T1", Direction.IN, ObservationPoint.WIRE)
WEB = CounterKey("web", Direction.IN, ObservationPoint.WIRE)


def totals(at_s: float, *all_of_them: Increment) -> Totals:
    return Totals(int(at_s * 1e9), {one.key: one for one in all_of_them})


def test_a_rate_is_what_happened_through_the_time_it_took() -> None:
    found = rates(totals(10, Increment(WEB, 1000, 10)), totals(12, Increment(WEB, 3000, 15)))
    assert (found[WEB].bits_per_s, found[WEB].packets_per_s) == (8000, 2.5)


def test_a_counter_that_is_new_begins_at_zero() -> None:
    found = rates(totals(10), totals(11, Increment(WEB, 100, 1)))
    assert found[WEB].bits_per_s == 800


def test_a_total_that_fell_is_of_another_life_of_the_agent() -> None:
    assert rates(totals(10, Increment(WEB, 1000, 10)), totals(11, Increment(WEB, 10, 1))) == {}


def test_two_readings_of_one_moment_have_no_rate() -> None:
    assert rates(totals(10, Increment(WEB, 1, 1)), totals(10, Increment(WEB, 1, 1))) == {}


def test_only_the_line_has_a_utilization(config_file: Path) -> None:
    before = totals(10, Increment(LINE, 0, 0), Increment(WEB, 0, 0))
    after = totals(11, Increment(LINE, 125_000, 100), Increment(WEB, 1000, 1, lost_packets=3))
    answer = describe_rates(load(config_file), 1.0, rates(before, after))
    line, web = answer["counters"]
    assert (answer["router"], answer["seconds"]) == ("hq-gw1", 1.0)
    assert line == {
        "name": "T1",
        "direction": "in",
        "observed_at": "wire",
        "bits_per_s": 1_000_000.0,
        "packets_per_s": 100.0,
        "octets": 125_000,
        "packets": 100,
        "lost_packets": 0,
        "capacity_bits_per_s": 2_000_000,
        "utilization": 0.5,
    }
    assert "utilization" not in web and web["lost_packets"] == 3


def test_without_a_capacity_nothing_is_said_of_one(config_file: Path) -> None:
    config_file.write_text("router: r\nline: {name: T1, interface: wan0}\n")
    found = rates(totals(10), totals(11, Increment(LINE, 100, 1)))
    row = describe_rates(load(config_file), 1.0, found)["counters"][0]
    assert {"utilization", "capacity_bits_per_s"}.isdisjoint(row)
    assert row["bits_per_s"] == pytest.approx(800)
