"""`ipsecmon doctor` in a network namespace where the condition is real."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.agent import IPSECMON, Agent, in_namespace
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR, Topology

TUNNEL = {"counters": [{"name": "vpn", "ipsec": {"peer": FAR}}]}
FLOWTABLE = """table inet fast {
 flowtable ft { hook ingress priority filter; devices = { lan0, wan0 }; counter; }
 chain forward { type filter hook forward priority filter; ip protocol udp flow add @ft; }
}
"""
LOG_RULE = """table ip others {
 chain c { type filter hook output priority 0; udp dport 9 log group 5700 queue-threshold 1; }
}
"""
SHAPING = (
    "link add ifb9 type ifb",
    "link set ifb9 up",
)
OWNER = (
    "import socket, sys\n"
    "from ipsecmon.wire.nflog_config import NETLINK_NETFILTER, encode_bind\n"
    "one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)\n"
    "one.bind((0, 0))\n"
    "one.send(encode_bind(5800, 1))\n"
    "one.recv(4096)\n"
    "print('bound', flush=True)\n"
    "sys.stdin.read()\n"
)


class Doctor:
    """The running agent of a router, and what the doctor says of it."""

    def __init__(self, topology: Topology, agent: Agent) -> None:
        self.topology = topology
        self.agent = agent

    def ask(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """Exit status, and the worst finding of each kind that is more than a note."""
        name = self.topology.name("router")
        argv = ["ip", "netns", "exec", name, *IPSECMON, "doctor", "--json", "-c", str(self.agent.config)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        told = json.loads(done.stdout)
        assert told["router"] == "lab", done.stderr
        findings = [one for one in told["findings"] if one["severity"] != "note" and one["kind"] != "clock"]
        return done.returncode, {one["kind"]: one for one in reversed(findings)}

    def kinds(self) -> dict[str, str]:
        """Kind and severity; the clock is this machine's and nobody's to set."""
        return {kind: one["severity"] for kind, one in self.ask()[1].items()}

    def nft(self, text: str) -> None:
        self.topology.run("router", "nft", "-f", "-", text=text)


@pytest.fixture
def doctor(topology: Topology, tmp_path: Path) -> Iterator[Doctor]:
    agent = Agent(topology, tmp_path, TUNNEL)
    try:
        agent.start()
        yield Doctor(topology, agent)
    finally:
        agent.end()


def test_a_silent_router_has_no_finding_of_its_own(doctor: Doctor) -> None:
    assert doctor.kinds() == {}


def test_a_flowtable_is_wrong_while_a_rule_adds_flows_to_it(doctor: Doctor) -> None:
    doctor.nft(FLOWTABLE)
    status, found = doctor.ask()
    assert status == 1 and found["flowtable"]["severity"] == "wrong"

    doctor.nft("flush chain inet fast forward\n")
    assert doctor.kinds() == {"flowtable": "risk"}

    doctor.nft("delete table inet fast\n")
    assert doctor.kinds() == {}


def test_a_rule_of_others_with_threshold_1_is_found(doctor: Doctor) -> None:
    doctor.nft(LOG_RULE)

    assert doctor.kinds() == {"log-threshold": "risk"}


def test_a_group_that_another_program_has_is_found_and_our_own_are_not(doctor: Doctor) -> None:
    assert "group-owner" not in doctor.kinds()
    owner = doctor.topology.start("router", IPSECMON[0], "-c", OWNER)
    assert owner.stdout is not None and owner.stdout.readline() == "bound\n"

    found = doctor.ask()[1]

    assert "group 5800" in found["group-owner"]["what"]


def test_shaping_at_the_ingress_is_found(doctor: Doctor) -> None:
    doctor.topology.ip("router", "".join(f"{line}\n" for line in SHAPING))
    for line in (
        "qdisc add dev wan0 handle ffff: ingress",
        "filter add dev wan0 parent ffff: protocol all u32 match u32 0 0"
        " action mirred egress redirect dev ifb9",
    ):
        doctor.topology.run("router", "tc", *line.split())

    found = doctor.ask()[1]

    assert found["ingress-shaping"]["severity"] == "risk" and "mirred" in found["ingress-shaping"]["what"]


def test_fragments_that_the_router_makes_are_found(doctor: Doctor) -> None:
    doctor.topology.sysctl("lan", net__ipv4__ip_no_pmtu_disc=1)  # its packets may be fragmented
    doctor.topology.ip("router", "link set wan0 mtu 600\n")
    exchange_udp(doctor.topology, "lan", "inet", FAR, packets=60, sizes=(1400,))

    found = doctor.ask()[1]

    assert found["fragmentation"]["severity"] == "risk"
    assert "180 fragments" in found["fragmentation"]["what"]


def test_missing_rules_are_wrong_until_they_are_put_back(topology: Topology, tmp_path: Path) -> None:
    agent = Agent(topology, tmp_path, {**TUNNEL, "interval": "60s"})
    try:
        agent.start()
        doctor = Doctor(topology, agent)
        doctor.nft("delete table inet ipsecmon\n")
        assert doctor.kinds() == {"rules-missing": "wrong"}
        assert "rules-missing" in agent.log()
    finally:
        agent.end()


def test_gro_of_the_line_is_read_as_it_is(topology: Topology) -> None:
    from ipsecmon.agent.doctor_links import read_gro

    for state in ("on", "off"):
        topology.run("router", "ethtool", "-K", "wan0", "gro", state)
        with in_namespace(topology.name("router")):
            assert read_gro(["wan0"]) == {"wan0": state == "on"}


def test_what_is_below_a_vlan_of_a_bond_is_seen(topology: Topology) -> None:
    from ipsecmon.agent.doctor_links import read_lower

    topology.ip("router", "link add link wan0 name wan0.7 type vlan id 7\n")
    with in_namespace(topology.name("router")):
        assert read_lower(["wan0.7", "wan0"]) == {"wan0.7": ["wan0.7", "wan0"], "wan0": ["wan0"]}
