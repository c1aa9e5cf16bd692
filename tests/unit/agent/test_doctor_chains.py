"""Rules of others before ours, and over our nfmarks: as text, in the words of nft and of iptables-save."""

from __future__ import annotations

import time

import pytest

from ipsecmon.agent.doctor_chains import hidden_behind, logs_to, overwritten
from ipsecmon.agent.doctor_facts import Chain

GROUPS = (10, 12)
LOG = "-i wan0 -p udp -j NFLOG --nflog-group 10"


def is_ours(rule: str) -> bool:
    return logs_to(rule) in GROUPS


def hidden(*rules: str, more: tuple[Chain, ...] = ()) -> list[str]:
    """The rule that hides ours, in a base chain of these rules."""
    chains = [Chain("ip mangle", "PREROUTING", True, rules), *more]
    return [one.rule for one in hidden_behind(chains, is_ours)]


@pytest.mark.parametrize(
    "rule",
    [
        "-j ACCEPT",
        "-i wan0 -j ACCEPT",
        "-p udp -m udp --dport 5060 -j ACCEPT",
        "-j RETURN",
        "-j NFQUEUE --queue-num 0",
        "counter accept",
        "ct state established,related accept",
        "udp dport 5060 counter return",
        "meta l4proto udp queue to 0",
    ],
)
def test_a_rule_that_ends_the_chain_before_ours_hides_them(rule: str) -> None:
    assert hidden(rule, LOG) == [rule]
    assert hidden(LOG, rule) == []


@pytest.mark.parametrize(
    "rule",
    [
        "-i wan0 -j DROP",
        "drop",
        "-j NOTRACK",
        "counter",
        "-i lo -j ACCEPT",
        'iifname "lo" accept',
        "-i lan0 -j ACCEPT",
        "-p tcp -m tcp --dport 22 -j ACCEPT",
        "tcp dport 22 accept",
        "ip protocol icmp accept",
    ],
)
def test_what_is_dropped_or_cannot_be_ours_hides_nothing(rule: str) -> None:
    assert hidden(rule, LOG) == []


def test_an_accept_of_what_our_rule_right_before_it_has_logged_is_how_it_is_meant() -> None:
    web, rest = "-p tcp -m tcp --dport 80 -j NFLOG --nflog-group 12", "-j NFLOG --nflog-group 10"

    assert hidden(web, "-p tcp -m tcp --dport 80 -j ACCEPT", rest) == []
    assert hidden("tcp dport 80 counter log group 12 accept", "counter log group 10") == []
    assert hidden(web, "-p tcp -m tcp --dport 443 -j ACCEPT", rest) == ["-p tcp -m tcp --dport 443 -j ACCEPT"]


def test_chains_are_followed_and_a_return_in_them_ends_nothing() -> None:
    guests = Chain("ip mangle", "guests", False, ["-p udp -j RETURN", "-p udp -j ACCEPT"])

    assert hidden("-i wan0 -j guests", LOG, more=(guests,)) == ["-p udp -j ACCEPT"]
    assert hidden("-i lan0 -j guests", LOG, more=(guests,)) == []
    assert hidden("jump nowhere", LOG) == []


def test_our_rule_in_a_chain_of_others_is_hidden_too() -> None:
    mine = Chain("ip mangle", "mine", False, [LOG])

    assert hidden("-p udp -j ACCEPT", "-j mine", more=(mine,)) == ["-p udp -j ACCEPT"]


def test_other_chains_of_the_hook_and_other_tables_hide_nothing() -> None:
    others = (
        Chain("ip mangle", "OUTPUT", True, ["-j ACCEPT"]),
        Chain("inet filter", "PREROUTING", True, ["accept"]),
    )

    assert hidden(LOG, more=others) == []


def test_a_loop_of_jumps_ends() -> None:
    loop = Chain("ip mangle", "a", False, ["-j a", "-j a"])

    assert hidden("-j a", LOG, more=(loop,)) == []


@pytest.mark.parametrize(
    ("rule", "is_found"),
    [
        ("-j MARK --set-xmark 0x5/0xffffffff", True),
        ("-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff", True),
        ("meta mark set 0x00000005", True),
        ("meta mark set ct mark", True),
        ("-j MARK --set-xmark 0x10000/0xffffffff", False),  # the value by which our rule matches
        ("-j MARK --set-xmark 0x5/0xff", False),
        ("-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff", False),
        ("meta mark set meta mark & 0xffffff00 | 0x00000005", False),
        ("meta mark set ct mark & 0x000000ff", False),
        ("-m mark --mark 0x5 -j ACCEPT", False),
    ],
)
def test_a_rule_that_sets_every_bit_overwrites_the_mark_by_which_ours_match(
    rule: str, is_found: bool
) -> None:
    ours = "-m mark --mark 0x10000/0xff0000 -j NFLOG --nflog-group 10"
    chains = [Chain("ip mangle", "PREROUTING", True, [ours, rule])]

    assert [text for _, text in overwritten(chains, is_ours)] == ([rule] if is_found else [])
    assert list(overwritten([Chain("ip mangle", "PREROUTING", True, [LOG, rule])], is_ours)) == []


def test_a_firewall_of_thousands_of_rules_takes_no_time_to_speak_of() -> None:
    """Each accept has to be held against each rule of ours: 5,000 times 200."""
    accepts = [f"-i lan{number} -j ACCEPT" for number in range(5_000)]
    ours = ["-i wan0 -j NFLOG --nflog-group 10"] * 200
    began = time.process_time()

    assert hidden(*accepts, *ours) == []
    assert time.process_time() - began < 5
