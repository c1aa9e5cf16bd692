"""What qdiscs and classes counted, as points; and what changed on this router, as events.

    measurement  tags                                                       fields
    qdisc        router, line, interface, direction, kind, handle, parent   NUMBERS, and of OPTIONAL_NUMBERS
                                                                            what its kind has
    event        router, kind, interface                                    count, text, end_ms

line, direction: only where they are known. An event stands at its own time, which may be long before its
batch; one of a moment ends when it begins.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecmon.model import Batch
from ipsecmon.qos import NOWHERE, QUEUE_EXTRAS, QUEUE_LEVELS, QUEUE_SUMS, Event, EventKind, QueueIncrement
from ipsecmon.sinks.point import FieldValue, SeriesPoint

__all__ = ["CHANGE_KINDS", "NUMBERS", "OPTIONAL_NUMBERS", "points_of_events", "points_of_queues"]

NUMBERS = (*QUEUE_SUMS, *QUEUE_LEVELS)
OPTIONAL_NUMBERS = QUEUE_EXTRAS
CHANGE_KINDS = tuple(kind.value for kind in EventKind)
_MS_NS = 10**6


def points_of_queues(batch: Batch) -> Iterator[SeriesPoint]:
    for one in batch.queues:
        yield SeriesPoint("qdisc", _tags(batch, one), _fields(one), batch.start_ns)


def points_of_events(batch: Batch) -> Iterator[SeriesPoint]:
    for one in batch.events:
        yield _event(batch, one)


def _tags(batch: Batch, one: QueueIncrement) -> dict[str, str]:
    tags = {"router": batch.router, **one.key._asdict()}
    if one.place != NOWHERE:  # else as earlier versions wrote them, whose intervals may be sent again
        tags["direction"] = one.place.direction.value
    return {**tags, "line": one.place.line} if one.place.line else tags


def _fields(one: QueueIncrement) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {name: getattr(one, name) for name in NUMBERS}
    extras = {name: getattr(one, name) for name in OPTIONAL_NUMBERS}
    return {**fields, **{name: number for name, number in extras.items() if number is not None}}


def _event(batch: Batch, one: Event) -> SeriesPoint:
    tags = {"router": batch.router, "kind": one.kind.value}
    if one.interface:
        tags["interface"] = one.interface
    fields: dict[str, FieldValue] = {"count": one.count, "text": one.text, "end_ms": one.end_ns // _MS_NS}
    return SeriesPoint("event", tags, fields, one.start_ns)
