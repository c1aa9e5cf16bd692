"""Baselines: what parts carried a day and a week before, told ahead, once, and only where history has it."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from ipsecmon.model import Batch, Direction, How, PartIncrement
from ipsecmon.store import kept_batches
from ipsecmon.store.room import make_room
from ipsecmon.store.schema import FILE, connect, transaction
from tests.unit.store.store_cases import (
    DAY_S,
    NS,
    T0_S,
    batch,
    commit,
    number_in,
    opened,
    spool_of,
)

BUCKET_S, HOUR_S, WEEK_S = 300, 3600, 7 * DAY_S
PARTS = {"web": 7, "esp": 1000}  # octets a second


class Told(NamedTuple):
    """after_s: when the bucket that it is compared with begins."""

    after_s: int
    shift: str
    part: str


def _batch(after_s: int, length_s: int = 60) -> Batch:
    """Octets tell the second in which the interval begins."""
    parts = tuple(
        PartIncrement("T1", name, Direction.IN, _octets(name, after_s), length_s, How.COUNTED)
        for name in PARTS
    )
    return replace(batch(after_s, length_s=length_s), parts=parts)


def _octets(part: str, after_s: int) -> int:
    return PARTS[part] * (1_000_000 + after_s)


def _sum(part: str, start_s: int, length_s: int = 60) -> int:
    """Of the intervals of a bucket."""
    return sum(_octets(part, start_s + at_s) for at_s in range(0, BUCKET_S, length_s))


def _hours(first_s: int, last_s: int, length_s: int = 60) -> Iterator[Batch]:
    return (_batch(after_s, length_s) for after_s in range(first_s, last_s, length_s))


def _told(folder: Path) -> dict[Told, list[tuple[int, int]]]:
    """Octets and packets, each time that it was told: of all that waits for the sink."""
    found = defaultdict(list)
    with spool_of(folder, "influxdb") as spool:
        waiting = [one for _, one in spool.next_batches(100_000) if not one.resolution_s]
    for one in waiting:
        for baseline in one.baselines:
            for part in baseline.parts:
                key = Told(baseline.start_ns // NS - T0_S, baseline.shift, part.part)
                found[key].append((part.octets, part.packets))
    return dict(found)


def _expected(shift: str, shift_s: int, starts: range) -> dict[Told, list[tuple[int, int]]]:
    return {
        Told(start_s, shift, part): [(_sum(part, start_s - shift_s), BUCKET_S)]
        for start_s in starts
        for part in PARTS
    }


def test_a_baseline_is_what_the_same_bucket_carried_a_day_before(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=60) as store:
        commit(store, *_hours(0, 2 * HOUR_S), *_hours(DAY_S, DAY_S + HOUR_S), sinks=("influxdb",))
    assert _told(tmp_path) == _expected("1d", DAY_S, range(DAY_S, DAY_S + 2 * HOUR_S - BUCKET_S, BUCKET_S))


def test_a_week_before_is_told_beside_a_day_before(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=60) as store:
        for day in (0, 6, 7):
            commit(store, *_hours(day * DAY_S, day * DAY_S + HOUR_S), sinks=("influxdb",))
    told = {at: found for at, found in _told(tmp_path).items() if at.after_s >= WEEK_S}
    hour = range(WEEK_S, WEEK_S + HOUR_S, BUCKET_S)
    assert told == {**_expected("1d", DAY_S, hour), **_expected("7d", WEEK_S, hour)}


def test_a_baseline_is_there_an_hour_before_its_time(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=60) as store:
        commit(store, *_hours(0, 4 * HOUR_S), sinks=("influxdb",))
        now_s = DAY_S + HOUR_S
        commit(store, *_hours(DAY_S, now_s + 60), sinks=("influxdb",))
    assert max(one.after_s for one in _told(tmp_path)) == now_s + HOUR_S - BUCKET_S


@pytest.mark.parametrize("at_s", [60, 300, 1500, HOUR_S])
def test_a_restart_neither_misses_nor_doubles_a_baseline(tmp_path: Path, at_s: int) -> None:
    with opened(tmp_path, interval_s=60) as store:
        commit(store, *_hours(0, 3 * HOUR_S), sinks=("influxdb",))
    for first_s, last_s in ((0, at_s), (at_s, 2 * HOUR_S)):
        with opened(tmp_path, interval_s=60) as store:
            commit(store, *_hours(DAY_S + first_s, DAY_S + last_s), sinks=("influxdb",))
    assert _told(tmp_path) == _expected("1d", DAY_S, range(DAY_S, DAY_S + 3 * HOUR_S - BUCKET_S, BUCKET_S))


def test_a_bucket_without_an_agent_is_told_as_nothing_and_not_as_zero(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=60) as store:
        commit(store, *_hours(0, 600), *_hours(1800, 2400), *_hours(DAY_S, DAY_S + 1800), sinks=("influxdb",))
    assert {one.after_s - DAY_S for one in _told(tmp_path)} == {0, 300, 1800, 2100}


def test_what_really_carried_nothing_is_told_as_zero(tmp_path: Path) -> None:
    idle = (PartIncrement("T1", "web", Direction.IN, 0, 0, How.COUNTED),)
    with opened(tmp_path, interval_s=60) as store:
        commit(store, replace(_batch(0), parts=idle), _batch(DAY_S), sinks=("influxdb",))
    assert _told(tmp_path) == {Told(DAY_S, "1d", "web"): [(0, 0)]}


def test_one_batch_takes_along_a_bounded_number_of_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipsecmon.store.baselines.MAX_POINTS", 7)
    with opened(tmp_path, interval_s=60) as store:
        commit(store, *_hours(0, 2 * HOUR_S), _batch(DAY_S), sinks=("influxdb",))
        assert len(_told(tmp_path)) == 8  # whole buckets
        commit(store, _batch(DAY_S + 60), sinks=("influxdb",))
    assert _told(tmp_path) == _expected("1d", DAY_S, range(DAY_S, DAY_S + 8 * BUCKET_S, BUCKET_S))


def test_after_no_agent_ran_a_day_is_told_late_and_what_is_older_never(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=60) as store:
        commit(store, *_hours(0, HOUR_S), *_hours(DAY_S, DAY_S + 2 * HOUR_S, 300), sinks=("influxdb",))
        late_s = 2 * DAY_S + HOUR_S // 2
        commit(store, *_hours(late_s, late_s + 2 * HOUR_S), sinks=("influxdb",))
    told = {one.after_s for one in _told(tmp_path) if one.after_s >= DAY_S + HOUR_S}
    assert told == {*range(2 * DAY_S, 2 * DAY_S + 2 * HOUR_S, BUCKET_S)}


def test_a_clock_that_was_set_back_tells_the_same_again(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=60) as store:
        commit(store, *_hours(0, 4 * HOUR_S), *_hours(DAY_S + 2 * HOUR_S, DAY_S + 2 * HOUR_S + 1800))
        commit(store, _batch(DAY_S + 300), sinks=("influxdb",))  # two hours back
    assert _told(tmp_path) == _expected("1d", DAY_S, range(DAY_S + 300, DAY_S + 300 + HOUR_S, BUCKET_S))


def test_a_clock_that_was_years_ahead_holds_up_no_baseline(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=60) as store:
        commit(store, *_hours(-HOUR_S, HOUR_S), _batch(900 * DAY_S), _batch(DAY_S), sinks=("influxdb",))
    assert {one.after_s for one in _told(tmp_path)} == {*range(DAY_S, DAY_S + HOUR_S, BUCKET_S)}


def test_an_interval_longer_than_a_bucket_is_told_in_the_one_that_it_begins_in(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=900) as store:
        commit(store, *_hours(0, HOUR_S, 900), *_hours(DAY_S, DAY_S + HOUR_S, 900), sinks=("influxdb",))
    assert {one.after_s - DAY_S for one in _told(tmp_path)} == {0, 900, 1800, 2700}
    assert _told(tmp_path)[Told(DAY_S + 900, "1d", "web")] == [(_octets("web", 900), 900)]


def test_a_commit_that_fails_tells_its_baselines_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, interval_s=60) as store:
        commit(store, *_hours(0, HOUR_S))
        with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
            broken.setattr("ipsecmon.store.spool.enqueue", lambda *_: 1 // 0)
            commit(store, _batch(DAY_S), sinks=("influxdb",))
        commit(store, _batch(DAY_S), sinks=("influxdb",))
    assert _told(tmp_path) == _expected("1d", DAY_S, range(DAY_S, DAY_S + HOUR_S, BUCKET_S))


def test_baselines_are_sent_again_with_the_interval_that_took_them_along(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=60) as store:
        commit(store, *_hours(0, HOUR_S), _batch(DAY_S))
    (again,) = kept_batches(tmp_path, (T0_S + DAY_S) * NS, (T0_S + 2 * DAY_S) * NS)
    assert [one.start_ns // NS - T0_S - DAY_S for one in again.baselines] == [*range(0, HOUR_S, BUCKET_S)]


def test_eight_days_of_buckets_are_kept_and_no_more_than_retention(tmp_path: Path) -> None:
    for folder, retention_s, kept_s in ((tmp_path, 400 * DAY_S, 8 * DAY_S), (tmp_path / "2", DAY_S, DAY_S)):
        with opened(folder, interval_s=300, retention_s=retention_s) as store:
            commit(store, *_hours(0, 3 * HOUR_S, 300), *_hours(kept_s, kept_s + 3 * HOUR_S, 300))
        oldest_s = number_in(folder, f"SELECT min(bucket_ns) / {NS} - {T0_S} FROM part_bucket")
        assert oldest_s == 3 * HOUR_S - BUCKET_S


def test_where_there_is_no_room_a_day_of_buckets_stays(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=60) as store:
        commit(store, *_hours(0, 2 * DAY_S, 3600))
    with contextlib.closing(connect(tmp_path / FILE)) as connection, transaction(connection):
        assert make_room(connection, 0).full
    newest_s = 2 * DAY_S - HOUR_S
    oldest_s = number_in(tmp_path, f"SELECT min(bucket_ns) / {NS} - {T0_S} FROM part_bucket")
    assert oldest_s == newest_s - DAY_S
