"""ESP that no rule saw, as it was decrypted before them: by its SAs and by what the interface has more.

With esp4_offload or esp6_offload and GRO, inbound ESP is decrypted before PREROUTING. Its SAs count it, the
interface counts it, and rules never see it. That is told by numbers, interval by interval: SAs counted more
packets than the ESP parts, and the interface has at least as many frames, and as many octets, that no rule
saw. Then what the interface has more is that ESP: its octets exactly, where no other frame went unseen; of
others ARP's size is taken off for each. ESP can't add less or more than the smallest and the largest headers
to what is inside: what is beyond is left unexplained. Tunnels have of it by their SAs' octets and packets.

While rules are blind sums go on over intervals, so that what the meters read too late in one is in the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Optional

from ipsecmon.account.partition import Volume
from ipsecmon.account.reconcile import SKEW_NS, START_NS
from ipsecmon.model import (
    SHARES,
    UNNAMED,
    Batch,
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
)

__all__ = ["LEAST_ADDED", "MOST_ADDED", "DerivedEsp"]

LEAST_ADDED = 10  # octets that ESP adds to a packet: SPI, number, trailer (transport mode, no algorithms)
MOST_ADDED = 121  # IPv6 40, UDP 8, ESP 8, IV 16, trailer and padding 17, integrity 32
ARP_OCTETS = 28  # RFC 826, of IPv4 over Ethernet
_LARGEST = 1500  # of a packet that passed between two readings
_LEAST_SKEW = 2  # packets between the readings of two meters, at both ends
_BUILT_IN = ("esp", "nat-t", "ah")
_REST = "esp"  # whose share that is what no tunnel of the config has
_IN, _WIRE, _DERIVED = Direction.IN, ObservationPoint.WIRE, ObservationPoint.DERIVED


class _Volumes:
    """Octets and packets by a tunnel's name."""

    def __init__(self) -> None:
        self.octets: Counter[str] = Counter()
        self.packets: Counter[str] = Counter()

    def add(self, name: str, octets: int, packets: int) -> None:
        self.octets[name] += octets
        self.packets[name] += packets

    def update(self, other: _Volumes) -> None:
        self.octets.update(other.octets)
        self.packets.update(other.packets)

    @property
    def whole(self) -> Volume:
        return Volume(sum(self.octets.values()), sum(self.packets.values()))


@dataclass
class _Sums:
    """sas, seen: by SAs and by rules. unseen: frames, and IP octets, that the interface has more than rules.

    given: derived already.
    """

    sas: _Volumes = field(default_factory=_Volumes)
    seen: _Volumes = field(default_factory=_Volumes)
    unseen: Volume = field(default_factory=Volume)
    given: _Volumes = field(default_factory=_Volumes)

    def plus(self, other: _Sums) -> _Sums:
        found = _Sums(unseen=_plus(self.unseen, other.unseen))
        for one in (self, other):
            found.sas.update(one.sas)
            found.seen.update(one.seen)
            found.given.update(one.given)
        return found

    @property
    def missing(self) -> int:
        """Packets that SAs counted and rules did not."""
        return self.sas.whole.packets - self.seen.whole.packets

    def bound(self, added: int) -> int:
        """Octets that are missing, if ESP added so many to each packet."""
        inner = self.sas.whole
        return max(0, inner.octets + added * inner.packets - self.seen.whole.octets)


class DerivedEsp:
    """derive() for each batch, close() when it is safe: one that a store refuses is derived again."""

    def __init__(self) -> None:
        self._is_first = True
        self._is_blind = False  # rules were, when they were last seen to be one or the other
        self._sums: Optional[_Sums] = None
        self._next: tuple[bool, Optional[_Sums]] = (False, None)

    def derive(
        self, batch: Batch, lines: Collection[str], parts: Collection[str] = _BUILT_IN
    ) -> list[Increment]:
        """At DERIVED, by tunnels' names. lines: their names; of several, nobody knows on which it came.

        parts: what rules of the line count, by name. A tunnel whose ESP none of them is known to count, as
        rules of others may without saying so, tells nothing of what rules see.
        """
        if len(lines) != 1:
            self._next = (False, None)
            return []
        now = _measured(batch, lines, parts)
        skew_ns = START_NS if self._is_first else SKEW_NS
        skew = _skew(now.sas.whole.packets, batch.end_ns - batch.start_ns, skew_ns)
        is_missing = self._is_missing(now, skew)
        sees_all = 0 < now.sas.whole.packets <= now.seen.whole.packets
        is_blind = is_missing or (self._is_blind and not sees_all)
        if not is_missing and self._sums is None:
            self._next = (is_blind, None)
            return []
        sums = (self._sums or _Sums()).plus(now)
        derived = _divided(sums)
        sums.given.update(derived)
        self._next = (is_blind, sums if is_missing else None)
        return [
            Increment(CounterKey(name, _IN, _DERIVED), derived.octets[name], derived.packets[name])
            for name in dict.fromkeys((*derived.octets, *derived.packets))
            if derived.octets[name] or derived.packets[name]
        ]

    def close(self) -> None:
        self._is_first = False
        self._is_blind, self._sums = self._next

    def _is_missing(self, now: _Sums, skew: int) -> bool:
        """Once rules are known to be blind a single packet is enough: skew has no octets on the interface."""
        missing = now.missing
        return (
            missing > (0 if self._is_blind else skew)
            and now.unseen.packets >= missing - skew
            and now.unseen.octets >= now.bound(LEAST_ADDED) - skew * _LARGEST
            and now.unseen.octets > 0
        )


