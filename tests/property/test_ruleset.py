"""Matches against their definition, and names that try to become rules."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ipsecmon.errors import ConfigError
from ipsecmon.model import Direction, ObservationPoint
from ipsecmon.ruleset.conditions import Conjunction, conjunctions
from ipsecmon.ruleset.iptables import show
from ipsecmon.ruleset.model import Inside, Kind, Match, Part, Plan, Tap, Tunnel
from ipsecmon.ruleset.nft import render, render_removal
from tests.unit.ruleset.listings import iptables_refuse, nft_accepts

# Small pools, so that networks nest, meet and miss, and packets fall into them.
NETWORKS = (
    "10.0.0.0/8", "10.1.0.0/16", "10.1.5.0/24", "10.1.5.9/32", "192.0.2.0/24", "0.0.0.0/0",
    "2001:db8::/32", "2001:db8:5::/48", "2001:db8:5::9/128", "::/0",
)  # fmt: skip
ADDRESSES = (
    "10.1.5.9",
    "10.1.5.10",
    "10.2.0.1",
    "192.0.2.7",
    "203.0.113.1",
    "2001:db8:5::9",
    "2001:db8:6::1",
)
PORTS = (1, 5, 6, 7, 80, 443, 65535)

networks = st.lists(st.sampled_from(NETWORKS), max_size=3).map(tuple)
ranges = st.lists(
    st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS)).map(sorted).map(tuple), max_size=3
)
port_ranges = ranges.map(lambda found: tuple((int(low), int(high)) for low, high in found))
ways = st.sampled_from([Direction.IN, Direction.OUT])
matches = st.builds(
    Match,
    protocols=st.lists(st.sampled_from([6, 17]), max_size=2, unique=True).map(tuple),
    ports=port_ranges,
    source_ports=port_ranges,
    destination_ports=port_ranges,
    host=networks,
    local=networks,
    remote=networks,
    source=networks,
    destination=networks,
    lan_view=st.booleans(),
)


class Packet(NamedTuple):
    """What a rule can see. source and destination are of one family."""

    protocol: int
    source: str
    destination: str
    source_port: int
    destination_port: int


packets = st.builds(
    Packet,
    st.sampled_from([6, 17, 132]),
    st.sampled_from(ADDRESSES),
    st.sampled_from(ADDRESSES),
    st.sampled_from(PORTS),
    st.sampled_from(PORTS),
).filter(lambda packet: (":" in packet.source) == (":" in packet.destination))


def inside(address: str, names: tuple[str, ...]) -> bool:
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(name) for name in names)


def within(port: int, port_ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= port <= high for low, high in port_ranges)


def defined(match: Match, packet: Packet, way: Direction) -> bool:
    """The definition of a match, in the words of its documentation."""
    ends = (packet.source, packet.destination)
    near, far = ends if way is Direction.OUT else ends[::-1]
    ports = (packet.source_port, packet.destination_port)
    protocols = match.protocols
    if match.ports or match.source_ports or match.destination_ports:
        protocols = protocols or (6, 17)
    return all(
        (
            not protocols or packet.protocol in protocols,
            not match.ports or any(within(port, match.ports) for port in ports),
            not match.source_ports or within(packet.source_port, match.source_ports),
            not match.destination_ports or within(packet.destination_port, match.destination_ports),
            not match.host or any(inside(end, match.host) for end in ends),
            not match.local or inside(near, match.local),
            not match.remote or inside(far, match.remote),
            not match.source or inside(packet.source, match.source),
            not match.destination or inside(packet.destination, match.destination),
        )
    )


def holds(one: Conjunction, packet: Packet) -> bool:
    return all(
        (
            one.family is None or ipaddress.ip_address(packet.source).version == one.family,
            not one.protocols or packet.protocol in one.protocols,
            not one.sources or inside(packet.source, one.sources),
            not one.destinations or inside(packet.destination, one.destinations),
            not one.source_ports or within(packet.source_port, one.source_ports),
            not one.destination_ports or within(packet.destination_port, one.destination_ports),
        )
    )


@settings(max_examples=200)
@given(matches, ways, st.lists(packets, min_size=5, max_size=20))
def test_some_alternative_holds_exactly_where_the_match_does(
    match: Match, way: Direction, passing: list[Packet]
) -> None:
    alternatives = conjunctions(match, way)
    for packet in passing:
        held = any(holds(one, packet) for one in alternatives)
        assert held == defined(match, packet, way)


@given(matches, ways)
def test_alternatives_name_one_family_and_overlap_nowhere_inside(match: Match, way: Direction) -> None:
    for one in conjunctions(match, way):
        found = [ipaddress.ip_network(name) for name in (*one.sources, *one.destinations)]
        assert {network.version for network in found} <= {one.family}
        for names in (one.sources, one.destinations):
            nets = [ipaddress.ip_network(name) for name in names]
            assert not any(a.overlaps(b) for a in nets for b in nets if a is not b)
        for found_ranges in (one.source_ports, one.destination_ports):
            assert all(high + 1 < low for (_, high), (low, _) in zip(found_ranges, found_ranges[1:]))


_WORDS = """
add table inet flush delete chain counter name type filter hook prerouting postrouting output priority
policy accept meta mark set and or nfproto ipv4 ipv6 l4proto udp esp log group queue-threshold snaplen
ah return goto jump secpath exists missing fib saddr daddr local broadcast multicast iifname oifname rt ipsec
in out ip ip6 dport sport length th ct direction original reply proto-src proto-dst state
invalid untracked reqid line_in line_out inner_in inner_out arriving sent_to_many leaving ipsecmon !=
"""
WORDS = frozenset(_WORDS.split())
OURS = re.compile(
    r"plan_[0-9a-f]{16}|(in|out)_(wire|inner)_([a-z0-9_]{1,25}_)?[0-9a-f]{10}"  # a chain, a counter
    r"|0x[0-9a-f]{8}|-?[0-9]+(-[0-9]+)?|[0-9a-f.:]+(/[0-9]+)?|\"[A-Za-z0-9_.:@-]{1,15}\"|[{}]"
)
names = st.text(max_size=80) | st.sampled_from(
    ["}", "accept", 'x"; drop', "a\n  drop", "#", "$(reboot)", "`", "\\", "\x00", "ipsecmon", "in_wire_x"]
)


def plan_named(
    table: str, interface: str, name: str, peer: str, match: Match, does_nat: bool, with_peer: bool = True
) -> Plan:
    """Every place of a plan that text of a user's can get to."""
    peers = (peer,) if with_peer else ()
    parts, tunnels = [], []
    for position, way in enumerate((Direction.IN, Direction.OUT)):
        wire, inner = ObservationPoint.WIRE, ObservationPoint.INNER
        first = 10 * (position + 1)
        parts.append(Part(Kind.CLEAR, Tap(name, way, wire, first), match=match))
        parts.append(Part(Kind.PEER, Tap(f"{name}-vpn", way, wire, first + 1), (peer,), nfmark=1))
        drill_down = Inside(Tap(f"{name}-voice", way, inner, first + 2), match)
        tunnels.append(Tunnel(Tap(f"{name}-vpn", way, inner, first + 3), (peer,), (drill_down,)))
        narrow = Tap(f"{name}-lan", way, inner, first + 4)
        tunnels.append(Tunnel(narrow, peers, subnets=(match,), reqids=((1, 1), (7, 9))))
    return Plan(table, (interface,), tuple(parts), tuple(tunnels), 0xFF0000, does_nat=does_nat)


