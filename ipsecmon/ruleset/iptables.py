"""A Plan as chains of table mangle, in the words of iptables-restore(8).

All chains are our own; a set of them bears a letter, so that a new set can be made beside the old one
and the jumps be switched from one to the other in one transaction. Counting rules are the ones with
NFLOG: each packet of a tap meets exactly one of them. Hooks are mangle's PREROUTING, POSTROUTING and, for
what we send to many, OUTPUT: the kernel loops a copy of that through POSTROUTING. mangle stands before
NAT in both directions; what ruleset.iptables_matches does about it is said there.

Everything in the text is a number, an address that was parsed, or a name made here: no word of the
user's gets into it.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from itertools import product
from typing import NamedTuple

from ipsecmon.model import Direction
from ipsecmon.ruleset.conditions import from_peer
from ipsecmon.ruleset.iptables_matches import IKE_ON_4500, RUNT, match_conditions
from ipsecmon.ruleset.model import Kind, LineRules, Match, Part, Plan, Tap, Tunnel
from ipsecmon.ruleset.nft import THRESHOLD

__all__ = [
    "FAMILIES",
    "HOOKS",
    "MOST_REQIDS",
    "MOST_TOLD",
    "Chains",
    "Shape",
    "chains",
    "digest_of",
    "marker",
    "prefix",
    "show",
    "without_rule",
]

FAMILIES = (4, 6)
HOOKS = {"PREROUTING": "arriving", "OUTPUT": "to_many", "POSTROUTING": "leaving"}
_SNAP = {4: 28, 6: 48}  # octets: IP header, ports or SPI; nothing of the payload
_SNAP_NATT = {4: 36, 6: 56}  # octets: the SPI stands behind the UDP header
_TO_MANY = {4: "-m addrtype --dst-type BROADCAST,MULTICAST", 6: "-d ff00::/8"}
# a packet of ours: from an own address, or from none yet (DAD, MLD and IGMP before there is one)
_FROM_HERE = {
    4: ("-m addrtype --src-type LOCAL", "-s 0.0.0.0/32"),
    6: ("-m addrtype --src-type LOCAL", "-s ::/128"),
}
_CONDITIONS = {
    Kind.ESP: ("-p 50",),
    Kind.GRE: ("-p 47",),
    Kind.L2TP: ("-p 17 -m udp --dport 1701", "-p 17 -m udp --sport 1701", "-p 115"),
}
_PEER_END = {Direction.IN: "-s", Direction.OUT: "-d"}
MOST_REQIDS = 16  # of one tunnel: the policy match knows no ranges, and each number is a rule more
MOST_TOLD = 1024  # combinations of one tunnel's peers, reqids and networks: a packet passes every rule
_NAME_ROOM = 13  # octets of a prefix: with a letter and a digest, a chain's name keeps below 28

Chains = dict[str, list[str]]


class Shape(NamedTuple):
    """What the kernel has. xfrm: IPsec, and the policy match; bpf, nfacct, ah6: these matches."""

    xfrm: bool = True
    bpf: bool = True
    nfacct: bool = False
    ah6: bool = True


def prefix(plan: Plan) -> str:
    """What every name of ours begins with. A table's name has no '-', so two agents' never meet."""
    if len(plan.table) <= _NAME_ROOM:
        return f"{plan.table}-"
    return f"{plan.table[:6]}_{hashlib.sha256(plan.table.encode()).hexdigest()[:6]}-"


def digest_of(tap: Tap) -> str:
    """The tap's name in chains and nfacct objects: the last part of its object_name."""
    return tap.object_name.rpartition("_")[2]


def marker(chains_of_set: Chains) -> str:
    """Eight digits that tell one set of rules from another."""
    text = "\n".join(f"{name} {rule}" for name, rules in chains_of_set.items() for rule in rules)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def chains(plan: Plan, family: int, shape: Shape, letter: str = "a") -> Chains:
    """Every chain of one set with its rules, less `-A CHAIN`. A called chain comes before its callers."""
    return _Set(plan, family, shape, letter).chains()


