"""IP protocol numbers by the names people write (IANA protocol-numbers; /etc/protocols may be missing)."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ESP_AND_AH", "PROTOCOLS", "TCP", "UDP", "WITH_PORTS", "render_protocol"]

TCP, UDP = 6, 17

PROTOCOLS: Mapping[str, int] = {
    "icmp": 1,
    "igmp": 2,
    "ipip": 4,
    "tcp": TCP,
    "udp": UDP,
    "dccp": 33,
    "ipv6": 41,
    "rsvp": 46,
    "gre": 47,
    "icmpv6": 58,
    "eigrp": 88,
    "ospf": 89,
    "pim": 103,
    "vrrp": 112,
    "l2tp": 115,
    "sctp": 132,
    "udplite": 136,
}

WITH_PORTS = frozenset({TCP, UDP, 33, 132, 136})  # tcp udp dccp sctp udplite: ports in the first 4 octets
ESP_AND_AH: Mapping[str, int] = {"esp": 50, "ah": 51}

_NAMES = {number: name for name, number in PROTOCOLS.items()}


def render_protocol(number: int) -> str:
    """The name, or the number where there is none here."""
    return _NAMES.get(number, str(number))
