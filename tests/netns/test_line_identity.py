"""The identity of the line against a real kernel: both ways, both families, fragments, ARP, a full queue."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.agent.control import ask
from tests.netns.agent import Agent
from tests.netns.exchange import carried, exchange_udp
from tests.netns.topology import FAR, FAR6, LAN, LAN6, Topology

COUNTERS = [{"name": "voip", "match": {"proto": "udp", "port": 7000}}]


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {"counters": COUNTERS, "line": _LINE})
    yield made
    made.end()


_LINE = {"name": "T1", "interface": "wan0", "capacity": {"in": "16Mbit", "out": "1Mbit"}}


def identity(agent: Agent) -> dict[str, Any]:
    """What `ipsecmon line` says; whatever it says, each direction adds up."""
    document: dict[str, Any] = json.loads(agent.call("line", "--json", "--now"))
    for way in (document["in"], document["out"]):
        parts = sum(part["octets"] for part in way["parts"])
        assert way["nic_octets"] == parts + sum(octets or 0 for octets in way["terms"].values())
    return document


def both_ways(topology: Topology, *sizes: int) -> None:
    for source, target, addresses in (("lan", "inet", (FAR, FAR6)), ("inet", "lan", (LAN, LAN6))):
        for address in addresses:
            exchange_udp(topology, source, target, address, packets=500, sizes=sizes)


def test_parts_and_headers_are_the_interface_to_the_octet(topology: Topology, agent: Agent) -> None:
    agent.start()
    before = topology.nic("router", "wan0")
    both_ways(topology, 12, 472, 1372)
    nic = topology.nic("router", "wan0").since(before)
    document = identity(agent)

    assert document["line"] == {
        "name": "T1",
        "interface": "wan0",
        "capacity_bits_per_s": {"in": 16_000_000, "out": 1_000_000},
    }
    found = {way: document[way] for way in ("in", "out")}
    assert [found[way]["agreement"] for way in found] == ["agree", "agree"], found
    assert [found[way]["nic_octets"] for way in found] == [nic.in_octets, nic.out_octets]
    assert found["in"]["terms"]["link-headers"] == nic.in_packets * 14
    voip = {way: next(part for part in found[way]["parts"] if part["name"] == "voip") for way in found}
    assert [voip[way]["packets"] for way in found] == [1000, 1000]


@pytest.mark.parametrize("size", [1473, 4000])
def test_fragments_that_the_router_makes_are_a_term_to_the_octet(
    topology: Topology, agent: Agent, size: int
) -> None:
    agent.start()
    for far in (FAR, FAR6):
        topology.run("router", "ping", "-q", "-c", "5", "-i", "0.01", "-s", str(size), far)
    found = identity(agent)

    assert found["out"]["agreement"] == "agree", found["out"]
    assert found["out"]["terms"]["fragment-headers"] > 0
    assert found["in"]["agreement"] == "agree", found["in"]


def test_fragments_that_conntrack_puts_together_before_the_rules_are_a_term(
    topology: Topology, agent: Agent
) -> None:
    topology.run(
        "router", "nft", "add table ip nat; add chain ip nat c { type nat hook prerouting priority 0; }"
    )
    agent.start()
    topology.run("router", "ping", "-q", "-c", "5", "-i", "0.01", "-s", "4000", FAR)
    found = identity(agent)

    assert found["in"]["terms"]["fragment-headers"] == 5 * 2 * 20
    assert [found[way]["agreement"] for way in ("in", "out")] == ["agree", "agree"], found


def test_arp_is_frames_that_no_rule_sees_within_their_bound(topology: Topology, agent: Agent) -> None:
    agent.start()
    topology.ip("router", "link set wan0 arp on\n")
    topology.ip("inet", "link set eth0 arp on\n")
    topology.run("router", "ping", "-q", "-c", "3", "-i", "0.01", FAR)
    found = identity(agent)

    for way in ("in", "out"):
        frames = found[way]["term_packets"]["unexplained"]
        assert frames > 0 and found[way]["agreement"] == "explained", found[way]
        assert found[way]["unexplained_octets"] == 28 * frames
        assert found[way]["terms"]["non-ip"] is None


TBF = "root tbf rate 1544kbit burst 2kb limit 20kb"
HTB = """root handle 1: htb default 2
class add dev wan0 parent 1: classid 1:2 htb rate 1544kbit burst 2kb
qdisc add dev wan0 parent 1:2 handle 2: pfifo limit 20
"""


@pytest.mark.parametrize("qdisc", [TBF, HTB], ids=["tbf", "htb"])
def test_what_a_full_queue_dropped_is_known_to_the_octet(
    topology: Topology, agent: Agent, qdisc: str
) -> None:
    """Packets of three sizes, so that the mean says nothing of those that were dropped."""
    topology.run("router", "tc", "-b", "-", text=f"qdisc add dev wan0 {qdisc}\n")
    agent.start()
    before = topology.nic("inet", "eth0")
    sent = exchange_udp(topology, "lan", "inet", FAR, packets=600, sizes=(12, 472, 1372), rate=20_000).sent
    time.sleep(0.5)  # what the queue still holds leaves
    received, _ = carried(topology.nic("inet", "eth0").since(before))
    found = identity(agent)["out"]

    assert received.packets < sent.packets
    assert (found["offered_octets"], found["carried_octets"]) == (sent.octets, received.octets)
    dropped = found["dropped_packets"], found["dropped_octets"]
    assert dropped == (sent.packets - received.packets, sent.octets - received.octets)
    assert found["terms"]["qdisc-drops"] == -found["dropped_octets"]
    assert (found["agreement"], found["unexplained_octets"]) == ("explained", 0)
    assert found["estimated"] == [] and "dropped by the queueing discipline: of" in found["reasons"][0]


def test_what_still_waits_in_the_queue_is_no_disagreement(topology: Topology, agent: Agent) -> None:
    topology.run("router", "tc", "qdisc", "add", "dev", "wan0", "root", "tbf", *SLOW.split())
    agent.start()
    start_sending = "import socket; s = socket.socket(2, 2)\n"
    start_sending += f"for _ in range(100): s.sendto(bytes(972), ('{FAR}', 9))"
    topology.run("lan", "python3", "-c", start_sending)
    found = identity(agent)["out"]

    waiting = found["offered_octets"] - found["carried_octets"]
    assert found["dropped_packets"] == 0 and waiting > 0
    assert (found["agreement"], found["unexplained_octets"]) == ("explained", -waiting), found
    assert "lay between interface and rules" in found["reasons"][0]


def shape_ingress(topology: Topology, tbf: str) -> None:
    topology.ip("router", "link add ifb0 type ifb\nlink set ifb0 up\n")
    rows = (
        "qdisc add dev wan0 handle ffff: ingress",
        "filter add dev wan0 parent ffff: u32 match u32 0 0 action mirred egress redirect dev ifb0",
        f"qdisc add dev ifb0 root tbf {tbf}\n",
    )
    topology.run("router", "tc", "-b", "-", text="\n".join(rows))


def test_what_an_ifb_drops_inbound_never_came_to_the_rules_and_is_explained(
    topology: Topology, agent: Agent
) -> None:
    shape_ingress(topology, "rate 1544kbit burst 2kb limit 20kb")
    agent.start()
    passed = exchange_udp(topology, "inet", "lan", LAN, packets=600, sizes=(972,), rate=20_000)
    found = identity(agent)["in"]

    dropped = passed.sent.packets - passed.received.packets
    assert found["term_packets"]["dropped-before-rules"] == dropped > 0
    assert found["unexplained_octets"] == passed.sent.octets - passed.received.octets
    assert found["agreement"] == "explained", found
    agent.stop()
    exchange_udp(topology, "inet", "lan", LAN, packets=600, sizes=(972,), rate=20_000)
    agent.start()
    assert identity(agent)["in"]["agreement"] == "explained"


def test_what_still_waits_in_an_ifb_is_no_disagreement(topology: Topology, agent: Agent) -> None:
    shape_ingress(topology, SLOW)
    agent.start()
    before = topology.nic("lan", "eth0")
    send = f"import socket; s = socket.socket(2, 2)\nfor _ in range(100): s.sendto(bytes(972), ('{LAN}', 9))"
    topology.run("inet", "python3", "-c", send)
    found = identity(agent)["in"]

    arrived = topology.nic("lan", "eth0").since(before).in_packets
    assert found["term_packets"]["dropped-before-rules"] == 0 and arrived < 100
    assert found["agreement"] == "explained", found


SLOW = "rate 16kbit burst 2kb limit 200kb"


def test_where_frames_do_not_add_up_what_a_full_queue_dropped_is_an_estimate(
    topology: Topology, agent: Agent
) -> None:
    topology.run("router", "tc", "-b", "-", text=f"qdisc add dev wan0 {TBF}\n")
    agent.start()
    topology.ip("router", "link set wan0 arp on\n")
    topology.ip("inet", "link set eth0 arp on\n")
    topology.run("router", "ping", "-q", "-c", "1", FAR)
    exchange_udp(topology, "lan", "inet", FAR, packets=500, sizes=(972,), rate=20_000)
    time.sleep(0.5)
    found = identity(agent)["out"]

    assert found["term_packets"]["unexplained"] > 0
    assert (found["agreement"], found["estimated"]) == ("explained", ["qdisc-drops"])


def test_the_identity_goes_on_over_a_restart(topology: Topology, agent: Agent) -> None:
    agent.start()
    both_ways(topology, 100)
    agent.stop()
    both_ways(topology, 200)
    agent.start()
    topology.run("router", "ping", "-q", "-c", "5", "-i", "0.01", "-s", "4000", FAR)
    found = identity(agent)

    assert [found[way]["agreement"] for way in ("in", "out")] == ["agree", "agree"], found


def test_an_interface_that_goes_is_said_and_counts_on_when_it_is_made_anew(
    topology: Topology, agent: Agent
) -> None:
    agent.start()
    first = exchange_udp(topology, "lan", "inet", FAR, packets=300).sent
    agent.counters()  # closes the interval: what an interface counted after its last reading goes with it
    topology.ip("router", "link delete wan0")
    agent.counters()
    assert ask(agent.store, "status")["interfaces_gone"] == ["wan0"]
    assert "interfaces of the line that are not there names=wan0\n" in agent.log()

    topology.connect("router", "wan0", "inet", "eth0")
    topology.ip("router", "link set wan0 arp off multicast off addrgenmode none\nlink set wan0 up")
    topology.ip("inet", "link set eth0 up")
    topology.ip("router", "addr add 203.0.113.1/24 dev wan0")
    topology.neighbours("router", "wan0", topology.link_address("inet", "eth0"), FAR)
    topology.ip("inet", "addr add 203.0.113.2/24 dev eth0\nroute add 10.1.0.0/24 via 203.0.113.1")
    topology.neighbours("inet", "eth0", topology.link_address("router", "wan0"), "203.0.113.1")
    second = exchange_udp(topology, "lan", "inet", FAR, packets=200).sent
    rows = agent.counters()

    assert rows["voip", "out", "wire"]["octets"] == first.octets + second.octets
    assert ask(agent.store, "status")["interfaces_gone"] == []


def test_a_bridge_counts_link_headers_outbound_only(topology: Topology, tmp_path: Path) -> None:
    _bridge(topology)
    agent = Agent(topology, tmp_path, {"line": {"name": "T1", "interface": "up0"}})
    try:
        agent.start()
        topology.run("router", "ping", "-q", "-c", "5", "-i", "0.01", "192.0.2.2")
        found = identity(agent)
    finally:
        agent.end()

    assert [found[way]["terms"]["link-headers"] for way in ("in", "out")] == [0, 5 * 14]
    assert [found[way]["agreement"] for way in ("in", "out")] == ["agree", "agree"], found


def _bridge(topology: Topology) -> None:
    """up0 over the link between router and inet, silent."""
    for role, lower, number in (("router", "wan0", 1), ("inet", "eth0", 2)):
        topology.ip(role, f"link add up0 type bridge mcast_snooping 0\nlink set {lower} master up0\n")
        topology.sysctl(role, net__ipv6__conf__up0__disable_ipv6=1)  # MLD reports come up to seconds later
        topology.ip(role, "link set up0 arp off multicast off addrgenmode none\nlink set up0 up\n")
        topology.ip(role, f"addr add 192.0.2.{number}/24 dev up0\n")
    topology.neighbours("router", "up0", topology.link_address("inet", "up0"), "192.0.2.2")
    topology.neighbours("inet", "up0", topology.link_address("router", "up0"), "192.0.2.1")


def in_series(path: Path) -> list[dict[str, Any]]:
    """Agreements of the line with its interface, by a file of JSON points."""
    points = map(json.loads, path.read_text().splitlines())
    return [one for one in points if one["measurement"] == "agreement" and one["tags"]["pair"] == "nic-parts"]


def test_each_interval_says_whether_parts_and_interface_agree(
    topology: Topology, tmp_path: Path, agent: Agent
) -> None:
    agent.configure(sinks=[{"file": {"path": str(tmp_path / "points.json"), "format": "json"}}])
    agent.start()
    before = topology.nic("router", "wan0")
    both_ways(topology, 12, 472)
    agent.report()
    both_ways(topology, 1372)
    nic = topology.nic("router", "wan0").since(before)
    report = agent.report()
    status = json.loads(agent.call("status", "--json"))
    agent.stop()

    octets = {"in": nic.in_octets, "out": nic.out_octets}
    told = {one["direction"]: one["agreement"] for one in report["lines"]}
    assert {way: (one["word"], one["expected_octets"]) for way, one in told.items()} == {
        way: ("agree", octets[way]) for way in octets
    }
    points = in_series(tmp_path / "points.json")
    assert {one["tags"]["counter"] for one in points} == {"T1"}
    assert all(one["fields"]["agrees"] == 1 for one in points)
    for way, passed in octets.items():
        mine = [one["fields"] for one in points if one["tags"]["direction"] == way]
        assert sum(one["expected"] for one in mine) == sum(one["seen"] for one in mine) == passed
    assert {one["name"] for one in status["lines"]} <= {"T1"}
