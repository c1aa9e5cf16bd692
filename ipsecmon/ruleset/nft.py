"""A Plan as native nft text (nft(8); tried with 1.0.6, which wants each rule on a line of its own).

One own table. Re-installing flushes its rules and declares its counters again in one transaction, so
no packet is missed and the counters keep their values. Base chains stand right after our NAT
(−99 in, +300 out), where the decrypted second pass is told by its secpath and the plaintext before
encryption by its route. A packet the kernel loops back (a multicast we send and have joined) would pass
postrouting twice: those are counted in output. Where the router does NAT, an end that it has changed is
asked of conntrack, which NAT needs anyway; where it does not, conntrack is left alone.

Everything in the text is a number, an address that was parsed, or a name made by ruleset.model: no
word of the user's gets into it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from itertools import product

from ipsecmon.model import Direction
from ipsecmon.ruleset.conditions import Conjunction, conjunctions, from_peer
from ipsecmon.ruleset.model import Kind, LineRules, Match, Plan, Tap, Tunnel

__all__ = ["plan_chain", "render", "render_removal"]

THRESHOLD = 512  # copies in one datagram; the smaller of this and the socket's own holds
_SNAP = {4: 28, 6: 48}  # octets: IP header, ports or SPI; nothing of the payload
_SNAP_NATT = {4: 36, 6: 56}  # octets: the SPI stands behind the UDP header
_FAMILY = {4: "ip", 6: "ip6"}
_FAR_END = {Direction.IN: "saddr", Direction.OUT: "daddr"}
# a packet of ours: from an own address, or from none yet (DAD, MLD and IGMP before there is one)
_FROM_HERE = ("fib saddr type local", "ip saddr 0.0.0.0", "ip6 saddr ::")
# the first header that is none of IPv6's extensions; of these, AH ends the search (nf_tables_ipv6.h)
_BY_PROTOCOL = {Kind.ESP: "esp", Kind.AH: "ah", Kind.GRE: "gre"}
_L2TP = ("udp dport 1701", "udp sport 1701", "meta l4proto 115")
_TO_MANY = ("meta nfproto ipv4 fib daddr type { broadcast, multicast }", "ip6 daddr ff00::/8")


def render(plan: Plan) -> str:
    """The transaction that installs the plan, over an older one of ours or none."""
    lines = [f"add table inet {plan.table}", f"flush table inet {plan.table}", f"table inet {plan.table} {{"]
    for tap in plan.taps():
        lines += [f"  counter {tap.object_name} {{", "  }"]
    lines += [f"  chain {plan_chain(plan)} {{", "  }"]
    for chain, body in _chains(plan):
        lines += [f"  chain {chain} {{", *(f"    {line}" for line in body), "  }"]
    return "\n".join([*lines, "}", ""])


def render_removal(plan: Plan) -> str:
    """The transaction that takes the table away, whether or not it is there."""
    return f"add table inet {plan.table}\ndelete table inet {plan.table}\n"


def plan_chain(plan: Plan) -> str:
    """The name of an empty chain that says which plan is installed."""
    return "plan_" + plan.digest()[:16]


def _chains(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """Called chains come before their callers."""
    for part in plan.parts:
        yield (
            part.tap.object_name,
            [*_tag(plan, part.nfmark), *_tap_lines(part.tap, part.kind in (Kind.PEER, Kind.NATT))],
        )
    for tunnel in plan.tunnels:
        for inside in tunnel.inside:
            yield inside.tap.object_name, _tap_lines(inside.tap)
        yield tunnel.tap.object_name, _tunnel_lines(plan, tunnel)
    for direction in (Direction.IN, Direction.OUT):
        for line in plan.lines():
            yield _line_chain(line, direction), list(_dispatch_parts(plan, line, direction))
        yield f"inner_{direction.value}", list(_dispatch_tunnels(plan, direction))
    yield from _base_chains(plan)


def _base_chains(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    lines = {_line_chain(line, Direction.OUT): _leaving(line) for line in plan.lines() if line.interfaces}
    yield (
        "arriving",
        [
            "type filter hook prerouting priority -99; policy accept;",
            "meta secpath exists jump inner_in",
            *(_arriving(line) for line in plan.lines() if line.interfaces),
        ],
    )
    yield (
        "sent_to_many",
        [
            "type filter hook output priority -99; policy accept;",
            *(
                f"{leaving} {to_many} jump {chain}"
                for chain, leaving in lines.items()
                for to_many in _TO_MANY
            ),
        ],
    )
    yield (
        "leaving",
        [
            "type filter hook postrouting priority 300; policy accept;",
            "rt ipsec exists jump inner_out",
            *(
                f"{leaving} {from_here} {to_many} return"
                for leaving in lines.values()
                for from_here in _FROM_HERE
                for to_many in _TO_MANY
                if not _families_differ(from_here, to_many)
            ),
            *(f"{leaving} jump {chain}" for chain, leaving in lines.items()),
        ],
    )


def _line_chain(line: LineRules, way: Direction) -> str:
    return f"line{line.suffix}_{way.value}"


def _arriving(line: LineRules) -> str:
    clear = "meta secpath missing fib saddr type != local"
    return f"iifname {_names(line)} {clear} jump {_line_chain(line, Direction.IN)}"


def _leaving(line: LineRules) -> str:
    return f"oifname {_names(line)} rt ipsec missing"


def _names(line: LineRules) -> str:
    return "{ " + ", ".join(f'"{name}"' for name in line.interfaces) + " }"


def _families_differ(from_here: str, to_many: str) -> bool:
    return from_here.startswith("ip") and from_here.startswith("ip6") != to_many.startswith("ip6")


def _tap_lines(tap: Tap, natt_too: bool = False, end: str = " return") -> list[str]:
    """Count, and copy by family. end: what follows a copy; nothing where more rules of the chain do."""
    lines = [f"counter name {tap.object_name}"]
    for family, octets in _SNAP.items():
        copy = f"log group {tap.group} queue-threshold {THRESHOLD} snaplen"
        if natt_too:
            lines.append(f"meta nfproto ipv{family} meta l4proto udp {copy} {_SNAP_NATT[family]}{end}")
        lines.append(f"meta nfproto ipv{family} {copy} {octets}{end}")
    return lines


def _tag(plan: Plan, nfmark: int | None) -> list[str]:
    if nfmark is None:
        return []
    kept = 0xFFFFFFFF ^ plan.nfmark_mask
    return [f"meta mark set meta mark and 0x{kept:08x} or 0x{nfmark & plan.nfmark_mask:08x}"]


def _tunnel_lines(plan: Plan, tunnel: Tunnel) -> list[str]:
    """Its own tap, then the first drill-down that matches."""
    lines = [*_tag(plan, tunnel.nfmark), *_tap_lines(tunnel.tap, end="")]
    for inside in tunnel.inside:
        lines += _gotos(plan, inside.match, inside.tap)
    return lines


def _dispatch_parts(plan: Plan, line: LineRules, direction: Direction) -> Iterator[str]:
    port = "dport" if direction is Direction.IN else "sport"
    natt = f"udp {port} 4500"
    mine = [part for part in line.parts if part.tap.direction is direction]
    for part in mine:
        to = f"goto {part.tap.object_name}"
        if part.kind is Kind.IKE:
            yield f"udp {port} 500 {to}"
            yield f"{natt} @th,64,32 0 {to}"
            yield f"{natt} udp length 9 {to}"
        elif part.kind is Kind.PEER:
            end = "saddr" if direction is Direction.IN else "daddr"
            for peer in _peers(part.peers, end):
                yield f"{peer} meta l4proto {{ esp, ah }} {to}"
                yield f"{peer} {natt} {to}"
        elif part.kind in _BY_PROTOCOL:
            yield f"meta l4proto {_BY_PROTOCOL[part.kind]} {to}"
        elif part.kind is Kind.NATT:
            yield f"{natt} {to}"
        elif part.kind is Kind.L2TP:
            yield from (f"{condition} {to}" for condition in _L2TP)
        else:
            yield from _gotos(plan, part.match, part.tap)


def _dispatch_tunnels(plan: Plan, direction: Direction) -> Iterator[str]:
    """By the outer addresses of the SA in tunnel mode; by the packet's own in transport mode."""
    mine = [tunnel for tunnel in plan.tunnels if tunnel.tap.direction is direction]
    for tunnel in mine if any(tunnel.peers for tunnel in mine) else ():
        yield from _in_tunnel_mode(plan, tunnel)
    for tunnel in mine:
        yield from _in_any_mode(plan, tunnel)


