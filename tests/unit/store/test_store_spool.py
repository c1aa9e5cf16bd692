"""A batch leaves the spool only when its sink acknowledged it, or when the spool is full."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from ipsecmon.errors import StoreError
from ipsecmon.model import Batch, Increment, SelfMeasurement
from ipsecmon.store import Backlog, Spool
from ipsecmon.store.codec import encode_batch
from ipsecmon.store.spool import GROUP_OCTETS
from tests.unit.store.store_cases import NS, T0_S, WEB, batch, commit, number_in, opened, spool_of

PAYLOADS = "SELECT count(*) FROM payload"


def _drain(spool: Spool, at_most: int = 1000) -> list[Batch]:
    taken = []
    for _ in range(at_most):
        waiting = spool.next_batch()
        if waiting is None:
            break
        taken.append(waiting[1])
        spool.ack(waiting[0])
    return taken


def test_an_empty_spool_has_no_batch(tmp_path: Path) -> None:
    with opened(tmp_path), spool_of(tmp_path, "influxdb") as spool:
        assert spool.next_batch() is None
        assert spool.backlog() == Backlog(0, None)


def test_batches_come_in_order_and_as_they_were(tmp_path: Path) -> None:
    batches = [batch(10 * number) for number in (3, 1, 2)]
    own = (SelfMeasurement("nflog", "truncated", -3),)
    batches.append(Batch("gw", T0_S * NS, T0_S * NS + 2, (), own))
    with opened(tmp_path) as store, spool_of(tmp_path, "influxdb") as spool:
        commit(store, *batches, sinks=("influxdb",))
        assert _drain(spool) == batches


def test_a_batch_stays_until_it_is_acknowledged(tmp_path: Path) -> None:
    with opened(tmp_path) as store, spool_of(tmp_path, "influxdb") as spool:
        commit(store, batch(0), batch(10), sinks=("influxdb",))
        first = spool.next_batch()
        assert first is not None
        assert spool.next_batch() == first
        assert spool.backlog() == Backlog(2, T0_S * NS)
        spool.ack(first[0])
        spool.ack(first[0])
        assert spool.backlog() == Backlog(1, (T0_S + 10) * NS)
        assert store.backlog("influxdb") == spool.backlog()


def test_many_are_taken_and_acknowledged_together(tmp_path: Path) -> None:
    batches = [batch(10 * number) for number in range(7)]
    with opened(tmp_path) as store, spool_of(tmp_path, "a") as spool:
        commit(store, *batches, sinks=("a", "b"))
        found = spool.next_batches(5)
        assert [one for _, one in found] == batches[:5]
        spool.ack(*(number for number, _ in found))
        assert [one for _, one in spool.next_batches(5)] == batches[5:]
        assert store.backlog("b").batches == 7


def test_what_is_taken_together_is_bounded_in_memory(tmp_path: Path) -> None:
    wide = [Increment(WEB._replace(name=f"counter-{number}"), 1, 1) for number in range(1000)]
    with opened(tmp_path) as store, spool_of(tmp_path, "a") as spool:
        commit(store, *(batch(10 * number, *wide) for number in range(20)), sinks=("a",))
        found = spool.next_batches(1000)
    assert 1 <= len(found) == -(-GROUP_OCTETS // len(encode_batch(found[0][1])))


def test_what_cannot_be_read_among_many_is_dropped_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as store, spool_of(tmp_path, "a") as spool:
        commit(store, *(batch(10 * number) for number in range(4)), sinks=("a",))
        with contextlib.closing(sqlite3.connect(tmp_path / "ipsecmon.sqlite")) as connection, connection:
            connection.execute("UPDATE payload SET batch = '[' WHERE id IN (1, 3)")
        assert [number for number, _ in spool.next_batches(9)] == [2]
        spool.ack(2)
        assert [number for number, _ in spool.next_batches(9)] == [4]
        assert store.spool_dropped() == {"a": 2}


def test_a_payload_goes_with_its_last_delivery(tmp_path: Path) -> None:
    with opened(tmp_path) as store, spool_of(tmp_path, "a") as a, spool_of(tmp_path, "b") as b:
        commit(store, batch(0), sinks=("a", "b"))
        assert number_in(tmp_path, PAYLOADS) == 1
        assert len(_drain(a)) == 1
        assert number_in(tmp_path, PAYLOADS) == 1
        assert len(_drain(b)) == 1
        assert number_in(tmp_path, PAYLOADS) == 0


def test_without_sinks_nothing_is_spooled(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(0))
        assert number_in(tmp_path, PAYLOADS) == 0


def test_a_full_spool_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    batches = [batch(10 * number) for number in range(8)]
    with opened(tmp_path, max_spool_batches=5) as store, spool_of(tmp_path, "a") as a:
        commit(store, *batches[:2], sinks=("a", "b"))
        assert _drain(a, 1) == batches[:1]
        commit(store, *batches[2:], sinks=("a", "b"))
        assert store.spool_dropped() == {"a": 2, "b": 3}
        assert number_in(tmp_path, PAYLOADS) == 5
        assert _drain(a) == batches[3:]


def test_what_was_dropped_is_known_after_a_restart_and_counted_on(tmp_path: Path) -> None:
    for _ in range(2):
        with opened(tmp_path, max_spool_batches=1) as store:
            commit(store, batch(0), batch(10), sinks=("a:%",))
    with opened(tmp_path) as store:
        assert store.spool_dropped() == {"a:%": 3}


def test_an_ack_for_a_batch_that_was_dropped_meanwhile_does_no_harm(tmp_path: Path) -> None:
    with opened(tmp_path, max_spool_batches=1) as store, spool_of(tmp_path, "a") as spool:
        commit(store, batch(0), sinks=("a",))
        sending = spool.next_batch()
        assert sending is not None
        commit(store, batch(10), sinks=("a",))
        spool.ack(sending[0])
        assert _drain(spool) == [batch(10)]


def test_sinks_that_left_the_config_are_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(0), sinks=("old", "file"))
        commit(store, batch(10), sinks=("old",))
        assert store.forget_sinks_except(["file", "influxdb"]) == {"old": 2}
        assert store.forget_sinks_except(["file", "influxdb"]) == {}
        assert store.backlog("old").batches == 0
        assert store.backlog("file").batches == 1
        assert number_in(tmp_path, PAYLOADS) == 1


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    with opened(tmp_path) as store, spool_of(tmp_path, "a") as spool:
        numbers = []
        for number in range(3):
            commit(store, batch(10 * number), sinks=("a",))
            waiting = spool.next_batch()
            assert waiting is not None
            numbers.append(waiting[0])
            spool.ack(waiting[0])
    assert len(set(numbers)) == 3


def test_a_batch_that_cannot_be_read_is_dropped_and_counted(tmp_path: Path) -> None:
    with opened(tmp_path) as store, spool_of(tmp_path, "a") as spool:
        commit(store, batch(0), batch(10), sinks=("a",))
        with contextlib.closing(sqlite3.connect(tmp_path / "ipsecmon.sqlite")) as connection, connection:
            connection.execute("UPDATE payload SET batch = '[' WHERE id = 1")
        assert _drain(spool) == [batch(10)]
        assert store.spool_dropped() == {"a": 1}
        assert number_in(tmp_path, PAYLOADS) == 0


def test_a_sinks_thread_takes_batches_while_the_agent_commits(tmp_path: Path) -> None:
    batches = [batch(10 * number) for number in range(50)]
    taken: list[Batch] = []

    def drain_all() -> None:
        with spool_of(tmp_path, "a") as spool:
            while len(taken) < len(batches):
                taken.extend(_drain(spool))

    with opened(tmp_path) as store:
        sink = threading.Thread(target=drain_all)
        sink.start()
        commit(store, *batches, sinks=("a",))
        sink.join(timeout=60)
        assert not sink.is_alive()
    assert taken == batches


def test_a_spool_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Spool(tmp_path, "a").start()
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_is_not_open_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")
    spool.stop()
    with pytest.raises(StoreError, match="is not open"):
        spool.next_batch()
