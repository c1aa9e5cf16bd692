"""Every kind of packet has its part, and the line adds up: many, broken, cut, unknown, and by other ways.

Held against a capture in the middle of the line (proof.py). IPv4 is masqueraded here, so that conntrack puts
fragments together before rules see them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.guest.conversation import End
from tests.guest.flows import Flow, socket_at
from tests.guest.head_office import ACCOUNTING, HOSTS_OF, TO_PARENT, HeadOffice
from tests.guest.line_meter import LineMeter
from tests.guest.odd_packets import (
    DESTINATION,
    HOP_BY_HOP,
    ROUTING,
    UNKNOWN,
    Injector,
    extended6,
    fragments4,
    fragments6,
    ipv4,
    runts4,
    runts6,
    udp,
)
from tests.guest.packets import ESP, UDP
from tests.guest.places import parts_of
from tests.guest.proof import assert_exact, beyond_parts, observed
from tests.guest.sites import xfrm_interface
from tests.guest.topology import add_esp_tunnel, delete_ipsec
from tests.guest.wire_tap import wait_for_silence
from tests.netns.exchange import Volume
from tests.netns.topology import FAR, FAR6, LAN, LAN6, WAN, WAN6

CUT6 = 1440  # Linux refuses fragments of less than 1280 octets that are not the last
VRRP, VRRP_GROUP, VRRP_GROUP6 = 112, "224.0.0.18", "ff02::12"
Ends = tuple[str, str]
STRANGE = (UNKNOWN, 132, 253)
INWARD, TO_ROUTER, OUTWARD = (FAR, LAN), (FAR, WAN), (LAN, FAR)
INWARD6, TO_ROUTER6, OUTWARD6 = (FAR6, LAN6), (FAR6, WAN6), (LAN6, FAR6)


@pytest.fixture(scope="module")
def links(office: HeadOffice) -> Iterator[tuple[Injector, Injector]]:
    """Into the line from the far side, and out to it from the LAN, through the router."""
    from_far = Injector(office, ("parent", "eth0"), ("router", "wan0"))
    from_lan = Injector(office, ("lan", "eth0"), ("router", "lan0"))
    yield from_far, from_lan
    from_far.close()
    from_lan.close()


@pytest.fixture
def without_ipsec(office: HeadOffice) -> Iterator[None]:
    yield
    delete_ipsec(office)


def by_way(
    links: tuple[Injector, Injector], way: str, inward: Ends, to_router: Ends, outward: Ends
) -> list[tuple[Injector, Ends]]:
    from_far, from_lan = links
    return [(from_far, inward), (from_far, to_router)] if way == "in" else [(from_lan, outward)]


def test_a_router_that_speaks_vrrp_and_hears_it_is_counted_once(office: HeadOffice, line: LineMeter) -> None:
    """The kernel loops a copy of what it has sent back to itself, as it has joined the group."""
    with observed(office, line) as seen:
        for end, count in ((End("router", WAN), 10), (End("parent", FAR), 7)):
            with socket_at(office, end, socket.SOCK_RAW, VRRP) as speaker:
                group = socket.inet_aton(VRRP_GROUP) + socket.inet_aton(end.address)
                speaker.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
                speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, group[4:])
                for _ in range(count):
                    speaker.sendto(bytes(20), (VRRP_GROUP, 0))
        wait_for_silence(office)  # IGMP, of who has joined and left

    assert_exact(seen)
    assert set(seen.passed["out"].parts) == set(seen.passed["in"].parts) == {"other"}
    spoken = [one.way for one in seen.captured if one.protocol == VRRP]
    assert (spoken.count("out"), spoken.count("in")) == (10, 7)


def test_multicast_of_both_families_that_nobody_has_joined_has_its_part(
    office: HeadOffice, line: LineMeter
) -> None:
    with observed(office, line) as seen:
        for role, interface, count in (("router", "wan0", 5), ("parent", "eth0", 3)):
            for group in ("224.0.0.251", "239.1.2.3", VRRP_GROUP6):
                with socket_at(office, End(role, group)) as speaker:
                    speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
                    for _ in range(count):
                        speaker.sendto(bytes(100), (group, 5353))

    assert_exact(seen)
    assert [seen.passed[way].line.packets for way in ("out", "in")] == [15, 9]


def test_broadcast_has_its_part_both_ways(office: HeadOffice, line: LineMeter) -> None:
    with observed(office, line) as seen:
        for role, interface in (("router", "wan0"), ("parent", "eth0")):
            with socket_at(office, End(role, "0.0.0.0")) as speaker:
                speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
                for to in ("203.0.113.255", "255.255.255.255"):
                    speaker.sendto(bytes(300), (to, 67))

    assert_exact(seen)
    assert [seen.passed[way].parts for way in ("out", "in")] == [{"other": Volume(2, 2 * 328)}] * 2


def test_an_xfrm_interface_is_a_tunnel_like_any_other(
    office: HeadOffice, line: LineMeter, without_ipsec: None
) -> None:
    tunnel = replace(TO_PARENT, cipher="null", if_id=7)
    add_esp_tunnel(office, tunnel)
    with xfrm_interface(office, 7, tunnel.inner_remote), observed(office, line) as seen:  # noqa: SIM117
        with Flow(office, *HOSTS_OF["parent"], 7000) as flow:
            flow.speak((30, 1000, 1300) * 10, (500, 31, 1200) * 10)

    assert_exact(seen)
    tunnels = [seen.passed[way].tunnels["VPN-to-parent"] for way in ("out", "in")]
    assert tunnels == [flow.away, flow.home]


def test_esp_larger_than_the_mtu_and_inner_fragments_are_exact_both_ways(
    office: HeadOffice, line: LineMeter, without_ipsec: None
) -> None:
    """Inner packets of 1500 octets, and of 4028 that their host has cut, none of which forbids to cut it."""
    add_esp_tunnel(office, ACCOUNTING)
    with observed(office, line) as seen, Flow(office, *HOSTS_OF["accounting"], 7000) as flow:
        flow.allow_fragments()
        flow.speak((1472, 4000, 100) * 4, (4000, 1472, 100) * 4)

    assert_exact(seen)
    assert [seen.passed[way].tunnels["VPN-to-parent"] for way in ("out", "in")] == [flow.away, flow.home]
    for way in ("in", "out"):
        assert seen.passed[way].terms["fragment-headers"] == 20 * (
            len(seen.frames(way)) - seen.passed[way].line.packets
        )


@pytest.mark.parametrize("way", ["in", "out"])
def test_strange_protocols_and_runts_of_ipv4_are_all_in_some_part(
    office: HeadOffice, line: LineMeter, links: tuple[Injector, Injector], way: str
) -> None:
    with observed(office, line) as seen:
        for link, ends in by_way(links, way, INWARD, TO_ROUTER, OUTWARD):
            link.put(*(ipv4(ends, one, bytes(size)) for one in STRANGE for size in (0, 1, 20, 500)))
            link.put(*runts4(ends))
            link.put(ipv4(ends, UDP, udp((7, 7), 30), options=b"\x07\x07\x04" + bytes(5)))  # record route
            link.put(*fragments4(ends, UDP, udp((7, 7), 2000), 1000, number=77))
            link.put(*fragments4(ends, UNKNOWN, bytes(1200), 800, number=78))

    assert_exact(seen)


@pytest.mark.parametrize("way", ["in", "out"])
def test_extension_headers_and_runts_of_ipv6_are_all_in_some_part(
    office: HeadOffice, line: LineMeter, links: tuple[Injector, Injector], way: str
) -> None:
    """ESP is ESP and IKE is IKE behind whatever headers."""
    chains = [(), (HOP_BY_HOP,), (DESTINATION,), (ROUTING,), (HOP_BY_HOP, DESTINATION, ROUTING, DESTINATION)]
    with observed(office, line) as seen:
        for link, ends in by_way(links, way, INWARD6, TO_ROUTER6, OUTWARD6):
            for chain in chains:
                link.put(extended6(ends, UDP, udp((7, 7), 50), *chain))
                link.put(extended6(ends, ESP, b"\0\0\x99\x99" + bytes(40), *chain))
                link.put(extended6(ends, UDP, udp((500, 500), 90), *chain))
                link.put(extended6(ends, UNKNOWN, bytes(60), *chain))
            link.put(*runts6(ends))

    assert_exact(seen)
    assert {"ike", "VPN-by-IPv6", "other"} <= set(seen.passed[way].parts)


@pytest.mark.parametrize("way", ["in", "out"])
def test_fragments_of_ipv6_are_one_packet_and_their_headers_are_all_that_is_beyond_it(
    office: HeadOffice, line: LineMeter, links: tuple[Injector, Injector], way: str
) -> None:
    """As conntrack puts them together; outbound the router has made them again. Which term their headers are
    in depends on what else was cut on this machine, and on other interfaces.

    Inbound to the router itself: what it forwards it cuts again, in the very octets that the capture has.
    """
    link, ends = (links[0], TO_ROUTER6) if way == "in" else (links[1], OUTWARD6)
    with observed(office, line) as seen:
        link.put(*fragments6(ends, UDP, udp((7, 7), 3000), CUT6, number=5))

    passed = seen.passed[way]
    assert passed.parts == parts_of(seen.captured, way) == {"other": Volume(1, 40 + 3008)}
    assert passed.nic == Volume(3, sum(one.frame_octets for one in seen.frames(way)))
    assert beyond_parts(passed) == Volume(2, 3 * 48 - 40)
    assert passed.word in ("agree", "explained")


def test_packets_that_the_kernel_drops_before_rules_are_told(
    office: HeadOffice, line: LineMeter, links: tuple[Injector, Injector]
) -> None:
    """A header with a wrong checksum."""
    broken = bytearray(ipv4(INWARD, UDP, udp((7, 7), 100)))
    broken[10] ^= 1
    with observed(office, line) as seen:
        links[0].put(bytes(broken))

    passed = seen.passed["in"]
    assert (passed.nic, passed.parts) == (Volume(1, 142), {})
    assert (passed.unseen, passed.unexplained, passed.word) == (1, 128, "explained")
    assert any("dropped before rules" in reason for reason in passed.reasons)
