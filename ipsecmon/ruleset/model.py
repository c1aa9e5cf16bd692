"""What the rules must do, in no backend's words.

A Plan says: on these interfaces, each packet of the line belongs to exactly one Part, the first
that matches; each plaintext packet of IPsec belongs to one Tunnel, and inside it to the first of its
drill-downs. Every part, tunnel and drill-down has a Tap: a kernel counter and a copy to an NFLOG
group. Both directions, both address families.

Plans cross a process boundary as JSON; names in them are data and never become rule syntax.
"""

from __future__ import annotations

import enum
import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Optional

from ipsecmon.errors import ConfigError
from ipsecmon.model import CounterKey, Direction, ObservationPoint

__all__ = ["BACKENDS", "Kind", "LineRules", "Match", "Part", "Plan", "Tap", "Tunnel", "object_name"]

_SAFE_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")
BACKENDS = ("auto", "nft", "iptables", "iptables-nft", "iptables-legacy")
_HOW_INSTALLED = ("backend", "nfacct")
_SAFE_TABLE = re.compile(r"[a-z][a-z0-9_]{0,30}")


class Kind(str, enum.Enum):
    """What a part of the line is made of."""

    IKE = "ike"  # UDP 500; UDP 4500 with the non-ESP marker, and keepalives (RFC 3948 section 2)
    PEER = "peer"  # ESP, NAT-T ESP and AH exchanged with given addresses
    ESP = "esp"  # the rest of IP protocol 50
    NATT = "natt"  # the rest of ESP in UDP 4500
    AH = "ah"  # the rest of IP protocol 51
    CLEAR = "clear"  # a named share of the clear traffic
    GRE = "gre"  # the rest of IP protocol 47
    L2TP = "l2tp"  # the rest of UDP 1701 on either side, and of IP protocol 115 (RFC 3931, 4.1)
    OTHER = "other"  # what no other part took


@dataclass(frozen=True)
class Match:
    """Conditions that must all hold; an empty one holds always.

    protocols: IP protocol numbers. *ports: inclusive ranges, `ports` on either side.
    host: either end; local, remote: the inside and outside end whatever the direction;
    source, destination: direction-true. lan_view: addresses and ports before our own NAT.
    """

    protocols: tuple[int, ...] = ()
    ports: tuple[tuple[int, int], ...] = ()
    source_ports: tuple[tuple[int, int], ...] = ()
    destination_ports: tuple[tuple[int, int], ...] = ()
    host: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    destination: tuple[str, ...] = ()
    lan_view: bool = True


@dataclass(frozen=True)
class Tap:
    """One kernel counter and one NFLOG group, for one key."""

    name: str
    direction: Direction
    observed_at: ObservationPoint
    group: int

    @property
    def key(self) -> CounterKey:
        return CounterKey(self.name, self.direction, self.observed_at)

    @property
    def object_name(self) -> str:
        return object_name(self.key)


@dataclass(frozen=True)
class Part:
    """A disjoint share of a line in one direction. nfmark: the tag for what comes out of the ESP.

    interfaces: of its line; empty where it is of all that the plan has.
    """

    kind: Kind
    tap: Tap
    peers: tuple[str, ...] = ()
    match: Match = Match()
    nfmark: Optional[int] = None
    interfaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inside:
    """A drill-down in a tunnel, never added to it."""

    tap: Tap
    match: Match


@dataclass(frozen=True)
class Tunnel:
    """Plaintext of IPsec in one direction: what all conditions hold of; without any, all that is left.

    subnets: matches of the plaintext, of which one must hold. reqids: inclusive ranges.
    """

    tap: Tap
    peers: tuple[str, ...] = ()
    inside: tuple[Inside, ...] = ()
    nfmark: Optional[int] = None
    subnets: tuple[Match, ...] = ()
    reqids: tuple[tuple[int, int], ...] = ()

    @property
    def is_rest(self) -> bool:
        return not (self.peers or self.subnets or self.reqids)


