"""What other people's rules say of NAT and of nfmark bits: listings that the programs themselves print."""

from __future__ import annotations

import pytest

from ipsecmon.ruleset.foreign import does_nat, nfmark_overlaps, without_chains, without_tables

from .listings import in_namespace

MASK = 0x00FF0000


def nft(*rules: str) -> str:
    """What nft lists of rules in somebody's chain."""
    lines = "\n".join(f"add rule inet fw a {rule}" for rule in rules)
    return in_namespace(
        f"""nft -f - <<'END'
add table inet fw
add chain inet fw a {{ type filter hook prerouting priority 0; }}
{lines}
END
nft -s list ruleset"""
    )


def iptables(rule: str) -> str:
    return in_namespace(f"iptables -t mangle -A PREROUTING {rule}; iptables-save -t mangle")


def uses(origin: str, text: str) -> list[str]:
    return nfmark_overlaps({origin: text}, MASK)


def test_our_own_tables_are_taken_out_of_a_listing() -> None:
    listing = in_namespace(
        """for table in ipsecmon ipsecmon_live ipsecmonitor; do
nft add table inet $table
nft add chain inet $table a '{ type filter hook prerouting priority 0; }'
nft add rule inet $table a meta mark set 0x10000
done
nft add table ip ipsecmon
nft -s list ruleset"""
    )
    rest = without_tables(listing, ("ipsecmon", "ipsecmon_live"))
    assert [line for line in rest.splitlines() if line.startswith("table")] == [
        "table inet ipsecmonitor {",
        "table ip ipsecmon {",
    ]
    assert len(uses("nft", rest)) == 1


def test_no_table_is_taken_out_where_none_is_ours() -> None:
    listing = nft("accept")
    assert without_tables(listing, ("ipsecmon",)) == listing
    assert without_tables("", ("ipsecmon",)) == ""


def test_nat_is_seen_in_nfts_own_chains() -> None:
    listing = in_namespace(
        "nft add table ip t; nft add chain ip t c '{ type nat hook postrouting priority 100; }';"
        "nft -s list ruleset"
    )
    assert does_nat(listing, "")


def test_nat_is_seen_in_iptables() -> None:
    listing = in_namespace("iptables -t nat -A POSTROUTING -j MASQUERADE; iptables-save")
    assert does_nat("", listing)


def test_a_router_that_only_filters_does_no_nat() -> None:
    assert not does_nat(nft("accept"), iptables("-j ACCEPT"))


@pytest.mark.parametrize(
    "rule",
    [
        "meta mark and 0xff == 0x1 accept",
        "meta mark and 0xff00 != 0 meta mark and 0xff000000 == 0 accept",
        "tcp dport 80 accept",
        'log prefix "bookmarks"',
    ],
)
def test_nft_rules_that_look_at_other_bits_are_no_overlap(rule: str) -> None:
    assert uses("nft", nft(rule)) == []


@pytest.mark.parametrize(
    "rule",
    [
        "meta mark 0x5 accept",
        "meta mark 1-5 accept",
        "meta mark { 0x1, 0x2 } accept",
        "meta mark vmap { 0x1 : accept }",
        "meta mark set 0x5",
        "meta mark set meta mark or 0x1",
        "meta mark set ct mark",
        "ct mark set meta mark",
        "meta mark and 0x10000 == 0 accept",
        "meta mark and 0xff == 0x1 meta mark and 0x10000 != 0 accept",
        "meta mark and 0xff == 0x1 meta mark { 0x1, 0x2 } accept",
    ],
)
def test_nft_rules_that_look_at_our_bits_or_at_all_are_an_overlap(rule: str) -> None:
    assert len(uses("nft", nft(rule))) == 1


def test_a_named_set_of_marks_is_an_overlap() -> None:
    script = "nft add table inet fw; nft add set inet fw marks '{ type mark; }'; nft -s list ruleset"
    assert len(uses("nft", in_namespace(script))) == 1


def test_what_stands_many_times_is_said_once() -> None:
    assert len(uses("nft", nft("meta mark 5", "meta mark 5", "meta mark 6"))) == 2


def test_iptables_rules_that_look_at_other_bits_are_no_overlap() -> None:
    assert uses("iptables", iptables("-m mark --mark 0x1/0xff -m connmark ! --mark 0x2/0xff00")) == []


@pytest.mark.parametrize(
    "rule",
    [
        "-m mark --mark 0x1",
        "-m mark ! --mark 0x10000/0xff0000",
        "-m mark --mark 0x1/0xff -m mark ! --mark 0x10000/0x10000",
        "-j MARK --set-mark 0x1",
        "-j CONNMARK --save-mark",
        "-j CONNMARK --restore-mark",
    ],
)
def test_iptables_rules_that_look_at_our_bits_or_write_are_an_overlap(rule: str) -> None:
    listing = iptables(rule)
    assert len(uses("iptables", listing)) == 1
    assert rule.split()[0] in uses("iptables", listing)[0]


