"""From a config to the plan of the rules."""

from __future__ import annotations

import pytest

from ipsecmon.agent.plan import (
    build_plan,
    capacities,
    group_ranges,
    line_parts,
    part_sums,
    peer_addresses,
)
from ipsecmon.config import Config, parse
from ipsecmon.errors import ConfigError
from ipsecmon.model import CounterKey, Direction, LineCapacity, ObservationPoint
from ipsecmon.ruleset.model import Kind, Match, Part, Plan, Tunnel

IN, OUT = Direction.IN, Direction.OUT
WIRE, INNER = ObservationPoint.WIRE, ObservationPoint.INNER

FILE = """
router: gw
line: {name: T1, interface: eth1}
counters:
  - name: web
    match: {proto: tcp, port: [80, 443]}
  - name: berlin
    ipsec: {peer: berlin.example.net}
  - name: voice
    match: {proto: udp, port: 5060, remote: 10.9.0.0/16}
    inside_tunnel: berlin
  - name: parent
    ipsec: {peer: 198.51.100.7}
  - name: guests
    match: {local: 10.1.5.0/24, view: wire}
    nflog: [{group: 77, direction: out}]
nflog: {groups: 5600-5699}
"""
BERLIN = ("203.0.113.9", "2001:db8::9")


def config(text: str = FILE) -> Config:
    return parse(text, "test.yaml")


def resolve(name: str) -> tuple[str, ...]:
    return {"berlin.example.net": BERLIN}.get(name, ())


def plan(text: str = FILE) -> Plan:
    return build_plan(config(text), resolve)


def parts(of: Plan, way: Direction) -> list[Part]:
    return [part for part in of.parts if part.tap.direction is way]


def tunnels(of: Plan, way: Direction) -> list[Tunnel]:
    return [tunnel for tunnel in of.tunnels if tunnel.tap.direction is way]


@pytest.mark.parametrize("way", [IN, OUT])
def test_parts_stand_in_the_partitions_order_and_counters_in_the_files(way: Direction) -> None:
    assert [(part.kind, part.tap.name) for part in parts(plan(), way)] == [
        (Kind.IKE, "ike"),
        (Kind.PEER, "berlin"),
        (Kind.PEER, "parent"),
        (Kind.ESP, "esp"),
        (Kind.NATT, "nat-t"),
        (Kind.AH, "ah"),
        (Kind.CLEAR, "web"),
        (Kind.CLEAR, "guests"),
        (Kind.GRE, "gre"),
        (Kind.L2TP, "l2tp"),
        (Kind.OTHER, "other"),
    ]


@pytest.mark.parametrize("way", [IN, OUT])
def test_tunnels_stand_before_whatever_else_is_inside_ipsec(way: Direction) -> None:
    found = tunnels(plan(), way)
    assert [(tunnel.tap.name, tunnel.tap.observed_at) for tunnel in found] == [
        ("berlin", INNER),
        ("parent", INNER),
        ("inner", INNER),
    ]
    assert [tunnel.peers for tunnel in found] == [BERLIN, ("198.51.100.7",), ()]


def test_what_is_inside_a_tunnel_is_there_and_not_on_the_line() -> None:
    berlin = tunnels(plan(), IN)[0]
    assert [(one.tap.name, one.tap.observed_at) for one in berlin.inside] == [("voice", INNER)]
    assert berlin.inside[0].match == Match((17,), ((5060, 5060),), remote=("10.9.0.0/16",))
    assert all(part.tap.name != "voice" for part in plan().parts)


NAMED_OTHERWISE = """
line: {name: T1, interface: eth1}
counters:
  - name: lan-a
    ipsec: {peer: 198.51.100.7, subnets: {local: 10.1.0.0/16, remote: [10.8.0.0/16, 10.9.0.0/16]}}
  - {name: parent, ipsec: {peer: [198.51.100.7, 198.51.100.8]}}
  - {name: six, ipsec: {peer: "2001:db8::7"}}
  - {name: six-too, ipsec: {peer: ["2001:db8::7", "2001:db8::8"]}}
  - {name: by-reqid, ipsec: {reqid: [7, 10-19]}}
  - {name: warriors, ipsec: {connection: l2tp-psk}}
  - {name: mixed, ipsec: {peer: 198.51.100.9, if_id: 7}}
  - {name: voice, match: {port: 5060}, inside_tunnel: by-reqid}
"""


