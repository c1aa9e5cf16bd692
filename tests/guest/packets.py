"""Packets of a capture: what they are, and what is in them where ESP carries its payload unencrypted.

ESP of the cipher `null` (RFC 2410) is sent as any other ESP; but who has captured it can read what is inside.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Optional

from tests.netns.exchange import Volume

__all__ = [
    "ESP",
    "GRE",
    "ICMP",
    "TCP",
    "UDP",
    "Packet",
    "decode_frame",
    "layers",
    "reassembled",
    "volume_of",
]

ICMP, IPIP, TCP, UDP, SIX, GRE, ESP = 1, 4, 6, 17, 41, 47, 50
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60
_IPV4, _IPV6 = 0x0800, 0x86DD
_LINK_HEADER = 14
_NATT, _L2TP = 4500, 1701
_ICV = 16  # of HMAC-SHA-256-128 (RFC 4868)
_PPP_IPV4 = 0x0021  # RFC 1332


class Fragment(NamedTuple):
    """offset: of its payload, in octets. more: it is not the last."""

    identification: int
    offset: int
    more: bool


@dataclass(frozen=True)
class Packet:
    """octets: of the IP packet, as its header says. protocol: behind IPv6's extension headers.

    headers: octets of IP headers, all of them. payload: what is behind them. frame_octets: 0 inside another.
    """

    way: str
    source: str
    destination: str
    protocol: int
    octets: int
    headers: int
    payload: bytes
    fragment: Optional[Fragment] = None
    frame_octets: int = 0

    @property
    def ports(self) -> tuple[int, int]:
        """Source and destination; (0, 0) where there are none."""
        if self.protocol not in (TCP, UDP) or len(self.payload) < 4 or (self.fragment or (0, 0))[1]:
            return (0, 0)
        return int.from_bytes(self.payload[:2], "big"), int.from_bytes(self.payload[2:4], "big")

    @property
    def far(self) -> str:
        """The address at the other end of the line."""
        return self.source if self.way == "in" else self.destination

    @property
    def far_port(self) -> int:
        return self.ports[0 if self.way == "in" else 1]

    @property
    def esp(self) -> Optional[bytes]:
        """From the SPI on, of ESP as such and of ESP in UDP (RFC 3948 2.1)."""
        if self.protocol == ESP:
            return self.payload
        if _NATT in self.ports and len(self.payload) > 8 + 4 and self.payload[8:12] != bytes(4):
            return self.payload[8:]
        return None


def decode_frame(way: str, frame: bytes) -> Packet:
    """Of Ethernet. It fails on what is not IP: nothing else crosses a quiet line."""
    ethertype = int.from_bytes(frame[12:14], "big")
    assert ethertype in (_IPV4, _IPV6), f"a frame that is not IP: {frame[:60].hex()}"
    return replace(decode(way, frame[_LINK_HEADER:]), frame_octets=len(frame))


def decode(way: str, packet: bytes) -> Packet:
    return _decode4(way, packet) if packet[0] >> 4 == 4 else _decode6(way, packet)


def _decode4(way: str, packet: bytes) -> Packet:
    headers, octets = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
    place = int.from_bytes(packet[6:8], "big")
    more, offset = bool(place & 0x2000), (place & 0x1FFF) * 8
    identification = int.from_bytes(packet[4:6], "big")
    fragment = Fragment(identification, offset, more) if more or offset else None
    ends = (_address(packet[12:16]), _address(packet[16:20]))
    return Packet(way, *ends, packet[9], octets, headers, packet[headers:octets], fragment)


def _decode6(way: str, packet: bytes) -> Packet:
    octets = 40 + int.from_bytes(packet[4:6], "big")
    protocol, at, fragment = packet[6], 40, None
    while protocol in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION):
        if protocol == _FRAGMENT:
            place = int.from_bytes(packet[at + 2 : at + 4], "big")
            identification = int.from_bytes(packet[at + 4 : at + 8], "big")
            fragment = Fragment(identification, place & 0xFFF8, bool(place & 1))
            length = 8
        else:
            length = (packet[at + 1] + 1) * 8
        protocol, at = packet[at], at + length
        if fragment and fragment.offset:
            break
    ends = (_address(packet[8:24]), _address(packet[24:40]))
    return Packet(way, *ends, protocol, octets, at, packet[at:octets], fragment)


def _address(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


def layers(packet: Packet) -> Iterator[tuple[str, Packet]]:
    """What is in a packet of null ESP, from the outside: ("esp", what the SA carried), then ("gre" or "l2tp",
    the IP packet in that). Nothing of PPP's own control.
    """
    if packet.esp is None:
        return
    inner = _carried(packet, packet.esp)
    yield "esp", inner
    if inner.protocol == GRE:
        yield "gre", decode(packet.way, inner.payload[4:])
    elif inner.ports == (_L2TP, _L2TP) and not inner.payload[8] & 0x80:
        ppp = inner.payload[8 + 6 :]  # flags, tunnel, session: xl2tpd's data messages have no more
        if ppp[:4] == b"\xff\x03" + _PPP_IPV4.to_bytes(2, "big"):
            yield "l2tp", decode(packet.way, ppp[4:])


def _carried(packet: Packet, esp: bytes) -> Packet:
    """A whole packet in tunnel mode; in transport mode the payload behind the packet's own header."""
    next_header, padding = esp[-_ICV - 1], esp[-_ICV - 2]
    data = esp[8 : -_ICV - 2 - padding]
    if next_header in (IPIP, SIX):
        return decode(packet.way, data)
    octets = packet.headers + len(data)
    return replace(packet, protocol=next_header, payload=data, octets=octets, frame_octets=0)


def reassembled(packets: Iterable[Packet]) -> list[Packet]:
    """Each whole packet once, with the octets that it had before or has after its travel in fragments."""
    whole: list[Packet] = []
    pieces: dict[tuple[str, str, str, int], list[Packet]] = {}
    for one in packets:
        if one.fragment is None:
            whole.append(one)
            continue
        key = (one.way, one.source, one.destination, one.fragment.identification)
        pieces.setdefault(key, []).append(one)
    return whole + [_put_together(ones) for ones in pieces.values()]


def _put_together(pieces: list[Packet]) -> Packet:
    """In whatever order they came. IPv6's fragment header is gone then (RFC 8200 4.5)."""
    ordered = sorted(pieces, key=lambda one: one.fragment.offset if one.fragment else 0)
    first = ordered[0]
    payload = b"".join(one.payload for one in ordered)
    headers = first.headers - (8 if ":" in first.source else 0)
    return replace(
        first,
        payload=payload,
        headers=headers,
        octets=headers + len(payload),
        fragment=None,
        frame_octets=sum(one.frame_octets for one in ordered),
    )


def volume_of(packets: Iterable[Packet]) -> Volume:
    ones = list(packets)
    return Volume(len(ones), sum(one.octets for one in ones))
