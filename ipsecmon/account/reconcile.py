"""Two meters of the same packets: they agree, their difference is explained, or they disagree.

In: what happened in one span, an interval or a sum of intervals. Out: one Reconciliation a pair of meters.
A difference is explained by what both meters tell of themselves: copies lost or on their way, packets
merged into larger ones, what passed while no agent ran, SAs that ended unread, and readings that were not
taken at one moment. What is left after the widest of these bounds is unexplained, so it is the least
by which a meter is wrong.

Differences of intervals add up, and skew goes: what one interval has too much of, the next one lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Optional

from ipsecmon.model import (
    NOT_BY_RULES,
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    Pair,
    Reason,
    Reconciliation,
    TunnelIncrement,
)

__all__ = [
    "SKEW_NS",
    "START_NS",
    "range_skew_ns",
    "reconcile",
    "reconcile_copies",
    "reconcile_tunnel",
]

SKEW_NS = 20_000_000  # between the readings of two meters of one round: some ms, and room for bursts
START_NS = 1_000_000_000  # rules count from when they stand, SAs from when they are first read
_RANGE_PART = 100  # of a range: so much of it may be the skew of a start that lies in it

_LEAST, _MOST = 20, 65_535  # octets of an IP packet
_FULL = 1500  # octets of a packet that falls between two readings, unless the mean is larger
_MERGED = (40, 120)  # IP and TCP headers that each merged packet lost: IPv4 without options to the most
_FRAGMENT = (20, 39)  # IPv4 headers of fragments; IPv6's are as long as merged ones

_WAYS = (Direction.IN, Direction.OUT)


class _Bound(NamedTuple):
    """The difference that one reason alone can make, in octets."""

    reason: Reason
    least: int
    most: int


def range_skew_ns(length_ns: int) -> int:
    """Of a range of history: it may have a start of an agent in it."""
    return min(START_NS, max(SKEW_NS, length_ns // _RANGE_PART))


def reconcile(
    increments: Iterable[Increment], tunnels: Iterable[TunnelIncrement], length_ns: int, skew_ns: int
) -> list[Reconciliation]:
    """Every counter that rules have, and every tunnel, peers summed; but for those where nothing passed."""
    every = list(increments)
    rules = {one.key: one for one in every if one.key.observed_at not in NOT_BY_RULES}
    were_gone = any(one.packets for one in every if one.key.observed_at is ObservationPoint.RULES_GONE)
    found = [reconcile_copies(one, were_gone) for one in rules.values()]
    by_name: dict[str, list[TunnelIncrement]] = {}
    for one in tunnels:
        by_name.setdefault(one.key.tunnel, []).append(one)
    for name, ones in by_name.items():
        for way in _WAYS:
            key = CounterKey(name, way, ObservationPoint.INNER)
            found.append(reconcile_tunnel(key, ones, rules.get(key), length_ns, skew_ns))
    return [one for one in found if one.expected_octets or one.seen_octets or one.lost_packets]


def reconcile_copies(rule: Increment, were_gone: bool = False) -> Reconciliation:
    """The kernel counter of a rule, and the copies that it made.

    Copies came, are lost, are on their way or were never made (bridged). Any more are of packets that were
    counted before: they were on their way when this span began; or, where rules were_gone, by a rule that
    took its count with it.
    """
    missing = rule.lost_packets + rule.pending_packets
    before = max(0, rule.nflog_packets + missing + rule.bridged_packets - rule.packets)
    least = rule.bridged_octets + _LEAST * missing - _MOST * before
    most = rule.bridged_octets + _MOST * (missing + rule.bridged_packets) - _LEAST * before
    plain = Reason.RULES_GONE if were_gone and before else Reason.SKEW
    reason = Reason.LOSS if rule.lost_packets else Reason.BRIDGED if rule.bridged_packets else plain
    found = Reconciliation(
        rule.key, Pair.RULE_NFLOG, rule.octets, rule.nflog_octets, lost_packets=rule.lost_packets
    )
    return _explained(found, [_Bound(reason, least, most)])


def reconcile_tunnel(
    key: CounterKey,
    sas: Iterable[TunnelIncrement],
    rule: Optional[Increment],
    length_ns: int,
    skew_ns: int = SKEW_NS,
) -> Reconciliation:
    """The SAs of a tunnel in key's direction, and its inner rule.

    sas: of that tunnel, all directions: SAs whose direction nobody knows may be of this one too.
    """
    ones = list(sas)
    mine = [one for one in ones if one.key.direction is key.direction]
    octets = sum(one.octets for one in mine)
    if rule is None:
        return Reconciliation(key, Pair.SA_RULE, octets, 0, explained_octets=octets, reason=Reason.NO_COUNTER)
    strangers = [one for one in ones if one.key.direction is Direction.UNKNOWN]
    packets = sum(one.packets for one in mine)
    most = max(packets, rule.packets)
    passed = _passed_between(most, length_ns, skew_ns)
    skew = _skew(passed, most, max(octets, rule.octets))
    bounds = [_unread(mine, strangers, rule), _bridged(mine, rule)]
    more = packets - rule.packets
    merged = _merged(more, _together([*bounds, skew] if more >= 2 * passed else bounds))
    if abs(more) <= passed or any(one.least or one.most for one in bounds):
        bounds.append(skew)
    return _explained(Reconciliation(key, Pair.SA_RULE, octets, rule.octets), bounds, merged)


def _passed_between(packets: int, length_ns: int, skew_ns: int) -> int:
    """Packets between the readings of two meters, at both ends of the span: by the mean rate; or one."""
    return max(1, _ceil(packets * 2 * skew_ns, max(length_ns, 2 * skew_ns, 1)))


def _skew(passed: int, packets: int, octets: int) -> _Bound:
    """packets, octets: of the meter that counted more of them, whose mean packet is that of the wire."""
    most = passed * max(_FULL, _ceil(octets, max(1, packets)))
    return _Bound(Reason.SKEW, -most, most)


def _bridged(sas: Iterable[TunnelIncrement], rule: Increment) -> _Bound:
    octets = sum(one.bridged_octets for one in sas) - rule.bridged_octets
    return _Bound(Reason.BRIDGED, min(0, octets), max(0, octets))


def _unread(sas: Sequence[TunnelIncrement], strangers: Sequence[TunnelIncrement], rule: Increment) -> _Bound:
    """The truth is at most so much above what SAs told."""
    octets = sum(one.error_bound_octets for one in (*sas, *strangers)) + sum(one.octets for one in strangers)
    if any(one.unbounded_ends for one in (*sas, *strangers)):
        octets = max(octets, rule.octets)
    return _Bound(Reason.ERROR_BOUND, -octets, 0)


def _explained(
    found: Reconciliation, bounds: Sequence[_Bound], merged: Iterable[_Bound] = ()
) -> Reconciliation:
    """By one of bounds or merged alone, or by the sum of bounds."""
    octets = found.difference_octets
    if not octets:
        return found
    together = _together(bounds)
    for bound in (*bounds, *merged, together):
        if bound.least <= octets <= bound.most:
            return replace(found, explained_octets=octets, reason=bound.reason)
    part = min(max(octets, together.least), together.most)
    return replace(found, explained_octets=part, reason=together.reason if part else None)


def _together(bounds: Sequence[_Bound]) -> _Bound:
    """The reason is the widest."""
    widest = max(bounds, key=lambda one: one.most - one.least)
    return _Bound(widest.reason, sum(one.least for one in bounds), sum(one.most for one in bounds))


def _merged(packets: int, slack: _Bound) -> Iterator[_Bound]:
    """The first meter counted so many packets more: of each, the second may have missed the headers alone."""
    if packets > 0:
        exact = [
            _Bound(Reason.GRO, _MERGED[0] * packets, _MERGED[1] * packets),
            _Bound(Reason.FRAGMENTS, _FRAGMENT[0] * packets, _FRAGMENT[1] * packets),
        ]
        yield from exact
        for one in exact:
            yield _Bound(one.reason, one.least + slack.least, one.most + slack.most)


def _ceil(number: int, by: int) -> int:
    return -(-number // by)
