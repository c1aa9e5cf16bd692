"""Sums of hours: equal to their intervals, none missing or double after a restart, made anew if late."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecmon.model import Batch, Direction, How, Increment, LineCapacity, PartIncrement, TunnelIncrement
from ipsecmon.store import Store, first_kept_ns, hour_batches, kept_batches
from ipsecmon.store.hours import HOUR_NS
from ipsecmon.store.schema import FILE
from ipsecmon.store.spool import MAX_SPOOL_HOURS
from tests.unit.store.store_cases import (
    DAY_S,
    NS,
    PARENT_IN,
    T0_S,
    VPN,
    WEB,
    batch,
    commit,
    moment,
    number_in,
    opened,
    spool_of,
)

T0_NS = T0_S * NS
OTHER_PEER = PARENT_IN._replace(peer="203.0.113.9")


def _interval(number: int) -> Batch:
    """Of five minutes, with numbers that no two have alike."""
    one = batch(300 * number, Increment(WEB, 1000 + number, 10), Increment(VPN, number, 1), length_s=300)
    how = How.ATTRIBUTED if number % 12 == 3 else How.COUNTED
    parts = (PartIncrement("T1", "web", Direction.IN, 500 + number, 5, how),)
    inside = (TunnelIncrement(PARENT_IN, octets=number, sas=2), TunnelIncrement(OTHER_PEER, octets=10, sas=1))
    return replace(one, parts=parts, tunnels=inside)


def _hours_in(folder: Path, sink: str = "influxdb") -> list[Batch]:
    """All that waits for the sink, but for intervals."""
    with spool_of(folder, sink) as spool:
        return [one for _, one in spool.next_batches(10_000) if one.resolution_s]


def _octets(found: Batch) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for one in found.increments:
        sums[one.key.name] += one.octets
    for tunnel in found.tunnels:
        sums[f"tunnel {tunnel.key.tunnel}"] += tunnel.octets
    for part in found.parts:
        sums[f"part {part.part}"] += part.octets
    return dict(sums)


def _sums(numbers: range) -> dict[str, int]:
    return {
        "web": sum(1000 + number for number in numbers),
        "VPN-to-parent": sum(numbers),
        "tunnel VPN-to-parent": sum(number + 10 for number in numbers),
        "part web": sum(500 + number for number in numbers),
    }


def test_an_hour_is_the_sum_of_its_intervals_and_comes_with_the_next_one(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=300) as store:
        commit(store, *map(_interval, range(12)), sinks=("influxdb",))
        assert _hours_in(tmp_path) == []
        commit(store, _interval(12), sinks=("influxdb",))
        (hour,) = _hours_in(tmp_path)
    assert (hour.start_ns, hour.end_ns, hour.resolution_s) == (T0_NS, T0_NS + HOUR_NS, 3600)
    assert hour.router == "hq-gw1"
    assert _octets(hour) == _sums(range(12))
    assert hour.parts[0].how is How.ATTRIBUTED  # the least sure of its intervals


@pytest.mark.parametrize("at", [1, 11, 12, 13])
def test_a_restart_neither_misses_nor_doubles_an_hour(tmp_path: Path, at: int) -> None:
    for numbers in (range(at), range(at, 26)):
        with opened(tmp_path, interval_s=300) as store:
            commit(store, *map(_interval, numbers), sinks=("influxdb",))
    found = _hours_in(tmp_path)
    assert [one.start_ns for one in found] == [T0_NS, T0_NS + HOUR_NS]
    assert [_octets(one) for one in found] == [_sums(range(12)), _sums(range(12, 24))]


def test_an_hour_that_gets_more_after_a_step_of_the_clock_is_made_again_whole(tmp_path: Path) -> None:
    late = replace(_interval(5), start_ns=_interval(5).start_ns + 1)  # one ns on for each step back
    with opened(tmp_path, interval_s=300) as store:
        commit(store, *map(_interval, range(13)), late, _interval(14), sinks=("influxdb",))
    first, second, again = _hours_in(tmp_path)
    assert (first.start_ns, second.start_ns, again.start_ns) == (T0_NS, T0_NS + HOUR_NS, T0_NS)
    assert _octets(first) == _sums(range(12))
    assert _octets(again)["web"] == _sums(range(12))["web"] + 1005
    assert _octets(again)["part web"] == _sums(range(12))["part web"] + 505


def test_an_hour_has_the_capacity_that_the_config_said_last_in_it(tmp_path: Path) -> None:
    def planned(number: int, bits_per_s: int) -> Batch:
        return replace(_interval(number), capacities=(LineCapacity("T1", Direction.OUT, bits_per_s),))

    planned_all = [planned(0, 1), planned(11, 2), planned(12, 3), replace(_interval(24), capacities=())]
    with opened(tmp_path, interval_s=300) as store:
        commit(store, *planned_all, _interval(36), sinks=("influxdb",))
        again = list(hour_batches(tmp_path, T0_NS, T0_NS + DAY_S * NS))
    found = _hours_in(tmp_path)
    assert [[line.bits_per_s for line in one.capacities] for one in found] == [[2], [3], []]
    assert [one.capacities for one in again] == [one.capacities for one in found]


def test_hours_of_a_store_that_nobody_has_migrated_yet_have_no_capacity(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=300) as store:
        commit(store, *map(_interval, range(13)))
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.executescript("DROP TABLE line_hour; DROP TABLE part_bucket; PRAGMA user_version = 7")
    (hour,) = hour_batches(tmp_path, T0_NS, T0_NS + DAY_S * NS)
    assert _octets(hour) == _sums(range(12)) and hour.capacities == ()


def test_an_hour_without_the_agent_is_none(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=300) as store:
        commit(store, _interval(0), _interval(40), _interval(60), sinks=("influxdb",))
    assert [one.start_ns for one in _hours_in(tmp_path)] == [T0_NS, T0_NS + 3 * HOUR_NS]


def test_without_sinks_no_hour_waits(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=300) as store:
        commit(store, *map(_interval, range(30)))
    assert number_in(tmp_path, "SELECT count(*) FROM payload") == 0


def test_a_full_spool_drops_intervals_and_keeps_their_hours(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=300, max_spool_batches=10) as store:
        commit(store, *map(_interval, range(61)), sinks=("influxdb",))
        dropped = store.spool_dropped()["influxdb"]
        waiting = store.backlog("influxdb").batches
    found = _hours_in(tmp_path)
    assert waiting - len(found) <= 10 and dropped == 61 - (waiting - len(found))
    assert [_octets(one) for one in found] == [_sums(range(n, n + 12)) for n in range(0, 60, 12)]


def test_hours_in_the_spool_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_SPOOL_HOURS == 366 * 24
    monkeypatch.setattr("ipsecmon.store.spool.MAX_SPOOL_HOURS", 3)
    with opened(tmp_path, interval_s=300) as store:
        commit(store, *(_interval(12 * number) for number in range(8)), sinks=("influxdb",))
    assert [one.start_ns for one in _hours_in(tmp_path)] == [T0_NS + n * HOUR_NS for n in (4, 5, 6)]


def test_hours_of_a_range_come_from_history_again_but_for_the_one_that_runs(tmp_path: Path) -> None:
    with opened(tmp_path, interval_s=300) as store:
        commit(store, *map(_interval, range(40)))
        found = list(hour_batches(tmp_path, T0_NS + HOUR_NS + 1, T0_NS + DAY_S * NS))
    assert [_octets(one) for one in found] == [_sums(range(12, 24)), _sums(range(24, 36))]
    assert list(hour_batches(tmp_path, T0_NS - DAY_S * NS, T0_NS)) == []


def test_intervals_are_kept_as_they_were_with_or_without_a_sink(tmp_path: Path) -> None:
    batches = [_interval(number) for number in range(270)]  # before the first baseline
    with opened(tmp_path, interval_s=300) as store, spool_of(tmp_path, "influxdb") as spool:
        commit(store, *batches[:10])
        commit(store, *batches[10:], sinks=("influxdb",))
        spool.ack(*(number for number, _ in spool.next_batches(10_000)))
        assert list(kept_batches(tmp_path, 0, 2 * T0_NS)) == batches
        some = list(kept_batches(tmp_path, batches[5].start_ns, batches[9].start_ns))
    assert some == batches[5:9]
    assert first_kept_ns(tmp_path) == T0_NS


def test_what_is_kept_goes_with_its_retention_and_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, interval_s=300, retention_s=DAY_S) as store:
        commit(store, _interval(0), *(_interval(2 * 288 + number) for number in range(9)))
        assert first_kept_ns(tmp_path) == _interval(2 * 288).start_ns
        monkeypatch.setattr("ipsecmon.store.kept.MAX_KEPT_BATCHES", 4)
        commit(store, _interval(2 * 288 + 9), _interval(2 * 288 + 10))
    assert number_in(tmp_path, "SELECT count(*) FROM kept_batch") == 4
    assert number_in(tmp_path, "SELECT min(hour_ns) FROM part_hour") == T0_NS + 48 * HOUR_NS


def test_a_commit_that_fails_leaves_the_hour_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, interval_s=300) as store:
        commit(store, *map(_interval, range(12)), sinks=("influxdb",))
        with monkeypatch.context() as patched:
            patched.setattr(Store, "_note_end", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                store.commit(_interval(12), [], ["influxdb"], moment(3900))
        assert _hours_in(tmp_path) == []
        commit(store, _interval(12), sinks=("influxdb",))
    assert [_octets(one) for one in _hours_in(tmp_path)] == [_sums(range(12))]
