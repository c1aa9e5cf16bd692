"""The rendered rules of one rich plan, line by line, and that nft(8) takes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipsecmon.model import Direction, ObservationPoint
from ipsecmon.ruleset.model import Match, Plan, Tap, Tunnel
from ipsecmon.ruleset.nft import plan_chain, render, render_removal

from .listings import in_namespace, nft_accepts
from .plans import rich_plan, small_plan, two_lines

GOLDEN = Path(__file__).parent / "golden"


def dispatch(plan: Plan, way: str, name: str) -> list[str]:
    """The conditions under which a packet of the line goes to a counter's chain."""
    body = render(plan).split(f"  chain line_{way} {{\n")[1].split("  }\n")[0]
    goals = [line.strip().rpartition("goto ") for line in body.splitlines()]
    return [condition.strip() for condition, _, goal in goals if f"_{name}_" in goal]


@pytest.mark.parametrize(("name", "does_nat"), [("router", False), ("nat-router", True)])
def test_a_rich_plan_is_rendered_as_it_was_read_and_approved(name: str, does_nat: bool) -> None:
    assert render(rich_plan(does_nat)) == (GOLDEN / f"{name}.nft").read_text()


def test_two_lines_are_rendered_as_they_were_read_and_approved() -> None:
    assert render(two_lines()) == (GOLDEN / "two-lines.nft").read_text()


@pytest.mark.parametrize("does_nat", [False, True])
def test_nft_takes_the_rich_plan(does_nat: bool) -> None:
    assert nft_accepts(render(rich_plan(does_nat))) == ""


@pytest.mark.parametrize(
    "plan",
    [
        replace(rich_plan(), interfaces=()),
        two_lines(),
        rich_plan().without_nfmarks(),
        replace(rich_plan(), parts=()),
        replace(rich_plan(), tunnels=()),
        small_plan(match=Match()),
        small_plan(match=Match(protocols=(0, 1, 58, 255))),
        small_plan(match=Match(local=("0.0.0.0/0", "::/0"))),
        small_plan(match=Match(ports=((1, 65535),))),
        replace(small_plan(match=Match(source_ports=((1, 65535),))), does_nat=True),
    ],
)
def test_nft_takes_bare_and_wide_plans(plan: Plan) -> None:
    plan.check()
    assert nft_accepts(render(plan)) == ""


def test_installed_twice_and_removed_twice_it_leaves_nothing() -> None:
    install, remove = render(rich_plan()), render_removal(rich_plan())
    steps = "\n".join(f"nft -f - <<'END'\n{text}END" for text in (install, install, remove, remove))
    assert in_namespace(f"{steps}\nnft list ruleset") == ""


def test_a_plan_without_interfaces_counts_no_line() -> None:
    assert "jump line_" not in render(replace(rich_plan(), interfaces=()))


def test_the_name_of_the_plans_chain_tells_plans_apart() -> None:
    plan = rich_plan()
    assert plan_chain(plan) == plan_chain(rich_plan()) != plan_chain(replace(plan, does_nat=True))


def test_the_lans_view_of_a_leaving_packets_source_is_conntracks_where_there_is_nat() -> None:
    lan = Match(local=("10.0.0.0/8",))
    assert dispatch(small_plan(match=lan), "out", "web") == ["ip saddr 10.0.0.0/8"]
    behind_nat = replace(small_plan(match=lan), does_nat=True)
    assert dispatch(behind_nat, "in", "web") == ["ip daddr 10.0.0.0/8"]
    assert dispatch(behind_nat, "out", "web") == [
        "ct direction original ct original ip saddr 10.0.0.0/8",
        "ct direction reply ct reply ip saddr 10.0.0.0/8",
        "ct state { invalid, untracked } ip saddr 10.0.0.0/8",
    ]


def test_the_wires_view_of_an_arriving_packets_destination_is_conntracks_where_there_is_nat() -> None:
    wire = Match(protocols=(6,), local=("203.0.113.1/32",), destination_ports=((80, 80),), lan_view=False)
    behind_nat = replace(small_plan(match=wire), does_nat=True)
    assert dispatch(behind_nat, "in", "web") == [
        "meta l4proto 6 ct direction original ct original ip daddr 203.0.113.1/32 ct original proto-dst 80",
        "meta l4proto 6 ct direction reply ct reply ip daddr 203.0.113.1/32 ct reply proto-dst 80",
        "meta l4proto 6 ct state { invalid, untracked } ip daddr 203.0.113.1/32 th dport 80",
    ]
    assert dispatch(behind_nat, "out", "web") == ["meta l4proto 6 ip saddr 203.0.113.1/32 th dport 80"]


def test_a_far_end_is_never_asked_of_conntrack() -> None:
    behind_nat = replace(small_plan(match=Match(remote=("192.0.2.0/24",))), does_nat=True)
    assert dispatch(behind_nat, "out", "web") == ["ip daddr 192.0.2.0/24"]
    assert dispatch(behind_nat, "in", "web") == ["ip saddr 192.0.2.0/24"]


def test_a_match_that_nothing_can_meet_gets_no_rule() -> None:
    assert dispatch(small_plan(match=Match(local=("10.0.0.0/8",), remote=("::/0",))), "in", "web") == []


def test_a_packet_in_tunnel_mode_finds_its_tunnel_before_anybodys_own_address_is_compared() -> None:
    """Else what a peer itself sent through another tunnel would be taken for transport mode."""
    taps = [Tap(name, Direction.IN, ObservationPoint.INNER, number) for number, name in enumerate("abc", 1)]
    by_peer, by_reqid = Tunnel(taps[0], ("192.0.2.1",)), Tunnel(taps[1], reqids=((7, 9),))
    plan = replace(small_plan(), tunnels=(by_peer, by_reqid, Tunnel(taps[2])))
    body = render(plan).split("  chain inner_in {\n")[1].split("  }\n")[0]
    assert [line.partition("goto in_inner_")[0].strip() for line in body.splitlines()] == [
        "ipsec in ip saddr 192.0.2.1",
        "ipsec in ip saddr 0.0.0.0/0 ipsec in reqid 7-9",
        "ipsec in ip6 saddr ::/0 ipsec in reqid 7-9",
        "ip saddr 192.0.2.1",
        "ipsec in reqid 7-9",
        "",
    ]


def test_nfmark_is_written_only_inside_the_mask() -> None:
    plan = rich_plan()
    wild = replace(plan, parts=tuple(replace(part, nfmark=0xFFFFFFFF) for part in plan.parts))
    written = {line.strip() for line in render(wild).splitlines() if "mark set" in line}
    assert "meta mark set meta mark and 0xff00ffff or 0x00ff0000" in written
    assert len(written) == 2  # the other is the tunnels' own
    assert "mark" not in render(plan.without_nfmarks())


def test_every_tap_is_counted_and_copied_in_both_families() -> None:
    plan = rich_plan()
    text = render(plan)
    for tap in plan.taps():
        chain = text.split(f"  chain {tap.object_name} {{\n")[1].split("  }\n")[0]
        assert f"counter name {tap.object_name}\n" in chain
        for family in ("ipv4", "ipv6"):
            assert f"meta nfproto {family} log group {tap.group} " in chain
    taps = {(tap.direction, tap.observed_at) for tap in plan.taps()}
    assert taps >= {(way, ObservationPoint.WIRE) for way in (Direction.IN, Direction.OUT)}