def test_a_tunnel_has_an_inner_counter_where_rules_can_tell_its_packets() -> None:
    found = {tunnel.tap.name: tunnel for tunnel in tunnels(plan(NAMED_OTHERWISE), IN)}
    assert list(found) == ["lan-a", "parent", "six", "six-too", "by-reqid", "inner"]
    subnets = Match(local=("10.1.0.0/16",), remote=("10.8.0.0/15",), lan_view=False)
    assert found["lan-a"].subnets == (subnets,)
    assert (found["by-reqid"].peers, found["by-reqid"].reqids) == ((), ((7, 7), (10, 19)))
    assert [inside.tap.name for inside in found["by-reqid"].inside] == ["voice"]
    assert [name for name, tunnel in found.items() if tunnel.is_rest] == ["inner"]


@pytest.mark.parametrize("way", [IN, OUT])
def test_a_tunnel_has_its_esp_where_nothing_else_of_its_peers_could_be_in_it(way: Direction) -> None:
    found = [part for part in parts(plan(NAMED_OTHERWISE), way) if part.kind is Kind.PEER]
    assert [(part.tap.name, part.peers) for part in found] == [
        ("six", ("2001:db8::7",)),
        ("six-too", ("2001:db8::8",)),
    ]


def test_tags_go_with_the_rules_that_there_are() -> None:
    found = plan(NAMED_OTHERWISE)
    inbound = {part.tap.name: part.nfmark for part in parts(found, IN) if part.nfmark}
    outbound = {one.tap.name: one.nfmark for one in tunnels(found, OUT) if one.nfmark}
    assert list(inbound) == ["six", "six-too"]
    assert list(outbound) == ["lan-a", "parent", "six", "six-too", "by-reqid"]
    assert inbound.items() <= outbound.items() and len(set(outbound.values())) == 5


def test_the_addresses_of_a_tunnels_peers_are_told_each_once() -> None:
    twice = FILE.replace("peer: berlin.example.net", "peer: [berlin.example.net, 203.0.113.9]")
    assert peer_addresses(config(twice).counters, resolve) == {"berlin": BERLIN, "parent": ("198.51.100.7",)}


def test_with_rules_off_tunnels_have_no_rules_and_no_line() -> None:
    off = NAMED_OTHERWISE.partition("  - {name: voice")[0] + "rules: off\n"
    assert list(plan(off).taps()) == [] and line_parts(config(off), plan(off)) == {}


def test_a_peers_name_is_resolved_and_its_address_is_not() -> None:
    asked = []

    def note(name: str) -> tuple[str, ...]:
        asked.append(name)
        return BERLIN

    build_plan(config(), note)
    assert asked == ["berlin.example.net"]
    assert [part.peers for part in parts(plan(), OUT)[1:3]] == [BERLIN, ("198.51.100.7",)]


def test_a_peers_name_without_an_address_is_an_error_that_names_both() -> None:
    with pytest.raises(ConfigError, match=r"'berlin': peer berlin\.example\.net does not resolve"):
        build_plan(config(), lambda name: ())


def test_groups_are_taken_in_order_and_a_fixed_one_is_kept() -> None:
    groups = {(tap.name, tap.direction): tap.group for tap in plan().taps() if tap.observed_at is WIRE}
    assert groups["guests", OUT] == 77
    assert groups["ike", IN] == 5600
    assert sorted(plan().groups()) == [77, *range(5600, 5600 + len(plan().groups()) - 1)]


def test_a_fixed_group_inside_the_range_is_given_to_nobody_else() -> None:
    found = plan(FILE.replace("group: 77", "group: 5602")).groups()
    assert found.count(5602) == 1
    assert len(set(found)) == len(found)