def _measured(batch: Batch, lines: Collection[str], parts: Collection[str]) -> _Sums:
    """Of one interval; what passed while no agent ran is in none of it."""
    sums = _Sums()
    for one in batch.tunnels:
        if one.key.direction is _IN and (one.key.tunnel in parts or _REST in parts):
            name = _REST if one.key.tunnel == UNNAMED else one.key.tunnel
            sums.sas.add(name, one.octets - one.bridged_octets, one.packets - one.bridged_packets)
    inbound = [one for one in batch.increments if one.key.direction is _IN]
    tunnels = {one.key.tunnel for one in batch.tunnels}
    for rule in inbound:
        name, point = rule.key.name, rule.key.observed_at
        octets, packets = rule.octets - rule.bridged_octets, rule.packets - rule.bridged_packets
        if point is _WIRE and (name in tunnels or name in _BUILT_IN):
            sums.seen.add(name if name in tunnels else _REST, octets, packets)
        elif point in SHARES and name not in _BUILT_IN:
            sums.seen.add(name, octets, packets)
            sums.seen.add(_REST, -octets, -packets)
    sums.unseen = _unseen(inbound, lines)
    return sums


def _unseen(inbound: Iterable[Increment], lines: Collection[str]) -> Volume:
    octets = packets = 0
    for one in inbound:
        point, name = one.key.observed_at, one.key.name
        if point is ObservationPoint.NIC:
            octets, packets = octets + one.octets, packets + one.packets
        elif point is ObservationPoint.LINK_HEADERS:
            octets -= one.octets
        elif point is ObservationPoint.FRAGMENT_HEADERS or (point is _WIRE and name not in lines):
            octets, packets = octets - one.octets, packets - one.packets
    return Volume(octets, packets)


def _divided(sums: _Sums) -> _Volumes:
    """What is derived of these sums and was not given yet."""
    packets = max(0, min(sums.missing, sums.unseen.packets))
    others = sums.unseen.packets - packets
    octets = max(0, min(sums.unseen.octets - others * ARP_OCTETS, sums.bound(MOST_ADDED)))
    if not packets:
        octets = 0
    given = sums.given.whole
    whole = sums.sas.whole
    added = (octets + sums.seen.whole.octets - whole.octets) / whole.packets if whole.packets else 0.0
    wanted_packets = {name: sums.sas.packets[name] - sums.seen.packets[name] for name in sums.sas.packets}
    wanted_octets = {
        name: sums.sas.octets[name] + added * sums.sas.packets[name] - sums.seen.octets[name]
        for name in sums.sas.packets
    }
    found = _Volumes()
    found.packets.update(_split(packets - given.packets, _lacking(wanted_packets, sums.given.packets)))
    found.octets.update(_split(octets - given.octets, _lacking(wanted_octets, sums.given.octets)))
    return found


def _lacking(wanted: Mapping[str, float], given: Mapping[str, int]) -> dict[str, float]:
    return {name: max(0.0, number - given[name]) for name, number in wanted.items()}


def _split(number: int, weights: Mapping[str, float]) -> dict[str, int]:
    """A whole number by weights, to the last one of it: the largest remainders have what is left."""
    whole = sum(weights.values())
    if number <= 0 or not whole:
        return {}
    exact = {name: number * weight / whole for name, weight in weights.items()}
    found = {name: int(one) for name, one in exact.items()}
    left = number - sum(found.values())
    for name in sorted(exact, key=lambda one: found[one] - exact[one])[:left]:
        found[name] += 1
    return found


def _skew(packets: int, length_ns: int, skew_ns: int) -> int:
    return max(_LEAST_SKEW, -(-packets * 2 * skew_ns // max(length_ns, 2 * skew_ns, 1)))


def _plus(one: Volume, other: Volume) -> Volume:
    return Volume(one.octets + other.octets, one.packets + other.packets)
