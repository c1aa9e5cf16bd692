"""Packets later than their replay window: the kernel drops them, the tunnel counts them, the doctor tells."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from tests.guest.topology import EspTunnel, add_esp_tunnel
from tests.netns.agent import Agent, in_namespace
from tests.netns.doctor import Doctor
from tests.netns.topology import FAR, FAR_LAN, LAN, Topology

ETH_P_ALL, ETHERNET, PROTOCOL, ESP = 3, 14, 9, 50  # a tap for all protocols stands before the ingress hook
HELD, WINDOW, BETWEEN = 12, 32, 60
HOLD = """table netdev hold {
 chain c {
  type filter hook ingress device wan0 priority 0
  meta protocol ip ip protocol esp drop
 }
}
"""


@pytest.fixture
def doctor(topology: Topology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doctor]:
    settings = {"interval": "10s", "counters": [{"name": "vpn", "ipsec": {"peer": FAR}}]}
    agent = Agent(topology, tmp_path_factory.mktemp("replay"), settings)
    try:
        agent.start()
        yield Doctor(topology, agent)
    finally:
        agent.end()


def ping(topology: Topology, packets: int) -> None:
    """From the far side's network into ours; nobody waits for answers."""
    words = ("ping", "-q", "-n", "-I", FAR_LAN, "-c", str(packets), "-l", str(packets), "-W", "0.2", LAN)
    topology.run(topology.far, "sh", "-c", f"{' '.join(words)} || true")


def held_back(topology: Topology, packets: int) -> list[bytes]:
    """Frames of ESP that arrive at wan0, and are dropped before anything takes them."""
    with in_namespace(topology.name("router")):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    with tap:
        tap.bind(("wan0", ETH_P_ALL))
        topology.run("router", "nft", "-f", "-", text=HOLD)
        ping(topology, packets)
        topology.run("router", "nft", "delete", "table", "netdev", "hold")
        frames = []
        while select.select([tap], [], [], 0)[0]:
            frames.append(tap.recv(2048))
    return [one for one in frames if one[ETHERNET + PROTOCOL] == ESP]


def deliver(topology: Topology, frames: list[bytes]) -> None:
    """Late, on the same link."""
    with in_namespace(topology.name(topology.far)):
        link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with link:
        link.bind(("eth0", 0))
        for frame in frames:
            link.send(frame)


def test_esp_that_comes_after_the_window_has_passed_it_is_a_risk(topology: Topology, doctor: Doctor) -> None:
    add_esp_tunnel(topology, EspTunnel(spi=0x900, reqid=9, window=WINDOW))
    doctor.agent.report()
    frames = held_back(topology, HELD)
    assert len(frames) == HELD
    ping(topology, BETWEEN)
    doctor.agent.report()
    assert "replay-window-small" not in doctor.kinds()
    deliver(topology, frames)
    doctor.agent.report()

    found = doctor.ask()[1]["replay-window-small"]
    assert found["severity"] == "risk"
    assert f"tunnel vpn: {HELD} packets" in found["what"]
