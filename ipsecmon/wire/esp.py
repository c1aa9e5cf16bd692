"""What tells the SA of an ESP packet, out of header copies, as columns (RFC 4303 and RFC 3948, section 2).

In: copies of packets of which a rule has said that they are ESP, alone or in UDP. Out: EspColumns. A copy
that ends before the SPI, a later fragment, and one with IPv6 extension headers do not tell it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ipsecmon.packets import EspColumns
from ipsecmon.wire.packet import host_order, is_tag

__all__ = ["esp_columns"]

Words = NDArray[np.uint32]
Offsets = NDArray[np.int64]

_UDP, _ESP = 17, 50
_UDP_WORDS = 2
_MAPPED = 0xFFFF  # third word of an IPv4-mapped address
_WORDS6 = 10  # of an IPv6 header


def esp_columns(
    words: Words,
    copy: Offsets,
    captured: NDArray[np.int32],
    ethernet_type: NDArray[np.uint16],
    rows: Offsets,
) -> EspColumns:
    """Of these rows; the other arguments are as those of ip_columns()."""
    at, octets = copy.take(rows), captured.take(rows)
    first, second, third = (host_order(words.take(at + word, mode="clip")) for word in range(3))
    version = first >> 28
    is4 = (version == 4) & (second & 0x1FFF == 0)  # not a later fragment
    is6 = version == 6
    protocol = np.where(is6, second >> 8, third >> 16) & 0xFF
    skipped = np.where(is6, _WORDS6, first >> 24 & 0xF) + np.where(protocol == _UDP, _UDP_WORDS, 0)
    tells = (is4 | is6) & ((protocol == _ESP) | (protocol == _UDP)) & (octets >= (skipped + 1) * 4)
    tells &= ~is_tag(ethernet_type.take(rows))
    spi = host_order(words.take(at + skipped, mode="clip"))
    spi[~tells] = 0
    return EspColumns(rows, spi, _destinations(words, at, is6))


def _destinations(words: Words, at: Offsets, is6: NDArray[np.bool_]) -> Words:
    """Those of rows that tell no SPI may be anything."""
    found = np.zeros((len(at), 4), np.uint32)
    found[:, 2] = _MAPPED
    found[:, 3] = host_order(words.take(at + 4, mode="clip"))
    six = np.flatnonzero(is6)
    if len(six):
        places = at.take(six)[:, np.newaxis] + np.arange(6, 10)
        found[six] = host_order(words.take(places, mode="clip"))
    return found
