"""Inside tunnels layer by layer, over real ESP: GRE to a site, L2TP of two road warriors by xl2tpd, and what
is routed into an xfrm interface.

Expected figures: what the sockets at the ends sent, the headers of GRE (RFC 2784) and of L2TP's data messages
(RFC 2661), and RFC 4303's arithmetic. L2TP and PPP have control packets of their own. Those of L2TP are in
the outer layers alone; those of PPP's network protocols, and the router's multicast, are in the interface's
counters: there is a bound for how many there can be in a session.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.guest.routers import GRE_HEADER, L2TP_HEADERS, Transport, gre_link, l2tp_session
from tests.guest.sites import xfrm_interface
from tests.guest.topology import EspTunnel, add_esp_tunnel, add_sas, delete_sas
from tests.netns.agent import Agent
from tests.netns.exchange import Volume, exchange_udp
from tests.netns.topology import FAR, FAR_LAN, LAN, WAN, Topology

SECOND, SITE_LAN = "203.0.113.3", "10.3.0.1"
ANNA, NAMELESS = "10.9.0.2", "10.9.0.3"
PACKETS, SIZES = {"out": 60, "in": 40}, {"out": 200, "in": 1000}  # octets of payload
COUNTERS = [
    {"name": "berlin", "ipsec": {"peer": SECOND}, "inside": "gre"},
    {"name": "warriors", "ipsec": {"peer": FAR}, "inside": "l2tp"},
]
IF_ID = 7
TO_PARENT = EspTunnel(if_id=IF_ID)
TO_LYON = EspTunnel(0x400, 2, inner_remote="10.3.0.0/24", parent=SECOND, if_id=IF_ID)
XFRM_COUNTERS = [
    {"name": "parent", "ipsec": {"peer": FAR}, "inside": "xfrm"},
    {"name": "lyon", "ipsec": {"peer": SECOND}, "inside": "xfrm"},
]
CONTROL_PACKETS, CONTROL_OCTETS = 12, 76  # of a session's interface, at most; the largest is an MLDv2 report
L2TP_CONTROL_PACKETS = (
    60  # of two sessions, at most: 4 messages to begin, 2 to end, LCP, and what is sent again
)
NOTHING = Volume(0, 0)


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    """Not started; the interval is long, so that nothing is read but where a test asks for it."""
    names = tmp_path / "names"
    names.write_text(f"{ANNA} anna\n")
    topology.ip("parent", f"addr add {SECOND}/24 dev eth0\naddr add {SITE_LAN}/24 dev lo\n")
    topology.neighbours("router", "wan0", topology.link_address("parent", "eth0"), SECOND)
    settings = {"interval": "1h", "counters": COUNTERS, "warriors": {"names": str(names)}}
    made = Agent(topology, tmp_path, settings)
    yield made
    made.end()
    addresses = f"addr del {SITE_LAN}/24 dev lo\naddr del {SECOND}/24 dev eth0\n"
    topology.ip("parent", f"route replace 10.1.0.0/24 via {WAN}\n{addresses}")


def exchange(topology: Topology, way: str, far: str) -> Volume:
    """What was sent between the lan and an address of the far side, all of which arrived."""
    ends = ("lan", "parent", far) if way == "out" else ("parent", "lan", LAN)
    source = "" if way == "out" else far
    told = exchange_udp(topology, *ends, packets=PACKETS[way], sizes=(SIZES[way],), source_address=source)
    assert told.sent == told.received
    return told.sent


def tunnels(agent: Agent) -> dict[str, Any]:
    """By name, after the interval was closed."""
    told = json.loads(agent.call("tunnels", "--json", "--now"))["tunnels"]
    return {one["name"]: one for one in told}


def volumes(ones: list[dict[str, Any]], key: str, way: str) -> dict[str, Volume]:
    return {one[key]: Volume(one[way]["packets"], one[way]["octets"]) for one in ones}


def wrapped(inner: Volume, headers: int) -> Volume:
    return Volume(inner.packets, inner.octets + inner.packets * headers)


def added(one: Volume, other: Volume, sign: int = 1) -> Volume:
    return Volume(one.packets + sign * other.packets, one.octets + sign * other.octets)


def test_each_layer_is_exact_and_a_hangup_or_a_restart_of_the_agent_loses_nothing(
    topology: Topology, agent: Agent, tmp_path: Path
) -> None:
    """Nobody reads between the first packet and the last but one agent as it stops and one as it starts."""
    Transport(0x300, "proto gre", "proto gre", parent=SECOND).add(topology)
    Transport(0x500, "proto udp sport 1701", "proto udp dport 1701").add(topology)
    sent: dict[tuple[str, str], Volume] = {}

    def pass_on(whom: str, device: str, far: str, *ways: str) -> None:
        topology.ip("parent", f"route replace 10.1.0.0/24 dev {device}\n")
        for way in ways:
            sent[whom, way] = added(sent.get((whom, way), NOTHING), exchange(topology, way, far))

    with gre_link(topology, "gre1", WAN, SECOND):
        topology.ip("router", "route replace 10.3.0.0/24 dev gre1\n")
        agent.start()
        pass_on("gre1", "gre1", SITE_LAN, "out", "in")
        with l2tp_session(topology, tmp_path, "10.9.0.1", ANNA):
            pass_on("anna", "ppp0", ANNA, "out", "in")
        with l2tp_session(topology, tmp_path, "10.9.0.1", NAMELESS):
            pass_on(NAMELESS, "ppp0", NAMELESS, "in")
            agent.stop()
            pass_on(NAMELESS, "ppp0", NAMELESS, "out")
            pass_on("gre1", "gre1", SITE_LAN, "in")
            agent.start()
    found = tunnels(agent)
    for way in ("in", "out"):
        _check_gre(found["berlin"], sent["gre1", way], way)
        _check_warriors(found["warriors"], {who: sent[who, way] for who in ("anna", NAMELESS)}, way)


def _check_gre(found: dict[str, Any], sent: Volume, way: str) -> None:
    gre = wrapped(sent, GRE_HEADER)
    esp = Volume(gre.packets, gre.packets * Transport.esp_octets(gre.octets // gre.packets))
    assert volumes(found["layers"], "layer", way) == {"esp": esp, "gre": gre, "ip": sent}
    assert volumes(found["interfaces"], "name", way) == {"gre1": sent}


def _check_warriors(found: dict[str, Any], sent: dict[str, Volume], way: str) -> None:
    warriors = volumes(found["warriors"], "name", way)
    assert set(warriors) == set(sent)
    for name, one in warriors.items():
        control = added(one, sent[name], -1)
        assert 0 <= control.packets <= CONTROL_PACKETS, (name, way, control)
        assert 0 <= control.octets <= control.packets * CONTROL_OCTETS, (name, way, control)
    layers = volumes(found["layers"], "layer", way)
    first, second = warriors.values()
    assert layers["ip"] == added(first, second)
    control = added(layers["l2tp"], wrapped(layers["ip"], L2TP_HEADERS), -1)
    assert 0 <= control.packets <= L2TP_CONTROL_PACKETS, (way, control)
    assert layers["esp"].packets == layers["l2tp"].packets


def test_an_xfrm_interface_has_what_was_sent_through_rekeys_and_when_it_is_made_again(
    topology: Topology, agent: Agent
) -> None:
    """Nobody reads but one agent as it stops and one as it starts. What no SA takes is not in it."""
    agent.configure(counters=XFRM_COUNTERS)
    add_esp_tunnel(topology, TO_PARENT)
    sent, renewed = {"out": NOTHING, "in": NOTHING}, replace(TO_PARENT, spi=0x200)

    def pass_on(*ways: str) -> None:
        for way in ways:
            sent[way] = added(sent[way], exchange(topology, way, FAR_LAN))

    with xfrm_interface(topology, IF_ID, TO_PARENT.inner_remote):
        agent.start()
        pass_on("out", "in")
        add_sas(topology, renewed)
        delete_sas(topology, TO_PARENT)
        pass_on("out", "in")
    with xfrm_interface(topology, IF_ID, TO_PARENT.inner_remote):
        pass_on("out")
        agent.stop()
        pass_on("in")
        agent.start()
        delete_sas(topology, renewed)
        assert exchange_udp(topology, "lan", "parent", FAR_LAN, packets=10).received == NOTHING
        found = tunnels(agent)["parent"]
    for way in ("in", "out"):
        _check_xfrm(found, sent[way], way)
    octets = {one["layer"]: one["in"]["octets"] + one["out"]["octets"] for one in found["layers"]}
    ratios = [one["overhead_ratio"] for one in found["layers"]]
    assert ratios == [round(octets["esp"] / octets["ip"], 4), 1.0, None]


def _check_xfrm(found: dict[str, Any], sent: Volume, way: str) -> None:
    esp = Volume(sent.packets, sent.packets * TO_PARENT.esp_octets(sent.octets // sent.packets))
    assert volumes(found["layers"], "layer", way) == {"esp": esp, "xfrm": sent, "ip": sent}
    assert volumes(found["interfaces"], "name", way) == {"xf0": sent}


def test_an_xfrm_interface_that_two_tunnels_have_sas_of_is_in_neither_and_that_is_said(
    topology: Topology, agent: Agent
) -> None:
    agent.configure(counters=XFRM_COUNTERS)
    for tunnel in (TO_PARENT, TO_LYON):
        add_esp_tunnel(topology, tunnel)
    with xfrm_interface(topology, IF_ID, TO_PARENT.inner_remote, TO_LYON.inner_remote):
        agent.start()
        sent = {
            name: exchange(topology, "out", far) for name, far in (("parent", FAR_LAN), ("lyon", SITE_LAN))
        }
        found = tunnels(agent)
        told = json.loads(agent.call("status", "--json"))["layers"]
    for name, one in sent.items():
        layers = volumes(found[name]["layers"], "layer", "out")
        assert layers["xfrm"] == one
        assert "ip" not in layers
        assert any(note.startswith("no xfrm interface is known") for note in found[name]["notes"])
    assert "xf0" in told["unclaimed"]
    assert told["shared"] == {"xf0": ["lyon", "parent"]}