class LineRules(NamedTuple):
    """What one line has. suffix: of its name among others."""

    suffix: str
    interfaces: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Plan:
    """The whole rule set of one agent. Parts and tunnels are in order: first match wins on its line.

    does_nat: this router translates addresses, so a leaving packet's own source is not the LAN's.
    backend: what installs it; nfacct: whether iptables rules may count in nfacct objects. Both as the
    config has them; neither is a part of what is counted.
    managed: the rules are ours to install; else they are somebody else's, and `watched` are their taps.
    """

    table: str
    interfaces: tuple[str, ...]
    parts: tuple[Part, ...]
    tunnels: tuple[Tunnel, ...]
    nfmark_mask: int = 0
    receive_buffer: int = 32 << 20
    does_nat: bool = False
    backend: str = "auto"
    nfacct: str = "auto"
    managed: bool = True
    watched: tuple[Tap, ...] = ()

    def taps(self) -> Iterator[Tap]:
        for part in self.parts:
            yield part.tap
        for tunnel in self.tunnels:
            yield tunnel.tap
            yield from (inside.tap for inside in tunnel.inside)
        yield from self.watched

    def lines(self) -> list[LineRules]:
        """Every line with its parts, both directions; one without parts where there are none."""
        found: dict[tuple[str, ...], list[Part]] = {}
        for part in self.parts:
            found.setdefault(part.interfaces or self.interfaces, []).append(part)
        return [
            LineRules(str(number) if number > 1 else "", interfaces, tuple(parts))
            for number, (interfaces, parts) in enumerate((found or {self.interfaces: []}).items(), 1)
        ]

    def groups(self) -> list[int]:
        return [tap.group for tap in self.taps()]

    def without_nfmarks(self) -> Plan:
        """The same plan that leaves every packet's nfmark alone."""
        return replace(
            self,
            parts=tuple(replace(part, nfmark=None) for part in self.parts),
            tunnels=tuple(replace(tunnel, nfmark=None) for tunnel in self.tunnels),
        )

    def writes_nfmarks(self) -> bool:
        return any(part.nfmark is not None for part in self.parts) or any(
            tunnel.nfmark is not None for tunnel in self.tunnels
        )

    def check(self) -> None:
        """Raises ConfigError for what could not be rendered safely or counted truly."""
        _check_names(self)
        if self.parts or self.tunnels if not self.managed else self.watched:
            raise ConfigError("a plan has rules of ours, or watches those of others: not both")
        for part in self.parts:
            _check_match(part.match, part.tap.name)
            _check_peers(part.peers, part.tap.name)
        for tunnel in self.tunnels:
            _check_peers(tunnel.peers, tunnel.tap.name)
            _check_reqids(tunnel.reqids, tunnel.tap.name)
            for match in tunnel.subnets:
                _check_match(match, tunnel.tap.name)
            for inside in tunnel.inside:
                _check_match(inside.match, inside.tap.name)
        if not 0 <= self.nfmark_mask < 1 << 32:
            raise ConfigError("the nfmark mask must be between 0 and 0xffffffff")
        groups = self.groups()
        if len(set(groups)) != len(groups) or not all(0 < group < 1 << 16 for group in groups):
            raise ConfigError("NFLOG groups must be distinct and between 1 and 65535")

    def encode(self) -> str:
        fields = asdict(self)
        if self.managed:  # rules of ours are named by this text: what is not about them stays out of it
            del fields["managed"], fields["watched"]
        return json.dumps(fields)

    def digest(self) -> str:
        """Names what is counted and how, whatever installs it: 64 hexadecimal digits."""
        counted = {name: value for name, value in asdict(self).items() if name not in _HOW_INSTALLED}
        return hashlib.sha256(json.dumps(counted).encode()).hexdigest()

    @staticmethod
    def decode(text: str) -> Plan:
        """A checked plan from encode()'s text. Raises ConfigError, ValueError, TypeError or KeyError."""
        plan = _plan(json.loads(text))
        plan.check()
        return plan


def object_name(key: CounterKey) -> str:
    """The kernel's name of a counter: of letters, digits and _ only, and always the same for a key."""
    slug = re.sub(r"[^a-z0-9]+", "_", key.name.lower()).strip("_")[:24]
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:10]
    return "_".join(filter(None, (key.direction.value, key.observed_at.value, slug, digest)))


