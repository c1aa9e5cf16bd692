"""A Match as alternatives: what must hold of the source and the destination of one packet.

In: a Match and a direction. Out: conjunctions of which one must hold, each of one address family
(or of either), with "either side" and "host" multiplied out. Backends put them into their words.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Optional, Union

from ipsecmon.model import Direction
from ipsecmon.ruleset.model import Match

__all__ = ["Conjunction", "conjunctions", "from_peer"]

Ranges = tuple[tuple[int, int], ...]
Networks = tuple[str, ...]
_Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
_DEFAULT_PORT_PROTOCOLS = (6, 17)


@dataclass(frozen=True)
class Conjunction:
    """All of it must hold. family: 4, 6 or None (either); empty tuples hold always."""

    family: Optional[int]
    protocols: tuple[int, ...]
    sources: Networks
    destinations: Networks
    source_ports: Ranges
    destination_ports: Ranges


def conjunctions(match: Match, direction: Direction) -> list[Conjunction]:
    """The alternatives of a match for packets of one direction."""
    inbound = direction is Direction.IN
    sources = [match.source, match.remote if inbound else match.local]
    destinations = [match.destination, match.local if inbound else match.remote]
    protocols = match.protocols
    if (match.ports or match.source_ports or match.destination_ports) and not protocols:
        protocols = _DEFAULT_PORT_PROTOCOLS
    result = []
    for host_source, host_destination in _either(match.host):
        for source_port, destination_port in _either(match.ports):
            for family in (4, 6):
                source = _intersection([*sources, host_source], family)
                destination = _intersection([*destinations, host_destination], family)
                source_ports = _common([match.source_ports, source_port])
                destination_ports = _common([match.destination_ports, destination_port])
                if None in (source, destination, source_ports, destination_ports):
                    continue
                one = Conjunction(
                    family,
                    protocols,
                    source or (),
                    destination or (),
                    source_ports or (),
                    destination_ports or (),
                )
                result.append(one)
    return _merged_families(result)


def from_peer(match: Match, peer: str, direction: Direction) -> Match:
    """The match, of packets that come from the peer, or go to it."""
    if direction is Direction.IN:
        return replace(match, source=(peer,))
    return replace(match, destination=(peer,))


def _either(values: tuple) -> list[tuple]:  # type: ignore[type-arg]  # networks or ranges, untouched
    return [(values, ()), ((), values)] if values else [((), ())]


def _intersection(sets: Iterable[Networks], family: int) -> Optional[Networks]:
    """Networks of one family in every non-empty set; () if all are empty; None if nothing can match."""
    result: Optional[list[_Network]] = None
    for names in sets:
        if not names:
            continue
        networks = [ipaddress.ip_network(name) for name in names]
        mine = [network for network in networks if network.version == family]
        result = (
            mine if result is None else [narrow for a in result for b in mine for narrow in _narrower(a, b)]
        )
        if not result:
            return None
    return () if result is None else tuple(str(network) for network in _collapsed(result))


def _narrower(a: _Network, b: _Network) -> list[_Network]:
    if a.version != b.version or not a.overlaps(b):
        return []
    return [a if a.prefixlen >= b.prefixlen else b]


def _collapsed(networks: Sequence[_Network]) -> list[_Network]:
    version4 = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    version6 = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    return [*ipaddress.collapse_addresses(version4), *ipaddress.collapse_addresses(version6)]


def _common(sets: Iterable[Ranges]) -> Optional[Ranges]:
    """Ranges that lie in every non-empty set; () if all are empty; None if nothing can match."""
    result: Optional[Ranges] = None
    for ranges in sets:
        if not ranges:
            continue
        if result is None:
            result = ranges
        else:
            pairs = [(max(a, c), min(b, d)) for a, b in result for c, d in ranges]
            result = tuple((low, high) for low, high in pairs if low <= high)
        if not result:
            return None
    return () if result is None else _joined(result)


def _joined(ranges: Ranges) -> Ranges:
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def _merged_families(alternatives: list[Conjunction]) -> list[Conjunction]:
    """Where no address is named, one alternative serves both families."""
    merged: list[Conjunction] = []
    for one in alternatives:
        if one.sources or one.destinations:
            merged.append(one)
        elif one.family == 4:
            merged.append(Conjunction(None, one.protocols, (), (), one.source_ports, one.destination_ports))
    return merged
