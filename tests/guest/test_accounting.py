"""A tunnel and clear traffic on one line, on real ESP: each octet once, at its observation point.

What must be on the wire is RFC 4303's arithmetic over what the two ends sent and received, and what quiet
NICs counted; no figure here comes from netfilter or XFRM.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest.topology import EspTunnel, add_esp_tunnel
from tests.netns.agent import Agent, volume
from tests.netns.backends import BACKENDS
from tests.netns.exchange import LINK_HEADER, Volume, exchange_udp
from tests.netns.topology import FAR, FAR6, FAR_LAN, FAR_LAN6, LAN, LAN6, WAN, Topology

PACKETS = 500
SIZES = (30, 200, 1000, 1300)
TRANSPORT = """
xfrm state add src 203.0.113.1 dst 203.0.113.2 proto esp spi 0x300 reqid 3 mode transport aead rfc4106(gcm(aes)) 0x{{key}} 128
xfrm state add src 203.0.113.2 dst 203.0.113.1 proto esp spi 0x301 reqid 3 mode transport aead rfc4106(gcm(aes)) 0x{{key}} 128
xfrm policy add src 203.0.113.1 dst 203.0.113.2 dir {out} tmpl proto esp reqid 3 mode transport
xfrm policy add src 203.0.113.2 dst 203.0.113.1 dir {back} tmpl proto esp reqid 3 mode transport
""".replace("{{key}}", "0" * 39 + "3")  # noqa: E501 - ip(8) wants each command on one line
SETTINGS: dict[str, Any] = {
    "counters": [
        {"name": "VPN-to-parent", "ipsec": {"peer": FAR}},
        {"name": "VPN-by-IPv6", "ipsec": {"peer": FAR6}},
        {"name": "voip-in-parent", "match": {"proto": "udp", "port": 5060}, "inside_tunnel": "VPN-to-parent"},
        {"name": "clear-flow", "match": {"proto": "udp", "port": 9000}},
    ]
}
TUNNELS = {
    "gcm": EspTunnel(cipher="gcm"),
    "cbc": EspTunnel(cipher="cbc"),
    "gcm-over-ipv6": EspTunnel(cipher="gcm", outer=6),
    "ipv6-in-ipv4": EspTunnel(cipher="gcm", inner_local="fd01::/64", inner_remote="fd02::/64"),
    "ipv6-in-ipv6": EspTunnel(cipher="gcm", outer=6, inner_local="fd01::/64", inner_remote="fd02::/64"),
}


# the guest is slow: each backend meets each family inside and outside, and each mode, once
EACH = pytest.mark.parametrize("agent", ["nft", "iptables-nft", "iptables-legacy-no-nfacct"], indirect=True)
WAYS = [
    *(("nft", kind) for kind in TUNNELS),
    *(("iptables-nft", kind) for kind in ("gcm-over-ipv6", "ipv6-in-ipv4")),
    *(("iptables-legacy-no-nfacct", kind) for kind in ("gcm", "ipv6-in-ipv6")),
]


@pytest.fixture
def agent(topology: Topology, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {**SETTINGS, **BACKENDS[getattr(request, "param", "nft")]})
    made.start()
    yield made
    made.end()
    if made.settings["backend"] == "iptables-legacy":  # whose tables know nothing of a flush by nft
        made.call("rules", "remove")


def on_the_wire(tunnel: EspTunnel, headers: int) -> Volume:
    """ESP of PACKETS packets of SIZES in turn. headers: IP and UDP inside."""
    octets = [tunnel.esp_octets(size + headers) for size in SIZES]
    return Volume(PACKETS, sum(octets[number % len(SIZES)] for number in range(PACKETS)))


@pytest.mark.parametrize(("agent", "kind"), WAYS, indirect=["agent"])
def test_a_tunnel_and_a_clear_flow_are_exact_and_nothing_is_counted_twice(
    topology: Topology, agent: Agent, kind: str
) -> None:
    tunnel = TUNNELS[kind]
    six = ":" in tunnel.inner_local
    here, there, headers = (LAN6, FAR_LAN6, 48) if six else (LAN, FAR_LAN, 28)
    add_esp_tunnel(topology, tunnel)

    def send(source: str, target: str, to: str, **more: Any) -> Volume:
        done = exchange_udp(topology, source, target, to, packets=PACKETS, sizes=SIZES, **more)
        assert done.sent == done.received
        return done.sent

    inner = {"out": send("lan", "parent", there), "in": send("parent", "lan", here, source_address=there)}
    clear = {
        "out": send("lan", "parent", FAR, port=9000),
        "in": send("parent", "lan", LAN, port=9000, source_address=FAR),
    }

    name = "VPN-to-parent" if tunnel.outer == 4 else "VPN-by-IPv6"
    esp = on_the_wire(tunnel, headers)
    report = agent.report()
    found = {(row["name"], row["direction"], row["observed_at"]): row for row in report["counters"]}
    for direction in ("in", "out"):
        line = Volume(2 * PACKETS, esp.octets + clear[direction].octets)
        expected = {
            ("T1", direction, "wire"): line,
            (name, direction, "wire"): esp,
            ("clear-flow", direction, "wire"): clear[direction],
            (name, direction, "inner"): inner[direction],
        }
        some = {key: volume(row) for key, row in found.items() if key[1] == direction and row["packets"]}
        assert some == expected
        nic = next(row for row in report["interfaces"] if row["direction"] == direction)
        assert nic["frames"] == line.packets
        assert nic["octets"] == line.octets + line.packets * LINK_HEADER
    for row in found.values():
        assert volume(row) == volume(row, "nflog_")
        assert (row["lost_packets"], row["pending_packets"]) == (0, 0)


def test_a_drill_down_is_part_of_its_tunnel_and_not_of_the_line(topology: Topology, agent: Agent) -> None:
    add_esp_tunnel(topology, TUNNELS["gcm"])
    voip = exchange_udp(topology, "lan", "parent", FAR_LAN, port=5060, packets=100).sent
    rest = exchange_udp(topology, "lan", "parent", FAR_LAN, port=7000, packets=50).sent
    clear = exchange_udp(topology, "lan", "parent", FAR, port=5060, packets=30).sent

    rows = agent.counters()
    both = Volume(voip.packets + rest.packets, voip.octets + rest.octets)
    assert volume(rows["voip-in-parent", "out", "inner"]) == voip
    assert volume(rows["VPN-to-parent", "out", "inner"]) == both
    assert volume(rows["other", "out", "wire"]) == clear
    assert rows["T1", "out", "wire"]["packets"] == both.packets + clear.packets


@EACH
def test_transport_mode_is_told_by_the_packets_own_addresses(topology: Topology, agent: Agent) -> None:
    """GCM: 8 of ESP, 8 of IV, padded UDP and trailer, 16 of ICV, behind the one IP header (RFC 4303)."""
    for role in ("router", "parent"):
        out, back = ("out", "in") if role == "router" else ("in", "out")
        topology.ip(role, TRANSPORT.format(out=out, back=back))
    away = exchange_udp(topology, "router", "parent", FAR, packets=100, sizes=(200,)).sent
    home = exchange_udp(topology, "parent", "router", WAN, packets=50, sizes=(1000,)).sent

    rows = agent.counters()
    for direction, inner, payload in (("out", away, 208), ("in", home, 1008)):
        esp = 20 + 8 + 8 + -(-(payload + 2) // 4) * 4 + 16
        assert volume(rows["VPN-to-parent", direction, "inner"]) == inner
        assert volume(rows["VPN-to-parent", direction, "wire"]) == Volume(inner.packets, inner.packets * esp)
        assert volume(rows["T1", direction, "wire"]) == volume(rows["VPN-to-parent", direction, "wire"])


def test_a_tunnel_of_no_name_is_esp_on_the_wire_and_inner_inside(topology: Topology, tmp_path: Path) -> None:
    agent = Agent(topology, tmp_path, {})
    try:
        agent.start()
        add_esp_tunnel(topology, TUNNELS["gcm"])
        sent = exchange_udp(topology, "lan", "parent", FAR_LAN, packets=100).sent

        rows = agent.counters()
        assert volume(rows["inner", "out", "inner"]) == sent
        assert rows["esp", "out", "wire"]["packets"] == 100
        assert rows["esp", "out", "wire"]["octets"] == 100 * TUNNELS["gcm"].esp_octets(sent.octets // 100)
    finally:
        agent.end()


def test_the_nfmark_of_a_tunnel_is_on_its_inner_packets_in_our_bits_only(
    topology: Topology, agent: Agent
) -> None:
    add_esp_tunnel(topology, TUNNELS["gcm"])
    topology.run("router", "nft", "-f", "-", text=MARKS)
    agent.report()
    exchange_udp(topology, "parent", "lan", LAN, packets=20, source_address=FAR_LAN)
    exchange_udp(topology, "lan", "parent", FAR_LAN, packets=20)

    listed = topology.run("router", "nft", "list", "counters", "table", "inet", "ipsecmon_live")
    assert listed.count("packets 20 ") == 2, listed


def test_no_packet_is_tagged_where_an_sa_lives_by_marks(topology: Topology, tmp_path: Path) -> None:
    """An SA with a full mask and a bit of ours in the packet's mark gives no packet at all."""
    for role in ("router", "parent"):
        topology.ip(role, "rule add fwmark 0x10000/0xff0000 lookup main\n")
    agent = Agent(topology, tmp_path, SETTINGS)
    try:
        agent.start()
        assert "packets are not tagged by nfmark" in agent.log()
        add_esp_tunnel(topology, TUNNELS["gcm"])
        sent = exchange_udp(topology, "lan", "parent", FAR_LAN, packets=20).sent
        assert volume(agent.counters()["VPN-to-parent", "out", "inner"]) == sent
        assert "mark set" not in topology.run("router", "nft", "list", "ruleset")
    finally:
        agent.end()
        for role in ("router", "parent"):
            topology.ip(role, "rule del fwmark 0x10000/0xff0000 lookup main\n")


# in a table of our other name: anybody else's rule that looks at our bits would end the tagging
MARKS = """
table inet ipsecmon_live {
  counter inside { }
  counter encrypted { }
  chain forward { type filter hook forward priority 0;
    meta secpath exists meta mark 0x00010000 counter name inside
  }
  chain output { type filter hook output priority 0;
    meta l4proto esp meta mark 0x00010000 counter name encrypted
  }
}
"""
