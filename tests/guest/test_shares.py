"""Tunnels that no rule can tell on the wire, through rekeys: each has in the line what a capture saw of it.

Two tunnels by their subnets join the same gateways, two road warriors are behind one NAT and known by reqid,
and so is a tunnel over IPv6.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ipsecmon.cli.main import cli
from tests.guest.conversation import HOSTS, HOSTS6, End
from tests.guest.esp_capture import captured_esp
from tests.guest.sites import TO_WARRIOR, WARRIOR_LAN, Sites, hold_natt_ports
from tests.guest.topology import EspTunnel, add_esp_tunnel, add_sas, delete_sas
from tests.netns.agent import Agent, in_namespace, volume
from tests.netns.topology import FAR

FAR_LAN_B, SECOND_LAN = "10.4.0.1", "10.9.0.3"
SECOND, SECOND_PORT = "192.168.7.3", 40002
COUNTERS = [
    {"name": "offices", "ipsec": {"peer": FAR, "subnets": {"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}}},
    {"name": "shops", "ipsec": {"peer": FAR, "subnets": {"local": "10.1.0.0/24", "remote": "10.4.0.0/24"}}},
    {"name": "anna", "ipsec": {"reqid": 6}},
    {"name": "bert", "ipsec": {"reqid": 16}},
    {"name": "by-ipv6", "ipsec": {"reqid": 3}},
]
SHOPS = EspTunnel(spi=0x200, reqid=2, cipher="cbc", inner_remote="10.4.0.0/24")
SIX = EspTunnel(spi=0x300, reqid=3, outer=6, inner_local="fd01::/64", inner_remote="fd02::/64")
BERT = replace(
    TO_WARRIOR, spi=0x700, reqid=16, behind_nat=SECOND, udp_port=SECOND_PORT, inner_remote=f"{SECOND_LAN}/32"
)
LAN_HOST = HOSTS[0]
TUNNELS = {
    "offices": (EspTunnel(), HOSTS, 40),
    "shops": (SHOPS, (LAN_HOST, End("parent", FAR_LAN_B)), 50),
    "anna": (TO_WARRIOR, (LAN_HOST, End("warrior", WARRIOR_LAN)), 60),
    "bert": (BERT, (LAN_HOST, End("warrior", SECOND_LAN)), 70),
    "by-ipv6": (SIX, HOSTS6, 30),
}
MASQUERADE = f"-t nat {{}} POSTROUTING -s {SECOND} -o wan0 -p udp --sport 4500 -j MASQUERADE --to-ports"
REKEYS = 2
PORT, SIZES = 7000, (30, 200, 1000, 1300)


@pytest.fixture
def far_ends(sites: Sites) -> Iterator[Sites]:
    """The parent's second LAN, and a second road warrior on the host of the first."""
    lines = {
        "parent": f"addr {{}} {FAR_LAN_B}/24 dev lo\n",
        "warrior": f"addr {{}} {SECOND}/24 dev eth0\naddr {{}} {SECOND_LAN}/32 dev lo\n",
        "router": f"route {{}} 10.4.0.0/24 via {FAR}\nroute {{}} {SECOND_LAN}/32 via {FAR}\n",
    }
    for role, text in lines.items():
        sites.ip(role, text.replace("{}", "add"))
    sites.run("nat", "iptables-legacy", *MASQUERADE.format("-I").split(), str(SECOND_PORT))
    yield sites
    sites.run("nat", "iptables-legacy", *MASQUERADE.format("-D").split(), str(SECOND_PORT))
    for role, text in lines.items():
        sites.ip(role, text.replace("{}", "del"))


@contextlib.contextmanager
def running(sites: Sites, folder: Path) -> Iterator[Agent]:
    agent = Agent(sites, folder, {"interval": "10s", "counters": COUNTERS})
    agent.start()
    try:
        yield agent
    finally:
        agent.end()
        agent.call("rules", "remove")


def speak(sites: Sites, ends: tuple[End, End], packets: int) -> None:
    """UDP both ways, from this process; the far end first, as its NAT must know it."""
    with contextlib.ExitStack() as stack:
        sockets = []
        for end in ends:
            family = socket.AF_INET6 if ":" in end.address else socket.AF_INET
            with in_namespace(sites.name(end.role)):
                made = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            made.bind((end.address, PORT))
            sockets.append(made)
        for sender, to in ((sockets[1], ends[0]), (sockets[0], ends[1])):
            for number in range(packets):
                sender.sendto(bytes(SIZES[number % len(SIZES)]), (to.address, PORT))


def line_of(agent: Agent) -> dict[str, Any]:
    """In this process: a new one takes the guest seconds."""
    done = CliRunner().invoke(cli, ["line", "-c", str(agent.config), "--json", "--now"])
    assert done.exit_code == 0, f"{done.output} {done.exception!r} {agent.log()}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rekeyed(tunnel: EspTunnel, times: int) -> EspTunnel:
    return replace(tunnel, spi=tunnel.spi + 0x10 * times)


def test_tunnels_that_share_a_peer_or_a_nat_are_exact_on_the_wire_through_rekeys(
    far_ends: Sites, tmp_path: Path
) -> None:
    sites = far_ends
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_natt_ports(sites, "router", "warrior"))
        for tunnel, _, _ in TUNNELS.values():
            add_esp_tunnel(sites, tunnel)
        agent = stack.enter_context(running(sites, tmp_path))
        with captured_esp(sites) as seen:
            for times in range(REKEYS + 1):
                for tunnel, ends, packets in TUNNELS.values():
                    if times:
                        add_sas(sites, rekeyed(tunnel, times))
                        delete_sas(sites, rekeyed(tunnel, times - 1))
                    speak(sites, ends, packets)
        found = line_of(agent)

    for way in ("in", "out"):
        parts = {part["name"]: part for part in found[way]["parts"]}
        for name, (tunnel, _, packets) in TUNNELS.items():
            spis = (rekeyed(tunnel, times).spi + (way == "in") for times in range(REKEYS + 1))
            captured = seen.of(way, spis)
            assert captured.packets >= (REKEYS + 1) * packets, (name, way)
            assert (volume(parts[name]), parts[name]["how"]) == (captured, "counted"), (name, way)
        for name in ("esp", "nat-t"):
            assert (parts[name]["packets"], parts[name]["octets"]) == (0, 0)
        assert found[way]["agreement"] == "agree", found[way]
    tunnels = {one["name"]: one for one in found["tunnels"]}
    assert all(tunnels[name]["overhead_ratio"] for name in TUNNELS)
