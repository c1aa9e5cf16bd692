"""Netlink messages built octet by octet, so that a test can break each "must" of the format."""

from __future__ import annotations

import ipaddress
import struct

from ipsecmon.packets import Packets

__all__ = [
    "DONE",
    "PAYLOAD",
    "attribute",
    "columns",
    "copy",
    "header",
    "ip4",
    "ip6",
    "message",
    "packet_header",
    "sequence",
]

PACKET, PAYLOAD = 0x0400, 9
Columns = tuple[list[int], list[int], list[int], dict[str, int]]


def message(kind: int, body: bytes, flags: int = 0, number: int = 0, port: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, number, port) + body + bytes(-len(body) % 4)


def attribute(kind: int, value: bytes, padding: bytes = bytes(3)) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + padding[: -len(value) % 4]


def packet_header(ethernet_type: int = 0x0800, hook: int = 0) -> bytes:
    return attribute(1, struct.pack(">HBB", ethernet_type, hook, 0))


def sequence(number: int) -> bytes:
    return attribute(12, struct.pack(">I", number))


def header(group: int, *attributes: bytes, family: int = 2) -> bytes:
    """A packet message of any attributes."""
    return message(PACKET, struct.pack(">BBH", family, 0, group) + b"".join(attributes))


def copy(
    payload: bytes, group: int = 10, number: int = 0, ethernet_type: int = 0x0800, extra: bytes = b""
) -> bytes:
    """A packet message much as the kernel makes it."""
    first = packet_header(ethernet_type) + attribute(10, b"\0") + extra
    return header(group, first, sequence(number), attribute(PAYLOAD, payload))


def ip4(length: int, fragment: int = 0, version: int = 4, ports: bytes = bytes(8)) -> bytes:
    """28 octets of a UDP packet over IPv4. fragment: the 16 bits of flags and offset."""
    ends = ipaddress.ip_address("10.0.0.1").packed + ipaddress.ip_address("10.0.0.2").packed
    return struct.pack(">BBHHHBBH", version << 4 | 5, 0, length, 7, fragment, 64, 17, 0) + ends + ports


def ip6(payload: int, following: int = 17) -> bytes:
    """48 octets of an IPv6 packet. payload: its length field. following: its next header."""
    ends = ipaddress.ip_address("fd01::2").packed + ipaddress.ip_address("fd02::2").packed
    return struct.pack(">IHBB", 6 << 28, payload, following, 64) + ends + bytes(8)


DONE = message(3, struct.pack(">BBH", 0, 0, 10))


def columns(packets: Packets) -> Columns:
    """Plain lists, which compare."""
    return (
        packets.group.tolist(),
        packets.octets.tolist(),
        packets.sequence.tolist(),
        dict(packets.odd),
    )
