"""Named tunnels are exact, in octets and packets, both ways, in every mode, by either reader.

What must have passed is what sockets at both ends and a capture on the LAN counted; nothing here is XFRM's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest.conversation import captured, converse
from tests.guest.rekeys import rekeying
from tests.guest.sites import Sites
from tests.guest.topology import EspTunnel, add_esp_tunnel
from tests.guest.tunnel_meter import TunnelMeter, added, carried
from tests.guest.tunnel_modes import COUNTERS, MODES, mode_in_place
from tests.netns.agent import Agent, volume
from tests.netns.exchange import Volume, exchange_udp

PACKETS = 200
REKEYS, RATE = 100, 200
MANUAL = (Path(__file__).parents[2] / "docs" / "tunnels.md").read_text()
DOCUMENTED = {
    "gcm": "tunnel, IPv4 in IPv4, AES-GCM",
    "cbc": "tunnel, IPv4 in IPv4, AES-CBC and HMAC-SHA-256",
    "gcm-over-ipv6": "tunnel, IPv4 in IPv6, AES-GCM",
    "ipv6-in-ipv4": "tunnel, IPv6 in IPv4, AES-GCM",
    "cbc-ipv6-in-ipv6": "tunnel, IPv6 in IPv6, AES-CBC and HMAC-SHA-256",
    "nat-t": "tunnel in UDP (NAT-T), AES-GCM",
    "xfrm-interface": "tunnel by an xfrm interface, AES-GCM",
    "transport": "transport, IPv4, AES-GCM",
    "transport-ipv6": "transport, IPv6, AES-GCM",
}
CONFIGS: dict[str, dict[str, Any]] = {
    "netlink": {},
    "ip-xfrm": {"xfrm": {"reader": "ip-xfrm"}},
    "rules-off": {"rules": "off"},
}


@pytest.fixture(scope="module")
def meter(
    all_sites: Sites, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[TunnelMeter]:
    """One agent for all tests of a config: to start one takes the guest seconds."""
    settings = {"interval": "10s", "counters": COUNTERS, **CONFIGS[request.param]}
    agent = Agent(all_sites, tmp_path_factory.mktemp(request.param), settings)
    agent.start()
    yield TunnelMeter(agent)
    agent.end()
    if request.param != "rules-off":
        agent.call("rules", "remove")


def with_agent(config: str) -> pytest.MarkDecorator:
    """Alone: pytest makes a fixture of a module anew for each row of a table that it stands in."""
    return pytest.mark.parametrize("meter", [config], indirect=True)


@with_agent("netlink")
@pytest.mark.parametrize("kind", MODES)
def test_a_tunnel_is_exact_both_ways(sites: Sites, meter: TunnelMeter, kind: str) -> None:
    hold_against_sockets(sites, meter, kind)


@with_agent("netlink")
@pytest.mark.parametrize(("kind", "label"), DOCUMENTED.items())
def test_the_manual_says_what_a_packet_counts_in_each_mode(
    sites: Sites, meter: TunnelMeter, kind: str, label: str
) -> None:
    mode = MODES[kind]
    before = meter.rows()[mode.name]
    meter.start_again()
    with mode_in_place(sites, mode):
        with converse(sites, mode.ends, packets=10, sizes=(1000,)) as talk:
            pass
        row = meter.row(mode.name)

    inner = carried(talk)["out"].octets // 10
    for way in ("in", "out"):
        on_the_line = row[way]["wire_octets"] - before[way]["wire_octets"]
        counted = row[way]["payload_octets"] or row[way]["octets"]
        found = [inner, *(octets // 10 for octets in (counted, row[way]["octets"], on_the_line))]
        assert f"| {label} | {' | '.join(map(str, found))} |\n" in MANUAL


@with_agent("rules-off")
@pytest.mark.parametrize("kind", ["gcm", "road-warrior"])
def test_it_is_without_any_rule(sites: Sites, meter: TunnelMeter, kind: str) -> None:
    hold_against_sockets(sites, meter, kind)


@with_agent("ip-xfrm")
@pytest.mark.parametrize("kind", ["cbc-ipv6-in-ipv6", "transport", "nat-t", "xfrm-interface"])
def test_it_is_by_the_words_of_ip(sites: Sites, meter: TunnelMeter, kind: str) -> None:
    hold_against_sockets(sites, meter, kind)


@with_agent("ip-xfrm")
def test_a_hundred_rekeys_cost_nothing_by_the_words_of_ip(sites: Sites, meter: TunnelMeter) -> None:
    meter.start_again()
    add_esp_tunnel(sites, EspTunnel())
    with converse(sites, packets=RATE * 6, rate=RATE) as talk, rekeying(sites, EspTunnel()) as rekeyer:
        rekeyer.rekey(REKEYS, pause_s=0.05)
    row = meter.row("VPN-to-parent")

    assert {way: volume(row[way]) for way in ("in", "out")} == carried(talk)
    assert (row["rekeys"], row["sas"]) == (REKEYS, 2)
    assert not any(row[way]["error_bound_octets"] or row[way]["unseen_ends"] for way in ("in", "out"))


def hold_against_sockets(sites: Sites, meter: TunnelMeter, kind: str) -> None:
    mode = MODES[kind]
    meter.start_again()
    knock = Volume(0, 0)
    with mode_in_place(sites, mode):
        if kind == "road-warrior":  # whoever is behind NAT speaks first
            lan, warrior = mode.ends
            knock = exchange_udp(
                sites, warrior.role, lan.role, lan.address, packets=1, source_address=warrior.address
            ).received
        with captured(sites) as seen, converse(sites, mode.ends, packets=PACKETS) as talk:
            pass
        row = meter.row(mode.name)

    sent = carried(talk)
    assert sent == {"out": talk.away.received, "in": talk.home.sent}
    if mode.ends[0].role == "lan":
        assert seen == sent
    sent["in"] = added(sent["in"], knock)
    assert {way: volume(row[way]) for way in sent} == sent
    assert {way: row[way]["derived_octets"] for way in sent} == {
        way: mode.headers * passed.packets for way, passed in sent.items()
    }
    assert (row["sas"], row["rekeys"], row["path_loss_packets"]) == (2, 0, None if mode.headers else 0)
    assert not any(row[way]["error_bound_octets"] or row[way]["bridged_octets"] for way in sent)
