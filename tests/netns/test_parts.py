"""Odd packets on the line: each is in exactly one part, and the parts are the interface's octets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.agent import Agent, volume
from tests.netns.backends import BACKENDS
from tests.netns.books import unaccounted
from tests.netns.exchange import Volume, exchange_udp
from tests.netns.odd_packets import PEERS, odd_packets, runts, send_frames, to_many
from tests.netns.topology import FAR, Topology

# what an agent of before there were these parts would do, by an agent that does not have them
WITHOUT = """
from ipsecmon.agent import plan
from ipsecmon.ruleset.model import Kind
known = plan._parts
new = (Kind.AH, Kind.GRE, Kind.L2TP)
plan._parts = lambda *given: (part for part in known(*given) if part.kind not in new)
"""
COUNTERS = [
    {"name": "parent", "ipsec": {"peer": list(PEERS)}},
    {"name": "web", "match": {"proto": ["tcp", "udp"], "port": 80}},
]
EACH = pytest.mark.parametrize("agent", ["nft", "iptables-nft", "iptables-legacy"], indirect=True)


@pytest.fixture
def agent(topology: Topology, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {"counters": COUNTERS, **BACKENDS[getattr(request, "param", "nft")]})
    yield made
    made.end()


def line(agent: Agent) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(agent.call("line", "--json", "--now"))
    return document


def parts(way: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Those that counted, as packets and octets."""
    return {one["name"]: (one["packets"], one["octets"]) for one in way["parts"] if one["packets"]}


@EACH
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("way", "role"), [("in", "inet"), ("out", "lan")])
def test_each_odd_packet_is_in_its_part_and_goes_on_its_way(
    topology: Topology, agent: Agent, family: int, way: str, role: str
) -> None:
    agent.start()
    odd = odd_packets(family, way == "in")
    leaving = {"in": ("router", "lan0"), "out": ("router", "wan0")}[way]
    before = topology.nic(*leaving)
    send_frames(topology, role, odd)
    passed = topology.nic(*leaving).since(before)
    found = line(agent)[way]

    wanted: Counter[str] = Counter()
    octets: Counter[str] = Counter()
    for one in odd:
        wanted[one.part] += 1
        octets[one.part] += len(one.packet)
    assert parts(found) == {name: (wanted[name], octets[name]) for name in wanted}
    assert passed.out_packets == len(odd)
    assert (found["agreement"], found["nic_frames"]) == ("agree", len(odd)), found


@EACH
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("way", "role"), [("in", "inet"), ("out", "lan")])
def test_a_packet_that_is_cut_off_before_its_ports_is_counted_and_not_dropped(
    topology: Topology, agent: Agent, family: int, way: str, role: str
) -> None:
    agent.start()
    sent = runts(family, way == "in")
    leaving = {"in": ("router", "lan0"), "out": ("router", "wan0")}[way]
    before = topology.nic(*leaving)
    send_frames(topology, role, sent)
    passed = topology.nic(*leaving).since(before)
    found = line(agent)[way]

    assert passed.out_packets == len(sent)
    assert sum(packets for packets, _ in parts(found).values()) == len(sent)
    assert sum(octets for _, octets in parts(found).values()) == sum(len(one.packet) for one in sent)
    assert found["agreement"] == "agree", found


@EACH
@pytest.mark.parametrize("family", [4, 6])
def test_multicast_and_broadcast_that_arrives_is_counted_once(
    topology: Topology, agent: Agent, family: int
) -> None:
    agent.start()
    sent = to_many(family)
    for link_address, packets in sent.items():
        send_frames(topology, "inet", packets * 3, link_address)
    found = line(agent)["in"]

    octets = sum(3 * len(one.packet) for packets in sent.values() for one in packets)
    assert parts(found) == {"other": (3 * sum(map(len, sent.values())), octets)}
    assert found["agreement"] == "agree", found


@pytest.mark.parametrize("backend", ["nft", "iptables-nft-no-nfacct"])
def test_an_upgrade_to_more_parts_loses_nothing_and_doubles_nothing(
    topology: Topology, tmp_path: Path, backend: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    settings = {"counters": COUNTERS, **BACKENDS[backend]}
    old = Agent(topology, tmp_path, settings, before=("env", f"PYTHONPATH={tmp_path}"))
    new = Agent(topology, tmp_path, settings)
    try:
        old.start()
        both = [send_l2tp_and_web(topology)]
        assert ("l2tp", "out", "wire") not in new.counters()
        old.stop()
        both.append(send_l2tp_and_web(topology))
        new.start()
        both.append(send_l2tp_and_web(topology))
        rows = new.counters()
    finally:
        old.end()
        new.end()

    l2tp, web = zip(*both)
    assert volume(rows["other", "out", "wire"]) == together(*l2tp[:2])
    assert volume(rows["l2tp", "out", "wire"]) == l2tp[2]
    assert volume(rows["web", "out", "wire"]) == together(*web)
    assert volume(rows["T1", "out", "wire"]) == together(*l2tp, *web)
    assert unaccounted(rows) == []
    assert rows["T1", "out", "wire"]["bridged_packets"] == l2tp[1].packets + web[1].packets


def send_l2tp_and_web(topology: Topology) -> tuple[Volume, Volume]:
    l2tp, web = (
        exchange_udp(topology, "lan", "inet", FAR, port=port, packets=200, sizes=(12, 472)).sent
        for port in (1701, 80)
    )
    return l2tp, web


def together(*volumes: Volume) -> Volume:
    return Volume(sum(one.packets for one in volumes), sum(one.octets for one in volumes))
