"""A commit is all or nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import ipsecmon
from ipsecmon.agent.observe import Counters
from ipsecmon.errors import StoreError
from ipsecmon.model import Increment, Reading
from ipsecmon.store import SavedReading, Store, report
from ipsecmon.store.sums import MAX_NUMBER
from tests.unit.store.store_cases import (
    NS,
    T0_S,
    VPN,
    WEB,
    batch,
    commit,
    moment,
    number_in,
    opened,
    reading,
    spool_of,
)

FOREVER_NS = 2**62


def _octets(folder: Path) -> int:
    return sum(row.octets for row in report(folder, 0, FOREVER_NS).rows)


def test_readings_are_saved_with_the_end_of_their_batch(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.commit(batch(0), [reading(1000)], [], moment(11))
        assert store.readings() == {WEB: SavedReading(1000, 10, "birth-1", (T0_S + 10) * NS)}


def test_a_baseline_is_saved_without_a_batch(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.save_readings([reading(700)], moment(3).wall_ns)
        assert store.readings()[WEB] == SavedReading(700, 7, "birth-1", (T0_S + 3) * NS)
        assert store.last_end_ns() is None


def test_a_reading_that_is_not_in_a_commit_stays(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.commit(batch(0), [reading(1000), reading(50, VPN)], [], moment(10))
        store.commit(batch(10), [reading(2000)], [], moment(20))
        assert {key: saved.octets for key, saved in store.readings().items()} == {WEB: 2000, VPN: 50}


def test_a_reading_older_than_the_retention_is_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path, retention_s=86400) as store:
        store.commit(batch(0), [reading(1000), reading(50, VPN)], [], moment(10))
        store.commit(batch(86420), [reading(2000)], [], moment(86430))
        assert set(store.readings()) == {WEB}


def test_last_end_is_of_the_last_commit_and_last_start_the_largest(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(100), batch(50))  # the clock was set back
        assert store.last_end_ns() == (T0_S + 60) * NS
        assert store.last_start_ns() == (T0_S + 100) * NS


def test_a_start_that_comes_again_is_added(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(0), batch(0, Increment(WEB, 500, 5), Increment(VPN, 7, 1)))
    assert [(row.key, row.octets) for row in report(tmp_path, 0, FOREVER_NS).rows] == [(WEB, 1500), (VPN, 7)]


def test_the_largest_signed_64_bit_number_survives(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.commit(batch(0, Increment(WEB, 2**63 - 1, 1)), [reading(2**63 - 1)], [], moment(10))
        assert store.readings()[WEB].octets == 2**63 - 1
    assert _octets(tmp_path) == 2**63 - 1


def test_a_reading_may_have_all_64_bits(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.commit(batch(0), [Reading(WEB, 2**64 - 1, 2**63, "birth-1")], [], moment(10))
    with opened(tmp_path) as store:
        assert store.readings()[WEB] == SavedReading(2**64 - 1, 2**63, "birth-1", (T0_S + 10) * NS)


@pytest.mark.parametrize("octets", [2**63 - 1000, 2**63, 2**64 - 1])
def test_a_sum_beyond_63_bits_stays_at_the_largest_and_everything_else_goes_on(
    tmp_path: Path, octets: int, caplog: pytest.LogCaptureFixture
) -> None:
    counts = Counters()
    with opened(tmp_path, counts=counts) as store, spool_of(tmp_path, "file") as spool:
        store.commit(batch(0), [], ["file"], moment(10))
        for start_s in (10, 20):
            both = (Increment(WEB, octets, 1), Increment(VPN, 7, 1))
            store.commit(batch(start_s, *both), [], ["file"], moment(start_s + 10))
        found = {row.key: row for row in report(tmp_path, T0_S * NS, (T0_S + 60) * NS).rows}
        assert found[WEB].octets == MAX_NUMBER
        assert (found[WEB].packets, found[VPN].octets) == (12, 14)
        assert spool.backlog().batches == 3
        first = spool.next_batch()
    assert first is not None and first[1] == batch(0)
    assert counts.totals()["store.saturated-sums"] > 0
    assert caplog.text.count("a sum has reached the largest number") == 1


def _limit_pages(store: Store, pages: int) -> None:
    """The real SQLITE_FULL, without a small disk: https://www.sqlite.org/pragma.html#pragma_max_page_count"""
    assert isinstance(store._connection, sqlite3.Connection)
    store._connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()


def test_a_full_disk_leaves_nothing_half_written_and_the_next_commit_works(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.commit(batch(0), [reading(1000)], ["file"], moment(10))
        _limit_pages(store, 1)
        many = [Increment(WEB._replace(name=f"counter-{number}" * 20), 5, 1) for number in range(300)]
        with pytest.raises(StoreError, match=r"no space left for .*: free some, or make store.max_size"):
            store.commit(batch(10, *many), [reading(1500)], ["file"], moment(20))
        assert store.readings()[WEB] == SavedReading(1000, 10, "birth-1", (T0_S + 10) * NS)
        assert store.backlog("file").batches == 1
        _limit_pages(store, 2**30)
        store.commit(batch(20), [reading(2000)], ["file"], moment(30))
    assert _octets(tmp_path) == 2000
    assert number_in(tmp_path, "SELECT count(*) FROM counter") == 1


def test_a_failure_while_readings_are_handed_over_undoes_the_batch(tmp_path: Path) -> None:
    def broken() -> list[object]:
        raise RuntimeError("a bug in the caller")

    with opened(tmp_path) as store:
        commit(store, batch(0))
        with pytest.raises(RuntimeError):
            store.commit(batch(10), (reading(1) for _ in broken()), [], moment(20))
        assert store.last_end_ns() == (T0_S + 10) * NS
        commit(store, batch(20))
    assert _octets(tmp_path) == 2000


def test_a_file_that_another_program_keeps_locked_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipsecmon.store.schema.BUSY_TIMEOUT_S", 0.0)
    with opened(tmp_path) as store:
        other = sqlite3.connect(tmp_path / "ipsecmon.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another program"):
            commit(store, batch(0))
        other.close()
        commit(store, batch(0))
    assert _octets(tmp_path) == 1000


_COMMITTER = """
import sys
from pathlib import Path
from tests.unit.store.store_cases import batch, moment, reading
from ipsecmon.store import Store

store = Store(Path(sys.argv[1]), 10, 86400)
store.start(moment(0))
for number in range(1, 100_000):
    store.commit(batch(10 * number), [reading(1000 * number)], ["file"], moment(10 * number + 10))
    print(number, flush=True)
"""


@pytest.mark.parametrize("commits", [1, 7, 30])
def test_every_commit_that_returned_survives_kill_9(tmp_path: Path, commits: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _COMMITTER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(ipsecmon.__file__).parents[1])},
    ) as committer:
        assert committer.stdout is not None
        for _ in range(commits):
            printed = int(committer.stdout.readline())
        committer.send_signal(signal.SIGKILL)
        printed = max([printed, *(int(line) for line in committer.stdout)])
    with opened(tmp_path, retention_s=86400) as store, spool_of(tmp_path, "file") as spool:
        last_end_ns = store.last_end_ns()
        assert last_end_ns is not None
        last = (last_end_ns // NS - T0_S) // 10 - 1
        assert last in (printed, printed + 1)  # the last one may have been killed before its print
        saved = store.readings()[WEB]
        assert (saved.octets, saved.at_ns) == (1000 * last, last_end_ns)
        assert spool.backlog().batches == last
    assert _octets(tmp_path) == 1000 * last
