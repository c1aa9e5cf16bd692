"""Reloads of a firewall that take our rules: noticed within an interval, put back, and the gap is stated.

What passed in the gap is in no part, and nobody knows it any more; so each place where a user looks says that
there was one, and by how much the parts are short at most.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.agent import Agent
from tests.netns.backends import BACKENDS
from tests.netns.doctor import Doctor
from tests.netns.exchange import LINK_HEADER, TRAFFIC, exchange_udp
from tests.netns.firewalld import firewalld
from tests.netns.topology import FAR, Topology

INTERVAL_S = 1.0
LATE_S = 2.0  # what this machine may take for the helper's commands, when others use it too
FOREIGN_TABLES = """*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i lan0 -p tcp -m tcp --dport 9 -j ACCEPT
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
COMMIT
"""
NFTABLES_CONF = """#!/usr/sbin/nft -f
flush ruleset
table inet filter {
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "lo" accept
  }
}
"""


def restore(topology: Topology, flavour: str) -> None:
    for program in ("iptables", "ip6tables"):
        topology.run("router", f"{program}-{flavour}-restore", text=FOREIGN_TABLES)


def load(topology: Topology, text: str) -> None:
    topology.run("router", "nft", "-f", "-", text=text)


RELOADS = {
    "nft-flush-ruleset": ("nft", lambda topology: load(topology, "flush ruleset\n")),
    "restart-nftables": ("nft", lambda topology: load(topology, NFTABLES_CONF)),
    "iptables-nft-restore": ("iptables-nft", lambda topology: restore(topology, "nft")),
    "iptables-nft-restore-no-nfacct": ("iptables-nft-no-nfacct", lambda topology: restore(topology, "nft")),
    "iptables-legacy-restore": ("iptables-legacy", lambda topology: restore(topology, "legacy")),
    "iptables-legacy-restore-no-nfacct": (
        "iptables-legacy-no-nfacct",
        lambda topology: restore(topology, "legacy"),
    ),
}


@pytest.fixture
def agent(topology: Topology, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, BACKENDS[request.param])
    made.start()
    yield made
    made.end()


def send(topology: Topology, packets: int) -> None:
    exchange_udp(topology, "lan", "inet", FAR, packets=packets, sizes=(100, 1200))


def start_sending(topology: Topology, seconds: float) -> subprocess.Popen[str]:
    """All the time, with nobody at the far end's port."""
    amount = ("--packets", str(int(500 * seconds)), "--rate", "500", "--sizes", "100,1200")
    return topology.start("lan", *TRAFFIC, "send", FAR, "7000", *amount)


def wait_for_repair(agent: Agent, times: int = 1) -> None:
    deadline = time.monotonic() + INTERVAL_S + LATE_S
    while agent.log().count("rules did not stand all the time") < times:
        assert time.monotonic() < deadline, agent.log()
        time.sleep(0.02)


def missed(line: dict[str, Any], way: str) -> int:
    """Octets of packets that the interface counted and no part did."""
    told = line[way]
    parts = sum(part["octets"] for part in told["parts"])
    octets: int = told["nic_octets"] - LINK_HEADER * told["nic_frames"] - parts
    return octets


def line_of(agent: Agent) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(agent.call("line", "--json", "--now"))
    return found


