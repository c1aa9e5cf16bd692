"""What SAs and policies have in common on the wire (linux/xfrm.h): addresses, selectors, lifetimes, marks.

Each takes a slice and where it began, for the error. Selectors and lifetimes repeat from SA to SA, so the
last ones are kept; neither is a secret.
"""

from __future__ import annotations

import struct
import sys
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Union

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import Lifetime, Mark, Selector

__all__ = [
    "MODES",
    "SELECTOR_OCTETS",
    "decode_address",
    "decode_lifetime",
    "decode_mark",
    "decode_selector",
    "decode_unsigned",
]

Octets = Union[bytes, bytearray, memoryview]

MODES = {0: "transport", 1: "tunnel", 2: "ro", 3: "in_trigger", 4: "beet", 5: "iptfs"}
XFRM_INF = (1 << 64) - 1
GRE = 47
KEPT = 4096  # of each kind: more than a gateway has peers and subnets

# daddr saddr dport dport_mask sport sport_mask family prefixlen_d prefixlen_s proto ifindex user
_SELECTOR = struct.Struct("=16s16s2s2s2s2sHBBB3xiI")
SELECTOR_OCTETS = _SELECTOR.size
_LIFETIME = struct.Struct("=8Q")
_MARK = struct.Struct("=II")
_ADDRESS_OCTETS: dict[int, int] = {AF_INET: 4, AF_INET6: 16}


@lru_cache(KEPT)
def decode_address(octets: bytes, family: int, offset: int) -> str:
    """An xfrm_address_t. Raises DecodeError."""
    length = _ADDRESS_OCTETS.get(family)
    if length is None:
        raise DecodeError("unknown address family", offset)
    return inet_ntop(family, octets[:length])


@lru_cache(KEPT)
def decode_lifetime(octets: bytes) -> Lifetime:
    """A struct xfrm_lifetime_cfg: 64 octets."""
    limits = _LIFETIME.unpack(octets)
    counts = (None if limit == XFRM_INF else limit for limit in limits[:4])
    return Lifetime(*counts, *(limit if 0 < limit < XFRM_INF else None for limit in limits[4:]))


@lru_cache(KEPT)
def decode_selector(octets: bytes, family: int, offset: int) -> Selector:
    """family: what addresses are of where the selector does not say. Raises DecodeError."""
    to, source, dport, dport_mask, sport, sport_mask, own, *rest = _SELECTOR.unpack(octets)
    to_bits, from_bits, protocol = rest[:3]
    family = own or family
    by_source, by_destination = any(sport_mask), any(dport_mask)
    if protocol == GRE:  # both hold the halves of one key
        by_source = by_destination = by_source or by_destination
    return Selector(
        source=f"{decode_address(source, family, offset)}/{from_bits}",
        destination=f"{decode_address(to, family, offset)}/{to_bits}",
        protocol=protocol,
        source_port=int.from_bytes(sport, "big") if by_source else None,
        destination_port=int.from_bytes(dport, "big") if by_destination else None,
    )


def decode_mark(buffer: Octets, start: int, end: int) -> Mark:
    """A struct xfrm_mark. Raises DecodeError."""
    if end - start < _MARK.size:
        raise DecodeError("mark cut short", start)
    return Mark(*_MARK.unpack_from(buffer, start))


def decode_unsigned(buffer: Octets, start: int, end: int, octets: int) -> int:
    """An integer in the host's order. Raises DecodeError."""
    if end - start < octets:
        raise DecodeError("integer cut short", start)
    return int.from_bytes(buffer[start : start + octets], sys.byteorder)
