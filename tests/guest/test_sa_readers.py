"""Both readers beside each other: by netlink and by ip(8), the same SAs, policies and events."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecmon.helper.ip_xfrm import TextSaReader
from ipsecmon.ipsec import Policy, SaEnd, SaEvent, SaFlush, SaNews, SaSoftExpiry, SecurityAssociation
from ipsecmon.wire.netlink import pull_messages
from ipsecmon.wire.xfrm import XFRM_MSG_NEWSA, decode_event, decode_sa
from ipsecmon.wire.xfrm_policy import XFRM_MSG_NEWPOLICY, decode_policy
from ipsecmon.wire.xfrm_request import EVENT_GROUPS, encode_policy_dump, encode_sa_dump
from tests.guest.capture import EVENTS, GCM, IPV4, STATES, open_xfrm, receive_dump, receive_events
from tests.guest.topology import EspTunnel, add_esp_tunnel, add_sas
from tests.netns.agent import in_namespace
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR_LAN, LAN, Topology

KEYS = ("a5a5a5a5", "b6b6b6b6", "c7c7c7c7", "d8d8d8d8")
SO_RCVBUFFORCE, IP_XFRM_POLICY = 33, 17
TUNNEL = "tmpl src 203.0.113.1 dst 203.0.113.2 proto esp reqid 15 mode tunnel"
TUNNEL6 = "tmpl src 2001:db8::1 dst 2001:db8::2 proto esp spi 0x1007 reqid 4294967295 mode tunnel"
POLICIES = f"""
xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 proto tcp dport 443 dir out priority 7 if_id 0x17 mark 0x42 mask 0xff {TUNNEL}
xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 proto udp sport 0 dport 53 dir in priority 4294967295 {TUNNEL}
xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir fwd mark 0 mask 0xff {TUNNEL}
xfrm policy add src 192.0.2.1/32 dst 192.0.2.2/32 dir out tmpl proto comp reqid 3 mode transport level use tmpl proto esp reqid 2 mode transport
xfrm policy add src 192.0.2.1/32 dst 192.0.2.2/32 proto icmp type 8 code 0 dir out tmpl proto ah reqid 2 mode transport level required
xfrm policy add src 10.9.0.0/16 dst 0.0.0.0/0 dir in action block flag localok icmp
xfrm policy add src 10.9.0.0/16 dst 0.0.0.0/0 dev lo dir in action allow
xfrm policy add src fd01::/64 dst fd02::/64 dir out {TUNNEL6}
xfrm policy add src fd01::/64 dst fd02::/64 proto gre key 65537 dir fwd {TUNNEL6}
xfrm policy add src fd01::/64 dst fd02::/64 proto 135 type 1 dir out {TUNNEL6}
xfrm policy add src fd01::/64 dst fd02::/64 proto 200 dir out {TUNNEL}
xfrm policy add src fd01::1/128 dst ::/0 proto ipv6-icmp type 128 dir in tmpl src fd01::1 dst fd02::1 proto esp mode beet
"""  # noqa: E501 - ip(8) wants each on one line


class Both:
    """A reader by ip(8), and sockets that hear and tell the same."""

    def __init__(self, topology: Topology) -> None:
        self._listening = open_xfrm(topology, EVENT_GROUPS)
        self._listening.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        self._asking = open_xfrm(topology)
        with in_namespace(topology.name("router")):
            self.text = TextSaReader()
        self._topology = topology

    def close(self) -> None:
        self._listening.close()
        self._asking.close()
        self.text.close()

    def sas(self) -> tuple[list[SecurityAssociation], list[SecurityAssociation]]:
        """As netlink tells them, and as the text does."""
        self._asking.send(encode_sa_dump(1))
        told = [
            decode_sa(one, found)
            for one in receive_dump(self._asking)
            for found in pull_messages(one)
            if found.kind == XFRM_MSG_NEWSA
        ]
        with in_namespace(self._topology.name("router")):
            return told, list(self.text.changes(False).told)

    def policies(self) -> list[Policy]:
        """As netlink tells them."""
        self._asking.send(encode_policy_dump(1))
        return [
            decode_policy(one, found)
            for one in receive_dump(self._asking)
            for found in pull_messages(one)
            if found.kind == XFRM_MSG_NEWPOLICY
        ]

    def policies_by_text(self) -> list[Policy] | None:
        with in_namespace(self._topology.name("router")):
            return self.text.policies()

    def events(self) -> tuple[list[SaEvent], list[SaEvent]]:
        """All so far, as netlink told them, and as the text did, once it has told as many."""
        told = [
            event
            for one in receive_events(self._listening)
            for found in pull_messages(one)
            for event in (decode_event(one, found),)
            if event is not None
        ]
        by_text: list[SaEvent] = []
        until = time.monotonic() + 20
        while len(by_text) < len(told) and time.monotonic() < until:
            heard = self.text.events(1000)
            assert not heard.has_missed
            by_text += heard.events
            time.sleep(0.05)
        return told, by_text


@pytest.fixture
def both(topology: Topology) -> Iterator[Both]:
    add_esp_tunnel(topology, EspTunnel())
    made = Both(topology)
    yield made
    made.close()


def test_all_forms_of_sas_have_the_same_values_in_both(topology: Topology, both: Both) -> None:
    topology.ip("router", STATES)
    add_sas(topology, EspTunnel(spi=0x200, cipher="cbc"))
    add_sas(topology, EspTunnel(spi=0x300, outer=6))
    exchange_udp(topology, "lan", "parent", FAR_LAN, packets=7)
    exchange_udp(topology, "parent", "lan", LAN, packets=5, source_address=FAR_LAN)
    told, by_text = both.sas()

    assert by_text == told
    assert len(told) == 18 and sum(sa.packets for sa in told) == 12
    assert not any(key in repr(by_text) for key in KEYS)


def test_sas_that_did_not_change_are_the_same_objects(topology: Topology, both: Both) -> None:
    topology.ip("router", STATES)
    _, before = both.sas()
    exchange_udp(topology, "lan", "parent", FAR_LAN, packets=1)
    _, after = both.sas()

    same = [was is now for was, now in zip(before, after)]
    assert len(before) == len(after) == 14 and same.count(False) == 1


def test_all_forms_of_policies_have_the_same_values_in_both(topology: Topology, both: Both) -> None:
    topology.ip("router", POLICIES)
    with in_namespace(topology.name("router")):
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # struct xfrm_userpolicy_info: a selector of IPv4, no limit, direction, action, as an IKE daemon's own
    own.setsockopt(
        socket.IPPROTO_IP,
        IP_XFRM_POLICY,
        bytes(40) + struct.pack("=H", 2) + bytes(14 + 96 + 8) + b"\1" + bytes(7),
    )
    with own:
        told, by_text = both.policies(), both.policies_by_text()

    assert by_text == told
    assert len(told) == 3 + 12 + 1
    assert [policy.direction for policy in told if policy.is_socket] == ["out"]
    assert {policy.direction for policy in told} == {"in", "out", "fwd"}
    assert sum(policy.is_blocking for policy in told) == 1


def test_policies_are_told_once_until_they_change(topology: Topology, both: Both) -> None:
    assert both.policies_by_text() is not None
    exchange_udp(topology, "lan", "parent", FAR_LAN, packets=1)
    assert both.policies_by_text() is None
    topology.ip("router", POLICIES)
    assert both.policies_by_text() == both.policies()


def test_all_that_happens_has_the_same_values_in_both(topology: Topology, both: Both) -> None:
    # a busy machine may come to both limits of EVENTS at once, and the kernel then tells of the hard one
    soft = f"xfrm state add {IPV4} proto esp spi 0x2004 mode tunnel {GCM} limit time-soft 1\n"
    topology.ip("router", EVENTS + soft)
    exchange_udp(topology, "lan", "parent", FAR_LAN, packets=3)
    topology.ip("router", "xfrm state delete src 203.0.113.1 dst 203.0.113.2 proto esp spi 0x100\n")
    time.sleep(3)  # the limits of EVENTS: one second, two seconds
    topology.ip("router", f"xfrm state add {IPV4} proto esp spi 0x2003 mode tunnel {GCM}\nxfrm state flush\n")
    told, by_text = both.events()

    assert by_text == told
    assert {type(event) for event in told} == {SaNews, SaEnd, SaSoftExpiry, SaFlush}
    assert {event.has_expired for event in told if isinstance(event, SaEnd)} == {False, True}
    assert {event.is_update for event in told if isinstance(event, SaNews)} == {False, True}
    assert [event.sa.packets for event in told if isinstance(event, SaEnd) and event.sa.spi == 0x100] == [3]
    assert not any(key in repr(by_text) for key in KEYS)


def test_a_burst_of_rekeys_is_heard_whole_and_in_order(topology: Topology, both: Both) -> None:
    lines = "".join(
        f"xfrm state add {IPV4} proto esp spi {spi:#x} reqid 7 mode tunnel {GCM}\n"
        f"xfrm state delete {IPV4} proto esp spi {spi:#x}\n"
        for spi in range(0x3000, 0x3064)
    )
    topology.ip("router", lines)
    told, by_text = both.events()

    assert by_text == told and len(told) == 200


def test_the_process_that_listens_ends_with_its_reader(both: Both) -> None:
    children = Path("/proc/thread-self/children")
    listening = children.read_text().split()
    both.text.close()

    assert len(listening) == 1 and not children.read_text()
