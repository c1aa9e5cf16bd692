"""Interfaces of tunnels by rtnetlink: what a real kernel told of their ends, and what breaks the format."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.errors import DecodeError
from ipsecmon.links import Link, LinkCounts, LinkEnd, LinkEvent, LinkNews, LinkPeer
from ipsecmon.wire.links import decode_link_events, encode_address_dump, encode_link_dump
from ipsecmon.wire.netlink import pull_messages
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import attribute, message
from tests.unit.wire.three_ways import decode_three_ways

NEWLINK, DELLINK, NEWADDR = 16, 17, 20
AF_BRIDGE = 7


def word(number: int) -> bytes:
    return struct.pack("=I", number)


def link_body(family: int = 0, name: bytes = b"gre1\0", kind: bytes = b"gre\0", stats: int = 192) -> bytes:
    """Of interface 5, from 192.0.2.1 to 192.0.2.2; 3 packets of 30 octets in, 4 of 40 out."""
    ends = attribute(6, bytes([192, 0, 2, 1])) + attribute(7, bytes([192, 0, 2, 2]))
    counters = struct.pack("=4Q", 3, 4, 30, 40) + bytes(160)
    info = attribute(1, kind) + attribute(2, ends)
    fixed = struct.pack("=BxHiII", family, 778, 5, 0, 0)
    return fixed + attribute(3, name) + attribute(23, counters[:stats]) + attribute(18, info)


def xfrm_body(*data: bytes, more: bytes = b"") -> bytes:
    """The same of an xfrm interface. more: attributes of the interface."""
    info = attribute(1, b"xfrm\0") + attribute(2, b"".join(data))
    return link_body(kind=b"veth\0") + attribute(18, info) + more


def test_the_kernel_tells_of_an_end_with_the_last_counters() -> None:
    told = [event for datagram in load("links") for event in decode_link_events(datagram)]

    gre = Link(7, "berlin", "gre", LinkCounts(30840, 30, 11400, 50), "203.0.113.1", "203.0.113.2")
    ppp = Link(8, "ppp0", "ppp", LinkCounts(30870, 33, 11582, 55))
    six = Link(11, "x6", "ip6gre", LinkCounts(), "2001:db8:203::1", "2001:db8:203::2")
    xfrm = Link(12, "xf", "xfrm", LinkCounts(), if_id=77)
    assert told == [LinkEnd(gre), LinkPeer(8, "10.9.0.2"), LinkEnd(ppp), LinkEnd(six), LinkEnd(xfrm)]


def test_an_interface_is_decoded_whole_or_refused() -> None:
    decode_three_ways(decode_link_events, message(NEWLINK, link_body()), ends=[0])


def test_news_are_told_apart_from_an_end() -> None:
    link = Link(5, "gre1", "gre", LinkCounts(30, 3, 40, 4), "192.0.2.1", "192.0.2.2")
    both = message(NEWLINK, link_body()) + message(DELLINK, link_body())
    assert decode_link_events(both) == [LinkNews(link), LinkEnd(link)]


IFLA_XFRM_LINK, IFLA_XFRM_IF_ID, IFLA_XFRM_COLLECT_METADATA, IFLA_LINK_NETNSID = 1, 2, 3, 37


@pytest.mark.parametrize(
    ("body", "if_id"),
    [
        (xfrm_body(attribute(IFLA_XFRM_LINK, word(4)), attribute(IFLA_XFRM_IF_ID, word(0x17))), 0x17),
        (xfrm_body(attribute(IFLA_XFRM_COLLECT_METADATA, b"")), 0),
        (xfrm_body(attribute(IFLA_XFRM_IF_ID, word(7)), more=attribute(IFLA_LINK_NETNSID, word(0))), 0),
    ],
    ids=["of one if_id", "of every if_id (external)", "whose SAs are in another namespace"],
)
def test_an_xfrm_interface_has_the_if_id_of_the_sas_here(body: bytes, if_id: int) -> None:
    (told,) = decode_link_events(message(NEWLINK, body))
    assert told == LinkNews(Link(5, "gre1", "xfrm", LinkCounts(30, 3, 40, 4), if_id=if_id))


def test_an_if_id_that_is_cut_short_is_refused() -> None:
    with pytest.raises(DecodeError):
        decode_link_events(message(NEWLINK, xfrm_body(attribute(IFLA_XFRM_IF_ID, b"\7\0"))))


@pytest.mark.parametrize("body", [link_body(family=AF_BRIDGE), link_body(kind=b"veth\0")])
def test_a_bridge_that_leaves_a_port_and_other_kinds_are_passed_over(body: bytes) -> None:
    assert decode_link_events(message(DELLINK, body)) == []


@pytest.mark.parametrize("body", [link_body(name=b"\0"), link_body(stats=24), bytes(8)])
def test_an_interface_without_name_or_counters_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_link_events(message(NEWLINK, body))


@pytest.mark.parametrize(
    ("peer", "local", "told"),
    [
        (b"\x0a\x09\x00\x02", b"\x0a\x09\x00\x01", [LinkPeer(9, "10.9.0.2")]),
        (b"\x0a\x09\x00\x01", b"\x0a\x09\x00\x01", []),
        (bytes.fromhex("fe80" + "00" * 13 + "01"), bytes.fromhex("fe80" + "00" * 13 + "02"), []),
    ],
    ids=["two ends", "one end", "of the link alone"],
)
def test_only_an_address_with_another_end_names_a_peer(
    peer: bytes, local: bytes, told: list[LinkEvent]
) -> None:
    body = struct.pack("=BBBBI", 2, 32, 0, 0, 9) + attribute(1, peer) + attribute(2, local)
    assert decode_link_events(message(NEWADDR, body)) == told


def test_dumps_ask_for_all_and_change_nothing() -> None:
    for request, kind in ((encode_link_dump(3), 18), (encode_address_dump(3), 22)):
        (found,) = pull_messages(request)
        assert (found.kind, found.flags, found.sequence) == (kind, 0x301, 3)


@given(st.sampled_from([NEWLINK, DELLINK, NEWADDR]), st.binary(max_size=120))
def test_any_octets_are_events_or_a_decode_error(kind: int, body: bytes) -> None:
    try:
        decode_link_events(message(kind, body))
    except DecodeError:
        pass
