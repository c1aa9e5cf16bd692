"""What filters at the ingress take, by what tc(8) prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecmon.agent.doctor_facts import IngressFilter
from ipsecmon.agent.doctor_ingress import read_filters

REDIRECT = "\taction order 1: mirred (Egress Redirect to device ifb9) stolen\n \tindex 1 ref 1 bind 1\n\n"
U32 = "filter parent ffff: protocol {} pref 2 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 \n"
TABLE = "filter parent ffff: protocol ip pref 2 u32 chain 0 \n"
TABLE += "filter parent ffff: protocol ip pref 2 u32 chain 0 fh 800: ht divisor 1 \n"


# iproute2 6.1.0, Linux 6.1: tc filter show dev w0 ingress
RECORDED = (Path(__file__).with_name("doctor_recorded") / "ingress.txt").read_text()


def test_what_tc_prints_is_read_filter_by_filter_in_their_order() -> None:
    assert read_filters(RECORDED) == [
        IngressFilter("u32", takes_others=False, takes_all=True),  # ESP passes
        IngressFilter("u32", takes_all=True, shaper="policer 0x1"),
        IngressFilter("flower", takes_others=False, shaper="ifb9"),  # UDP 4500
        IngressFilter("flower", takes_others=False, takes_all=True, shaper="policer 0x2"),
        IngressFilter("matchall", takes_all=True, shaper="policer 0x3"),
        IngressFilter("matchall", takes_all=True, ends=False),  # mirrored, and goes on
        IngressFilter("basic", is_opaque=True),
    ]


def one(text: str) -> IngressFilter:
    (found,) = read_filters(text)
    return found


def taken(text: str) -> tuple[bool, bool, bool]:
    found = one(text)
    return found.takes_esp, found.takes_others, found.takes_all


@pytest.mark.parametrize(
    ("protocol", "matches", "expected"),
    [
        ("all", ["00000000/00000000 at 0"], (True, True, True)),
        ("ip", ["00320000/00ff0000 at 8"], (True, False, True)),
        ("ipv6", ["00003200/0000ff00 at 4"], (True, False, True)),
        ("ip", ["00060000/00ff0000 at 8"], (False, True, False)),
        ("ip", ["00110000/00ff0000 at 8", "00001194/0000ffff at 20"], (True, False, False)),
        ("ip", ["00110000/00ff0000 at 8", "00001194/0000ffff at nexthdr+0"], (True, False, False)),
        ("ip", ["00110000/00ff0000 at 8", "000013c4/0000ffff at 20"], (False, True, False)),
        ("ip", ["c6336407/ffffffff at 12"], (True, True, False)),
        ("ip", ["c6336407/ffffffff at 12", "00320000/00ff0000 at 8"], (True, False, False)),
        ("arp", ["00000000/00000000 at 0"], (False, False, False)),
    ],
)
def test_a_u32_filter_takes_what_it_matches(
    protocol: str, matches: list[str], expected: tuple[bool, bool, bool]
) -> None:
    text = U32.format(protocol) + "".join(f"  match {match}\n" for match in matches) + REDIRECT

    assert taken(TABLE + text) == expected
    assert (one(text).shaper, one(text).ends) == ("ifb9", True)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], (True, True, True)),
        (["eth_type ipv4", "ip_proto 32"], (True, False, True)),  # in hexadecimal
        (["eth_type ipv4", "ip_proto udp", "dst_port 4500"], (True, False, False)),
        (["eth_type ipv4", "ip_proto tcp"], (False, True, False)),
        (["eth_type ipv4", "src_ip 198.51.100.7"], (True, True, False)),
    ],
)
def test_a_flower_filter_takes_what_its_keys_say(keys: list[str], expected: tuple[bool, bool, bool]) -> None:
    head = "filter protocol ip pref 3 flower chain 0 handle 0x1 \n"

    assert taken(head + "".join(f"  {key}\n" for key in keys) + "  not_in_hw\n" + REDIRECT) == expected


@pytest.mark.parametrize(
    ("action", "shaper", "ends"),
    [
        ("\taction order 1: mirred (Egress Mirror to device ifb9) pipe\n", "", False),
        ("\taction order 1:  police 0x1 rate 1Mbit burst 10Kb mtu 2Kb action drop\n", "policer 0x1", True),
        (" police 0x2 rate 1Mbit burst 10Kb mtu 2Kb action drop overhead 0b \n", "policer 0x2", True),
        ("\taction order 1: gact action pass\n\t random type none pass val 0\n", "", True),
        ("\taction order 1: gact action continue\n", "", False),
        ("", "", True),  # classified, and done
    ],
)
def test_what_a_filter_does_is_read(action: str, shaper: str, ends: bool) -> None:
    head = "filter parent ffff: protocol all pref 49152 matchall chain 0 \n"
    found = one(f"{head}{head.rstrip()} handle 0x1 \n  not_in_hw\n{action}")

    assert (found.shaper, found.ends) == (shaper, ends)


@pytest.mark.parametrize(
    "head",
    [
        "filter parent ffff: protocol ip pref 5 bpf chain 0 handle 0x1 prog.o:[x] direct-action \n",
        "filter parent ffff: protocol ip pref 5 fw chain 0 handle 0x1 classid :1 \n",
        "filter parent ffff: protocol 802.1Q pref 5 matchall chain 0 handle 0x1 \n",
        "filter parent ffff: protocol all pref 5 matchall chain 7 handle 0x1 \n",
    ],
)
def test_what_cannot_be_told_is_opaque(head: str) -> None:
    assert one(head + REDIRECT).is_opaque
