"""Sums of an hour as points, for ranges over which a query for each interval would be too long.

    measurement   tags                                      fields
    counter_1h    router, counter, direction, observed_at   octets, packets
    interface_1h  router, interface, direction              octets, frames
    line_1h       router, line, direction                   capacity_bits_per_s
    part_1h       router, line, part, direction             octets, packets, how
    tunnel_1h     router, tunnel, direction, observed_at    at `inner` HOUR_NUMBERS; at `payload` octets

At the hour's start, like the points of intervals, and equal to their sums. Peers of a tunnel are together.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecmon.model import LINE_TERMS, TUNNEL_SUMS, Batch, Increment, ObservationPoint, TunnelIncrement
from ipsecmon.sinks.point import FieldValue, SeriesPoint
from ipsecmon.sinks.tunnel_points import NUMBERS

__all__ = ["HOUR_NUMBERS", "points_of_hour"]

HOUR_NUMBERS = (*(name for name in NUMBERS if name in TUNNEL_SUMS), "path_loss_packets")


def points_of_hour(batch: Batch) -> Iterator[SeriesPoint]:
    """In a stable order."""
    for increment in batch.increments:
        if (
            increment.key.observed_at is not ObservationPoint.IP
            and increment.key.observed_at not in LINE_TERMS
        ):
            yield _counter_point(batch, increment)
    for one in batch.parts:
        where = {"router": batch.router, "line": one.line, "part": one.part, "direction": one.direction.value}
        fields: dict[str, FieldValue] = {
            "octets": one.octets,
            "packets": one.packets,
            "how": one.how.value,
        }
        yield SeriesPoint("part_1h", where, fields, batch.start_ns)
    for line in batch.capacities:
        where = {"router": batch.router, "line": line.line, "direction": line.direction.value}
        yield SeriesPoint("line_1h", where, {"capacity_bits_per_s": line.bits_per_s}, batch.start_ns)
    for tunnel in batch.tunnels:
        yield from _tunnel_points(batch, tunnel)


def _counter_point(batch: Batch, one: Increment) -> SeriesPoint:
    direction = one.key.direction.value
    if one.key.observed_at is ObservationPoint.NIC:
        where = {"router": batch.router, "interface": one.key.name, "direction": direction}
        return SeriesPoint(
            "interface_1h", where, {"octets": one.octets, "frames": one.packets}, batch.start_ns
        )
    where = {
        "router": batch.router,
        "counter": one.key.name,
        "direction": direction,
        "observed_at": one.key.observed_at.value,
    }
    return SeriesPoint("counter_1h", where, {"octets": one.octets, "packets": one.packets}, batch.start_ns)


def _tunnel_points(batch: Batch, one: TunnelIncrement) -> Iterator[SeriesPoint]:
    where = {"router": batch.router, "tunnel": one.key.tunnel, "direction": one.key.direction.value}
    fields = {name: getattr(one, name) for name in HOUR_NUMBERS[:-1]}
    fields["path_loss_packets"] = one.lost_packets
    inner = {**where, "observed_at": ObservationPoint.INNER.value}
    yield SeriesPoint("tunnel_1h", inner, fields, batch.start_ns)
    if one.payload_octets:
        payload = {**where, "observed_at": ObservationPoint.PAYLOAD.value}
        yield SeriesPoint("tunnel_1h", payload, {"octets": one.payload_octets}, batch.start_ns)
