"""A Batch as compact JSON, for the spool only: sinks have formats of their own.

[router, start_ns, end_ns, [[name, direction, observed_at, octets, packets, …], …],
 [[component, kind, value], …]]; the numbers of an increment are in the order of Increment and
trailing zeros are left out.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from ipsecmon.errors import DecodeError
from ipsecmon.model import Batch, CounterKey, Direction, Increment, ObservationPoint, SelfMeasurement

__all__ = ["decode_batch", "encode_batch"]

_NUMBERS = tuple(field.name for field in dataclasses.fields(Increment) if field.name != "key")
_REQUIRED = 2  # octets, packets


def encode_batch(batch: Batch) -> str:
    increments = [_encode_increment(increment) for increment in batch.increments]
    own = [(one.component, one.kind, one.value) for one in batch.self_measurements]
    document = (batch.router, batch.start_ns, batch.end_ns, increments, own)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def decode_batch(text: str) -> Batch:
    """Raises DecodeError and nothing else."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DecodeError("batch is not JSON", error.pos) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; endless nesting
        raise DecodeError("batch is not JSON", 0) from error
    try:
        return _batch(document)
    except (TypeError, ValueError) as error:
        raise DecodeError("batch breaks its form", 0) from error


def _encode_increment(increment: Increment) -> list[object]:
    numbers = [getattr(increment, name) for name in _NUMBERS]
    while len(numbers) > _REQUIRED and numbers[-1] == 0:
        numbers.pop()
    key = increment.key
    return [key.name, key.direction.value, key.observed_at.value, *numbers]


def _batch(document: Any) -> Batch:
    router, start_ns, end_ns, increments, own = _list(document)
    return Batch(
        _text(router),
        _integer(start_ns),
        _integer(end_ns),
        tuple(_increment(item) for item in _list(increments)),
        tuple(_self_measurement(item) for item in _list(own)),
    )


def _increment(item: Any) -> Increment:
    name, direction, observed_at, *numbers = _list(item)
    key = CounterKey(_text(name), Direction(_text(direction)), ObservationPoint(_text(observed_at)))
    return Increment(key, *(_integer(number) for number in numbers))


def _self_measurement(item: Any) -> SelfMeasurement:
    component, kind, value = _list(item)
    return SelfMeasurement(_text(component), _text(kind), _integer(value))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int:  # a bool is an int too
        raise TypeError("not an integer")
    return value
