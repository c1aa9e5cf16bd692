"""Ranges interval by interval: one resolution for all of them, and nothing of what lies across an end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ipsecmon.model import Direction, Increment, TunnelIncrement
from ipsecmon.qos import NOWHERE, QueueIncrement, QueueKey, QueuePlace
from ipsecmon.store import Happened, Timeline, timelines
from tests.unit.store.store_cases import DAY_S, NS, PARENT_IN, T0_S, WEB, batch, commit, moment, opened

FIFO = QueueKey("wan0", "pfifo", "1:", "root")


def lines(folder: Path, *ranges: tuple[int, int]) -> list[Timeline]:
    """Ranges in seconds after T0_S."""
    return timelines(folder, [((T0_S + start) * NS, (T0_S + end) * NS) for start, end in ranges])


def test_intervals_come_as_they_were_counted_with_all_that_happened(tmp_path: Path) -> None:
    tunnel = TunnelIncrement(PARENT_IN, octets=500, packets=5, lost_packets=2)
    other_peer = replace(tunnel, key=PARENT_IN._replace(peer="198.51.100.8"))
    queue = QueueIncrement(FIFO, octets=900, packets=9, drops=4, bridged_drops=1)
    web = Increment(WEB, 1000, 10, bridged_octets=100, bridged_packets=1)
    with opened(tmp_path) as store:
        commit(store, replace(batch(0, web), tunnels=(tunnel, other_peer), queues=(queue,)), batch(10))

    (found,) = lines(tmp_path, (0, 20))
    assert found.resolution_s == 0
    assert [(one.end_ns - one.first_ns) // NS for one in found.spans] == [10, 10]
    assert found.counters == {WEB: [Happened(0, 1000, 10, 100, 1), Happened(1, 1000, 10, 0, 0)]}
    assert found.tunnels == {("VPN-to-parent", Direction.IN): [Happened(0, 1000, 10, 0, 0, 4)]}
    assert found.queues == {FIFO: [Happened(0, 900, 9, 0, 0, 3)]}
    assert found.places == {FIFO: NOWHERE}


def test_a_queue_stands_where_it_stood_last(tmp_path: Path) -> None:
    places = [QueuePlace("T1", Direction.IN), QueuePlace("T2", Direction.IN), NOWHERE]
    with opened(tmp_path) as store:
        for number, place in enumerate(places):
            commit(store, replace(batch(10 * number), queues=(QueueIncrement(FIFO, 9, place=place),)))

    (found,) = lines(tmp_path, (0, 20))
    assert found.places == {FIFO: places[1]}


def test_an_interval_across_an_end_is_on_neither_side(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, *(batch(after_s) for after_s in range(0, 60, 10)))

    before, after = lines(tmp_path, (0, 25), (25, 60))
    assert (len(before.spans), len(after.spans)) == (2, 3)


def test_all_ranges_have_the_resolution_of_the_oldest_one(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for day in range(4):
            commit(store, *(batch(day * DAY_S + after_s) for after_s in range(0, 600, 10)))
            store.commit(batch((day + 1) * DAY_S - 10), [], [], moment((day + 1) * DAY_S))

    (newest,) = lines(tmp_path, (3 * DAY_S, 4 * DAY_S))
    old, new = lines(tmp_path, (0, DAY_S), (3 * DAY_S, 4 * DAY_S))
    assert (newest.resolution_s, old.resolution_s, new.resolution_s) == (0, 60, 60)
    assert len(old.spans) == len(new.spans) == 11
    assert sum(one.octets for one in old.counters[WEB]) == 61 * 1000


def test_a_range_without_rows_is_empty(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(0))
    (found,) = lines(tmp_path, (DAY_S, 2 * DAY_S))
    assert (found.spans, found.counters, found.tunnels, found.queues) == ([], {}, {}, {})
