"""`ipsecmon doctor` where its conditions are real and need IPsec or a kernel's modules."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.guest.routers import wait_until
from tests.guest.topology import EspTunnel, add_esp_tunnel, flush_ipsec
from tests.netns.agent import Agent
from tests.netns.doctor import Doctor
from tests.netns.exchange import Volume, exchange_udp
from tests.netns.topology import FAR, FAR_LAN, LAN, Topology

FLOWTABLE = """table inet fast {
 flowtable ft {
  hook ingress priority filter
  devices = { lan0, wan0 }
 }
}
"""
INGRESS = """qdisc add dev wan0 handle ffff: ingress
qdisc add dev ifb9 root handle 9: tbf rate 100mbit burst 100kb limit 1mb
"""
TO_SHAPER = "action mirred egress redirect dev ifb9"
TUNNEL = EspTunnel(spi=0x900, reqid=9)
PACKETS = 50


@pytest.fixture(scope="module")
def doctor(network: Topology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doctor]:
    settings = {"interval": "10s", "counters": [{"name": "vpn", "ipsec": {"peer": FAR}}]}
    agent = Agent(network, tmp_path_factory.mktemp("doctor"), settings)
    try:
        agent.start()
        yield Doctor(network, agent)
    finally:
        agent.end()


def test_a_flowtable_of_the_line_is_a_risk_though_no_rule_uses_it(doctor: Doctor) -> None:
    doctor.nft(FLOWTABLE)
    status, found = doctor.ask()
    doctor.nft("delete table inet fast\n")

    assert status == 1 and found["flowtable"]["severity"] == "risk"
    assert "lan0" not in found["flowtable"]["what"] and "conntrack" in found["flowtable"]["what"]


def test_esp_offload_with_gro_is_a_risk_and_wrong_once_sas_are_alive(
    topology: Topology, doctor: Doctor
) -> None:
    subprocess.run(["modprobe", "esp4_offload"], check=True)
    try:
        assert doctor.kinds() == {}  # the network's interfaces have no GRO
        topology.run("router", "ethtool", "-K", "wan0", "gro", "on")
        assert doctor.kinds() == {"esp-offload": "risk"}
        add_esp_tunnel(topology, EspTunnel())
        doctor.agent.report()  # closes the interval, with a look at the SAs
        assert doctor.kinds() == {"esp-offload": "wrong"}
    finally:
        topology.run("router", "ethtool", "-K", "wan0", "gro", "off")
        flush_ipsec(topology)  # each SA holds the module, and blinds the rules of every later test with it
        wait_until(lambda: subprocess.run(["modprobe", "-r", "esp4_offload"], check=False).returncode == 0)


def test_an_inbound_sa_without_anti_replay_is_a_risk(topology: Topology, doctor: Doctor) -> None:
    add_esp_tunnel(topology, EspTunnel(spi=0x700, reqid=7, window=0))
    doctor.agent.report()

    assert doctor.kinds()["anti-replay-off"] == "risk"


@pytest.fixture
def shaper(topology: Topology) -> Iterator[Topology]:
    """ifb9 with a qdisc that counts, an ingress without filters, and a tunnel."""
    topology.ip("router", "link add ifb9 type ifb\nlink set ifb9 up\n")
    topology.run("router", "tc", "-batch", "-", text=INGRESS)
    add_esp_tunnel(topology, TUNNEL)
    yield topology
    topology.ip("router", "link del ifb9\n")
    topology.run("router", "tc", "qdisc", "del", "dev", "wan0", "ingress")


def shaped(topology: Topology) -> Volume:
    """What the shaper let through, less link headers."""
    said = topology.run("router", "tc", "-s", "-j", "qdisc", "show", "dev", "ifb9", "root")
    (root,) = json.loads(said)
    return Volume(root["packets"], root["bytes"] - 14 * root["packets"])


def test_a_shaper_of_all_that_comes_in_gets_the_tunnel_twice_and_is_a_risk(
    shaper: Topology, doctor: Doctor
) -> None:
    """What comes out of IPsec passes the ingress again."""
    shaper.run("router", *f"tc filter add dev wan0 parent ffff: matchall {TO_SHAPER}".split())
    inner = exchange_udp(shaper, "parent", "lan", LAN, source_address=FAR_LAN, packets=PACKETS)
    found = doctor.ask()[1]

    assert inner.received == inner.sent
    octets = TUNNEL.esp_octets(inner.sent.octets // PACKETS) * PACKETS
    assert shaped(shaper) == Volume(2 * PACKETS, octets + inner.sent.octets)
    assert found["ingress-shaping"]["severity"] == "risk" and "ifb9" in found["ingress-shaping"]["what"]


def test_a_shaper_of_what_is_not_decrypted_yet_gets_it_once_and_is_no_finding(
    shaper: Topology, doctor: Doctor
) -> None:
    esp = "protocol ip u32 match ip protocol 50 0xff"
    shaper.run("router", *f"tc filter add dev wan0 parent ffff: {esp} {TO_SHAPER}".split())
    inner = exchange_udp(shaper, "parent", "lan", LAN, source_address=FAR_LAN, packets=PACKETS)
    kinds = doctor.kinds()

    assert inner.received == inner.sent
    octets = TUNNEL.esp_octets(inner.sent.octets // PACKETS) * PACKETS
    assert shaped(shaper) == Volume(PACKETS, octets)
    assert "ingress-shaping" not in kinds
