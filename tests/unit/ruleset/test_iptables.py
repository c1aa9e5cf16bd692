"""The rendered iptables rules of one rich plan, rule by rule, and that both flavours take them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipsecmon.model import Direction, ObservationPoint
from ipsecmon.ruleset.iptables import (
    HOOKS,
    Shape,
    chains,
    digest_of,
    marker,
    prefix,
    show,
    without_rule,
)
from ipsecmon.ruleset.model import Match, Plan, Tap, Tunnel

from .listings import iptables_refuse
from .plans import rich_plan, small_plan, two_lines

GOLDEN = Path(__file__).parent / "golden"
SHAPES = [
    Shape(xfrm, bpf, ah6=ah6) for xfrm in (True, False) for bpf in (True, False) for ah6 in (True, False)
]
LAN = Tap("lan", Direction.IN, ObservationPoint.INNER, 7)
MAX_CHAIN = 28  # octets: XT_EXTENSION_MAXNAMELEN - 1, what iptables(8) takes


def dispatch(plan: Plan, way: Direction, name: str, family: int = 4) -> list[str]:
    """The conditions under which a packet of the line goes to a counter's chain."""
    rules = chains(plan, family, Shape())[f"{prefix(plan)}a-line_{way.value}"]
    (goal,) = (
        f"-g {prefix(plan)}a-{digest_of(part.tap)}"
        for part in plan.parts
        if part.tap.name == name and part.tap.direction is way
    )
    return [rule.partition(goal)[0].strip() for rule in rules if rule.endswith(goal)]


@pytest.mark.parametrize(("name", "does_nat"), [("router", False), ("nat-router", True)])
def test_a_rich_plan_is_rendered_as_it_was_read_and_approved(name: str, does_nat: bool) -> None:
    assert show(rich_plan(does_nat)) == (GOLDEN / f"{name}.iptables").read_text()


def test_two_lines_are_rendered_as_they_were_read_and_approved() -> None:
    assert show(two_lines()) == (GOLDEN / "two-lines.iptables").read_text()