def test_too_few_groups_are_an_error_that_says_so() -> None:
    needed = len(plan().groups()) - 1  # one is fixed
    assert plan(FILE.replace("5600-5699", f"1-{needed}"))
    with pytest.raises(ConfigError, match=r"nflog\.groups has too few numbers"):
        plan(FILE.replace("5600-5699", f"1-{needed - 1}"))


def test_nfmarks_differ_by_tunnel_and_stay_inside_the_mask() -> None:
    found = plan(FILE.replace("nflog: {groups", "nfmark: {mask: 0x0ff00000}\nnflog: {groups"))
    marks = {part.tap.name: part.nfmark for part in parts(found, IN) if part.nfmark}
    assert marks == {"berlin": 0x00100000, "parent": 0x00200000}
    assert {one.tap.name: one.nfmark for one in tunnels(found, OUT) if one.nfmark} == marks
    assert found.nfmark_mask == 0x0FF00000


def test_what_inherits_an_nfmark_is_not_given_one_again() -> None:
    assert not any(part.nfmark for part in parts(plan(), OUT))
    assert not any(tunnel.nfmark for tunnel in tunnels(plan(), IN))


@pytest.mark.parametrize("nfmark", ["{use: off}", "{mask: 0x00010000}"])
def test_no_tunnel_is_tagged_where_it_is_off_or_the_mask_has_no_room_for_all(nfmark: str) -> None:
    assert not plan(FILE + f"nfmark: {nfmark}\n").writes_nfmarks()


def test_the_last_value_of_a_mask_is_used_too() -> None:
    found = plan(FILE + "nfmark: {mask: 0xc0000000}\n")
    assert [part.nfmark for part in parts(found, IN) if part.nfmark] == [0x40000000, 0x80000000]


def test_views_and_conditions_are_taken_over() -> None:
    web, guests = (part.match for part in parts(plan(), IN) if part.kind is Kind.CLEAR)
    assert web == Match((6,), ((80, 80), (443, 443)))
    assert guests == Match(local=("10.1.5.0/24",), lan_view=False)


def test_the_plan_has_the_lines_interface_and_the_given_table() -> None:
    assert (plan().interfaces, plan().table) == (("eth1",), "ipsecmon")
    assert build_plan(config(), resolve, "ipsecmon_live").table == "ipsecmon_live"


def test_a_line_is_the_sum_of_its_parts_and_of_nothing_inside() -> None:
    lines = line_parts(config(), plan())
    assert set(lines) == {CounterKey("T1", IN, WIRE), CounterKey("T1", OUT, WIRE)}
    assert [key.name for key in lines[CounterKey("T1", IN, WIRE)]] == [
        "ike", "berlin", "parent", "esp", "nat-t", "ah", "web", "guests", "gre", "l2tp", "other",
    ]  # fmt: skip
    assert all(key.direction is OUT for key in lines[CounterKey("T1", OUT, WIRE)])


def test_the_least_config_has_the_built_in_parts() -> None:
    found = plan("line: {name: T1, interface: eth1}\n")
    assert [part.tap.name for part in parts(found, IN)] == [
        "ike",
        "esp",
        "nat-t",
        "ah",
        "gre",
        "l2tp",
        "other",
    ]
    assert [tunnel.tap.name for tunnel in found.tunnels] == ["inner", "inner"]
    assert not found.writes_nfmarks()


def assigned(of: Plan) -> dict[CounterKey, int]:
    return {tap.key: tap.group for tap in of.taps()}


def test_a_counter_keeps_its_group_and_a_new_one_gets_none_that_is_busy() -> None:
    before = assigned(plan())
    more = FILE.replace("counters:\n", "counters:\n  - {name: first, match: {port: 1}}\n")
    after = assigned(build_plan(config(more), resolve, kept=before, busy=[*before.values(), 5650]))
    assert before.items() <= after.items()
    new = {group for key, group in after.items() if key not in before}
    assert len(new) == 2 and new.isdisjoint({*before.values(), 5650})


def test_a_group_outside_the_configured_range_is_not_kept() -> None:
    before = {CounterKey("web", IN, WIRE): 9999}
    assert assigned(build_plan(config(), resolve, kept=before))[CounterKey("web", IN, WIRE)] < 5700