def _in_tunnel_mode(plan: Plan, tunnel: Tunnel) -> Iterator[str]:
    """An SA in another mode has no outer address, not even of the widest network."""
    if tunnel.is_rest:
        return
    way = tunnel.tap.direction
    end = _FAR_END[way]
    outer = list(_peers(tunnel.peers, end)) or [f"ip {end} 0.0.0.0/0", f"ip6 {end} ::/0"]
    inner = [found for match in tunnel.subnets for found in _match_conditions(plan, match, way)]
    heads = [f"ipsec {way.value} {peer}" for peer in outer]
    yield from _tunnel_gotos(tunnel, heads, inner if tunnel.subnets else [""])


def _in_any_mode(plan: Plan, tunnel: Tunnel) -> Iterator[str]:
    way = tunnel.tap.direction
    own = list(_peers(tunnel.peers, _FAR_END[way])) or [""]
    if tunnel.subnets:
        pairs = [from_peer(match, peer, way) for match in tunnel.subnets for peer in tunnel.peers]
        matches = pairs or tunnel.subnets
        own = [found for match in matches for found in _match_conditions(plan, match, way)]
    yield from _tunnel_gotos(tunnel, [""], own)


def _tunnel_gotos(tunnel: Tunnel, heads: list[str], inner: list[str]) -> Iterator[str]:
    way = tunnel.tap.direction.value
    reqids = [f"ipsec {way} reqid {_range(reqids)}" for reqids in tunnel.reqids]
    for conditions in product(heads, reqids or [""], inner):
        yield " ".join(filter(None, (*conditions, f"goto {tunnel.tap.object_name}")))


