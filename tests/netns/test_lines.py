"""Several interfaces of one line, and several lines: each frame is on one of them, and nothing twice."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.agent.control import ask
from tests.netns.agent import Agent, volume
from tests.netns.backends import BACKENDS
from tests.netns.books import csv_file, in_file, unaccounted
from tests.netns.exchange import TRAFFIC, Volume, exchange_udp
from tests.netns.topology import FAR, FAR6, LAN, LAN6, Topology

BOTH = {"name": "T1", "interface": ["wan0", "lan0"]}
TWO = [
    {"name": "T1", "interface": "wan0", "capacity": "16Mbit"},
    {"name": "T2", "interface": "lan0"},
]
COUNTERS = [{"name": "voip", "match": {"proto": "udp", "port": 5060}}]
EACH = pytest.mark.parametrize("agent", ["nft", "iptables-nft"], indirect=True)


@pytest.fixture
def agent(topology: Topology, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Agent]:
    backend = BACKENDS[getattr(request, "param", "nft")]
    made = Agent(topology, tmp_path, {"counters": COUNTERS, "line": TWO, **backend})
    yield made
    made.end()


def line(agent: Agent, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(agent.call("line", "--json", "--now", *arguments))
    return document


def send(topology: Topology, packets: int) -> Volume:
    """From lan to inet and back, in both families: each packet is on both interfaces."""
    ways = (("lan", "inet", FAR), ("lan", "inet", FAR6), ("inet", "lan", LAN), ("inet", "lan", LAN6))
    done = [
        exchange_udp(topology, *way, port=5060, packets=packets, sizes=(12, 472, 1372)).sent for way in ways
    ]
    return Volume(sum(one.packets for one in done[:2]), sum(one.octets for one in done[:2]))


def parts(way: dict[str, Any]) -> dict[str, Volume]:
    return {one["name"]: volume(one) for one in way["parts"] if one["packets"]}


@EACH
def test_a_line_of_two_interfaces_is_the_sum_of_both(topology: Topology, agent: Agent) -> None:
    agent.configure(line=BOTH)
    agent.start()
    sent = send(topology, 300)
    found = line(agent)

    twice = Volume(2 * sent.packets, 2 * sent.octets)
    assert found["line"]["interface"] == "wan0, lan0"
    for way in ("in", "out"):
        assert parts(found[way]) == {"voip": twice}
        assert found[way]["nic_octets"] == twice.octets + 14 * twice.packets
        assert found[way]["agreement"] == "agree", found[way]


def test_each_interface_of_a_line_has_its_own_link_headers(topology: Topology, agent: Agent) -> None:
    """A bridge counts none inbound, the Ethernet interface 14."""
    bridge = "link add up0 type bridge mcast_snooping 0\nlink set wan0 master up0\n"
    quiet = "link set up0 arp off multicast off addrgenmode none\nlink set up0 up\n"
    topology.sysctl("router", net__ipv6__conf__default__disable_ipv6=1)  # no MLD reports of up0
    topology.ip("router", bridge + quiet + "addr add 192.0.2.1/24 dev up0\n")
    topology.neighbours("router", "up0", topology.link_address("inet", "eth0"), "192.0.2.2")
    topology.ip("inet", "addr add 192.0.2.2/24 dev eth0\n")
    up0 = topology.link_address("router", "up0")
    topology.neighbours("inet", "eth0", up0, "192.0.2.1")
    agent.configure(line={"name": "T1", "interface": ["up0", "lan0"]})
    agent.start()
    topology.run("router", "ping", "-q", "-c", "5", "-i", "0.01", "192.0.2.2")
    topology.run("lan", "ping", "-q", "-c", "7", "-i", "0.01", "10.1.0.1")
    found = line(agent)

    assert [found[way]["terms"]["link-headers"] for way in ("in", "out")] == [7 * 14, 12 * 14]
    assert [found[way]["agreement"] for way in ("in", "out")] == ["agree", "agree"], found


def test_interfaces_whose_frames_would_count_twice_are_refused(topology: Topology, agent: Agent) -> None:
    topology.ip("router", "link add up0 type bridge\nlink set wan0 master up0\n")
    agent.configure(line={"name": "T1", "interface": ["up0", "wan0"]})
    assert "frames of wan0 are counted by up0 too: name one of the two" in agent.fails()


@EACH
def test_parts_of_two_lines_are_apart_and_the_bare_name_is_their_sum(
    topology: Topology, tmp_path: Path, agent: Agent
) -> None:
    agent.configure(sinks=[csv_file(tmp_path / "all.csv")])
    agent.start()
    sent = send(topology, 300)
    rows = agent.counters()

    twice = Volume(2 * sent.packets, 2 * sent.octets)
    for way in ("in", "out"):
        for name in ("voip@T1", "voip@T2", "T1", "T2"):
            assert volume(rows[name, way, "wire"]) == sent, name
        assert volume(rows["voip", way, "wire"]) == twice
        assert volume(rows["voip", way, "wire"], "nflog_") == twice
        assert rows["other", way, "wire"]["packets"] == 0
    assert unaccounted(rows) == []
    agent.stop()
    assert in_file(tmp_path / "all.csv")["voip", "in"] == twice


def test_each_of_two_lines_adds_up_to_its_own_interface(topology: Topology, agent: Agent) -> None:
    agent.start()
    sent = send(topology, 300)
    found = line(agent)

    assert [one["line"]["name"] for one in found["lines"]] == ["T1", "T2"]
    assert found["lines"][0] == {key: value for key, value in found.items() if key != "lines"}
    for number, one in enumerate(found["lines"], 1):
        for way in ("in", "out"):
            assert parts(one[way]) == {f"voip@T{number}": sent}
            assert one[way]["agreement"] == "agree", one[way]
    second = line(agent, "--line", "T2")
    assert (second["line"]["interface"], "lines" in second) == ("lan0", False)
    text = agent.call("line")
    assert "T1 on wan0" in text and "T2 on lan0" in text and "@" not in text
    refused = agent.refused("line", "--line", "T3")
    assert "no such line; there are: T1, T2" in refused


def test_a_second_line_and_its_end_cost_nothing(topology: Topology, agent: Agent) -> None:
    """By reload, and by a restart: totals of the bare names and of the first line go on."""
    agent.configure(line=TWO[0])
    agent.start()
    sent = [send(topology, 50)]
    agent.configure(line=TWO)
    assert "line: T1 on wan0 -> T1 on wan0, T2 on lan0" in ask(agent.store, "reload")["changed"]
    sent.append(send(topology, 70))
    agent.stop()
    agent.configure(line=TWO[0])
    agent.start()
    sent.append(send(topology, 90))
    rows = agent.counters()

    packets = [one.packets for one in sent]
    for way in ("in", "out"):
        assert rows["T1", way, "wire"]["packets"] == sum(packets)
        assert rows["T2", way, "wire"]["packets"] == packets[1]
        assert rows["voip", way, "wire"]["packets"] == sum(packets) + packets[1]
        assert rows["other", way, "wire"]["packets"] == 0
    assert unaccounted(rows) == []
    found = line(agent)
    for way in ("in", "out"):
        assert sum(one["octets"] for one in found[way]["parts"]) == sum(one.octets for one in sent)
        assert found[way]["agreement"] == "agree", found[way]


def start_sending(topology: Topology, packets: int) -> subprocess.Popen[str]:
    amount = ("--packets", str(packets), "--rate", "4000", "--sizes", "100")
    return topology.start("lan", *TRAFFIC, "send", FAR, "5060", *amount)


@pytest.mark.parametrize("others", [TWO[:1], [*TWO, {"name": "T3", "interface": "lo"}]])
def test_while_lines_come_and_go_under_traffic_each_name_keeps_its_sum(
    topology: Topology, agent: Agent, others: list[dict[str, str]]
) -> None:
    """Between the last reading and the change of rules counters count that have no line any more."""
    packets = 8000
    agent.start()
    with start_sending(topology, packets) as sending:
        for wanted in (others, TWO, others, TWO[:1]):
            agent.configure(line=wanted)
            ask(agent.store, "reload")
        sending.wait()
    rows = agent.counters()

    assert rows["T1", "out", "wire"]["packets"] == rows["voip", "out", "wire"]["packets"] == packets
    assert 0 < rows["T2", "in", "wire"]["packets"] == rows["voip", "in", "wire"]["packets"] < packets


def test_what_passed_on_two_lines_while_no_agent_ran_is_in_the_bare_name(
    topology: Topology, agent: Agent
) -> None:
    agent.start()
    sent = [send(topology, 50)]
    agent.stop()
    sent.append(send(topology, 70))
    agent.configure(line=TWO[:1])
    agent.start()
    sent.append(send(topology, 90))
    rows = agent.counters()

    packets = [one.packets for one in sent]
    for way in ("in", "out"):
        assert rows["T1", way, "wire"]["packets"] == sum(packets)
        assert rows["T2", way, "wire"]["packets"] == sum(packets[:2])
        assert rows["voip", way, "wire"]["packets"] == sum(packets) + sum(packets[:2])
    assert unaccounted(rows) == []


@pytest.mark.parametrize("by_reload", [True, False])
def test_a_line_under_a_new_name_has_its_old_one_not_as_a_part(
    topology: Topology, agent: Agent, by_reload: bool
) -> None:
    agent.configure(line=TWO[0])
    agent.start()
    sent = [send(topology, 50)]
    agent.configure(line={**TWO[0], "name": "DSL"})
    if by_reload:
        ask(agent.store, "reload")
    else:
        agent.stop()
        agent.start()
    sent.append(send(topology, 70))
    found = line(agent)

    for way in ("in", "out"):
        packets, octets = (sum(getattr(one, what) for one in sent) for what in ("packets", "octets"))
        assert parts(found[way]) == {"voip": Volume(packets, octets)}
        assert found[way]["agreement"] == "agree", found[way]
