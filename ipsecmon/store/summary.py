"""Totals over a range, for people: read-only, beside a running agent or without one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ipsecmon.model import CounterKey, Direction, ObservationPoint, TunnelIncrement
from ipsecmon.store.clock_steps import ClockStep, between
from ipsecmon.store.history import SUMS
from ipsecmon.store.segments import Segment, segments
from ipsecmon.store.sums import halves, whole
from ipsecmon.store.tunnel_history import sum_up
from ipsecmon.store.tunnels import FIRST_WITH_TUNNELS, opened_reader

__all__ = ["Report", "ReportRow", "counter_rows", "report"]

_FIRST_WITH_STEPS = 2  # version of the file
_SPANS = "FROM span {join} WHERE resolution_s = ? AND start_ns >= ? AND start_ns < ?"
_COVER = "SELECT min(first_ns), max(end_ns) " + _SPANS.format(join="")
_ROUTER = "SELECT router " + _SPANS.format(join="") + " ORDER BY start_ns DESC LIMIT 1"
# A bare column beside one max() comes from that row: https://www.sqlite.org/lang_select.html#bareagg
_TOTALS = (
    f"SELECT counter_id, {halves(SUMS)}, pending_packets, max(start_ns) "
    + _SPANS.format(join="JOIN history ON span_id = span.id")
    + " GROUP BY counter_id"
)


@dataclass(frozen=True)
class ReportRow:
    """Sums over the range, as in Increment; pending_packets is the level of the newest row."""

    key: CounterKey
    octets: int
    packets: int
    nflog_octets: int
    nflog_packets: int
    lost_packets: int
    bridged_octets: int
    bridged_packets: int
    pending_packets: int


@dataclass(frozen=True)
class Report:
    """start_ns, end_ns: what the rows really cover; equal when there are none.

    A row counts, whole, when its start is in the range that was asked for. Rows are as long as the
    interval, and longer where history is older: there only ranges that meet on a boundary of its
    resolution (in the end: midnight, UTC) add up.
    Counters come in the order in which they were first seen. clock_steps: of the wall clock, from a
    time in the range or to one. tunnels: the sums over the range of each tunnel and direction, with the
    levels of the newest row; the peer of each is ALL_PEERS.
    """

    router: str
    start_ns: int
    end_ns: int
    rows: tuple[ReportRow, ...]
    clock_steps: tuple[ClockStep, ...] = ()
    tunnels: tuple[TunnelIncrement, ...] = ()


def report(folder: Path, start_ns: int, end_ns: int) -> Report:
    """Totals of each counter over [start_ns, end_ns), wall clock. Raises StoreError."""
    with opened_reader(folder) as (connection, version):
        found = _report(connection, start_ns, end_ns)
        if version >= _FIRST_WITH_STEPS:  # else no agent has migrated it yet
            found = replace(found, clock_steps=between(connection, start_ns, end_ns))
        if version >= FIRST_WITH_TUNNELS:
            found = replace(found, tunnels=sum_up(connection, _segments(connection, start_ns, end_ns)))
        return found


def _report(connection: sqlite3.Connection, start_ns: int, end_ns: int) -> Report:
    parts = _segments(connection, start_ns, end_ns)
    covers = [connection.execute(_COVER, part).fetchone() for part in parts]
    routers = [row[0] for part in parts for row in connection.execute(_ROUTER, part)]
    return Report(
        router=routers[-1] if routers else "",
        start_ns=min((first for first, _ in covers if first is not None), default=start_ns),
        end_ns=max((end for _, end in covers if end is not None), default=start_ns),
        rows=counter_rows(connection, parts),
    )


def _segments(connection: sqlite3.Connection, start_ns: int, end_ns: int) -> list[Segment]:
    complete_from_ns = dict(connection.execute("SELECT resolution_s, complete_from_ns FROM level"))
    return segments(start_ns, end_ns, complete_from_ns)


def counter_rows(connection: sqlite3.Connection, parts: Sequence[Segment]) -> tuple[ReportRow, ...]:
    """Over parts that are disjoint and oldest first: sums add up, the last level stays."""
    totals: dict[int, list[int]] = {}
    for part in parts:
        for counter_id, *found, pending, _ in connection.execute(_TOTALS, part):
            before = totals.get(counter_id, [0] * (len(SUMS) + 1))
            totals[counter_id] = [old + new for old, new in zip(before, whole(found))] + [pending]
    return tuple(ReportRow(_key(connection, one), *totals[one]) for one in sorted(totals))


def _key(connection: sqlite3.Connection, counter_id: int) -> CounterKey:
    name, direction, observed_at = connection.execute(
        "SELECT name, direction, observed_at FROM counter WHERE id = ?", (counter_id,)
    ).fetchone()
    return CounterKey(name, Direction(direction), ObservationPoint(observed_at))
