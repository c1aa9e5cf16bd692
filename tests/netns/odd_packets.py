"""IP packets that few people send, made octet by octet, each with the part of the line that it belongs to.

Layouts: RFC 791, 768, 4302 (AH), 4303 (ESP), 8200 (IPv6 and its extension headers), 2784 (GRE).
"""

from __future__ import annotations

import ipaddress
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from tests.netns.topology import Topology

__all__ = ["PEERS", "Odd", "odd_packets", "runts", "send_frames", "to_many"]

PEERS = ("10.2.0.66", "fd02::66")  # nobody lives there: nothing is answered
_STRANGERS = ("10.2.0.77", "fd02::77")
_INSIDE = ("10.1.0.88", "fd01::88")
_HOP_BY_HOP, _TCP, _UDP, _ROUTING, _FRAGMENT = 0, 6, 17, 43, 44
_GRE, _ESP, _AH, _NOTHING, _OPTIONS, _L2TP, _UNKNOWN = 47, 50, 51, 59, 60, 115, 253
_SPI = struct.pack("!II", 0x1234, 1)
_PAD = bytes([1, 4, 0, 0, 0, 0])  # PadN of six octets
_ETHERTYPE = {4: 0x0800, 6: 0x86DD}
_SEND = """
import socket, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for line in sys.stdin:
    out.send(bytes.fromhex(line))
"""


class Odd(NamedTuple):
    """what: for people. part: that it belongs to. packet: an IP packet."""

    what: str
    part: str
    packet: bytes


def odd_packets(family: int, inbound: bool) -> list[Odd]:
    """Between a far and an inside address, either way."""
    way = _Way(family, inbound)
    return [*_of_any_family(way), *(_of_ipv4(way) if family == 4 else _of_ipv6(way))]


def runts(family: int, inbound: bool) -> list[Odd]:
    """Cut off before or within their ports: where those are missing, a rule cannot tell what they are."""
    way = _Way(family, inbound)
    bodies = {
        _UDP: (b"", b"\6", way.udp(1701)[:3], way.udp(500)[:4], way.udp(4500)[:7]),
        _TCP: (b"", way.tcp(80)[:2], way.tcp(80)[:4], way.tcp(80)[:12]),
    }
    return [
        Odd(f"{len(body)} octets of protocol {protocol}", "", way.packet(protocol, body))
        for protocol in bodies
        for body in bodies[protocol]
    ]


def to_many(family: int) -> dict[str, list[Odd]]:
    """Inbound UDP to groups and broadcast addresses, by the link address that it is sent to."""
    groups: dict[int, dict[str, tuple[str, ...]]] = {
        4: {"01:00:5e:00:00:12": ("224.0.0.18",), "ff:ff:ff:ff:ff:ff": ("255.255.255.255", "203.0.113.255")},
        6: {"33:33:00:00:00:12": ("ff02::12", "ff05::12")},
    }
    way = _Way(family, inbound=True)
    return {
        link: [Odd(target, "other", way.packet(_UDP, way.udp(9), target=target)) for target in targets]
        for link, targets in groups[family].items()
    }


def send_frames(topology: Topology, role: str, packets: list[Odd], link_address: str = "") -> None:
    """Out of eth0, to the router unless another link address is said."""
    router = topology.link_address("router", "lan0" if role == "lan" else "wan0")
    head = bytes.fromhex((link_address or router).replace(":", "")) + bytes(6)
    frames = [head + struct.pack("!H", _ETHERTYPE[one.packet[0] >> 4]) + one.packet for one in packets]
    text = "".join(f"{frame.hex()}\n" for frame in frames)
    topology.run(role, sys.executable, "-I", "-S", "-c", _SEND, "eth0", text=text)


