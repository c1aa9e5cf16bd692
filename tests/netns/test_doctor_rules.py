"""`ipsecmon doctor` of rules of others that come before ours or use our nfmarks, where they are real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipsecmon.agent.doctor_probe import NEEDED, lacking
from tests.netns.agent import Agent, in_namespace
from tests.netns.doctor import TUNNEL, Doctor
from tests.netns.topology import Topology

MANUAL = {
    "rules": "manual",
    "counters": [{"name": "voip", "nflog": [{"group": 10, "direction": "out", "observed_at": "wire"}]}],
}
LOG = "-o wan0 -p udp -m mark --mark 0x10000/0xff0000 -j NFLOG --nflog-group 10 --nflog-size 64"
NFT_LOG = "oifname wan0 udp dport 5060 counter log group 10 snaplen 64"


@pytest.fixture
def manual(topology: Topology, tmp_path: Path) -> Doctor:
    """With rules of the administrator's own, and no agent."""
    return Doctor(topology, Agent(topology, tmp_path, MANUAL))


def iptables(doctor: Doctor, flavour: str, *rules: str) -> None:
    for rule in rules:
        doctor.topology.run("router", f"iptables-{flavour}", "-t", "mangle", *rule.split())


def told(doctor: Doctor, kind: str) -> dict[str, Any]:
    return doctor.ask()[1][kind]


@pytest.mark.parametrize("flavour", ["nft", "legacy"])
def test_an_accept_before_a_rule_that_logs_is_found_with_manual_rules(manual: Doctor, flavour: str) -> None:
    iptables(manual, flavour, "-A POSTROUTING -o lo -j ACCEPT", f"-A POSTROUTING {LOG}")
    assert "rules-behind" not in manual.ask()[1]
    iptables(manual, flavour, "-I POSTROUTING 1 -p udp -m udp --dport 5060 -j ACCEPT")
    found = told(manual, "rules-behind")

    assert found["severity"] == "risk"
    assert "chain POSTROUTING" in found["what"] and "5060" in found["what"]


def test_an_accept_before_a_rule_of_nft_that_logs_is_found_and_one_of_another_chain_is_not(
    manual: Doctor,
) -> None:
    chain = "type filter hook postrouting priority 0; policy accept;"
    manual.nft(f"table ip own {{\nchain a {{\n{chain} accept\n}}\nchain b {{\n{chain} {NFT_LOG}\n}}\n}}\n")
    assert "rules-behind" not in manual.ask()[1]
    manual.nft("insert rule ip own b ct state established accept\n")

    assert "ct state established" in told(manual, "rules-behind")["what"]


@pytest.mark.parametrize("flavour", ["nft", "legacy"])
def test_an_accept_before_our_jump_is_found_while_no_agent_puts_it_first(
    topology: Topology, tmp_path: Path, flavour: str
) -> None:
    (tmp_path / "store").mkdir(mode=0o750)
    doctor = Doctor(topology, Agent(topology, tmp_path, {**TUNNEL, "backend": f"iptables-{flavour}"}))
    doctor.agent.call("rules", "install")
    iptables(doctor, flavour, "-A PREROUTING -j ACCEPT")
    assert "rules-behind" not in doctor.ask()[1]
    iptables(doctor, flavour, "-I PREROUTING 1 -i wan0 -j ACCEPT")

    assert "ipsecmon-" in told(doctor, "rules-behind")["what"]
    doctor.agent.call("rules", "remove")


def test_an_ip_rule_that_comes_to_read_our_bits_is_a_risk_and_the_rules_are_whole(doctor: Doctor) -> None:
    assert doctor.kinds() == {}
    doctor.topology.ip("router", "rule add fwmark 0x10000/0xff0000 lookup 100\n")
    found = doctor.ask()[1]

    assert set(found) == {"nfmark-shared"} and "fwmark 0x10000" in found["nfmark-shared"]["what"]


@pytest.mark.parametrize(
    "rule",
    [
        "-A PREROUTING -j MARK --set-mark 5",
        "-A PREROUTING -j CONNMARK --restore-mark",
        "-A PREROUTING -j MARK --set-xmark 0x5/0xff",  # its own bits
        "-A PREROUTING -j MARK --set-mark 0x10000",  # by which ours matches
    ],
)
@pytest.mark.parametrize("flavour", ["nft", "legacy"])
def test_a_rule_that_sets_every_bit_of_the_nfmark_is_found_with_manual_rules(
    manual: Doctor, flavour: str, rule: str
) -> None:
    iptables(manual, flavour, f"-A POSTROUTING {LOG}", rule)

    overwrites = not rule.endswith(("0xff", "0x10000"))
    assert ("nfmark-shared" in manual.ask()[1]) is overwrites


def test_a_statement_that_this_kernel_refuses_is_told_and_nothing_is_installed(topology: Topology) -> None:
    """Of a helper that nobody has declared: nft(8) takes the words, the kernel does not."""
    with in_namespace(topology.name("router")):
        assert lacking() == []
        found = lacking({**NEEDED, "ct helper": ("prerouting", 'ct helper set "none"')})

    assert found == ["ct helper"]
    assert topology.run("router", "nft", "list", "ruleset") == ""