@pytest.mark.parametrize("program", ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"])
@pytest.mark.parametrize(
    "plan",
    [
        rich_plan(),
        rich_plan(does_nat=True),
        replace(rich_plan(), interfaces=()),
        two_lines(),
        replace(rich_plan(), parts=()),
        replace(rich_plan(), tunnels=()),
        replace(rich_plan(), table="a_very_long_name_of_a_table_01"),
        small_plan(match=Match()),
        small_plan(match=Match(protocols=(0, 1, 58, 255))),
        small_plan(match=Match(local=("0.0.0.0/0", "::/0"))),
        small_plan(match=Match(ports=tuple((port, port + port % 3) for port in range(1, 300, 4)))),
        replace(small_plan(match=Match(source_ports=((1, 65535),))), does_nat=True),
    ],
)
def test_both_flavours_and_families_take_rich_bare_and_wide_plans(program: str, plan: Plan) -> None:
    plan.check()
    for shape in SHAPES:
        assert iptables_refuse(program, show(plan, shape)) == ""


def test_chain_names_fit_whatever_the_table_is_called() -> None:
    for table in ("ipsecmon", "ipsecmon_live", "a_very_long_name_of_a_table_01"):
        for name in chains(replace(rich_plan(), table=table), 4, Shape()):
            assert len(name) <= MAX_CHAIN


def test_two_agents_never_share_the_beginning_of_a_name() -> None:
    first, second = (prefix(replace(small_plan(), table=table)) for table in ("ipsecmon", "ipsecmon_live"))
    assert not first.startswith(second) and not second.startswith(first)


def test_each_tap_meets_one_rule_with_nflog_in_each_family() -> None:
    plan = rich_plan()
    for family, snap in ((4, "28"), (6, "48")):
        made = chains(plan, family, Shape())
        for tap in plan.taps():
            copies = [rule for rule in made[f"ipsecmon-a-{digest_of(tap)}"] if "-j NFLOG" in rule]
            assert copies[-1].endswith(f"--nflog-size {snap}")
            assert [rule.partition(" -j")[0] for rule in copies[:-1]] in ([], ["-p 17"])
            assert all(f"--nflog-group {tap.group} " in rule for rule in copies)


def test_nfacct_is_the_last_match_of_every_rule_that_copies() -> None:
    plan = rich_plan()
    for family in (4, 6):
        for rules in chains(plan, family, Shape(nfacct=True)).values():
            for rule in (rule for rule in rules if "NFLOG" in rule):
                before, _, after = rule.partition("-m nfacct --nfacct-name ipsecmon-")
                assert " -m " not in f" {before}" and after[10:].startswith(" -j NFLOG")


def test_the_marker_tells_plans_families_and_shapes_apart() -> None:
    plan = rich_plan()
    made = [chains(plan, family, shape) for family in (4, 6) for shape in (Shape(), Shape(nfacct=True))]
    made += [chains(rich_plan(does_nat=True), 4, Shape()), chains(plan, 4, Shape(), "b")]
    assert len({marker(one) for one in made}) == len(made)


def test_the_lans_view_of_an_arriving_packets_destination_is_conntracks_where_there_is_nat() -> None:
    lan = Match(protocols=(17,), local=("10.0.0.0/8",), destination_ports=((53, 53),))
    assert dispatch(small_plan(match=lan), Direction.IN, "web") == [
        "-p 17 -d 10.0.0.0/8 -m multiport --dports 53"
    ]
    behind_nat = replace(small_plan(match=lan), does_nat=True)
    assert dispatch(behind_nat, Direction.IN, "web") == [
        "-p 17 -m conntrack --ctdir ORIGINAL --ctreplsrc 10.0.0.0/8 --ctreplsrcport 53",
        "-p 17 -m conntrack --ctdir REPLY --ctorigsrc 10.0.0.0/8 --ctorigsrcport 53",
        "-p 17 -m conntrack --ctstate INVALID,UNTRACKED -d 10.0.0.0/8 -m multiport --dports 53",
    ]
    assert dispatch(behind_nat, Direction.OUT, "web") == ["-p 17 -s 10.0.0.0/8 -m multiport --dports 53"]


def test_a_far_end_is_never_asked_of_conntrack() -> None:
    behind_nat = replace(small_plan(match=Match(remote=("192.0.2.0/24",))), does_nat=True)
    assert dispatch(behind_nat, Direction.OUT, "web") == ["-d 192.0.2.0/24"]
    assert dispatch(behind_nat, Direction.IN, "web") == ["-s 192.0.2.0/24"]


def test_ports_that_one_rule_cannot_hold_go_into_several() -> None:
    wide = small_plan(
        match=Match(protocols=(6,), destination_ports=tuple((p, p + 1) for p in range(10, 50, 5)))
    )
    found = dispatch(wide, Direction.IN, "web")
    assert found == [
        "-p 6 -m multiport --dports 10:11,15:16,20:21,25:26,30:31,35:36,40:41",
        "-p 6 -m multiport --dports 45:46",
    ]


def test_a_match_of_one_family_has_no_rule_in_the_other() -> None:
    assert dispatch(small_plan(match=Match(local=("10.0.0.0/8",))), Direction.IN, "web", family=6) == []


def test_protocol_0_is_not_every_protocol() -> None:
    none = small_plan(match=Match(protocols=(0,)))
    assert all("-m bpf" in rule for rule in dispatch(none, Direction.IN, "web"))
    assert dispatch(none, Direction.IN, "web", family=6) == []


def inner_rules(plan: Plan, shape: Shape = Shape()) -> list[str]:  # noqa: B008  # an immutable value
    return chains(plan, 4, shape)[f"{prefix(plan)}a-inner_in"]


def test_a_tunnel_of_more_reqids_than_are_told_gets_no_rule_and_is_named() -> None:
    few, many = ((1, 15), (99, 99)), ((1, 15), (98, 99))
    for reqids, names in ((few, []), (many, ["lan"])):
        plan = replace(small_plan(), tunnels=(Tunnel(LAN, reqids=reqids), *small_plan().tunnels))
        assert without_rule(plan) == names
        assert len(inner_rules(plan)) == (1 if names else 17)


def test_what_would_need_thousands_of_rules_has_none() -> None:
    local, remote = (tuple(f"10.{end}.{number}.0/24" for number in range(0, 64, 2)) for end in (1, 2))
    for networks, names in ((remote, []), ((*remote, "10.9.0.0/24"), ["lan"])):
        tunnel = Tunnel(LAN, subnets=(Match(local=local, remote=networks),))
        plan = replace(small_plan(), tunnels=(tunnel, *small_plan().tunnels))
        assert without_rule(plan) == names
        assert len(inner_rules(plan)) < 3000


def test_a_kernel_without_ipsec_gets_no_policy_match() -> None:
    narrow = Tunnel(LAN, ("192.0.2.1",), subnets=(Match(local=("10.0.0.0/8",)),), reqids=((7, 7),))
    plan = replace(small_plan(), tunnels=(narrow, *small_plan().tunnels))
    assert len(inner_rules(plan)) == 3
    assert len(inner_rules(plan, Shape(xfrm=False))) == 1


def test_hooks_are_those_that_the_text_jumps_from() -> None:
    text = show(small_plan())
    assert {line.split()[1] for line in text.splitlines() if line.startswith("-I ")} == set(HOOKS)


def test_ah_over_ipv6_is_told_before_what_it_protects_where_the_kernel_can() -> None:
    with_ah, without = (chains(rich_plan(), 6, Shape(ah6=ah6)) for ah6 in (True, False))
    assert with_ah["ipsecmon-a-line_in"][0] == "-m ah -g ipsecmon-a-ah_in"
    assert [rule for rules in without.values() for rule in rules if "ah" in rule] == []
    assert set(with_ah) - set(without) == {"ipsecmon-a-ah_in", "ipsecmon-a-ah_out"}
