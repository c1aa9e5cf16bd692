"""The parts of a line as people ask for them: tunnels by their names, and what is left of built-in parts.

In: what rules counted of each part, the shares of tunnels in it, and what is derived, all of one direction
and over one time. Out: disjoint parts, whose sum is that of the rule counters and of what is derived.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from ipsecmon.account.partition import Volume, summed
from ipsecmon.account.sharing import sharing
from ipsecmon.model import CounterKey, How, ObservationPoint, line_of

__all__ = ["Counted", "LineShare", "divide", "joined", "sharers", "uncertain_parts"]

_DERIVED = ObservationPoint.DERIVED


class LineShare(NamedTuple):
    """derived: of volume."""

    name: str
    volume: Volume
    how: How
    derived: Volume = Volume()


class Counted(Protocol):
    """What a part's counter and its copies said, over any time."""

    @property
    def key(self) -> CounterKey: ...
    @property
    def lost_packets(self) -> int: ...
    @property
    def bridged_packets(self) -> int: ...


def divide(
    rules: Sequence[CounterKey], volumes: Mapping[CounterKey, Volume], uncertain: Collection[CounterKey] = ()
) -> list[LineShare]:
    """rules: the parts, in order. volumes: of these, SHARES and DERIVED. uncertain: by uncertain_parts().

    A tunnel without a rule of its own stands before the first part that it has a share in.
    """
    found: dict[str, LineShare] = {}
    for key in rules:
        tunnels = list(sharers(key, volumes))
        how = How.ATTRIBUTED if key in uncertain else How.COUNTED
        rest = volumes.get(key, Volume())
        for one in tunnels:
            rest = _less(rest, volumes[one])
            found[one.name] = joined(found.get(one.name), LineShare(one.name, volumes[one], how))
        own = LineShare(key.name, rest, how if tunnels else How.COUNTED)
        found[key.name] = joined(found.get(key.name), own)
    for one, volume in volumes.items():
        if one.observed_at is _DERIVED and rules and one.direction is rules[0].direction and any(volume):
            more = LineShare(one.name, volume, How.DERIVED, volume)
            found[one.name] = joined(found.get(one.name), more)
    return list(found.values())


def uncertain_parts(increments: Iterable[Counted]) -> set[CounterKey]:
    """Parts some of whose copies were lost, never made, or are of nobody knows whom."""
    found = set()
    for one in increments:
        key = one.key
        shared = sharing(key.name)
        if shared is not None and key.observed_at is shared.point:
            found.add(key._replace(observed_at=ObservationPoint.WIRE))
        elif key.observed_at is ObservationPoint.WIRE and (one.lost_packets or one.bridged_packets):
            found.add(key)
    return found


def sharers(part: CounterKey, volumes: Iterable[CounterKey]) -> Iterator[CounterKey]:
    """Tunnels' shares of a part; what is under the part's own name is nobody's yet."""
    shared = sharing(part.name)
    for one in volumes:
        if (
            shared is not None
            and one.observed_at is shared.point
            and one.direction is part.direction
            and line_of(one.name) == line_of(part.name)
            and sharing(one.name) is None
        ):
            yield one


def joined(one: LineShare | None, other: LineShare) -> LineShare:
    """The less certain word holds for both."""
    if one is None:
        return other
    how = max(one.how, other.how, key=list(How).index)
    return LineShare(one.name, summed((one.volume, other.volume)), how, summed((one.derived, other.derived)))


def _less(whole: Volume, share: Volume) -> Volume:
    """Of a time that is cut out of a longer one: some of the share may have been counted before it."""
    return Volume(max(0, whole.octets - share.octets), max(0, whole.packets - share.packets))
