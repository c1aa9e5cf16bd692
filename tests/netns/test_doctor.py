"""`ipsecmon doctor` in a network namespace where the condition is real."""

from __future__ import annotations

import json
from pathlib import Path

from ipsecmon.agent.doctor_links import read_gro, read_lower
from tests.netns.agent import IPSECMON, Agent, in_namespace
from tests.netns.doctor import TUNNEL, Doctor
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR, Topology

LOG_RULE = """table ip others {
 chain c { type filter hook output priority 0; udp dport 9 log group 5700 queue-threshold 1; }
}
"""
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


def test_a_silent_router_has_no_finding_of_its_own(doctor: Doctor) -> None:
    assert doctor.kinds() == {}


def test_gro_is_a_note_before_anything_was_merged(doctor: Doctor) -> None:
    assert "gro-merges" not in doctor.notes()
    doctor.topology.run("router", "ethtool", "-K", "lan0", "gro", "on")
    assert doctor.notes()["gro-merges"].endswith(": what lan0 receives, where it goes on to the line")
    doctor.topology.run("router", "ethtool", "-K", "wan0", "gro", "on")

    assert "what the line's wan0 receives; what lan0 receives" in doctor.notes()["gro-merges"]
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
    doctor.topology.ip("router", "link add ifb9 type ifb\nlink set ifb9 up\n")
    for line in (
        "qdisc add dev wan0 handle ffff: ingress",
        "filter add dev wan0 parent ffff: protocol all u32 match u32 0 0"
        " action mirred egress redirect dev ifb9",
    ):
        doctor.topology.run("router", "tc", *line.split())

    found = doctor.ask()[1]

    told = json.loads(doctor.agent.call("status", "--json"))
    assert "ingress-shaping" in [one["kind"] for one in told["doctor"]]
    assert found["ingress-shaping"]["severity"] == "risk" and "ifb9" in found["ingress-shaping"]["what"]


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
    for state in ("on", "off"):
        topology.run("router", "ethtool", "-K", "wan0", "gro", state)
        with in_namespace(topology.name("router")):
            assert read_gro(["wan0"]) == {"wan0": state == "on"}


def test_members_of_a_bridge_and_what_a_virtual_interface_stands_on_are_below(topology: Topology) -> None:
    topology.ip("router", "link add br9 type bridge\nlink set lan0 master br9\n")
    topology.ip("router", "link add link wan0 name mv9 type macvlan\n")
    with in_namespace(topology.name("router")):
        assert read_lower(["mv9", "br9"]) == {"mv9": ["mv9", "wan0"], "br9": ["br9", "lan0"]}


def test_both_ends_of_a_veth_in_one_namespace_are_not_below_each_other(topology: Topology) -> None:
    topology.ip("router", "link add ve8 type veth peer name ve9\n")
    with in_namespace(topology.name("router")):
        assert read_lower(["ve8", "ve9"]) == {"ve8": ["ve8"], "ve9": ["ve9"]}
