"""ESP that is decrypted before any rule sees it: line and tunnel stay exact, and the part is derived."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ipsecmon.cli.main import cli
from tests.guest.esp_capture import captured_esp
from tests.guest.routers import wait_until
from tests.guest.topology import EspTunnel, add_esp_tunnel, flush_ipsec
from tests.netns.agent import Agent, volume
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR, FAR_LAN, LAN, Topology

PACKETS, CLEAR = 200, 50
SIZES = (30, 200, 1000, 1300)
COUNTERS = [
    {"name": "vpn", "ipsec": {"peer": FAR}},
    {"name": "web", "match": {"proto": "udp", "port": 9000}},
]


@pytest.fixture
def blind(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    """An agent whose rules see no inbound ESP. Each SA holds the module: it goes when they are gone."""
    agent = Agent(topology, tmp_path, {"interval": "10s", "counters": COUNTERS})
    subprocess.run(["modprobe", "esp4_offload"], check=True)
    try:
        topology.run("router", "ethtool", "-K", "wan0", "gro", "on")
        add_esp_tunnel(topology, EspTunnel())
        agent.start()
        told(agent, "line", "--now")  # in the first interval much is put down to the start
        yield agent
    finally:
        agent.end()
        topology.run("router", "ethtool", "-K", "wan0", "gro", "off")
        flush_ipsec(topology)
        wait_until(lambda: subprocess.run(["modprobe", "-r", "esp4_offload"], check=False).returncode == 0)


def told(agent: Agent, *command: str) -> Any:
    """In this process: a new one takes the guest seconds."""
    done = CliRunner().invoke(cli, [*command, "-c", str(agent.config), "--json"])
    assert done.stdout, f"{done.exception!r} {agent.log()}"
    return json.loads(done.stdout)


def test_esp_offload_makes_the_part_derived_and_line_and_tunnel_stay_exact(
    topology: Topology, blind: Agent
) -> None:
    before = topology.nic("router", "wan0")
    with captured_esp(topology) as seen:
        inner = exchange_udp(
            topology, "parent", "lan", LAN, packets=PACKETS, sizes=SIZES, source_address=FAR_LAN
        )
    exchange_udp(topology, "parent", "lan", LAN, port=9000, packets=CLEAR, source_address=FAR)
    nic = topology.nic("router", "wan0").since(before)
    found = told(blind, "line", "--now")
    parts = {part["name"]: part for part in found["in"]["parts"]}
    rows = blind.counters(now=False)

    assert rows["vpn", "in", "wire"]["packets"] == 0, "rules were not blind"
    assert (volume(parts["vpn"]), parts["vpn"]["how"]) == (seen.of("in", [0x101]), "derived")
    assert volume(rows["vpn", "in", "derived"]) == seen.of("in", [0x101])
    assert (parts["web"]["packets"], parts["web"]["how"]) == (CLEAR, "counted")
    assert (found["in"]["nic_octets"], found["in"]["unexplained_octets"]) == (nic.in_octets, 0)
    assert found["in"]["agreement"] == "explained"
    (tunnel,) = (one for one in found["tunnels"] if one["name"] == "vpn")
    assert volume(tunnel["in"]) == inner.sent == inner.received
    assert "esp-offload" in {one["kind"] for one in told(blind, "doctor")["findings"]}
