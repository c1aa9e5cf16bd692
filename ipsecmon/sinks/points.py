"""How a batch becomes points of a time series, for every sink that writes such.

A point stands at the *start* of its interval: then `GROUP BY time(1h)` puts the interval that
begins at 10:59:50 into the hour from 10 to 11, where all of its octets passed, and a resent batch
falls on the same series and time and changes nothing.

    measurement  tags                                       fields
    counter      router, counter, direction, observed_at    octets, packets
    meter        router, counter, direction, observed_at    METER_FIELDS
    interface    router, interface, direction               octets, frames
    agreement    router, counter, direction, observed_at,   AGREEMENT_FIELDS
                 pair
    line_term    router, interface, direction, term         octets, packets
    part         router, line, part, direction              octets, packets, how
    baseline     router, line, part, direction, shift       octets, packets, how
    line         router, line, direction                    capacity_bits_per_s
    agent        router, component, kind                    value

`counter` is the kernel's count, the truth; `meter` shows how well the header copies agree with it
and is never added to anything. What an interface counted itself (observed at `nic`, with link
headers) is in a measurement of its own, so that no sum over `counter` can take it in. So is what the
SAs of a tunnel counted: tunnel_points.py, and each layer of it: layer_points.py, and what qdiscs did:
queue_points.py. `part` is for charts of a line: its parts, tunnels by their names too, which are disjoint and
never negative; `baseline` is what they carried before, at the time that it is compared with. Sums of an hour
are in hour_points.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecmon.model import (
    LINE_TERMS,
    NOT_BY_RULES,
    Batch,
    CounterKey,
    Increment,
    ObservationPoint,
    PartIncrement,
    Reconciliation,
    Word,
)
from ipsecmon.sinks.hour_points import points_of_hour
from ipsecmon.sinks.layer_points import points_of_layers
from ipsecmon.sinks.point import FieldValue, SeriesPoint
from ipsecmon.sinks.queue_points import points_of_events, points_of_queues
from ipsecmon.sinks.tunnel_points import points_of_tunnels

__all__ = ["AGREEMENT_FIELDS", "METER_FIELDS", "SeriesPoint", "points_of"]

METER_FIELDS = (
    "nflog_octets",
    "nflog_packets",
    "lost_packets",
    "pending_packets",
    "bridged_octets",
    "bridged_packets",
)
AGREEMENT_FIELDS = ("expected", "seen", "lost", "explained", "unexplained", "agrees")


def points_of(batch: Batch) -> list[SeriesPoint]:
    """Every point of a batch, in a stable order."""
    if batch.resolution_s:
        return list(points_of_hour(batch))
    points: list[SeriesPoint] = []
    for increment in batch.increments:
        points.extend(_points_of_increment(batch, increment))
    points.extend(_part_point(batch, one) for one in batch.parts)
    points.extend(_baseline_points(batch))
    points.extend(points_of_tunnels(batch))
    points.extend(points_of_layers(batch))
    points.extend(points_of_queues(batch))
    points.extend(points_of_events(batch))
    points.extend(_agreement_point(batch, one) for one in batch.reconciliations)
    for line in batch.capacities:
        tags = {"router": batch.router, "line": line.line, "direction": line.direction.value}
        points.append(SeriesPoint("line", tags, {"capacity_bits_per_s": line.bits_per_s}, batch.start_ns))
    for own in batch.self_measurements:
        tags = {"router": batch.router, "component": own.component, "kind": own.kind}
        points.append(SeriesPoint("agent", tags, {"value": own.value}, batch.start_ns))
    return points


def _points_of_increment(batch: Batch, increment: Increment) -> Iterator[SeriesPoint]:
    if increment.key.observed_at is ObservationPoint.IP:
        return  # in layer_points.py
    if increment.key.observed_at is ObservationPoint.NIC:
        yield _interface_point(batch, increment)
        return
    if increment.key.observed_at in LINE_TERMS:
        yield _term_point(batch, increment)
        return
    tags = _tags(batch, increment.key)
    fields = {"octets": increment.octets, "packets": increment.packets}
    yield SeriesPoint("counter", tags, fields, batch.start_ns)
    if increment.key.observed_at not in NOT_BY_RULES:
        meter = {name: getattr(increment, name) for name in METER_FIELDS}
        yield SeriesPoint("meter", tags, meter, batch.start_ns)


def _agreement_point(batch: Batch, one: Reconciliation) -> SeriesPoint:
    numbers = (
        one.expected_octets,
        one.seen_octets,
        one.lost_packets,
        one.explained_octets,
        one.unexplained_octets,
        int(one.word is not Word.DISAGREE),
    )
    tags = {**_tags(batch, one.key), "pair": one.pair.value}
    return SeriesPoint("agreement", tags, dict(zip(AGREEMENT_FIELDS, numbers)), batch.start_ns)


def _part_point(batch: Batch, one: PartIncrement) -> SeriesPoint:
    tags = {"router": batch.router, "line": one.line, "part": one.part, "direction": one.direction.value}
    fields: dict[str, FieldValue] = {"octets": one.octets, "packets": one.packets, "how": one.how.value}
    return SeriesPoint("part", tags, fields, batch.start_ns)


def _baseline_points(batch: Batch) -> Iterator[SeriesPoint]:
    for one in batch.baselines:
        for part in one.parts:
            like = _part_point(batch, part)
            tags = {**like.tags, "shift": one.shift}
            yield SeriesPoint("baseline", tags, like.fields, one.start_ns)


def _tags(batch: Batch, key: CounterKey) -> dict[str, str]:
    return {
        "router": batch.router,
        "counter": key.name,
        "direction": key.direction.value,
        "observed_at": key.observed_at.value,
    }


def _interface_point(batch: Batch, increment: Increment) -> SeriesPoint:
    tags = {
        "router": batch.router,
        "interface": increment.key.name,
        "direction": increment.key.direction.value,
    }
    fields = {"octets": increment.octets, "frames": increment.packets}
    return SeriesPoint("interface", tags, fields, batch.start_ns)


def _term_point(batch: Batch, increment: Increment) -> SeriesPoint:
    tags = {
        "router": batch.router,
        "interface": increment.key.name,
        "direction": increment.key.direction.value,
        "term": increment.key.observed_at.value,
    }
    fields = {"octets": increment.octets, "packets": increment.packets}
    return SeriesPoint("line_term", tags, fields, batch.start_ns)
