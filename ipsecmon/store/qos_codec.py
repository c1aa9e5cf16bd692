"""Queues and events of a batch as lists for JSON. What breaks their form is a TypeError or a ValueError."""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import Any

from ipsecmon.model import Direction
from ipsecmon.qos import (
    NOWHERE,
    QUEUE_EXTRAS,
    QUEUE_LEVELS,
    QUEUE_SUMS,
    Event,
    EventKind,
    QueueIncrement,
    QueueKey,
    QueuePlace,
)
from ipsecmon.store.fields import integer, named_numbers, text, without_defaults

__all__ = ["decode_event", "decode_queue", "encode_event", "encode_queue"]

_NUMBERS = {
    one.name: one.default
    for one in dataclasses.fields(QueueIncrement)
    if one.name in (*QUEUE_SUMS, *QUEUE_EXTRAS, *QUEUE_LEVELS)
}
_DEFAULTS = tuple(_NUMBERS.values())
_pick = attrgetter(*_NUMBERS)


def encode_queue(one: QueueIncrement) -> list[object]:
    place = [] if one.place == NOWHERE else [one.place.line, one.place.direction.value]
    return [*one.key, *place, *without_defaults(_pick(one), _DEFAULTS)]


def decode_queue(item: list[Any]) -> QueueIncrement:
    """Without a place where none is said: batches that older versions kept say none."""
    interface, kind, handle, parent, *numbers = item
    place = NOWHERE
    if numbers and isinstance(numbers[0], str):
        line, way, *numbers = numbers
        place = QueuePlace(line, Direction(text(way)))
    values: dict[str, Any] = named_numbers(_NUMBERS, QUEUE_EXTRAS, numbers)
    key = QueueKey(text(interface), text(kind), text(handle), text(parent))
    return QueueIncrement(key, **values, place=place)


def encode_event(one: Event) -> list[object]:
    return [one.kind.value, one.start_ns, one.end_ns, one.text, one.interface, one.count]


def decode_event(item: list[Any]) -> Event:
    kind, start_ns, end_ns, said, interface, count = item
    return Event(
        EventKind(text(kind)),
        integer(start_ns),
        integer(end_ns),
        text(said),
        text(interface),
        integer(count),
    )
