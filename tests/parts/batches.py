"""Batches to send to real servers."""

from __future__ import annotations

from ipsecmon.model import (
    Batch,
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    SelfMeasurement,
    TunnelIncrement,
    TunnelKey,
)

START_NS = 1_795_323_600 * 10**9  # 2026-11-22 05:00:00 UTC
STEP_NS = 10 * 10**9


def batch(number: int = 0, counters: int = 2) -> Batch:
    """The number-th interval: counters with octets number + 1, 2, …, an interface, the agent's own."""
    start_ns = START_NS + number * STEP_NS
    increments = [_increment(index, number + index + 1) for index in range(counters)]
    nic = CounterKey("eth1", Direction.IN, ObservationPoint.NIC)
    increments.append(Increment(nic, octets=1_000 + number, packets=7))
    own = (SelfMeasurement("nflog", "overrun", number),)
    return Batch("hq gw,1", start_ns, start_ns + STEP_NS, tuple(increments), own)


def _increment(index: int, octets: int) -> Increment:
    key = CounterKey(f"tunnel {index}, Büro=1", Direction.OUT, ObservationPoint.WIRE)
    return Increment(key, octets, 1, 2, 3, 4, 5, 6, 7)


def tunnel_batch(number: int = 0) -> Batch:
    """The number-th interval of a tunnel in transport mode, its rekeys, and an error of the kernel's."""
    start_ns = START_NS + number * STEP_NS
    end_s = (start_ns + STEP_NS) // 10**9
    key = TunnelKey('to "parent"\\, Büro=1', "2001:db8::7", Direction.IN)
    inbound = TunnelIncrement(
        key,
        octets=1200 + number,
        packets=10,
        payload_octets=1000,
        derived_octets=200,
        births=3,
        rekeys=2,
        ends=2,
        unseen_ends=1,
        lost_packets=4,
        sas=2,
        last_used_s=end_s - 3,
        added_s=end_s - 70,
    )
    outbound = TunnelIncrement(key._replace(direction=Direction.OUT), octets=90, packets=1, sas=2)
    own = (SelfMeasurement("xfrm", "flushes", 1),)
    errors = (("XfrmInNoStates", 3),)
    return Batch("hq gw,1", start_ns, start_ns + STEP_NS, (), own, (inbound, outbound), errors)


def total_octets(*batches: Batch) -> int:
    """Of all counters, without the interfaces."""
    return sum(
        increment.octets
        for each in batches
        for increment in each.increments
        if increment.key.observed_at is not ObservationPoint.NIC
    )
