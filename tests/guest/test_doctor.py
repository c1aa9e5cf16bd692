"""`ipsecmon doctor` where its conditions are real and need IPsec or a kernel's modules."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.guest.routers import wait_until
from tests.guest.topology import EspTunnel, add_esp_tunnel, flush_ipsec
from tests.netns.agent import Agent
from tests.netns.doctor import Doctor
from tests.netns.topology import FAR, Topology

FLOWTABLE = """table inet fast {
 flowtable ft {
  hook ingress priority filter
  devices = { lan0, wan0 }
 }
}
"""


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
