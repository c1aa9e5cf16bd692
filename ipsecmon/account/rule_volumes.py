"""What rule counters saw of each tunnel between two polls: the bound where the end of an SA was not seen.

A tunnel's own counters, on the wire or inside, whichever saw more: GRO merges inner packets and hides their
headers, and ESP that comes over another interface than the line is in no counter of the wire. Where a
tunnel has none of its own at one of these points, all IPsec of its direction bounds it there, if rules count
that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Optional

from ipsecmon.account.tunnel_match import Place
from ipsecmon.account.tunnels import Volume
from ipsecmon.model import UNNAMED, CounterKey, Direction, Increment, ObservationPoint

__all__ = ["RuleVolumes", "measure_rules"]

_BUILT_IN = ("esp", "nat-t", "ah", "inner")
_POINTS = (ObservationPoint.WIRE, ObservationPoint.INNER)
_WAYS = (Direction.IN, Direction.OUT)
_NOTHING = Volume(0, 0)
_NOBODY = Volume(-1, -1)  # no counter
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
    whole = {(way, point): _whole(tunnels, way, point, seen) for way in _WAYS for point in _POINTS}
    found: dict[Place, Volume] = {}
    for name in (*tunnels, UNNAMED):
        both = []
        for way in _WAYS:
            there = [seen.get(CounterKey(name, way, point), whole[way, point]) for point in _POINTS]
            bound = _largest(one for one in there if one is not _NOBODY)
            if bound is not None:
                found[Place(name, way)] = bound
                both.append(bound)
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


def _whole(
    tunnels: Sequence[str], way: Direction, point: ObservationPoint, seen: Mapping[CounterKey, _Seen]
) -> _Seen:
    """All IPsec. _NOBODY where rules do not count what is in no tunnel."""
    if not any(CounterKey(name, way, point) in seen for name in _BUILT_IN):
        return _NOBODY
    keys = (CounterKey(name, way, point) for name in (*tunnels, *_BUILT_IN))
    there = [seen[key] for key in keys if key in seen]
    return None if None in there else _sum(one for one in there if one is not None)


def _largest(volumes: Iterable[_Seen]) -> _Seen:
    """None where there is none, or one does not know."""
    there = list(volumes)
    known = [one for one in there if one is not None]
    if not known or len(known) < len(there):
        return None
    return Volume(max(one.octets for one in known), max(one.packets for one in known))


def _sum(volumes: Iterable[Volume]) -> Volume:
    octets, packets = zip(*volumes)
    return Volume(sum(octets), sum(packets))
