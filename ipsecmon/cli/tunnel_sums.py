"""Tunnels as people ask for them: peers summed, both directions together, in the config's order. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Optional

from ipsecmon.cli.layer_sums import NO_INSIDE, Inside
from ipsecmon.model import (
    OTHER_PEERS,
    UNKNOWN_PEER,
    UNNAMED,
    Direction,
    Reconciliation,
    TunnelIncrement,
    TunnelKey,
)
from ipsecmon.store import TunnelReport, TunnelRow

__all__ = ["Tunnel", "Way", "sum_increments", "tunnels_of"]

_LATEST = ("last_used_s", "added_s")
_SUMS = tuple(one.name for one in fields(TunnelIncrement) if one.name not in ("key", *_LATEST))
_WORDS = (OTHER_PEERS, UNKNOWN_PEER)
_Place = tuple[str, Direction]


@dataclass(frozen=True)
class Way:
    """One direction of a tunnel. total, last: as in TunnelRow, peers summed.

    wire_octets: on the line over the same time; None where no counter of the line has this tunnel alone.
    agreement: of its SAs and its rule inside; None where nothing passed or it is not known.
    """

    total: TunnelIncrement
    last: TunnelIncrement
    wire_octets: Optional[int]
    agreement: Optional[Reconciliation] = None

    def bits_per_s(self, seconds: float) -> Optional[float]:
        """In the newest interval, of so many seconds; without what passed before it, while no agent ran."""
        return (self.last.octets - self.last.bridged_octets) * 8 / seconds if seconds else None

    def packets_per_s(self, seconds: float) -> Optional[float]:
        return (self.last.packets - self.last.bridged_packets) / seconds if seconds else None


@dataclass(frozen=True)
class Tunnel:
    """ways: in and out, and unknown where there is any.

    peers: of SAs alive; where there are none, those of old, the last used first. rekeys: one that replaced
    the SAs of both directions is one. carries: what the config says, with `inside`. inside: layer by layer.
    """

    name: str
    peers: tuple[str, ...]
    rekeys: int
    ways: Mapping[Direction, Way]
    carries: Optional[str] = None
    inside: Inside = NO_INSIDE

    @property
    def sas(self) -> int:
        return sum(way.total.sas for way in self.ways.values())

    @property
    def lost_packets(self) -> Optional[int]:
        """On the path. None where anti-replay is off for all inbound SAs."""
        inbound = self.ways[Direction.IN].total
        if inbound.sas and inbound.sas == inbound.sas_without_anti_replay:
            return None
        return self.sum("lost_packets")

    @property
    def loss_ratio(self) -> Optional[float]:
        """Of the packets that were sent to us."""
        lost, came = self.lost_packets, self.ways[Direction.IN].total.packets
        return None if lost is None or not lost + came else lost / (lost + came)

    @property
    def overhead_ratio(self) -> Optional[float]:
        """Octets on the wire over inner octets. None where it is not known of all that passed."""
        wire = [way.wire_octets for way in self.ways.values() if way.total.octets]
        known = [octets for octets in wire if octets is not None]
        inner = self.sum("octets")
        return sum(known) / inner if inner and len(known) == len(wire) else None

    def sum(self, name: str) -> int:
        """Of a number of TunnelIncrement, over the directions."""
        return sum(getattr(way.total, name) for way in self.ways.values())

    def latest(self, name: str) -> Optional[int]:
        """Of a time of TunnelIncrement, over the directions."""
        return _latest(name, [way.total for way in self.ways.values()])


def tunnels_of(
    found: TunnelReport,
    named: Iterable[str],
    wire_octets: Mapping[_Place, int],
    agreements: Mapping[_Place, Reconciliation] = {},
) -> list[Tunnel]:
    """Every one that the config names, then the others of the store, unnamed last."""
    rows: dict[str, list[TunnelRow]] = {name: [] for name in named}
    for row in found.rows:
        rows.setdefault(row.total.key.tunnel, []).append(row)
    if UNNAMED in rows:
        rows[UNNAMED] = rows.pop(UNNAMED)
    return [_tunnel(name, ones, wire_octets, agreements) for name, ones in rows.items()]


def sum_increments(key: TunnelKey, ones: Sequence[TunnelIncrement]) -> TunnelIncrement:
    """Levels add up too; times are the latest."""
    sums = {name: sum(getattr(one, name) for one in ones) for name in _SUMS}
    total = TunnelIncrement(key, **sums)
    alive = [one for one in ones if one.sas]
    return replace(total, last_used_s=_latest("last_used_s", ones), added_s=_latest("added_s", alive))


def _tunnel(
    name: str,
    rows: Sequence[TunnelRow],
    wire_octets: Mapping[_Place, int],
    agreements: Mapping[_Place, Reconciliation],
) -> Tunnel:
    ways = {}
    for direction in Direction:
        ones = [row for row in rows if row.total.key.direction is direction]
        key = TunnelKey(name, "", direction)
        total = sum_increments(key, [row.total for row in ones])
        if direction is not Direction.UNKNOWN or total.packets or total.sas or total.unseen_ends:
            last = sum_increments(key, [row.last for row in ones])
            place = (name, direction)
            ways[direction] = Way(total, last, wire_octets.get(place), agreements.get(place))
    return Tunnel(name, _peers([row.total for row in rows]), _rekeys([row.total for row in rows]), ways)


def _peers(totals: Iterable[TunnelIncrement]) -> tuple[str, ...]:
    alive: set[str] = set()
    used_s: dict[str, int] = {}
    for total in totals:
        peer = total.key.peer
        used_s[peer] = max(used_s.get(peer, 0), total.last_used_s or 0)
        if total.sas:
            alive.add(peer)
    if alive:
        return tuple(sorted(alive, key=_address_order))
    return tuple(sorted(used_s, key=lambda peer: (-used_s[peer], _address_order(peer))))


def _address_order(peer: str) -> tuple[int, int, str]:
    """IPv4, IPv6, then words."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return (9, _WORDS.index(peer) if peer in _WORDS else -1, peer)
    return (address.version, int(address), "")


def _rekeys(totals: Iterable[TunnelIncrement]) -> int:
    most: dict[str, int] = {}
    for total in totals:
        most[total.key.peer] = max(most.get(total.key.peer, 0), total.rekeys)
    return sum(most.values())


def _latest(name: str, ones: Iterable[TunnelIncrement]) -> Optional[int]:
    return max((getattr(one, name) for one in ones if getattr(one, name) is not None), default=None)
