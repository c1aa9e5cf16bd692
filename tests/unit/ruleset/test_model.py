"""Plans: names in the kernel, the way over the process boundary, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ipsecmon.errors import ConfigError
from ipsecmon.model import CounterKey, Direction, ObservationPoint
from ipsecmon.ruleset.model import Inside, Kind, Match, Part, Plan, Tap, Tunnel, object_name

from .plans import rich_plan, small_plan, two_lines

PLAN = rich_plan()


def tap(name: str = "web", group: int = 9000) -> Tap:
    return Tap(name, Direction.IN, ObservationPoint.WIRE, group)


def with_part(**changes: Any) -> Plan:
    return replace(PLAN, parts=(*PLAN.parts, Part(Kind.CLEAR, tap("one more"), **changes)))


def with_tunnel(**changes: Any) -> Plan:
    return replace(PLAN, tunnels=(*PLAN.tunnels, Tunnel(tap("one more"), **changes)))


def test_a_plan_survives_the_way_to_the_helper() -> None:
    assert Plan.decode(PLAN.encode()) == PLAN
    assert Plan.decode(rich_plan(does_nat=True).encode()).does_nat
    assert Plan.decode(two_lines().encode()) == two_lines()


def test_each_line_has_its_parts_and_a_plan_of_one_has_them_all() -> None:
    assert [(one.suffix, one.interfaces, len(one.parts)) for one in two_lines().lines()] == [
        ("", ("eth1",), 6),
        ("2", ("ppp0", "ppp1"), 6),
    ]
    assert [(one.interfaces, one.parts) for one in PLAN.lines()] == [(PLAN.interfaces, PLAN.parts)]
    assert [one.parts for one in replace(PLAN, parts=()).lines()] == [()]


def test_a_kernel_name_says_what_it_counts_and_is_always_the_same() -> None:
    key = CounterKey("VPN-to-parent", Direction.OUT, ObservationPoint.INNER)
    assert object_name(key) == object_name(key) == "out_inner_vpn_to_parent_d17a5403b9"


@pytest.mark.parametrize("name", ["", "-", "ü", "}", "x" * 200, "a\nb", "a b", "A-B", "a_b"])
def test_a_kernel_name_has_plain_letters_whatever_the_users_name_has(name: str) -> None:
    found = object_name(CounterKey(name, Direction.IN, ObservationPoint.WIRE))
    assert found.replace("_", "").isascii() and found.replace("_", "").isalnum() and len(found) <= 64


def test_names_that_look_alike_have_kernel_names_of_their_own() -> None:
    names = ["a b", "a-b", "a_b", "A B", "a  b", "ab"]
    keys = [CounterKey(name, Direction.IN, ObservationPoint.WIRE) for name in names]
    assert len({object_name(key) for key in keys}) == len(names)


def test_taps_and_groups_are_in_the_order_of_the_rules() -> None:
    tunnel = next(tunnel for tunnel in PLAN.tunnels if tunnel.inside)
    assert [one.name for one in PLAN.taps()][:3] == ["ike", "VPN-to-parent", "esp"]
    assert list(PLAN.taps()).index(tunnel.tap) + 1 == list(PLAN.taps()).index(tunnel.inside[0].tap)
    assert PLAN.groups() == [one.group for one in PLAN.taps()]


def test_a_plan_without_nfmarks_is_the_same_plan_otherwise() -> None:
    bare = PLAN.without_nfmarks()
    assert PLAN.writes_nfmarks() and not bare.writes_nfmarks() and not small_plan().writes_nfmarks()
    assert bare.groups() == PLAN.groups() and bare.interfaces == PLAN.interfaces


def test_a_tunnels_nfmark_alone_is_written_too() -> None:
    assert replace(small_plan(), tunnels=(Tunnel(tap(), nfmark=1),)).writes_nfmarks()


@pytest.mark.parametrize(
    "plan",
    [
        replace(PLAN, table="Ipsecmon"),
        replace(PLAN, table="ipsecmon; drop"),
        replace(PLAN, table="ipsecmon\n"),
        replace(PLAN, table=""),
        replace(PLAN, interfaces=("eth0", 'eth1"')),
        replace(PLAN, interfaces=("eth1\n",)),
        replace(PLAN, interfaces=("eth*",)),
        replace(PLAN, interfaces=("a" * 16,)),
        replace(PLAN, interfaces=("",)),
        replace(PLAN, nfmark_mask=1 << 32),
        replace(PLAN, nfmark_mask=-1),
        replace(PLAN, parts=(Part(Kind.OTHER, tap(group=0)),)),
        replace(PLAN, parts=(Part(Kind.OTHER, tap(group=65536)),)),
        replace(PLAN, parts=(Part(Kind.ESP, tap("a", 7)), Part(Kind.OTHER, tap("b", 7)))),
        replace(PLAN, parts=(Part(Kind.ESP, tap("a", 7)), Part(Kind.OTHER, tap("a", 8)))),
        with_part(interfaces=("eth1",)),
        replace(two_lines(), interfaces=("eth1", "ppp0")),
        replace(two_lines(), parts=(*two_lines().parts, Part(Kind.ESP, tap(), interfaces=("ppp1",)))),
        with_part(peers=("berlin.example.net",)),
        with_part(peers=("fe80::1%eth1 accept",)),
        with_tunnel(reqids=((0, 5),)),
        with_tunnel(reqids=((6, 5),)),
        with_tunnel(reqids=((1, 1 << 32),)),
        with_tunnel(subnets=(Match(local=("10.0.0.0/33",)),)),
        with_part(match=Match(ports=((0, 5),))),
        with_part(match=Match(source_ports=((5, 65536),))),
        with_part(match=Match(destination_ports=((6, 5),))),
        with_part(match=Match(protocols=(256,))),
        with_part(match=Match(protocols=(-1,))),
        with_part(match=Match(host=("10.0.0.1/8",))),
        with_part(match=Match(local=("web",))),
        with_part(match=Match(remote=("fe80::%eth1 accept/64",))),
        with_tunnel(peers=("198.51.100.7/32",)),
        with_tunnel(peers=("fe80::1%eth1",)),
        with_tunnel(inside=(Inside(tap("inside"), Match(source=("10.0.0.0/33",))),)),
        with_tunnel(inside=(Inside(tap("inside", 9001), Match(ports=((0, 0),))),)),
        with_tunnel(inside=(Inside(tap("inside", 9001), Match(destination=("::%a/0",))),)),
    ],
)
def test_what_cannot_be_rendered_safely_is_refused_on_both_sides(plan: Plan) -> None:
    with pytest.raises(ConfigError):
        plan.check()
    with pytest.raises(ConfigError):
        Plan.decode(plan.encode())


@pytest.mark.parametrize("interface", ["ppp0", "eth1.100", "eth1:1", "vti@x", "br-lan", "_"])
def test_usual_interface_names_are_taken(interface: str) -> None:
    replace(PLAN, interfaces=(interface,)).check()


@pytest.mark.parametrize("text", ["", "[]", "5", '"plan"', "{}", '{"table": "ipsecmon"}', "{", "null"])
def test_what_is_no_plan_is_not_decoded(text: str) -> None:
    with pytest.raises((ConfigError, ValueError, TypeError, KeyError)):
        Plan.decode(text)


def test_a_plan_with_an_unknown_kind_is_not_decoded() -> None:
    data = json.loads(PLAN.encode())
    data["parts"][0]["kind"] = "drop"
    with pytest.raises(ValueError, match="drop"):
        Plan.decode(json.dumps(data))
