"""A Match in the words of iptables(8), iptables-extensions(8): one rule's conditions each.

Without sets: alternatives that one rule can't hold are multiplied out into several. In the LAN's view
an arriving packet's destination, in the wire's view a leaving one's source, is asked of conntrack where
the router does NAT: mangle stands before both translations. Of a connection's first packet the kernel
has not decided yet; that packet is compared by the address it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from ipsecmon.model import Direction
from ipsecmon.ruleset.conditions import Conjunction, conjunctions
from ipsecmon.ruleset.model import Match, Plan

__all__ = ["IKE_ON_4500", "NO_PROTOCOL", "RUNT", "match_conditions"]

# cBPF (linux/filter.h: number of instructions, then code, jump if true, jump if false, operand).
# `-p 0` would be every protocol: the octet of IPv4's own protocol 0 is looked at.
NO_PROTOCOL = '-m bpf --bytecode "4,48 0 0 9,21 0 1 0,6 0 0 65535,6 0 0 0"'
# cBPF: a UDP length of 9 is a keepalive, a first word of 0 the non-ESP marker (RFC 3948 2.2, 2.3). IPv4 with
# its options; in IPv6 UDP must stand right behind the fixed header, else the packet counts as NAT-T ESP.
IKE_ON_4500 = {
    4: '-m bpf --bytecode "7,177 0 0 0,72 0 0 4,21 2 0 9,64 0 0 8,21 0 1 0,6 0 0 65535,6 0 0 0"',
    6: '-m bpf --bytecode "8,48 0 0 6,21 0 5 17,40 0 0 44,21 2 0 9,32 0 0 48,21 0 1 0,6 0 0 65535,6 0 0 0"',
}
# cBPF: TCP, UDP, DCCP, SCTP or UDP-Lite with less than 8 octets, and no later fragment: a match of ports
# drops it (xt_tcpudp.c, xt_multiport.c). In IPv6 it must stand right behind the fixed header.
RUNT = {
    4: '-m bpf --bytecode "14,40 0 0 6,69 11 0 8191,48 0 0 9,21 4 0 6,21 3 0 17,21 2 0 33,21 1 0 132,21 0 5 '
    '136,177 0 0 0,128 0 0 0,28 0 0 0,53 1 0 8,6 0 0 65535,6 0 0 0"',
    6: '-m bpf --bytecode "10,48 0 0 6,21 4 0 6,21 3 0 17,21 2 0 33,21 1 0 132,21 0 3 136,128 0 0 0,'
    '53 1 0 48,6 0 0 65535,6 0 0 0"',
}
_SLOTS = 15  # ports in one multiport match; a range takes two
_WITH_PORTS = (6, 17, 33, 132, 136)  # what multiport knows: TCP, UDP, DCCP, SCTP, UDP-Lite
_LETTERS = {"src": "s", "dst": "d"}

Ranges = Sequence[tuple[int, int]]


class _End(NamedTuple):
    """networks and port_ranges of one end of a packet; what is empty holds always."""

    networks: tuple[str, ...]
    port_ranges: tuple[tuple[int, int], ...]


def match_conditions(
    plan: Plan, match: Match, direction: Direction, family: int, bpf: bool = True
) -> Iterator[str]:
    """The conditions of each rule that takes a share of the match; "" holds always.

    bpf: the kernel has that match; without it IP protocol 0 can't be told.
    """
    hidden = _hidden_end(plan, match, direction)
    for one in conjunctions(match, direction):
        if one.family not in (None, family):
            continue
        ends = {
            "src": _End(one.sources, one.source_ports),
            "dst": _End(one.destinations, one.destination_ports),
        }
        for protocol in _protocols(one, family, bpf):
            for conditions in _alternatives(ends, hidden):
                yield " ".join(filter(None, (protocol, *conditions)))


def _hidden_end(plan: Plan, match: Match, way: Direction) -> str | None:
    """The end that our NAT will change after mangle has seen the packet."""
    if not plan.does_nat or match.lan_view is (way is Direction.OUT):
        return None
    return "dst" if way is Direction.IN else "src"


def _protocols(one: Conjunction, family: int, bpf: bool) -> list[str]:
    """One condition each. None at all where this family can't have what is asked for."""
    if not one.protocols:
        return [""]
    ports = one.source_ports or one.destination_ports
    numbers = [number for number in one.protocols if not ports or number in _WITH_PORTS]
    named = [f"-p {number}" for number in numbers if number]
    return [*named, *([NO_PROTOCOL] if 0 in numbers and family == 4 and bpf else [])]


def _alternatives(ends: dict[str, _End], hidden: str | None) -> Iterator[list[str]]:
    if hidden is None or not any(ends[hidden]):
        yield from _plain(ends["src"], ends["dst"])
        return
    visible = ends["dst" if hidden == "src" else "src"]
    shown = {hidden: _End((), ()), "dst" if hidden == "src" else "src": visible}
    for network, ports in product(ends[hidden].networks or ("",), ends[hidden].port_ranges or ((),)):
        for asked in _asked_of_conntrack(hidden, network, ports):
            for seen in _plain(shown["src"], shown["dst"]):
                yield [asked, *seen]
    for seen in _plain(ends["src"], ends["dst"]):
        yield ["-m conntrack --ctstate INVALID,UNTRACKED", *seen]


def _asked_of_conntrack(hidden: str, network: str, ports: tuple[int, ...]) -> Iterator[str]:
    """What the end will be after translation: the packet's other direction in the entry says it."""
    far = "src" if hidden == "dst" else "dst"
    for direction, tuple_name in (("ORIGINAL", "repl"), ("REPLY", "orig")):
        words = [f"-m conntrack --ctdir {direction}"]
        if network:
            words.append(f"--ct{tuple_name}{far} {network}")
        if ports:
            words.append(f"--ct{tuple_name}{far}port {_port_range((ports[0], ports[1]))}")
        yield " ".join(words)


def _plain(source: _End, destination: _End) -> Iterator[list[str]]:
    """By what stands in the packet itself."""
    for one, other in product(_of_end("src", source), _of_end("dst", destination)):
        yield [*one, *other]


def _of_end(end: str, what: _End) -> list[list[str]]:
    letter = _LETTERS[end]
    return [
        [
            *([f"-{letter} {network}"] if network else []),
            *([f"-m multiport --{letter}ports {ports}"] if ports else []),
        ]
        for network, ports in product(what.networks or ("",), _chunks(what.port_ranges) or ("",))
    ]


def _chunks(port_ranges: Ranges) -> list[str]:
    """Ranges in lists that one multiport match can hold."""
    chunks: list[list[str]] = []
    room = 0
    for low, high in port_ranges:
        slots = 1 if low == high else 2
        if slots > room:
            chunks.append([])
            room = _SLOTS
        chunks[-1].append(_port_range((low, high)))
        room -= slots
    return [",".join(chunk) for chunk in chunks]


def _port_range(ports: tuple[int, int]) -> str:
    low, high = ports
    return str(low) if low == high else f"{low}:{high}"
