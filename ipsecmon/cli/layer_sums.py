"""Layers inside a tunnel, and its road warriors, as people ask for them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

from ipsecmon.model import OTHER_PEERS, Direction, Layer
from ipsecmon.store import LayerRow

__all__ = ["NO_INSIDE", "Inside", "LayerWays", "LinkWays", "Passed", "insides_of"]

_ORDER = (Layer.ESP, Layer.GRE, Layer.L2TP, Layer.XFRM, Layer.ETHERNET, Layer.IP)
_WAYS = (Direction.IN, Direction.OUT)


class Passed(NamedTuple):
    octets: int = 0
    packets: int = 0


_NOTHING = Passed()


@dataclass(frozen=True)
class LayerWays:
    """Totals by direction. overhead_ratio: its octets over those of the next layer inwards; None where that
    is not known or carried nothing."""

    layer: Layer
    ways: Mapping[Direction, Passed]
    overhead_ratio: Optional[float] = None

    @property
    def octets(self) -> int:
        return sum(one.octets for one in self.ways.values())


@dataclass(frozen=True)
class LinkWays:
    """An interface or a road warrior. last: in the newest interval; is_up: at its end; seen_ns: then last."""

    name: str
    total: Mapping[Direction, Passed]
    last: Mapping[Direction, Passed]
    is_up: bool
    seen_ns: int

    @property
    def octets(self) -> int:
        return sum(one.octets for one in self.total.values())


@dataclass(frozen=True)
class Inside:
    """layers: from the line inwards. links: those that carried most first, OTHER_PEERS last."""

    layers: Sequence[LayerWays] = ()
    links: Sequence[LinkWays] = ()

    @property
    def has_warriors(self) -> bool:
        return any(one.layer is Layer.L2TP for one in self.layers)

    @property
    def is_up(self) -> bool:
        return any(link.is_up for link in self.links)


NO_INSIDE = Inside()


def insides_of(rows: Iterable[LayerRow]) -> dict[str, Inside]:
    """By tunnel."""
    tunnels: dict[str, list[LayerRow]] = {}
    for row in rows:
        tunnels.setdefault(row.key.tunnel, []).append(row)
    return {name: Inside(_layers(ones), _links(ones)) for name, ones in tunnels.items()}


def _layers(rows: Sequence[LayerRow]) -> list[LayerWays]:
    found: list[LayerWays] = []
    for layer in reversed(_ORDER):
        ones = [row for row in rows if row.key.layer is layer]
        if ones:
            ways = _by_way(ones)
            octets = sum(one.octets for one in ways.values())
            within = found[-1].octets if found else 0
            found.append(LayerWays(layer, ways, octets / within if within else None))
    return found[::-1]


def _links(rows: Sequence[LayerRow]) -> list[LinkWays]:
    named: dict[str, list[LayerRow]] = {}
    for row in rows:
        if row.key.link:
            named.setdefault(row.key.link, []).append(row)
    links = [_link(name, ones) for name, ones in named.items()]
    return sorted(links, key=lambda one: (one.name == OTHER_PEERS, -one.octets, one.name))


def _link(name: str, rows: Sequence[LayerRow]) -> LinkWays:
    last = {
        way: _sum(Passed(row.last_octets, row.last_packets) for row in rows if row.key.direction is way)
        for way in _WAYS
    }
    is_up = any(row.is_newest for row in rows)
    return LinkWays(name, _by_way(rows), last, is_up, max(row.end_ns for row in rows))


def _by_way(rows: Iterable[LayerRow]) -> dict[Direction, Passed]:
    ones = [(row.key.direction, Passed(row.octets, row.packets)) for row in rows]
    return {way: _sum(passed for direction, passed in ones if direction is way) for way in _WAYS}


def _sum(ones: Iterable[Passed]) -> Passed:
    octets, packets = _NOTHING
    for one in ones:
        octets, packets = octets + one.octets, packets + one.packets
    return Passed(octets, packets)
