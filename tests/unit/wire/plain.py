"""The plain decoder of NFLOG datagrams: one message and one attribute after the other.

It shares nothing with ipsecmon.wire but DecodeError. Slow, and short enough to be checked against
linux/netlink.h and linux/netfilter/nfnetlink_log.h by reading: what the fast one is compared with.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ipsecmon.errors import DecodeError
from tests.unit.wire.messages import Columns

__all__ = ["decode_plainly"]

TAGS, IP = (0x8100, 0x88A8), (0x0800, 0x86DD)
KINDS = ("short", "version", "fragment", "length-zero", "vlan")


class Row(NamedTuple):
    group: int
    octets: int
    sequence: int
    odd: set[str]


def decode_plainly(datagrams: Iterable[bytes]) -> Columns:
    """The columns of all datagrams, in order; DecodeError if one of them breaks its format."""
    rows = [row(body) for datagram in datagrams for kind, body in messages(datagram) if kind == 0x0400]
    odd = Counter(kind for one in rows for kind in one.odd)
    counted = {kind: odd[kind] for kind in KINDS if odd[kind]}
    return [one.group for one in rows], [one.octets for one in rows], [one.sequence for one in rows], counted


def messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(datagram):
        if len(datagram) - at < 16:
            raise DecodeError("header", at)
        length, kind = struct.unpack("=IH", datagram[at : at + 6])
        if length < 16 or length > len(datagram) - at:
            raise DecodeError("length", at)
        yield kind, datagram[at + 16 : at + length]
        at += length + -length % 4


def row(body: bytes) -> Row:
    if len(body) < 4:
        raise DecodeError("nfgenmsg", 0)
    sequence, ethernet_type, payload, odd = -1, 0, b"", set()
    kinds = []
    for kind, value in attributes(body[4:]):
        kinds.append(kind)
        if kind in (1, 12) and len(value) != 4:
            raise DecodeError("fixed length", 0)
        if kind == 12:
            sequence = int.from_bytes(value, "big")
        elif kind == 1:
            ethernet_type = int.from_bytes(value[:2], "big")
        elif kind == 9:
            payload = value
        elif kind == 20:
            odd.add("vlan")
    if 9 in kinds[:-1]:
        raise DecodeError("payload is not the last", 0)
    octets, more = length_of(ethernet_type, payload)
    return Row(int.from_bytes(body[2:4], "big"), octets, sequence, odd | more)


def attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(body):
        if len(body) - at < 4:
            raise DecodeError("attribute header", at)
        length, kind = struct.unpack("=HH", body[at : at + 4])
        if length < 4 or length > len(body) - at:
            raise DecodeError("attribute length", at)
        yield kind & 0x3FFF, body[at + 4 : at + length]
        at += length + -length % 4


def length_of(ethernet_type: int, payload: bytes) -> tuple[int, set[str]]:
    """IP octets, and what is odd."""
    odd = set()
    tagged = ethernet_type in TAGS
    if tagged:
        odd.add("vlan")
    for _ in range(2):
        if ethernet_type in TAGS:
            ethernet_type = int.from_bytes(payload[2:4], "big") if len(payload) >= 4 else IP[0]
            payload = payload[4:]
    if len(payload) < 4:
        return 0, odd | {"short"}
    version = payload[0] >> 4
    if version not in (4, 6) or (tagged and ethernet_type not in IP):
        return 0, odd | {"version"}
    octets, more = length4(payload) if version == 4 else length6(payload)
    return octets, odd | more


def length4(payload: bytes) -> tuple[int, set[str]]:
    octets = int.from_bytes(payload[2:4], "big")
    odd = set() if octets else {"length-zero"}
    if len(payload) < 20:
        odd.add("short")
    if len(payload) >= 8 and (payload[6] & 0x3F or payload[7]):
        odd.add("fragment")
    return octets, odd


def length6(payload: bytes) -> tuple[int, set[str]]:
    odd = set() if len(payload) >= 40 else {"short"}
    if len(payload) < 8:
        return 0, odd
    if payload[6] == 44:
        odd.add("fragment")
    carried = int.from_bytes(payload[4:6], "big")
    is_bare = len(payload) == 40 and payload[6] != 0
    return (carried + 40, odd) if carried or is_bare else (0, odd | {"length-zero"})