def _peers(peers: Iterable[str], end: str) -> Iterator[str]:
    for peer in peers:
        address = ipaddress.ip_address(peer)
        yield f"{_FAMILY[address.version]} {end} {address}"


def _gotos(plan: Plan, match: Match, tap: Tap) -> list[str]:
    found = _match_conditions(plan, match, tap.direction)
    return [" ".join(filter(None, (conditions, f"goto {tap.object_name}"))) for conditions in found]


def _match_conditions(plan: Plan, match: Match, way: Direction) -> Iterator[str]:
    """The conditions of each rule that takes a share of the match; "" holds always."""
    hidden = _hidden_end(plan, match, way)
    for one in conjunctions(match, way):
        yield from _conditions(one, hidden)


def _hidden_end(plan: Plan, match: Match, way: Direction) -> str | None:
    """The end that our NAT has changed by the time we see the packet: in the LAN's view a leaving one's
    source, in the wire's view an arriving one's destination. What it was is only known to conntrack."""
    if not plan.does_nat or match.lan_view is (way is Direction.IN):
        return None
    return "src" if way is Direction.OUT else "dst"


def _conditions(one: Conjunction, hidden: str | None) -> Iterator[str]:
    """Conjunctions in nft's words."""
    plain = {"src": _end(one, "src"), "dst": _end(one, "dst")}
    if hidden is None or not plain[hidden]:
        yield _joined(one.protocols, [*plain["src"], *plain["dst"]])
        return
    visible = plain["dst" if hidden == "src" else "src"]
    networks, port_ranges = _ends(one, hidden)
    for protocol in one.protocols or (None,):
        protocols = () if protocol is None else (protocol,)
        for network in networks or ("",):
            for ports in port_ranges or (None,):
                for direction in ("original", "reply"):
                    parts = [f"ct direction {direction}"]
                    if network:
                        parts.append(f"ct {direction} {_FAMILY[one.family or 4]} {hidden[0]}addr {network}")
                    if ports:
                        parts.append(f"ct {direction} proto-{hidden} {_range(ports)}")
                    yield _joined(protocols, [*parts, *visible])
    yield _joined(one.protocols, ["ct state { invalid, untracked }", *plain["src"], *plain["dst"]])


def _ends(one: Conjunction, end: str) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    if end == "src":
        return one.sources, one.source_ports
    return one.destinations, one.destination_ports


def _end(one: Conjunction, end: str) -> list[str]:
    networks, port_ranges = _ends(one, end)
    parts = []
    if networks:
        parts.append(f"{_FAMILY[one.family or 4]} {end[0]}addr {_set(networks)}")
    if port_ranges:
        parts.append(f"th {end[0]}port {_set(_range(ports) for ports in port_ranges)}")
    return parts


def _joined(protocols: tuple[int, ...], parts: list[str]) -> str:
    numbers = [f"meta l4proto {_set(str(number) for number in protocols)}"] if protocols else []
    return " ".join([*numbers, *parts])


def _set(values: Iterable[str]) -> str:
    items = list(values)
    return items[0] if len(items) == 1 else "{ " + ", ".join(items) + " }"


def _range(numbers: tuple[int, int]) -> str:
    low, high = numbers
    return str(low) if low == high else f"{low}-{high}"
