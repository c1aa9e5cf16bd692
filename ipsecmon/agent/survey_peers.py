"""Connections of the IKE daemon and far ends seen in the kernel -> tunnels by peer, and callers.

One tunnel for each fixed peer, however many connections, SAs and policies it has. Whoever calls from
anywhere (a road warrior) is a caller and no tunnel: tomorrow its address is another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from ipsecmon.agent.survey_ike import Connection
from ipsecmon.agent.survey_ip import TUNNEL_KINDS, Link
from ipsecmon.agent.survey_xfrm import Sighting
from ipsecmon.config.readers import parse_address

__all__ = ["Tunnel", "find_tunnels"]


@dataclass(frozen=True)
class Tunnel:
    """IPsec with one fixed peer, under a name that a counter may have.

    also: further connections with that peer. can_start: its address is known now. addresses: the peer's.
    near_ends: our addresses that its SAs and policies name. if_ids: the xfrm interfaces that they name.
    other_line: the way out that they are on, where that is not the line.
    """

    name: str
    peer: str
    also: tuple[str, ...] = ()
    has_sas: bool = False
    in_udp: bool = False
    can_start: bool = True
    addresses: tuple[str, ...] = ()
    near_ends: tuple[str, ...] = ()
    if_ids: tuple[int, ...] = ()
    other_line: str = ""


def find_tunnels(
    connections: Sequence[Connection],
    resolved: Mapping[str, tuple[str, ...]],
    sightings: Iterable[Sighting],
    links: Sequence[Link],
) -> tuple[list[Tunnel], tuple[str, ...]]:
    """Tunnels: those of connections, then those seen in the kernel only. And the addresses of callers."""
    own = {address for link in links for address in link.addresses}
    found = _Tunnels(resolved)
    vtis = (Connection(link.name, (link.far_end,)) for link in links if _names_peer(link))
    for connection in (*connections, *vtis):
        for remote in connection.remotes:
            if own.isdisjoint((remote, *resolved.get(remote, ()))):
                found.add(connection.name, remote)
    anybody_may_call = any(not connection.remotes for connection in connections)
    names = {_canonical(link.far_end): link.name for link in reversed(links) if link.kind in TUNNEL_KINDS}
    callers = []
    for sighting in _by_address(sightings):
        address = sighting.address
        is_fixed = found.has(address) or address in names
        if not is_fixed and (anybody_may_call or sighting.is_l2tp):
            callers.append(address)
            continue
        if not found.has(address):
            found.add(names.get(address, f"ipsec-{address}"), address)
        found.see(sighting)
    return list(found.by_peer.values()), tuple(callers)


class _Tunnels:
    """Tunnels by peer as the config will name it: an address or a host name."""

    def __init__(self, resolved: Mapping[str, tuple[str, ...]]) -> None:
        self.by_peer: dict[str, Tunnel] = {}
        self._resolved = resolved
        self._owners: dict[str, str] = {}  # address -> the peer in by_peer that has it

    def has(self, address: str) -> bool:
        return address in self._owners

    def add(self, name: str, remote: str) -> None:
        """A tunnel with remote, or its name under also where that peer has one."""
        addresses = (remote,) if parse_address(remote) else self._resolved.get(remote, ())
        peer = next((self._owners[one] for one in (remote, *addresses) if one in self._owners), None)
        if peer is None:
            self.by_peer[remote] = Tunnel(name, remote, can_start=bool(addresses), addresses=addresses)
            self._owners.update(dict.fromkeys((remote, *addresses), remote))
        elif name not in (self.by_peer[peer].name, *self.by_peer[peer].also):
            self.by_peer[peer] = replace(self.by_peer[peer], also=(*self.by_peer[peer].also, name))

    def see(self, sighting: Sighting) -> None:
        peer = self._owners[sighting.address]
        tunnel = self.by_peer[peer]
        self.by_peer[peer] = replace(
            tunnel,
            has_sas=tunnel.has_sas or sighting.has_sas,
            in_udp=tunnel.in_udp or sighting.in_udp,
            near_ends=tuple(dict.fromkeys((*tunnel.near_ends, *sighting.near_ends))),
            if_ids=tuple(dict.fromkeys((*tunnel.if_ids, *sighting.if_ids))),
        )


def _by_address(sightings: Iterable[Sighting]) -> list[Sighting]:
    """One for each far end, by address, as the kernel's order changes. L2TP only where every policy is."""
    found: dict[str, Sighting] = {}
    for one in sightings:
        address = parse_address(one.address)
        if address is None or address.is_unspecified or address.is_multicast or address.is_loopback:
            continue
        before = found.get(str(address), one)
        told = [each.is_l2tp for each in (before, one) if each.is_l2tp is not None]
        found[str(address)] = Sighting(
            str(address),
            before.has_sas or one.has_sas,
            before.in_udp or one.in_udp,
            tuple(dict.fromkeys((*before.near_ends, *one.near_ends))),
            all(told) if told else None,
            tuple(dict.fromkeys((*before.if_ids, *one.if_ids))),
        )
    return sorted(found.values(), key=lambda one: (":" in one.address, ip_address(one.address).packed))


def _names_peer(link: Link) -> bool:
    address = parse_address(link.far_end)
    return link.kind in ("vti", "vti6") and address is not None and not address.is_unspecified


def _canonical(text: str) -> str:
    return str(parse_address(text) or text)
