"""SAs and the rules inside, on real ESP: they agree, or it is GRO, which merges packets, that explains it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest.topology import EspTunnel, add_esp_tunnel
from tests.netns.agent import Agent
from tests.netns.exchange import exchange_tcp, exchange_udp
from tests.netns.topology import FAR, FAR_LAN, LAN, Topology

PACKETS = 300
SIZES = (30, 200, 1000, 1300)
OCTETS = 2_000_000


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {"counters": [{"name": "VPN-to-parent", "ipsec": {"peer": FAR}}]})
    made.start()
    yield made
    made.end()


def tunnel(agent: Agent) -> dict[str, Any]:
    rows = json.loads(agent.call("tunnels", "--json", "--now"))["tunnels"]
    (found,) = (row for row in rows if row["name"] == "VPN-to-parent")
    return dict(found)


def test_sas_and_the_rule_inside_agree_both_ways(topology: Topology, agent: Agent) -> None:
    add_esp_tunnel(topology, EspTunnel())
    for source, target, to in (("lan", "parent", FAR_LAN), ("parent", "lan", LAN)):
        address = FAR_LAN if source == "parent" else ""
        exchange_udp(topology, source, target, to, packets=PACKETS, sizes=SIZES, source_address=address)
    found = tunnel(agent)

    for way in ("in", "out"):
        agreement = found[way]["agreement"]
        assert (agreement["word"], agreement["reason"]) == ("agree", None), agreement
        assert agreement["expected_octets"] == agreement["seen_octets"] == found[way]["octets"] > PACKETS
    assert agent.call("report").splitlines()[-1] == "meters agree"


def test_packets_that_gro_merged_inside_are_explained_to_the_octet(topology: Topology, agent: Agent) -> None:
    topology.run("router", "ethtool", "-K", "wan0", "gro", "on")
    add_esp_tunnel(topology, EspTunnel())
    exchange_tcp(topology, "parent", "lan", LAN, octets=OCTETS, source_address=FAR_LAN)
    inbound = tunnel(agent)["in"]
    row = agent.counters(now=False)["VPN-to-parent", "in", "inner"]

    merged = inbound["packets"] - row["packets"]
    assert merged > 0, "GRO has merged nothing"
    agreement = inbound["agreement"]
    assert (agreement["word"], agreement["reason"], agreement["unexplained_octets"]) == (
        "explained",
        "gro",
        0,
    )
    assert agreement["explained_octets"] == merged * 52  # IPv4 20, TCP 20, timestamps 12
    assert row["agreement"]["word"] == "agree"
