"""Packets that no ordinary socket sends, made octet by octet (RFC 791, RFC 8200), and put on a link.

Extension headers, fragments, protocols that nobody knows, and packets that end before their transport header.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

from tests.guest.packets import ESP, ICMP, TCP, UDP
from tests.netns.agent import in_namespace
from tests.netns.namespaces import Namespaces

__all__ = ["Injector", "extended6", "fragments4", "fragments6", "ipv4", "ipv6", "runts4", "runts6", "udp"]

HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, NOTHING = 0, 43, 44, 60, 59
UNKNOWN = 99  # "any private encryption scheme": nobody's
PAD = b"\x01\x04" + bytes(4)  # PadN, RFC 8200 4.2
ROUTE = b"\x04\x00" + bytes(4)  # type 4 and no segment left: not for whoever forwards
Ends = tuple[str, str]
MORE4, MORE6 = 0x2000, 1
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}


class Injector:
    """Puts packets on the link of a role's interface, to whoever is at its other end."""

    def __init__(self, among: Namespaces, here: tuple[str, str], there: tuple[str, str]) -> None:
        ends = (among.link_address(*there), among.link_address(*here))
        self._ends = b"".join(bytes.fromhex(one.replace(":", "")) for one in ends)
        with in_namespace(among.name(here[0])):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((here[1], 0))

    def put(self, *packets: bytes) -> None:
        for packet in packets:
            self._socket.send(self._ends + struct.pack("!H", _ETHERTYPES[packet[0] >> 4]) + packet)

    def close(self) -> None:
        self._socket.close()


def ipv4(
    ends: Ends,
    protocol: int,
    payload: bytes,
    place: int = 0,
    number: int = 1,
    options: bytes = b"",
) -> bytes:
    """place: flags and fragment offset."""
    size = 20 + len(options)
    head = (0x40 | size // 4, 0, size + len(payload), number, place, 64, protocol)
    addresses = b"".join(ipaddress.ip_address(end).packed for end in ends)
    unchecked = struct.pack("!BBHHHBBH", *head, 0) + addresses + options
    return struct.pack("!BBHHHBBH", *head, _checksum(unchecked)) + addresses + options + payload


def ipv6(ends: Ends, next_header: int, payload: bytes) -> bytes:
    addresses = b"".join(ipaddress.ip_address(end).packed for end in ends)
    return struct.pack("!IHBB", 6 << 28, len(payload), next_header, 64) + addresses + payload


def udp(ports: tuple[int, int], octets: int) -> bytes:
    """Without a checksum."""
    return struct.pack("!HHHH", *ports, 8 + octets, 0) + bytes(octets)


def fragments4(ends: Ends, protocol: int, payload: bytes, cut: int, number: int) -> Iterator[bytes]:
    """cut: octets of each, a multiple of 8."""
    for at in range(0, len(payload), cut):
        more = MORE4 if at + cut < len(payload) else 0
        yield ipv4(ends, protocol, payload[at : at + cut], more | at // 8, number)


def fragments6(ends: Ends, protocol: int, payload: bytes, cut: int, number: int) -> Iterator[bytes]:
    """One, of a payload that fits: an atomic fragment (RFC 6946)."""
    for at in range(0, len(payload), cut):
        more = MORE6 if at + cut < len(payload) else 0
        header = struct.pack("!BBHI", protocol, 0, at | more, number)
        yield ipv6(ends, FRAGMENT, header + payload[at : at + cut])


def extended6(ends: Ends, last: int, payload: bytes, *headers: int) -> bytes:
    """Extension headers of 8 octets each, in that order, before what `last` is."""
    chain = [*headers, last]
    bodies = (
        bytes([following, 0]) + (ROUTE if header == ROUTING else PAD)
        for header, following in zip(headers, chain[1:])
    )
    return ipv6(ends, chain[0], b"".join(bodies) + payload)


def runts4(ends: Ends) -> Iterator[bytes]:
    """What ends before its transport header does, or right behind the IP header."""
    for protocol, whole in ((TCP, 20), (UDP, 8), (ICMP, 8), (ESP, 8)):
        for size in (0, 1, 4, whole - 1):
            yield ipv4(ends, protocol, b"\x11\x94" * (size // 2) + b"\1" * (size % 2))


def runts6(ends: Ends) -> Iterator[bytes]:
    for protocol, whole in ((TCP, 20), (UDP, 8), (58, 8), (ESP, 8), (NOTHING, 8)):
        for size in (0, 1, 4, whole - 1):
            yield ipv6(ends, protocol, bytes(size))
    yield ipv6(ends, DESTINATION, bytes([UDP, 0]))  # an extension header that ends too early


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF ^ total
