"""Where each packet of the head office's line belongs: the ground truth, by what was sent and captured.

One part for each packet on the wire; one inner counter and one tunnel for each packet in ESP. What ipsecmon
counts apart is said here and nowhere else in the lab.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Callable

from tests.guest.head_office import tunnel_by_peer
from tests.guest.packets import ESP, TCP, UDP, Packet, layers, reassembled, volume_of
from tests.netns.exchange import Volume

__all__ = ["GUESTS_PORT", "inner_volumes", "part_of", "parts_of", "tunnel_of"]

IKE, NATT, WEB, GUESTS_PORT = 500, 4500, 443, 9001
SPIS = range(0x100, 0x1000)
KEEPALIVE = 8 + 1  # UDP header and 0xFF (RFC 3948 2.3)
NON_ESP_MARKER = bytes(4)  # RFC 3948 2.2

Volumes = Mapping[str, Volume]


def part_of(packet: Packet) -> str:
    """The first that takes it, in the order of IKE, ESP by peer, ESP, the config's counters."""
    if is_ike(packet):
        return "ike"
    if packet.protocol == ESP:
        return tunnel_by_peer(packet.far) or "esp"
    if packet.protocol == UDP and _own_port(packet) == NATT:
        return tunnel_by_peer(packet.far) or "nat-t"
    if packet.protocol == TCP and WEB in packet.ports:
        return "web"
    # masqueraded: nothing on the wire has their address
    return "guests" if packet.protocol == UDP and packet.far_port == GUESTS_PORT else "other"


def is_of_the_lab(packet: Packet) -> bool:
    """ESP of its SAs, and not what was made to look like ESP."""
    if packet.esp is None or len(packet.esp) < 8:
        return False
    return int.from_bytes(packet.esp[:4], "big") in SPIS


def is_ike(packet: Packet) -> bool:
    if packet.protocol != UDP or _own_port(packet) not in (IKE, NATT):
        return False
    payload = packet.payload
    return _own_port(packet) == IKE or payload[8:12] == NON_ESP_MARKER or len(payload) == KEEPALIVE


def _own_port(packet: Packet) -> int:
    """The router's, or that of who is behind it."""
    return packet.ports[1 if packet.way == "in" else 0]


def tunnel_of(packet: Packet) -> str:
    """Of a packet that is ESP."""
    return tunnel_by_peer(packet.far) or "inner"


def parts_of(captured: Iterable[Packet], way: str) -> Volumes:
    """Whole packets, as rules see them: outbound before they are cut, inbound as conntrack mends them."""
    return _sums((packet for packet in reassembled(captured) if packet.way == way), part_of)


def inner_volumes(captured: Iterable[Packet], way: str) -> Volumes:
    """What the null ESP of each tunnel carried; without the fragments that ESP itself may have come in."""
    found: dict[str, list[Packet]] = {}
    for packet in reassembled(captured):
        if packet.way == way and is_of_the_lab(packet):
            found.setdefault(tunnel_of(packet), []).append(next(layers(packet))[1])
    return {name: volume_of(ones) for name, ones in found.items()}


def _sums(packets: Iterable[Packet], place: Callable[[Packet], str]) -> Volumes:
    found: dict[str, list[Packet]] = {}
    for packet in packets:
        found.setdefault(place(packet), []).append(packet)
    return {name: volume_of(ones) for name, ones in found.items()}
