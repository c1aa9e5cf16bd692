"""The interfaces of a line against its parts, over one span: the identity of the line as a Reconciliation.

In: what happened, by counter. Out: NIC_PARTS of each line and direction. A line may have several interfaces,
each with link headers of its own; its parts are one sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ipsecmon.account.partition import Agreement, Identity, Volume, identify, summed
from ipsecmon.model import (
    LINE_TERMS,
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    Pair,
    Reason,
    Reconciliation,
)

__all__ = ["Outside", "Said", "outside_of", "reconcile_lines", "volumes_of"]

Said = Mapping[ObservationPoint, Volume]
_WAYS = (Direction.IN, Direction.OUT)
_NIC, _WIRE = ObservationPoint.NIC, ObservationPoint.WIRE
_SKEW = ObservationPoint.READ_SKEW
_DROPS, _BEFORE = ObservationPoint.QDISC_DROPS, ObservationPoint.DROPPED_BEFORE_RULES
_OF_THE_MACHINE = ObservationPoint.FRAGMENT_HEADERS  # IPv4's are, so every interface says the same
_LARGEST = 1500  # octets of a packet that falls between two readings, unless the mean is larger
_REASONS = {
    "link-headers": Reason.LINK_HEADERS,
    "fragment-headers": Reason.FRAGMENTS,
    "non-ip": Reason.NON_IP,
    "qdisc-drops": Reason.QDISC_DROPS,
    "dropped-before-rules": Reason.DROPPED,
    "read-skew": Reason.SKEW,
    "rules-gone": Reason.RULES_GONE,
}


class Outside(NamedTuple):
    """Of all interfaces of a line, in one direction: nic's packets are frames; said: what tells the terms."""

    nic: Volume
    said: Said


def outside_of(interfaces: Sequence[str], way: Direction, volumes: Mapping[CounterKey, Volume]) -> Outside:
    """The sum over interfaces; of link headers, over as many frames as they are known of.

    What queues drop inbound never came to the rules: it is told as all else that did not.
    """
    nic = summed(volumes.get(CounterKey(name, way, _NIC), Volume()) for name in interfaces)
    said: dict[ObservationPoint, Volume] = {}
    for point in LINE_TERMS:
        there = [volumes[key] for name in interfaces if (key := CounterKey(name, way, point)) in volumes]
        if there:
            said[point] = max(there) if point is _OF_THE_MACHINE else summed(there)
    if way is Direction.IN and _DROPS in said:
        said[_BEFORE] = summed([said.pop(_DROPS), said.get(_BEFORE, Volume())])
    return Outside(nic, said)


def reconcile_lines(
    increments: Iterable[Increment],
    lines: Mapping[str, Sequence[str]],
    length_ns: int,
    skew_ns: int,
    most_skew: Mapping[CounterKey, Volume] = {},
) -> list[Reconciliation]:
    """lines: the interfaces of each. most_skew: at `read-skew`, where the increments do not have all of it.

    Lines where nothing passed are left out.
    """
    volumes = {**volumes_of(increments), **most_skew}
    found = []
    for name, interfaces in lines.items():
        for way in _WAYS:
            key = CounterKey(name, way, _WIRE)
            outside = outside_of(interfaces, way, volumes)
            if key in volumes and any((*outside.nic, *volumes[key])):
                derived = _derived(way, volumes) if len(lines) == 1 else Volume()
                parts = summed([volumes[key], derived])
                one = _reconciled(key, outside, parts, length_ns, skew_ns)
                found.append(replace(one, reason=one.reason or Reason.DERIVED) if derived.packets else one)
    return found


def _derived(way: Direction, volumes: Mapping[CounterKey, Volume]) -> Volume:
    """ESP that no rule saw: a part of the line, too, but made of the interface's own counter."""
    return summed(volume for key, volume in volumes.items() if key[1:] == (way, ObservationPoint.DERIVED))


def volumes_of(increments: Iterable[Increment]) -> dict[CounterKey, Volume]:
    return {one.key: Volume(one.octets, one.packets) for one in increments}


def _reconciled(
    key: CounterKey, outside: Outside, parts: Volume, length_ns: int, skew_ns: int
) -> Reconciliation:
    nic, said = outside
    found = identify(nic, parts, said)
    frames = nic.packets - parts.packets
    if found.agreement is Agreement.DISAGREE and found.packets["unexplained"] and frames:
        skew = said.get(_SKEW, Volume())
        more = Volume(skew.octets + _passed(nic, parts, length_ns, skew_ns), skew.packets)
        found = identify(nic, parts, {**said, _SKEW: more})
    return _as_reconciliation(key, nic, found)


def _passed(nic: Volume, parts: Volume, length_ns: int, skew_ns: int) -> int:
    """Octets between the two readings at one end of the span, by the mean rate; of one packet at least."""
    octets, packets = max(nic.octets, parts.octets), max(nic.packets, parts.packets, 1)
    passed = max(1, -(-packets * skew_ns // max(length_ns, skew_ns, 1)))
    return passed * max(_LARGEST, -(-octets // packets))


def _as_reconciliation(key: CounterKey, nic: Volume, found: Identity) -> Reconciliation:
    if found.agreement is Agreement.AGREE:
        return Reconciliation(key, Pair.NIC_PARTS, nic.octets, nic.octets)
    return Reconciliation(
        key,
        Pair.NIC_PARTS,
        nic.octets,
        nic.octets - found.unexplained,
        explained_octets=found.unexplained - found.beyond,
        reason=_REASONS.get(found.main_term, Reason.SKEW),
    )
