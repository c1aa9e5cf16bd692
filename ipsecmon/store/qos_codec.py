"""Queues and events of a batch as lists for JSON. What breaks their form is a TypeError or a ValueError."""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import Any

from ipsecmon.qos import QUEUE_EXTRAS, Event, EventKind, QueueIncrement, QueueKey

__all__ = ["decode_event", "decode_queue", "encode_event", "encode_queue"]

_NUMBERS = {one.name: one.default for one in dataclasses.fields(QueueIncrement) if one.name != "key"}
_DEFAULTS = tuple(_NUMBERS.values())
_pick = attrgetter(*_NUMBERS)


def encode_queue(one: QueueIncrement) -> list[object]:
    numbers = list(_pick(one))
    while numbers and numbers[-1] == _DEFAULTS[len(numbers) - 1]:
        numbers.pop()
    return [*one.key, *numbers]


def decode_queue(item: list[Any]) -> QueueIncrement:
    interface, kind, handle, parent, *numbers = item
    if len(numbers) > len(_NUMBERS):
        raise ValueError("too many numbers")
    values: dict[str, Any] = {
        name: None if number is None and name in QUEUE_EXTRAS else _integer(number)
        for name, number in zip(_NUMBERS, numbers)
    }
    return QueueIncrement(QueueKey(_text(interface), _text(kind), _text(handle), _text(parent)), **values)


def encode_event(one: Event) -> list[object]:
    return [one.kind.value, one.start_ns, one.end_ns, one.text, one.interface, one.count]


def decode_event(item: list[Any]) -> Event:
    kind, start_ns, end_ns, text, interface, count = item
    return Event(
        EventKind(_text(kind)),
        _integer(start_ns),
        _integer(end_ns),
        _text(text),
        _text(interface),
        _integer(count),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int:  # a bool is an int too
        raise TypeError("not an integer")
    return value
