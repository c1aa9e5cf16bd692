"""A Batch as compact JSON, for the spool only: sinks have formats of their own.

[router, start_ns, end_ns, [[name, direction, observed_at, octets, packets, …], …],
 [[component, kind, value], …], [[tunnel, peer, direction, octets, …], …], [[xfrm error, packets], …],
 [[name, direction, observed_at, pair, expected, seen, lost, explained, reason or null], …],
 [[tunnel, layer, link, direction, octets, packets, bridged octets, bridged packets], …],
 [[line, part, direction, octets, packets, how], …], [[line, direction, bits per second], …],
 [[interface, kind, handle, parent, line, direction, octets, …], …],
 [[kind, start_ns, end_ns, text, interface, count], …],
 [[start_ns, shift, [[line, part, direction, octets, packets, how], …]], …]];
the numbers of an increment are in the order of Increment, those of a tunnel in that of TunnelIncrement, of a
queue in that of QueueIncrement, and trailing zeros (of times, null) are left out; so are a queue's line and
direction where neither is known. Of the lists from the tunnels' on, those that end it empty are left out too,
but tunnels and errors come together. Sums over a span of history are in an object,
{"resolution_s": …, "batch": […]}.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from operator import attrgetter
from typing import Any

from ipsecmon.errors import DecodeError
from ipsecmon.model import (
    Baseline,
    Batch,
    CounterKey,
    Direction,
    How,
    Increment,
    Layer,
    LayerIncrement,
    LayerKey,
    LineCapacity,
    ObservationPoint,
    Pair,
    PartIncrement,
    Reason,
    Reconciliation,
    SelfMeasurement,
    TunnelIncrement,
    TunnelKey,
)
from ipsecmon.store.fields import integer, listed, named_numbers, text, without_defaults
from ipsecmon.store.qos_codec import decode_event, decode_queue, encode_event, encode_queue

__all__ = ["decode_batch", "encode_batch"]

_NUMBERS = tuple(field.name for field in dataclasses.fields(Increment) if field.name != "key")
_REQUIRED = 2  # octets, packets
_MORE_LISTS = 9  # from the tunnels' on
_TUNNEL = {field.name: field.default for field in dataclasses.fields(TunnelIncrement) if field.name != "key"}
_DEFAULTS = tuple(_TUNNEL.values())
_pick_tunnel = attrgetter(*_TUNNEL)
_TIMES = frozenset(name for name, default in _TUNNEL.items() if default is None)


def encode_batch(batch: Batch) -> str:
    increments = [_encode_increment(increment) for increment in batch.increments]
    own = [(one.component, one.kind, one.value) for one in batch.self_measurements]
    more: list[object] = [
        [_encode_tunnel(one) for one in batch.tunnels],
        batch.xfrm_errors,
        [_encode_reconciliation(one) for one in batch.reconciliations],
        [_encode_layer(one) for one in batch.layers],
        [_encode_part(one) for one in batch.parts],
        batch.capacities,
        [encode_queue(one) for one in batch.queues],
        [encode_event(one) for one in batch.events],
        [(one.start_ns, one.shift, [_encode_part(part) for part in one.parts]) for one in batch.baselines],
    ]
    while more and not more[-1] and (len(more) != 2 or not more[0]):
        more.pop()
    document: object = [batch.router, batch.start_ns, batch.end_ns, increments, own, *more]
    if batch.resolution_s:
        document = {"resolution_s": batch.resolution_s, "batch": document}
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
        if isinstance(document, dict):
            return replace(_batch(document["batch"]), resolution_s=integer(document["resolution_s"]))
        return _batch(document)
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError("batch breaks its form", 0) from error


def _encode_increment(increment: Increment) -> list[object]:
    numbers = [getattr(increment, name) for name in _NUMBERS]
    while len(numbers) > _REQUIRED and numbers[-1] == 0:
        numbers.pop()
    key = increment.key
    return [key.name, key.direction.value, key.observed_at.value, *numbers]


def _encode_tunnel(one: TunnelIncrement) -> list[object]:
    key = one.key
    numbers = without_defaults(_pick_tunnel(one), _DEFAULTS)
    return [key.tunnel, key.peer, key.direction.value, *numbers]


def _encode_reconciliation(one: Reconciliation) -> list[object]:
    names = (one.key.name, one.key.direction.value, one.key.observed_at.value, one.pair.value)
    numbers = (one.expected_octets, one.seen_octets, one.lost_packets, one.explained_octets)
    return [*names, *numbers, one.reason.value if one.reason else None]


def _encode_layer(one: LayerIncrement) -> list[object]:
    names = (one.key.tunnel, one.key.layer.value, one.key.link, one.key.direction.value)
    return [*names, one.octets, one.packets, one.bridged_octets, one.bridged_packets]


def _encode_part(one: PartIncrement) -> list[object]:
    return [one.line, one.part, one.direction.value, one.octets, one.packets, one.how.value]


def _batch(document: Any) -> Batch:
    router, start_ns, end_ns, increments, own, *more = listed(document)
    if len(more) == 1:
        raise ValueError("tunnels without errors")
    more += [[]] * (_MORE_LISTS - len(more))
    tunnels, errors, reconciliations, layers, parts, capacities, queues, events, baselines = more
    return Batch(
        text(router),
        integer(start_ns),
        integer(end_ns),
        tuple(_increment(item) for item in listed(increments)),
        tuple(_self_measurement(item) for item in listed(own)),
        tuple(_tunnel(item) for item in listed(tunnels)),
        tuple(_error(item) for item in listed(errors)),
        tuple(_reconciliation(item) for item in listed(reconciliations)),
        tuple(_layer(item) for item in listed(layers)),
        tuple(_part(item) for item in listed(parts)),
        tuple(_capacity(item) for item in listed(capacities)),
        tuple(decode_queue(listed(item)) for item in listed(queues)),
        tuple(decode_event(listed(item)) for item in listed(events)),
        baselines=tuple(_baseline(item) for item in listed(baselines)),
    )


def _increment(item: Any) -> Increment:
    name, direction, observed_at, *numbers = listed(item)
    key = CounterKey(text(name), Direction(text(direction)), ObservationPoint(text(observed_at)))
    return Increment(key, *(integer(number) for number in numbers))


def _self_measurement(item: Any) -> SelfMeasurement:
    component, kind, value = listed(item)
    return SelfMeasurement(text(component), text(kind), integer(value))


def _tunnel(item: Any) -> TunnelIncrement:
    tunnel, peer, direction, *numbers = listed(item)
    values: dict[str, Any] = named_numbers(_TUNNEL, _TIMES, numbers)
    return TunnelIncrement(TunnelKey(text(tunnel), text(peer), Direction(text(direction))), **values)


def _reconciliation(item: Any) -> Reconciliation:
    name, direction, observed_at, pair, *numbers, reason = listed(item)
    expected, seen, lost, explained = (integer(number) for number in numbers)
    return Reconciliation(
        CounterKey(text(name), Direction(text(direction)), ObservationPoint(text(observed_at))),
        Pair(text(pair)),
        expected,
        seen,
        lost,
        explained,
        None if reason is None else Reason(text(reason)),
    )


def _layer(item: Any) -> LayerIncrement:
    tunnel, layer, link, direction, *numbers = listed(item)
    octets, packets, bridged_octets, bridged_packets = (integer(number) for number in numbers)
    key = LayerKey(text(tunnel), Layer(text(layer)), text(link), Direction(text(direction)))
    return LayerIncrement(key, octets, packets, bridged_octets, bridged_packets)


def _part(item: Any) -> PartIncrement:
    line, part, direction, octets, packets, how = listed(item)
    way = Direction(text(direction))
    return PartIncrement(text(line), text(part), way, integer(octets), integer(packets), How(text(how)))


def _baseline(item: Any) -> Baseline:
    start_ns, shift, parts = listed(item)
    return Baseline(integer(start_ns), text(shift), tuple(_part(one) for one in listed(parts)))


def _capacity(item: Any) -> LineCapacity:
    line, direction, bits_per_s = listed(item)
    return LineCapacity(text(line), Direction(text(direction)), integer(bits_per_s))


def _error(item: Any) -> tuple[str, int]:
    error, packets = listed(item)
    return text(error), integer(packets)
