"""Ranges of reports: local days and months, one at a time, and mistakes that say what to write."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Optional

import click
import pytest

from ipsecmon.cli.ranges import CURRENT, Range, chosen_range, local_span
from tests.unit.cli.conftest import Zone

NS = 10**9
NOW_NS = int(datetime(2026, 11, 22, 14, 30, tzinfo=timezone.utc).timestamp()) * NS


def utc_ns(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp()) * NS


def chosen(until: Optional[str] = None, **given: str) -> Range:
    return chosen_range({f"--{option.strip('_')}": text for option, text in given.items()}, until, NOW_NS)


def test_without_an_option_it_is_the_last_hour(zone: Zone) -> None:
    zone("UTC")
    assert chosen() == Range(NOW_NS - 3600 * NS, NOW_NS + 1, "the last 1h")


def test_a_month_is_a_local_one(zone: Zone) -> None:
    zone("Europe/Berlin")
    expected = Range(utc_ns("2026-09-30T22:00"), utc_ns("2026-10-31T23:00"), "2026-10")
    assert chosen(month="2026-10") == expected


def test_december_ends_with_the_year(zone: Zone) -> None:
    zone("UTC")
    assert chosen(month="2025-12").end_ns == utc_ns("2026-01-01T00:00")


def test_months_follow_each_other_without_a_gap(zone: Zone) -> None:
    zone("America/Sao_Paulo")
    months = [chosen(month=f"{year}-{month:02}") for year in (2017, 2018) for month in range(1, 13)]
    assert all(one.end_ns == following.start_ns for one, following in zip(months, months[1:]))


def test_a_day_has_as_many_hours_as_the_clocks_gave_it(zone: Zone) -> None:
    zone("Europe/Berlin")
    lengths = [chosen(day=day) for day in ("2026-03-28", "2026-03-29", "2026-10-25")]
    assert [(one.end_ns - one.start_ns) // (3600 * NS) for one in lengths] == [24, 23, 25]


def test_a_day_that_has_no_midnight_begins_when_it_does(zone: Zone) -> None:
    zone("America/Sao_Paulo")  # 2018-11-04 began at 01:00, -02:00
    day, eve = chosen(day="2018-11-04"), chosen(day="2018-11-03")
    assert day.start_ns == eve.end_ns == utc_ns("2018-11-04T03:00")


@pytest.mark.parametrize(("name", "day"), [("UTC", "2026-11-22"), ("Pacific/Kiritimati", "2026-11-23")])
def test_today_is_the_day_it_is_here(zone: Zone, name: str, day: str) -> None:
    zone(name)
    assert chosen(day=CURRENT) == chosen(day=day)
    assert chosen(month=CURRENT) == chosen(month="2026-11")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20", "2026-11-19T23:00:00"),
        ("2026-11-20T12:00", "2026-11-20T11:00:00"),
        ("2026-11-20 12:00:07", "2026-11-20T11:00:07"),
        ("2026-11-20T12:00Z", "2026-11-20T12:00:00"),
        ("2026-11-20T12:00:07 +05:30", "2026-11-20T06:30:07"),
    ],
)
def test_a_time_is_local_unless_it_says_its_zone(zone: Zone, text: str, expected: str) -> None:
    zone("Europe/Berlin")
    assert chosen(from_=text) == Range(utc_ns(expected), NOW_NS + 1, f"since {text}")


def test_the_times_that_reports_print_can_be_given_back(zone: Zone) -> None:
    zone("UTC")
    found = chosen(until="2026-11-22T06:46:20.159Z", from_="2026-11-22T06:46:15.249Z")
    assert (found.start_ns, found.end_ns) == (
        utc_ns("2026-11-22T06:46:15") + 249_000_000,
        utc_ns("2026-11-22T06:46:20") + 159_000_000,
    )


def test_as_far_back_as_anybody_writes_is_since_1970(zone: Zone) -> None:
    zone("UTC")
    assert chosen(since="999999999999w").start_ns == 0


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("month", "2026-13", "'2026-13' does not exist: month must be in 1..12"),
        ("month", "november", "'november' is not a month: write it as 2026-11"),
        ("month", "2026-12", "'2026-12' is in the future: nothing is known of it"),
        ("month", "0000-01", "'0000-01' does not exist"),
        ("month", "1066-10", "'1066-10' has a year that is not from 1970 to 2199"),
        ("month", "9999-12", "'9999-12' has a year that is not from 1970 to 2199"),
        ("day", "2026-02-30", "'2026-02-30' does not exist"),
        ("day", "9999-12-31", "'9999-12-31' has a year that is not from 1970 to 2199"),
        ("day", "22.11.2026", "'22.11.2026' is not a day: write it as 2026-11-22"),
        ("since", "3", "'3' is not a duration: write a number and one of s, min"),
        ("from_", "yesterday", "'yesterday' is not a time: write it as 2026-11-22 or"),
        ("from_", "2026-11-22T25:00", "'2026-11-22T25:00' does not exist: hour must be in"),
        ("from_", "2026-11-22T12:00+25:00", "'2026-11-22T12:00\\+25:00' does not exist"),
        ("from_", "2026-11-22T14:31Z", "is in the future"),
    ],
)
def test_a_range_that_is_none_is_refused_with_what_to_write(
    zone: Zone, option: str, text: str, message: str
) -> None:
    zone("UTC")
    with pytest.raises(click.BadParameter, match=message):
        chosen(**{option: text})


def test_two_ranges_are_refused_by_name(zone: Zone) -> None:
    with pytest.raises(click.UsageError, match="--month and --since are two ranges: write one"):
        chosen(month="2026-11", since="1h")


def test_an_end_needs_a_beginning_before_it(zone: Zone) -> None:
    zone("UTC")
    with pytest.raises(click.UsageError, match="--to ends a range that begins with --from: write both"):
        chosen(until="2026-11-22")
    with pytest.raises(click.UsageError, match="write both"):
        chosen(until="2026-11-22", day="2026-11-21")
    with pytest.raises(click.BadParameter, match="'2026-11-20' is not after --from '2026-11-20'"):
        chosen(until="2026-11-20", from_="2026-11-20")


def test_a_span_names_its_zone_once_unless_it_changes(zone: Zone) -> None:
    zone("Europe/Berlin")
    winter_ns, summer_ns = utc_ns("2026-03-01T00:00"), utc_ns("2026-04-01T00:00")
    assert local_span(winter_ns, winter_ns + NS) == "2026-03-01 01:00:00 to 2026-03-01 01:00:01 CET"
    assert local_span(winter_ns, summer_ns) == "2026-03-01 01:00:00 CET to 2026-04-01 02:00:00 CEST"