class _Way:
    def __init__(self, family: int, inbound: bool) -> None:
        self._family = family
        self._inbound = inbound
        self._index = 0 if family == 4 else 1

    def packet(
        self,
        protocol: int,
        payload: bytes,
        peer: bool = False,
        options: bytes = b"",
        fragment: int = 0,
        target: str = "",
    ) -> bytes:
        """fragment: IPv4's flags and offset. target: instead of an inside address."""
        ends = [(PEERS if peer else _STRANGERS)[self._index], target or _INSIDE[self._index]]
        source, to = (ipaddress.ip_address(end).packed for end in (ends if self._inbound else ends[::-1]))
        if self._family == 6:
            return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + source + to + payload
        length = 20 + len(options)
        first = (0x40 | length // 4, 0, length + len(payload), 7, fragment, 64, protocol, 0)
        head = struct.pack("!BBHHHBBH", *first) + source + to + options
        return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + payload

    def udp(self, ours: int, theirs: int = 40_000, body: bytes = b"\xff" * 20) -> bytes:
        """ours: the port of the near end."""
        ports = (theirs, ours) if self._inbound else (ours, theirs)
        return struct.pack("!HHHH", *ports, 8 + len(body), 0) + body

    def tcp(self, port: int) -> bytes:
        return struct.pack("!HHIIBBHHH", port, 40_000, 1, 0, 0x50, 2, 1024, 0, 0)


def _checksum(head: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(head) // 2}H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ah(protects: int, payload: bytes) -> bytes:
    return struct.pack("!BBH", protects, 4, 0) + _SPI + bytes(12) + payload


def _of_any_family(way: _Way) -> Iterator[Odd]:
    esp, gre = _SPI + bytes(40), struct.pack("!HH", 0, 0x0800) + bytes(40)
    yield Odd("ESP", "esp", way.packet(_ESP, esp))
    yield Odd("ESP of a named peer", "parent", way.packet(_ESP, esp, peer=True))
    yield Odd("ESP without a body", "esp", way.packet(_ESP, b""))
    yield Odd("AH", "ah", way.packet(_AH, _ah(_TCP, way.tcp(80))))
    yield Odd("AH over IKE's port", "ah", way.packet(_AH, _ah(_UDP, way.udp(500))))
    yield Odd("AH over ESP", "ah", way.packet(_AH, _ah(_ESP, esp)))
    yield Odd("AH of a named peer", "parent", way.packet(_AH, _ah(_TCP, way.tcp(80)), peer=True))
    yield Odd("IKE", "ike", way.packet(_UDP, way.udp(500)))
    yield Odd("keepalive", "ike", way.packet(_UDP, way.udp(4500, body=b"\xff")))
    yield Odd("NAT-T", "nat-t", way.packet(_UDP, way.udp(4500, body=esp)))
    yield Odd("NAT-T of a named peer", "parent", way.packet(_UDP, way.udp(4500, body=esp), peer=True))
    yield Odd("GRE", "gre", way.packet(_GRE, gre))
    yield Odd("GRE of a named peer", "gre", way.packet(_GRE, gre, peer=True))
    yield Odd("L2TP to us", "l2tp", way.packet(_UDP, way.udp(1701)))
    yield Odd("L2TP from us", "l2tp", way.packet(_UDP, way.udp(50_000, 1701)))
    yield Odd("L2TPv3 over IP", "l2tp", way.packet(_L2TP, bytes(40)))
    yield Odd("named web", "web", way.packet(_TCP, way.tcp(80)))
    yield Odd("named web that is L2TP too", "web", way.packet(_UDP, way.udp(1701, 80)))
    yield Odd("an unknown protocol", "other", way.packet(_UNKNOWN, bytes(40)))
    yield Odd("an unknown protocol without a body", "other", way.packet(_UNKNOWN, b""))


def _of_ipv4(way: _Way) -> Iterator[Odd]:
    options = bytes([1] * 8)
    yield Odd("ESP behind options", "esp", way.packet(_ESP, _SPI + bytes(40), options=options))
    yield Odd("AH behind options", "ah", way.packet(_AH, _ah(_TCP, way.tcp(80)), options=options))
    yield Odd("IKE behind options", "ike", way.packet(_UDP, way.udp(500), options=options))
    yield Odd("L2TP behind options", "l2tp", way.packet(_UDP, way.udp(1701), options=options))
    first, later = 0x2000, 3
    yield Odd("a first fragment", "web", way.packet(_TCP, way.tcp(80) + bytes(4), fragment=first))
    yield Odd("a later fragment", "other", way.packet(_TCP, bytes(9), fragment=later))
    yield Odd("a later fragment of one octet", "other", way.packet(_UDP, b"\0", fragment=later))
    yield Odd("a later fragment of ESP", "esp", way.packet(_ESP, bytes(40), fragment=later))
    yield Odd("a later fragment of GRE", "gre", way.packet(_GRE, bytes(40), fragment=later))
    yield Odd("a later fragment of AH", "ah", way.packet(_AH, bytes(40), fragment=later))


def _of_ipv6(way: _Way) -> Iterator[Odd]:
    def behind(kind: int, protocol: int, payload: bytes) -> bytes:
        body = bytes([protocol, 0]) + (bytes([9, 0, 0, 0, 0, 0]) if kind == _ROUTING else _PAD)
        return way.packet(kind, body + payload)

    esp, ah = _SPI + bytes(40), _ah(_UDP, way.udp(500))
    for kind, name in ((_HOP_BY_HOP, "hop-by-hop"), (_OPTIONS, "destination options"), (_ROUTING, "routing")):
        yield Odd(f"ESP behind {name}", "esp", behind(kind, _ESP, esp))
        yield Odd(f"AH behind {name}", "ah", behind(kind, _AH, ah))
        yield Odd(f"IKE behind {name}", "ike", behind(kind, _UDP, way.udp(500)))
        yield Odd(f"NAT-T behind {name}", "nat-t", behind(kind, _UDP, way.udp(4500, body=esp)))
        yield Odd(f"L2TP behind {name}", "l2tp", behind(kind, _UDP, way.udp(1701)))
        yield Odd(f"GRE behind {name}", "gre", behind(kind, _GRE, bytes(40)))
        yield Odd(f"web behind {name}", "web", behind(kind, _TCP, way.tcp(80)))
        yield Odd(f"nothing behind {name}", "other", behind(kind, _NOTHING, b""))

    def fragment(protocol: int, offset: int, payload: bytes) -> bytes:
        return way.packet(_FRAGMENT, struct.pack("!BBHI", protocol, 0, offset, 9) + payload)

    yield Odd("a first fragment", "web", fragment(_TCP, 1, way.tcp(80) + bytes(4)))
    yield Odd("a later fragment", "other", fragment(_TCP, 24, bytes(9)))
    yield Odd("a later fragment of one octet", "other", fragment(_UDP, 24, b"\0"))
    yield Odd("a later fragment of ESP", "esp", fragment(_ESP, 24, bytes(40)))
    yield Odd("a later fragment of GRE", "gre", fragment(_GRE, 24, bytes(40)))
    yield Odd("no next header", "other", way.packet(_NOTHING, b""))
