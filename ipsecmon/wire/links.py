"""Interfaces and their addresses by rtnetlink(7): messages of a dump, and news (linux/rtnetlink.h).

In: datagrams of an NETLINK_ROUTE socket. Out: values of links.py, of GRE, PPP and xfrm interfaces alone:
everything else is passed over. So are messages of other families than AF_UNSPEC, such as a bridge's of its
ports: their RTM_DELLINK is not the end of an interface.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from socket import AF_INET, AF_INET6, AF_UNSPEC, inet_ntop
from typing import NamedTuple, Optional, Union

from ipsecmon.errors import DecodeError
from ipsecmon.links import GRE_KINDS, KINDS, XFRM, Link, LinkCounts, LinkEnd, LinkEvent, LinkNews, LinkPeer
from ipsecmon.wire.netlink import (
    NLM_F_DUMP,
    NLM_F_REQUEST,
    Message,
    encode_message,
    pull_attributes,
    pull_messages,
)

__all__ = [
    "RTMGRP",
    "decode_link_event",
    "decode_link_events",
    "encode_address_dump",
    "encode_link_dump",
]

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTMGRP = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, _IPV4_IFADDR, _IPV6_IFADDR: free to everybody

Octets = Union[bytes, bytearray, memoryview]

_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_STATS64, _IFLA_LINK_NETNSID = 3, 18, 23, 37
_INFO_KIND, _INFO_DATA = 1, 2
_GRE_LOCAL, _GRE_REMOTE = 6, 7  # IFLA_GRE_LOCAL, IFLA_GRE_REMOTE, of ip6gre too
_XFRM_IF_ID = 2  # IFLA_XFRM_IF_ID (linux/if_link.h)
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBI")
_U32 = struct.Struct("=I")
_STATS64 = struct.Struct("=4Q")  # rx_packets tx_packets rx_bytes tx_bytes
_FAMILIES = {4: AF_INET, 16: AF_INET6}  # by the octets of an address


class _Info(NamedTuple):
    """Of IFLA_LINKINFO."""

    kind: str = ""
    local: str = ""
    remote: str = ""
    if_id: int = 0


def encode_link_dump(sequence: int) -> bytes:
    """All interfaces."""
    return encode_message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, sequence, bytes(_IFINFO.size))


def encode_address_dump(sequence: int) -> bytes:
    """All addresses, of all families."""
    return encode_message(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sequence, bytes(_IFADDR.size))


def decode_link_events(buffer: Octets) -> list[LinkEvent]:
    """Of a datagram, in order. Raises DecodeError."""
    found = (decode_link_event(buffer, message) for message in pull_messages(buffer))
    return [event for event in found if event is not None]


def decode_link_event(buffer: Octets, message: Message) -> Optional[LinkEvent]:
    """None where it is of no interest. Raises DecodeError."""
    if message.kind in (RTM_NEWLINK, RTM_DELLINK):
        link = _link(buffer, message)
        if link is None:
            return None
        return LinkNews(link) if message.kind == RTM_NEWLINK else LinkEnd(link)
    return _peer(buffer, message) if message.kind == RTM_NEWADDR else None


def _link(buffer: Octets, message: Message) -> Optional[Link]:
    start = _after(message, _IFINFO)
    family, _, ifindex, _, _ = _IFINFO.unpack_from(buffer, message.start)
    name, counts, info, is_elsewhere = "", None, _Info(), False
    for attribute, at, end in pull_attributes(buffer, start, message.end):
        if attribute == _IFLA_IFNAME:
            name = _text(buffer, at, end)
        elif attribute == _IFLA_STATS64:
            counts = _counts(buffer, at, end)
        elif attribute == _IFLA_LINKINFO:
            info = _link_info(buffer, at, end)
        elif attribute == _IFLA_LINK_NETNSID:  # moved here: an xfrm interface's SAs stay where it was made
            is_elsewhere = True
    if family != AF_UNSPEC or info.kind not in KINDS:
        return None
    if not name or counts is None:
        raise DecodeError("interface without a name or counters", message.start)
    if_id = 0 if is_elsewhere else info.if_id
    return Link(ifindex, name, info.kind, counts, info.local, info.remote, if_id)


def _link_info(buffer: Octets, start: int, end: int) -> _Info:
    """The kernel writes the kind before the data."""
    info = _Info()
    for attribute, at, past in pull_attributes(buffer, start, end):
        if attribute == _INFO_KIND:
            info = _Info(_text(buffer, at, past))
        elif attribute == _INFO_DATA and info.kind in GRE_KINDS:
            ends = dict(_ends(buffer, at, past))
            info = info._replace(local=ends.get(_GRE_LOCAL, ""), remote=ends.get(_GRE_REMOTE, ""))
        elif attribute == _INFO_DATA and info.kind == XFRM:
            info = info._replace(if_id=_if_id(buffer, at, past))
    return info


def _ends(buffer: Octets, start: int, end: int) -> Iterator[tuple[int, str]]:
    for attribute, at, past in pull_attributes(buffer, start, end):
        if attribute in (_GRE_LOCAL, _GRE_REMOTE):
            yield attribute, _address(buffer, at, past) if any(buffer[at:past]) else ""


def _if_id(buffer: Octets, start: int, end: int) -> int:
    """0 of one that takes every if_id (`external`)."""
    for attribute, at, past in pull_attributes(buffer, start, end):
        if attribute == _XFRM_IF_ID:
            if past - at < _U32.size:
                raise DecodeError("if_id cut short", at)
            return int(_U32.unpack_from(buffer, at)[0])
    return 0


def _counts(buffer: Octets, start: int, end: int) -> LinkCounts:
    if end - start < _STATS64.size:
        raise DecodeError("counters cut short", start)
    in_packets, out_packets, in_octets, out_octets = _STATS64.unpack_from(buffer, start)
    return LinkCounts(in_octets, in_packets, out_octets, out_packets)


def _peer(buffer: Octets, message: Message) -> Optional[LinkPeer]:
    """None for an address that has no other end, or one of the link alone."""
    start = _after(message, _IFADDR)
    _, _, _, _, ifindex = _IFADDR.unpack_from(buffer, message.start)
    found = {
        attribute: _address(buffer, at, end)
        for attribute, at, end in pull_attributes(buffer, start, message.end)
        if attribute in (_IFA_ADDRESS, _IFA_LOCAL)
    }
    peer, local = found.get(_IFA_ADDRESS), found.get(_IFA_LOCAL)
    if peer is None or local is None or peer == local or peer.startswith("fe80:"):
        return None
    return LinkPeer(ifindex, peer)


def _after(message: Message, fixed: struct.Struct) -> int:
    if message.end - message.start < fixed.size:
        raise DecodeError("message cut short", message.start)
    return message.start + fixed.size


def _text(buffer: Octets, start: int, end: int) -> str:
    return bytes(buffer[start:end]).rstrip(b"\0").decode("utf-8", "replace")


def _address(buffer: Octets, start: int, end: int) -> str:
    family = _FAMILIES.get(end - start)
    if family is None:
        raise DecodeError("address of an unknown family", start)
    return inet_ntop(family, bytes(buffer[start:end]))
