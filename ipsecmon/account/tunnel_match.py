"""Which named tunnel an SA belongs to, and in which direction it carries: derived, never guessed.

Direction: what the kernel says; else the policies that use the SA; else whose address its destination is.
Where these are silent or disagree it is UNKNOWN, and so it is shown. A tunnel is the first rule of which
every condition holds; conditions that need a direction do not hold without one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Union

from ipsecmon.ipsec import IkeNames, Mark, Policy, SecurityAssociation, Template
from ipsecmon.model import OTHER_PEERS, UNKNOWN_PEER, UNNAMED, Direction, TunnelKey

__all__ = ["NO_NAMES", "Place", "TunnelMatcher", "TunnelRule"]

PLACES_KEPT = 65536  # SPIs change with every rekey
PEERS_KEPT = 1024  # of one tunnel; the rest share one place, so that nobody's series grow without end
NO_NAMES = IkeNames({}, {})
UNSPECIFIED = ("0.0.0.0", "::")
IPNetwork = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


@dataclass(frozen=True)
class TunnelRule:
    """Conditions on an SA; an empty one always holds.

    peers: the other gateway's address. subnets: (local, remote) networks that hold what a policy selects.
    reqids: ranges, both ends included. connections: names that an IKE daemon has for the SA.
    """

    name: str
    peers: frozenset[str] = frozenset()
    subnets: tuple[tuple[str, str], ...] = ()
    if_ids: frozenset[int] = frozenset()
    marks: frozenset[Mark] = frozenset()
    reqids: tuple[tuple[int, int], ...] = ()
    connections: frozenset[str] = frozenset()


class Place(NamedTuple):
    """What one rule counter may cover. tunnel: UNNAMED where no rule holds."""

    tunnel: str
    direction: Direction


class TunnelMatcher:
    """What is known besides the SAs is told by learn() and may change."""

    def __init__(self, rules: Sequence[TunnelRule]) -> None:
        self._rules = rules
        self.learnt = 0  # times
        self._policies: dict[tuple[int, int], list[tuple[Policy, Template]]] = {}
        self._own: frozenset[str] = frozenset()
        self._names = NO_NAMES
        self._known: dict[tuple[object, ...], TunnelKey] = {}
        self._peers: dict[str, set[str]] = {}

    def learn(
        self,
        policies: Iterable[Policy],
        own: Collection[str],
        names: IkeNames = NO_NAMES,
    ) -> None:
        """own: this machine's addresses."""
        self.learnt += 1
        self._policies = {}
        for policy in policies:
            if not policy.is_socket and not policy.is_blocking:
                for template in policy.templates:
                    key = (template.protocol, template.reqid)
                    self._policies.setdefault(key, []).append((policy, template))
        self._own = frozenset(own)
        self._names = names
        self._known = {}

    def change(self, rules: Sequence[TunnelRule]) -> None:
        """Other rules from now on."""
        self.learnt += 1
        self._rules = rules
        self._known = {}

    def key(self, sa: SecurityAssociation) -> TunnelKey:
        """Remembered until the next learn()."""
        told = (sa.source, sa.destination, sa.spi, sa.protocol, sa.mark, sa.reqid, sa.if_id, sa.direction)
        key = self._known.get(told)
        if key is None:
            if len(self._known) >= PLACES_KEPT:
                self._known.clear()
            key = self._known[told] = self._find(sa)
        return key

    def _find(self, sa: SecurityAssociation) -> TunnelKey:
        users = list(self.users(sa))
        direction = self._direction(sa, users)
        holding = (rule.name for rule in self._rules if self._holds(rule, sa, direction, users))
        tunnel = next(holding, UNNAMED)
        return TunnelKey(tunnel, self._peer(tunnel, sa, direction), direction)

    def _peer(self, tunnel: str, sa: SecurityAssociation, direction: Direction) -> str:
        if direction is Direction.UNKNOWN:
            return UNKNOWN_PEER
        (peer,) = _peers(sa, direction)
        peers = self._peers.setdefault(tunnel, set())
        if len(peers) < PEERS_KEPT:
            peers.add(peer)
        return peer if peer in peers else OTHER_PEERS

    def users(self, sa: SecurityAssociation) -> Iterator[Policy]:
        """The policies whose templates take this SA (xfrm_state_look_at and xfrm_state_ok)."""
        for reqid in {sa.reqid, 0}:
            for policy, template in self._policies.get((sa.protocol, reqid), ()):
                if _takes(policy, template, sa):
                    yield policy

    def _direction(self, sa: SecurityAssociation, users: Sequence[Policy]) -> Direction:
        if sa.direction is not Direction.UNKNOWN:
            return sa.direction
        used = {Direction.OUT if policy.direction == "out" else Direction.IN for policy in users}
        if len(used) == 1:
            return used.pop()
        is_ours, is_from_us = sa.destination in self._own, sa.source in self._own
        if is_ours == is_from_us:
            return Direction.UNKNOWN
        return Direction.IN if is_ours else Direction.OUT

    def _holds(
        self, rule: TunnelRule, sa: SecurityAssociation, direction: Direction, users: Sequence[Policy]
    ) -> bool:
        by_spi, by_reqid = self._names
        names = by_spi.get((sa.destination, sa.spi)) or by_reqid.get(sa.reqid, frozenset())
        return (
            (not rule.peers or not rule.peers.isdisjoint(_peers(sa, direction)))
            and (not rule.if_ids or sa.if_id in rule.if_ids)
            and (not rule.marks or sa.mark in rule.marks)
            and (not rule.reqids or any(low <= sa.reqid <= high for low, high in rule.reqids))
            and (not rule.connections or not names.isdisjoint(rule.connections))
            and (not rule.subnets or any(_carries(pair, policy) for pair in rule.subnets for policy in users))
        )


def _takes(policy: Policy, template: Template, sa: SecurityAssociation) -> bool:
    """A template without addresses (transport mode) stands for those of packets, told by the selector."""
    return (
        template.mode == sa.mode
        and template.spi in (0, sa.spi)
        and policy.if_id == sa.if_id
        and _is_end(template.source, sa.source, policy.selector.source)
        and _is_end(template.destination, sa.destination, policy.selector.destination)
    )


def _is_end(wanted: str, address: str, selected: str) -> bool:
    if wanted not in UNSPECIFIED:
        return wanted == address
    return is_within(address, selected)


def _peers(sa: SecurityAssociation, direction: Direction) -> tuple[str, ...]:
    """The far end; both where nothing tells which it is: a rule that names one still means this SA."""
    if direction is Direction.UNKNOWN:
        return (sa.source, sa.destination)
    return (sa.source,) if direction is Direction.IN else (sa.destination,)


def _carries(pair: tuple[str, str], policy: Policy) -> bool:
    """Whether what an SA's policy selects lies between the two networks."""
    ends = (policy.selector.source, policy.selector.destination)
    local, remote = ends if policy.direction == "out" else ends[::-1]
    return is_within(local, pair[0]) and is_within(remote, pair[1])


def is_within(inner: str, outer: str) -> bool:
    one, other = _network(inner), _network(outer)
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and one.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and one.subnet_of(other)


@lru_cache(4096)
def _network(text: str) -> IPNetwork:
    return ipaddress.ip_network(text, strict=False)
