"""The made-up router of lab.py for weeks: sums of whole hours, with working days, nights and weekends."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ipsecmon.model import (
    Batch,
    CounterKey,
    Direction,
    How,
    Increment,
    LineCapacity,
    ObservationPoint,
    PartIncrement,
    TunnelIncrement,
    TunnelKey,
)
from ipsecmon.store import HOUR_NS

from .lab import CAPACITY_BITS_PER_S, END_MS, LINE, NIC, PARTS, ROUTER, TUNNELS

__all__ = ["FIRST_HOUR_MS", "HOURS", "hour_start_s", "hours", "sent_in_hour"]

HOURS = 45 * 24 + 8  # from 2026-10-08 00:00 UTC; summer time ends on October 25
FIRST_HOUR_MS = END_MS - HOURS * 3_600_000
_WAYS = (Direction.IN, Direction.OUT)
_OUT = 0.45


def hours() -> Iterator[Batch]:
    return (_hour(hour) for hour in range(HOURS))


def hour_start_s(hour: int) -> int:
    return FIRST_HOUR_MS // 1000 + 3600 * hour


def sent_in_hour(name: str, way: Direction, hour: int) -> int:
    """Octets of a part of the line: much by day, little by night and at weekends; no two hours alike."""
    day, at = divmod(hour_start_s(hour) // 3600, 24)
    works = (day + 3) % 7 < 5  # 1970 began on a Thursday
    busy = 0.12 + (0.75 if works else 0.15) * max(0.0, math.sin((at - 5) / 14 * math.pi))
    phase = sum(map(ord, name)) + (17 if way is Direction.OUT else 0)
    wave = 1 + 0.2 * math.sin(day / 3 + phase) + 0.1 * math.sin(hour / 2.3 + phase)
    rate = PARTS[name].bits_per_s * busy * wave * (1 if way is Direction.IN else _OUT)
    return round(rate * 3600 / 8)


def _hour(hour: int) -> Batch:
    start_ns = hour_start_s(hour) * 10**9
    return Batch(
        ROUTER,
        start_ns,
        start_ns + HOUR_NS,
        tuple(_increments(hour)),
        tunnels=tuple(_tunnels(hour)),
        parts=tuple(
            PartIncrement(LINE, name, way, octets, octets // 700, How.COUNTED)
            for way in _WAYS
            for name in PARTS
            for octets in [sent_in_hour(name, way, hour)]
        ),
        capacities=tuple(LineCapacity(LINE, way, CAPACITY_BITS_PER_S) for way in _WAYS),
        resolution_s=3600,
    )


def _increments(hour: int) -> Iterator[Increment]:
    for way in _WAYS:
        octets = {name: sent_in_hour(name, way, hour) for name in PARTS}
        whole = sum(octets.values())
        for name, part in {LINE: whole, **octets}.items():
            yield Increment(CounterKey(name, way, ObservationPoint.WIRE), part, part // 700)
        for name in ("VPN-to-parent", "branch-berlin"):
            yield Increment(CounterKey(name, way, ObservationPoint.INNER), round(octets[name] / 1.09), 1)
        yield Increment(CounterKey(NIC, way, ObservationPoint.NIC), whole + whole // 50, whole // 700)


def _tunnels(hour: int) -> Iterator[TunnelIncrement]:
    for number, name in enumerate(TUNNELS):
        for way in _WAYS:
            octets = round(sent_in_hour(name if name in PARTS else "nat-t", way, hour) / 1.09)
            inbound = way is Direction.IN
            yield TunnelIncrement(
                TunnelKey(name, "", way),
                octets,
                octets // 650,
                rekeys=int(hour % (7 + number) == 0),
                births=int(hour % (7 + number) == 0),
                lost_packets=octets // 9_000_000 if inbound else 0,
                integrity_failures=int(inbound and hour % 211 == 7),
            )
