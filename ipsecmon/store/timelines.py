"""What happened interval by interval, for comparing ranges: read-only, beside a running agent or without one.

All ranges come in one resolution, as a percentile or a maximum of long intervals is no match for one of short
ones: the finest that still has all of each range.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ipsecmon.model import CounterKey, Direction, ObservationPoint
from ipsecmon.qos import QueueKey, QueuePlace
from ipsecmon.store.history import LEVELS_S
from ipsecmon.store.queue_rows import FIRST_WITH_PLACES, FIRST_WITH_QUEUES, load_places
from ipsecmon.store.tunnels import FIRST_WITH_TUNNELS, opened_reader

__all__ = ["Happened", "Span", "Timeline", "timelines"]

# A row of time lies in the range whole: what is across an end belongs to neither side of an event.
_WITHIN = "resolution_s = :level_s AND start_ns >= :start_ns AND first_ns >= :start_ns AND end_ns <= :end_ns"
_SPANS = f"SELECT id, first_ns, end_ns FROM span WHERE {_WITHIN} ORDER BY first_ns"
_COUNTERS = (
    "SELECT span_id, name, direction, observed_at, octets, packets, bridged_octets, bridged_packets"
    " FROM span JOIN history ON span_id = span.id JOIN counter ON counter.id = counter_id"
    f" WHERE {_WITHIN} ORDER BY counter_id, first_ns"
)
_TUNNELS = (
    "SELECT span_id, tunnel, direction, octets, packets, bridged_octets, bridged_packets, lost_packets"
    " FROM span JOIN tunnel_history ON span_id = span.id JOIN tunnel ON tunnel.id = tunnel_id"
    f" WHERE {_WITHIN} ORDER BY tunnel_id, first_ns"
)
_QUEUES = (
    "SELECT span_id, interface, kind, handle, parent, octets, packets, bridged_octets, bridged_packets,"
    " drops - bridged_drops"
    " FROM span JOIN queue_history ON span_id = span.id JOIN queue ON queue.id = queue_id"
    f" WHERE {_WITHIN} ORDER BY queue_id, first_ns"
)


class Span(NamedTuple):
    """Wall clock, ns since 1970: what a row of time really covers."""

    first_ns: int
    end_ns: int


class Happened(NamedTuple):
    """In the span at this place. bridged_*: of these, before it, while no agent ran.

    lost_packets: of tunnels, on the path; of queues, dropped.
    """

    place: int
    octets: int
    packets: int
    bridged_octets: int
    bridged_packets: int
    lost_packets: int = 0


@dataclass(frozen=True)
class Timeline:
    """One range, at a resolution of resolution_s; 0: intervals as they were counted.

    spans: in order; what is in none is not known. Of tunnels the peers are together.
    places: of queues, by now.
    """

    resolution_s: int
    spans: Sequence[Span]
    counters: Mapping[CounterKey, Sequence[Happened]]
    tunnels: Mapping[tuple[str, Direction], Sequence[Happened]]
    queues: Mapping[QueueKey, Sequence[Happened]]
    places: Mapping[QueueKey, QueuePlace] = field(default_factory=dict)


def timelines(folder: Path, ranges: Sequence[tuple[int, int]]) -> list[Timeline]:
    """Of each range [start_ns, end_ns). Raises StoreError."""
    with opened_reader(folder) as (connection, version):
        level_s = _finest(connection, min(start_ns for start_ns, _ in ranges))
        return [
            _timeline(connection, version, {"level_s": level_s, "start_ns": start_ns, "end_ns": end_ns})
            for start_ns, end_ns in ranges
        ]


def _finest(connection: sqlite3.Connection, oldest_ns: int) -> int:
    complete_from_ns = dict(connection.execute("SELECT resolution_s, complete_from_ns FROM level"))
    return next((one for one in LEVELS_S if complete_from_ns[one] <= oldest_ns), LEVELS_S[-1])


def _timeline(connection: sqlite3.Connection, version: int, asked: Mapping[str, int]) -> Timeline:
    spans = connection.execute(_SPANS, asked).fetchall()
    places = {span_id: place for place, (span_id, *_) in enumerate(spans)}
    counters: dict[CounterKey, list[Happened]] = {}
    for names, one in _rows(connection, _COUNTERS, asked, 3, places):
        key = CounterKey(names[0], Direction(names[1]), ObservationPoint(names[2]))
        counters.setdefault(key, []).append(one)
    tunnels: dict[tuple[str, Direction], list[Happened]] = {}
    if version >= FIRST_WITH_TUNNELS:  # else no agent has migrated it yet
        for names, one in _rows(connection, _TUNNELS, asked, 2, places):
            tunnels.setdefault((names[0], Direction(names[1])), []).append(one)
    queues: dict[QueueKey, list[Happened]] = {}
    if version >= FIRST_WITH_QUEUES:
        for names, one in _rows(connection, _QUEUES, asked, len(QueueKey._fields), places):
            queues.setdefault(QueueKey(*names), []).append(one)
    now_at = load_places(connection) if version >= FIRST_WITH_PLACES else {}
    return Timeline(asked["level_s"], [Span(*one[1:]) for one in spans], counters, tunnels, queues, now_at)


def _rows(
    connection: sqlite3.Connection, sql: str, asked: Mapping[str, int], names: int, places: Mapping[int, int]
) -> Iterator[tuple[tuple[str, ...], Happened]]:
    """names: how many columns after the span's number are names."""
    for span_id, *row in connection.execute(sql, asked):
        yield tuple(row[:names]), Happened(places[span_id], *row[names:])
