"""AH (RFC 4302) by real SAs: a part of the line, its own or a tunnel's, and what it protects is inside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.agent import Agent
from tests.netns.backends import BACKENDS
from tests.netns.exchange import LINK_HEADER, Volume, exchange_udp
from tests.netns.topology import FAR, FAR6, FAR_LAN, FAR_LAN6, LAN, LAN6, WAN, WAN6, Topology

PACKETS = 100
COUNTERS = [{"name": "VPN-to-parent", "ipsec": {"peer": FAR}}]


@pytest.fixture(params=["nft", "iptables-nft"])
def agent(topology: Topology, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {"counters": COUNTERS, **BACKENDS[request.param]})
    made.start()
    yield made
    made.end()


def add_ah_tunnel(topology: Topology, ends: tuple[str, str], inside: tuple[str, str], spi: int) -> None:
    """ends: the router's address, the parent's. inside: the networks behind them."""
    template = "tmpl src {} dst {} proto ah reqid 9 mode tunnel".format
    for role in ("router", topology.far):
        lines = [
            f"xfrm state add src {a} dst {b} proto ah spi {number:#x} reqid 9 mode tunnel replay-window 64 "
            f"auth-trunc hmac(sha256) 0x{number:064x} 128"
            for a, b, number in ((*ends, spi), (*ends[::-1], spi + 1))
        ]
        away, home = (("out",), ("in", "fwd")) if role == "router" else (("in", "fwd"), ("out",))
        for (a, b), pair, ways in ((inside, ends, away), (inside[::-1], ends[::-1], home)):
            lines += [f"xfrm policy add src {a} dst {b} dir {way} {template(*pair)}" for way in ways]
        topology.ip(role, "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("ends", "inside", "hosts", "part", "inner"),
    [
        (
            (WAN, FAR),
            ("10.1.0.0/24", "10.2.0.0/24"),
            (LAN, FAR_LAN),
            "VPN-to-parent",
            "VPN-to-parent",
        ),
        ((WAN6, FAR6), ("fd01::/64", "fd02::/64"), (LAN6, FAR_LAN6), "ah", "inner"),
    ],
    ids=["named-ipv4", "unnamed-ipv6"],
)
def test_ah_is_counted_once_on_the_line_and_once_inside(
    topology: Topology,
    agent: Agent,
    ends: tuple[str, str],
    inside: tuple[str, str],
    hosts: tuple[str, str],
    part: str,
    inner: str,
) -> None:
    add_ah_tunnel(topology, ends, inside, 0x900)
    lan, far = hosts
    before = topology.nic("router", "wan0")
    sent = {
        "out": exchange_udp(topology, "lan", "parent", far, packets=PACKETS, sizes=(100, 900)),
        "in": exchange_udp(topology, "parent", "lan", lan, packets=PACKETS, source_address=far),
    }
    nic = topology.nic("router", "wan0").since(before)
    found: dict[str, Any] = json.loads(agent.call("line", "--json", "--now"))
    rows = agent.counters(now=False)

    frames = {"in": (nic.in_packets, nic.in_octets), "out": (nic.out_packets, nic.out_octets)}
    for way, (packets, octets) in frames.items():
        assert packets == PACKETS
        on_the_line = {one["name"]: one["octets"] for one in found[way]["parts"] if one["packets"]}
        assert on_the_line == {part: octets - packets * LINK_HEADER}
        assert found[way]["agreement"] == "agree", found[way]
        row = rows[inner, way, "inner"]
        assert Volume(row["packets"], row["octets"]) == sent[way].sent == sent[way].received