good_plans = st.builds(
    plan_named,
    st.just("ipsecmon"),
    st.sampled_from(["eth1", "ppp0", "eth1.5"]),
    names,
    st.sampled_from(ADDRESSES),
    matches,
    st.booleans(),
    st.booleans(),
)
any_plans = st.builds(
    plan_named, names | st.just("ipsecmon"), names | st.just("eth1"), names, names, matches, st.booleans()
)


@settings(max_examples=50)
@given(good_plans)
def test_no_word_of_a_users_name_gets_into_a_rule(plan: Plan) -> None:
    plan.check()
    for word in render(plan).replace(";", " ").replace(",", " ").split():
        assert word in WORDS or OURS.fullmatch(word), word


_IPTABLES_WORDS = """
mangle COMMIT - [0:0] -4 -6 -A -I -j -g -m -p -s -d -i -o ! NFLOG MARK RETURN PREROUTING OUTPUT POSTROUTING
udp bpf multiport policy addrtype conntrack --nflog-group --nflog-threshold --nflog-size --set-xmark --sport
--dport --sports --dports --bytecode --dir in out --pol none ipsec --mode tunnel --tunnel-src --tunnel-dst
--src-type --dst-type LOCAL BROADCAST MULTICAST --ctdir ORIGINAL REPLY --ctreplsrc --ctrepldst --ctorigsrc
--ctorigdst --ctreplsrcport --ctrepldstport --ctorigsrcport --ctorigdstport --ctstate INVALID UNTRACKED
--reqid
"""
IPTABLES_WORDS = frozenset(_IPTABLES_WORDS.split())
OUR_CHAIN = re.compile(r"ipsecmon-a-([0-9a-f]{10}|(line|inner)_(in|out)|arriving|to_many|leaving)")


@settings(max_examples=50)
@given(good_plans)
def test_no_word_of_a_users_name_gets_into_an_iptables_rule(plan: Plan) -> None:
    plan.check()
    for word in re.split(r"[\s,*:\"]+", show(plan)):
        ours = OUR_CHAIN.fullmatch(word) or re.fullmatch(
            r"0x\w{8}/0x\w{8}|[0-9./]*|[0-9a-f]{1,4}|eth1(\.5)?|ppp0|\[0|0\]|/\d+", word
        )
        assert word in IPTABLES_WORDS or ours, word


@settings(max_examples=8)
@given(good_plans, st.sampled_from(["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"]))
def test_both_iptables_take_whatever_is_rendered(plan: Plan, program: str) -> None:
    assert iptables_refuse(program, show(plan)) == ""


@given(any_plans | good_plans)
def test_a_plan_is_refused_or_rendered_and_never_breaks(plan: Plan) -> None:
    try:
        plan.check()
    except ConfigError:
        return
    assert render(plan).isascii() and show(plan).isascii()
    assert Plan.decode(plan.encode()) == plan


@given(any_plans.filter(lambda plan: plan.table != "ipsecmon"))
@example(replace(plan_named("t", "eth1", "a", "::1", Match(), False), table="ipsecmon"))
def test_removal_names_a_checked_table_only(plan: Plan) -> None:
    try:
        plan.check()
    except ConfigError:
        return
    assert re.fullmatch(r"add table inet (\w+)\ndelete table inet \1\n", render_removal(plan))


@settings(max_examples=15)
@given(good_plans)
def test_nft_takes_whatever_is_rendered(plan: Plan) -> None:
    assert nft_accepts(render(plan)) == ""
