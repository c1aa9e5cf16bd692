"""Everything at once on one Internet line, both ways: each octet once, at its observation point.

What must be counted is what a capture in the middle of the line saw, and what the sockets of the hosts sent
and received; nothing here is netfilter's or XFRM's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.guest.flows import Flow, Stream
from tests.guest.head_office import HOSTS_OF, TO_PARENT, HeadOffice, road_warrior_calls, tunnels_stand
from tests.guest.line_meter import WAYS, LineMeter, Passed
from tests.guest.packets import Packet, layers, reassembled, volume_of
from tests.guest.places import GUESTS_PORT, inner_volumes, part_of, parts_of, tunnel_of
from tests.guest.rekeys import Rekeyer, rekeying
from tests.guest.sites import NAT, WARRIOR_PORT, NattPort
from tests.guest.tunnel_meter import added
from tests.guest.wire_tap import captured_line
from tests.netns.agent import Agent
from tests.netns.exchange import LINK_HEADER, Volume
from tests.netns.topology import WAN

AWAY, HOME = (30, 200, 1000, 1300), (1300, 500, 31, 200)
ROUNDS = 4
VOIP = 5060
PORTS = {
    "parent": VOIP,
    "guest": GUESTS_PORT,
    "gateways": 500,
    **{name: 7000 + at for at, name in enumerate(HOSTS_OF) if name not in ("parent", "guest", "gateways")},
}
INTO_TUNNEL = PORTS["guest-into-tunnel"]
GCM = "parent"  # the flow through the one tunnel whose ESP the capture cannot read
SITES = {"gre": ("berlin", "berlin-ipv6"), "l2tp": ("caller",)}
IKE_MESSAGE, KEEPALIVE = bytes(4) + b"\1" * 300, b"\xff"
WEB_OCTETS = 40_000


@dataclass(frozen=True)
class Hour:
    """What was captured on the line, what the hosts of each flow sent and received, what ipsecmon says."""

    captured: list[Packet]
    flows: dict[str, Flow]
    passed: dict[str, Passed]

    def on_the_line(self, way: str) -> list[Packet]:
        return [packet for packet in self.captured if packet.way == way]

    def in_esp(self, way: str) -> list[Packet]:
        """What is in all ESP that the capture can read."""
        return [
            next(layers(one))[1]
            for one in reassembled(self.captured)
            if one.way == way and one.esp is not None and not is_gcm(one)
        ]


def is_gcm(packet: Packet) -> bool:
    """Of the first pair of subnets, whose SPIs begin at that of its first SA."""
    assert packet.esp is not None
    return TO_PARENT.spi <= int.from_bytes(packet.esp[:4], "big") < TO_PARENT.spi + 0x100


@pytest.fixture(scope="module")
def hour(office: HeadOffice, office_agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hour]:
    """A rekey in the middle of it; what was captured and counted once it is over."""
    folder = tmp_path_factory.mktemp("caller")
    with contextlib.ExitStack() as standing:
        ports = standing.enter_context(tunnels_stand(office))
        standing.enter_context(road_warrior_calls(office, folder))
        meter = LineMeter(office_agent)
        flows = {
            name: standing.enter_context(Flow(office, *HOSTS_OF[name], port, outside_first=name == "warrior"))
            for name, port in PORTS.items()
        }
        with (
            captured_line(office) as captured,
            rekeying(office, TO_PARENT) as rekeyer,
            web_visit(office) as web,
        ):
            busy(flows, web, ports, rekeyer)
        yield Hour(captured, flows, meter.passed())


def web_visit(office: HeadOffice) -> Stream:
    return Stream(office, *HOSTS_OF["clear"], 443)


def busy(flows: dict[str, Flow], web: Stream, ports: list[NattPort], rekeyer: Rekeyer) -> None:
    """All flows in turn, packet by packet: with the first SAs, with both, and with the new ones alone."""
    router, warrior = ports
    for change in (None, rekeyer.add, rekeyer.delete_oldest):
        if change:
            change()
        for _ in range(ROUNDS):
            for flow in flows.values():
                flow.speak(AWAY, HOME)
        web.download(WEB_OCTETS)
        web.upload(WEB_OCTETS // 4)
        for payload in (IKE_MESSAGE, KEEPALIVE):
            warrior.send(WAN, 4500, payload)
            router.send(NAT, WARRIOR_PORT, payload)


@pytest.mark.parametrize("way", WAYS)
def test_each_part_of_the_line_is_what_the_capture_saw(hour: Hour, way: str) -> None:
    expected = parts_of(hour.captured, way)

    assert hour.passed[way].parts == expected
    assert set(expected) >= {"ike", "VPN-to-parent", "VPN-by-IPv6", "branch-berlin", "road-warriors"}
    assert set(expected) >= {"l2tp-warriors", "web", "guests", "other"}


@pytest.mark.parametrize("way", WAYS)
def test_the_line_and_its_interface_are_all_of_the_capture(hour: Hour, way: str) -> None:
    frames = hour.on_the_line(way)
    octets = sum(frame.frame_octets for frame in frames)

    assert hour.passed[way].nic == Volume(len(frames), octets)
    assert hour.passed[way].line == volume_of(frames)
    assert hour.passed[way].terms["link-headers"] == len(frames) * LINK_HEADER


@pytest.mark.parametrize("way", WAYS)
def test_the_identity_closes_to_nothing(hour: Hour, way: str) -> None:
    assert (hour.passed[way].word, hour.passed[way].reasons) == ("agree", [])
    assert (hour.passed[way].unexplained, hour.passed[way].unseen) == (0, 0)


@pytest.mark.parametrize("meter", ["inner", "tunnels"])
@pytest.mark.parametrize("way", WAYS)
def test_each_tunnel_is_exact_inside_by_rules_and_by_sas(hour: Hour, way: str, meter: str) -> None:
    null = [one for one in hour.captured if one.esp is None or not is_gcm(one)]
    expected = dict(inner_volumes(null, way))
    gcm = flow_volume(hour.flows[GCM], way)
    expected["VPN-to-parent"] = added(expected["VPN-to-parent"], gcm)
    if meter == "inner":
        expected["voip-in-parent"] = gcm

    assert getattr(hour.passed[way], meter) == expected


@pytest.mark.parametrize("way", WAYS)
def test_what_the_capture_reads_in_esp_is_what_the_hosts_sent_and_received(hour: Hour, way: str) -> None:
    """The two grounds of truth agree: IP packets in tunnels, in GRE and in L2TP."""
    inside: dict[str, list[Packet]] = {}
    for packet in hour.on_the_line(way):
        if packet.esp is not None and not is_gcm(packet):
            kind, innermost = list(layers(packet))[-1]
            inside.setdefault(kind, []).append(innermost)

    for kind, names in SITES.items():
        assert volume_of(inside[kind]) == added(*(flow_volume(hour.flows[name], way) for name in names))
    straight = [one for one in inside["esp"] if 1701 not in one.ports]
    names = ("accounting", "guest-into-tunnel", "ipv6", "warrior")
    assert volume_of(straight) == added(*(flow_volume(hour.flows[name], way) for name in names))


@pytest.mark.parametrize("way", WAYS)
def test_each_packet_has_one_place(hour: Hour, way: str) -> None:
    """All observation points together are all packets of the wire and all that were in ESP, each once."""
    wire, inner = hour.on_the_line(way), hour.in_esp(way)
    gcm = flow_volume(hour.flows[GCM], way)
    passed = hour.passed[way]

    everything = added(*passed.parts.values(), *passed.inner.values())
    drilled_down = passed.inner["voip-in-parent"]
    assert everything == added(volume_of(wire), volume_of(inner), gcm, drilled_down)
    assert sum(part_of(one) in passed.parts for one in wire) == len(wire)
    assert sum(tunnel_of(one) in passed.inner for one in wire if one.esp) == len(inner) + gcm.packets
    nobodys = {name for name in ("esp", "nat-t", "inner", "unnamed") if name in passed.parts}
    assert not nobodys


def test_a_rekey_and_several_sas_are_in_the_tunnel(hour: Hour) -> None:
    esp = [one.esp for one in hour.captured if one.esp and part_of(one) == "VPN-to-parent"]
    spis = {int.from_bytes(one[:4], "big") for one in esp}

    assert len(spis) == 6  # a pair of each of the two subnets, and the pair after the rekey


def test_masqueraded_hosts_are_told_by_their_lan_address_both_ways(hour: Hour) -> None:
    guest = hour.flows["guest"]

    assert [hour.passed[way].parts["guests"] for way in ("out", "in")] == [guest.away, guest.home]
    assert {one.source for one in hour.on_the_line("out") if part_of(one) == "guests"} == {WAN}


def test_packets_that_are_translated_into_a_tunnel_are_in_it_and_not_in_the_clear(hour: Hour) -> None:
    ours = [one for way in WAYS for one in hour.in_esp(way) if INTO_TUNNEL in one.ports]
    flow = hour.flows["guest-into-tunnel"]

    assert volume_of(ours) == added(flow.away, flow.home)
    assert {end for one in ours for end in (one.source, one.destination)} == {"10.1.0.77", "10.4.0.1"}


def flow_volume(flow: Flow, way: str) -> Volume:
    return flow.away if way == "out" else flow.home
