"""Several tunnels of one peer, told apart by what they carry and by reqid, on real ESP.

Four pairs of SAs join the same two gateways. Each inner counter must show what the two ends sent, both ways;
on the wire, where all ESP looks the same to a rule, each has its share, and nobody's counter may claim it.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.guest.test_accounting import TRANSPORT
from tests.guest.topology import EspTunnel, add_esp_tunnel
from tests.netns.agent import Agent, volume
from tests.netns.backends import BACKENDS
from tests.netns.exchange import Volume, exchange_udp
from tests.netns.topology import FAR, FAR6, FAR_LAN, FAR_LAN6, LAN, LAN6, WAN, Topology

PACKETS = 100
SIZES = (30, 1000)
FAR_LAN_B, FAR_LAN6_B = "10.3.0.1", "fd03::1"
SWAPPED = 11 << 24  # reqid 11 with its octets the other way round
SIX = EspTunnel(spi=0x300, reqid=257, inner_local="fd01::/64", inner_remote="fd02::/64")
# name: the tunnel, the address behind each end
PAIRS = {
    "a": (EspTunnel(spi=0x100, reqid=11), LAN, FAR_LAN),
    "b": (EspTunnel(spi=0x200, reqid=300, inner_remote="10.3.0.0/24"), LAN, FAR_LAN_B),
    "c": (SIX, LAN6, FAR_LAN6),
    "d": (replace(SIX, spi=0x400, reqid=SWAPPED, inner_remote="fd03::/64"), LAN6, FAR_LAN6_B),
}
NAMED: dict[str, dict[str, Any]] = {
    "subnets": {
        "a": {"subnets": {"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}},
        "b": {"peer": FAR, "subnets": {"local": "10.0.0.0/8", "remote": ["10.3.0.0/24", "10.4.0.0/24"]}},
        "c": {"subnets": [{"local": LAN6, "remote": "fd04::/64"}, {"local": LAN6, "remote": FAR_LAN6}]},
        "d": {
            "peer": [FAR6, FAR],
            "subnets": {"local": ["10.1.0.0/24", "fd01::/64"], "remote": ["10.2.0.0/24", "fd03::/64"]},
        },
    },
    "reqid": {
        "a": {"reqid": [1, 11]},
        "b": {"peer": FAR, "reqid": "295-302"},
        "c": {"peer": FAR, "reqid": [7, "256-258"]},
        "d": {"reqid": SWAPPED},
    },
    "all": {
        "a": {"reqid": 11, "peer": FAR, "subnets": {"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}},
        "b": {"reqid": 300, "subnets": {"local": "10.1.0.0/24", "remote": "10.0.0.0/8"}},
        "not-c": {"reqid": 257, "subnets": {"local": "fd01::/64", "remote": "fd03::/64"}},
        "not-d": {"peer": FAR6, "reqid": SWAPPED},
        "c": {"reqid": "250-260"},
        "d": {"peer": FAR},
    },
}
# the guest is slow
WAYS = [
    ("nft", "subnets"),
    ("nft", "reqid"),
    ("iptables-nft", "subnets"),
    ("iptables-legacy-no-nfacct", "all"),
]

SNAT = ["iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-s", "10.1.0.0/24", "-d", "10.2.0.0/24"]
SNAT += ["-j", "SNAT", "--to-source", "10.9.0.1"]


@pytest.fixture
def far_lans(topology: Topology) -> Iterator[Topology]:
    """The parent has a second network of each family; there is a route to it."""
    there = [f"addr {{}} {FAR_LAN_B}/24 dev lo", f"addr {{}} {FAR_LAN6_B}/64 dev lo"]
    here = [f"route {{}} 10.3.0.0/24 via {FAR}", f"route {{}} fd03::/64 via {FAR6}"]
    for role, lines in (("parent", there), ("router", here)):
        topology.ip(role, "".join(f"{line.format('add')}\n" for line in lines))
    yield topology
    for role, lines in (("parent", there), ("router", here)):
        topology.ip(role, "".join(f"{line.format('del')}\n" for line in lines))


def counters(named: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "ipsec": ipsec} for name, ipsec in named.items()]


@contextlib.contextmanager
def running(topology: Topology, folder: Path, named: dict[str, Any], backend: str) -> Iterator[Agent]:
    agent = Agent(topology, folder, {"counters": counters(named), **BACKENDS[backend]})
    try:
        agent.start()
        yield agent
    finally:
        agent.end()
    if agent.settings["backend"] == "iptables-legacy":  # whose tables know nothing of a flush by nft
        agent.call("rules", "remove")


@pytest.mark.parametrize(("backend", "by"), WAYS)
def test_tunnels_of_one_peer_are_exact_each_by_itself(
    far_lans: Topology, tmp_path: Path, backend: str, by: str
) -> None:
    for tunnel, _, _ in PAIRS.values():
        add_esp_tunnel(far_lans, tunnel)
    with running(far_lans, tmp_path, NAMED[by], backend) as agent:
        sent = {}
        wire = {"out": 0, "in": 0}
        for number, (name, (tunnel, here, there)) in enumerate(PAIRS.items()):
            packets = PACKETS + 2 * number
            for way, source, target, to in (("out", "lan", "parent", there), ("in", "parent", "lan", here)):
                near = "" if way == "out" else there
                done = exchange_udp(
                    far_lans, source, target, to, packets=packets, sizes=SIZES, source_address=near
                )
                assert done.sent == done.received
                sent[name, way, "inner"] = done.sent
                headers = 48 if ":" in here else 28
                octets = packets // 2 * sum(tunnel.esp_octets(size + headers) for size in SIZES)
                # by subnets c is one host, and its policy, and so its SAs, hold more
                if (name, by) != ("c", "subnets"):
                    sent[name, way, "esp-share"] = Volume(packets, octets)
                wire[way] += octets
        for way, octets in wire.items():
            packets = sum(volume.packets for key, volume in sent.items() if key[1:] == (way, "inner"))
            sent["esp", way, "wire"] = sent["T1", way, "wire"] = Volume(packets, octets)

        rows = agent.counters()
        assert {key: volume(row) for key, row in rows.items() if row["packets"]} == sent
        assert not [key for key in rows if key[0] in NAMED[by] and key[2] == "wire"]
        for row in rows.values():
            assert volume(row) == volume(row, "nflog_")


@pytest.mark.parametrize("backend", ["nft", "iptables-nft", "iptables-legacy-no-nfacct"])
def test_transport_mode_beside_a_tunnel_of_the_same_peer_is_told_by_its_reqid(
    topology: Topology, tmp_path: Path, backend: str
) -> None:
    named = {
        "not-hosts": {"peer": FAR, "reqid": 4},
        "lans": {"peer": FAR, "subnets": {"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}},
        "hosts": {"peer": FAR, "reqid": 3},
        "anybody": {"subnets": {"local": "0.0.0.0/0", "remote": "0.0.0.0/0"}},
    }
    add_esp_tunnel(topology, EspTunnel())
    for role in ("router", "parent"):
        out, back = ("out", "in") if role == "router" else ("in", "out")
        topology.ip(role, TRANSPORT.format(out=out, back=back))
    with running(topology, tmp_path, named, backend) as agent:
        sent = {
            ("lans", "out"): exchange_udp(topology, "lan", "parent", FAR_LAN, packets=40).sent,
            ("lans", "in"): exchange_udp(
                topology, "parent", "lan", LAN, packets=30, source_address=FAR_LAN
            ).sent,
            ("hosts", "out"): exchange_udp(topology, "router", "parent", FAR, packets=20).sent,
            ("hosts", "in"): exchange_udp(topology, "parent", "router", WAN, packets=10).sent,
        }
        rows = agent.counters()
        inner = {key[:2]: volume(row) for key, row in rows.items() if key[2] == "inner" and row["packets"]}
        assert inner == sent


def test_subnets_are_those_of_the_policy_where_this_router_translates_into_the_tunnel(
    topology: Topology, tmp_path: Path
) -> None:
    """The policy knows the LAN as 10.9.0.1 only."""
    subprocess.run(["modprobe", "iptable_nat"], check=True)  # nft's own NAT chains do not load in the guest
    topology.run("router", *SNAT)
    add_esp_tunnel(topology, EspTunnel(inner_local="10.9.0.1/32"))
    named = {
        "before-nat": {"subnets": {"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}},
        "policy": {"subnets": {"local": "10.9.0.1", "remote": "10.2.0.0/24"}},
    }
    try:
        with running(topology, tmp_path, named, "nft") as agent:
            done = exchange_udp(topology, "lan", "parent", FAR_LAN, packets=40)
            rows = agent.counters()
            assert volume(rows["policy", "out", "inner"]) == done.sent == done.received
            assert rows["before-nat", "out", "inner"]["packets"] == 0
            assert rows["T1", "out", "wire"]["packets"] == 40
    finally:
        topology.run("router", "iptables-legacy", "-t", "nat", "-F")
