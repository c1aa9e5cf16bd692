"""Batches to send."""

from __future__ import annotations

from ipsecmon.model import Batch, CounterKey, Direction, Increment, ObservationPoint, SelfMeasurement

START_NS = 1_795_323_600 * 10**9  # 2026-11-22 05:00:00 UTC

VPN_IN = CounterKey("VPN-to-parent", Direction.IN, ObservationPoint.WIRE)
WEB_OUT = CounterKey("web", Direction.OUT, ObservationPoint.INNER)
NIC_IN = CounterKey("eth1", Direction.IN, ObservationPoint.NIC)


def increment(key: CounterKey = VPN_IN, octets: int = 1500, packets: int = 3) -> Increment:
    return Increment(
        key,
        octets=octets,
        packets=packets,
        nflog_octets=1100,
        nflog_packets=2,
        lost_packets=1,
        pending_packets=4,
        bridged_octets=5,
        bridged_packets=6,
    )


def batch(number: int = 0) -> Batch:
    """The number-th interval of 10 s: two counters, an interface, one number about the agent."""
    start_ns = START_NS + number * 10 * 10**9
    increments = (increment(), increment(WEB_OUT, 90 + number, 1), increment(NIC_IN, 1600, 3))
    own = (SelfMeasurement("nflog", "overrun", number),)
    return Batch("hq-gw1", start_ns, start_ns + 10 * 10**9, increments, own)
