"""The store stays within its size, by a stated order, and says what it gave up."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from ipsecmon.agent.observe import Counters
from ipsecmon.errors import StoreError
from ipsecmon.model import Batch, Increment
from ipsecmon.store import WAL_MAX_OCTETS, Store, report, schema, wal
from ipsecmon.store.room import KEEP_SPANS
from tests.unit.store.store_cases import (
    DAY_S,
    NS,
    T0_S,
    WEB,
    batch,
    commit,
    moment,
    number_in,
    opened,
    spool_of,
)

MIB = 2**20
SMALL = WAL_MAX_OCTETS + 2 * MIB


def _wide(after_s: int, counters: int = 40) -> Batch:
    keys = (WEB._replace(name=f"counter-{number:04d}") for number in range(counters))
    return batch(after_s, *(Increment(key, 10**6, 1000, 10**6, 1000) for key in keys))


def _file(folder: Path) -> int:
    return (folder / "ipsecmon.sqlite").stat().st_size


def test_a_spool_that_nobody_empties_takes_half_and_drops_the_oldest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, max_octets=SMALL) as store, spool_of(tmp_path, "influxdb") as spool:
        for number in range(800):
            commit(store, _wide(10 * number), sinks=("influxdb",))
        state = store.condition()
        dropped = store.spool_dropped()["influxdb"]
        waiting = spool.backlog().batches
        first_hour, oldest = spool.next_batches(2)
        assert state.dropping == ("influxdb",)
        assert MIB / 2 < state.spool_octets <= MIB
        assert state.octets_in_use <= 2 * MIB + 64 * 1024
        assert dropped + waiting == 800 + 2
        assert first_hour[1].resolution_s == 3600
        assert first_hour[1].increments[0].octets == 360 * 10**6
        assert oldest[1] == _wide(10 * dropped)
        assert caplog.text.count("spool is full, the oldest intervals are dropped sink=influxdb") == 1
        assert report(tmp_path, T0_S * NS, (T0_S + DAY_S) * NS).rows[0].octets == 800 * 10**6
        while found := spool.next_batch():
            spool.ack(found[0])
        with caplog.at_level("INFO"):
            commit(store, _wide(8000), sinks=("influxdb",))
        assert "spool has room again sink=influxdb" in caplog.text
        assert store.condition().dropping == ()
    assert _file(tmp_path) <= 2 * MIB + 256 * 1024


def test_history_beyond_the_size_goes_finest_first_and_no_sum_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counts = Counters()
    hours = 3 * 24
    with opened(tmp_path, max_octets=SMALL + 400 * 1024, counts=counts) as store:
        for number in range(hours * 12):
            commit(store, _wide(300 * number))
        state = store.condition()
    assert state.octets_in_use <= 2 * MIB + 464 * 1024
    assert state.trimmed and not state.too_small
    assert caplog.text.count("store is at its max_size") == 1
    assert counts.totals()["store.trimmed-spans"] > 0
    levels = {s: f"SELECT count(*) FROM span WHERE resolution_s = {s}" for s in (0, 60, 900, 86400)}
    kept = {level_s: number_in(tmp_path, sql) for level_s, sql in levels.items()}
    assert KEEP_SPANS[0] <= kept[0] < hours * 12
    assert kept[900] == hours * 4 and kept[86400] == 3
    whole = report(tmp_path, T0_S * NS, (T0_S + 3 * DAY_S) * NS)
    assert whole.rows[0].octets == hours * 12 * 10**6
    first_day = report(tmp_path, T0_S * NS, (T0_S + DAY_S) * NS)
    assert first_day.rows[0].octets == 24 * 12 * 10**6


def test_a_size_that_was_made_smaller_is_reached_and_the_disk_gets_its_room_back(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for number in range(700):
            commit(store, _wide(10 * number), sinks=("file",))
    assert _file(tmp_path) > 3 * MIB
    with opened(tmp_path, max_octets=SMALL) as store:
        for number in range(700, 740):
            commit(store, _wide(10 * number), sinks=("file",))
        assert store.condition().octets_in_use <= 2 * MIB + 64 * 1024
    assert _file(tmp_path) <= 2 * MIB + 256 * 1024
    assert report(tmp_path, T0_S * NS, (T0_S + DAY_S) * NS).rows[0].octets == 740 * 10**6


def test_one_commit_gives_up_a_bounded_number_of_rows(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for number in range(1000):
            commit(store, _wide(10 * number))
    with opened(tmp_path, max_octets=WAL_MAX_OCTETS) as store:
        commit(store, _wide(10_000))
        assert number_in(tmp_path, "SELECT count(*) FROM span WHERE resolution_s = 0") > 400


def test_a_size_too_small_for_the_counters_is_said_and_counting_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, max_octets=WAL_MAX_OCTETS) as store:
        for number in range(20):
            commit(store, _wide(10 * number))
        assert store.condition().too_small
    assert caplog.text.count("store.max_size is too small for these counters") == 1
    assert report(tmp_path, T0_S * NS, (T0_S + DAY_S) * NS).rows[0].octets == 20 * 10**6


def test_a_reader_that_stays_cannot_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = MIB
    monkeypatch.setattr(wal.check_wal, "__defaults__", (limit,))
    with opened(tmp_path) as store, spool_of(tmp_path, "file") as spool:
        commit(store, _wide(0), sinks=("file",))
        with contextlib.closing(sqlite3.connect(tmp_path / "ipsecmon.sqlite")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM span").fetchone()
            done = _commit_until_refused(store)
            waiting = spool.next_batch()
            assert waiting is not None
            with pytest.raises(StoreError, match="has been reading the store all the time"):
                spool.ack(waiting[0])
            assert store.condition().wal_octets < 2 * limit
            assert "end it" in (store.condition().refusal or "")
        commit(store, _wide(10 * done))  # the reader is gone
        spool.ack(waiting[0])
        assert store.condition().refusal is None
        assert store.condition().wal_octets < limit
    assert report(tmp_path, T0_S * NS, (T0_S + DAY_S) * NS).rows[0].octets == (done + 1) * 10**6


def _commit_until_refused(store: Store) -> int:
    for number in range(1, 200):
        try:
            commit(store, _wide(10 * number), sinks=("file",))
        except StoreError as error:
            assert "find it with fuser and end it" in str(error)
            return number
    raise AssertionError("never refused")


def test_the_log_stays_small_without_a_reader(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        largest = 0
        for number in range(400):
            commit(store, _wide(10 * number))
            largest = max(largest, store.condition().wal_octets)
    assert largest < 6 * MIB


def test_the_size_of_the_spool_is_what_its_batches_take_up(tmp_path: Path) -> None:
    with opened(tmp_path) as store, spool_of(tmp_path, "b") as b:
        for number in range(30):
            one = _wide(10 * number, counters=3)
            named = batch(10 * number, Increment(WEB._replace(name="Büro-日本"), 1, 1))
            commit(store, one, named, sinks=("a", "b"))
        for _ in range(7):
            waiting = b.next_batch()
            assert waiting is not None
            b.ack(waiting[0])
        store.forget_sinks_except(["b"])
        overhead = schema.BATCH_OVERHEAD_OCTETS
        real = number_in(tmp_path, f"SELECT sum(length(CAST(batch AS BLOB)) + {overhead}) FROM payload")
        assert store.condition().spool_octets == real > 0
        store.forget_sinks_except([])
        assert store.condition().spool_octets == 0


def test_a_sink_that_is_behind_when_it_runs_is_not_told_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, max_spool_batches=10) as store:
        for number in range(50):
            store.commit(batch(10 * number), [], ["a"], moment(10 * number + 10))
    assert caplog.text.count("spool is full") == 1
