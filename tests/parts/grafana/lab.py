"""A made-up day of a router: every series that dashboards ask for, as batches where the real sink writes it.

A T1 with two tunnels, road warriors behind NAT-T and clear web traffic. In the middle of each window of three
hours the qdisc is changed, and from then on the VPN gets what the web loses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from ipsecmon.agent.doctor import KINDS
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
from ipsecmon.qos import Event, EventKind, QueueIncrement, QueueKey, QueuePlace

__all__ = ["END_MS", "INTERVAL_S", "PARTS", "START_MS", "STEPS", "batches", "sent_octets"]

INTERVAL_S = 60
START_MS = 1_795_323_600_000  # 2026-11-22 05:00:00 UTC
END_MS = START_MS + 3 * 3_600_000
DAYS_BEFORE = (0, 1, 7)
BUCKET_STEPS = 5  # of baselines, 300 s
ROUTER, LINE, NIC = "hq-gw1", "T1", "eth1"
CAPACITY_BITS_PER_S = 1_544_000

_NS = 10**9
STEPS = (END_MS - START_MS) // 1000 // INTERVAL_S
_CHANGE = STEPS // 2
_WAYS = (Direction.IN, Direction.OUT)


class _Share(NamedTuple):
    """bits_per_s: its mean, of in; out has a part of it. gain: of that, when the qdisc has been changed."""

    bits_per_s: int
    gain: float = 1.0


PARTS = {
    "VPN-to-parent": _Share(520_000, 1.4),
    "branch-berlin": _Share(170_000, 1.2),
    "nat-t": _Share(90_000),
    "esp": _Share(6_000),
    "ike": _Share(1_500),
    "web": _Share(420_000, 0.55),
    "guests": _Share(110_000, 0.8),
    "other": _Share(45_000),
}
TUNNELS = {"VPN-to-parent": "198.51.100.7", "branch-berlin": "203.0.113.9", "road-warriors": "192.0.2.33"}
_OUT, _OVERHEAD = 0.45, 1.09


def batches() -> Iterator[Batch]:
    """All windows, the oldest first."""
    for days in sorted(DAYS_BEFORE, reverse=True):
        for step in range(STEPS):
            yield _batch(days, step)


def _start_ns(days: int, step: int) -> int:
    return (START_MS // 1000 - days * 86_400 + step * INTERVAL_S) * _NS


def sent_octets(name: str, way: Direction, days: int, step: int) -> int:
    """Of a part of the line in an interval: a slow and a fast wave about the mean, the same at each call."""
    share = PARTS[name]
    phase = sum(map(ord, name)) + 40 * days + (17 if way is Direction.OUT else 0)
    wave = 1 + 0.25 * math.sin(step / 23 + phase) + 0.13 * math.sin(step / 2.3 + 2 * phase)
    gain = share.gain if step >= _CHANGE and not days else 1.0
    rate = share.bits_per_s * wave * gain * (1 if way is Direction.IN else _OUT)
    return max(0, round(rate * INTERVAL_S / 8))


def _key(name: str, way: Direction, at: ObservationPoint) -> CounterKey:
    return CounterKey(name, way, at)


def _batch(days: int, step: int) -> Batch:
    start_ns = _start_ns(days, step)
    return Batch(
        ROUTER,
        start_ns,
        start_ns + INTERVAL_S * _NS,
        tuple(_increments(days, step)),
        tuple(_about_itself(step)),
        tuple(_tunnels(days, step)),
        (("XfrmInNoStates", 3), ("XfrmInStateSeqError", 1)) if step % 40 == 11 else (),
        tuple(_agreement(days, step)),
        tuple(_layers(days, step)),
        tuple(_parts(days, step)),
        capacities=tuple(LineCapacity(LINE, way, CAPACITY_BITS_PER_S) for way in _WAYS),
        queues=tuple(_queues(days, step)),
        events=tuple(_events(days, step)),
        baselines=() if days or step % BUCKET_STEPS else tuple(_baselines(step)),
    )


def _increments(days: int, step: int) -> Iterator[Increment]:
    for way in _WAYS:
        octets = {name: sent_octets(name, way, days, step) for name in PARTS}
        whole = sum(octets.values())
        yield _counted(_key(LINE, way, ObservationPoint.WIRE), whole, step)
        for name, part in octets.items():
            yield _counted(_key(name, way, ObservationPoint.WIRE), part, step)
        for name in ("VPN-to-parent", "branch-berlin"):
            yield _counted(_key(name, way, ObservationPoint.INNER), round(octets[name] / _OVERHEAD), step)
        yield _counted(_key("voip", way, ObservationPoint.INNER), octets["VPN-to-parent"] // 9, step)
        frames = whole // 700
        yield Increment(_key(NIC, way, ObservationPoint.NIC), whole + 14 * frames, frames)
        yield Increment(_key(NIC, way, ObservationPoint.LINK_HEADERS), 14 * frames, frames)
        yield Increment(_key(NIC, way, ObservationPoint.READ_SKEW), step % 7, 0)
    yield Increment(_key(NIC, Direction.OUT, ObservationPoint.QDISC_DROPS), 0, step % 9)


def _counted(key: CounterKey, octets: int, step: int) -> Increment:
    packets = octets // 700
    lost = packets // 50 if step % 45 == 20 else 0
    bridged = (octets, packets) if step == 60 else (0, 0)
    return Increment(key, octets, packets, octets - 700 * lost, packets - lost, lost, 0, *bridged)


def _tunnels(days: int, step: int) -> Iterator[TunnelIncrement]:
    for number, (name, peer) in enumerate(TUNNELS.items()):
        part = name if name in PARTS else "nat-t"
        for way in _WAYS:
            octets = round(sent_octets(part, way, days, step) / _OVERHEAD)
            yield _tunnel(TunnelKey(name, peer, way), octets, step, number, _start_ns(days, step + 1) // _NS)


def _tunnel(key: TunnelKey, octets: int, step: int, number: int, end_s: int) -> TunnelIncrement:
    inbound = key.direction is Direction.IN
    rekeyed = step % 50 == 10 + 9 * number
    unseen = step == 130 and number == 0
    return TunnelIncrement(
        key,
        octets,
        octets // 650,
        bridged_octets=octets if step == 60 else 0,
        error_bound_octets=48_000 if unseen else 0,
        error_bound_packets=70 if unseen else 0,
        unseen_ends=int(unseen),
        births=int(rekeyed),
        rekeys=int(rekeyed),
        ends=int(rekeyed),
        lost_packets=octets // 90_000 if inbound else 0,
        late_packets=2 if inbound and step % 37 == 5 else 0,
        replayed_packets=1 if inbound and step % 53 == 7 else 0,
        integrity_failures=1 if inbound and step == 77 else 0,
        sas=1 + int(rekeyed),
        last_used_s=end_s - 2,
        added_s=end_s - 600,
    )


def _agreement(days: int, step: int) -> Iterator[Reconciliation]:
    for way in _WAYS:
        web = sent_octets("web", way, days, step)
        lost = 700 * (web // 35_000) if step % 45 == 20 else 0
        yield Reconciliation(
            _key("web", way, ObservationPoint.WIRE), Pair.RULE_NFLOG, web, web - lost, lost // 700, lost
        )
        inner = sent_octets("VPN-to-parent", way, days, step)
        wrong = 5_200 if step % 31 == 3 else 0
        key = _key("VPN-to-parent", way, ObservationPoint.INNER)
        yield Reconciliation(key, Pair.SA_RULE, inner, inner - wrong, 0, 0, Reason.SKEW)


def _about_itself(step: int) -> Iterator[SelfMeasurement]:
    yield SelfMeasurement("agent", "cpu-us", 240_000 + 9_000 * (step % 11))
    yield SelfMeasurement("agent", "peak-memory-kib", 61_000 + step)
    yield SelfMeasurement("influxdb", "waiting-batches", 12 - step % 100 if 100 <= step < 112 else 0)
    yield SelfMeasurement("influxdb", "dropped-batches", 0)
    yield SelfMeasurement("nflog", "dropped-datagrams", 3 if step % 45 == 20 else 0)
    yield SelfMeasurement("nflog", "datagrams", 900)
    if step % 45 == 20:
        yield SelfMeasurement("nflog", "sequence-gap", 40)
        yield SelfMeasurement("rules", "repaired", 1)
    if step == 90:
        yield SelfMeasurement("xfrm", "flushes", 1)
    for kind in (KINDS[0], "anti-replay-off"):
        yield SelfMeasurement("doctor", kind, 1)


def _parts(days: int, step: int) -> Iterator[PartIncrement]:
    for way in _WAYS:
        for name in PARTS:
            octets = sent_octets(name, way, days, step)
            yield PartIncrement(LINE, name, way, octets, octets // 700, How.COUNTED)


def _baselines(step: int) -> Iterator[Baseline]:
    """Of the bucket that begins with this step."""
    for shift, days in (("1d", 1), ("7d", 7)):
        bucket = [_parts(days, step + number) for number in range(BUCKET_STEPS)]
        parts = [
            replace(same[0], octets=sum(one.octets for one in same), packets=sum(one.packets for one in same))
            for same in zip(*bucket)
        ]
        yield Baseline(_start_ns(0, step), shift, tuple(parts))


def _layers(days: int, step: int) -> Iterator[LayerIncrement]:
    for tunnel in TUNNELS:
        for way in _WAYS:
            octets = sent_octets(tunnel if tunnel in PARTS else "nat-t", way, days, step)
            for layer, share in ((Layer.ESP, 1.0), (Layer.L2TP, 0.92)):
                yield _layer(LayerKey(tunnel, layer, "", way), round(octets * share))
            for number, warrior in enumerate(("ada@example.net", "ben@example.net", "192.0.2.33")):
                yield _layer(LayerKey(tunnel, Layer.IP, warrior, way), round(octets * 0.86) // (2 + number))


def _layer(key: LayerKey, octets: int) -> LayerIncrement:
    return LayerIncrement(key, octets, octets // 600)


def _queues(days: int, step: int) -> Iterator[QueueIncrement]:
    changed = step >= _CHANGE and not days
    for way, names, share in (
        (Direction.OUT, (NIC, "htb", "1:", "root"), 1.0),
        (Direction.OUT, (NIC, "fq_codel", "10:", "1:10"), 0.6),
        (Direction.IN, ("ifb0", "htb", "1:", "root"), 0.3),
    ):
        drops = round((3 if changed else 14) * share * (1 + math.sin(step / 9)))
        backlog = round((6_000 if changed else 30_000) * share * (1 + math.sin(step / 7)))
        octets = round(5_000_000 * share)
        yield QueueIncrement(
            QueueKey(*names),
            octets,
            7000,
            drops,
            overlimits=drops,
            backlog_octets=backlog,
            backlog_packets=backlog // 1000,
            place=QueuePlace(LINE, way),
        )


def _events(days: int, step: int) -> Iterator[Event]:
    start_ns = _start_ns(days, step)
    for at, kind, text, interface in (
        (_CHANGE, EventKind.QDISC_CHANGED, "eth1: fq_codel below htb, the VPN has 60 % of the line", NIC),
        (20, EventKind.RULES_CHANGED, "rules: counter guests (wire) added", ""),
        (35, EventKind.RULES_REPAIRED, "rules: ours were changed or removed, put back", ""),
        (50, EventKind.MARK, "maintenance at the provider", ""),
    ):
        if at == step:
            yield Event(kind, start_ns, start_ns + INTERVAL_S * _NS, text, interface)
