"""`ipsecmon line` over real ESP: it adds up to the octet, and the inside of the tunnel is in no part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest.topology import EspTunnel, add_esp_tunnel
from tests.netns.agent import Agent
from tests.netns.exchange import LINK_HEADER, exchange_udp
from tests.netns.topology import FAR, FAR_LAN, LAN, Topology

PACKETS = 200
TUNNEL = EspTunnel(cipher="gcm")
COUNTERS = [
    {"name": "VPN-to-parent", "ipsec": {"peer": FAR}},
    {"name": "web", "match": {"proto": "udp", "port": 9000}},
]


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {"counters": COUNTERS})
    made.start()
    yield made
    made.end()


def test_esp_and_clear_traffic_are_the_interface_to_the_octet_and_the_inside_is_apart(
    topology: Topology, agent: Agent
) -> None:
    add_esp_tunnel(topology, TUNNEL)
    before = topology.nic("router", "wan0")
    inner = {
        "out": exchange_udp(topology, "lan", "parent", FAR_LAN, packets=PACKETS, sizes=(200, 1300)),
        "in": exchange_udp(topology, "parent", "lan", LAN, packets=PACKETS, source_address=FAR_LAN),
    }
    exchange_udp(topology, "lan", "parent", FAR, port=9000, packets=PACKETS)
    exchange_udp(topology, "parent", "lan", LAN, port=9000, packets=PACKETS, source_address=FAR)
    nic = topology.nic("router", "wan0").since(before)
    found: dict[str, Any] = json.loads(agent.call("line", "--json", "--now"))

    for way, octets, frames in (
        ("in", nic.in_octets, nic.in_packets),
        ("out", nic.out_octets, nic.out_packets),
    ):
        line = found[way]
        assert (line["nic_octets"], line["agreement"]) == (octets, "agree"), line
        assert line["terms"]["link-headers"] == frames * LINK_HEADER
        parts = {part["name"]: part for part in line["parts"] if part["packets"]}
        assert {name: part["packets"] for name, part in parts.items()} == dict.fromkeys(
            ("VPN-to-parent", "web"), PACKETS
        )
        (tunnel,) = [one for one in found["tunnels"] if one["name"] == "VPN-to-parent"]
        assert tunnel[way]["octets"] == inner[way].sent.octets
        assert sum(part["octets"] for part in parts.values()) + frames * LINK_HEADER == octets


def test_esp_that_is_fragmented_is_a_term_of_the_line(topology: Topology, agent: Agent) -> None:
    """Inner packets of 1500 octets that may be fragmented: the router fragments the ESP around them."""
    add_esp_tunnel(topology, TUNNEL)
    script = "import socket; s = socket.socket(2, 2); s.setsockopt(0, 10, 0)\n"  # IP_PMTUDISC_DONT
    script += f"for _ in range(20): s.sendto(bytes(1472), ('{FAR_LAN}', 9))"
    topology.run("lan", "python3", "-c", script)
    found: dict[str, Any] = json.loads(agent.call("line", "--json", "--now"))["out"]

    assert found["agreement"] == "agree", found
    parts = sum(part["packets"] for part in found["parts"])
    assert found["nic_frames"] - parts == found["term_packets"]["fragment-headers"]