def test_a_pin_on_a_group_that_another_counter_has_needs_a_restart() -> None:
    before = {CounterKey("web", IN, WIRE): 77}
    with pytest.raises(ConfigError, match="another counter has NFLOG group 77: restart needed"):
        build_plan(config(), resolve, kept=before, busy=[77])


def test_a_pin_that_moves_a_counter_to_a_free_group_is_followed() -> None:
    before = assigned(plan())
    moved = FILE.replace("group: 77", "group: 78")
    after = assigned(build_plan(config(moved), resolve, kept=before, busy=before.values()))
    assert after[CounterKey("guests", OUT, WIRE)] == 78


def test_every_group_that_the_config_speaks_of_is_in_its_ranges() -> None:
    assert group_ranges(config()) == [(5600, 5699), (77, 77)]


MANUAL = """
line: {name: T1, interface: eth1}
rules: manual
counters:
  - {name: parent, nflog: [{group: 10, direction: in}, {group: 20, direction: in, observed_at: inner}]}
  - {name: rest, nflog: {group: 12, direction: in}}
"""


def test_with_rules_of_others_the_plan_only_watches_their_groups() -> None:
    found = plan(MANUAL)
    assert (found.managed, found.parts, found.tunnels) == (False, (), ())
    assert [(tap.group, tap.key) for tap in found.taps()] == [
        (10, CounterKey("parent", IN, WIRE)),
        (20, CounterKey("parent", IN, INNER)),
        (12, CounterKey("rest", IN, WIRE)),
    ]


def test_the_line_is_the_sum_of_what_is_watched_on_the_wire_and_absent_where_nothing_is() -> None:
    assert line_parts(config(MANUAL), plan(MANUAL)) == {
        CounterKey("T1", IN, WIRE): [CounterKey("parent", IN, WIRE), CounterKey("rest", IN, WIRE)]
    }
    off = "line: {name: T1, interface: eth1}\nrules: off\n"
    assert line_parts(config(off), plan(off)) == {} and list(plan(off).taps()) == []


TWO_LINES = """
line:
  - {name: A, interface: eth1}
  - {name: B, interface: [ppp0, ppp1]}
counters:
  - {name: parent, ipsec: {peer: 198.51.100.7}}
  - {name: web, match: {proto: tcp, port: 80}}
"""


def test_each_of_several_lines_has_parts_of_its_own_and_their_sums_have_the_bare_names() -> None:
    found = plan(TWO_LINES)
    assert found.interfaces == ("eth1", "ppp0", "ppp1")
    names = [(part.tap.name, part.interfaces) for part in parts(found, IN) if part.kind is Kind.CLEAR]
    assert names == [("web@A", ("eth1",)), ("web@B", ("ppp0", "ppp1"))]
    lines = line_parts(config(TWO_LINES), found)
    assert {key.name for key in lines[CounterKey("B", OUT, WIRE)]} == {
        f"{name}@B" for name in ("ike", "parent", "esp", "nat-t", "ah", "web", "gre", "l2tp", "other")
    }
    sums = part_sums(config(TWO_LINES), found)
    assert sums[CounterKey("web", IN, WIRE)] == [CounterKey(f"web@{line}", IN, WIRE) for line in "AB"]
    assert [tunnel.tap.name for tunnel in tunnels(found, IN)] == ["parent", "inner"]


def test_one_line_of_several_interfaces_has_one_set_of_parts() -> None:
    found = plan("line: {name: T1, interface: [ppp0, ppp1]}\n")
    assert (found.interfaces, len(parts(found, IN))) == (("ppp0", "ppp1"), 7)
    assert part_sums(config("line: {name: T1, interface: [ppp0, ppp1]}\n"), found) == {}


def test_a_lines_capacity_is_told_in_both_directions_and_only_where_the_file_has_one() -> None:
    line = "line: {name: DSL, interface: ppp0, capacity: {in: 16Mbit, out: 1Mbit}}\n"
    assert capacities(config(line)) == (
        LineCapacity("DSL", IN, 16_000_000),
        LineCapacity("DSL", OUT, 1_000_000),
    )
    assert capacities(config("line: {name: DSL, interface: ppp0}\n")) == ()
