"""docs/manual-rules.md on real ESP, as it is written there: each octet once, by the administrator's rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.topology import EspTunnel, add_esp_tunnel
from tests.netns.agent import Agent, volume
from tests.netns.documented import documented_settings, run_documented_commands
from tests.netns.exchange import LINK_HEADER, Volume, exchange_udp
from tests.netns.topology import FAR, FAR_LAN, LAN, Topology

PACKETS = 300
SIZES = (30, 200, 1300)
TUNNEL = EspTunnel()


@pytest.fixture(params=["nft", "legacy"])
def router(request: pytest.FixtureRequest, topology: Topology) -> Iterator[Topology]:
    add_esp_tunnel(topology, TUNNEL)
    run_documented_commands(topology, request.param)
    yield topology
    topology.run("router", f"iptables-{request.param}", "-t", "mangle", "-F")


def test_the_documented_rules_count_each_octet_once(router: Topology, tmp_path: Path) -> None:
    agent = Agent(router, tmp_path, documented_settings())
    try:
        agent.start()
        inner = {"out": send(router, "lan", FAR_LAN), "in": send(router, "parent", LAN, FAR_LAN)}
        clear = {"out": send(router, "lan", FAR), "in": send(router, "parent", LAN, FAR)}
        esp = sum(TUNNEL.esp_octets(SIZES[number % len(SIZES)] + 28) for number in range(PACKETS))

        report = agent.report()
        rows = {(row["name"], row["direction"], row["observed_at"]): row for row in report["counters"]}
        for direction in ("in", "out"):
            line = Volume(2 * PACKETS, esp + clear[direction].octets)
            expected = {
                ("T1", direction, "wire"): line,
                ("VPN-to-parent", direction, "wire"): Volume(PACKETS, esp),
                ("VPN-to-parent", direction, "inner"): inner[direction],
                ("rest", direction, "wire"): clear[direction],
            }
            found = {key: volume(row) for key, row in rows.items() if key[1] == direction}
            assert found == expected
            nic = next(row for row in report["interfaces"] if row["direction"] == direction)
            assert nic["frames"] == line.packets
            assert nic["octets"] == line.octets + line.packets * LINK_HEADER
        for row in rows.values():
            assert volume(row) == volume(row, "nflog_")
            assert (row["lost_packets"], row["pending_packets"]) == (0, 0)
        print(agent.call("report", "--since", "1h"))
    finally:
        agent.end()


def send(router: Topology, source: str, to: str, source_address: str = "") -> Volume:
    target = "parent" if source == "lan" else "lan"
    done = exchange_udp(
        router, source, target, to, packets=PACKETS, sizes=SIZES, source_address=source_address
    )
    assert done.sent == done.received
    return done.sent
