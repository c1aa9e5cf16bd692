"""What rule counters saw of each tunnel between two polls: the bound where the end of an SA was not seen.

A tunnel's own counters, on the wire or inside, whichever saw more: GRO merges inner packets and hides their
headers, and ESP that comes over another interface than the line is in no counter of the wire. Where a
tunnel has none of its own on the wire, all IPsec of its direction bounds it: inside alone too little is seen,
and where iptables has no rule for it, nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Optional

from ipsecmon.account.tunnel_match import Place
from ipsecmon.account.tunnels import Volume
from ipsecmon.model import UNNAMED, CounterKey, Direction, Increment, ObservationPoint

__all__ = ["RuleVolumes", "measure_rules"]

_BUILT_IN = ("esp", "nat-t", "inner")
_POINTS = (ObservationPoint.WIRE, ObservationPoint.INNER)
_WAYS = (Direction.IN, Direction.OUT)
_NOTHING = Volume(0, 0)
_Seen = Optional[Volume]  # None: not known


class RuleVolumes(Mapping[Place, Volume]):
    """covered: places that some counter covers. passed: those of them where packets did."""

    def __init__(self, covered: frozenset[Place], passed: Mapping[Place, Volume]) -> None:
        self._covered = covered
        self._passed = passed

    def __getitem__(self, place: Place) -> Volume:
        if place not in self._covered:
            raise KeyError(place)
        return self._passed.get(place, _NOTHING)

    def __iter__(self) -> Iterator[Place]:
        return iter(self._covered)

    def __len__(self) -> int:
        return len(self._covered)


def measure_rules(
    tunnels: Sequence[str],
    before: Iterable[Increment],
    now: Iterable[Increment],
    broken: Collection[CounterKey] = (),
) -> RuleVolumes:
    """tunnels: names of the config's. before, now: what each counter had counted, summed since one start.

    broken: counters that were made anew in between: nobody knows what passed, and they bound nothing.
    """
    seen = _differences(before, now)
    seen.update(dict.fromkeys(broken))
    whole = {way: _bound([*tunnels, *_BUILT_IN], way, seen) for way in _WAYS}
    found: dict[Place, Volume] = {}
    for name in (*tunnels, UNNAMED):
        both = []
        for way in _WAYS:
            has_own = CounterKey(name, way, ObservationPoint.WIRE) in seen
            own = _bound([name], way, seen) if has_own else whole[way]
            if own is not None:
                found[Place(name, way)] = own
                both.append(own)
        if len(both) == len(_WAYS):
            found[Place(name, Direction.UNKNOWN)] = _sum(both)
    return RuleVolumes(frozenset(found), {place: one for place, one in found.items() if any(one)})


def _differences(before: Iterable[Increment], now: Iterable[Increment]) -> dict[CounterKey, _Seen]:
    was = {one.key: one for one in before}
    found: dict[CounterKey, _Seen] = {}
    for one in now:
        earlier = was.get(one.key)
        octets, packets = (earlier.octets, earlier.packets) if earlier else (0, 0)
        found[one.key] = Volume(one.octets - octets, one.packets - packets)
    return found


def _bound(names: Sequence[str], way: Direction, seen: Mapping[CounterKey, _Seen]) -> _Seen:
    """None where none of them has a counter, or one does not know."""
    sums = []
    for point in _POINTS:
        keys = [CounterKey(name, way, point) for name in names]
        there = [seen[key] for key in keys if key in seen]
        if None in there:
            return None
        if there:
            sums.append(_sum(one for one in there if one is not None))
    if not sums:
        return None
    return Volume(max(one.octets for one in sums), max(one.packets for one in sums))


def _sum(volumes: Iterable[Volume]) -> Volume:
    octets, packets = zip(*volumes)
    return Volume(sum(octets), sum(packets))