@pytest.mark.parametrize(("fwmark", "overlaps"), [("0x1/0xff", 0), ("0x1", 1), ("0x10000/0x30000", 1)])
@pytest.mark.parametrize("family", ["-4", "-6"])
def test_routing_rules_overlap_by_their_mask(family: str, fwmark: str, overlaps: int) -> None:
    listing = in_namespace(f"ip {family} rule add fwmark {fwmark} lookup 100; ip {family} rule")
    assert len(uses("ip rule", listing)) == overlaps


@pytest.mark.parametrize(("mask", "overlaps"), [("0xff", 0), ("0xffffffff", 1), ("0x10000", 1)])
def test_xfrm_policies_overlap_by_their_mask(mask: str, overlaps: int) -> None:
    listing = in_namespace(
        f"""ip xfrm policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir out mark 0x2a mask {mask} \
            tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel
        ip xfrm policy"""
    )
    assert len(uses("ip xfrm", listing)) == overlaps


def test_a_policy_without_a_mark_is_no_overlap() -> None:
    listing = in_namespace("ip xfrm policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir out; ip xfrm policy")
    assert "dir out" in listing
    assert uses("ip xfrm", listing) == []


# ip -s xfrm state list nokeys, iproute2 6.1; not every kernel that runs these tests can have an SA
STATE = """src 192.0.2.1 dst 192.0.2.2
\tproto esp spi 0x00000001 reqid 0 mode tunnel
\treplay-window 0
\tmark {mark}
\toutput-mark {output_mark}
\tanti-replay context: seq 0x0, oseq 0x0, bitmap 0x00000000
"""


def test_an_sas_marks_overlap_each_by_its_mask() -> None:
    assert uses("ip xfrm", STATE.format(mark="0x1/0xff", output_mark="0x2/0xff00")) == []
    assert len(uses("ip xfrm", STATE.format(mark="0x1/0xffffffff", output_mark="0x2/0xff00"))) == 1
    assert len(uses("ip xfrm", STATE.format(mark="0x1/0xff", output_mark="0x2"))) == 1


# tc filter show dev eth1, iproute2 6.1; not every kernel that runs these tests has the fw classifier
@pytest.mark.parametrize(
    ("line", "overlaps"),
    [
        ("filter parent 1: protocol ip pref 1 fw chain 0", 0),
        ("filter parent 1: protocol ip pref 1 fw chain 0 handle 0x1/0xff classid 1:1", 0),
        ("filter parent 1: protocol ip pref 1 fw chain 0 handle 0x1 classid 1:1", 1),
        ("filter parent 1: protocol ip pref 1 fw chain 0 handle 0x1/0x10000 classid 1:1", 1),
        ("filter parent 1: protocol ip pref 9 u32 chain 0 fh 800::800 order 2048 key ht 800", 0),
        ("  mark 0x0001 0x00ff (success 0) ", 1),
        ("  meta(nf_mark eq 5)", 1),
        ("\taction order 1: connmark zone 0 pipe", 1),
        ("\taction order 1: skbedit  mark 5 pipe", 1),
    ],
)
def test_tc_filters_overlap_by_their_mask_and_anything_unknown_does(line: str, overlaps: int) -> None:
    assert len(uses("tc", line)) == overlaps


def test_a_finding_names_the_program_the_bits_and_the_line() -> None:
    assert uses("ip rule", "32765:\tfrom all fwmark 0x20000/0x30000 lookup 100\n") == [
        "ip rule uses nfmark bits 0x00030000 of our mask: 32765:\tfrom all fwmark 0x20000/0x30000 lookup 100"
    ]


def test_nothing_listed_is_nothing_found() -> None:
    assert nfmark_overlaps({}, MASK) == nfmark_overlaps({"nft": "", "tc": ""}, MASK) == []


def test_our_chains_in_iptables_and_jumps_to_them_are_not_foreign() -> None:
    nft = (
        "table ip mangle {\n\tchain ipsecmon-a-be6fc5f09d {\n\t\tmeta mark set 0x1\n\t}\n\n"
        "\tchain POSTROUTING {\n\t\tjump ipsecmon-a-leaving\n\t\tmeta mark 0x5 accept\n\t}\n}\n"
    )
    kept = "table ip mangle {\n\n\tchain POSTROUTING {\n\t\tmeta mark 0x5 accept\n\t}\n}\n"
    assert without_chains(nft, ("ipsecmon-",)) == kept
    saved = "-A PREROUTING -j ipsecmon-a-arriving\n-A ipsecmon-a-x -j MARK --set-xmark 0x1/0x1\n-A a -j b\n"
    assert without_chains(saved, ("ipsecmon-",)) == "-A a -j b\n"