def _check_names(plan: Plan) -> None:
    if not _SAFE_TABLE.fullmatch(plan.table):
        raise ConfigError(f"table name {plan.table!r} cannot be used")
    for interface in plan.interfaces:
        if not _SAFE_INTERFACE.fullmatch(interface):
            raise ConfigError(f"interface name {interface!r} cannot be used in a rule: rename the interface")
    if plan.backend not in BACKENDS or plan.nfacct not in ("auto", "off"):
        raise ConfigError(f"backend {plan.backend!r} with nfacct {plan.nfacct!r} is not known")
    lines = [part.interfaces for part in plan.parts if part.interfaces]
    on_lines = [name for line in dict.fromkeys(lines) for name in line]
    if not set(on_lines) <= set(plan.interfaces) or len(set(on_lines)) < len(on_lines):
        raise ConfigError("each line needs interfaces of its own")
    if lines and len(lines) < len(plan.parts):
        raise ConfigError("parts are of one line each, or all of the only one")
    names = [tap.object_name for tap in plan.taps()]
    if len(set(names)) != len(names):
        raise ConfigError("two counters have the same name, direction and observation point")


def _check_match(match: Match, name: str) -> None:
    for ranges in (match.ports, match.source_ports, match.destination_ports):
        if not all(0 < low <= high < 1 << 16 for low, high in ranges):
            raise ConfigError(f"counter {name!r}: ports must be between 1 and 65535")
    if not all(0 <= protocol < 256 for protocol in match.protocols):
        raise ConfigError(f"counter {name!r}: IP protocols must be between 0 and 255")
    for networks in (match.host, match.local, match.remote, match.source, match.destination):
        for network in networks:
            _check_address(ipaddress.ip_network, network, name)


def _check_peers(peers: tuple[str, ...], name: str) -> None:
    for peer in peers:
        _check_address(ipaddress.ip_address, peer, name)


def _check_reqids(reqids: tuple[tuple[int, int], ...], name: str) -> None:
    if not all(0 < low <= high < 1 << 32 for low, high in reqids):
        raise ConfigError(f"counter {name!r}: reqids must be between 1 and 4294967295")


def _check_address(parse: Callable[[str], object], text: str, name: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        raise ConfigError(f"counter {name!r}: {error}") from error
    if "%" in text:  # a zone may hold any character, and no rule can match it
        raise ConfigError(f"counter {name!r}: {text!r} has a zone: write the address alone")


def _tap(data: dict[str, Any]) -> Tap:
    return Tap(
        str(data["name"]),
        Direction(data["direction"]),
        ObservationPoint(data["observed_at"]),
        int(data["group"]),
    )


def _match(data: dict[str, Any]) -> Match:
    fields: dict[str, Any] = {"lan_view": bool(data["lan_view"])}
    for name in ("ports", "source_ports", "destination_ports"):
        fields[name] = _ranges(data[name])
    for name in ("host", "local", "remote", "source", "destination"):
        fields[name] = tuple(str(network) for network in data[name])
    return Match(protocols=tuple(int(number) for number in data["protocols"]), **fields)


def _ranges(data: list[list[Any]]) -> tuple[tuple[int, int], ...]:
    return tuple((int(low), int(high)) for low, high in data)


def _nfmark(data: dict[str, Any]) -> Optional[int]:
    return None if data["nfmark"] is None else int(data["nfmark"])


def _part(data: dict[str, Any]) -> Part:
    peers = tuple(str(peer) for peer in data["peers"])
    interfaces = tuple(str(name) for name in data["interfaces"])
    match, nfmark = _match(data["match"]), _nfmark(data)
    return Part(Kind(data["kind"]), _tap(data["tap"]), peers, match, nfmark, interfaces)


def _tunnel(data: dict[str, Any]) -> Tunnel:
    inside = tuple(Inside(_tap(one["tap"]), _match(one["match"])) for one in data["inside"])
    return Tunnel(
        tap=_tap(data["tap"]),
        peers=tuple(str(peer) for peer in data["peers"]),
        inside=inside,
        nfmark=_nfmark(data),
        subnets=tuple(_match(match) for match in data["subnets"]),
        reqids=_ranges(data["reqids"]),
    )


def _plan(data: dict[str, Any]) -> Plan:
    return Plan(
        table=str(data["table"]),
        interfaces=tuple(str(name) for name in data["interfaces"]),
        parts=tuple(_part(part) for part in data["parts"]),
        tunnels=tuple(_tunnel(tunnel) for tunnel in data["tunnels"]),
        nfmark_mask=int(data["nfmark_mask"]),
        receive_buffer=int(data["receive_buffer"]),
        does_nat=bool(data["does_nat"]),
        backend=str(data["backend"]),
        nfacct=str(data["nfacct"]),
        managed=bool(data.get("managed", True)),
        watched=tuple(_tap(tap) for tap in data.get("watched", ())),
    )