@pytest.mark.parametrize(("agent", "reload"), list(RELOADS.values()), ids=list(RELOADS), indirect=["agent"])
def test_a_reload_that_takes_our_rules_is_repaired_within_an_interval_and_its_gap_is_stated(
    topology: Topology, agent: Agent, reload: Any
) -> None:
    send(topology, 200)
    assert line_of(agent)["out"]["agreement"] == "agree"
    sender = start_sending(topology, seconds=2 * INTERVAL_S)
    time.sleep(INTERVAL_S / 2)
    reload(topology)
    wait_for_repair(agent)
    sender.communicate()

    line = line_of(agent)
    most = line["out"]["bounds"]["rules-gone"]["most"]
    assert 0 < missed(line, "out") <= most - LINK_HEADER * line["out"]["term_packets"]["rules-gone"]
    assert line["out"]["agreement"] == "explained"
    assert any("our rules did not stand all the time" in reason for reason in line["out"]["reasons"])
    report = agent.report()
    assert "our rules did not stand all the time" in report["note"]
    assert {one["direction"]: one["octets"] for one in report["rules_gone"]}["out"] == most
    counts = json.loads(agent.call("status", "--json"))["counts"]
    assert (counts["rules.repaired"], counts["rules.gaps"]) == (1, 1)
    assert counts["rules.gap-ms"] <= 1000 * (INTERVAL_S + LATE_S)
    found = Doctor(topology, agent).ask()[1]
    assert found["rules-reloaded"]["severity"] == "risk" and "once" in found["rules-reloaded"]["what"]
    assert "rules-missing" not in found


@pytest.mark.parametrize("agent", ["nft"], indirect=True)
def test_a_dump_of_our_rules_that_somebody_loads_again_is_a_gap_too(topology: Topology, agent: Agent) -> None:
    send(topology, 200)
    agent.report()
    dumped = topology.run("router", "nft", "list", "ruleset")
    send(topology, 300)
    load(topology, f"flush ruleset\n{dumped}")
    wait_for_repair(agent)

    line = line_of(agent)
    assert missed(line, "out") <= line["out"]["bounds"]["rules-gone"]["most"]
    assert line["out"]["agreement"] in ("explained", "agree")
    assert json.loads(agent.call("status", "--json"))["counts"].get("rules.repaired") is None


@pytest.mark.parametrize("agent", ["nft"], indirect=True)
def test_a_foreign_full_table_of_iptables_leaves_our_nft_table_alone(
    topology: Topology, agent: Agent
) -> None:
    send(topology, 200)
    restore(topology, "nft")
    restore(topology, "legacy")
    send(topology, 300)

    line = line_of(agent)
    assert (line["out"]["agreement"], missed(line, "out")) == ("agree", 0)
    assert "rules did not stand" not in agent.log()


@pytest.mark.parametrize("agent", ["iptables-nft", "iptables-legacy"], indirect=True)
def test_a_foreign_accept_put_before_our_jump_is_a_gap_that_ends_with_ours_first(
    topology: Topology, agent: Agent
) -> None:
    program = f"iptables-{agent.settings['backend'].partition('-')[2]}"
    accept = ("-I", "POSTROUTING", "1", "-p", "udp", "-j", "ACCEPT")
    send(topology, 200)
    topology.run("router", program, "-t", "mangle", *accept)
    send(topology, 300)
    wait_for_repair(agent)
    send(topology, 400)

    line = line_of(agent)
    assert 0 <= missed(line, "out") <= line["out"]["bounds"]["rules-gone"]["most"]
    first = topology.run("router", program, "-t", "mangle", "-S", "POSTROUTING").splitlines()[1]
    assert " -j ipsecmon-" in first


@pytest.mark.parametrize("agent", ["iptables-nft-no-nfacct"], indirect=True)
def test_a_reload_of_firewalld_that_flushes_iptables_is_repaired(
    topology: Topology, agent: Agent, tmp_path: Path
) -> None:
    with firewalld(topology, "router", tmp_path, "iptables") as firewall:
        gaps = agent.log().count("rules did not stand all the time")
        assert firewall("--complete-reload") == "success\n"
        agent.report()

        chains = topology.run("router", "iptables-nft", "-t", "mangle", "-S", "POSTROUTING").splitlines()
        assert " -j ipsecmon-" in chains[1]
        told = agent.log().count("rules did not stand all the time")
        status = json.loads(agent.call("status", "--json"))
        assert status["rules_stand"] and status["counts"].get("rules.gaps", 0) == told >= gaps
