"""Layer by layer through a tunnel: ESP on the line, what the SAs carry, and the IP packets in that.

In: what passed through each GRE, PPP and xfrm interface (link_lives.py), and what tells whose inside it is.
Out: increments of layers. The outer ones are those of the line's rules and of the SAs, told again: so all
layers of a tunnel cover the same time, and the overhead of each step is a quotient of two of them. An
interface that cannot be told to be in one tunnel is in none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from operator import add
from typing import NamedTuple, Optional, Union

from ipsecmon.account.carried import GRE, NOTHING_CARRIED, UDP, Carried
from ipsecmon.account.link_lives import LinkPassed
from ipsecmon.links import ETHERNET_KINDS, GRE_KINDS, PPP, XFRM, Link, LinkCounts
from ipsecmon.model import (
    OTHER_PEERS,
    Batch,
    CounterKey,
    Direction,
    Increment,
    Layer,
    LayerIncrement,
    LayerKey,
    ObservationPoint,
    TunnelIncrement,
)

__all__ = ["LABELS_KEPT", "Layers", "LinkFacts", "add_outer_layers"]

_Counted = Union[Increment, TunnelIncrement]

LABELS_KEPT = 1024  # interfaces or road warriors of one tunnel, as peers: the rest are summed as `others`


class LinkFacts(NamedTuple):
    """What is known besides the interfaces.

    sessions: interfaces of L2TP; None where the kernel does not tell. gateways: other ends of L2TP tunnels,
    outside; none where the daemon keeps them to itself. strangers: PPP interfaces that are no L2TP.
    names: of road warriors, by their address inside.
    """

    carried: Carried = NOTHING_CARRIED
    sessions: Optional[frozenset[str]] = None
    gateways: frozenset[str] = frozenset()
    strangers: Collection[str] = ()
    names: Mapping[str, str] = {}


class Layers:
    """inside: what the SAs of each tunnel carry. book() what passed, batch() all of it, close() when that is
    safe."""

    def __init__(self, inside: Mapping[str, Layer]) -> None:
        self._inside = inside
        self._owners: dict[int, str] = {}
        self._held: dict[int, LinkCounts] = {}  # of sessions, until it is known whose they are
        self._labels: dict[str, set[str]] = {}
        self._open: dict[LayerKey, LayerIncrement] = {}
        self.unclaimed: tuple[str, ...] = ()  # interfaces that are in no tunnel, or not known in which
        self.shared: dict[str, tuple[str, ...]] = {}  # those of them that several tunnels have SAs of

    def change(self, inside: Mapping[str, Layer]) -> None:
        """Other tunnels from now on."""
        self._inside = inside

    def book(self, passed: Iterable[LinkPassed], facts: LinkFacts) -> None:
        owners, unclaimed, held = {}, [], {}
        self.shared = {}
        for one in passed:
            found = self._owner(one, facts)
            owner = found or self._owners.get(one.link.ifindex)  # for the rest of what it was in until now
            if one.link.name in self.shared:
                owner = None
            if owner is not None and owner in self._inside:
                self._add(owner, _with(one, self._held), facts.names)
            elif one.is_alive:
                unclaimed.append(one.link.name)
                if one.link.kind == PPP:  # it ends in the tunnel that it began in; GRE may go another way
                    held[one.link.ifindex] = _with(one, self._held).counts
            if found and one.is_alive:
                owners[one.link.ifindex] = found
        self._owners, self._held = owners, held
        self.unclaimed = tuple(sorted(unclaimed))

    def batch(self, batch: Batch) -> Batch:
        """With its layers, and the innermost one as a counter of each tunnel for history."""
        whole = add_outer_layers(batch, self._inside)
        return replace(
            whole,
            increments=(*whole.increments, *_innermost(self._open.values())),
            layers=(*whole.layers, *self._open.values()),
        )

    def close(self) -> None:
        self._open = {}

    def _owner(self, one: LinkPassed, facts: LinkFacts) -> Optional[str]:
        if one.link.kind in GRE_KINDS:
            return self._gre_owner(one.link, facts)
        if one.link.kind == XFRM:
            return self._xfrm_owner(one.link, facts)
        return self._l2tp_owner(one, facts)

    def _gre_owner(self, link: Link, facts: LinkFacts) -> Optional[str]:
        """None with many far ends (mGRE)."""
        owner = facts.carried.tunnel(link.local, link.remote, GRE) if link.remote else None
        return owner if self._inside.get(owner or "") is Layer.GRE else None

    def _xfrm_owner(self, link: Link, facts: LinkFacts) -> Optional[str]:
        """While no SA has its if_id nothing passes: it stays where it was, for what comes and goes unseen."""
        tunnels = facts.carried.by_if_id.get(link.if_id, frozenset())
        if len(tunnels) > 1:
            self.shared[link.name] = tuple(sorted(tunnels))
            return None
        owner = next(iter(tunnels), self._owners.get(link.ifindex))
        return owner if self._inside.get(owner or "") is Layer.XFRM else None

    def _l2tp_owner(self, one: LinkPassed, facts: LinkFacts) -> Optional[str]:
        """Which of several L2TP tunnels a session is in, the kernel tells to the privileged only: known is
        only where all of them are in the same IPsec tunnel."""
        wanted = [name for name, layer in self._inside.items() if layer is Layer.L2TP]
        if not wanted or one.link.name in facts.strangers:
            return None
        if one.is_alive and facts.sessions and one.link.name not in facts.sessions:
            return None
        if not facts.gateways:
            return wanted[0] if len(wanted) == 1 else None
        tunnels = {facts.carried.tunnel("", gateway, UDP) for gateway in facts.gateways}
        (owner,) = tunnels if len(tunnels) == 1 else (None,)
        return owner if owner in wanted else None

    def _add(self, tunnel: str, one: LinkPassed, names: Mapping[str, str]) -> None:
        label = self._label(tunnel, _name(one, names))
        layer = Layer.ETHERNET if one.link.kind in ETHERNET_KINDS else Layer.IP
        counts = one.counts
        for direction, octets, packets in (
            (Direction.IN, counts.in_octets, counts.in_packets),
            (Direction.OUT, counts.out_octets, counts.out_packets),
        ):
            bridged = (octets, packets) if one.is_bridged else (0, 0)
            key = LayerKey(tunnel, layer, label, direction)
            was = self._open.get(key)
            more = LayerIncrement(key, octets, packets, *bridged)
            self._open[key] = _sum(was, more) if was else more

    def _label(self, tunnel: str, name: str) -> str:
        labels = self._labels.setdefault(tunnel, set())
        if len(labels) < LABELS_KEPT:
            labels.add(name)
        return name if name in labels else OTHER_PEERS


def add_outer_layers(batch: Batch, inside: Mapping[str, Layer]) -> Batch:
    """With ESP as rules of the line count it for one tunnel alone, and what its SAs carry."""
    found: dict[LayerKey, LayerIncrement] = {}
    for key, one in _outer(batch, inside):
        was = found.get(key)
        more = LayerIncrement(key, one.octets, one.packets, one.bridged_octets, one.bridged_packets)
        found[key] = _sum(was, more) if was else more
    return replace(batch, layers=(*batch.layers, *found.values()))


def _outer(batch: Batch, inside: Mapping[str, Layer]) -> Iterator[tuple[LayerKey, _Counted]]:
    for rule in batch.increments:
        if rule.key.observed_at is ObservationPoint.WIRE and rule.key.name in inside:
            yield LayerKey(rule.key.name, Layer.ESP, "", rule.key.direction), rule
    for one in batch.tunnels:
        layer = inside.get(one.key.tunnel)
        if layer and one.key.direction is not Direction.UNKNOWN:
            yield LayerKey(one.key.tunnel, layer, "", one.key.direction), one


def _innermost(layers: Iterable[LayerIncrement]) -> list[Increment]:
    """Of each tunnel and direction, all its interfaces together."""
    found: dict[CounterKey, Increment] = {}
    for one in layers:
        if one.key.layer is Layer.IP:
            key = CounterKey(one.key.tunnel, one.key.direction, ObservationPoint.IP)
            numbers = {name: getattr(one, name) for name in _NUMBERS}
            was = found.get(key)
            sums = {name: getattr(was, name) + number for name, number in numbers.items()} if was else numbers
            found[key] = Increment(key, **sums)
    return list(found.values())


def _with(one: LinkPassed, held: Mapping[int, LinkCounts]) -> LinkPassed:
    before = held.get(one.link.ifindex, LinkCounts())
    return one._replace(counts=LinkCounts(*map(add, before, one.counts)))


def _name(one: LinkPassed, names: Mapping[str, str]) -> str:
    if one.link.kind != PPP:
        return one.link.name
    return names.get(one.peer) or one.peer or one.link.name


def _sum(one: LayerIncrement, other: LayerIncrement) -> LayerIncrement:
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in _NUMBERS})


_NUMBERS = ("octets", "packets", "bridged_octets", "bridged_packets")
