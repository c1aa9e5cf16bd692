"""`ipsecmon init` in lab routers with real ESP, PPPoE, GRE and L2TP: its config counts right as it stands.

Expected figures: what the two ends sent and received, RFC 4303's arithmetic for ESP, the headers of
GRE (RFC 2784) and of L2TP's data messages (RFC 2661), and the NIC's own counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.guest.routers import (
    GRE_HEADER,
    L2TP_HEADERS,
    Transport,
    gre_link,
    l2tp_session,
    pppoe_session,
)
from tests.guest.sites import xfrm_interface
from tests.guest.topology import EspTunnel, add_esp_tunnel
from tests.netns.agent import Agent
from tests.netns.exchange import Volume, exchange_udp
from tests.netns.proposal import assert_exact, checked, init, start_as_proposed
from tests.netns.topology import FAR, FAR6, FAR_LAN, FAR_LAN6, LAN, LAN6, WAN, Topology

DEFAULT = f"route add default via {FAR}\n"
PEER = "198.51.100.7"
PACKETS = 200
HOME_PACKETS = 100
SIZES = {"out": 300, "in": 1000}  # octets of payload
SECOND = "203.0.113.3"  # of the far side, as another site
LIBRESWAN = f"""
conn hq-parent
  left=%defaultroute
  right={FAR}
  auto=start
"""
ROAD_WARRIORS = """
conn l2tp-psk
  left=%defaultroute
  leftprotoport=17/1701
  right=%any
  rightprotoport=17/%any
  type=transport
  auto=add
