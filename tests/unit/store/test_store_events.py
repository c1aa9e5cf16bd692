"""Events and queues in the store: once, bounded, in order, through restarts and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipsecmon.errors import StoreError
from ipsecmon.qos import Event, EventKind, QueueIncrement, QueueKey, QueueReading
from ipsecmon.store import Store, event_log, events
from tests.unit.store.queue_cases import queue_intervals
from tests.unit.store.store_cases import DAY_S, NS, T0_S, batch, commit, moment, number_in, opened, spool_of

ALWAYS = 2**62
HTB = QueueKey("wan0", "htb", "1:10", "1:")
MARK = Event(EventKind.MARK, T0_S * NS, T0_S * NS, "VoIP first")


def told(store: Store, after_s: int) -> None:
    """An interval is closed with every event that was not told yet."""
    commit(store, replace(batch(after_s), events=store.untold_events()), sinks=("file",))


def test_an_event_is_told_with_one_batch_and_read_in_its_range(tmp_path: Path) -> None:
    region = Event(EventKind.QDISC_CHANGED, (T0_S + 5) * NS, (T0_S + 50) * NS, "wan0: …", "wan0", 3)
    with opened(tmp_path) as store, spool_of(tmp_path, "file") as spool:
        store.add_event(MARK)
        store.add_event(region)
        told(store, 0)
        told(store, 10)
        waiting = spool.next_batch()
        assert waiting is not None and waiting[1].events == (MARK, region)
        spool.ack(waiting[0])
        waiting = spool.next_batch()
        assert waiting is not None and waiting[1].events == ()
    assert events(tmp_path, 0, ALWAYS) == (MARK, region)
    assert events(tmp_path, (T0_S + 40) * NS, (T0_S + 41) * NS) == (region,)
    assert events(tmp_path, (T0_S + 51) * NS, ALWAYS) == ()
    assert events(tmp_path, 0, ALWAYS, 1) == (region,)


def test_two_of_a_kind_at_one_time_are_two(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept = [store.add_event(replace(MARK, text=text)) for text in ("a", "b", "c")]
    assert [one.start_ns - MARK.start_ns for one in kept] == [0, 1, 2]
    assert [one.text for one in events(tmp_path, 0, ALWAYS)] == ["a", "b", "c"]
    assert all(one.end_ns >= one.start_ns for one in kept)


def test_an_event_and_what_is_remembered_with_it_are_both_there_or_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as store:
        store.add_event(MARK, {"tc.config": "new"})
        assert store.state("tc.config") == "new"
        monkeypatch.setattr(event_log, "MAX_EVENTS", "broken")
        with pytest.raises(TypeError):
            store.add_event(MARK, {"tc.config": "newer"})
        assert store.state("tc.config") == "new"
    assert len(events(tmp_path, 0, ALWAYS)) == 1


def test_a_batch_that_was_not_committed_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:
        store.add_event(MARK)
        with monkeypatch.context() as broken:
            broken.setattr("ipsecmon.store.store._SET_STATE", "SELECT nowhere")
            with pytest.raises(StoreError):
                told(store, 0)
        assert store.untold_events() == (MARK,)
        told(store, 0)
        assert store.untold_events() == ()


def test_only_the_newest_events_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MAX_EVENTS", 3)
    with opened(tmp_path) as store:
        for number in range(5):
            store.add_event(replace(MARK, text=str(number), start_ns=MARK.start_ns + number))
    assert [one.text for one in events(tmp_path, 0, ALWAYS)] == ["2", "3", "4"]


def test_events_go_with_the_retention_once_they_are_told(tmp_path: Path) -> None:
    with opened(tmp_path, retention_s=DAY_S) as store:
        store.add_event(MARK)
        commit(store, batch(3 * DAY_S))
        assert events(tmp_path, 0, ALWAYS) == (MARK,)  # nobody was told yet
        told(store, 3 * DAY_S + 10)
        commit(store, batch(3 * DAY_S + 900))
    assert events(tmp_path, 0, ALWAYS) == ()


def test_queues_are_kept_interval_by_interval_and_go_with_their_spans(tmp_path: Path) -> None:
    busy = QueueIncrement(HTB, 1000, 10, drops=2, lends=7, borrows=3, backlog_packets=4)
    idle = QueueIncrement(HTB._replace(handle="1:20"))
    with opened(tmp_path, retention_s=DAY_S) as store:
        commit(store, replace(batch(0), queues=(busy, idle)), replace(batch(10), queues=(idle,)))
        commit(store, replace(batch(20), queues=(busy,)))
        found = queue_intervals(tmp_path)
        assert [(one.start_ns // NS - T0_S, one.increment.packets) for one in found] == [(0, 10), (20, 10)]
        first = found[0].increment
        assert (first.key, first.drops, first.lends, first.borrows) == (HTB, 2, 7, 3)
        assert first.backlog_packets == 4
        minute = "SELECT packets FROM queue_history JOIN span ON span.id = span_id WHERE resolution_s = 60"
        assert number_in(tmp_path, minute) == 20
        for day in range(3, 6):
            commit(store, batch(day * DAY_S))
        assert [one.start_ns for one in queue_intervals(tmp_path, T0_S * NS + 1)] == []


def test_a_number_too_large_for_a_row_stays_at_the_largest(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, replace(batch(0), queues=(QueueIncrement(HTB, 2**64 - 1, 1),)))
    assert queue_intervals(tmp_path)[0].increment.octets == 2**63 - 1


def test_readings_are_those_of_the_newest_commit(tmp_path: Path) -> None:
    def reading(packets: int) -> QueueReading:
        return QueueReading(HTB, "boot/3", {"octets": 2**64 - 1, "packets": packets})

    with opened(tmp_path) as store:
        other = replace(reading(5), key=HTB._replace(handle="1:20"))
        store.commit(batch(0), [], [], moment(10), queues=[reading(1), other])
        store.commit(batch(10), [], [], moment(20))
        assert store.saved_queues() == [reading(1), other]
        store.commit(batch(20), [], [], moment(30), queues=[reading(2)])
    with opened(tmp_path) as store:
        assert store.saved_queues() == [reading(2)]