def show(plan: Plan, shape: Shape = Shape()) -> str:  # noqa: B008  # an immutable value
    """One text for both families' restore programs: `-4` and `-6` stand before what one of them ignores."""
    four, six = (chains(plan, family, shape) for family in FAMILIES)
    lines = ["*mangle", *(f":{name} - [0:0]" for name in four)]
    for name, rules in four.items():
        lines += [f"{family}-A {name} {rule}" for family, rule in _merged(rules, six.get(name, []))]
    lines += [f"-I {hook} 1 -j {prefix(plan)}a-{chain}" for hook, chain in HOOKS.items()]
    return "\n".join([*lines, "COMMIT", ""])


def without_rule(plan: Plan) -> list[str]:
    """The tunnels that no rule of iptables takes, as they would need too many."""
    return list(dict.fromkeys(tunnel.tap.name for tunnel in plan.tunnels if not _told(tunnel)))


def _told(tunnel: Tunnel) -> bool:
    reqids = sum(high - low + 1 for low, high in tunnel.reqids)
    networks = sum(len(match.local) * len(match.remote) for match in tunnel.subnets)
    told = max(1, len(tunnel.peers)) * max(1, reqids) * max(1, networks)
    return reqids <= MOST_REQIDS and told <= MOST_TOLD


def _merged(four: list[str], six: list[str]) -> Iterator[tuple[str, str]]:
    for kind, start4, end4, start6, end6 in SequenceMatcher(None, four, six, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from (("", rule) for rule in four[start4:end4])
        else:
            yield from (("-4 ", rule) for rule in four[start4:end4])
            yield from (("-6 ", rule) for rule in six[start6:end6])


class _Set:
    def __init__(self, plan: Plan, family: int, shape: Shape, letter: str) -> None:
        self._plan = plan
        self._family = family
        self._shape = shape
        self._name = f"{prefix(plan)}{letter}-"

    def chains(self) -> Chains:
        plan, found = self._plan, Chains()
        for part in plan.parts:
            natt = part.kind in (Kind.PEER, Kind.NATT)
            found[self._of(part.tap)] = [*self._tag(part.nfmark), *self._tap(part.tap, natt)]
        for tunnel in plan.tunnels:
            for inside in tunnel.inside:
                found[self._of(inside.tap)] = self._tap(inside.tap)
            found[self._of(tunnel.tap)] = self._tunnel(tunnel)
        for way in (Direction.IN, Direction.OUT):
            for line in plan.lines():
                if self._ah and _ah_parts(line, way):
                    found[self._line(line, way, "ah")] = list(self._dispatch_ah(line, way))
                found[self._line(line, way)] = list(self._dispatch_parts(line, way))
            found[f"{self._name}inner_{way.value}"] = list(self._dispatch_tunnels(way))
        for name, rules in self._hooked():
            found[f"{self._name}{name}"] = rules
        return found

    def _line(self, line: LineRules, way: Direction, what: str = "line") -> str:
        return f"{self._name}{what}{line.suffix}_{way.value}"

    def _of(self, tap: Tap) -> str:
        return self._name + digest_of(tap)

    def _hooked(self) -> Iterator[tuple[str, list[str]]]:
        lines = {name: line for line in self._plan.lines() for name in line.interfaces}
        into, out = (
            {name: f"-g {self._line(line, way)}" for name, line in lines.items()}
            for way in (Direction.IN, Direction.OUT)
        )
        to_many, not_ours = _TO_MANY[self._family], "-m addrtype ! --src-type LOCAL"
        yield "arriving", [*self._ipsec("in"), *(f"-i {name} {not_ours} {to}" for name, to in into.items())]
        clear = "-m policy --dir out --pol none " if self._shape.xfrm else ""
        yield "to_many", [f"-o {name} {clear}{to_many} {to}" for name, to in out.items()]
        looped = [
            f"-o {name} {here} {to_many} -j RETURN" for name in lines for here in _FROM_HERE[self._family]
        ]
        leaving = [f"-o {name} {to}" for name, to in out.items()]
        yield "leaving", [*self._ipsec("out"), *looped, *leaving]

    def _ipsec(self, way: str) -> list[str]:
        """Plaintext of IPsec goes its own way and does not come back: all behind this rule is clear."""
        return [f"-m policy --dir {way} --pol ipsec -g {self._name}inner_{way}"] if self._shape.xfrm else []

    def _tap(self, tap: Tap, natt_too: bool = False) -> list[str]:
        """Count and copy. nfacct stands last, so that it counts what is copied and nothing else."""
        counted = (
            f"-m nfacct --nfacct-name {prefix(self._plan)}{digest_of(tap)} " if self._shape.nfacct else ""
        )
        copy = f"{counted}-j NFLOG --nflog-group {tap.group} --nflog-threshold {THRESHOLD} --nflog-size"
        if not natt_too:
            return [f"{copy} {_SNAP[self._family]}"]
        return [f"-p 17 {copy} {_SNAP_NATT[self._family]}", f"! -p 17 {copy} {_SNAP[self._family]}"]

    def _tag(self, nfmark: int | None) -> list[str]:
        mask = self._plan.nfmark_mask
        return [] if nfmark is None else [f"-j MARK --set-xmark 0x{nfmark & mask:08x}/0x{mask:08x}"]

    def _tunnel(self, tunnel: Tunnel) -> list[str]:
        """Its own tap, then the first drill-down that matches."""
        rules = [*self._tag(tunnel.nfmark), *self._tap(tunnel.tap)]
        if tunnel.inside and self._shape.bpf:
            rules.append(f"{RUNT[self._family]} -j RETURN")
        for inside in tunnel.inside:
            rules += self._gotos(inside.match, inside.tap)
        return rules

    def _gotos(self, match: Match, tap: Tap) -> list[str]:
        found = match_conditions(self._plan, match, tap.direction, self._family, self._shape.bpf)
        return [" ".join(filter(None, (conditions, f"-g {self._of(tap)}"))) for conditions in found]

    @property
    def _ah(self) -> str:
        """What tells AH. ip6tables-legacy's -p looks behind it, as behind any extension header."""
        return "-p 51" if self._family == 4 else "-m ah" if self._shape.ah6 else ""

    def _dispatch_ah(self, line: LineRules, way: Direction) -> Iterator[str]:
        for part in _ah_parts(line, way):
            to = f"-g {self._of(part.tap)}"
            whose = [f"{_PEER_END[way]} {peer} " for peer in self._own(part.peers)]
            yield from (f"{one}{to}" for one in (whose if part.kind is Kind.PEER else [""]))

    def _dispatch_parts(self, line: LineRules, way: Direction) -> Iterator[str]:
        """First AH, as what it protects looks like itself to ip6tables-legacy; then what ports would drop."""
        end = "--dport" if way is Direction.IN else "--sport"
        natt = f"-p 17 -m udp {end} 4500"
        if self._ah and _ah_parts(line, way):
            yield f"{self._ah} -g {self._line(line, way, 'ah')}"
        mine = [part for part in line.parts if part.tap.direction is way and part.kind is not Kind.AH]
        if self._shape.bpf:
            others = (part.tap for part in mine if part.kind is Kind.OTHER)
            yield from (f"{RUNT[self._family]} -g {self._of(other)}" for other in others)
        for part in mine:
            to = f"-g {self._of(part.tap)}"
            if part.kind is Kind.IKE:
                yield f"-p 17 -m udp {end} 500 {to}"
                if self._shape.bpf:
                    yield f"{natt} {IKE_ON_4500[self._family]} {to}"
            elif part.kind is Kind.PEER:
                for peer in self._own(part.peers):
                    yield f"{_PEER_END[way]} {peer} -p 50 {to}"
                    yield f"{_PEER_END[way]} {peer} {natt} {to}"
            elif part.kind is Kind.NATT:
                yield f"{natt} {to}"
            elif part.kind in _CONDITIONS:
                yield from (f"{condition} {to}" for condition in _CONDITIONS[part.kind])
            else:
                yield from self._gotos(part.match, part.tap)

    def _dispatch_tunnels(self, way: Direction) -> Iterator[str]:
        """By the outer addresses of the SA in tunnel mode; by the packet's own in transport mode."""
        mine = [one for one in self._plan.tunnels if one.tap.direction is way and _told(one)]
        for tunnel in mine if self._shape.xfrm and any(tunnel.peers for tunnel in mine) else ():
            yield from self._in_tunnel_mode(tunnel)
        for tunnel in mine if self._shape.xfrm else [one for one in mine if not one.reqids]:
            yield from self._in_any_mode(tunnel)

    def _in_tunnel_mode(self, tunnel: Tunnel) -> Iterator[str]:
        if tunnel.is_rest:
            return
        end = "src" if tunnel.tap.direction is Direction.IN else "dst"
        policy = _policy(tunnel, "--mode tunnel")
        peers = [f"--tunnel-{end} {peer}" for peer in self._outer(tunnel.peers)] or [""]
        inner = self._inner(tunnel.tap.direction, tunnel.subnets) if tunnel.subnets else [""]
        yield from self._tunnel_gotos(tunnel, [policy], peers, _reqids(tunnel), inner)

    def _in_any_mode(self, tunnel: Tunnel) -> Iterator[str]:
        way = tunnel.tap.direction
        own = [""]
        if tunnel.subnets:
            pairs = [from_peer(match, peer, way) for match in tunnel.subnets for peer in tunnel.peers]
            own = self._inner(way, pairs or tunnel.subnets)
        elif tunnel.peers:
            end = "-s" if way is Direction.IN else "-d"
            own = [f"{end} {peer}" for peer in self._own(tunnel.peers)]
        policy = _policy(tunnel) if tunnel.reqids else ""
        yield from self._tunnel_gotos(tunnel, [policy], _reqids(tunnel), own)

    def _inner(self, way: Direction, matches: Iterable[Match]) -> list[str]:
        bpf, family = self._shape.bpf, self._family
        return [one for match in matches for one in match_conditions(self._plan, match, way, family, bpf)]

    def _tunnel_gotos(self, tunnel: Tunnel, *conditions: list[str]) -> Iterator[str]:
        for found in product(*conditions):
            yield " ".join(filter(None, (*found, f"-g {self._of(tunnel.tap)}")))

    def _own(self, peers: Iterable[str]) -> Iterator[str]:
        """Peers of this family."""
        parsed = (ipaddress.ip_address(peer) for peer in peers)
        return (str(peer) for peer in parsed if peer.version == self._family)

    def _outer(self, peers: Iterable[str]) -> Iterator[str]:
        """Peers as this family's policy match can have them: it compares as many octets of an outer address
        as its own family has (xt_policy.c, xt_policy_addr_cmp); of the other family's, the first four."""
        for peer in map(ipaddress.ip_address, peers):
            if peer.version == self._family:
                yield str(peer)
            elif self._family == 4:
                yield str(ipaddress.IPv4Address(peer.packed[:4]))
            else:
                yield f"{ipaddress.IPv6Address(peer.packed + bytes(12))}/32"


def _ah_parts(line: LineRules, way: Direction) -> list[Part]:
    """Those that take AH; none where nothing takes what is left of it."""
    found = [one for one in line.parts if one.tap.direction is way and one.kind in (Kind.PEER, Kind.AH)]
    return found if any(one.kind is Kind.AH for one in found) else []


def _policy(tunnel: Tunnel, *more: str) -> str:
    """The beginning of a policy match: all of it must hold of one SA."""
    return " ".join((f"-m policy --dir {tunnel.tap.direction.value} --pol ipsec", *more))


def _reqids(tunnel: Tunnel) -> list[str]:
    numbers = [number for low, high in tunnel.reqids for number in range(low, high + 1)]
    return [f"--reqid {number}" for number in numbers] or [""]
