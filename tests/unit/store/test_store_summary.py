"""report(): what a person reads, beside a running agent."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from ipsecmon.clock import Moment
from ipsecmon.errors import NewerStore, StoreError
from ipsecmon.model import Batch, Increment
from ipsecmon.store import ClockStep, Report, ReportRow, report
from ipsecmon.store.clock_steps import MAX_STEPS
from tests.unit.store.store_cases import DAY_S, NS, T0_S, VPN, WEB, batch, commit, moment, opened

START_NS = T0_S * NS
END_NS = START_NS + DAY_S * NS


def test_a_report_sums_every_column_and_takes_the_newest_pending(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(0, Increment(WEB, 1, 2, 3, 4, 5, 6, 7, 8), Increment(VPN, 9, 1)))
        commit(store, batch(10, Increment(WEB, 10, 20, 30, 40, 50, 60, 70, 80)))
    assert report(tmp_path, START_NS, END_NS) == Report(
        router="hq-gw1",
        start_ns=START_NS,
        end_ns=START_NS + 20 * NS,
        rows=(ReportRow(WEB, 11, 22, 33, 44, 55, 77, 88, 60), ReportRow(VPN, 9, 1, 0, 0, 0, 0, 0, 0)),
    )


def test_pending_in_a_bucket_is_the_newest_too(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, *(batch(10 * n, Increment(WEB, 1, 1, pending_packets=n)) for n in (3, 5, 4)))
    assert report(tmp_path, START_NS, END_NS + 2 * DAY_S * NS).rows[0].pending_packets == 4


def test_a_report_says_what_it_really_covers(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(3610), batch(3620))
    found = report(tmp_path, START_NS - 10 * DAY_S * NS, END_NS + 10 * DAY_S * NS)
    assert (found.start_ns, found.end_ns) == (START_NS + 3610 * NS, START_NS + 3630 * NS)


def test_a_row_belongs_to_the_range_its_start_is_in(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(0), batch(10), batch(20))
    middle_ns = START_NS + 15 * NS
    first, second = report(tmp_path, START_NS, middle_ns), report(tmp_path, middle_ns, END_NS)
    assert (first.rows[0].octets, second.rows[0].octets) == (2000, 1000)
    assert (first.end_ns, second.start_ns) == (START_NS + 20 * NS, START_NS + 20 * NS)


def test_a_range_without_rows_is_empty(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(0))
    assert report(tmp_path, END_NS, END_NS + 1) == Report("", END_NS, END_NS, ())
    assert report(tmp_path, END_NS, START_NS) == Report("", END_NS, END_NS, ())


def test_an_idle_agent_covers_time_too(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, Batch("hq-gw1", START_NS, START_NS + 10 * NS, ()))
    assert report(tmp_path, START_NS, END_NS) == Report("hq-gw1", START_NS, START_NS + 10 * NS, ())


def test_the_routers_newest_name_is_reported(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(0, router="old"), batch(20, router="new"), batch(10, router="old"))
    assert report(tmp_path, START_NS, START_NS + 30 * NS).router == "new"


def test_a_report_sees_what_a_running_agent_has_committed(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for number in range(3):
            commit(store, batch(10 * number))
            assert report(tmp_path, START_NS, END_NS).rows[0].octets == 1000 * (number + 1)


def test_a_report_writes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(0))
    before = (tmp_path / "ipsecmon.sqlite").read_bytes()
    report(tmp_path, START_NS, END_NS)
    assert (tmp_path / "ipsecmon.sqlite").read_bytes() == before


def test_a_missing_store_is_said_to_be_missing(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreError) as caught:
            report(folder, START_NS, END_NS)
        assert str(caught.value) == f"no store in {folder}: has ipsecmon run with this config?"
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_was_just_begun_is_missing_too(tmp_path: Path) -> None:
    (tmp_path / "ipsecmon.sqlite").touch()
    with pytest.raises(StoreError, match="no store in"):
        report(tmp_path, START_NS, END_NS)


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "ipsecmon.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(NewerStore, match="schema 9, this one knows 8"):
        report(tmp_path, START_NS, END_NS)


def test_a_damaged_store_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "ipsecmon.sqlite").write_bytes(b"no database " * 1000)
    with pytest.raises(StoreError, match=r"ipsecmon\.sqlite is damaged: restart ipsecmon"):
        report(tmp_path, START_NS, END_NS)


def test_a_sum_over_many_days_may_leave_64_bits(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, *(batch(day * DAY_S, Increment(WEB, 2**62 + day, 1)) for day in range(9)))
    assert report(tmp_path, START_NS, END_NS + 9 * DAY_S * NS).rows[0].octets == 9 * 2**62 + 36


def test_a_report_names_the_clock_steps_of_its_range(tmp_path: Path) -> None:
    hour_ns = 3600 * NS
    with opened(tmp_path) as store:
        for number, stepped_ns in enumerate((hour_ns, -hour_ns)):
            one = batch(DAY_S * number)
            store.commit(one, [], [], Moment(one.end_ns + stepped_ns, 0), stepped_ns)
    first_ns, second_ns = START_NS + 10 * NS, START_NS + 10 * NS + DAY_S * NS
    there, back = ClockStep(first_ns, first_ns + hour_ns), ClockStep(second_ns, second_ns - hour_ns)
    assert report(tmp_path, START_NS, START_NS + 2 * DAY_S * NS).clock_steps == (there, back)
    assert report(tmp_path, first_ns + hour_ns // 2, first_ns + hour_ns).clock_steps == (there,)
    assert report(tmp_path, first_ns + 2 * hour_ns, second_ns - 2 * hour_ns).clock_steps == ()


def test_clock_steps_are_remembered_in_bounded_number(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for number in range(MAX_STEPS + 5):
            store.commit(batch(number), [], [], moment(number), stepped_ns=NS)
    steps = report(tmp_path, START_NS, END_NS).clock_steps
    assert len(steps) == MAX_STEPS
    assert steps[-1].from_ns == START_NS + (MAX_STEPS + 14) * NS