"""


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    topology.ip("router", DEFAULT)
    made = Agent(topology, tmp_path, {})
    yield made
    made.end()
    topology.ip("router", "route flush default\n")


@pytest.fixture
def ipsec_conf() -> Iterator[Path]:
    """Of this guest, which forgets what is written."""
    file = Path("/etc/ipsec.conf")
    yield file
    file.unlink()


def exchange(topology: Topology, far: str, lan: str = LAN, **more: Any) -> dict[str, Volume]:
    """What was sent between the lan and an address of the far side, by direction, all of which arrived."""
    out = exchange_udp(topology, "lan", topology.far, far, packets=PACKETS, sizes=(SIZES["out"],), **more)
    more["source_address"] = far
    home = exchange_udp(
        topology, topology.far, "lan", lan, packets=HOME_PACKETS, sizes=(SIZES["in"],), **more
    )
    assert (out.sent, home.sent) == (out.received, home.received)
    return {"out": out.sent, "in": home.sent}


def wrapped(inner: Volume, headers: int) -> Volume:
    return Volume(inner.packets, inner.octets + inner.packets * headers)


def esp(inner: Volume, octets: Any) -> Volume:
    """On the wire. octets: of one ESP packet by those of what is in it, which are all of one size."""
    return Volume(inner.packets, inner.packets * octets(inner.octets // inner.packets))


def test_straight_ipsec_counts_right_as_proposed(topology: Topology, agent: Agent, ipsec_conf: Path) -> None:
    ipsec_conf.write_text(LIBRESWAN)
    tunnels = {
        "hq-parent": (EspTunnel(), FAR_LAN, LAN),
        f"ipsec-{FAR6}": (
            EspTunnel(spi=0x200, reqid=2, outer=6, inner_local="fd01::/64", inner_remote="fd02::/64"),
            FAR_LAN6,
            LAN6,
        ),
    }
    for tunnel, _, _ in tunnels.values():
        add_esp_tunnel(topology, tunnel)
    start_as_proposed(topology, agent)

    expected = {}
    for name, (tunnel, far, lan) in tunnels.items():
        for way, inner in exchange(topology, far, lan).items():
            expected[name, way, "inner"] = inner
            expected[name, way, "wire"] = esp(inner, tunnel.esp_octets)
    for way, clear in exchange(topology, FAR).items():
        expected["other", way, "wire"] = clear
    assert_exact(agent, expected, "wan0")


def test_gre_sites_over_ipsec_count_right_as_proposed(topology: Topology, agent: Agent) -> None:
    topology.ip("parent", f"addr add {SECOND}/24 dev eth0\naddr add 10.3.0.1/24 dev lo\n")
    topology.neighbours("router", "wan0", topology.link_address("parent", "eth0"), SECOND)
    for spi, parent in ((0x300, FAR), (0x400, SECOND)):
        Transport(spi, "proto gre", "proto gre", parent=parent).add(topology)
    with gre_link(topology, "berlin", WAN, FAR), gre_link(topology, "lyon", WAN, SECOND):
        topology.ip("router", "route replace 10.2.0.0/24 dev berlin\nroute add 10.3.0.0/24 dev lyon\n")
        topology.ip("parent", "route replace 10.1.0.0/24 dev berlin\n")
        start_as_proposed(topology, agent)

        expected = {}
        for name, far in (("berlin", FAR_LAN), ("lyon", "10.3.0.1")):
            topology.ip("parent", f"route replace 10.1.0.0/24 dev {name}\n")
            for way, sent in exchange(topology, far).items():
                expected[name, way, "ip"] = sent
                expected[name, way, "inner"] = wrapped(sent, GRE_HEADER)
                expected[name, way, "wire"] = esp(expected[name, way, "inner"], Transport.esp_octets)
        assert_exact(agent, expected, "wan0")
    topology.ip("router", f"route add 10.2.0.0/24 via {FAR}\n")
    topology.ip("parent", f"route add 10.1.0.0/24 via {WAN}\n")


def test_a_tunnel_through_an_xfrm_interface_counts_right_as_proposed(
    topology: Topology, agent: Agent
) -> None:
    tunnel = EspTunnel(spi=0x700, reqid=7, if_id=7)
    with xfrm_interface(topology, tunnel.if_id, tunnel.inner_remote):
        add_esp_tunnel(topology, tunnel)
        text = start_as_proposed(topology, agent)
        assert "    inside: xfrm   # xf0: layer by layer\n" in text
        assert f"# - xf0: an xfrm interface (if_id 0x7); its IPsec is that of ipsec-{FAR}: counted" in text

        expected = {}
        for way, sent in exchange(topology, FAR_LAN).items():
            expected[f"ipsec-{FAR}", way, "ip"] = sent
            expected[f"ipsec-{FAR}", way, "inner"] = sent
            expected[f"ipsec-{FAR}", way, "wire"] = esp(sent, tunnel.esp_octets)
        assert_exact(agent, expected, "wan0")


def test_l2tp_road_warriors_over_ipsec_count_right_as_proposed(
    topology: Topology, agent: Agent, tmp_path: Path, ipsec_conf: Path
) -> None:
    ipsec_conf.write_text(ROAD_WARRIORS)
    warrior = "10.9.0.2"
    Transport(0x500, "proto udp sport 1701", "proto udp dport 1701").add(topology)
    with l2tp_session(topology, tmp_path, "10.9.0.1", warrior):
        topology.ip("parent", "route replace 10.1.0.0/24 dev ppp0\n")
        text = start_as_proposed(topology, agent)
        assert not yaml.safe_load(text).get("counters")

        expected = {}
        for way, sent in exchange(topology, warrior).items():
            expected["inner", way, "inner"] = wrapped(sent, L2TP_HEADERS)
            expected["esp", way, "wire"] = esp(expected["inner", way, "inner"], Transport.esp_octets)
        assert_exact(agent, expected, "wan0")
    topology.ip("parent", f"route add 10.1.0.0/24 via {WAN}\n")


def test_a_pppoe_line_with_ipsec_on_it_counts_right_as_proposed(
    topology: Topology, agent: Agent, tmp_path: Path
) -> None:
    """wan0 keeps its addresses, as a modem's network; the line is what the default route leaves by."""
    topology.ip("router", "route flush default\n")
    local, remote, clear = "192.0.2.2", "192.0.2.1", "10.8.0.1"
    topology.ip("parent", f"addr add {clear}/32 dev lo\n")
    tunnel = EspTunnel(spi=0x600, router=local, parent=remote)
    with pppoe_session(topology, tmp_path, local, remote):
        topology.ip("router", "route del 10.2.0.0/24\n")
        topology.ip("parent", "route replace 10.1.0.0/24 dev ppp0\n")
        add_esp_tunnel(topology, tunnel)
        start_as_proposed(topology, agent)

        expected = {}
        for way, inner in exchange(topology, FAR_LAN).items():
            expected[f"ipsec-{remote}", way, "inner"] = inner
            expected[f"ipsec-{remote}", way, "wire"] = esp(inner, tunnel.esp_octets)
        for way, sent in exchange(topology, clear).items():
            expected["other", way, "wire"] = sent
        assert_exact(agent, expected, "ppp0", link_header=0)
    topology.ip("router", f"route add 10.2.0.0/24 via {FAR}\n")
    topology.ip("parent", f"route add 10.1.0.0/24 via {WAN}\n")


@pytest.mark.parametrize(
    ("link", "told"),
    [
        (f"gre1 type gre local 203.0.113.1 remote {PEER}", f"# - gre1: GRE to {PEER}"),
        ("wan0.7 link wan0 type vlan id 7", "VLAN 7 on wan0"),
    ],
)
def test_an_interface_on_the_line_is_explained(
    topology: Topology, agent: Agent, link: str, told: str
) -> None:
    name = link.split()[0]
    topology.ip("router", f"link add {link}\nlink set {name} up\n")
    try:
        text = init(topology, *(["--line", name] if "vlan" in link else []))
        assert told in text
        checked(topology, agent, text)
    finally:
        topology.ip("router", f"link del {name}\n")
